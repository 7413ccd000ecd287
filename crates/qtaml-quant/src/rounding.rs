//! From a weight to its word.

use crate::tensor::largest_scale;
use crate::{Format, QuantError};

/// Numbers from 2^52 to 2^53 are whole: adding this one rounds, ties to even, in one step where
/// processors without an instruction for it would call a function, and leaves the code in the lowest
/// byte.
const WHOLE: f64 = 1.5 * (1_u64 << 52) as f64;

/// The words of weights at one scale: what [`QuantizedTensor`](crate::QuantizedTensor) stores, one
/// weight at a time, for tensors that are never in memory as a whole.
///
/// # Formula
/// `code = round(w / scale)` with ties to even, at most `±(2^(b-1) - 1)` (docs/theory.md, section 2).
///
/// ```
/// use qtaml_quant::{BitWidth, QuantizedTensor, Rounding};
///
/// let weights = [0.5, -1.0, 1.75];
/// let stored = QuantizedTensor::quantize(&weights, &[3], BitWidth::INT4)?;
/// let rounding = Rounding::new(BitWidth::INT4, stored.scale())?;
/// assert_eq!(weights.map(|w| rounding.word(w)), stored.words());
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rounding {
    scale: f64,
    max: f64,
    /// The word of each code, by the lowest byte of the code.
    words: [u8; 256],
}

impl Rounding {
    /// For words of a format at a scale; at scale 0 every weight is zero.
    ///
    /// # Errors
    /// [`QuantError::Scale`] for a scale that is negative, NaN, or so large that a code would have an
    /// infinite weight.
    pub fn new(format: impl Into<Format>, scale: f32) -> Result<Self, QuantError> {
        let format = format.into();
        let bits = format.bits();
        if !(0.0..=largest_scale(bits)).contains(&scale) {
            return Err(QuantError::Scale(scale));
        }
        // Divided by infinity all weights are zero.
        let divisor = if scale == 0.0 { f64::INFINITY } else { scale.into() };
        let words = std::array::from_fn(|byte| format.word_of((byte as u8 as i8).into()));
        Ok(Self { scale: divisor, max: bits.max_code().into(), words })
    }

    /// The word of a weight. One beyond the range, infinity too, gets an outermost code; NaN is zero.
    #[inline]
    pub fn word(&self, weight: f32) -> u8 {
        self.words[usize::from(self.code(weight))]
    }

    /// The lowest byte of the code. In f64, so that the rounding of the scale itself cannot move a tie.
    #[inline]
    fn code(&self, weight: f32) -> u8 {
        let steps = (f64::from(weight) / self.scale).clamp(-self.max, self.max);
        (steps + WHOLE).to_bits() as u8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::BitWidth;

    proptest! {
        /// The shortcut against the function of the standard library.
        #[test]
        fn codes_are_rounded_to_even(weight in -300.0_f32..300.0, eighths in 1_u32..64) {
            let scale = eighths as f32 / 8.0;
            let half = ((weight as i32) as f32 + 0.5) * scale;
            for format in Format::all() {
                let max = f64::from(format.bits().max_code());
                let rounding = Rounding::new(format, scale).unwrap();
                for weight in [weight, half, half.next_up(), half.next_down()] {
                    let steps = f64::from(weight) / f64::from(scale);
                    let expected = steps.round_ties_even().clamp(-max, max) as i32;
                    prop_assert_eq!(format.code_of(rounding.word(weight)), expected);
                }
            }
        }
    }

    #[test]
    fn any_weight_has_a_word() {
        for format in Format::all() {
            let max = format.bits().max_code();
            let code =
                |scale, weight| format.code_of(Rounding::new(format, scale).unwrap().word(weight));
            assert_eq!(code(0.0, 1.0), 0);
            assert_eq!(code(1.0, f32::NAN), 0);
            assert_eq!(code(1.0, f32::INFINITY), max);
            assert_eq!(code(f32::from_bits(1), -f32::MAX), -max);
        }
    }

    #[test]
    fn scales_have_bounds() {
        for scale in [-1.0, f32::NAN, f32::INFINITY, f32::MAX] {
            let error = Rounding::new(BitWidth::INT8, scale).unwrap_err();
            assert!(matches!(error, QuantError::Scale(_)), "{scale}");
        }
    }
}
