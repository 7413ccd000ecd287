//! The repetition code: copies and a majority vote.

use qtaml_physics::FlipProbability;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::{Code, Decoded, MAX_BITS, check_lengths, check_range};
use crate::EccError;

/// One bit in an odd number of copies, read by majority; three copies are known as triple modular
/// redundancy (Lyons and Vanderkulk, IBM Journal of Research and Development 6, 200, 1962).
///
/// ```
/// use qtaml_fault::ecc::{Code, Decoded, Repetition};
///
/// let mut data = [false];
/// let says = Repetition::new(3)?.decode(&[true, false, true], &mut data)?;
/// assert_eq!((data, says), ([true], Decoded::Corrected(1)));
/// # Ok::<(), qtaml_fault::EccError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repetition {
    copies: usize,
}

impl Repetition {
    /// So many copies; one copy is no code at all, and a baseline.
    ///
    /// # Errors
    /// [`EccError::CodeParameter`] unless `copies` is in `1..=4096`, [`EccError::EvenCopies`]
    /// if it is even.
    pub fn new(copies: usize) -> Result<Self, EccError> {
        match check_range("repetition", "copies", copies, MAX_BITS)? % 2 {
            0 => Err(EccError::EvenCopies { copies }),
            _ => Ok(Self { copies }),
        }
    }

    /// How the majority flips where each copy flips by `flips`: exact, whatever is stored.
    ///
    /// # Formula
    /// `Σ_(e > n/2) C(n, e) p^e (1 - p)^(n - e)` with `p = p01` of a stored 0 and `p = p10` of a
    /// stored 1. For n = 3 and equal flip probabilities it is `3 p² - 2 p³`.
    ///
    /// ```
    /// use qtaml_fault::ecc::Repetition;
    /// use qtaml_physics::FlipProbability;
    ///
    /// let left = Repetition::new(5)?.after_majority(FlipProbability::symmetric(0.1)?);
    /// assert!((left.p10() - 0.00856).abs() < 1e-12);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn after_majority(&self, flips: FlipProbability) -> FlipProbability {
        let lost = |p| more_than(self.copies / 2, self.copies, p);
        match FlipProbability::asymmetric(lost(flips.p01()), lost(flips.p10())) {
            Ok(flip) => flip,
            // NaN would be a defect of ours; made-up probabilities would hide it.
            Err(error) => {
                unreachable!("the tail of a valid binomial distribution is in 0..=1: {error}")
            }
        }
    }
}

impl Code for Repetition {
    fn data_bits(&self) -> usize {
        1
    }

    fn stored_bits(&self) -> usize {
        self.copies
    }

    fn encode(&self, data: &[bool], stored: &mut [bool]) -> Result<(), EccError> {
        check_lengths(self, data, stored)?;
        stored.fill(data[0]);
        Ok(())
    }

    fn decode(&self, stored: &[bool], data: &mut [bool]) -> Result<Decoded, EccError> {
        check_lengths(self, data, stored)?;
        let ones = stored.iter().filter(|&&bit| bit).count();
        data[0] = ones > self.copies / 2;
        Ok(match ones.min(self.copies - ones) {
            0 => Decoded::Clean,
            minority => Decoded::Corrected(minority),
        })
    }
}

/// The probability of more than `errors` flips among `bits` bits that flip with probability `p`.
pub(super) fn more_than(errors: usize, bits: usize, p: f64) -> f64 {
    Binomial::new(p, bits as u64).map_or(f64::NAN, |flips| flips.sf(errors as u64).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::super::check;
    use super::*;

    fn left(copies: usize, p: f64) -> f64 {
        let flips = FlipProbability::symmetric(p).unwrap();
        Repetition::new(copies).unwrap().after_majority(flips).p01()
    }

    #[test]
    fn the_published_values() {
        for p in [1e-18, 1e-9, 1e-3, 0.1, 0.3, 0.5] {
            let tmr = p * p * (3.0 - 2.0 * p);
            assert_relative_eq!(left(3, p), tmr, max_relative = 1e-12);
        }
        assert_relative_eq!(left(1, 0.1), 0.1, max_relative = 1e-12);
        assert_relative_eq!(left(3, 0.1), 0.028, max_relative = 1e-12);
        assert_relative_eq!(left(5, 0.1), 0.00856, max_relative = 1e-12);
    }

    /// `mpmath`, 30 digits.
    #[test]
    fn tails_match_reference_values() {
        for (copies, p, expected) in [
            (7, 0.1, 0.002_728),
            (9, 0.1, 0.000_890_92),
            (15, 0.2, 0.004_239_749_709_824),
            (21, 0.001, 3.494_961_671_381_772e-28),
            (9, 1e-18, 1.26e-88),
            (101, 0.4, 0.020_896_691_004_700_435),
        ] {
            assert_relative_eq!(left(copies, p), expected, max_relative = 1e-11);
        }
    }

    #[test]
    fn each_stored_value_has_its_own_law() {
        let flips = FlipProbability::asymmetric(0.0, 0.2).unwrap();
        let flip = Repetition::new(3).unwrap().after_majority(flips);
        assert_eq!(flip.p01(), 0.0);
        assert_relative_eq!(flip.p10(), 0.104, max_relative = 1e-12);
        let certain = FlipProbability::asymmetric(1.0, 1.0).unwrap();
        assert_eq!(Repetition::new(3).unwrap().after_majority(certain), certain);
    }

    proptest! {
        /// Any flip probabilities and any number of copies have one, and what flips more often is lost more often.
        #[test]
        fn every_tail_is_a_probability(
            p01 in prop_oneof![0.0..=1.0_f64, Just(0.0), Just(f64::MIN_POSITIVE), Just(1.0)],
            p10 in 0.0..=1.0_f64,
            half in 0_usize..2048,
        ) {
            let flips = FlipProbability::asymmetric(p01, p10).unwrap();
            let left = Repetition::new(2 * half + 1).unwrap().after_majority(flips);
            prop_assert!((left.p01() - left.p10()) * (p01 - p10) >= 0.0, "{left:?}");
        }

        #[test]
        fn the_majority_wins(
            copies in (0_usize..20).prop_map(|half| 2 * half + 1),
            value in any::<bool>(),
            errors in 0_usize..40,
        ) {
            let errors = errors % (copies + 1);
            let code = Repetition::new(copies).unwrap();
            let at: Vec<usize> = (0..errors).collect();
            let (data, says) = check::read(&code, &[value], &at);
            prop_assert_eq!(data[0] == value, errors <= copies / 2);
            let seen = errors.min(copies - errors);
            let expected = if seen == 0 { Decoded::Clean } else { Decoded::Corrected(seen) };
            prop_assert_eq!(says, expected);
        }
    }

    #[test]
    fn copies_and_lengths_are_checked() {
        check::lengths_are_checked(&Repetition::new(3).unwrap());
        let error = Repetition::new(4).unwrap_err().to_string();
        assert_eq!(error, "4 copies have no majority: an odd number is needed");
        assert!(Repetition::new(0).is_err() && Repetition::new(4097).is_err());
    }
}
