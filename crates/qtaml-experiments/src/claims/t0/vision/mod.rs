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
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::{AS_PUBLISHED, MATCHED};

const WIDTHS: [u32; 4] = [8, 4, 3, 2];
/// Those that the source names for deployment.
const LOW_WIDTHS: [u32; 3] = [4, 3, 2];
const FLIPS: [f64; 5] = [0.0, 1e-4, 1e-3, 1e-2, 1e-1];
/// Those that the table shows.
const SHOWN_FLIPS: [f64; 3] = [0.0, 1e-2, 1e-1];
const PLAIN: &str = "plain";
const STE: &str = "STE of the width";
const METHODS: [&str; 4] = [PLAIN, AS_PUBLISHED, MATCHED, STE];

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    let measured = measure(context, net)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![width_figure(&measured)?, flip_figure(&measured)?],
        tables: vec![table(&measured)?, measured.networks.table(&measured.id())],
        ..Outcome::default()
    })
}
