//! The smallest budget that keeps a share of clean accuracy.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use anyhow::{Context as _, Result};
use qtaml::compensation::allocation::GreedyPath;
use qtaml::train::Classifier;

use super::bench::{Bench, Stored};
use crate::progress::Task;
use crate::stats::mean;

/// Between patterns for one purpose and those for the next.
const APART: u32 = 1 << 20;
/// So many standard errors from the target a budget counts as surely enough, or as hopeless: of
/// resamples one in a thousand says otherwise.
const SURE: f64 = 3.0;

/// Budgets in rising order, and what is left of the accuracy with each.
trait Budgets {
    /// How many there are.
    fn steps(&self) -> usize;

    /// What one costs, in bits.
    fn cost(&self, step: usize) -> u64;

    /// What it is spent on, unit by unit.
    fn chosen(&self, step: usize) -> Vec<u32>;

    /// Accuracy under each of some fault patterns.
    fn accuracies(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>>;

    /// Whether the first of some fault patterns already tell that it is far from enough, or far more.
    fn clearly(&self, step: usize, target: f64, patterns: Range<u32>) -> Result<Option<bool>>;
}

/// Those of a stored network.
struct OfNetwork<'a, M> {
    bench: &'a Bench<'a, M>,
    stored: &'a Stored<M>,
    path: GreedyPath<'a>,
}

impl<'a, M: Classifier> OfNetwork<'a, M> {
    fn new(bench: &'a Bench<'a, M>, stored: &'a Stored<M>) -> Self {
        Self { bench, stored, path: stored.path() }
    }

    /// Bisection halves the steps, and confirming takes a few more.
    fn task(&self, within: [usize; 2]) -> Task {
        let name = format!("{} {}", self.bench.net.id(), self.stored.scheme);
        let ticks = u64::from((within[1] - within[0] + 1).ilog2()) + 3;
        self.bench.context.progress.task(&name, ticks)
    }
}

impl<M: Classifier> Budgets for OfNetwork<'_, M> {
    fn steps(&self) -> usize {
        self.path.len()
    }

    fn cost(&self, step: usize) -> u64 {
        self.path.cost(step)
    }

    fn chosen(&self, step: usize) -> Vec<u32> {
        self.path.at(step).chosen().to_vec()
    }

    fn accuracies(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>> {
        self.bench.accuracies(self.stored, self.path.at(step).chosen(), patterns)
    }

    fn clearly(&self, step: usize, target: f64, patterns: Range<u32>) -> Result<Option<bool>> {
        self.bench.clearly(self.stored, self.path.at(step).chosen(), target, patterns)
    }
}

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

    /// Whether it would hardly ever reach the target, whatever confirms.
    fn is_hopeless(&self, target: f64) -> Result<bool> {
        Ok(surely(&self.accuracy, target)? == Some(false))
    }

    /// Whether it would nearly always reach the target.
    fn is_sure(&self, target: f64) -> Result<bool> {
        let Some(again) = &self.confirmed else { return Ok(false) };
        let [first, again] = [&self.accuracy, again].map(|values| surely(values, target));
        Ok(first? == Some(true) && again? == Some(true))
    }
}

/// Whether the mean of such values is surely above a target, or surely below it.
fn surely(values: &[f64], target: f64) -> Result<Option<bool>> {
    let mean = mean(values)?;
    let error = mean.deviation / (values.len() as f64).sqrt();
    let distance = mean.value - target;
    Ok((distance.abs() >= SURE * error).then_some(distance >= 0.0))
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
    /// Whether even the whole path does not reach the target.
    pub missed: bool,
}

impl Search {
    /// The cost of the first visited budget that reaches the target under the given patterns; if none
    /// does, of the dearest.
    pub fn cost_over(&self, patterns: &[usize], target: f64) -> u64 {
        let reached = self.visits.values().find(|visit| visit.reaches(target, patterns));
        reached.or(self.visits.values().next_back()).map_or(0, |visit| visit.cost)
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
    let budgets = OfNetwork::new(bench, stored);
    let within = [0, budgets.steps() - 1];
    let task = budgets.task(within);
    let mut walk = Walk::new(&budgets, target, Patterns::to_compare(patterns));
    let (step, bracket) = walk.search(within, || task.tick(1))?;
    walk.found(step, bracket)
}

/// The same under patterns that had no say in an earlier search, between the budgets that it found to
/// be clearly too small and clearly enough. All that may be the smallest are then tried under all
/// patterns, up to one that surely is enough, so that an interval can be told.
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
    let budgets = OfNetwork::new(bench, stored);
    let task = budgets.task(earlier);
    let walk = Walk::new(&budgets, target, Patterns::to_judge(patterns));
    walk.judged(earlier, || task.tick(1))
}

