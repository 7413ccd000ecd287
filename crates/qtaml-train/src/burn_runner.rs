//! The runner of burn: any module on fixed inputs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, DType, Device, Int, Tensor};
use qtaml_deploy::{Output, Role, Runner, RunnerError, Values, WeightTensor};

use crate::norm_statistics::{batch_statistics, differentiable, momenta_of};
use crate::weights::{from_host, to_host};
use crate::{Classifier, Images, ModuleWeights, TensorRule, TrainError, WeightsError};

/// What a module can be run on. A type of one's own holds tensors, and says how they come to a device
/// that differentiates.
///
/// It is there for tensors of floats, integers and booleans, and for pairs, triples and vectors of
/// inputs.
pub trait ModelInput: Clone + Send + Sync {
    /// The same, with its float tensors [on a device that differentiates](Tensor::autodiff).
    #[must_use]
    fn autodiff(&self) -> Self;
}

impl<const D: usize> ModelInput for Tensor<D> {
    fn autodiff(&self) -> Self {
        self.clone().autodiff()
    }
}

impl<const D: usize> ModelInput for Tensor<D, Int> {
    fn autodiff(&self) -> Self {
        self.clone().autodiff()
    }
}

impl<const D: usize> ModelInput for Tensor<D, Bool> {
    fn autodiff(&self) -> Self {
        self.clone().autodiff()
    }
}

impl<A: ModelInput, B: ModelInput> ModelInput for (A, B) {
    fn autodiff(&self) -> Self {
        (self.0.autodiff(), self.1.autodiff())
    }
}

impl<A: ModelInput, B: ModelInput, C: ModelInput> ModelInput for (A, B, C) {
    fn autodiff(&self) -> Self {
        (self.0.autodiff(), self.1.autodiff(), self.2.autodiff())
    }
}

impl<T: ModelInput> ModelInput for Vec<T> {
    fn autodiff(&self) -> Self {
        self.iter().map(ModelInput::autodiff).collect()
    }
}

/// What a module returns: named tensors of any rank, samples along the first axis.
///
/// One tensor is an output called `output`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use qtaml_train::ModelOutputs;
///
/// # #[cfg(feature = "flex")] {
/// let (position, class) =
///     (Tensor::<2>::zeros([5, 3], &Device::flex()), Tensor::<3>::zeros([5, 4, 2], &Device::flex()));
/// let outputs = ModelOutputs::new().with("position", position).with("class", class);
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct ModelOutputs(Vec<Flat>);

/// A tensor of any rank.
#[derive(Debug, Clone)]
struct Flat {
    name: String,
    shape: Vec<usize>,
    values: Tensor<1>,
}

impl ModelOutputs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    #[must_use]
    pub fn with<const D: usize>(mut self, name: impl Into<String>, tensor: Tensor<D>) -> Self {
        let shape = tensor.dims().to_vec();
        let count = shape.iter().product::<usize>();
        self.0.push(Flat { name: name.into(), shape, values: tensor.reshape([count]) });
        self
    }

    fn samples(&self) -> usize {
        self.0.first().and_then(|output| output.shape.first()).copied().unwrap_or(0)
    }
}

impl<const D: usize> From<Tensor<D>> for ModelOutputs {
    fn from(tensor: Tensor<D>) -> Self {
        Self::new().with("output", tensor)
    }
}

/// What a forward pass returned, or was to be compared with, that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutputsError {
    /// Batches with other outputs than the first.
    #[error(
        "batch {batch} has the outputs {found:?}, the first batch {expected:?}: all but the first axis must be alike"
    )]
    Batch {
        /// The batch, from 0.
        batch: usize,
        /// Names and shapes of its outputs.
        found: Vec<(String, Vec<usize>)>,
        /// Those of the first batch.
        expected: Vec<(String, Vec<usize>)>,
    },
    /// Directions of other names or sizes than the outputs.
    #[error("directions {found:?} do not fit the outputs {expected:?}")]
    Directions {
        /// Names and shapes of the directions.
        found: Vec<(String, Vec<usize>)>,
        /// Names and shapes of the outputs.
        expected: Vec<(String, Vec<usize>)>,
    },
}

