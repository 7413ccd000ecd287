//! The bench: one trained network with all that schemes are tried with.

#![allow(
    clippy::missing_errors_doc,
    reason = "everything on the bench fails as its context does: interrupted, or a trial failed"
)]

pub mod budget;
pub mod code;
mod flips;
mod level;
pub mod reading;
mod statistics;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use qtaml::compensation::allocation::{AllocationProblem, GreedyPath, Selection};
use qtaml::compensation::{Accounting, GroupStatistics, Score};
use qtaml::deploy::job::Fingerprint;
use qtaml::deploy::scheme::Scheme;
use qtaml::deploy::sensitivity::{gradient_norms, noise_response};
use qtaml::deploy::{
    Evaluation, Granularity, GroupSensitivity, Metric, Output, Recalibration, Recalibrator, Runner,
    StoredModel, Trials, Values, groups_of,
};
use qtaml::fault::Seed;
use qtaml::physics::FlipProbability;
use qtaml::train::{BurnRunner, Classifier, Device, Images};
use rayon::prelude::*;
use serde::Serialize;

pub use self::flips::Flips;
pub use self::level::{Level, falls};
pub use self::statistics::{CalibrationImages, Statistics};

use self::code::LIBRARY;
use crate::context::Context;
use crate::stopwatch::Phase;
use crate::workloads::networks::{Net, Replicate, Trained, WithNet};

/// The share of clean accuracy that has to be kept.
pub const TARGET: f64 = 0.95;

/// Random projections behind the norm of a Jacobian.
pub const PROJECTIONS: usize = 32;
/// Fault patterns that are tried, and kept, at a time.
const BLOCK: u32 = 5;
/// Fault patterns behind the measured response of a layer.
const RESPONSE_PATTERNS: u32 = 8;

/// A network under trial.
pub struct Bench<'a> {
    /// The run.
    pub context: &'a Context,
    /// Which network.
    pub net: Net,
    /// What its results are kept under.
    pub name: String,
    /// What it was trained on, in words.
    pub images: &'static str,
    /// The seed of its training and of the faults in its memory.
    pub seed: Seed,
    /// The network on images whose labels nobody reads.
    pub calibration: Arc<dyn Runner>,
    /// How many these are, and what they take.
    pub calibration_images: CalibrationImages,
    /// The network on the images that claims are judged by.
    pub judges: TestImages,
    /// On those that schemes and budgets are chosen by: none of them judges.
    pub choosers: TestImages,
    /// The number of fault patterns behind a claim.
    pub patterns: u32,
    /// The number that schemes are first compared under.
    pub few: u32,
    /// The number behind a point of a curve.
    pub drawn: u32,
}

/// A network on some of the test images.
pub struct TestImages {
    /// What results on them are kept under.
    name: &'static str,
    runner: Arc<dyn Runner>,
    accuracy: Evaluation,
    /// Accuracy as INT8 without faults: what is "clean" to all claims.
    pub clean: f64,
    /// Accuracy that has to be kept: [`TARGET`] of that.
    pub target: f64,
}

impl TestImages {
    fn new<M: Classifier + 'static>(
        name: &'static str,
        model: &M,
        images: &Images,
        quantized: &Values,
        device: &Device,
    ) -> Result<Self> {
        let runner = BurnRunner::classifier(model, images, device)?;
        let outputs = runner.outputs(Values::new())?;
        let accuracy = Evaluation::labelled(outputs, Metric::Accuracy, images.labels().to_vec())?;
        let clean = accuracy.score(&runner.outputs(quantized.clone())?)?;
        let runner = Arc::new(runner);
        Ok(Self { name, runner, accuracy, clean, target: TARGET * clean })
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.accuracy.golden().first().map_or(0, Output::samples)
    }

    /// Accuracy of the network as it was trained.
    pub fn float(&self) -> f64 {
        self.accuracy.clean()
    }

    /// Accuracy where the weights have these values.
    pub fn accuracy_of(&self, values: Values) -> Result<f64> {
        Ok(self.accuracy.score(&self.runner.outputs(values)?)?)
    }
}

