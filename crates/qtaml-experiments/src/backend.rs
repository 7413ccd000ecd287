//! The workload of `cargo xtask backends`, on one device.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use qtaml::compensation::storage::QuantizedSpec;
use qtaml::deploy::{Granularity, StoredModel, Storing, Values};
use qtaml::fault::{MemoryModel, Seed};
use qtaml::physics::FlipProbability;
use qtaml::train::{
    AccuracyTest, BurnRunner, Dataset, Device, Images, LeNet, LeNetConfig, Parameter, TrainError,
    TrainerConfig, device, fingerprint, parameters, replace_parameters, train,
};
use serde::{Deserialize, Serialize};

use crate::args::BackendArgs;

const SEED: Seed = Seed(42);
const FLIP_PROBABILITY: f64 = 0.01;
/// Batches of 64 images.
const TRAINING: TrainerConfig = TrainerConfig { epochs: 5, ..TrainerConfig::new() };

/// What one device measured, as `xtask` reads it.
#[derive(Debug, Default, Serialize)]
struct Measurement {
    device: String,
    adapter: Option<String>,
    golden_accuracy: Option<f64>,
    faulty_accuracy: Option<f64>,
    fault_digest: Option<String>,
    max_logit_gap: Option<f64>,
    train_step_ms: Option<f64>,
    train_images_per_s: Option<f64>,
    inference_ms: Option<f64>,
    note: Option<String>,
}

/// The network that every device runs, as flex trained it, and what flex makes of it.
#[derive(Debug, Serialize, Deserialize)]
struct Reference {
    weights: Vec<(String, Vec<f32>)>,
    logits: Vec<f32>,
}

/// Measures one device and prints a line of JSON, or its fields one by one.
///
/// # Errors
///
/// A device that is not built in, a reference that cannot be read, or a workload that fails. A
/// device that is built in but not there is a measurement with a note, not an error.
pub(crate) fn run(args: &BackendArgs) -> Result<()> {
    let name = args.device.as_str();
    let measurement = match device::open(name) {
        Ok(device) => measure(args, &device)?,
        Err(absent @ TrainError::NoDevice(_)) => Measurement {
            device: name.into(),
            note: Some(absent.to_string()),
            ..Measurement::default()
        },
        Err(error) => return Err(error.into()),
    };
    if args.json {
        println!("{}", serde_json::to_string(&measurement)?);
    } else {
        println!("{}", serde_json::to_string_pretty(&measurement)?);
    }
    Ok(())
}

fn measure(args: &BackendArgs, device: &Device) -> Result<Measurement> {
    let digits = Dataset::digits()?;
    let (training, test) = if args.tiny {
        (first(&digits.train, 128)?, first(&digits.test, 64)?)
    } else {
        (digits.train.clone(), digits.test.clone())
    };
    let evaluation = AccuracyTest::new(&test, device)?;
    let (model, step_ms) = timed_training(&training, device)?;
    let reference = args.reference.as_deref().map(read_reference).transpose()?;
    let model = match &reference {
        Some(reference) => replace_parameters(
            model,
            reference.weights.iter().cloned().collect::<BTreeMap<_, _>>(),
        )?,
        None => model,
    };
    let runner = BurnRunner::classifier(&model, &test, device)?;
    let memory = MemoryModel::new(FlipProbability::symmetric(FLIP_PROBABILITY)?);
    let storing = [Storing::new(memory, QuantizedSpec::default())];
    let stored = StoredModel::store(&runner, Granularity::Tensor, &storing)?;
    let golden = runner.replaced(stored.golden())?;
    let logits = evaluation.logits(&golden);
    if let Some(path) = &args.write_reference {
        write_reference(path, &model, logits.clone())?;
    }
    let (faulty, digest) =
        faulty_accuracy(&stored, |read| Ok(evaluation.accuracy(&runner.replaced(read)?)))?;
    Ok(Measurement {
        device: args.device.to_string(),
        adapter: Some(device::describe(device)),
        golden_accuracy: Some(evaluation.accuracy(&golden)),
        faulty_accuracy: Some(faulty),
        fault_digest: Some(digest),
        max_logit_gap: reference.map(|r| largest_gap(&r.logits, &logits)).transpose()?,
        train_step_ms: Some(step_ms),
        train_images_per_s: Some(1e3 * TRAINING.batch_size as f64 / step_ms),
        inference_ms: Some(median((0..10).map(|_| {
            let start = Instant::now();
            // Reading the result back is what waits for the device.
            drop(evaluation.logits(&golden));
            milliseconds(start)
        }))),
        note: args.tiny.then(|| "tiny workload".into()),
    })
}

fn first(images: &Images, count: usize) -> Result<Images> {
    Ok(images.select(&(0..count).collect::<Vec<_>>())?)
}

/// Trains from the seed; the time of a step is the median over those with a whole batch, the first
/// epoch left out.
fn timed_training(images: &Images, device: &Device) -> Result<(LeNet, f64)> {
    let whole = images.len() / TRAINING.batch_size;
    let per_epoch = images.len().div_ceil(TRAINING.batch_size);
    let mut last = Instant::now();
    let mut steps = Vec::new();
    let model = LeNetConfig::digits().init(device);
    let model = train(model, images, &TRAINING, SEED, device, |_| {
        steps.push(milliseconds(last));
        last = Instant::now();
    })?;
    let warm = steps.chunks(per_epoch).skip(1).flat_map(|epoch| &epoch[..whole]);
    Ok((model, median(warm.copied())))
}

/// Mean accuracy over a few patterns without protection, and a digest of every weight read.
fn faulty_accuracy(
    stored: &StoredModel,
    accuracy_of: impl Fn(Values) -> Result<f64>,
) -> Result<(f64, String)> {
    const PATTERNS: u32 = 5;
    let none = stored.uniform(0);
    let (mut accuracy, mut weights) = (0.0, Vec::new());
    for pattern in 0..PATTERNS {
        let read = stored.read(SEED, pattern, &none)?;
        weights.extend(read.values().cloned());
        accuracy += accuracy_of(read)? / f64::from(PATTERNS);
    }
    Ok((accuracy, fingerprint(&weights)))
}

fn read_reference(path: &Path) -> Result<Reference> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no reference", path.display()))
}

fn write_reference(path: &Path, model: &LeNet, logits: Vec<f32>) -> Result<()> {
    let weights =
        parameters(model).into_iter().map(|Parameter { name, values, .. }| (name, values));
    let reference = Reference { weights: weights.collect(), logits };
    fs::write(path, serde_json::to_string(&reference)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn largest_gap(reference: &[f32], logits: &[f32]) -> Result<f64> {
    let (theirs, ours) = (reference.len(), logits.len());
    ensure!(theirs == ours, "the reference has {theirs} logits, this workload {ours}");
    let gap = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
    Ok(reference.iter().zip(logits).map(gap).fold(0.0, f64::max))
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
