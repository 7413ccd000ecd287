//! Where the time of one trial goes: reading a stored network with faults, and evaluating it.
//!
//! `cargo bench --profile dev --workspace --bench trial`, or with `--profile reproduce` as runs that count are built.
//! The table goes to stderr, its rows as JSON to stdout. Reading and evaluating are measured in turn, on one thread,
//! and with `-- --torch PYTHON` the same networks in `PyTorch` as well, whose weights are copied in ready.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
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
/// What a trial may cost, in trials of `PyTorch`.
const TORCH_GOAL: f64 = 1.0;

#[derive(Serialize)]
struct Row {
    network: &'static str,
    groups: String,
    weights: u64,
    read_ms: f64,
    evaluate_ms: f64,
    share: f64,
    /// Against a trial in `PyTorch`.
    ratio_torch: Option<f64>,
}

/// A Python that runs the same networks in `PyTorch`.
struct Torch {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Torch {
    fn start(python: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/trial.py");
        let mut command = Command::new(python);
        command.args([script, &IMAGES.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{python}: {error}"));
        let ask = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, ask, answers }
    }

    /// Milliseconds of a trial, and the number of weights.
    fn trial(&mut self, network: &str) -> (f64, u64) {
        writeln!(self.ask, "{network}").expect("PyTorch has ended");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("text");
        let mut parts = answer.split_whitespace();
        let mut next = || parts.next().unwrap_or_else(|| panic!("PyTorch says {answer:?}"));
        (next().parse().expect("milliseconds"), next().parse().expect("weights"))
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

fn measure<M: Classifier + 'static>(
    network: &'static str,
    model: M,
    images: &Images,
    torch: &mut Option<Torch>,
) -> Vec<Row> {
    let model = initialise(model, Seed(1)).expect("a fresh network takes fresh weights");
    let runner = BurnRunner::classifier(&model, images, &Device::flex()).expect("images");
    let memory = MemoryModel::new(FlipProbability::symmetric(0.1).expect("a probability"));
    let spec = QuantizedSpec { decoder: Decoder::Bayes, ..QuantizedSpec::default() };
    let storing = [Storing::new(memory, spec)];
    let rows = [Granularity::Tensor, Granularity::Channel].map(|granularity| {
        let stored = StoredModel::store(&runner, granularity, &storing).expect("finite weights");
        let none = stored.uniform(0);
        let (mut read_ms, mut evaluate_ms, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for trial in 0..ROUNDS as u32 {
            let (reading, read) = milliseconds(|| stored.read(Seed(2), trial, &none));
            let read = read.expect("candidates that exist");
            read_ms.push(reading);
            let (evaluating, outputs) = milliseconds(|| runner.outputs(read));
            outputs.expect("tensors of the model");
            evaluate_ms.push(evaluating);
            if let Some(torch) = torch {
                let (milliseconds, weights) = torch.trial(network);
                assert_eq!(weights, stored.weights(), "{network} is another network in PyTorch");
                ratios.push((reading + evaluating) / milliseconds);
            }
        }
        let (read_ms, evaluate_ms) = (median(read_ms), median(evaluate_ms));
        let share = read_ms / (read_ms + evaluate_ms);
        let ratio_torch = torch.is_some().then(|| median(ratios));
        let (groups, weights) = (granularity.to_string(), stored.weights());
        Row { network, groups, weights, read_ms, evaluate_ms, share, ratio_torch }
    });
    rows.into()
}

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the first pool");
    let arguments: Vec<String> = std::env::args().collect();
    let flag = arguments.iter().position(|argument| argument == "--torch");
    let python = flag.map(|at| arguments.get(at + 1).expect("--torch needs a Python"));
    let torch = &mut python.map(|python| Torch::start(python));
    let device = Device::flex();
    let digits = Dataset::digits().expect("embedded data");
    let images = digits.test.select(&(0..IMAGES).collect::<Vec<_>>()).expect("so many images");
    let rows: Vec<Row> = [
        measure("lenet", LeNetConfig::digits().init(&device), &images, torch),
        measure("vgg", VggConfig::digits().init(&device), &images, torch),
        measure("resnet", ResNetConfig::digits().init(&device), &images, torch),
        measure("mobilenet", MobileNetConfig::digits().init(&device), &images, torch),
        measure("transformer", TransformerConfig::digits().init(&device), &images, torch),
    ]
    .into_iter()
    .flatten()
    .collect();
    eprintln!(
        "| network | groups | weights | read [ms] | {IMAGES} images [ms] | share of reading | x PyTorch |"
    );
    eprintln!("| --- | --- | --- | --- | --- | --- | --- |");
    for row in rows {
        let Row { network, groups, weights, read_ms, evaluate_ms, share, ratio_torch } = &row;
        let met = if *share <= GOAL { "" } else { " (goal 10 %)" };
        let beside = ratio_torch.map_or_else(String::new, |ratio| {
            let met = if ratio <= TORCH_GOAL { "" } else { " (goal 1)" };
            format!("{ratio:.2}{met}")
        });
        eprintln!(
            "| {network} | {groups} | {weights} | {read_ms:.2} | {evaluate_ms:.1} | {:.1} %{met} | {beside} |",
            100.0 * share
        );
        println!("{}", serde_json::to_string(&row).expect("plain numbers"));
    }
}
