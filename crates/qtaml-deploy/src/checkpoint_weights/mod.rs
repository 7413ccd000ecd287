//! The float weights of a model in safetensors files: what storing needs, without a way to run it.
//!
//! ```
//! use qtaml_compensation::storage::QuantizedSpec;
//! use qtaml_deploy::checkpoint_weights::CheckpointWeights;
//! use qtaml_deploy::{Granularity, Runner, StoredModel, Storing};
//! use qtaml_fault::{MemoryModel, Seed};
//! use qtaml_files::{Checkpoint, Dtype, TensorLayout, header};
//! use qtaml_physics::FlipProbability;
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("model.safetensors");
//! let layout = TensorLayout { name: "fc.weight", dtype: Dtype::F32, shape: &[2, 2], bytes: 16 };
//! let values: Vec<u8> = [0.5_f32, -1.0, 2.0, 0.25].into_iter().flat_map(f32::to_le_bytes).collect();
//! qtaml_files::write(&path, &[header(&[].into(), [layout])?, values].concat())?;
//!
//! let weights = CheckpointWeights::of(Checkpoint::open(&path)?, None, |_| true)?;
//! let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
//! let storing = Storing::new(memory, QuantizedSpec::default());
//! let model = StoredModel::store(&weights, Granularity::Channel, &[storing])?;
//! assert_eq!(model.weights_sha256(), weights.sha256()?);
//!
//! // The same file as a device reads it.
//! let read = model.read(Seed(42), 0, &model.uniform(0))?;
//! let out = folder.path().join("read.safetensors");
//! let values = |index: usize| Ok::<_, Box<dyn std::error::Error>>(read[&weights.tensors()[index].name].clone());
//! let written = weights.copy(&out, values)?;
//! assert_eq!((written[0].name.as_str(), written[0].values), ("fc.weight", 4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod copy;

use std::collections::{HashMap, HashSet};

use qtaml_compensation::WeightsDigester;
use qtaml_fault::WordDigest;
use qtaml_files::{
    Checkpoint, Dtype, FileError, Float, Layout, TensorDescription, TensorInfo, TensorKind,
    UnknownName, WeightRole,
};

pub use self::copy::WrittenWeights;
use crate::{FloatType, Output, Role, Runner, RunnerError, Values, WeightTensor};

/// The weights of a model in safetensors files that are kept as floats, tied ones once, in the order of their
/// names. It cannot be run.
///
/// Types are F16, BF16, F32 and F64. Codes of quantized checkpoints, eight-bit floats, biases, norms and
/// buffers are none of these weights, and stay as they are.
#[derive(Debug)]
pub struct CheckpointWeights {
    model: Checkpoint,
    tensors: Vec<WeightTensor>,
    /// The number of each tensor among all of the model, by name.
    numbers: Vec<usize>,
    axes_guessed: usize,
}

/// Why the weights of safetensors files cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointWeightsError {
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A tensor that may be a weight, or none.
    #[error(
        "tensor {name:?} of {dtype} and shape {shape:?} is not understood: leave it out, and it stays as it is"
    )]
    Unknown {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A model without any.
    #[error(
        "there are no float weights among the {tensors} tensors that are chosen: `qtaml inspect` says what they \
         are"
    )]
    NoWeights {
        /// How many tensors there are.
        tensors: usize,
    },
    /// A tensor that the model lacks.
    #[error(transparent)]
    Missing(#[from] UnknownName),
    /// A tensor of another type or shape.
    #[error(
        "tensor {name:?} is of {found} and shape {found_shape:?}, and was of {dtype} and shape {shape:?}"
    )]
    Other {
        /// The tensor.
        name: String,
        /// Its type.
        found: Dtype,
        /// Its shape.
        found_shape: Vec<usize>,
        /// The type that it had.
        dtype: FloatType,
        /// The shape that it had.
        shape: Vec<usize>,
    },
    /// Two names that were those of one tensor.
    #[error("tensors {name:?} and {alias:?} were one, and differ here")]
    NotTied {
        /// The first name.
        name: String,
        /// The other one.
        alias: String,
    },
    /// Another number of values than a tensor has.
    #[error(transparent)]
    Values(#[from] RunnerError),
}

