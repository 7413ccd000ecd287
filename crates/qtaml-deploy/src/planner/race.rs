//! The race of schemes for the smallest budget.

use std::sync::Arc;

use super::path::{Path, Stored};
use super::{Contender, Planner};
use crate::budget::{Choice, Target};
use crate::scheme::Scheme;
use crate::{DeployError, GroupSensitivity, StoredModel};

/// A scheme is tried if it is predicted to need at most so many times the bits of the cheapest that was
/// found so far.
const NEAR: f64 = 1.25;

/// Schemes that were tried one after the other.
pub(super) struct Race<'b, 'a> {
    planner: &'b Planner<'a>,
    sensitivities: &'b [GroupSensitivity],
    /// What chooses, once a model is stored.
    target: Option<Target>,
    pub(super) contenders: Vec<Contender>,
    /// The output noise that the target bears, once a scheme was searched.
    pub(super) noise: Option<f64>,
    pub(super) leader: Option<Leader<'b, 'a>>,
    /// Models that a later scheme stores alike, with a scheme that does.
    kept: Vec<(&'b Scheme, Arc<StoredModel>)>,
}

/// The cheapest scheme so far, stored.
pub(super) struct Leader<'b, 'a> {
    /// Its number among the contenders.
    pub(super) number: usize,
    pub(super) stored: Stored<'b, 'a>,
    pub(super) found: Choice,
}

/// What came of a scheme.
#[derive(Clone, Copy)]
enum Outcome {
    Searched(Choice),
    /// It does not keep the target for less than so many bits.
    NotBelow(u64),
    NotTried,
}

impl<'b, 'a> Race<'b, 'a> {
    pub(super) fn new(planner: &'b Planner<'a>, sensitivities: &'b [GroupSensitivity]) -> Self {
        let (contenders, kept) = (Vec::new(), Vec::new());
        Self { planner, sensitivities, target: None, contenders, noise: None, leader: None, kept }
    }

    /// A scheme that may become the plan.
    ///
    /// The first is searched along its whole path. Of another one it matters only whether it needs less than
    /// the leader: it is first tried with what is predicted or, if that is more, with what is just below, and
    /// searched if that is enough.
    pub(super) fn enter(
        &mut self,
        scheme: &'b Scheme,
        later: impl Iterator<Item = &'b Scheme>,
    ) -> Result<(), DeployError> {
        let stored = self.store(scheme, later)?;
        let leading = self.leader.as_ref().map(|leader| leader.found.cost);
        let found = self.tried(scheme, &stored, leading)?;
        self.follow(stored, found);
        Ok(())
    }

    /// A baseline, which is searched along its whole path: it is to be compared with, whatever it needs. It
    /// becomes the plan as well if nothing is cheaper.
    pub(super) fn compare(
        &mut self,
        scheme: &'b Scheme,
        later: impl Iterator<Item = &'b Scheme>,
    ) -> Result<(), DeployError> {
        let stored = self.store(scheme, later)?;
        let found = self.tried(scheme, &stored, None)?;
        self.follow(stored, found);
        Ok(())
    }

    /// What was just tried is the leader if it keeps the target for less.
    fn follow(&mut self, stored: Stored<'b, 'a>, found: Option<Choice>) {
        let Some(found) = found.filter(|found| !found.missed) else { return };
        if self.leader.as_ref().is_none_or(|leader| found.cost < leader.found.cost) {
            let number = self.contenders.len() - 1;
            self.leader = Some(Leader { number, stored, found });
        }
    }

    /// Adds a contender, searched along its whole path or below the budget of a leader; gives what was found.
    fn tried(
        &mut self,
        scheme: &Scheme,
        stored: &Stored<'_, '_>,
        leading: Option<u64>,
    ) -> Result<Option<Choice>, DeployError> {
        let (path, target) = (stored.path(), self.target(stored)?);
        let predicted = self.predicted(&path);
        let outcome = match leading {
            None => self.searched(&path, target)?,
            Some(leading) => self.challenged(&path, target, leading, predicted)?,
        };
        Ok(self.note(scheme, &path, predicted, outcome))
    }

    /// The target of all searches: it follows from the first model that is stored.
    fn target(&mut self, stored: &Stored<'_, '_>) -> Result<Target, DeployError> {
        if let Some(target) = self.target {
            return Ok(target);
        }
        let target = stored.target()?;
        self.target = Some(target);
        Ok(target)
    }

    fn searched(&self, path: &Path<'_>, target: Target) -> Result<Outcome, DeployError> {
        let found = path.choose(target, self.guess(path), None)?;
        Ok(found.map_or(Outcome::NotTried, Outcome::Searched))
    }

    /// The step that is predicted to leave as much noise as the target bears.
    fn guess(&self, path: &Path<'_>) -> Option<usize> {
        path.step_at(self.noise?)
    }

    /// The model as a scheme stores it, in what is worth while for some budget: made once for all that store it
    /// alike, and kept until the last of these.
    fn store(
        &mut self,
        scheme: &'b Scheme,
        mut later: impl Iterator<Item = &'b Scheme>,
    ) -> Result<Stored<'b, 'a>, DeployError> {
        let Planner { calibration, goal, library, .. } = self.planner;
        self.planner.say(&format!("storing: {scheme}"));
        let known = self.kept.iter().position(|(other, _)| scheme.stores_as(other));
        let model = if let Some(at) = known {
            self.kept.swap_remove(at).1
        } else {
            Arc::new(scheme.store_near(*calibration, &goal.flips, library, goal.count)?)
        };
        if later.any(|other| scheme.stores_as(other)) {
            self.kept.push((scheme, model.clone()));
        }
        Stored::new(self.planner, scheme, self.sensitivities, model)
    }

    /// The budget that is predicted to leave as much noise as the target bears.
    fn predicted(&self, path: &Path<'_>) -> Option<u64> {
        Some(path.cost(self.guess(path)?))
    }

    fn challenged(
        &self,
        path: &Path<'_>,
        target: Target,
        leading: u64,
        predicted: Option<u64>,
    ) -> Result<Outcome, DeployError> {
        let is_near = |predicted: u64| predicted as f64 <= NEAR * leading as f64;
        if !predicted.is_some_and(is_near) {
            return Ok(Outcome::NotTried);
        }
        let found = path.choose(target, self.guess(path), Some(leading))?;
        let found = found.filter(|found| !found.missed);
        Ok(found.map_or(Outcome::NotBelow(leading), Outcome::Searched))
    }

    /// Adds a contender; gives what a search found.
    fn note(
        &mut self,
        scheme: &Scheme,
        path: &Path<'_>,
        predicted: Option<u64>,
        outcome: Outcome,
    ) -> Option<Choice> {
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
        self.contenders.push(Contender { scheme, name, predicted, found, not_below });
        found
    }
}
