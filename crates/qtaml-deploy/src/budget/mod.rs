//! The smallest budget that keeps a target, in the mean over devices or in yield.
//!
//! One fault pattern is one device. A path of budgets ([`Budgets`]) has a cost for each step and a metric
//! under each fault pattern; a [`Target`] says which values are enough, and of how many devices. [`Search`]
//! bisects the path, confirms what it finds under fresh patterns, and reports values under patterns that
//! chose nothing. What it found ([`BudgetSearch`]) has a cost by steps of the path, a cost
//! interpolated between two steps, and bootstrap intervals of both; [`gain`] compares two schemes under
//! the same patterns.
//!
//! ```
//! use qtaml_deploy::DeployError;
//! use qtaml_deploy::budget::{BudgetSteps, Patterns, Search, Target};
//!
//! // Accuracy rises by one point a step; devices differ by up to two points.
//! let accuracy = |step: usize, pattern: u32| 0.5 + 0.01 * step as f64 + f64::from(pattern % 5) * 0.005;
//! let costs = (0..50).map(|step| 100 * step).collect();
//! let budgets = BudgetSteps::new(costs, |step, patterns: std::ops::Range<u32>| {
//!     Ok::<_, DeployError>(patterns.map(|pattern| accuracy(step, pattern)).collect())
//! });
//! let search = |target| Search::new(&budgets, target, Patterns::to_compare(20)).smallest();
//! // The mean over devices exceeds 0.809 at step 30, and every device does at step 31.
//! assert_eq!(search(Target::mean(0.809))?.cost, 3000);
//! assert_eq!(search(Target::in_yield(0.809, 1.0)?)?.cost, 3100);
//! # Ok::<(), DeployError>(())
//! ```

mod bootstrap;
mod choice;
mod found;
mod gain;
mod json;
mod patterns;
mod search;
mod steps;
mod target;

pub use bootstrap::{Interval, bootstrap};
pub use choice::Choice;
pub use found::{BudgetSearch, Crossing, Visit};
pub use gain::{Gain, Overhead, gain};
pub use patterns::Patterns;
pub use search::{EarlyDecision, Search};
pub use steps::{BudgetSteps, Budgets};
pub use target::{Criterion, Estimate, Target};
