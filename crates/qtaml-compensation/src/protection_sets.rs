//! Sets of protected bits, and the error that each leaves.

use qtaml_fault::{BitMask, FaultError, MemoryModel, QuantizedChannel};
use qtaml_physics::FlipProfile;
use qtaml_quant::{Encoding, Format, Word};

use crate::{CodeHistogram, DecodeTable, Decoder, DecoderError, mean_square_error};

/// A set of protected bits and the mean square error that it leaves, in squared units of the code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Protected {
    pub(crate) bits: BitMask,
    pub(crate) mean_square_error: f64,
}

/// How words are read, with any set of bits protected.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    decoder: Decoder,
    exposed: QuantizedChannel,
    /// Every bit protected: what the ecc leaves.
    kept: QuantizedChannel,
    /// For each word, where its bits can be told apart.
    words: Option<Vec<WordError>>,
}

impl Reading {
    pub(crate) fn new(
        memory: &MemoryModel,
        format: Format,
        decoder: Decoder,
    ) -> Result<Self, FaultError> {
        let all = BitMask::of_bits(format.bits().mask(), format.bits())?;
        let exposed = memory.channel(format, BitMask::NONE)?;
        // Counting the errors that a code leaves takes long, so it is done here once for all sets.
        let kept = memory.channel(format, all)?;
        // Where a bit changes the code by the same whatever the others do, and the word is believed.
        let encoding = format.encoding();
        let additive = matches!(encoding, Encoding::TwosComplement | Encoding::OffsetBinary)
            && decoder == Decoder::Raw;
        let word = |word| WordError::new([&exposed, &kept], word);
        let words = additive.then(|| format.bits().words().map(word).collect()).transpose()?;
        Ok(Self { decoder, exposed, kept, words })
    }

    /// For each number of protected bits, from 0 to all, the best set for words that are stored as
    /// the histogram says, and believed to be as `prior` says.
    pub(crate) fn best_sets(
        &self,
        histogram: &CodeHistogram,
        prior: &CodeHistogram,
    ) -> Result<Vec<Protected>, DecoderError> {
        let width = self.exposed.bits();
        let errors = self.words.as_ref().map(|words| Additive::new(words, histogram));
        let error_of = |bits: BitMask| match &errors {
            Some(errors) => Ok(errors.with(bits)),
            None => self.any(histogram, prior, bits),
        };
        let measured = |bits| -> Result<_, DecoderError> {
            Ok(Protected { bits, mean_square_error: error_of(bits)? })
        };
        let mut best: Vec<Option<Protected>> = vec![None; width.get() as usize + 1];
        // From the highest mask down: of sets that leave the same, that of the higher bits is kept.
        for mask in (0..=width.mask()).rev() {
            let found = measured(BitMask::of_bits(mask, width)?)?;
            let best = &mut best[mask.count_ones() as usize];
            if best.is_none_or(|best| found.mean_square_error < best.mean_square_error) {
                *best = Some(found);
            }
        }
        Ok(best.into_iter().flatten().collect())
    }

    /// By summation over all pairs of words: exact for every decoder and encoding.
    fn any(
        &self,
        histogram: &CodeHistogram,
        prior: &CodeHistogram,
        bits: BitMask,
    ) -> Result<f64, DecoderError> {
        let of_bit = |bit: usize| {
            let protected = bits.mask() >> bit & 1 == 1;
            let channel = if protected { &self.kept } else { &self.exposed };
            channel.word_channel().flips()[bit]
        };
        let width = self.exposed.bits().get() as usize;
        let flips = FlipProfile::per_bit((0..width).map(of_bit).collect())
            .map_err(|_| FaultError::ProfileWidth { bits: width, width: self.exposed.bits() })?;
        let channel = QuantizedChannel::new(flips, self.exposed.format(), BitMask::NONE)?;
        let table = DecodeTable::new(self.decoder, &channel, prior)?;
        mean_square_error(histogram, &channel, &table)
    }
}

/// Variance and drift of each bit of a stored word, exposed (0) and protected (1).
#[derive(Debug, Clone, Copy, Default)]
struct WordError {
    variance: [[f64; 2]; 8],
    drift: [[f64; 2]; 8],
}

impl WordError {
    fn new(channels: [&QuantizedChannel; 2], word: Word) -> Result<Self, FaultError> {
        let mut error = Self::default();
        for bit in 0..channels[0].bits().get() as usize {
            for (s, channel) in channels.into_iter().enumerate() {
                let (p, change) = (channel.flip(bit, word.bit(bit))?, channel.change(bit, word)?);
                error.variance[bit][s] = p * (1.0 - p) * change * change;
                error.drift[bit][s] = p * change;
            }
        }
        Ok(error)
    }
}

/// Variances and products of drifts of single bits, exposed (0) and protected (1), in the mean over the words
/// that are stored.
///
/// # Formula
/// The error of a set is `Σ_i E[p_i (1 - p_i)] δ_i² + Σ_ij E[p_i δ_i p_j δ_j]`, with the `p_i` of
/// each bit as it is exposed or protected: variance and squared drift of section 2.
///
/// The error of all sets follows from them at once.
struct Additive {
    variance: [[f64; 2]; 8],
    drift: [[[[f64; 2]; 2]; 8]; 8],
}