/// The budget at which mean accuracy crosses `target`, in bits: between two steps of the path, on the
/// line through them. None if nothing is needed, or nothing is enough.
///
/// # Errors
///
/// What a trial fails with.
pub fn crossing<M: Classifier>(
    bench: &Bench<'_, M>,
    stored: &Stored<M>,
    target: f64,
    patterns: u32,
) -> Result<Option<f64>> {
    crossed(&OfNetwork::new(bench, stored), target, 0..patterns)
}

fn crossed(budgets: &impl Budgets, target: f64, patterns: Range<u32>) -> Result<Option<f64>> {
    let accuracy =
        |step| -> Result<f64> { Ok(mean(&budgets.accuracies(step, patterns.clone())?)?.value) };
    let reaches = |step| -> Result<bool> {
        let clearly = budgets.clearly(step, target, patterns.clone())?;
        clearly.map_or_else(|| Ok(accuracy(step)? >= target), Ok)
    };
    let (mut low, mut high) = (0, budgets.steps() - 1);
    if reaches(low)? || !reaches(high)? {
        return Ok(None);
    }
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        *(if reaches(middle)? { &mut high } else { &mut low }) = middle;
    }
    let (below, above) = (accuracy(low)?, accuracy(high)?);
    let (from, to) = (budgets.cost(low) as f64, budgets.cost(high) as f64);
    // All patterns need not agree with the first few.
    let share = match () {
        () if below >= target => 0.0,
        () if above < target => 1.0,
        () => (target - below) / (above - below),
    };
    Ok(Some(from + (to - from) * share))
}

struct Walk<'a, B> {
    budgets: &'a B,
    target: f64,
    patterns: Patterns,
    visits: BTreeMap<usize, Visit>,
}

impl<'a, B: Budgets> Walk<'a, B> {
    fn new(budgets: &'a B, target: f64, patterns: Patterns) -> Self {
        Self { budgets, target, patterns, visits: BTreeMap::new() }
    }

    fn last(&self) -> usize {
        self.budgets.steps() - 1
    }

    /// The step that is found, and those that are clearly below and above it.
    fn search(&mut self, within: [usize; 2], tick: impl Fn()) -> Result<(usize, [usize; 2])> {
        let ([mut low, mut high], mut bracket) = (within, within);
        while low < high {
            let middle = usize::midpoint(low, high);
            let clearly = self.budgets.clearly(middle, self.target, self.patterns.find())?;
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
            tick();
        }
        Ok((self.confirmed_from(low)?, bracket))
    }

    /// The first confirmed step from `low` on, the last one if none is: in strides that double, and
    /// then by halves of the last one, as if all dearer ones were confirmed as well.
    fn confirmed_from(&mut self, low: usize) -> Result<usize> {
        let (mut least, mut step, mut stride) = (low, low, 1);
        while !self.is_confirmed(step)? {
            if step == self.last() {
                return Ok(step);
            }
            least = step + 1;
            step = self.last().min(step + stride);
            stride *= 2;
        }
        while least < step {
            let middle = usize::midpoint(least, step);
            if self.is_confirmed(middle)? {
                step = middle;
            } else {
                least = middle + 1;
            }
        }
        // What is just below is needed to tell how sure the step is.
        if step > 0 {
            self.reaches(step - 1)?;
        }
        Ok(step)
    }

