//! A memory cell: barrier and attempt rate in, flip probability out, and back again.

use crate::barrier::{Barrier, Shape};
use crate::error::{PhysicsError, checked};
use crate::probability::FlipProbability;
use crate::retention::{RATE_PER_S, RETENTION_S, Rates};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Allowed fields, in V/nm: far beyond the breakdown of any oxide.
const FIELD_V_PER_NM: RangeInclusive<f64> = -20.0..=20.0;
/// The thicknesses among which an inverse looks, in nm.
const SEARCHED_NM: RangeInclusive<f64> = 0.1..=50.0;

/// A cell that keeps one bit as charge behind an oxide.
///
/// Both stored values leak at the same rate `nu T`, which is our simplification: it makes the flip
/// law symmetric. For a cell that leaks one way only, hand its rate to [`Rates`].
///
/// ```
/// use qtaml_physics::{Barrier, Cell, Condition};
///
/// let cell = Cell { barrier: Barrier::sio2(4.5)?, attempt_rate_hz: 1e13 };
/// let ten_years = Condition { field_v_per_nm: 0.0, retention_s: 3.156e8 };
/// let chain = cell.tunneling(&ten_years)?;
/// assert!(chain.transmission < 1e-22 && chain.rate_per_s < 1e-9);
/// assert_eq!(chain.probability, cell.flip_probability(&ten_years)?);
///
/// // How thin may the oxide be if one bit in a hundred may flip?
/// let oxide_nm = cell.thickness_for(0.01, &ten_years)?;
/// assert!((oxide_nm - 4.63).abs() < 0.01);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The oxide the charge has to cross.
    pub barrier: Barrier,
    /// How often an electron runs against the barrier, in 1/s; checked where it is used.
    pub attempt_rate_hz: f64,
}

/// What a cell is exposed to; checked where it is used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Field in the oxide, in V/nm; only its magnitude counts.
    pub field_v_per_nm: f64,
    /// How long the bit is stored, in s.
    pub retention_s: f64,
}

/// Every step from the oxide to the flip probability, to be shown or reported.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Chain {
    /// What the field makes of the barrier.
    pub shape: Shape,
    /// Decay constant in the flat barrier, in 1/nm.
    pub kappa_per_nm: f64,
    /// WKB exponent under the field.
    pub wkb_exponent: f64,
    /// Probability to tunnel at one attempt, in the WKB approximation.
    pub transmission: f64,
    /// Rate at which either stored value flips, in 1/s.
    pub rate_per_s: f64,
    /// How long the bit was stored, in s.
    pub retention_s: f64,
    /// The law that the other crates work with.
    pub probability: FlipProbability,
}

impl Cell {
    /// All steps from the oxide to the flip probability.
    ///
    /// # Formula
    ///
    /// `rate = nu · exp(-2 ∫ kappa dx)`, `p = (1 - exp(-2 rate t)) / 2`
    ///
    /// Source: docs/theory.md, section 1; equal rates both ways are ours.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the attempt rate is in `0..=1e20` Hz, the field in
    /// `-20..=20` V/nm and the time in `0..=1e300` s.
    pub fn tunneling(&self, condition: &Condition) -> Result<Chain, PhysicsError> {
        let attempts = checked("attempt_rate_hz", self.attempt_rate_hz, RATE_PER_S)?;
        let field = checked("field_v_per_nm", condition.field_v_per_nm, FIELD_V_PER_NM)?;
        let retention_s = checked("retention_s", condition.retention_s, RETENTION_S)?;
        let transmission = self.barrier.wkb_transmission(field);
        let rate_per_s = attempts * transmission;
        Ok(Chain {
            shape: self.barrier.shape(field),
            kappa_per_nm: self.barrier.kappa_per_nm(),
            wkb_exponent: self.barrier.wkb_exponent(field),
            transmission,
            rate_per_s,
            retention_s,
            probability: Rates::symmetric(rate_per_s).flip_probability(retention_s)?,
        })
    }

    /// The flip probability alone.
    ///
    /// # Errors
    ///
    /// As [`tunneling`](Self::tunneling).
    pub fn flip_probability(&self, condition: &Condition) -> Result<FlipProbability, PhysicsError> {
        Ok(self.tunneling(condition)?.probability)
    }

