//! The channel of a stored word: a product over its bits, each with its own flip probabilities.

use qtaml_physics::{FlipProbability, FlipProfile};

use crate::{FaultError, WordFlips};

/// The distribution P(y | x) of the word `y` that is read where `x` is stored, for words of `R` = 1 to 12
/// bits that flip independently, each with its own `p01` and `p10`.
///
/// # Formula
/// `P(y | x) = Π_i P_i(y_i | x_i)`: a Kronecker product of `R` matrices of 2 by 2. It is never
/// written out. Sums over all stored or all read words are taken bit by bit, like a fast
/// Walsh-Hadamard transform, in `R 2^R` steps instead of `4^R`.
///
/// ```
/// use qtaml_fault::WordChannel;
/// use qtaml_physics::FlipProbability;
///
/// let channel = WordChannel::new(FlipProbability::symmetric(0.1)?, 2)?;
/// // The mean of a table over what is read of each word.
/// let mut table = [0.0, 1.0, 2.0, 3.0];
/// channel.expect(&mut table)?;
/// assert!((table[3] - (0.81 * 3.0 + 0.09 * 2.0 + 0.09 * 1.0)).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WordChannel {
    flips: Vec<FlipProbability>,
}

impl WordChannel {
    /// The most bits of a word.
    pub const MAX_WIDTH: u32 = WordFlips::MAX_WIDTH;

    /// Words of `width` bits; one probability stands for that of every bit.
    ///
    /// # Errors
    /// [`FaultError::WordWidth`] outside 1..=12, [`FaultError::WordProfile`] for flip probabilities
    /// of another number of bits.
    pub fn new(flips: impl Into<FlipProfile>, width: u32) -> Result<Self, FaultError> {
        if !(1..=Self::MAX_WIDTH).contains(&width) {
            return Err(FaultError::WordWidth(width));
        }
        let flips = flips.into();
        match flips.bits() {
            Some(bits) if bits != width as usize => Err(FaultError::WordProfile { bits, width }),
            _ => Ok(Self::of_bits((0..width as usize).map(|bit| flips.at(bit)).collect())),
        }
    }

    /// Words of 1 to 12 bits that flip as listed, least significant first.
    pub(super) fn of_bits(flips: Vec<FlipProbability>) -> Self {
        Self { flips }
    }

    /// The number of bits `R` of a word.
    pub fn width(&self) -> u32 {
        self.flips.len() as u32
    }

    /// The number of words, `2^R`.
    pub fn words(&self) -> usize {
        1 << self.flips.len()
    }

    /// The flip probabilities of each bit, least significant first.
    pub fn flips(&self) -> &[FlipProbability] {
        &self.flips
    }

    /// The model that draws the faults of this channel.
    ///
    /// # Errors
    /// None: every channel has one.
    pub fn fault_model(&self) -> Result<WordFlips, FaultError> {
        let width = self.width();
        let flips = FlipProfile::per_bit(self.flips.clone());
        WordFlips::new(flips.map_err(|_| FaultError::WordWidth(width))?, width)
    }

    /// The probability that bit `bit` of the word `stored` flips; 0 for a bit that words lack.
    pub(crate) fn flip(&self, bit: usize, stored: u16) -> f64 {
        let flips = self.flips.get(bit).copied().unwrap_or(FlipProbability::NEVER);
        if stored >> bit & 1 == 1 { flips.p10() } else { flips.p01() }
    }

    /// `P(y | x)` for every word `y` read, in the order of the words, where `stored` is stored. Bits
    /// above the width do not count.
    pub fn row(&self, stored: u16) -> Vec<f64> {
        let mut row = Vec::with_capacity(self.words());
        self.row_into(stored, &mut row);
        row
    }

    /// The same, in place of what is in `row`.
    pub fn row_into(&self, stored: u16, row: &mut Vec<f64>) {
        row.clear();
        row.push(1.0);
        for bit in 0..self.flips.len() {
            let p = self.flip(bit, stored);
            let [zero, one] = if stored >> bit & 1 == 1 { [p, 1.0 - p] } else { [1.0 - p, p] };
            row.extend_from_within(..);
            let (zeros, ones) = row.split_at_mut(1 << bit);
            for (p_zero, p_one) in zeros.iter_mut().zip(ones) {
                *p_zero *= zero;
                *p_one *= one;
            }
        }
    }

