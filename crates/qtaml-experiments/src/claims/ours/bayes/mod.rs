//! `ours.bayes.<net>`: stored bits per weight, check bits and metadata included.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{figure, method, table};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::workloads::networks::Net;

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    let measured = measure(context, net)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![figure(&measured)],
        tables: vec![table(&measured)],
        ..Outcome::default()
    })
}
