//! The variance of the output, as measured and as the first-order model predicts it.

use anyhow::{Context as _, Result};
use qtaml::compensation::CodeHistogram;
use qtaml::compensation::allocation::Selection;
use qtaml::compensation::storage::QuantizedSpec;
use qtaml::deploy::sensitivity::gradient_norms;
use qtaml::deploy::{Granularity, GroupSensitivity, Runner, StoredModel, Storing, Values};
use qtaml::fault::{BitMask, MemoryModel, QuantizedChannel};
use qtaml::physics::FlipProbability;
use qtaml::quant::QuantizedTensor;
use qtaml::train::BurnRunner;
use rayon::prelude::*;

use super::{ALONE, BITS, NEAR, SMALL, SWEEP};
use crate::context::Context;
use crate::stats::{Mean, mean};
use crate::stopwatch::Phase;
use crate::workloads::networks::{self, Trained};

/// The variance that the first-order model predicts and the one that was sampled.
pub(super) struct Compared {
    pub(super) what: String,
    pub(super) p: f64,
    pub(super) predicted: f64,
    /// Relative standard error of the prediction, from the estimate of the Jacobian.
    pub(super) uncertain: f64,
    pub(super) sampled: Mean,
}

impl Compared {
    /// Sampled over predicted variance, with its 95 % interval: both are estimates.
    pub(super) fn ratio(&self) -> (f64, [f64; 2]) {
        let Mean { value, interval, .. } = self.sampled;
        let ratio = value / self.predicted;
        let end = |end: f64, side: f64| {
            ratio + side * ((end - value) / self.predicted).hypot(1.96 * self.uncertain * ratio)
        };
        (ratio, [end(interval[0], -1.0), end(interval[1], 1.0)])
    }

    /// Whether the model may be right to within what counts as near.
    pub(super) fn is_near(&self) -> bool {
        self.relative_error().1[0] <= NEAR
    }

    /// How far the ratio is from one, with the interval of that.
    pub(super) fn relative_error(&self) -> (f64, [f64; 2]) {
        let (ratio, [low, high]) = self.ratio();
        let (low, high) = (low - 1.0, high - 1.0);
        let nearest = if low <= 0.0 && 0.0 <= high { 0.0 } else { low.abs().min(high.abs()) };
        ((ratio - 1.0).abs(), [nearest, low.abs().max(high.abs())])
    }
}

/// The stored network, and the images that its output is looked at on.
pub(super) struct Trial<'a> {
    pub(super) context: &'a Context,
    /// The network as it is stored, on those images.
    pub(super) runner: Box<dyn Runner>,
    pub(super) golden: Values,
    pub(super) norms: Vec<GroupSensitivity>,
    pub(super) images: usize,
}

impl<'a> Trial<'a> {
    pub(super) fn new(context: &'a Context) -> Result<Self> {
        let Trained { model, data, .. } = networks::lenet(context)?;
        let images = context.size(64, 8);
        let chosen = data.calibration.select(&(0..images).collect::<Vec<_>>())?;
        let trained = BurnRunner::classifier(&model, &chosen, &context.device)?;
        let golden = stored(&trained, ALONE)?.golden();
        // Of the network as it is stored, so that nothing but linearity is put to the test.
        let model = trained.replaced(golden.clone())?;
        let runner = BurnRunner::classifier(&model, &chosen, &context.device)?;
        let network = stored(&runner, ALONE)?;
        let groups = network.weight_groups();
        let projections = context.size(512, 16) as u32;
        let norms = context.unit(&("qtaml.layer", "norms", images, projections), || {
            let norms = || gradient_norms(&runner, &groups, projections, context.seed);
            Ok(context.stopwatch.time(Phase::Sensitivity, norms)?)
        })?;
        Ok(Self { context, runner: Box::new(runner), golden, norms, images })
    }

    /// Fault patterns: rare faults need more of them, as few patterns hold most of the variance.
    pub(super) fn patterns(&self, p: f64) -> u32 {
        let quick = if p <= SMALL { 2500 } else { 400 };
        self.context.size(quick, 20) as u32
    }

    /// All layers at once, the same number of top bits protected in each.
    pub(super) fn sweep(&self, kept: u32, what: &str) -> Result<Vec<Compared>> {
        let task = self.context.progress.task(what, SWEEP.len() as u64);
        let at = |&p: &f64| {
            let layers = self.predict(p)?;
            let compared = self.compare(what.into(), p, &layers, &vec![kept; layers.len()])?;
            task.tick(1);
            Ok(compared)
        };
        SWEEP.iter().map(at).collect()
    }

    /// One layer at a time; the others are read without faults.
    pub(super) fn layers_alone(&self) -> Result<Vec<Compared>> {
        let layers = self.predict(ALONE)?;
        let task = self.context.progress.task("layers one by one", layers.len() as u64);
        let alone = |exposed: usize| {
            let kept = |l| if l == exposed { 0 } else { BITS.get() };
            let chosen: Vec<u32> = (0..layers.len()).map(kept).collect();
            let what = format!("only {}", layers[exposed].name);
            let compared = self.compare(what, ALONE, &layers, &chosen)?;
            task.tick(1);
            Ok(compared)
        };
        (0..layers.len()).map(alone).collect()
    }