impl CheckpointWeights {
    /// The float weights whose names are chosen; of a tied one, any of its names may be. A layout that is given
    /// wins over what the files say of output axes.
    ///
    /// # Errors
    /// [`CheckpointWeightsError::Unknown`] for a chosen tensor that is not understood,
    /// [`CheckpointWeightsError::NoWeights`] if nothing is left, and [`CheckpointWeightsError::File`].
    pub fn of(
        model: Checkpoint,
        layout: Option<Layout>,
        chosen: impl Fn(&str) -> bool,
    ) -> Result<Self, CheckpointWeightsError> {
        let described = model.describe(layout)?;
        let all = model.tensors();
        let is_weight = |i: &usize| float_weight(&all[*i], &described[*i]).is_some();
        let mut aliases: HashMap<usize, Vec<usize>> = HashMap::new();
        for (alias, first) in model.aliases((0..all.len()).filter(is_weight))? {
            aliases.entry(first).or_default().push(alias);
        }
        let second: HashSet<usize> = aliases.values().flatten().copied().collect();
        let (mut tensors, mut numbers, mut axes_guessed) = (Vec::new(), Vec::new(), 0);
        for (number, &i) in model.by_name().iter().enumerate() {
            let (tensor, described) = (&all[i], &described[i]);
            let names = || std::iter::once(&i).chain(aliases.get(&i).into_iter().flatten());
            if second.contains(&i) || !names().any(|&i| chosen(&all[i].name)) {
                continue;
            }
            if described.kind == TensorKind::Unknown {
                let TensorInfo { name, dtype, shape, .. } = tensor.clone();
                return Err(CheckpointWeightsError::Unknown { name, dtype, shape });
            }
            let Some(weight) = float_weight(tensor, described) else { continue };
            let names = names().skip(1).map(|&i| all[i].name.as_str());
            tensors.push(names.fold(weight, WeightTensor::with_alias));
            numbers.push(number);
            axes_guessed += usize::from(described.axis.axis.is_none());
        }
        if tensors.is_empty() {
            let tensors = all.iter().filter(|tensor| chosen(&tensor.name)).count();
            return Err(CheckpointWeightsError::NoWeights { tensors });
        }
        Ok(Self { model, tensors, numbers, axes_guessed })
    }

    /// Tensors that are known to be weights, as those of a stored folder are.
    ///
    /// # Errors
    /// [`CheckpointWeightsError::Missing`], [`CheckpointWeightsError::Other`] and
    /// [`CheckpointWeightsError::NotTied`] if they are not in this model, each under all of its names.
    pub fn known(
        model: Checkpoint,
        tensors: Vec<WeightTensor>,
    ) -> Result<Self, CheckpointWeightsError> {
        let mut number_of = vec![0; model.tensors().len()];
        for (number, &i) in model.by_name().iter().enumerate() {
            number_of[i] = number;
        }
        let number = |tensor: &WeightTensor| {
            let first = check(&model, &tensor.name, tensor)?;
            for alias in &tensor.aliases {
                let other = check(&model, alias, tensor)?;
                if model.bytes_of(first)? != model.bytes_of(other)? {
                    let (name, alias) = (tensor.name.clone(), alias.clone());
                    return Err(CheckpointWeightsError::NotTied { name, alias });
                }
            }
            Ok(model.position(&tensor.name).map_or(0, |i| number_of[i]))
        };
        let numbers = tensors.iter().map(number).collect::<Result<_, _>>()?;
        Ok(Self { model, tensors, numbers, axes_guessed: 0 })
    }

    /// The files.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.model
    }

    /// The number of each tensor among all tensors of the model in the order of their names: it does not depend
    /// on how they are spread over files.
    pub fn numbers(&self) -> &[usize] {
        &self.numbers
    }

    /// How many tensors have an axis of output channels that nobody says: the first one is taken.
    pub fn axes_guessed(&self) -> usize {
        self.axes_guessed
    }

    /// The digest of these weights, by which plans and stored folders know them.
    ///
    /// # Errors
    /// [`RunnerError::Failed`] if they cannot be read.
    pub fn sha256(&self) -> Result<WordDigest, RunnerError> {
        let mut digester = WeightsDigester::default();
        for (index, tensor) in self.tensors.iter().enumerate() {
            digester.add(&tensor.name, &tensor.shape, &self.values(index)?);
        }
        Ok(digester.finish())
    }
}

