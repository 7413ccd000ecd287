//! Inverse problems: the time, oxide or field that leads to a flip probability.

use crate::barrier::FIELD_V_PER_NM;
use crate::cell::{Cell, Condition};
use crate::error::{PhysicsError, checked};
use crate::retention::{RETENTION_S, Rates};
use std::ops::RangeInclusive;

/// The thicknesses among which [`Cell::thickness_for`] looks, in nm.
const SEARCHED_NM: RangeInclusive<f64> = 0.1..=50.0;
/// The fields among which [`Cell::field_for`] looks, in V/nm.
const SEARCHED_V_PER_NM: RangeInclusive<f64> = 0.0..=*FIELD_V_PER_NM.end();

/// A bit flips with probability `p` if that of its weaker value, the larger of `p01` and `p10`,
/// is `p`.
///
/// Each inverse ignores the quantity it looks for in the cell or condition that it is handed.
///
/// ```
/// use qtaml_physics::{Barrier, Cell, Condition, YEAR_S};
///
/// let cell = Cell::new(Barrier::sio2(4.5)?, 1e13);
/// let shelf = Condition::at_rest(10.0 * YEAR_S);
///
/// let retention_s = cell.retention_for(0.01, &shelf)?;
/// assert!(cell.flip_probability(&Condition { retention_s, ..shelf })?.p10() < 0.010_001);
/// assert!(cell.thickness_for(0.01, &shelf)? > 4.5);
/// assert!(cell.field_for(0.1, &shelf)? > 0.0);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
impl Cell {
    /// The storage time after which a bit flips with `probability`, in s.
    ///
    /// # Formula
    ///
    /// `t = -ln(1 - p g / max(g01, g10)) / g` with `g = g01 + g10`
    ///
    /// # Errors
    ///
    /// [`PhysicsError::NoSolution`] if that takes more than `1e300` s, or for ever: the probability
    /// tends to `max(g01, g10) / g`, 1/2 if the leakage is symmetric, and never gets there;
    /// [`PhysicsError::OutOfRange`] unless `0 < probability <= 1`, and as for
    /// [`tunneling`](Self::tunneling).
    pub fn retention_for(
        &self,
        probability: f64,
        condition: &Condition,
    ) -> Result<f64, PhysicsError> {
        let probability = wanted(probability)?;
        let longest = Condition { retention_s: *RETENTION_S.end(), ..*condition };
        let chain = self.tunneling(&longest)?;
        let settled = probability / self.limit()?;
        // Infinite at the limit or without a leak, NaN above the limit.
        let retention_s = -(-settled).ln_1p() / (chain.rates.g01_per_s + chain.rates.g10_per_s);
        if RETENTION_S.contains(&retention_s) {
            return Ok(retention_s);
        }
        Err(PhysicsError::NoSolution {
            quantity: "retention_s",
            probability,
            searched: RETENTION_S,
            at_start: 0.0,
            at_end: chain.probability.larger(),
        })
    }

    /// The thinnest oxide of this material that keeps the flip probability at or below
    /// `probability`, in nm.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::NoSolution`] if `0.1..=50` nm holds none, as under a field so high that the
    /// far side of the oxide no longer matters, in such heat that the charge passes over the top,
    /// where 0.1 nm is already more than enough, or for the probability of a bit that is lost for
    /// good, 1/2 if the leakage is symmetric, which any thin oxide has;
    /// [`PhysicsError::OutOfRange`] unless `0 < probability <= 1`, and as for
    /// [`tunneling`](Self::tunneling).
    pub fn thickness_for(
        &self,
        probability: f64,
        condition: &Condition,
    ) -> Result<f64, PhysicsError> {
        let probability = wanted(probability)?;
        let flips = |thickness_nm| {
            let barrier = self.barrier.with_thickness_nm(thickness_nm)?;
            Ok(Self { barrier, ..*self }.flip_probability(condition)?.larger())
        };
        let safe = |flips| flips <= probability;
        self.crossing("thickness_nm", SEARCHED_NM, probability, flips, safe)
    }

    /// The smallest field magnitude at which a bit flips with `probability`, in V/nm.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::NoSolution`] if more than that flip without a field, or less at 20 V/nm, and
    /// for the probability of a bit that is lost for good;
    /// [`PhysicsError::OutOfRange`] unless `0 < probability <= 1`, and as for
    /// [`tunneling`](Self::tunneling).
    pub fn field_for(&self, probability: f64, condition: &Condition) -> Result<f64, PhysicsError> {
        let probability = wanted(probability)?;
        let flips = |field_v_per_nm| {
            Ok(self.flip_probability(&Condition { field_v_per_nm, ..*condition })?.larger())
        };
        let reached = |flips| flips >= probability;
        self.crossing("field_v_per_nm", SEARCHED_V_PER_NM, probability, flips, reached)
    }

