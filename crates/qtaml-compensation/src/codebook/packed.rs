//! The words of a codebook as packed bytes.

use qtaml_quant::{QuantError, pack_words, unpack_words};

use super::Codebook;
use super::encoder::moments;
use super::{sample, wide};
use crate::WeightsError;

/// Eight words of `R` bits fill `R` bytes.
const GROUP: usize = 8;

/// Words back to back: bit `j` of word `i` is bit `k = i R + j`, which is bit `k mod 8` of byte
/// `floor(k / 8)`, as in [`PackedWords`](qtaml_quant::PackedWords). The bits that fill up the last
/// byte are zero. A stream may be cut behind every eighth word.
impl Codebook {
    /// The bytes to store for some weights.
    ///
    /// ```
    /// use qtaml_compensation::codebook::{Codebook, DesignConfig, Sample, WordChannel};
    /// use qtaml_physics::FlipProbability;
    ///
    /// let channel = WordChannel::new(FlipProbability::symmetric(0.05)?, 6)?;
    /// let code = Codebook::design(&Sample::gaussian(), &channel, &DesignConfig::default());
    /// let weights = [0.5, -1.5, 2.0];
    /// let bytes = code.encode_packed(&weights)?;
    /// assert_eq!(bytes.len(), 3); // 18 bits
    /// assert_eq!(code.decode_packed(&bytes, 3)?, code.decode(&code.encode(&weights)?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] for one that is NaN or infinite.
    pub fn encode_packed(&self, weights: &[f32]) -> Result<Vec<u8>, WeightsError> {
        if self.width() == 8 {
            return self.low_bytes(weights);
        }
        Ok(pack_words(&self.encode(weights)?, self.width()))
    }

    /// The values of so many words that are read from `bytes`.
    ///
    /// # Errors
    /// [`QuantError::PackedLength`] for too few or too many bytes.
    pub fn decode_packed(&self, bytes: &[u8], words: usize) -> Result<Vec<f32>, QuantError> {
        let expected = self.packed_len(words);
        if bytes.len() != expected {
            let (bits, bytes) = (self.width(), bytes.len());
            return Err(QuantError::PackedLength { words, bits, expected, bytes });
        }
        if self.width() == 8 {
            return Ok(self.values_of_bytes(bytes));
        }
        Ok(self.decode(&unpack_words(bytes, self.width(), words)))
    }

    /// Bytes that so many words fill.
    pub(super) const fn packed_len(&self, words: usize) -> usize {
        let bits = self.table.len().trailing_zeros() as usize;
        let whole_groups = (words / GROUP).saturating_mul(bits);
        whole_groups.saturating_add((words % GROUP * bits).div_ceil(8))
    }

    /// Expected square error of these very weights, summed over them, when the memory is the one
    /// of the design.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] for one that is NaN or infinite.
    pub fn square_error(&self, weights: &[f32]) -> Result<f64, WeightsError> {
        sample::check_finite(weights)?;
        let error = |(&weight, [mean, variance]): (&f32, [f64; 2])| {
            (f64::from(weight) - mean).powi(2) + variance
        };
        Ok(weights.iter().zip(self.believed(weights)).map(error).sum())
    }

    /// Mean and variance of what is believed of each weight when it is stored, all of them finite.
    pub(super) fn believed(&self, weights: &[f32]) -> impl Iterator<Item = [f64; 2]> {
        let (mean, square) = moments(&wide(&self.table), &self.channel);
        let of_word = |&word: &u16| {
            let word = usize::from(word);
            [mean[word], (square[word] - mean[word] * mean[word]).max(0.0)]
        };
        let of_cell: Vec<[f64; 2]> = self.words.iter().map(of_word).collect();
        self.lookup.cells(weights).map(move |cell| of_cell[cell])
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_physics::FlipProbability;

    use crate::WeightsError;
    use crate::codebook::{Codebook, DesignConfig, Sample, WordChannel};

    fn code(width: u32, weights: &[f32]) -> Codebook {
        let channel = WordChannel::new(FlipProbability::symmetric(0.02).unwrap(), width).unwrap();
        let quick = DesignConfig { switches: 0, iterations: 5, ..DesignConfig::default() };
        Codebook::design(&Sample::of(weights).unwrap(), &channel, &quick)
    }

    proptest! {
        /// Bit by bit, as the layout says, and cut behind every eighth word.
        #[test]
        fn words_lie_back_to_back(
            width in 1_u32..=10,
            weights in prop::collection::vec(-1.0..1.0_f32, 1..50),
        ) {
            let code = code(width, &weights);
            let words = code.encode(&weights).unwrap();
            let bytes = code.encode_packed(&weights).unwrap();
            let bits = words.iter().flat_map(|word| (0..width).map(move |bit| word >> bit & 1 == 1));
            for (k, bit) in bits.enumerate() {
                prop_assert_eq!(bytes[k / 8] >> (k % 8) & 1 == 1, bit, "bit {}", k);
            }
            prop_assert_eq!(bytes.len(), (weights.len() * width as usize).div_ceil(8));
            let read = code.decode_packed(&bytes, words.len()).unwrap();
            prop_assert_eq!(read, code.decode(&words));
            let cut = weights.chunks(16).flat_map(|piece| code.encode_packed(piece).unwrap());
            prop_assert_eq!(cut.collect::<Vec<_>>(), bytes);
        }

        /// As many values as a sample keeps apart: no bin is cut.
        #[test]
        fn the_error_of_the_weights_is_that_of_their_sample(
            weights in prop::collection::vec(-1.0..1.0_f32, 1..200),
        ) {
            let code = code(5, &weights);
            let mean = code.square_error(&weights).unwrap() / weights.len() as f64;
            assert_relative_eq!(mean, code.mse(), epsilon = 1e-12);
        }
    }

    #[test]
    fn other_lengths_and_what_is_no_number_are_refused() {
        let code = code(3, &[0.5, -0.5]);
        let error = code.decode_packed(&[0; 2], 6).unwrap_err().to_string();
        assert_eq!(error, "6 words of 3 bits fill 3 bytes, and 2 were given");
        assert!(code.decode_packed(&[], usize::MAX).is_err());
        let error = WeightsError::NotFinite { index: 1, value: f32::INFINITY };
        assert_eq!(code.encode_packed(&[0.0, f32::INFINITY]), Err(error.clone()));
        assert_eq!(code.square_error(&[0.0, f32::INFINITY]), Err(error));
    }
}
