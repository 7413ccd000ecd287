//! What a training method costs: the time of a step with it beside that of a plain one, on the small
//! convolutional network with batches of 64 images.
//!
//! `cargo bench --profile dev --workspace --bench qat`. The table goes to stderr, its rows as JSON to stdout. All methods
//! are measured in turn, so that a noisy neighbour slows all of them alike.

use std::time::Instant;

use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor};
use qtaml_fault::Seed;
use qtaml_physics::FlipProbability;
use qtaml_quant::BitWidth;
use qtaml_train::qat::{
    self, BitErrors, FakeQuant, Gaussian, Lsq, Prepared, QatMethod, T0, WkbNoise,
};
use qtaml_train::{Classifier, Dataset, LeNet, LeNetConfig, initialise};
use serde::Serialize;

/// Rounds over all methods; medians count.
const ROUNDS: usize = 100;
/// Steps of one method in a round.
const STEPS: u64 = 2;
/// What a step with a method may cost, in plain steps.
const GOAL: f64 = 1.3;

/// One line of the result.
#[derive(Serialize)]
struct Row {
    method: String,
    ms_per_step: f64,
    /// Against a plain step of the same round.
    ratio: f64,
}

struct Case {
    method: QatMethod,
    prepared: Option<Prepared<LeNet>>,
    adam: ModuleOptimizer,
    step: u64,
}

impl Case {
    fn new(method: QatMethod) -> Self {
        let model = initialise(LeNetConfig::digits().init(&Device::flex()), Seed(1));
        let model = model.expect("a fresh network takes fresh weights");
        let prepared = qat::prepare(model, method, Seed(2)).expect("methods that make sense");
        Self { method, prepared: Some(prepared), adam: AdamConfig::new().init(), step: 0 }
    }
}

struct Batch {
    images: Tensor<4>,
    labels: Tensor<1, Int>,
    loss: CrossEntropyLoss,
}

impl Batch {
    /// Milliseconds a step.
    fn time(&self, case: &mut Case) -> f64 {
        let mut net = case.prepared.take().expect("put back below");
        let start = Instant::now();
        for _ in 0..STEPS {
            net.at_step(case.step);
            let loss =
                self.loss.forward(net.model.logits(self.images.clone()), self.labels.clone());
            let gradients = GradientsParams::from_grads(loss.backward(), &net.model);
            loss.into_scalar::<f32>();
            net.model = case.adam.step(1e-4, net.model, gradients);
            case.step += 1;
        }
        case.prepared = Some(net);
        1e3 * start.elapsed().as_secs_f64() / STEPS as f64
    }
}

fn main() {
    // Cargo passes `--bench`, and nothing else is understood.
    let digits = Dataset::digits().expect("embedded");
    let device = Device::flex().autodiff();
    let images = digits.train.select(&(0..64).collect::<Vec<_>>()).expect("64 images");
    let batch = Batch {
        images: images.tensor(&device),
        labels: images.label_tensor(&device),
        loss: CrossEntropyLossConfig::new().init(&device),
    };
    let mut cases: Vec<Case> = methods().into_iter().map(Case::new).collect();
    // The first round warms up and does not count.
    let rounds: Vec<Vec<f64>> = (0..=ROUNDS)
        .map(|_| cases.iter_mut().map(|case| batch.time(case)).collect())
        .skip(1)
        .collect();
    let of = |value: &dyn Fn(&Vec<f64>) -> f64| median(rounds.iter().map(value).collect());
    let rows: Vec<Row> = (0..cases.len())
        .map(|i| Row {
            method: cases[i].method.to_string(),
            ms_per_step: of(&|round| round[i]),
            ratio: of(&|round| round[i] / round[0]),
        })
        .collect();
    for Row { method, ms_per_step, ratio } in &rows {
        let verdict = if *ratio <= GOAL { "met" } else { "MISSED" };
        eprintln!(
            "{method:<32} {ms_per_step:>7.2} ms/step {ratio:>6.2} x plain, goal {GOAL} {verdict}"
        );
    }
    println!("{}", serde_json::to_string_pretty(&rows).expect("plain numbers serialise"));
}

/// The plain step first: it is what the others are compared with.
fn methods() -> [QatMethod; 8] {
    let (int8, int4) = (BitWidth::INT8, BitWidth::INT4);
    let flips = FlipProbability::symmetric(0.01).expect("a probability");
    [
        QatMethod::None,
        QatMethod::T0(T0 { scaling: 100.0, relative: true }),
        QatMethod::Gaussian(Gaussian { sigma_relative: 0.01 }),
        QatMethod::FakeQuant(FakeQuant::new(int4)),
        QatMethod::FakeQuant(FakeQuant { per_channel: true, ..FakeQuant::new(int4) }),
        QatMethod::Lsq(Lsq::new(int4)),
        QatMethod::BitErrors(BitErrors::new(int8, flips)),
        QatMethod::WkbNoise(WkbNoise::new(int8, flips)),
    ]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
