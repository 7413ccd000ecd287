//! The header of a safetensors file to be written.

use std::collections::BTreeMap;

use safetensors::Dtype;
use serde_json::{Value, json};

use crate::FileError;

/// A tensor of the new file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorLayout<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its length in bytes.
    pub bytes: u64,
}

/// The header of a file that holds these tensors in this order. The same content is the same bytes.
///
/// It is filled up to whole multiples of eight bytes. Where tensors of large elements come first,
/// as the reference implementation has it, each then lies where its type wants it.
///
/// # Errors
/// [`FileError::Layout`] if the header has no JSON form.
pub fn header<'a>(
    metadata: &BTreeMap<String, String>,
    tensors: impl IntoIterator<Item = TensorLayout<'a>>,
) -> Result<Vec<u8>, FileError> {
    let mut members: BTreeMap<&str, Value> = BTreeMap::new();
    if !metadata.is_empty() {
        members.insert("__metadata__", json!(metadata));
    }
    let mut end = 0;
    for TensorLayout { name, dtype, shape, bytes } in tensors {
        let begin = end;
        end += bytes;
        members.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}));
    }
    let mut json = serde_json::to_vec(&members).map_err(FileError::Layout)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([(json.len() as u64).to_le_bytes().as_slice(), &json].concat())
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn the_reference_implementation_reads_it() {
        let metadata = BTreeMap::from([("made".into(), "by \"hand\"".into())]);
        let tensors = [
            TensorLayout { name: "z", dtype: Dtype::F32, shape: &[1, 2], bytes: 8 },
            TensorLayout { name: "a \u{1b}", dtype: Dtype::U8, shape: &[3], bytes: 3 },
        ];
        let header = header(&metadata, tensors).unwrap();
        assert_eq!(header.len() % 8, 0);
        let file = [header.as_slice(), &[1; 8], &[2; 3]].concat();
        let read = SafeTensors::deserialize(&file).unwrap();
        for TensorLayout { name, dtype, shape, bytes } in tensors {
            let view = read.tensor(name).unwrap();
            assert_eq!((view.dtype(), view.shape()), (dtype, shape));
            let content = if name == "z" { 1 } else { 2 };
            assert_eq!(view.data(), vec![content; bytes as usize]);
        }
        let (_, found) = SafeTensors::read_metadata(&file).unwrap();
        assert_eq!(found.metadata().as_ref().unwrap()["made"], "by \"hand\"");
    }
}