type Forward<M, I> = dyn Fn(&M, &I) -> ModelOutputs + Send + Sync;

/// A burn module on fixed batches of inputs: the [`Runner`] of this crate.
///
/// The module runs as deployed: reparameterizations are materialized, dropout is off and norm layers
/// use what they measured. Outputs of several batches follow each other along the first axis. Runners
/// of one module on other inputs share it.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use qtaml_deploy::Runner;
/// use qtaml_train::BurnRunner;
///
/// # #[cfg(feature = "flex")] {
/// let device = Device::flex();
/// let linear = LinearConfig::new(3, 2).with_bias(false).init(&device);
/// let inputs = vec![Tensor::<2>::ones([4, 3], &device)];
/// let runner = BurnRunner::new(&linear, inputs, |linear, x| linear.forward(x.clone()).into())?;
/// let zeros = runner.outputs([("weight".to_owned(), vec![0.0; 6])].into())?;
/// assert_eq!((zeros[0].shape.clone(), zeros[0].values.clone()), (vec![4, 2], vec![0.0; 8]));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BurnRunner<M, I> {
    model: Arc<M>,
    weights: Arc<ModuleWeights>,
    inputs: Vec<I>,
    forward: Arc<Forward<M, I>>,
    /// Of its batch norms, told by the inputs when statistics are first measured.
    momenta: Arc<OnceLock<BTreeMap<String, f64>>>,
}

impl<M, I: Clone> Clone for BurnRunner<M, I> {
    fn clone(&self) -> Self {
        Self {
            model: self.model.clone(),
            weights: self.weights.clone(),
            inputs: self.inputs.clone(),
            forward: self.forward.clone(),
            momenta: self.momenta.clone(),
        }
    }
}

impl<M, I> fmt::Debug for BurnRunner<M, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BurnRunner")
            .field("weights", &self.weights)
            .field("batches", &self.inputs.len())
            .finish_non_exhaustive()
    }
}

impl<M: Module + Sync, I: ModelInput> BurnRunner<M, I> {
    /// The module on batches of inputs. `forward` gives its outputs for one batch.
    ///
    /// # Errors
    /// [`TrainError::Data`] without inputs, [`TrainError::Weights`] as [`ModuleWeights::of`].
    pub fn new(
        model: &M,
        inputs: Vec<I>,
        forward: impl Fn(&M, &I) -> ModelOutputs + Send + Sync + 'static,
    ) -> Result<Self, TrainError> {
        Self::with_rules(model, inputs, &[], forward)
    }

    /// The same where rules say what tensors of own layers are.
    ///
    /// # Errors
    /// As [`new`](Self::new), and as [`ModuleWeights::with_rules`].
    pub fn with_rules(
        model: &M,
        inputs: Vec<I>,
        rules: &[TensorRule],
        forward: impl Fn(&M, &I) -> ModelOutputs + Send + Sync + 'static,
    ) -> Result<Self, TrainError> {
        let model = model.valid().materialize();
        let weights = Arc::new(ModuleWeights::with_rules(&model, rules)?);
        let forward = Arc::new(forward);
        checked(Self { model: Arc::new(model), weights, inputs, forward, momenta: Arc::default() })
    }

    /// The same module on other inputs.
    ///
    /// # Errors
    /// [`TrainError::Data`] without inputs.
    pub fn with_inputs(&self, inputs: Vec<I>) -> Result<Self, TrainError> {
        checked(Self { inputs, ..self.clone() })
    }

    /// The module.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Its tensors.
    pub fn weights(&self) -> &ModuleWeights {
        &self.weights
    }

