//! Budgets of both on several trainings of a network, each with faults and images of its own.

use anyhow::Result;
use qtaml::compensation::Accounting;
use serde::Serialize;

use super::{BUDGETS, SOURCE, TRAININGS};
use crate::bench::reading::{Pair, Reading};
use crate::bench::{Bench, Level, on_replicate};
use crate::context::Context;
use crate::results::Verdict;
use crate::stats::{Look, Mean, geometric_mean_at, judge, until_decided};
use crate::workloads::networks::{Net, Replicate};

/// All numbers of one network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) reading: Reading,
    pub(super) of_net: OfNet,
    /// Accuracy along the budget on the first training: of Uniform-MSP and of TAC.
    pub(super) curves: [Vec<Level>; 2],
    /// Fault patterns behind a point of these.
    pub(super) drawn: u32,
    /// Accuracy that has to be kept on the first training.
    pub(super) target: f64,
}

/// How many times less TAC needs on networks of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct OfNet {
    /// The network.
    pub net: Net,
    /// After how many trainings it was looked at.
    pub look: Look,
    /// What it was trained on, in words.
    pub images: &'static str,
    /// Its trainings.
    pub trainings: Vec<Training>,
    /// The geometric mean of their ratios, with its interval over trainings.
    pub gain: Mean,
    /// Fault patterns of each training.
    pub patterns: u32,
    /// Test images of each training.
    pub test_images: usize,
}

/// What both need on one training.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Training {
    /// Accuracy as it was trained, and as INT8 without faults.
    pub accuracy: [f64; 2],
    /// Shares of all bits.
    pub pair: Pair,
}

impl OfNet {
    /// What the source's range says of the gain. More than its best would not speak against it.
    pub(super) fn verdict(&self) -> Verdict {
        judge(self.gain.interval, [SOURCE[0], f64::INFINITY], 1.0)
    }

    /// The shares that Uniform-MSP and TAC need, in the mean over trainings.
    pub fn shares(&self) -> [f64; 2] {
        let mean = |of: fn(&Pair) -> f64| {
            let shares = self.trainings.iter().map(|training| of(&training.pair));
            shares.sum::<f64>() / self.trainings.len() as f64
        };
        [mean(|pair| pair.uniform), mean(|pair| pair.tac)]
    }
}

/// A reading on trainings that chose nothing.
pub fn judged(context: &Context, net: Net, reading: Reading, look: Look) -> Result<OfNet> {
    let count = look.trainings;
    let task = context.progress.task(&format!("{} trainings", net.id()), count as u64);
    let (mut all, mut of_all) = (Vec::new(), ("", 0, 0));
    for replicate in Replicate::first(count) {
        let training = on_replicate(context, net, replicate, |bench| {
            let Bench { judges, patterns, images, .. } = bench;
            of_all = (*images, *patterns, judges.count());
            let pair = Pair::new(bench, reading, *patterns)?;
            Ok(Training { accuracy: [judges.float(), judges.clean], pair })
        });
        all.push(training?);
        task.tick(1);
    }
    let ratios: Vec<f64> = all.iter().map(|training| training.pair.ratio()).collect();
    let (images, patterns, test_images) = of_all;
    let gain = geometric_mean_at(&ratios, look.level)?;
    Ok(OfNet { net, look, images, trainings: all, gain, patterns, test_images })
}

/// The fixed reading on as many trainings as it takes, and curves of the first of them.
pub(super) fn measure(context: &Context, net: Net) -> Result<Measured> {
    let reading = Reading::FIXED;
    let at = |look| judged(context, net, reading, look);
    let of_net = until_decided(&context.looks(TRAININGS), at, |of_net| Ok(of_net.verdict()))?;
    on_replicate(context, net, Replicate::FIRST, |bench| {
        Ok(Measured {
            reading,
            of_net,
            curves: curves(bench, reading)?,
            drawn: bench.drawn,
            target: bench.judges.target,
        })
    })
}

fn curves(bench: &Bench<'_>, reading: Reading) -> Result<[Vec<Level>; 2]> {
    let flips = reading.leakage.flips(bench.net.flip_probability());
    let curve = |scheme| -> Result<Vec<Level>> {
        let stored = bench.store(&scheme, flips, Accounting::ProtectedBits)?;
        let (path, bits) = (stored.path(), stored.weight_bits());
        let within = |share: &f64| path.step_within((share * bits) as u64);
        let mut steps: Vec<usize> = BUDGETS.iter().map(within).collect::<Result<_, _>>()?;
        steps.dedup();
        let level = |step: usize| {
            let selection = path.at(step).selection().clone();
            let accuracy = bench.accuracies(&stored, &selection, 0..bench.drawn)?;
            Level::new(100.0 * path.cost(step) as f64 / bits, &accuracy)
        };
        steps.into_iter().map(level).collect()
    };
    let [uniform, tac] = reading.schemes().map(curve);
    Ok([uniform?, tac?])
}
