//! `qtaml.score.<net>`: the score of Jacobian and range against magnitudes.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{figure, method, table};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::stats::until_decided;
use crate::workloads::networks::Net;

/// Shares of all bits that may be protected: the budget axis.
const BUDGETS: [f64; 8] = [0.02, 0.04, 0.07, 0.1, 0.14, 0.19, 0.25, 0.32];
/// The source's largest gap.
const SOURCE_POINTS: f64 = 24.0;

/// Trainings of a quick run.
const TRAININGS: usize = 3;

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    let verdict = |measured: &_| Ok(claim(measured).verdict);
    let measured =
        until_decided(&context.looks(TRAININGS), |look| measure(context, net, look), verdict)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![figure(&measured)],
        tables: vec![table(&measured)],
        ..Outcome::default()
    })
}
