//! The gain of one scheme over another: the ratio of their budgets under the same fault patterns.

use qtaml_fault::Seed;
use serde::{Deserialize, Serialize};

use super::{BudgetSearch, Interval, bootstrap};
use crate::BudgetError;

/// A budget over the bits of all weights.
#[derive(Debug, Clone, Copy)]
pub struct Overhead<'a> {
    search: &'a BudgetSearch,
    weight_bits: f64,
}

impl<'a> Overhead<'a> {
    /// What was found for weights of so many bits.
    ///
    /// # Errors
    /// [`BudgetError::OutOfRange`] unless there are bits.
    pub fn new(search: &'a BudgetSearch, weight_bits: f64) -> Result<Self, BudgetError> {
        if !(weight_bits.is_finite() && weight_bits > 0.0) {
            let (what, allowed) = ("the bits of all weights", "a finite number above 0");
            return Err(BudgetError::OutOfRange { what, value: weight_bits, allowed });
        }
        Ok(Self { search, weight_bits })
    }

    /// The budget by steps of the path over the bits of all weights. One that needs nothing is counted
    /// with a single bit, so that ratios stay finite.
    pub fn value(self) -> f64 {
        self.of(self.search.cost as f64)
    }

    /// The same for the interpolated budget.
    pub fn interpolated(self) -> f64 {
        self.of(self.search.interpolated())
    }

    fn of(self, bits: f64) -> f64 {
        bits.max(1.0) / self.weight_bits
    }
}

/// A ratio of overheads, with its 95 % interval over fault patterns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gain {
    /// The ratio by steps of the paths.
    pub ratio: f64,
    /// Its interval. It has no width where all resamples find the same steps.
    pub interval: Interval,
    /// The ratio of interpolated budgets.
    pub interpolated: f64,
    /// Its interval.
    pub interpolated_interval: Interval,
    /// Whether one of the two misses its target: it is then counted with all that was tried, and the
    /// ratio compares no equals.
    pub missed: bool,
}

/// How many times less `of` needs than `over`. Whole fault patterns are drawn again, and both see the
/// same ones.
///
/// # Errors
/// [`BudgetError::Unpaired`] if the two were searched under other fault patterns.
pub fn gain(
    over: Overhead<'_>,
    of: Overhead<'_>,
    resamples: usize,
    seed: Seed,
) -> Result<Gain, BudgetError> {
    let (left, right) = (over.search.patterns, of.search.patterns);
    if left != right {
        let (left, right) = (left.to_string(), right.to_string());
        return Err(BudgetError::Unpaired { left, right });
    }
    let resampled = |bits: fn(&BudgetSearch, &[usize]) -> f64| {
        bootstrap(left.count as usize, resamples, seed, |patterns| {
            let of_search = |overhead: Overhead<'_>| overhead.of(bits(overhead.search, patterns));
            Ok::<_, BudgetError>(of_search(over) / of_search(of))
        })
    };
    Ok(Gain {
        ratio: over.value() / of.value(),
        interval: resampled(|search, patterns| search.cost_over(patterns) as f64)?,
        interpolated: over.interpolated() / of.interpolated(),
        interpolated_interval: resampled(BudgetSearch::bits_over)?,
        missed: over.search.missed || of.search.missed,
    })
}

#[cfg(test)]
mod tests {
    use super::super::search::made::Made;
    use super::*;

    /// A baseline of coarse steps, and a scheme that needs a fraction of it.
    fn searches() -> [BudgetSearch; 2] {
        let curve = |steps: usize, bits| {
            let means = (0..=steps).map(|step| step as f64 / steps as f64).collect();
            Made { means, spread: 0.1, bits, ..Made::default() }
        };
        [curve(8, 1000), curve(100, 10)].map(|made| made.judged(0.6))
    }

    /// Linear curves: the baseline crosses 0.6 of 8 steps at 4800 bits, the scheme 0.6 of 100 at 600.
    #[test]
    fn interpolated_gains_are_those_of_the_curves() {
        let [over, of] = searches();
        let overhead = |search| Overhead::new(search, 8000.0).unwrap();
        let found = gain(overhead(&over), overhead(&of), 500, Seed(1)).unwrap();
        assert!((found.interpolated / 8.0 - 1.0).abs() < 0.05, "{found:?}");
        // By steps the baseline needs 5 of 8.
        assert!((over.cost, found.ratio) == (5000, 5000.0 / of.cost as f64), "{found:?}");
        let [low, high] = found.interpolated_interval.ends();
        assert!(low < found.interpolated && found.interpolated < high, "{found:?}");
        assert!(!found.missed && !found.interpolated_interval.no_width);
        assert!((overhead(&over).value(), overhead(&over).interpolated() < 0.625) == (0.625, true));
    }

    /// The same scheme twice is the same under all resamples.
    #[test]
    fn pairs_see_the_same_patterns() {
        let [search, _] = searches();
        let overhead = Overhead::new(&search, 8000.0).unwrap();
        let found = gain(overhead, overhead, 200, Seed(1)).unwrap();
        assert_eq!((found.interval.ends(), found.interval.no_width), ([1.0; 2], true));
        assert_eq!(found.interpolated_interval.ends(), [1.0; 2]);
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        let [judged, _] = searches();
        let mut other = judged.clone();
        other.patterns = super::super::Patterns::to_compare(50);
        let overhead = |search| Overhead::new(search, 8000.0).unwrap();
        let error = gain(overhead(&judged), overhead(&other), 10, Seed(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "searches under 50 fault patterns from number 3145728 and 50 fault patterns from number \
             0 cannot be compared in pairs: the same fault patterns are needed"
        );
        for bits in [0.0, -1.0, f64::NAN] {
            assert!(Overhead::new(&judged, bits).is_err(), "{bits}");
        }
    }
}
