//! Inputs of a model: files of arrays, folders of images, or random numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use qtaml::fault::Seed;
use qtaml::files::{NumpyArray, NumpyValues, read_numpy};
use qtaml::onnx::{Array, Inputs, OnnxModel};

use super::images::{ImageArgs, Images};
use crate::usage::UsageError;

/// Where inputs come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    /// Arrays in a file, or images in a folder.
    File(PathBuf),
    /// So many samples of random numbers.
    Synthetic(usize),
}

impl FromStr for Data {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(count) = text.strip_prefix("synthetic:") else {
            return Ok(Self::File(text.into()));
        };
        let count = count.parse().ok().filter(|&count| count > 0);
        count.map(Self::Synthetic).ok_or_else(|| {
            format!("{text:?} is no number of random inputs: synthetic:N with N of 1 or more is")
        })
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                write!(f, "{}", name.to_string_lossy())
            }
            Self::Synthetic(_) => f.write_str("random inputs"),
        }
    }
}

impl Data {
    pub(super) const fn is_synthetic(&self) -> bool {
        matches!(self, Self::Synthetic(_))
    }

    /// The inputs, by the names that the model gives them, and what a folder of images says of classes.
    pub(super) fn read(
        &self,
        model: &OnnxModel,
        images: &ImageArgs,
        seed: Seed,
        sizes: &BTreeMap<String, usize>,
    ) -> Result<Images> {
        if let Self::File(path) = self
            && path.is_dir()
        {
            return images.read(path, model.inputs());
        }
        images.check_unused().map_err(UsageError::from)?;
        let inputs = match self {
            Self::Synthetic(samples) => Inputs::synthetic_with(model, *samples, seed, sizes)?,
            Self::File(path) => arrays_of(path, model)?,
        };
        Ok(Images { inputs, labels: None })
    }
}

/// The arrays in a file.
fn arrays_of(path: &Path, model: &OnnxModel) -> Result<Inputs> {
    let arrays = read_numpy(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut inputs = Inputs::new();
    for (name, array) in arrays {
        inputs = inputs.with(named(name, model)?, converted(array));
    }
    Ok(inputs)
}

/// The name of an array: that of the only input where the file gives none.
fn named(name: String, model: &OnnxModel) -> Result<String, UsageError> {
    match (name.as_str(), model.inputs()) {
        ("", [only]) => Ok(only.name.clone()),
        ("", all) => {
            let names = all.iter().map(|input| input.name.clone()).collect();
            Err(UsageError::Unnamed(names))
        }
        _ => Ok(name),
    }
}

fn converted(NumpyArray { shape, values }: NumpyArray) -> Array {
    match values {
        NumpyValues::Bool(values) => Array::bool(shape, &values),
        NumpyValues::Integer(values) => Array::i64(shape, &values),
        NumpyValues::Float(values) => Array::f32(shape, values),
        _ => Array::f32(shape, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_a_file_or_a_number_of_random_inputs() {
        assert_eq!("synthetic:64".parse(), Ok(Data::Synthetic(64)));
        assert_eq!("x/data.npz".parse(), Ok(Data::File("x/data.npz".into())));
        assert_eq!(Data::File("x/data.npz".into()).to_string(), "data.npz");
        for text in ["synthetic:", "synthetic:0", "synthetic:-1", "synthetic:many"] {
            assert!(text.parse::<Data>().unwrap_err().contains("synthetic:N"), "{text}");
        }
    }
}
