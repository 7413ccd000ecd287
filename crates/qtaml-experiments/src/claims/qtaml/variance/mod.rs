//! `qtaml.variance`: the variance of a stored code, p (1 - p) (4^b - 1) / 3, and its share per bit.
//!
//! Each bit owns four times what the one below it does.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{hierarchy_figure, method, table};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![hierarchy_figure(&measured.hierarchy)],
        tables: vec![table(&measured.cases)],
        ..Outcome::default()
    })
}
