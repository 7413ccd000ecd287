//! Sensitivity of the outputs to errors in each group of weights, without labels.
//!
//! Four methods behind one face ([`sensitivities`]). [`gradient_norms`] differentiates: exact to first order, one
//! backward pass a projection for all groups at once. [`forward_norms`] has the same expectation and
//! needs forward passes alone: it moves one group at a time by a little. [`noise_norms`] moves it by a
//! tenth, which first-order norms cannot foresee, in any memory. [`measured_norms`] reads one group at a time with faults as large as they really are.
//! [`noise_response`] is what it is made of: the response of the outputs to any faults.

mod hutchinson;
mod method;
mod noise;
mod perturbation;
mod response;

pub use hutchinson::gradient_norms;
pub use method::{MeasuredWith, Sensitivities, Sensitivity, sensitivities};
pub use noise::noise_norms;
pub use perturbation::forward_norms;
pub use response::{NoiseResponse, measured_norms, noise_response};

use serde::{Deserialize, Serialize};

use crate::{
    BudgetError, DeployError, EvaluationError, Output, Runner, SensitivityError, Values,
    WeightGroup, WeightTensor,
};

/// How much the outputs of a model change with one group of weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupSensitivity {
    /// The group, such as `conv1.weight` or `conv1.weight[3]`.
    pub name: String,
    /// `||J||_F²`: squared change of all outputs of a sample per squared change of the group's weights, in
    /// units of the weights, averaged over samples.
    pub squared: f64,
    /// The standard error of that estimate over its draws.
    pub standard_error: f64,
}

impl GroupSensitivity {
    /// A sensitivity that is known exactly, or was measured elsewhere.
    pub fn known(name: impl Into<String>, squared: f64) -> Self {
        Self { name: name.into(), squared, standard_error: 0.0 }
    }

    /// The mean of independent draws, with its standard error.
    fn of_draws(name: String, draws: &[f64]) -> Self {
        let (squared, standard_error) = mean(draws);
        Self { name, squared, standard_error }
    }
}

/// The mean of independent draws, and its standard error.
fn mean(draws: &[f64]) -> (f64, f64) {
    let n = draws.len() as f64;
    let mean = draws.iter().sum::<f64>() / n;
    let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Random signs.
fn signs(count: usize, rng: &mut impl rand::Rng) -> Vec<f32> {
    use rand::RngExt as _;
    (0..count).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect()
}

fn at_least_two(what: &'static str, given: u32) -> Result<(), DeployError> {
    if given < 2 {
        return Err(BudgetError::TooFew { what, given: given.into(), least: 2 }.into());
    }
    Ok(())
}

/// Refuses groups that are not of the runner's tensors.
fn check_groups(runner: &dyn Runner, groups: &[WeightGroup]) -> Result<(), DeployError> {
    let tensors = runner.tensors();
    for WeightGroup { name, tensor, range, .. } in groups {
        let problem = match tensors.get(*tensor) {
            None => format!("the model has {} tensors", tensors.len()),
            Some(of) if range.start > range.end || range.end > of.len() => {
                format!("tensor {:?} has {} weights", of.name, of.len())
            }
            Some(_) => continue,
        };
        let (name, start, end) = (name.clone(), range.start, range.end);
        let error = SensitivityError::ForeignGroup { name, tensor: *tensor, start, end, problem };
        return Err(error.into());
    }
    Ok(())
}

/// The values of a tensor, under its name or another one of the same cells.
fn values_of<'a>(tensor: &WeightTensor, values: &'a Values) -> Option<&'a Vec<f32>> {
    let mut names = std::iter::once(&tensor.name).chain(&tensor.aliases);
    names.find_map(|name| values.get(name))
}

/// The number of samples of a model's outputs.
fn samples(outputs: &[Output]) -> Result<usize, DeployError> {
    let first = outputs.first().ok_or(EvaluationError::NoOutputs)?;
    if first.samples() == 0 {
        let (output, shape) = (first.name.clone(), first.shape.clone());
        return Err(EvaluationError::EmptyOutput { output, shape }.into());
    }
    Ok(first.samples())
}

