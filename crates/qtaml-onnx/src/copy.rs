//! Copies of a model's file with other values in its weights.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::path::Path;

use qtaml_deploy::{RunnerError, Values, WeightTensor, check_values};
use qtaml_files::onnx::{ElementType, OnnxCopy, OnnxFile, OnnxTensor, Place};
use qtaml_files::{FileError, Float};

use crate::{OnnxModel, StoredTensor};

/// A copy in the making: its files are put in place when [`copy`](Self::copy) is finished.
#[derive(Debug)]
#[must_use = "it is gone unless it is finished"]
#[non_exhaustive]
pub struct WeightsCopy {
    /// The copy.
    pub copy: OnnxCopy,
    /// The tensors that were written, in the order of the files.
    pub written: Vec<WrittenTensor>,
}

/// A tensor of the copy that has other values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenTensor {
    /// Its name in the file.
    pub name: String,
    /// The weight that it holds.
    pub weight: String,
    /// The type that it is kept in.
    pub dtype: ElementType,
    /// The number of its values.
    pub values: u64,
    /// How many of them are not exact in that type; those of integers count as exact.
    pub rounded: u64,
    /// How many are beyond that type, and became its largest or lowest number.
    pub beyond: u64,
}

/// Why a file cannot be copied with other values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// Values of unknown tensors, or too few or too many.
    #[error(transparent)]
    Values(#[from] RunnerError),
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of another model.
    #[error(
        "the file has no tensor {tensor:?} of shape {shape:?}, which is weight {weight:?} of the model"
    )]
    OtherFile {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The weight.
        weight: String,
    },
    /// A value between the integers that the file can hold.
    #[error(
        "tensor {tensor:?} holds integers of type {dtype}, and none of them stands for {value:?}, which is \
         value {index} of weight {weight:?}: plan and store the model as it was before it was quantized"
    )]
    NoCode {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: ElementType,
        /// The weight.
        weight: String,
        /// The number of the value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// Two weights in one tensor, with values that no tensor holds both of.
    #[error(
        "tensor {tensor:?} holds the weights {weight:?} and {other:?}, whose values differ now"
    )]
    Shared {
        /// The tensor.
        tensor: String,
        /// A weight.
        weight: String,
        /// The other one.
        other: String,
    },
}

impl OnnxModel {
    /// Copies the file of this model to `out` with these values in its weights, in the types of the
    /// file; weights that are not named stay as they are, and so does every byte that belongs to none.
    /// Tied tensors are written under all their names.
    ///
    /// What is beyond a float type becomes its largest number. Codes are written if each value is one of
    /// the integers times the scale of the model, up to roundings of `f32`.
    ///
    /// ```
    /// use qtaml_deploy::Values;
    /// use qtaml_files::onnx::OnnxFile;
    /// use qtaml_onnx::OnnxModel;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = std::path::Path::new("../../tests/onnx/mlp_gemm.onnx");
    /// # let out = folder.path().join("out.onnx");
    /// let model = OnnxModel::open(path)?;
    /// let values: Values = [("fc1.weight".to_owned(), vec![0.5; 192])].into();
    /// model.copy_with(&OnnxFile::open(path)?, &values, &out)?.copy.finish()?;
    /// assert_eq!(OnnxModel::open(&out)?.values(0), Some(vec![0.5; 192].as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`CopyError`], before anything has its name.
    pub fn copy_with(
        &self,
        file: &OnnxFile,
        values: &Values,
        out: &Path,
    ) -> Result<WeightsCopy, CopyError> {
        check_values(self.tensors(), values)?;
        let cells = self.cells_of(values);
        check_file(file, &cells)?;
        let chosen = chosen(file, &cells);
        let mut written = Vec::new();
        let copy = file.copy_with(
            out,
            |tensor| chosen.contains(tensor.name.as_str()),
            |tensor, new| {
                let (bytes, row) = encoded(tensor, &cells[tensor.name.as_str()])?;
                written.push(row);
                Ok::<_, CopyError>(new.write(&bytes)?)
            },
        )?;
        Ok(WeightsCopy { copy, written })
    }

    /// What each tensor of the file gets, by its name.
    fn cells_of<'a>(&'a self, values: &'a Values) -> HashMap<&'a str, Vec<Cell<'a>>> {
        let mut cells: HashMap<&str, Vec<Cell<'_>>> = HashMap::new();
        for (index, weight) in self.tensors().iter().enumerate() {
            let mut names = std::iter::once(&weight.name).chain(&weight.aliases);
            let Some(values) = names.find_map(|name| values.get(name)) else {
                continue;
            };
            for stored in self.stored(index) {
                let cell = Cell { weight, values, stored };
                cells.entry(stored.name.as_str()).or_default().push(cell);
            }
        }
        cells
    }
}

