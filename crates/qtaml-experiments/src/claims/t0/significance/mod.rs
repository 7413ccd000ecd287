//! `t0.significance`: the significance of the smaller drop of Table 1.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{figure, method, table};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// The source: a drop that is 51 % smaller.
const SOURCE_REDUCTION: f64 = 0.51;
const LEVEL: f64 = 0.05;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![figure(&measured)],
        tables: vec![table(&measured)],
        ..Outcome::default()
    })
}
