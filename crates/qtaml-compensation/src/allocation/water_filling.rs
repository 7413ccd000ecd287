//! Reverse water-filling: the allocation in closed form, for noise that falls by one factor a bit.

use std::f64::consts::LN_2;

use crate::AllocationError;

const LN_4: f64 = 2.0 * LN_2;

/// A group whose noise is `S 4^-k` with `k` bits for each of its `n` weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source {
    /// The noise `S` without any bit; 0 for a group that does not matter.
    pub score: f64,
    /// The number of weights `n`.
    pub weights: usize,
}

/// Water-filling over groups: real numbers of bits, from 0 to a cap.
///
/// It is the idealised allocation problem: bits need not be whole, and every bit lowers the noise
/// of its group to a quarter, as for two's complement without the constant `1` of `(4^(b-k) - 1) /
/// 3`. So full protection leaves `4^-b` of the noise here and nothing there.
///
/// # Formula
/// `k_l = log4((S_l / n_l) / θ)`, no less than 0 and no more than the cap: every group that has some
/// bits and could have more is left with the same noise `θ` per weight. The *level* `θ` is
/// determined by the budget or by the noise. This is reverse water-filling (T. M. Cover and
/// J. A. Thomas, Elements of Information Theory, section 10.3.3 of the second edition) with weights
/// and a cap.
///
/// ```
/// use qtaml_compensation::allocation::{Source, WaterFilling};
///
/// let sources = [Source { score: 64.0, weights: 1 }, Source { score: 1.0, weights: 1 }];
/// let filling = WaterFilling::new(&sources, 8.0)?.for_budget(3.0)?;
/// // Up to three bits the first is worth more; it has then fallen from 64 to 1.
/// assert!((filling.bits[0] - 3.0).abs() < 1e-12 && filling.bits[1].abs() < 1e-12);
/// assert!((filling.noise - 2.0).abs() < 1e-12);
/// # Ok::<(), qtaml_compensation::AllocationError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WaterFilling {
    sources: Vec<Source>,
    most_bits: f64,
    /// Logarithms of the levels at which a group begins to have bits or reaches the cap, rising.
    levels: Vec<f64>,
}

/// How full the groups are.
#[derive(Debug, Clone, PartialEq)]
pub struct Filling {
    /// Bits per weight of each group.
    pub bits: Vec<f64>,
    /// Bits in all, `Σ n_l k_l`.
    pub cost: f64,
    /// Noise in all, `Σ S_l 4^-k_l`.
    pub noise: f64,
}

impl WaterFilling {
    /// The problem for these groups and a cap in bits per weight.
    ///
    /// # Errors
    /// [`AllocationError::Source`] for a group without weights, a score that is negative, NaN or
    /// infinite, or scores whose sum is; [`AllocationError::MostBits`] for a cap that is not
    /// positive and finite.
    pub fn new(sources: &[Source], most_bits: f64) -> Result<Self, AllocationError> {
        if !(most_bits > 0.0 && most_bits.is_finite()) {
            return Err(AllocationError::MostBits(most_bits));
        }
        let mut total = 0.0;
        for (index, &Source { score, weights }) in sources.iter().enumerate() {
            total += score;
            if weights == 0 || !(score >= 0.0 && total.is_finite()) {
                return Err(AllocationError::Source { index, score, weights });
            }
        }
        let begins = sources.iter().filter(|s| s.score > 0.0).map(Source::log_density);
        let mut levels: Vec<f64> = begins.flat_map(|l| [l, l - most_bits * LN_4]).collect();
        levels.sort_unstable_by(f64::total_cmp);
        Ok(Self { sources: sources.to_vec(), most_bits, levels })
    }

    /// The least noise for a budget in bits. More than all caps are not spent.
    ///
    /// # Errors
    /// [`AllocationError::Bits`] for a budget that is negative or NaN.
    pub fn for_budget(&self, budget: f64) -> Result<Filling, AllocationError> {
        if budget.is_nan() || budget < 0.0 {
            return Err(AllocationError::Bits(budget));
        }
        let cost = |level| self.cost(level);
        // Between two levels the cost is linear in the logarithm of the level.
        let above = self.levels.partition_point(|&level| cost(level) > budget);
        let Some(&upper) = self.levels.get(above) else { return Ok(self.at(f64::INFINITY)) };
        let Some(&lower) = above.checked_sub(1).map(|i| &self.levels[i]) else {
            return Ok(self.at(upper));
        };
        let share = (budget - cost(upper)) / (cost(lower) - cost(upper));
        Ok(self.at(upper + share * (lower - upper)))
    }

