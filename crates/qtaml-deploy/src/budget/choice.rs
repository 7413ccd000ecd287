//! The choice of a budget with few trials: what schemes that compete are told apart by.

use serde::{Deserialize, Serialize};

use super::search::Walk;
use super::{Budgets, Search};

/// So many steps lie between a guess and the next step that is tried; each stride after it is twice as long.
const STRIDE: usize = 4;

/// The budget that a scheme needs, and no word on how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Choice {
    /// The step; the last one if none keeps the target.
    pub step: usize,
    /// What it costs, in bits.
    pub cost: u64,
    /// Whether not even the last step keeps the target.
    pub missed: bool,
}

impl<B: Budgets> Search<'_, B> {
    /// The smallest budget that keeps the target under the patterns that find and under as many others, with
    /// fewer trials than [`smallest`](Self::smallest), which tells how sure it is as well: near a guess, if
    /// there is one, in strides that double.
    ///
    /// # Errors
    /// As [`smallest`](Self::smallest).
    pub fn choose(self, guess: Option<usize>) -> Result<Choice, B::Error> {
        let (last, budgets) = (self.checked_last()?, self.budgets);
        let mut walk = Walk::new(self, last);
        let within = match guess {
            Some(guess) => walk.around(guess.min(last))?,
            None => Some([0, last]),
        };
        let (mut step, mut missed) = (last, true);
        if let Some(within) = within {
            let (first, _) = walk.bisect(within)?;
            step = walk.confirmed_from(first)?;
            missed = !walk.is_confirmed(step)?;
        }
        Ok(Choice { step, cost: budgets.cost(step), missed })
    }
}

impl<B: Budgets> Walk<'_, B> {
    /// Steps around a guess between which the first one lies that is enough. None if the last is not.
    fn around(&mut self, guess: usize) -> Result<Option<[usize; 2]>, B::Error> {
        let (mut step, mut stride) = (guess, STRIDE);
        if self.told(step)? {
            while step > 0 {
                let below = step.saturating_sub(stride);
                if !self.told(below)? {
                    return Ok(Some([below + 1, step]));
                }
                (step, stride) = (below, 2 * stride);
            }
            return Ok(Some([0, 0]));
        }
        while step < self.last {
            let above = self.last.min(step + stride);
            if self.told(above)? {
                return Ok(Some([step + 1, above]));
            }
            (step, stride) = (above, 2 * stride);
        }
        Ok(None)
    }

    fn told(&mut self, step: usize) -> Result<bool, B::Error> {
        let enough = self.seems_enough(step)?;
        self.tick();
        Ok(enough)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Mutex;

    use super::super::search::made::Made;
    use super::super::{Patterns, Target};
    use super::*;
    use crate::DeployError;

    /// Budgets that count what they are asked for, and tell the truth at a glance if they shall.
    struct Counted {
        made: Made,
        steps: usize,
        glances: bool,
        asked: Mutex<Vec<(usize, u32)>>,
    }

    impl Counted {
        fn new(steps: usize, glances: bool) -> Self {
            Self { made: Made::rising(1000), steps, glances, asked: Mutex::default() }
        }

        fn choose(&self, guess: Option<usize>) -> Choice {
            Search::new(self, Target::mean(0.6), Patterns::to_compare(20)).choose(guess).unwrap()
        }

        /// How many values were asked for. None was asked for twice.
        fn count(&self) -> usize {
            let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
            let count = asked.len();
            asked.sort_unstable();
            asked.dedup();
            assert_eq!(asked.len(), count, "asked twice");
            count
        }
    }

    impl Budgets for Counted {
        type Error = DeployError;

        fn steps(&self) -> usize {
            self.steps
        }

        fn cost(&self, step: usize) -> u64 {
            self.made.cost(step)
        }

        fn values(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>, DeployError> {
            self.asked.lock().unwrap().extend(patterns.clone().map(|pattern| (step, pattern)));
            self.made.values(step, patterns)
        }

        fn glance(&self, step: usize) -> Result<Vec<f64>, DeployError> {
            if self.glances { self.made.values(step, 0..8) } else { Ok(Vec::new()) }
        }
    }

    #[test]
    fn it_is_what_a_whole_search_finds_wherever_it_begins() {
        let budgets = Counted::new(1000, false);
        let search = Search::new(&budgets, Target::mean(0.6), Patterns::to_compare(20));
        let whole = search.smallest().unwrap();
        let asked = budgets.count();
        let near = [whole.step - 20, whole.step, whole.step + 20].map(Some);
        for guess in [None, Some(0), Some(999), Some(5000)].into_iter().chain(near) {
            let choice = budgets.choose(guess);
            assert!(choice.step.abs_diff(whole.step) < 4 && !choice.missed, "{guess:?} {choice:?}");
            assert_eq!(choice.cost, budgets.cost(choice.step));
            let is_good = guess.is_none() || near.contains(&guess);
            assert!(budgets.count() < asked || !is_good, "{guess:?}");
        }
    }

    #[test]
    fn glances_spare_trials_and_change_nothing() {
        let [without, with] = [false, true].map(|glances| Counted::new(1000, glances));
        for guess in [None, Some(300)] {
            let (a, b) = (without.choose(guess), with.choose(guess));
            assert!(a.step.abs_diff(b.step) < 4, "{a:?} {b:?}");
            let (many, few) = (without.count(), with.count());
            assert!(few < many, "{few} {many}");
        }
    }

    #[test]
    fn a_path_that_ends_too_early_costs_a_look_at_its_end() {
        let first = Counted::new(1000, false).choose(None).step;
        let short = Counted::new(first * 2 / 3, false);
        let choice = short.choose(Some(usize::MAX));
        assert_eq!((choice.step, choice.missed), (first * 2 / 3 - 1, true));
        assert_eq!(short.count(), 5);
    }
}
