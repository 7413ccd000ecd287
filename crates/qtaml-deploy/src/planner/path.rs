//! A scheme's path of budgets on the model, with its trials.

use std::ops::Range;
use std::sync::Arc;

use qtaml_compensation::allocation::{Allocation, AllocationProblem, GreedyPath, Solution};
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Judging, Planner};
use crate::budget::{Budgets, Choice, EarlyDecision, Patterns, Search, Target};
use crate::job::{Fingerprint, Recipe};
use crate::scheme::{Allocator, Scheme};
use crate::sensitivity::shared_norms;
use crate::stored::Reading;
use crate::{DeployError, GroupSensitivity, Recalibrator, StoredModel, Trials, Values};

/// A model stored as a scheme says.
pub(super) struct Stored<'b, 'a> {
    planner: &'b Planner<'a>,
    scheme: &'b Scheme,
    pub(super) model: Arc<StoredModel>,
    golden: Values,
    pub(super) problem: AllocationProblem,
}

impl<'b, 'a> Stored<'b, 'a> {
    pub(super) fn new(
        planner: &'b Planner<'a>,
        scheme: &'b Scheme,
        sensitivities: &[GroupSensitivity],
        model: Arc<StoredModel>,
    ) -> Result<Self, DeployError> {
        let Planner { calibration, goal, .. } = planner;
        let norms = shared_norms(*calibration, sensitivities, &model.weight_groups())?;
        let statistics = model.statistics(&norms)?;
        let problem = model.problem(scheme.allocator.score(), &statistics, goal.count)?;
        let golden = model.golden();
        Ok(Self { planner, scheme, model, golden, problem })
    }

    /// The target on the inputs that choose.
    pub(super) fn target(&self) -> Result<Target, DeployError> {
        let Planner { selection, goal, .. } = self.planner;
        let best: Option<f64> = self.planner.unit(&("without faults", self.scheme), || {
            let outputs = selection.runner.outputs(self.golden.clone())?;
            Ok(Some(selection.evaluation.score(&outputs)?).filter(|best| best.is_finite()))
        })?;
        goal.selecting(selection.evaluation, best.unwrap_or(f64::NAN))
    }

    /// The way through its budgets.
    pub(super) fn path(&self) -> Path<'_> {
        let steps = match self.scheme.allocator {
            Allocator::Uniform => Steps::Uniform(alike(&self.problem)),
            _ => Steps::of_path(GreedyPath::optimal(&self.problem)),
        };
        Path { stored: self, steps }
    }
}

/// Budgets that differ by less than this part of them are not told apart: with some tens of devices the metric
/// does not tell them apart either.
const FINE: u64 = 100;
/// The same for the dearest budget: what costs next to nothing is not told apart either.
const FINEST: u64 = 5000;

/// The steps of a path that are told apart: the first, the last, and in between those that are as far apart as
/// they may be.
fn apart(costs: &[u64]) -> Vec<usize> {
    let Some(last) = costs.len().checked_sub(1) else { return Vec::new() };
    let (mut kept, least) = (vec![0], costs[last] / FINEST);
    for step in 1..costs.len() {
        let before = kept.last().map_or(0, |&step| costs[step]);
        let farthest = before + least.max(before / FINE);
        if step == last || costs[step + 1] > farthest {
            kept.push(step);
        }
    }
    kept
}

/// The same candidate everywhere, by rising cost; those that cost more and leave as much are left out.
fn alike(problem: &AllocationProblem) -> Vec<Allocation> {
    let path = GreedyPath::uniform(problem);
    let mut all: Vec<Allocation> = (0..path.len()).map(|step| path.at(step)).collect();
    all.sort_by(|a, b| a.cost().cmp(&b.cost()).then(a.distortion().total_cmp(&b.distortion())));
    let mut least = f64::INFINITY;
    all.retain(|allocation| {
        let is_better = allocation.distortion() < least;
        least = least.min(allocation.distortion());
        is_better
    });
    all
}

