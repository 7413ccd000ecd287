//! Standard normal numbers.

use rand::{Rng, RngExt as _};

/// The next one (G. E. P. Box and M. E. Muller, Annals of Mathematical Statistics 29, 610, 1958).
pub fn standard_normal(rng: &mut impl Rng) -> f64 {
    let (u, turn): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
}

#[cfg(test)]
mod tests {
    use qtaml::fault::Seed;

    use super::*;

    /// Mean 0, variance 1 and kurtosis 3, each within five standard errors of 20,000 draws.
    #[test]
    fn moments_are_those_of_a_normal_distribution() {
        let mut rng = Seed(1).rng("normal", 0);
        let n = 20_000;
        let mut moments = [0.0; 4];
        for _ in 0..n {
            let x = standard_normal(&mut rng);
            (1..=4).for_each(|k| moments[k as usize - 1] += x.powi(k) / f64::from(n));
        }
        for (moment, expected, variance) in [
            (moments[0], 0.0, 1.0),
            (moments[1], 1.0, 2.0),
            (moments[2], 0.0, 15.0),
            (moments[3], 3.0, 96.0),
        ] {
            let error = 5.0 * (variance / f64::from(n)).sqrt();
            assert!((moment - expected).abs() < error, "{moments:?}");
        }
    }
}
