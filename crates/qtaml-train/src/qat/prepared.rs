//! A network prepared for training with a method, and back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::module::{
    Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId, Reparameterization, Reparameterizer,
};
use burn::tensor::{DType, Tensor};
use qtaml_deploy::WeightTensor;
use qtaml_fault::{FaultError, Seed};
use qtaml_quant::{Code, Format, QuantizedTensor};

use super::draw::Draw;
use super::rounding::Rounded;
use super::wkb_noise::Moments;
use super::{BitErrors, FakeQuant, Lsq, QatMethod, T0};
use crate::qat::Gaussian;
use crate::weights::{from_host, tied, to_host};
use crate::{ModuleWeights, TensorRule, TrainError};

/// A network whose layers read their weights through a [`QatMethod`].
///
/// [`model`](Self::model) has the type that it always had; train it as any burn module, and tell
/// [`at_step`](Self::at_step) which step it is. `model.valid()` is the network as it will be
/// deployed: quantized where the method quantizes, and without noise or faults.
#[derive(Debug, Clone)]
pub struct Prepared<M> {
    /// The network, ready to train. An optimizer updates the clean weights and, of LSQ, the scales.
    pub model: M,
    method: QatMethod,
    weights: Arc<ModuleWeights>,
    step: Arc<AtomicU64>,
    /// Whether a tensor of zeros still waits for its learned scale.
    asleep: bool,
}

impl<M: Module> Prepared<M> {
    /// From here on, the noise is that of step `step`. It goes before each step: it also
    /// [ties](Self::tie) fields of one parameter again, and gives a layer that started at zero its
    /// learned scale.
    pub fn at_step(&mut self, step: u64) {
        self.step.store(step, Ordering::Relaxed);
        if let QatMethod::Lsq(method) = self.method
            && self.asleep
        {
            let mut wake = Wake { method, path: Vec::new(), candidate: None, asleep: false };
            self.model = self.model.clone().map(&mut wake);
            self.asleep = wake.asleep;
        }
        self.tie();
    }

    /// Makes all fields of one parameter hold what the first of them does: an optimizer of burn updates
    /// that one alone.
    pub fn tie(&mut self) {
        if self.weights.has_ties() {
            self.model = tied(self.model.clone());
        }
    }
}

/// Puts `method` between the weights of `model` and its layers, for training from step 0 on. The
/// weights stay as they are: set them before. Each tensor is rounded and disturbed once, however many
/// fields hold it, and whatever float type it is kept in; tensors without weights are left alone.
///
/// # Errors
/// [`TrainError::Range`] for a method that makes no sense, [`TrainError::Weights`] as
/// [`ModuleWeights::of`]: a network that is prepared already, or has adapters, must be converted or
/// materialized first.
pub fn prepare<M: Module>(
    model: M,
    method: QatMethod,
    seed: Seed,
) -> Result<Prepared<M>, TrainError> {
    prepare_with_rules(model, method, &[], seed)
}

/// As [`prepare`], where rules say what tensors of own layers are.
///
/// # Errors
/// As [`prepare`], and as [`ModuleWeights::with_rules`].
pub fn prepare_with_rules<M: Module>(
    model: M,
    method: QatMethod,
    rules: &[TensorRule],
    seed: Seed,
) -> Result<Prepared<M>, TrainError> {
    method.check()?;
    let weights = Arc::new(ModuleWeights::with_rules(&model, rules)?);
    let step = Arc::new(AtomicU64::new(0));
    let model = model.apply_reparameterization(Attach {
        method,
        transform: Arc::new(Transform::new(method)?),
        weights: weights.clone(),
        seed,
        step: step.clone(),
        attached: HashMap::new(),
    });
    let asleep = step_sizes(&model).values().any(|step| *step == 0.0);
    Ok(Prepared { model: tied(model.train()), method, weights, step, asleep })
}

