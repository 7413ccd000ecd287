//! `qtaml.reading`: under which reading of its source TAC needs 3.4 to 33.6 times less than Uniform-MSP.
//!
//! The abstract leaves open which way bits leak, what the codes are spread over, where their range ends and
//! how words are read. Every combination is tried as derived: layer by layer, the linear score, no repair,
//! and always the same for TAC and for Uniform-MSP.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{figure, method, tables};
use self::verdict::claim;
use crate::claims::qtaml::tac::SOURCE;
use crate::context::Context;
use crate::results::Outcome;

/// Measures the claim on all networks.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![figure(&measured)],
        tables: tables(&measured),
        ..Outcome::default()
    })
}
