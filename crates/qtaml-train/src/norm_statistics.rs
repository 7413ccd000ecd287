//! Running statistics of batch norm: freezing and recalibration.

use std::collections::BTreeMap;

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::weights::{tied, to_host};

/// The layer of burn that measures its input in training.
const BATCH_NORM: &str = "Struct:BatchNorm";

/// The model on a device that differentiates by all its parameters, but working as at inference:
/// norm layers use what they measured in training and measure nothing, and dropout is off.
pub(crate) fn differentiable<M: Module>(model: M) -> M {
    tied(at_inference(model.train()).set_require_grad(true))
}

/// The model on a device that differentiates, but with no layer behaving as in training.
fn at_inference<M: Module>(model: M) -> M {
    model.map(&mut Flags { layers: Vec::new(), measuring: false })
}

/// Switches what layers do in training: all of it off, or all but the measuring of batch norms.
struct Flags {
    layers: Vec<String>,
    measuring: bool,
}

impl ModuleMapper for Flags {
    fn enter_module(&mut self, _: &str, container: &str) {
        self.layers.push(container.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.layers.pop();
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        let is_norm = self.layers.last().is_some_and(|layer| layer == BATCH_NORM);
        flag.with_value(self.measuring && is_norm)
    }
}

/// What batch norms know, by name.
pub(crate) type Statistics = BTreeMap<String, Vec<f32>>;

/// The momentum of each batch norm that one of the batches reaches: of the model, whatever its weights. That
/// of a norm that is called `k` times in a pass is `1 - (1 - m)^k`, with which the statistics become those
/// that training would converge to.
/// `forward` runs the model and says how many samples the batch has.
pub(crate) fn momenta_of<M: Module, B>(
    model: &M,
    batches: &[B],
    forward: impl Fn(&M, &B) -> usize,
) -> BTreeMap<String, f64> {
    let (meter, layers) = (Meter { model, forward }, statistics(model).len());
    let mut momenta = BTreeMap::new();
    for batch in batches {
        if momenta.len() == layers {
            break;
        }
        for (name, momentum) in meter.momenta(batch) {
            momenta.entry(name).or_insert(momentum);
        }
    }
    momenta
}

/// Mean and variance of what reaches each batch norm over all `batches`, which lie on a device that
/// differentiates. `forward` runs the model and says how many samples the batch has.
///
/// Means and variances of several batches are those of all samples together, but for the difference
/// between `n` and `n - 1` in each variance.
pub(crate) fn batch_statistics<M: Module, B>(
    model: &M,
    momenta: &BTreeMap<String, f64>,
    batches: &[B],
    forward: impl Fn(&M, &B) -> usize,
) -> Statistics {
    let meter = Meter { model, forward };
    if statistics(model).is_empty() {
        return Statistics::new();
    }
    let measure = |batch: &B| {
        let (samples, [once]) = meter.after(batch);
        let whole = |(name, once): (String, Vec<f32>)| {
            // Without a momentum all are zero.
            let momentum = momenta.get(&name).copied().unwrap_or(1.0);
            let values = once.iter().map(|s| f64::from(*s) / momentum).collect();
            (name, values)
        };
        (samples as f64, once.into_iter().map(whole).collect())
    };
    let measured: Vec<(f64, Measured)> = batches.iter().map(measure).collect();
    let pooled = match &measured[..] {
        [(_, only)] => only.clone(),
        several => pool(several),
    };
    let rounded = |(name, values): (String, Vec<f64>)| {
        (name, values.into_iter().map(|value| value as f32).collect())
    };
    pooled.into_iter().map(rounded).collect()
}

/// What batch norms saw in a batch, by name, before it is rounded.
type Measured = BTreeMap<String, Vec<f64>>;

/// Means and variances of several batches as those of one.
fn pool(batches: &[(f64, Measured)]) -> Measured {
    let samples: f64 = batches.iter().map(|(samples, _)| samples).sum();
    let mean = |value: &dyn Fn(&Measured) -> f64| {
        batches.iter().map(|(n, batch)| n * value(batch)).sum::<f64>() / samples
    };
    let Some((_, first)) = batches.first() else { return Measured::new() };
    let pooled = first.iter().map(|(name, values)| {
        let layer = name.strip_suffix(VARIANCE).map(|layer| format!("{layer}{MEAN}"));
        let of = |channel: usize| match &layer {
            None => mean(&|batch| batch[name][channel]),
            Some(means) => {
                let center = mean(&|batch| batch[means][channel]);
                mean(&|batch| batch[name][channel] + (batch[means][channel] - center).powi(2))
            }
        };
        (name.clone(), (0..values.len()).map(of).collect())
    });
    pooled.collect()
}

/// Watches what batch norms measure, starting at zero.
struct Meter<'a, M, F> {
    model: &'a M,
    forward: F,
}

