//! What faults do to a code: the law in closed form, and the exact table beside it.

use qtaml_physics::FlipProbability;
use qtaml_quant::BitWidth;

use crate::Protection;

/// The error distribution of one stored code, in closed form (docs/theory.md, section 2).
///
/// # Formula
/// With `U` the unprotected bits, `B_i` their stored values, `w_i` what they are worth
/// (`w_(b-1) = -2^(b-1)`, else `2^i`), and `q_M`, `q_U` the parts of the code that the protected
/// and the unprotected bits hold:
///
/// - affine mean drift `E[q'] = q_M + (1 - p01 - p10) q_U + p01 Σ_U w_i`, which is
///   `(1 - 2p) q - p` for symmetric `p` without protection;
/// - variance hierarchy `Var[q'] = Σ_U 4^i [B_i p10 (1 - p10) + (1 - B_i) p01 (1 - p01)]`, which
///   is `p (1 - p) (4^b - 1) / 3` for every code where `p` is symmetric and nothing protected:
///   the top bit alone owns three quarters of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeChannel {
    probability: FlipProbability,
    bits: BitWidth,
    protection: Protection,
}

impl CodeChannel {
    /// The channel from a stored code to the code that is read.
    pub fn new(probability: FlipProbability, bits: BitWidth, protection: Protection) -> Self {
        Self { probability, bits, protection }
    }

    /// The width of a code.
    pub fn bits(&self) -> BitWidth {
        self.bits
    }

    /// The flip probability of an unprotected bit.
    pub fn probability(&self) -> FlipProbability {
        self.probability
    }

    /// The protected bits.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// `E[q']`, the mean code read where `code` is stored.
    pub fn mean(&self, code: i32) -> f64 {
        let (kept, exposed) = self.split(self.bits.word_of(code));
        f64::from(kept) + self.gain() * f64::from(exposed) + self.offset()
    }

    /// `Var[q']`, the variance of the code read where `code` is stored.
    pub fn variance(&self, code: i32) -> f64 {
        self.bit_variances(code).sum()
    }

    /// What each bit adds to the variance, least significant first; 0 for a protected one.
    pub fn bit_variances(&self, code: i32) -> impl Iterator<Item = f64> {
        let (p01, p10) = (self.probability.p01(), self.probability.p10());
        let (word, kept) = (self.bits.word_of(code), self.protection.mask());
        self.bits.bit_values().enumerate().map(move |(i, value)| {
            let p = match (kept >> i & 1, word >> i & 1) {
                (1, _) => 0.0,
                (_, 1) => p10,
                _ => p01,
            };
            p * (1.0 - p) * f64::from(value).powi(2)
        })
    }

    /// `1 - p01 - p10`: by how much the unprotected part of a code shrinks in the mean.
    pub fn gain(&self) -> f64 {
        1.0 - self.probability.p01() - self.probability.p10()
    }

    /// `p01 Σ_U w_i`: by how much every code moves in the mean.
    pub fn offset(&self) -> f64 {
        let (_, all_exposed) = self.split(self.bits.mask());
        self.probability.p01() * f64::from(all_exposed)
    }

    /// The part of a word's code that its protected bits hold, and that of the others.
    pub fn split(&self, word: u8) -> (i32, i32) {
        let kept = self.bits.code_of(word & self.protection.mask());
        (kept, self.bits.code_of(word) - kept)
    }

    /// `P(read | stored)` of two words: the product over the unprotected bits, 0 if a protected
    /// one differs.
    pub fn transition(&self, stored: u8, read: u8) -> f64 {
        let flipped = stored ^ read;
        if flipped & self.protection.mask() != 0 {
            return 0.0;
        }
        let exposed = self.bits.mask() & !self.protection.mask();
        let (p01, p10) = (self.probability.p01(), self.probability.p10());
        let power = |p: f64, mask: u8| p.powi((mask & exposed).count_ones() as i32);
        power(p10, flipped & stored)
            * power(1.0 - p10, !flipped & stored)
            * power(p01, flipped & !stored)
            * power(1.0 - p01, !flipped & !stored)
    }
}

/// `P(read | stored)` over all words: at most 256 x 256 numbers from which every expectation
/// follows by plain summation, without any formula.
///
/// # Shapes
/// `[2^b, 2^b]`, indexed by words, stored first.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelMatrix {
    bits: BitWidth,
    rows: Vec<f64>,
}

