//! Temperature: the average of the transmission over the Fermi edge.

use crate::barrier::{Barrier, FIELD_V_PER_NM};
use crate::constants::{BOLTZMANN_EV_PER_K, KAPPA_PER_NM};
use crate::error::{PhysicsError, checked};
use std::ops::RangeInclusive;

/// Allowed temperatures, in K: silicon dioxide melts at about 1990 K.
pub(crate) const TEMPERATURE_K: RangeInclusive<f64> = 0.0..=2000.0;
/// Energies this many `kT` below the Fermi level are left out: `exp(-40)` of the electrons.
const NEGLIGIBLE: f64 = 40.0;

/// Positive nodes of the ten-point Gauss-Legendre rule on `-1..1`, and their weights.
const GAUSS: [(f64, f64); 5] = [
    (0.148_874_338_981_631_21, 0.295_524_224_714_752_87),
    (0.433_395_394_129_247_2, 0.269_266_719_309_996_36),
    (0.679_409_568_299_024_4, 0.219_086_362_515_982_04),
    (0.865_063_366_688_984_5, 0.149_451_349_150_580_6),
    (0.973_906_528_517_171_7, 0.066_671_344_308_688_14),
];

impl Barrier {
    /// How many times more charge passes at `temperature_k` than at absolute zero, under a field
    /// of magnitude `|field_v_per_nm|`.
    ///
    /// It is 1 at 0 K. While tunneling leads, it is of order one; where thermionic emission
    /// over the top has taken over, it can be astronomically large, and is cut at [`f64::MAX`].
    ///
    /// The average counts the height from the Fermi level and takes for granted that there are
    /// electrons as far below it as they matter. The heights of [`Material`](crate::Material) count
    /// from the edge of silicon's conduction band. To use one of them here is to take the emitter
    /// for a degenerate electrode: its Fermi level lies at that edge, and its band goes on for many
    /// `kT` below, as in a metal. Silicon has no states there; even with 1e20 donors per cm³ its
    /// Fermi level is less than 0.1 eV above the edge. As the transmission rises with the energy,
    /// what lies below the Fermi level is at most half of the average, and no more is at stake.
    ///
    /// # Formula
    ///
    /// `<T> / T(0)` with `<T> = ∫ T(E) (-df/dE) dE` and `-df/dE = 1 / (4 kT cosh²(E / 2kT))`
    ///
    /// where `E` is counted from the Fermi level, which is where the height of the barrier is
    /// counted from, and `T(E)` is the WKB transmission of a barrier lower by `E`, 1 above its top.
    /// The relative error is about 1e-12, or 1e-15 times the WKB exponent where that is more.
    ///
    /// Where `ln T` is linear in `E` with slope `c`, it is `pi c kT / sin(pi c kT)`; where nothing
    /// tunnels, `<T>` is what stands above the top, `1 / (1 + exp(phi / kT))`.
    ///
    /// As an average of transmissions, `<T>` is at most 1, never falls as the field grows, nor grows
    /// with the thickness. It grows with the temperature while `kT` is far below the height
    /// and the WKB exponent well above 1; a barrier that stops hardly anything at the Fermi level
    /// can let less pass when it is hot.
    ///
    /// Source: R. Landauer, IBM J. Res. Dev. 1, 223 (1957) for conduction as transmission;
    /// S. Datta, Electronic Transport in Mesoscopic Systems (Cambridge University Press, 1995),
    /// chapter 2, for the average, which is that of a small voltage: to keep it under any field is
    /// ours; E. L. Murphy and R. H. Good, Phys. Rev. 102, 1464 (1956) for the limit.
    ///
    /// ```
    /// # use qtaml_physics::Barrier;
    /// let oxide = Barrier::sio2(4.5)?;
    /// assert_eq!(oxide.thermal_factor(0.0, 0.0)?, 1.0);
    /// assert!((oxide.thermal_factor(0.0, 300.0)? - 1.086).abs() < 0.001);
    /// # Ok::<(), qtaml_physics::PhysicsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless the field is in `-20..=20` V/nm and the temperature in
    /// `0..=2000` K.
    pub fn thermal_factor(
        &self,
        field_v_per_nm: f64,
        temperature_k: f64,
    ) -> Result<f64, PhysicsError> {
        let field = checked("field_v_per_nm", field_v_per_nm, FIELD_V_PER_NM)?;
        let temperature = checked("temperature_k", temperature_k, TEMPERATURE_K)?;
        Ok(self.ln_thermal_factor(field, temperature).exp().min(f64::MAX))
    }

