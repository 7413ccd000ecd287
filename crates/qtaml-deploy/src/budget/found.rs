//! The result of a budget search.

use std::collections::BTreeMap;

use qtaml_fault::Seed;
use serde::{Deserialize, Serialize};

use super::{Criterion, Estimate, Interval, Patterns, Target, bootstrap};

/// A metric at one budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Visit {
    /// What was spent, in bits.
    pub cost: u64,
    /// The metric under each fault pattern that finds.
    #[serde(with = "super::json::numbers")]
    pub values: Vec<f64>,
    /// The same under those that confirm, where they were asked.
    #[serde(with = "super::json::maybe")]
    pub confirmed: Option<Vec<f64>>,
}

impl Visit {
    /// By how much the target is exceeded under those of the patterns that are numbered, and under as
    /// many of those that confirm, if they were asked: the lesser of the two.
    fn lead(&self, target: &Target, patterns: &[usize]) -> f64 {
        // A file may hold less than was tried.
        let value = |values: &[f64], i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        let lead = |values: &Vec<f64>| target.lead(patterns.iter().map(|&i| value(values, i)));
        let first = lead(&self.values);
        self.confirmed.as_ref().map_or(first, |again| {
            let again = lead(again);
            if again < first || again.is_nan() { again } else { first }
        })
    }

    /// Whether it reaches the target over the given patterns, and over as many of those that confirm. A
    /// budget that was never confirmed does not.
    pub(super) fn reaches(&self, target: &Target, patterns: &[usize]) -> bool {
        self.confirmed.is_some() && self.lead(target, patterns) >= 0.0
    }

    /// Whether it would hardly ever reach the target, whatever confirms.
    pub(super) fn is_hopeless(&self, target: &Target) -> bool {
        target.surely(&self.values) == Some(false)
    }

    /// Whether it would nearly always reach the target.
    pub(super) fn is_sure(&self, target: &Target) -> bool {
        let surely = |values: &Vec<f64>| target.surely(values) == Some(true);
        surely(&self.values) && self.confirmed.as_ref().is_some_and(surely)
    }
}

/// Where a path crosses its target: between two steps, on the line through them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Crossing {
    /// The first step reaches it: nothing is needed.
    NotNeeded,
    /// So many bits.
    At(f64),
    /// The last step does not reach it.
    OutOfReach,
}

impl Crossing {
    /// The bits, where there is a crossing.
    pub const fn bits(self) -> Option<f64> {
        match self {
            Self::At(bits) => Some(bits),
            Self::NotNeeded | Self::OutOfReach => None,
        }
    }

    /// Between a step that leads the target by `below`, which is negative, and one that leads it by
    /// `above`. What all patterns say need not be what the first few said.
    pub(super) fn between(costs: [u64; 2], below: f64, above: f64) -> Self {
        let [from, to] = costs.map(|cost| cost as f64);
        let share = match -below / (above - below) {
            _ if below >= 0.0 => 0.0,
            // What is infinitely far below is no part of a line.
            share if share.is_nan() || above < 0.0 => 1.0,
            share => share,
        };
        Self::At(from + (to - from) * share)
    }
}

/// What was found along one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BudgetSearch {
    /// The target.
    pub target: Target,
    /// The fault patterns.
    pub patterns: Patterns,
    /// The step that was found; the last one if none reaches the target.
    pub step: usize,
    /// What it costs, in bits.
    pub cost: u64,
    /// Where the path crosses the target, between the step and the next lower one that was tried.
    pub crossing: Crossing,
    /// The mean or yield of the step under patterns that had no say in it.
    pub fresh: Estimate,
    /// The first step that is not clearly too cheap, and the first that clearly is enough: where a
    /// search under other patterns may begin.
    pub bracket: [usize; 2],
    /// Whether even the whole path does not reach the target.
    pub missed: bool,
    /// The budgets that were tried under all patterns that find, by step.
    pub visits: BTreeMap<usize, Visit>,
}

impl BudgetSearch {
    fn all(&self) -> Vec<usize> {
        (0..self.patterns.count as usize).collect()
    }

    /// The share of devices that reach the level of the target at the step that was found, whatever the
    /// criterion, under the patterns that find and confirm; none if the step was not tried under them. A mean
    /// that reaches it leaves some of the devices below.
    pub fn devices_above(&self) -> Option<f64> {
        let visit = self.visits.get(&self.step)?;
        let one = Target { criterion: Criterion::Mean, ..self.target };
        let values = || visit.values.iter().chain(visit.confirmed.iter().flatten());
        let above = values().filter(|value| one.is_reached(&[**value])).count();
        Some(above as f64 / values().count() as f64)
    }

    /// The cost of the first visited budget that reaches the target under the given patterns; if none
    /// does, of the dearest.
    pub fn cost_over(&self, patterns: &[usize]) -> u64 {
        let reached = self.visits.values().find(|visit| visit.reaches(&self.target, patterns));
        reached.or(self.visits.values().next_back()).map_or(0, |visit| visit.cost)
    }

