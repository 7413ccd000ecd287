//! Decoders: the value of each word that is read.

mod affine;
mod bayes;
mod linear_mmse;
mod raw;

use qtaml_fault::QuantizedChannel;
use qtaml_quant::{CodeRange, Format, Grid, Origin, Word};

use crate::{CodeHistogram, DecoderError, Prior};

/// A rule that turns a read word into a value, in units of the code (docs/theory.md, section 3).
///
/// ```
/// use qtaml_compensation::Decoder;
///
/// assert_eq!("linear-mmse".parse(), Ok(Decoder::LinearMmse));
/// assert_eq!(Decoder::BayesGain.to_string(), "bayes-gain");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Decoder {
    /// Believe the word: `g(y) = y`.
    #[default]
    Raw,
    /// Invert the mean drift, so that the mean of what is believed is what was stored. For two's
    /// complement and one flip probability for all bits it is
    /// `g(y) = y_M + (y_U - p01 Σ_U w_i) / (1 - p01 - p10)` with the parts `y_M`, `y_U` of the code
    /// that protected and unprotected bits hold: affine in what was read, and noisier than it by
    /// the factor `1 / (1 - p01 - p10)`.
    Affine,
    /// The line `g(y) = a y + c` of the least mean square error, Wiener's filter of one number:
    /// `a = Cov[q, y] / Var[y]`, `c = E[q] - a E[y]` under the prior. Where every word reads alike
    /// it keeps the slope of the raw decoder.
    LinearMmse,
    /// The mean of what may have been stored, `g(y) = E[q | y]` under the prior: no decoder has a
    /// smaller mean square error under it (ours, as a decoder of stored weights). A word that
    /// cannot be read gets its raw value.
    Bayes,
    /// `E[q | y] / α` with `α = E[q g(y)] / E[q²]`, so that the line through zero from the stored
    /// codes to the mean of what is believed has slope 1 and layers keep their gain (ours). Zero is that of
    /// the weights, where a [grid](Grid) is given: codes are counted from the one that stands for it. If
    /// reading says nothing of what is stored, with `α` below 1e-12 or nothing but zeros stored, it
    /// is the raw decoder.
    BayesGain,
}

qtaml_quant::names!(Decoder, "decoder", {
    Raw: "raw",
    Affine: "affine",
    LinearMmse: "linear-mmse",
    Bayes: "bayes",
    BayesGain: "bayes-gain",
});

impl Decoder {
    /// Whether it asks how the weights are distributed, and not for the channel alone.
    pub const fn needs_prior(self) -> bool {
        match self {
            Self::Raw | Self::Affine => false,
            Self::LinearMmse | Self::Bayes | Self::BayesGain => true,
        }
    }

    /// Bits that a reader of one unit of weights must know reliably, beside their scale: none for
    /// decoders that follow from the channel alone, two numbers of 32 bits for a line, and the
    /// [prior](Prior::metadata_bits) from which the others follow.
    pub fn metadata_bits(self, prior: Prior, format: Format) -> u64 {
        self.metadata_bits_in(CodeRange::Symmetric, prior, format)
    }

    /// The same where the range of the weights need not be symmetric.
    pub fn metadata_bits_in(self, range: CodeRange, prior: Prior, format: Format) -> u64 {
        match self {
            Self::Raw | Self::Affine => 0,
            Self::LinearMmse => 64,
            Self::Bayes | Self::BayesGain => prior.metadata_bits_in(range, format),
        }
    }
}

/// A decoder for one channel, as a table over the read words: applied once when the weights are
/// read, it costs nothing afterwards.
///
/// ```
/// use qtaml_compensation::{CodeHistogram, DecodeTable, Decoder};
/// use qtaml_fault::{QuantizedChannel, BitMask};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::{Code, Format};
///
/// // Codes between -3 and 3 are stored, and their top bit flips now and then.
/// let int8 = Format::INT8;
/// let mut counts = [0; 256];
/// (-3..=3).for_each(|code| counts[usize::from(int8.word_of(Code(code)))] = 100);
/// let prior = CodeHistogram::from_counts(int8, &counts)?;
/// let kept = BitMask::of_bits(0b0111_1111, int8.bits())?;
/// let channel = QuantizedChannel::new(FlipProbability::symmetric(0.1)?, int8, kept)?;
///
/// // What is read as -126 can only have been 2.
/// let bayes = DecodeTable::new(Decoder::Bayes, &channel, &prior)?;
/// assert!((bayes.value(int8.word_of(Code(-126))) - 2.0).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeTable {
    format: Format,
    values: Vec<f64>,
}

