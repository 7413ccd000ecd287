//! The Bayes decoder: the posterior mean of the stored code.

use qtaml_fault::{FaultError, QuantizedChannel};

use super::raw;
use crate::CodeHistogram;

/// Below it the gain is what rounding left of nothing.
const LEAST_GAIN: f64 = 1e-12;

pub(super) fn values(
    channel: &QuantizedChannel,
    prior: &CodeHistogram,
) -> Result<Vec<f64>, FaultError> {
    Ok(posterior(channel, prior)?.0)
}

/// Divided by `α = E[q g] / E[q²]`, where `q` and `g` are counted from `zero`, the value that stands for
/// a weight of 0. Given what is read, the mean of `q` is `g`: so `E[q g] = E[g²]`.
pub(super) fn values_of_unit_gain(
    channel: &QuantizedChannel,
    prior: &CodeHistogram,
    zero: f64,
) -> Result<Vec<f64>, FaultError> {
    let (values, evidence) = posterior(channel, prior)?;
    let squared = |g: &f64, share: &f64| share * (g - zero) * (g - zero);
    let power: f64 = values.iter().zip(&evidence).map(|(g, share)| squared(g, share)).sum();
    let gain = power / prior.expect(|code| (code - zero) * (code - zero));
    // A prior of zeros alone has gain 0 / 0.
    if gain.is_nan() || gain < LEAST_GAIN {
        return Ok(raw::values(channel.format()));
    }
    if zero == 0.0 {
        return Ok(values.iter().map(|g| g / gain).collect());
    }
    Ok(values.iter().map(|g| zero + (g - zero) / gain).collect())
}

/// `E[q | y]` and how often `y` is read; the raw value where it never is.
fn posterior(
    channel: &QuantizedChannel,
    prior: &CodeHistogram,
) -> Result<(Vec<f64>, Vec<f64>), FaultError> {
    let codes = raw::values(channel.format());
    let moments: Vec<f64> = prior.shares().iter().zip(&codes).map(|(share, q)| share * q).collect();
    let (evidence, moments) = (channel.pass(prior.shares())?, channel.pass(&moments)?);
    let mean = |((moment, evidence), raw)| if evidence > 0.0 { moment / evidence } else { raw };
    let values = moments.into_iter().zip(evidence.iter().copied()).zip(codes).map(mean).collect();
    Ok((values, evidence))
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_fault::{BitMask, ChannelMatrix};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, Encoding, Format, Word};

    use super::super::fixtures::{bell, channel, channels, zeros};
    use super::*;
    use crate::{DecodeTable, Decoder, mean_square_error};

    /// Bayes' rule written out over the matrix.
    #[test]
    fn it_is_the_conditional_mean() {
        for channel in channels() {
            let (format, prior) = (channel.format(), bell(channel.format()));
            let (matrix, values) =
                (ChannelMatrix::new(&channel), values(&channel, &prior).unwrap());
            for read in format.bits().words() {
                let i = usize::from(read);
                let joint = |(stored, share): (Word, f64)| (stored, share * matrix.row(stored)[i]);
                let evidence: f64 = prior.iter().map(joint).map(|(_, share)| share).sum();
                let moment: f64 =
                    prior.iter().map(joint).map(|(q, p)| f64::from(format.code_of(q)) * p).sum();
                if evidence > 0.0 {
                    assert_relative_eq!(values[i], moment / evidence, epsilon = 1e-9);
                }
            }
        }
    }

    #[test]
    fn words_that_cannot_be_read_keep_their_value() {
        let channel = channel(0.1, 0.1, BitWidth::INT4, 1);
        let values = values(&channel, &zeros(channel.format())).unwrap();
        assert_eq!(values[..8], [0.0; 8]);
        assert_eq!(values[8..], [-8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0]);
    }

    /// `Σ π(q) q E[g | q] = Σ π(q) q²`, by summation over the matrix.
    #[test]
    fn the_corrected_gain_is_one() {
        for channel in channels() {
            let (format, prior) = (channel.format(), bell(channel.format()));
            let values = values_of_unit_gain(&channel, &prior, 0.0).unwrap();
            let matrix = ChannelMatrix::new(&channel);
            let response: f64 = prior
                .iter()
                .map(|(stored, share)| {
                    let mean = matrix.expect(stored, |read| values[usize::from(read)]);
                    share * f64::from(format.code_of(stored)) * mean
                })
                .sum();
            assert_relative_eq!(response, prior.mean_square(), max_relative = 1e-9);
        }
    }

    #[test]
    fn without_a_gain_it_is_raw() {
        let raw = raw::values(Format::INT8);
        let deaf = channel(0.5, 0.5, Format::INT8, 0);
        let even = CodeHistogram::from_counts(Format::INT8, &[1; 256]).unwrap();
        let silent = zeros(Format::INT8);
        let unit_gain = |channel: &QuantizedChannel, prior: &CodeHistogram| {
            values_of_unit_gain(channel, prior, 0.0).unwrap()
        };
        assert_eq!(unit_gain(&channel(0.1, 0.1, Format::INT8, 0), &silent), raw);
        // The mean of all codes is -1/2, and not nothing: without -128 it is.
        assert!((unit_gain(&deaf, &even)[0] - raw[0]).abs() > 1.0);
        let mut counts = [1; 256];
        counts[0x80] = 0;
        let balanced = CodeHistogram::from_counts(Format::INT8, &counts).unwrap();
        assert_eq!(unit_gain(&deaf, &balanced), raw);
    }

    proptest! {
        /// No decoder does better under the prior, whatever is stored.
        #[test]
        fn nothing_is_closer_in_the_mean(
            counts in prop::collection::vec(0_u64..1000, 16),
            encoding in prop::sample::select(Encoding::ALL.to_vec()),
            (p01, p10) in (0.0..0.5, 0.0..0.45),
            mask in 0_u8..16,
        ) {
            prop_assume!(counts.iter().any(|&count| count > 0));
            let format = Format::new(BitWidth::INT4, encoding);
            let p = FlipProbability::asymmetric(p01, p10).unwrap();
            let kept = BitMask::of_bits(mask, BitWidth::INT4).unwrap();
            let channel = QuantizedChannel::new(p, format, kept).unwrap();
            let prior = CodeHistogram::from_counts(format, &counts).unwrap();
            let error = |decoder| {
                let table = DecodeTable::new(decoder, &channel, &prior).unwrap();
                mean_square_error(&prior, &channel, &table).unwrap()
            };
            let line = error(Decoder::LinearMmse);
            prop_assert!(error(Decoder::Bayes) <= line + 1e-9);
            for decoder in [Decoder::Raw, Decoder::Affine] {
                prop_assert!(line <= error(decoder) * (1.0 + 1e-9) + 1e-9, "{}", decoder);
            }
            prop_assert!(error(Decoder::Bayes) <= error(Decoder::BayesGain) + 1e-9);
        }
    }
}
