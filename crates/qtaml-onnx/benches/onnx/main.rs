//! What forward passes, trials and sensitivities of ONNX models cost, all in one run: `cargo xtask bench onnx`.
//!
//! Progress goes to stderr, the rows as JSON to stdout. What is compared is measured in turn, on one thread,
//! in processor time where the system tells it: other programs then take nothing from the ratios.

mod clock;
mod graphs;
mod onnxruntime;
mod plan;
mod workload;

use std::path::PathBuf;

use qtaml_compensation::Accounting;
use qtaml_compensation::storage::QuantizedSpec;
use qtaml_deploy::{Granularity, Role, Runner, StoredModel, Storing, Values, WeightTensor};
use qtaml_fault::{MemoryModel, Seed};
use qtaml_onnx::OnnxRunner;
use qtaml_physics::FlipProbability;
use serde::Serialize;

use clock::Blocks;
use onnxruntime::OnnxRuntime;
use workload::Workload;

/// Samples of a trial: as many as choose a plan.
const SAMPLES: usize = 64;
/// Samples that are run at once, as everywhere.
const BATCH: usize = 16;
/// Flip probabilities of trials.
const FLIPS: [f64; 2] = [1e-3, 0.1];
const SEED: Seed = Seed(1);

/// One line of the result.
#[derive(Serialize)]
struct Row {
    model: String,
    /// Millions of bytes of its weights, as `f32`.
    megabytes: f64,
    /// Whether it has convolutions.
    convolutional: bool,
    samples: usize,
    case: &'static str,
    /// The flip probability of a trial.
    p: Option<f64>,
    /// Of a forward pass or a trial, on one thread.
    seconds: Option<f64>,
    /// Against forward passes on the same samples.
    ratio_forward: Option<f64>,
    /// Against onnxruntime on the same samples.
    ratio_onnxruntime: Option<f64>,
    /// Weight tensors, and forward passes that the sensitivities of all of them take.
    tensors: Option<usize>,
    passes: Option<f64>,
}

impl Row {
    /// A row in which nothing was measured yet.
    fn of(workload: &Workload, samples: usize, case: &'static str) -> Self {
        let weights = || workload.model.tensors().iter().filter(|tensor| tensor.role.is_weight());
        let count: usize = weights().map(WeightTensor::len).sum();
        Self {
            model: workload.name.clone(),
            megabytes: 4e-6 * count as f64,
            convolutional: weights().any(|tensor| tensor.role == Role::Convolution),
            samples,
            case,
            p: None,
            seconds: None,
            ratio_forward: None,
            ratio_onnxruntime: None,
            tensors: None,
            passes: None,
        }
    }
}

/// What the command line asks for.
struct Asked {
    /// A model with inputs, in place of those that are made up.
    own: Option<(PathBuf, PathBuf)>,
    /// A Python that has onnxruntime.
    python: Option<PathBuf>,
    /// What the budget of a plan counts, where a plan is asked for.
    plan: Option<(&'static str, Accounting)>,
    /// The flip probability of the plan.
    p: f64,
}

impl Asked {
    /// Cargo passes `--bench` as well.
    fn read(arguments: impl Iterator<Item = String>) -> Self {
        let mut asked = Self { own: None, python: None, plan: None, p: plan::FLIPS };
        let (mut model, mut data) = (None, None);
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(flag) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            match (flag.as_str(), value.as_str()) {
                ("--model", _) => model = Some(value.into()),
                ("--data", _) => data = Some(value.into()),
                ("--onnxruntime", _) => asked.python = Some(value.into()),
                ("--plan", "stored") => asked.plan = Some(("plan, stored", Accounting::AllBits)),
                ("--plan", "protected") => {
                    asked.plan = Some(("plan, protected", Accounting::ProtectedBits));
                }
                ("--p", _) => asked.p = value.parse().expect("a flip probability"),
                _ => panic!("{flag:?} {value:?} is nothing that this benchmark knows"),
            }
        }
        asked.own = model.zip(data);
        asked
    }
}

