//! The saturation ratio: how much less a budget laid out by response needs than a uniform one.

use crate::AllocationError;
use crate::allocation::{GreedyPath, WaterFilling};

/// `ρ*(τ) = B_uniform(τ) / B_TAC(τ)` of discrete predicted curves (ours).
///
/// The budgets are those at which the output noise of each path has fallen to `noise`, read along
/// its lower convex hull ([`GreedyPath::budget_for`]). If both paths are over the same groups it is 1 at
/// least. Where no bit is needed at all it is 1.
///
/// The source says of its saturation ratio that it is closed-form and predicts the gain before any
/// simulation; its formula is not in the abstract.
///
/// # Errors
/// [`AllocationError::Noise`] if one of the paths never gets down to `noise`.
pub fn rho_star_exact(
    uniform: &GreedyPath<'_>,
    optimal: &GreedyPath<'_>,
    noise: f64,
) -> Result<f64, AllocationError> {
    Ok(ratio(uniform.budget_for(noise)?, optimal.budget_for(noise)?))
}

/// `ρ*(τ)` in closed form, from scores and sizes alone (ours).
///
/// # Formula
/// `N log4(S / τ)` over the cost of [`WaterFilling::for_noise`], with `S = Σ S_l` the noise without
/// protection. Where no unit is at 0 or at the cap the latter is `N log4(S / τ)` less
/// [`bits_saved`].
///
/// ```
/// use qtaml_compensation::allocation::{Source, WaterFilling};
/// use qtaml_compensation::rho_star;
///
/// let sources = [Source { score: 64.0, weights: 1 }, Source { score: 1.0, weights: 1 }];
/// let water = WaterFilling::new(&sources, 8.0)?;
/// // The first unit alone needs three bits; both need log4(65/2) = 2.51 each.
/// assert!((rho_star(&water, 2.0)? - 2.0 * 32.5_f64.log(4.0) / 3.0).abs() < 1e-12);
/// # Ok::<(), qtaml_compensation::AllocationError>(())
/// ```
///
/// # Errors
/// [`AllocationError::Noise`] if `noise` is not between what the cap leaves and what there is.
pub fn rho_star(water: &WaterFilling, noise: f64) -> Result<f64, AllocationError> {
    Ok(ratio(water.uniform_cost(noise)?, water.for_noise(noise)?.cost))
}

/// By how many bits a uniform budget is larger, once it is large (ours).
///
/// # Formula
/// `B_uniform - B_TAC = N log4(AM / GM)` with the coding gain of [`WaterFilling::coding_gain`]:
/// exact as soon as every unit has some bits, and as long as none is at the cap. So
/// `ρ*(τ) = 1 / (1 - log4(AM / GM) / log4(S / τ))`, which tends to 1 for large budgets.
pub fn bits_saved(water: &WaterFilling) -> f64 {
    water.weights() * water.coding_gain().log(4.0)
}

