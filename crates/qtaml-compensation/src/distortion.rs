//! The exact mean square error of the weights that are read.

use qtaml_fault::QuantizedChannel;
use qtaml_quant::{Format, QuantizedTensor, Word};

use crate::{CodeHistogram, DecodeTable, DecoderError};

/// Mean square error per weight of a unit read through `channel` and decoded by `table`, in squared
/// units of the code: exact, by summation over all words, without sampling, in `b 2^b` steps.
///
/// # Formula
/// `Σ_q π(q) Σ_y P(y | q) (g(y) - q)^2 = Σ_q π(q) (Var[g | q] + (E[g | q] - q)^2)` (docs/theory.md,
/// section 3).
///
/// # Errors
/// [`DecoderError::Format`] unless the three are for words of one format.
pub fn mean_square_error(
    histogram: &CodeHistogram,
    channel: &QuantizedChannel,
    table: &DecodeTable,
) -> Result<f64, DecoderError> {
    check_formats(channel, [histogram.format(), table.format()])?;
    let believed = channel.moments_of(table.values())?;
    let error = |(stored, share): (Word, f64)| {
        let (mean, variance) = believed[usize::from(stored)];
        let bias = mean - f64::from(channel.format().code_of(stored));
        share * (variance + bias * bias)
    };
    Ok(histogram.iter().map(error).sum())
}

/// Mean square error per weight of `weights` stored as `stored`, read through `channel` and decoded
/// by `table`, in squared units of the weights: exact, with what rounding and clipping take.
///
/// # Formula
/// `1/n Σ_w (w - Δ E[g | q_w])^2 + Δ^2 Var[g | q_w]` with the code `q_w` of the weight `w`
/// (docs/theory.md, section 3.2); on other grids than a symmetric one with the weight that stands for
/// `E[g | q_w]` in place of `Δ E[g | q_w]`.
///
/// # Errors
/// [`DecoderError::Words`] unless there are as many weights as words, [`DecoderError::Format`]
/// unless all is of one format.
pub fn weight_error(
    weights: &[f32],
    stored: &QuantizedTensor,
    channel: &QuantizedChannel,
    table: &DecodeTable,
) -> Result<f64, DecoderError> {
    check_lengths(stored.len(), weights.len())?;
    check_formats(channel, [stored.format(), table.format()])?;
    let (grid, scale) = (stored.grid(), f64::from(stored.scale()));
    let in_weights = |(mean, variance)| (grid.weight_of(mean), scale * scale * variance);
    let moments = channel.moments_of(table.values())?;
    let believed: Vec<(f64, f64)> = moments.into_iter().map(in_weights).collect();
    let error = |(&w, &word): (&f32, &u8)| {
        let (mean, variance) = believed[usize::from(word)];
        (f64::from(w) - mean).powi(2) + variance
    };
    Ok(weights.iter().zip(stored.words()).map(error).sum::<f64>() / weights.len() as f64)
}

/// Refuses another number of weights than of words.
pub(crate) fn check_lengths(words: usize, weights: usize) -> Result<(), DecoderError> {
    if words == weights { Ok(()) } else { Err(DecoderError::Words { words, weights }) }
}

