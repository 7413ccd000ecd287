//! `qtaml.width`: how the gain of TAC as derived depends on the width of a network.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: present::method(&measured),
        figures: vec![present::figure(&measured)],
        tables: vec![present::table(&measured)],
        ..Outcome::default()
    })
}
