//! Accuracy with eight stored bits a weight, over the flip probability.

use anyhow::Result;
use qtaml::compensation::Accounting;
use qtaml::deploy::scheme::Scheme;
use serde::Serialize;

use super::P;
use super::coded::Coded;
use super::measure::{linear, schemes};
use crate::bench::{Bench, Level, Stored, TARGET, falls};

/// Flip probabilities.
pub(super) const SWEEP: [f64; 8] = [1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.14, 0.2];
/// Fault patterns behind a point.
pub(super) const PATTERNS: u32 = 10;
/// Stored bits per weight.
const BITS: u64 = 8;

/// The ways to spend them that are compared.
const WAYS: [&str; 6] = [
    "quantized, raw",
    "quantized, Bayes",
    "the same, 1 bit in 8 ideal",
    "quantized and real codes",
    "codebook (COSQ)",
    "mixed",
];

/// Accuracy in each of these ways. Layers have their linear scores: to measure them at every flip
/// probability would take longer than all trials.
fn levels(bench: &Bench<'_>, p: f64) -> Result<Vec<Level>> {
    let [_, numbers, words, any] = schemes(bench, p.into())?.map(linear);
    let bayes = Scheme {
        decoder: numbers.decoder,
        scale: numbers.scale,
        recalibration: numbers.recalibration,
        ..Scheme::tac()
    };
    let raw = bench.store(&Scheme::uniform(), p, Accounting::ProtectedBits)?;
    let bayes = bench.store(&bayes, p, Accounting::ProtectedBits)?;
    let Coded { quantized, codebook, mixed } =
        Coded::new(bench, [&numbers, &words, &any], p.into())?;
    // Of numbers of eight bits only what is protected has a price: nothing, or one bit in eight.
    let bits = BITS * raw.model.weights();
    let spent = [
        (&raw, 0),
        (&bayes, 0),
        (&bayes, bits / 8),
        (&quantized, bits),
        (&codebook, bits),
        (&mixed, bits),
    ];
    let level = |(stored, budget): (&Stored, u64)| {
        let allocation = stored.path().within(budget)?;
        let patterns = 0..PATTERNS.min(bench.few);
        Level::new(p, &bench.accuracies(stored, allocation.selection(), patterns)?)
    };
    spent.into_iter().map(level).collect()
}

/// Accuracy over flip probabilities, way by way.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sweep {
    pub(super) curves: Vec<(&'static str, Vec<Level>)>,
}

impl Sweep {
    pub(super) fn new(bench: &Bench<'_>) -> Result<Self> {
        let sweep = if bench.context.smoke { &[P][..] } else { &SWEEP };
        let name = format!("{} at 8 bits", bench.net.id());
        let task = bench.context.progress.task(&name, sweep.len() as u64);
        let mut curves = WAYS.map(|name| (name, Vec::new())).to_vec();
        for &p in sweep {
            for ((_, curve), level) in curves.iter_mut().zip(levels(bench, p)?) {
                curve.push(level);
            }
            task.tick(1);
        }
        Ok(Self { curves })
    }

    /// The flip probability at which each falls below the target, if it does.
    pub(super) fn falls(&self, clean: f64) -> Vec<(&'static str, Option<f64>)> {
        let falls = |(name, levels): &(_, Vec<Level>)| (*name, falls(levels, target(clean)));
        self.curves.iter().map(falls).collect()
    }
}

/// Accuracy in percent that has to be kept.
pub(super) fn target(clean: f64) -> f64 {
    100.0 * TARGET * clean
}
