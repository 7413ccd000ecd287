//! The exact transmission of a barrier of any shape, against which approximations are measured.
//!
//! The one-dimensional Schroedinger equation with a mass that depends on the place,
//!
//! `d/dx (1/m dψ/dx) = 2/hbar² (V - E) ψ`,
//!
//! conserves ψ and `ψ'/m` across jumps (D. J. `BenDaniel` and C. B. Duke, Phys. Rev. 152, 683,
//! 1966).
//! As a system for these two it has a traceless matrix, so one step of the fourth-order Magnus
//! method (S. Blanes et al., Phys. Rep. 470, 151, 2009) is the exponential of a traceless 2×2
//! matrix, known in closed form. It conserves the current whatever the step, and is exact where
//! potential and mass are constant.
//!
//! ```
//! use qtaml_physics::{Barrier, transfer_matrix::{self, Electrodes}};
//!
//! // Electrons of 1 eV from a metal; the far side is lowered by the 1 V over the oxide.
//! let oxide = Barrier::sio2(2.0)?;
//! let metal = Electrodes::alike(1.0, 1.0).lowered(1.0);
//! let exact = transfer_matrix::transmission(&oxide.under_field(0.5)?, 0.0, &metal)?;
//! let prefactor = exact / oxide.wkb_transmission(0.5);
//! assert!((1.0..4.0).contains(&prefactor));
//! # Ok::<(), qtaml_physics::PhysicsError>(())
//! ```

use crate::barrier::MASS_RATIO;
use crate::constants::KAPPA_PER_NM;
use crate::error::{PhysicsError, checked};
use crate::potential::{ENERGY_EV, Potential, local, pieces};
use serde::{Deserialize, Serialize};
use std::f64::consts::{FRAC_PI_2, LN_2};
use std::ops::RangeInclusive;

/// Change of ln T under halving the steps that counts as converged. The error is then about a
/// fifteenth of it, the method being of fourth order.
const PROMISED: f64 = 1e-10;
const FIRST_STEPS: u32 = 32;
const MOST_STEPS: u32 = 1 << 20;
/// The exponent at which a transmission leaves the numbers that `f64` can hold.
const VANISHES: f64 = -745.2;
/// Relative change of ln T at which it is safe to say that T vanishes.
const SETTLED: f64 = 1e-3;

const KINETIC_EV: RangeInclusive<f64> = 1e-9..=2e6;

/// Where the electron is free: a band with a bottom and a mass. Checked where it is used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Electrode {
    /// Bottom of the band, in eV above the reference level of the potential.
    pub band_ev: f64,
    /// Mass in the band over the mass of a free electron.
    pub mass_ratio: f64,
}

/// Both sides of a barrier.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Electrodes {
    /// Where the electron comes from.
    pub emitter: Electrode,
    /// Where it goes.
    pub collector: Electrode,
}

impl Electrodes {
    /// The same metal on both sides, in which an electron at the reference level has
    /// `kinetic_ev`.
    pub const fn alike(kinetic_ev: f64, mass_ratio: f64) -> Self {
        let metal = Electrode { band_ev: -kinetic_ev, mass_ratio };
        Self { emitter: metal, collector: metal }
    }

    /// The same electrodes with the collector `drop_ev` lower, as under a voltage.
    #[must_use]
    pub const fn lowered(mut self, drop_ev: f64) -> Self {
        self.collector.band_ev -= drop_ev;
        self
    }
}