    /// The module with other values for the named tensors, as [`Runner::outputs`] runs it.
    ///
    /// # Errors
    /// As [`ModuleWeights::replace`].
    pub fn replaced(&self, values: Values) -> Result<M, WeightsError> {
        self.weights.replace(&self.model, values)
    }
}

impl<M: Classifier> BurnRunner<M, Tensor<4>> {
    /// A classifier on images, all in one batch.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn classifier(model: &M, images: &Images, device: &Device) -> Result<Self, TrainError> {
        let batches = if images.is_empty() { vec![] } else { vec![images.tensor(device)] };
        Self::new(model, batches, |model, images| {
            ModelOutputs::new().with("logits", model.logits(images.clone()))
        })
    }
}

fn checked<M, I>(runner: BurnRunner<M, I>) -> Result<BurnRunner<M, I>, TrainError> {
    if runner.inputs.is_empty() {
        let (name, problem) = ("of the runner".into(), "has no inputs".into());
        return Err(TrainError::Data { name, problem });
    }
    Ok(runner)
}

impl<M: Module + Sync, I: ModelInput> Runner for BurnRunner<M, I> {
    fn tensors(&self) -> &[WeightTensor] {
        self.weights.tensors()
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, RunnerError> {
        Ok(self.weights.values(&*self.model, index))
    }

    fn outputs(&self, replaced: Values) -> Result<Vec<Output>, RunnerError> {
        let model = self.replaced(replaced).map_err(runner_error)?;
        let batches = self.inputs.iter().map(|input| (self.forward)(&model, input));
        joined(batches)
    }

    fn gradients(&self, directions: &[Output]) -> Result<Option<Values>, RunnerError> {
        let model = differentiable(M::clone(&self.model));
        let mut next = vec![0; directions.len()];
        let mut sum = Values::new();
        for input in &self.inputs {
            let outputs = (self.forward)(&model, &input.autodiff());
            let misfit = || RunnerError::failed(misfit(directions, &outputs));
            if outputs.0.len() != directions.len() {
                return Err(misfit());
            }
            let mut product: Option<Tensor<1>> = None;
            for ((output, direction), next) in outputs.0.iter().zip(directions).zip(&mut next) {
                let trailing = |shape: &[usize]| shape.get(1..).unwrap_or_default().to_vec();
                let end = *next + output.shape.iter().product::<usize>();
                let fits = output.name == direction.name
                    && trailing(&output.shape) == trailing(&direction.shape);
                let part = direction.values.get(*next..end).filter(|_| fits).ok_or_else(misfit)?;
                let count = [part.len()];
                *next = end;
                let values = output.values.clone().cast(DType::F32);
                let part = from_host(part.to_vec(), count, &values.device(), DType::F32);
                let term = (values * part).sum();
                product = Some(match product {
                    Some(product) => product + term,
                    None => term,
                });
            }
            // Outputs that no tensor reaches have no gradient.
            let Some(product) = product.filter(Tensor::is_tracked) else { continue };
            let gradients = product.backward();
            let mut collector = Gradients { of: &gradients, ids: Vec::new(), found: Vec::new() };
            model.visit(&mut collector);
            for (tensor, gradient) in self.named(collector) {
                match sum.get_mut(&tensor) {
                    Some(sum) => sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g),
                    None => drop(sum.insert(tensor, gradient)),
                }
            }
        }
        if directions.iter().zip(next).any(|(direction, used)| direction.values.len() != used) {
            let outputs = self.outputs(Values::new())?;
            let (found, expected) = (shapes(directions), shapes(&outputs));
            return Err(RunnerError::failed(OutputsError::Directions { found, expected }));
        }
        Ok(Some(sum))
    }

    fn statistics(&self, replaced: Values) -> Result<Option<Values>, RunnerError> {
        let model = self.replaced(replaced).map_err(runner_error)?;
        let batches: Vec<I> = self.inputs.iter().map(ModelInput::autodiff).collect();
        let forward = |model: &M, input: &I| (self.forward)(model, input).samples();
        let mut momenta =
            self.momenta.get_or_init(|| momenta_of(&*self.model, &batches, forward)).clone();
        // A layer that no input reaches without faults may be reached with them.
        if momenta.len() < self.measured() {
            let reached = momenta_of(&model, &batches, forward);
            momenta = reached.into_iter().chain(momenta).collect();
        }
        Ok(Some(batch_statistics(&model, &momenta, &batches, forward)))
    }
}

