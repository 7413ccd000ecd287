//! One oxide layer as a potential barrier, and how likely an electron is to tunnel through it.

use crate::constants::KAPPA_PER_NM;
use crate::error::{PhysicsError, checked};
use crate::material::Material;
use crate::piecewise::{Knot, PiecewiseLinear};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

pub(crate) const HEIGHT_EV: RangeInclusive<f64> = 1e-3..=100.0;
pub(crate) const THICKNESS_NM: RangeInclusive<f64> = 1e-3..=1e4;
pub(crate) const MASS_RATIO: RangeInclusive<f64> = 1e-3..=100.0;
/// Far beyond the breakdown of any oxide.
pub(crate) const FIELD_V_PER_NM: RangeInclusive<f64> = -20.0..=20.0;
const ENERGY_EV: RangeInclusive<f64> = 1e-6..=100.0;

/// A uniform oxide between two electrodes, as an electron that wants to cross it sees it.
///
/// The height is counted from the electron's energy. A field tilts the barrier; it is taken by its
/// magnitude, because both electrodes are alike and reversing it only exchanges them. A NaN field
/// gives NaN, as everywhere in `f64` arithmetic; [`Condition`](crate::Condition) refuses it.
///
/// ```
/// use qtaml_physics::{Barrier, Shape};
///
/// let oxide = Barrier::sio2(2.0)?;
/// assert_eq!(oxide.shape(0.0), Shape::Rectangular);
/// assert_eq!(oxide.shape(1.0), Shape::Trapezoidal);
/// assert_eq!(oxide.shape(2.0), Shape::Triangular);
/// assert!(oxide.wkb_transmission(0.0) < 1e-10);
/// assert!(oxide.wkb_transmission(1.0) > oxide.wkb_transmission(0.0));
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Barrier {
    height_ev: f64,
    thickness_nm: f64,
    mass_ratio: f64,
}

/// What an electron of fixed energy sees of a barrier under a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// No field: the top is flat.
    Rectangular,
    /// The field lowers the far side, but not to the electron's energy: direct tunneling.
    Trapezoidal,
    /// The electron leaves the barrier inside the oxide: Fowler-Nordheim tunneling.
    Triangular,
}

impl Barrier {
    /// A barrier `height_ev` above the electron's energy and `thickness_nm` wide, where the
    /// electron has `mass_ratio` times its free mass.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the height is in `0.001..=100` eV, the thickness in
    /// `0.001..=10000` nm and the mass ratio in `0.001..=100`.
    pub fn new(height_ev: f64, thickness_nm: f64, mass_ratio: f64) -> Result<Self, PhysicsError> {
        Ok(Self {
            height_ev: checked("height_ev", height_ev, HEIGHT_EV)?,
            thickness_nm: checked("thickness_nm", thickness_nm, THICKNESS_NM)?,
            mass_ratio: checked("mass_ratio", mass_ratio, MASS_RATIO)?,
        })
    }

    /// Thermal silicon dioxide on silicon, 3.1 eV and 0.42 electron masses; see
    /// [`Material::SIO2`] for where these come from.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the thickness is in `0.001..=10000` nm.
    pub fn sio2(thickness_nm: f64) -> Result<Self, PhysicsError> {
        Material::SIO2.barrier(thickness_nm)
    }

    /// The same material, `thickness_nm` wide.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the thickness is in `0.001..=10000` nm.
    pub fn with_thickness_nm(&self, thickness_nm: f64) -> Result<Self, PhysicsError> {
        Self::new(self.height_ev, thickness_nm, self.mass_ratio)
    }

    /// Height above the electron's energy, in eV.
    pub const fn height_ev(&self) -> f64 {
        self.height_ev
    }

    /// Width, in nm.
    pub const fn thickness_nm(&self) -> f64 {
        self.thickness_nm
    }

    /// Tunneling mass over the mass of a free electron.
    pub const fn mass_ratio(&self) -> f64 {
        self.mass_ratio
    }

    /// Decay constant of the wave function in the flat barrier, in 1/nm.
    ///
    /// # Formula
    ///
    /// `kappa = sqrt(2 m* phi) / hbar`, [`KAPPA_PER_NM`] at 1 eV and one electron mass.
    pub fn kappa_per_nm(&self) -> f64 {
        KAPPA_PER_NM * (self.mass_ratio * self.height_ev).sqrt()
    }

