//! Schemes under trial on one network: the budget that each needs, and how much less than another.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder, Score};
use qtaml::deploy::budget::{Gain, Overhead, gain};
use qtaml::deploy::scheme::{Allocator, Scheme};
use qtaml::deploy::{Granularity, Recalibration};
use qtaml::quant::Encoding;
use qtaml::train::Classifier;
use serde::Serialize;

use super::curves::{self, Curves, Layer};
use super::statistics::Recalibrated;
use super::{DERIVED, RESAMPLES};
use crate::bench::budget::{Found, judge, smallest};
use crate::bench::{Bench, Stored};
use crate::context::Context;
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
    /// The best over the baseline that has everything of it but its allocation.
    pub(super) gain: Gain,
    /// The best over the baseline without any idea of ours.
    pub(super) gain_over_plain: Gain,
    pub(super) curves: Curves,
    pub(super) layers: Vec<Layer>,
    pub(super) recalibrated: Recalibrated,
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

    /// How many times less than the plain baseline a scheme needs, both under the same patterns.
    pub(super) fn ratio_of(&self, tried: &Tried) -> f64 {
        let baseline = match tried.judged {
            Some(_) => self.baseline().overhead(),
            None => self.baseline().overhead_in(&self.baseline().compared),
        };
        baseline / tried.overhead()
    }
}

/// How many times less one scheme needs than another, both as judged, between the steps of their paths.
fn gain_over(bench: &Bench<'_>, tried: &Tried, over: &Tried) -> Result<Gain> {
    let over = Overhead::new(over.search(), over.weight_bits)?;
    let of = Overhead::new(tried.search(), tried.weight_bits)?;
    Ok(gain(over, of, RESAMPLES, bench.seed)?)
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
    /// Clean accuracy on the images of that.
    clean: f64,
    /// Bits of all weights without any protection.
    pub(super) weight_bits: f64,
    /// Scales and what decoders and repairs know.
    metadata_bits: f64,
}

impl Tried {
    /// What counts: the judgement, if there is one.
    pub(super) fn search(&self) -> &Found {
        self.judged.as_ref().unwrap_or(&self.compared)
    }

    /// Protected bits over all weight bits, between steps. One that needs none is counted with a single
    /// bit, so that ratios stay finite.
    pub(super) fn overhead(&self) -> f64 {
        self.overhead_in(self.search())
    }

    fn overhead_in(&self, search: &Found) -> f64 {
        search.interpolated().max(1.0) / self.weight_bits
    }

    /// The share of clean accuracy that it keeps under patterns that chose nothing.
    pub(super) fn kept(&self) -> f64 {
        self.search().fresh.value / self.clean
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
    fn new(bench: &Bench<'_>, scheme: &Scheme) -> Result<Self> {
        let stored =
            bench.store(scheme, bench.net.flip_probability(), Accounting::ProtectedBits)?;
        let none = bench.accuracies(&stored, &stored.model.uniform(0), 0..bench.few)?;
        let compared = smallest(bench, &stored, bench.few)?;
        let tried = Tried {
            scheme: scheme.clone(),
            unprotected: none.iter().sum::<f64>() / none.len() as f64,
            clean: bench.choosers.clean,
            weight_bits: stored.weight_bits(),
            metadata_bits: metadata_bits(&stored, &compared),
            compared,
            judged: None,
        };
        Ok(Self { stored, tried })
    }

    /// The same under more patterns and on other images, none of which compared.
    fn judge(&mut self, bench: &Bench<'_>) -> Result<()> {
        let found = judge(bench, &self.stored, bench.patterns)?;
        self.tried.clean = bench.judges.clean;
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
fn alike(bench: &Bench<'_>, trials: &mut Vec<Trial>, scheme: &Scheme) -> Result<usize> {
    let alike = Scheme { allocator: Allocator::Uniform, ..scheme.clone() };
    if let Some(known) = trials.iter().position(|trial| trial.tried.scheme == alike) {
        return Ok(known);
    }
    trials.push(Trial::new(bench, &alike)?);
    Ok(trials.len() - 1)
}

/// Everything that is compared: the plain baseline first, then TAC as derived, each idea alone, and the ideas
/// together. Where all are wanted, also what is rarely the best.
pub(super) fn schemes(net: Net, all: bool) -> Vec<Scheme> {
    let tac = Scheme::tac;
    let measured = Allocator::Tac(Score::Measured);
    let gain = || Scheme { decoder: Decoder::BayesGain, scale: ScalePolicy::MinMse, ..tac() };
    let channels = || Scheme { granularity: Granularity::Channel, ..gain() };
    let repair =
        if net.has_batch_norm() { Recalibration::BatchNorm } else { Recalibration::Logits };
    let repaired = |scheme| Scheme { recalibration: repair, ..scheme };
    let mut schemes = vec![
        Scheme::uniform(),
        tac(),
        Scheme { decoder: Decoder::BayesGain, ..tac() },
        Scheme { scale: ScalePolicy::MinMse, ..tac() },
        Scheme { allocator: measured, ..tac() },
        repaired(tac()),
        gain(),
        Scheme { allocator: measured, ..gain() },
        channels(),
        Scheme { allocator: measured, ..channels() },
        repaired(channels()),
    ];
    if all {
        schemes.extend([
            Scheme { decoder: Decoder::Affine, ..tac() },
            Scheme { decoder: Decoder::LinearMmse, ..tac() },
            Scheme { decoder: Decoder::Bayes, ..tac() },
            Scheme { granularity: Granularity::Channel, ..tac() },
            Scheme { granularity: Granularity::Channel, scale: ScalePolicy::PerGroup, ..tac() },
            Scheme { encoding: Encoding::SignMagnitude, decoder: Decoder::BayesGain, ..tac() },
            repaired(Scheme { allocator: measured, ..channels() }),
        ]);
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
    let mut schemes = schemes(bench.net, bench.context.is_full());
    // A smoke run tries the named ones and the last.
    if bench.context.smoke {
        schemes = [0, DERIVED, schemes.len() - 1].map(|i| schemes[i].clone()).to_vec();
    }
    let trials = schemes.iter().map(|scheme| Trial::new(bench, scheme));
    let mut trials = trials.collect::<Result<Vec<Trial>>>()?;
    let best = best(&trials)?;
    let like_best = trials[best].tried.scheme.clone();
    let alike = alike(bench, &mut trials, &like_best)?;
    // Those that the ratios are made of are judged by more patterns, none of which chose the best.
    for i in BTreeSet::from([0, DERIVED, best, alike]) {
        trials[i].judge(bench)?;
    }
    let named = [0, alike, DERIVED, best].map(|i| &trials[i]);
    let gain = |of: usize, over: usize| gain_over(bench, &trials[of].tried, &trials[over].tried);
    Ok(Measured {
        net: bench.net,
        images: bench.images,
        weights: trials[0].stored.model.weights(),
        all_images,
        test_images: bench.judges.count(),
        whole,
        float: bench.judges.float(),
        clean: bench.judges.clean,
        patterns: bench.patterns,
        few: bench.few,
        drawn: bench.drawn,
        best,
        alike,
        gain: gain(best, alike)?,
        gain_over_plain: gain(best, 0)?,
        curves: Curves::new(bench, named)?,
        layers: curves::layers(bench, &trials[DERIVED], &trials[best])?,
        recalibrated: Recalibrated::new(bench, &trials)?,
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
            let schemes = schemes(net, true);
            let names: BTreeSet<String> = schemes.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), schemes.len(), "{names:?}");
            assert_eq!(schemes[DERIVED], Scheme::tac());
        }
    }
}