    /// The storage time after which a bit is flipped with `probability`, in s.
    ///
    /// # Formula
    ///
    /// `t = -ln(1 - 2p) / (2 rate)`
    ///
    /// # Errors
    ///
    /// [`PhysicsError::Unreachable`] unless `0 < probability < 0.5`;
    /// [`PhysicsError::OutOfRange`] as for [`tunneling`](Self::tunneling), and if the cell leaks
    /// so little that the time exceeds `1e300` s.
    pub fn retention_for(
        &self,
        probability: f64,
        field_v_per_nm: f64,
    ) -> Result<f64, PhysicsError> {
        let probability = reachable(probability)?;
        let rate = self.tunneling(&Condition { field_v_per_nm, retention_s: 0.0 })?.rate_per_s;
        let time = -(-2.0 * probability).ln_1p() / (2.0 * rate);
        checked("retention_s", time, RETENTION_S)
    }

    /// The thinnest oxide of this material that keeps the flip probability at or below
    /// `probability` under `condition`, in nm; the cell's own thickness plays no part.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::Unreachable`] unless `0 < probability < 0.5`;
    /// [`PhysicsError::NoThickness`] if `0.1..=50` nm holds no solution, as under a field so high
    /// that the far side of the oxide no longer matters;
    /// [`PhysicsError::OutOfRange`] as for [`tunneling`](Self::tunneling).
    pub fn thickness_for(
        &self,
        probability: f64,
        condition: &Condition,
    ) -> Result<f64, PhysicsError> {
        let probability = reachable(probability)?;
        let flips_at = |thickness_nm: f64| {
            let barrier = self.barrier.with_thickness_nm(thickness_nm)?;
            Ok(Self { barrier, ..*self }.flip_probability(condition)?.p01())
        };
        let (mut thin, mut thick) = SEARCHED_NM.into_inner();
        let (thinnest, thickest) = (flips_at(thin)?, flips_at(thick)?);
        if !(thickest..=thinnest).contains(&probability) {
            let searched_nm = SEARCHED_NM;
            return Err(PhysicsError::NoThickness { probability, searched_nm, thinnest, thickest });
        }
        // 64 halvings of 50 nm: below the spacing of f64.
        for _ in 0..64 {
            let middle = f64::midpoint(thin, thick);
            if flips_at(middle)? > probability {
                thin = middle;
            } else {
                thick = middle;
            }
        }
        Ok(thick)
    }
}

