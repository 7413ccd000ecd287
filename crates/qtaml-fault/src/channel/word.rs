//! The channel of a stored word: its transition probabilities.

use qtaml_fault::WordFlips;
use qtaml_physics::{FlipProbability, FlipProfile};

use crate::CompensationError;

/// The distribution P(y | x) of the word `y` that is read where `x` is stored, for words of `R` = 1 to 12
/// bits that flip independently, each with its own `p01` and `p10`.
///
/// # Formula
/// `P(y | x) = Π_i P_i(y_i | x_i)`: a Kronecker product of `R` matrices of 2 by 2. It is never
/// written out. Sums over all stored or all read words are taken bit by bit, like a fast
/// Walsh-Hadamard transform, in `R 2^R` steps instead of `4^R`.
///
/// ```
/// use qtaml_compensation::codebook::WordChannel;
/// use qtaml_physics::FlipProbability;
///
/// let channel = WordChannel::new(FlipProbability::symmetric(0.1)?, 2)?;
/// // The mean of a table over what is read of each word.
/// let mut table = [0.0, 1.0, 2.0, 3.0];
/// channel.expect(&mut table);
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
    /// [`CompensationError::WordWidth`] outside 1..=12, [`CompensationError::ProfileWidth`] for flip
    /// probabilities of another number of bits.
    pub fn new(flips: impl Into<FlipProfile>, width: u32) -> Result<Self, CompensationError> {
        if !(1..=Self::MAX_WIDTH).contains(&width) {
            return Err(CompensationError::WordWidth(width));
        }
        let flips = flips.into();
        match flips.bits() {
            Some(bits) if bits != width as usize => {
                Err(CompensationError::ProfileWidth { bits, width })
            }
            _ => Ok(Self { flips: (0..width as usize).map(|bit| flips.at(bit)).collect() }),
        }
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
    pub fn fault_model(&self) -> Result<WordFlips, CompensationError> {
        let flips = FlipProfile::per_bit(self.flips.clone());
        let flips = flips.map_err(|_| CompensationError::WordWidth(self.width()))?;
        Ok(WordFlips::new(flips, self.width())?)
    }

    /// Replaces `values[y]`, a value for every word read, by its mean for every word stored:
    /// `Σ_y P(y | x) values[y]` at `x`.
    ///
    /// # Panics
    /// Unless there is one value per word.
    pub fn expect(&self, values: &mut [f64]) {
        self.butterfly(values, |law, zero, one| {
            let (p01, p10) = (law.p01(), law.p10());
            ((1.0 - p01) * zero + p01 * one, p10 * zero + (1.0 - p10) * one)
        });
    }

    /// Replaces `stored[x]`, what lies in every word stored, by what of it arrives in every word
    /// read: `Σ_x P(y | x) stored[x]` at `y`. Its total stays.
    ///
    /// # Panics
    /// Unless there is one value per word.
    pub fn carry(&self, stored: &mut [f64]) {
        self.butterfly(stored, |law, zero, one| {
            let (p01, p10) = (law.p01(), law.p10());
            ((1.0 - p01) * zero + p10 * one, p01 * zero + (1.0 - p10) * one)
        });
    }

    /// The distribution of what is read of one word: `P(y | x)` for every `y`, into `row`.
    pub(super) fn row(&self, stored: u16, row: &mut Vec<f64>) {
        row.clear();
        row.push(1.0);
        for (bit, law) in self.flips.iter().enumerate() {
            let one = if stored >> bit & 1 == 1 { 1.0 - law.p10() } else { law.p01() };
            row.extend_from_within(..);
            let (zeros, ones) = row.split_at_mut(1 << bit);
            for (p_zero, p_one) in zeros.iter_mut().zip(ones) {
                *p_zero *= 1.0 - one;
                *p_one *= one;
            }
        }
    }

    /// The same memory, where the highest `bits` of each word never flip.
    pub(super) fn keeping(mut self, bits: usize) -> Self {
        let exposed = self.flips.len().saturating_sub(bits);
        self.flips[exposed..].fill(FlipProbability::NEVER);
        self
    }

    /// A channel on the way from this one (`share` 0) to one that tells nothing (1).
    pub(super) fn noisier(&self, share: f64) -> Self {
        let towards = |p: f64| p + share * (0.5 - p);
        let law = |law: &FlipProbability| {
            // Between two probabilities, so one itself.
            FlipProbability::asymmetric(towards(law.p01()), towards(law.p10())).unwrap_or(*law)
        };
        Self { flips: self.flips.iter().map(law).collect() }
    }

    /// Mixes every two values whose words differ in one bit, bit after bit.
    fn butterfly(&self, values: &mut [f64], mix: impl Fn(FlipProbability, f64, f64) -> (f64, f64)) {
        assert_eq!(values.len(), self.words(), "one value per word");
        for (bit, &law) in self.flips.iter().enumerate() {
            for block in values.chunks_exact_mut(2 << bit) {
                let (zeros, ones) = block.split_at_mut(1 << bit);
                for (zero, one) in zeros.iter_mut().zip(ones) {
                    (*zero, *one) = mix(law, *zero, *one);
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
        let bit = |(i, law): (usize, &FlipProbability)| match (x >> i & 1, y >> i & 1) {
            (0, 0) => 1.0 - law.p01(),
            (0, _) => law.p01(),
            (_, 0) => law.p10(),
            _ => 1.0 - law.p10(),
        };
        channel.flips().iter().enumerate().map(bit).product()
    }

    proptest! {
        #[test]
        fn transforms_are_the_sums_over_the_matrix(
            laws in prop::collection::vec((0.0..=1.0_f64, 0.0..=1.0_f64), 1..=6),
            values in prop::collection::vec(-1.0..1.0_f64, 64),
        ) {
            let width = laws.len() as u32;
            let law = |(p01, p10)| FlipProbability::asymmetric(p01, p10).unwrap();
            let flips = FlipProfile::per_bit(laws.into_iter().map(law).collect()).unwrap();
            let channel = WordChannel::new(flips, width).unwrap();
            let words = channel.words();
            let (mut expected, mut carried) = (values[..words].to_vec(), values[..words].to_vec());
            channel.expect(&mut expected);
            channel.carry(&mut carried);
            for w in 0..words {
                let mean = (0..words).map(|y| probability(&channel, w, y) * values[y]).sum();
                assert_relative_eq!(expected[w], mean, epsilon = 1e-12);
                let sum = (0..words).map(|x| probability(&channel, x, w) * values[x]).sum();
                assert_relative_eq!(carried[w], sum, epsilon = 1e-12);
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
    }

    #[test]
    fn other_widths_are_refused() {
        let flips = FlipProbability::symmetric(0.1).unwrap();
        for width in [0, 13, u32::MAX] {
            let error = WordChannel::new(flips, width);
            assert_eq!(error, Err(CompensationError::WordWidth(width)));
        }
        let two = FlipProfile::per_bit(vec![flips; 2]).unwrap();
        assert_eq!(WordChannel::new(two.clone(), 2), WordChannel::new(flips, 2));
        let error = WordChannel::new(two, 3);
        assert_eq!(error, Err(CompensationError::ProfileWidth { bits: 2, width: 3 }));
    }
}
