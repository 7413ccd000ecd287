//! The trait of barriers of any shape.

use crate::barrier::{MASS_RATIO, THICKNESS_NM};
use crate::error::{PhysicsError, checked};
use std::ops::RangeInclusive;

/// Energies that still make sense for an electron in a solid, with room to spare.
pub(crate) const ENERGY_EV: RangeInclusive<f64> = -1e6..=1e6;

/// What an electron meets on its way from the emitter at `x = 0` to the collector at
/// `x = width_nm`.
///
/// Energies are counted from a reference level of the emitter, for the built-in barriers the
/// electron that [`Barrier`](crate::Barrier) speaks of. The functions of this crate check what
/// they read and refuse energies beyond a million eV, masses outside `0.001..=100` and widths
/// outside `0.001..=10000` nm, so an implementation need not.
///
/// ```
/// use qtaml_physics::{Potential, wkb_exponent};
///
/// /// A barrier with a smooth top, and an electron that grows heavier on its way.
/// struct Hill;
///
/// impl Potential for Hill {
///     fn width_nm(&self) -> f64 {
///         2.0
///     }
///     fn energy_ev(&self, x_nm: f64) -> f64 {
///         3.0 * x_nm * (2.0 - x_nm)
///     }
///     fn mass_ratio(&self, x_nm: f64) -> f64 {
///         0.4 + 0.1 * x_nm
///     }
/// }
///
/// assert!(wkb_exponent(&Hill, 0.5)? > wkb_exponent(&Hill, 1.0)?);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
pub trait Potential {
    /// Distance between the electrodes, in nm.
    fn width_nm(&self) -> f64;

    /// Potential energy inside, in eV above the reference level.
    fn energy_ev(&self, x_nm: f64) -> f64;

    /// Tunneling mass inside, over the mass of a free electron.
    fn mass_ratio(&self, x_nm: f64) -> f64;

    /// Where energy or mass jumps or has a kink between the electrodes, in nm, in any order. All
    /// that is computed from the potential treats the pieces between them as smooth, and never
    /// evaluates at a break itself.
    fn breaks_nm(&self) -> Vec<f64> {
        Vec::new()
    }
}

impl<P: Potential + ?Sized> Potential for &P {
    fn width_nm(&self) -> f64 {
        (**self).width_nm()
    }

    fn energy_ev(&self, x_nm: f64) -> f64 {
        (**self).energy_ev(x_nm)
    }

    fn mass_ratio(&self, x_nm: f64) -> f64 {
        (**self).mass_ratio(x_nm)
    }

    fn breaks_nm(&self) -> Vec<f64> {
        (**self).breaks_nm()
    }
}

/// A potential given by a formula, with one mass throughout.
///
/// ```
/// use qtaml_physics::{Analytic, wkb_exponent};
///
/// // A parabola 1 eV high and 2 nm wide at its foot: pi kappa times half its width.
/// let hill = Analytic::new(2.0, 1.0, |x| 1.0 - (x - 1.0).powi(2));
/// let expected = std::f64::consts::PI * qtaml_physics::KAPPA_PER_NM;
/// assert!((wkb_exponent(&hill, 0.0)? / expected - 1.0).abs() < 1e-12);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Analytic<F> {
    width_nm: f64,
    mass_ratio: f64,
    energy_ev: F,
    breaks_nm: Vec<f64>,
}

impl<F: Fn(f64) -> f64> Analytic<F> {
    /// `energy_ev` as a function of the place in nm, smooth over the whole width. The numbers are
    /// checked where they are used.
    pub const fn new(width_nm: f64, mass_ratio: f64, energy_ev: F) -> Self {
        Self { width_nm, mass_ratio, energy_ev, breaks_nm: Vec::new() }
    }

    /// The same potential with jumps or kinks at `breaks_nm`.
    #[must_use]
    pub fn with_breaks(mut self, breaks_nm: impl Into<Vec<f64>>) -> Self {
        self.breaks_nm = breaks_nm.into();
        self
    }
}

impl<F: Fn(f64) -> f64> Potential for Analytic<F> {
    fn width_nm(&self) -> f64 {
        self.width_nm
    }

    fn energy_ev(&self, x_nm: f64) -> f64 {
        (self.energy_ev)(x_nm)
    }

    fn mass_ratio(&self, _: f64) -> f64 {
        self.mass_ratio
    }

    fn breaks_nm(&self) -> Vec<f64> {
        self.breaks_nm.clone()
    }
}

/// The smooth pieces of `potential`, from the emitter to the collector.
pub(crate) fn pieces(potential: &impl Potential) -> Result<Vec<(f64, f64)>, PhysicsError> {
    let width = checked("width_nm", potential.width_nm(), THICKNESS_NM)?;
    let mut ends = vec![0.0, width];
    for x in potential.breaks_nm() {
        ends.push(checked("break_nm", x, 0.0..=width)?);
    }
    ends.sort_by(f64::total_cmp);
    ends.dedup();
    Ok(ends.windows(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Potential minus electron energy in eV, and mass ratio, at `x_nm`.
pub(crate) fn local(
    potential: &impl Potential,
    energy_ev: f64,
    x_nm: f64,
) -> Result<(f64, f64), PhysicsError> {
    let above = checked("potential energy_ev", potential.energy_ev(x_nm), ENERGY_EV)? - energy_ev;
    Ok((above, checked("mass_ratio", potential.mass_ratio(x_nm), MASS_RATIO)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_cut_the_width_into_pieces() {
        let cut = |breaks: &[f64]| pieces(&Analytic::new(3.0, 1.0, |_| 0.0).with_breaks(breaks));
        assert_eq!(cut(&[]), Ok(vec![(0.0, 3.0)]));
        assert_eq!(cut(&[2.0, 0.0, 1.0, 2.0, 3.0]), Ok(vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]));
        for outside in [-1.0, 3.1, f64::NAN, f64::INFINITY] {
            assert!(cut(&[outside]).is_err(), "{outside}");
        }
    }

    #[test]
    fn impossible_numbers_are_refused_by_name() {
        for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let message = pieces(&Analytic::new(width, 1.0, |_| 0.0)).unwrap_err().to_string();
            assert!(message.starts_with("width_nm = "), "{message}");
        }
        let message = |mass, energy: f64| {
            local(&Analytic::new(1.0, mass, |_| energy), 0.0, 0.5).unwrap_err().to_string()
        };
        assert!(message(1.0, f64::NAN).starts_with("potential energy_ev = NaN"));
        assert!(message(-0.4, 1.0).starts_with("mass_ratio = -0.4"));
    }
}
