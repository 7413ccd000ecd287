//! Temperature: warm electrons stand higher against the barrier, hot ones pass over it.

use crate::barrier::Barrier;
use crate::cell::FIELD_V_PER_NM;
use crate::constants::{BOLTZMANN_EV_PER_K, KAPPA_PER_NM};
use crate::error::{PhysicsError, checked};
use std::ops::RangeInclusive;

/// Allowed temperatures, in K: silicon dioxide melts at about 1990 K.
pub(crate) const TEMPERATURE_K: RangeInclusive<f64> = 0.0..=2000.0;
/// Energies at which the density has fallen by `exp(-40)` are left out.
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
    /// # Formula
    ///
    /// `∫ T(E) · kT ln(1 + exp(-E / kT)) dE / ∫_{E<0} T(E) · (-E) dE`
    ///
    /// with `E` counted from the emitter's Fermi level, which is where the height of the barrier
    /// is counted from, and `T(E)` the WKB transmission of a barrier lower by `E`, 1 above its
    /// top. The weight is the free-electron supply at a given energy of the motion towards the
    /// barrier. The emitter's band is taken to reach deeper than any electron that contributes,
    /// and the collector to be empty. The relative error is about 1e-11, or 1e-15 times the WKB
    /// exponent where that is more.
    ///
    /// Where `ln T` is linear in `E` with slope `c`, it is `pi c kT / sin(pi c kT)`; where nothing
    /// tunnels, the upper integral is Richardson's `(kT)² exp(-phi / kT)`.
    ///
    /// Source: W. W. Dolan and W. P. Dyke, Phys. Rev. 95, 327 (1954) for the integral; E. L. Murphy
    /// and R. H. Good, Phys. Rev. 102, 1464 (1956) for its limits.
    ///
    /// ```
    /// # use qtaml_physics::Barrier;
    /// let oxide = Barrier::sio2(4.5)?;
    /// assert_eq!(oxide.thermal_factor(0.0, 0.0)?, 1.0);
    /// assert!((oxide.thermal_factor(0.0, 300.0)? - 1.08).abs() < 0.01);
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
        let field_v_per_nm = field_v_per_nm.abs();
        let flow = |thermal_ev| Flow { barrier: self, field_v_per_nm, thermal_ev }.ln_total();
        flow(thermal_ev) - flow(0.0)
    }
}

/// What passes a barrier, by energy.
struct Flow<'a> {
    barrier: &'a Barrier,
    field_v_per_nm: f64,
    thermal_ev: f64,
}

