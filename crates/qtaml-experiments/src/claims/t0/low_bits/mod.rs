//! `t0.low_bits`: whether networks trained with ξ-scaled noise ignore their lower bits.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::stats::until_decided;
use crate::workloads::qat_nets::{AS_PUBLISHED, MATCHED};

/// Numbers of INT8's lowest bits that are random.
const RANDOM: [u32; 6] = [1, 2, 3, 4, 5, 6];
/// Those that the claim is about: half of the word and less.
const LOWER: [u32; 4] = [1, 2, 3, 4];
const PLAIN: &str = "plain";
const METHODS: [&str; 3] = [PLAIN, AS_PUBLISHED, MATCHED];

/// Training seeds of a quick run.
const SEEDS: usize = 5;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let verdict = |measured: &_| Ok(claim(measured).verdict);
    let measured = until_decided(&context.looks(SEEDS), |look| measure(context, look), verdict)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: present::method(&measured),
        figures: vec![present::figure(&measured)?],
        tables: vec![present::table(&measured)?, measured.networks.table("t0.low_bits")],
        ..Outcome::default()
    })
}
