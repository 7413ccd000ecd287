//! The pull of an electron's image charges in the electrodes, which rounds and lowers a barrier.

use crate::barrier::FIELD_V_PER_NM;
use crate::constants::IMAGE_EV_NM;
use crate::error::{PhysicsError, checked};
use crate::material::PERMITTIVITY;
use crate::potential::{ENERGY_EV, Potential};
use crate::wkb::turning_points;
use statrs::consts::EULER_MASCHERONI;
use statrs::function::gamma::digamma;

/// A potential between two metallic electrodes, with the image energy added.
///
/// The classical image energy has no lower bound at the electrodes. There the electron is part of
/// the metal, so the potential is cut off at a floor, sensibly the bottom of the emitter's band.
/// Nothing that lies above the floor depends on it.
///
/// Whether image forces act on tunneling electrons, as they do on those that pass over the top, is
/// disputed: Z. A. Weinberg and A. Hartstein, Solid State Commun. 20, 179 (1976), conclude from
/// photon-assisted tunneling from aluminium into SiO2 that they do not. Look at a result with and
/// without.
///
/// # Formula
///
/// `V(x) + e² / (16π ε0 ε d) · [ψ(u) + ψ(1 - u) + 2γ]`, `u = x / d`
///
/// This is the sum over the infinite series of images in both electrodes in closed form: ψ is the
/// digamma function, γ Euler's constant. Near an electrode it is `-e² / (16π ε0 ε x)`, half way
/// `-ln 2 · e² / (4π ε0 ε d)`. The sum itself is in J. G. Simmons, J. Appl. Phys. 34, 1793 (1963);
/// a factor of 1/2 is missing there (A. Mayer et al., Jordan J. Phys. 12, 63 (2019)).
///
/// ```
/// use qtaml_physics::{Barrier, ImageForce, Material, wkb_exponent};
///
/// let oxide = Barrier::sio2(2.0)?.under_field(0.5)?;
/// let rounded = ImageForce::new(&oxide, Material::SIO2.optical_permittivity(), -1.0)?;
/// assert!(wkb_exponent(&rounded, 0.0)? < 0.9 * wkb_exponent(&oxide, 0.0)?);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ImageForce<P> {
    potential: P,
    optical_permittivity: f64,
    floor_ev: f64,
    breaks_nm: Vec<f64>,
}

impl<P: Potential> ImageForce<P> {
    /// `potential` with image forces in a medium of relative `optical_permittivity`, cut off at
    /// `floor_ev` above the reference level.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the permittivity is in `1..=10000` and the floor in
    /// `-1e6..=1e6` eV, and for impossible numbers of the potential.
    pub fn new(
        potential: P,
        optical_permittivity: f64,
        floor_ev: f64,
    ) -> Result<Self, PhysicsError> {
        checked("optical_permittivity", optical_permittivity, PERMITTIVITY)?;
        checked("floor_ev", floor_ev, ENERGY_EV)?;
        let breaks_nm = potential.breaks_nm();
        let mut rounded = Self { potential, optical_permittivity, floor_ev, breaks_nm };
        let kinks = turning_points(&rounded, floor_ev)?;
        rounded.breaks_nm.extend(kinks.into_iter().flat_map(|(entry, exit)| [entry, exit]));
        Ok(rounded)
    }
}

impl<P: Potential> Potential for ImageForce<P> {
    fn width_nm(&self) -> f64 {
        self.potential.width_nm()
    }

    fn energy_ev(&self, x_nm: f64) -> f64 {
        let bare = self.potential.energy_ev(x_nm);
        // `max` would turn what is no energy into the floor, and hide it from all later checks.
        if !bare.is_finite() {
            return bare;
        }
        let image = image_energy_ev(x_nm, self.width_nm(), self.optical_permittivity);
        (bare + image).max(self.floor_ev)
    }

    fn mass_ratio(&self, x_nm: f64) -> f64 {
        self.potential.mass_ratio(x_nm)
    }

    fn breaks_nm(&self) -> Vec<f64> {
        self.breaks_nm.clone()
    }
}

/// The energy of an electron between two metallic planes in the field of all its images, in eV.
fn image_energy_ev(x_nm: f64, width_nm: f64, optical_permittivity: f64) -> f64 {
    let u = x_nm / width_nm;
    let images = digamma(u) + digamma(1.0 - u) + 2.0 * EULER_MASCHERONI;
    IMAGE_EV_NM / (optical_permittivity * width_nm) * images
}