/// A tensor as a weight; `None` if it is none, or not kept as floats.
fn float_weight(tensor: &TensorInfo, described: &TensorDescription) -> Option<WeightTensor> {
    let TensorKind::Weights(role) = &described.kind else { return None };
    let role = match role {
        WeightRole::Linear => Role::Linear,
        WeightRole::Convolution => Role::Convolution,
        WeightRole::TransposedConvolution => Role::TransposedConvolution,
        WeightRole::Embedding => Role::Embedding,
        _ => Role::OtherWeight,
    };
    let dtype = float_type(Float::of(tensor.dtype)?)?;
    let weight = WeightTensor::new(tensor.name.as_str(), tensor.shape.clone(), role);
    Some(weight.with_dtype(dtype).with_output_axis(described.axis.or_first()))
}

fn float_type(float: Float) -> Option<FloatType> {
    match float {
        Float::F64 => Some(FloatType::F64),
        Float::F32 => Some(FloatType::F32),
        Float::F16 => Some(FloatType::F16),
        Float::Bf16 => Some(FloatType::Bf16),
        _ => None,
    }
}

/// The tensor of a name, if it is as it was.
fn check<'a>(
    model: &'a Checkpoint,
    name: &str,
    was: &WeightTensor,
) -> Result<&'a TensorInfo, CheckpointWeightsError> {
    let tensor = model.tensor(name)?;
    let dtype = Float::of(tensor.dtype).and_then(float_type);
    if dtype == Some(was.dtype) && tensor.shape == was.shape {
        return Ok(tensor);
    }
    Err(CheckpointWeightsError::Other {
        name: name.to_owned(),
        found: tensor.dtype,
        found_shape: tensor.shape.clone(),
        dtype: was.dtype,
        shape: was.shape.clone(),
    })
}