/// Sensitivities of groups that are parts of tensors, from those of the whole tensors, as if every weight
/// of a tensor mattered alike: a part has its share by number of weights. `tensors` are named as the
/// tensors are.
///
/// # Errors
/// [`SensitivityError::ForeignGroup`] for a group that is not of the runner's tensors, or whose tensor has
/// no sensitivity.
pub fn shared_norms(
    runner: &dyn Runner,
    tensors: &[GroupSensitivity],
    groups: &[WeightGroup],
) -> Result<Vec<GroupSensitivity>, DeployError> {
    check_groups(runner, groups)?;
    let share = |group: &WeightGroup| {
        let tensor = &runner.tensors()[group.tensor];
        let whole = tensors.iter().find(|whole| whole.name == tensor.name).ok_or_else(|| {
            let WeightGroup { name, tensor, range, .. } = group.clone();
            let problem = "its tensor has no sensitivity".to_owned();
            let (start, end) = (range.start, range.end);
            SensitivityError::ForeignGroup { name, tensor, start, end, problem }
        })?;
        let share = group.len() as f64 / tensor.len() as f64;
        let (squared, standard_error) = (whole.squared * share, whole.standard_error * share);
        Ok(GroupSensitivity { name: group.name.clone(), squared, standard_error })
    };
    groups.iter().map(share).collect()
}

#[cfg(test)]
mod testing {
    use crate::testing::Perceptron;
    use crate::{Granularity, Runner, WeightGroup, groups_of};

    /// The groups of both weight matrices.
    pub(super) fn groups(model: &Perceptron, granularity: Granularity) -> Vec<WeightGroup> {
        let weights = model.tensors().iter().enumerate().filter(|(_, t)| t.role.is_weight());
        weights.flat_map(|(index, tensor)| groups_of(index, tensor, granularity)).collect()
    }

    /// `||J||_F²` of each group over the samples, by central differences of the model in double
    /// precision, weight by weight.
    pub(super) fn exact(model: &Perceptron, groups: &[WeightGroup]) -> Vec<f64> {
        const STEP: f64 = 1e-5;
        let of = |group: &WeightGroup| {
            let values = model.values(group.tensor).unwrap();
            let order = model.tensors()[group.tensor].channel_major();
            let squares = order.positions(group.range.clone()).map(|position| {
                let moved = |by: f64| {
                    let mut moved: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
                    moved[position] += by;
                    model.exact(&[(group.tensor, moved)])
                };
                let pairs = moved(STEP).into_iter().zip(moved(-STEP));
                pairs.map(|(up, down)| ((up - down) / (2.0 * STEP)).powi(2)).sum::<f64>()
            });
            squares.sum::<f64>() / model.samples() as f64
        };
        groups.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Perceptron;

    #[test]
    fn the_mean_has_its_standard_error() {
        let found = GroupSensitivity::of_draws("w".into(), &[1.0, 2.0, 6.0]);
        // Variance (4 + 1 + 9) / 2 = 7.
        assert_eq!(found.squared, 3.0);
        assert!((found.standard_error - (7.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_tied_tensor_is_found_under_any_of_its_names() {
        let tied = WeightTensor::new("embed", [1], crate::Role::Embedding).with_alias("head");
        let values = |name: &str| Values::from([(name.to_owned(), vec![1.0])]);
        assert_eq!(values_of(&tied, &values("head")), Some(&vec![1.0]));
        assert_eq!(values_of(&tied, &values("embed")), Some(&vec![1.0]));
        assert_eq!(values_of(&tied, &values("tail")), None);
    }

    #[test]
    fn groups_of_another_model_are_refused() {
        let model = Perceptron::new(1, 4, 3);
        let mut groups = testing::groups(&model, crate::Granularity::Tensor);
        assert!(check_groups(&model, &groups).is_ok());
        groups[0].range.end += 1;
        assert_eq!(
            check_groups(&model, &groups).unwrap_err().to_string(),
            "group \"fc1.weight\" is of tensor number 0, weights 0 to 13: tensor \"fc1.weight\" has \
             12 weights"
        );
        groups[0].tensor = 6;
        let error = check_groups(&model, &groups).unwrap_err().to_string();
        assert!(error.ends_with("the model has 6 tensors"), "{error}");
    }
}