/// Rounding must not make the better budget the larger one.
fn ratio(uniform: f64, optimal: f64) -> f64 {
    if uniform <= optimal { 1.0 } else { uniform / optimal }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;
    use crate::allocation::testing::sources;
    use crate::allocation::{AllocationProblem, Candidate, Source};

    /// The cap in the curves of whole bits.
    const BITS: i32 = 20;

    /// `S 4^-k` for whole `k`.
    fn units_of(sources: &[Source]) -> AllocationProblem {
        let mut groups = AllocationProblem::default();
        for (i, Source { score, weights }) in sources.iter().enumerate() {
            let curve: Vec<f64> = (0..=BITS).map(|k| score * 4_f64.powi(-k)).collect();
            groups.push(format!("{i}"), Candidate::top_bits(*weights, &curve)).unwrap();
        }
        groups
    }

    proptest! {
        #[test]
        fn never_below_one(sources in sources(), share in 0.0_f64..=1.0) {
            let water = WaterFilling::new(&sources, 8.0).unwrap();
            let (least, most) = (water.least_noise(), water.most_noise());
            let noise = (least * (most / least).powf(share)).clamp(least, most);
            let [uniform, optimal] =
                [water.uniform_cost(noise).unwrap(), water.for_noise(noise).unwrap().cost];
            prop_assert!(uniform >= optimal * (1.0 - 1e-9) - 1e-6, "{uniform} < {optimal}");

            let groups = units_of(&sources);
            let [uniform, optimal] = [GreedyPath::uniform(&groups), GreedyPath::optimal(&groups)]
                .map(|path| path.budget_for(noise).unwrap());
            prop_assert!(uniform >= optimal * (1.0 - 1e-9) - 1e-6, "{uniform} < {optimal}");
        }

        /// At a noise so small that every unit has some bits, and a cap that none reaches.
        #[test]
        fn the_large_budget_law_is_the_coding_gain(sources in sources(), depth in 1.0_f64..100.0) {
            let water = WaterFilling::new(&sources, 200.0).unwrap();
            let density = |s: &Source| s.score / s.weights as f64;
            let least = sources.iter().map(density).fold(f64::INFINITY, f64::min);
            let noise = least * water.weights() / depth;
            let saved = water.uniform_cost(noise).unwrap() - water.for_noise(noise).unwrap().cost;
            let n = water.weights();
            assert_relative_eq!(saved, bits_saved(&water), epsilon = 1e-9 * n * 200.0);
            let uniform = (water.most_noise() / noise).log(4.0);
            let theory = 1.0 / (1.0 - water.coding_gain().log(4.0) / uniform);
            prop_assert!((rho_star(&water, noise).unwrap() / theory - 1.0).abs() < 1e-6);
        }

        #[test]
        fn alike_units_gain_nothing(
            weights in prop::collection::vec(1_usize..1000, 1..10), share in 0.01_f64..0.99,
        ) {
            let alike = |&weights: &usize| Source { score: 3.0 * weights as f64, weights };
            let alike: Vec<Source> = weights.iter().map(alike).collect();
            let water = WaterFilling::new(&alike, 8.0).unwrap();
            let noise = water.least_noise().powf(1.0 - share) * water.most_noise().powf(share);
            assert_relative_eq!(rho_star(&water, noise).unwrap(), 1.0, max_relative = 1e-9);
            assert_relative_eq!(water.coding_gain(), 1.0, max_relative = 1e-12);
        }

        /// Whole bits, shared among weights along the hull, cost at most as much more as the chord
        /// of `4^-k` between whole numbers lies above it: 0.169 bits a weight. Real bits cost no
        /// more.
        #[test]
        fn whole_bits_cost_little_more(sources in sources(), share in 0.05_f64..0.95) {
            let water = WaterFilling::new(&sources, f64::from(BITS)).unwrap();
            let groups = units_of(&sources);
            let noise = water.least_noise().powf(1.0 - share) * water.most_noise().powf(share);
            let slack = 1e-6 * water.weights();
            for (whole, real) in [
                (GreedyPath::optimal(&groups), water.for_noise(noise).unwrap().cost),
                (GreedyPath::uniform(&groups), water.uniform_cost(noise).unwrap()),
            ] {
                let more = whole.budget_for(noise).unwrap() - real;
                prop_assert!(more >= -slack && more <= 0.169 * water.weights() + slack, "{}", more);
            }
        }
    }

    #[test]
    fn without_need_there_is_no_gain() {
        let sources = [Source { score: 64.0, weights: 1 }, Source { score: 1.0, weights: 1 }];
        let groups = units_of(&sources);
        let water = WaterFilling::new(&sources, 8.0).unwrap();
        assert_eq!(rho_star(&water, 65.0).unwrap(), 1.0);
        let [uniform, optimal] = [GreedyPath::uniform(&groups), GreedyPath::optimal(&groups)];
        assert_eq!(rho_star_exact(&uniform, &optimal, 65.0).unwrap(), 1.0);
        assert!(
            rho_star(&water, 66.0).is_err() && rho_star_exact(&uniform, &optimal, 0.0).is_err()
        );
    }
}
