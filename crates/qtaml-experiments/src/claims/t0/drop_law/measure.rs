//! What noise costs layers of every training, over what theory says.

use anyhow::Result;
use qtaml::physics::XI;
use qtaml::train::{LinearEnsemble, RegressionTasks};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::stats::{Mean, mean};
use crate::workloads::regressions::{EPOCHS, LEARNING_RATE, XI_SCALING};

const NOISES: [f32; 4] = [0.1, 0.25, 0.5, 1.0];
const FEATURES: [usize; 3] = [5, 10, 20];
const SAMPLES: usize = 200;
/// Tasks at once.
const CHUNK: usize = 250;

/// How a layer was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Layer {
    Untrained,
    Baseline,
    T0,
}

impl Layer {
    pub(super) const ALL: [Self; 3] = [Self::Untrained, Self::Baseline, Self::T0];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Untrained => "untrained",
            Self::Baseline => "baseline",
            Self::T0 => "T0-QAT",
        }
    }
}

/// Drops of one layer over those of theory, by the noise of [`NOISES`].
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Drops {
    over_theory: [f64; NOISES.len()],
}

/// Layers of one kind under one noise.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Case {
    pub(super) layer: Layer,
    pub(super) features: usize,
    pub(super) noise: f32,
    pub(super) over_theory: Mean,
    pub(super) n: usize,
}

impl Case {
    pub(super) fn z(&self) -> f64 {
        (self.over_theory.value - 1.0) / (self.over_theory.deviation / (self.n as f64).sqrt())
    }
}

/// Measures the claim.
pub(super) fn measure(context: &Context) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let task = context.progress.task("t0.drop_law", 3 * FEATURES.len() as u64);
    for features in FEATURES {
        for layer in Layer::ALL {
            let drops = drops(context, layer, features)?;
            for (i, &noise) in NOISES.iter().enumerate() {
                let over_theory: Vec<f64> = drops.iter().map(|d| d.over_theory[i]).collect();
                let n = over_theory.len();
                cases.push(Case { layer, features, noise, over_theory: mean(&over_theory)?, n });
            }
            task.tick(1);
        }
    }
    Ok(cases)
}

fn drops(context: &Context, layer: Layer, features: usize) -> Result<Vec<Drops>> {
    let mut drops = Vec::new();
    for first in (0..context.size(2000, CHUNK)).step_by(CHUNK) {
        let key = ("t0.drop_law", layer, features, first, CHUNK);
        drops
            .extend(context.unit(&key, || Ok(drops_from(context, layer, features, first as u64)))?);
    }
    Ok(drops)
}

fn drops_from(context: &Context, layer: Layer, features: usize, first: u64) -> Vec<Drops> {
    let device = &context.device;
    let shape = [CHUNK, SAMPLES, features];
    let tasks = RegressionTasks::draw(context.seed, first, shape, [1.0, 0.1], device);
    let train = |noise| LinearEnsemble::train(&tasks, EPOCHS, LEARNING_RATE, noise, device);
    let model = match layer {
        Layer::Untrained => LinearEnsemble::init(&tasks, device),
        Layer::Baseline => train(0.0),
        Layer::T0 => train((XI * XI_SCALING) as f32),
    };
    let power = tasks.input_power();
    let clean = model.losses(&tasks, 0.0, device);
    let noisy = NOISES.map(|noise| model.losses(&tasks, noise, device));
    let theory = |noise: f32, i: usize| f64::from(noise).powi(2) * (1.0 + power[i]);
    let over_theory = |i| std::array::from_fn(|n| (noisy[n][i] - clean[i]) / theory(NOISES[n], i));
    (0..CHUNK).map(|i| Drops { over_theory: over_theory(i) }).collect()
}
