//! What to believe when a word is read.

use qtaml_fault::CodeChannel;
use qtaml_quant::BitWidth;
use serde::{Deserialize, Serialize};

use crate::CompensationError;

/// A rule that turns a read word into a value, in units of the code (docs/theory.md, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoder {
    /// Believe the word: `g(y) = y`.
    Raw,
    /// Invert the mean drift: `g(y) = y_M + (y_U - p01 Σ_U w_i) / (1 - p01 - p10)`. Unbiased, and
    /// its noise is larger than the raw one by the factor `1 / (1 - p01 - p10)`.
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
    bits: BitWidth,
    values: Vec<f64>,
}

impl DecodeTable {
    /// The table of `decoder` for words read through `channel`.
    ///
    /// # Errors
    /// [`CompensationError::NotInvertible`] if the affine decoder meets `p01 + p10 >= 1`.
    pub fn new(decoder: Decoder, channel: &CodeChannel) -> Result<Self, CompensationError> {
        let bits = channel.bits();
        let values = match decoder {
            Decoder::Raw => bits.words().map(|read| f64::from(bits.code_of(read))).collect(),
            Decoder::Affine => affine(channel)?,
        };
        Ok(Self { bits, values })
    }

    /// The value of a read word, in units of the code.
    pub fn value(&self, read: u8) -> f64 {
        self.values[usize::from(read & self.bits.mask())]
    }

    /// The weights that `words`, read from a tensor of the given scale, stand for.
    pub fn weights(&self, words: &[u8], scale: f32) -> Vec<f32> {
        let scaled: Vec<f32> = self.values.iter().map(|v| (v * f64::from(scale)) as f32).collect();
        words.iter().map(|read| scaled[usize::from(read & self.bits.mask())]).collect()
    }
}

fn affine(channel: &CodeChannel) -> Result<Vec<f64>, CompensationError> {
    let (gain, offset) = (channel.gain(), channel.offset());
    if gain <= 0.0 {
        let p = channel.probability();
        return Err(CompensationError::NotInvertible { p01: p.p01(), p10: p.p10() });
    }
    let value = |read| {
        let (kept, exposed) = channel.split(read);
        f64::from(kept) + (f64::from(exposed) - offset) / gain
    };
    Ok(channel.bits().words().map(value).collect())
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::{ChannelMatrix, Protection};
    use qtaml_physics::FlipProbability;

    use super::*;

    fn channel(p01: f64, p10: f64, bits: BitWidth, k: u32) -> CodeChannel {
        let p = FlipProbability::asymmetric(p01, p10).unwrap();
        CodeChannel::new(p, bits, Protection::top(k, bits).unwrap())
    }

    #[test]
    fn affine_is_unbiased_for_every_code_and_protection() {
        for (p01, p10) in [(0.1, 0.1), (0.02, 0.3), (0.0, 0.4)] {
            for bits in [BitWidth::INT4, BitWidth::INT8] {
                for k in 0..=bits.get() {
                    let channel = channel(p01, p10, bits, k);
                    let table = DecodeTable::new(Decoder::Affine, &channel).unwrap();
                    let matrix = ChannelMatrix::new(&channel);
                    for stored in bits.words() {
                        let mean = matrix.expect(stored, |read| table.value(read));
                        let code = f64::from(bits.code_of(stored));
                        assert_relative_eq!(mean, code, epsilon = 1e-9);
                    }
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
        assert_eq!(error, Err(CompensationError::NotInvertible { p01: 0.5, p10: 0.5 }));
    }
}
