//! The error distribution of a stored word: in closed form, and as an exact matrix.

mod word;

use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::{BitWidth, Format, Word};

use crate::{BitMask, Ecc, EccError, FaultError};

pub use word::WordChannel;

/// The error distribution of one stored word, in closed form (docs/theory.md, section 2).
///
/// It holds for every width, encoding and set of protected bits, with a flip probability of its
/// own for each bit and each stored value.
///
/// # Formula
/// With `p_k` the probability that bit `k` flips, given what it stores, and `δ_k` what its flip
/// changes the code by, in the mean over the faults of the bits below it ([`change`](Self::change)),
///
/// - `E[q'] - q = Σ_k p_k δ_k`;
/// - `Var[q'] = Σ_k p_k (1 - p_k) δ_k²`.
///
/// For two's complement, where `δ_k` is `±2^k`, and one symmetric `p` these are the formulas of the
/// sources:
///
/// - affine mean drift, `E[q'] = (1 - 2p) q - p`;
/// - variance hierarchy, `Var[q'] = p (1 - p) (4^b - 1) / 3` for every code: the top bit alone owns
///   three quarters of it.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedChannel {
    flips: FlipProfile,
    format: Format,
    protection: BitMask,
    ecc: Ecc,
    /// The bits as they are read; of a protected one what its ecc leaves.
    bits: WordChannel,
}

impl QuantizedChannel {
    /// The channel from a stored word to the word that is read. A width alone stands for two's
    /// complement, one probability for that of every bit.
    ///
    /// # Errors
    /// [`FaultError::ProfileWidth`] and [`FaultError::ProtectedBits`] for flip probabilities and
    /// protected bits that do not fit the width.
    pub fn new(
        flips: impl Into<FlipProfile>,
        format: impl Into<Format>,
        protection: BitMask,
    ) -> Result<Self, FaultError> {
        let (flips, format) = (flips.into(), format.into());
        let width = format.bits();
        check_width(&flips, width)?;
        protection.check_width(width)?;
        let kept = |bit: usize| protection.mask() >> bit & 1 == 1;
        let of_bit = |bit| if kept(bit) { FlipProbability::NEVER } else { flips.at(bit) };
        let bits = WordChannel::of_bits((0..width.get() as usize).map(of_bit).collect());
        Ok(Self { flips, format, protection, ecc: Ecc::Ideal, bits })
    }

    /// The same channel with its protected bits in a real code: they flip as often as it leaves
    /// them wrong in the mean over a code word. The bits of one weight lie in different code words
    /// and stay independent; weights that share code words are not.
    ///
    /// # Errors
    /// As [`Ecc::residual`].
    pub fn with_ecc(self, ecc: Ecc) -> Result<Self, FaultError> {
        self.with_ecc_leaving(ecc, |flips| ecc.residual(flips))
    }

    /// The same where `left` says what the code leaves of flip probabilities: [`Ecc::residual`], for whoever
    /// keeps it from one channel to the next.
    ///
    /// # Errors
    /// As `left`.
    pub fn with_ecc_leaving(
        mut self,
        ecc: Ecc,
        mut left: impl FnMut(FlipProbability) -> Result<FlipProbability, EccError>,
    ) -> Result<Self, FaultError> {
        // Counting the error patterns of a code takes time, and bits mostly share their flip probabilities.
        let mut known: Option<(FlipProbability, FlipProbability)> = None;
        let mut bits = self.bits.flips().to_vec();
        for i in bits_of(self.protection.mask()) {
            let flips = self.flips.at(i);
            let residual = match known {
                Some((same, residual)) if same == flips => residual,
                _ => left(flips)?,
            };
            known = Some((flips, residual));
            bits[i] = residual;
        }
        self.bits = WordChannel::of_bits(bits);
        self.ecc = ecc;
        Ok(self)
    }

    /// The width of a word.
    pub fn bits(&self) -> BitWidth {
        self.format.bits()
    }

    /// What a word means.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The flip probabilities of unprotected bits.
    pub fn flips(&self) -> &FlipProfile {
        &self.flips
    }

