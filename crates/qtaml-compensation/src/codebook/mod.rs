//! Codebooks (COSQ): joint source-channel coding, one weight at a time.
//!
//! Instead of storing a number and protecting its bits, choose for every weight the word that does
//! best *on average over the faults*, and for every word read the value that does best on average
//! over the weights. See docs/codec.md for an introduction and docs/theory.md, section 8, for the
//! mathematics.
//!
//! [`Sample`] is what is to be stored, [`WordChannel`] what happens to it, [`Codebook`] the code.
//! [`CodebookStorage`] keeps units of weights by codes that are known beforehand. For files, which
//! may be large, there are [`SampleCounts`], which see the weights piece by piece, and [`Codec`],
//! the codes of a model by the names of its tensors.
//!
//! ```
//! use qtaml_compensation::codebook::{Codebook, DesignConfig, Sample, WordChannel};
//! use qtaml_fault::{FaultStream, Seed};
//! use qtaml_physics::FlipProbability;
//!
//! let weights: Vec<f32> = (0..10_000).map(|i| (i as f32 * 0.37).sin().powi(3)).collect();
//! let sample = Sample::of(&weights)?;
//! let memory = WordChannel::new(FlipProbability::symmetric(0.05)?, 6)?;
//! let code = Codebook::design(&sample, &memory, &DesignConfig::default());
//!
//! let words = code.encode(&weights)?;
//! let read = code.read(&words, &memory, &FaultStream::new(Seed(42), 0, "fc.weight"))?;
//! let error = |(w, r): (&f32, &f32)| f64::from(w - r).powi(2);
//! let mse = weights.iter().zip(&read).map(error).sum::<f64>() / 10_000.0;
//! assert!((mse / code.mse() - 1.0).abs() < 0.1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod codec;
mod design;
mod encoder;
mod envelope;
mod file;
mod lookup;
mod packed;
mod sample;
mod scales;
mod start;
mod storage;
mod streamed;
mod switch;

use qtaml_fault::FaultStream;

pub use qtaml_fault::WordChannel;

pub use codec::{Codec, TensorCode};
pub use design::DesignConfig;
pub use sample::Sample;
pub use scales::{GroupScales, GroupSquares};
pub use storage::{CodebookStorage, Codebooks, StandardShape};
pub use streamed::{SampleBins, SampleCounts};

use crate::{CodebookError, WeightsError};
use encoder::Encoder;
use lookup::Lookup;

/// A channel-optimised scalar quantizer: which word to store for a weight, and what to believe
/// when a word is read.
///
/// Source: Kurtenbach and Wintz, IEEE Transactions on Communication Technology 17, 291, 1969;
/// Farvardin and Vaishampayan, IEEE Transactions on Information Theory 33, 827, 1987.
#[derive(Debug, Clone, PartialEq)]
pub struct Codebook {
    channel: WordChannel,
    table: Vec<f32>,
    lookup: Lookup,
    words: Vec<u16>,
    mse: f64,
}

impl Codebook {
    /// A good code for weights like those of `sample` in a memory like `channel`. The same
    /// arguments give the same code.
    ///
    /// It need not be the best one there is: finding that is a hard problem. It is a local optimum,
    /// where neither encoder nor table can be improved while the other stays.
    pub fn design(sample: &Sample, channel: &WordChannel, config: &DesignConfig) -> Self {
        let table: Vec<f32> =
            design::design(sample, channel, config).into_iter().map(|g| g as f32).collect();
        let mut code = Self::of_table(channel.clone(), table, 0.0);
        code.mse = code.mse_in(sample, channel);
        code
    }

    /// The code of a table of finite values: the encoder follows from it.
    fn of_table(channel: WordChannel, table: Vec<f32>, mse: f64) -> Self {
        let Encoder { words, thresholds } = Encoder::best(&wide(&table), &channel);
        let lookup = Lookup::new(thresholds.into_iter().map(not_below).collect());
        Self { channel, table, lookup, words, mse }
    }