    /// The smallest value in `searched` at which the monotonic `flips` is `across` the wanted
    /// `probability`.
    fn crossing(
        &self,
        quantity: &'static str,
        searched: RangeInclusive<f64>,
        probability: f64,
        flips: impl Fn(f64) -> Result<f64, PhysicsError>,
        across: impl Fn(f64) -> bool,
    ) -> Result<f64, PhysicsError> {
        let (mut near, mut far) = searched.clone().into_inner();
        let (at_start, at_end) = (flips(near)?, flips(far)?);
        // Where nothing changes any more the end of the search is no better than any other value.
        let settled = probability >= self.limit()? || at_start == at_end;
        if at_start == probability && !settled {
            return Ok(near);
        } else if settled || across(at_start) || !across(at_end) {
            return Err(PhysicsError::NoSolution {
                quantity,
                probability,
                searched,
                at_start,
                at_end,
            });
        }
        // 64 halvings: below the spacing of f64.
        for _ in 0..64 {
            let middle = f64::midpoint(near, far);
            *(if across(flips(middle)?) { &mut far } else { &mut near }) = middle;
        }
        Ok(far)
    }

    /// What the flip probability of the weaker value tends to with time.
    fn limit(&self) -> Result<f64, PhysicsError> {
        let Rates { g01_per_s, g10_per_s } = self.leakage.rates(1.0)?;
        Ok(g01_per_s.max(g10_per_s) / (g01_per_s + g10_per_s))
    }
}