/// By how much the image force of one electrode lowers the top of a barrier under a field of
/// magnitude `|field_v_per_nm|`, in eV: the Schottky effect.
///
/// # Formula
///
/// `sqrt(e³ F / (4π ε0 ε))`
///
/// Source: W. Schottky, Phys. Z. 15, 872 (1914); any textbook of semiconductor devices.
///
/// # Errors
///
/// [`PhysicsError::OutOfRange`] unless the field is in `-20..=20` V/nm and the permittivity in
/// `1..=10000`.
///
/// ```
/// // 1.2 eV in vacuum at 1 V/nm.
/// let lowering_ev = qtaml_physics::schottky_lowering_ev(1.0, 1.0)?;
/// assert!((lowering_ev - 1.2).abs() < 1e-3);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
pub fn schottky_lowering_ev(
    field_v_per_nm: f64,
    optical_permittivity: f64,
) -> Result<f64, PhysicsError> {
    let field = checked("field_v_per_nm", field_v_per_nm, FIELD_V_PER_NM)?.abs();
    let permittivity = checked("optical_permittivity", optical_permittivity, PERMITTIVITY)?;
    Ok(2.0 * (IMAGE_EV_NM * field / permittivity).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::barrier::Barrier;
    use crate::potential::Analytic;
    use crate::wkb::wkb_exponent;
    use approx::assert_relative_eq;
    use std::f64::consts::LN_2;

    /// The images one by one: -1/4x from the nearer pair and the rest of the series, whose terms
    /// fall like n⁻³, with the tail as an integral.
    fn energy_by_images(x: f64, d: f64) -> f64 {
        let last = 20_000;
        let term = |n: f64| n * d / ((n * d).powi(2) - x * x) - 1.0 / (n * d);
        let series: f64 = (1..=last).rev().map(|n| term(f64::from(n))).sum();
        let tail = x * x / (2.0 * d.powi(3) * (f64::from(last) + 0.5).powi(2));
        -4.0 * IMAGE_EV_NM * (1.0 / (4.0 * x) + 0.5 * (series + tail))
    }

    #[test]
    fn closed_form_sums_the_images() {
        for x in [0.01, 0.3, 1.0, 1.5, 2.9] {
            let summed = energy_by_images(x, 3.0);
            assert_relative_eq!(image_energy_ev(x, 3.0, 1.0), summed, max_relative = 1e-12);
            assert_relative_eq!(image_energy_ev(x, 3.0, 4.0), summed / 4.0, max_relative = 1e-12);
        }
    }

    #[test]
    fn closed_form_has_its_digits() {
        // psi(u) + psi(1 - u) + 2 gamma; mpmath, 30 digits.
        for (u, images) in [
            (1e-9, -1e9),
            (0.01, -100.000_240_432_121_2),
            (0.1, -10.024_250_560_555_062),
            (0.3, -3.568_116_446_095_002),
            (0.5, -4.0 * LN_2),
        ] {
            let energy = image_energy_ev(u, 1.0, 1.0);
            assert_relative_eq!(energy, IMAGE_EV_NM * images, max_relative = 1e-14);
        }
    }

    #[test]
    fn the_wrapper_is_cut_off_at_its_floor() -> Result<(), PhysicsError> {
        let barrier = Barrier::sio2(3.0)?.under_field(0.5)?;
        let rounded = ImageForce::new(&barrier, 2.13, -2.0)?;
        for x in [0.0, 1e-6, 3.0 - 1e-6, 3.0] {
            assert_eq!(rounded.energy_ev(x), -2.0, "{x}");
        }
        let breaks: Vec<f64> =
            rounded.breaks_nm().into_iter().filter(|x| (1e-3..2.999).contains(x)).collect();
        assert_eq!(breaks.len(), 2);
        for x in breaks {
            let image = image_energy_ev(x, 3.0, 2.13);
            assert_relative_eq!(barrier.energy_ev(x) + image, -2.0, max_relative = 1e-12);
        }
        Ok(())
    }

    #[test]
    fn the_exponent_does_not_depend_on_the_floor() -> Result<(), PhysicsError> {
        let barrier = Barrier::sio2(2.0)?.under_field(0.3)?;
        let [shallow, deep] = [-0.5, -50.0].map(|floor| ImageForce::new(&barrier, 2.13, floor));
        let (shallow, deep) = (wkb_exponent(&shallow?, 0.0)?, wkb_exponent(&deep?, 0.0)?);
        assert_relative_eq!(shallow, deep, max_relative = 1e-11);
        Ok(())
    }

    #[test]
    fn one_far_electrode_leaves_the_schottky_effect() -> Result<(), PhysicsError> {
        let field = 0.5;
        let lowering = schottky_lowering_ev(field, 2.13)?;
        let barrier = Barrier::sio2(2000.0)?.under_field(field)?;
        let rounded = ImageForce::new(&barrier, 2.13, -5.0)?;
        let top = |share: f64| rounded.energy_ev(share * (IMAGE_EV_NM / (2.13 * field)).sqrt());
        assert_relative_eq!(top(1.0), 3.1 - lowering, max_relative = 1e-8);
        assert!(top(0.99) < top(1.0) && top(1.01) < top(1.0));
        Ok(())
    }

    #[test]
    fn schottky_nordheim_barrier_has_the_published_correction() -> Result<(), PhysicsError> {
        // v(f) = sqrt(1 + √f) [E(m) - √f K(m)], m = (1 - √f) / (1 + √f), the factor on the exponent
        // of the bare triangle; E. L. Murphy and R. H. Good, Phys. Rev. 102, 1464 (1956), in the
        // notation of R. G. Forbes, Appl. Phys. Lett. 89, 113122 (2006). Values: mpmath, 30 digits.
        for (f, v) in [
            (0.05, 0.923_357_474_553_338_6),
            (0.2, 0.743_988_409_123_681_3),
            (0.5, 0.440_949_941_740_621_15),
            (0.9, 0.084_115_067_768_341_5),
        ] {
            // The field at which the Schottky effect takes the share sqrt(f) of the height.
            let (height, field) = (4.5_f64, f * 4.5 * 4.5 / (4.0 * IMAGE_EV_NM));
            let barrier =
                Analytic::new(20.0, 1.0, |x| (height - field * x - IMAGE_EV_NM / x).max(-9.0));
            let triangle = Barrier::new(height, 20.0, 1.0)?.wkb_exponent(field);
            let exponent = wkb_exponent(&barrier, 0.0)?;
            assert_relative_eq!(exponent, v * triangle, max_relative = 1e-11);
        }
        Ok(())
    }

    #[test]
    fn oxide_too_thin_for_a_barrier_is_all_floor() -> Result<(), PhysicsError> {
        let rounded = ImageForce::new(Barrier::sio2(0.05)?.under_field(0.0)?, 2.13, -1.0)?;
        assert_eq!(rounded.energy_ev(0.025), -1.0);
        assert_eq!(wkb_exponent(&rounded, 0.0)?, 0.0);
        Ok(())
    }

    #[test]
    fn impossible_inputs_are_refused() -> Result<(), PhysicsError> {
        let barrier = Barrier::sio2(2.0)?.under_field(0.0)?;
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(ImageForce::new(&barrier, bad, -1.0).is_err(), "permittivity {bad}");
            assert!(schottky_lowering_ev(1.0, bad).is_err(), "permittivity {bad}");
        }
        assert!(ImageForce::new(&barrier, 2.0, f64::NAN).is_err());
        assert!(schottky_lowering_ev(f64::NAN, 1.0).is_err());
        assert!(ImageForce::new(Analytic::new(-1.0, 1.0, |_| 1.0), 2.0, -1.0).is_err());
        Ok(())
    }

    #[test]
    fn the_floor_hides_no_impossible_energy() -> Result<(), PhysicsError> {
        for bad in [f64::NAN, f64::NEG_INFINITY, f64::INFINITY] {
            let everywhere = Analytic::new(2.0, 1.0, |_| bad);
            assert!(ImageForce::new(everywhere, 2.0, -1.0).is_err(), "{bad}");
            // Seen by the scan for turning points, or passed on where that did not look.
            let gap = |x: f64| if (1.000_1..1.000_2).contains(&x) { bad } else { 3.0 };
            let rounded = ImageForce::new(Analytic::new(2.0, 1.0, gap), 2.0, -1.0)?;
            assert_eq!(rounded.energy_ev(1.000_15).to_bits(), bad.to_bits());
        }
        Ok(())
    }
}
