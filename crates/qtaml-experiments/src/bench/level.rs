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