    /// Replaces `values[y]`, a value for every word read, by its mean for every word stored:
    /// `Σ_y P(y | x) values[y]` at `x`.
    ///
    /// # Errors
    /// [`FaultError::WordValues`] unless there is one value per word.
    pub fn expect(&self, values: &mut [f64]) -> Result<(), FaultError> {
        self.check(values)?;
        self.butterfly(values, |flips, zero, one| {
            let (p01, p10) = (flips.p01(), flips.p10());
            ((1.0 - p01) * zero + p01 * one, p10 * zero + (1.0 - p10) * one)
        });
        Ok(())
    }

    /// Replaces `stored[x]`, what lies in every word stored, by what of it arrives in every word
    /// read: `Σ_x P(y | x) stored[x]` at `y`. Its total stays.
    ///
    /// # Errors
    /// [`FaultError::WordValues`] unless there is one value per word.
    pub fn carry(&self, stored: &mut [f64]) -> Result<(), FaultError> {
        self.check(stored)?;
        self.butterfly(stored, |flips, zero, one| {
            let (p01, p10) = (flips.p01(), flips.p10());
            ((1.0 - p01) * zero + p10 * one, p01 * zero + (1.0 - p10) * one)
        });
        Ok(())
    }

    /// Mean and variance of `values[y]` over the words `y` read, for every word stored.
    ///
    /// The law of total variance, bit by bit: nothing is subtracted, so the variance keeps its digits
    /// for the smallest `p`.
    ///
    /// # Errors
    /// [`FaultError::WordValues`] unless there is one value per word.
    pub fn moments_of(&self, values: &[f64]) -> Result<Vec<(f64, f64)>, FaultError> {
        self.check(values)?;
        let mut moments: Vec<_> = values.iter().map(|&value| (value, 0.0)).collect();
        let mix = |(mean, variance), (other_mean, other_variance), p: f64| {
            let step: f64 = other_mean - mean;
            let within = (1.0 - p) * variance + p * other_variance;
            (mean + p * step, within + p * (1.0 - p) * step * step)
        };
        self.butterfly(&mut moments, |flips, zero, one| {
            (mix(zero, one, flips.p01()), mix(one, zero, flips.p10()))
        });
        Ok(moments)
    }

    /// The same memory, where the highest `bits` of each word never flip.
    #[must_use]
    pub fn keeping(mut self, bits: u32) -> Self {
        let exposed = self.flips.len().saturating_sub(bits as usize);
        self.flips[exposed..].fill(FlipProbability::NEVER);
        self
    }

    /// A channel on the way from this one (`share` 0) to one that tells nothing (1). A share outside
    /// 0..=1 counts as the nearest one.
    #[must_use]
    pub fn noisier(&self, share: f64) -> Self {
        let towards = |p: f64| p + share.clamp(0.0, 1.0) * (0.5 - p);
        let noisier = |flips: &FlipProbability| {
            // Between two probabilities, so one itself.
            FlipProbability::asymmetric(towards(flips.p01()), towards(flips.p10()))
                .unwrap_or(*flips)
        };
        Self { flips: self.flips.iter().map(noisier).collect() }
    }

    fn check(&self, values: &[f64]) -> Result<(), FaultError> {
        let (given, width) = (values.len(), self.width());
        if given == self.words() { Ok(()) } else { Err(FaultError::WordValues { given, width }) }
    }