impl Additive {
    fn new(words: &[WordError], histogram: &CodeHistogram) -> Self {
        let (mut variance, mut drift) = ([[0.0; 2]; 8], [[[[0.0; 2]; 2]; 8]; 8]);
        for (word, share) in histogram.iter() {
            let error = &words[usize::from(word)];
            for (sum, of_bit) in variance.iter_mut().zip(error.variance) {
                for s in 0..2 {
                    sum[s] += share * of_bit[s];
                }
            }
            for (drift, a) in drift.iter_mut().zip(error.drift) {
                for (drift, b) in drift.iter_mut().zip(error.drift) {
                    for s in 0..2 {
                        for t in 0..2 {
                            drift[s][t] += share * a[s] * b[t];
                        }
                    }
                }
            }
        }
        Self { variance, drift }
    }

    fn with(&self, protected: BitMask) -> f64 {
        let kept = |i: usize| usize::from(protected.mask() >> i & 1);
        let drift = |i: usize| -> f64 { (0..8).map(|j| self.drift[i][j][kept(i)][kept(j)]).sum() };
        // The drifts make a square, which rounding must not turn negative.
        let bias: f64 = (0..8).map(drift).sum();
        (0..8).map(|i| self.variance[i][kept(i)]).sum::<f64>() + bias.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, QuantizedTensor};

    use super::*;

    fn histogram(format: impl Into<Format>) -> CodeHistogram {
        let weights: Vec<f32> = (0..500).map(|i| (i as f32 * 0.37).sin().powi(3)).collect();
        CodeHistogram::of(&QuantizedTensor::quantize(&weights, &[500], format).unwrap())
    }

    fn reading(format: Format, decoder: Decoder, ecc: &str) -> Reading {
        let flip = |i| FlipProbability::asymmetric(0.01 * f64::from(i), 0.1).unwrap();
        let symmetric = FlipProfile::from(FlipProbability::symmetric(0.05).unwrap());
        let flips = match ecc {
            "ideal" => FlipProfile::per_bit((0..format.bits().get()).map(flip).collect()).unwrap(),
            _ => symmetric,
        };
        let memory = MemoryModel::new(flips).with_ecc(ecc.parse().unwrap());
        Reading::new(&memory, format, decoder).unwrap()
    }

    /// Moments of single bits against summation over all pairs of words, for every set.
    #[test]
    fn additive_errors_are_those_of_the_matrix() {
        for encoding in [Encoding::TwosComplement, Encoding::OffsetBinary] {
            for (width, ecc) in [(5, "ideal"), (4, "repetition:3")] {
                let width = BitWidth::new(width).unwrap();
                let format = Format::new(width, encoding);
                let reading = reading(format, Decoder::Raw, ecc);
                let histogram = histogram(format);
                let additive = Additive::new(reading.words.as_ref().unwrap(), &histogram);
                for mask in width.words() {
                    let bits = BitMask::of_bits(mask.0, width).unwrap();
                    let exact = reading.any(&histogram, &histogram, bits).unwrap();
                    assert_relative_eq!(
                        additive.with(bits),
                        exact,
                        max_relative = 1e-9,
                        epsilon = 1e-12
                    );
                }
            }
        }
    }

    /// What a real code leaves against the channel that has it built in.
    #[test]
    fn a_keeper_leaves_what_it_leaves() {
        let (width, p) = (BitWidth::INT4, FlipProbability::symmetric(0.05).unwrap());
        let reading = reading(width.into(), Decoder::Affine, "repetition:3");
        let histogram = histogram(width);
        for set in reading.best_sets(&histogram, &histogram).unwrap() {
            let ecc = "repetition:3".parse().unwrap();
            let channel = QuantizedChannel::new(p, width, set.bits).unwrap().with_ecc(ecc).unwrap();
            let table = DecodeTable::new(Decoder::Affine, &channel, &histogram).unwrap();
            let expected = mean_square_error(&histogram, &channel, &table).unwrap();
            assert_relative_eq!(set.mean_square_error, expected, max_relative = 1e-12);
        }
    }

    /// The top bit is kept in a cell that never fails: protecting it is a waste.
    #[test]
    fn any_set_is_at_least_as_good_as_the_top() {
        let width = BitWidth::INT4;
        let mut flips = vec![FlipProbability::symmetric(0.1).unwrap(); 4];
        flips[3] = FlipProbability::NEVER;
        let flips = FlipProfile::per_bit(flips).unwrap();
        for encoding in Encoding::ALL {
            let format = Format::new(width, encoding);
            let memory = MemoryModel::new(flips.clone());
            let reading = Reading::new(&memory, format, Decoder::Raw).unwrap();
            let histogram = histogram(format);
            let top = |k| {
                let bits = BitMask::top(k, width).unwrap();
                let mean_square_error = reading.any(&histogram, &histogram, bits).unwrap();
                Protected { bits, mean_square_error }
            };
            let top: Vec<Protected> = (0..=4).map(top).collect();
            let any = reading.best_sets(&histogram, &histogram).unwrap();
            for (k, (top, any)) in (0..=4).zip(top.iter().zip(&any)) {
                assert_eq!((top.bits.count(), any.bits.count()), (k, k));
                let slack = 1e-9 * top.mean_square_error;
                assert!(any.mean_square_error <= top.mean_square_error + slack, "{encoding} {k}");
            }
            assert_eq!((top[1].bits.mask(), any[1].bits.mask()), (0b1000, 0b0100), "{encoding}");
            assert!(any[1].mean_square_error < 0.5 * top[1].mean_square_error, "{encoding}");
        }
    }
}
