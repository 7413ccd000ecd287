//! What norm layers measured in training: holding it still, and measuring it again.

use std::collections::BTreeMap;

use burn::module::{Flag, Module, ModuleMapper, Param};
use burn::tensor::Device;

use crate::parameters::{is_state, replace_state, state};
use crate::{Classifier, Images, TrainError};

/// Images that tell the momentum of a norm layer.
const FEW: usize = 4;

/// The model on a device that differentiates, but working as at inference: norm layers use what
/// they measured in training and measure nothing.
pub(crate) fn differentiable<M: Module>(model: M) -> M {
    model.train().map(&mut AtInference)
}

struct AtInference;

impl ModuleMapper for AtInference {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

/// The network with the mean and variance of every batch norm measured again on `images`: a repair
/// without labels for a network whose weights are read with faults.
///
/// Faults shift and widen what reaches each norm layer; measured again, its input is centred and of
/// unit variance as the next layer expects. It costs one forward pass at deployment and nothing at
/// inference. Networks without batch norm come back as they are. (ours; the method goes back to
/// Y. Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2016.)
///
/// # Errors
/// [`TrainError::Data`] without images.
pub fn reestimate_batch_norm<M: Classifier>(
    model: &M,
    images: &Images,
    device: &Device,
) -> Result<M, TrainError> {
    if images.is_empty() {
        let problem = "has no images".into();
        return Err(TrainError::Data { name: "calibration".into(), problem });
    }
    let meter = Meter { model, device: device.clone().autodiff() };
    // Any images tell a momentum, if the layer is not silent for them.
    let few = images.select(&(0..images.len().min(FEW)).collect::<Vec<_>>());
    let mut momenta = meter.momenta(&few)?;
    if momenta.len() < statistics(model).len() {
        momenta = meter.momenta(images)?;
    }
    let (training, [once]) = meter.after(images)?;
    let batch_statistics = once.into_iter().map(|(name, once)| {
        // Without a momentum all are zero.
        let momentum = momenta.get(&name).copied().unwrap_or(1.0);
        (name, once.iter().map(|s| (f64::from(*s) / momentum) as f32).collect())
    });
    replace_state(training, batch_statistics.collect())
}

/// What norm layers know, by name.
type Statistics = BTreeMap<String, Vec<f32>>;

/// Watches what norm layers measure, starting at zero.
struct Meter<'a, M> {
    model: &'a M,
    device: Device,
}

impl<M: Classifier> Meter<'_, M> {
    /// The network, and its running statistics after each of `N` passes over the images.
    fn after<const N: usize>(&self, images: &Images) -> Result<(M, [Statistics; N]), TrainError> {
        let zeros = statistics(self.model).into_iter().map(|(name, s)| (name, vec![0.0; s.len()]));
        // No backward pass follows; the record of one would stay in memory.
        let model = replace_state(self.model.clone(), zeros.collect())?.train().no_grad();
        let batch = images.tensor(&self.device);
        let passes = [(); N].map(|()| {
            model.logits(batch.clone());
            statistics(&model)
        });
        Ok((model, passes))
    }

    /// The momentum behind each statistic that is not all zeros.
    ///
    /// From zero, with momentum `m`, a batch of `b` leaves `m b` at first and `(2 - m)` times that the
    /// second time. All channels share `m`, so it is fitted to all of them.
    fn momenta(&self, images: &Images) -> Result<BTreeMap<String, f64>, TrainError> {
        let (_, [once, twice]) = self.after(images)?;
        let momentum = |(name, once): (String, Vec<f32>)| {
            let square = product(&once, &once);
            let momentum = 2.0 - product(&once, &twice[&name]) / square;
            (square != 0.0).then_some((name, momentum))
        };
        Ok(once.into_iter().filter_map(momentum).collect())
    }
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn statistics<M: Module>(model: &M) -> Statistics {
    let statistics = state(model).into_iter().filter(|p| is_state(&p.name));
    statistics.map(|p| (p.name, p.values)).collect()
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::nn::conv::{Conv2d, Conv2dConfig};
    use burn::nn::{BatchNorm, BatchNormConfig};
    use burn::tensor::Tensor;

    use super::*;
    use crate::parameters::to_host;
    use crate::{Dataset, parameters};

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
            let repaired = reestimate_batch_norm(&model, &images, &device).unwrap();
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
        let alone = reestimate_batch_norm(&heard, &images, &device).unwrap();
        let silent = BatchNormConfig::new(1).init(&device);
        let both = reestimate_batch_norm(&HalfSilent { heard, silent }, &images, &device).unwrap();
        let found = statistics(&both);
        assert_eq!([&found["silent.running_mean"], &found["silent.running_var"]], [&[0.0]; 2]);
        for name in ["norm.running_mean", "norm.running_var"] {
            for (a, b) in statistics(&alone)[name].iter().zip(&found[&format!("heard.{name}")]) {
                assert!((a - b).abs() < 1e-4 * a.abs().max(1e-2), "{name}: {a} {b}");
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