/// The codes of one tensor, or of one channel of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QuantizedLayer {
    /// Its name, such as `conv1.weight` or `conv1.weight[3]`.
    pub name: String,
    /// Its words and scale.
    pub tensor: QuantizedTensor,
}

/// A trained network in the form in which it is deployed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Converted<M> {
    /// The network with plain weights: those that its codes stand for, if it is quantized.
    pub model: M,
    /// The stored weights in the order of the network's fields, `conv1.weight`, or `conv1.weight[3]`
    /// for the scale of one channel, as [`groups_of`](qtaml_deploy::groups_of) names them. None if the
    /// method does not quantize.
    pub layers: Vec<QuantizedLayer>,
}

/// Takes the method away again and leaves what it trained for. The codes are those of the forward
/// pass, and their weights those of [`Converted::model`], to the last bit of the type that these are
/// kept in.
///
/// # Errors
/// [`TrainError::Quant`] naming the parameter for weights that are NaN or infinite.
pub fn convert<M: Module>(prepared: &Prepared<M>) -> Result<Converted<M>, TrainError> {
    let mut prepared = prepared.clone();
    prepared.tie();
    let deployed = prepared.model.valid();
    let mut store = Store {
        method: prepared.method,
        weights: prepared.weights,
        steps: step_sizes(&deployed),
        path: Vec::new(),
        layers: Ok(Vec::new()),
    };
    deployed.visit(&mut store);
    Ok(Converted { layers: store.layers?, model: deployed.materialize() })
}

/// A method with what it computes once.
#[derive(Debug)]
enum Transform {
    T0(T0),
    Gaussian(Gaussian),
    FakeQuant(FakeQuant),
    Lsq(Lsq),
    BitErrors(BitErrors),
    WkbNoise(Moments),
    None,
}

impl Transform {
    fn new(method: QatMethod) -> Result<Self, FaultError> {
        Ok(match method {
            QatMethod::None => Self::None,
            QatMethod::T0(method) => Self::T0(method),
            QatMethod::Gaussian(method) => Self::Gaussian(method),
            QatMethod::FakeQuant(method) => Self::FakeQuant(method),
            QatMethod::Lsq(method) => Self::Lsq(method),
            QatMethod::BitErrors(method) => Self::BitErrors(method),
            QatMethod::WkbNoise(method) => Self::WkbNoise(method.moments()?),
        })
    }
}

/// The method at one parameter: burn's layers read their weights through it.
#[derive(Module, Debug)]
struct AtParameter {
    /// The learned scale, if the method has one.
    step_size: Option<Param<Tensor<1>>>,
    /// Whether there is noise: burn takes it away in `valid` and brings it back in `train`.
    training: Param<Flag>,
    #[module(skip)]
    transform: Arc<Transform>,
    #[module(skip)]
    name: String,
    /// Where the output channels lie.
    #[module(skip)]
    axis: Option<usize>,
    /// Whether the learned scale started at zero.
    #[module(skip)]
    slept: bool,
    #[module(skip)]
    seed: Seed,
    #[module(skip)]
    step: Arc<AtomicU64>,
}

/// Where the learned scale of a parameter is found among those of a prepared network.
const STEP_SUFFIX: &str = ".qat.step_size";

impl AtParameter {
    /// What layers read of a quantized tensor, computed in `f32` as codes are.
    fn quantized<const D: usize>(&self, base: Tensor<D>, draw: Option<&Draw<'_>>) -> Tensor<D> {
        match (&*self.transform, &self.step_size) {
            (Transform::FakeQuant(method), _) => method.apply(base, self.axis),
            (Transform::Lsq(method), Some(size)) => {
                let size = size.val();
                let size = if self.slept {
                    method.awake(size, base.clone().without_autodiff())
                } else {
                    size
                };
                method.apply(base, size)
            }
            (Transform::BitErrors(method), _) => method.apply(base, draw),
            (Transform::WkbNoise(moments), _) => moments.apply(base, draw),
            _ => base,
        }
    }
}

