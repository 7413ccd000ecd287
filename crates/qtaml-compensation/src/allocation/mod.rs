//! Where to spend a budget of bits: one candidate for each group, the least distortion in all.
//!
//! A *group* is what is decided about at once: a layer, an output channel, a group. Its *candidates*
//! cost bits and leave a distortion; what they are, numbers of protected top bits, any sets of
//! bits, or widths of a code, is known to the caller alone. Minimise `Σ_u D_u(c_u)` subject to
//! `Σ_u B_u(c_u) <= B`: the multiple-candidate knapsack problem (docs/theory.md, section 4).
//!
//! | Solver | What it finds | Time for `n` candidates in all |
//! | --- | --- | --- |
//! | [`GreedyPath`] | the optimum for some budgets, and nested allocations in between | `n log n` |
//! | [`lagrangian`] | the same by a price per bit, and a bound on the optimum | at most `64 n` |
//! | [`exact`] | the optimum for any budget, or how far it may be | `n log n`, and a search |
//! | [`WaterFilling`] | the optimum where distortions are `S 4^-k` with real `k`, in closed form | `n log n` |
//!
//! ```
//! use qtaml_compensation::allocation::{Candidate, GreedyPath, AllocationProblem, exact};
//!
//! // Two layers with 0 to 8 protected bits; an error in the first moves the output 100 times as
//! // much. The second is smaller.
//! let mut groups = AllocationProblem::default();
//! for (name, weights, score) in [("first", 1000, 100.0), ("second", 300, 1.0)] {
//!     let by_protected: Vec<f64> = (0..=8).map(|k| score * 0.25_f64.powi(k)).collect();
//!     groups.push(name, Candidate::top_bits(weights, &by_protected))?;
//! }
//! let path = GreedyPath::optimal(&groups);
//! assert_eq!(path.at(2).selection(), [2, 0]);
//!
//! let solution = exact(&groups, 2500, 1_000_000)?;
//! assert!(solution.proven);
//! assert_eq!(solution.allocation.selection(), [2, 1]);
//! # Ok::<(), qtaml_compensation::AllocationError>(())
//! ```

// The allocation is the noun of the field, and a file of its own.
#[allow(clippy::module_inception)]
mod allocation;
mod bisect;
mod budget;
mod exact;
mod hull;
mod lagrangian;
mod path;
mod problem;
mod selection;
mod water_filling;

pub use allocation::{Allocation, Solution};
pub(crate) use bisect::bisect;
pub use budget::Budget;
pub use exact::{MOST_STATES, exact};
pub use lagrangian::{Lagrangian, lagrangian};
pub use path::GreedyPath;
pub use problem::{AllocationProblem, Candidate};
pub use selection::Selection;
pub use water_filling::{Filling, Source, WaterFilling};

#[cfg(test)]
pub(crate) mod testing;
