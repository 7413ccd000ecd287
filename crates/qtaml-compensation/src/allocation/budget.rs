//! Budgets and targets, and the best allocation for one.

use serde::{Deserialize, Serialize};

use super::{AllocationProblem, GreedyPath, MOST_STATES, Solution, exact};
use crate::AllocationError;

/// What may be spent, or what must be reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Budget {
    /// So many bits.
    Bits(u64),
    /// This share of all stored weight bits.
    Share(f64),
    /// As many bits as bring the predicted output noise down to this: the first allocation on the
    /// optimal path that does.
    Noise(f64),
}

impl Budget {
    /// The best allocation for groups whose weights take so many bits in the memory.
    ///
    /// It is the optimum, up to the gap that [`exact`] leaves after [`MOST_STATES`] partial
    /// solutions. That of [`Noise`](Self::Noise) is one for what it costs; to get there for less
    /// may be possible between two steps of the path.
    ///
    /// # Errors
    /// [`AllocationError::BudgetShare`] for a share that is negative, NaN or infinite,
    /// [`AllocationError::Noise`] for noise that full protection exceeds, and
    /// [`AllocationError::Budget`] if not even the cheapest candidates fit.
    pub fn solve(
        self,
        groups: &AllocationProblem,
        weight_bits: u64,
    ) -> Result<Solution, AllocationError> {
        match self {
            Self::Bits(bits) => exact(groups, bits, MOST_STATES),
            Self::Share(share) if share >= 0.0 && share.is_finite() => {
                exact(groups, (share * weight_bits as f64) as u64, MOST_STATES)
            }
            Self::Share(share) => Err(AllocationError::BudgetShare(share)),
            Self::Noise(noise) => first_below(groups, noise),
        }
    }
}

fn first_below(groups: &AllocationProblem, noise: f64) -> Result<Solution, AllocationError> {
    let path = GreedyPath::optimal(groups);
    let found = (0..path.len()).find(|&step| path.distortion(step) <= noise);
    let range = |step| path.distortion(step);
    let step = found.ok_or_else(|| AllocationError::Noise {
        noise,
        least: range(path.len() - 1),
        most: range(0),
    })?;
    let allocation = path.at(step);
    Ok(Solution { lower_bound: allocation.distortion(), allocation, proven: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::Candidate;

    fn problem() -> AllocationProblem {
        let mut groups = AllocationProblem::default();
        for (name, weights, score) in [("a", 100, 100.0), ("b", 300, 1.0)] {
            let by_protected: Vec<f64> = (0..=8).map(|k| score * 0.25_f64.powi(k)).collect();
            groups.push(name, Candidate::top_bits(weights, &by_protected)).unwrap();
        }
        groups
    }

    #[test]
    fn a_share_is_of_all_bits() {
        let problem = problem();
        let share = Budget::Share(0.25).solve(&problem, 3200).unwrap();
        assert_eq!(share, Budget::Bits(800).solve(&problem, 3200).unwrap());
        assert!(share.allocation.cost() <= 800);
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let error = Budget::Share(bad).solve(&problem, 3200).unwrap_err();
            assert!(matches!(error, AllocationError::BudgetShare(_)), "{error}");
        }
    }

    #[test]
    fn noise_is_brought_down_to_what_is_asked() {
        let problem = problem();
        for wanted in [50.0, 1.0, 0.01] {
            let found = Budget::Noise(wanted).solve(&problem, 3200).unwrap();
            assert!(found.allocation.distortion() <= wanted && found.proven);
        }
        for bad in [-1.0, 1e-9, f64::NAN] {
            let error = Budget::Noise(bad).solve(&problem, 3200).unwrap_err();
            assert!(matches!(error, AllocationError::Noise { .. }), "{error}");
        }
    }
}