impl Reparameterization for AtParameter {
    const NAME: &'static str = "qat";

    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let step = self.step.load(Ordering::Relaxed);
        let draw = Draw { seed: self.seed, step, name: &self.name };
        let draw = self.training.is_enabled().then_some(&draw);
        match (&*self.transform, draw) {
            (Transform::T0(method), Some(draw)) => method.apply(base, draw),
            (Transform::Gaussian(method), Some(draw)) => method.apply(base, draw),
            (Transform::T0(_) | Transform::Gaussian(_) | Transform::None, _) => base,
            _ if base.dtype() == DType::F32 => self.quantized(base, draw),
            _ => {
                let dtype = base.dtype();
                self.quantized(base.cast(DType::F32), draw).cast(dtype)
            }
        }
    }
}

struct Attach {
    method: QatMethod,
    transform: Arc<Transform>,
    weights: Arc<ModuleWeights>,
    seed: Seed,
    step: Arc<AtomicU64>,
    /// What tied fields share.
    attached: HashMap<ParamId, AtParameter>,
}

impl Reparameterizer for Attach {
    type Reparam = AtParameter;

    fn reparameterize<const D: usize>(
        &mut self,
        _: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<AtParameter>) {
        if let Some(attached) = self.attached.get(&param.id) {
            return (param, Some(attached.clone()));
        }
        let Some(tensor) = self.weights.of_id(param.id) else { return (param, None) };
        if !self.method.applies_to(tensor.role) || tensor.is_empty() {
            return (param, None);
        }
        let step_size = match self.method {
            QatMethod::Lsq(method) => {
                let weights = param.val().without_autodiff().cast(DType::F32);
                Some(Param::from_tensor(method.initial_step(weights)))
            }
            _ => None,
        };
        let slept = step_size.as_ref().is_some_and(|step| to_host(step.val()) == [0.0]);
        let at_parameter = AtParameter {
            step_size,
            training: Param::from_bool(true),
            transform: self.transform.clone(),
            name: tensor.name.clone(),
            axis: tensor.output_axis,
            slept,
            seed: self.seed,
            step: self.step.clone(),
        };
        self.attached.insert(param.id, at_parameter.clone());
        (param, Some(at_parameter))
    }
}

/// Gives the learned scales that are zero that of their weights.
struct Wake {
    method: Lsq,
    path: Vec<String>,
    /// The scale for the tensor that was met last, if anyone asks.
    candidate: Option<Box<dyn FnOnce() -> Vec<f32>>>,
    asleep: bool,
}