/// New values of a weight, for one of the tensors that hold it.
#[derive(Debug, Clone, Copy)]
struct Cell<'a> {
    weight: &'a WeightTensor,
    values: &'a [f32],
    stored: &'a StoredTensor,
}

/// Refuses a file without one of the tensors, which is that of another model.
fn check_file(file: &OnnxFile, cells: &HashMap<&str, Vec<Cell<'_>>>) -> Result<(), CopyError> {
    for (&name, cells) in cells {
        for Cell { weight, stored, .. } in cells {
            let is_it = |tensor: &OnnxTensor| {
                tensor.shape == weight.shape
                    && stored.codes.is_some() == codes(tensor.dtype).is_some()
            };
            if !file.tensor(name).is_ok_and(is_it) {
                let (tensor, shape) = (name.to_owned(), weight.shape.clone());
                return Err(CopyError::OtherFile { tensor, shape, weight: weight.name.clone() });
            }
        }
    }
    Ok(())
}

/// The tensors to be written: of several names of one weight in one place of another file the first.
fn chosen<'a>(file: &'a OnnxFile, cells: &HashMap<&str, Vec<Cell<'_>>>) -> HashSet<&'a str> {
    let mut seen = HashSet::new();
    let mut is_first = |tensor: &OnnxTensor| match (&tensor.place, cells.get(tensor.name.as_str()))
    {
        (_, None) => false,
        (Place::Elsewhere { location, begin }, Some(cells)) => {
            let weight = cells.first().map(|cell| &cell.weight.name);
            seen.insert((location.clone(), *begin, weight))
        }
        _ => true,
    };
    file.tensors().iter().filter(|tensor| is_first(tensor)).map(|t| t.name.as_str()).collect()
}

/// The bytes of a tensor: the same for all weights that it holds.
fn encoded(tensor: &OnnxTensor, cells: &[Cell<'_>]) -> Result<(Vec<u8>, WrittenTensor), CopyError> {
    let mut found: Option<(Vec<u8>, WrittenTensor)> = None;
    for cell in cells {
        let (bytes, row) = encoded_as(tensor, cell)?;
        match &found {
            None => found = Some((bytes, row)),
            Some((other, _)) if *other == bytes => {}
            Some((_, other)) => {
                let (tensor, weight, other) = (row.name, other.weight.clone(), row.weight);
                return Err(CopyError::Shared { tensor, weight, other });
            }
        }
    }
    found.ok_or_else(|| CopyError::OtherFile {
        tensor: tensor.name.clone(),
        shape: tensor.shape.clone(),
        weight: String::new(),
    })
}

fn encoded_as(
    tensor: &OnnxTensor,
    &Cell { weight, values, stored }: &Cell<'_>,
) -> Result<(Vec<u8>, WrittenTensor), CopyError> {
    let mut row = WrittenTensor {
        name: tensor.name.clone(),
        weight: weight.name.clone(),
        dtype: tensor.dtype,
        values: values.len() as u64,
        rounded: 0,
        beyond: 0,
    };
    if let (Some(how), Some((range, width))) = (&stored.codes, codes(tensor.dtype)) {
        let codes = how.dequantization.codes(values, &range);
        let codes = codes.map_err(|index| CopyError::NoCode {
            tensor: tensor.name.clone(),
            dtype: tensor.dtype,
            weight: weight.name.clone(),
            index,
            value: values[index],
        })?;
        let bytes = codes.iter().flat_map(|code| code.to_le_bytes().into_iter().take(width));
        return Ok((bytes.collect(), row));
    }
    let float = tensor.dtype.dtype().and_then(Float::of).ok_or_else(|| CopyError::OtherFile {
        tensor: tensor.name.clone(),
        shape: tensor.shape.clone(),
        weight: weight.name.clone(),
    })?;
    let written = float.encode_within(values);
    row.rounded = written.rounded;
    row.beyond = written.beyond;
    Ok((written.bytes, row))
}

/// The codes of a type, and the bytes of one.
fn codes(dtype: ElementType) -> Option<(RangeInclusive<i64>, usize)> {
    match dtype {
        ElementType::Int8 => Some((-128..=127, 1)),
        ElementType::Uint8 => Some((0..=255, 1)),
        ElementType::Int32 => Some((i32::MIN.into()..=i32::MAX.into(), 4)),
        _ => None,
    }
}
