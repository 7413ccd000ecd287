//! Bootstrap intervals.

use qtaml_fault::Seed;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

/// An interval that says when it has no width.
///
/// Budgets by steps of a path may have one: where every resample finds the same step, the interval is
/// that step alone. It then says that the step is coarse, not that the budget is known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interval {
    /// Its lower end.
    #[serde(with = "super::json::number")]
    pub low: f64,
    /// Its upper end.
    #[serde(with = "super::json::number")]
    pub high: f64,
    /// Whether both are the same.
    pub no_width: bool,
}

impl Interval {
    /// The interval between two ends.
    pub fn new(low: f64, high: f64) -> Self {
        Self { low, high, no_width: low == high }
    }

    /// Both ends.
    pub const fn ends(self) -> [f64; 2] {
        [self.low, self.high]
    }
}

/// The 95 % percentile-bootstrap interval of a statistic of `n` exchangeable units, such as fault
/// patterns: it is handed the positions of each of `resamples` resamples. Statistics of the same
/// seed, `n` and `resamples` see the same resamples.
///
/// Without units or resamples there is nothing to tell, and the ends are no numbers.
///
/// # Errors
/// What the statistic fails with.
pub fn bootstrap<E>(
    n: usize,
    resamples: usize,
    seed: Seed,
    statistic: impl Fn(&[usize]) -> Result<f64, E>,
) -> Result<Interval, E> {
    if n == 0 || resamples == 0 {
        return Ok(Interval::new(f64::NAN, f64::NAN));
    }
    let mut rng = seed.rng("bootstrap", 0);
    let mut draws: Vec<f64> = (0..resamples)
        .map(|_| statistic(&(0..n).map(|_| rng.random_range(0..n)).collect::<Vec<_>>()))
        .collect::<Result<_, E>>()?;
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| draws[((draws.len() - 1) as f64 * share).round() as usize];
    Ok(Interval::new(at(0.025), at(0.975)))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::budget::Target;

    #[test]
    fn the_bootstrap_of_a_mean_is_close_to_students_interval() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 101)).collect();
        let of = |at: &[usize]| {
            Ok::<_, Infallible>(at.iter().map(|&i| values[i]).sum::<f64>() / at.len() as f64)
        };
        let found = bootstrap(values.len(), 2000, Seed(1), of).unwrap();
        let [low, high] = Target::mean(0.0).estimate(&values).unwrap().interval;
        assert!((found.low - low).abs() < 0.6 && (found.high - high).abs() < 0.6, "{found:?}");
        assert!(!found.no_width);
    }

    #[test]
    fn an_interval_says_when_it_has_no_width() {
        let same = bootstrap(10, 50, Seed(1), |_| Ok::<_, Infallible>(3.0)).unwrap();
        assert_eq!((same.ends(), same.no_width), ([3.0; 2], true));
        let nothing = bootstrap(0, 50, Seed(1), |_| Ok::<_, Infallible>(3.0)).unwrap();
        assert!(nothing.low.is_nan() && !nothing.no_width);
    }
}