    /// Mixes every two values whose words differ in one bit, bit after bit.
    fn butterfly<T: Copy>(&self, values: &mut [T], mix: impl Fn(FlipProbability, T, T) -> (T, T)) {
        for (bit, &flips) in self.flips.iter().enumerate() {
            for block in values.chunks_exact_mut(2 << bit) {
                let (zeros, ones) = block.split_at_mut(1 << bit);
                for (zero, one) in zeros.iter_mut().zip(ones) {
                    (*zero, *one) = mix(flips, *zero, *one);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    /// `P(y | x)` as the definition says.
    fn probability(channel: &WordChannel, x: usize, y: usize) -> f64 {
        let bit = |(i, flip): (usize, &FlipProbability)| match (x >> i & 1, y >> i & 1) {
            (0, 0) => 1.0 - flip.p01(),
            (0, _) => flip.p01(),
            (_, 0) => flip.p10(),
            _ => 1.0 - flip.p10(),
        };
        channel.flips().iter().enumerate().map(bit).product()
    }

    proptest! {
        #[test]
        fn transforms_are_the_sums_over_the_matrix(
            flips in prop::collection::vec((0.0..=1.0_f64, 0.0..=1.0_f64), 1..=6),
            values in prop::collection::vec(-1.0..1.0_f64, 64),
        ) {
            let width = flips.len() as u32;
            let flip = |(p01, p10)| FlipProbability::asymmetric(p01, p10).unwrap();
            let flips = FlipProfile::per_bit(flips.into_iter().map(flip).collect()).unwrap();
            let channel = WordChannel::new(flips, width).unwrap();
            let words = channel.words();
            let (mut expected, mut carried) = (values[..words].to_vec(), values[..words].to_vec());
            channel.expect(&mut expected).unwrap();
            channel.carry(&mut carried).unwrap();
            let moments = channel.moments_of(&values[..words]).unwrap();
            for w in 0..words {
                let mean: f64 = (0..words).map(|y| probability(&channel, w, y) * values[y]).sum();
                assert_relative_eq!(expected[w], mean, epsilon = 1e-12);
                let sum = (0..words).map(|x| probability(&channel, x, w) * values[x]).sum();
                assert_relative_eq!(carried[w], sum, epsilon = 1e-12);
                let spread = |y: usize| probability(&channel, w, y) * (values[y] - mean).powi(2);
                assert_relative_eq!(moments[w].0, mean, epsilon = 1e-12);
                assert_relative_eq!(moments[w].1, (0..words).map(spread).sum(), epsilon = 1e-12);
                for (y, &p) in channel.row(w as u16).iter().enumerate() {
                    assert_relative_eq!(p, probability(&channel, w, y), epsilon = 1e-15);
                }
            }
        }
    }

    #[test]
    fn a_noisier_channel_lies_between_it_and_none() {
        let channel = WordChannel::new(FlipProbability::asymmetric(0.1, 0.7).unwrap(), 3).unwrap();
        assert_eq!(channel.noisier(0.0), channel);
        assert_relative_eq!(channel.noisier(0.5).flips()[2].p01(), 0.3);
        assert_relative_eq!(channel.noisier(0.5).flips()[2].p10(), 0.6);
        assert_relative_eq!(channel.noisier(1.0).flips()[0].p10(), 0.5);
        assert_eq!(channel.noisier(2.0), channel.noisier(1.0));
        assert_eq!(channel.noisier(f64::NAN), channel);
    }

    #[test]
    fn protected_bits_never_flip() {
        let flips = FlipProbability::symmetric(0.1).unwrap();
        let channel = WordChannel::new(flips, 3).unwrap();
        assert_eq!(
            channel.clone().keeping(2).flips(),
            [flips, FlipProbability::NEVER, FlipProbability::NEVER]
        );
        assert_eq!(channel.keeping(u32::MAX).row(0b101)[0b101], 1.0);
    }

    #[test]
    fn another_number_of_values_than_of_words_is_refused() {
        let channel = WordChannel::new(FlipProbability::symmetric(0.1).unwrap(), 3).unwrap();
        for given in [0, 7, 9, 16] {
            let error = FaultError::WordValues { given, width: 3 };
            let mut values = vec![0.0; given];
            assert_eq!(channel.expect(&mut values), Err(error.clone()));
            assert_eq!(channel.carry(&mut values), Err(error.clone()));
            assert_eq!(channel.moments_of(&values), Err(error));
        }
    }

    #[test]
    fn other_widths_are_refused() {
        let flips = FlipProbability::symmetric(0.1).unwrap();
        for width in [0, 13, u32::MAX] {
            let error = WordChannel::new(flips, width);
            assert_eq!(error, Err(FaultError::WordWidth(width)));
        }
        let two = FlipProfile::per_bit(vec![flips; 2]).unwrap();
        assert_eq!(WordChannel::new(two.clone(), 2), WordChannel::new(flips, 2));
        let error = WordChannel::new(two, 3);
        assert_eq!(error, Err(FaultError::WordProfile { bits: 2, width: 3 }));
    }
}
