//! Schemes under trial on one network: the budget that each needs, and how much less than another.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder, Score};
use qtaml::deploy::scheme::{Allocator, Scheme};
use qtaml::deploy::{Granularity, Recalibration};
use qtaml::quant::Encoding;
use qtaml::train::Classifier;
use serde::Serialize;

use super::DERIVED;
use super::curves::{self, Curves, Layer};
use crate::bench::budget::{Found, judge, smallest};
use crate::bench::{Bench, Stored, TARGET};
use crate::context::Context;
use crate::stats::bootstrap;
use crate::workloads::networks::{Net, Trained, WithNet};

/// All numbers of one network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) net: Net,
    /// What it was trained on, in words.
    pub(super) images: &'static str,
    pub(super) weights: u64,
    /// The test images there are, of which some judge.
    pub(super) all_images: usize,
    pub(super) test_images: usize,
    /// Accuracy in floating point on all of them.
    pub(super) whole: f64,
    /// On those that judge.
    pub(super) float: f64,
    /// The same as INT8, without faults.
    pub(super) clean: f64,
    /// Fault patterns that judge, that compare, and behind a point of a curve.
    pub(super) patterns: u32,
    pub(super) few: u32,
    pub(super) drawn: u32,
    /// The baseline first, then every scheme.
    pub(super) tried: Vec<Tried>,
    /// Where the scheme that needs least is among them.
    best: usize,
    /// Where the baseline that reads as the best does is.
    alike: usize,
    /// The best over the baseline.
    pub(super) gain: Gain,
    /// TAC as derived over the baseline.
    pub(super) derived_gain: Gain,
    /// The best over the baseline that reads as it does: allocation alone.
    pub(super) allocation_gain: Gain,
    pub(super) curves: Curves,
    pub(super) layers: Vec<Layer>,
}

impl Measured {
    pub(super) fn baseline(&self) -> &Tried {
        &self.tried[0]
    }

    pub(super) fn derived(&self) -> &Tried {
        &self.tried[DERIVED]
    }

    pub(super) fn best(&self) -> &Tried {
        &self.tried[self.best]
    }

    pub(super) fn alike(&self) -> &Tried {
        &self.tried[self.alike]
    }

    /// How many times less than the baseline a scheme needs, both under the same patterns.
    pub(super) fn ratio_of(&self, tried: &Tried) -> f64 {
        let baseline = match tried.judged {
            Some(_) => self.baseline().overhead(),
            None => self.baseline().overhead_of(self.baseline().compared.cost),
        };
        baseline / tried.overhead()
    }
}

/// How many times less one scheme needs than another, with its interval over fault patterns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Gain {
    pub(super) ratio: f64,
    pub(super) interval: [f64; 2],
}

impl Gain {
    /// Whole patterns are drawn again, and every scheme sees the same ones.
    fn new(bench: &Bench<'_>, tried: &Tried, over: &Tried) -> Result<Self> {
        let (patterns, seed) = (bench.patterns as usize, bench.context.seed);
        let interval = bootstrap(patterns, 2000, seed, |patterns| {
            let overhead = |tried: &Tried| tried.overhead_of(tried.search().cost_over(patterns));
            Ok(overhead(over) / overhead(tried))
        })?;
        Ok(Self { ratio: over.overhead() / tried.overhead(), interval })
    }
}

/// One scheme, and the budget that it needs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tried {
    pub(super) scheme: Scheme,
    /// Mean accuracy without protection.
    pub(super) unprotected: f64,
    /// Under the patterns that all schemes are compared by.
    pub(super) compared: Found,
    /// Under those that judge, for the few that ratios are made of.
    pub(super) judged: Option<Found>,
    /// Bits of all weights without any protection.
    weight_bits: f64,
    /// Scales and what decoders and repairs know.
    metadata_bits: f64,
}

impl Tried {
    /// What counts: the judgement, if there is one.
    pub(super) fn search(&self) -> &Found {
        self.judged.as_ref().unwrap_or(&self.compared)
    }

