//! One trained network, with all that is needed to try schemes on it.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, Result};
use qtaml::compensation::allocation::{AllocationProblem, GreedyPath};
use qtaml::compensation::{LayerStatistics, Score};
use qtaml::fault::Seed;
use qtaml::physics::FlipProbability;
use qtaml::train::sensitivity::{JacobianNorm, jacobian_norms, noise_response};
use qtaml::train::{
    Classifier, Cost, Evaluation, Granularity, Images, ScoreStatistics, StoredNetwork, TrainError,
    fingerprint, reestimate_batch_norm, reestimate_scores,
};
use rayon::prelude::*;

use super::scheme::{Allocator, Scheme};
use crate::claims::networks::{Net, Trained, judges};
use crate::context::Context;
use crate::stats::mean;
use crate::stopwatch::Phase;

/// Random projections behind the norm of a Jacobian.
pub const PROJECTIONS: usize = 32;
/// Fault patterns that are tried, and kept, at a time.
const BLOCK: u32 = 5;
/// So many of them tell at first whether a budget is far from enough, or far more.
const LOOKS: u32 = 2;
/// A mean of so few is never trusted to be nearer than this.
const LEAST_DOUBT: f64 = 0.01;
/// Fault patterns behind the measured response of a layer.
const RESPONSE_PATTERNS: u32 = 8;

/// A network under trial.
pub struct Bench<'a, M> {
    /// The run.
    pub context: &'a Context,
    /// Which network.
    pub net: Net,
    /// What its results are kept under.
    pub name: String,
    /// What it was trained on, in words.
    pub images: &'static str,
    /// As it was trained.
    pub model: M,
    /// Images whose labels nobody reads.
    pub calibration: Images,
    /// Those that accuracy is measured on.
    pub test: Evaluation,
    /// The number of fault patterns behind a claim.
    pub patterns: u32,
    /// The number that schemes are first compared under.
    pub few: u32,
    /// The number behind a point of a curve.
    pub drawn: u32,
    calibrated: Evaluation,
}

/// A network stored as a scheme says, and what the scheme may choose.
pub struct Stored<M> {
    /// The scheme.
    pub scheme: Scheme,
    /// The network.
    pub network: StoredNetwork<M>,
    /// What its classes' scores are like without faults, if they are to be brought back to that.
    pub golden_scores: Option<ScoreStatistics>,
    /// What scores are made of.
    pub statistics: Vec<LayerStatistics>,
    /// What each choice costs and is predicted to leave.
    pub units: AllocationProblem,
    /// The flip probability of the memory.
    pub p: f64,
}

impl<M: Classifier> Stored<M> {
    /// The way through the budgets.
    pub fn path(&self) -> GreedyPath<'_> {
        match self.scheme.allocator {
            Allocator::Uniform => GreedyPath::uniform(&self.units),
            Allocator::Tac(_) => GreedyPath::optimal(&self.units),
        }
    }

    /// Bits of all weights without any protection.
    pub fn weight_bits(&self) -> f64 {
        self.network.weights() as f64 * f64::from(self.scheme.bits.get())
    }
}

impl<'a, M: Classifier> Bench<'a, M> {
    /// The network, ready for trials.
    pub fn new(context: &'a Context, trained: Trained<M>) -> Result<Self> {
        let Trained { net, name, model, data, images } = trained;
        Ok(Self {
            context,
            net,
            name,
            images,
            model,
            test: judges(context, &data)?,
            calibrated: Evaluation::new(&data.calibration, &context.device)?,
            calibration: data.calibration,
            patterns: context.size(50, 4) as u32,
            few: context.size(20, 2) as u32,
            drawn: context.size(10, 2) as u32,
        })
    }

    /// Accuracy of the network as it was trained, and quantized without faults.
    pub fn clean(&self, scheme: &Scheme) -> Result<[f64; 2]> {
        let network = scheme.store(&self.model, FlipProbability::NEVER)?;
        Ok([self.test.accuracy(&self.model), self.test.accuracy(network.golden())])
    }

    /// How sure the network is of each calibration image, by the lead of its highest score.
    pub fn margins(&self) -> Vec<f64> {
        self.calibrated.margins(&self.model)
    }

    /// The Jacobian norms of the network's units, estimated once for all claims.
    pub fn norms(&self, granularity: Granularity) -> Result<Vec<JacobianNorm>> {
        let Self { context, model, calibration, .. } = self;
        let projections = context.size(PROJECTIONS, 2);
        context.unit(&format!("{}/norms by {granularity}", self.name), || {
            let (seed, device) = (context.seed, &context.device);
            let norms =
                || jacobian_norms(model, granularity, calibration, projections, seed, device);
            Ok(context.stopwatch.time(Phase::Sensitivity, norms)?)
        })
    }

    /// The network in a memory of this flip probability, as the scheme stores it.
    pub fn store(&self, scheme: &Scheme, p: f64, cost: Cost) -> Result<Stored<M>> {
        let network = scheme.store(&self.model, FlipProbability::symmetric(p)?)?;
        let mut statistics = network.statistics(&self.norms(scheme.granularity)?)?;
        let score = match scheme.allocator {
            Allocator::Uniform => Score::Wkb,
            Allocator::Tac(score) => score,
        };
        if score == Score::Empirical {
            anyhow::ensure!(
                !scheme.scores_again,
                "{scheme}: responses are measured without scores brought back"
            );
            self.add_responses(scheme, p, &mut statistics)?;
        }
        let units = network.choices(score, &statistics, cost)?;
        let golden_scores = self.golden_scores(scheme, &network);
        Ok(Stored { scheme: scheme.clone(), network, golden_scores, statistics, units, p })
    }

