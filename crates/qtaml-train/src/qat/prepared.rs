//! A network prepared for training with a method, and back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::module::{Flag, Module, ModuleVisitor, Param, Reparameterization, Reparameterizer};
use burn::tensor::Tensor;
use qtaml_fault::{FaultError, Seed};
use qtaml_quant::{Code, Format, QuantizedTensor};

use super::draw::Draw;
use super::rounding::Rounded;
use super::wkb_noise::Moments;
use super::{BitErrors, FakeQuant, Lsq, QatMethod, T0};
use crate::parameters::to_host;
use crate::qat::Gaussian;
use crate::units::to_channel_major;
use crate::{TrainError, parameters};

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
    step: Arc<AtomicU64>,
}

impl<M> Prepared<M> {
    /// From here on, the noise is that of step `step`.
    pub fn at_step(&self, step: u64) {
        self.step.store(step, Ordering::Relaxed);
    }
}

/// Puts `method` between the weights of `model` and its layers, for training from step 0 on. The
/// weights stay as they are: set them before.
///
/// # Errors
/// [`TrainError::Range`] for a method that makes no sense.
pub fn prepare<M: Module>(
    model: M,
    method: QatMethod,
    seed: Seed,
) -> Result<Prepared<M>, TrainError> {
    method.check()?;
    let step = Arc::new(AtomicU64::new(0));
    let transform = Arc::new(Transform::new(method)?);
    let model =
        model.apply_reparameterization(Attach { method, transform, seed, step: step.clone() });
    Ok(Prepared { model: model.train(), method, step })
}

/// The codes of one tensor, or of one channel of it.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedLayer {
    /// Its name, such as `conv1.weight` or `conv1.weight[3]`.
    pub name: String,
    /// Its words and scale.
    pub tensor: QuantizedTensor,
}

/// A trained network in the form in which it is deployed.
#[derive(Debug, Clone)]
pub struct Converted<M> {
    /// The network with plain weights: those that its codes stand for, if it is quantized.
    pub model: M,
    /// The stored weights in the order of the network's fields, `conv1.weight`, or `conv1.weight[3]`
    /// for the scale of one channel, in the order of [`Unit`](crate::Unit). None if the method does
    /// not quantize.
    pub layers: Vec<QuantizedLayer>,
}

/// Takes the method away again and leaves what it trained for. The codes are those of the forward
/// pass, and their weights those of [`Converted::model`], to the last bit.
///
/// # Errors
/// [`TrainError::Quant`] naming the parameter for weights that are NaN or infinite.
pub fn convert<M: Module>(prepared: &Prepared<M>) -> Result<Converted<M>, TrainError> {
    let deployed = prepared.model.valid();
    let steps = parameters(&deployed).into_iter().filter_map(|p| {
        let name = p.name.strip_suffix(STEP_SUFFIX)?.to_owned();
        Some((name, p.values[0]))
    });
    let mut store = Store {
        method: prepared.method,
        steps: steps.collect(),
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
    #[module(skip)]
    seed: Seed,
    #[module(skip)]
    step: Arc<AtomicU64>,
}

/// Where the learned scale of a parameter is found among those of a prepared network.
const STEP_SUFFIX: &str = ".qat.step_size";

impl Reparameterization for AtParameter {
    const NAME: &'static str = "qat";

    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let step = self.step.load(Ordering::Relaxed);
        let draw = Draw { seed: self.seed, step, name: &self.name };
        let draw = self.training.is_enabled().then_some(&draw);
        match (&*self.transform, draw, &self.step_size) {
            (Transform::T0(method), Some(draw), _) => method.apply(base, draw),
            (Transform::Gaussian(method), Some(draw), _) => method.apply(base, draw),
            (Transform::FakeQuant(method), _, _) => method.apply(base),
            (Transform::Lsq(method), _, Some(size)) => method.apply(base, size.val()),
            (Transform::BitErrors(method), draw, _) => method.apply(base, draw),
            (Transform::WkbNoise(moments), draw, _) => moments.apply(base, draw),
            _ => base,
        }
    }
}

