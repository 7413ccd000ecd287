//! Where the time of one trial goes: reading a stored network with faults, and evaluating it.
//!
//! `cargo bench --profile dev --workspace --bench trial`. The table goes to stderr, its rows as JSON to
//! stdout. Reading and evaluating are measured in turn.

use std::time::Instant;

use burn::tensor::Device;
use qtaml_compensation::Decoder;
use qtaml_fault::Seed;
use qtaml_physics::FlipProbability;
use qtaml_train::{
    Classifier, Dataset, Evaluation, Granularity, LeNetConfig, Memory, MobileNetConfig,
    ResNetConfig, StoredNetwork, TransformerConfig, VggConfig, initialise,
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
    units: &'static str,
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

fn measure<M: Classifier>(network: &'static str, model: M, test: &Evaluation) -> Vec<Row> {
    let model = initialise(model, Seed(1)).expect("a fresh network takes fresh weights");
    let p = FlipProbability::symmetric(0.1).expect("a probability");
    let cases = [("tensors", Granularity::Tensor), ("channels", Granularity::Channel)];
    let rows = cases.map(|(units, granularity)| {
        let memory = Memory { granularity, decoder: Decoder::Bayes, ..Memory::new(p) };
        let stored = StoredNetwork::store(&model, &memory).expect("finite weights");
        let none = stored.alike(0);
        let (mut read_ms, mut evaluate_ms) = (Vec::new(), Vec::new());
        for trial in 0..ROUNDS as u32 {
            let (reading, read) = milliseconds(|| stored.read(Seed(2), trial, &none));
            let read = read.expect("choices that exist");
            read_ms.push(reading);
            evaluate_ms.push(milliseconds(|| test.accuracy(&read)).0);
        }
        let (read_ms, evaluate_ms) = (median(read_ms), median(evaluate_ms));
        let share = read_ms / (read_ms + evaluate_ms);
        Row { network, units, weights: stored.weights(), read_ms, evaluate_ms, share }
    });
    rows.into()
}

fn main() {
    let device = Device::flex();
    let digits = Dataset::digits().expect("embedded data");
    let images = digits.test.select(&(0..IMAGES).collect::<Vec<_>>());
    let test = Evaluation::new(&images, &device).expect("images");
    let rows: Vec<Row> = [
        measure("lenet", LeNetConfig::digits().init(&device), &test),
        measure("vgg", VggConfig::digits().init(&device), &test),
        measure("resnet", ResNetConfig::digits().init(&device), &test),
        measure("mobilenet", MobileNetConfig::digits().init(&device), &test),
        measure("transformer", TransformerConfig::digits().init(&device), &test),
    ]
    .into_iter()
    .flatten()
    .collect();
    eprintln!(
        "| network | units | weights | read [ms] | {IMAGES} images [ms] | share of reading |"
    );
    eprintln!("| --- | --- | --- | --- | --- | --- |");
    for row in rows {
        let Row { network, units, weights, read_ms, evaluate_ms, share } = &row;
        let met = if *share <= GOAL { "" } else { " (goal 10 %)" };
        eprintln!(
            "| {network} | {units} | {weights} | {read_ms:.2} | {evaluate_ms:.1} | {:.1} %{met} |",
            100.0 * share
        );
        println!("{}", serde_json::to_string(&row).expect("plain numbers"));
    }
}
