//! `t0.code`: whether the listing that is called complete has what an experiment needs.

mod listing;
mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{method, table};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// Measures the claim.
pub fn run(_: &Context) -> Result<Outcome> {
    let measured = measure()?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        tables: vec![table(&measured)],
        ..Outcome::default()
    })
}