/// The probability that an electron of `energy_ev`, counted from the potential's reference level,
/// passes from the emitter to the collector at one attempt.
///
/// It is 0 below the collector's band, and where it is smaller than any `f64`.
///
/// # Formula
///
/// With the matrix `M` that takes `(ψ, ψ'/m)` from the collector back to the emitter, and
/// `g = k / m` in each electrode,
///
/// `T = 4 g_e g_c / [(g_e M11 + g_c M22)² + (g_e g_c M12 - M21)²]`
///
/// The steps, finer towards the ends of each smooth piece and at least 32 in it, are halved until T
/// changes by less than `1e-10` of itself. A feature much narrower than they are can be missed; add
/// breaks around it.
///
/// # Errors
///
/// [`PhysicsError::OutOfRange`] unless the energy is in `-1e6..=1e6` eV and at least 1e-9 eV above
/// the emitter's band, bands and masses of the electrodes are in `-1e6..=1e6` eV and `0.001..=100`,
/// and for impossible numbers of the potential; [`PhysicsError::NotConverged`] if a million steps
/// are not enough, as for a resonance so sharp that rounding hides it.
pub fn transmission(
    potential: &impl Potential,
    energy_ev: f64,
    electrodes: &Electrodes,
) -> Result<f64, PhysicsError> {
    let energy = checked("energy_ev", energy_ev, ENERGY_EV)?;
    let emitter_ev = kinetic_ev(&electrodes.emitter, energy)?;
    let collector_ev = kinetic_ev(&electrodes.collector, energy)?;
    checked("kinetic energy_ev at the emitter", emitter_ev, KINETIC_EV)?;
    let pieces = pieces(potential)?;
    if collector_ev <= 0.0 {
        return Ok(0.0);
    }
    let emitter = KAPPA_PER_NM * (emitter_ev / electrodes.emitter.mass_ratio).sqrt();
    let collector = KAPPA_PER_NM * (collector_ev / electrodes.collector.mass_ratio).sqrt();

    let mut steps = FIRST_STEPS;
    let mut coarse = f64::NAN;
    loop {
        let back = propagate_back(potential, energy, &pieces, steps)?;
        let fine = back.ln_transmission(emitter, collector);
        let change = (fine - coarse).abs();
        // Where T vanishes, its digits do not matter. But ln T must have settled: steps that are far
        // too long make a potential look opaque that is not.
        if change <= PROMISED || (fine < VANISHES && change <= SETTLED * fine.abs()) {
            // At a resonance rounding may reach beyond one.
            return Ok(fine.exp().min(1.0));
        }
        if u64::from(steps) * pieces.len() as u64 >= u64::from(MOST_STEPS) {
            let quantity = "transmission";
            return Err(PhysicsError::NotConverged {
                quantity,
                reached: change,
                promised: PROMISED,
            });
        }
        (steps, coarse) = (2 * steps, fine);
    }
}

/// Energy above the bottom of the band; the electrode's numbers are checked.
fn kinetic_ev(electrode: &Electrode, energy_ev: f64) -> Result<f64, PhysicsError> {
    checked("electrode mass_ratio", electrode.mass_ratio, MASS_RATIO)?;
    Ok(energy_ev - checked("band_ev", electrode.band_ev, ENERGY_EV)?)
}

/// The matrix from the collector to the emitter, with `steps` steps in each piece.
fn propagate_back(
    potential: &impl Potential,
    energy_ev: f64,
    pieces: &[(f64, f64)],
    steps: u32,
) -> Result<Propagator, PhysicsError> {
    let mut back = Propagator::IDENTITY;
    for &(from, to) in pieces.iter().rev() {
        // Uniform in the angle: steps shrink towards the ends, where potentials are steepest and a
        // divergence just outside, as that of image forces, is near.
        let place = |i: u32| {
            let angle = FRAC_PI_2 * f64::from(i) / f64::from(steps);
            if i == steps { to } else { from + (to - from) * angle.sin().powi(2) }
        };
        let mut right = to;
        for i in (0..steps).rev() {
            let left = place(i);
            back.step(potential, energy_ev, right, left)?;
            right = left;
        }
    }
    Ok(back)
}

/// A real 2×2 matrix times `exp(ln_scale)`: a thick barrier is beyond the range of `f64`.
struct Propagator {
    matrix: [[f64; 2]; 2],
    ln_scale: f64,
    doublings: i32,
}

impl Propagator {
    const IDENTITY: Self = Self { matrix: [[1.0, 0.0], [0.0, 1.0]], ln_scale: 0.0, doublings: 0 };

