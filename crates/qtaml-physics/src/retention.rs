//! Charge loss over time: a cell as a two-state Markov process.

use crate::error::{PhysicsError, checked};
use crate::probability::FlipProbability;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Allowed rates, in 1/s: far above any attempt rate of an electron.
pub(crate) const RATE_PER_S: RangeInclusive<f64> = 0.0..=1e20;
/// Allowed storage times, in s: no limit in practice, but finite.
pub(crate) const RETENTION_S: RangeInclusive<f64> = 0.0..=1e300;

/// The rates at which a stored bit changes, each checked where it is used.
///
/// ```
/// use qtaml_physics::{Rates, YEAR_S};
///
/// // One-way leakage: a charged cell (1) loses its electrons, an empty one (0) stays empty.
/// let leak = Rates { g01_per_s: 0.0, g10_per_s: 1e-10 };
/// let after_ten_years = leak.flip_probability(10.0 * YEAR_S)?;
/// assert_eq!(after_ten_years.p01(), 0.0);
/// assert!((after_ten_years.p10() - 0.0311).abs() < 1e-4);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Rate at which a stored 0 turns into a 1, in 1/s.
    pub g01_per_s: f64,
    /// Rate at which a stored 1 turns into a 0, in 1/s.
    pub g10_per_s: f64,
}

impl Rates {
    /// The same rate both ways, in 1/s.
    pub const fn symmetric(rate_per_s: f64) -> Self {
        Self { g01_per_s: rate_per_s, g10_per_s: rate_per_s }
    }

    /// The probability to find a bit flipped after `time_s` seconds.
    ///
    /// # Formula
    ///
    /// `p01 = g01 / g · (1 - exp(-g t))` with `g = g01 + g10`, and `p10` likewise.
    ///
    /// Equal rates give `(1 - exp(-2 g01 t)) / 2`, one-way leakage gives `1 - exp(-g t)`. Small
    /// probabilities keep full relative precision. Source: docs/theory.md, section 1.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless both rates are in `0..=1e20` per second and the time is
    /// in `0..=1e300` s.
    pub fn flip_probability(&self, time_s: f64) -> Result<FlipProbability, PhysicsError> {
        let g01 = checked("g01_per_s", self.g01_per_s, RATE_PER_S)?;
        let g10 = checked("g10_per_s", self.g10_per_s, RATE_PER_S)?;
        let time = checked("time_s", time_s, RETENTION_S)?;
        let total = g01 + g10;
        if total == 0.0 {
            return Ok(FlipProbability::NEVER);
        }
        let settled = -(-total * time).exp_m1();
        FlipProbability::asymmetric(g01 / total * settled, g10 / total * settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    /// `1 - exp(-x) = x - x²/2! + x³/3! - ...`, summed from the smallest term up.
    fn one_minus_exp_by_series(x: f64) -> f64 {
        (1..=30_i32).rev().fold(0.0, |inner, n| x / f64::from(n) * (1.0 - inner))
    }

    #[test]
    fn symmetric_rates_match_fifty_digit_values() -> Result<(), PhysicsError> {
        // (1 - exp(-2x)) / 2 in 50-digit decimal arithmetic, rounded to f64.
        for (x, p) in [
            (1e-18, 1e-18),
            (1e-9, 9.999_999_99e-10),
            (1e-3, 9.990_006_663_334_666e-4),
            (0.2, 0.164_839_976_982_180_35),
            (5.0, 0.499_977_300_035_118_8),
        ] {
            let actual = Rates::symmetric(x).flip_probability(1.0)?;
            assert_relative_eq!(actual.p01(), p, max_relative = 4e-16);
            assert_relative_eq!(actual.p10(), p, max_relative = 4e-16);
        }
        Ok(())
    }

    #[test]
    fn unequal_rates_match_fifty_digit_values() -> Result<(), PhysicsError> {
        // 3/4 and 1/4 of 1 - exp(-0.4) in 50-digit decimal arithmetic.
        let p = Rates { g01_per_s: 3.0, g10_per_s: 1.0 }.flip_probability(0.1)?;
        assert_relative_eq!(p.p01(), 0.247_259_965_473_270_5, max_relative = 4e-16);
        assert_relative_eq!(p.p10(), 0.082_419_988_491_090_17, max_relative = 4e-16);
        Ok(())
    }

    #[test]
    fn nothing_flips_at_rest_and_everything_settles_at_the_ratio_of_the_rates()
    -> Result<(), PhysicsError> {
        assert_eq!(Rates::symmetric(0.0).flip_probability(1e300)?, FlipProbability::NEVER);
        assert_eq!(Rates::symmetric(1e20).flip_probability(0.0)?, FlipProbability::NEVER);
        let settled = Rates { g01_per_s: 1e20, g10_per_s: 3e20 / 4.0 }.flip_probability(1e300)?;
        assert_relative_eq!(settled.p01(), 4.0 / 7.0, max_relative = 1e-15);
        Ok(())
    }

    #[test]
    fn impossible_rates_and_times_are_refused() {
        for bad in [-1e-30, f64::NAN, f64::INFINITY] {
            assert!(Rates { g01_per_s: bad, g10_per_s: 0.0 }.flip_probability(1.0).is_err());
            assert!(Rates { g01_per_s: 0.0, g10_per_s: bad }.flip_probability(1.0).is_err());
            assert!(Rates::symmetric(1.0).flip_probability(bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn small_probabilities_agree_with_the_series(exponent in -18.0..0.0_f64) {
            let x = 10.0_f64.powf(exponent);
            let one_way = Rates { g01_per_s: 0.0, g10_per_s: x }.flip_probability(1.0).unwrap();
            prop_assert_eq!(one_way.p01(), 0.0);
            assert_relative_eq!(one_way.p10(), one_minus_exp_by_series(x), max_relative = 1e-15);
            let symmetric = Rates::symmetric(x).flip_probability(1.0).unwrap();
            let half = one_minus_exp_by_series(2.0 * x) / 2.0;
            assert_relative_eq!(symmetric.p10(), half, max_relative = 1e-15);
        }

        #[test]
        fn waiting_composes_like_a_markov_chain(
            g01 in 0.0..2.0, g10 in 0.0..2.0, s in 0.0..2.0, t in 0.0..2.0,
        ) {
            let rates = Rates { g01_per_s: g01, g10_per_s: g10 };
            let [first, second, both] = [s, t, s + t].map(|t| rates.flip_probability(t).unwrap());
            // Chapman-Kolmogorov: to be found flipped, flip once in one of the two intervals.
            let composed = first.p01() * (1.0 - second.p10()) + (1.0 - first.p01()) * second.p01();
            assert_relative_eq!(both.p01(), composed, epsilon = 1e-15, max_relative = 1e-13);
        }

        #[test]
        fn probability_grows_with_time_and_stays_in_range(
            rate in 0.0..10.0, time in 0.0..10.0, longer in 0.0..10.0,
        ) {
            let rates = Rates::symmetric(rate);
            let p = rates.flip_probability(time).unwrap().symmetric_value().unwrap();
            let later = rates.flip_probability(time + longer).unwrap().p01();
            prop_assert!((0.0..=0.5).contains(&p) && p <= later * (1.0 + 1e-15));
        }
    }
}