impl ChannelMatrix {
    /// The matrix of a channel.
    pub fn new(channel: &CodeChannel) -> Self {
        let bits = channel.bits();
        let rows = bits
            .words()
            .flat_map(|stored| bits.words().map(move |read| channel.transition(stored, read)))
            .collect();
        Self { bits, rows }
    }

    /// The width of a code.
    pub fn bits(&self) -> BitWidth {
        self.bits
    }

    /// `P(read | stored)` for every word read, in the order of the words.
    pub fn row(&self, stored: u8) -> &[f64] {
        let levels = self.bits.levels();
        let start = usize::from(stored & self.bits.mask()) * levels;
        &self.rows[start..start + levels]
    }

    /// `E[f(read)]` where `stored` is stored.
    ///
    /// ```
    /// use qtaml_fault::{ChannelMatrix, CodeChannel, Protection};
    /// use qtaml_physics::FlipProbability;
    /// use qtaml_quant::BitWidth;
    ///
    /// let p = FlipProbability::symmetric(0.01)?;
    /// let matrix = ChannelMatrix::new(&CodeChannel::new(p, BitWidth::INT8, Protection::NONE));
    /// let survives = matrix.expect(0x2a, |read| f64::from(u8::from(read == 0x2a)));
    /// assert!((survives - 0.99_f64.powi(8)).abs() < 1e-15);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expect(&self, stored: u8, f: impl Fn(u8) -> f64) -> f64 {
        self.bits.words().zip(self.row(stored)).map(|(read, p)| p * f(read)).sum()
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    fn every_channel() -> impl Iterator<Item = CodeChannel> {
        let probabilities =
            [(0.0, 0.0), (1e-6, 1e-6), (0.1, 0.1), (0.5, 0.5), (0.02, 0.3), (1.0, 0.0)];
        probabilities.into_iter().flat_map(|(p01, p10)| {
            (2..=8).flat_map(move |b| {
                let bits = BitWidth::new(b).unwrap();
                let p = FlipProbability::asymmetric(p01, p10).unwrap();
                (0..=b).map(move |k| CodeChannel::new(p, bits, Protection::top(k, bits).unwrap()))
            })
        })
    }

    #[test]
    fn rows_are_distributions() {
        for channel in every_channel() {
            let matrix = ChannelMatrix::new(&channel);
            for stored in channel.bits().words() {
                let sum: f64 = matrix.row(stored).iter().sum();
                assert_relative_eq!(sum, 1.0, epsilon = 1e-12);
            }
        }
    }

    /// The closed forms against plain summation over the matrix, for every code.
    #[test]
    fn mean_and_variance_are_those_of_the_matrix() {
        for channel in every_channel() {
            let (bits, matrix) = (channel.bits(), ChannelMatrix::new(&channel));
            for stored in bits.words() {
                let code = bits.code_of(stored);
                let value = |read| f64::from(bits.code_of(read));
                let mean = matrix.expect(stored, value);
                let variance = matrix.expect(stored, |read| (value(read) - mean).powi(2));
                assert_relative_eq!(
                    channel.mean(code),
                    mean,
                    epsilon = 1e-10,
                    max_relative = 1e-12
                );
                assert_relative_eq!(
                    channel.variance(code),
                    variance,
                    epsilon = 1e-9,
                    max_relative = 1e-10
                );
            }
        }
    }

    /// The forms as the sources state them.
    #[test]
    fn the_symmetric_unprotected_case_is_the_published_one() {
        for p in [1e-4, 0.05, 0.1, 0.5] {
            for b in 2..=8 {
                let bits = BitWidth::new(b).unwrap();
                let probability = FlipProbability::symmetric(p).unwrap();
                let channel = CodeChannel::new(probability, bits, Protection::NONE);
                let hierarchy = p * (1.0 - p) * (4_f64.powi(b as i32) - 1.0) / 3.0;
                for code in -bits.max_code() - 1..=bits.max_code() {
                    let drift = (1.0 - 2.0 * p) * f64::from(code) - p;
                    assert_relative_eq!(channel.mean(code), drift, epsilon = 1e-12);
                    assert_relative_eq!(channel.variance(code), hierarchy, max_relative = 1e-12);
                }
            }
        }
    }

    #[test]
    fn the_top_bit_owns_three_quarters() {
        let p = FlipProbability::symmetric(0.1).unwrap();
        let channel = CodeChannel::new(p, BitWidth::INT8, Protection::NONE);
        let share = channel.bit_variances(5).last().unwrap() / channel.variance(5);
        assert_relative_eq!(
            share,
            3.0 * 4_f64.powi(7) / (4_f64.powi(8) - 1.0),
            max_relative = 1e-12
        );
    }
}
