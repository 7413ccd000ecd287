//! Piecewise linear potentials.

use crate::barrier::{MASS_RATIO, THICKNESS_NM};
use crate::error::{PhysicsError, checked};
use crate::potential::{ENERGY_EV, Potential};
use serde::{Deserialize, Serialize};

const MOST_KNOTS: f64 = 1e4;

/// One point of a [`PiecewiseLinear`] potential.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knot {
    /// Distance from the emitter, in nm.
    pub x_nm: f64,
    /// Potential energy, in eV above the reference level.
    pub energy_ev: f64,
    /// Tunneling mass over the mass of a free electron.
    pub mass_ratio: f64,
}

/// A potential, and a mass, that run straight from knot to knot: tilted oxides, stacks of them, or
/// a profile sampled by another program.
///
/// Two knots at the same place make a jump.
///
/// ```
/// use qtaml_physics::{Knot, PiecewiseLinear, wkb_transmission};
///
/// let knot = |x_nm, energy_ev| Knot { x_nm, energy_ev, mass_ratio: 0.42 };
/// let profile = PiecewiseLinear::new(vec![knot(0.0, 3.1), knot(0.5, 3.4), knot(2.0, 2.0)])?;
/// assert!(wkb_transmission(&profile, 0.5)? > wkb_transmission(&profile, 0.0)?);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Knot>", into = "Vec<Knot>")]
pub struct PiecewiseLinear {
    knots: Vec<Knot>,
}

impl PiecewiseLinear {
    /// The potential through `knots`, which start at `x_nm = 0`; the last one ends the barrier.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless there are `2..=10000` knots, the width is in
    /// `0.001..=10000` nm, the energies in `-1e6..=1e6` eV and the masses in `0.001..=100`;
    /// [`PhysicsError::Unordered`] if the first knot is not at 0 or one does not lie to the right
    /// of the one before it. An inner knot may lie at the same place as the one before it, but not
    /// three of them.
    pub fn new(knots: Vec<Knot>) -> Result<Self, PhysicsError> {
        checked("knots", knots.len() as f64, 2.0..=MOST_KNOTS)?;
        for knot in &knots {
            checked("x_nm", knot.x_nm, 0.0..=*THICKNESS_NM.end())?;
            checked("energy_ev", knot.energy_ev, ENERGY_EV)?;
            checked("mass_ratio", knot.mass_ratio, MASS_RATIO)?;
        }
        let x = |i: usize| knots[i].x_nm;
        let last = knots.len() - 1;
        let in_order = |i: usize| match i {
            0 => x(0) == 0.0,
            1 => x(1) > x(0),
            _ => x(i) >= x(i - 1) && x(i) > x(i - 2) && (i < last || x(i) > x(i - 1)),
        };
        if let Some(index) = (0..knots.len()).find(|&i| !in_order(i)) {
            return Err(PhysicsError::Unordered { index, x_nm: x(index) });
        }
        checked("width_nm", x(last), THICKNESS_NM)?;
        Ok(Self { knots })
    }

    /// The knots, from the emitter to the collector.
    pub fn knots(&self) -> &[Knot] {
        &self.knots
    }

    /// The value at `x_nm` of the straight line through the knots on either side.
    fn interpolate(&self, x_nm: f64, value: impl Fn(&Knot) -> f64) -> f64 {
        let after = self.knots.partition_point(|knot| knot.x_nm <= x_nm);
        let after = after.clamp(1, self.knots.len() - 1);
        let [left, right] = [&self.knots[after - 1], &self.knots[after]];
        let share = (x_nm - left.x_nm) / (right.x_nm - left.x_nm);
        value(left) + share * (value(right) - value(left))
    }
}

impl Potential for PiecewiseLinear {
    fn width_nm(&self) -> f64 {
        self.knots[self.knots.len() - 1].x_nm
    }

    fn energy_ev(&self, x_nm: f64) -> f64 {
        self.interpolate(x_nm, |knot| knot.energy_ev)
    }

    fn mass_ratio(&self, x_nm: f64) -> f64 {
        self.interpolate(x_nm, |knot| knot.mass_ratio)
    }

    fn breaks_nm(&self) -> Vec<f64> {
        self.knots.iter().map(|knot| knot.x_nm).collect()
    }
}

impl TryFrom<Vec<Knot>> for PiecewiseLinear {
    type Error = PhysicsError;

    fn try_from(knots: Vec<Knot>) -> Result<Self, PhysicsError> {
        Self::new(knots)
    }
}

impl From<PiecewiseLinear> for Vec<Knot> {
    fn from(profile: PiecewiseLinear) -> Self {
        profile.knots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn through(places: &[f64]) -> Result<PiecewiseLinear, PhysicsError> {
        let knot = |&x_nm| Knot { x_nm, energy_ev: 2.0 + x_nm, mass_ratio: 0.4 + 0.1 * x_nm };
        PiecewiseLinear::new(places.iter().map(knot).collect())
    }

    #[test]
    fn lines_join_the_knots() -> Result<(), PhysicsError> {
        let profile = through(&[0.0, 0.3, 1.0, 2.5])?;
        assert_eq!(profile.width_nm(), 2.5);
        for x in [0.0, 0.1, 0.3, 0.9, 1.7, 2.5] {
            assert_relative_eq!(profile.energy_ev(x), 2.0 + x, max_relative = 1e-15);
            assert_relative_eq!(profile.mass_ratio(x), 0.4 + 0.1 * x, max_relative = 1e-15);
        }
        Ok(())
    }

    #[test]
    fn two_knots_at_one_place_make_a_jump() -> Result<(), PhysicsError> {
        let knot = |x_nm, energy_ev| Knot { x_nm, energy_ev, mass_ratio: 1.0 };
        let step = PiecewiseLinear::new(vec![
            knot(0.0, 1.0),
            knot(1.0, 1.0),
            knot(1.0, 5.0),
            knot(2.0, 5.0),
        ])?;
        assert_eq!(step.energy_ev(1.0_f64.next_down()), 1.0);
        assert_eq!(step.energy_ev(1.0_f64.next_up()), 5.0);
        Ok(())
    }

    #[test]
    fn knots_out_of_order_are_refused_and_named() {
        for (places, culprit) in [
            (&[0.1, 1.0][..], 0),
            (&[0.0, 0.0, 1.0], 1),
            (&[0.0, 1.0, 0.5], 2),
            (&[0.0, 1.0, 1.0, 1.0, 2.0], 3),
            (&[0.0, 1.0, 1.0], 2),
        ] {
            let error = through(places).unwrap_err();
            assert!(
                matches!(error, PhysicsError::Unordered { index, .. } if index == culprit),
                "{error}"
            );
        }
        for places in [&[][..], &[0.0], &[0.0, f64::NAN], &[0.0, f64::INFINITY], &[0.0, 1e-9]] {
            let error = through(places).unwrap_err();
            assert!(matches!(error, PhysicsError::OutOfRange { .. }), "{error}");
        }
    }

    #[test]
    fn a_file_is_a_list_of_knots_and_is_checked() -> Result<(), PhysicsError> {
        let profile = through(&[0.0, 1.0, 2.0])?;
        let json = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<PiecewiseLinear>(&json).unwrap(), profile);
        let falling = r#"[{"x_nm": 0.0, "energy_ev": 1.0, "mass_ratio": 1.0},
                          {"x_nm": -1.0, "energy_ev": 1.0, "mass_ratio": 1.0}]"#;
        let message = serde_json::from_str::<PiecewiseLinear>(falling).unwrap_err().to_string();
        assert!(message.contains("x_nm = -1.0 is outside"), "{message}");
        Ok(())
    }
}