    /// The shape under a field of magnitude `|field_v_per_nm|`.
    pub fn shape(&self, field_v_per_nm: f64) -> Shape {
        let drop_ev = field_v_per_nm.abs() * self.thickness_nm;
        if drop_ev == 0.0 {
            Shape::Rectangular
        } else if drop_ev < self.height_ev {
            Shape::Trapezoidal
        } else {
            Shape::Triangular
        }
    }

    /// The barrier as a [`Potential`](crate::Potential) under a field of magnitude
    /// `|field_v_per_nm|`, for what has no closed form: energies other than zero, image forces, the
    /// exact transmission.
    ///
    /// The sign of the field is dropped, because both sides of a uniform oxide are alike. The field
    /// of [`Stack::under_field`](crate::Stack::under_field) keeps its sign.
    ///
    /// # Formula
    ///
    /// `V(x) = phi - eFx`
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the field is in `-20..=20` V/nm.
    ///
    /// ```
    /// # use qtaml_physics::{Barrier, wkb_exponent};
    /// let oxide = Barrier::sio2(2.0)?;
    /// let numerically = wkb_exponent(&oxide.under_field(0.5)?, 0.0)?;
    /// assert!((numerically / oxide.wkb_exponent(0.5) - 1.0).abs() < 1e-12);
    /// # Ok::<(), qtaml_physics::PhysicsError>(())
    /// ```
    pub fn under_field(&self, field_v_per_nm: f64) -> Result<PiecewiseLinear, PhysicsError> {
        let field = checked("field_v_per_nm", field_v_per_nm, FIELD_V_PER_NM)?.abs();
        let knot = |x_nm| Knot {
            x_nm,
            energy_ev: self.height_ev - field * x_nm,
            mass_ratio: self.mass_ratio,
        };
        PiecewiseLinear::new(vec![knot(0.0), knot(self.thickness_nm)])
    }

    /// The WKB exponent, twice the integral of the decay constant over the forbidden width, under
    /// a field of magnitude `|field_v_per_nm|`.
    ///
    /// # Formula
    ///
    /// `2 ∫ kappa dx = 4/3 · kappa · w · (1 + r² / (1 + r))`
    ///
    /// with the flat-barrier `kappa`, the forbidden width `w = min(d, phi / eF)` and
    /// `r² = max(0, 1 - eFd / phi)`, the height left on the far side. It is docs/theory.md, section 1's
    /// `4 sqrt(2 m*) / (3 hbar e F) · [phi^1.5 - (phi - eFd)^1.5]` with the common factor `F`
    /// divided out: nothing cancels as the field vanishes, and it is `2 kappa d` without one.
    pub fn wkb_exponent(&self, field_v_per_nm: f64) -> f64 {
        self.exponent_below(self.height_ev, field_v_per_nm.abs())
    }

    /// The WKB exponent under `field` of an electron `height_ev` below the top, however little or
    /// much that is.
    pub(crate) fn exponent_below(&self, height_ev: f64, field: f64) -> f64 {
        let drop_ev = field * self.thickness_nm;
        let (width_nm, height_left) = if drop_ev < height_ev {
            (self.thickness_nm, 1.0 - drop_ev / height_ev)
        } else {
            (height_ev / field, 0.0)
        };
        let kappa = KAPPA_PER_NM * (self.mass_ratio * height_ev).sqrt();
        let tilt = 1.0 + height_left / (1.0 + height_left.sqrt());
        4.0 / 3.0 * kappa * width_nm * tilt
    }

    /// The probability to tunnel through at one attempt, in the WKB approximation.
    ///
    /// # Formula
    ///
    /// `T = exp(-2 ∫ kappa dx)`. Right in the exponent, off by a prefactor of order one; compare
    /// [`exact_rectangular_transmission`](Self::exact_rectangular_transmission).
    ///
    /// Source: docs/theory.md, section 1.
    pub fn wkb_transmission(&self, field_v_per_nm: f64) -> f64 {
        (-self.wkb_exponent(field_v_per_nm)).exp()
    }

