//! Budgets of TAC and of Uniform-MSP in every reading, and again in the one that does best.

use anyhow::{Context as _, Result};
use qtaml::compensation::Accounting;
use qtaml::deploy::budget::{Gain, Overhead, gain};
use serde::Serialize;

use super::SOURCE;
use super::readings::Reading;
use crate::bench::budget::{Found, judge, smallest};
use crate::bench::{Bench, Stored, TARGET, on_bench};
use crate::context::Context;
use crate::workloads::networks::Net;

/// Fault patterns that compare readings.
const FEW: usize = 10;
/// Resamples behind an interval.
const RESAMPLES: usize = 2000;

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) readings: Vec<Tried>,
    /// The reading in which the network that gains least gains most.
    pub(super) best: usize,
    /// That reading under patterns that chose nothing, network by network.
    pub(super) judged: Vec<OfNet>,
    /// Patterns that compare, and that judge.
    pub(super) patterns: [u32; 2],
}

/// A reading on all networks.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tried {
    pub(super) reading: Reading,
    pub(super) nets: Vec<OfNet>,
}

/// What TAC and Uniform-MSP need on one network.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct OfNet {
    pub(super) net: Net,
    /// Shares of all bits, between the steps of the path.
    pub(super) uniform: f64,
    pub(super) tac: f64,
    pub(super) gain: Gain,
}

impl OfNet {
    /// How many times less TAC needs; none where one of the two does not reach the target.
    pub(super) fn ratio(&self) -> Option<f64> {
        (!self.gain.missed).then_some(self.gain.interpolated)
    }
}

impl Tried {
    /// The gain of the network that gains least; 0 where one does not reach the target.
    pub(super) fn least(&self) -> f64 {
        self.nets.iter().map(|of_net| of_net.ratio().unwrap_or(0.0)).fold(f64::INFINITY, f64::min)
    }

    /// Whether all networks fall into the source's range.
    pub(super) fn is_in_range(&self) -> bool {
        let [low, high] = SOURCE;
        let is_in = |of_net: &OfNet| of_net.ratio().is_some_and(|r| (low..=high).contains(&r));
        self.nets.iter().all(is_in)
    }
}

impl Measured {
    pub(super) fn best(&self) -> &Tried {
        &self.readings[self.best]
    }

    /// Of those that judge, the network that gains least.
    pub(super) fn least(&self) -> f64 {
        self.judged.iter().map(|of_net| of_net.gain.interpolated).fold(f64::INFINITY, f64::min)
    }

    /// An interval of that: the least of the lower ends, and the least of the upper ones.
    pub(super) fn interval(&self) -> [f64; 2] {
        let ends = self.judged.iter().map(|of_net| of_net.gain.interpolated_interval.ends());
        ends.fold([f64::INFINITY; 2], |all, ends| [all[0].min(ends[0]), all[1].min(ends[1])])
    }
}

/// One reading on a bench: the networks as both store them.
struct Trial {
    stored: [Stored; 2],
    found: [Found; 2],
}

impl Trial {
    fn new(bench: &Bench<'_>, reading: Reading, clean: f64) -> Result<Self> {
        let flips = reading.leakage.flips(bench.net.flip_probability());
        let store = |scheme| bench.store(&scheme, flips, Accounting::ProtectedBits);
        let [uniform, tac] = reading.schemes().map(store);
        let stored = [uniform?, tac?];
        let patterns = bench.context.size(FEW, 2) as u32;
        let [uniform, tac] =
            stored.each_ref().map(|stored| smallest(bench, stored, TARGET * clean, patterns));
        Ok(Self { found: [uniform?, tac?], stored })
    }

    /// The same under patterns that compared nothing.
    fn judged(self, bench: &Bench<'_>, clean: f64) -> Result<Self> {
        let judge = |i: usize| {
            let bracket = self.found[i].bracket;
            judge(bench, &self.stored[i], TARGET * clean, bench.patterns, bracket)
        };
        Ok(Self { found: [judge(0)?, judge(1)?], stored: self.stored })
    }

    fn of_net(&self, bench: &Bench<'_>) -> Result<OfNet> {
        let bits = self.stored[0].weight_bits();
        let [uniform, tac] = self.found.each_ref().map(|found| Overhead::new(found, bits));
        let (uniform, tac) = (uniform?, tac?);
        Ok(OfNet {
            net: bench.net,
            uniform: uniform.interpolated(),
            tac: tac.interpolated(),
            gain: gain(uniform, tac, RESAMPLES, bench.context.seed)?,
        })
    }
}

/// All readings on all networks, the best of them twice.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let grid = Reading::grid(context.fashion_mnist.is_some());
    let grid = if context.smoke { grid[..2].to_vec() } else { grid };
    let of_net = |net| {
        on_bench(context, net, |bench, clean| {
            let task = context.progress.task(&format!("{} readings", net.id()), grid.len() as u64);
            let tried = grid.iter().map(|&reading| {
                let of_net = Trial::new(bench, reading, clean)?.of_net(bench);
                task.tick(1);
                of_net
            });
            tried.collect::<Result<Vec<_>>>()
        })
    };
    let nets = Net::ALL.into_iter().map(of_net).collect::<Result<Vec<_>>>()?;
    let readings: Vec<Tried> = grid
        .iter()
        .enumerate()
        .map(|(i, &reading)| Tried { reading, nets: nets.iter().map(|net| net[i]).collect() })
        .collect();
    let by_least = |a: &usize, b: &usize| readings[*a].least().total_cmp(&readings[*b].least());
    let best = (0..readings.len()).max_by(by_least).context("no readings")?;
    let reading = readings[best].reading;
    let mut patterns = [context.size(FEW, 2) as u32, 0];
    let mut judge = |net| {
        on_bench(context, net, |bench, clean| {
            patterns[1] = bench.patterns;
            Trial::new(bench, reading, clean)?.judged(bench, clean)?.of_net(bench)
        })
    };
    let judged = Net::ALL.into_iter().map(&mut judge).collect::<Result<Vec<_>>>()?;
    Ok(Measured { readings, best, judged, patterns })
}
