//! `t0.sota`: ξ-scaled noise beside established methods of QAT, alone and with compensation.

mod measure;
mod present;
mod verdict;

use anyhow::Result;
use qtaml::quant::BitWidth;

use self::measure::measure;
use self::present::{accuracy_table, figure, method, test_table};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::stats::until_decided;
use crate::workloads::qat_nets::{Reading, Setting, TRAINING_FLIPS};

const BITS: BitWidth = BitWidth::INT4;
const FLIPS: [f64; 5] = [1e-4, 1e-3, 1e-2, 0.03, 0.1];
/// Where methods are compared: the flip probability that they are trained for.
const JUDGED: Setting = Setting::raw(BITS, TRAINING_FLIPS);
const CLEAN: Setting = Setting::raw(BITS, 0.0);
const STE: &str = "STE";

/// Training seeds of a quick run.
const SEEDS: usize = 5;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let verdict = |measured: &_| Ok(claim(measured)?.verdict);
    let measured = until_decided(&context.looks(SEEDS), |look| measure(context, look), verdict)?;
    let raw = "Accuracy under bit errors, read as they are";
    Ok(Outcome {
        claims: vec![claim(&measured)?],
        method: method(&measured)?,
        figures: vec![
            figure(&measured, Reading::Raw, "raw", raw)?,
            figure(&measured, Reading::Tac, "tac", "The same networks with compensation")?,
        ],
        tables: vec![
            accuracy_table(&measured)?,
            test_table(&measured),
            measured.networks.table("t0.sota"),
        ],
        ..Outcome::default()
    })
}