    /// The probability to tunnel through at one attempt, in Kemble's form, which stays right for a
    /// smooth barrier near its top, where WKB goes to one instead of one half.
    ///
    /// The edges of this barrier are abrupt, and Kemble's form is no remedy for that: the prefactor
    /// that they bring is missing as it is in WKB, see
    /// [`exact_rectangular_transmission`](Self::exact_rectangular_transmission).
    ///
    /// # Formula
    ///
    /// `T = 1 / (1 + exp(2 ∫ kappa dx))`
    ///
    /// Source: E. C. Kemble, Phys. Rev. 48, 549 (1935); docs/theory.md, section 1.
    pub fn kemble_transmission(&self, field_v_per_nm: f64) -> f64 {
        1.0 / (1.0 + self.wkb_exponent(field_v_per_nm).exp())
    }

    /// The exact transmission of the flat barrier for an electron of kinetic energy `energy_ev`
    /// outside it, against which the approximations are validated.
    ///
    /// The top lies at `V0 = energy_ev + height_ev`, so the electron is always below it. Its mass
    /// is the same inside and outside.
    ///
    /// # Formula
    ///
    /// `T = 1 / (1 + V0² sinh²(kappa d) / (4 E (V0 - E)))`
    ///
    /// Source: docs/theory.md, section 1; any textbook of quantum mechanics.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the energy is in `1e-6..=100` eV.
    pub fn exact_rectangular_transmission(&self, energy_ev: f64) -> Result<f64, PhysicsError> {
        let energy = checked("energy_ev", energy_ev, ENERGY_EV)?;
        let decay = (self.kappa_per_nm() * self.thickness_nm).sinh();
        let mismatch = (energy + self.height_ev).powi(2) / (4.0 * energy * self.height_ev);
        Ok(1.0 / (1.0 + mismatch * decay * decay))
    }

    /// The extra oxide that makes tunneling through the flat barrier ten times rarer, in nm.
    ///
    /// # Formula
    ///
    /// `ln(10) / (2 kappa)`
    ///
    /// ```
    /// # use qtaml_physics::Barrier;
    /// // The well-known decade of gate leakage per 0.2 nm of silicon dioxide.
    /// let decade = Barrier::sio2(2.0)?.thickness_per_decade_nm();
    /// assert!((decade - 0.197).abs() < 0.001);
    /// # Ok::<(), qtaml_physics::PhysicsError>(())
    /// ```
    pub fn thickness_per_decade_nm(&self) -> f64 {
        std::f64::consts::LN_10 / (2.0 * self.kappa_per_nm())
    }
}

/// What a file may hold before it has been looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    height_ev: f64,
    thickness_nm: f64,
    mass_ratio: f64,
}

impl TryFrom<Unchecked> for Barrier {
    type Error = PhysicsError;

