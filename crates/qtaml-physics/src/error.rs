//! Errors of physical quantities.

use std::ops::RangeInclusive;

/// Why a physical quantity was refused or could not be found.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PhysicsError {
    /// A quantity lies outside its allowed range. The ranges are wide enough for any real device
    /// and narrow enough to catch a value given in the wrong unit.
    #[error("{quantity} = {value:?} is outside {allowed:?}")]
    OutOfRange {
        /// The quantity, named with its unit like the field that holds it.
        quantity: &'static str,
        /// The value that was given.
        value: f64,
        /// The values that are allowed.
        allowed: RangeInclusive<f64>,
    },

    /// A name that nothing has.
    #[error("there is no {kind} {name:?}, only {}", known.join(", "))]
    UnknownName {
        /// What was named.
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },

    /// The knots of a profile do not run from left to right.
    #[error(
        "knot {index} at x_nm = {x_nm:?} is out of order: knots start at 0 and rise, \
         except that an inner one may share its place with the next, which makes a jump"
    )]
    Unordered {
        /// The first knot that is out of order, counted from 0.
        index: usize,
        /// Its place.
        x_nm: f64,
    },

    /// A numerical method spent its effort and did not get as close as it promises.
    #[error("{quantity} did not converge: last change {reached:?}, promised {promised:?}")]
    NotConverged {
        /// What was computed.
        quantity: &'static str,
        /// How much the last refinement changed it, relatively.
        reached: f64,
        /// The change that counts as converged.
        promised: f64,
    },

    /// No value of the quantity sought gives the wanted flip probability, or none in particular:
    /// where the probability has settled, one value is as good as the next.
    #[error(
        "no single {quantity} in {searched:?} gives flip probability {probability:?}: \
         it is {at_start:?} at the lower end and {at_end:?} at the upper"
    )]
    NoSolution {
        /// The quantity sought, named with its unit like the field that holds it.
        quantity: &'static str,
        /// The probability that was asked for.
        probability: f64,
        /// The values among which a solution was sought.
        searched: RangeInclusive<f64>,
        /// The flip probability at the lower end of them.
        at_start: f64,
        /// The flip probability at the upper end of them.
        at_end: f64,
    },
}

/// `value` itself if it is `allowed`; NaN never is.
pub(crate) fn checked(
    quantity: &'static str,
    value: f64,
    allowed: RangeInclusive<f64>,
) -> Result<f64, PhysicsError> {
    if allowed.contains(&value) {
        Ok(value)
    } else {
        Err(PhysicsError::OutOfRange { quantity, value, allowed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_allowed_and_nothing_beyond_them() {
        for inside in [1.0, 1.5, 2.0] {
            assert_eq!(checked("x_nm", inside, 1.0..=2.0), Ok(inside));
        }
        for outside in [0.999, 2.001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(checked("x_nm", outside, 1.0..=2.0).is_err(), "{outside}");
        }
    }

    #[test]
    fn message_names_the_quantity_its_value_and_what_is_allowed() {
        let message = checked("thickness_nm", 2e-9, 0.001..=1e4).unwrap_err().to_string();
        assert_eq!(message, "thickness_nm = 2e-9 is outside 0.001..=10000.0");
    }
}
