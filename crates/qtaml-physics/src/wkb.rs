//! The WKB approximation for a barrier of any shape.

use crate::constants::KAPPA_PER_NM;
use crate::error::{PhysicsError, checked};
use crate::potential::{ENERGY_EV, Potential, local, pieces};
use crate::quadrature::integrate;
use std::f64::consts::FRAC_PI_2;

/// Samples per smooth piece among which the barrier may enter or leave the electron's energy once.
const SAMPLES: u32 = 256;

/// Where an electron of `energy_ev` is classically forbidden: entry and exit of each interval, in
/// nm. Where the barrier is forbidden up to an electrode, the electrode is the turning point.
///
/// They are found by sampling each smooth piece at 256 places and bisecting between neighbours on
/// different sides, to the last digit. An interval, or a gap between two, that is narrower than
/// 1/256 of its piece can be missed; add breaks around it.
///
/// # Errors
///
/// [`PhysicsError::OutOfRange`] unless the energy is in `-1e6..=1e6` eV, and for impossible numbers
/// of the potential.
///
/// ```
/// use qtaml_physics::{Barrier, turning_points};
///
/// // Under 2 V/nm the electron leaves the barrier of 3.1 eV half way.
/// let points = turning_points(&Barrier::sio2(3.0)?.under_field(2.0)?, 0.0)?;
/// assert_eq!(points.len(), 1);
/// assert!(points[0].0 == 0.0 && (points[0].1 - 1.55).abs() < 1e-12);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
pub fn turning_points(
    potential: &impl Potential,
    energy_ev: f64,
) -> Result<Vec<(f64, f64)>, PhysicsError> {
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (from, to) in forbidden(potential, energy_ev)? {
        match joined.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => joined.push((from, to)),
        }
    }
    Ok(joined)
}

/// The WKB exponent of an electron of `energy_ev`, counted from the potential's reference level.
/// It is 0 for an electron above the whole barrier.
///
/// # Formula
///
/// `K = 2 ∫ kappa dx` over all forbidden intervals, `kappa = sqrt(2 m*(x) (V(x) - E)) / hbar`
///
/// In each interval `x = a + (b - a) sin²(s)`, which takes the square roots at both turning points
/// away; what is left is smooth and integrated to a relative error of 1e-12.
///
/// The first nodes lie at most 1/190 of the interval apart. A bump or a dip that fits between two of
/// them can be missed, and nothing says so; add breaks around it.
///
/// Source: docs/theory.md, section 1.
///
/// # Errors
///
/// As [`turning_points`], and [`PhysicsError::NotConverged`] if the potential is too rough between
/// its breaks.
pub fn wkb_exponent(potential: &impl Potential, energy_ev: f64) -> Result<f64, PhysicsError> {
    let mut exponent = 0.0;
    for (from, to) in forbidden(potential, energy_ev)? {
        let integrand = |s: f64| {
            let x = from + (to - from) * s.sin().powi(2);
            let (above_ev, mass) = local(potential, energy_ev, x)?;
            let kappa = KAPPA_PER_NM * (mass * above_ev.max(0.0)).sqrt();
            Ok(2.0 * kappa * (to - from) * (2.0 * s).sin())
        };
        exponent += integrate("wkb_exponent", integrand, 0.0, FRAC_PI_2)?;
    }
    Ok(exponent)
}

/// The probability to tunnel at one attempt in the WKB approximation, `exp(-K)`; 1 above the
/// barrier.
///
/// # Errors
///
/// As [`wkb_exponent`].
pub fn wkb_transmission(potential: &impl Potential, energy_ev: f64) -> Result<f64, PhysicsError> {
    Ok((-wkb_exponent(potential, energy_ev)?).exp())
}

/// The probability to tunnel at one attempt in Kemble's form, `1 / (1 + exp(K))`, which is better
/// than WKB close below a smooth top. Above the barrier, where the exponent is 0, it stays at one
/// half and is of no use.
///
/// Source: E. C. Kemble, Phys. Rev. 48, 549 (1935).
///
/// # Errors
///
/// As [`wkb_exponent`].
pub fn kemble_transmission(
    potential: &impl Potential,
    energy_ev: f64,
) -> Result<f64, PhysicsError> {
    Ok(1.0 / (1.0 + wkb_exponent(potential, energy_ev)?.exp()))
}