    /// The number of bits `R` of a stored word.
    pub fn width(&self) -> u32 {
        self.channel.width()
    }

    /// The channel that the code is made for.
    pub fn channel(&self) -> &WordChannel {
        &self.channel
    }

    /// The value of each word read.
    pub fn table(&self) -> &[f32] {
        &self.table
    }

    /// Where one stored word gives way to the next, rising. A weight on a threshold lies above it.
    pub fn thresholds(&self) -> &[f32] {
        self.lookup.thresholds()
    }

    /// The words that are stored between the thresholds, one more than there are of these. On a
    /// noisy channel they are few: the others are left out to keep these apart.
    pub fn words(&self) -> &[u16] {
        &self.words
    }

    /// Expected square error of a stored weight, over the sample and the channel of the design.
    pub fn mse(&self) -> f64 {
        self.mse
    }

    /// The same over any other sample, and in any other memory: what a mismatch costs. Exact for
    /// the bins of the sample, without drawing a fault.
    ///
    /// # Formula
    /// `Σ_x (q_x - 2 E[g | x] s_x + E[g^2 | x] m_x)` over the words `x` stored, with mass `m`, first
    /// moment `s` and second moment `q` of their weights (docs/theory.md, section 8.1).
    ///
    /// # Errors
    /// [`CodebookError::OtherWidth`] for a channel of other words.
    pub fn mse_on(&self, sample: &Sample, channel: &WordChannel) -> Result<f64, CodebookError> {
        self.check_width(channel)?;
        Ok(self.mse_in(sample, channel))
    }

    /// Bits of the table, which a decoder needs besides the words: 32 for each value. Tensors that
    /// share a code share them.
    pub fn metadata_bits(&self) -> u64 {
        32 * self.table.len() as u64
    }

    /// The same code for weights `sigma` times as large. One code of a shape of variance 1, such as
    /// [`Sample::gaussian`], so serves every channel or group of weights, for 32 bits each that hold
    /// its `sigma`.
    ///
    /// # Errors
    /// [`CodebookError::Sigma`] unless it is at least 0 and leaves all values finite.
    pub fn scaled(&self, sigma: f32) -> Result<Self, CodebookError> {
        let table: Vec<f32> = self.table.iter().map(|value| value * sigma).collect();
        if !(sigma >= 0.0 && table.iter().all(|value| value.is_finite())) {
            return Err(CodebookError::Sigma(sigma));
        }
        let mse = self.mse * f64::from(sigma).powi(2);
        Ok(Self::of_table(self.channel.clone(), table, mse))
    }

    /// The word to store for each weight.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] for one that is NaN or infinite.
    pub fn encode(&self, weights: &[f32]) -> Result<Vec<u16>, WeightsError> {
        sample::check_finite(weights)?;
        Ok(self.lookup.cells(weights).map(|cell| self.words[cell]).collect())
    }

    /// The value of each word read. Bits above the width do not count.
    pub fn decode(&self, words: &[u16]) -> Vec<f32> {
        let mask = self.table.len() - 1;
        words.iter().map(|&word| self.table[usize::from(word) & mask]).collect()
    }

    /// [`encode`](Self::encode), for words of at most eight bits.
    ///
    /// # Errors
    /// [`CodebookError::TooWideForBytes`], [`WeightsError::NotFinite`].
    pub fn encode_bytes(&self, weights: &[f32]) -> Result<Vec<u8>, CodebookError> {
        self.check_bytes()?;
        Ok(self.low_bytes(weights)?)
    }

    /// The low byte of the word to store for each weight.
    fn low_bytes(&self, weights: &[f32]) -> Result<Vec<u8>, WeightsError> {
        sample::check_finite(weights)?;
        let words: Vec<u8> = self.words.iter().map(|&word| word as u8).collect();
        Ok(self.lookup.cells(weights).map(|cell| words[cell]).collect())
    }