impl DecodeTable {
    /// The table of `decoder` for words read through `channel`, of which `prior` says how often
    /// each was stored: in `b 2^b` steps. The raw and the affine decoder do not ask the prior.
    ///
    /// # Errors
    /// [`DecoderError::NotInvertible`] if the affine decoder meets a bit with
    /// `p01 + p10 >= 1`, [`DecoderError::Format`] for a prior over words in another format.
    pub fn new(
        decoder: Decoder,
        channel: &QuantizedChannel,
        prior: &CodeHistogram,
    ) -> Result<Self, DecoderError> {
        Self::around(decoder, channel, prior, 0.0)
    }

    /// The same where the value `zero`, in units of the code, stands for a weight of 0: see
    /// [`Grid::zero`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn around(
        decoder: Decoder,
        channel: &QuantizedChannel,
        prior: &CodeHistogram,
        zero: f64,
    ) -> Result<Self, DecoderError> {
        let (given, format) = (prior.format(), channel.format());
        if given != format {
            return Err(DecoderError::Format { given, expected: format });
        }
        let values = match decoder {
            Decoder::Raw => raw::values(format),
            Decoder::Affine => affine::values(channel)?,
            Decoder::LinearMmse => linear_mmse::values(channel, prior)?,
            Decoder::Bayes => bayes::values(channel, prior)?,
            Decoder::BayesGain => bayes::values_of_unit_gain(channel, prior, zero)?,
        };
        Ok(Self { format, values })
    }

    /// The table of words that are read as they are.
    pub fn raw(format: Format) -> Self {
        Self { format, values: raw::values(format) }
    }

    /// The table for a unit in a symmetric range that is stored as `stored` says, of which the reader
    /// knows `prior`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_unit(
        decoder: Decoder,
        channel: &QuantizedChannel,
        prior: Prior,
        stored: &CodeHistogram,
    ) -> Result<Self, DecoderError> {
        let grid = Grid::as_read(channel.format(), 1.0, Origin::Zero);
        Self::of_group(decoder, channel, prior, stored, grid)
    }

    /// The table for a group on a grid that is stored as `stored` says, of which the reader knows `prior`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_group(
        decoder: Decoder,
        channel: &QuantizedChannel,
        prior: Prior,
        stored: &CodeHistogram,
        grid: Grid,
    ) -> Result<Self, DecoderError> {
        // Fitting a prior that nobody asks would take longer than all the rest.
        if decoder.needs_prior() {
            let believed = prior.apply_in(grid.origin().range(), stored);
            Self::around(decoder, channel, &believed, grid.zero())
        } else {
            Self::around(decoder, channel, stored, grid.zero())
        }
    }

    /// What the words mean that it decodes.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The value of a read word, in units of the code.
    pub fn value(&self, read: Word) -> f64 {
        self.values[usize::from(read.0 & self.format.bits().mask())]
    }

    /// The values of all words, in the order of their bit patterns.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The weights that `words`, read from a tensor of the given scale, stand for.
    pub fn weights(&self, words: &[u8], scale: f32) -> Vec<f32> {
        let mut weights = vec![0.0; words.len()];
        self.look_up(words, Grid::as_read(self.format, scale, Origin::Zero), &mut weights);
        weights
    }

    /// The weights that `words`, read from a tensor on this grid, stand for.
    pub fn weights_on(&self, words: &[u8], grid: Grid) -> Vec<f32> {
        let mut weights = vec![0.0; words.len()];
        self.look_up(words, grid, &mut weights);
        weights
    }

    fn look_up(&self, words: &[u8], grid: Grid, weights: &mut [f32]) {
        // A table of weights has 256 entries: of fewer words, each is decoded alone.
        if words.len() < 256 {
            for (weight, &word) in weights.iter_mut().zip(words) {
                *weight = grid.weight_of(self.value(Word(word))) as f32;
            }
            return;
        }
        let scaled = self.weights_of_words(grid);
        for (weight, &word) in weights.iter_mut().zip(words) {
            *weight = scaled[usize::from(word)];
        }
    }

    /// The weight of each byte on this grid: of all of them, so that a look-up checks neither the width nor
    /// a bound.
    pub fn weights_of_words(&self, grid: Grid) -> [f32; 256] {
        std::array::from_fn(|word| grid.weight_of(self.value(Word(word as u8))) as f32)
    }
}