impl<M, I> BurnRunner<M, I> {
    /// The number of tensors that normalization layers measure.
    fn measured(&self) -> usize {
        self.weights.tensors().iter().filter(|t| t.role == Role::Statistics).count()
    }

    /// Gradients by the names of their tensors; statistics are measured, and have none.
    fn named(&self, collector: Gradients<'_>) -> Vec<(String, Vec<f32>)> {
        let Gradients { ids, found, .. } = collector;
        let name = |(id, gradient): (_, Vec<f32>)| {
            let tensor = self.weights.of_id(id)?;
            (tensor.role != Role::Statistics).then(|| (tensor.name.clone(), gradient))
        };
        ids.into_iter().zip(found).filter_map(name).collect()
    }
}

/// Reads the gradient of each parameter once, however many fields hold it.
struct Gradients<'a> {
    of: &'a burn::tensor::Gradients,
    ids: Vec<burn::module::ParamId>,
    found: Vec<Vec<f32>>,
}

impl ModuleVisitor for Gradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() || self.ids.contains(&param.id) {
            return;
        }
        if let Some(gradient) = param.val().grad(self.of) {
            self.ids.push(param.id);
            self.found.push(to_host(gradient));
        }
    }
}

fn runner_error(error: WeightsError) -> RunnerError {
    match error {
        WeightsError::Values(error) => error,
        error => RunnerError::failed(error),
    }
}

fn shapes(outputs: &[Output]) -> Vec<(String, Vec<usize>)> {
    outputs.iter().map(|output| (output.name.clone(), output.shape.clone())).collect()
}

fn misfit(directions: &[Output], outputs: &ModelOutputs) -> OutputsError {
    let expected = outputs.0.iter().map(|o| (o.name.clone(), o.shape.clone())).collect();
    OutputsError::Directions { found: shapes(directions), expected }
}

