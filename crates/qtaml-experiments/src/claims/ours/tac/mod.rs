//! `ours.tac.<net>`: TAC with all ideas of ours against Uniform-MSP with the same ideas.

mod curves;
mod figures;
mod measure;
mod present;
mod statistics;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::workloads::networks::Net;

/// Where TAC as derived stands among the schemes.
const DERIVED: usize = 1;
/// Resamples behind an interval.
const RESAMPLES: usize = 2000;
/// Shares of all bits at which curves are drawn.
const BUDGETS: [f64; 11] = [0.0, 0.015, 0.03, 0.05, 0.075, 0.1, 0.125, 0.1875, 0.25, 0.375, 0.5];
/// Flip probabilities of the sweep.
const SWEEP: [f64; 8] = [1e-4, 1e-3, 5e-3, 0.02, 0.05, 0.1, 0.14, 0.2];

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    let measured = measure(context, net)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: present::method(&measured),
        figures: figures::all(&measured),
        tables: present::tables(&measured),
        ..Outcome::default()
    })
}