/// `probability` itself if it can be asked for.
fn wanted(probability: f64) -> Result<f64, PhysicsError> {
    checked("probability", probability, f64::MIN_POSITIVE..=1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Barrier, Leakage, YEAR_S};
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    fn cell(thickness_nm: f64) -> Cell {
        Cell::new(Barrier::sio2(thickness_nm).unwrap(), 1e13)
    }

    fn years(years: f64) -> Condition {
        Condition::at_rest(years * YEAR_S)
    }

    #[test]
    fn a_quarter_takes_this_long_by_hand() -> Result<(), PhysicsError> {
        // At 0 K and 4.5 nm the rate is 1.4152e-10 per second: ln(2) / 2 and ln(4/3) over it.
        let cold = Condition { temperature_k: 0.0, ..years(1.0) };
        let symmetric = cell(4.5).retention_for(0.25, &cold)?;
        assert_relative_eq!(symmetric, 0.346_574 / 1.4152e-10, max_relative = 1e-4);
        let one_way = cell(4.5).with_leakage(Leakage::OneWay).retention_for(0.25, &cold)?;
        assert_relative_eq!(one_way, 0.287_682 / 1.4152e-10, max_relative = 1e-4);
        Ok(())
    }

    #[test]
    fn probabilities_that_are_none_are_refused() {
        for p in [-0.1, 0.0, 1.1, f64::NAN] {
            let refused = |result| matches!(result, Err(PhysicsError::OutOfRange { .. }));
            assert!(refused(cell(4.0).retention_for(p, &years(1.0))), "{p}");
            assert!(refused(cell(4.0).thickness_for(p, &years(1.0))), "{p}");
            assert!(refused(cell(4.0).field_for(p, &years(1.0))), "{p}");
        }
    }

    #[test]
    fn the_limit_is_approached_and_never_reached() -> Result<(), PhysicsError> {
        let none = |result| matches!(result, Err(PhysicsError::NoSolution { .. }));
        let total = |rates: Rates| rates.g01_per_s + rates.g10_per_s;
        let ratio = Leakage::Ratio { g01_over_g10: 1.0 / 3.0 };
        for (leakage, limit) in [(Leakage::Symmetric, 0.5), (Leakage::OneWay, 1.0), (ratio, 0.75)] {
            let (cell, year) = (cell(4.0).with_leakage(leakage), years(1.0));
            let close = limit - 1e-15;
            // Half a unit in the last place of 1 - p is 5 %, and as much of the exponent of 34.
            let time = cell.retention_for(close, &year)? * total(cell.tunneling(&year)?.rates);
            assert_relative_eq!(time, 1e15_f64.ln() + limit.ln(), epsilon = 0.1);
            assert!(cell.thickness_for(close, &year)? > 0.1 && cell.field_for(close, &year)? > 0.0);
            for beyond in [limit, (limit + 1e-15).min(1.0)] {
                assert!(none(cell.retention_for(beyond, &year)), "time for {beyond}");
                assert!(none(cell.thickness_for(beyond, &year)), "thickness for {beyond}");
                assert!(none(cell.field_for(beyond, &year)), "field for {beyond}");
            }
        }
        Ok(())
    }

    #[test]
    fn an_end_of_the_search_counts_only_as_a_crossing() -> Result<(), PhysicsError> {
        let (thinnest, brief) = (cell(0.1), Condition::at_rest(1e-20));
        let p = thinnest.flip_probability(&brief)?.larger();
        assert_eq!(thinnest.thickness_for(p, &brief), Ok(0.1));
        let p = cell(4.0).flip_probability(&years(1.0))?.larger();
        assert_eq!(cell(4.0).field_for(p, &years(1.0)), Ok(0.0));
        // A barrier so low that 20 V/nm pierce it at once: any oxide gives the same.
        let low = Cell::new(Barrier::new(1.0, 4.0, 0.42)?, 1e13);
        let pierced = Condition { field_v_per_nm: 20.0, temperature_k: 0.0, ..brief };
        let p = low.flip_probability(&pierced)?.larger();
        let result = low.thickness_for(p, &pierced);
        assert!(matches!(result, Err(PhysicsError::NoSolution { .. })), "{result:?}");
        Ok(())
    }

    #[test]
    fn a_silent_cell_says_what_it_reaches() {
        let silent = Cell { attempt_rate_hz: 0.0, ..cell(4.0) };
        let endless = silent.retention_for(0.1, &years(1.0)).unwrap_err();
        assert_eq!(
            endless.to_string(),
            "no single retention_s in 0.0..=1e300 gives flip probability 0.1: \
             it is 0.0 at the lower end and 0.0 at the upper"
        );
    }

    #[test]
    fn searches_without_a_solution_say_so() {
        let none = |result| matches!(result, Err(PhysicsError::NoSolution { .. }));
        // At 2 V/nm the electron leaves after 1.55 nm, however thick the oxide.
        let pierced = Condition { field_v_per_nm: 2.0, ..years(1.0) };
        assert!(none(cell(4.0).thickness_for(1e-3, &pierced)));
        // At 1000 K exp(-36) of 3e20 attempts pass over the top.
        let hot = Condition { temperature_k: 1000.0, ..years(1.0) };
        assert!(none(cell(4.0).thickness_for(1e-3, &hot)));
        // In 1e-30 s not even 0.1 nm loses as much.
        assert!(none(cell(4.0).thickness_for(0.1, &Condition::at_rest(1e-30))));
        // At 2 nm half the bits are gone in a year without any field.
        assert!(none(cell(2.0).field_for(1e-3, &years(1.0))));
        assert!(none(cell(4.0).field_for(0.1, &Condition::at_rest(1e-30))));
        assert!(none(cell(4.0).field_for(0.1, &Condition::at_rest(0.0))));
    }

    proptest! {
        #[test]
        fn retention_inverts_the_flip_probability(
            exponent in -18.0..-0.4_f64, field in -0.5..0.5, oxide_nm in 1.0..8.0,
            temperature_k in 0.0..2000.0, g01_over_g10 in 0.0..2.0,
        ) {
            let p = 10.0_f64.powf(exponent);
            prop_assume!(p * (1.0 + g01_over_g10) < 0.9);
            let cell = cell(oxide_nm).with_leakage(Leakage::Ratio { g01_over_g10 });
            let condition =
                Condition { field_v_per_nm: field, temperature_k, ..Condition::at_rest(0.0) };
            let retention_s = cell.retention_for(p, &condition).unwrap();
            let back = cell.flip_probability(&Condition { retention_s, ..condition }).unwrap();
            assert_relative_eq!(back.larger(), p, max_relative = 1e-13);
        }
    }

    // Each case integrates over energy at every step of its bisection.
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn thickness_inverts_the_flip_probability(
            exponent in -18.0..-0.4_f64, field in 0.0..0.2, temperature_k in 0.0..350.0,
        ) {
            let p = 10.0_f64.powf(exponent);
            let condition = Condition { field_v_per_nm: field, temperature_k, ..years(10.0) };
            let oxide_nm = cell(1.0).thickness_for(p, &condition).unwrap();
            let back = cell(oxide_nm).flip_probability(&condition).unwrap().larger();
            // The exponent of about 50 amplifies the rounding of the thickness.
            assert_relative_eq!(back, p, max_relative = 1e-11);
        }

        #[test]
        fn field_inverts_the_flip_probability(
            exponent in -18.0..-0.4_f64, oxide_nm in 8.0..10.0, temperature_k in 0.0..300.0,
        ) {
            let p = 10.0_f64.powf(exponent);
            let condition = Condition { temperature_k, ..years(1.0) };
            let field_v_per_nm = cell(oxide_nm).field_for(p, &condition).unwrap();
            let condition = Condition { field_v_per_nm, ..condition };
            let back = cell(oxide_nm).flip_probability(&condition).unwrap().larger();
            assert_relative_eq!(back, p, max_relative = 1e-11);
        }
    }
}
