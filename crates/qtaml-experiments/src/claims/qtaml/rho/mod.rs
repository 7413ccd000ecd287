//! `qtaml.rho`: forecasts of the gain of TAC before any simulation, against the measured gain.

mod forecast;
mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::verdict::claim;
use crate::bench::TARGET;
use crate::context::Context;
use crate::results::Outcome;

/// Widths, flip probabilities, and fault patterns behind each measured gain.
const WIDTHS: [u32; 3] = [8, 4, 6];
const PROBABILITIES: [f64; 3] = [0.1, 0.05, 0.02];
const PATTERNS: u32 = 20;
/// The share of predictions that noise may change: what is lost at 95 % of clean.
const DISAGREEMENT: f64 = 1.0 - TARGET;
const CLASSES: usize = 10;

/// Measures the claim on all networks.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: present::method(&measured),
        figures: vec![present::figure(&measured)],
        tables: present::tables(&measured),
        ..Outcome::default()
    })
}
