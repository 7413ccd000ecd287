//! The error distribution of bit faults as normal noise.

use burn::tensor::{DType, Tensor};
use qtaml_fault::{BitMask, FaultError, QuantizedChannel};
use qtaml_physics::FlipProbability;
use qtaml_quant::{Code, Format, Word};
use serde::{Deserialize, Serialize};

use super::draw::Draw;
use super::rounding::{Rounded, straight_through};
use crate::weights::{from_host, to_host};

/// Each forward pass sees the quantized weights with normal noise of the exact mean and variance of
/// bit faults: the smooth twin of [`BitErrors`](super::BitErrors) (ours).
///
/// # Formula
/// `Δ (q + E[q' - q] + sqrt(Var[q']) N(0, 1))` with the moments of [`QuantizedChannel`] for the code `q` of
/// each weight. For two's complement and symmetric `p` the drift is `-2pq - p` and the variance
/// `p (1 - p) (4^b - 1) / 3` for every weight: on a layer, in proportion to `||W||_inf²`. The gradient
/// passes straight through.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WkbNoise {
    /// Width and encoding of the codes.
    pub format: Format,
    /// How often bits flip.
    pub flips: FlipProbability,
}

impl WkbNoise {
    /// A width alone stands for two's complement.
    pub fn new(format: impl Into<Format>, flips: FlipProbability) -> Self {
        Self { format: format.into(), flips }
    }

    /// Tabulates the error distribution.
    pub(super) fn moments(&self) -> Result<Moments, FaultError> {
        let channel = QuantizedChannel::new(self.flips, self.format, BitMask::NONE)?;
        let codes = self.format.min_code()..=self.format.bits().max_code();
        let words: Vec<Word> = codes.map(|code| self.format.word_of(Code(code))).collect();
        let drift = words.iter().map(|&word| channel.drift(word) as f32).collect();
        let deviation = words.iter().map(|&word| channel.variance(word).sqrt() as f32).collect();
        Ok(Moments { method: *self, drift, deviation })
    }

    pub(super) fn round<const D: usize>(&self, weights: Tensor<D>) -> Rounded<D> {
        Rounded::new(weights, self.format, None, None)
    }
}

/// Drift and standard deviation of every code, from the smallest on, in steps.
#[derive(Debug)]
pub(super) struct Moments {
    method: WkbNoise,
    drift: Vec<f32>,
    deviation: Vec<f32>,
}

impl Moments {
    pub(super) fn apply<const D: usize>(
        &self,
        base: Tensor<D>,
        draw: Option<&Draw<'_>>,
    ) -> Tensor<D> {
        let mut rounded = self.method.round(base.clone().without_autodiff());
        if let Some(draw) = draw {
            rounded.codes = self.read(rounded.codes, draw);
        }
        straight_through(base, rounded.weights())
    }

    /// Codes with drift and noise: on the host, where the noise is drawn.
    fn read<const D: usize>(&self, codes: Tensor<D>, draw: &Draw<'_>) -> Tensor<D> {
        let (shape, device) = (codes.dims(), codes.device());
        let smallest = self.method.format.min_code();
        let noise = draw.standard_normals().zip(to_host(codes));
        let read: Vec<f32> = noise
            .map(|(normal, code)| {
                let rank = (code as i32 - smallest) as usize;
                code + self.drift[rank] + self.deviation[rank] * normal
            })
            .collect();
        from_host(read, shape, &device, DType::F32)
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Device;
    use qtaml_fault::Seed;
    use qtaml_quant::{BitWidth, QuantizedTensor};

    use super::*;

    /// In steps, the noise has the published moments: each bound is five standard errors.
    #[test]
    fn the_noise_has_the_moments_of_the_faults() {
        let (p, n) = (0.1, 50_000);
        let draw = Draw { seed: Seed(4), step: 0, name: "w" };
        let weights = draw.normals(&Tensor::<1>::zeros([n], &Device::flex()));
        let method = WkbNoise::new(BitWidth::INT8, FlipProbability::symmetric(p).unwrap());
        let other = Draw { step: 1, ..draw };
        let read = method.moments().unwrap().apply(weights.clone(), Some(&other));
        let stored = QuantizedTensor::quantize(&to_host(weights), &[n], BitWidth::INT8).unwrap();
        let variance = p * (1.0 - p) * (65536.0 - 1.0) / 3.0;
        let scores: Vec<f64> = stored
            .codes()
            .zip(to_host(read))
            .map(|(q, read)| {
                let (q, read) = (f64::from(q), f64::from(read / stored.scale()));
                (read - ((1.0 - 2.0 * p) * q - p)) / variance.sqrt()
            })
            .collect();
        let mean = scores.iter().sum::<f64>() / n as f64;
        let square = scores.iter().map(|z| z * z).sum::<f64>() / n as f64;
        assert!(mean.abs() < 5.0 / (n as f64).sqrt(), "{mean}");
        assert!((square - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt(), "{square}");
    }

    #[test]
    fn noise_comes_after_quantization() {
        let draw = Draw { seed: Seed(4), step: 0, name: "w" };
        let flips = FlipProbability::symmetric(0.01).unwrap();
        let moments = WkbNoise::new(BitWidth::INT4, flips).moments().unwrap();
        let see = |second: f32| {
            let weights = Tensor::<1>::from_floats([7.0, second, -3.0], &Device::flex());
            to_host(moments.apply(weights, Some(&draw)))
        };
        // What quantization removes, nothing brings back; and what is read is off the grid.
        assert_eq!(see(2.0), see(2.3));
        assert!(see(2.0).iter().all(|w| w.fract() != 0.0));
    }
}
