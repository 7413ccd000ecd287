//! Budgets of TAC and of Uniform-MSP in every reading, and again in the one that does best.

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::SOURCE;
use crate::bench::on_replicate;
use crate::bench::reading::{Pair, Reading};
use crate::claims::qtaml::tac::{OfNet, judged};
use crate::context::Context;
use crate::stats::Look;
use crate::workloads::networks::{Net, Replicate};

/// Fault patterns that compare readings.
const FEW: usize = 10;

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) readings: Vec<Tried>,
    /// The reading in which the network that gains least gains most.
    pub(super) best: usize,
    /// That reading on trainings that chose nothing, network by network.
    pub(super) judged: Vec<OfNet>,
    /// Patterns that compare.
    pub(super) few: u32,
}

/// A reading on all networks.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tried {
    pub(super) reading: Reading,
    pub(super) nets: Vec<Pair>,
}

impl Tried {
    /// The gain of the network that gains least.
    pub(super) fn least(&self) -> f64 {
        self.nets.iter().map(|pair| pair.ratio()).fold(f64::INFINITY, f64::min)
    }

    /// Whether all networks fall into the source's range.
    pub(super) fn is_in_range(&self) -> bool {
        let [low, high] = SOURCE;
        self.nets.iter().all(|pair| (low..=high).contains(&pair.ratio()))
    }
}

impl Measured {
    pub(super) fn best(&self) -> &Tried {
        &self.readings[self.best]
    }

    /// Of those that judge, the network that gains least.
    pub(super) fn least(&self) -> f64 {
        self.judged.iter().map(|of_net| of_net.gain.value).fold(f64::INFINITY, f64::min)
    }

    /// An interval of that: the least of the lower ends, and the least of the upper ones.
    pub(super) fn interval(&self) -> [f64; 2] {
        let ends = self.judged.iter().map(|of_net| of_net.gain.interval);
        ends.fold([f64::INFINITY; 2], |all, ends| [all[0].min(ends[0]), all[1].min(ends[1])])
    }
}

/// All readings on a training that judges nothing, the best of them on those that judge.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let grid = Reading::grid(context.is_full());
    let grid = if context.smoke { grid[..2].to_vec() } else { grid };
    let few = context.size(FEW, 2) as u32;
    let of_net = |net: Net| {
        on_replicate(context, net, Replicate::CHOOSING, |bench| {
            let task = context.progress.task(&format!("{} readings", net.id()), grid.len() as u64);
            let tried = grid.iter().map(|&reading| {
                let pair = Pair::new(bench, reading, few)?;
                task.tick(1);
                Ok(pair)
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
    let look = Look::only(context.trainings());
    let judge = |net| judged(context, net, reading, look);
    let judged = Net::ALL.into_iter().map(judge).collect::<Result<Vec<_>>>()?;
    Ok(Measured { readings, best, judged, few })
}
