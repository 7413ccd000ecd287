//! A mean accuracy at a place on an axis.

use anyhow::Result;
use qtaml_chart::Point;
use serde::Serialize;

use crate::stats::{Mean, mean};

/// A mean accuracy in percent, and where it was measured: at a flip probability, or with a budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Where.
    pub x: f64,
    /// In percent.
    pub accuracy: Mean,
}

impl Level {
    /// The mean of accuracies between 0 and 1.
    ///
    /// # Errors
    ///
    /// Fewer than two values.
    pub fn new(x: f64, accuracies: &[f64]) -> Result<Self> {
        Ok(Self { x, accuracy: mean(accuracies)?.times(100.0) })
    }

    /// As a point of a figure.
    pub fn point(self) -> Point {
        self.accuracy.percent_at(self.x)
    }
}

/// Where a curve first falls below the target, on a straight line between two points whose flip
/// probabilities are drawn logarithmically.
pub fn falls(levels: &[Level], target: f64) -> Option<f64> {
    let accuracy = |level: &Level| level.accuracy.value;
    let below = levels.iter().position(|level| accuracy(level) < target)?;
    let (before, after) = (levels[below.saturating_sub(1)], levels[below]);
    if below == 0 {
        return Some(after.x);
    }
    let share = (accuracy(&before) - target) / (accuracy(&before) - accuracy(&after));
    Some(before.x * (after.x / before.x).powf(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_falls_between_two_points() {
        let level = |(x, value)| {
            let accuracy = Mean { value, interval: [value; 2], deviation: 0.0 };
            Level { x, accuracy }
        };
        let curve = |y: [f64; 3]| -> Vec<Level> {
            [1e-4, 1e-2, 0.1].into_iter().zip(y).map(level).collect()
        };
        assert_eq!(falls(&curve([99.0, 97.0, 96.0]), 95.0), None);
        assert_eq!(falls(&curve([94.0, 97.0, 96.0]), 95.0), Some(1e-4));
        // Half of the way on a logarithmic axis.
        let half = falls(&curve([99.0, 91.0, 96.0]), 95.0).unwrap();
        assert!((half / 1e-3 - 1.0).abs() < 1e-9);
        assert_eq!(falls(&curve([99.0, 95.0, 85.0]), 95.0), Some(1e-2));
    }
}
