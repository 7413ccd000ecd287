//! A memory cell: barrier and attempt rate in, flip probability out.

use crate::barrier::{Barrier, FIELD_V_PER_NM, Shape};
use crate::error::{PhysicsError, checked};
use crate::leakage::Leakage;
use crate::probability::FlipProbability;
use crate::retention::{RATE_PER_S, RETENTION_S, Rates};
use crate::thermal::TEMPERATURE_K;
use serde::{Deserialize, Serialize};

/// A cell that keeps one bit as charge behind an oxide.
///
/// Its bit is lost when one electron crosses the oxide, which tries `attempt_rate_hz` times a
/// second. Which of the two stored values that destroys, [`Leakage`] says.
///
/// ```
/// use qtaml_physics::{Barrier, Cell, Condition, Leakage, YEAR_S};
///
/// let cell = Cell::new(Barrier::sio2(4.5)?, 1e13);
/// let ten_years = Condition::at_rest(10.0 * YEAR_S);
/// let chain = cell.tunneling(&ten_years)?;
/// assert!(chain.transmission < 1e-22 && chain.rate_per_s < 1e-9);
/// assert_eq!(chain.probability, cell.flip_probability(&ten_years)?);
///
/// // Warmer, more bits are lost; with one-way leakage no 0 is.
/// let warm = Condition { temperature_k: 400.0, ..ten_years };
/// let p = cell.with_leakage(Leakage::OneWay).flip_probability(&warm)?;
/// assert!(p.p10() > chain.probability.p10() && p.p01() == 0.0);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The oxide the charge has to cross.
    pub barrier: Barrier,
    /// How often an electron runs against the barrier, in 1/s; checked where it is used.
    pub attempt_rate_hz: f64,
    /// Which stored value leaks, and how fast; symmetric if a file does not say.
    #[serde(default)]
    pub leakage: Leakage,
}

/// What a cell is exposed to; checked where it is used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Field in the oxide, in V/nm; only its magnitude counts.
    pub field_v_per_nm: f64,
    /// How long the bit is stored, in s.
    pub retention_s: f64,
    /// Temperature of the electrode that the charge leaves, in K; 300 if a file does not say.
    #[serde(default = "room_temperature_k")]
    pub temperature_k: f64,
}

const fn room_temperature_k() -> f64 {
    300.0
}

impl Condition {
    /// Storage without a field, at 300 K.
    pub const fn at_rest(retention_s: f64) -> Self {
        Self { field_v_per_nm: 0.0, retention_s, temperature_k: room_temperature_k() }
    }
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
    /// Temperature of the electrode that the charge leaves, in K.
    pub temperature_k: f64,
    /// How many times more charge leaves than at 0 K; see [`Barrier::thermal_factor`].
    pub thermal_factor: f64,
    /// Rate at which the charge leaks, in 1/s.
    pub rate_per_s: f64,
    /// What the leak does to each stored value.
    #[serde(flatten)]
    pub rates: Rates,
    /// How long the bit was stored, in s.
    pub retention_s: f64,
    /// The flip probability that the other crates work with.
    pub probability: FlipProbability,
}

impl Cell {
    /// A cell that loses both stored values at the same rate.
    pub const fn new(barrier: Barrier, attempt_rate_hz: f64) -> Self {
        Self { barrier, attempt_rate_hz, leakage: Leakage::Symmetric }
    }

    /// The same cell with another leakage.
    #[must_use]
    pub const fn with_leakage(self, leakage: Leakage) -> Self {
        Self { leakage, ..self }
    }

