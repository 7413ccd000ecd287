//! The search for the smallest budget: bisection, early decision and confirmation.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{BudgetSearch, Budgets, Criterion, Crossing, Patterns, Target, Visit};
use crate::{BudgetError, DeployError};

/// When the first few fault patterns decide that a budget is far from enough, or far more.
///
/// A mean decides if it is so many times as far from the target as its 95 % interval is wide to one side, a
/// yield if less than one draw in a thousand would be as extreme.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EarlyDecision {
    /// So many patterns are tried before the first look, and between looks.
    pub patterns: u32,
    /// So many looks; none to try all patterns of every budget.
    pub looks: u32,
    /// A mean of so few is never trusted to be nearer than this, in units of the metric. The default of
    /// 0.01 is for shares, such as an accuracy.
    pub least_doubt: f64,
    /// So many intervals, or least doubts, a mean has to be away from the target.
    pub intervals: f64,
}

impl Default for EarlyDecision {
    fn default() -> Self {
        Self { patterns: 5, looks: 2, least_doubt: 0.01, intervals: 2.0 }
    }
}

impl EarlyDecision {
    /// Every budget is tried under all patterns.
    pub const NEVER: Self = Self { patterns: 0, looks: 0, least_doubt: 0.0, intervals: 2.0 };

    /// The same with another least doubt, for metrics that are no shares.
    #[must_use]
    pub const fn with_least_doubt(self, least_doubt: f64) -> Self {
        Self { least_doubt, ..self }
    }

    /// The same that decides sooner or later. With one interval, one decision in twenty that is a close one is
    /// wrong: enough to choose by what is confirmed afterwards, and too many to judge by.
    #[must_use]
    pub const fn with_intervals(self, intervals: f64) -> Self {
        Self { intervals, ..self }
    }
}

/// A search for the smallest budget that keeps a target.
pub struct Search<'a, B> {
    pub(super) budgets: &'a B,
    target: Target,
    patterns: Patterns,
    early: EarlyDecision,
    on_step: Option<&'a (dyn Fn() + Sync)>,
}

// Derived ones would ask the budgets to be `Copy` as well.
impl<B> Clone for Search<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Search<'_, B> {}

impl<B> fmt::Debug for Search<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search")
            .field("target", &self.target)
            .field("patterns", &self.patterns)
            .field("early", &self.early)
            .finish_non_exhaustive()
    }
}

impl<'a, B: Budgets> Search<'a, B> {
    /// A search along these budgets.
    pub fn new(budgets: &'a B, target: Target, patterns: Patterns) -> Self {
        Self { budgets, target, patterns, early: EarlyDecision::default(), on_step: None }
    }

    /// The same with another early decision.
    #[must_use]
    pub fn with_early_decision(self, early: EarlyDecision) -> Self {
        Self { early, ..self }
    }

    /// The same, which calls a function after each step of the bisection.
    #[must_use]
    pub fn on_step(self, tick: &'a (dyn Fn() + Sync)) -> Self {
        Self { on_step: Some(tick), ..self }
    }

    /// Bisects the path for the smallest budget that reaches the target under the patterns that find, and
    /// confirms it under as many others; where they disagree it goes on to the next larger budgets.
    ///
    /// # Errors
    /// [`BudgetError::NoSteps`] without budgets, [`BudgetError::TooFew`] or [`BudgetError::TooMany`]
    /// patterns, [`BudgetError::OutOfRange`] for an impossible target, [`BudgetError::ValueCount`] if a
    /// trial has not one value for each pattern, and what a trial fails with.
    pub fn smallest(self) -> Result<BudgetSearch, B::Error> {
        let last = self.checked_last()?;
        let mut walk = Walk::new(self, last);
        let (step, bracket) = walk.search([0, last])?;
        walk.found(step, bracket)
    }

    /// The same between the budgets that an earlier search, under patterns that have no part in this one,
    /// found to be clearly too small and clearly enough: its [`bracket`](BudgetSearch::bracket). All that
    /// may be the smallest are then tried under all patterns, up to one that surely is enough, so that
    /// an interval can be told.
    ///
    /// # Errors
    /// As [`smallest`](Self::smallest), and [`BudgetError::StepRange`] for steps that the path does not
    /// have.
    pub fn judge(self, earlier: [usize; 2]) -> Result<BudgetSearch, B::Error> {
        let last = self.checked_last()?;
        let [first, dearest] = earlier;
        if first > dearest || dearest > last {
            let steps = last + 1;
            return Err(
                DeployError::from(BudgetError::StepRange { first, last: dearest, steps }).into()
            );
        }
        Walk::new(self, last).judged(earlier)
    }