    /// [`decode`](Self::decode), for words of at most eight bits.
    ///
    /// # Errors
    /// [`CodebookError::TooWideForBytes`].
    pub fn decode_bytes(&self, words: &[u8]) -> Result<Vec<f32>, CodebookError> {
        self.check_bytes()?;
        Ok(self.values_of_bytes(words))
    }

    fn values_of_bytes(&self, words: &[u8]) -> Vec<f32> {
        // A table for every byte needs no check of bounds.
        let table: [f32; 256] =
            std::array::from_fn(|byte| self.table[byte & (self.table.len() - 1)]);
        words.iter().map(|&word| table[usize::from(word)]).collect()
    }

    /// What the memory `channel` gives back of stored words, the whole of a tensor, with the faults of
    /// [`WordFlips`](qtaml_fault::WordFlips) at this stream.
    ///
    /// # Errors
    /// [`CodebookError::OtherWidth`] for a channel of other words.
    pub fn read(
        &self,
        words: &[u16],
        channel: &WordChannel,
        stream: &FaultStream,
    ) -> Result<Vec<f32>, CodebookError> {
        self.check_width(channel)?;
        Ok(self.decode(&channel.fault_model()?.corrupted(words, stream)?))
    }

    fn mse_in(&self, sample: &Sample, channel: &WordChannel) -> f64 {
        let thresholds = wide(self.thresholds());
        Encoder { words: self.words.clone(), thresholds }.mse(&wide(&self.table), sample, channel)
    }

    fn check_width(&self, channel: &WordChannel) -> Result<(), CodebookError> {
        let (given, expected) = (channel.width(), self.width());
        if given == expected { Ok(()) } else { Err(CodebookError::OtherWidth { given, expected }) }
    }