/// What the tests of the decoders share.
#[cfg(test)]
mod fixtures {
    use qtaml_fault::BitMask;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::Code;

    use super::*;

    pub(super) const LAWS: [(f64, f64); 4] = [(0.1, 0.1), (0.02, 0.3), (0.0, 0.4), (1e-9, 1e-9)];

    pub(super) fn channel(
        p01: f64,
        p10: f64,
        format: impl Into<Format>,
        k: u32,
    ) -> QuantizedChannel {
        let (p, format) = (FlipProbability::asymmetric(p01, p10).unwrap(), format.into());
        QuantizedChannel::new(p, format, BitMask::top(k, format.bits()).unwrap()).unwrap()
    }

    /// Every format in every memory, with no, one and half of its bits protected.
    pub(super) fn channels() -> impl Iterator<Item = QuantizedChannel> {
        Format::all().flat_map(|format| {
            LAWS.into_iter().flat_map(move |(p01, p10)| {
                let half = format.bits().get() / 2;
                [0, 1, half].into_iter().map(move |k| channel(p01, p10, format, k))
            })
        })
    }

    /// A lopsided bell over the codes that quantization writes.
    pub(super) fn bell(format: Format) -> CodeHistogram {
        let max = format.bits().max_code();
        let mut counts = vec![0; format.bits().levels()];
        for code in -max..=max {
            let x = 4.0 * f64::from(code) / f64::from(max) - 0.3;
            counts[usize::from(format.word_of(Code(code)))] = (1e6 * (-0.5 * x * x).exp()) as u64;
        }
        CodeHistogram::from_counts(format, &counts).unwrap()
    }