    /// The budget at which the path crosses the target under the patterns that find: between two steps, on
    /// the line through them. Nothing is confirmed.
    ///
    /// # Errors
    /// As [`smallest`](Self::smallest).
    pub fn crossing(self) -> Result<Crossing, B::Error> {
        let last = self.checked_last()?;
        Walk::new(self, last).crossing()
    }

    pub(super) fn checked_last(&self) -> Result<usize, DeployError> {
        self.patterns.check()?;
        self.target.check()?;
        Ok(self.budgets.steps().checked_sub(1).ok_or(BudgetError::NoSteps)?)
    }
}

/// A search under way.
pub(super) struct Walk<'a, B> {
    of: Search<'a, B>,
    pub(super) last: usize,
    /// What a glance told of each step, if it told anything.
    glanced: BTreeMap<usize, Option<bool>>,
    /// What was tried under the first of the patterns that find, or all of them.
    tried: BTreeMap<usize, Vec<f64>>,
    /// What was tried under all of them.
    visits: BTreeMap<usize, Visit>,
}

impl<'a, B: Budgets> Walk<'a, B> {
    pub(super) fn new(of: Search<'a, B>, last: usize) -> Self {
        let (glanced, tried, visits) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { of, last, glanced, tried, visits }
    }

    /// The step that is found, and those that are clearly below and above it.
    fn search(&mut self, within: [usize; 2]) -> Result<(usize, [usize; 2]), B::Error> {
        let (low, bracket) = self.bisect(within)?;
        let step = self.confirmed_from(low)?;
        // What is just below is needed to tell how sure the step is.
        if step > 0 && self.is_confirmed(step)? {
            self.visit(step - 1)?;
        }
        Ok((step, bracket))
    }

    /// The first step that reaches the target under the patterns that find, and those that are clearly below
    /// and above it.
    pub(super) fn bisect(&mut self, within: [usize; 2]) -> Result<(usize, [usize; 2]), B::Error> {
        let ([mut low, mut high], mut bracket) = (within, within);
        while low < high {
            let middle = usize::midpoint(low, high);
            let clearly = self.clearly(middle)?;
            let enough = match clearly {
                Some(enough) => enough,
                None => self.reaches(middle)?,
            };
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
            self.tick();
        }
        Ok((low, bracket))
    }

    pub(super) fn tick(&self) {
        if let Some(tick) = self.of.on_step {
            tick();
        }
    }

    /// The first confirmed step from `low` on, the last one if none is: in strides that double, and
    /// then by halves of the last one, as if all dearer ones were confirmed as well.
    pub(super) fn confirmed_from(&mut self, low: usize) -> Result<usize, B::Error> {
        let (mut least, mut step, mut stride) = (low, low, 1);
        while !self.is_confirmed(step)? {
            if step == self.last {
                return Ok(step);
            }
            least = step + 1;
            step = self.last.min(step + stride);
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
        Ok(step)
    }

    /// Searches, and then tries all that is needed to tell how sure the result is.
    fn judged(mut self, within: [usize; 2]) -> Result<BudgetSearch, B::Error> {
        let (found, bracket) = self.search(within)?;
        let target = self.of.target;
        let visited: Vec<usize> = self.visits.keys().copied().collect();
        for step in visited {
            if !self.visits[&step].is_hopeless(&target) {
                self.ask_all(step)?;
            }
        }
        let (mut step, mut stride) = (found, 1);
        while !self.ask_all(step)?.is_sure(&target) && step < self.last {
            step = self.last.min(step + stride);
            stride *= 2;
        }
        let all: Vec<usize> = (0..self.of.patterns.count as usize).collect();
        let mut reached = self.visits.iter().filter(|(_, visit)| visit.reaches(&target, &all));
        let first = reached.next().map_or(found, |(&step, _)| step);
        self.found(first, bracket)
    }

    fn found(mut self, step: usize, bracket: [usize; 2]) -> Result<BudgetSearch, B::Error> {
        let missed = !self.is_confirmed(step)?;
        let Search { budgets, target, patterns, .. } = self.of;
        let values = self.values(step, patterns.tell())?;
        let fresh = target.estimate(&values).map_err(DeployError::from)?;
        let (cost, visits) = (budgets.cost(step), self.visits);
        let crossing = Crossing::OutOfReach;
        let found =
            BudgetSearch { target, patterns, step, cost, crossing, fresh, bracket, missed, visits };
        Ok(found.crossed())
    }

    fn crossing(mut self) -> Result<Crossing, B::Error> {
        let (mut low, mut high) = (0, self.last);
        if self.seems_enough(low)? {
            return Ok(Crossing::NotNeeded);
        }
        if !self.seems_enough(high)? {
            return Ok(Crossing::OutOfReach);
        }
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            *(if self.seems_enough(middle)? { &mut high } else { &mut low }) = middle;
        }
        let target = self.of.target;
        let [below, above] = [low, high].map(|step| {
            let visit = self.visit(step)?;
            Ok::<_, B::Error>((visit.cost, target.lead(visit.values.iter().copied())))
        });
        let ((from, below), (to, above)) = (below?, above?);
        Ok(Crossing::between([from, to], below, above))
    }