/// The outputs of all batches, each joined along its first axis.
fn joined(batches: impl Iterator<Item = ModelOutputs>) -> Result<Vec<Output>, RunnerError> {
    let mut joined: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for (batch, ModelOutputs(outputs)) in batches.enumerate() {
        if batch == 0 {
            let host = |Flat { name, shape, values }| (name, shape, to_host(values));
            joined = outputs.into_iter().map(host).collect();
            continue;
        }
        let alike = |((name, shape, _), next): (&(String, Vec<usize>, Vec<f32>), &Flat)| {
            *name == next.name && shape.get(1..) == next.shape.get(1..) && !shape.is_empty()
        };
        if joined.len() != outputs.len() || !joined.iter().zip(&outputs).all(alike) {
            let found = outputs.into_iter().map(|o| (o.name, o.shape)).collect();
            let expected = joined.into_iter().map(|(name, shape, _)| (name, shape)).collect();
            return Err(RunnerError::failed(OutputsError::Batch { batch, found, expected }));
        }
        for ((_, shape, values), next) in joined.iter_mut().zip(outputs) {
            shape[0] += next.shape[0];
            values.extend(to_host(next.values));
        }
    }
    joined.into_iter().map(|(name, shape, values)| Output::new(name, shape, values)).collect()
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::conv::{Conv2d, Conv2dConfig};
    use burn::nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, Linear,
        LinearConfig,
    };
    use qtaml_fault::Seed;
    use rayon::prelude::*;

    use super::*;
    use crate::{
        Dataset, LeNetConfig, MobileNetConfig, ResNetConfig, TransformerConfig, VggConfig,
        initialise,
    };

    fn images(range: std::ops::Range<usize>) -> Tensor<4> {
        let all = Dataset::digits().unwrap().calibration;
        all.select(&range.collect::<Vec<_>>()).unwrap().tensor(&Device::flex())
    }

    /// Numbers that follow no pattern, from -1 to 1.
    fn wild(count: usize) -> Vec<f32> {
        (1..=count).map(|i| (i as f32 * 12.9898).sin()).collect()
    }

    fn close(a: &[f32], b: &[f32], tolerance: f32) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= tolerance * (1.0 + a.abs()), "{a} and {b}");
        }
    }

    /// Gradients against central differences of the outputs, with everything through the trait.
    fn gradients_are_differences(runner: &dyn Runner) {
        let outputs = runner.outputs(Values::new()).unwrap();
        let directions: Vec<Output> = outputs
            .iter()
            .map(|o| Output::new(o.name.clone(), o.shape.clone(), wild(o.values.len())).unwrap())
            .collect();
        let gradients = runner.gradients(&directions).unwrap().unwrap();
        for (index, tensor) in runner.tensors().iter().enumerate() {
            if tensor.role == Role::Statistics {
                assert!(!gradients.contains_key(&tensor.name));
                continue;
            }
            let values = runner.values(index).unwrap();
            let along = wild(values.len());
            let product = |h: f32| {
                let moved = values.iter().zip(&along).map(|(w, a)| w + h * a).collect();
                let outputs = runner.outputs([(tensor.name.clone(), moved)].into()).unwrap();
                let terms = outputs.iter().zip(&directions).flat_map(|(o, d)| {
                    o.values.iter().zip(&d.values).map(|(o, d)| f64::from(*o) * f64::from(*d))
                });
                terms.sum::<f64>()
            };
            let h = 4e-3;
            let difference = (product(h) - product(-h)) / (2.0 * f64::from(h));
            let terms = gradients[&tensor.name].iter().zip(&along);
            let slope: f64 = terms.map(|(g, a)| f64::from(*g) * f64::from(*a)).sum();
            assert!(slope.abs() > 1e-3, "{}: a slope of {slope} tests nothing", tensor.name);
            let error = (slope - difference).abs();
            assert!(error < 0.02 * slope.abs().max(0.1), "{}: {slope} {difference}", tensor.name);
        }
    }

    fn runs_like<M: Classifier + 'static>(model: M) {
        let model = initialise(model, Seed(5)).unwrap();
        let forward = |model: &M, x: &Tensor<4>| model.logits(x.clone()).into();
        let runner = BurnRunner::new(&model, vec![images(0..5), images(5..8)], forward).unwrap();
        let outputs = runner.outputs(Values::new()).unwrap();
        assert_eq!((outputs.len(), &outputs[0].shape[..]), (1, &[8, 10][..]));
        close(&outputs[0].values, &to_host(model.logits(images(0..8))), 1e-5);

        // Another weight is another model, and the runner keeps its own.
        let index = runner.tensors().iter().position(|tensor| tensor.role.is_weight()).unwrap();
        let name = runner.tensors()[index].name.clone();
        let halved: Vec<f32> = runner.values(index).unwrap().iter().map(|w| 0.5 * w).collect();
        let replaced = Values::from([(name, halved)]);
        let other = crate::replace_parameters(model, replaced.clone()).unwrap();
        let changed = runner.outputs(replaced.clone()).unwrap().remove(0).values;
        close(&changed, &to_host(other.logits(images(0..8))), 1e-5);
        assert_ne!(changed, outputs[0].values);
        assert_eq!(runner.outputs(Values::new()).unwrap(), outputs);

        let test = runner.with_inputs(vec![images(8..9)]).unwrap();
        let one = test.outputs(replaced).unwrap().remove(0);
        assert_eq!(one.shape, [1, 10]);
        close(&one.values, &to_host(other.logits(images(8..9))), 1e-5);
    }

    #[test]
    fn all_networks_run() {
        let device = Device::flex();
        runs_like(LeNetConfig::digits().init(&device));
        runs_like(VggConfig::digits().init(&device));
        runs_like(ResNetConfig::digits().init(&device));
        runs_like(MobileNetConfig::digits().init(&device));
        runs_like(TransformerConfig::digits().init(&device));
    }

    #[test]
    fn trials_run_side_by_side() {
        let model = initialise(ResNetConfig::digits().init(&Device::flex()), Seed(1)).unwrap();
        let images = Dataset::digits().unwrap().calibration.select(&[3, 1, 4, 1, 5]).unwrap();
        let runner = BurnRunner::classifier(&model, &images, &Device::flex()).unwrap();
        let trial = |trial: usize| {
            let index = trial % runner.tensors().len();
            let values: Vec<f32> =
                runner.values(index).unwrap().iter().map(|w| w * (1.0 + trial as f32)).collect();
            let replaced = Values::from([(runner.tensors()[index].name.clone(), values)]);
            (runner.outputs(replaced.clone()).unwrap(), runner.statistics(replaced).unwrap())
        };
        let alone: Vec<_> = (0..16).map(trial).collect();
        let together: Vec<_> = (0..16).into_par_iter().map(trial).collect();
        assert_eq!(alone, together);
    }

    /// Dropout in front of a norm layer, another norm that meets the input itself, and no rectifiers.
    #[derive(Module, Debug)]
    struct Normed {
        first: BatchNorm,
        conv: Conv2d,
        dropout: Dropout,
        norm: BatchNorm,
    }

    impl Classifier for Normed {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            let x = self.dropout.forward(self.conv.forward(self.first.forward(images)));
            self.norm.forward(x).tanh().mean_dims(&[2, 3]).squeeze_dims(&[2, 3])
        }
    }

    fn normed() -> BurnRunner<Normed, Tensor<4>> {
        let device = Device::flex();
        let model = Normed {
            first: BatchNormConfig::new(1).init(&device),
            conv: Conv2dConfig::new([1, 4], [3, 3]).init(&device),
            dropout: DropoutConfig::new(0.5).init(),
            norm: BatchNormConfig::new(4).with_momentum(0.3).init(&device),
        };
        // Frozen layers are measured as well.
        let model = initialise(model, Seed(3)).unwrap().freeze();
        BurnRunner::new(&model, vec![images(0..40), images(40..100)], |model, x| {
            model.logits(x.clone()).into()
        })
        .unwrap()
    }

    fn moments(input: Tensor<4>) -> [Vec<f32>; 2] {
        let [_, channels, ..] = input.dims();
        let flat = input.swap_dims(0, 1).reshape([channels as isize, -1]);
        [to_host(flat.clone().mean_dim(1)), to_host(flat.var(1))]
    }

    #[test]
    fn statistics_are_those_of_all_batches_without_dropout() {
        let runner = normed();
        let all = images(0..100);
        let measured = runner.statistics(Values::new()).unwrap().unwrap();
        let names: Vec<&str> = measured.keys().map(String::as_str).collect();
        let expected =
            ["first.running_mean", "first.running_var", "norm.running_mean", "norm.running_var"];
        assert_eq!(names, expected);
        let [mean, variance] = moments(all.clone());
        close(&measured["first.running_mean"], &mean, 1e-3);
        close(&measured["first.running_var"], &variance, 1e-3);
        // In each batch, the first norm centres by what that batch has.
        let inner = |range| {
            let input = images(range);
            let [mean, variance] = moments(input.clone()).map(|m| m[0]);
            let input = (input - mean) / (variance + 1e-5).sqrt();
            moments(runner.model().conv.forward(input))
        };
        let ([mean_a, var_a], [mean_b, var_b]) = (inner(0..40), inner(40..100));
        for channel in 0..4 {
            let mean = 0.4 * mean_a[channel] + 0.6 * mean_b[channel];
            let around = |m: f32| (m - mean).powi(2);
            let variance = 0.4 * (var_a[channel] + around(mean_a[channel]))
                + 0.6 * (var_b[channel] + around(mean_b[channel]));
            close(&measured["norm.running_mean"][channel..=channel], &[mean], 2e-3);
            close(&measured["norm.running_var"][channel..=channel], &[variance], 2e-3);
        }
        // They can be put in place, and nothing changed before.
        let before = runner.outputs(Values::new()).unwrap();
        assert_ne!(runner.outputs(measured.clone()).unwrap(), before);
        assert_eq!(runner.outputs(Values::new()).unwrap(), before);
        // Measured where weights are replaced, they are others.
        let zeros = Values::from([("conv.weight".to_owned(), vec![0.0; 36])]);
        let silent = runner.statistics(zeros).unwrap().unwrap();
        assert_eq!(silent["first.running_mean"], measured["first.running_mean"]);
        close(&silent["norm.running_var"], &[0.0; 4], 1e-6);
    }

    #[test]
    fn statistics_are_measured_without_dropout() {
        let runner = normed();
        let again = || runner.statistics(Values::new()).unwrap().unwrap();
        assert_eq!(again(), again());
    }

    #[test]
    fn gradients_are_those_at_inference() {
        gradients_are_differences(&normed());
    }

    #[test]
    fn models_without_norms_have_no_statistics() {
        let model = LeNetConfig::digits().init(&Device::flex());
        let all = Dataset::digits().unwrap().calibration;
        let runner = BurnRunner::classifier(&model, &all, &Device::flex()).unwrap();
        assert_eq!(runner.statistics(Values::new()).unwrap(), Some(Values::new()));
        let error =
            BurnRunner::classifier(&model, &all.select(&[]).unwrap(), &Device::flex()).unwrap_err();
        assert_eq!(error.to_string(), "data set of the runner: has no inputs");
    }

    /// A token model whose head reads the table of its embedding.
    #[derive(Module, Debug)]
    struct Language {
        embedding: Embedding,
        hidden: Linear,
        head: Param<Tensor<2>>,
    }

    impl Language {
        fn logits(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
            let x = self.hidden.forward(self.embedding.forward(tokens)).tanh();
            x.matmul(self.head.val().transpose().unsqueeze())
        }
    }

    #[test]
    fn a_token_model_with_a_tied_head_runs_and_is_differentiated() {
        let device = Device::flex();
        let embedding: Embedding = EmbeddingConfig::new(7, 4).init(&device);
        let head = embedding.weight.clone();
        let hidden = LinearConfig::new(4, 4).init(&device);
        let model = initialise(Language { embedding, hidden, head }, Seed(2)).unwrap();
        let model = crate::replace_parameters(model, [("hidden.bias".into(), wild(4))].into());
        let model = model.unwrap();
        let tokens = vec![
            Tensor::<2, Int>::from_ints([[0, 3, 6], [1, 1, 2]], &device),
            Tensor::<2, Int>::from_ints([[5, 4, 3]], &device),
        ];
        let runner = BurnRunner::new(&model, tokens, |model, tokens| {
            ModelOutputs::new().with("logits", model.logits(tokens.clone()))
        })
        .unwrap();
        let names: Vec<&str> = runner.tensors().iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["embedding.weight", "hidden.weight", "hidden.bias"]);
        assert_eq!(runner.tensors()[0].aliases, ["head"]);
        let outputs = runner.outputs(Values::new()).unwrap().remove(0);
        assert_eq!((outputs.name.as_str(), &outputs.shape[..]), ("logits", &[3, 3, 7][..]));
        gradients_are_differences(&runner);
        // With a table of zeros the head says nothing, by whatever name it is replaced.
        for name in ["head", "embedding.weight"] {
            let zeros = runner.outputs([(name.to_owned(), vec![0.0; 28])].into()).unwrap();
            assert_eq!(zeros[0].values, [0.0; 63]);
        }
    }

    /// Inputs of a user's own, and two outputs of different rank.
    #[derive(Module, Debug)]
    struct Regression {
        shared: Linear,
        position: Linear,
        strength: Linear,
    }

    #[test]
    fn a_regression_with_two_inputs_and_outputs_runs_and_is_differentiated() {
        let device = Device::flex();
        let linear = |from, to| LinearConfig::new(from, to).init(&device);
        let model =
            Regression { shared: linear(5, 6), position: linear(6, 4), strength: linear(6, 1) };
        let model = initialise(model, Seed(4)).unwrap();
        let batch = |n: usize, by: f32| {
            let of = |width: usize| {
                let values = wild(n * width).into_iter().map(|v| by * v).collect();
                from_host(values, [n, width], &Device::flex(), DType::F32)
            };
            (of(3), of(2))
        };
        let forward = |m: &Regression, (left, right): &(Tensor<2>, Tensor<2>)| {
            let x = Tensor::cat(vec![left.clone(), right.clone()], 1);
            let x = m.shared.forward(x).tanh();
            let [n, _] = x.dims();
            ModelOutputs::new()
                .with("position", m.position.forward(x.clone()).reshape([n, 2, 2]))
                .with("strength", m.strength.forward(x))
        };
        let runner = BurnRunner::new(&model, vec![batch(4, 1.0), batch(2, 0.5)], forward).unwrap();
        let outputs = runner.outputs(Values::new()).unwrap();
        let shapes: Vec<_> = outputs.iter().map(|o| (o.name.as_str(), o.shape.clone())).collect();
        assert_eq!(shapes, [("position", vec![6, 2, 2]), ("strength", vec![6, 1])]);
        gradients_are_differences(&runner);

        let refused = |directions: &[Output]| {
            let error = runner.gradients(directions).unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.starts_with("directions") && source.contains("strength"), "{source}");
        };
        refused(&outputs[..1]);
        refused(&[outputs[1].clone(), outputs[0].clone()]);
        let longer = Output::new("strength", [7, 1], vec![0.0; 7]).unwrap();
        refused(&[outputs[0].clone(), longer]);

        let inputs = vec![batch(4, 1.0)];
        let constant =
            BurnRunner::new(&model, inputs, |_: &Regression, (left, _)| left.clone().into());
        let constant = constant.unwrap();
        let direction = constant.outputs(Values::new()).unwrap();
        assert_eq!(constant.gradients(&direction).unwrap(), Some(Values::new()));

        let turned = BurnRunner::new(
            &model,
            vec![batch(4, 1.0), batch(2, 0.5)],
            |m: &Regression, (left, right): &(Tensor<2>, Tensor<2>)| {
                let x = m.shared.forward(Tensor::cat(vec![left.clone(), right.clone()], 1));
                ModelOutputs::new().with("turned", x.transpose())
            },
        );
        let error = turned.unwrap().outputs(Values::new()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with("batch 1 has the outputs [(\"turned\", [6, 2])]"), "{source}");
    }

    /// What is stored is what is deployed: noise of training is off, and codes are in place.
    #[test]
    fn a_prepared_module_runs_as_deployed() {
        use crate::qat::{BitErrors, QatMethod, convert, prepare};
        use qtaml_physics::FlipProbability;
        use qtaml_quant::BitWidth;

        let linear: Linear = LinearConfig::new(4, 3).with_bias(false).init(&Device::flex());
        let flips = FlipProbability::symmetric(0.1).unwrap();
        let method = QatMethod::BitErrors(BitErrors::new(BitWidth::INT4, flips));
        let prepared = prepare(linear, method, Seed(1)).unwrap();
        let inputs = vec![Tensor::<2>::ones([1, 4], &Device::flex())];
        let runner =
            BurnRunner::new(&prepared.model, inputs, |m, x| m.forward(x.clone()).into()).unwrap();
        let converted = convert(&prepared).unwrap();
        assert_eq!(runner.values(0).unwrap(), converted.layers[0].tensor.dequantize());
    }
}
