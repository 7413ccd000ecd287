//! T0-QAT: noise whose size is the constant ξ of the source times a scaling.

use burn::tensor::Tensor;
use qtaml_physics::XI;
use serde::{Deserialize, Serialize};

use super::draw::{Draw, add_noise};

/// T0-QAT (J. Pascher, 2025): normal noise on weights *and* biases in each forward pass; the clean
/// ones are updated.
///
/// # Formula
/// `W + ξ s N(0, 1)`, with `ξ = 4/3 · 10⁻⁴`; where `relative`, `W + ξ s ||W||_inf N(0, 1)` (ours),
/// each tensor by its own largest magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct T0 {
    /// The source's scaling `s`, 80000 there.
    pub scaling: f64,
    /// Whether the noise is relative to the largest magnitude of each tensor; the source's is not.
    pub relative: bool,
}

impl T0 {
    /// As in the source: `s = 80000`, in units of the weights.
    pub const SOURCE: Self = Self { scaling: 80_000.0, relative: false };

    pub(super) fn apply<const D: usize>(&self, base: Tensor<D>, draw: &Draw<'_>) -> Tensor<D> {
        add_noise(base, XI * self.scaling, self.relative, draw)
    }
}
