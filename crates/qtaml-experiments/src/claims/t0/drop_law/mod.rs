//! `t0.drop_law`: the loss that noise costs a linear layer, whatever its training.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{figure, method, table};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// A right formula is called wrong once in a million runs.
const FALSE_ALARM: f64 = 1e-6;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let cases = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&cases)],
        method: method(),
        figures: vec![figure(&cases)],
        tables: vec![table(&cases)],
        ..Outcome::default()
    })
}
