//! The SEC-DED code of server memories: single-error correction, double-error detection.

use qtaml_physics::FlipProbability;

use super::bch::symmetric;
use super::parity::is_odd;
use super::{Code, Decoded, MAX_BITS, check_lengths, check_range};
use crate::EccError;

/// The extended Hamming code (R. W. Hamming, Bell System Technical Journal 29, 147, 1950),
/// shortened to any number of data bits: (72, 64), (39, 32), (13, 8), (8, 4).
///
/// With r check bits, each of the others is checked by its own set of at least two of them: a
/// number from 1 to 2^r - 1 that is no power of two. One error then names its bit. A parity bit
/// over all tells one error from two. Three or more are taken for one, or detected, as it happens.
///
/// ```
/// use qtaml_fault::ecc::{Code, Decoded, SecDed};
///
/// let code = SecDed::new(64)?;
/// assert_eq!((code.stored_bits(), code.overhead()), (72, 0.125));
///
/// let (mut stored, mut data) = ([false; 72], [false; 64]);
/// code.encode(&[true; 64], &mut stored)?;
/// stored[17] = false;
/// assert_eq!(code.decode(&stored, &mut data)?, Decoded::Corrected(1));
/// assert_eq!(data, [true; 64]);
/// stored[71] = !stored[71];
/// assert_eq!(code.decode(&stored, &mut data)?, Decoded::Detected);
/// # Ok::<(), qtaml_fault::EccError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecDed {
    /// Which check bits see each data bit.
    columns: Vec<u16>,
    check: usize,
}

impl SecDed {
    /// The code for `data` data bits with the fewest check bits.
    ///
    /// # Errors
    /// [`EccError::CodeParameter`] unless `data` is in `1..=4096`.
    pub fn new(data: usize) -> Result<Self, EccError> {
        check_range("SEC-DED", "data bits", data, MAX_BITS)?;
        let columns: Vec<u16> =
            (1_u16..).filter(|column| !column.is_power_of_two()).take(data).collect();
        let check = columns.last().map_or(0, |last| last.ilog2() as usize + 1);
        Ok(Self { columns, check })
    }

    /// The share of data bits that are wrong after decoding, for equal flip probabilities: exact for any
    /// number of data bits.
    ///
    /// A data bit is wrong if it flipped and the other errors are no code word, or if it did not and
    /// they would be one together with it. Whether errors are a code word shows in the check bits,
    /// which have to be the sum of the columns of the data bits: those sums are followed from one
    /// data bit to the next (ours). All terms are positive, which keeps the digits at any p.
    ///
    /// # Formula
    /// `1/k Σ_i (p (1 - P(C_i)) + q P(D_i))` with `q = 1 - p`: the errors in all bits but i are a
    /// code word without bit i in `C_i`, and lack nothing but bit i to be one in `D_i`
    ///
    /// ```
    /// use qtaml_fault::ecc::SecDed;
    /// use qtaml_physics::FlipProbability;
    ///
    /// // Two errors among 266 stored bits are detected, and stay.
    /// let left = SecDed::new(256)?.flips_left(FlipProbability::symmetric(1e-12)?)?;
    /// assert!((left / (265.0 * 1e-24) - 1.0).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`EccError::Asymmetric`] if the two stored values do not flip alike.
    pub fn flips_left(&self, flips: FlipProbability) -> Result<f64, EccError> {
        let p = symmetric(flips)?;
        let checks = self.check as i32 + 1;
        // Zero has to be told from what is next to it: 1 - q^checks without cancellation.
        let none_fits_not = -(f64::from(checks) * (-p).ln_1p()).exp_m1();
        let wrong = (0_usize..).zip(self.sums(p)).map(|(sum, [_, without, with])| {
            let errors = sum.count_ones() as i32;
            let fits = p.powi(errors) * (1.0 - p).powi(checks - errors);
            let fits_not = if errors == 0 { none_fits_not } else { 1.0 - fits };
            p * without * fits_not + (1.0 - p) * with * fits
        });
        Ok(wrong.sum::<f64>() / self.data_bits() as f64)
    }

    /// For every value that the check bits of some data errors may have: the probability of those
    /// data errors; and summed over the data bits, each left out of it, with no error in that bit and
    /// with one.
    fn sums(&self, p: f64) -> Vec<[f64; 3]> {
        let q = 1.0 - p;
        let step = |[stay, without, with]: [f64; 3], [come, without_too, with_too]: [f64; 3]| {
            [
                q * stay + p * come,
                q * without + p * without_too + stay,
                q * with + p * with_too + come,
            ]
        };
        let mut sums = vec![[0.0; 3]; 2 << self.check];
        sums[0][0] = 1.0;
        for &column in &self.columns {
            // The parity bit makes the number of ones even.
            let parity = usize::from(column.count_ones() % 2 == 0) << self.check;
            let column = usize::from(column) | parity;
            for here in (0..sums.len()).filter(|here| *here < here ^ column) {
                let (one, other) = (sums[here], sums[here ^ column]);
                (sums[here], sums[here ^ column]) = (step(one, other), step(other, one));
            }
        }
        sums
    }

    /// The sum of the columns of all bits that are set.
    fn syndrome(&self, data: &[bool]) -> u16 {
        let column = |(&column, &bit)| if bit { column } else { 0 };
        self.columns.iter().zip(data).map(column).fold(0, |sum, column: u16| sum ^ column)
    }
}

