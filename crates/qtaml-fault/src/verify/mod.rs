//! The check of the error distribution against sampled faults, score by score.

use qtaml_quant::{QuantizedTensor, Word};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::fault_stream::below;
use crate::{BitFlips, ChannelMatrix, Ecc, FaultError, FaultStream, QuantizedChannel, Seed};

/// Words injected at once: small enough for the cache.
const CHUNK: usize = 1 << 14;

/// Keeps the choice of the word that is counted apart from the random numbers of all faults.
const COUNTED_LANE: u32 = 7;

/// Flips of a bit, expected at least, before its score counts as normal: with fewer the Poisson
/// tail is so much longer that scores beyond 5 stop being rare.
const NORMAL_FROM: f64 = 1000.0;

/// Relative error that the arithmetic of a score may make: far below any standard error that a
/// sample can have, unless that is zero.
const ROUNDING: f64 = 1e-12;

/// What was read where one word is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordMoments {
    /// The word that is stored.
    pub stored: Word,
    /// How often it was read.
    pub n: u64,
    /// Sum of the errors of the codes read.
    pub sum: i64,
    /// Sum of their squares.
    pub sum_of_squares: i64,
    /// How often each bit flipped, least significant first.
    pub flips: Vec<u64>,
}

impl WordMoments {
    fn none(stored: Word, bits: u32) -> Self {
        Self { stored, n: 0, sum: 0, sum_of_squares: 0, flips: vec![0; bits as usize] }
    }

    /// Stores one word `n` times and reads it back. The name addresses the random stream, the word
    /// its trial. Where a real code keeps protected bits, `n` code words are filled with it, and one
    /// word of each is counted ([`ChannelSample`]).
    ///
    /// # Errors
    /// As [`BitFlips::new`].
    pub fn of_word(
        channel: &QuantizedChannel,
        seed: Seed,
        name: &str,
        stored: Word,
        n: usize,
    ) -> Result<Self, FaultError> {
        let model = BitFlips::new(channel.flips().clone(), channel.bits())?;
        let stored = Word(stored.0 & channel.bits().mask());
        let stream = FaultStream::new(seed, u32::from(stored.0), name);
        let together = channel.ecc().alignment()?;
        let (n, most) = (n.saturating_mul(together), CHUNK.next_multiple_of(together));
        let chunk = vec![stored.0; most.min(n)];
        let mut moments = Self::none(stored, channel.bits().get());
        for first in (0..n).step_by(most) {
            let words = &chunk[..most.min(n - first)];
            count(channel, &model, &stream, first, words, std::slice::from_mut(&mut moments))?;
        }
        Ok(moments)
    }

    fn add(&mut self, read: u8, error: i64) {
        self.n += 1;
        self.sum += error;
        self.sum_of_squares += error * error;
        for (bit, flips) in self.flips.iter_mut().enumerate() {
            *flips += u64::from((read ^ self.stored.0) >> bit & 1);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
        self.flips.iter_mut().zip(&other.flips).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Mean error of what was read.
    pub fn drift(&self) -> f64 {
        self.sum as f64 / self.n as f64
    }

    /// Mean squared distance of the errors from `drift`: their variance, if that is their mean.
    pub fn variance_about(&self, drift: f64) -> f64 {
        let n = self.n as f64;
        self.sum_of_squares as f64 / n - drift * (2.0 * self.sum as f64 / n - drift)
    }
}

/// A number that the error distribution states, as it was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ZScore {
    /// What the error distribution says.
    pub theory: f64,
    /// What was sampled.
    pub measured: f64,
    /// The standard deviation of the sampled number under it.
    pub standard_error: f64,
}

impl ZScore {
    /// How far the sample is from the theory, in standard errors. Where nothing is random it is 0 for
    /// a hit, but for the rounding of the sample, and infinite for everything else.
    pub fn z(&self) -> f64 {
        let off = self.measured - self.theory;
        let hit = self.standard_error == 0.0 && off.abs() <= ROUNDING * (1.0 + self.theory.abs());
        if hit || off == 0.0 { 0.0 } else { off / self.standard_error }
    }
}

/// The share of flips of one bit, among the words that store the same value in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BitZScore {
    /// The bit, 0 for the least significant one.
    pub bit: usize,
    /// The value that it stores.
    pub value: bool,
    /// Its flip probability, and how often it flipped.
    pub score: ZScore,
    /// Squared [`change`](QuantizedChannel::change) of the code when the bit flips, summed over the words
    /// that store the value and divided by the number of all words.
    pub square_change: f64,
}

