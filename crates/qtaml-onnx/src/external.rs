//! External data: values that lie in files beside the model, read into it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path};

use rten_onnx::onnx::{DataLocation, GraphProto, TensorProto};

use crate::OnnxError;

/// Reads the values of all tensors that lie in files of this folder. Without a folder, as for a model
/// from memory, there are none to read.
pub(crate) fn read_into(graph: &mut GraphProto, folder: Option<&Path>) -> Result<(), OnnxError> {
    for tensor in &mut graph.initializer {
        read_tensor(tensor, folder)?;
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        if let Some(tensor) = &mut attribute.t {
            read_tensor(tensor, folder)?;
        }
        if let Some(graph) = &mut attribute.g {
            read_into(graph, folder)?;
        }
    }
    Ok(())
}

fn read_tensor(tensor: &mut TensorProto, folder: Option<&Path>) -> Result<(), OnnxError> {
    if tensor.data_location != Some(DataLocation::EXTERNAL) {
        return Ok(());
    }
    let entry = |key: &str| {
        let of = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
        of.and_then(|entry| entry.value.clone())
    };
    let location = entry("location").unwrap_or_default();
    let values = read(&location, entry("offset"), entry("length"), folder);
    let values = values.map_err(|source| {
        let name = tensor.name.clone().unwrap_or_default();
        OnnxError::External { name, location, source }
    })?;
    tensor.raw_data = Some(RefCell::new(values));
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(())
}

fn read(
    location: &str,
    offset: Option<String>,
    length: Option<String>,
    folder: Option<&Path>,
) -> io::Result<Vec<u8>> {
    let wrong = |problem: &str| io::Error::new(io::ErrorKind::InvalidInput, problem.to_owned());
    let folder = folder.ok_or_else(|| wrong("a model from memory has no files beside it"))?;
    let path = Path::new(location);
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if location.is_empty() || !is_inside {
        return Err(wrong("it is no path within the folder of the model"));
    }
    let number = |text: Option<String>| {
        text.map(|text| text.parse::<u64>().map_err(|_| wrong("its place is no number")))
            .transpose()
    };
    let (offset, length) = (number(offset)?.unwrap_or(0), number(length)?);
    let mut file = File::open(folder.join(path))?;
    let left = file.metadata()?.len().checked_sub(offset);
    let left = left.ok_or_else(|| wrong("the file ends before the values begin"))?;
    let length = length.unwrap_or(left);
    if length > left {
        return Err(wrong("the file ends before the values do"));
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut values = Vec::new();
    file.take(length).read_to_end(&mut values)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::StringStringEntryProto;

    use super::*;

    fn graph(entries: &[(&str, &str)]) -> GraphProto {
        let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        };
        let tensor = TensorProto {
            name: Some("w".to_owned()),
            data_location: Some(DataLocation::EXTERNAL),
            external_data: entries.iter().map(entry).collect(),
            ..TensorProto::default()
        };
        GraphProto { initializer: vec![tensor], ..GraphProto::default() }
    }

    #[test]
    fn values_are_read_from_their_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("w.data"), [1, 2, 3, 4, 5]).unwrap();
        let read = |entries: &[(&str, &str)]| {
            let mut graph = graph(entries);
            read_into(&mut graph, Some(folder.path())).unwrap();
            graph.initializer[0].raw_data.take().unwrap().into_inner()
        };
        let place = [("location", "w.data"), ("offset", "1"), ("length", "3")];
        assert_eq!(read(&place), [2, 3, 4]);
        assert_eq!(read(&place[..2]), [2, 3, 4, 5]);
        assert_eq!(read(&place[..1]), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn places_outside_the_folder_or_the_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("w.data"), [1, 2]).unwrap();
        let error = |entries: &[(&str, &str)], folder| {
            let error = read_into(&mut graph(entries), folder).unwrap_err();
            assert!(error.to_string().starts_with("tensor \"w\" lies in "), "{error}");
            std::error::Error::source(&error).unwrap().to_string()
        };
        let inside = Some(folder.path());
        for location in ["../w.data", "/etc/passwd", "", "a/../../w.data"] {
            let error = error(&[("location", location)], inside);
            assert_eq!(error, "it is no path within the folder of the model");
        }
        let far = [("location", "w.data"), ("offset", "3")];
        assert_eq!(error(&far, inside), "the file ends before the values begin");
        let long = [("location", "w.data"), ("length", "18446744073709551615")];
        assert_eq!(error(&long, inside), "the file ends before the values do");
        let odd = [("location", "w.data"), ("offset", "-1")];
        assert_eq!(error(&odd, inside), "its place is no number");
        assert!(error(&far, None).starts_with("a model from memory"));
        assert!(!error(&[("location", "none.data")], inside).is_empty());
    }
}