impl Runner for CheckpointWeights {
    fn tensors(&self) -> &[WeightTensor] {
        &self.tensors
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, RunnerError> {
        let missing = || RunnerError::failed(format!("the model has no tensor number {index}"));
        let name = &self.tensors.get(index).ok_or_else(missing)?.name;
        let failed = |error: FileError| RunnerError::failed(error);
        let tensor = self.model.tensor(name).map_err(RunnerError::failed)?;
        let float = Float::of(tensor.dtype).ok_or_else(missing)?;
        Ok(float.decode(&self.model.bytes_of(tensor).map_err(failed)?))
    }

    fn outputs(&self, _: Values) -> Result<Vec<Output>, RunnerError> {
        Err(RunnerError::failed("a file of weights has no graph that could be run"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use qtaml_files::{TensorLayout, header};

    use super::*;

    pub(super) fn write(path: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
        let layout = tensors.iter().map(|(name, dtype, shape, bytes)| TensorLayout {
            name,
            dtype: *dtype,
            shape,
            bytes: bytes.len() as u64,
        });
        let mut file = header(&[].into(), layout).unwrap();
        for (.., bytes) in tensors {
            file.extend(bytes);
        }
        fs::write(path, file).unwrap();
    }

    pub(super) fn bytes(float: Float, values: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0; values.len() * float.bytes()];
        float.encode(values, &mut bytes);
        bytes
    }

    const SHAPE: &[usize] = &[2, 3];
    pub(super) const VALUES: [f32; 6] = [0.5, -1.0, 2.0, 0.25, -3.5, 0.0];

    /// Weights of all types, a tied one, codes, a bias and a count.
    pub(super) fn model(folder: &Path) -> PathBuf {
        let path = folder.join("model.safetensors");
        let of = |float, factor: f32| bytes(float, &VALUES.map(|value| factor * value));
        write(
            &path,
            &[
                ("z.weight", Dtype::F32, SHAPE, of(Float::F32, 1.0)),
                ("a.weight", Dtype::F32, SHAPE, of(Float::F32, 1.0)),
                ("h.weight", Dtype::F16, SHAPE, of(Float::F16, 2.0)),
                ("b.weight", Dtype::BF16, SHAPE, of(Float::Bf16, 4.0)),
                ("d.weight", Dtype::F64, SHAPE, of(Float::F64, 8.0)),
                ("h.bias", Dtype::F32, &[2], bytes(Float::F32, &[1.0, 2.0])),
                ("count", Dtype::I64, &[], vec![7; 8]),
            ],
        );
        path
    }

    pub(super) fn open(path: &Path) -> Checkpoint {
        Checkpoint::open(path).unwrap()
    }

    #[test]
    fn floats_are_weights_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = model(folder.path());
        let weights = CheckpointWeights::of(open(&path), None, |_| true).unwrap();
        let names: Vec<_> = weights.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["a.weight", "b.weight", "d.weight", "h.weight"]);
        assert_eq!(weights.numbers(), [0, 1, 3, 5]);
        assert_eq!(weights.tensors()[0].aliases, ["z.weight"]);
        let types: Vec<_> = weights.tensors().iter().map(|tensor| tensor.dtype).collect();
        let expected = [FloatType::F32, FloatType::Bf16, FloatType::F64, FloatType::F16];
        assert_eq!(types, expected);
        for (index, factor) in [(0, 1.0), (1, 4.0), (2, 8.0), (3, 2.0)] {
            assert_eq!(weights.values(index).unwrap(), VALUES.map(|value| factor * value));
        }
        assert!(weights.values(4).is_err() && weights.outputs(Values::new()).is_err());
        // Each name of a tied tensor stands for it.
        let one = CheckpointWeights::of(open(&path), None, |name| name == "z.weight").unwrap();
        assert_eq!(one.tensors(), &weights.tensors()[..1]);
        let known = CheckpointWeights::known(open(&path), weights.tensors().to_vec()).unwrap();
        assert_eq!(known.sha256().unwrap(), weights.sha256().unwrap());
        assert_eq!(known.numbers(), weights.numbers());
    }

    #[test]
    fn what_is_no_such_model_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = model(folder.path());
        let of = |chosen: fn(&str) -> bool| {
            CheckpointWeights::of(open(&path), None, chosen).unwrap_err().to_string()
        };
        assert!(of(|name| name.ends_with("bias")).contains("among the 1 tensors"));
        assert!(of(|_| false).contains("among the 0 tensors"));
        let known = CheckpointWeights::of(open(&path), None, |_| true).unwrap().tensors().to_vec();
        let error = |change: &dyn Fn(&mut WeightTensor)| {
            let mut tensors = known.clone();
            change(&mut tensors[0]);
            CheckpointWeights::known(open(&path), tensors).unwrap_err().to_string()
        };
        let unknown = error(&|tensor| tensor.name = "a.wieght".into());
        assert!(unknown.contains("no tensor \"a.wieght\"") && unknown.contains("a.weight"));
        let other = error(&|tensor| tensor.shape = vec![6]);
        assert_eq!(
            other,
            "tensor \"a.weight\" is of F32 and shape [2, 3], and was of f32 and shape [6]"
        );
        assert!(error(&|tensor| tensor.dtype = FloatType::F16).contains("was of f16"));
        assert!(error(&|tensor| tensor.aliases = vec!["h.bias".into()]).contains("\"h.bias\""));
        let shape: &[usize] = &[2, 3];
        let torn = folder.path().join("torn.safetensors");
        let values = |last| [&VALUES[..5], &[last]].concat();
        write(
            &torn,
            &[
                ("a.weight", Dtype::F32, shape, bytes(Float::F32, &values(0.0))),
                ("z.weight", Dtype::F32, shape, bytes(Float::F32, &values(1.0))),
            ],
        );
        let error = CheckpointWeights::known(open(&torn), known[..1].to_vec()).unwrap_err();
        assert!(matches!(error, CheckpointWeightsError::NotTied { .. }), "{error}");
    }
}