impl BitZScore {
    /// What the bit adds to the mean variance in theory: over all bits and values, the mean of
    /// [`QuantizedChannel::variance`].
    ///
    /// # Formula
    /// `p (1 - p)` times [`square_change`](Self::square_change).
    pub fn variance(&self) -> f64 {
        self.variance_at(self.score.theory)
    }

    /// The same from how often the bit flipped.
    pub fn sampled_variance(&self) -> f64 {
        self.variance_at(self.score.measured)
    }

    fn variance_at(&self, p: f64) -> f64 {
        p * (1.0 - p) * self.square_change
    }
}

/// A channel, and what the real injector made of every word.
///
/// Scores count reads as independent. Words that share a code word are not, so where a real code keeps
/// protected bits one word of each code word is counted, which one being drawn at random: those
/// reads are independent, and each protected bit of them flips with the mean residual of the code.
/// The error distribution of a word takes its bits as independent too. In a code whose data bits are not all alike
/// they are only given the place of the word; what that does to variances, and to means other than
/// those of two's complement and offset binary, is of the order of the variance of the residual from
/// place to place (docs/theory.md, section 6).
///
/// ```
/// use qtaml_fault::{QuantizedChannel, ChannelSample, BitMask, Seed, largest_z};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::BitWidth;
///
/// let p = FlipProbability::symmetric(0.1)?;
/// let channel = QuantizedChannel::new(p, BitWidth::INT4, BitMask::NONE)?;
/// let sample = ChannelSample::of_every_word(&channel, Seed(42), "example", 100_000)?;
/// assert!(sample.is_large_enough());
///
/// let scores = sample.drifts();
/// let bound = largest_z(scores.len(), 1e-6);
/// assert!(scores.iter().all(|score| score.z().abs() < bound));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelSample {
    channel: QuantizedChannel,
    moments: Vec<WordMoments>,
}

