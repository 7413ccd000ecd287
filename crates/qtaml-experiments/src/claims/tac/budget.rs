//! The smallest budget that keeps a share of clean accuracy.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use qtaml::compensation::allocation::Path;
use qtaml::train::Classifier;

use super::bench::{Bench, Stored};
use crate::stats::mean;

/// Between patterns for one purpose and those for the next.
const APART: u32 = 1 << 20;

/// The fault patterns of a search: none is used for two purposes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patterns {
    first: u32,
    /// So many that find a budget, as many that confirm it, and as many that tell its accuracy.
    pub count: u32,
}

impl Patterns {
    /// Those that schemes are compared under.
    pub const fn to_compare(count: u32) -> Self {
        Self { first: 0, count }
    }

    /// Those that a scheme is judged by: it was not chosen under any of them.
    pub const fn to_judge(count: u32) -> Self {
        Self { first: 3 * APART, count }
    }

    const fn find(self) -> Range<u32> {
        self.first..self.first + self.count
    }

    const fn confirm(self) -> Range<u32> {
        self.first + APART..self.first + APART + self.count
    }

    const fn tell(self) -> Range<u32> {
        self.first + 2 * APART..self.first + 2 * APART + self.count
    }
}

/// Accuracy at one budget.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What was spent, in bits.
    pub cost: u64,
    /// Accuracy under each fault pattern.
    pub accuracy: Vec<f64>,
    /// The same under those that confirm, where they were asked.
    pub confirmed: Option<Vec<f64>>,
}

impl Visit {
    /// Whether mean accuracy reaches the target over the given patterns, and over as many of those
    /// that confirm. A budget that was never confirmed does not.
    fn reaches(&self, target: f64, patterns: &[usize]) -> bool {
        let mean = |accuracy: &Vec<f64>| {
            patterns.iter().map(|&i| accuracy[i]).sum::<f64>() / patterns.len() as f64
        };
        mean(&self.accuracy) >= target
            && self.confirmed.as_ref().is_some_and(|again| mean(again) >= target)
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
    /// Its mean accuracy under patterns that had no say in it.
    pub fresh: f64,
    /// The number of patterns for each purpose.
    pub patterns: u32,
    /// The first step that is not clearly too cheap, and the first that clearly is enough.
    pub bracket: [usize; 2],
    /// What the latter costs, in bits.
    pub ceiling: u64,
    /// Whether even the whole path does not reach the target.
    pub missed: bool,
}

impl Search {
    /// The cost of the first visited budget that reaches the target under the given patterns; if none
    /// does, of one that clearly is enough.
    pub fn cost_over(&self, patterns: &[usize], target: f64) -> u64 {
        let reached = self.visits.values().find(|visit| visit.reaches(target, patterns));
        let dearest = self.visits.values().next_back();
        reached.map_or(dearest.map_or(0, |v| v.cost).max(self.ceiling), |visit| visit.cost)
    }
}

/// Bisects the path for the smallest budget whose mean accuracy reaches `target` under some fault
/// patterns, and confirms it under as many others; where they disagree it goes on to the next larger
/// budgets.
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
    let mut walk = Walk::new(bench, stored, target, Patterns::to_compare(patterns));
    let (step, bracket) = walk.search([0, walk.path.len() - 1])?;
    walk.found(step, bracket)
}

/// The same under patterns that had no say in an earlier search, between the budgets that it found to
/// be clearly too small and clearly enough. Every budget between them that is tried is tried under
/// all patterns, so that an interval can be told.
///
/// # Errors
///
/// What a trial fails with.
pub fn judge<M: Classifier>(
    bench: &Bench<'_, M>,
    stored: &Stored<M>,
    target: f64,
    patterns: u32,
    earlier: [usize; 2],
) -> Result<Search> {
    let mut walk = Walk::new(bench, stored, target, Patterns::to_judge(patterns));
    let (step, bracket) = walk.search(earlier)?;
    let visited: Vec<usize> = walk.visits.keys().copied().collect();
    visited.into_iter().try_for_each(|step| walk.is_confirmed(step).map(drop))?;
    walk.found(step, bracket)
}

