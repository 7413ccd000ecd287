//! The smallest budget that keeps a share of clean accuracy: the library's search, on a bench.

use std::ops::{Deref, Range};

use anyhow::Result;
use qtaml::compensation::allocation::{GreedyPath, Selection};
use qtaml::deploy::budget::{BudgetSearch, Budgets, Patterns, Search, Target};
use serde::Serialize;

use super::{Bench, Stored};
use crate::progress::Task;

/// The budgets of a stored network.
struct OfNetwork<'a> {
    bench: &'a Bench<'a>,
    stored: &'a Stored,
    path: GreedyPath<'a>,
}

impl<'a> OfNetwork<'a> {
    fn new(bench: &'a Bench<'a>, stored: &'a Stored) -> Self {
        Self { bench, stored, path: stored.path() }
    }

    /// Bisection halves the steps, and confirming takes a few more.
    fn task(&self, within: [usize; 2]) -> Task {
        let name = format!("{} {}", self.bench.net.id(), self.stored.scheme);
        let ticks = u64::from((within[1] - within[0] + 1).ilog2()) + 3;
        self.bench.context.progress.task(&name, ticks)
    }

    fn found(&self, search: BudgetSearch) -> Found {
        let selection = self.path.at(search.step).selection().clone();
        Found { search, selection }
    }
}

impl Budgets for OfNetwork<'_> {
    type Error = anyhow::Error;

    fn steps(&self) -> usize {
        self.path.len()
    }

    fn cost(&self, step: usize) -> u64 {
        self.path.cost(step)
    }

    fn values(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>> {
        self.bench.accuracies(self.stored, self.path.at(step).selection(), patterns)
    }
}

/// What was found along one path, and what the budget is spent on.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    search: BudgetSearch,
    /// The candidate of each group.
    pub selection: Selection,
}

impl Deref for Found {
    type Target = BudgetSearch;

    fn deref(&self) -> &BudgetSearch {
        &self.search
    }
}

/// The smallest budget whose mean accuracy reaches `level` under the patterns that schemes are compared
/// under.
///
/// # Errors
///
/// What a trial fails with.
pub fn smallest(bench: &Bench<'_>, stored: &Stored, level: f64, patterns: u32) -> Result<Found> {
    let budgets = OfNetwork::new(bench, stored);
    let task = budgets.task([0, budgets.steps() - 1]);
    let tick = || task.tick(1);
    let search = Search::new(&budgets, Target::mean(level), Patterns::to_compare(patterns));
    Ok(budgets.found(search.on_step(&tick).smallest()?))
}

/// The same under patterns that had no say in an earlier search, between the budgets that it found to
/// be clearly too small and clearly enough.
///
/// # Errors
///
/// What a trial fails with.
pub fn judge(
    bench: &Bench<'_>,
    stored: &Stored,
    level: f64,
    patterns: u32,
    earlier: [usize; 2],
) -> Result<Found> {
    let budgets = OfNetwork::new(bench, stored);
    let task = budgets.task(earlier);
    let tick = || task.tick(1);
    let search = Search::new(&budgets, Target::mean(level), Patterns::to_judge(patterns));
    Ok(budgets.found(search.on_step(&tick).judge(earlier)?))
}

/// The budget at which mean accuracy crosses `level`, in bits: between two steps of the path, on the
/// line through them. None if nothing is needed, or nothing is enough.
///
/// # Errors
///
/// What a trial fails with.
pub fn crossing(
    bench: &Bench<'_>,
    stored: &Stored,
    level: f64,
    patterns: u32,
) -> Result<Option<f64>> {
    let budgets = OfNetwork::new(bench, stored);
    let search = Search::new(&budgets, Target::mean(level), Patterns::to_compare(patterns));
    Ok(search.crossing()?.bits())
}