enum Steps<'s> {
    /// With the steps of the path that are told apart.
    Greedy(GreedyPath<'s>, Vec<usize>),
    Uniform(Vec<Allocation>),
}

impl<'s> Steps<'s> {
    fn of_path(path: GreedyPath<'s>) -> Self {
        let costs: Vec<u64> = (0..path.len()).map(|step| path.cost(step)).collect();
        Self::Greedy(path, apart(&costs))
    }
}

/// The budgets of a stored model in rising order.
pub(super) struct Path<'s> {
    stored: &'s Stored<'s, 's>,
    steps: Steps<'s>,
}

impl Path<'_> {
    fn len(&self) -> usize {
        match &self.steps {
            Steps::Greedy(_, kept) => kept.len(),
            Steps::Uniform(all) => all.len(),
        }
    }

    /// What a step costs, in bits.
    pub(super) fn cost(&self, step: usize) -> u64 {
        match &self.steps {
            Steps::Greedy(path, kept) => path.cost(kept[step]),
            Steps::Uniform(all) => all[step].cost(),
        }
    }

    /// The output noise that is predicted for a step.
    pub(super) fn noise(&self, step: usize) -> f64 {
        match &self.steps {
            Steps::Greedy(path, kept) => path.distortion(kept[step]),
            Steps::Uniform(all) => all[step].distortion(),
        }
    }

    fn at(&self, step: usize) -> Allocation {
        match &self.steps {
            Steps::Greedy(path, kept) => path.at(kept[step]),
            Steps::Uniform(all) => all[step].clone(),
        }
    }

    /// The first step that is predicted to leave no more noise than this.
    pub(super) fn step_at(&self, noise: f64) -> Option<usize> {
        (0..self.len()).find(|&step| self.noise(step) <= noise)
    }

    /// The first step that costs so much at least.
    pub(super) fn step_costing(&self, cost: u64) -> Option<usize> {
        (0..self.len()).find(|&step| self.cost(step) >= cost)
    }

    /// The smallest budget that keeps a target on the inputs that choose, near a guess if there is one. If
    /// `below` is said, only budgets below so many bits are tried; none if there is no such budget.
    pub(super) fn choose(
        &self,
        target: Target,
        guess: Option<usize>,
        below: Option<u64>,
    ) -> Result<Option<Choice>, DeployError> {
        let planner = self.stored.planner;
        let is_below = |&step: &usize| below.is_none_or(|bits| self.cost(step) < bits);
        let steps = (0..self.len()).take_while(is_below).count();
        if steps == 0 {
            return Ok(None);
        }
        let budgets = Selecting { path: self, on: planner.selection, target, steps };
        let tick = || planner.say(&format!("searching: {}", self.stored.scheme));
        let search = Search::new(&budgets, target, Patterns::to_compare(planner.patterns));
        let early = EarlyDecision::default().with_intervals(1.0);
        search.with_early_decision(early).on_step(&tick).choose(guess).map(Some)
    }

    /// The metric under each of some fault patterns on some inputs, which have a name.
    pub(super) fn trials(
        &self,
        step: usize,
        patterns: Range<u32>,
        (on, inputs): (Judging<'_>, &str),
        reading: Reading,
    ) -> Result<Vec<f64>, DeployError> {
        let Stored { planner, scheme, model, golden, .. } = self.stored;
        let selection = self.at(step).selection().clone();
        let selected = Fingerprint::of(&selection).map_err(crate::job::JobError::Recipe)?;
        let key = ("trials", scheme, selected, &patterns, inputs, reading, planner.seed);
        // JSON has no number that is infinite or none: such a trial is kept as null.
        let values: Vec<Option<f64>> = planner.unit(&key, || {
            let recalibrator =
                Recalibrator::new(scheme.recalibration, planner.calibration, golden)?;
            let trials = Trials::new(on.runner, &recalibrator, on.evaluation);
            let read = |pattern| match reading {
                Reading::Decoded => model.read(planner.seed, pattern, &selection),
                Reading::Drawn => model.drawn(planner.seed, pattern, &selection),
            };
            let values = trials.scores(patterns.clone(), read)?;
            Ok(values.into_iter().map(|value| value.is_finite().then_some(value)).collect())
        })?;
        Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }

    /// The allocation of a step, and how much better another of the same cost could be.
    pub(super) fn solution(&self, step: usize) -> Solution {
        let allocation = self.at(step);
        let lower_bound = match &self.steps {
            // A corner of the hull: an optimum for what it costs.
            Steps::Greedy(..) => allocation.distortion(),
            Steps::Uniform(_) => 0.0,
        };
        Solution::new(allocation, lower_bound)
    }
}