impl ModuleMapper for Wake {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.path.join(".").ends_with(STEP_SUFFIX) {
            let (method, base) = (self.method, param.clone());
            self.candidate = Some(Box::new(move || {
                to_host(method.initial_step(base.base().without_autodiff().cast(DType::F32)))
            }));
            return param;
        }
        if to_host(param.base()).iter().any(|step| *step != 0.0) {
            return param;
        }
        let Some(step) = self.candidate.take().map(|candidate| candidate()) else { return param };
        if step.iter().all(|step| *step == 0.0) {
            self.asleep = true;
            return param;
        }
        param.map(|old| {
            let new = from_host(step, old.dims(), &old.device(), old.dtype());
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}

/// The learned scales of a prepared network, by the names of their tensors.
fn step_sizes<M: Module>(model: &M) -> BTreeMap<String, f32> {
    let mut steps = Steps { path: Vec::new(), found: BTreeMap::new() };
    model.visit(&mut steps);
    steps.found
}

struct Steps {
    path: Vec<String>,
    found: BTreeMap<String, f32>,
}

impl ModuleVisitor for Steps {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(name) = self.path.join(".").strip_suffix(STEP_SUFFIX)
            && let [step] = to_host(param.base())[..]
        {
            self.found.insert(name.to_owned(), step);
        }
    }
}

/// Collects the codes of a deployed network.
struct Store {
    method: QatMethod,
    weights: Arc<ModuleWeights>,
    steps: BTreeMap<String, f32>,
    path: Vec<String>,
    layers: Result<Vec<QuantizedLayer>, TrainError>,
}

impl Store {
    fn round<const D: usize>(
        &self,
        tensor: &WeightTensor,
        weights: Tensor<D>,
    ) -> Option<(Format, Rounded<D>)> {
        let rounded = match self.method {
            QatMethod::None | QatMethod::T0(_) | QatMethod::Gaussian(_) => return None,
            QatMethod::FakeQuant(method) => method.round(weights, tensor.output_axis),
            QatMethod::Lsq(method) => {
                let step = vec![*self.steps.get(&tensor.name)?];
                let step = from_host(step, [1], &weights.device(), DType::F32);
                let step = method.awake(step, weights.clone());
                method.round(weights, step)
            }
            QatMethod::BitErrors(method) => method.round(weights),
            QatMethod::WkbNoise(method) => method.round(weights),
        };
        Some((self.method.format()?, rounded))
    }
}

impl ModuleVisitor for Store {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        let Some(tensor) = self.weights.position(&name).map(|at| &self.weights.tensors()[at])
        else {
            return;
        };
        // A tied tensor is stored where it comes first.
        if tensor.name != name || !self.method.applies_to(tensor.role) || tensor.is_empty() {
            return;
        }
        let rounded = self.round(tensor, param.val().cast(DType::F32));
        let parts = rounded.map(|(format, rounded)| stored(tensor, format, rounded));
        if let (Some(parts), Ok(layers)) = (parts, &mut self.layers) {
            match parts {
                Ok(parts) => layers.extend(parts),
                Err(error) => self.layers = Err(error),
            }
        }
    }
}

