//! `physics.decade`: one decade of leakage per 0.2 nm of SiO2, and the reference cell.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{chain_table, method, thickness_figure};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// What "about 0.2 nm" can mean when rounded to one digit.
const ABOUT_A_FIFTH: [f64; 2] = [0.15, 0.25];

/// Measures the claim.
pub fn run(_: &Context) -> Result<Outcome> {
    let measured = measure()?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(),
        figures: vec![thickness_figure(&measured)],
        tables: vec![chain_table(&measured)],
        ..Outcome::default()
    })
}