    /// The protected bits.
    pub fn protection(&self) -> BitMask {
        self.protection
    }

    /// What keeps the protected bits.
    pub fn ecc(&self) -> Ecc {
        self.ecc
    }

    /// The channel of the bits alone, whatever they mean: a protected bit never flips, unless its ecc
    /// is a real code.
    pub fn word_channel(&self) -> &WordChannel {
        &self.bits
    }

    /// The probability that bit `bit` flips where it stores `value`; 0 if it is protected, unless
    /// its ecc is a real code.
    ///
    /// # Errors
    /// [`FaultError::NoSuchBit`] for a bit that words of this width lack.
    pub fn flip(&self, bit: usize, value: bool) -> Result<f64, FaultError> {
        self.check_bit(bit)?;
        Ok(self.bits.flip(bit, u16::from(value) << bit))
    }

    /// `E[q']`, the mean code read where the word `stored` is stored.
    pub fn mean(&self, stored: Word) -> f64 {
        f64::from(self.format.code_of(stored)) + self.drift(stored)
    }

    /// `E[q'] - q`, the mean error: to full precision for the smallest `p`.
    pub fn drift(&self, stored: Word) -> f64 {
        self.bits_of_word().map(|k| self.flip_stored(k, stored) * self.change_of(k, stored)).sum()
    }

    /// `Var[q']`, the variance of the code read where the word `stored` is stored.
    pub fn variance(&self, stored: Word) -> f64 {
        self.bit_variances(stored).sum()
    }

    /// What each bit adds to the variance, least significant first; 0 for a protected one.
    ///
    /// # Formula
    /// `p_k (1 - p_k) δ_k²`
    pub fn bit_variances(&self, stored: Word) -> impl Iterator<Item = f64> {
        self.bits_of_word().map(move |k| {
            let p = self.flip_stored(k, stored);
            p * (1.0 - p) * self.change_of(k, stored).powi(2)
        })
    }

    /// `δ_k`: by how much the code changes when bit `bit` of the word `stored` flips, the bits
    /// above it being read as stored, and in the mean over the faults of the bits below it.
    ///
    /// # Formula
    /// `-2 Σ_(S ∋ k) a_S χ_S Π_(i in S, i < k) (1 - 2 p_i)` over the terms `a_S Π_S s_i` of the
    /// code ([`Format::terms`]), with `χ_S` the product of the stored signs. In two's complement
    /// and offset binary a bit is in one term alone, and `δ_k` is `±2^k` whatever the others do.
    ///
    /// # Errors
    /// [`FaultError::NoSuchBit`] for a bit that words of this width lack.
    pub fn change(&self, bit: usize, stored: Word) -> Result<f64, FaultError> {
        self.check_bit(bit)?;
        Ok(self.change_of(bit, stored))
    }

    /// [`change`](Self::change) of a bit that is there.
    pub(crate) fn change_of(&self, bit: usize, stored: Word) -> f64 {
        let kept = |below| -> f64 {
            bits_of(below).map(|i| 1.0 - 2.0 * self.flip_stored(i, stored)).product()
        };
        let (this, below) = (1_u8 << bit, (1_u8 << bit) - 1);
        let terms = self.format.terms().filter(|term| term.bits & this != 0);
        terms.map(|t| -2.0 * t.weight * sign(t.bits & stored.0) * kept(t.bits & below)).sum()
    }

    /// `P(read | stored)` for every word read, in the order of the words: the product over the
    /// bits.
    pub fn row(&self, stored: Word) -> Vec<f64> {
        self.bits.row(stored.0.into())
    }

    /// `Σ_x stored(x) P(y | x)` for every word read: how often each is read where each is stored as
    /// often as `stored` says. Any weights will do, negative ones too.
    ///
    /// Bits are independent, so the sum is taken bit by bit: `b 2^b` steps, and no matrix.
    ///
    /// # Errors
    /// [`FaultError::WordValues`] unless there is one number per word.
    pub fn pass(&self, stored: &[f64]) -> Result<Vec<f64>, FaultError> {
        let mut words = stored.to_vec();
        self.bits.carry(&mut words)?;
        Ok(words)
    }