    /// The logarithm of [`thermal_factor`](Self::thermal_factor), for numbers in range.
    pub(crate) fn ln_thermal_factor(&self, field_v_per_nm: f64, temperature_k: f64) -> f64 {
        let thermal_ev = BOLTZMANN_EV_PER_K * temperature_k;
        // (pi c kT)² / 6 is below the last bit, and so is what passes over the top.
        if thermal_ev * (1.0 + self.wkb_exponent(field_v_per_nm)) < 1e-8 * self.height_ev() {
            return 0.0;
        }
        Window { barrier: self, field_v_per_nm: field_v_per_nm.abs(), thermal_ev }.ln_average()
    }
}

/// The energies around the Fermi level at which electrons cross a barrier.
struct Window<'a> {
    barrier: &'a Barrier,
    field_v_per_nm: f64,
    thermal_ev: f64,
}

impl Window<'_> {
    /// The logarithm of the average transmission, in units of that at the Fermi level.
    fn ln_average(&self) -> f64 {
        let (height, bottom) = (self.barrier.height_ev(), -NEGLIGIBLE * self.thermal_ev);
        let unit = self.thermal_ev.min(height / self.exponent(height));
        let singular = 1e-9 * unit + 1e-14 * (height - bottom);
        let drop_ev = self.field_v_per_nm * self.barrier.thickness_nm();
        // Where the growing transmission of a triangle balances the falling Fermi edge.
        let kappa = KAPPA_PER_NM * self.barrier.mass_ratio().sqrt();
        let balance = self.field_v_per_nm / (2.0 * kappa * self.thermal_ev);
        // Every maximum of the density is at one of these, or within a few kT of the first.
        let features = [
            (0.0, unit),
            (height - balance * balance, unit),
            (height - drop_ev, singular),
            (height, singular),
        ];
        // What the exponentials are scaled by, lest they overflow or all vanish.
        let peak = features.map(|(energy, _)| self.ln_density(energy));
        let peak = peak.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let density = |energy| (self.ln_density(energy) - peak).exp();
        let below = integral(&density, bottom, height, &features) / self.thermal_ev;
        let x = height / self.thermal_ev;
        let above = (self.ln_gain(height) - x - (-x).exp().ln_1p() - peak).exp();
        peak + (below + above).ln()
    }

    /// The logarithm of transmission times `-kT df/dE` at `energy_ev`.
    fn ln_density(&self, energy_ev: f64) -> f64 {
        let x = (energy_ev / self.thermal_ev).abs();
        self.ln_gain(energy_ev) - x - 2.0 * (-x).exp().ln_1p()
    }

    /// How the logarithm of the transmission exceeds that at the Fermi level.
    fn ln_gain(&self, energy_ev: f64) -> f64 {
        let height = self.barrier.height_ev();
        self.exponent(height) - self.exponent(height - energy_ev)
    }

    /// The WKB exponent of an electron `height_ev` below the top; 0 above it.
    fn exponent(&self, height_ev: f64) -> f64 {
        if height_ev > 0.0 {
            self.barrier.exponent_below(height_ev, self.field_v_per_nm)
        } else {
            0.0
        }
    }
}

