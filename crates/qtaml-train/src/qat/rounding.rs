//! Rounding to codes, as tensor operations.

use burn::tensor::Tensor;
use qtaml_quant::Format;

/// Weights as codes on their device: the weights that they stand for are `codes * scale`.
#[derive(Debug, Clone)]
pub(super) struct Rounded<const D: usize> {
    /// Whole numbers.
    pub(super) codes: Tensor<D>,
    /// One scale, or one for each output channel: it broadcasts against the codes.
    pub(super) scale: Tensor<D>,
}

impl<const D: usize> Rounded<D> {
    /// The rule of [`QuantizedTensor`](qtaml_quant::QuantizedTensor), for the range `clip` times
    /// the largest magnitude, beyond which weights saturate. With an axis, each slice along it has a
    /// scale of its own.
    pub(super) fn new(
        weights: Tensor<D>,
        format: Format,
        clip: Option<f32>,
        axis: Option<usize>,
    ) -> Self {
        let magnitudes = weights.clone().abs();
        let largest = match axis {
            Some(axis) => along(axis, magnitudes),
            None => magnitudes.max().reshape([1; D]),
        };
        let largest = if let Some(clip) = clip { largest * clip } else { largest };
        let max_code = format.bits().max_code() as f32;
        let scale = largest / max_code;
        let codes = (weights / nonzero(scale.clone())).round().clamp(-max_code, max_code);
        Self { codes, scale }
    }

    /// The weights that the codes stand for.
    pub(super) fn weights(self) -> Tensor<D> {
        self.codes * self.scale
    }
}

/// Zeros can be divided by this.
pub(super) fn nonzero<const D: usize>(scale: Tensor<D>) -> Tensor<D> {
    scale.clamp_min(f32::MIN_POSITIVE)
}

/// The largest value of each slice along an axis, of size 1 along all others.
fn along<const D: usize>(axis: usize, values: Tensor<D>) -> Tensor<D> {
    (0..D).filter(|other| *other != axis).fold(values, Tensor::max_dim)
}

/// The straight-through estimator (Y. Bengio, N. Léonard and A. Courville, arXiv 1308.3432, 2013):
/// exactly `values` forward, and a gradient of exactly 1 with respect to `base` for every weight.
///
/// That holds for saturated weights too: their gradient is that at the edge of the range, as under
/// projection onto it, so that they can come back.
pub(super) fn straight_through<const D: usize>(base: Tensor<D>, values: Tensor<D>) -> Tensor<D> {
    // The difference is an exact zero, where `base + (values - base)` would be rounded.
    let constant = base.clone().without_autodiff();
    values + (base - constant)
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::{Device, TensorData};
    use qtaml_fault::Seed;
    use qtaml_quant::{BitWidth, QuantizedTensor};

    use super::*;
    use crate::parameters::to_host;
    use crate::qat::draw::Draw;

    fn weights<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        let draw = Draw { seed: Seed(5), step: 0, name: "test" };
        draw.normals(&Tensor::zeros(shape, &Device::flex()))
    }

    #[test]
    fn the_rule_is_that_of_stored_tensors() {
        let weights = weights([40, 50]);
        let host = to_host(weights.clone());
        for bits in BitWidth::all() {
            let stored = QuantizedTensor::quantize(&host, &[40, 50], bits).unwrap();
            let rounded = Rounded::new(weights.clone(), bits.into(), None, None);
            assert_eq!(to_host(rounded.scale.clone()), [stored.scale()]);
            assert_eq!(
                to_host(straight_through(weights.clone(), rounded.weights())),
                stored.dequantize()
            );
        }
    }

    #[test]
    fn channels_have_their_own_scale() {
        let scales = |scale: Tensor<2>| (scale.dims(), to_host(scale));
        let matrix = Tensor::<2>::from_floats([[1.0, -2.0], [-3.0, 0.5]], &Device::flex());
        let rounded = Rounded::new(matrix, BitWidth::new(2).unwrap().into(), None, Some(1));
        assert_eq!(scales(rounded.scale), ([1, 2], vec![3.0, 2.0]));
        let kernel = weights([3, 2, 5, 5]);
        let rounded = Rounded::new(kernel.clone(), BitWidth::INT8.into(), None, Some(0));
        let all = to_host(rounded.weights());
        for (channel, found) in to_host(kernel).chunks(50).zip(all.chunks(50)) {
            let alone = QuantizedTensor::quantize(channel, &[50], BitWidth::INT8).unwrap();
            assert_eq!(found, alone.dequantize());
        }
    }

    #[test]
    fn beyond_the_clipped_range_weights_saturate() {
        let data = TensorData::from([-4.0_f32, -1.0, 0.6, 1.9, 4.0]);
        let weights = Tensor::<1>::from_data(data, &Device::flex());
        let rounded = Rounded::new(weights, BitWidth::new(2).unwrap().into(), Some(0.25), None);
        assert_eq!(to_host(rounded.weights()), [-1.0, -1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn zeros_stay_zero() {
        let zeros = Tensor::<2>::zeros([2, 3], &Device::flex());
        for axis in [None, Some(0), Some(1)] {
            let rounded = Rounded::new(zeros.clone(), BitWidth::INT4.into(), None, axis);
            assert_eq!(to_host(rounded.weights()), [0.0; 6]);
        }
    }

    #[test]
    fn the_gradient_is_one_everywhere() {
        let base = weights([30]).autodiff().require_grad();
        let rounded =
            Rounded::new(base.clone().without_autodiff(), BitWidth::INT4.into(), Some(0.5), None);
        let gradients = straight_through(base.clone(), rounded.weights()).sum().backward();
        assert_eq!(to_host(base.grad(&gradients).unwrap()), [1.0; 30]);
    }
}
