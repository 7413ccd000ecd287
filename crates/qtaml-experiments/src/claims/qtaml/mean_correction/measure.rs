//! What TAC needs with and without the mean correction, by the way in which bits leak.

use anyhow::Result;
use qtaml::compensation::{Accounting, Decoder};
use serde::Serialize;

use crate::bench::budget::needed;
use crate::bench::reading::{Leakage, Reading};
use crate::bench::{Bench, on_replicate};
use crate::context::Context;
use crate::stats::{Look, Mean, geometric_mean_at};
use crate::workloads::networks::{Net, Replicate};

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) look: Look,
    pub(super) rows: Vec<Row>,
    /// How many times less TAC needs with the correction where bits leak one way: in the mean over networks,
    /// with its interval over trainings.
    pub(super) worth: Mean,
    pub(super) patterns: u32,
}

/// One network under one kind of leakage.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) net: Net,
    pub(super) leakage: Leakage,
    /// Shares of all bits, training by training: words as they are, and corrected.
    pub(super) shares: Vec<[f64; 2]>,
}

impl Row {
    /// How many times less is needed with the correction, in the mean over trainings.
    pub(super) fn worth(&self) -> f64 {
        let logs = self.shares.iter().map(|[raw, affine]| (raw / affine).ln());
        (logs.sum::<f64>() / self.shares.len() as f64).exp()
    }
}

pub(super) fn measure(context: &Context, look: Look) -> Result<Measured> {
    let trainings = look.trainings;
    let one_way = Reading::FIXED.leakage;
    let (mut rows, mut patterns) = (Vec::new(), 0);
    for net in Net::ALL {
        let task = context.progress.task(&format!("{} corrections", net.id()), trainings as u64);
        let mut of_net = Leakage::ALL.map(|leakage| Row { net, leakage, shares: Vec::new() });
        for replicate in Replicate::first(trainings) {
            on_replicate(context, net, replicate, |bench| {
                patterns = bench.patterns;
                for row in &mut of_net {
                    // What the claim is not about is shown for the first training alone.
                    if row.leakage == one_way || replicate == Replicate::FIRST {
                        row.shares.push(shares(bench, row.leakage)?);
                    }
                }
                Ok(())
            })?;
            task.tick(1);
        }
        rows.extend(of_net);
    }
    let claimed: Vec<&Row> = rows.iter().filter(|row| row.leakage == one_way).collect();
    let of_training = |training: usize| {
        let logs =
            claimed.iter().map(|row| row.shares[training]).map(|[raw, affine]| (raw / affine).ln());
        (logs.sum::<f64>() / claimed.len() as f64).exp()
    };
    let of_trainings: Vec<f64> = (0..trainings).map(of_training).collect();
    let worth = geometric_mean_at(&of_trainings, look.level)?;
    Ok(Measured { look, rows, worth, patterns })
}

/// What TAC needs, words as they are and corrected.
fn shares(bench: &Bench<'_>, leakage: Leakage) -> Result<[f64; 2]> {
    let flips = leakage.flips(bench.net.flip_probability());
    let need = |decoder| {
        let [_, tac] = Reading { leakage, decoder, ..Reading::FIXED }.schemes();
        needed(bench, &bench.store(&tac, flips, Accounting::ProtectedBits)?, bench.patterns)
    };
    Ok([need(Decoder::Raw)?, need(Decoder::Affine)?])
}