struct Attach {
    method: QatMethod,
    transform: Arc<Transform>,
    seed: Seed,
    step: Arc<AtomicU64>,
}

impl Reparameterizer for Attach {
    type Reparam = AtParameter;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<AtParameter>) {
        if !self.method.applies_to(path, D) {
            return (param, None);
        }
        let step_size = match self.method {
            QatMethod::Lsq(method) => {
                let step = method.initial_step(param.val().without_autodiff());
                Some(Param::from_tensor(step))
            }
            _ => None,
        };
        let at_parameter = AtParameter {
            step_size,
            training: Param::from_bool(true),
            transform: self.transform.clone(),
            name: path.to_owned(),
            seed: self.seed,
            step: self.step.clone(),
        };
        (param, Some(at_parameter))
    }
}

/// Collects the codes of a deployed network.
struct Store {
    method: QatMethod,
    steps: BTreeMap<String, f32>,
    path: Vec<String>,
    layers: Result<Vec<QuantizedLayer>, TrainError>,
}

impl Store {
    fn round<const D: usize>(
        &self,
        name: &str,
        weights: Tensor<D>,
    ) -> Option<(Format, Rounded<D>)> {
        let rounded = match self.method {
            QatMethod::None | QatMethod::T0(_) | QatMethod::Gaussian(_) => return None,
            QatMethod::FakeQuant(method) => method.round(weights),
            QatMethod::Lsq(method) => {
                let step = Tensor::from_floats([*self.steps.get(name)?], &weights.device());
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
        if !self.method.applies_to(&name, D) {
            return;
        }
        if let Some((format, rounded)) = self.round(&name, param.val())
            && let Ok(layers) = &mut self.layers
        {
            match stored(&name, format, rounded) {
                Ok(parts) => layers.extend(parts),
                Err(error) => self.layers = Err(error),
            }
        }
    }
}

/// The codes of one tensor, or of each of its channels where each has its scale.
fn stored<const D: usize>(
    name: &str,
    format: Format,
    Rounded { codes, scale }: Rounded<D>,
) -> Result<Vec<QuantizedLayer>, TrainError> {
    let (mut shape, scales) = (codes.dims().to_vec(), to_host(scale));
    let mut codes = to_host(codes);
    if scales.len() > 1 {
        codes = to_channel_major(&shape, &codes);
        shape = vec![codes.len() / scales.len()];
    }
    let parts = codes.chunks(codes.len() / scales.len()).zip(&scales).enumerate();
    let layer = |(part, (codes, scale)): (usize, (&[f32], &f32))| {
        let name = if scales.len() > 1 { format!("{name}[{part}]") } else { name.to_owned() };
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
    use burn::optim::{AdamConfig, GradientsParams};
    use burn::tensor::Device;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::BitWidth;

    use super::*;
    use crate::qat::WkbNoise;
    use crate::{Classifier, Dataset, LeNet, LeNetConfig, initialise};

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
        let images = Dataset::digits().unwrap().calibration.select(&[0, 1, 2]);
        to_host(prepared.model.logits(images.tensor(&Device::flex().autodiff())))
    }

    #[test]
    fn a_step_sees_the_same_however_often_it_looks_and_the_next_does_not() {
        for method in methods() {
            let prepared = prepare(lenet(), method, Seed(2)).unwrap();
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
                    assert_eq!(stored, to_channel_major(&p.shape, &p.values));
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
                let linear =
                    burn::nn::LinearConfig::new(4, 3).with_bias(false).init(&Device::flex());
                let linear = crate::replace_parameters(
                    linear,
                    BTreeMap::from([("weight".to_owned(), moved)]),
                )
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
        let images = Dataset::digits().unwrap().train.select(&(0..64).collect::<Vec<_>>());
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
}
