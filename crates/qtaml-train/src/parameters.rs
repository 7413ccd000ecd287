//! The parameters of any burn module, by name, as plain numbers on the host.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use crate::TrainError;

/// One float parameter of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its path in the module, such as `conv1.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

impl Parameter {
    /// Whether this is a weight matrix or kernel: what dominates a network's memory, and what we
    /// store as codes. Biases and norm parameters have rank one and stay as they are.
    pub fn is_weight(&self) -> bool {
        self.shape.len() >= 2
    }
}

/// The learnable parameters of a module, in the order of its fields. Running statistics of norm
/// layers are state, not parameters, and are left out.
pub fn parameters<M: Module>(module: &M) -> Vec<Parameter> {
    collect(module, |name| !is_state(name))
}

/// All that a module has learned: its parameters and the running statistics of its norm layers.
pub(crate) fn state<M: Module>(module: &M) -> Vec<Parameter> {
    // Leaving training first makes the statistics take up their last batch.
    collect(&module.valid(), |_| true)
}

fn collect<M: Module>(module: &M, wanted: fn(&str) -> bool) -> Vec<Parameter> {
    let mut collector = Collector { path: Vec::new(), wanted, found: Vec::new() };
    module.visit(&mut collector);
    collector.found
}

/// The module with new values for the parameters named in `values`; all others stay.
///
/// # Errors
/// [`TrainError::UnknownParameter`] for a name that the module does not have,
/// [`TrainError::ParameterShape`] for a wrong number of values.
pub fn replace_parameters<M: Module>(
    module: M,
    values: BTreeMap<String, Vec<f32>>,
) -> Result<M, TrainError> {
    replace(module, values, |name| !is_state(name))
}

/// As [`replace_parameters`], for all that [`state`] has. The module comes back ready for use, not
/// for training.
#[expect(clippy::needless_pass_by_value, reason = "as for parameters: the old module is gone")]
pub(crate) fn replace_state<M: Module>(
    module: M,
    values: BTreeMap<String, Vec<f32>>,
) -> Result<M, TrainError> {
    // Clones share their running statistics, and a mapper would change them for all; `valid`
    // makes a copy.
    replace(module.valid(), values, |_| true)
}

fn replace<M: Module>(
    module: M,
    values: BTreeMap<String, Vec<f32>>,
    wanted: fn(&str) -> bool,
) -> Result<M, TrainError> {
    let mut replacer =
        Replacer { path: Vec::new(), wanted, values, known: Vec::new(), misfit: None };
    let module = module.map(&mut replacer);
    if let Some(misfit) = replacer.misfit {
        return Err(misfit);
    }
    match replacer.values.into_keys().min() {
        Some(name) => Err(TrainError::UnknownParameter { name, known: replacer.known }),
        None => Ok(module),
    }
}

/// Norm layers keep what they measured among their float tensors.
pub(crate) fn is_state(name: &str) -> bool {
    name.ends_with("running_mean") || name.ends_with("running_var")
}

struct Collector {
    path: Vec<String>,
    wanted: fn(&str) -> bool,
    found: Vec<Parameter>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        if (self.wanted)(&name) {
            let tensor = param.val();
            let shape = tensor.dims().to_vec();
            self.found.push(Parameter { name, shape, values: to_host(tensor) });
        }
    }
}

struct Replacer {
    path: Vec<String>,
    wanted: fn(&str) -> bool,
    values: BTreeMap<String, Vec<f32>>,
    known: Vec<String>,
    misfit: Option<TrainError>,
}

impl ModuleMapper for Replacer {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        if !(self.wanted)(&name) {
            return param;
        }
        let replacement = self.values.remove(&name);
        self.known.push(name.clone());
        let Some(values) = replacement else { return param };
        let shape = param.dims();
        if shape.iter().product::<usize>() != values.len() {
            let shape = shape.to_vec();
            self.misfit = Some(TrainError::ParameterShape { name, shape, values: values.len() });
            return param;
        }
        param.map(|old| Tensor::from_data(TensorData::new(values, shape), &old.device()))
    }
}

/// The values of a tensor as `f32`, whatever float type its device computes in.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    data.as_slice::<f32>().map_or_else(|_| data.iter::<f32>().collect(), <[f32]>::to_vec)
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
        assert_eq!(found[0], Parameter { name: "weight".into(), shape: vec![3, 2], values });
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