    /// Whether a step clearly is enough or, where the first patterns do not tell, all of them say so.
    pub(super) fn seems_enough(&mut self, step: usize) -> Result<bool, B::Error> {
        match self.clearly(step)? {
            Some(enough) => Ok(enough),
            None => self.reaches(step),
        }
    }

    /// Whether a glance or the first of the patterns that find already tell. None if they do not.
    fn clearly(&mut self, step: usize) -> Result<Option<bool>, B::Error> {
        let (early, target) = (self.of.early, self.of.target);
        let EarlyDecision { patterns, looks, .. } = early;
        if looks > 0
            && let Some(enough) = self.at_a_glance(step)?
        {
            return Ok(Some(enough));
        }
        for look in 1..=looks {
            let few = look.saturating_mul(patterns).min(self.of.patterns.count);
            if few < 2 {
                continue;
            }
            let few = few as usize;
            if let Some(enough) = target.tells(&self.first(step, few)?[..few], &early) {
                return Ok(Some(enough));
            }
        }
        Ok(None)
    }

    /// Whether a glance tells. Parts of the inputs say what a mean over devices is, not what each of them does.
    fn at_a_glance(&mut self, step: usize) -> Result<Option<bool>, B::Error> {
        let Search { budgets, target, early, .. } = self.of;
        if let Some(&known) = self.glanced.get(&step) {
            return Ok(known);
        }
        let values = match target.criterion {
            Criterion::Mean => budgets.glance(step)?,
            Criterion::Yield(_) => Vec::new(),
        };
        // What is seen at a glance is not looked at again.
        let told = target.tells(&values, &EarlyDecision { intervals: 2.0, ..early });
        self.glanced.insert(step, told);
        Ok(told)
    }

    /// At least the first few values of a step under the patterns that find. None is asked for twice.
    fn first(&mut self, step: usize, few: usize) -> Result<&[f64], B::Error> {
        let known = self.tried.get(&step).map_or(0, Vec::len);
        if known < few {
            let start = self.of.patterns.find().start;
            let more = self.values(step, start + known as u32..start + few as u32)?;
            self.tried.entry(step).or_default().extend(more);
        }
        Ok(&self.tried[&step])
    }

    fn values(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>, B::Error> {
        let wanted = patterns.len();
        let values = self.of.budgets.values(step, patterns)?;
        if values.len() != wanted {
            let given = values.len();
            let error = BudgetError::ValueCount { step, patterns: wanted, given };
            return Err(DeployError::from(error).into());
        }
        Ok(values)
    }

    /// A budget under all patterns that find.
    fn visit(&mut self, step: usize) -> Result<&mut Visit, B::Error> {
        let values = if self.visits.contains_key(&step) {
            Vec::new()
        } else {
            self.first(step, self.of.patterns.count as usize)?.to_vec()
        };
        let cost = self.of.budgets.cost(step);
        let fresh = || Visit { cost, values, confirmed: None };
        Ok(self.visits.entry(step).or_insert_with(fresh))
    }

    /// Whether the target is reached under the patterns that find.
    fn reaches(&mut self, step: usize) -> Result<bool, B::Error> {
        let target = self.of.target;
        Ok(target.is_reached(&self.visit(step)?.values))
    }

    /// Whether the target is reached under those and under the patterns that confirm. The latter are asked
    /// only where the former say so.
    pub(super) fn is_confirmed(&mut self, step: usize) -> Result<bool, B::Error> {
        if !self.reaches(step)? {
            return Ok(false);
        }
        let target = self.of.target;
        let again = self.ask_all(step)?.confirmed.as_deref().unwrap_or_default();
        Ok(target.is_reached(again))
    }

    /// Tries a budget under all patterns that find and confirm.
    fn ask_all(&mut self, step: usize) -> Result<&Visit, B::Error> {
        if self.visit(step)?.confirmed.is_none() {
            let again = self.values(step, self.of.patterns.confirm())?;
            self.visit(step)?.confirmed = Some(again);
        }
        Ok(&*self.visit(step)?)
    }
}

/// Curves made up for tests.
#[cfg(test)]
pub(super) mod made {
    use super::*;

