//! LSQ: learned step size quantization.

use burn::tensor::Tensor;
use qtaml_quant::Format;
use serde::{Deserialize, Serialize};

use super::rounding::{Rounded, nonzero};

/// Learned step size quantization: S. K. Esser, J. L. `McKinstry`, D. Bablani, R. Appuswamy and D. S.
/// Modha, ICLR 2020. The scale `s` of each tensor is a parameter, trained with the weights.
///
/// # Formula
/// With `v = W / s`, the forward pass sees `s round(clamp(v, -Q_N, Q_P))`. Its gradient is 1 with
/// respect to weights inside the range and 0 outside; with respect to `s` it is `round(v) - v` inside
/// and `-Q_N` or `Q_P` outside, times `1 / sqrt(n Q_P)` for `n` weights. At the start `s` is
/// `2 mean|W| / sqrt(Q_P)`. `-Q_N` and `Q_P` are the smallest and the largest code.
///
/// An optimizer that undoes the scale of gradients, such as Adam, also undoes the factor. Should it
/// carry `s` through zero, its magnitude counts (ours). A tensor of zeros has no `s` to start from; it
/// gets one from its weights as soon as they have moved (ours).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lsq {
    /// Width and encoding of the codes.
    pub format: Format,
}

impl Lsq {
    /// A width alone stands for two's complement.
    pub fn new(format: impl Into<Format>) -> Self {
        Self { format: format.into() }
    }

    fn range(self) -> (f32, f32) {
        (self.format.min_code() as f32, self.format.bits().max_code() as f32)
    }

    /// The step size that training starts from.
    pub(super) fn initial_step<const D: usize>(self, weights: Tensor<D>) -> Tensor<1> {
        let (_, largest) = self.range();
        weights.abs().mean() * (2.0 / largest.sqrt())
    }

    pub(super) fn round<const D: usize>(self, weights: Tensor<D>, step: Tensor<1>) -> Rounded<D> {
        let (smallest, largest) = self.range();
        let scale = nonzero(step.abs()).reshape([1; D]);
        let codes = (weights / scale.clone()).clamp(smallest, largest).round();
        Rounded { codes, scale }
    }

    /// The step size, where one of zero is replaced by that which training would start from with these
    /// weights: a layer that starts at zero has none until its weights move. No gradient reaches it
    /// before.
    pub(super) fn awake<const D: usize>(self, step: Tensor<1>, weights: Tensor<D>) -> Tensor<1> {
        let asleep = step.clone().equal_elem(0.0);
        step.mask_where(asleep, self.initial_step(weights))
    }

    pub(super) fn apply<const D: usize>(self, base: Tensor<D>, step: Tensor<1>) -> Tensor<D> {
        let (smallest, largest) = self.range();
        let weights = base.clone().without_autodiff();
        let Rounded { codes, scale } = self.round(weights.clone(), step.clone().without_autodiff());
        let v = weights.clone() / scale.clone();
        let inside =
            v.clone().greater_elem(smallest).bool_and(v.clone().lower_elem(largest)).float();
        let factor = 1.0 / (weights.shape().num_elements() as f32 * largest).sqrt();
        let slope = (codes.clone() - v * inside.clone()) * factor;
        // Both differences are zero, and there for the backward pass alone.
        let (size, still) = (nonzero(step.abs()).reshape([1; D]), scale.clone());
        codes * scale + (base - weights) * inside + slope * (size - still)
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::{Device, TensorData};
    use qtaml_quant::BitWidth;

    use super::*;
    use crate::parameters::to_host;

    const WEIGHTS: [f32; 8] = [-3.1, -0.77, -0.31, 0.04, 0.2, 0.66, 0.95, 2.3];

    /// The step in the forward pass, with rounding frozen at `s0` as the estimator has it: what it
    /// differentiates. In f64, from the definition.
    fn surrogate(s: f64, s0: f64, (smallest, largest): (f64, f64)) -> f64 {
        WEIGHTS
            .iter()
            .zip(1..)
            .map(|(&w, i)| {
                let (v, v0) = (f64::from(w) / s, f64::from(w) / s0);
                let clamped = v.clamp(smallest, largest);
                let offset =
                    v0.clamp(smallest, largest).round_ties_even() - v0.clamp(smallest, largest);
                f64::from(i) * s * (clamped + offset)
            })
            .sum()
    }

    #[test]
    fn gradients_are_finite_differences_of_the_estimator() {
        let lsq = Lsq::new(BitWidth::new(3).unwrap());
        for s in [0.3_f32, -0.3, 0.8] {
            let data = |values: &[f32]| TensorData::new(values.to_vec(), [values.len()]);
            let device = Device::flex().autodiff();
            let base = Tensor::<1>::from_data(data(&WEIGHTS), &device).require_grad();
            let step = Tensor::<1>::from_data(data(&[s]), &device).require_grad();
            let loads: Vec<f32> = (1..=8).map(|i| i as f32).collect();
            let out = lsq.apply(base.clone(), step.clone());
            let gradients = (out * Tensor::from_data(data(&loads), &device)).sum().backward();

            let (size, h) = (f64::from(s.abs()), 1e-6);
            let range = (-4.0, 3.0);
            let slope =
                (surrogate(size + h, size, range) - surrogate(size - h, size, range)) / (2.0 * h);
            let expected = slope * f64::from(s.signum()) / (8.0 * 3.0_f64).sqrt();
            let found = f64::from(to_host(step.grad(&gradients).unwrap())[0]);
            assert!((found - expected).abs() < 1e-5 * expected.abs(), "{found} {expected}");

            let expected: Vec<f32> = WEIGHTS
                .iter()
                .zip(loads)
                .map(|(w, load)| if (-4.0..3.0).contains(&(w / s.abs())) { load } else { 0.0 })
                .collect();
            assert_eq!(to_host(base.grad(&gradients).unwrap()), expected);
        }
    }

    #[test]
    fn the_forward_pass_is_on_the_grid_to_the_last_bit() {
        let lsq = Lsq::new(BitWidth::INT4);
        let weights = Tensor::<1>::from_floats(WEIGHTS, &Device::flex());
        let step = lsq.initial_step(weights.clone());
        let size = to_host(step.clone())[0];
        let mean = WEIGHTS.iter().map(|w| w.abs()).sum::<f32>() / 8.0;
        assert!((size - 2.0 * mean / 7.0_f32.sqrt()).abs() < 1e-6);
        let out = to_host(lsq.apply(weights, step));
        for (w, found) in WEIGHTS.iter().zip(out) {
            assert_eq!(found, (w / size).clamp(-8.0, 7.0).round_ties_even() * size);
        }
    }
}