impl ChannelSample {
    /// Stores every word `n` times and reads it back. The name addresses the random stream.
    ///
    /// # Errors
    /// [`FaultError::Sample`] if `n` is 0, and as [`BitFlips::new`].
    pub fn of_every_word(
        channel: &QuantizedChannel,
        seed: Seed,
        name: &str,
        n: usize,
    ) -> Result<Self, FaultError> {
        let words: Vec<Word> = channel.bits().words().collect();
        let read = |&stored: &Word| WordMoments::of_word(channel, seed, name, stored, n);
        Self::from_moments(channel, words.par_iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Reads a stored tensor in trials 0, 1, ... `trials - 1`, as experiments do. Words that do not
    /// occur in it are left out. If code words have room behind the end of the tensor, it is filled
    /// with its words from the begin on.
    ///
    /// # Errors
    /// [`FaultError::Format`] if the tensor is not stored as the channel assumes,
    /// [`FaultError::Sample`] without trials, and as
    /// [`BitFlips::new`].
    pub fn of_tensor(
        channel: &QuantizedChannel,
        seed: Seed,
        name: &str,
        tensor: &QuantizedTensor,
        trials: u32,
    ) -> Result<Self, FaultError> {
        if tensor.format() != channel.format() {
            let (given, expected) = (tensor.format(), channel.format());
            return Err(FaultError::Format { given, expected });
        }
        let model = BitFlips::new(channel.flips().clone(), channel.bits())?;
        let width = channel.bits().get();
        let together = channel.ecc().alignment()?;
        let filled = tensor.len().next_multiple_of(together);
        let words: Vec<u8> = tensor.words().iter().copied().cycle().take(filled).collect();
        let most = CHUNK.next_multiple_of(together);
        let none =
            || channel.bits().words().map(|stored| WordMoments::none(stored, width)).collect();
        let moments: Vec<WordMoments> = (0..trials)
            .into_par_iter()
            .try_fold(none, |mut moments: Vec<WordMoments>, trial| {
                let stream = FaultStream::new(seed, trial, name);
                for (chunk, words) in words.chunks(most).enumerate() {
                    count(channel, &model, &stream, chunk * most, words, &mut moments)?;
                }
                Ok::<_, FaultError>(moments)
            })
            .try_reduce(none, |mut left, right| {
                left.iter_mut().zip(&right).for_each(|(left, right)| left.merge(right));
                Ok(left)
            })?;
        Self::from_moments(channel, moments.into_iter().filter(|m| m.n > 0).collect())
    }

    /// Takes up a sample that was drawn through this channel before.
    ///
    /// # Errors
    /// [`FaultError::Sample`] if nothing was read, or if a word, its flips or their number cannot
    /// come from words of this width.
    pub fn from_moments(
        channel: &QuantizedChannel,
        moments: Vec<WordMoments>,
    ) -> Result<Self, FaultError> {
        let width = channel.bits();
        let possible = |m: &WordMoments| {
            m.n > 0
                && m.stored.0 & !width.mask() == 0
                && m.flips.len() == width.get() as usize
                && m.flips.iter().all(|&flips| flips <= m.n)
        };
        if let Some(m) = moments.iter().find(|m| !possible(m)) {
            return Err(FaultError::Sample { word: Some(m.stored), width });
        }
        if moments.is_empty() {
            return Err(FaultError::Sample { word: None, width });
        }
        Ok(Self { channel: channel.clone(), moments })
    }

    /// The channel.
    pub fn channel(&self) -> &QuantizedChannel {
        &self.channel
    }

    /// What was read, word by word.
    pub fn moments(&self) -> &[WordMoments] {
        &self.moments
    }

    /// How many words were read in all.
    pub fn reads(&self) -> u64 {
        self.moments.iter().map(|m| m.n).sum()
    }

    /// The mean error of each word.
    pub fn drifts(&self) -> Vec<ZScore> {
        let score = |m: &WordMoments| ZScore {
            theory: self.channel.drift(m.stored),
            measured: m.drift(),
            standard_error: (self.channel.variance(m.stored) / m.n as f64).sqrt(),
        };
        self.moments.iter().map(score).collect()
    }

    /// The variance of each word, about the mean that theory states: its standard error follows
    /// from the fourth moment, by summation over the channel matrix.
    pub fn variances(&self) -> Vec<ZScore> {
        let matrix = ChannelMatrix::new(&self.channel);
        self.moments.iter().map(|m| self.variance_score(m, &matrix)).collect()
    }

    fn variance_score(&self, m: &WordMoments, matrix: &ChannelMatrix) -> ZScore {
        let (drift, variance) = (self.channel.drift(m.stored), self.channel.variance(m.stored));
        let spread = self.fourth_moment(m.stored, matrix) - variance * variance;
        ZScore {
            theory: variance,
            measured: m.variance_about(drift),
            standard_error: (spread.max(0.0) / m.n as f64).sqrt(),
        }
    }

    fn fourth_moment(&self, stored: Word, matrix: &ChannelMatrix) -> f64 {
        let format = self.channel.format();
        let mean = self.channel.mean(stored);
        matrix.expect(stored, |read| (f64::from(format.code_of(read)) - mean).powi(4))
    }

    /// The flips of each bit that is not kept ideally, for either value that it may store.
    pub fn bits(&self) -> Vec<BitZScore> {
        let is_ideal = self.channel.ecc() == Ecc::Ideal;
        let kept = if is_ideal { self.channel.protection().mask() } else { 0 };
        let exposed = (0..self.channel.bits().get() as usize).filter(|bit| kept >> bit & 1 == 0);
        exposed
            .flat_map(|bit| [(bit, false), (bit, true)])
            .filter_map(|(bit, value)| self.bit_score(bit, value))
            .collect()
    }

    fn bit_score(&self, bit: usize, value: bool) -> Option<BitZScore> {
        let (mut flips, mut n, mut squares) = (0, 0, 0.0);
        for m in self.moments.iter().filter(|m| m.stored.bit(bit) == value) {
            (flips, n) = (flips + m.flips[bit], n + m.n);
            squares += m.n as f64 * self.channel.change_of(bit, m.stored).powi(2);
        }
        let p = self.channel.word_channel().flip(bit, u16::from(value) << bit);
        let score = ZScore {
            theory: p,
            measured: flips as f64 / n as f64,
            standard_error: (p * (1.0 - p) / n as f64).sqrt(),
        };
        let square_change = squares / self.reads() as f64;
        (n > 0).then_some(BitZScore { bit, value, score, square_change })
    }

    /// The mean error over all that was read: that of a layer, for the sample of a tensor.
    pub fn mean_drift(&self) -> ZScore {
        let n = self.reads() as f64;
        let sum = |of: &dyn Fn(&WordMoments) -> f64| self.moments.iter().map(of).sum::<f64>();
        ZScore {
            theory: sum(&|m| m.n as f64 * self.channel.drift(m.stored)) / n,
            measured: sum(&|m| m.sum as f64) / n,
            standard_error: sum(&|m| m.n as f64 * self.channel.variance(m.stored)).sqrt() / n,
        }
    }

    /// The mean variance over all that was read, each word about its own mean.
    pub fn mean_variance(&self) -> ZScore {
        let n = self.reads() as f64;
        let scores = self.variances();
        let weighted = |of: &dyn Fn(&ZScore, f64) -> f64| -> f64 {
            self.moments.iter().zip(&scores).map(|(m, score)| of(score, m.n as f64)).sum()
        };
        ZScore {
            theory: weighted(&|score, n| n * score.theory) / n,
            measured: weighted(&|score, n| n * score.measured) / n,
            standard_error: weighted(&|score, n| (n * score.standard_error).powi(2)).sqrt() / n,
        }
    }

    /// Whether every score rests on so many flips that it may be taken as normal: a thousand.
    pub fn is_large_enough(&self) -> bool {
        self.moments.iter().all(|m| m.n as f64 >= enough(&self.channel, m.stored))
    }

    /// How often each word has to be read for a sample to be
    /// [large enough](Self::is_large_enough); 0 where nothing is random.
    ///
    /// ```
    /// use qtaml_fault::{QuantizedChannel, ChannelSample, BitMask};
    /// use qtaml_physics::FlipProbability;
    /// use qtaml_quant::BitWidth;
    ///
    /// let p = FlipProbability::symmetric(1e-6)?;
    /// let channel = QuantizedChannel::new(p, BitWidth::INT8, BitMask::NONE)?;
    /// assert_eq!(ChannelSample::reads_needed(&channel), 1e9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reads_needed(channel: &QuantizedChannel) -> f64 {
        channel.bits().words().map(|stored| enough(channel, stored)).fold(0.0, f64::max)
    }

    /// Whether the means over all that was read may be taken as normal, rare as a word may be in
    /// it: they rest on a thousand flips of each bit that may flip at all.
    pub fn has_normal_means(&self) -> bool {
        let flips = |bit: usize| -> f64 {
            let of = |m: &WordMoments| m.n as f64 * random(&self.channel, bit, m.stored);
            self.moments.iter().map(of).sum()
        };
        let width = self.channel.bits().get() as usize;
        (0..width).map(flips).all(|flips| flips == 0.0 || flips >= NORMAL_FROM)
    }
}

/// The probability of the rarer of the two things that may happen to a bit: 0 if only one may.
fn random(channel: &QuantizedChannel, bit: usize, stored: Word) -> f64 {
    let p = channel.flip_stored(bit, stored);
    p.min(1.0 - p)
}

/// The rarest thing that may happen to a bit of a word; infinite if nothing is random.
fn rarest(channel: &QuantizedChannel, stored: Word) -> f64 {
    let bits = 0..channel.bits().get() as usize;
    let each = bits.map(|bit| random(channel, bit, stored));
    each.filter(|&p| p > 0.0).fold(f64::INFINITY, f64::min)
}

/// How often a word has to be read for its scores to be normal.
fn enough(channel: &QuantizedChannel, stored: Word) -> f64 {
    (NORMAL_FROM / rarest(channel, stored)).ceil()
}

/// Reads `words`, stored from position `first` on, and adds what is read, or one word of each code
/// word, to the moments of their words: those of all words, or of the only one that is stored.
fn count(
    channel: &QuantizedChannel,
    model: &BitFlips,
    stream: &FaultStream,
    first: usize,
    words: &[u8],
    moments: &mut [WordMoments],
) -> Result<(), FaultError> {
    let ecc = channel.ecc();
    let read = ecc.read_slice(words, first as u64, model, stream, channel.protection())?.words;
    let together = ecc.alignment()?;
    let counted = |number: usize| match together {
        1 => 0,
        _ => below(together as u64, stream.digits(number as u64, COUNTED_LANE)) as usize,
    };
    let format = channel.format();
    let code_words = words.chunks(together).zip(read.chunks(together));
    for (number, (stored, read)) in (first / together..).zip(code_words) {
        let at = counted(number);
        let (stored, read) = (stored[at], read[at]);
        let slot = if moments.len() == 1 { 0 } else { usize::from(stored) };
        let [from, to] = [stored, read].map(|word| i64::from(format.code_of(Word(word)).0));
        moments[slot].add(read, to - from);
    }
    Ok(())
}

/// The `|z|` that the largest of `tests` standard normal scores exceeds with probability
/// `false_alarm` at most (Bonferroni).
///
/// ```
/// assert!((qtaml_fault::largest_z(1, 0.05) - 1.96).abs() < 1e-3);
/// ```
///
/// A probability of 0 and less is never exceeded by any number, one of 1 and more by 0; NaN gives NaN.
pub fn largest_z(tests: usize, false_alarm: f64) -> f64 {
    if false_alarm.is_nan() {
        return f64::NAN;
    }
    let false_alarm = false_alarm.clamp(0.0, 1.0);
    -Normal::standard().inverse_cdf(false_alarm / (2.0 * tests.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_physics::{FlipProbability, FlipProfile};
    use qtaml_quant::{BitWidth, Format};

    use super::*;
    use crate::{BitMask, FaultModel, ProtectionMap};

    /// The chance that any score of a test is called wrong though all is well.
    const FALSE_ALARM: f64 = 1e-7;

    fn channel(p01: f64, p10: f64, format: Format, k: u32) -> QuantizedChannel {
        let p = FlipProbability::asymmetric(p01, p10).unwrap();
        QuantizedChannel::new(p, format, BitMask::top(k, format.bits()).unwrap()).unwrap()
    }

    /// Every score of every encoding at several flip probabilities, all at once.
    #[test]
    fn the_injector_obeys_the_law_in_every_format() {
        let formats = Format::all().filter(|f| f.bits().get() % 2 == 0);
        let flips = [(0.05, 0.05, 0), (0.5, 0.5, 0), (0.02, 0.2, 0), (0.1, 0.1, 1)];
        let samples: Vec<ChannelSample> = formats
            .flat_map(|format| flips.map(|(p01, p10, k)| channel(p01, p10, format, k)))
            .map(|channel| ChannelSample::of_every_word(&channel, Seed(1), "law", 1 << 16).unwrap())
            .collect();
        let mut z = Vec::new();
        for sample in &samples {
            assert!(sample.is_large_enough());
            let words = sample.drifts().into_iter().chain(sample.variances());
            z.extend(words.chain(sample.bits().into_iter().map(|b| b.score)).map(|s| s.z()));
            z.extend([sample.mean_drift().z(), sample.mean_variance().z()]);
        }
        let largest = z.iter().fold(0.0_f64, |m, z| m.max(z.abs()));
        assert!(largest < largest_z(z.len(), FALSE_ALARM), "{largest} of {} scores", z.len());
    }

    /// The verdict can fail: a probability off by one part in ten is found out.
    #[test]
    fn another_law_is_found_out() {
        let drawn = channel(0.1, 0.1, Format::INT8, 0);
        let sample = ChannelSample::of_every_word(&drawn, Seed(2), "off", 1 << 16).unwrap();
        let claimed = channel(0.11, 0.11, Format::INT8, 0);
        let wrong = ChannelSample::from_moments(&claimed, sample.moments().to_vec()).unwrap();
        for scores in [
            wrong.drifts(),
            wrong.bits().into_iter().map(|b| b.score).collect(),
            vec![wrong.mean_variance()],
        ] {
            let bound = largest_z(scores.len(), FALSE_ALARM);
            assert!(scores.iter().any(|s| s.z().abs() > bound), "{} scores", scores.len());
        }
    }

    fn coded(name: &str, p: f64, format: Format) -> QuantizedChannel {
        channel(p, p, format, 2).with_ecc(name.parse().unwrap()).unwrap()
    }

    /// Every score where a code keeps two bits: words and a layer that does not fill its code words.
    #[test]
    fn kept_words_obey_the_law_of_their_code() {
        let weights: Vec<f32> = (0..300).map(|i| (i as f32 * 0.61).sin()).collect();
        let mut z = Vec::new();
        for (name, p) in [
            ("repetition:3", 0.1),
            ("secded:16", 0.05),
            ("bch:4:2", 0.1),
            ("parity:5", 0.1),
            ("interleaved:3:secded:4", 0.1),
        ] {
            for format in Format::all().filter(|format| format.bits() == BitWidth::INT4) {
                let channel = coded(name, p, format);
                let reads = ChannelSample::reads_needed(&channel) as usize;
                let codes = ChannelSample::of_every_word(&channel, Seed(1), name, reads).unwrap();
                let tensor = QuantizedTensor::quantize(&weights, &[300], format).unwrap();
                let layer =
                    ChannelSample::of_tensor(&channel, Seed(1), name, &tensor, 2000).unwrap();
                assert!(codes.is_large_enough() && layer.has_normal_means(), "{name}");
                assert_eq!(codes.bits().len(), 8, "kept bits are scored");
                let words = codes.drifts().into_iter().chain(codes.variances());
                let bits = codes.bits().into_iter().map(|bit| bit.score);
                let means = [layer.mean_drift(), layer.mean_variance()];
                z.extend(words.chain(bits).chain(means).map(|score| score.z()));
            }
        }
        let largest = z.iter().fold(0.0_f64, |m, z| m.max(z.abs()));
        assert!(largest < largest_z(z.len(), FALSE_ALARM), "{largest} of {} scores", z.len());
    }

    /// Scores mean what they say: over many samples their squares have the mean 1, which they would
    /// exceed by far if words that fail together were counted as independent. Chi-square with 400
    /// degrees of freedom: beyond 250 or 570 less than once in a million.
    #[test]
    fn reads_of_code_words_are_independent() {
        let channel = coded("interleaved:2:secded:8", 0.03, BitWidth::INT4.into());
        let z = |i: u8| {
            let sample =
                WordMoments::of_word(&channel, Seed(i.into()), "independent", Word(i), 1 << 13);
            let sample = ChannelSample::from_moments(&channel, vec![sample.unwrap()]).unwrap();
            let bits = sample.bits();
            [bits[2].score.z(), bits[3].score.z()]
        };
        let chi_square: f64 = (0..200).flat_map(z).map(|z| z * z).sum();
        assert!((250.0..570.0).contains(&chi_square), "{chi_square}");
    }

    #[test]
    fn another_code_is_found_out() {
        let [drawn, claimed] =
            ["secded:16", "secded:20"].map(|name| coded(name, 0.05, BitWidth::INT4.into()));
        let sample = ChannelSample::of_every_word(&drawn, Seed(2), "code", 1 << 16).unwrap();
        let wrong = ChannelSample::from_moments(&claimed, sample.moments().to_vec()).unwrap();
        let scores = wrong.bits();
        let bound = largest_z(scores.len(), FALSE_ALARM);
        assert!(scores.iter().any(|bit| bit.score.z().abs() > bound));
    }

    /// All trials of a tensor by hand, through the public injector.
    #[test]
    fn a_tensor_is_counted_word_by_word() {
        let weights: Vec<f32> = (0..300).map(|i| (i as f32 * 0.61).sin()).collect();
        let tensor = QuantizedTensor::quantize(&weights, &[300], BitWidth::INT4).unwrap();
        let channel = channel(0.1, 0.2, BitWidth::INT4.into(), 0);
        let sample = ChannelSample::of_tensor(&channel, Seed(3), "layer", &tensor, 5).unwrap();
        assert_eq!(sample.reads(), 1500);

        let model = BitFlips::new(channel.flips().clone(), BitWidth::INT4).unwrap();
        let format = tensor.format();
        let (mut sum, mut squares) = (0_i64, 0_i64);
        for trial in 0..5 {
            let stream = FaultStream::new(Seed(3), trial, "layer");
            let read = model.corrupted(tensor.words(), &stream, ProtectionMap::NOTHING).unwrap();
            for (&stored, read) in tensor.words().iter().zip(read) {
                let [from, to] = [stored, read].map(|word| i64::from(format.code_of(Word(word)).0));
                let error = to - from;
                (sum, squares) = (sum + error, squares + error * error);
            }
        }
        let moments = sample.moments();
        assert_eq!(moments.iter().map(|m| m.sum).sum::<i64>(), sum);
        assert_eq!(moments.iter().map(|m| m.sum_of_squares).sum::<i64>(), squares);
        assert_relative_eq!(sample.mean_drift().measured, sum as f64 / 1500.0);
    }

    #[test]
    fn another_format_is_refused() {
        let tensor = QuantizedTensor::quantize(&[1.0], &[1], BitWidth::INT4).unwrap();
        let channel = channel(0.1, 0.1, Format::INT8, 0);
        let error = ChannelSample::of_tensor(&channel, Seed(0), "w", &tensor, 1).unwrap_err();
        let message = "INT4 twos-complement words cannot be read as INT8 twos-complement";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn what_no_reading_gives_is_refused() {
        let channel = channel(0.1, 0.1, BitWidth::INT4.into(), 0);
        let refused = |moments| ChannelSample::from_moments(&channel, moments).unwrap_err();
        assert_eq!(refused(vec![]).to_string(), "nothing was read: there is nothing to compare");
        let good = WordMoments::of_word(&channel, Seed(0), "w", Word(3), 10).unwrap();
        assert!(ChannelSample::from_moments(&channel, vec![good.clone()]).is_ok());
        for bad in [
            WordMoments { n: 0, ..good.clone() },
            WordMoments { stored: Word(16), ..good.clone() },
            WordMoments { flips: vec![], ..good.clone() },
            WordMoments { flips: vec![11; 4], ..good },
        ] {
            let error = refused(vec![bad]).to_string();
            assert!(error.contains("cannot come from reading INT4 words"), "{error}");
        }
        assert!(ChannelSample::of_every_word(&channel, Seed(0), "w", 0).is_err());
    }

    #[test]
    fn too_few_flips_are_not_judged() {
        let rare = channel(1e-6, 1e-6, Format::INT8, 0);
        let sample = ChannelSample::of_every_word(&rare, Seed(0), "rare", 1000).unwrap();
        assert!(!sample.is_large_enough());
        let never = QuantizedChannel::new(
            FlipProfile::from(FlipProbability::NEVER),
            Format::INT8,
            BitMask::NONE,
        );
        let sample = ChannelSample::of_every_word(&never.unwrap(), Seed(0), "never", 10).unwrap();
        assert!(sample.is_large_enough() && sample.has_normal_means(), "nothing is random");
        assert_eq!(ChannelSample::reads_needed(sample.channel()), 0.0);
        assert!(sample.drifts().iter().all(|score| score.z() == 0.0));
    }

    #[test]
    fn the_reads_that_are_needed_are_enough_and_no_fewer_are() {
        for (p01, p10) in [(0.1, 0.1), (0.07, 0.3), (0.0, 0.03), (1.0, 0.9), (0.01, 1.0 / 3.0)] {
            let channel = channel(p01, p10, BitWidth::INT4.into(), 1);
            let needed = ChannelSample::reads_needed(&channel) as usize;
            let drawn = |n| ChannelSample::of_every_word(&channel, Seed(4), "needed", n).unwrap();
            assert!(drawn(needed).is_large_enough(), "{p01} {p10}");
            assert!(!drawn(needed - 1).is_large_enough(), "{p01} {p10}");
        }
    }

    /// One weight of a hundred that may flip, among zeros that may not.
    #[test]
    fn a_mean_over_many_reads_may_rest_on_few_flips() {
        let channel = channel(0.0, 0.1, Format::INT8, 0);
        let weights: Vec<f32> = (0..100).map(|i| f32::from(u8::from(i == 7))).collect();
        let tensor = QuantizedTensor::quantize(&weights, &[100], BitWidth::INT8).unwrap();
        let drawn = |trials| {
            ChannelSample::of_tensor(&channel, Seed(5), "sparse", &tensor, trials).unwrap()
        };
        assert!(!drawn(100).has_normal_means());
        assert!(drawn(10_001).has_normal_means());
    }

    /// A single bit at one half is as far from its mean whether it flips or not: its variance is
    /// not random, and 100,000 reads are not a power of two.
    #[test]
    fn rounding_is_no_contradiction() {
        let channel = channel(0.5, 0.5, Format::INT8, 7);
        let sample = ChannelSample::of_every_word(&channel, Seed(6), "half", 100_000).unwrap();
        let scores = sample.variances();
        assert!(scores.iter().all(|score| score.standard_error == 0.0 && score.z() == 0.0));
        let off = ZScore { theory: 1.0, measured: 1.0 + 1e-9, standard_error: 0.0 };
        assert_eq!(off.z(), f64::INFINITY);
    }

    /// For bits that add up independently, the parts of the variance make the whole.
    #[test]
    fn the_bits_share_the_variance() {
        let channel = channel(0.02, 0.2, Format::INT8, 2);
        let sample = ChannelSample::of_every_word(&channel, Seed(7), "share", 1 << 14).unwrap();
        let bits = sample.bits();
        let theory: f64 = bits.iter().map(BitZScore::variance).sum();
        assert_relative_eq!(theory, sample.mean_variance().theory, max_relative = 1e-12);
        let sampled: f64 = bits.iter().map(BitZScore::sampled_variance).sum();
        assert_relative_eq!(sampled, theory, max_relative = 0.01);
    }

    #[test]
    fn bonferroni_is_the_normal_quantile() {
        assert_relative_eq!(largest_z(1, 0.05), 1.959_964, max_relative = 1e-6);
        assert_relative_eq!(largest_z(10, 0.05), 2.807_034, max_relative = 1e-6);
    }
}
