//! The constants of nature behind a tunneling exponent, and the one postulate of T0-QAT.

/// Elementary charge in coulomb, exact since the 2019 SI (CODATA 2022).
pub const ELEMENTARY_CHARGE_C: f64 = 1.602_176_634e-19;

/// Planck constant over 2π in joule seconds, exact up to rounding since the 2019 SI (CODATA 2022).
pub const REDUCED_PLANCK_J_S: f64 = 6.626_070_15e-34 / (2.0 * std::f64::consts::PI);

/// Electron rest mass in kilogram; CODATA 2022, standard uncertainty `0.000_000_002_8e-31`.
pub const ELECTRON_MASS_KG: f64 = 9.109_383_713_9e-31;

/// Boltzmann constant in electronvolt per kelvin, exact up to rounding since the 2019 SI (CODATA
/// 2022): 1.380649e-23 J/K over the elementary charge.
pub const BOLTZMANN_EV_PER_K: f64 = 1.380_649e-23 / ELEMENTARY_CHARGE_C;

/// Vacuum electric permittivity in farad per metre; CODATA 2022, standard uncertainty
/// `0.000_000_001_4e-12`.
pub const VACUUM_PERMITTIVITY_F_PER_M: f64 = 8.854_187_818_8e-12;

/// How strongly an electron in vacuum is drawn to its image in a metal, in eV nm: about 0.36.
///
/// # Formula
///
/// `e² / (16π ε0)`; at the distance `x` the energy is minus this over `x`.
///
/// Source: any textbook of electrodynamics.
pub const IMAGE_EV_NM: f64 =
    1.0e9 * ELEMENTARY_CHARGE_C / (16.0 * std::f64::consts::PI * VACUUM_PERMITTIVITY_F_PER_M);

/// Decay constant of a free electron's wave function, 1 eV below the top of a barrier, in 1/nm.
///
/// About 5.1232: the wave function falls by a factor e within 0.2 nm.
///
/// # Formula
///
/// `sqrt(2 m_e · 1 eV) / hbar`
///
/// Source: docs/theory.md, section 1.
pub const KAPPA_PER_NM: f64 = sqrt(
    2.0e-18 * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C / (REDUCED_PLANCK_J_S * REDUCED_PLANCK_J_S),
);

/// A year in seconds: the Julian year of 365.25 days.
pub const YEAR_S: f64 = 365.25 * 86_400.0;

/// The dimensionless ξ = 4/3 · 10⁻⁴ that scales the noise of T0-QAT.
///
/// This is a postulate of T0-QAT (J. Pascher, 2025), taken as given. It is **not** a
/// measured constant, and nothing in the tunneling physics of this crate depends on it.
pub const XI: f64 = 4.0 / 3.0 * 1e-4;

/// Heron's iteration, because `f64::sqrt` is not a `const fn`; converged for `x` of order 1 to 100.
const fn sqrt(x: f64) -> f64 {
    let mut root = x;
    let mut step = 0;
    while step < 10 {
        root = 0.5 * (root + x / root);
        step += 1;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn reduced_planck_constant_has_the_tabulated_digits() {
        // CODATA 2022: 1.054 571 817... e-34 J s.
        assert_relative_eq!(REDUCED_PLANCK_J_S, 1.054_571_817_646_156_4e-34, max_relative = 1e-15);
    }

    #[test]
    fn boltzmann_constant_has_the_tabulated_digits() {
        // CODATA 2022: 8.617 333 262... e-5 eV/K; more digits from mpmath, 30 digits.
        assert_relative_eq!(BOLTZMANN_EV_PER_K, 8.617_333_262_145_177e-5, max_relative = 1e-15);
    }

    #[test]
    fn kappa_follows_from_the_constants() {
        let kappa_per_m =
            (2.0 * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C).sqrt() / REDUCED_PLANCK_J_S;
        assert_relative_eq!(KAPPA_PER_NM, kappa_per_m * 1e-9, max_relative = 1e-15);
    }

    #[test]
    fn kappa_agrees_with_the_hartree_and_the_bohr_radius() {
        // In atomic units kappa = sqrt(2 V); CODATA 2022 Hartree energy and Bohr radius.
        let (hartree_ev, bohr_nm) = (27.211_386_245_981_f64, 0.052_917_721_054_4);
        assert_relative_eq!(KAPPA_PER_NM, (2.0 / hartree_ev).sqrt() / bohr_nm, max_relative = 1e-9);
    }

    #[test]
    fn image_strength_agrees_with_the_hartree_and_the_bohr_radius() {
        // In atomic units the image energy is 1 / 4x; CODATA 2022 as above.
        let (hartree_ev, bohr_nm) = (27.211_386_245_981_f64, 0.052_917_721_054_4);
        assert_relative_eq!(IMAGE_EV_NM, hartree_ev * bohr_nm / 4.0, max_relative = 1e-9);
    }

    #[test]
    fn xi_scales_to_the_noise_of_the_first_source() {
        // docs/theory.md, section 7: s = 80000 gives sigma = 10.67.
        assert_relative_eq!(80_000.0 * XI, 32.0 / 3.0, max_relative = 1e-15);
    }
}