/// The integral of `density`, which near each of the `features` `(energy, scale)` is smooth on that
/// scale only.
///
/// Panels are halved until each is as narrow as its distance from every feature, or as its scale:
/// then a polynomial fits the density within.
fn integral(density: &impl Fn(f64) -> f64, from: f64, to: f64, features: &[(f64, f64)]) -> f64 {
    let (middle, half) = (f64::midpoint(from, to), (to - from) / 2.0);
    let coarse =
        |&(energy, scale): &(f64, f64)| 2.0 * half > scale && (energy - middle).abs() < 3.0 * half;
    if features.iter().any(coarse) {
        let part = |from, to| integral(density, from, to, features);
        return part(from, middle) + part(middle, to);
    }
    let pair = |(x, weight)| weight * (density(middle - x * half) + density(middle + x * half));
    half * GAUSS.into_iter().map(pair).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    fn ln_factor(oxide: (f64, f64, f64), field: f64, temperature_k: f64) -> f64 {
        let barrier = Barrier::new(oxide.0, oxide.1, oxide.2).unwrap();
        barrier.ln_thermal_factor(field, temperature_k)
    }

    #[test]
    fn factors_match_thirty_digit_quadrature() {
        // (height, thickness, mass), field, temperature: ln(<T> / T(0)) by mpmath, 30 digits.
        for (oxide, field, temperature, expected) in [
            ((3.1, 2.0, 0.42), 0.0, 300.0, 0.016_394_110_954_381_1),
            ((3.1, 2.0, 0.42), 1.0, 300.0, 0.026_232_897_776_704_2),
            ((3.1, 2.0, 0.42), 3.0, 300.0, 0.016_024_232_301_349_6),
            ((3.1, 8.0, 0.42), 0.5, 400.0, 1.373_568_560_180_56),
            ((3.1, 8.0, 0.42), 0.1, 1000.0, 52.274_457_293_872_5),
            ((1.5, 4.0, 0.2), 0.3, 600.0, 0.804_269_706_087_693),
            ((0.5, 3.0, 0.3), 0.1, 1500.0, 6.689_432_319_530_76),
            ((3.1, 1.2, 0.42), 0.8, 2000.0, 0.446_860_196_555_783),
            ((3.1, 4.5, 0.42), 0.0, 1.0, 8.963_161_567_919_49e-7),
            ((0.2, 0.5, 0.1), 0.0, 2000.0, 0.178_179_082_526_408),
            ((3.1, 8.0, 0.42), 20.0, 300.0, 2.719_156_017_688_91e-4),
            ((0.01, 0.1, 0.1), 0.01, 2000.0, -0.039_396_400_071_474_2),
        ] {
            let actual = ln_factor(oxide, field, temperature);
            assert_relative_eq!(actual, expected, epsilon = 1e-12, max_relative = 1e-12);
            assert_eq!(ln_factor(oxide, -field, temperature), actual);
        }
    }

    #[test]
    fn linear_logarithm_gives_murphy_and_good() {
        // The exponent of 2416 bends so little within kT that its slope is all that counts.
        let c = 1.5 * 2416.0 / 3.1;
        for temperature_k in [0.5, 1.0, 2.0, 3.0, 4.0] {
            let x = std::f64::consts::PI * c * BOLTZMANN_EV_PER_K * temperature_k;
            let actual = ln_factor((3.1, 1000.0, 0.42), 0.01, temperature_k);
            assert_relative_eq!(actual, (x / x.sin()).ln(), max_relative = 4e-3);
        }
    }

    #[test]
    fn opaque_gives_the_fermi_tail() {
        // 10 µm of oxide let nothing tunnel: the Fermi function at the top is all that passes.
        let exponent = 2.0 * KAPPA_PER_NM * (0.42 * 0.5_f64).sqrt() * 1e4;
        for temperature_k in [500.0, 1000.0, 2000.0] {
            let fermi = 1.0 / (1.0 + (0.5 / (BOLTZMANN_EV_PER_K * temperature_k)).exp());
            let actual = ln_factor((0.5, 1e4, 0.42), 0.0, temperature_k);
            assert_relative_eq!(actual, exponent + fermi.ln(), epsilon = 2e-8);
        }
    }

    #[test]
    fn absolute_zero_is_where_the_factor_starts() -> Result<(), PhysicsError> {
        let oxide = Barrier::sio2(4.5)?;
        for cold in [0.0, 1e-300, 1e-9] {
            assert_eq!(oxide.thermal_factor(0.3, cold), Ok(1.0));
        }
        // Sommerfeld's expansion, 1 + (pi kT)² / 6 · T''(0) / T(0), of ln T = -s sqrt(1 - E / phi).
        let s = oxide.wkb_exponent(0.0);
        let curvature = (s * s + s) / (4.0 * 3.1 * 3.1);
        let squared = (std::f64::consts::PI * BOLTZMANN_EV_PER_K * 10.0).powi(2);
        let actual = ln_factor((3.1, 4.5, 0.42), 0.0, 10.0).exp_m1();
        // The next term is 6e-5 of it.
        assert_relative_eq!(actual, squared / 6.0 * curvature, max_relative = 1e-4);
        Ok(())
    }

    #[test]
    fn factors_beyond_the_largest_number_are_cut() -> Result<(), PhysicsError> {
        assert_eq!(Barrier::sio2(1e4)?.thermal_factor(0.0, 300.0), Ok(f64::MAX));
        Ok(())
    }

    #[test]
    fn impossible_temperatures_and_fields_are_refused() -> Result<(), PhysicsError> {
        let oxide = Barrier::sio2(4.5)?;
        for bad in [-1.0, 1e4, f64::NAN, f64::INFINITY] {
            assert!(oxide.thermal_factor(0.0, bad).is_err(), "temperature {bad}");
        }
        for bad in [-21.0, f64::NAN, f64::INFINITY] {
            assert!(oxide.thermal_factor(bad, 300.0).is_err(), "field {bad}");
        }
        Ok(())
    }

    /// Anything a [`Barrier`] may be, evenly on a logarithmic scale.
    fn any_barrier() -> impl Strategy<Value = Barrier> {
        let decades = (-3.0..2.0, -3.0..4.0, -3.0..2.0_f64);
        decades.prop_map(|(height, thickness, mass): (f64, f64, f64)| {
            let [height, thickness, mass] = [height, thickness, mass].map(|x| 10.0_f64.powf(x));
            Barrier::new(height, thickness, mass).unwrap()
        })
    }

    proptest! {
        #[test]
        fn the_average_is_a_probability_that_field_lifts_and_thickness_lowers(
            barrier in any_barrier(), field in 0.0..20.0, kelvin in 0.0..2000.0,
            less in 0.0..1.0_f64,
        ) {
            let ln_average = |barrier: &Barrier, field| {
                barrier.ln_thermal_factor(field, kelvin) - barrier.wkb_exponent(field)
            };
            let average = ln_average(&barrier, field);
            // An exponent of 1e7 has lost seven digits before it is exponentiated.
            let rounding = 1e-12 + 1e-15 * barrier.wkb_exponent(0.0);
            let over_the_top = -(barrier.height_ev() / (BOLTZMANN_EV_PER_K * kelvin)).exp().ln_1p();
            prop_assert!(over_the_top - rounding <= average && average <= rounding);
            prop_assert!(ln_average(&barrier, field * less) <= average + rounding);
            let thinner = (barrier.thickness_nm() * less).max(0.001);
            let thinner = barrier.with_thickness_nm(thinner).unwrap();
            prop_assert!(average <= ln_average(&thinner, field) + rounding);
        }

        #[test]
        fn warmth_adds_to_what_an_opaque_barrier_lets_through(
            height in 0.5..10.0, thickness in 1.0..100.0, mass in 0.2..1.0, field in 0.0..1.0,
            low in 0.0..2000.0, high in 0.0..2000.0,
        ) {
            let [cool, warm] = [f64::min(low, high), f64::max(low, high)]
                .map(|kelvin| ln_factor((height, thickness, mass), field, kelvin));
            prop_assert!(-1e-12 <= cool && cool <= warm + 1e-12);
        }
    }
}
