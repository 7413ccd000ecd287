//! `qtaml.drift`: faults move the mean of a stored code affinely, E[q'] = (1 - 2p) q - p.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{drift_figure, method, score_figure, table};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![drift_figure(&measured.cases), score_figure(&measured)],
        tables: vec![table(&measured.cases)],
        ..Outcome::default()
    })
}
