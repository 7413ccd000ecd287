//! The trait `Runner`: outputs of a model with some of its weights replaced.

use std::collections::BTreeMap;
use std::error::Error;

use crate::base_run::FullPasses;
use crate::{BaseRun, WeightTensor};

/// Values of some tensors by name, each row-major, as `f32` whatever type the model keeps.
pub type Values = BTreeMap<String, Vec<f32>>;

/// A model with a fixed set of inputs: a list of named tensors, and a function from their values to
/// outputs.
///
/// Whoever implements it gets storing, sensitivities, budgets and evaluation. The model itself never
/// changes: each call says which tensors have other values in it. Calls may run side by side.
///
/// Calibration and test inputs are two runners of one model: what is stored depends on its
/// tensors alone.
///
/// ```
/// use qtaml_deploy::{Output, Role, Runner, RunnerError, Values, WeightTensor, check_values};
///
/// /// `y = w x` for fixed inputs.
/// struct Line {
///     tensors: Vec<WeightTensor>,
///     slope: f32,
///     inputs: Vec<f32>,
/// }
///
/// impl Runner for Line {
///     fn tensors(&self) -> &[WeightTensor] {
///         &self.tensors
///     }
///
///     fn values(&self, _: usize) -> Result<Vec<f32>, RunnerError> {
///         Ok(vec![self.slope])
///     }
///
///     fn outputs(&self, replaced: Values) -> Result<Vec<Output>, RunnerError> {
///         check_values(&self.tensors, &replaced)?;
///         let slope = replaced.get("slope").map_or(self.slope, |values| values[0]);
///         let y = self.inputs.iter().map(|x| slope * x).collect();
///         Ok(vec![Output::new("y", [self.inputs.len(), 1], y)?])
///     }
/// }
///
/// let tensors = vec![WeightTensor::new("slope", [1, 1], Role::Linear).with_output_axis(0)];
/// let line = Line { tensors, slope: 2.0, inputs: vec![1.0, 3.0] };
/// let steeper = line.outputs([("slope".to_owned(), vec![3.0])].into())?;
/// assert_eq!(steeper[0].values, [3.0, 9.0]);
/// let unknown = line.outputs([("slop".to_owned(), vec![3.0])].into()).unwrap_err();
/// assert_eq!(unknown.to_string(), "the model has no tensor \"slop\": nearest is slope");
/// # Ok::<(), RunnerError>(())
/// ```
pub trait Runner: Send + Sync {
    /// The float tensors of the model, tied ones once, in an order of the model's own.
    fn tensors(&self) -> &[WeightTensor];

    /// The values of tensor number `index`, row-major.
    ///
    /// # Errors
    /// [`RunnerError::Failed`] if the framework does not hand them out.
    fn values(&self, index: usize) -> Result<Vec<f32>, RunnerError>;

    /// The outputs on the runner's inputs, where the tensors named in `replaced` have these values and
    /// all others their own. A tied tensor is replaced wherever it is used. Dropout is off, and
    /// normalization layers use their statistics and measure nothing.
    ///
    /// # Errors
    /// As [`check_values`], and [`RunnerError::Failed`] if the model cannot be run.
    fn outputs(&self, replaced: Values) -> Result<Vec<Output>, RunnerError>;

    /// For values `v` of the same shapes as the outputs: the gradient of `Σ v · outputs` by each weight
    /// tensor, with no tensor replaced. `None` if this runner does not differentiate. A tensor that
    /// the outputs do not depend on may be missing.
    ///
    /// # Errors
    /// [`RunnerError::Failed`] if the model cannot be run, or `directions` do not fit its outputs.
    fn gradients(&self, directions: &[Output]) -> Result<Option<Values>, RunnerError> {
        let _ = directions;
        Ok(None)
    }

    /// The statistics of all normalization layers as they are over the inputs where the tensors named
    /// in `replaced` have these values: values of tensors of
    /// [`Role::Statistics`](crate::Role::Statistics). `None` if the runner cannot measure them. A
    /// model without such layers has none, and returns no values.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    fn statistics(&self, replaced: Values) -> Result<Option<Values>, RunnerError> {
        let _ = replaced;
        Ok(None)
    }

    /// Runs around a base, in which one tensor at a time has other values than in `base`. Without a
    /// method of its own a runner runs the whole model each time.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    fn around(&self, base: &Values) -> Result<Box<dyn BaseRun + '_>, RunnerError> {
        check_values(self.tensors(), base)?;
        Ok(Box::new(FullPasses::new(self)))
    }

    /// What each weight of tensor number `index` is multiplied with: the mean square over all inputs and
    /// positions, with no tensor replaced, one number for each weight, row-major. A weight that is used
    /// in several places has the sum over them. `None` if this runner does not look at activations, or
    /// cannot tell for this tensor.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    fn input_power(&self, index: usize) -> Result<Option<Vec<f32>>, RunnerError> {
        let _ = index;
        Ok(None)
    }
}

/// One output of a model over all inputs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its shape: samples first, what is compared (classes, coordinates) last.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