    /// Searches, and then tries all that is needed to tell how sure the result is.
    fn judged(mut self, within: [usize; 2], tick: impl Fn()) -> Result<Search> {
        let (found, bracket) = self.search(within, tick)?;
        let visited: Vec<usize> = self.visits.keys().copied().collect();
        for step in visited {
            if !self.visits[&step].is_hopeless(self.target)? {
                self.ask_all(step)?;
            }
        }
        let (mut step, mut stride, target) = (found, 1, self.target);
        while !self.ask_all(step)?.is_sure(target)? && step < self.last() {
            step = self.last().min(step + stride);
            stride *= 2;
        }
        let all: Vec<usize> = (0..self.patterns.count as usize).collect();
        let mut reached = self.visits.iter().filter(|(_, v)| v.reaches(self.target, &all));
        let first = reached.next().map_or(found, |(&step, _)| step);
        self.found(first, bracket)
    }

    fn found(mut self, step: usize, bracket: [usize; 2]) -> Result<Search> {
        let missed = !self.is_confirmed(step)?;
        let fresh = mean(&self.budgets.accuracies(step, self.patterns.tell())?)?.value;
        Ok(Search {
            step,
            chosen: self.budgets.chosen(step),
            cost: self.budgets.cost(step),
            patterns: self.patterns.count,
            visits: self.visits,
            fresh,
            bracket,
            missed,
        })
    }

    /// Whether the mean over the patterns that find reaches the target; keeps them.
    fn reaches(&mut self, step: usize) -> Result<bool> {
        let visit = match self.visits.entry(step) {
            Entry::Occupied(visit) => visit.into_mut(),
            Entry::Vacant(place) => {
                let accuracy = self.budgets.accuracies(step, self.patterns.find())?;
                let cost = self.budgets.cost(step);
                place.insert(Visit { cost, accuracy, confirmed: None })
            }
        };
        Ok(mean(&visit.accuracy)?.value >= self.target)
    }

    /// Whether the means over those and over the patterns that confirm reach the target; keeps both,
    /// the latter only where the former do.
    fn is_confirmed(&mut self, step: usize) -> Result<bool> {
        if !self.reaches(step)? {
            return Ok(false);
        }
        let again = self.ask_all(step)?.confirmed.as_deref().unwrap_or_default();
        Ok(mean(again)?.value >= self.target)
    }

