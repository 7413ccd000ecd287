//! The drops of both methods, paired by seed.

use anyhow::Result;
use serde::Serialize;

use crate::context::Context;
use crate::stats::Paired;
use crate::workloads::regressions::{Choices, baseline_drop, pairs, ratio, t0_drop, values};

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// Drop of the baseline minus that of T0-QAT, by seed.
    pub(super) differences: Vec<f64>,
    pub(super) paired: Paired,
    /// By how much the mean drop is smaller, as a share of the baseline's; with its interval.
    pub(super) reduction: f64,
    pub(super) interval: [f64; 2],
    /// The share of seeds where T0-QAT drops less.
    pub(super) less: f64,
}

/// Measures the claim.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let pairs = pairs(context, "t0.significance", &Choices::default())?;
    let (baseline, t0) = (values(&pairs, baseline_drop), values(&pairs, t0_drop));
    let (ratio, [low, high]) = ratio(context, &pairs)?;
    let less = baseline.iter().zip(&t0).filter(|(b, t)| t < b).count();
    Ok(Measured {
        differences: baseline.iter().zip(&t0).map(|(b, t)| b - t).collect(),
        paired: Paired::new(&baseline, &t0)?,
        reduction: 1.0 - ratio,
        interval: [1.0 - high, 1.0 - low],
        less: less as f64 / pairs.len() as f64,
    })
}