    fn check_bytes(&self) -> Result<(), CodebookError> {
        if self.width() <= 8 { Ok(()) } else { Err(CodebookError::TooWideForBytes(self.width())) }
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The least single precision number that is not below `x`: the same single precision numbers lie
/// above both.
fn not_below(x: f64) -> f32 {
    let rounded = x as f32;
    if f64::from(rounded) < x { rounded.next_up() } else { rounded }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_fault::Seed;
    use qtaml_fault::ecc::capacity;
    use qtaml_physics::{FlipProbability, FlipProfile};

    use super::*;

    fn channel(p: f64, width: u32) -> WordChannel {
        WordChannel::new(FlipProbability::symmetric(p).unwrap(), width).unwrap()
    }

    fn design(sample: &Sample, channel: &WordChannel) -> Codebook {
        Codebook::design(sample, channel, &DesignConfig::default())
    }

    /// Without faults it is the Lloyd-Max quantizer: `mpmath`, 30 digits, by Lloyd's iteration. For
    /// the normal distribution Max (IRE Transactions on Information Theory 6, 7, 1960) has 0.3634,
    /// 0.1175, 0.03454 and 0.009497.
    #[test]
    fn without_faults_it_is_lloyd_max() {
        for (width, gaussian, laplacian) in [
            (1, 0.363_380_227_632, 0.5),
            (2, 0.117_481_847_829, 0.176_194_881_054),
            (3, 0.034_547_760_788_5, 0.054_475_987_913_9),
            (4, 0.009_501_008_008_19, 0.015_372_527_059_9),
        ] {
            let channel = channel(0.0, width);
            let found =
                [Sample::gaussian(), Sample::laplacian()].map(|s| design(&s, &channel).mse());
            assert_relative_eq!(found[0], gaussian, max_relative = 1e-4);
            assert_relative_eq!(found[1], laplacian, max_relative = 1e-4);
        }
    }

    /// A bell of 41 values: every way to cut it in at most four, with every order of the words, and
    /// with the best table each.
    #[test]
    fn two_bits_are_as_good_as_brute_force() {
        let values: Vec<f64> = (-20..=20).map(|i| f64::from(i) * 0.2).collect();
        let masses: Vec<(f32, f64)> =
            values.iter().map(|&v| (v as f32, (-0.5 * v * v).exp())).collect();
        let sample = Sample::histogram(&masses).unwrap();
        let cuts: Vec<f64> = (-20..=21).map(|i| f64::from(i) * 0.2 - 0.1).collect();
        for (p01, p10) in [(0.01, 0.01), (0.05, 0.05), (0.2, 0.2), (0.0, 0.3), (0.01, 0.4)] {
            let flips = FlipProbability::asymmetric(p01, p10).unwrap();
            let channel = WordChannel::new(flips, 2).unwrap();
            let explained = |cells: &[[f64; 3]], words: [usize; 4]| {
                let (mut mass, mut first) = ([0.0; 4], [0.0; 4]);
                for ([m, s, _], word) in cells.iter().zip(words) {
                    (mass[word], first[word]) = (*m, *s);
                }
                channel.carry(&mut mass).unwrap();
                channel.carry(&mut first).unwrap();
                let of = |(m, s): (&f64, &f64)| if *m > 0.0 { s * s / m } else { 0.0 };
                mass.iter().zip(&first).map(of).sum::<f64>()
            };
            let mut most = 0.0_f64;
            for (i, &low) in cuts.iter().enumerate() {
                for (j, &middle) in cuts.iter().enumerate().skip(i) {
                    for &high in &cuts[j..] {
                        let cells: Vec<_> = sample.cells(&[low, middle, high]).collect();
                        let orders = (0..256).map(|n| [0, 2, 4, 6].map(|shift| n >> shift & 3));
                        let permutations =
                            orders.filter(|o| o.iter().fold(0, |s, w| s | 1 << w) == 15);
                        most =
                            permutations.map(|order| explained(&cells, order)).fold(most, f64::max);
                    }
                }
            }
            let least = sample.variance() - most;
            let found = design(&sample, &channel).mse();
            assert!(found >= least * (1.0 - 1e-6), "{flips}: {found} is better than the best");
            // So coarse a bell holds the descent up a little before the best cut.
            assert!(found <= least * 1.01, "{flips}: {found} for {least}");
        }
    }

    /// Shannon: no code of any length does better than `2^(-2 R C)` on a normal source.
    #[test]
    fn the_shannon_bound_is_never_beaten() {
        for width in [1, 2, 4, 6, 8] {
            for p in [1e-3, 0.01, 0.1, 0.2] {
                let rate = f64::from(width) * capacity(FlipProbability::symmetric(p).unwrap());
                let mse = design(&Sample::gaussian(), &channel(p, width)).mse();
                assert!(mse > 2_f64.powf(-2.0 * rate), "{width} bits, p = {p}: {mse}");
                assert!(mse < 1.0, "{width} bits, p = {p}: {mse}");
            }
        }
    }

    /// The table of docs/theory.md, section 8.3.
    #[test]
    fn what_is_reached_at_one_flip_in_ten() {
        for (width, expected) in [(1, 0.593), (4, 0.259), (6, 0.167), (8, 0.108)] {
            let mse = design(&Sample::gaussian(), &channel(0.1, width)).mse();
            assert!(mse <= expected, "{width} bits: {mse}");
        }
    }

    /// The picture of docs/codec.md: words that are stored, values that are read, and the errors of
    /// this code and of a number of three bits in steps of 0.6.
    #[test]
    fn the_picture_shows_what_is_designed() {
        let channel = channel(0.1, 3);
        let code = design(&Sample::gaussian(), &channel);
        assert_eq!(code.words(), [0b101, 0b100, 0b000, 0b010]);
        let values = [0.319, -0.434, 1.117, 0.906, -0.319, -1.117, 0.434, -0.906];
        for (found, expected) in code.table().iter().zip(values) {
            assert_relative_eq!(*found, expected, epsilon = 5e-4);
        }
        assert!((code.mse() - 0.34).abs() < 0.005, "{}", code.mse());

        let number = |step: f64| {
            let thresholds = (-4..3).map(|k| (f64::from(k) + 0.5) * step).collect();
            let encoder = Encoder { words: vec![4, 5, 6, 7, 0, 1, 2, 3], thresholds };
            let table = [0, 1, 2, 3, -4, -3, -2, -1].map(|k| f64::from(k) * step);
            encoder.mse(&table, &Sample::gaussian(), &channel)
        };
        assert!((number(0.6) - 0.76).abs() < 0.005, "{}", number(0.6));
        assert!((number(0.3) - 0.40).abs() < 0.005, "{}", number(0.3));
        assert!(number(0.25) > number(0.3) && number(0.35) > number(0.3));
    }

    #[test]
    fn a_memory_that_tells_nothing_leaves_the_variance() {
        let sample = Sample::of(&[0.5, -1.0, 3.0, 0.25]).unwrap();
        let code = design(&sample, &channel(0.5, 4));
        assert_relative_eq!(code.mse(), sample.variance(), max_relative = 1e-6);
        assert!(code.table().iter().all(|&value| value == 0.6875));
    }

    /// The stated error against drawn faults, at the design's own channel and at others. The mean
    /// over 200,000 weights must lie within five standard errors of it, a false alarm rate below
    /// 1e-6 each.
    #[test]
    fn drawn_faults_cost_what_is_stated() {
        let weights: Vec<f32> = (0..200_000).map(|i| (i as f32 * 0.37).sin().powi(3)).collect();
        let sample = Sample::of(&weights).unwrap();
        for (width, p) in [(1, 0.1), (5, 0.05), (8, 0.1), (10, 0.02)] {
            let code = design(&sample, &channel(p, width));
            let words = code.encode(&weights).unwrap();
            for p in [p, 0.5 * p, 2.0 * p] {
                let memory = channel(p, width);
                let stream = FaultStream::new(Seed(42), 0, "weight");
                let read = code.read(&words, &memory, &stream).unwrap();
                let squares: Vec<f64> =
                    weights.iter().zip(&read).map(|(w, r)| f64::from(w - r).powi(2)).collect();
                let n = squares.len() as f64;
                let mean = squares.iter().sum::<f64>() / n;
                let variance = squares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
                let stated = code.mse_on(&sample, &memory).unwrap();
                // The sample is binned: its error may be above that of the weights by a little.
                let bound = 5.0 * (variance / n).sqrt() + 1e-3 * stated;
                assert!((mean - stated).abs() < bound, "{width} bits, {p}: {mean}, {stated}");
            }
        }
    }

    #[test]
    fn every_weight_is_stored_as_its_best_word() {
        let memory = channel(0.03, 5);
        let code = design(&Sample::gaussian(), &memory);
        let table = wide(code.table());
        let (mut mean, mut square) =
            (table.clone(), table.iter().map(|g| g * g).collect::<Vec<_>>());
        memory.expect(&mut mean).unwrap();
        memory.expect(&mut square).unwrap();
        let weights: Vec<f32> = (-400..400).map(|i| i as f32 * 0.01).chain([1e30, -1e30]).collect();
        for (&weight, word) in weights.iter().zip(code.encode(&weights).unwrap()) {
            let cost = |x: usize| square[x] - 2.0 * mean[x] * f64::from(weight);
            let least = (0..32).map(cost).fold(f64::INFINITY, f64::min);
            assert!(cost(usize::from(word)) <= least + 1e-9 * least.abs(), "{weight}");
        }
    }

    #[test]
    fn bytes_are_the_same_words() {
        let code = design(&Sample::laplacian(), &channel(0.01, 7));
        let weights: Vec<f32> = (-500..500).map(|i| i as f32 * 0.013).collect();
        let words = code.encode(&weights).unwrap();
        let bytes = code.encode_bytes(&weights).unwrap();
        assert!(words.iter().copied().eq(bytes.iter().map(|&byte| u16::from(byte))));
        assert_eq!(code.decode(&words), code.decode_bytes(&bytes).unwrap());
        let wide = Codebook::of_table(channel(0.1, 9), vec![0.0; 512], 0.0);
        assert_eq!(wide.encode_bytes(&[0.0]), Err(CodebookError::TooWideForBytes(9)));
        assert_eq!(wide.decode_bytes(&[0]), Err(CodebookError::TooWideForBytes(9)));
    }

    #[test]
    fn a_law_of_their_own_for_each_bit_is_used() {
        let flip = |p| FlipProbability::symmetric(p).unwrap();
        let flips = [0.5, 0.0, 0.5, 0.0].map(flip).to_vec();
        let memory = WordChannel::new(FlipProfile::per_bit(flips).unwrap(), 4).unwrap();
        let mse = design(&Sample::gaussian(), &memory).mse();
        let expected = design(&Sample::gaussian(), &channel(0.0, 2)).mse();
        assert_relative_eq!(mse, expected, max_relative = 1e-4);
    }

    #[test]
    fn scaling_scales_everything() {
        let code = design(&Sample::gaussian(), &channel(0.1, 4));
        let twice = code.scaled(2.0).unwrap();
        assert_relative_eq!(twice.mse(), 4.0 * code.mse());
        let weights = [-1.5, -0.2, 0.1, 0.7];
        let words = code.encode(&weights).unwrap();
        assert_eq!(twice.encode(&weights.map(|w| 2.0 * w)).unwrap(), words);
        let doubled: Vec<f32> = code.decode(&words).iter().map(|value| 2.0 * value).collect();
        assert_eq!(twice.decode(&words), doubled);
        assert_eq!(code.scaled(0.0).unwrap().decode(&words), [0.0; 4]);
        for sigma in [-1.0, f32::NAN, f32::INFINITY, f32::MAX] {
            assert!(matches!(code.scaled(sigma), Err(CodebookError::Sigma(_))), "{sigma}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let code = design(&Sample::gaussian(), &channel(0.1, 2));
        let other = channel(0.1, 3);
        let error = CodebookError::OtherWidth { given: 3, expected: 2 };
        assert_eq!(code.mse_on(&Sample::gaussian(), &other), Err(error.clone()));
        let stream = FaultStream::new(Seed(1), 0, "w");
        assert_eq!(code.read(&[0], &other, &stream), Err(error));
        let error = code.encode(&[0.0, f32::INFINITY]);
        assert_eq!(error, Err(WeightsError::NotFinite { index: 1, value: f32::INFINITY }));
        assert_eq!(code.metadata_bits(), 128);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Any weights, any memory: never worse than their mean alone, and the same every time.
        #[test]
        fn a_code_is_never_worse_than_none(
            weights in prop::collection::vec(-1e3..1e3_f32, 1..50),
            p01 in 0.0..=1.0_f64,
            p10 in 0.0..=1.0_f64,
            width in 1..=5_u32,
        ) {
            let sample = Sample::of(&weights).unwrap();
            let flips = FlipProbability::asymmetric(p01, p10).unwrap();
            let channel = WordChannel::new(flips, width).unwrap();
            let code = design(&sample, &channel);
            prop_assert!(code.mse() <= sample.variance() * (1.0 + 1e-6) + 1e-6);
            prop_assert_eq!(design(&sample, &channel), code);
        }

        #[test]
        fn constant_weights_are_kept(weight in -1e3..1e3_f32, p in 0.0..=0.5_f64) {
            let code = design(&Sample::of(&[weight; 3]).unwrap(), &channel(p, 3));
            let words = code.encode(&[weight]).unwrap();
            prop_assert_eq!(code.decode(&words), [weight]);
            prop_assert!(code.mse() <= 1e-12 * f64::from(weight).powi(2));
        }
    }
}