    /// Tries a budget under all patterns that find and confirm.
    fn ask_all(&mut self, step: usize) -> Result<&Visit> {
        self.reaches(step)?;
        let Self { budgets, patterns, visits, .. } = self;
        let visit = visits.get_mut(&step).context("a budget that was just tried")?;
        if visit.confirmed.is_none() {
            visit.confirmed = Some(budgets.accuracies(step, patterns.confirm())?);
        }
        Ok(visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accuracies around a mean for each step, as far from it as the pattern says.
    #[derive(Default)]
    struct Made {
        means: Vec<f64>,
        spread: f64,
        /// So much worse are the patterns that confirm a comparison under 20.
        worse: f64,
        /// The first patterns always tell, and are so much better than all of them.
        hasty: Option<f64>,
    }

    impl Made {
        /// From 10 % to 90 %, more slowly towards the end, and not quite in order.
        fn rising(steps: usize) -> Self {
            let mean = |step: usize| {
                let x = step as f64 / steps as f64;
                0.1 + 0.8 * (1.0 - (-6.0 * x).exp()) + 2e-4 * (step as f64 * 0.7).sin()
            };
            Self { means: (0..steps).map(mean).collect(), spread: 0.04, ..Self::default() }
        }

        fn walk(&self, target: f64) -> Walk<'_, Self> {
            Walk::new(self, target, Patterns::to_judge(50))
        }

        fn judged(&self, target: f64) -> Search {
            self.walk(target).judged([0, self.means.len() - 1], || ()).unwrap()
        }

        /// The first of all steps that reaches the target twice.
        fn first(&self, target: f64) -> Option<usize> {
            let reaches = |step| self.walk(target).is_confirmed(step).unwrap();
            (0..self.means.len()).find(|&step| reaches(step))
        }
    }

    impl Budgets for Made {
        fn steps(&self) -> usize {
            self.means.len()
        }

        fn cost(&self, step: usize) -> u64 {
            10 * step as u64
        }

        fn chosen(&self, _: usize) -> Vec<u32> {
            Vec::new()
        }

        fn accuracies(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>> {
            let confirms = Patterns::to_compare(20).confirm() == patterns;
            let mean = self.means[step] - if confirms { self.worse } else { 0.0 };
            let of = |pattern: u32| {
                let noise = f64::from(pattern.wrapping_mul(0x9E37_79B9)) / f64::from(u32::MAX);
                mean + self.spread * (noise - 0.5)
            };
            Ok(patterns.map(of).collect())
        }

        fn clearly(&self, step: usize, target: f64, _: Range<u32>) -> Result<Option<bool>> {
            Ok(self.hasty.map(|better| self.means[step] + better >= target))
        }
    }

    /// Against a look at every step. A bump of the curve may hide a step from bisection, but not one
    /// that is worth more than the bump.
    #[test]
    fn the_smallest_budget_is_found() {
        let made = Made::rising(1000);
        for target in [0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.89] {
            let found = made.judged(target);
            let first = made.first(target).unwrap();
            assert!(found.step >= first && !found.missed, "{target}: {} {first}", found.step);
            let gained = made.means[found.step] - made.means[first];
            assert!(gained <= 4.1e-4, "{target}: {} {first}", found.step);
        }
    }

    /// What confirms is one point worse than what finds.
    #[test]
    fn where_a_budget_is_not_confirmed_the_next_ones_are_tried_and_none_is_skipped() {
        let means = (0..2000).map(|i| f64::from(i) / 2000.0).collect();
        let worse = Made { means, worse: 0.01, ..Made::default() };
        let mut walk = Walk::new(&worse, 0.5, Patterns::to_compare(20));
        // 0.5 is found at step 1000, and confirmed 20 steps later.
        assert_eq!(walk.search([0, 1999], || ()).unwrap().0, 1020);
    }

    #[test]
    fn the_interval_is_one_of_what_is_reported() {
        let made = Made::rising(1000);
        for target in [0.3, 0.6, 0.85] {
            let found = made.judged(target);
            let all: Vec<usize> = (0..50).collect();
            assert_eq!(found.cost_over(&all, target), found.cost);
            let dearest = found.visits.values().next_back().unwrap();
            assert!(dearest.is_sure(target).unwrap(), "{target}");
            // Hardly any resample is worse than all that was tried.
            let mut rng = qtaml::fault::Seed(5).rng("resamples", 0);
            let beyond = (0..1000).filter(|_| {
                use rand::RngExt as _;
                let drawn: Vec<usize> = (0..50).map(|_| rng.random_range(0..50)).collect();
                found.visits.values().all(|visit| !visit.reaches(target, &drawn))
            });
            assert!(beyond.count() < 10, "{target}");
        }
    }

    #[test]
    fn a_target_out_of_reach_is_missed_with_everything() {
        let made = Made::rising(40);
        let found = made.judged(0.95);
        assert!(found.missed);
        assert_eq!((found.step, found.cost), (39, 390));
        let least = made.judged(0.0);
        assert_eq!((least.step, least.cost, least.missed), (0, 0, false));
    }

    #[test]
    fn a_crossing_lies_on_the_line_between_two_steps() {
        let made = Made { means: vec![0.1, 0.3, 0.5, 0.9], ..Made::default() };
        let crossed = |target| crossed(&made, target, 0..20).unwrap();
        // Each step costs 10 bits.
        for (target, cost) in [(0.2, 5.0), (0.5, 20.0), (0.6, 22.5), (0.9, 30.0)] {
            let found = crossed(target).unwrap();
            assert!((found - cost).abs() < 1e-9, "{target}: {found}");
        }
        assert_eq!((crossed(0.05), crossed(0.95)), (None, None));
    }

    /// The first patterns may say of a step what all of them deny.
    #[test]
    fn a_crossing_stays_between_its_two_steps() {
        let found = |better: f64| {
            let means = vec![0.1, 0.3, 0.5, 0.9];
            let hasty = Made { means, hasty: Some(better), ..Made::default() };
            crossed(&hasty, 0.4, 0..20).unwrap().unwrap()
        };
        // Where the mean of 0.3 is taken for enough, it is the dearer step; where 0.5 is not, the
        // cheaper one.
        assert!((found(0.15) - 10.0).abs() < 1e-9, "{}", found(0.15));
        assert!((found(-0.15) - 20.0).abs() < 1e-9, "{}", found(-0.15));
    }
}
