//! The allocation problem: groups and their candidates.

use crate::AllocationError;

/// One way to treat a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// What it costs, in bits.
    pub cost: u64,
    /// What it leaves of the output's distortion.
    pub distortion: f64,
}

impl Candidate {
    /// The candidates of a layer of so many weights whose distortion is `by_protected[k]` with `k`
    /// protected bits in each of them: `k` bits a weight.
    pub fn top_bits(weights: usize, by_protected: &[f64]) -> impl Iterator<Item = Self> {
        let cost = move |k| (weights as u64).saturating_mul(k);
        (0..).zip(by_protected).map(move |(k, &distortion)| Self { cost: cost(k), distortion })
    }
}

/// Groups and their candidates, in any order and of any shape, side by side in memory: a million groups
/// of nine candidates are 200 MB.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AllocationProblem {
    names: Vec<Box<str>>,
    /// Where the candidates of each group end.
    ends: Vec<usize>,
    candidates: Vec<Candidate>,
    /// The dearest and the worst candidates of all groups together.
    most_cost: u64,
    most_distortion: f64,
}

impl AllocationProblem {
    /// Adds a group.
    ///
    /// # Errors
    /// [`AllocationError::NoCandidate`] without candidates, [`AllocationError::Distortion`] for a
    /// distortion that is negative, NaN or infinite, or so large that their sum is, and
    /// [`AllocationError::Cost`] if the dearest candidates of all groups together cost more than 64
    /// bits can count. The groups are then as before.
    pub fn push(
        &mut self,
        name: impl Into<Box<str>>,
        candidates: impl IntoIterator<Item = Candidate>,
    ) -> Result<(), AllocationError> {
        let (name, start) = (name.into(), self.candidates.len());
        self.candidates.extend(candidates);
        let checked = self.check(&name, start);
        match checked {
            Ok((cost, distortion)) => {
                (self.most_cost, self.most_distortion) = (cost, distortion);
                self.names.push(name);
                self.ends.push(self.candidates.len());
            }
            Err(_) => self.candidates.truncate(start),
        }
        checked.map(|_| ())
    }

    /// The most that all groups together can cost and leave, the new one included.
    fn check(&self, name: &str, start: usize) -> Result<(u64, f64), AllocationError> {
        let new = &self.candidates[start..];
        let group = || name.to_owned();
        let Some(cost) = new.iter().map(|candidate| candidate.cost).max() else {
            return Err(AllocationError::NoCandidate(group()));
        };
        let cost =
            self.most_cost.checked_add(cost).ok_or_else(|| AllocationError::Cost(group()))?;
        let bad = |c: &Candidate| {
            !(c.distortion >= 0.0 && (self.most_distortion + c.distortion).is_finite())
        };
        if let Some(candidate) = new.iter().position(bad) {
            let value = new[candidate].distortion;
            return Err(AllocationError::Distortion { group: group(), candidate, value });
        }
        let worst = new.iter().map(|candidate| candidate.distortion).fold(0.0, f64::max);
        Ok((cost, self.most_distortion + worst))
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name of a group.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn name(&self, group: usize) -> &str {
        &self.names[group]
    }

    /// The candidates of a group, as they were given.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn candidates(&self, group: usize) -> &[Candidate] {
        let start = if group == 0 { 0 } else { self.ends[group - 1] };
        &self.candidates[start..self.ends[group]]
    }

    /// The candidates of every group.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Candidate]> {
        (0..self.len()).map(|group| self.candidates(group))
    }

    /// What the cheapest candidates cost: no budget below it can be met.
    pub fn least_cost(&self) -> u64 {
        self.iter()
            .map(|candidates| candidates.iter().map(|candidate| candidate.cost).min().unwrap_or(0))
            .sum()
    }

    /// One candidate of a group.
    pub(super) fn candidate(&self, group: u32, candidate: u32) -> Candidate {
        self.candidates(group as usize)[candidate as usize]
    }

    /// Refuses budgets that no allocation meets.
    pub(super) fn check_budget(&self, budget: u64) -> Result<(), AllocationError> {
        match self.least_cost() {
            least if least > budget => Err(AllocationError::Budget { budget, least }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(cost: u64, distortion: f64) -> Candidate {
        Candidate { cost, distortion }
    }

    #[test]
    fn units_keep_their_choices() {
        let mut groups = AllocationProblem::default();
        groups.push("fc", Candidate::top_bits(10, &[4.0, 1.0])).unwrap();
        groups.push("head", [candidate(7, 1.0), candidate(3, 2.0), candidate(5, 2.5)]).unwrap();
        assert_eq!((groups.len(), groups.name(1), groups.least_cost()), (2, "head", 3));
        assert_eq!(groups.candidates(0), [candidate(0, 4.0), candidate(10, 1.0)]);
        assert_eq!(groups.candidates(1)[2], candidate(5, 2.5));
        assert!(groups.check_budget(2).is_err() && groups.check_budget(3).is_ok());
    }

    #[test]
    fn bad_units_are_named_and_leave_no_trace() {
        let mut groups = AllocationProblem::default();
        groups.push("a", [candidate(1, 1.0)]).unwrap();
        let before = groups.clone();
        let no_choice: [Candidate; 0] = [];
        let error = groups.push("b", no_choice).unwrap_err();
        assert_eq!(error, AllocationError::NoCandidate("b".into()));
        for bad in [-1.0, f64::NAN, f64::INFINITY, f64::MAX] {
            let mut groups = groups.clone();
            groups.push("much", [candidate(0, f64::MAX)]).unwrap();
            let error =
                groups.push("b", [candidate(0, 0.0), candidate(1, bad)]).unwrap_err().to_string();
            assert!(error.starts_with("candidate 1 of group \"b\" has distortion"), "{error}");
        }
        let error = groups.push("b", [candidate(0, 0.0), candidate(u64::MAX, 0.0)]).unwrap_err();
        assert_eq!(error, AllocationError::Cost("b".into()));
        assert_eq!(groups, before);
    }
}
