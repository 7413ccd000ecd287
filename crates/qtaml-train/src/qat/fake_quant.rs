//! Quantized weights in the forward pass.

use burn::tensor::Tensor;
use qtaml_quant::Format;
use serde::{Deserialize, Serialize};

use super::rounding::{Rounded, straight_through};

/// Each forward pass sees the weights that will be stored, by the straight-through estimator of
/// Y. Bengio, N. Léonard and A. Courville, arXiv 1308.3432, 2013.
///
/// # Formula
/// `Δ clamp(round(W / Δ), ±(2^(b-1) - 1))` with `Δ = c ||W||_inf / (2^(b-1) - 1)`; the gradient is 1 for
/// every weight, saturated ones included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FakeQuant {
    /// Width and encoding of the codes.
    pub format: Format,
    /// Whether each output channel has its own scale. A tensor without output channels has one.
    pub per_channel: bool,
    /// The range `c` beyond which weights saturate, as a share of the largest magnitude, above 0 and
    /// at most 1; all of it if nothing is said.
    pub clip: Option<f32>,
}

impl FakeQuant {
    /// One scale for each tensor, and nothing clipped. A width alone stands for two's complement.
    pub fn new(format: impl Into<Format>) -> Self {
        Self { format: format.into(), per_channel: false, clip: None }
    }

    /// Output channels, if the tensor has some, lie along `axis`.
    pub(super) fn round<const D: usize>(
        &self,
        weights: Tensor<D>,
        axis: Option<usize>,
    ) -> Rounded<D> {
        Rounded::new(weights, self.format, self.clip, axis.filter(|_| self.per_channel))
    }

    pub(super) fn apply<const D: usize>(&self, base: Tensor<D>, axis: Option<usize>) -> Tensor<D> {
        let rounded = self.round(base.clone().without_autodiff(), axis);
        straight_through(base, rounded.weights())
    }
}