    /// Protected bits over all weight bits. One that needs none is counted with a single bit, so
    /// that ratios stay finite.
    pub(super) fn overhead(&self) -> f64 {
        self.overhead_of(self.search().cost)
    }

    pub(super) fn overhead_of(&self, cost: u64) -> f64 {
        cost.max(1) as f64 / self.weight_bits
    }

    /// Metadata bits over all weight bits, as far as the baseline does not have them: one scale for
    /// each tensor.
    pub(super) fn side_overhead(&self, baseline: &Self) -> f64 {
        (self.metadata_bits - baseline.metadata_bits) / self.weight_bits
    }

    /// Protected bits, and those.
    pub(super) fn overhead_with_side(&self, baseline: &Self) -> f64 {
        self.overhead() + self.side_overhead(baseline)
    }

    fn is_tac(&self) -> bool {
        matches!(self.scheme.allocator, Allocator::Tac(_))
    }
}

/// A scheme that was tried, with the network as it stores it.
pub(super) struct Trial {
    pub(super) stored: Stored,
    pub(super) tried: Tried,
}

impl Trial {
    fn new(bench: &Bench<'_>, scheme: &Scheme, clean: f64) -> Result<Self> {
        let stored =
            bench.store(scheme, bench.net.flip_probability(), Accounting::ProtectedBits)?;
        let none = bench.accuracies(&stored, &stored.model.uniform(0), 0..bench.few)?;
        let compared = smallest(bench, &stored, TARGET * clean, bench.few)?;
        let tried = Tried {
            scheme: scheme.clone(),
            unprotected: none.iter().sum::<f64>() / none.len() as f64,
            weight_bits: stored.weight_bits(),
            metadata_bits: metadata_bits(&stored, &compared),
            compared,
            judged: None,
        };
        Ok(Self { stored, tried })
    }

    /// The same under more patterns, none of which compared.
    fn judge(&mut self, bench: &Bench<'_>, clean: f64) -> Result<()> {
        let bracket = self.tried.compared.bracket;
        let found = judge(bench, &self.stored, TARGET * clean, bench.patterns, bracket)?;
        self.tried.metadata_bits = metadata_bits(&self.stored, &found);
        self.tried.judged = Some(found);
        Ok(())
    }
}

fn metadata_bits(stored: &Stored, found: &Found) -> f64 {
    let groups = stored.model.groups().iter().zip(&found.selection);
    let side: u64 =
        groups.map(|(group, &choice)| group.candidates[choice as usize].metadata_bits()).sum();
    (side + stored.recalibration_bits) as f64
}

/// The scheme that needs least protection.
fn best(trials: &[Trial]) -> Result<usize> {
    let tried = |i: usize| &trials[i].tried;
    let reached = (0..trials.len()).filter(|&i| tried(i).is_tac() && !tried(i).search().missed);
    reached
        .min_by(|&a, &b| tried(a).overhead().total_cmp(&tried(b).overhead()))
        .context("no scheme reaches the target, not even with every bit protected")
}

/// The baseline that has everything of a scheme but its allocation; tried now, if it was not yet.
fn alike(bench: &Bench<'_>, trials: &mut Vec<Trial>, scheme: &Scheme, clean: f64) -> Result<usize> {
    let alike = Scheme { allocator: Allocator::Uniform, ..scheme.clone() };
    if let Some(known) = trials.iter().position(|trial| trial.tried.scheme == alike) {
        return Ok(known);
    }
    trials.push(Trial::new(bench, &alike, clean)?);
    Ok(trials.len() - 1)
}

