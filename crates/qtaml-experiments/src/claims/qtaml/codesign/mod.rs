//! `qtaml.codesign`: from the oxide to the accuracy of a network, and what protection buys in oxide and years.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// Years for which a memory keeps its bits, and its oxide in nanometres where the years are asked for.
const YEARS: f64 = 10.0;
const OXIDE_NM: f64 = 5.0;
/// The share of all bits that is protected.
const PROTECTED: f64 = 0.1;
/// Flip probabilities at which accuracy is measured.
const SWEEP: [f64; 13] =
    [1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.04, 0.07, 0.1, 0.14, 0.2, 0.3];

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