/// The forbidden intervals, cut at the breaks of the potential.
fn forbidden(potential: &impl Potential, energy_ev: f64) -> Result<Vec<(f64, f64)>, PhysicsError> {
    let energy_ev = checked("energy_ev", energy_ev, ENERGY_EV)?;
    let below_barrier = |x| Ok(local(potential, energy_ev, x)?.0 > 0.0);
    let mut intervals = Vec::new();
    for (from, to) in pieces(potential)? {
        // A hair inside the ends, where the potential may jump.
        let place = |i: u32| {
            let share = (f64::from(i) / f64::from(SAMPLES)).clamp(1e-9, 1.0 - 1e-9);
            from + (to - from) * share
        };
        let mut entered = below_barrier(place(0))?.then_some(from);
        for i in 0..SAMPLES {
            let (left, right) = (place(i), place(i + 1));
            let forbidden = below_barrier(right)?;
            if forbidden != entered.is_some() {
                let crossing = bisect(&below_barrier, left, right, forbidden)?;
                match entered.take() {
                    Some(entry) => intervals.push((entry, crossing)),
                    None => entered = Some(crossing),
                }
            }
        }
        intervals.extend(entered.map(|entry| (entry, to)));
    }
    Ok(intervals)
}

/// The place between `left` and `right` where `is_forbidden` turns into `on_the_right`.
fn bisect(
    is_forbidden: &impl Fn(f64) -> Result<bool, PhysicsError>,
    mut left: f64,
    mut right: f64,
    on_the_right: bool,
) -> Result<f64, PhysicsError> {
    loop {
        let middle = f64::midpoint(left, right);
        if middle <= left || middle >= right {
            return Ok(middle);
        }
        if is_forbidden(middle)? == on_the_right {
            right = middle;
        } else {
            left = middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::barrier::Barrier;
    use crate::potential::Analytic;
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use std::f64::consts::PI;

    #[test]
    fn parabola_has_its_closed_form_at_every_energy() -> Result<(), PhysicsError> {
        // V = 2 - 3 (x - 1.5)², so that K = pi kappa(top) times half the forbidden width.
        let hill = Analytic::new(3.0, 0.5, |x| 2.0 - 3.0 * (x - 1.5).powi(2));
        for energy in [0.0, 0.5, 1.9, 1.9999] {
            let depth: f64 = 2.0 - energy;
            let expected = PI * KAPPA_PER_NM * (0.5 * depth).sqrt() * (depth / 3.0).sqrt();
            assert_relative_eq!(wkb_exponent(&hill, energy)?, expected, max_relative = 1e-11);
        }
        Ok(())
    }

    #[test]
    fn eckart_barrier_has_its_closed_form() -> Result<(), PhysicsError> {
        // V0 / cosh²(x / a): K = 2 pi a kappa(1 eV) (sqrt(V0) - sqrt(E)).
        let eckart = Analytic::new(10.0, 1.0, |x| 3.0 / ((x - 5.0) / 0.2).cosh().powi(2));
        for energy in [0.01_f64, 0.3, 1.0, 2.9] {
            let expected = 2.0 * PI * 0.2 * KAPPA_PER_NM * (3.0_f64.sqrt() - energy.sqrt());
            assert_relative_eq!(wkb_exponent(&eckart, energy)?, expected, max_relative = 1e-10);
        }
        Ok(())
    }

    #[test]
    fn linear_mass_has_its_closed_form() -> Result<(), PhysicsError> {
        struct Heavier;
        impl Potential for Heavier {
            fn width_nm(&self) -> f64 {
                2.0
            }
            fn energy_ev(&self, _: f64) -> f64 {
                1.0
            }
            fn mass_ratio(&self, x_nm: f64) -> f64 {
                0.25 + x_nm
            }
        }
        // ∫ sqrt(0.25 + x) dx from 0 to 2.
        let expected = 2.0 * KAPPA_PER_NM * 2.0 / 3.0 * (2.25_f64.powf(1.5) - 0.125);
        assert_relative_eq!(wkb_exponent(&Heavier, 0.0)?, expected, max_relative = 1e-12);
        Ok(())
    }

    #[test]
    fn a_narrow_bump_counts_wherever_it_is() -> Result<(), PhysicsError> {
        // ∫ (sqrt(1 + exp(-t²)) - 1) dt over all t; mpmath, 30 digits.
        let extra = 0.771_912_282_719_925_6;
        for width in [0.03, 0.01, 0.003] {
            // Far enough from both ends for all of the bump to lie between them.
            for place in (20..=180).map(|i| f64::from(i) / 100.0) {
                let bump = |x: f64| 3.0 + 3.0 * (-((x - place) / width).powi(2)).exp();
                let actual = wkb_exponent(&Analytic::new(2.0, 0.42, bump), 0.0)?;
                let flat = 2.0 * KAPPA_PER_NM * (0.42 * 3.0_f64).sqrt();
                let expected = flat * (2.0 + width * extra);
                assert_relative_eq!(actual, expected, max_relative = 1e-12);
            }
        }
        Ok(())
    }

    #[test]
    fn every_forbidden_interval_counts() -> Result<(), PhysicsError> {
        let hills = Analytic::new(2.0, 1.0, |x| (2.0 * PI * x).sin().powi(2));
        let points = turning_points(&hills, 0.5)?;
        assert_eq!(points.len(), 4);
        for (i, (entry, exit)) in (0_u32..).zip(points) {
            assert_relative_eq!(entry, 0.125 + 0.5 * f64::from(i), max_relative = 1e-14);
            assert_relative_eq!(exit, 0.375 + 0.5 * f64::from(i), max_relative = 1e-14);
        }
        let one = Analytic::new(0.5, 1.0, |x| (2.0 * PI * x).sin().powi(2));
        let expected = 4.0 * wkb_exponent(&one, 0.5)?;
        assert_relative_eq!(wkb_exponent(&hills, 0.5)?, expected, max_relative = 1e-11);
        Ok(())
    }

    #[test]
    fn intervals_join_at_kinks_and_end_at_jumps() -> Result<(), PhysicsError> {
        let step = |x: f64| if x < 1.0 { 1.0 } else { 3.0 };
        let stairs = Analytic::new(2.0, 1.0, step).with_breaks([1.0]);
        assert_eq!(turning_points(&stairs, 0.0)?, [(0.0, 2.0)]);
        assert_eq!(turning_points(&stairs, 2.0)?, [(1.0, 2.0)]);
        let expected = 2.0 * KAPPA_PER_NM * (1.0 + 3.0_f64.sqrt());
        assert_relative_eq!(wkb_exponent(&stairs, 0.0)?, expected, max_relative = 1e-12);
        Ok(())
    }

    #[test]
    fn nothing_is_forbidden_above_the_barrier() -> Result<(), PhysicsError> {
        let barrier = Barrier::sio2(2.0)?.under_field(0.1)?;
        for energy in [3.1, 3.2, 1e6] {
            assert_eq!(turning_points(&barrier, energy)?, []);
            assert_eq!(wkb_transmission(&barrier, energy)?, 1.0);
            assert_eq!(kemble_transmission(&barrier, energy)?, 0.5);
        }
        Ok(())
    }

    #[test]
    fn slivers_below_the_top_and_giants_are_integrated() -> Result<(), PhysicsError> {
        let hill = Analytic::new(2.0, 0.4, |x| 3.0 / (x - 1.0).cosh());
        let tilted = Barrier::new(3.0, 2.0, 0.4)?.under_field(1.0)?;
        for below in [1e-15, 1e-12, 1e-9, 1e-6] {
            assert!((0.0..1e-5).contains(&wkb_exponent(&hill, 3.0 - below)?), "{below}");
            assert!((0.0..1e-5).contains(&wkb_exponent(&tilted, 3.0 - below)?), "{below}");
        }
        for (thickness, field) in [(1e-3, 20.0), (1e4, 20.0), (1e4, 1e-300), (1e4, 0.0)] {
            let barrier = Barrier::new(100.0, thickness, 100.0)?;
            let exponent = wkb_exponent(&barrier.under_field(field)?, 0.0)?;
            assert_relative_eq!(exponent, barrier.wkb_exponent(field), max_relative = 1e-11);
        }
        Ok(())
    }

    #[test]
    fn impossible_inputs_are_refused() {
        let flat = Analytic::new(1.0, 1.0, |_| 1.0);
        for energy in [f64::NAN, f64::INFINITY, -2e6] {
            assert!(wkb_exponent(&flat, energy).is_err(), "{energy}");
        }
        for value in [f64::NAN, f64::INFINITY] {
            assert!(wkb_exponent(&Analytic::new(1.0, 1.0, |_| value), 0.0).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn straight_barriers_have_the_closed_form(
            height in 0.5..6.0, width in 0.2..20.0, mass in 0.05..2.0, field in -10.0..10.0,
        ) {
            let barrier = Barrier::new(height, width, mass).unwrap();
            let exponent = wkb_exponent(&barrier.under_field(field).unwrap(), 0.0).unwrap();
            assert_relative_eq!(exponent, barrier.wkb_exponent(field), max_relative = 1e-11);
        }

        #[test]
        fn energy_lowers_the_barrier(
            height in 0.5..6.0, share in 0.0..0.99, width in 0.2..10.0, field in 0.0..5.0,
        ) {
            let barrier = Barrier::new(height, width, 0.4).unwrap();
            let energy = share * height;
            let lower = Barrier::new(height - energy, width, 0.4).unwrap();
            let exponent = wkb_exponent(&barrier.under_field(field).unwrap(), energy).unwrap();
            assert_relative_eq!(exponent, lower.wkb_exponent(field), max_relative = 1e-10);
        }
    }
}