    fn try_from(raw: Unchecked) -> Result<Self, PhysicsError> {
        Self::new(raw.height_ev, raw.thickness_nm, raw.mass_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    /// `2 ∫ kappa dx` by the midpoint rule, straight from the definition.
    fn exponent_by_quadrature(barrier: &Barrier, field: f64) -> f64 {
        let steps = 100_000;
        let dx = barrier.thickness_nm / f64::from(steps);
        let kappa = |x: f64| {
            let above_ev = (barrier.height_ev - field * x).max(0.0);
            KAPPA_PER_NM * (barrier.mass_ratio * above_ev).sqrt()
        };
        2.0 * dx * (0..steps).map(|i| kappa((f64::from(i) + 0.5) * dx)).sum::<f64>()
    }

    /// Transmission by integrating psi'' = kappa² psi back from a pure outgoing wave (Runge-Kutta),
    /// and splitting what arrives on the near side into incoming and reflected waves.
    fn transmission_by_integration(barrier: &Barrier, energy_ev: f64) -> f64 {
        let k = KAPPA_PER_NM * (barrier.mass_ratio * energy_ev).sqrt();
        let kappa2 = barrier.kappa_per_nm().powi(2);
        let steps = 10_000;
        let h = -barrier.thickness_nm / f64::from(steps);
        // The equation is real, so the real and imaginary parts of (psi, psi') evolve alone.
        let arrive = |start: (f64, f64)| {
            (0..steps).fold(start, |(u, v), _| {
                let (u2, v2) = (v + h / 2.0 * kappa2 * u, kappa2 * (u + h / 2.0 * v));
                let (u3, v3) = (v + h / 2.0 * v2, kappa2 * (u + h / 2.0 * u2));
                let (u4, v4) = (v + h * v3, kappa2 * (u + h * u3));
                let du = h / 6.0 * (v + 2.0 * u2 + 2.0 * u3 + u4);
                (u + du, v + h / 6.0 * (kappa2 * u + 2.0 * v2 + 2.0 * v3 + v4))
            })
        };
        let ((re, re_slope), (im, im_slope)) = (arrive((1.0, 0.0)), arrive((0.0, k)));
        // Incoming amplitude A = (psi + psi' / ik) / 2 for an outgoing amplitude of one.
        4.0 / ((re + im_slope / k).powi(2) + (im - re_slope / k).powi(2))
    }

    #[test]
    fn exponent_matches_quadrature_in_every_shape() -> Result<(), PhysicsError> {
        let barrier = Barrier::sio2(2.0)?;
        for field in [0.0, 1e-9, 0.1, 0.8, 1.5, 1.55, 1.6, 3.0, 10.0] {
            let expected = exponent_by_quadrature(&barrier, field);
            assert_relative_eq!(barrier.wkb_exponent(field), expected, max_relative = 1e-6);
            assert_eq!(barrier.wkb_exponent(-field), barrier.wkb_exponent(field));
        }
        Ok(())
    }

    #[test]
    fn exponent_leaves_the_flat_barrier_along_its_tangent() -> Result<(), PhysicsError> {
        // phi^1.5 - (phi - u)^1.5 to second order: 2 kappa d (1 - u / 4 phi).
        let barrier = Barrier::sio2(2.0)?;
        let flat = 2.0 * barrier.kappa_per_nm() * 2.0;
        assert_relative_eq!(barrier.wkb_exponent(0.0), flat, max_relative = 1e-15);
        for field in [1e-300, 1e-17, 1e-12, 1e-8] {
            let tangent = flat * (1.0 - field * 2.0 / (4.0 * 3.1));
            assert_relative_eq!(barrier.wkb_exponent(field), tangent, max_relative = 1e-15);
        }
        Ok(())
    }

    #[test]
    fn trapezoid_joins_the_triangle() -> Result<(), PhysicsError> {
        let barrier = Barrier::new(3.0, 2.0, 0.5)?;
        let [below, at] = [1.5_f64.next_down(), 1.5];
        assert_eq!(barrier.shape(below), Shape::Trapezoidal);
        assert_eq!(barrier.shape(at), Shape::Triangular);
        let [below, at] = [below, at].map(|field| barrier.wkb_exponent(field));
        assert_relative_eq!(below, at, max_relative = 1e-15);
        Ok(())
    }

    #[test]
    fn triangle_has_the_fowler_nordheim_slope() -> Result<(), PhysicsError> {
        // The published B = 6.83e9 V/m eV^-1.5: exponent = B sqrt(m*) phi^1.5 / F.
        let exponent = Barrier::new(1.0, 100.0, 1.0)?.wkb_exponent(1.0);
        assert_relative_eq!(exponent, 6.83, max_relative = 1e-3);
        Ok(())
    }

    #[test]
    fn kemble_is_wkb_for_thick_oxide_and_half_at_the_top() -> Result<(), PhysicsError> {
        let thick = Barrier::sio2(3.0)?;
        let ratio = thick.kemble_transmission(0.2) / thick.wkb_transmission(0.2);
        assert_relative_eq!(ratio, 1.0, max_relative = 1e-12);
        let vanishing = Barrier::new(1e-3, 1e-3, 1e-3)?;
        assert_relative_eq!(vanishing.kemble_transmission(0.0), 0.5, max_relative = 1e-4);
        Ok(())
    }

    #[test]
    fn exact_transmission_solves_the_schroedinger_equation() -> Result<(), PhysicsError> {
        for (thickness_nm, energy_ev) in [(0.1, 0.5), (0.5, 3.1), (1.0, 0.01), (2.0, 1.0)] {
            let barrier = Barrier::sio2(thickness_nm)?;
            let exact = barrier.exact_rectangular_transmission(energy_ev)?;
            let integrated = transmission_by_integration(&barrier, energy_ev);
            assert_relative_eq!(exact, integrated, max_relative = 1e-9);
        }
        Ok(())
    }

    #[test]
    fn wkb_has_the_right_exponent_and_a_prefactor_of_order_one() -> Result<(), PhysicsError> {
        for energy_ev in [0.1, 1.0, 3.1, 10.0] {
            let [thin, thick] = [Barrier::sio2(2.0)?, Barrier::sio2(3.0)?];
            let [exact_thin, exact_thick] = [
                thin.exact_rectangular_transmission(energy_ev)?,
                thick.exact_rectangular_transmission(energy_ev)?,
            ];
            // Between two thick oxides the prefactor cancels and the exponent is left.
            let exponent_per_nm = (exact_thin / exact_thick).ln();
            let wkb_per_nm = thick.wkb_exponent(0.0) - thin.wkb_exponent(0.0);
            assert_relative_eq!(exponent_per_nm, wkb_per_nm, max_relative = 1e-9);
            // For thick oxide the prefactor tends to 16 E phi / V0², at most 4.
            let prefactor = exact_thick / thick.wkb_transmission(0.0);
            let expected = 16.0 * energy_ev * 3.1 / (energy_ev + 3.1).powi(2);
            assert_relative_eq!(prefactor, expected, max_relative = 1e-9);
            assert!((0.1..=4.001).contains(&prefactor), "{prefactor}");
        }
        Ok(())
    }

    #[test]
    fn numbers_in_the_wrong_unit_are_refused() {
        assert!(Barrier::sio2(2e-9).is_err());
        assert!(Barrier::new(3.1 * 1.6e-19, 2.0, 0.42).is_err());
        assert!(Barrier::new(3.1, 2.0, 9.1e-31).is_err());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Barrier::new(bad, 2.0, 0.42).is_err(), "height {bad}");
            assert!(Barrier::new(3.1, bad, 0.42).is_err(), "thickness {bad}");
            assert!(Barrier::new(3.1, 2.0, bad).is_err(), "mass {bad}");
        }
        assert!(Barrier::sio2(2.0).is_ok_and(|b| b.exact_rectangular_transmission(0.0).is_err()));
    }