    /// The least bits that bring the noise down to `noise`.
    ///
    /// # Errors
    /// [`AllocationError::Noise`] outside `least_noise..=most_noise`, or for NaN.
    pub fn for_noise(&self, noise: f64) -> Result<Filling, AllocationError> {
        self.check_noise(noise)?;
        // Between two levels the noise is linear in the level.
        let above = self.levels.partition_point(|&level| self.noise(level) < noise);
        let Some(&upper) = self.levels.get(above) else { return Ok(self.at(f64::INFINITY)) };
        let Some(&lower) = above.checked_sub(1).map(|i| &self.levels[i]) else {
            return Ok(self.at(upper));
        };
        let [below, over] = [lower, upper].map(|level| self.noise(level));
        let share = (noise - below) / (over - below);
        let ratio = (lower - upper).exp();
        Ok(self.at(upper + (ratio + share * (1.0 - ratio)).ln()))
    }

    /// The bits that bring the noise down to `noise` if every weight has the same number:
    /// `N log4(Σ S_l / noise)`.
    ///
    /// # Errors
    /// As [`for_noise`](Self::for_noise).
    pub fn uniform_cost(&self, noise: f64) -> Result<f64, AllocationError> {
        self.check_noise(noise)?;
        if self.most_noise() == 0.0 {
            return Ok(0.0);
        }
        let bits = (self.most_noise() / noise).ln() / LN_4;
        Ok(self.weights() * bits.clamp(0.0, self.most_bits))
    }

    /// The coding gain `AM / GM` of the scores per weight, with the weights counted: 1 if all groups
    /// are alike, infinite if one does not matter.
    ///
    /// # Formula
    /// `AM = Σ S_l / N`, `GM = exp(Σ (n_l / N) ln(S_l / n_l))`, `N = Σ n_l`. In transform coding it
    /// is the gain of giving each coefficient its own bits (N. S. Jayant and P. Noll, Digital
    /// Coding of Waveforms, Prentice-Hall, 1984).
    pub fn coding_gain(&self) -> f64 {
        if self.most_noise() == 0.0 {
            return 1.0;
        }
        let weights = self.weights();
        let log = |s: &Source| s.weights as f64 / weights * s.log_density();
        let log_geometric: f64 = self.sources.iter().map(log).sum();
        ((self.most_noise() / weights).ln() - log_geometric).exp().max(1.0)
    }

    /// The number of weights `N`.
    pub fn weights(&self) -> f64 {
        self.sources.iter().map(|s| s.weights as f64).sum()
    }

    /// The noise without any bit.
    pub fn most_noise(&self) -> f64 {
        self.sources.iter().map(|s| s.score).sum()
    }

    /// The noise with all bits that the cap allows.
    pub fn least_noise(&self) -> f64 {
        self.most_noise() * (-self.most_bits * LN_4).exp()
    }

    fn check_noise(&self, noise: f64) -> Result<(), AllocationError> {
        let (least, most) = (self.least_noise(), self.most_noise());
        if (least..=most).contains(&noise) {
            Ok(())
        } else {
            Err(AllocationError::Noise { noise, least, most })
        }
    }

    fn bits(&self, source: &Source, log_level: f64) -> f64 {
        ((source.log_density() - log_level) / LN_4).clamp(0.0, self.most_bits)
    }

    fn cost(&self, log_level: f64) -> f64 {
        self.sources.iter().map(|s| s.weights as f64 * self.bits(s, log_level)).sum()
    }

    fn noise(&self, log_level: f64) -> f64 {
        let noise = |s: &Source| s.score * (-self.bits(s, log_level) * LN_4).exp();
        self.sources.iter().map(noise).sum()
    }

    fn at(&self, log_level: f64) -> Filling {
        let bits = self.sources.iter().map(|s| self.bits(s, log_level)).collect();
        Filling { bits, cost: self.cost(log_level), noise: self.noise(log_level) }
    }
}

