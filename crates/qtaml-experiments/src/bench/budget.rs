//! The smallest budget that keeps a share of clean accuracy: the library's search, on a bench.

use std::ops::{Deref, Range};

use anyhow::Result;
use qtaml::compensation::allocation::{GreedyPath, Selection};
use qtaml::deploy::budget::{BudgetSearch, Budgets, Crossing, Patterns, Search, Target};
use qtaml::fault::Seed;
use serde::Serialize;

use super::{Bench, Stored, TestImages};
use crate::progress::Task;

/// Resamples behind an interval.
const RESAMPLES: usize = 2000;

/// The budgets of a stored network.
struct OfNetwork<'a> {
    bench: &'a Bench<'a>,
    images: &'a TestImages,
    stored: &'a Stored,
    path: GreedyPath<'a>,
}

impl<'a> OfNetwork<'a> {
    fn new(bench: &'a Bench<'a>, images: &'a TestImages, stored: &'a Stored) -> Self {
        Self { bench, images, stored, path: stored.path() }
    }

    /// Bisection halves the steps, and confirming takes a few more.
    fn task(&self) -> Task {
        let name = format!("{} {}", self.bench.name, self.stored.scheme);
        let ticks = u64::from(self.steps().ilog2()) + 3;
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
        self.bench.accuracies_on(self.images, self.stored, self.path.at(step).selection(), patterns)
    }
}

/// What was found along one path, and what the budget is spent on.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    search: BudgetSearch,
    /// The candidate of each group.
    pub selection: Selection,
}

impl Found {
    /// The stored bits a weight that are needed between two budgets, on the line through them, with their 95 % interval
    /// over fault patterns.
    pub fn between(&self, stored: &Stored, seed: Seed) -> (f64, [f64; 2]) {
        let ends = self.search.interpolated_interval(RESAMPLES, seed).ends();
        let a_weight = |bits: f64| stored.bits_a_weight(bits);
        (a_weight(self.search.interpolated()), ends.map(a_weight))
    }
}

impl Deref for Found {
    type Target = BudgetSearch;

    fn deref(&self) -> &BudgetSearch {
        &self.search
    }
}

/// The smallest budget whose mean accuracy reaches the target on the images that choose, under the patterns
/// that schemes are compared under.
///
/// # Errors
///
/// What a trial fails with.
pub fn smallest(bench: &Bench<'_>, stored: &Stored, patterns: u32) -> Result<Found> {
    let budgets = OfNetwork::new(bench, &bench.choosers, stored);
    let task = budgets.task();
    let tick = || task.tick(1);
    let target = Target::mean(bench.choosers.target);
    let search = Search::new(&budgets, target, Patterns::to_compare(patterns));
    Ok(budgets.found(search.on_step(&tick).smallest()?))
}

/// The same on the images that judge, under patterns that had no say in an earlier search.
///
/// # Errors
///
/// What a trial fails with.
pub fn judge(bench: &Bench<'_>, stored: &Stored, patterns: u32) -> Result<Found> {
    let budgets = OfNetwork::new(bench, &bench.judges, stored);
    let task = budgets.task();
    let tick = || task.tick(1);
    let target = Target::mean(bench.judges.target);
    let search = Search::new(&budgets, target, Patterns::to_judge(patterns));
    // What other images told of the path's ends may not hold on these.
    Ok(budgets.found(search.on_step(&tick).judge([0, budgets.steps() - 1])?))
}

/// The budget at which mean accuracy on the images that judge crosses `level`, in bits: between two steps
/// of the path, on the line through them.
///
/// # Errors
///
/// What a trial fails with.
pub fn crossing(bench: &Bench<'_>, stored: &Stored, level: f64, patterns: u32) -> Result<Crossing> {
    let budgets = OfNetwork::new(bench, &bench.judges, stored);
    let search = Search::new(&budgets, Target::mean(level), Patterns::to_judge(patterns));
    search.crossing()
}

/// The same at the target, as a share of all weight bits. A single bit if nothing is needed, so that ratios
/// stay finite; all bits if nothing is enough, which ideally protected are as good as none that leaks.
///
/// # Errors
///
/// What a trial fails with.
pub fn needed(bench: &Bench<'_>, stored: &Stored, patterns: u32) -> Result<f64> {
    let bits = match crossing(bench, stored, bench.judges.target, patterns)? {
        Crossing::At(bits) => bits.max(1.0),
        Crossing::NotNeeded => 1.0,
        _ => return Ok(1.0),
    };
    Ok(bits / stored.weight_bits())
}