struct Walk<'a, M> {
    bench: &'a Bench<'a, M>,
    stored: &'a Stored<M>,
    path: Path<'a>,
    target: f64,
    patterns: Patterns,
    visits: BTreeMap<usize, Visit>,
}

impl<'a, M: Classifier> Walk<'a, M> {
    fn new(
        bench: &'a Bench<'a, M>,
        stored: &'a Stored<M>,
        target: f64,
        patterns: Patterns,
    ) -> Self {
        Self { bench, stored, path: stored.path(), target, patterns, visits: BTreeMap::new() }
    }

    /// The step that is found, and those that are clearly below and above it.
    fn search(&mut self, within: [usize; 2]) -> Result<(usize, [usize; 2])> {
        let name = format!("{} {}", self.bench.net.id(), self.stored.scheme);
        let [mut low, mut high] = within;
        // Bisection halves the steps, and confirming takes one or two more.
        let ticks = u64::from((high - low + 1).ilog2()) + 3;
        let task = self.bench.context.progress.task(&name, ticks);
        let mut bracket = within;
        while low < high {
            let middle = usize::midpoint(low, high);
            let clearly = self.clearly(middle)?;
            let enough = clearly.map_or_else(|| self.reaches(middle), Ok)?;
            if enough {
                high = middle;
            } else {
                low = middle + 1;
            }
            match clearly {
                Some(true) => bracket[1] = middle,
                Some(false) => bracket[0] = middle + 1,
                None => {}
            }
            task.tick(1);
        }
        Ok((self.confirmed_from(low)?, bracket))
    }

    /// The first confirmed step from `low` on, the last one if none is.
    fn confirmed_from(&mut self, low: usize) -> Result<usize> {
        let (mut step, last) = (low, self.path.len() - 1);
        while !self.is_confirmed(step)? && step < last {
            // Long paths have steps too small to make a difference.
            step = last.min(step + 1 + last / 100);
        }
        // What is below is needed to tell how sure the step is. It does as well only if it was skipped.
        if step > low && self.is_confirmed(step - 1)? {
            step -= 1;
        } else if step > 0 && step == low {
            self.reaches(step - 1)?;
        }
        Ok(step)
    }

    fn found(mut self, step: usize, bracket: [usize; 2]) -> Result<Search> {
        let missed = !self.is_confirmed(step)?;
        let fresh = mean(&self.accuracies(step, self.patterns.tell())?)?.value;
        Ok(Search {
            step,
            chosen: self.path.at(step).chosen().to_vec(),
            cost: self.path.cost(step),
            ceiling: self.path.cost(bracket[1]),
            patterns: self.patterns.count,
            visits: self.visits,
            fresh,
            bracket,
            missed,
        })
    }

    fn accuracies(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>> {
        self.bench.accuracies(self.stored, self.path.at(step).chosen(), patterns)
    }

    /// Whether a few patterns already tell.
    fn clearly(&self, step: usize) -> Result<Option<bool>> {
        let path = self.path.at(step);
        self.bench.clearly(self.stored, path.chosen(), self.target, self.patterns.find())
    }

    /// Whether the mean over the patterns that find reaches the target; keeps them.
    fn reaches(&mut self, step: usize) -> Result<bool> {
        let accuracy = self.accuracies(step, self.patterns.find())?;
        let mean = mean(&accuracy)?.value;
        let visit = Visit { cost: self.path.cost(step), accuracy, confirmed: None };
        self.visits.entry(step).or_insert(visit);
        Ok(mean >= self.target)
    }

    /// Whether the means over those and over the patterns that confirm reach the target; keeps both.
    fn is_confirmed(&mut self, step: usize) -> Result<bool> {
        let reached = self.reaches(step)?;
        let again = self.accuracies(step, self.patterns.confirm())?;
        let mean = mean(&again)?.value;
        if let Some(visit) = self.visits.get_mut(&step) {
            visit.confirmed = Some(again);
        }
        Ok(mean >= self.target && reached)
    }
}
