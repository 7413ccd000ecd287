//! `qtaml.gaussian`: whether the structure of faults matters, beyond their mean and variance.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::stats::until_decided;

/// Flip probabilities.
const PROBABILITIES: [f64; 4] = [0.003, 0.01, 0.03, 0.1];
/// Differences within this many points count as none.
const MARGIN: f64 = 1.0;

/// Trainings of a quick run.
const TRAININGS: usize = 3;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let verdict = |measured: &_| Ok(claim(measured).verdict);
    let measured =
        until_decided(&context.looks(TRAININGS), |look| measure(context, look), verdict)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: present::method(&measured),
        figures: vec![present::figure(&measured)],
        tables: vec![present::table(&measured)],
        ..Outcome::default()
    })
}
