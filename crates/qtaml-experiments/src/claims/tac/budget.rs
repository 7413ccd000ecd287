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

/// Accuracy at one budget.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What was spent, in bits.
    pub cost: u64,
    /// Accuracy under each fault pattern.
    pub accuracy: Vec<f64>,
    /// The same under fresh ones, where those were asked.
    pub fresh: Option<Vec<f64>>,
}

impl Visit {
    /// Whether mean accuracy over the given patterns reaches the target, and over as many fresh ones.
    fn reaches(&self, target: f64, patterns: &[usize]) -> bool {
        let mean = |accuracy: &Vec<f64>| {
            patterns.iter().map(|&i| accuracy[i]).sum::<f64>() / patterns.len() as f64
        };
        mean(&self.accuracy) >= target && self.fresh.as_ref().is_none_or(|f| mean(f) >= target)
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
    /// The cost of the first visited budget that reaches the target under the given patterns; that of
    /// the last if none does.
    pub fn cost_over(&self, patterns: &[usize], target: f64) -> u64 {
        let reached = self.visits.values().find(|visit| visit.reaches(target, patterns));
        reached.or(self.visits.values().next_back()).map_or(0, |visit| visit.cost)
    }
}

/// Bisects the path for the smallest budget whose mean accuracy reaches `target` under `patterns`
/// fault patterns, and confirms it under as many fresh ones; where they disagree it goes on to the
/// next larger budgets.
///
/// # Errors
///
/// What a trial fails with.
pub fn smallest<M: Classifier>(
    bench: &Bench<'_, M>,
    stored: &Stored<M>,
    target: f64,
    patterns: u32,
) -> Result<Search> {
    let path = stored.path();
    let name = format!("{} {}", bench.net.id(), stored.scheme);
    // Bisection halves the steps, and confirming takes one or two more.
    let task = bench.context.progress.task(&name, u64::from(path.len().ilog2()) + 3);
    let mut walk = Walk { bench, stored, path, target, patterns, visits: BTreeMap::new() };
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
    while !walk.is_confirmed(step)? && step < last {
        task.tick(1);
        // Long paths have steps too small to make a difference.
        step = last.min(step + 1 + last / 100);
    }
    // What is below is needed to tell how sure the step is. It does as well only if it was skipped.
    if step > low && walk.is_confirmed(step - 1)? {
        step -= 1;
    } else if step > 0 && step == low {
        walk.reaches(step - 1)?;
    }
    let (fresh, missed) = (walk.confirm(step)?, !walk.is_confirmed(step)?);
    let (chosen, cost) = (walk.path.at(step).chosen().to_vec(), walk.path.cost(step));
    Ok(Search { visits: walk.visits, step, chosen, cost, fresh, missed })
}

struct Walk<'a, M> {
    bench: &'a Bench<'a, M>,
    stored: &'a Stored<M>,
    path: Path<'a>,
    target: f64,
    patterns: u32,
    visits: BTreeMap<usize, Visit>,
}

impl<M: Classifier> Walk<'_, M> {
    fn accuracies(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>> {
        self.bench.accuracies(self.stored, self.path.at(step).chosen(), patterns)
    }

    /// Whether a few patterns already tell.
    fn clearly(&self, step: usize) -> Result<Option<bool>> {
        let path = self.path.at(step);
        self.bench.clearly(self.stored, path.chosen(), self.target, self.patterns)
    }

    /// Whether the mean over all patterns reaches the target; keeps them.
    fn reaches(&mut self, step: usize) -> Result<bool> {
        let accuracy = self.accuracies(step, 0..self.patterns)?;
        let mean = mean(&accuracy)?.value;
        self.visits.insert(step, Visit { cost: self.path.cost(step), accuracy, fresh: None });
        Ok(mean >= self.target)
    }

    /// Whether the means over all patterns and over fresh ones reach the target; keeps both.
    fn is_confirmed(&mut self, step: usize) -> Result<bool> {
        let reached = self.reaches(step)?;
        Ok(self.confirm(step)? >= self.target && reached)
    }

    /// The mean over fresh patterns; keeps them with the visit of the step.
    fn confirm(&mut self, step: usize) -> Result<f64> {
        let fresh = self.accuracies(step, FRESH..FRESH + self.patterns)?;
        let mean = mean(&fresh)?.value;
        if let Some(visit) = self.visits.get_mut(&step) {
            visit.fresh = Some(fresh);
        }
        Ok(mean)
    }
}
