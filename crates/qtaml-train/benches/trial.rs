//! Where the time of one trial goes: reading a stored network with faults, and evaluating it.
//!
//! `cargo bench --profile dev --workspace --bench trial`. The table goes to stderr, its rows as JSON to
//! stdout. Reading and evaluating are measured in turn.

use std::time::Instant;

use burn::tensor::Device;
use qtaml_compensation::Decoder;
use qtaml_compensation::storage::QuantizedSpec;
use qtaml_deploy::{Granularity, Runner, StoredModel, Storing};
use qtaml_fault::{MemoryModel, Seed};
use qtaml_physics::FlipProbability;
use qtaml_train::{
    BurnRunner, Classifier, Dataset, Images, LeNetConfig, MobileNetConfig, ResNetConfig,
    TransformerConfig, VggConfig, initialise,
};
use serde::Serialize;

/// Trials of each network; medians count.
const ROUNDS: usize = 40;
const IMAGES: usize = 250;
/// The share of a trial that faults and tables may take.
const GOAL: f64 = 0.1;

#[derive(Serialize)]
struct Row {
    network: &'static str,
    groups: String,
    weights: u64,
    read_ms: f64,
    evaluate_ms: f64,
    share: f64,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn milliseconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let done = work();
    (1e3 * start.elapsed().as_secs_f64(), done)
}

fn measure<M: Classifier + 'static>(network: &'static str, model: M, images: &Images) -> Vec<Row> {
    let model = initialise(model, Seed(1)).expect("a fresh network takes fresh weights");
    let runner = BurnRunner::classifier(&model, images, &Device::flex()).expect("images");
    let memory = MemoryModel::new(FlipProbability::symmetric(0.1).expect("a probability"));
    let spec = QuantizedSpec { decoder: Decoder::Bayes, ..QuantizedSpec::default() };
    let storing = [Storing::new(memory, spec)];
    let rows = [Granularity::Tensor, Granularity::Channel].map(|granularity| {
        let stored = StoredModel::store(&runner, granularity, &storing).expect("finite weights");
        let none = stored.uniform(0);
        let (mut read_ms, mut evaluate_ms) = (Vec::new(), Vec::new());
        for trial in 0..ROUNDS as u32 {
            let (reading, read) = milliseconds(|| stored.read(Seed(2), trial, &none));
            let read = read.expect("candidates that exist");
            read_ms.push(reading);
            let (evaluating, outputs) = milliseconds(|| runner.outputs(read));
            outputs.expect("tensors of the model");
            evaluate_ms.push(evaluating);
        }
        let (read_ms, evaluate_ms) = (median(read_ms), median(evaluate_ms));
        let share = read_ms / (read_ms + evaluate_ms);
        let groups = granularity.to_string();
        Row { network, groups, weights: stored.weights(), read_ms, evaluate_ms, share }
    });
    rows.into()
}

fn main() {
    let device = Device::flex();
    let digits = Dataset::digits().expect("embedded data");
    let images = digits.test.select(&(0..IMAGES).collect::<Vec<_>>()).expect("so many images");
    let rows: Vec<Row> = [
        measure("lenet", LeNetConfig::digits().init(&device), &images),
        measure("vgg", VggConfig::digits().init(&device), &images),
        measure("resnet", ResNetConfig::digits().init(&device), &images),
        measure("mobilenet", MobileNetConfig::digits().init(&device), &images),
        measure("transformer", TransformerConfig::digits().init(&device), &images),
    ]
    .into_iter()
    .flatten()
    .collect();
    eprintln!(
        "| network | groups | weights | read [ms] | {IMAGES} images [ms] | share of reading |"
    );
    eprintln!("| --- | --- | --- | --- | --- | --- |");
    for row in rows {
        let Row { network, groups, weights, read_ms, evaluate_ms, share } = &row;
        let met = if *share <= GOAL { "" } else { " (goal 10 %)" };
        eprintln!(
            "| {network} | {groups} | {weights} | {read_ms:.2} | {evaluate_ms:.1} | {:.1} %{met} |",
            100.0 * share
        );
        println!("{}", serde_json::to_string(&row).expect("plain numbers"));
    }
}
