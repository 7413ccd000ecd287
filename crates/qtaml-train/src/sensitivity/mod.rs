//! How much a network's output feels an error in each of its weights, without labels.
//!
//! Three answers. [`jacobian_norms`] differentiates: exact to first order, one backward pass per
//! projection for all units at once. [`perturbation_norms`] is its twin for those who have only a
//! forward pass: it moves one unit at a time by a little. [`noise_response`] asks what the law of
//! small errors cannot say: what faults as large as they really are do to the output.

mod hutchinson;
mod perturbation;
mod response;

pub use hutchinson::jacobian_norms;
pub use perturbation::perturbation_norms;
pub use response::{NoiseResponse, noise_response};
use serde::{Deserialize, Serialize};

/// The squared Frobenius norm of a unit's Jacobian, averaged over images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JacobianNorm {
    /// The unit, such as `conv1.weight` or `conv1.weight[3]`.
    pub name: String,
    /// `||J||_F^2`: squared change of all scores per squared change of the unit's weights.
    pub squared: f64,
    /// Standard error of that estimate over its random projections.
    pub standard_error: f64,
}

/// The mean of independent draws, with its standard error.
fn summarise(name: String, draws: &[f64]) -> JacobianNorm {
    let n = draws.len() as f64;
    let squared = draws.iter().sum::<f64>() / n;
    let variance = draws.iter().map(|d| (d - squared).powi(2)).sum::<f64>() / (n - 1.0);
    JacobianNorm { name, squared, standard_error: (variance / n).sqrt() }
}

/// Random signs; a small whole number says which.
fn signs(count: usize, rng: &mut impl rand::Rng) -> Vec<f32> {
    use rand::RngExt as _;
    (0..count).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect()
}

fn at_least_two(what: &'static str, count: usize) -> Result<(), crate::TrainError> {
    if count < 2 {
        let allowed = "at least 2 are needed for a standard error";
        return Err(crate::TrainError::Range { what, value: count as f64, allowed });
    }
    Ok(())
}
