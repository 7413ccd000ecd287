//! Jacobian norms from forward passes alone.

use std::collections::BTreeMap;

use burn::tensor::Device;
use qtaml_fault::Seed;

use super::{JacobianNorm, at_least_two, signs, summarise};
use crate::units::{to_channel_major, to_row_major};
use crate::{
    Classifier, Evaluation, Granularity, Images, Parameter, TrainError, Unit, parameters,
    replace_parameters, units,
};

/// Estimates `||J_u||_F^2` as [`jacobian_norms`](super::jacobian_norms) does, for networks or
/// backends without differentiation.
///
/// # Formula
/// For random signs `u` on the weights of one unit, `E ||J u||_F^2 = ||J||_F^2`, and `J u` is
/// `(f(W + ε u) - f(W - ε u)) / 2ε` to second order (docs/theory.md, section 2); `ε` is a thousandth
/// of the unit's largest weight. Two forward passes per unit and draw.
///
/// # Errors
/// As [`jacobian_norms`](super::jacobian_norms).
pub fn perturbation_norms<M: Classifier>(
    model: &M,
    granularity: Granularity,
    images: &Images,
    draws: usize,
    seed: Seed,
    device: &Device,
) -> Result<Vec<JacobianNorm>, TrainError> {
    at_least_two("the number of draws", draws)?;
    let evaluation = Evaluation::new(images, device)?;
    let weights = parameters(model).into_iter().map(|p| (p.name.clone(), p)).collect();
    let twin = Twin { model, evaluation, weights, seed };
    let units = units(model, granularity)?;
    units.into_iter().map(|unit| twin.norm(unit, draws)).collect()
}

struct Twin<'a, M> {
    model: &'a M,
    evaluation: Evaluation,
    weights: BTreeMap<String, Parameter>,
    seed: Seed,
}

impl<M: Classifier> Twin<'_, M> {
    fn norm(&self, unit: Unit, draws: usize) -> Result<JacobianNorm, TrainError> {
        let parameter = &self.weights[&unit.tensor];
        let weights = to_channel_major(&parameter.shape, &parameter.values);
        let largest = weights[unit.range.clone()].iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        let step = if largest > 0.0 { 1e-3 * largest } else { 1e-3 };
        let draws = (0..draws).map(|draw| {
            let mut rng = self.seed.rng(&format!("perturbation.{}", unit.name), draw as u64);
            let signs = signs(unit.range.len(), &mut rng);
            let moved = |by: f32| self.moved(parameter, &weights, &unit, &signs, by);
            let (up, down) = (moved(step)?, moved(-step)?);
            let slope = |(up, down): (&f32, &f32)| f64::from((up - down) / (2.0 * step)).powi(2);
            let change: f64 = up.iter().zip(&down).map(slope).sum();
            Ok(change / self.evaluation.len() as f64)
        });
        let draws: Vec<f64> = draws.collect::<Result<_, TrainError>>()?;
        Ok(summarise(unit.name, &draws))
    }

    /// The scores where each weight of the unit is moved along its sign.
    fn moved(
        &self,
        parameter: &Parameter,
        weights: &[f32],
        unit: &Unit,
        signs: &[f32],
        by: f32,
    ) -> Result<Vec<f32>, TrainError> {
        let mut moved = weights.to_vec();
        for (weight, sign) in moved[unit.range.clone()].iter_mut().zip(signs) {
            *weight += by * sign;
        }
        let values = to_row_major(&parameter.shape, &moved);
        let values = BTreeMap::from([(parameter.name.clone(), values)]);
        Ok(self.evaluation.logits(&replace_parameters(self.model.clone(), values)?))
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::sensitivity::jacobian_norms;
    use crate::{Dataset, LeNetConfig, initialise};

    #[test]
    fn backward_and_forward_estimates_agree() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration.select(&[0, 1, 2, 3]);
        let model = initialise(LeNetConfig::digits().init(&device), Seed(5)).unwrap();
        let layers = Granularity::Tensor;
        let backward = jacobian_norms(&model, layers, &images, 200, Seed(1), &device).unwrap();
        let forward = perturbation_norms(&model, layers, &images, 200, Seed(9), &device).unwrap();
        assert_eq!(backward.len(), 5);
        for (backward, forward) in backward.iter().zip(&forward) {
            assert_eq!(backward.name, forward.name);
            let error = forward.standard_error.hypot(backward.standard_error);
            // Five standard errors, and one percent for kinks within ±eps.
            let allowed = 5.0 * error + 0.01 * forward.squared;
            assert!(
                (forward.squared - backward.squared).abs() < allowed,
                "{forward:?} against {backward:?}"
            );
        }
    }
}
