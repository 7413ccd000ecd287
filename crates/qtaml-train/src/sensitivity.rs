//! How much a network's output feels an error in each layer, without labels.

use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use qtaml_fault::Seed;
use rand::RngExt;

use crate::parameters::to_host;
use crate::{Classifier, Images, TrainError};

/// The squared Frobenius norm of a layer's Jacobian, averaged over images.
#[derive(Debug, Clone, PartialEq)]
pub struct JacobianNorm {
    /// The layer's weight, such as `conv1.weight`.
    pub name: String,
    /// `||J_l||_F^2`: squared change of all scores per squared change of the layer's weights.
    pub squared: f64,
    /// Standard error of that estimate over its random projections.
    pub standard_error: f64,
}

/// Estimates `||J_l||_F^2` for every weight of rank two or more, `J_l = d(scores)/d(W_l)`.
///
/// # Formula
/// Hutchinson's estimator (docs/theory.md, section 2): for random signs `v`, `E ||J^T v||^2 = ||J||_F^2`.
/// With independent signs on every score of every image, one backward pass gives
/// `Σ_images J^T v`, whose squared norm has the expectation `Σ_images ||J||_F^2`: the cross terms
/// vanish. This is averaged over `projections` passes and divided by the number of images.
///
/// Layers that work differently in training, such as batch norm and dropout, would do so here: the
/// estimate is for networks without them.
///
/// # Errors
/// [`TrainError::Range`] for fewer than two projections, [`TrainError::Data`] without images,
/// [`TrainError::NoWeights`] if no weight has a gradient.
pub fn jacobian_norms<M: Classifier>(
    model: &M,
    images: &Images,
    projections: usize,
    seed: Seed,
    device: &Device,
) -> Result<Vec<JacobianNorm>, TrainError> {
    if projections < 2 {
        let allowed = "at least 2 are needed for a standard error";
        let value = projections as f64;
        return Err(TrainError::Range { what: "the number of projections", value, allowed });
    }
    if images.is_empty() {
        let problem = "has no images".into();
        return Err(TrainError::Data { name: "calibration".into(), problem });
    }
    let device = device.clone().autodiff();
    let model = model.clone().train();
    let batch = images.tensor(&device);
    let mut draws: Vec<(String, Vec<f64>)> = Vec::new();
    for projection in 0..projections {
        let logits = model.logits(batch.clone());
        let signs = random_signs(logits.dims(), seed, projection as u64, &device);
        let gradients = (logits * signs).sum().backward();
        let mut norms = SquaredNorms {
            gradients: GradientsParams::from_grads(gradients, &model),
            path: Vec::new(),
            found: Vec::new(),
        };
        model.visit(&mut norms);
        collect(&mut draws, norms.found, images.len());
    }
    if draws.is_empty() {
        return Err(TrainError::NoWeights);
    }
    Ok(draws.into_iter().map(|(name, draws)| summarise(name, &draws)).collect())
}

fn random_signs(dims: [usize; 2], seed: Seed, projection: u64, device: &Device) -> Tensor<2> {
    let mut rng = seed.rng("jacobian.signs", projection);
    let count = dims[0] * dims[1];
    let signs: Vec<f32> = (0..count).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
    Tensor::from_data(TensorData::new(signs, dims), device)
}

fn collect(draws: &mut Vec<(String, Vec<f64>)>, found: Vec<(String, f64)>, images: usize) {
    for (position, (name, norm)) in found.into_iter().enumerate() {
        if position == draws.len() {
            draws.push((name, Vec::new()));
        }
        draws[position].1.push(norm / images as f64);
    }
}

fn summarise(name: String, draws: &[f64]) -> JacobianNorm {
    let n = draws.len() as f64;
    let squared = draws.iter().sum::<f64>() / n;
    let variance = draws.iter().map(|d| (d - squared).powi(2)).sum::<f64>() / (n - 1.0);
    JacobianNorm { name, squared, standard_error: (variance / n).sqrt() }
}

/// Visits the weights and adds up their squared gradients.
struct SquaredNorms {
    gradients: GradientsParams,
    path: Vec<String>,
    found: Vec<(String, f64)>,
}

impl ModuleVisitor for SquaredNorms {
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
            let squared = to_host(gradient).iter().map(|g| f64::from(*g).powi(2)).sum();
            self.found.push((self.path.join("."), squared));
        }
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Dataset, Evaluation, LeNetConfig, initialise, parameters, replace_parameters};

    /// The forward-only twin: move one layer by ±eps in random directions and look at the scores.
    /// For signs u, E ||J u||^2 = ||J||_F^2 as well.
    fn by_perturbation(model: &crate::LeNet, layer: &str, images: &Images) -> JacobianNorm {
        let device = Device::flex();
        let evaluation = Evaluation::new(images, &device).unwrap();
        let weight = parameters(model).into_iter().find(|p| p.name == layer).unwrap().values;
        let eps = 1e-3;
        let shifted = |signs: &[f32], step: f32| {
            let values = weight.iter().zip(signs).map(|(w, s)| w + step * s).collect();
            let values = BTreeMap::from([(layer.to_owned(), values)]);
            evaluation.logits(&replace_parameters(model.clone(), values).unwrap())
        };
        let draws: Vec<f64> = (0..200)
            .map(|draw| {
                let mut rng = Seed(9).rng("perturbation", draw);
                let signs: Vec<f32> =
                    weight.iter().map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
                let (up, down) = (shifted(&signs, eps), shifted(&signs, -eps));
                let change = |(u, d): (&f32, &f32)| f64::from((u - d) / (2.0 * eps)).powi(2);
                up.iter().zip(&down).map(change).sum::<f64>() / images.len() as f64
            })
            .collect();
        summarise(layer.into(), &draws)
    }

    #[test]
    fn backward_and_forward_estimates_agree() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration.select(&[0, 1, 2, 3]);
        let model = initialise(LeNetConfig::digits().init(&device), Seed(5)).unwrap();
        let norms = jacobian_norms(&model, &images, 200, Seed(1), &device).unwrap();
        assert_eq!(norms.len(), 5);
        for backward in norms {
            let forward = by_perturbation(&model, &backward.name, &images);
            let error = forward.standard_error.hypot(backward.standard_error);
            // Five standard errors, and one percent for kinks within ±eps.
            let allowed = 5.0 * error + 0.01 * forward.squared;
            assert!(
                (forward.squared - backward.squared).abs() < allowed,
                "{forward:?} against {backward:?}"
            );
        }
    }

    #[test]
    fn too_little_to_estimate_from() {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration.select(&[0]);
        let model = LeNetConfig::digits().init(&device);
        let error = jacobian_norms(&model, &images, 1, Seed(1), &device).unwrap_err();
        assert!(error.to_string().starts_with("the number of projections is 1"));
        let none = images.select(&[]);
        assert!(jacobian_norms(&model, &none, 2, Seed(1), &device).is_err());
    }
}
