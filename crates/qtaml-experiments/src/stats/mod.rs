//! Statistics that the claims share.

mod paired;
mod rank;
mod sequential;

use anyhow::{Context, Result, ensure};
use qtaml::deploy::budget;
use qtaml::fault::Seed;
use qtaml_chart::Point;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::results::{Value, Verdict};

pub use paired::{Paired, holm};
pub use rank::spearman;
pub use sequential::{Look, until_decided};

/// How often an interval misses where nothing else is said.
pub const LEVEL: f64 = 0.05;

/// A mean with its interval, of 95 % where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its interval by Student's t.
    pub interval: [f64; 2],
    /// The standard deviation of one value.
    pub deviation: f64,
}

impl Mean {
    /// The mean of so many times each value, for a factor above zero.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        let Self { value, interval, deviation } = self;
        Self {
            value: factor * value,
            interval: interval.map(|end| factor * end),
            deviation: factor * deviation,
        }
    }

    /// A mean in percent as a point of a figure: no interval leaves the range from 0 to 100.
    pub fn percent_at(self, x: f64) -> Point {
        let interval = self.interval.map(|end| end.clamp(0.0, 100.0));
        Point { x, y: self.value, interval: Some(interval) }
    }
}

/// A share in percent as a cell of a table, empty if it is not known.
pub fn percent(share: Option<f64>) -> Value {
    share.map_or(Value::Text(String::new()), |share| Value::Number(100.0 * share))
}

/// Mean of at least two values.
///
/// # Errors
///
/// Fewer than two values.
pub fn mean(values: &[f64]) -> Result<Mean> {
    mean_at(values, LEVEL)
}

/// Mean of at least two values, with an interval that misses as often as `level` says.
///
/// # Errors
///
/// Fewer than two values.
pub fn mean_at(values: &[f64], level: f64) -> Result<Mean> {
    ensure!(values.len() >= 2, "a mean with an interval needs two values, not {}", values.len());
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - value).powi(2)).sum::<f64>() / (n - 1.0);
    let t =
        StudentsT::new(0.0, 1.0, n - 1.0).context("Student's t")?.inverse_cdf(1.0 - level / 2.0);
    let half = t * (variance / n).sqrt();
    Ok(Mean { value, interval: [value - half, value + half], deviation: variance.sqrt() })
}

/// The geometric mean of at least two ratios, with its 95 % interval by Student's t on their logarithms.
///
/// # Errors
///
/// Fewer than two ratios, or one that is not above zero.
pub fn geometric_mean(ratios: &[f64]) -> Result<Mean> {
    geometric_mean_at(ratios, LEVEL)
}

/// The same with an interval that misses as often as `level` says.
///
/// # Errors
///
/// As [`geometric_mean`].
pub fn geometric_mean_at(ratios: &[f64], level: f64) -> Result<Mean> {
    ensure!(ratios.iter().all(|ratio| *ratio > 0.0), "ratios must be above zero: {ratios:?}");
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let Mean { value, interval, deviation } = mean_at(&logs, level)?;
    Ok(Mean { value: value.exp(), interval: interval.map(f64::exp), deviation: deviation.exp() })
}

/// What a 95 % interval says of a source's range, where `no_effect` is the value of a claim that is
/// empty: `reproduced` if the interval meets the range and excludes no effect, `not reproduced` if it
/// excludes both, `contradicted` if it misses the range and does not exclude no effect, and `undecided` if
/// it is too wide to exclude either.
pub fn judge(interval: [f64; 2], source: [f64; 2], no_effect: f64) -> Verdict {
    let meets = interval[0] <= source[1] && source[0] <= interval[1];
    let effect =
        if source[0] > no_effect { interval[0] > no_effect } else { interval[1] < no_effect };
    match (meets, effect) {
        (true, true) => Verdict::Reproduced,
        (false, true) => Verdict::NotReproduced,
        (false, false) => Verdict::Contradicted,
        (true, false) => Verdict::Undecided,
    }
}

/// The 95 % percentile-bootstrap interval of a statistic of `n` exchangeable units: it is handed
/// the positions of a resample.
///
/// # Errors
///
/// What the statistic fails with.
pub fn bootstrap(
    n: usize,
    resamples: usize,
    seed: Seed,
    statistic: impl Fn(&[usize]) -> Result<f64>,
) -> Result<[f64; 2]> {
    Ok(budget::bootstrap(n, resamples, seed, statistic)?.ends())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Student's sleep data (1908), drug 2: R's `t.test` gives mean 2.33, interval 0.898 to 3.762.
    #[test]
    fn the_interval_is_students() {
        let sleep = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let mean = mean(&sleep).unwrap();
        assert!((mean.value - 2.33).abs() < 1e-12);
        assert!((mean.interval[0] - 0.897_677_5).abs() < 1e-6, "{mean:?}");
        assert!((mean.interval[1] - 3.762_322_5).abs() < 1e-6, "{mean:?}");
        assert!(super::mean(&[1.0]).is_err());
    }

    /// Of 1 and 4 it is 2; with one degree of freedom half of the interval is 12.706 ln(2).
    #[test]
    fn a_geometric_mean_is_the_mean_of_logarithms() {
        let found = geometric_mean(&[1.0, 4.0]).unwrap();
        assert!((found.value - 2.0).abs() < 1e-12);
        assert!((found.interval[1].ln() - 13.706_205 * 2.0_f64.ln()).abs() < 1e-4, "{found:?}");
        assert!(geometric_mean(&[1.0, 0.0]).is_err());
    }

    #[test]
    fn a_verdict_needs_the_source_met_and_an_effect() {
        let more = [3.4, f64::INFINITY];
        assert_eq!(judge([3.0, 4.0], more, 1.0), Verdict::Reproduced);
        assert_eq!(judge([1.2, 1.4], more, 1.0), Verdict::NotReproduced);
        assert_eq!(judge([0.9, 1.1], more, 1.0), Verdict::Contradicted);
        assert_eq!(judge([0.5, 9.0], more, 1.0), Verdict::Undecided, "too wide to tell");
        let less = [0.49, 0.49];
        assert_eq!(judge([0.4, 0.6], less, 1.0), Verdict::Reproduced);
        assert_eq!(judge([0.6, 0.9], less, 1.0), Verdict::NotReproduced);
        assert_eq!(judge([0.9, 1.1], less, 1.0), Verdict::Contradicted);
    }

    #[test]
    fn the_bootstrap_of_a_mean_is_close_to_students_interval() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 101)).collect();
        let of = |at: &[usize]| Ok(at.iter().map(|&i| values[i]).sum::<f64>() / at.len() as f64);
        let [low, high] = bootstrap(values.len(), 2000, Seed(1), of).unwrap();
        let [t_low, t_high] = mean(&values).unwrap().interval;
        assert!((low - t_low).abs() < 0.6 && (high - t_high).abs() < 0.6, "{low} {high}");
    }
}
