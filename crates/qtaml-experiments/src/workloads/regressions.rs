//! The source's linear regression, over many seeds.

use std::ops::Range;

use anyhow::Result;
use qtaml::physics::XI;
use qtaml::quant::BitWidth;
use qtaml::train::{LinearEnsemble, RegressionTasks};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::stats::{bootstrap, mean};

/// Samples of one task, as in the source's listing.
const SAMPLES: usize = 1000;
/// Features, as in the source.
pub const FEATURES: usize = 10;
/// Full-batch steps, as in the source.
pub const EPOCHS: usize = 300;
/// Step size of Adam, as in the source.
pub const LEARNING_RATE: f64 = 0.005;
/// The factor of ξ in the source's training noise.
pub const XI_SCALING: f64 = 80_000.0;

/// Bits per weight where rounding takes the place of noise.
pub const WIDTHS: [u32; 4] = [8, 4, 3, 2];

/// Tasks trained at once: their data stay in the cache.
const CHUNK: usize = 50;

/// What the source leaves open. The defaults are ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Choices {
    /// Standard deviation of the true weights and bias.
    pub truth: f32,
    /// Standard deviation of the noise on targets.
    pub target_noise: f32,
    /// Noise that the baseline is trained with.
    pub baseline_noise: f32,
    /// Noise on weights and on the bias that stands for reduced precision.
    pub evaluation_noise: [f32; 2],
    /// Times as many epochs as the source.
    pub patience: usize,
}

impl Default for Choices {
    fn default() -> Self {
        let evaluation_noise = [0.5; 2];
        Self { truth: 1.0, target_noise: 0.1, baseline_noise: 0.0, evaluation_noise, patience: 1 }
    }
}

/// Losses of one method on one task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// At full precision.
    pub full: f64,
    /// Under noise.
    pub noisy: f64,
    /// With weights rounded to each of [`WIDTHS`].
    pub rounded: [f64; WIDTHS.len()],
}

impl Losses {
    /// What noise costs.
    pub fn drop(&self) -> f64 {
        self.noisy - self.full
    }
}

/// Both methods on one task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Without ξ-scaled noise.
    pub baseline: Losses,
    /// T0-QAT.
    pub t0: Losses,
}

/// Trains both methods on every seed's task, or takes what is kept.
///
/// # Errors
///
/// As [`Context::unit`], or a training that diverges.
pub fn pairs(context: &Context, what: &str, choices: &Choices) -> Result<Vec<Pair>> {
    in_chunks(context, what, &("t0.regressions", "pairs", choices), |first| {
        let tasks = tasks(context, choices, first);
        let baseline = losses(context, choices, &tasks, choices.baseline_noise)?;
        let t0 = losses(context, choices, &tasks, (XI * XI_SCALING) as f32)?;
        Ok(baseline.into_iter().zip(t0).map(|(baseline, t0)| Pair { baseline, t0 }).collect())
    })
}

/// Losses on every seed's task of layers trained with this noise, with the default choices.
///
/// # Errors
///
/// As [`pairs`].
pub fn layers(context: &Context, what: &str, training_noise: f32) -> Result<Vec<Losses>> {
    let choices = Choices::default();
    in_chunks(context, what, &("t0.regressions", "layers", training_noise), |first| {
        losses(context, &choices, &tasks(context, &choices, first), training_noise)
    })
}

/// Everything that `train` makes of the tasks from a first one on, chunk by chunk.
fn in_chunks<T: Serialize + DeserializeOwned + Send>(
    context: &Context,
    what: &str,
    key: &(impl Serialize + Sync),
    train: impl Fn(u64) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let seeds = context.size(1000, 50);
    let task = context.progress.task(what, seeds as u64);
    let chunk = |first: usize| {
        let trained = context.unit(&(key, first, CHUNK), || train(first as u64))?;
        task.tick(CHUNK as u64);
        Ok(trained)
    };
    let firsts: Vec<usize> = (0..seeds).step_by(CHUNK).collect();
    let all: Result<Vec<Vec<T>>> = firsts.into_par_iter().map(chunk).collect();
    Ok(all?.into_iter().flatten().collect())
}

/// What noise costs the baseline.
pub fn baseline_drop(pair: &Pair) -> f64 {
    pair.baseline.drop()
}

/// What noise costs T0-QAT.
pub fn t0_drop(pair: &Pair) -> f64 {
    pair.t0.drop()
}

/// One number of every pair.
pub fn values(pairs: &[Pair], of: fn(&Pair) -> f64) -> Vec<f64> {
    pairs.iter().map(of).collect()
}

/// The ratio of mean drops, of T0-QAT over the baseline, with its interval over seeds.
///
/// # Errors
///
/// As [`bootstrap`].
pub fn ratio(context: &Context, pairs: &[Pair]) -> Result<(f64, [f64; 2])> {
    let (baseline, t0) = (values(pairs, baseline_drop), values(pairs, t0_drop));
    let interval = bootstrap(pairs.len(), 2000, context.seed, |seeds| {
        let sum = |values: &[f64]| seeds.iter().map(|&i| values[i]).sum::<f64>();
        Ok(sum(&t0) / sum(&baseline))
    })?;
    Ok((mean(&t0)?.value / mean(&baseline)?.value, interval))
}

/// A histogram in half steps, scaled to a density.
pub fn density(values: &[f64], range: Range<i32>) -> Vec<(f64, f64)> {
    const WIDTH: f64 = 0.5;
    (2 * range.start..2 * range.end)
        .map(|bin| {
            let low = f64::from(bin) * WIDTH;
            let inside = values.iter().filter(|d| (low..low + WIDTH).contains(*d)).count();
            (low, inside as f64 / (values.len() as f64 * WIDTH))
        })
        .collect()
}

fn tasks(context: &Context, choices: &Choices, first: u64) -> RegressionTasks {
    let shape = [CHUNK, SAMPLES, FEATURES];
    let truth = [choices.truth, choices.target_noise];
    RegressionTasks::draw(context.seed, first, shape, truth, &context.device)
}

/// Trains a layer for every task.
fn losses(
    context: &Context,
    choices: &Choices,
    tasks: &RegressionTasks,
    training_noise: f32,
) -> Result<Vec<Losses>> {
    let device = &context.device;
    let epochs = EPOCHS * choices.patience;
    let model = LinearEnsemble::train(tasks, epochs, LEARNING_RATE, training_noise, device);
    let full = model.losses(tasks, 0.0, device);
    let noisy = model.losses_under(tasks, choices.evaluation_noise, device);
    let mut rounded = Vec::new();
    for bits in WIDTHS {
        let model = model.quantized(BitWidth::new(bits)?, device)?;
        rounded.push(model.losses(tasks, 0.0, device));
    }
    let losses = |i: usize| Losses {
        full: full[i],
        noisy: noisy[i],
        rounded: std::array::from_fn(|width| rounded[width][i]),
    };
    Ok((0..CHUNK).map(losses).collect())
}