impl Source {
    /// `ln(S / n)`.
    fn log_density(&self) -> f64 {
        self.score.ln() - (self.weights as f64).ln()
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;
    use crate::allocation::bisect;
    use crate::allocation::testing::sources;

    proptest! {
        #[test]
        fn budget_and_noise_lead_back(sources in sources(), share in 0.0_f64..=1.0) {
            let water = WaterFilling::new(&sources, 8.0).unwrap();
            let budget = share * 8.0 * water.weights();
            let filling = water.for_budget(budget).unwrap();
            assert_relative_eq!(filling.cost, budget, max_relative = 1e-9, epsilon = 1e-6);
            prop_assert!(filling.bits.iter().all(|k| (0.0..=8.0).contains(k)));
            // A little more noise needs no more bits, and a little less no fewer.
            let (least, most) = (water.least_noise(), water.most_noise());
            let (less, more) = (filling.noise * (1.0 - 1e-9), filling.noise * (1.0 + 1e-9));
            let cost = |noise| water.for_noise(noise).unwrap().cost;
            let slack = 1e-9 * budget + 1e-6;
            prop_assert!(cost(more.clamp(least, most)) <= budget + slack);
            prop_assert!(less < least || cost(less) >= budget - slack);
        }

        /// The conditions of Karush, Kuhn and Tucker, which the optimum of a convex problem alone
        /// meets: no bit is worth more elsewhere.
        #[test]
        fn no_bit_is_worth_more_elsewhere(sources in sources(), share in 0.01_f64..0.99) {
            let water = WaterFilling::new(&sources, 8.0).unwrap();
            let filling = water.for_budget(share * 8.0 * water.weights()).unwrap();
            let worth = |(s, k): (&Source, &f64)| s.score / s.weights as f64 * 4_f64.powf(-k);
            let groups = || sources.iter().zip(&filling.bits);
            let best_buy = groups().filter(|(_, k)| **k < 8.0).map(worth).fold(0.0, f64::max);
            let worst_sale = groups().filter(|(_, k)| **k > 0.0).map(worth).fold(f64::MAX, f64::min);
            prop_assert!(best_buy <= worst_sale * (1.0 + 1e-9), "{} > {}", best_buy, worst_sale);
        }

        /// The level between two kinks against plain bisection for it.
        #[test]
        fn the_level_is_that_of_bisection(sources in sources(), share in 0.01_f64..0.99) {
            let water = WaterFilling::new(&sources, 8.0).unwrap();
            let budget = share * 8.0 * water.weights();
            let (_, level) = bisect(0.0, f64::MAX, |level| water.cost(level.ln()) <= budget);
            let expected = water.at(level.ln());
            let found = water.for_budget(budget).unwrap();
            assert_relative_eq!(found.noise, expected.noise, max_relative = 1e-9);
        }
    }

    #[test]
    fn what_does_not_matter_gets_nothing() {
        let sources = [Source { score: 0.0, weights: 5 }, Source { score: 1.0, weights: 5 }];
        let water = WaterFilling::new(&sources, 8.0).unwrap();
        assert_eq!(water.for_budget(80.0).unwrap().bits, [0.0, 8.0]);
        for bad in [-1.0, f64::NAN] {
            let error = water.for_budget(bad).unwrap_err();
            assert!(matches!(error, AllocationError::Bits(_)), "{error}");
        }
        assert_eq!(water.coding_gain(), f64::INFINITY);
        let nothing = WaterFilling::new(&sources[..1], 8.0).unwrap();
        assert_eq!(nothing.for_budget(80.0).unwrap().bits, [0.0]);
        assert_eq!(nothing.for_noise(0.0).unwrap().cost, 0.0);
        assert_eq!(nothing.uniform_cost(0.0).unwrap(), 0.0);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let source = |score, weights| [Source { score, weights }];
        for bad in [source(1.0, 0), source(-1.0, 1), source(f64::NAN, 1), source(f64::INFINITY, 1)]
        {
            assert!(WaterFilling::new(&bad, 8.0).is_err());
        }
        for bad in [0.0, f64::NAN, f64::INFINITY] {
            assert!(WaterFilling::new(&source(1.0, 1), bad).is_err());
        }
        let water = WaterFilling::new(&source(1.0, 1), 1.0).unwrap();
        for bad in [0.2499, 1.0001, f64::NAN] {
            assert!(water.for_noise(bad).is_err() && water.uniform_cost(bad).is_err());
        }
    }
}