impl Code for SecDed {
    fn data_bits(&self) -> usize {
        self.columns.len()
    }

    fn stored_bits(&self) -> usize {
        self.columns.len() + self.check + 1
    }

    fn encode(&self, data: &[bool], stored: &mut [bool]) -> Result<(), EccError> {
        check_lengths(self, data, stored)?;
        let syndrome = self.syndrome(data);
        let (word, parity) = stored.split_at_mut(data.len() + self.check);
        word[..data.len()].copy_from_slice(data);
        for (j, bit) in word[data.len()..].iter_mut().enumerate() {
            *bit = syndrome >> j & 1 == 1;
        }
        parity[0] = is_odd(word);
        Ok(())
    }

    fn decode(&self, stored: &[bool], data: &mut [bool]) -> Result<Decoded, EccError> {
        check_lengths(self, data, stored)?;
        let (read, rest) = stored.split_at(data.len());
        data.copy_from_slice(read);
        let checks = rest[..self.check].iter().rev();
        let syndrome = self.syndrome(read) ^ checks.fold(0, |sum, &bit| sum << 1 | u16::from(bit));
        Ok(match (is_odd(stored), syndrome) {
            (false, 0) => Decoded::Clean,
            (false, _) => Decoded::Detected,
            // The error is in a check bit, or in the parity bit.
            (true, 0) => Decoded::Corrected(1),
            (true, one) if one.is_power_of_two() => Decoded::Corrected(1),
            (true, column) => match self.columns.binary_search(&column) {
                Ok(at) => {
                    data[at] = !data[at];
                    Decoded::Corrected(1)
                }
                Err(_) => Decoded::Detected,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::super::{ErrorWeights, check};
    use super::*;

    /// Where all patterns can be counted, the sum says what the counts do.
    #[test]
    fn the_flips_left_are_those_of_counting() {
        for data in [1, 2, 4, 5, 8, 26, 57, 64, 118] {
            let code = SecDed::new(data).unwrap();
            let weights = ErrorWeights::of(&code).unwrap();
            for p in [0.0, 1e-100, 1e-18, 1e-6, 1e-3, 0.1, 0.3, 0.5, 0.7, 1.0] {
                let flips = FlipProbability::asymmetric(p, p).unwrap();
                let counted = weights.residual(flips).unwrap().bit_flips;
                let left = code.flips_left(flips).unwrap();
                assert_relative_eq!(left, counted, max_relative = 1e-12);
            }
        }
    }

    /// Of the longest code: pairs of errors stay, and with a coin for each bit nothing is known.
    #[test]
    fn the_longest_code_has_its_limits() {
        let code = SecDed::new(4096).unwrap();
        let left = |p| code.flips_left(FlipProbability::symmetric(p).unwrap()).unwrap();
        assert_relative_eq!(left(1e-15), 4109.0 * 1e-30, max_relative = 1e-10);
        assert_relative_eq!(left(0.5), 0.5, max_relative = 1e-12);
        let leaky = FlipProbability::asymmetric(0.0, 0.1).unwrap();
        assert_eq!(code.flips_left(leaky), Err(EccError::Asymmetric { flips: leaky }));
    }

    /// Hamming's bound: r check bits serve up to 2^r - r - 1 data bits, and one more detects.
    #[test]
    fn the_sizes_of_the_literature() {
        let sizes = [(1, 4), (4, 8), (8, 13), (11, 16), (16, 22), (26, 32), (32, 39), (57, 64)];
        for (data, stored) in sizes.into_iter().chain([(64, 72), (120, 128), (128, 137)]) {
            assert_eq!(SecDed::new(data).unwrap().stored_bits(), stored, "{data}");
        }
    }

    #[test]
    fn every_error_is_corrected_and_every_pair_detected() {
        for width in [1, 2, 4, 5, 8, 11, 12, 26, 64] {
            let code = SecDed::new(width).unwrap();
            let data = check::some_data(&code, width as u64);
            assert_eq!(check::read(&code, &data, &[]), (data.clone(), Decoded::Clean));
            for i in 0..code.stored_bits() {
                let (read, says) = check::read(&code, &data, &[i]);
                assert_eq!((read, says), (data.clone(), Decoded::Corrected(1)), "{width}: {i}");
                for j in 0..i {
                    let (_, says) = check::read(&code, &data, &[i, j]);
                    assert_eq!(says, Decoded::Detected, "{width}: {i}, {j}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_width_keeps_data_through_one_error(
            data in prop::collection::vec(any::<bool>(), 1..300),
            error in any::<prop::sample::Index>(),
        ) {
            let code = SecDed::new(data.len()).unwrap();
            let (read, says) = check::read(&code, &data, &[error.index(code.stored_bits())]);
            prop_assert_eq!((read, says), (data, Decoded::Corrected(1)));
        }
    }

    #[test]
    fn widths_and_lengths_are_checked() {
        check::lengths_are_checked(&SecDed::new(8).unwrap());
        assert!(SecDed::new(0).is_err() && SecDed::new(4097).is_err());
        assert_eq!(SecDed::new(4096).unwrap().stored_bits(), 4096 + 14);
    }
}