impl<M: Module, F> Meter<'_, M, F> {
    /// The samples of a batch, and the running statistics after each of `N` passes over it.
    fn after<B, const N: usize>(&self, batch: &B) -> (usize, [Statistics; N])
    where
        F: Fn(&M, &B) -> usize,
    {
        // `valid` copies what is measured; no backward pass follows, and the record of one would stay
        // in memory.
        let model = self.model.valid().map(&mut Zero(Vec::new())).train().no_grad();
        let model = model.map(&mut Flags { layers: Vec::new(), measuring: true });
        let mut samples = 0;
        let passes = [(); N].map(|()| {
            samples = (self.forward)(&model, batch);
            statistics(&model)
        });
        (samples, passes)
    }

    /// The momentum behind each statistic that is not all zeros.
    ///
    /// From zero, with momentum `m`, a batch of `b` leaves `m b` at first and `(2 - m)` times that the
    /// second time. All channels share `m`, so it is fitted to all of them.
    fn momenta<B>(&self, batch: &B) -> BTreeMap<String, f64>
    where
        F: Fn(&M, &B) -> usize,
    {
        let (_, [once, twice]) = self.after(batch);
        let momentum = |(name, once): (String, Vec<f32>)| {
            let square = product(&once, &once);
            let momentum = 2.0 - product(&once, &twice[&name]) / square;
            (square != 0.0).then_some((name, momentum))
        };
        once.into_iter().filter_map(momentum).collect()
    }
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The fields in which a batch norm of burn keeps what it measured.
const MEAN: &str = "running_mean";
const VARIANCE: &str = "running_var";

fn is_statistic(layer: Option<&String>, field: Option<&String>) -> bool {
    layer.is_some_and(|layer| layer == BATCH_NORM)
        && field.is_some_and(|field| field == MEAN || field == VARIANCE)
}

/// Sets what batch norms measured to zero.
struct Zero(Vec<[String; 2]>);

impl ModuleMapper for Zero {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.push([name.into(), container.into()]);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let innermost = self.0.last();
        if is_statistic(innermost.map(|names| &names[1]), innermost.map(|names| &names[0])) {
            param.map(|old| old.zeros_like())
        } else {
            param
        }
    }
}

fn statistics<M: Module>(model: &M) -> Statistics {
    let mut collector = Collector { path: Vec::new(), layers: Vec::new(), found: BTreeMap::new() };
    // Leaving training first makes the statistics take up their last batch.
    model.valid().visit(&mut collector);
    collector.found
}