fn check_formats(channel: &QuantizedChannel, formats: [Format; 2]) -> Result<(), DecoderError> {
    let expected = channel.format();
    match formats.into_iter().find(|&given| given != expected) {
        Some(given) => Err(DecoderError::Format { given, expected }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::{BitMask, ChannelMatrix};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, CodeRange, Format, Grid, Word};

    use super::*;
    use crate::{Decoder, Prior};

    fn stored(format: impl Into<Format>) -> QuantizedTensor {
        let weights: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin().powi(3)).collect();
        QuantizedTensor::quantize(&weights, &[1000], format).unwrap()
    }

    /// Every format under three memories, with every decoder, and the tensor that it reads.
    fn every_case(
        check: impl Fn(&QuantizedTensor, &QuantizedChannel, &ChannelMatrix, &DecodeTable),
    ) {
        for (p01, p10) in [(0.1, 0.1), (0.02, 0.3), (1e-15, 1e-15)] {
            for format in Format::all() {
                let p = FlipProbability::asymmetric(p01, p10).unwrap();
                let protection = BitMask::top(1, format.bits()).unwrap();
                let channel = QuantizedChannel::new(p, format, protection).unwrap();
                let (matrix, tensor) = (ChannelMatrix::new(&channel), stored(format));
                let histogram = CodeHistogram::of(&tensor);
                for decoder in Decoder::ALL {
                    let table = DecodeTable::new(decoder, &channel, &histogram).unwrap();
                    check(&tensor, &channel, &matrix, &table);
                }
            }
        }
    }

    /// The sum over the channel matrix, written out.
    #[test]
    fn the_error_is_the_sum_over_the_matrix() {
        every_case(|tensor, channel, matrix, table| {
            let histogram = CodeHistogram::of(tensor);
            let of = |x| {
                let code = f64::from(channel.format().code_of(x));
                matrix.expect(x, |read| (table.value(read) - code).powi(2))
            };
            let sum: f64 = histogram.iter().map(|(x, share)| share * of(x)).sum();
            let error = mean_square_error(&histogram, channel, table).unwrap();
            assert_relative_eq!(error, sum, max_relative = 1e-8, epsilon = 1e-24);
        });
    }

    /// The same with weights that lie where their codes do, and a third of a step beside.
    #[test]
    fn the_error_of_weights_is_the_sum_over_the_matrix() {
        every_case(|tensor, channel, matrix, table| {
            let step = f64::from(tensor.scale());
            for beside in [0.0, 1.0 / 3.0] {
                let weight = |q| (step * (f64::from(q) + beside)) as f32;
                let weights: Vec<f32> = tensor.codes().map(weight).collect();
                let of = |(&w, &x): (&f32, &u8)| {
                    matrix.expect(Word(x), |read| (f64::from(w) - step * table.value(read)).powi(2))
                };
                let mean = weights.iter().zip(tensor.words()).map(of).sum::<f64>() / 1000.0;
                let error = weight_error(&weights, tensor, channel, table).unwrap();
                assert_relative_eq!(error, mean, max_relative = 1e-8, epsilon = 1e-24);
            }
        });
    }

    /// The same on grids that are not symmetric, with every decoder and prior.
    #[test]
    fn the_error_of_weights_is_the_sum_over_the_matrix_on_any_grid() {
        let weights: Vec<f32> = (0..500).map(|i| (i as f32 * 0.37).sin().powi(3) + 0.9).collect();
        for range in CodeRange::ALL {
            for format in Format::all() {
                let p = FlipProbability::asymmetric(0.02, 0.2).unwrap();
                let channel = QuantizedChannel::new(p, format, BitMask::NONE).unwrap();
                let grid = Grid::spanning(format, range, -0.1, 1.7).unwrap();
                let stored = QuantizedTensor::quantize_on(&weights, &[500], grid).unwrap();
                let matrix = ChannelMatrix::new(&channel);
                for decoder in Decoder::ALL {
                    for prior in Prior::ALL {
                        let codes = CodeHistogram::of(&stored);
                        let table =
                            DecodeTable::of_group(decoder, &channel, prior, &codes, grid).unwrap();
                        let of = |(&w, &x): (&f32, &u8)| {
                            let read = |y| grid.weight_of(table.value(y));
                            matrix.expect(Word(x), |y| (f64::from(w) - read(y)).powi(2))
                        };
                        let mean = weights.iter().zip(stored.words()).map(of).sum::<f64>() / 500.0;
                        let error = weight_error(&weights, &stored, &channel, &table).unwrap();
                        assert_relative_eq!(error, mean, max_relative = 1e-8, epsilon = 1e-24);
                    }
                }
            }
        }
    }

    /// Summation over the matrix against bias and variance in closed form, weight by weight.
    #[test]
    fn the_error_is_variance_plus_squared_bias() {
        let tensor = stored(BitWidth::INT8);
        let p = FlipProbability::asymmetric(0.1, 0.2).unwrap();
        for k in 0..=8 {
            let protection = BitMask::top(k, BitWidth::INT8).unwrap();
            let channel = QuantizedChannel::new(p, BitWidth::INT8, protection).unwrap();
            let histogram = CodeHistogram::of(&tensor);
            let n = tensor.len() as f64;

            let raw = DecodeTable::new(Decoder::Raw, &channel, &histogram).unwrap();
            let expected: f64 = tensor
                .words()
                .iter()
                .map(|&word| channel.drift(Word(word)).powi(2) + channel.variance(Word(word)))
                .sum();
            let error = mean_square_error(&histogram, &channel, &raw).unwrap();
            assert_relative_eq!(error, expected / n, epsilon = 1e-9, max_relative = 1e-9);

            let affine = DecodeTable::new(Decoder::Affine, &channel, &histogram).unwrap();
            let variance = tensor.words().iter().map(|&word| channel.variance(Word(word)));
            let variance: f64 = variance.sum();
            let expected = variance / (1.0_f64 - 0.1 - 0.2).powi(2) / n;
            let error = mean_square_error(&histogram, &channel, &affine).unwrap();
            assert_relative_eq!(error, expected, epsilon = 1e-9, max_relative = 1e-9);
        }
    }

    /// The affine decoder is unbiased, but for a symmetric channel the noise that it adds outweighs
    /// the bias that it removes, for every single code (docs/theory.md, section 3).
    #[test]
    fn raw_is_never_further_off_than_affine_on_a_symmetric_channel() {
        let histogram = CodeHistogram::of(&stored(BitWidth::INT8));
        for p in [1e-3, 0.05, 0.1, 0.3, 0.49] {
            for k in 0..=8 {
                let protection = BitMask::top(k, BitWidth::INT8).unwrap();
                let p = FlipProbability::symmetric(p).unwrap();
                let channel = QuantizedChannel::new(p, BitWidth::INT8, protection).unwrap();
                let [raw, affine] = [Decoder::Raw, Decoder::Affine]
                    .map(|decoder| DecodeTable::new(decoder, &channel, &histogram).unwrap());
                let matrix = ChannelMatrix::new(&channel);
                for stored in BitWidth::INT8.words() {
                    let code = f64::from(channel.format().code_of(stored));
                    let [raw, affine] = [&raw, &affine].map(|table| {
                        matrix.expect(stored, |read| (table.value(read) - code).powi(2))
                    });
                    assert!(raw <= affine * (1.0 + 1e-9) + 1e-9, "{p} k {k} code {code}");
                }
            }
        }
    }
}
