//! The metric over devices: mean with interval, yield, and what all but a few reach.

use serde::{Deserialize, Serialize};

use crate::BudgetError;
use crate::budget::{Criterion, Estimate, Target};

/// The metric of one stored model on many devices, each with its own faults.
///
/// ```
/// use qtaml_deploy::budget::Target;
/// use qtaml_deploy::planner::Distribution;
///
/// let accuracies = (0..21).map(|device| 0.90 + 0.005 * f64::from(device)).collect();
/// let metric = Distribution::new(accuracies, &Target::mean(0.95))?;
/// assert!((metric.mean.value - 0.95).abs() < 1e-12 && metric.is_reached);
/// assert!((metric.fifth_percentile - 0.905).abs() < 1e-12);
/// assert!((metric.kept.value - 11.0 / 21.0).abs() < 1e-12);
/// # Ok::<(), qtaml_deploy::BudgetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Distribution {
    /// The number of devices.
    pub devices: usize,
    /// The mean, with Student's interval.
    pub mean: Estimate,
    /// What 95 % of the devices reach: the fifth percentile, the ninety-fifth of a metric of which smaller
    /// values are better.
    pub fifth_percentile: f64,
    /// The share of devices that keep the level, with the interval of Clopper and Pearson.
    pub kept: Estimate,
    /// Whether the target is reached, in the mean or in yield as it says.
    pub is_reached: bool,
}

impl Distribution {
    /// The distribution of these values, one for each device, and how they stand to a target.
    ///
    /// # Errors
    /// [`BudgetError::TooFew`] for fewer than two devices.
    pub fn new(values: Vec<f64>, target: &Target) -> Result<Self, BudgetError> {
        let as_mean = Target { criterion: Criterion::Mean, ..*target };
        let as_yield = Target { criterion: Criterion::Yield(1.0), ..*target };
        let (mean, kept) = (as_mean.estimate(&values)?, as_yield.estimate(&values)?);
        let is_reached = target.is_reached(&values);
        let devices = values.len();
        let fifth_percentile = all_but_a_twentieth(values, target.higher_is_better);
        Ok(Self { devices, mean, fifth_percentile, kept, is_reached })
    }
}

/// The value that 95 % reach, on the line between two order statistics (definition 7 of R. J. Hyndman and
/// Y. Fan, The American Statistician 50, 361, 1996).
fn all_but_a_twentieth(mut values: Vec<f64>, higher_is_better: bool) -> f64 {
    // What is no number is the worst that there is.
    values.sort_by(|a, b| {
        let worst = |x: &f64| !x.is_nan();
        let order = if higher_is_better { a.total_cmp(b) } else { b.total_cmp(a) };
        worst(a).cmp(&worst(b)).then(order)
    });
    let at = 0.05 * (values.len() - 1) as f64;
    let (low, share) = (at.floor() as usize, at.fract());
    let next = values[(low + 1).min(values.len() - 1)];
    if share == 0.0 { values[low] } else { values[low] + share * (next - values[low]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bad_end_is_that_of_the_metric() {
        let values: Vec<f64> = (0..41).map(f64::from).collect();
        let accuracy = Distribution::new(values.clone(), &Target::mean(20.0)).unwrap();
        assert_eq!(accuracy.fifth_percentile, 2.0);
        let loss = Distribution::new(values, &Target::mean(20.0).at_most()).unwrap();
        assert_eq!((loss.fifth_percentile, loss.is_reached), (38.0, true));
        assert_eq!(loss.kept.value, 21.0 / 41.0);
    }

    #[test]
    fn what_is_no_number_is_the_worst() {
        let values = [f64::NAN, 1.0, 1.0, 1.0];
        let metric = Distribution::new(values.to_vec(), &Target::mean(0.5)).unwrap();
        assert!(metric.fifth_percentile.is_nan() && !metric.is_reached);
        assert_eq!(metric.kept.value, 0.75);
        assert!(Distribution::new(vec![1.0], &Target::mean(0.5)).is_err());
    }
}