struct Collector {
    path: Vec<String>,
    layers: Vec<String>,
    found: Statistics,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.into());
        self.layers.push(container.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
        self.layers.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if is_statistic(self.layers.last(), self.path.last()) {
            self.found.insert(self.path.join("."), to_host(param.val()));
        }
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::conv::{Conv2d, Conv2dConfig};
    use burn::nn::{BatchNorm, BatchNormConfig};

    use burn::tensor::Device;
    use qtaml_deploy::{Runner, Values};

    use super::*;
    use crate::{BurnRunner, Classifier, Dataset, Images, parameters};

    /// The model with its statistics measured again.
    fn reestimated<M: Classifier + 'static>(model: &M, images: &Images) -> M {
        let runner = BurnRunner::classifier(model, images, &Device::flex()).unwrap();
        let measured = runner.statistics(Values::new()).unwrap().unwrap();
        runner.replaced(measured).unwrap()
    }

    #[derive(Module, Debug)]
    struct Normed {
        conv: Conv2d,
        norm: BatchNorm,
    }

    impl Classifier for Normed {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            self.norm.forward(self.conv.forward(images)).mean_dims(&[2, 3]).squeeze_dims(&[2, 3])
        }
    }

    fn normed(momentum: f64) -> Normed {
        let device = Device::flex();
        Normed {
            conv: Conv2dConfig::new([1, 4], [3, 3]).init(&device),
            norm: BatchNormConfig::new(4).with_momentum(momentum).init(&device),
        }
    }

    #[test]
    fn what_is_measured_again_is_mean_and_variance_of_the_input() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration;
        for momentum in [0.1, 0.5, 1.0] {
            let model = normed(momentum);
            let repaired = reestimated(&model, &images);
            assert_eq!(parameters(&model), parameters(&repaired));
            let input = model.conv.forward(images.tensor(&device));
            let channels = input.swap_dims(0, 1).reshape([4, -1]);
            let means = to_host(channels.clone().mean_dim(1));
            let variances = to_host(channels.var(1));
            let found = statistics(&repaired);
            for (expected, name) in [(means, "norm.running_mean"), (variances, "norm.running_var")]
            {
                for (e, f) in expected.iter().zip(&found[name]) {
                    assert!((e - f).abs() < 1e-3 * e.abs().max(1e-2), "{name}: {f} is not {e}");
                }
            }
            // The network that was handed in still has its own.
            assert_eq!(statistics(&model)["norm.running_var"], [1.0; 4]);
        }
    }

    #[derive(Module, Debug)]
    struct HalfSilent {
        heard: Normed,
        silent: BatchNorm,
    }

    impl Classifier for HalfSilent {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            let silence = self.silent.forward(images.clone() * 0.0);
            self.heard.logits(images + silence * 0.0)
        }
    }

    /// A layer that no image reaches tells no momentum, and costs the others nothing.
    #[test]
    fn silent_layers_measure_zeros() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration;
        let heard = normed(0.3);
        let alone = reestimated(&heard, &images);
        let silent = BatchNormConfig::new(1).init(&device);
        let both = reestimated(&HalfSilent { heard, silent }, &images);
        let found = statistics(&both);
        assert_eq!([&found["silent.running_mean"], &found["silent.running_var"]], [&[0.0]; 2]);
        for name in ["norm.running_mean", "norm.running_var"] {
            for (a, b) in statistics(&alone)[name].iter().zip(&found[&format!("heard.{name}")]) {
                assert!((a - b).abs() < 1e-4 * a.abs().max(1e-2), "{name}: {a} {b}");
            }
        }
    }

    #[derive(Module, Debug)]
    struct Shared {
        norm: BatchNorm,
    }

    impl Classifier for Shared {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            let once = self.norm.forward(images.clone());
            let twice = self.norm.forward(images * 2.0 + 1.0);
            (once + twice).mean_dims(&[2, 3]).squeeze_dims(&[2, 3])
        }
    }

    /// A layer that is called twice has no one input. It gets what many passes in training would leave.
    #[test]
    fn a_norm_that_is_called_twice_gets_what_training_converges_to() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration;
        for momentum in [0.1, 0.5] {
            let norm = BatchNormConfig::new(1).with_momentum(momentum).init(&device);
            let found = statistics(&reestimated(&Shared { norm }, &images));
            let inputs = images.tensor(&device);
            let mean = f64::from(to_host(inputs.clone().mean())[0]);
            let variance = f64::from(to_host(inputs.flatten::<1>(0, 3).var(0))[0]);
            let limit = |first: f64, second: f64| {
                let pass = |old: f64, new: f64| (1.0 - momentum) * old + momentum * new;
                (0..500).fold(0.0, |running, _| pass(pass(running, first), second))
            };
            for (name, expected) in [
                ("norm.running_mean", limit(mean, 2.0 * mean + 1.0)),
                ("norm.running_var", limit(variance, 4.0 * variance)),
            ] {
                let found = f64::from(found[name][0]);
                assert!((found - expected).abs() < 1e-3 * expected, "{name}: {found} {expected}");
            }
        }
    }

    #[test]
    fn at_inference_nothing_is_measured() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration;
        let model = differentiable(normed(0.1));
        let tracked = model.logits(images.tensor(&device.clone().autodiff()));
        assert_eq!(statistics(&model.valid())["norm.running_var"], [1.0; 4]);
        let plain = model.valid().logits(images.tensor(&device));
        assert_eq!(to_host(tracked), to_host(plain));
    }
}
