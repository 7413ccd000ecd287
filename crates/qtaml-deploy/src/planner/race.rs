//! The race of schemes for the smallest budget.

use super::path::{Path, Stored};
use super::{Contender, Planner};
use crate::budget::{BudgetSearch, Target};
use crate::scheme::Scheme;
use crate::{DeployError, GroupSensitivity};

/// A scheme is tried if it is predicted to need at most so many times the bits of the cheapest that was
/// found so far.
const NEAR: f64 = 1.25;

/// Schemes that were tried one after the other.
pub(super) struct Race<'b, 'a> {
    planner: &'b Planner<'a>,
    sensitivities: &'b [GroupSensitivity],
    target: Target,
    pub(super) contenders: Vec<Contender>,
    /// The output noise that the target bears, once a scheme was searched.
    pub(super) noise: Option<f64>,
    pub(super) leader: Option<Leader<'b, 'a>>,
}

/// The cheapest scheme so far, stored.
pub(super) struct Leader<'b, 'a> {
    /// Its number among the contenders.
    pub(super) number: usize,
    pub(super) stored: Stored<'b, 'a>,
    pub(super) found: BudgetSearch,
}

/// What came of a scheme.
enum Outcome {
    Searched(BudgetSearch),
    /// It does not keep the target for less than so many bits.
    NotBelow(u64),
    NotTried,
}

impl<'b, 'a> Race<'b, 'a> {
    pub(super) fn new(
        planner: &'b Planner<'a>,
        sensitivities: &'b [GroupSensitivity],
        target: Target,
    ) -> Self {
        Self { planner, sensitivities, target, contenders: Vec::new(), noise: None, leader: None }
    }

    /// A scheme that may become the plan.
    ///
    /// The first is searched along its whole path. Of another one it matters only whether it needs less than
    /// the leader: it is first tried with what is just below, and searched if that is enough.
    pub(super) fn enter(&mut self, scheme: &'b Scheme) -> Result<(), DeployError> {
        let stored = self.store(scheme)?;
        let path = stored.path();
        let predicted = self.predicted(&path);
        let outcome = match &self.leader {
            None => Outcome::Searched(path.search(self.target)?),
            Some(leader) => self.challenged(&path, leader.found.cost, predicted)?,
        };
        let found = self.note(scheme, &path, predicted, outcome);
        drop(path);
        if let Some(found) = found.filter(|found| !found.missed) {
            let number = self.contenders.len() - 1;
            self.leader = Some(Leader { number, stored, found });
        }
        Ok(())
    }

    /// A baseline, which is searched along its whole path and never becomes the plan.
    pub(super) fn compare(&mut self, scheme: &'b Scheme) -> Result<(), DeployError> {
        let stored = self.store(scheme)?;
        let path = stored.path();
        let predicted = self.predicted(&path);
        let outcome = Outcome::Searched(path.search(self.target)?);
        self.note(scheme, &path, predicted, outcome);
        Ok(())
    }

    fn store(&self, scheme: &'b Scheme) -> Result<Stored<'b, 'a>, DeployError> {
        self.planner.say(&format!("storing: {scheme}"));
        Stored::new(self.planner, scheme, self.sensitivities)
    }

    /// The budget that is predicted to leave as much noise as the target bears.
    fn predicted(&self, path: &Path<'_>) -> Option<u64> {
        Some(path.cost(path.step_at(self.noise?)?))
    }

    fn challenged(
        &self,
        path: &Path<'_>,
        leading: u64,
        predicted: Option<u64>,
    ) -> Result<Outcome, DeployError> {
        let is_near = |predicted: u64| predicted as f64 <= NEAR * leading as f64;
        if !predicted.is_some_and(is_near) {
            return Ok(Outcome::NotTried);
        }
        let found = path.search_below(leading, self.target)?;
        Ok(found.map_or(Outcome::NotBelow(leading), Outcome::Searched))
    }

    /// Adds a contender; gives what a search found.
    fn note(
        &mut self,
        scheme: &Scheme,
        path: &Path<'_>,
        predicted: Option<u64>,
        outcome: Outcome,
    ) -> Option<BudgetSearch> {
        let (found, not_below) = match outcome {
            Outcome::Searched(found) => (Some(found), None),
            Outcome::NotBelow(bits) => (None, Some(bits)),
            Outcome::NotTried => (None, None),
        };
        if let (None, Some(found)) = (self.noise, &found) {
            self.noise = Some(path.noise(found.step));
        }
        let predicted = predicted.or_else(|| self.predicted(path));
        let (scheme, name) = (scheme.clone(), scheme.to_string());
        self.contenders.push(Contender {
            scheme,
            name,
            predicted,
            found: found.clone(),
            not_below,
        });
        found
    }
}