fn main() {
    let Asked { own, python, plan, p } = Asked::read(std::env::args().skip(1));
    let workloads = match &own {
        Some((model, data)) => vec![Workload::of_files(model, data)],
        None => graphs::all(SEED).into_iter().map(Workload::of_graph).collect(),
    };
    let mut rows = Vec::new();
    for workload in workloads {
        let mut counts = vec![1, SAMPLES.min(workload.samples())];
        counts.dedup();
        for samples in counts {
            eprintln!("{}, samples: {samples}", workload.name);
            match plan {
                Some((case, count)) if samples > 1 => rows.push(Row {
                    p: Some(p),
                    seconds: Some(plan::seconds(&workload, count, p)),
                    ..Row::of(&workload, samples, case)
                }),
                Some(_) => {}
                None => rows.extend(measured(&workload, samples, python.as_deref())),
            }
        }
    }
    println!("{}", serde_json::to_string_pretty(&rows).expect("plain numbers serialise"));
}

/// All rows of a model on some of its samples.
fn measured(workload: &Workload, samples: usize, python: Option<&std::path::Path>) -> Vec<Row> {
    let runner = workload.runner(&(0..samples).collect::<Vec<_>>(), BATCH);
    let row = |case| Row::of(workload, samples, case);
    let mut peer = python.map(|python| OnnxRuntime::start(python, workload, samples, BATCH));
    let stored = FLIPS.map(|p| store(&runner, p));
    let selections = stored.each_ref().map(|model| model.uniform(0));
    // Alternating: a forward pass, a trial with each flip probability, and the peer.
    let blocks = Blocks::of(|| forward(&runner));
    let rounds: Vec<[f64; FLIPS.len() + 2]> = blocks.rounds(|round, block| {
        let forward = block.seconds(|_| forward(&runner));
        let mut trials = stored.iter().zip(&selections).map(|(model, selection)| {
            block.seconds(|turn| {
                let trial = round * block.turns() + turn;
                let read = model.read(SEED, trial, selection).expect("candidates that exist");
                runner.outputs(read).expect("a model that ran before");
            })
        });
        let trials = [(); FLIPS.len()].map(|()| trials.next().unwrap_or(f64::NAN));
        let peer = peer.as_mut().map_or(f64::NAN, |peer| peer.seconds(block.turns()));
        [forward, trials[0], trials[1], peer]
    });
    let of =
        |case: usize| rounds.iter().map(|round| round[case]).sum::<f64>() / rounds.len() as f64;
    let seconds = of(0);
    let passes = Row {
        seconds: Some(seconds),
        ratio_onnxruntime: Some(seconds / of(FLIPS.len() + 1)).filter(|ratio| ratio.is_finite()),
        ..row("forward")
    };
    let trials = FLIPS.iter().enumerate().map(|(case, &p)| Row {
        p: Some(p),
        seconds: Some(of(case + 1)),
        ratio_forward: Some(of(case + 1) / seconds),
        ..row("trial")
    });
    let mut rows = vec![passes];
    rows.extend(trials);
    if samples == 1 {
        let weights = runner.tensors().iter().filter(|tensor| tensor.role.is_weight());
        rows.push(Row {
            tensors: Some(weights.count()),
            passes: Some(sensitivity_passes(&runner)),
            ..row("sensitivities")
        });
    }
    rows
}

fn forward(runner: &OnnxRunner) {
    runner.outputs(Values::new()).expect("a model that ran before");
}

/// INT8 by output channel, nothing protected.
fn store(runner: &OnnxRunner, p: f64) -> StoredModel {
    let memory = MemoryModel::new(FlipProbability::symmetric(p).expect("a probability"));
    let storing = [Storing::new(memory, QuantizedSpec::default())];
    StoredModel::store(runner, Granularity::Channel, &storing).expect("finite weights")
}

/// Forward passes over a batch that changing each weight tensor once takes.
fn sensitivity_passes(runner: &OnnxRunner) -> f64 {
    let around = runner.around(&Values::new()).expect("a model that ran before");
    for (index, tensor) in runner.tensors().iter().enumerate() {
        if tensor.role.is_weight() {
            let values = runner.values(index).expect("a tensor of the model");
            let replaced = Values::from([(tensor.name.clone(), values)]);
            around.outputs(index, replaced).expect("a model that ran before");
        }
    }
    around.passes()
}
