//! `ours.codec.<net>`: eight stored bits a weight in all, nothing protected.

mod coded;
mod measure;
mod needed;
mod present;
mod sweep;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::workloads::networks::Net;

/// Codes that may keep bits of numbers: that of server memories, a strong BCH code, and copies.
const CODES: [&str; 6] =
    ["secded:64", "bch:6:5", "repetition:3", "repetition:5", "repetition:7", "repetition:9"];

/// The flip probability at which all networks are tried.
const P: f64 = 0.10;

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    let measured = measure(context, net)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: present::method(&measured),
        figures: vec![present::sweep_figure(&measured)],
        tables: present::tables(&measured),
        ..Outcome::default()
    })
}