impl Output {
    /// An output of this shape.
    ///
    /// # Errors
    /// [`RunnerError::OutputShape`] unless the shape has an axis at least and as many elements as there
    /// are values.
    pub fn new(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        values: Vec<f32>,
    ) -> Result<Self, RunnerError> {
        let (name, shape) = (name.into(), shape.into());
        if shape.is_empty() || shape.iter().product::<usize>() != values.len() {
            return Err(RunnerError::OutputShape { name, shape, values: values.len() });
        }
        Ok(Self { name, shape, values })
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// The length of the last axis.
    pub fn classes(&self) -> usize {
        self.shape.last().copied().unwrap_or(0)
    }

    /// The values along the last axis: one row for each sample, or for each token of each sample.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.classes().max(1))
    }
}

/// Refuses values that do not fit the tensors of a model.
///
/// # Errors
/// [`RunnerError::UnknownTensor`] for a name that no tensor has, nor has as an alias,
/// [`RunnerError::Length`] for a wrong number of values, [`RunnerError::Twice`] for a tied tensor under
/// two of its names.
pub fn check_values(tensors: &[WeightTensor], replaced: &Values) -> Result<(), RunnerError> {
    let known: BTreeMap<&str, &WeightTensor> = tensors.iter().flat_map(named).collect();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, values) in replaced {
        let Some(tensor) = known.get(name.as_str()) else {
            return Err(RunnerError::unknown(name, tensors));
        };
        if tensor.len() != values.len() {
            let (name, shape) = (name.clone(), tensor.shape.clone());
            return Err(RunnerError::Length { name, shape, values: values.len() });
        }
        if let Some(first) = seen.insert(&tensor.name, name) {
            let (first, second) = (first.to_owned(), name.clone());
            return Err(RunnerError::Twice { name: tensor.name.clone(), first, second });
        }
    }
    Ok(())
}

/// A tensor under each of its names.
fn named(tensor: &WeightTensor) -> impl Iterator<Item = (&str, &WeightTensor)> {
    let names = std::iter::once(&tensor.name).chain(&tensor.aliases);
    names.map(move |name| (name.as_str(), tensor))
}

/// Why a model could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// A tensor that the model does not have.
    #[error("the model has no tensor {name:?}: nearest {} {}", if nearest.len() == 1 { "is" } else { "are" }, nearest.join(", "))]
    UnknownTensor {
        /// The name that was given.
        name: String,
        /// Names that exist, the nearest first; at most ten.
        nearest: Vec<String>,
    },
    /// Values that do not fit their tensor.
    #[error("{values} values for tensor {name:?} of shape {shape:?}")]
    Length {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The number of values that were given.
        values: usize,
    },
    /// A tied tensor with values under two of its names.
    #[error("tensor {name:?} is replaced twice, as {first:?} and as {second:?}")]
    Twice {
        /// The tensor.
        name: String,
        /// One of its names.
        first: String,
        /// Another.
        second: String,
    },
    /// Values that do not fill their shape.
    #[error("output {name:?} has {values} values, its shape is {shape:?}")]
    OutputShape {
        /// The output.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The number of its values.
        values: usize,
    },
    /// What the framework says.
    #[error("the model cannot be run")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// Names that an error lists at most.
const NEAREST: usize = 10;

impl RunnerError {
    /// The error of a framework.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }

    /// The error of a name that no tensor has.
    pub fn unknown(name: &str, tensors: &[WeightTensor]) -> Self {
        let mut known: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        known.sort_by_cached_key(|known| (strsim::levenshtein(name, known), (*known).to_owned()));
        let nearest = known.into_iter().take(NEAREST).map(str::to_owned).collect();
        Self::UnknownTensor { name: name.to_owned(), nearest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    #[test]
    fn at_most_ten_names_are_listed_nearest_first() {
        let tensors: Vec<WeightTensor> = (0..1000)
            .map(|i| WeightTensor::new(format!("layer{i}.weight"), [1, 1], Role::Linear))
            .collect();
        let error = RunnerError::unknown("layer7.wieght", &tensors);
        let RunnerError::UnknownTensor { nearest, .. } = error else { panic!("{error}") };
        assert_eq!((nearest.len(), nearest[0].as_str()), (10, "layer7.weight"));
    }

    #[test]
    fn values_must_fit_their_tensor_by_name_or_alias() {
        let tied = WeightTensor::new("embed", [3, 2], Role::Embedding).with_alias("head");
        let check = |name: &str, values| {
            check_values(
                std::slice::from_ref(&tied),
                &[(name.to_owned(), vec![0.0; values])].into(),
            )
        };
        assert!(check("embed", 6).is_ok() && check("head", 6).is_ok());
        let error = check("head", 5).unwrap_err().to_string();
        assert_eq!(error, "5 values for tensor \"head\" of shape [3, 2]");
        assert!(matches!(check("tail", 6), Err(RunnerError::UnknownTensor { .. })));
        let twice = ["embed", "head"].map(|name| (name.to_owned(), vec![0.0; 6]));
        let error = check_values(std::slice::from_ref(&tied), &twice.into()).unwrap_err();
        let expected = "tensor \"embed\" is replaced twice, as \"embed\" and as \"head\"";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn outputs_have_the_values_of_their_shape() {
        let tokens = Output::new("logits", [2, 3, 4], vec![0.0; 24]).unwrap();
        assert_eq!((tokens.samples(), tokens.classes(), tokens.rows().len()), (2, 4, 6));
        assert!(Output::new("logits", [2, 3], vec![0.0; 5]).is_err());
        assert!(Output::new("logits", [], vec![0.0]).is_err());
    }
}
