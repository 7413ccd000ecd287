//! Normal noise relative to the range of the weights.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::draw::{Draw, add_noise};

/// Normal noise on the weights in each forward pass, relative to the range of each tensor.
///
/// G. An, "The effects of adding noise during backpropagation training on a generalization
/// performance", Neural Computation 8(3), 643, 1996, studies such noise; that it is relative to the
/// range, as the errors of a fixed-point memory are, is ours.
///
/// # Formula
/// `W + σ ||W||_inf N(0, 1)`, with the range held constant in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {
    /// Standard deviation `σ`, in units of the largest magnitude of the tensor.
    pub sigma_relative: f64,
}

impl Gaussian {
    pub(super) fn apply<const D: usize>(self, base: Tensor<D>, draw: &Draw<'_>) -> Tensor<D> {
        add_noise(base, self.sigma_relative, true, draw)
    }
}