    /// Mean and variance of `f(read)` for every word stored, where `f` has the given value for
    /// every word read ([`WordChannel::moments_of`]).
    ///
    /// # Errors
    /// [`FaultError::WordValues`] unless there is one number per word.
    pub fn moments_of(&self, values: &[f64]) -> Result<Vec<(f64, f64)>, FaultError> {
        self.bits.moments_of(values)
    }

    fn check_bit(&self, bit: usize) -> Result<(), FaultError> {
        let width = self.bits();
        if self.bits_of_word().contains(&bit) {
            Ok(())
        } else {
            Err(FaultError::NoSuchBit { bit, width })
        }
    }

    fn bits_of_word(&self) -> std::ops::Range<usize> {
        0..self.bits().get() as usize
    }

    /// The probability that bit `bit` of the word `stored` flips.
    pub(crate) fn flip_stored(&self, bit: usize, stored: Word) -> f64 {
        self.bits.flip(bit, stored.0.into())
    }
}

/// Refuses flip probabilities for another number of bits.
pub(crate) fn check_width(flips: &FlipProfile, width: BitWidth) -> Result<(), FaultError> {
    match flips.bits() {
        Some(bits) if bits != width.get() as usize => Err(FaultError::ProfileWidth { bits, width }),
        _ => Ok(()),
    }
}

/// The product of the signs of the bits that are set, -1 for each.
fn sign(bits: u8) -> f64 {
    if bits.count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
}

