//! The parameters of any burn module, by name, as plain numbers on the host.

use std::collections::BTreeMap;

use burn::module::Module;
use qtaml_deploy::{Role, RunnerError, WeightTensor};

use crate::TrainError;
pub(crate) use crate::weights::to_host;
use crate::weights::{Found, ModuleWeights, WeightsError, list};

/// One float parameter of a network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Parameter {
    /// Its path in the module, such as `conv1.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is in the network.
    pub role: Role,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

impl Parameter {
    /// Whether this is a weight matrix, kernel or table: what dominates a network's memory, and what we
    /// store as codes. Biases and norm parameters stay as they are.
    pub fn is_weight(&self) -> bool {
        self.role.is_weight()
    }
}

/// The learnable parameters of a module, in the order of its fields, those that fields share once.
/// Running statistics of norm layers are state, not parameters, and are left out.
pub fn parameters<M: Module>(module: &M) -> Vec<Parameter> {
    state_of(module).filter(|p| p.role != Role::Statistics).collect()
}

/// All that a module has learned: its parameters and the running statistics of its norm layers.
pub(crate) fn state<M: Module>(module: &M) -> Vec<Parameter> {
    // Leaving training first makes the statistics take up their last batch.
    state_of(&module.valid()).collect()
}

fn state_of<M: Module>(module: &M) -> impl Iterator<Item = Parameter> {
    list(module, true).found.into_iter().map(|Found { tensor, values, .. }| {
        let WeightTensor { name, shape, role, .. } = tensor;
        Parameter { name, shape, role, values }
    })
}

/// The module with new values for the parameters named in `values`; all others stay.
///
/// # Errors
/// [`TrainError::UnknownParameter`] for a name that the module does not have,
/// [`TrainError::ParameterShape`] for a wrong number of values, and as [`ModuleWeights::of`].
#[expect(clippy::needless_pass_by_value, reason = "the old module is gone")]
pub fn replace_parameters<M: Module>(
    module: M,
    values: BTreeMap<String, Vec<f32>>,
) -> Result<M, TrainError> {
    replace(&module, values, |role| role != Role::Statistics)
}

/// As [`replace_parameters`], for all that [`state`] has. The module comes back ready for use, not
/// for training.
#[expect(clippy::needless_pass_by_value, reason = "as for parameters: the old module is gone")]
pub(crate) fn replace_state<M: Module>(
    module: M,
    values: BTreeMap<String, Vec<f32>>,
) -> Result<M, TrainError> {
    replace(&module.valid(), values, |_| true)
}

fn replace<M: Module>(
    module: &M,
    values: BTreeMap<String, Vec<f32>>,
    wanted: fn(Role) -> bool,
) -> Result<M, TrainError> {
    let weights = ModuleWeights::of(module)?;
    let known = || weights.tensors().iter().filter(|tensor| wanted(tensor.role));
    let unknown = |name: &String| {
        weights.position(name).is_none_or(|index| !wanted(weights.tensors()[index].role))
    };
    if let Some(name) = values.keys().find(|name| unknown(name)) {
        let known = known().map(|tensor| tensor.name.clone()).collect();
        return Err(TrainError::UnknownParameter { name: name.clone(), known });
    }
    weights.replace(module, values).map_err(|error| match error {
        WeightsError::Values(RunnerError::Length { name, shape, values }) => {
            TrainError::ParameterShape { name, shape, values }
        }
        error => error.into(),
    })
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::{BatchNormConfig, Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;

    fn linear() -> Linear {
        LinearConfig::new(3, 2).init(&Device::flex())
    }

    #[test]
    fn what_is_replaced_is_found_again() {
        let values: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let new = BTreeMap::from([("weight".to_owned(), values.clone())]);
        let replaced = replace_parameters(linear(), new).unwrap();
        let found = parameters(&replaced);
        let (name, role) = ("weight".into(), Role::Linear);
        assert_eq!(found[0], Parameter { name, shape: vec![3, 2], role, values });
        assert_eq!(found[1].name, "bias");
    }

    #[test]
    fn unknown_names_and_wrong_sizes_are_errors() {
        let unknown = BTreeMap::from([("wieght".to_owned(), vec![0.0; 6])]);
        let error = replace_parameters(linear(), unknown).unwrap_err().to_string();
        assert_eq!(error, "unknown parameter \"wieght\": the network has weight, bias");
        let short = BTreeMap::from([("weight".to_owned(), vec![0.0; 5])]);
        let error = replace_parameters(linear(), short).unwrap_err().to_string();
        assert_eq!(error, "5 values for parameter \"weight\" of shape [3, 2]");
    }

    #[test]
    fn running_statistics_are_not_parameters() {
        let norm = BatchNormConfig::new(4).init(&Device::flex());
        let names: Vec<String> = parameters(&norm).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["gamma", "beta"]);
    }

    #[test]
    fn state_has_the_running_statistics_and_a_clone_keeps_its_own() {
        let norm = BatchNormConfig::new(2).init(&Device::flex());
        let names: Vec<String> = state(&norm).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["gamma", "beta", "running_mean", "running_var"]);
        let new = BTreeMap::from([("running_mean".to_owned(), vec![3.0, 4.0])]);
        let replaced = replace_state(norm.clone(), new).unwrap();
        assert_eq!(state(&replaced)[2].values, [3.0, 4.0]);
        assert_eq!(state(&norm)[2].values, [0.0, 0.0]);
    }
}
