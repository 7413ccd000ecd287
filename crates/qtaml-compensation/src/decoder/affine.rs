//! The affine decoder: the inverse of the mean drift.

use qtaml_fault::QuantizedChannel;
use qtaml_quant::{Format, Word};

use crate::DecoderError;

pub(super) fn values(channel: &QuantizedChannel) -> Result<Vec<f64>, DecoderError> {
    let signs = unbiased_signs(channel)?;
    let format = channel.format();
    Ok(format.bits().words().map(|read| with_signs(format, &signs, read)).collect())
}

/// For each bit, what to take for its sign where a 0 and where a 1 is read.
///
/// The mean of the sign read is `(1 - p01 - p10) s + p10 - p01`. Solved for `s`, and the bits being
/// independent, every product of such signs has the product of the stored signs as its mean.
fn unbiased_signs(channel: &QuantizedChannel) -> Result<Vec<[f64; 2]>, DecoderError> {
    let sign = |bit| {
        let (p01, p10) = (channel.flip(bit, false)?, channel.flip(bit, true)?);
        let gain = 1.0 - p01 - p10;
        if gain <= 0.0 {
            return Err(DecoderError::NotInvertible { bit, p01, p10 });
        }
        Ok([1.0, -1.0].map(|read| (read - (p10 - p01)) / gain))
    };
    (0..channel.bits().get() as usize).map(sign).collect()
}

/// The code of the word `read` where its signs are replaced by `signs`.
fn with_signs(format: Format, signs: &[[f64; 2]], read: Word) -> f64 {
    let sign = |i: usize| signs[i][usize::from(read.bit(i))];
    let product =
        |bits: u8| -> f64 { (0..signs.len()).filter(|i| bits >> i & 1 == 1).map(sign).product() };
    format.terms().map(|term| term.weight * product(term.bits)).sum()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_quant::BitWidth;

    use super::super::fixtures::channel;
    use super::*;

    #[test]
    fn affine_is_unbiased_for_every_word_format_and_protection() {
        for (p01, p10) in [(0.1, 0.1), (0.02, 0.3), (0.0, 0.4)] {
            for format in Format::all() {
                for k in 0..=format.bits().get() {
                    let channel = channel(p01, p10, format, k);
                    let matrix = qtaml_fault::ChannelMatrix::new(&channel);
                    let values = values(&channel).unwrap();
                    for stored in format.bits().words() {
                        let mean = matrix.expect(stored, |read| values[usize::from(read)]);
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
                let values = values(&channel).unwrap();
                let kept = channel.protection().mask();
                let code = |word| f64::from(Format::from(bits).code_of(Word(word)));
                for read in bits.words() {
                    let offset = p01 * code(bits.mask() & !kept);
                    let exposed = (code(read.0 & !kept & bits.mask()) - offset) / (1.0 - p01 - p10);
                    let expected = code(read.0 & kept) + exposed;
                    assert_relative_eq!(values[usize::from(read)], expected, epsilon = 1e-10);
                }
            }
        }
    }

    #[test]
    fn a_channel_that_tells_nothing_is_refused() {
        let error = values(&channel(0.5, 0.5, BitWidth::INT8, 0));
        assert_eq!(error, Err(DecoderError::NotInvertible { bit: 0, p01: 0.5, p10: 0.5 }));
    }
}