    /// One Magnus step of `(ψ, ψ'/m)` from `start` to `end`.
    fn step(
        &mut self,
        potential: &impl Potential,
        energy_ev: f64,
        start: f64,
        end: f64,
    ) -> Result<(), PhysicsError> {
        let h = end - start;
        // The two nodes of the Gauss-Legendre rule of fourth order.
        let at = |share: f64| {
            let (above_ev, mass) = local(potential, energy_ev, start + h * share)?;
            Ok((mass, KAPPA_PER_NM * KAPPA_PER_NM * above_ev))
        };
        let offset = 3.0_f64.sqrt() / 6.0;
        let ((m1, v1), (m2, v2)) = (at(0.5 - offset)?, at(0.5 + offset)?);
        // Ω = h/2 (A1 + A2) - √3/12 h² [A1, A2] with A = [[0, m], [v, 0]] is [[-a, b], [c, a]].
        let a = 0.5 * offset * h * h * (m1 * v2 - m2 * v1);
        let (b, c) = (0.5 * h * (m1 + m2), 0.5 * h * (v1 + v2));
        let (even, odd, ln_scale) = exponential(a * a + b * c);
        let [[p, q], [r, s]] = self.matrix;
        let (diagonal, lower) = (even - odd * a, even + odd * a);
        self.matrix = [
            [diagonal * p + odd * b * r, diagonal * q + odd * b * s],
            [odd * c * p + lower * r, odd * c * q + lower * s],
        ];
        self.ln_scale += ln_scale;
        self.rescale();
        Ok(())
    }

    /// Moves a power of two out of the matrix before it overflows; nothing is rounded.
    fn rescale(&mut self) {
        let largest = self.matrix.iter().flatten().fold(0.0_f64, |most, x| most.max(x.abs()));
        if largest > 1e90 {
            self.matrix = self.matrix.map(|row| row.map(|x| x * 2.0_f64.powi(-300)));
            self.doublings += 300;
        }
    }

    /// `ln T` for `g = k / m` in either electrode.
    fn ln_transmission(&self, emitter: f64, collector: f64) -> f64 {
        let [[m11, m12], [m21, m22]] = self.matrix;
        let (re, im) = (emitter * m11 + collector * m22, emitter * collector * m12 - m21);
        let ln_scale = self.ln_scale + f64::from(self.doublings) * LN_2;
        (4.0 * emitter * collector).ln() - 2.0 * re.hypot(im).ln() - 2.0 * ln_scale
    }
}

