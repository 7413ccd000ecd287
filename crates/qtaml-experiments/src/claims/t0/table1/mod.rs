//! `t0.table1`: the loss under noise of a linear layer, trained with noise and without.
//!
//! The source's table is one seed; this is many.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{drop_figure, method, tables};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

// Table 1 of the source: full precision, under noise, drop.
const SOURCE_BASELINE: [f64; 3] = [0.318_700, 3.254_614, 2.935_914];
const SOURCE_T0: [f64; 3] = [9.501_066, 10.936_824, 1.435_758];

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(measured.pairs.len()),
        figures: vec![drop_figure(&measured.pairs)],
        tables: tables(&measured),
        ..Outcome::default()
    })
}
