//! Real bit faults in the forward pass.

use burn::tensor::{DType, Tensor};
use qtaml_fault::{BitFlips, FaultModel, ProtectionMap};
use qtaml_physics::FlipProbability;
use qtaml_quant::{Code, Format};
use serde::{Deserialize, Serialize};

use super::draw::Draw;
use super::rounding::{Rounded, straight_through};
use crate::weights::{from_host, to_host};

/// Each forward pass reads the quantized weights from a memory whose bits flip, fresh faults every
/// step; the gradient passes straight through. In the manner of `RandBET` (D. Stutz, N.
/// Chandramoorthy, M. Hein and B. Schiele, "Bit error robustness for energy-efficient DNN
/// accelerators", Proc. Machine Learning and Systems 3, 2021), which also clips; there the range is absolute, here relative.
///
/// Quantization comes first, faults after: they are those of [`BitFlips`] in the words that would be
/// stored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitErrors {
    /// Width and encoding of the codes.
    pub format: Format,
    /// How often bits flip.
    pub flips: FlipProbability,
    /// Steps over which the probabilities grow linearly from zero; 0 for none.
    pub ramp_steps: u64,
    /// The range beyond which weights saturate, as a share of the largest magnitude, above 0 and at
    /// most 1; all of it if nothing is said.
    pub clip: Option<f32>,
}

impl BitErrors {
    /// From the first step on, and nothing clipped. A width alone stands for two's complement.
    pub fn new(format: impl Into<Format>, flips: FlipProbability) -> Self {
        Self { format: format.into(), flips, ramp_steps: 0, clip: None }
    }

    pub(super) fn round<const D: usize>(&self, weights: Tensor<D>) -> Rounded<D> {
        Rounded::new(weights, self.format, self.clip, None)
    }

    pub(super) fn apply<const D: usize>(
        &self,
        base: Tensor<D>,
        draw: Option<&Draw<'_>>,
    ) -> Tensor<D> {
        let mut rounded = self.round(base.clone().without_autodiff());
        if let Some(draw) = draw {
            rounded.codes = self.read(rounded.codes, draw);
        }
        straight_through(base, rounded.weights())
    }

    /// The codes that are read where these are stored.
    fn read<const D: usize>(&self, codes: Tensor<D>, draw: &Draw<'_>) -> Tensor<D> {
        let (shape, device) = (codes.dims(), codes.device());
        // One flip probability for every bit fits words of any width.
        let Ok(faults) = BitFlips::new(self.flips_at(draw.step), self.format.bits()) else {
            return codes;
        };
        let word = |code: f32| self.format.word_of(Code(code as i32)).0;
        let mut words: Vec<u8> = to_host(codes).into_iter().map(word).collect();
        let injected = faults.inject_tensor(&mut words, &draw.stream(), ProtectionMap::NOTHING);
        // The bits of a tensor in this machine's memory can be counted.
        debug_assert_eq!(injected, Ok(()));
        let code_of: Vec<f32> =
            self.format.bits().words().map(|word| self.format.code_of(word).0 as f32).collect();
        let read: Vec<f32> = words.into_iter().map(|word| code_of[usize::from(word)]).collect();
        from_host(read, shape, &device, DType::F32)
    }

    fn flips_at(&self, step: u64) -> FlipProbability {
        if step >= self.ramp_steps {
            return self.flips;
        }
        let share = step as f64 / self.ramp_steps as f64;
        // Less than a probability is one.
        FlipProbability::asymmetric(share * self.flips.p01(), share * self.flips.p10())
            .unwrap_or(self.flips)
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Device;
    use qtaml_fault::Seed;
    use qtaml_quant::{BitWidth, Encoding, QuantizedTensor};

    use super::*;

    const DRAW: Draw<'static> = Draw { seed: Seed(9), step: 3, name: "w" };

    fn method(format: Format) -> BitErrors {
        BitErrors::new(format, FlipProbability::asymmetric(0.05, 0.1).unwrap())
    }

    /// The independent computation: quantize on the host, inject, dequantize.
    #[test]
    fn faults_come_after_quantization() {
        let weights = DRAW.normals(&Tensor::<2>::zeros([60, 50], &Device::flex()));
        let host = to_host(weights.clone());
        for encoding in Encoding::ALL {
            let format = Format::new(BitWidth::INT8, encoding);
            let stored = QuantizedTensor::quantize(&host, &[60, 50], format).unwrap();
            let faults = BitFlips::new(method(format).flips, BitWidth::INT8).unwrap();
            let read =
                faults.corrupted(stored.words(), &DRAW.stream(), ProtectionMap::NOTHING).unwrap();
            assert_ne!(read, stored.words());
            let read = QuantizedTensor::from_words(read, &[60, 50], format, stored.scale());
            let found = method(format).apply(weights.clone(), Some(&DRAW));
            assert_eq!(to_host(found), read.unwrap().dequantize(), "{encoding}");
            let clean = method(format).apply(weights.clone(), None);
            assert_eq!(to_host(clean), stored.dequantize());
        }
    }

    #[test]
    fn probabilities_grow_to_their_full_value() {
        let ramp = BitErrors { ramp_steps: 4, ..method(BitWidth::INT8.into()) };
        let larger: Vec<f64> = (0..6).map(|step| ramp.flips_at(step).larger()).collect();
        for (found, expected) in larger.iter().zip([0.0, 0.025, 0.05, 0.075, 0.1, 0.1]) {
            assert!((found - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn training_never_meets_the_faults_of_a_trial() {
        let read = |stream| {
            let faults = BitFlips::new(FlipProbability::symmetric(0.1).unwrap(), BitWidth::INT8);
            faults.unwrap().corrupted(&[0; 64], &stream, ProtectionMap::NOTHING).unwrap()
        };
        assert_ne!(read(DRAW.stream()), read(qtaml_fault::FaultStream::new(DRAW.seed, 3, "w")));
    }
}