    pub(super) fn predict(&self, p: f64) -> Result<Vec<LayerVariance>> {
        let layer = |norm: &GroupSensitivity| {
            let weights = self.golden.get(&norm.name).context("a layer is gone")?;
            LayerVariance::new(weights, norm, p)
        };
        self.norms.iter().map(layer).collect()
    }

    pub(super) fn compare(
        &self,
        what: String,
        p: f64,
        layers: &[LayerVariance],
        chosen: &[u32],
    ) -> Result<Compared> {
        let predicted = layers.iter().zip(chosen).map(|(layer, &k)| layer.with(k)).sum();
        let sampled = mean(&self.squared_deviations(p, chosen)?)?;
        let uncertain = self.uncertain(layers, chosen, predicted);
        Ok(Compared { what, p, predicted, uncertain, sampled })
    }

    /// Relative standard error of the predicted variance: that of each layer's Jacobian norm,
    /// weighted with what the layer contributes.
    pub(super) fn uncertain(
        &self,
        layers: &[LayerVariance],
        chosen: &[u32],
        predicted: f64,
    ) -> f64 {
        let error = |((layer, &k), norm): ((&LayerVariance, &u32), &GroupSensitivity)| {
            layer.with(k) * norm.standard_error / norm.squared
        };
        let layers = layers.iter().zip(chosen);
        let errors = layers.zip(&self.norms).map(error).map(|error| error * error);
        errors.sum::<f64>().sqrt() / predicted
    }

    /// For each fault pattern the squared distance of the scores from their mean over patterns, per
    /// image: on average their total variance.
    pub(super) fn squared_deviations(&self, p: f64, chosen: &[u32]) -> Result<Vec<f64>> {
        let (network, selection) = (stored(&*self.runner, p)?, Selection::from(chosen.to_vec()));
        let patterns = self.patterns(p);
        let key = ("qtaml.layer", p, chosen, patterns, self.images);
        let trials = || -> Result<Vec<f64>> {
            let scores = (0..patterns).into_par_iter().map(|pattern| {
                let read = network.read(self.context.seed, pattern, &selection)?;
                let outputs = self.runner.outputs(read)?;
                Ok(outputs.into_iter().flat_map(|output| output.values).collect())
            });
            let scores: Vec<Vec<f32>> = scores.collect::<Result<_>>()?;
            Ok(deviations(&scores, self.images))
        };
        self.context.unit(&key, || self.context.stopwatch.time(Phase::Trials, trials))
    }
}

/// The variance that faults in one layer give the output to first order, by the number of protected
/// top bits: `||J||² Δ² Var[q']`, averaged over the layer's own codes.
pub(super) struct LayerVariance {
    pub(super) name: String,
    pub(super) by_protected: Vec<f64>,
}

impl LayerVariance {
    pub(super) fn new(weights: &[f32], norm: &GroupSensitivity, p: f64) -> Result<Self> {
        let stored = QuantizedTensor::quantize(weights, &[weights.len()], BITS)?;
        let histogram = CodeHistogram::of(&stored);
        let of = |k| {
            let p = FlipProbability::symmetric(p)?;
            let channel = QuantizedChannel::new(p, BITS, BitMask::top(k, BITS)?)?;
            let variance = histogram.iter().map(|(word, share)| share * channel.variance(word));
            Ok(norm.squared * f64::from(stored.scale()).powi(2) * variance.sum::<f64>())
        };
        let by_protected = (0..=BITS.get()).map(of).collect::<Result<_>>()?;
        Ok(Self { name: norm.name.clone(), by_protected })
    }

    pub(super) fn with(&self, protected: u32) -> f64 {
        self.by_protected[protected as usize]
    }
}

/// INT8 with one scale a tensor, read as it is.
pub(super) fn stored(runner: &dyn Runner, p: f64) -> Result<StoredModel> {
    let memory = MemoryModel::new(FlipProbability::symmetric(p)?);
    let storing = [Storing::new(memory, QuantizedSpec::default())];
    Ok(StoredModel::store(runner, Granularity::Tensor, &storing)?)
}

pub(super) fn deviations(scores: &[Vec<f32>], images: usize) -> Vec<f64> {
    let n = scores.len() as f64;
    let centre: Vec<f64> = (0..scores[0].len())
        .map(|i| scores.iter().map(|s| f64::from(s[i])).sum::<f64>() / n)
        .collect();
    let squared = |scores: &Vec<f32>| {
        let off = scores.iter().zip(&centre).map(|(s, mean)| (f64::from(*s) - mean).powi(2));
        // n / (n - 1), because the mean is that of the sample.
        off.sum::<f64>() / images as f64 * n / (n - 1.0)
    };
    scores.iter().map(squared).collect()
}
