//! The direction of a leak: which stored value it destroys.

use crate::error::{PhysicsError, checked};
use crate::retention::Rates;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Allowed ratios of the two rates.
const RATIO: RangeInclusive<f64> = 0.0..=1e6;

/// How the leak rate of a cell divides between a stored 1, the charged cell, and a stored 0.
///
/// ```
/// use qtaml_physics::Leakage;
///
/// let rates = Leakage::Ratio { g01_over_g10: 0.5 }.rates(1e-9)?;
/// assert_eq!((rates.g01_per_s, rates.g10_per_s), (0.5e-9, 1e-9));
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Leakage {
    /// Both values flip at the leak rate: our simplification, which makes the flip probability symmetric.
    #[default]
    Symmetric,
    /// A stored 1 leaks away; an empty cell stays empty.
    OneWay,
    /// A stored 1 leaks away at the leak rate, a stored 0 fills up at this multiple of it.
    Ratio {
        /// The rate of 0 turning into 1 over the rate of 1 turning into 0, in `0..=1e6`.
        g01_over_g10: f64,
    },
}

impl Leakage {
    /// The rates of both values in a cell whose charge leaks at `leak_per_s`, in 1/s.
    ///
    /// # Formula
    ///
    /// `g10 = leak`, `g01 = r · leak` with `r` = 1 if symmetric, 0 if one-way, else the ratio.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the ratio is in `0..=1e6`. The rates themselves are
    /// checked where they are used.
    pub fn rates(self, leak_per_s: f64) -> Result<Rates, PhysicsError> {
        let ratio = match self {
            Self::Symmetric => 1.0,
            Self::OneWay => 0.0,
            Self::Ratio { g01_over_g10 } => checked("g01_over_g10", g01_over_g10, RATIO)?,
        };
        Ok(Rates { g01_per_s: ratio * leak_per_s, g10_per_s: leak_per_s })
    }
}

/// `symmetric`, `one-way`, or the ratio as a number.
impl fmt::Display for Leakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symmetric => f.write_str("symmetric"),
            Self::OneWay => f.write_str("one-way"),
            Self::Ratio { g01_over_g10 } => write!(f, "{g01_over_g10:?}"),
        }
    }
}

impl FromStr for Leakage {
    type Err = PhysicsError;

    fn from_str(name: &str) -> Result<Self, PhysicsError> {
        match (name, name.trim().parse()) {
            ("symmetric", _) => Ok(Self::Symmetric),
            ("one-way", _) => Ok(Self::OneWay),
            (_, Ok(g01_over_g10)) => Ok(Self::Ratio { g01_over_g10 }),
            _ => Err(PhysicsError::UnknownName {
                kind: "leakage",
                name: name.into(),
                known: ["symmetric", "one-way", "a number"].map(String::from).into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leakage_is_what_it_prints() {
        for leakage in [Leakage::Symmetric, Leakage::OneWay, Leakage::Ratio { g01_over_g10: 1e-7 }]
        {
            assert_eq!(leakage.to_string().parse(), Ok(leakage));
        }
        let error = "none".parse::<Leakage>().unwrap_err().to_string();
        assert_eq!(error, "there is no leakage \"none\", only symmetric, one-way, a number");
    }

    #[test]
    fn the_named_directions_are_special_ratios() {
        for (leakage, g01_over_g10) in [(Leakage::Symmetric, 1.0), (Leakage::OneWay, 0.0)] {
            assert_eq!(leakage.rates(1e-9), Leakage::Ratio { g01_over_g10 }.rates(1e-9));
        }
    }

    #[test]
    fn impossible_ratios_are_refused() {
        for bad in [-0.1, 1.1e6, f64::NAN, f64::INFINITY] {
            assert!(Leakage::Ratio { g01_over_g10: bad }.rates(1.0).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_name_the_direction() {
        let parse = serde_json::from_str::<Leakage>;
        assert_eq!(parse(r#""one_way""#).ok(), Some(Leakage::OneWay));
        let ratio = parse(r#"{"ratio": {"g01_over_g10": 0.5}}"#).ok();
        assert_eq!(ratio, Some(Leakage::Ratio { g01_over_g10: 0.5 }));
        assert!(parse(r#"{"ratio": {"g01_over_g10": 0.5, "g10": 1.0}}"#).is_err());
    }
}
