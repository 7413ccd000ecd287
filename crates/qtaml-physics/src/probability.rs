//! The flip probability of a stored bit.

use crate::error::{PhysicsError, checked};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The probability that one stored bit is read back flipped, for each stored value.
///
/// It is a property of the cell, independent from bit to bit. Values down to 1e-18 and below are held
/// to full relative precision.
///
/// ```
/// use qtaml_physics::FlipProbability;
///
/// let symmetric = FlipProbability::symmetric(0.1)?;
/// assert_eq!((symmetric.p01(), symmetric.p10()), (0.1, 0.1));
///
/// let leaky = FlipProbability::asymmetric(0.0, 1e-18)?;
/// assert_eq!(leaky.to_string(), "p01 = 0.0, p10 = 1e-18");
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct FlipProbability {
    p01: f64,
    p10: f64,
}

impl FlipProbability {
    /// The perfect cell: no bit ever flips.
    pub const NEVER: Self = Self { p01: 0.0, p10: 0.0 };

    /// Both values flip with probability `p`.
    ///
    /// The limit of 1/2 is complete loss: a bit that flips more often is one read with the wrong
    /// sign. A cell that really does so can be stated with [`asymmetric`](Self::asymmetric).
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless `p` is in `0..=0.5`.
    pub fn symmetric(p: f64) -> Result<Self, PhysicsError> {
        let p = checked("p", p, 0.0..=0.5)?;
        Ok(Self { p01: p, p10: p })
    }

    /// A stored 0 is read as 1 with probability `p01`, a stored 1 as 0 with probability `p10`.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless both are in `0..=1`.
    pub fn asymmetric(p01: f64, p10: f64) -> Result<Self, PhysicsError> {
        Ok(Self { p01: checked("p01", p01, 0.0..=1.0)?, p10: checked("p10", p10, 0.0..=1.0)? })
    }

    /// The probability that a stored 0 is read as 1.
    pub const fn p01(self) -> f64 {
        self.p01
    }

    /// The probability that a stored 1 is read as 0.
    pub const fn p10(self) -> f64 {
        self.p10
    }

    /// The larger of the two: how often the weaker stored value flips.
    pub fn larger(self) -> f64 {
        self.p01.max(self.p10)
    }

    /// Whether both values flip with the same probability.
    pub fn is_symmetric(self) -> bool {
        self.p01 == self.p10
    }

    /// The one probability where both values flip alike, `None` if the two differ. It exceeds 1/2 only if
    /// [`asymmetric`](Self::asymmetric) was told so.
    pub fn symmetric_value(self) -> Option<f64> {
        self.is_symmetric().then_some(self.p01)
    }
}

/// `p = 0.1`, or `p01 = 0.0, p10 = 1e-18` where the two differ; every digit is shown.
impl fmt::Display for FlipProbability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symmetric_value() {
            Some(p) => write!(f, "p = {p:?}"),
            None => write!(f, "p01 = {:?}, p10 = {:?}", self.p01, self.p10),
        }
    }
}

/// What a file may hold before it has been looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    p01: f64,
    p10: f64,
}

impl TryFrom<Unchecked> for FlipProbability {
    type Error = PhysicsError;

    fn try_from(raw: Unchecked) -> Result<Self, PhysicsError> {
        Self::asymmetric(raw.p01, raw.p10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_are_accepted_and_everything_beyond_is_refused() {
        for p in [0.0, 1e-18, 0.5] {
            assert_eq!(FlipProbability::symmetric(p).map(FlipProbability::p01), Ok(p));
        }
        for p in [-1e-18, 0.5_f64.next_up(), f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(FlipProbability::symmetric(p).is_err(), "{p}");
        }
        for p in [-1e-18, 1.0_f64.next_up(), f64::NAN, f64::INFINITY] {
            assert!(FlipProbability::asymmetric(p, 0.0).is_err(), "{p}");
            assert!(FlipProbability::asymmetric(0.0, p).is_err(), "{p}");
        }
        assert!(FlipProbability::asymmetric(1.0, 0.7).is_ok());
    }

    #[test]
    fn only_equal_probabilities_have_a_symmetric_value() -> Result<(), PhysicsError> {
        assert_eq!(FlipProbability::asymmetric(0.2, 0.2)?, FlipProbability::symmetric(0.2)?);
        assert_eq!(FlipProbability::symmetric(0.2)?.symmetric_value(), Some(0.2));
        assert_eq!(FlipProbability::asymmetric(0.2, 0.3)?.symmetric_value(), None);
        assert_eq!(FlipProbability::NEVER.symmetric_value(), Some(0.0));
        assert_eq!(FlipProbability::asymmetric(0.2, 0.3)?.larger(), 0.3);
        assert_eq!(FlipProbability::asymmetric(0.4, 0.3)?.larger(), 0.4);
        Ok(())
    }

    #[test]
    fn display_is_short() -> Result<(), PhysicsError> {
        assert_eq!(FlipProbability::symmetric(1e-18)?.to_string(), "p = 1e-18");
        assert_eq!(FlipProbability::asymmetric(0.0, 0.25)?.to_string(), "p01 = 0.0, p10 = 0.25");
        Ok(())
    }

    #[test]
    fn deserialising_checks_the_numbers_and_the_names() {
        let parse = serde_json::from_str::<FlipProbability>;
        assert!(parse(r#"{"p01": 0.1, "p10": 0.9}"#).is_ok());
        let message = parse(r#"{"p01": 0.1, "p10": 1.5}"#).unwrap_err().to_string();
        assert!(message.contains("p10 = 1.5 is outside 0.0..=1.0"), "{message}");
        assert!(parse(r#"{"p01": 0.1, "p10": 0.1, "p": 0.1}"#).is_err());
    }

    proptest! {
        #[test]
        fn serialising_keeps_the_digits(p01 in 0.0..=1.0, p10 in 0.0..=1e-18) {
            let p = FlipProbability::asymmetric(p01, p10).unwrap();
            let json = serde_json::to_string(&p).unwrap();
            prop_assert_eq!(serde_json::from_str::<FlipProbability>(&json).unwrap(), p);
        }
    }
}