    /// Values around a mean for each step, as far from it as the pattern says.
    #[derive(Default)]
    pub(in super::super) struct Made {
        pub(in super::super) means: Vec<f64>,
        pub(in super::super) spread: f64,
        /// So many bits a step; 10 if none are said.
        pub(in super::super) bits: u64,
        /// So much worse are the patterns that confirm a comparison under 20.
        pub(in super::super) worse: f64,
        /// The first ten of 20 patterns are so much better, and the others so much worse.
        pub(in super::super) hasty: f64,
        /// A sign, for metrics of which less is better.
        pub(in super::super) falls: bool,
    }

    impl Made {
        /// From 10 % to 90 %, more slowly towards the end, and not quite in order.
        pub(in super::super) fn rising(steps: usize) -> Self {
            let mean = |step: usize| {
                let x = step as f64 / steps as f64;
                0.1 + 0.8 * (1.0 - (-6.0 * x).exp()) + 2e-4 * (step as f64 * 0.7).sin()
            };
            Self { means: (0..steps).map(mean).collect(), spread: 0.04, ..Self::default() }
        }

        pub(in super::super) fn judge(&self, target: Target) -> BudgetSearch {
            let search = Search::new(self, target, Patterns::to_judge(50));
            search.judge([0, self.means.len() - 1]).unwrap()
        }

        pub(in super::super) fn judged(&self, level: f64) -> BudgetSearch {
            self.judge(Target::mean(level))
        }
    }

    impl Budgets for Made {
        type Error = DeployError;

        fn steps(&self) -> usize {
            self.means.len()
        }

        fn cost(&self, step: usize) -> u64 {
            step as u64 * if self.bits == 0 { 10 } else { self.bits }
        }

