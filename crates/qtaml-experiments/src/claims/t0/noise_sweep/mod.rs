//! `t0.noise_sweep`: ξ-scaled noise in training, over its scaling.

mod measure;
mod present;
mod verdict;

use anyhow::Result;
use qtaml::quant::BitWidth;

use self::measure::measure;
use self::present::{accuracy_figure, accuracy_table, loss_figure, loss_table, method};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::workloads::qat_nets::Setting;
use crate::workloads::regressions::XI_SCALING;

/// Scalings with the names of their networks; the first is no noise.
const SCALINGS: [(f64, &str); 10] = [
    (0.0, "s = 0"),
    (30.0, "s = 30"),
    (100.0, "s = 100"),
    (300.0, "s = 300"),
    (1e3, "s = 1000"),
    (3e3, "s = 3000"),
    (1e4, "s = 10000"),
    (6e4, "s = 60000"),
    (XI_SCALING, "s = 80000"),
    (1e5, "s = 100000"),
];
const PUBLISHED: usize = 8;
const LEVEL: f64 = 0.05;
/// What the networks are put through: no fault, few bits, few bits and faults.
const SETTINGS: [(&str, Setting); 3] = [
    ("INT8, no faults", Setting::raw(BitWidth::INT8, 0.0)),
    ("INT4, no faults", Setting::raw(BitWidth::INT4, 0.0)),
    ("INT4, p = 0.01", Setting::raw(BitWidth::INT4, 0.01)),
];

/// Loss under noise of T0-QAT over that of the baseline, in the source's Table 1.
const SOURCE_RATIO: f64 = 10.936_824 / 3.254_614;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![loss_figure(&measured), accuracy_figure(&measured)],
        tables: vec![
            loss_table(&measured),
            accuracy_table(&measured),
            measured.networks.table("t0.noise_sweep"),
        ],
        ..Outcome::default()
    })
}