/// A network stored as a scheme says, and what the scheme may choose.
pub struct Stored {
    /// The scheme.
    pub scheme: Scheme,
    /// The network.
    pub model: StoredModel,
    /// Its weights as they are read without faults.
    pub golden: Values,
    /// What scores are made of.
    pub statistics: Vec<GroupStatistics>,
    /// What each candidate costs and is predicted to leave.
    pub problem: AllocationProblem,
    /// Bits that the repair must know of the model without faults.
    pub recalibration_bits: u64,
    /// How bits of the memory flip.
    pub flips: Flips,
}

impl Stored {
    /// The way through the budgets.
    pub fn path(&self) -> GreedyPath<'_> {
        self.scheme.allocator.path(&self.problem)
    }

    /// Bits of all weights without any protection.
    pub fn weight_bits(&self) -> f64 {
        self.model.weights() as f64 * f64::from(self.scheme.bits.get())
    }

    /// Bits of a weight where so many are stored, with what recalibration keeps of the network without faults.
    pub fn bits_a_weight(&self, stored: f64) -> f64 {
        (stored + self.recalibration_bits as f64) / self.model.weights() as f64
    }
}

/// Trains a network, or takes the kept one, and measures on its bench.
pub fn on_bench<T>(
    context: &Context,
    net: Net,
    measure: impl FnOnce(&Bench<'_>) -> Result<T>,
) -> Result<T> {
    on_replicate(context, net, Replicate::FIRST, measure)
}

/// The same on another training, with other faults and other images.
pub fn on_replicate<T>(
    context: &Context,
    net: Net,
    replicate: Replicate,
    measure: impl FnOnce(&Bench<'_>) -> Result<T>,
) -> Result<T> {
    net.with_replicate(context, replicate, OnBench { measure, out: PhantomData })
}

/// A closure as a visitor: on the bench it no longer sees the type of the network.
struct OnBench<F, T> {
    measure: F,
    out: PhantomData<fn() -> T>,
}

impl<F: FnOnce(&Bench<'_>) -> Result<T>, T> WithNet for OnBench<F, T> {
    type Out = T;

    fn run<M: Classifier>(self, context: &Context, trained: Trained<M>) -> Result<T> {
        (self.measure)(&Bench::new(context, trained)?)
    }
}

impl<'a> Bench<'a> {
    /// The network, ready for trials.
    pub fn new<M: Classifier + 'static>(context: &'a Context, trained: Trained<M>) -> Result<Self> {
        let [judges, choosers] = trained.test_images(context)?;
        let Trained { net, name, model, data, images, seed, .. } = trained;
        let device = &context.device;
        let calibration = BurnRunner::classifier(&model, &data.calibration, device)?;
        let never = FlipProbability::NEVER.into();
        let quantized = Scheme::uniform().store(&calibration, &never, &LIBRARY)?.golden();
        let on = |name, images| TestImages::new(name, &model, images, &quantized, device);
        Ok(Self {
            context,
            net,
            name,
            images,
            seed,
            judges: on("judges", &judges)?,
            choosers: on("choosers", &choosers)?,
            calibration: Arc::new(calibration),
            calibration_images: CalibrationImages::new(&data.calibration),
            patterns: context.size(50, 4) as u32,
            few: context.size(20, 2) as u32,
            drawn: context.size(10, 2) as u32,
        })
    }

    /// What has to be kept is what another network has to keep.
    #[must_use]
    pub fn as_accurate_as(mut self, other: &Self) -> Self {
        self.judges.target = other.judges.target;
        self.choosers.target = other.choosers.target;
        self
    }

    /// How sure the network is of each calibration image, by the lead of its highest score.
    pub fn margins(&self) -> Result<Vec<f64>> {
        let outputs = self.calibration.outputs(Values::new())?;
        Ok(Evaluation::new(outputs, Metric::Agreement)?.margins())
    }

    /// The Jacobian norms of the network's weight groups, estimated once for all claims.
    pub fn norms(&self, granularity: Granularity) -> Result<Vec<GroupSensitivity>> {
        let Self { context, calibration, .. } = self;
        let projections = context.size(PROJECTIONS, 2) as u32;
        context.unit(&("norms", &self.name, granularity, projections), || {
            let weights = calibration.tensors().iter().enumerate();
            let groups: Vec<_> = weights
                .filter(|(_, tensor)| tensor.role.is_weight())
                .flat_map(|(index, tensor)| groups_of(index, tensor, granularity))
                .collect();
            let norms = || gradient_norms(&**calibration, &groups, projections, self.seed);
            Ok(context.stopwatch.time(Phase::Sensitivity, norms)?)
        })
    }

    /// The network in a memory whose bits flip like this, as the scheme stores it.
    pub fn store(
        &self,
        scheme: &Scheme,
        flips: impl Into<Flips>,
        accounting: Accounting,
    ) -> Result<Stored> {
        let flips = flips.into();
        let model = scheme.store(&*self.calibration, &flips.profile()?, &LIBRARY)?;
        let mut statistics = model.statistics(&self.norms(scheme.granularity)?)?;
        let score = scheme.allocator.score();
        if score == Score::Measured {
            self.add_responses(scheme, flips, &mut statistics)?;
        }
        let problem = model.problem(score, &statistics, accounting)?;
        Ok(self.stored(scheme, model, statistics, problem, flips))
    }

    /// A stored model as a scheme uses it.
    pub fn stored(
        &self,
        scheme: &Scheme,
        model: StoredModel,
        statistics: Vec<GroupStatistics>,
        problem: AllocationProblem,
        flips: impl Into<Flips>,
    ) -> Stored {
        let classes = self.judges.accuracy.golden().iter().map(Output::classes).sum();
        let recalibration_bits = scheme.recalibration.needs(classes).metadata_bits;
        let (scheme, golden, flips) = (scheme.clone(), model.golden(), flips.into());
        Stored { scheme, model, golden, statistics, problem, recalibration_bits, flips }
    }

    /// What repairs outputs after a read, as the scheme says.
    fn recalibrator<'b>(
        &'b self,
        recalibration: Recalibration,
        golden: &'b Values,
    ) -> Result<Recalibrator<'b>> {
        Ok(Recalibrator::new(recalibration, &*self.calibration, golden)?)
    }

    /// Corrects the linear score of each tensor by what it does when it alone is read with faults.
    fn add_responses(
        &self,
        scheme: &Scheme,
        flips: Flips,
        statistics: &mut [GroupStatistics],
    ) -> Result<()> {
        let scheme = &scheme.exposed();
        let model = scheme.exposable(&*self.calibration, &flips.profile()?, &LIBRARY)?;
        let linear = model.problem(Score::Wkb, statistics, Accounting::ProtectedBits)?;
        let kept = model.uniform(u32::MAX);
        let tensors: Vec<_> = model.groups().iter().map(|stored| stored.tensor.clone()).collect();
        let mut ratios: BTreeMap<&str, f64> = BTreeMap::new();
        for tensor in &tensors {
            if ratios.contains_key(&**tensor) {
                continue;
            }
            let exposed = |group: usize| tensors[group] == *tensor;
            let selection: Selection =
                kept.iter().enumerate().map(|(g, &k)| if exposed(g) { 0 } else { k }).collect();
            let predicted: f64 = (0..selection.len())
                .filter(|&group| exposed(group))
                .map(|group| linear.candidates(group)[0].distortion)
                .sum();
            let key = ("response", &self.name, flips, scheme, &**tensor);
            let measured: f64 =
                self.context.unit(&key, || self.response(scheme, &model, &selection))?;
            ratios.insert(tensor, if predicted > 0.0 { measured / predicted } else { 0.0 });
        }
        for (statistics, tensor) in statistics.iter_mut().zip(&tensors) {
            let linear = Score::Wkb.of(statistics)?;
            statistics.response = Some(linear * ratios[&**tensor]);
        }
        Ok(())
    }

    /// What faults under a selection do to the outputs of the repaired network.
    fn response(&self, scheme: &Scheme, model: &StoredModel, selection: &Selection) -> Result<f64> {
        let patterns = self.context.size(RESPONSE_PATTERNS as usize, 2) as u32;
        // Patterns that no trial is judged by.
        let seed = Seed(!self.seed.0);
        let golden = model.golden();
        let recalibrator = self.recalibrator(scheme.recalibration, &golden)?;
        // What repairs do without any fault is no response to faults.
        let clean = recalibrator.without_faults(&*self.calibration)?;
        let outputs = |pattern| -> Result<Vec<Output>, qtaml::deploy::DeployError> {
            recalibrator.outputs(&*self.calibration, model.read(seed, pattern, selection)?)
        };
        let response = || noise_response(&clean, patterns, outputs);
        Ok(self.context.stopwatch.time(Phase::Sensitivity, response)?.distortion)
    }

    /// Accuracy on the images that judge under each of some fault patterns, the same ones for every
    /// scheme. What a first look has tried is not tried again.
    pub fn accuracies(
        &self,
        stored: &Stored,
        selection: &Selection,
        patterns: Range<u32>,
    ) -> Result<Vec<f64>> {
        self.accuracies_on(&self.judges, stored, selection, patterns)
    }

    /// The same on some of the test images.
    pub fn accuracies_on(
        &self,
        images: &TestImages,
        stored: &Stored,
        selection: &Selection,
        patterns: Range<u32>,
    ) -> Result<Vec<f64>> {
        let Stored { scheme, flips, .. } = stored;
        let selected = Fingerprint::of(selection)?;
        let mut recalibrator = None;
        let mut accuracies = Vec::with_capacity(patterns.len());
        for start in patterns.clone().step_by(BLOCK as usize) {
            let block = start..patterns.end.min(start + BLOCK);
            let key = ("accuracies", &self.name, images.name, flips, scheme, selected, &block);
            let trials = || -> Result<Vec<f64>> {
                let recalibrator = match &mut recalibrator {
                    Some(recalibrator) => recalibrator,
                    none => none.insert(self.recalibrator(scheme.recalibration, &stored.golden)?),
                };
                let trials = Trials::new(&*images.runner, recalibrator, &images.accuracy);
                let read = |pattern| stored.model.read(self.seed, pattern, selection);
                Ok(trials.scores(block.clone(), read)?)
            };
            let timed = || self.context.stopwatch.time(Phase::Trials, trials);
            accuracies.extend(self.context.unit(&key, timed)?);
        }
        Ok(accuracies)
    }

    /// Accuracy on the images that judge in each of some trials, where the weights have these values. The key
    /// says what they are.
    pub fn accuracies_where(
        &self,
        key: &impl Serialize,
        trials: Range<u32>,
        values: impl Fn(u32) -> Result<Values> + Sync,
    ) -> Result<Vec<f64>> {
        let key = ("where", &self.name, key, &trials);
        let accuracies = || {
            let accuracy = |trial| self.judges.accuracy_of(values(trial)?);
            trials.clone().into_par_iter().map(accuracy).collect()
        };
        self.context.unit(&key, || self.context.stopwatch.time(Phase::Trials, accuracies))
    }

    /// Squared distance of the outputs from those of the network without faults, per image, in the
    /// mean over fault patterns.
    pub fn output_noise(&self, stored: &Stored, selection: &Selection) -> Result<f64> {
        let Stored { scheme, flips, model, golden, .. } = stored;
        let selected = Fingerprint::of(selection)?;
        let key = ("noise", &self.name, flips, scheme, selected);
        self.context.unit(&key, || {
            let patterns = self.context.size(20, 2) as u32;
            let clean = self.calibration.outputs(golden.clone())?;
            let outputs = |pattern| -> Result<Vec<Output>, qtaml::deploy::DeployError> {
                let read = model.read(self.seed, pattern, selection)?;
                Ok(self.calibration.outputs(read)?)
            };
            let response = || noise_response(&clean, patterns, outputs);
            let response = self.context.stopwatch.time(Phase::Trials, response);
            Ok(response.with_context(|| scheme.to_string())?.distortion)
        })
    }
}