    /// What only zeros are stored in.
    pub(super) fn zeros(format: Format) -> CodeHistogram {
        let mut counts = vec![0; format.bits().levels()];
        counts[usize::from(format.word_of(Code(0)))] = 54;
        CodeHistogram::from_counts(format, &counts).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::ChannelMatrix;
    use qtaml_quant::{BitWidth, QuantizedTensor};

    use super::fixtures::{bell, channel, channels, zeros};
    use super::*;

    #[test]
    fn names_lead_back_and_are_those_of_files() {
        for decoder in Decoder::ALL {
            assert_eq!(decoder.name().parse(), Ok(decoder));
            assert_eq!(serde_json::to_string(&decoder).unwrap(), format!("\"{decoder}\""));
        }
        let error = "mmse".parse::<Decoder>().unwrap_err().to_string();
        assert!(error.contains("\"mmse\"") && error.contains("linear-mmse"), "{error}");
    }

    /// Words that are never stored cannot be read, and every other one is what it says.
    #[test]
    fn without_faults_every_decoder_believes_the_word() {
        for format in Format::all() {
            let (channel, prior) = (channel(0.0, 0.0, format, 0), bell(format));
            for decoder in Decoder::ALL {
                let table = DecodeTable::new(decoder, &channel, &prior).unwrap();
                for (word, _) in prior.iter() {
                    let code = f64::from(format.code_of(word));
                    approx::assert_relative_eq!(table.value(word), code, epsilon = 1e-9);
                }
            }
        }
    }

    #[test]
    fn zeros_alone_give_finite_tables() {
        for channel in channels() {
            for decoder in Decoder::ALL {
                let table = DecodeTable::new(decoder, &channel, &zeros(channel.format())).unwrap();
                assert!(table.values().iter().all(|value| value.is_finite()), "{decoder}");
            }
        }
    }

    #[test]
    fn weights_are_scaled_values() {
        let channel = channel(0.1, 0.1, BitWidth::INT4, 0);
        let table = DecodeTable::new(Decoder::Raw, &channel, &bell(channel.format())).unwrap();
        assert_eq!(table.weights(&[0x02, 0x0f, 0x1f], 0.5), [1.0, -0.5, -0.5]);
    }

    /// In units of the weights, by summation over all pairs of words: the affine decoder is unbiased, the
    /// residual of the best line is orthogonal to every line, Bayes is the mean of the weights that may
    /// have been stored, and the gain-corrected one follows them with slope 1 through a weight of 0.
    #[test]
    fn decoders_are_right_in_units_of_the_weights_on_any_grid() {
        let weights: Vec<f32> = (0..300).map(|i| (i as f32 * 0.37).sin().powi(3) + 0.8).collect();
        let grids = CodeRange::ALL.into_iter().flat_map(|range| {
            Format::all().map(move |format| Grid::spanning(format, range, -0.1, 1.75).unwrap())
        });
        for grid in grids {
            let format = grid.format();
            let stored = QuantizedTensor::quantize_on(&weights, &[300], grid).unwrap();
            let codes = CodeHistogram::of(&stored);
            for channel in [channel(0.1, 0.1, format, 0), channel(0.02, 0.3, format, 1)] {
                let matrix = ChannelMatrix::new(&channel);
                let weight = |word: Word| grid.weight_of(format.code_of(word).into());
                // E[f(w, y)] over what is stored and what is read.
                let mean = |f: &dyn Fn(Word, Word) -> f64| -> f64 {
                    codes.iter().map(|(x, share)| share * matrix.expect(x, |y| f(x, y))).sum()
                };
                let table = |decoder| {
                    let prior = Prior::Histogram;
                    DecodeTable::of_group(decoder, &channel, prior, &codes, grid).unwrap()
                };
                let decoded = |table: &DecodeTable, y: Word| grid.weight_of(table.value(y));
                let affine = table(Decoder::Affine);
                for (x, _) in codes.iter() {
                    let read = matrix.expect(x, |y| decoded(&affine, y));
                    assert_relative_eq!(read, weight(x), epsilon = 1e-9);
                }
                let line = table(Decoder::LinearMmse);
                let residual = |x, y| decoded(&line, y) - weight(x);
                assert_relative_eq!(mean(&|x, y| residual(x, y)), 0.0, epsilon = 1e-10);
                assert_relative_eq!(mean(&|x, y| residual(x, y) * weight(y)), 0.0, epsilon = 1e-10);
                let bayes = table(Decoder::Bayes);
                for y in format.bits().words() {
                    let joint = |(x, share): (Word, f64)| share * matrix.row(x)[usize::from(y)];
                    let evidence: f64 = codes.iter().map(joint).sum();
                    if evidence > 0.0 {
                        let moment: f64 =
                            codes.iter().map(|(x, s)| weight(x) * joint((x, s))).sum();
                        assert_relative_eq!(decoded(&bayes, y), moment / evidence, epsilon = 1e-9);
                    }
                }
                let gain = table(Decoder::BayesGain);
                let response = mean(&|x, y| weight(x) * decoded(&gain, y));
                let power = mean(&|x, _| weight(x).powi(2));
                assert_relative_eq!(response, power, max_relative = 1e-9);
                // The same, word by word, as in a tensor.
                let words: Vec<u8> = format.bits().words().map(u8::from).collect();
                let read = gain.weights_on(&words, grid);
                let expected = words.iter().map(|&y| decoded(&gain, Word(y)) as f32);
                assert_eq!(read, expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_prior_over_other_words_is_refused() {
        let channel = channel(0.1, 0.1, BitWidth::INT4, 0);
        let given = Format::INT8;
        let error = DecodeTable::new(Decoder::Raw, &channel, &bell(given)).unwrap_err();
        let expected = channel.format();
        assert_eq!(error, DecoderError::Format { given, expected });
    }
}
