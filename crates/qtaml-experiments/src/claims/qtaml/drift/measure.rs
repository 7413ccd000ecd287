//! The mean error of every code, as sampled and in closed form.

use anyhow::Result;
use serde::Serialize;

use crate::context::Context;
use crate::workloads::sampled_channel::{CodeScores, sampled};

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// By flip probability.
    pub(super) cases: Vec<CodeScores>,
    /// Codes read in all.
    pub(super) reads: u64,
}

/// Measures the claim.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let samples = sampled(context)?;
    let drifts = samples.iter().map(|case| CodeScores::new(case, case.sample.drifts()));
    let reads = samples.iter().map(|case| case.sample.reads()).sum();
    Ok(Measured { cases: drifts.collect(), reads })
}
