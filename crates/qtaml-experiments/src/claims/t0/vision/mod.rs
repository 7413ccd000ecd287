//! `t0.vision.<net>`: noise in the training of image classifiers, at few bits and under bit errors.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{flip_figure, method, table, width_figure};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::stats::until_decided;
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::AS_PUBLISHED;

const WIDTHS: [u32; 4] = [8, 4, 3, 2];
/// Those that the source names for deployment.
const LOW_WIDTHS: [u32; 3] = [4, 3, 2];
const FLIPS: [f64; 5] = [0.0, 1e-4, 1e-3, 1e-2, 1e-1];
/// Those that the table shows.
const SHOWN_FLIPS: [f64; 3] = [0.0, 1e-2, 1e-1];
const PLAIN: &str = "plain";
const STE: &str = "STE of the width";
/// ξ-scaled noise, and noise relative to the largest weight of each tensor, both with a strength that was tuned.
const TUNED: &str = "T0-QAT, tuned";
const GAUSSIAN: &str = "Gaussian, tuned";
const METHODS: [&str; 5] = [PLAIN, AS_PUBLISHED, TUNED, GAUSSIAN, STE];
/// Standard deviations that are tried for each of the two, on the same seeds: of weights as they are for
/// ξ-scaled noise, of the largest weight for the other.
const STRENGTHS: [f64; 4] = [0.01, 0.03, 0.1, 0.3];

/// Training seeds of a quick run.
const SEEDS: usize = 3;

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    let verdict = |measured: &_| Ok(claim(measured).verdict);
    let measured =
        until_decided(&context.looks(SEEDS), |look| measure(context, net, look), verdict)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![width_figure(&measured)?, flip_figure(&measured)?],
        tables: vec![table(&measured)?, measured.networks.table(&measured.id())],
        ..Outcome::default()
    })
}
