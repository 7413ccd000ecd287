//! Budgets in rising order, and the metric at each.

use std::ops::Range;

use crate::DeployError;

/// Budgets in rising order, and what is left of a metric with each: what a search knows of a model.
pub trait Budgets {
    /// What a trial fails with.
    type Error: From<DeployError>;

    /// How many budgets there are.
    fn steps(&self) -> usize;

    /// What one costs, in bits.
    fn cost(&self, step: usize) -> u64;

    /// The metric under each of some fault patterns, the same ones for all budgets and all schemes that
    /// are compared. A search asks for no pattern of a step twice.
    ///
    /// # Errors
    /// What a trial fails with.
    fn values(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>, Self::Error>;

    /// Values that cost less and say less: under each of a few patterns the metric on a part of the inputs, such
    /// that all parts together are all inputs. What they say is believed only where it is clear. None by
    /// default.
    ///
    /// # Errors
    /// What a trial fails with.
    fn glance(&self, step: usize) -> Result<Vec<f64>, Self::Error> {
        let _ = step;
        Ok(Vec::new())
    }
}

/// Budgets of a list of costs and a function.
#[derive(Debug, Clone)]
pub struct BudgetSteps<F> {
    costs: Vec<u64>,
    values: F,
}

impl<F> BudgetSteps<F> {
    /// Budgets of these costs, one for each step, in rising order, and the metric of a step under each
    /// of some fault patterns.
    pub fn new(costs: Vec<u64>, values: F) -> Self {
        Self { costs, values }
    }
}

impl<F, E> Budgets for BudgetSteps<F>
where
    F: Fn(usize, Range<u32>) -> Result<Vec<f64>, E>,
    E: From<DeployError>,
{
    type Error = E;

    fn steps(&self) -> usize {
        self.costs.len()
    }

    fn cost(&self, step: usize) -> u64 {
        self.costs[step]
    }

    fn values(&self, step: usize, patterns: Range<u32>) -> Result<Vec<f64>, E> {
        (self.values)(step, patterns)
    }
}