/// The codes of one tensor, or of each of its channels where each has its scale.
fn stored<const D: usize>(
    tensor: &WeightTensor,
    format: Format,
    Rounded { codes, scale }: Rounded<D>,
) -> Result<Vec<QuantizedLayer>, TrainError> {
    let WeightTensor { name, shape, .. } = tensor;
    let (mut shape, scales) = (shape.clone(), to_host(scale));
    let mut codes = to_host(codes);
    if scales.len() > 1 {
        codes = tensor.channel_major().gather(&codes);
        shape = vec![codes.len() / scales.len()];
    }
    let parts = codes.chunks(codes.len() / scales.len()).zip(&scales).enumerate();
    let layer = |(part, (codes, scale)): (usize, (&[f32], &f32))| {
        let name = if scales.len() > 1 { format!("{name}[{part}]") } else { name.clone() };
        let words = codes.iter().map(|&code| format.word_of(Code(code as i32)).0).collect();
        match QuantizedTensor::from_words(words, &shape, format, *scale) {
            Ok(tensor) => Ok(QuantizedLayer { name, tensor }),
            Err(source) => Err(TrainError::Quant { name, source }),
        }
    };
    parts.map(layer).collect()
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::module::Lora;
    use burn::nn::conv::{ConvTranspose2d, ConvTranspose2dConfig};
    use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
    use burn::optim::{AdamConfig, GradientsParams, SgdConfig};
    use burn::tensor::Device;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::BitWidth;

    use super::*;
    use crate::qat::WkbNoise;
    use crate::{
        Classifier, Dataset, LeNet, LeNetConfig, WeightsError, initialise, parameters,
        replace_parameters,
    };

    fn methods() -> [QatMethod; 8] {
        let flips = FlipProbability::symmetric(5e-3).unwrap();
        let fake_quant = FakeQuant::new(BitWidth::INT4);
        [
            QatMethod::None,
            QatMethod::T0(T0 { scaling: 100.0, relative: true }),
            QatMethod::Gaussian(Gaussian { sigma_relative: 0.05 }),
            QatMethod::FakeQuant(fake_quant),
            QatMethod::FakeQuant(FakeQuant { per_channel: true, clip: Some(0.8), ..fake_quant }),
            QatMethod::Lsq(Lsq::new(BitWidth::INT4)),
            QatMethod::BitErrors(BitErrors::new(BitWidth::INT8, flips)),
            QatMethod::WkbNoise(WkbNoise::new(BitWidth::INT8, flips)),
        ]
    }

    fn lenet() -> LeNet {
        initialise(LeNetConfig::digits().init(&Device::flex()), Seed(1)).unwrap()
    }

    fn see(prepared: &Prepared<LeNet>) -> Vec<f32> {
        let images = Dataset::digits().unwrap().calibration.select(&[0, 1, 2]).unwrap();
        to_host(prepared.model.logits(images.tensor(&Device::flex().autodiff())))
    }

    #[test]
    fn a_step_sees_the_same_however_often_it_looks_and_the_next_does_not() {
        for method in methods() {
            let mut prepared = prepare(lenet(), method, Seed(2)).unwrap();
            let (first, again) = (see(&prepared), see(&prepared));
            assert_eq!(first, again, "{method}");
            let clone = prepared.clone();
            prepared.at_step(1);
            let noisy = matches!(
                method,
                QatMethod::T0(_)
                    | QatMethod::Gaussian(_)
                    | QatMethod::BitErrors(_)
                    | QatMethod::WkbNoise(_)
            );
            assert_eq!(see(&prepared) != first, noisy, "{method}");
            assert_eq!(see(&clone), see(&prepared));
            prepared.at_step(0);
            assert_eq!(see(&prepared), first);
            let other = prepare(lenet(), method, Seed(3)).unwrap();
            assert_eq!(see(&other) != first, noisy, "{method}");
        }
    }

    #[test]
    fn what_is_converted_is_what_was_trained() {
        for method in methods() {
            let prepared = prepare(lenet(), method, Seed(2)).unwrap();
            let images = Dataset::digits().unwrap().calibration.tensor(&Device::flex());
            let deployed = to_host(prepared.model.valid().logits(images.clone()));
            let converted = convert(&prepared).unwrap();
            assert_eq!(to_host(converted.model.logits(images)), deployed, "{method}");

            let names: Vec<String> =
                parameters(&converted.model).into_iter().map(|p| p.name).collect();
            assert_eq!(names.len(), 10, "{names:?}");
            assert_eq!(converted.layers.is_empty(), method.format().is_none());
            for p in parameters(&converted.model).iter().filter(|p| p.is_weight()) {
                let parts = converted.layers.iter().filter(|l| l.name.starts_with(&p.name));
                let stored: Vec<f32> = parts.flat_map(|part| part.tensor.dequantize()).collect();
                let per_channel =
                    matches!(method, QatMethod::FakeQuant(FakeQuant { per_channel: true, .. }));
                if method.format().is_some() && per_channel {
                    let weights = ModuleWeights::of(&converted.model).unwrap();
                    let tensor = &weights.tensors()[weights.position(&p.name).unwrap()];
                    assert_eq!(stored, tensor.channel_major().gather(&p.values));
                } else if method.format().is_some() {
                    assert_eq!(stored, p.values);
                }
            }
        }
    }

    #[test]
    fn noise_ends_with_training() {
        for method in [methods()[1], methods()[2]] {
            let converted = convert(&prepare(lenet(), method, Seed(2)).unwrap()).unwrap();
            assert_eq!(parameters(&converted.model), parameters(&lenet()));
        }
    }

    /// The derivative of a smooth loss with respect to clean weights, through the noise of a step:
    /// central differences at weights that are not the largest, since the range is held constant.
    #[test]
    fn gradients_through_noise_are_finite_differences() {
        for method in [methods()[1], methods()[2]] {
            let loss_at = |shift: f32| {
                let device = Device::flex().autodiff();
                let values: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin() + 0.1).collect();
                let moved: Vec<f32> = values
                    .iter()
                    .enumerate()
                    .map(|(i, v)| if i == 3 { v + shift } else { *v })
                    .collect();
                let linear = LinearConfig::new(4, 3).with_bias(false).init(&Device::flex());
                let linear =
                    replace_parameters(linear, BTreeMap::from([("weight".to_owned(), moved)]))
                        .unwrap();
                let prepared = prepare(linear, method, Seed(2)).unwrap();
                let input = Tensor::<2>::from_floats([[1.0, -2.0, 0.5, 0.25]], &device);
                let loss = prepared.model.forward(input).tanh().square().sum();
                let gradients = loss.backward();
                let gradient = prepared.model.weight.base().grad(&gradients).unwrap();
                (f64::from(loss.into_scalar::<f32>()), f64::from(to_host(gradient)[3]))
            };
            let h = 1e-3;
            let difference = (loss_at(h).0 - loss_at(-h).0) / (2.0 * f64::from(h));
            let gradient = loss_at(0.0).1;
            assert!(gradient.abs() > 1e-2, "a gradient of {gradient} tests nothing");
            assert!(
                (gradient - difference).abs() < 2e-3 * gradient.abs(),
                "{gradient} {difference}"
            );
        }
    }

    #[test]
    fn every_method_learns() {
        let device = Device::flex().autodiff();
        let images = Dataset::digits().unwrap().train.select(&(0..64).collect::<Vec<_>>()).unwrap();
        let cross_entropy = burn::nn::loss::CrossEntropyLossConfig::new().init(&device);
        for method in methods() {
            let mut prepared = prepare(lenet(), method, Seed(2)).unwrap();
            let mut adam = AdamConfig::new().init();
            let mut losses = Vec::new();
            for step in 0..40 {
                prepared.at_step(step);
                let logits = prepared.model.logits(images.tensor(&device));
                let loss = cross_entropy.forward(logits, images.label_tensor(&device));
                let gradients = GradientsParams::from_grads(loss.backward(), &prepared.model);
                losses.push(loss.into_scalar::<f32>());
                prepared.model = adam.step(2e-3, prepared.model, gradients);
            }
            let last = losses[35..].iter().sum::<f32>() / 5.0;
            assert!(last < 0.7 * losses[0], "{method}: {losses:?}");
        }
    }

    fn linear(from: usize, to: usize) -> Linear {
        LinearConfig::new(from, to).with_bias(false).init(&Device::flex())
    }

    fn all_ones(rows: usize, columns: usize) -> Tensor<2> {
        Tensor::ones([rows, columns], &Device::flex().autodiff())
    }

    /// A layer that starts at zero has no range to round to, but must find one.
    #[test]
    fn a_layer_of_zeros_learns_under_every_method() {
        let zeros = replace_parameters(linear(8, 8), [("weight".into(), vec![0.0; 64])].into());
        let zeros = zeros.unwrap();
        for method in methods() {
            for by_adam in [true, false] {
                let mut net = prepare(zeros.clone(), method, Seed(2)).unwrap();
                let resting = convert(&net).unwrap().model;
                assert_eq!(to_host(resting.weight.val()), [0.0; 64], "{method}");
                let (mut adam, mut sgd) = (AdamConfig::new().init(), SgdConfig::new().init());
                for step in 0..60 {
                    net.at_step(step);
                    let loss = (net.model.forward(all_ones(4, 8)) - 1.0).square().mean();
                    let gradients = GradientsParams::from_grads(loss.backward(), &net.model);
                    net.model = if by_adam {
                        adam.step(0.01, net.model, gradients)
                    } else {
                        sgd.step(0.3, net.model, gradients)
                    };
                }
                let trained = convert(&net).unwrap();
                let found = to_host(trained.model.forward(all_ones(1, 8).without_autodiff()));
                for y in found {
                    assert!((y - 1.0).abs() < 0.3, "{method}, Adam {by_adam}: {y}");
                }
                for layer in trained.layers {
                    let scale = layer.tensor.scale();
                    assert!(scale > 1e-4, "{method}: a step of {scale}");
                }
            }
        }
    }

    /// Without anyone telling the step, a layer that has moved is still read with a fitting scale.
    #[test]
    fn a_learned_scale_of_zero_is_never_used() {
        let zeros = replace_parameters(linear(8, 8), [("weight".into(), vec![0.0; 64])].into());
        let lsq = Lsq::new(BitWidth::INT4);
        let mut net = prepare(zeros.unwrap(), QatMethod::Lsq(lsq), Seed(2)).unwrap();
        let mut sgd = SgdConfig::new().init();
        let loss = (net.model.forward(all_ones(4, 8)) - 1.0).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &net.model);
        net.model = sgd.step(0.3, net.model, gradients);
        let moved = to_host(net.model.weight.base());
        let converted = convert(&net).unwrap();
        let expected = 2.0 * moved[0].abs() / 7.0_f32.sqrt();
        assert!((converted.layers[0].tensor.scale() - expected).abs() < 1e-6 * expected);
        let before = to_host(net.model.weight.val());
        net.at_step(1);
        assert_eq!(to_host(net.model.weight.val()), before);
        assert_eq!(to_host(converted.model.weight.val()), before);
    }

    #[test]
    fn a_network_is_prepared_once_and_without_adapters() {
        let int8 = QatMethod::FakeQuant(FakeQuant::new(BitWidth::INT8));
        let prepared = prepare(linear(4, 4), int8, Seed(1)).unwrap();
        let twice = prepare(prepared.model.clone(), int8, Seed(1)).unwrap_err();
        assert_eq!(
            twice.to_string(),
            "layers read tensor \"weight\" through \"qat\": convert or materialize the module first"
        );
        let adapted = linear(4, 4).apply_lora(Lora::new(2, 4.0));
        let error = prepare(adapted.clone(), int8, Seed(1)).unwrap_err();
        assert!(
            matches!(error, TrainError::Weights(WeightsError::Reparameterized { .. })),
            "{error}"
        );
        prepare(adapted.materialize(), int8, Seed(1)).unwrap();
        let int2 = QatMethod::FakeQuant(FakeQuant::new(BitWidth::new(2).unwrap()));
        let again = prepare(convert(&prepared).unwrap().model, int2, Seed(1)).unwrap();
        let converted = convert(&again).unwrap();
        assert_eq!(converted.layers[0].tensor.dequantize(), to_host(converted.model.weight.val()));
    }

    struct Cast(DType);

    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, p: Param<Tensor<D>>) -> Param<Tensor<D>> {
            p.map(|tensor| tensor.cast(self.0))
        }
    }

    /// In any float type: what layers read are the codes' weights, rounded to that type, and the
    /// layer learns.
    #[test]
    fn other_float_types_are_trained_and_converted_in_their_type() {
        let device = Device::flex();
        for dtype in [DType::F64, DType::F16, DType::BF16] {
            for method in methods() {
                let model = linear(6, 5).map(&mut Cast(dtype));
                let mut net = prepare(model, method, Seed(2)).unwrap();
                let mut sgd = SgdConfig::new().init();
                let input = Tensor::<2>::ones([2, 6], (&device.clone().autodiff(), dtype));
                let mut losses = Vec::new();
                for step in 0..20 {
                    net.at_step(step);
                    let loss = (net.model.forward(input.clone()) - 1.0).square().mean();
                    losses.push(to_host(loss.clone().without_autodiff())[0]);
                    let gradients = GradientsParams::from_grads(loss.backward(), &net.model);
                    net.model = sgd.step(0.2, net.model, gradients);
                }
                assert!(losses[19] < 0.5 * losses[0], "{dtype:?} {method}: {losses:?}");
                let deployed = to_host(net.model.valid().weight.val());
                let converted = convert(&net).unwrap();
                let found = converted.model.weight.val();
                assert_eq!(found.dtype(), dtype, "{method}");
                assert_eq!(to_host(found), deployed, "{dtype:?} {method}");
                let per_channel =
                    matches!(method, QatMethod::FakeQuant(FakeQuant { per_channel: true, .. }));
                if method.format().is_some() && !per_channel {
                    let stored = converted.layers[0].tensor.dequantize();
                    let stored = from_host(stored, [6, 5], &device, dtype);
                    assert_eq!(to_host(stored), deployed, "{dtype:?} {method}");
                }
            }
        }
    }

    #[test]
    fn channels_follow_the_layer_and_empty_tensors_are_left_alone() {
        let device = Device::flex();
        let fake_quant = FakeQuant { per_channel: true, ..FakeQuant::new(BitWidth::INT8) };
        let method = QatMethod::FakeQuant(fake_quant);
        let conv: ConvTranspose2d = ConvTranspose2dConfig::new([2, 3], [2, 2]).init(&device);
        let kernel = to_host(conv.weight.val());
        let converted = convert(&prepare(conv, method, Seed(1)).unwrap()).unwrap();
        assert_eq!(converted.layers.len(), 3);
        for (channel, layer) in converted.layers.iter().enumerate() {
            // `[in, out, 2, 2]`: the weights of one output lie in both halves.
            let of = |input: usize| kernel[(input * 3 + channel) * 4..][..4].iter();
            let largest = of(0).chain(of(1)).fold(0.0_f32, |max, w| max.max(w.abs()));
            assert_eq!(layer.tensor.scale(), largest / 127.0);
        }
        for method in methods() {
            let none = Param::from_tensor(Tensor::zeros([4, 0], &device));
            let empty = Linear { weight: none, ..linear(4, 2) };
            assert_eq!(convert(&prepare(empty, method, Seed(1)).unwrap()).unwrap().layers, []);
        }
    }

    /// A token model whose head reads the table of its embedding.
    #[derive(Module, Debug)]
    struct Tied {
        embedding: Embedding,
        head: Param<Tensor<2>>,
    }

    impl Tied {
        fn logits(&self) -> Tensor<2> {
            self.embedding.weight.val().matmul(self.head.val().transpose())
        }
    }

    #[test]
    fn tied_fields_share_noise_scale_and_training() {
        for method in methods() {
            let embedding: Embedding = EmbeddingConfig::new(5, 5).init(&Device::flex());
            let model = Tied { head: embedding.weight.clone(), embedding };
            let mut net = prepare(model, method, Seed(2)).unwrap();
            let mut adam = AdamConfig::new().init();
            let target = Tensor::<2>::eye(5, &Device::flex());
            let mut losses = Vec::new();
            for step in 0..40 {
                net.at_step(step);
                let fields = [&net.model.embedding.weight, &net.model.head];
                let [table, head] = fields.map(|field| to_host(field.val()));
                assert_eq!(table, head, "{method}");
                let loss = (net.model.logits() - target.clone()).square().mean();
                losses.push(to_host(loss.clone().without_autodiff())[0]);
                let gradients = GradientsParams::from_grads(loss.backward(), &net.model);
                net.model = adam.step(0.02, net.model, gradients);
            }
            assert!(losses[39] < 0.5 * losses[0], "{method}: {losses:?}");
            let Converted { model, layers } = convert(&net).unwrap();
            assert_eq!(to_host(model.embedding.weight.val()), to_host(model.head.val()));
            let per_channel =
                matches!(method, QatMethod::FakeQuant(FakeQuant { per_channel: true, .. }));
            let expected = match (method.format(), per_channel) {
                (None, _) => 0,
                (_, true) => 5,
                (_, false) => 1,
            };
            assert_eq!(layers.len(), expected, "one tensor under {method}");
        }
    }
}
