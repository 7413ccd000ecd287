//! The smallest budget that keeps a share of clean accuracy.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use qtaml::compensation::allocation::Path;
use qtaml::train::Classifier;

use super::bench::{Bench, Stored};
use crate::stats::mean;

/// Fresh fault patterns start here, far from those that chose the budget.
const FRESH: u32 = 1 << 20;
/// Patterns that a budget is first looked at with.
const FIRST: u32 = 10;
/// A mean of so few is never trusted to be nearer than this.
const LEAST_DOUBT: f64 = 0.01;

/// Accuracy at one budget.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What was spent, in bits.
    pub cost: u64,
    /// Accuracy under each fault pattern.
    pub accuracy: Vec<f64>,
}

impl Visit {
    fn mean(&self, patterns: &[usize]) -> f64 {
        patterns.iter().map(|&i| self.accuracy[i]).sum::<f64>() / patterns.len() as f64
    }
}

/// What was found along one path.
#[derive(Clone, Debug)]
pub struct Search {
    /// The budgets that were tried, by step of the path.
    pub visits: BTreeMap<usize, Visit>,
    /// The step that was found.
    pub step: usize,
    /// Its choices, unit by unit.
    pub chosen: Vec<u32>,
    /// What it costs, in bits.
    pub cost: u64,
    /// Its mean accuracy under fresh fault patterns.
    pub fresh: f64,
    /// Whether even the whole path does not reach the target.
    pub missed: bool,
}

impl Search {
    /// The cost of the first visited budget whose mean accuracy over the given patterns reaches the
    /// target; that of the last if none does.
    pub fn cost_over(&self, patterns: &[usize], target: f64) -> u64 {
        let reached = self.visits.values().find(|visit| visit.mean(patterns) >= target);
        reached.or(self.visits.values().next_back()).map_or(0, |visit| visit.cost)
    }
}

/// Bisects the path for the smallest budget whose mean accuracy reaches `target`, and confirms it
/// under fresh patterns; where they disagree it goes on to the next larger budgets.
///
/// # Errors
///
/// What a trial fails with.
pub fn smallest<M: Classifier>(
    bench: &Bench<'_, M>,
    stored: &Stored<M>,
    target: f64,
) -> Result<Search> {
    let path = stored.path();
    let name = format!("{} {}", bench.net.id(), stored.scheme);
    // Bisection halves the steps, and confirming takes one or two more.
    let task = bench.context.progress.task(&name, u64::from(path.len().ilog2()) + 3);
    let mut walk = Walk { bench, stored, path, target, visits: BTreeMap::new() };
    let last = walk.path.len() - 1;
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = usize::midpoint(low, high);
        if walk.clearly(middle)?.map_or_else(|| walk.reaches(middle), Ok)? {
            high = middle;
        } else {
            low = middle + 1;
        }
        task.tick(1);
    }
    let mut step = low;
    let (fresh, missed) = loop {
        task.tick(1);
        let reached = walk.reaches(step)?;
        let fresh = walk.confirm(step)?;
        if (reached && fresh >= target) || step == last {
            break (fresh, !reached || fresh < target);
        }
        // Long paths have steps too small to make a difference.
        step = last.min(step + 1 + last / 100);
    };
    // What is below is needed to tell how sure the step is.
    if step > 0 {
        walk.reaches(step - 1)?;
    }
    let (chosen, cost) = (walk.path.at(step).chosen().to_vec(), walk.path.cost(step));
    Ok(Search { visits: walk.visits, step, chosen, cost, fresh, missed })
}

struct Walk<'a, M> {
    bench: &'a Bench<'a, M>,
    stored: &'a Stored<M>,
    path: Path<'a>,
    target: f64,
    visits: BTreeMap<usize, Visit>,
}

impl<M: Classifier> Walk<'_, M> {
    fn accuracies(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>> {
        self.bench.accuracies_of(self.stored, self.path.at(step).chosen(), patterns)
    }

    /// Whether a few patterns already tell: their mean is far from the target.
    fn clearly(&self, step: usize) -> Result<Option<bool>> {
        let mean = mean(&self.accuracies(step, 0..self.first())?)?;
        let half = (mean.interval[1] - mean.value).max(LEAST_DOUBT);
        let distance = mean.value - self.target;
        Ok((distance.abs() > 2.0 * half).then_some(distance > 0.0))
    }

    fn first(&self) -> u32 {
        FIRST.min(self.stored.patterns)
    }

    /// Whether the mean over all patterns reaches the target; keeps them.
    fn reaches(&mut self, step: usize) -> Result<bool> {
        let mut accuracy = self.accuracies(step, 0..self.first())?;
        if self.first() < self.stored.patterns {
            accuracy.extend(self.accuracies(step, self.first()..self.stored.patterns)?);
        }
        let mean = mean(&accuracy)?.value;
        self.visits.insert(step, Visit { cost: self.path.cost(step), accuracy });
        Ok(mean >= self.target)
    }

    fn confirm(&self, step: usize) -> Result<f64> {
        let fresh = FRESH..FRESH + self.stored.patterns;
        Ok(mean(&self.accuracies(step, fresh)?)?.value)
    }
}
