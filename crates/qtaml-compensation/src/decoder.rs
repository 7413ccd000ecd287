//! What to believe when a word is read.

use qtaml_fault::CodeChannel;
use qtaml_quant::Format;
use serde::{Deserialize, Serialize};

use crate::CompensationError;

/// A rule that turns a read word into a value, in units of the code (docs/theory.md, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoder {
    /// Believe the word: `g(y) = y`.
    Raw,
    /// Invert the mean drift, so that the mean of what is believed is what was stored. For two's
    /// complement and one law for all bits it is `g(y) = y_M + (y_U - p01 Σ_U w_i) / (1 - p01 - p10)`
    /// with the parts `y_M`, `y_U` of the code that protected and unprotected bits hold: affine in
    /// what was read, and noisier than it by the factor `1 / (1 - p01 - p10)`.
    Affine,
}

impl std::fmt::Display for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Affine => "affine",
        })
    }
}

/// A decoder for one channel, as a table over the read words: applied once when the weights are
/// read, it costs nothing afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeTable {
    format: Format,
    values: Vec<f64>,
}

impl DecodeTable {
    /// The table of `decoder` for words read through `channel`.
    ///
    /// # Errors
    /// [`CompensationError::NotInvertible`] if the affine decoder meets a bit with `p01 + p10 >= 1`.
    pub fn new(decoder: Decoder, channel: &CodeChannel) -> Result<Self, CompensationError> {
        let format = channel.format();
        let words = format.bits().words();
        let values = match decoder {
            Decoder::Raw => words.map(|read| f64::from(format.code_of(read))).collect(),
            Decoder::Affine => {
                let signs = unbiased_signs(channel)?;
                words.map(|read| with_signs(format, &signs, read)).collect()
            }
        };
        Ok(Self { format, values })
    }

    /// The value of a read word, in units of the code.
    pub fn value(&self, read: u8) -> f64 {
        self.values[usize::from(read & self.format.bits().mask())]
    }

    /// The weights that `words`, read from a tensor of the given scale, stand for.
    pub fn weights(&self, words: &[u8], scale: f32) -> Vec<f32> {
        let scaled: Vec<f32> = self.values.iter().map(|v| (v * f64::from(scale)) as f32).collect();
        let mask = self.format.bits().mask();
        words.iter().map(|read| scaled[usize::from(read & mask)]).collect()
    }
}

/// For each bit, what to take for its sign where a 0 and where a 1 is read.
///
/// The mean of the sign read is `(1 - p01 - p10) s + p10 - p01`. Solved for `s`, and the bits being
/// independent, every product of such signs has the product of the stored signs as its mean.
fn unbiased_signs(channel: &CodeChannel) -> Result<Vec<[f64; 2]>, CompensationError> {
    let sign = |bit| {
        let (p01, p10) = (channel.flip(bit, false), channel.flip(bit, true));
        let gain = 1.0 - p01 - p10;
        if gain <= 0.0 {
            return Err(CompensationError::NotInvertible { bit, p01, p10 });
        }
        Ok([1.0, -1.0].map(|read| (read - (p10 - p01)) / gain))
    };
    (0..channel.bits().get() as usize).map(sign).collect()
}

/// The code of the word `read` where its signs are replaced by `signs`.
fn with_signs(format: Format, signs: &[[f64; 2]], read: u8) -> f64 {
    let sign = |i: usize| signs[i][usize::from(read >> i & 1)];
    let product =
        |bits: u8| -> f64 { (0..signs.len()).filter(|i| bits >> i & 1 == 1).map(sign).product() };
    format.terms().map(|term| term.weight * product(term.bits)).sum()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::{ChannelMatrix, Protection};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::BitWidth;

    use super::*;

    fn channel(p01: f64, p10: f64, format: impl Into<Format>, k: u32) -> CodeChannel {
        let (p, format) = (FlipProbability::asymmetric(p01, p10).unwrap(), format.into());
        CodeChannel::new(p, format, Protection::top(k, format.bits()).unwrap()).unwrap()
    }

    #[test]
    fn affine_is_unbiased_for_every_word_format_and_protection() {
        for (p01, p10) in [(0.1, 0.1), (0.02, 0.3), (0.0, 0.4)] {
            for format in Format::all() {
                for k in 0..=format.bits().get() {
                    let channel = channel(p01, p10, format, k);
                    let table = DecodeTable::new(Decoder::Affine, &channel).unwrap();
                    let matrix = ChannelMatrix::new(&channel);
                    for stored in format.bits().words() {
                        let mean = matrix.expect(stored, |read| table.value(read));
                        let code = f64::from(format.code_of(stored));
                        assert_relative_eq!(mean, code, epsilon = 1e-9);
                    }
                }
            }
        }
    }

    /// The correction as the source describes it, where it is affine.
    #[test]
    fn twos_complement_is_corrected_affinely() {
        let (p01, p10) = (0.02, 0.3);
        for bits in BitWidth::all() {
            for k in 0..=bits.get() {
                let channel = channel(p01, p10, bits, k);
                let table = DecodeTable::new(Decoder::Affine, &channel).unwrap();
                let kept = channel.protection().mask();
                let code = |word| f64::from(Format::from(bits).code_of(word));
                for read in bits.words() {
                    let offset = p01 * code(bits.mask() & !kept);
                    let exposed = (code(read & !kept & bits.mask()) - offset) / (1.0 - p01 - p10);
                    let expected = code(read & kept) + exposed;
                    assert_relative_eq!(table.value(read), expected, epsilon = 1e-10);
                }
            }
        }
    }

    #[test]
    fn without_faults_every_decoder_believes_the_word() {
        let channel = channel(0.0, 0.0, BitWidth::INT8, 0);
        let raw = DecodeTable::new(Decoder::Raw, &channel).unwrap();
        assert_eq!(DecodeTable::new(Decoder::Affine, &channel).unwrap(), raw);
    }

    #[test]
    fn weights_are_scaled_values() {
        let table = DecodeTable::new(Decoder::Raw, &channel(0.1, 0.1, BitWidth::INT8, 0)).unwrap();
        assert_eq!(table.weights(&[0x02, 0xff], 0.5), [1.0, -0.5]);
    }

    #[test]
    fn a_channel_that_tells_nothing_is_refused() {
        let error = DecodeTable::new(Decoder::Affine, &channel(0.5, 0.5, BitWidth::INT8, 0));
        assert_eq!(error, Err(CompensationError::NotInvertible { bit: 0, p01: 0.5, p10: 0.5 }));
    }
}
