//! Copies of safetensors files with other values in their weights, every other byte as it was.

use std::collections::HashMap;
use std::path::Path;

use qtaml_files::{BackgroundWriter, FileError, Float, TensorInfo, write_in_background};

use super::{CheckpointWeights, CheckpointWeightsError};
use crate::{FloatType, RunnerError, WeightTensor};

/// Bytes of other tensors that are copied at a time.
const PIECE: usize = 1 << 22;

/// A tensor of the copy that has other values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenWeights {
    /// Its name in the file.
    pub name: String,
    /// The weight that it holds, of which this may be a second name.
    pub weight: String,
    /// The type that it is kept in.
    pub dtype: FloatType,
    /// The number of its values.
    pub values: u64,
    /// How many of them are not exact in that type.
    pub rounded: u64,
    /// How many are beyond that type, and became its largest or lowest number.
    pub beyond: u64,
}

impl CheckpointWeights {
    /// Copies the files of the model to `out`, a file or a folder as the model is one, with these values in the
    /// weights, in the types of the file. `values` hands them out by the number of the weight, one weight at a
    /// time and tied ones for each of their names: no more than one is in memory.
    ///
    /// # Errors
    /// Those of `values`, [`CheckpointWeightsError::Values`] for another number of them than a weight has, and
    /// [`CheckpointWeightsError::File`]; nothing has a name then.
    pub fn copy<E: From<CheckpointWeightsError> + From<FileError>>(
        &self,
        out: &Path,
        mut values: impl FnMut(usize) -> Result<Vec<f32>, E>,
    ) -> Result<Vec<WrittenWeights>, E> {
        let mut files = self.model.create(out)?;
        let written = write_in_background(&mut files, |out| self.write(out, &mut values))?;
        files.finish()?;
        Ok(written)
    }

    fn write<E: From<CheckpointWeightsError> + From<FileError>>(
        &self,
        out: &BackgroundWriter,
        values: &mut impl FnMut(usize) -> Result<Vec<f32>, E>,
    ) -> Result<Vec<WrittenWeights>, E> {
        let weights = self.by_name();
        let mut written = Vec::new();
        for (shard, file) in self.model.shards().iter().enumerate() {
            out.write(file.header().to_vec())?;
            for tensor in self.model.tensors_of(shard) {
                let Some(&index) = weights.get(tensor.name.as_str()) else {
                    self.model.for_each_piece(tensor, PIECE, |bytes| out.write(bytes))?;
                    continue;
                };
                let (bytes, row) = encoded(tensor, &self.tensors[index], &values(index)?)?;
                out.write(bytes)?;
                written.push(row);
            }
        }
        Ok(written)
    }

    /// The number of the weight of each name.
    fn by_name(&self) -> HashMap<&str, usize> {
        let names = |(index, tensor): (usize, &WeightTensor)| {
            let names = std::iter::once(&tensor.name).chain(&tensor.aliases);
            names.map(|name| (name.clone(), index)).collect::<Vec<_>>()
        };
        let numbers: HashMap<String, usize> =
            self.tensors.iter().enumerate().flat_map(names).collect();
        let all = self.model.tensors().iter();
        all.filter_map(|tensor| Some((tensor.name.as_str(), *numbers.get(&tensor.name)?))).collect()
    }
}

fn encoded(
    tensor: &TensorInfo,
    weight: &WeightTensor,
    values: &[f32],
) -> Result<(Vec<u8>, WrittenWeights), CheckpointWeightsError> {
    let float = Float::of(tensor.dtype).filter(|_| values.len() == weight.len());
    let float = float.ok_or_else(|| {
        let (name, shape) = (weight.name.clone(), weight.shape.clone());
        RunnerError::Length { name, shape, values: values.len() }
    })?;
    let within = float.encode_within(values);
    let row = WrittenWeights {
        name: tensor.name.clone(),
        weight: weight.name.clone(),
        dtype: weight.dtype,
        values: values.len() as u64,
        rounded: within.rounded,
        beyond: within.beyond,
    };
    Ok((within.bytes, row))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use qtaml_files::Float;

    use super::super::tests::{VALUES, model, open};
    use super::*;
    use crate::Runner;

    /// The types of the file hold what they can, and all else is as it was, byte for byte.
    #[test]
    fn only_the_values_of_weights_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = model(folder.path());
        let chosen = |name: &str| name != "d.weight";
        let weights = CheckpointWeights::of(open(&path), None, chosen).unwrap();
        let out = folder.path().join("out.safetensors");
        let new = [1e9_f32, 1.0 / 3.0, -1e9, 0.5, 0.0, -0.25];
        let values = |_| Ok::<_, CheckpointWeightsError>(new.to_vec());
        let rows = weights.copy(&out, values).unwrap();
        let told: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.rounded, row.beyond)).collect();
        assert_eq!(
            told.iter().copied().collect::<std::collections::BTreeSet<_>>(),
            [("a.weight", 0, 0), ("b.weight", 3, 0), ("h.weight", 1, 2), ("z.weight", 0, 0)].into()
        );
        assert!(rows.iter().all(|row| row.values == 6));
        let (old, copy) = (open(&path), open(&out));
        assert_eq!(old.shards()[0].header(), copy.shards()[0].header());
        for tensor in old.tensors() {
            let [was, is] = [&old, &copy].map(|file| file.bytes_of(tensor).unwrap());
            match tensor.name.as_str() {
                "a.weight" | "z.weight" => assert_eq!(Float::F32.decode(&is), new),
                "h.weight" => {
                    let half = [65504.0, 0.333_251_95, -65504.0, 0.5, 0.0, -0.25];
                    assert_eq!(Float::F16.decode(&is), half);
                }
                "b.weight" => assert!(was != is),
                _ => assert_eq!(was, is, "{}", tensor.name),
            }
        }
        // With its own values a copy is the file.
        let own = |index| weights.values(index).map_err(CheckpointWeightsError::from);
        weights.copy(&out, own).unwrap();
        assert!(fs::read(&path).unwrap() == fs::read(&out).unwrap());
    }

    #[test]
    fn an_error_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = model(folder.path());
        let weights = CheckpointWeights::of(open(&path), None, |_| true).unwrap();
        let out = folder.path().join("out.safetensors");
        let short = |_| Ok::<_, CheckpointWeightsError>(VALUES[1..].to_vec());
        let error = weights.copy(&out, short).unwrap_err().to_string();
        assert!(error.contains("5 values") && !out.exists(), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