        fn values(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>, DeployError> {
            let confirms = Patterns::to_compare(20).confirm().contains(&patterns.start);
            let mean = self.means[step] - if confirms { self.worse } else { 0.0 };
            let of = |pattern: u32| {
                let noise = f64::from(pattern.wrapping_mul(0x9E37_79B9)) / f64::from(u32::MAX);
                let hasty = if pattern < 10 { self.hasty } else { -self.hasty };
                let value = mean + hasty + self.spread * (noise - 0.5);
                if self.falls { -value } else { value }
            };
            Ok(patterns.map(of).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::made::Made;
    use super::*;
    use crate::budget::BudgetSteps;

    /// The first of all steps that reaches the target twice.
    fn first(made: &Made, target: Target) -> Option<usize> {
        let reaches = |step| {
            let patterns = Patterns::to_judge(50);
            let mut asked = [patterns.find(), patterns.confirm()].into_iter();
            asked.all(|patterns| target.is_reached(&made.values(step, patterns).unwrap()))
        };
        (0..made.means.len()).find(|&step| reaches(step))
    }

    /// Against a look at every step. A bump of the curve may hide a step from bisection, but not one
    /// that is worth more than the bump.
    #[test]
    fn the_smallest_budget_is_found() {
        let made = Made::rising(1000);
        for level in [0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.89] {
            let found = made.judged(level);
            let first = first(&made, Target::mean(level)).unwrap();
            assert!(found.step >= first && !found.missed, "{level}: {} {first}", found.step);
            let gained = made.means[found.step] - made.means[first];
            assert!(gained <= 4.1e-4, "{level}: {} {first}", found.step);
        }
    }

    /// The same in yield: the share of patterns above the level, at every step.
    #[test]
    fn the_smallest_budget_in_yield_is_found_and_is_dearer() {
        let made = Made::rising(1000);
        for level in [0.3, 0.6, 0.8] {
            let mut dearer = 0;
            for share in [0.5, 0.9, 1.0] {
                let target = Target::in_yield(level, share).unwrap();
                let found = made.judge(target);
                let first = first(&made, target).unwrap();
                assert!(found.step >= first && !found.missed, "{target:?}: {found:?}");
                let gained = made.means[found.step] - made.means[first];
                assert!(gained <= 4.1e-4, "{target:?}: {} {first}", found.step);
                assert!(found.cost > dearer, "{target:?}");
                dearer = found.cost;
            }
            // The worst device lies two points below the mean.
            assert!(dearer > made.judged(level).cost);
        }
    }

    /// Where less is better everything is mirrored.
    #[test]
    fn a_metric_that_falls_is_searched_alike() {
        let rising = Made::rising(1000);
        let falling = Made { falls: true, ..Made::rising(1000) };
        for (criterion, level) in [(Criterion::Mean, 0.6), (Criterion::Yield(0.9), 0.7)] {
            let target = Target { criterion, ..Target::mean(level) };
            let mirrored = Target { level: -level, ..target }.at_most();
            let (a, b) = (rising.judge(target), falling.judge(mirrored));
            assert_eq!((a.step, a.bracket, a.missed), (b.step, b.bracket, b.missed));
            let (a, b) = (a.crossing.bits().unwrap(), b.crossing.bits().unwrap());
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }

    /// What confirms is one point worse than what finds.
    #[test]
    fn where_a_budget_is_not_confirmed_the_next_ones_are_tried_and_none_is_skipped() {
        let means = (0..2000).map(|i| f64::from(i) / 2000.0).collect();
        let worse = Made { means, worse: 0.01, ..Made::default() };
        // 0.5 is found at step 1000, and confirmed 20 steps later.
        let search = Search::new(&worse, Target::mean(0.5), Patterns::to_compare(20));
        assert_eq!(search.smallest().unwrap().step, 1020);
    }

    #[test]
    fn the_interval_is_one_of_what_is_reported() {
        let made = Made::rising(1000);
        for level in [0.3, 0.6, 0.85] {
            let found = made.judged(level);
            let all: Vec<usize> = (0..50).collect();
            assert_eq!(found.cost_over(&all), found.cost);
            assert_eq!(found.crossing.bits(), Some(found.interpolated()));
            let dearest = found.visits.values().next_back().unwrap();
            assert!(dearest.is_sure(&found.target), "{level}");
            // Hardly any resample is worse than all that was tried.
            let mut rng = qtaml_fault::Seed(5).rng("resamples", 0);
            let beyond = (0..1000).filter(|_| {
                use rand::RngExt as _;
                let drawn: Vec<usize> = (0..50).map(|_| rng.random_range(0..50)).collect();
                found.visits.values().all(|visit| !visit.reaches(&found.target, &drawn))
            });
            assert!(beyond.count() < 10, "{level}");
            let interval = found.interval(500, qtaml_fault::Seed(1));
            let cost = found.cost as f64;
            assert!(interval.low <= cost && cost <= interval.high && !interval.no_width);
            let between = found.interpolated_interval(500, qtaml_fault::Seed(1));
            let bits = found.interpolated();
            assert!(between.low <= bits && bits <= between.high && bits <= cost, "{between:?}");
        }
    }

    /// One coarse step, whatever is resampled.
    #[test]
    fn an_interval_of_one_step_says_that_it_has_no_width() {
        let made = Made { means: vec![0.1, 0.9], spread: 0.1, ..Made::default() };
        let found = made.judged(0.5);
        let interval = found.interval(200, qtaml_fault::Seed(1));
        assert_eq!((interval.ends(), interval.no_width), ([10.0; 2], true));
        assert!(!found.interpolated_interval(200, qtaml_fault::Seed(1)).no_width);
        assert!((found.crossing.bits().unwrap() - 5.0).abs() < 0.5, "{:?}", found.crossing);
    }

    #[test]
    fn a_target_out_of_reach_is_missed_with_everything() {
        let made = Made::rising(40);
        let found = made.judged(0.95);
        assert!(found.missed);
        assert_eq!((found.step, found.cost, found.crossing), (39, 390, Crossing::OutOfReach));
        let least = made.judged(0.0);
        assert_eq!((least.step, least.cost, least.missed), (0, 0, false));
        assert_eq!((least.crossing, least.interpolated()), (Crossing::NotNeeded, 0.0));
    }

    fn crossed(made: &Made, level: f64) -> Crossing {
        Search::new(made, Target::mean(level), Patterns::to_compare(20)).crossing().unwrap()
    }

    #[test]
    fn a_crossing_lies_on_the_line_between_two_steps() {
        let made = Made { means: vec![0.1, 0.3, 0.5, 0.9], ..Made::default() };
        // Each step costs 10 bits.
        for (level, cost) in [(0.2, 5.0), (0.5, 20.0), (0.6, 22.5), (0.9, 30.0)] {
            let found = crossed(&made, level).bits().unwrap();
            assert!((found - cost).abs() < 1e-9, "{level}: {found}");
            let search = Search::new(&made, Target::mean(level), Patterns::to_compare(20));
            let found = search.smallest().unwrap().crossing.bits().unwrap();
            assert!((found - cost).abs() < 1e-9, "{level}: {found}");
        }
        let ends = (crossed(&made, 0.05), crossed(&made, 0.95));
        assert_eq!(ends, (Crossing::NotNeeded, Crossing::OutOfReach));
    }

    /// The first patterns may say of a step what all of them deny.
    #[test]
    fn a_crossing_stays_between_its_two_steps() {
        let found = |hasty: f64| {
            let means = vec![0.1, 0.3, 0.5, 0.9];
            crossed(&Made { means, hasty, ..Made::default() }, 0.4).bits().unwrap()
        };
        // Where the mean of 0.3 is taken for enough, it is the dearer step; where 0.5 is not, the
        // cheaper one.
        assert!((found(0.15) - 10.0).abs() < 1e-9, "{}", found(0.15));
        assert!((found(-0.15) - 20.0).abs() < 1e-9, "{}", found(-0.15));
    }

    /// With early decision a search asks for less, and finds the same.
    #[test]
    fn no_pattern_is_asked_for_twice_and_few_tell_most() {
        let made = Made::rising(1000);
        let asked = Mutex::new(Vec::new());
        let budgets = BudgetSteps::new(
            (0..1000).map(|step| 10 * step).collect(),
            |step, patterns: Range<u32>| {
                asked.lock().unwrap().extend(patterns.clone().map(|pattern| (step, pattern)));
                made.values(step, patterns)
            },
        );
        let ticks = AtomicU32::new(0);
        let tick = || {
            ticks.fetch_add(1, Ordering::Relaxed);
        };
        let [few, all] = [EarlyDecision::default(), EarlyDecision::NEVER].map(|early| {
            let search = Search::new(&budgets, Target::mean(0.6), Patterns::to_compare(50));
            let found = search.with_early_decision(early).on_step(&tick).smallest().unwrap();
            let mut asked = std::mem::take(&mut *asked.lock().unwrap());
            let count = asked.len();
            asked.sort_unstable();
            asked.dedup();
            assert_eq!(asked.len(), count, "asked twice");
            (found, count)
        });
        assert_eq!((few.0.step, few.0.cost), (all.0.step, all.0.cost));
        assert!(few.1 < all.1, "{} {}", few.1, all.1);
        assert_eq!(all.0.bracket, [0, 999], "nothing was decided early");
        assert!((18..=22).contains(&ticks.load(Ordering::Relaxed)), "{ticks:?}");
    }

    #[test]
    fn what_cannot_be_searched_is_refused() {
        let made = Made::rising(40);
        let target = Target::mean(0.5);
        let error =
            |search: Search<'_, Made>, within| search.judge(within).unwrap_err().to_string();
        let search = Search::new(&made, target, Patterns::to_judge(20));
        assert_eq!(error(search, [3, 40]), "steps 3 to 40 are no part of a path of 40 steps");
        assert!(search.judge([4, 3]).is_err());
        let few = Search::new(&made, target, Patterns::to_judge(1));
        assert!(matches!(few.smallest(), Err(DeployError::Budget(BudgetError::TooFew { .. }))));
        let impossible = Target { criterion: Criterion::Yield(2.0), ..target };
        let impossible = Search::new(&made, impossible, Patterns::to_judge(20));
        assert!(matches!(
            impossible.crossing(),
            Err(DeployError::Budget(BudgetError::OutOfRange { .. }))
        ));
        let none = Made::default();
        let none = Search::new(&none, target, Patterns::to_judge(20)).smallest();
        assert!(matches!(none, Err(DeployError::Budget(BudgetError::NoSteps))));
        let short = BudgetSteps::new(vec![0, 1], |_, _| Ok::<_, DeployError>(vec![0.5]));
        let short = Search::new(&short, target, Patterns::to_judge(20)).smallest().unwrap_err();
        assert_eq!(short.to_string(), "step 0 has 1 values under 5 fault patterns");
    }

    #[test]
    fn what_was_found_is_read_back() {
        let found = Made::rising(100).judge(Target::in_yield(0.6, 0.9).unwrap());
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<BudgetSearch>(&json).unwrap(), found);
    }
}