/// A path whose trials choose.
struct Selecting<'p, 's> {
    path: &'p Path<'s>,
    on: Judging<'p>,
    target: Target,
    /// So many of its steps, the cheapest ones.
    steps: usize,
}

impl Budgets for Selecting<'_, '_> {
    type Error = DeployError;

    fn steps(&self) -> usize {
        self.steps
    }

    fn cost(&self, step: usize) -> u64 {
        self.path.cost(step)
    }

    fn values(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>, DeployError> {
        self.path.trials(step, patterns, (self.on, "selection"), Reading::Drawn)
    }

    /// One device on each part of the inputs. What a part has that others have not, such as more right answers
    /// without any fault, is taken out.
    fn glance(&self, step: usize) -> Result<Vec<f64>, DeployError> {
        let planner = self.path.stored.planner;
        let first = Patterns::to_compare(planner.patterns).find().start;
        let parts = planner.parts.par_iter().enumerate().map(|(number, part)| {
            let (pattern, own) = (first + number as u32, planner.goal.target(part.evaluation)?);
            let name = format!("part {number} of {}", planner.parts.len());
            let values =
                self.path.trials(step, pattern..pattern + 1, (*part, &name), Reading::Drawn)?;
            Ok(values[0] - own.level + self.target.level)
        });
        parts.collect()
    }
}

impl Planner<'_> {
    /// Work that is done once, if there is a store to keep it in.
    pub(super) fn unit<T: Serialize + DeserializeOwned>(
        &self,
        key: &impl Serialize,
        work: impl FnOnce() -> Result<T, DeployError>,
    ) -> Result<T, DeployError> {
        let Some(kept) = self.kept else { return work() };
        let recipe = Recipe::new(&("plan", kept.of, &self.goal.flips, key))?;
        Ok(kept.store.get_or_compute(&recipe, work)?.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever was the smallest budget is less than one percent away, or a five thousandth of the dearest.
    #[test]
    fn steps_are_left_out_where_they_are_close() {
        let close: Vec<u64> = (0..100_000).map(|step| 1_000_000 + 37 * step).collect();
        let coarse: Vec<u64> = (0..10).map(|step| 1 << step).collect();
        let from_nothing: Vec<u64> = (0..100_000).map(|step| step * step).collect();
        for costs in [close, coarse.clone(), from_nothing, vec![5], vec![0, 0]] {
            let (kept, last) = (apart(&costs), costs.len() - 1);
            assert_eq!((kept.first(), kept.last()), (Some(&0), Some(&last)));
            for pair in kept.windows(2) {
                let (from, to) = (costs[pair[0]], costs[pair[1]]);
                let allowed = from + (from / FINE).max(costs[last] / FINEST);
                assert!(to <= allowed || pair[1] == pair[0] + 1, "{from} {to}");
            }
            assert!(kept.len() < 6000, "{}", kept.len());
        }
        assert_eq!(apart(&coarse), (0..10).collect::<Vec<_>>());
        assert!(apart(&[]).is_empty());
    }
}
