//! `t0.precision_limit`: whether ξ is where more bits cease to pay.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// Bits of a weight.
const WIDTHS: std::ops::RangeInclusive<u32> = 2..=16;
/// Points of accuracy that do not count.
const TOLERANCE: f64 = 0.5;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: present::method(&measured),
        figures: present::figures(&measured),
        tables: vec![present::table(&measured)],
        ..Outcome::default()
    })
}