    /// What the scores of a network's classes are like without faults, if the scheme brings them back
    /// to that.
    pub fn golden_scores(
        &self,
        scheme: &Scheme,
        network: &StoredNetwork<M>,
    ) -> Option<ScoreStatistics> {
        scheme.scores_again.then(|| ScoreStatistics::of(network.golden(), &self.calibrated))
    }

    /// Corrects the linear score of each tensor by what it does when it alone is read with faults.
    fn add_responses(
        &self,
        scheme: &Scheme,
        p: f64,
        statistics: &mut [LayerStatistics],
    ) -> Result<()> {
        let scheme = &scheme.exposed();
        let network = scheme.exposable(&self.model, FlipProbability::symmetric(p)?)?;
        let linear = network.choices(Score::Wkb, statistics, Cost::Protected)?;
        let kept = network.alike(u32::MAX);
        let tensors: Vec<String> =
            network.units().iter().map(|u| u.unit().tensor.clone()).collect();
        let mut ratios: BTreeMap<&str, f64> = BTreeMap::new();
        for tensor in &tensors {
            if ratios.contains_key(tensor.as_str()) {
                continue;
            }
            let exposed = |u: usize| tensors[u] == *tensor;
            let chosen: Vec<u32> =
                kept.iter().enumerate().map(|(u, &k)| if exposed(u) { 0 } else { k }).collect();
            let predicted: f64 = (0..chosen.len())
                .filter(|&u| exposed(u))
                .map(|u| linear.choices(u)[0].distortion)
                .sum();
            let key = format!("{}/{p:?}/{scheme}/response of {tensor}", self.name);
            let measured: f64 = self.context.unit(&key, || {
                let patterns = self.context.size(RESPONSE_PATTERNS as usize, 2) as u32;
                // Patterns that no trial is judged by.
                let seed = Seed(!self.context.seed.0);
                let read = |pattern| {
                    let read = network.read(seed, pattern, &chosen)?;
                    self.repaired(scheme, read)
                };
                // What repairs do without any fault is no response to faults.
                let golden = self.repaired(scheme, network.golden().clone())?;
                let response = || noise_response(&golden, &self.calibrated, patterns, read);
                Ok(self.context.stopwatch.time(Phase::Sensitivity, response)?.distortion)
            })?;
            ratios.insert(tensor, if predicted > 0.0 { measured / predicted } else { 0.0 });
        }
        for (statistics, tensor) in statistics.iter_mut().zip(&tensors) {
            let linear = Score::Wkb.of(statistics)?;
            statistics.response = Some(linear * ratios[tensor.as_str()]);
        }
        Ok(())
    }

    fn repaired(&self, scheme: &Scheme, read: M) -> Result<M, TrainError> {
        if scheme.norms_again {
            reestimate_batch_norm(&read, &self.calibration, &self.context.device)
        } else {
            Ok(read)
        }
    }

    /// Accuracy under each of some fault patterns, the same ones for every scheme. What a first look
    /// has tried is not tried again.
    pub fn accuracies(
        &self,
        stored: &Stored<M>,
        chosen: &[u32],
        patterns: Range<u32>,
    ) -> Result<Vec<f64>> {
        let Stored { scheme, p, .. } = stored;
        let choice = fingerprint(&chosen);
        let accuracy = |pattern| {
            let read = stored.network.read(self.context.seed, pattern, chosen)?;
            let read = self.repaired(scheme, read)?;
            Ok(match &stored.golden_scores {
                None => self.test.accuracy(&read),
                Some(golden) => {
                    self.test.accuracy(&reestimate_scores(read, golden, &self.calibrated)?)
                }
            })
        };
        let mut accuracies = Vec::with_capacity(patterns.len());
        for start in patterns.clone().step_by(BLOCK as usize) {
            let block = start..patterns.end.min(start + BLOCK);
            let key = format!("{}/{p:?}/{scheme}/{choice}/{block:?}", self.name);
            let trials = || block.into_par_iter().map(accuracy).collect::<Result<Vec<f64>>>();
            let timed = || self.context.stopwatch.time(Phase::Trials, trials);
            accuracies.extend(self.context.unit(&key, timed)?);
        }
        Ok(accuracies)
    }

    /// Whether the first of some fault patterns already tell that mean accuracy reaches the
    /// target or does not: that it is far from it. None if they do not tell.
    pub fn clearly(
        &self,
        stored: &Stored<M>,
        chosen: &[u32],
        target: f64,
        patterns: Range<u32>,
    ) -> Result<Option<bool>> {
        for look in 1..=LOOKS {
            let few = patterns.start..patterns.end.min(patterns.start + look * BLOCK);
            let mean = mean(&self.accuracies(stored, chosen, few)?)?;
            let (distance, half) = (mean.value - target, mean.interval[1] - mean.value);
            if distance.abs() > 2.0 * half.max(LEAST_DOUBT) {
                return Ok(Some(distance > 0.0));
            }
        }
        Ok(None)
    }

    /// Squared distance of the scores from those of the network without faults, per image, in the mean
    /// over fault patterns.
    pub fn output_noise(&self, stored: &Stored<M>, chosen: &[u32]) -> Result<f64> {
        let Stored { scheme, p, .. } = stored;
        let choice = fingerprint(&chosen);
        let key = format!("{}/{p:?}/{scheme}/{choice}/noise", self.name);
        self.context.unit(&key, || {
            let read = |pattern| stored.network.read(self.context.seed, pattern, chosen);
            let patterns = self.context.size(20, 2) as u32;
            let golden = stored.network.golden();
            let response = || noise_response(golden, &self.calibrated, patterns, read);
            let response = self.context.stopwatch.time(Phase::Trials, response);
            Ok(response.with_context(|| scheme.to_string())?.distortion)
        })
    }
}
