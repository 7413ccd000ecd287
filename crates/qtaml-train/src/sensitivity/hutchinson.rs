//! Jacobian norms by random projections of the gradient.

use std::collections::BTreeMap;

use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use qtaml_fault::Seed;

use super::{JacobianNorm, at_least_two, signs, summarise};
use crate::norm_statistics::differentiable;
use crate::parameters::to_host;
use crate::units::to_channel_major;
use crate::{Classifier, Granularity, Images, TrainError, Unit, units};

/// Estimates `||J_u||_F^2` for every unit of the network's weights, `J_u = d(scores)/d(W_u)`.
///
/// # Formula
/// Hutchinson's estimator (docs/theory.md, section 2): for random signs `v`, `E ||J^T v||^2 = ||J||_F^2`.
/// With independent signs on every score of every image, one backward pass gives
/// `Σ_images J^T v`, whose squared norm has the expectation `Σ_images ||J||_F^2`: the cross terms
/// vanish. This is averaged over `projections` passes and divided by the number of images. Finer
/// units cost nothing more, but each is known less well.
///
/// Norm layers work as at inference, with the statistics that they have.
///
/// # Errors
/// [`TrainError::Range`] for fewer than two projections or groups of nothing, [`TrainError::Data`]
/// without images, [`TrainError::NoWeights`] if there are no weights of rank two or more.
pub fn jacobian_norms<M: Classifier>(
    model: &M,
    granularity: Granularity,
    images: &Images,
    projections: usize,
    seed: Seed,
    device: &Device,
) -> Result<Vec<JacobianNorm>, TrainError> {
    at_least_two("the number of projections", projections)?;
    if images.is_empty() {
        let problem = "has no images".into();
        return Err(TrainError::Data { name: "calibration".into(), problem });
    }
    let units = units(model, granularity)?;
    let device = device.clone().autodiff();
    let model = differentiable(model.clone());
    let batch = images.tensor(&device);
    let mut draws = vec![Vec::with_capacity(projections); units.len()];
    for projection in 0..projections {
        let logits = model.logits(batch.clone());
        let dims = logits.dims();
        let mut rng = seed.rng("jacobian.signs", projection as u64);
        let signs = TensorData::new(signs(dims[0] * dims[1], &mut rng), dims);
        let gradients = (logits * Tensor::from_data(signs, &device)).sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        let mut squares = SquaredGradients { gradients, path: vec![], found: BTreeMap::new() };
        model.visit(&mut squares);
        for (draws, unit) in draws.iter_mut().zip(&units) {
            draws.push(squares.of(unit) / images.len() as f64);
        }
    }
    Ok(units.into_iter().zip(draws).map(|(unit, draws)| summarise(unit.name, &draws)).collect())
}

/// Visits the weights and squares their gradients, in channel-major order.
struct SquaredGradients {
    gradients: GradientsParams,
    path: Vec<String>,
    found: BTreeMap<String, Vec<f64>>,
}

impl SquaredGradients {
    /// A weight that the scores do not depend on has no gradient.
    fn of(&self, unit: &Unit) -> f64 {
        self.found.get(&unit.tensor).map_or(0.0, |squares| squares[unit.range.clone()].iter().sum())
    }
}

impl ModuleVisitor for SquaredGradients {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D < 2 {
            return;
        }
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let shape = gradient.dims();
            let squares: Vec<f64> =
                to_host(gradient).iter().map(|g| f64::from(*g).powi(2)).collect();
            self.found.insert(self.path.join("."), to_channel_major(&shape, &squares));
        }
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::{Dataset, LeNetConfig, initialise};

    /// The sum over channels of what one pass gives is what it gives for the whole tensor.
    #[test]
    fn channels_add_up_to_their_tensor() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration.select(&[0, 1, 2]);
        let model = initialise(LeNetConfig::digits().init(&device), Seed(5)).unwrap();
        let norms = |granularity| {
            jacobian_norms(&model, granularity, &images, 3, Seed(1), &device).unwrap()
        };
        let channels = norms(Granularity::Channel);
        for tensor in norms(Granularity::Tensor) {
            let of_it = channels.iter().filter(|n| n.name.starts_with(&tensor.name));
            let sum: f64 = of_it.map(|n| n.squared).sum();
            assert!((sum / tensor.squared - 1.0).abs() < 1e-9, "{} {sum}", tensor.name);
        }
    }

    #[test]
    fn too_little_to_estimate_from() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration.select(&[0]);
        let model = LeNetConfig::digits().init(&device);
        let norms = |images: &Images, projections| {
            jacobian_norms(&model, Granularity::Tensor, images, projections, Seed(1), &device)
        };
        let error = norms(&images, 1).unwrap_err();
        assert!(error.to_string().starts_with("the number of projections is 1"));
        assert!(norms(&images.select(&[]), 2).is_err());
    }
}
