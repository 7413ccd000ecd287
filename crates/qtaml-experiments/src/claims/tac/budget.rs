//! The smallest budget that keeps a share of clean accuracy.

use std::collections::BTreeMap;

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
    let mut visits = BTreeMap::new();
    let mut visit = |step: usize| -> Result<f64> {
        task.tick(1);
        let accuracy = bench.accuracies(stored, path.at(step).chosen(), 0)?;
        let mean = mean(&accuracy)?.value;
        visits.insert(step, Visit { cost: path.cost(step), accuracy });
        Ok(mean)
    };
    let last = path.len() - 1;
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = usize::midpoint(low, high);
        if visit(middle)? >= target {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let mut step = low;
    let mut reached = visit(step)? >= target;
    let (fresh, missed) = loop {
        let fresh = confirm(bench, stored, &path, step)?;
        if (reached && fresh >= target) || step == last {
            break (fresh, !reached || fresh < target);
        }
        // Long paths have steps too small to make a difference.
        step = last.min(step + 1 + path.len() / 100);
        reached = visit(step)? >= target;
    };
    Ok(Search {
        visits,
        step,
        chosen: path.at(step).chosen().to_vec(),
        cost: path.cost(step),
        fresh,
        missed,
    })
}

fn confirm<M: Classifier>(
    bench: &Bench<'_, M>,
    stored: &Stored<M>,
    path: &Path<'_>,
    step: usize,
) -> Result<f64> {
    Ok(mean(&bench.accuracies(stored, path.at(step).chosen(), FRESH)?)?.value)
}
