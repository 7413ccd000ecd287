//! An allocation: the selected candidates, their cost and their distortion.

use super::{AllocationProblem, Selection};
use crate::AllocationError;

/// One candidate for each group, what they cost and what they leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    selection: Selection,
    cost: u64,
    distortion: f64,
}

impl Allocation {
    /// The allocation of the candidate with index `selection[u]` to group `u`.
    ///
    /// # Errors
    /// [`AllocationError::Selection`] unless there is one index for each group and a candidate for each
    /// index.
    pub fn new(
        selection: impl Into<Selection>,
        groups: &AllocationProblem,
    ) -> Result<Self, AllocationError> {
        let selection = selection.into();
        let exists = |(&index, candidates): (&u32, &[_])| (index as usize) < candidates.len();
        if selection.len() == groups.len() && selection.iter().zip(groups.iter()).all(exists) {
            Ok(Self::of(selection, groups))
        } else {
            Err(AllocationError::Selection { given: selection.len(), groups: groups.len() })
        }
    }

    /// The same for indices that come from the groups themselves.
    pub(super) fn of(selection: impl Into<Selection>, groups: &AllocationProblem) -> Self {
        let selection = selection.into();
        let candidates =
            || (0..).zip(selection.iter()).map(|(group, &index)| groups.candidate(group, index));
        let cost = candidates().map(|candidate| candidate.cost).sum();
        let distortion = candidates().map(|candidate| candidate.distortion).sum();
        Self { selection, cost, distortion }
    }

    /// The index of the candidate of each group.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// What the candidates cost together, in bits.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// The predicted distortion of the output, `Σ_u D_u(c_u)`.
    pub fn distortion(&self) -> f64 {
        self.distortion
    }

    /// The cost over all stored bits. If it counts protected bits, this is the paper-style *ideal*
    /// overhead.
    pub fn overhead(&self, stored_bits: u64) -> f64 {
        self.cost as f64 / stored_bits as f64
    }
}

/// An allocation for a budget, and how much better any other could be.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// The best allocation that was found.
    pub allocation: Allocation,
    /// No allocation within the budget has less distortion than this, up to rounding.
    pub lower_bound: f64,
    /// Whether the allocation is an optimum, up to rounding.
    pub proven: bool,
}

impl Solution {
    /// An allocation, and a bound below which no other of its budget gets. A bound is worth nothing above
    /// what was found: there it only rounds differently.
    pub fn new(allocation: Allocation, lower_bound: f64) -> Self {
        let lower_bound = lower_bound.clamp(0.0, allocation.distortion);
        let proven = lower_bound == allocation.distortion;
        Self { allocation, lower_bound, proven }
    }

    /// The share of the distortion that a better allocation might save, 0 if there is none.
    pub fn gap(&self) -> f64 {
        let distortion = self.allocation.distortion;
        if self.proven { 0.0 } else { (distortion - self.lower_bound) / distortion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::Candidate;

    #[test]
    fn costs_and_distortions_add_up() {
        let mut groups = AllocationProblem::default();
        groups.push("a", Candidate::top_bits(10, &[4.0, 1.0])).unwrap();
        groups.push("b", Candidate::top_bits(20, &[8.0, 2.0, 0.5])).unwrap();
        let allocation = Allocation::new(vec![1, 2], &groups).unwrap();
        assert_eq!((allocation.cost(), allocation.distortion()), (50, 1.5));
        assert_eq!(allocation.overhead(200), 0.25);
        for bad in [vec![1], vec![2, 0], vec![0, 0, 0]] {
            assert!(Allocation::new(bad, &groups).is_err());
        }
    }

    #[test]
    fn the_gap_is_relative() {
        let mut groups = AllocationProblem::default();
        groups.push("a", Candidate::top_bits(10, &[4.0, 0.0])).unwrap();
        let with = |index| Allocation::new(vec![index], &groups).unwrap();
        assert_eq!(Solution::new(with(0), 3.0).gap(), 0.25);
        let rounded = Solution::new(with(0), 4.0 + 1e-12);
        assert!(rounded.proven && rounded.gap() == 0.0);
        assert_eq!(Solution::new(with(1), -1.0).gap(), 0.0);
    }
}