/// `probability` itself if leakage at equal rates passes through it.
fn reachable(probability: f64) -> Result<f64, PhysicsError> {
    if probability > 0.0 && probability < 0.5 {
        Ok(probability)
    } else {
        Err(PhysicsError::Unreachable { probability })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    fn cell(thickness_nm: f64) -> Cell {
        Cell { barrier: Barrier::sio2(thickness_nm).unwrap(), attempt_rate_hz: 1e13 }
    }

    fn years(years: f64, field_v_per_nm: f64) -> Condition {
        Condition { field_v_per_nm, retention_s: years * 3.156e7 }
    }

    #[test]
    fn chain_multiplies_out_by_hand() -> Result<(), PhysicsError> {
        let chain = cell(4.5).tunneling(&years(10.0, 0.0))?;
        // 2 · 5.123167 · sqrt(3.1 · 0.42) · 4.5 = 52.6122 and 1e13 exp(-52.6122) = 1.4152e-10.
        assert_eq!(chain.shape, Shape::Rectangular);
        assert_relative_eq!(chain.wkb_exponent, 52.6122, max_relative = 1e-6);
        assert_relative_eq!(chain.rate_per_s, 1.4152e-10, max_relative = 1e-4);
        // (1 - exp(-2 · 1.4152e-10 · 3.156e8)) / 2
        assert_relative_eq!(chain.probability.p01(), 0.042_726, max_relative = 1e-4);
        assert!(chain.probability.is_symmetric());
        Ok(())
    }

    #[test]
    fn rare_flips_keep_their_digits() -> Result<(), PhysicsError> {
        let chain = cell(8.0).tunneling(&years(1.0, 0.0))?;
        let p = chain.probability.p01();
        assert!(p < 1e-18);
        assert_relative_eq!(p, chain.rate_per_s * chain.retention_s, max_relative = 1e-15);
        Ok(())
    }

    #[test]
    fn chain_serialises_under_names_with_units() -> Result<(), PhysicsError> {
        let json = serde_json::to_value(cell(4.5).tunneling(&years(1.0, 0.3))?).unwrap();
        assert_eq!(json["shape"], "trapezoidal");
        assert!(json["kappa_per_nm"].is_f64() && json["probability"]["p10"].is_f64());
        Ok(())
    }

    #[test]
    fn impossible_conditions_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, -1e21] {
            let condition = Condition { field_v_per_nm: bad, retention_s: 1.0 };
            assert!(cell(4.0).tunneling(&condition).is_err(), "field {bad}");
            let condition = Condition { field_v_per_nm: 0.0, retention_s: bad };
            assert!(cell(4.0).tunneling(&condition).is_err(), "time {bad}");
            let cell = Cell { attempt_rate_hz: bad, ..cell(4.0) };
            assert!(cell.tunneling(&years(1.0, 0.0)).is_err(), "attempts {bad}");
        }
    }

    #[test]
    fn probabilities_that_leakage_never_reaches_are_refused() {
        for p in [-0.1, 0.0, 0.5, 0.7, f64::NAN] {
            let unreachable = |result| matches!(result, Err(PhysicsError::Unreachable { .. }));
            assert!(unreachable(cell(4.0).retention_for(p, 0.0)), "{p}");
            assert!(unreachable(cell(4.0).thickness_for(p, &years(1.0, 0.0))), "{p}");
        }
    }

    #[test]
    fn inverses_without_a_solution_say_so() {
        let silent = Cell { attempt_rate_hz: 0.0, ..cell(4.0) };
        let endless = silent.retention_for(0.1, 0.0).unwrap_err();
        assert_eq!(endless.to_string(), "retention_s = inf is outside 0.0..=1e300");
        // At 2 V/nm the electron leaves after 1.55 nm, however thick the oxide.
        let pierced = cell(4.0).thickness_for(1e-3, &years(1.0, 2.0));
        assert!(matches!(pierced, Err(PhysicsError::NoThickness { .. })), "{pierced:?}");
    }

    proptest! {
        #[test]
        fn retention_inverts_the_flip_probability(
            exponent in -18.0..-0.4_f64, field in -0.5..0.5, oxide_nm in 1.0..8.0,
        ) {
            let p = 10.0_f64.powf(exponent);
            let cell = cell(oxide_nm);
            let retention_s = cell.retention_for(p, field).unwrap();
            let condition = Condition { field_v_per_nm: field, retention_s };
            let back = cell.flip_probability(&condition).unwrap().p01();
            assert_relative_eq!(back, p, max_relative = 1e-14);
        }

        #[test]
        fn thickness_inverts_the_flip_probability(exponent in -18.0..-0.4_f64, field in 0.0..0.2) {
            let p = 10.0_f64.powf(exponent);
            let condition = years(10.0, field);
            let oxide_nm = cell(1.0).thickness_for(p, &condition).unwrap();
            let back = cell(oxide_nm).flip_probability(&condition).unwrap().p01();
            // The exponent of about 50 amplifies the rounding of the thickness.
            assert_relative_eq!(back, p, max_relative = 1e-11);
        }

        #[test]
        fn flips_grow_with_field_and_time_and_fall_with_thickness(
            oxide_nm in 1.0..8.0, field in 0.0..2.0, time in 0.0..20.0, more in 0.001..2.0,
        ) {
            const ROUNDING: f64 = 1.0 + 1e-15;
            let flips = |oxide_nm, field, time| {
                cell(oxide_nm).flip_probability(&years(time, field)).unwrap().p01()
            };
            let p = flips(oxide_nm, field, time);
            prop_assert!((0.0..=0.5).contains(&p));
            prop_assert!(p <= flips(oxide_nm, field + more, time) * ROUNDING);
            prop_assert!(p <= flips(oxide_nm, field, time + more) * ROUNDING);
            prop_assert!(p * ROUNDING >= flips(oxide_nm + more, field, time));
        }
    }
}