    /// Where the path crosses the target under the given patterns, on the line between visited budgets.
    pub(super) fn crossing_over(&self, patterns: &[usize]) -> Crossing {
        let mut before: Option<&Visit> = None;
        for (&step, visit) in &self.visits {
            if visit.reaches(&self.target, patterns) {
                let lead = |visit: &Visit| visit.lead(&self.target, patterns);
                return match before {
                    None if step == 0 => Crossing::NotNeeded,
                    // Nothing cheaper was tried.
                    None => Crossing::At(visit.cost as f64),
                    Some(below) => {
                        Crossing::between([below.cost, visit.cost], lead(below), lead(visit))
                    }
                };
            }
            before = Some(visit);
        }
        Crossing::OutOfReach
    }

    /// The same in bits: the first budget if nothing is needed, the dearest if nothing is enough.
    pub(super) fn bits_over(&self, patterns: &[usize]) -> f64 {
        match self.crossing_over(patterns) {
            Crossing::At(bits) => bits,
            Crossing::NotNeeded | Crossing::OutOfReach => self.cost_over(patterns) as f64,
        }
    }

    pub(super) fn crossed(self) -> Self {
        Self { crossing: self.crossing_over(&self.all()), ..self }
    }

    /// The interpolated budget in bits: the cost of the first step if nothing is needed, of the dearest
    /// tried if nothing is enough.
    pub fn interpolated(&self) -> f64 {
        self.bits_over(&self.all())
    }

    /// The 95 % bootstrap interval of the cost over fault patterns, among the budgets that were tried. It
    /// has no width where all resamples find the same step.
    ///
    /// Resamples hold no device that was not seen. For a yield near 1 there are few failing ones to be
    /// seen: the interval of [`fresh`](Self::fresh) says what so many devices can tell at all.
    pub fn interval(&self, resamples: usize, seed: Seed) -> Interval {
        self.resampled(resamples, seed, |patterns| self.cost_over(patterns) as f64)
    }

    /// The 95 % bootstrap interval of the interpolated budget over fault patterns.
    pub fn interpolated_interval(&self, resamples: usize, seed: Seed) -> Interval {
        self.resampled(resamples, seed, |patterns| self.bits_over(patterns))
    }

    fn resampled(
        &self,
        resamples: usize,
        seed: Seed,
        statistic: impl Fn(&[usize]) -> f64,
    ) -> Interval {
        let never = |patterns: &[usize]| Ok::<_, std::convert::Infallible>(statistic(patterns));
        let Ok(interval) = bootstrap(self.patterns.count as usize, resamples, seed, never);
        interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_crossed_between_its_ends() {
        let between = |below, above| Crossing::between([10, 30], below, above).bits().unwrap();
        assert_eq!(between(-1.0, 3.0), 15.0);
        assert_eq!(between(-1.0, 0.0), 30.0);
        assert_eq!((between(0.0, 1.0), between(0.5, 1.0)), (10.0, 10.0));
        assert_eq!((between(-1.0, -0.5), between(f64::NEG_INFINITY, 1.0)), (30.0, 30.0));
        assert_eq!((between(f64::NAN, 1.0), between(-1.0, f64::NAN)), (30.0, 30.0));
    }

    #[test]
    fn what_a_file_lacks_reaches_nothing() {
        let mut found = crate::budget::search::made::Made::rising(40).judged(0.6);
        found.visits.values_mut().for_each(|visit| visit.values.truncate(10));
        assert_eq!(found.crossing_over(&[0, 49]), Crossing::OutOfReach);
        assert!(found.interval(10, Seed(1)).no_width);
    }

    #[test]
    fn devices_above_the_level_are_counted_one_by_one() {
        let mut found = crate::budget::search::made::Made::rising(40).judged(0.6);
        let visit = found.visits.get_mut(&found.step).unwrap();
        visit.values = vec![0.7, 0.5, 0.6, 0.9];
        visit.confirmed = Some(vec![0.1, 0.8]);
        assert_eq!(found.devices_above(), Some(4.0 / 6.0));
        found.visits.clear();
        assert_eq!(found.devices_above(), None);
    }

    #[test]
    fn the_lesser_of_both_means_counts() {
        let target = Target::mean(0.5);
        let visit =
            |again: Option<Vec<f64>>| Visit { cost: 1, values: vec![0.75, 0.25], confirmed: again };
        let none = visit(None);
        assert_eq!((none.lead(&target, &[0]), none.reaches(&target, &[0])), (0.25, false));
        let both = visit(Some(vec![0.625, 0.5]));
        assert_eq!((both.lead(&target, &[0]), both.reaches(&target, &[0])), (0.125, true));
        assert_eq!((both.lead(&target, &[1, 1]), both.reaches(&target, &[1, 1])), (-0.25, false));
        assert!(!visit(Some(vec![f64::NAN, 0.5])).reaches(&target, &[0]));
    }
}
