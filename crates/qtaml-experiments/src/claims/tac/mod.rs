//! `qtaml.tac.<net>`: the overhead of TAC against that of the same number of bits everywhere.

mod curves;
mod figures;
mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::workloads::networks::Net;

/// The source: at least so many times less overhead than Uniform-MSP, up to 33.6 times.
const SOURCE_LEAST: f64 = 3.4;
/// Where TAC as derived stands among the schemes.
const DERIVED: usize = 3;
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