/// Everything that is compared: the baseline first, each idea alone, then together.
pub(super) fn schemes(net: Net) -> Vec<Scheme> {
    let (uniform, tac) = (Scheme::uniform, Scheme::tac);
    let measured = Allocator::Tac(Score::Measured);
    let gain = || Scheme { decoder: Decoder::BayesGain, scale: ScalePolicy::MinMse, ..tac() };
    let channels = || Scheme { granularity: Granularity::Channel, ..gain() };
    let mut schemes = vec![
        uniform(),
        Scheme { decoder: Decoder::Affine, ..uniform() },
        Scheme { allocator: Allocator::Uniform, ..gain() },
        tac(),
        Scheme { decoder: Decoder::Affine, ..tac() },
        Scheme { decoder: Decoder::LinearMmse, ..tac() },
        Scheme { decoder: Decoder::Bayes, ..tac() },
        Scheme { decoder: Decoder::BayesGain, ..tac() },
        Scheme { scale: ScalePolicy::MinMse, ..tac() },
        Scheme { allocator: measured, ..tac() },
        Scheme { granularity: Granularity::Channel, ..tac() },
        Scheme { granularity: Granularity::Channel, scale: ScalePolicy::PerGroup, ..tac() },
        Scheme { encoding: Encoding::SignMagnitude, decoder: Decoder::BayesGain, ..tac() },
        gain(),
        Scheme { allocator: measured, ..gain() },
        channels(),
        Scheme { allocator: measured, ..channels() },
    ];
    if net.has_batch_norm() {
        schemes.extend([
            Scheme { recalibration: Recalibration::BatchNorm, ..uniform() },
            Scheme { recalibration: Recalibration::BatchNorm, ..tac() },
            Scheme { recalibration: Recalibration::BatchNorm, ..channels() },
            Scheme { recalibration: Recalibration::BatchNorm, allocator: measured, ..channels() },
        ]);
    } else {
        schemes.extend(
            [uniform(), tac(), gain(), channels()]
                .map(|scheme| Scheme { recalibration: Recalibration::Logits, ..scheme }),
        );
    }
    schemes
}

/// Measures one network.
pub(super) fn measure(context: &Context, net: Net) -> Result<Measured> {
    net.with(context, Measure)
}

struct Measure;

impl WithNet for Measure {
    type Out = Measured;

    fn run<M: Classifier>(self, context: &Context, trained: Trained<M>) -> Result<Measured> {
        let all_images = trained.data.test.len();
        let whole = trained.accuracy(context)?;
        measured(&Bench::new(context, trained)?, all_images, whole)
    }
}

fn measured(bench: &Bench<'_>, all_images: usize, whole: f64) -> Result<Measured> {
    let [float, clean] = bench.clean(&Scheme::uniform())?;
    // A smoke run tries the named ones and the last of each kind.
    let mut schemes = schemes(bench.net);
    if bench.context.smoke {
        schemes = [0, 1, 2, 3, schemes.len() - 1].map(|i| schemes[i].clone()).to_vec();
    }
    let trials = schemes.iter().map(|scheme| Trial::new(bench, scheme, clean));
    let mut trials = trials.collect::<Result<Vec<Trial>>>()?;
    let best = best(&trials)?;
    let like_best = trials[best].tried.scheme.clone();
    let alike = alike(bench, &mut trials, &like_best, clean)?;
    // Those that the ratios are made of are judged by more patterns, none of which chose the best.
    for i in BTreeSet::from([0, DERIVED, best, alike]) {
        trials[i].judge(bench, clean)?;
    }
    let named = [0, alike, DERIVED, best].map(|i| &trials[i]);
    let gain = |of: usize, over: usize| Gain::new(bench, &trials[of].tried, &trials[over].tried);
    Ok(Measured {
        net: bench.net,
        images: bench.images,
        weights: trials[0].stored.model.weights(),
        all_images,
        test_images: bench.test_images(),
        whole,
        float,
        clean,
        patterns: bench.patterns,
        few: bench.few,
        drawn: bench.drawn,
        best,
        alike,
        gain: gain(best, 0)?,
        derived_gain: gain(DERIVED, 0)?,
        allocation_gain: gain(best, alike)?,
        curves: Curves::new(bench, named)?,
        layers: curves::layers(bench, &trials[DERIVED], &trials[best])?,
        tried: trials.into_iter().map(|trial| trial.tried).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a trial is kept under has the name of its scheme in it.
    #[test]
    fn schemes_have_names_of_their_own() {
        for net in Net::ALL {
            let schemes = schemes(net);
            let names: BTreeSet<String> = schemes.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), schemes.len(), "{names:?}");
            assert_eq!(schemes[DERIVED], Scheme::tac());
        }
    }
}