/// `exp Ω = exp(scale) (even + odd Ω)` for a traceless Ω with `Ω² = square`, as
/// `(even, odd, scale)`: hyperbolic in the barrier, trigonometric outside it.
fn exponential(square: f64) -> (f64, f64, f64) {
    let root = square.abs().sqrt();
    if root == 0.0 {
        (1.0, 1.0, 0.0)
    } else if square < 0.0 {
        (root.cos(), root.sin() / root, 0.0)
    } else if root < 50.0 {
        (root.cosh(), root.sinh() / root, 0.0)
    } else {
        (0.5, 0.5 / root, root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::barrier::Barrier;
    use crate::image_force::ImageForce;
    use crate::material::Material;
    use crate::potential::Analytic;
    use crate::stack::{Layer, Stack};
    use crate::wkb::{kemble_transmission, wkb_exponent};
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use std::f64::consts::PI;

    #[test]
    fn rectangle_has_its_closed_form_below_the_top() -> Result<(), PhysicsError> {
        for thickness in [0.01, 0.5, 2.0, 8.0, 40.0] {
            for kinetic in [1e-3, 0.5, 3.1, 20.0] {
                let barrier = Barrier::sio2(thickness)?;
                let metal = Electrodes::alike(kinetic, barrier.mass_ratio());
                let exact = transmission(&barrier.under_field(0.0)?, 0.0, &metal)?;
                let expected = barrier.exact_rectangular_transmission(kinetic)?;
                assert_relative_eq!(exact, expected, max_relative = 1e-9);
            }
        }
        Ok(())
    }

    #[test]
    fn transmission_oscillates_above_the_rectangle() -> Result<(), PhysicsError> {
        // T = 1 / (1 + V² sin²(kd) / (4 E (E - V))) for an electron E above the band and V < E.
        let barrier = Barrier::new(1.0, 2.0, 1.0)?;
        for above in [0.01, 0.2, 1.0, 10.0] {
            let kinetic = 1.0 + above;
            let metal = Electrodes::alike(0.0, 1.0);
            let exact = transmission(&barrier.under_field(0.0)?, kinetic, &metal)?;
            let sine = (KAPPA_PER_NM * above.sqrt() * 2.0).sin();
            let expected = 1.0 / (1.0 + sine * sine / (4.0 * kinetic * above));
            assert_relative_eq!(exact, expected, max_relative = 1e-9);
        }
        // At k d = pi the two reflections cancel.
        let resonance = (PI / (2.0 * KAPPA_PER_NM)).powi(2);
        let metal = Electrodes::alike(1.0, 1.0);
        let exact = transmission(&barrier.under_field(0.0)?, 1.0 + resonance, &metal)?;
        assert_relative_eq!(exact, 1.0, max_relative = 1e-12);
        Ok(())
    }

    #[test]
    fn masses_count_in_the_matching() -> Result<(), PhysicsError> {
        // With other masses outside: T = 4 / [4 cosh² + (κ m_e / k m - k m / κ m_e)² sinh²].
        let barrier = Barrier::sio2(1.0)?;
        let kappa = barrier.kappa_per_nm();
        for mass in [0.19, 0.42, 0.98] {
            let k = KAPPA_PER_NM * (mass * 2.0_f64).sqrt();
            let mismatch = (kappa / 0.42) / (k / mass);
            let grown = kappa * 1.0;
            let spread = (mismatch - 1.0 / mismatch) * grown.sinh();
            let expected = 4.0 / (4.0 * grown.cosh().powi(2) + spread * spread);
            let exact =
                transmission(&barrier.under_field(0.0)?, 0.0, &Electrodes::alike(2.0, mass))?;
            assert_relative_eq!(exact, expected, max_relative = 1e-9);
        }
        Ok(())
    }

    #[test]
    fn a_step_reflects_as_in_the_textbook() -> Result<(), PhysicsError> {
        // T = 4 k1 k2 / (k1 + k2)², here with 4 and 1 eV of kinetic energy: 8 / 9.
        let step = Analytic::new(1.0, 1.0, |_| -4.0);
        let electrodes = Electrodes::alike(4.0, 1.0).lowered(-3.0);
        let exact = transmission(&step, 0.0, &electrodes)?;
        assert_relative_eq!(exact, 8.0 / 9.0, max_relative = 1e-12);
        Ok(())
    }

    #[test]
    fn tilted_barriers_match_airy_functions() -> Result<(), PhysicsError> {
        // Ai and Bi matched at both electrodes; mpmath, 60 digits inside, CODATA 2022 constants.
        // Direct tunneling, Fowler-Nordheim, unlike masses, an electron above the top, thick oxide.
        let electrode = |band_ev, mass_ratio| Electrode { band_ev, mass_ratio };
        for (height, width, mass, field, energy, emitter, collector, expected) in [
            (3.1, 1.0, 0.42, 0.5, 0.0, (-1.0, 1.0), (-1.5, 1.0), 2.790_748_797_431_208e-5),
            (3.1, 2.0, 0.42, 1.0, 0.0, (-2.0, 1.0), (-4.0, 1.0), 1.718_357_347_814_707_7e-8),
            (3.1, 5.0, 0.42, 1.5, 0.0, (-1.0, 0.5), (-8.5, 0.5), 1.349_965_491_520_626_2e-7),
            (3.1, 8.0, 0.42, 0.25, 0.0, (-1.0, 0.19), (-3.0, 0.98), 3.103_700_816_954_786e-33),
            (1.0, 3.0, 0.2, 0.5, 1.5, (-1.0, 1.0), (-2.5, 1.0), 0.951_063_546_162_115),
            (3.1, 20.0, 0.42, 0.1, 0.0, (-1.0, 1.0), (-3.0, 1.0), 4.537_302_188_582_697e-83),
        ] {
            let barrier = Barrier::new(height, width, mass)?.under_field(field)?;
            let electrodes = Electrodes {
                emitter: electrode(emitter.0, emitter.1),
                collector: electrode(collector.0, collector.1),
            };
            let exact = transmission(&barrier, energy, &electrodes)?;
            assert_relative_eq!(exact, expected, max_relative = 1e-9);
        }
        Ok(())
    }

    #[test]
    fn eckart_barrier_has_its_closed_form() -> Result<(), PhysicsError> {
        // C. Eckart, Phys. Rev. 35, 1303 (1930), for the symmetric barrier V0 / cosh²(x / a):
        // T = sinh²(π k a) / (sinh²(π k a) + cosh²(π/2 sqrt(8 m V0 a² / hbar² - 1))).
        let (height, a) = (2.0_f64, 0.15);
        let eckart = Analytic::new(6.0, 1.0, |x| height / ((x - 3.0) / a).cosh().powi(2));
        let bound = (PI / 2.0 * (4.0 * (KAPPA_PER_NM * a).powi(2) * height - 1.0).sqrt()).cosh();
        for kinetic in [0.05_f64, 0.5, 1.9, 2.0, 2.5, 4.0] {
            let free = (PI * KAPPA_PER_NM * kinetic.sqrt() * a).sinh();
            let expected = 1.0 / (1.0 + (bound / free).powi(2));
            let exact = transmission(&eckart, kinetic, &Electrodes::alike(0.0, 1.0))?;
            assert_relative_eq!(exact, expected, max_relative = 1e-9);
        }
        Ok(())
    }

    #[test]
    fn kemble_holds_at_a_smooth_top_and_wkb_does_not() -> Result<(), PhysicsError> {
        // A wide parabola between distant electrodes: exactly one half at its top.
        let hill = Analytic::new(16.0, 1.0, |x| 3.0 - 0.75 * (x - 8.0).powi(2));
        let electrodes = Electrodes::alike(45.0, 1.0);
        let exact = |energy| transmission(&hill, energy, &electrodes);
        assert_relative_eq!(exact(3.0)?, 0.5, max_relative = 0.02);
        let below = 2.95;
        assert_relative_eq!(exact(below)?, kemble_transmission(&hill, below)?, max_relative = 0.02);
        assert!((-wkb_exponent(&hill, below)?).exp() > 1.2 * exact(below)?);
        Ok(())
    }

    #[test]
    fn equal_barriers_are_transparent_at_resonance() -> Result<(), PhysicsError> {
        let well = |x: f64| if (0.4..1.4).contains(&x) { 0.0 } else { 1.5 };
        let double = Analytic::new(1.8, 1.0, well).with_breaks([0.4, 1.4]);
        let through = |energy| transmission(&double, energy, &Electrodes::alike(0.0, 1.0));
        // Golden section for the top of the lowest peak.
        let (mut low, mut high) = (0.15, 0.30);
        for _ in 0..80 {
            let golden = 0.381_966_011_250_105 * (high - low);
            if through(low + golden)? < through(high - golden)? {
                low += golden;
            } else {
                high -= golden;
            }
        }
        assert_relative_eq!(through(low)?, 1.0, max_relative = 1e-9);
        // One of the two alone is nearly opaque at that energy.
        let single = Analytic::new(0.4, 1.0, |_| 1.5);
        assert!(transmission(&single, low, &Electrodes::alike(0.0, 1.0))? < 0.05);
        Ok(())
    }

    #[test]
    fn image_forces_match_runge_kutta() -> Result<(), PhysicsError> {
        let oxide = Barrier::sio2(1.5)?.under_field(0.5)?;
        let rounded = ImageForce::new(&oxide, 2.13, -2.0)?;
        let metal = Electrodes::alike(2.0, 1.0).lowered(0.75);
        // Fourth-order Runge-Kutta extrapolated to the limit, 17 digits; mpmath.
        let expected = 9.279_981_923_255_35e-6;
        let exact = transmission(&rounded, 0.0, &metal)?;
        assert_relative_eq!(exact, expected, max_relative = 1e-9);
        Ok(())
    }

    #[test]
    fn extremes_are_numbers_or_errors() -> Result<(), PhysicsError> {
        let metal = Electrodes::alike(1.0, 1.0);
        let flat = Barrier::sio2(2.0)?.under_field(0.0)?;
        // Below the collector's band nothing arrives; below the emitter's nothing starts.
        assert_eq!(transmission(&flat, 0.0, &metal.lowered(-2.0))?, 0.0);
        assert!(transmission(&flat, -1.0, &metal).is_err());
        // Too small for f64, but no failure.
        assert_eq!(transmission(&Barrier::sio2(1e4)?.under_field(1e-4)?, 0.0, &metal)?, 0.0);
        // 20 V/nm: the electron arrives with 1 keV, after hundreds of thousands of waves with 20.
        let torn = |nm| {
            transmission(&Barrier::sio2(nm)?.under_field(20.0)?, 0.0, &metal.lowered(20.0 * nm))
        };
        // Airy functions; mpmath, 80 digits inside.
        assert_relative_eq!(torn(50.0)?, 0.298_050_090_019_079_4, max_relative = 1e-9);
        let hopeless = torn(1e3);
        assert!(matches!(hopeless, Err(PhysicsError::NotConverged { .. })), "{hopeless:?}");
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(transmission(&flat, bad, &metal).is_err());
            assert!(transmission(&flat, 0.0, &Electrodes::alike(bad, 1.0)).is_err());
            assert!(transmission(&flat, 0.0, &Electrodes::alike(1.0, bad)).is_err());
            assert!(transmission(&Analytic::new(1.0, 1.0, |_| bad), 0.0, &metal).is_err());
        }
        Ok(())
    }

    #[test]
    fn roughness_without_breaks_is_an_error() {
        for amplitude in [10.0, 1e4] {
            let rough = Analytic::new(5.0, 1.0, |x| (1e9 * x).sin() * amplitude);
            let result = transmission(&rough, 0.0, &Electrodes::alike(1.0, 1.0));
            assert!(matches!(result, Err(PhysicsError::NotConverged { .. })), "{result:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// T is the same both ways, and a probability.
        #[test]
        fn stacks_are_reciprocal(
            oxide in 0.3..2.0, high_k in 0.3..3.0, field in 0.0..0.8, kinetic in 0.1..5.0,
            energy in 0.0..3.5,
        ) {
            let stack = Stack::new(vec![
                Layer { material: Material::SIO2, thickness_nm: oxide },
                Layer { material: Material::HFO2, thickness_nm: high_k },
            ]).unwrap();
            let drop = field * stack.thickness_nm();
            let forward = Electrodes::alike(kinetic, 0.5).lowered(drop);
            let there = transmission(&stack.under_field(field).unwrap(), energy, &forward).unwrap();
            // Seen from the collector the same potential rises, and energies count from its side.
            let back = Electrodes { emitter: forward.collector, collector: forward.emitter };
            let raised = |electrode: Electrode| Electrode {
                band_ev: electrode.band_ev + drop,
                ..electrode
            };
            let back = Electrodes {
                emitter: raised(back.emitter),
                collector: raised(back.collector),
            };
            let uphill = stack.reversed().under_field(-field).unwrap();
            let again = transmission(&uphill, energy + drop, &back).unwrap();
            assert_relative_eq!(there, again, max_relative = 1e-9);
            prop_assert!(0.0 < there && there <= 1.0);
        }
    }
}