/// The positions of the bits that are set.
pub(crate) fn bits_of(mask: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |i| mask >> i & 1 == 1)
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
    pub fn new(channel: &QuantizedChannel) -> Self {
        let bits = channel.bits();
        Self { bits, rows: bits.words().flat_map(|stored| channel.row(stored)).collect() }
    }

    /// The width of a word.
    pub fn bits(&self) -> BitWidth {
        self.bits
    }

    /// `P(read | stored)` for every word read, in the order of the words.
    pub fn row(&self, stored: Word) -> &[f64] {
        let levels = self.bits.levels();
        let start = usize::from(stored.0 & self.bits.mask()) * levels;
        &self.rows[start..start + levels]
    }

    /// `E[f(read)]` where `stored` is stored.
    ///
    /// ```
    /// use qtaml_fault::{ChannelMatrix, QuantizedChannel, BitMask};
    /// use qtaml_physics::FlipProbability;
    /// use qtaml_quant::{BitWidth, Word};
    ///
    /// let p = FlipProbability::symmetric(0.01)?;
    /// let matrix = ChannelMatrix::new(&QuantizedChannel::new(p, BitWidth::INT8, BitMask::NONE)?);
    /// let survives = matrix.expect(Word(0x2a), |read| f64::from(u8::from(read == Word(0x2a))));
    /// assert!((survives - 0.99_f64.powi(8)).abs() < 1e-15);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expect(&self, stored: Word, f: impl Fn(Word) -> f64) -> f64 {
        self.bits.words().zip(self.row(stored)).map(|(read, p)| p * f(read)).sum()
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_quant::Encoding;

    use super::*;

    fn symmetric(p: f64) -> FlipProfile {
        FlipProbability::symmetric(p).unwrap().into()
    }

    /// The same for every bit, symmetric and not, from nothing to certainty, and probabilities of which no
    /// two bits are alike.
    fn profiles(width: BitWidth) -> Vec<FlipProfile> {
        let pairs = [
            (0.0, 0.0),
            (1e-18, 1e-18),
            (1e-6, 1e-6),
            (0.1, 0.1),
            (0.5, 0.5),
            (0.02, 0.3),
            (0.0, 1e-9),
            (0.9, 0.7),
            (1.0, 0.0),
        ];
        let pair = |(p01, p10)| FlipProbability::asymmetric(p01, p10).unwrap();
        let uniform = pairs.map(|p| FlipProfile::from(pair(p)));
        let mixed = (0..width.get()).map(|i| {
            let p = 10_f64.powi(-(i as i32));
            pair((p / 3.0, p / 2.0))
        });
        let mut profiles = uniform.to_vec();
        profiles.push(FlipProfile::per_bit(mixed.collect()).unwrap());
        profiles
    }

    /// Protection of the top bits, and of every second bit.
    fn protections(width: BitWidth) -> Vec<BitMask> {
        let mut all: Vec<_> = (0..=width.get()).map(|k| BitMask::top(k, width).unwrap()).collect();
        all.push(BitMask::of_bits(0b0101_0101 & width.mask(), width).unwrap());
        all
    }

    fn every_channel() -> impl Iterator<Item = QuantizedChannel> {
        Format::all().flat_map(|format| {
            let width = format.bits();
            profiles(width).into_iter().flat_map(move |profile| {
                protections(width).into_iter().map(move |protection| {
                    QuantizedChannel::new(profile.clone(), format, protection).unwrap()
                })
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

    /// Bit by bit against plain summation over the matrix.
    #[test]
    fn what_passes_is_the_sum_over_the_matrix() {
        for channel in every_channel() {
            let matrix = ChannelMatrix::new(&channel);
            let wave = |word: Word| (f64::from(word.0) * 0.7).sin();
            let values: Vec<f64> = channel.bits().words().map(wave).collect();
            let read = channel.pass(&values).unwrap();
            let moments = channel.moments_of(&values).unwrap();
            for word in channel.bits().words() {
                let i = usize::from(word);
                let stored = channel.bits().words();
                let sum: f64 = stored.map(|x| wave(x) * matrix.row(x)[i]).sum();
                assert_relative_eq!(read[i], sum, epsilon = 1e-12);
                let mean = matrix.expect(word, wave);
                let variance = matrix.expect(word, |read| (wave(read) - mean).powi(2));
                assert_relative_eq!(moments[i].0, mean, epsilon = 1e-12);
                assert_relative_eq!(moments[i].1, variance, epsilon = 1e-30, max_relative = 1e-9);
            }
        }
    }

    /// The closed forms against plain summation over the matrix, for every word of every format, to
    /// twelve digits: relative to the variance itself, and to the sum of all errors for the drift.
    #[test]
    fn mean_and_variance_are_those_of_the_matrix() {
        for channel in every_channel() {
            let (format, matrix) = (channel.format(), ChannelMatrix::new(&channel));
            for stored in format.bits().words() {
                let code = f64::from(format.code_of(stored));
                let error = |read| f64::from(format.code_of(read)) - code;
                let (drift, size) =
                    (matrix.expect(stored, error), matrix.expect(stored, |read| error(read).abs()));
                let off = (channel.drift(stored) - drift).abs();
                assert!(off <= 1e-12 * size, "{channel:?} {stored}: {off}");
                assert_eq!(channel.mean(stored), code + channel.drift(stored));

                let variance = matrix.expect(stored, |read| (error(read) - drift).powi(2));
                let off = (channel.variance(stored) - variance).abs();
                // Beside the drift the summation itself has only that many digits.
                let digits = 1e-12 * variance + (1e-14 * size).powi(2);
                assert!(off <= digits, "{channel:?} {stored}: {off}");
            }
        }
    }

    /// One entry of the matrix, by the definition: bits flip or stay, each on its own.
    #[test]
    fn entries_are_products_over_the_bits() {
        let flip = |bit: u8| FlipProbability::asymmetric(0.01 * f64::from(bit), 0.1).unwrap();
        let flips = FlipProfile::per_bit((0..4).map(flip).collect()).unwrap();
        let top = BitMask::top(1, BitWidth::INT4).unwrap();
        let channel = QuantizedChannel::new(flips, BitWidth::INT4, top).unwrap();
        let matrix = ChannelMatrix::new(&channel);
        // 0110 -> 0011: bit 0 flips up, bit 1 stays, bit 2 flips down, bit 3 is protected.
        assert_relative_eq!(matrix.row(Word(0b0110))[0b0011], 0.0 * 0.9 * 0.1);
        assert_relative_eq!(
            matrix.row(Word(0b0101))[0b0111],
            0.9 * 0.01 * 0.9,
            max_relative = 1e-15
        );
        assert_eq!(matrix.row(Word(0b0101))[0b1111], 0.0, "the protected bit never differs");
    }

    /// The forms as the sources state them.
    #[test]
    fn the_symmetric_unprotected_case_is_the_published_one() {
        for p in [1e-4, 0.05, 0.1, 0.5] {
            for bits in BitWidth::all() {
                for encoding in [Encoding::TwosComplement, Encoding::OffsetBinary] {
                    let format = Format::new(bits, encoding);
                    let channel =
                        QuantizedChannel::new(symmetric(p), format, BitMask::NONE).unwrap();
                    let levels = bits.levels() as f64;
                    let hierarchy = p * (1.0 - p) * (levels * levels - 1.0) / 3.0;
                    for stored in bits.words() {
                        let code = f64::from(format.code_of(stored));
                        let drift = (1.0 - 2.0 * p) * code - p;
                        assert_relative_eq!(channel.mean(stored), drift, epsilon = 1e-12);
                        let variance = channel.variance(stored);
                        assert_relative_eq!(variance, hierarchy, max_relative = 1e-12);
                    }
                }
            }
        }
    }

    /// docs/theory.md, section 2: `q_M + (1 - p01 - p10) q_U + p01 Σ_U w_i`, and the sum over the
    /// unprotected bits of `4^i` times the variance of the bit stored.
    #[test]
    fn protected_and_asymmetric_twos_complement_is_the_derived_one() {
        let (p01, p10) = (0.02, 0.3);
        let p = FlipProbability::asymmetric(p01, p10).unwrap();
        for bits in BitWidth::all() {
            for protection in protections(bits) {
                let channel = QuantizedChannel::new(p, bits, protection).unwrap();
                let exposed = bits.mask() & !protection.mask();
                let worth = |word: u8| f64::from(Format::from(bits).code_of(Word(word)));
                for stored in bits.words() {
                    let kept = worth(stored.0 & protection.mask());
                    let drift =
                        (1.0 - p01 - p10) * worth(stored.0 & exposed) + p01 * worth(exposed);
                    let mean = channel.mean(stored);
                    assert_relative_eq!(mean, kept + drift, epsilon = 1e-12);
                    let bit = |i| {
                        let p = if stored.bit(i) { p10 } else { p01 };
                        4_f64.powi(i as i32) * p * (1.0 - p)
                    };
                    let variance: f64 = bits_of(exposed).map(bit).sum();
                    assert_relative_eq!(channel.variance(stored), variance, max_relative = 1e-12);
                }
            }
        }
    }

    #[test]
    fn the_top_bit_owns_three_quarters() {
        let channel = QuantizedChannel::new(symmetric(0.1), BitWidth::INT8, BitMask::NONE).unwrap();
        let share = channel.bit_variances(Word(5)).last().unwrap() / channel.variance(Word(5));
        assert_relative_eq!(
            share,
            3.0 * 4_f64.powi(7) / (4_f64.powi(8) - 1.0),
            max_relative = 1e-12
        );
    }

    /// With one faulty bit alone, its change is that of the code.
    #[test]
    fn a_lone_flip_changes_the_code_by_what_it_says() {
        for format in Format::all() {
            let channel = QuantizedChannel::new(symmetric(0.0), format, BitMask::NONE).unwrap();
            for stored in format.bits().words() {
                for bit in channel.bits_of_word() {
                    let flipped = format.code_of(stored.with_flipped(bit));
                    let expected = f64::from(flipped) - f64::from(format.code_of(stored));
                    assert_eq!(channel.change(bit, stored).unwrap(), expected, "{format} {stored}");
                }
            }
        }
    }

    #[test]
    fn a_real_code_leaves_its_residual() {
        let top = BitMask::top(2, BitWidth::INT8).unwrap();
        let tmr: Ecc = "repetition:3".parse().unwrap();
        let channel = QuantizedChannel::new(symmetric(0.1), BitWidth::INT8, top).unwrap();
        let channel = channel.with_ecc(tmr).unwrap();
        assert_relative_eq!(channel.flip(7, true).unwrap(), 0.028, max_relative = 1e-12);
        assert_eq!(channel.flip(0, true), Ok(0.1));
        let long: Ecc = "bch:10:3".parse().unwrap();
        let uneven = FlipProbability::asymmetric(0.1, 0.2).unwrap();
        let channel = QuantizedChannel::new(uneven, BitWidth::INT8, top).unwrap();
        assert!(channel.with_ecc(long).is_err());
    }

    /// Minus zero reads as zero: where only the sign can flip, nothing is random.
    #[test]
    fn what_cannot_change_has_no_variance() {
        let format = Format::new(BitWidth::INT8, Encoding::SignMagnitude);
        let magnitude = BitMask::of_bits(0b0111_1111, BitWidth::INT8).unwrap();
        for p in [1e-9, 0.01, 0.1, 0.3] {
            let channel = QuantizedChannel::new(symmetric(p), format, magnitude).unwrap();
            for zero in [0b0000_0000, 0b1000_0000].map(Word) {
                assert_eq!((channel.drift(zero), channel.variance(zero)), (0.0, 0.0));
            }
        }
    }

    #[test]
    fn what_does_not_fit_the_width_is_refused() {
        let three = FlipProfile::per_bit(vec![FlipProbability::NEVER; 3]).unwrap();
        let error = QuantizedChannel::new(three, BitWidth::INT4, BitMask::NONE).unwrap_err();
        let message = "3 flip probabilities do not fit an INT4 code: one per bit is needed";
        assert_eq!(error.to_string(), message);
        let top = BitMask::top(1, BitWidth::INT8).unwrap();
        let error = QuantizedChannel::new(FlipProbability::NEVER, BitWidth::INT4, top).unwrap_err();
        assert!(matches!(error, FaultError::ProtectedBits { mask: 0b1000_0000, .. }), "{error}");
    }

    #[test]
    fn what_words_lack_is_refused() {
        let channel = QuantizedChannel::new(symmetric(0.1), BitWidth::INT4, BitMask::NONE).unwrap();
        for bit in [4, 8, 64, usize::MAX] {
            let error = FaultError::NoSuchBit { bit, width: BitWidth::INT4 };
            assert_eq!(channel.flip(bit, true), Err(error.clone()));
            assert_eq!(channel.change(bit, Word(1)), Err(error));
        }
        let error = FaultError::WordValues { given: 15, width: 4 };
        assert_eq!(channel.pass(&[1.0; 15]), Err(error.clone()));
        assert_eq!(channel.moments_of(&[1.0; 15]), Err(error));
    }

    fn any_law() -> impl Strategy<Value = FlipProfile> {
        prop::collection::vec((0.0..=1.0, 0.0..=1.0), 8).prop_map(|flips| {
            let pair = |(p01, p10)| FlipProbability::asymmetric(p01, p10).unwrap();
            FlipProfile::per_bit(flips.into_iter().map(pair).collect()).unwrap()
        })
    }

    proptest! {
        /// Where each bit adds its own part, any set; elsewhere from the top down: with a higher bit
        /// exposed, protecting a lower one may raise the variance (docs/theory.md, section 2).
        #[test]
        fn protection_never_increases_the_variance(
            flips in any_law(), stored: u8, kept: u8, more: u8, k in 0_u32..8,
        ) {
            let variance = |encoding, protection| {
                let format = Format::new(BitWidth::INT8, encoding);
                QuantizedChannel::new(flips.clone(), format, protection).unwrap().variance(Word(stored))
            };
            let of = |mask| BitMask::of_bits(mask, BitWidth::INT8).unwrap();
            for encoding in [Encoding::TwosComplement, Encoding::OffsetBinary] {
                let [less, more] = [kept, kept | more].map(|mask| variance(encoding, of(mask)));
                prop_assert!(more <= less + 1e-9);
            }
            let top = |k| BitMask::top(k, BitWidth::INT8).unwrap();
            for encoding in [Encoding::SignMagnitude, Encoding::Gray] {
                let [less, more] = [k, k + 1].map(|k| variance(encoding, top(k)));
                prop_assert!(more <= less + 1e-9, "{encoding} {k}: {less} {more}");
            }
        }
    }
}