    /// All steps from the oxide to the flip probability.
    ///
    /// # Formula
    ///
    /// `rate = nu · <T>`, with `<T>` the WKB transmission `exp(-2 ∫ kappa dx)` times the
    /// [thermal factor](Barrier::thermal_factor); then [`Leakage::rates`] and
    /// [`Rates::flip_probability`].
    ///
    /// As `<T>` is at most 1, the charge never leaks faster than it tries. To average over the
    /// Fermi edge, rather than over all that the electrode supplies, is ours: `nu` already counts
    /// the electrons.
    ///
    /// Source: docs/theory.md, section 1.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the attempt rate is in `0..=1e20` Hz, a leakage ratio in
    /// `0..=1e6`, the field in `-20..=20` V/nm, the time in `0..=1e300` s, the temperature in
    /// `0..=2000` K, and the resulting rates in `0..=1e20` per second.
    pub fn tunneling(&self, condition: &Condition) -> Result<Chain, PhysicsError> {
        let attempts = checked("attempt_rate_hz", self.attempt_rate_hz, RATE_PER_S)?;
        let field = checked("field_v_per_nm", condition.field_v_per_nm, FIELD_V_PER_NM)?;
        let retention_s = checked("retention_s", condition.retention_s, RETENTION_S)?;
        let temperature_k = checked("temperature_k", condition.temperature_k, TEMPERATURE_K)?;
        let wkb_exponent = self.barrier.wkb_exponent(field);
        let ln_thermal_factor = self.barrier.ln_thermal_factor(field, temperature_k);
        // One exponential: the factor may overflow where the transmission underflows.
        let rate_per_s = attempts * (ln_thermal_factor - wkb_exponent).exp();
        let rates = self.leakage.rates(rate_per_s)?;
        Ok(Chain {
            shape: self.barrier.shape(field),
            kappa_per_nm: self.barrier.kappa_per_nm(),
            wkb_exponent,
            transmission: self.barrier.wkb_transmission(field),
            temperature_k,
            thermal_factor: ln_thermal_factor.exp().min(f64::MAX),
            rate_per_s,
            rates,
            retention_s,
            probability: rates.flip_probability(retention_s)?,
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::YEAR_S;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    fn cell(thickness_nm: f64) -> Cell {
        Cell::new(Barrier::sio2(thickness_nm).unwrap(), 1e13)
    }

    fn years(years: f64) -> Condition {
        Condition::at_rest(years * YEAR_S)
    }

    #[test]
    fn chain_multiplies_out_by_hand() -> Result<(), PhysicsError> {
        let cold = cell(4.5).tunneling(&Condition { temperature_k: 0.0, ..years(10.0) })?;
        // 2 · 5.123167 · sqrt(3.1 · 0.42) · 4.5 = 52.6122 and 1e13 exp(-52.6122) = 1.4152e-10.
        assert_eq!(cold.shape, Shape::Rectangular);
        assert_relative_eq!(cold.wkb_exponent, 52.6122, max_relative = 1e-6);
        assert_relative_eq!(cold.rate_per_s, 1.4152e-10, max_relative = 1e-4);
        // (1 - exp(-2 · 1.4152e-10 · 3.155_76e8)) / 2
        assert_relative_eq!(cold.probability.p01(), 0.042_724, max_relative = 1e-4);
        assert_eq!((cold.thermal_factor, cold.probability.is_symmetric()), (1.0, true));

        let warm = cell(4.5).tunneling(&years(10.0))?;
        assert_eq!(warm.thermal_factor, cell(4.5).barrier.thermal_factor(0.0, 300.0)?);
        let rate = cold.rate_per_s * warm.thermal_factor;
        assert_relative_eq!(warm.rate_per_s, rate, max_relative = 1e-13);
        Ok(())
    }

    #[test]
    fn rare_flips_keep_their_digits() -> Result<(), PhysicsError> {
        let chain = cell(8.0).tunneling(&years(1.0))?;
        let p = chain.probability.p01();
        assert!(p < 1e-18);
        assert_relative_eq!(p, chain.rate_per_s * chain.retention_s, max_relative = 1e-15);
        Ok(())
    }

    #[test]
    fn thick_oxide_leaks_over_the_top() -> Result<(), PhysicsError> {
        // 10 µm at 1000 K: exp(-116912) tunnels, exp(-phi / kT) = exp(-35.974) passes over the top.
        let chain = cell(1e4).tunneling(&Condition { temperature_k: 1000.0, ..years(1.0) })?;
        assert_eq!((chain.transmission, chain.thermal_factor), (0.0, f64::MAX));
        assert_relative_eq!(chain.rate_per_s, 1e13 * (-35.974_f64).exp(), max_relative = 1e-4);
        Ok(())
    }

    #[test]
    fn chain_serialises_under_names_with_units() -> Result<(), PhysicsError> {
        let condition = Condition { field_v_per_nm: 0.3, ..years(1.0) };
        let json = serde_json::to_value(cell(4.5).tunneling(&condition)?).unwrap();
        assert_eq!(
            (&json["shape"], &json["temperature_k"]),
            (&"trapezoidal".into(), &300.0.into())
        );
        assert!(json["g01_per_s"].is_f64() && json["probability"]["p10"].is_f64());
        Ok(())
    }

    #[test]
    fn files_may_leave_out_temperature_and_leakage_and_nothing_else() {
        let cell_without_leakage = r#"{
            "barrier": {"height_ev": 3.1, "thickness_nm": 4.5, "mass_ratio": 0.42},
            "attempt_rate_hz": 1e13}"#;
        assert_eq!(serde_json::from_str::<Cell>(cell_without_leakage).unwrap(), cell(4.5));
        let parse = serde_json::from_str::<Condition>;
        let shelf = parse(r#"{"field_v_per_nm": 0.0, "retention_s": 1.0}"#).unwrap();
        assert_eq!(shelf, Condition::at_rest(1.0));
        assert!(parse(r#"{"retention_s": 1.0}"#).is_err());
        assert!(parse(r#"{"field_v_per_nm": 0.0, "retention_s": 1.0, "celsius": 20.0}"#).is_err());
    }

    #[test]
    fn impossible_conditions_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, -1e21] {
            let refused = |condition| cell(4.0).tunneling(&condition).is_err();
            assert!(refused(Condition { field_v_per_nm: bad, ..years(1.0) }), "field {bad}");
            assert!(refused(Condition { retention_s: bad, ..years(1.0) }), "time {bad}");
            assert!(refused(Condition { temperature_k: bad, ..years(1.0) }), "temperature {bad}");
            let cell = Cell { attempt_rate_hz: bad, ..cell(4.0) };
            assert!(cell.tunneling(&years(1.0)).is_err(), "attempts {bad}");
        }
        assert!(cell(4.0).tunneling(&Condition { temperature_k: 1e4, ..years(1.0) }).is_err());
    }

    #[test]
    fn the_shortest_and_the_longest_times_are_right() -> Result<(), PhysicsError> {
        let short = cell(1.0).tunneling(&Condition::at_rest(1e-30))?;
        let linear = short.rate_per_s * 1e-30;
        assert_relative_eq!(short.probability.p10(), linear, max_relative = 1e-15);
        // 1e10 years: oxide of 4.5 nm has long forgotten, 10 nm has not.
        assert_eq!(cell(4.5).flip_probability(&years(1e10))?.p10(), 0.5);
        let thick = cell(10.0).tunneling(&years(1e10))?;
        let linear = thick.rate_per_s * thick.retention_s;
        assert!(linear < 1e-18);
        assert_relative_eq!(thick.probability.p10(), linear, max_relative = 1e-15);
        Ok(())
    }

    proptest! {
        #[test]
        fn flips_grow_with_field_time_and_temperature_and_fall_with_thickness(
            height_ev in 0.5..6.0, oxide_nm in 1.0..6.0, field in 0.0..1.0, decade in -14.0..9.0,
            kelvin in 0.0..1800.0, more in 0.001..2.0,
        ) {
            const ROUNDING: f64 = 1.0 + 1e-11;
            let flips = |oxide_nm, field_v_per_nm, decade, temperature_k| {
                let cell = Cell::new(Barrier::new(height_ev, oxide_nm, 0.42).unwrap(), 1e13);
                let retention_s = 10.0_f64.powf(decade);
                let condition = Condition { field_v_per_nm, retention_s, temperature_k };
                cell.flip_probability(&condition).unwrap().p01()
            };
            let p = flips(oxide_nm, field, decade, kelvin);
            prop_assert!((0.0..=0.5).contains(&p));
            prop_assert!(p <= flips(oxide_nm, field + more, decade, kelvin) * ROUNDING);
            prop_assert!(p <= flips(oxide_nm, field, decade + more, kelvin) * ROUNDING);
            prop_assert!(p <= flips(oxide_nm, field, decade, kelvin + 100.0 * more) * ROUNDING);
            prop_assert!(p * ROUNDING >= flips(oxide_nm + more, field, decade, kelvin));
        }
    }
}