    #[test]
    fn a_nan_field_is_not_mistaken_for_a_number() -> Result<(), PhysicsError> {
        assert!(Barrier::sio2(2.0)?.wkb_transmission(f64::NAN).is_nan());
        Ok(())
    }

    #[test]
    fn deserialising_checks_the_numbers() {
        let parse = serde_json::from_str::<Barrier>;
        let good = parse(r#"{"height_ev": 3.1, "thickness_nm": 2.0, "mass_ratio": 0.42}"#);
        assert_eq!(good.ok(), Barrier::sio2(2.0).ok());
        let bad = parse(r#"{"height_ev": 3.1, "thickness_nm": -2.0, "mass_ratio": 0.42}"#);
        let message = bad.unwrap_err().to_string();
        assert!(message.contains("thickness_nm = -2.0 is outside"), "{message}");
    }

    fn any_barrier() -> impl Strategy<Value = Barrier> {
        (0.5..6.0, 0.2..10.0, 0.1..2.0).prop_map(|(h, d, m)| Barrier::new(h, d, m).unwrap())
    }

    proptest! {
        #[test]
        fn thicker_never_lets_more_through(
            barrier in any_barrier(), stretch in 1.001..3.0, field in 0.0..5.0,
        ) {
            let thicker = barrier.with_thickness_nm(barrier.thickness_nm * stretch).unwrap();
            let [thin, thick] = [barrier, thicker].map(|b| b.wkb_exponent(field));
            // Beyond the turning point of a triangle more oxide changes nothing.
            match barrier.shape(field) {
                Shape::Triangular => prop_assert_eq!(thin, thick),
                _ => prop_assert!(thin < thick),
            }
        }

        #[test]
        fn stronger_field_lets_more_through(
            barrier in any_barrier(), field in 0.0..5.0, more in 0.001..5.0,
        ) {
            prop_assert!(barrier.wkb_transmission(field) < barrier.wkb_transmission(field + more));
        }

        #[test]
        fn transmissions_are_probabilities(
            barrier in any_barrier(), field in -20.0..20.0, energy in 0.01..10.0,
        ) {
            let wkb = barrier.wkb_transmission(field);
            let kemble = barrier.kemble_transmission(field);
            prop_assert!(0.0 < wkb && wkb <= 1.0);
            assert_relative_eq!(kemble, wkb / (1.0 + wkb), max_relative = 1e-12);
            let exact = barrier.exact_rectangular_transmission(energy).unwrap();
            prop_assert!(0.0 < exact && exact < 1.0);
        }
    }
}