impl Flow<'_> {
    /// The logarithm of all that passes, in units of what one electron at the Fermi level would.
    fn ln_total(&self) -> f64 {
        let edges = self.edges();
        let densities = edges.iter().map(|&energy| self.ln_density(energy));
        // What the exponentials are scaled by, lest they overflow.
        let peak = densities.fold(f64::NEG_INFINITY, f64::max);
        let panel = |from: f64, to: f64| {
            let (middle, half) = (f64::midpoint(from, to), (to - from) / 2.0);
            let density = |energy| (self.ln_density(energy) - peak).exp();
            let pair =
                |(x, weight)| weight * (density(middle - x * half) + density(middle + x * half));
            half * GAUSS.into_iter().map(pair).sum::<f64>()
        };
        peak + edges.windows(2).map(|edge| panel(edge[0], edge[1])).sum::<f64>().ln()
    }

    /// Where to cut the energies so that a polynomial fits the density in between.
    ///
    /// The panels double with the distance from each energy at which the density peaks or is not
    /// smooth: then none is wider than its distance from the next singularity, and no peak falls
    /// between the nodes.
    fn edges(&self) -> Vec<f64> {
        let height = self.barrier.height_ev();
        let tunneling_ev = height / self.exponent(height);
        let (unit, top) = if self.thermal_ev > 0.0 {
            (self.thermal_ev.min(tunneling_ev), height + NEGLIGIBLE * self.thermal_ev)
        } else {
            (tunneling_ev, 0.0)
        };
        let doubling = |from: f64| std::iter::successors(Some(from), |width| Some(2.0 * width));
        let lost = |depth: &f64| self.ln_gain(-depth) < -NEGLIGIBLE;
        let bottom = -doubling(unit).find(lost).unwrap_or(f64::MAX);

        let drop_ev = self.field_v_per_nm * self.barrier.thickness_nm();
        // Where the growing transmission of a triangle balances the falling supply.
        let balance = self.field_v_per_nm / (2.0 * self.kappa() * self.thermal_ev);
        let around = |centre: f64, finest: f64| {
            let widths = doubling(finest).take_while(move |&width| width < top - bottom);
            widths.flat_map(move |width| [centre - width, centre + width]).chain([centre])
        };
        let singular = 1e-9 * unit;
        let mut edges: Vec<f64> = around(0.0, unit)
            .chain(around(height, singular))
            .chain(around(height - drop_ev, singular))
            .chain(around(height - balance * balance, unit))
            .filter(|energy| (bottom..top).contains(energy))
            .chain([bottom, top])
            .collect();
        edges.sort_by(f64::total_cmp);
        edges
    }

    /// The logarithm of transmission times supply at `energy_ev`.
    fn ln_density(&self, energy_ev: f64) -> f64 {
        self.ln_gain(energy_ev) + self.ln_supply(energy_ev)
    }

    /// How the logarithm of the transmission exceeds that at the Fermi level.
    fn ln_gain(&self, energy_ev: f64) -> f64 {
        let height = self.barrier.height_ev();
        self.exponent(height) - self.exponent(height - energy_ev)
    }

    /// The logarithm of `kT ln(1 + exp(-E / kT))`, which tends to `max(0, -E)` as it gets cold.
    fn ln_supply(&self, energy_ev: f64) -> f64 {
        let x = energy_ev / self.thermal_ev;
        if self.thermal_ev == 0.0 {
            (-energy_ev).max(0.0).ln()
        } else if x > NEGLIGIBLE {
            self.thermal_ev.ln() - x
        } else {
            (self.thermal_ev * ((-x).max(0.0) + (-x.abs()).exp().ln_1p())).ln()
        }
    }

    /// [`Barrier::wkb_exponent`] of the same oxide with a top `height_ev` above the electron, which
    /// here may be outside the range of a [`Barrier`].
    fn exponent(&self, height_ev: f64) -> f64 {
        if height_ev <= 0.0 {
            return 0.0;
        }
        let thickness = self.barrier.thickness_nm();
        let width = thickness.min(height_ev / self.field_v_per_nm);
        let height_left = (1.0 - self.field_v_per_nm * thickness / height_ev).max(0.0);
        let tilt = 1.0 + height_left / (1.0 + height_left.sqrt());
        4.0 / 3.0 * self.kappa() * height_ev.sqrt() * width * tilt
    }

    /// Decay constant 1 eV below the top, in 1/nm.
    fn kappa(&self) -> f64 {
        KAPPA_PER_NM * self.barrier.mass_ratio().sqrt()
    }
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
        // (height, thickness, mass), field, temperature: ln of the ratio of both integrals by
        // mpmath, 30 digits.
        for (oxide, field, temperature, expected) in [
            ((3.1, 2.0, 0.42), 0.0, 300.0, 0.013_855_070_120_365),
            ((3.1, 2.0, 0.42), 1.0, 300.0, 0.021_005_346_805_548_4),
            ((3.1, 2.0, 0.42), 3.0, 300.0, 0.018_592_868_351_551),
            ((3.1, 8.0, 0.42), 0.5, 400.0, 1.429_452_279_324_73),
            ((3.1, 8.0, 0.42), 0.1, 1000.0, 52.908_432_921_880_7),
            ((1.5, 4.0, 0.2), 0.3, 600.0, 0.527_550_111_993_339),
            ((0.5, 3.0, 0.3), 0.1, 1500.0, 7.697_542_414_999_45),
            ((3.1, 1.2, 0.42), 0.8, 2000.0, 0.283_287_777_911_276),
            ((3.1, 4.5, 0.42), 0.0, 1.0, 8.312_953_950_005_2e-7),
            ((0.2, 0.5, 0.1), 0.0, 2000.0, 0.016_937_287_284_076_2),
            ((3.1, 8.0, 0.42), 20.0, 300.0, 5.853_601_870_044_77e-4),
            ((0.01, 0.1, 0.1), 0.01, 2000.0, 4.214_580_093_765_21e-5),
        ] {
            let actual = ln_factor(oxide, field, temperature);
            assert_relative_eq!(actual, expected, epsilon = 1e-11, max_relative = 1e-11);
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

    /// `∫_{E<0} T(E) (-E) dE / T(0)` of a flat barrier, by parts with `T = exp(-c sqrt(phi - E))`.
    fn flat_cold_total((height, thickness, mass): (f64, f64, f64)) -> f64 {
        let c = 2.0 * KAPPA_PER_NM * mass.sqrt() * thickness;
        let root = height.sqrt();
        4.0 * (root * root / c.powi(2) + 3.0 * root / c.powi(3) + 3.0 / c.powi(4))
    }

    #[test]
    fn hot_and_opaque_gives_richardson() {
        // 10 µm of oxide let nothing tunnel; over the top passes (kT)² (z - z²/4 + z³/9 - ...).
        let oxide @ (height, thickness, mass) = (0.5, 1e4, 0.42);
        for temperature_k in [500.0, 1000.0, 2000.0] {
            let thermal_ev = BOLTZMANN_EV_PER_K * temperature_k;
            let z = (-height / thermal_ev).exp();
            let series: f64 = (1..=20).map(|n| -(-z).powi(n) / f64::from(n * n)).sum();
            let exponent = 2.0 * KAPPA_PER_NM * (mass * height).sqrt() * thickness;
            let expected =
                exponent + 2.0 * thermal_ev.ln() + series.ln() - flat_cold_total(oxide).ln();
            assert_relative_eq!(ln_factor(oxide, 0.0, temperature_k), expected, epsilon = 2e-8);
        }
    }

    #[test]
    fn absolute_zero_is_where_the_factor_starts() -> Result<(), PhysicsError> {
        let oxide = Barrier::sio2(4.5)?;
        for cold in [0.0, 1e-300, 1e-9] {
            assert_eq!(oxide.thermal_factor(0.3, cold), Ok(1.0));
        }
        // Sommerfeld's expansion: (pi kT)² / 6 over the total at 0 K; the next term is 1e-4 of it.
        let squared = (std::f64::consts::PI * BOLTZMANN_EV_PER_K * 10.0).powi(2);
        let expected = squared / 6.0 / flat_cold_total((3.1, 4.5, 0.42));
        assert_relative_eq!(ln_factor((3.1, 4.5, 0.42), 0.0, 10.0), expected, max_relative = 1e-3);
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
        fn cold_flat_barriers_match_the_closed_form(barrier in any_barrier()) {
            let flow = Flow { barrier: &barrier, field_v_per_nm: 0.0, thermal_ev: 0.0 };
            let oxide = (barrier.height_ev(), barrier.thickness_nm(), barrier.mass_ratio());
            let expected = flat_cold_total(oxide).ln();
            // An exponent of 1e7 has lost seven digits before it is exponentiated.
            let lost = 1e-15 * barrier.wkb_exponent(0.0);
            assert_relative_eq!(flow.ln_total(), expected, epsilon = 1e-10 + lost);
        }

        #[test]
        fn the_exponent_is_that_of_the_barrier(barrier in any_barrier(), field in 0.0..20.0) {
            let flow = Flow { barrier: &barrier, field_v_per_nm: field, thermal_ev: 0.0 };
            let exponent = flow.exponent(barrier.height_ev());
            assert_relative_eq!(exponent, barrier.wkb_exponent(field), max_relative = 1e-13);
        }

        #[test]
        fn warmth_only_ever_adds(
            barrier in any_barrier(), field in -20.0..20.0, low in 0.0..2000.0, high in 0.0..2000.0,
        ) {
            let (cool, warm) = (f64::min(low, high), f64::max(low, high));
            let [cool, warm] = [cool, warm].map(|t| barrier.ln_thermal_factor(field, t));
            let rounding = 1e-10 + 1e-14 * barrier.wkb_exponent(field);
            prop_assert!(-rounding <= cool && cool <= warm + rounding && warm.is_finite());
        }
    }
}
