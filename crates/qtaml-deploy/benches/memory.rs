//! How much memory a stored model takes, with all candidates of every output channel.
//!
//! `cargo bench -p qtaml-deploy --bench memory -- 23 135` stores models of so many million weights, each
//! in a process of its own, and prints the peak of its resident memory. Linux only.

use std::process::Command;
use std::time::Instant;

use qtaml_compensation::Decoder;
use qtaml_compensation::storage::QuantizedSpec;
use qtaml_deploy::{Granularity, Role, StoredModel, Storing, WeightTensor};
use qtaml_fault::{MemoryModel, Seed};
use qtaml_physics::FlipProbability;

/// A layer of a transformer: rows of outputs, columns of inputs.
const SHAPE: [usize; 2] = [1024, 1024];

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    match (std::env::var_os("QTAML_STORE"), &numbers[..]) {
        (Some(_), &[millions]) => store(millions),
        _ => numbers.iter().for_each(|&millions| measure(millions)),
    }
}

fn measure(millions: usize) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut child = Command::new(program);
    let status = child.arg(millions.to_string()).env("QTAML_STORE", "1").status();
    assert!(status.expect("this program can be started").success(), "{millions} million weights");
}

/// Layers of weights in a bell, INT8 by output channel, none to eight protected bits.
fn store(millions: usize) {
    let layers = (millions * 1_000_000).div_ceil(SHAPE.iter().product());
    let tensor =
        |i| WeightTensor::new(format!("layer{i}.weight"), SHAPE, Role::Linear).with_output_axis(0);
    let tensors: Vec<WeightTensor> = (0..layers).map(tensor).collect();
    let values = |tensor: usize| {
        let mix = |i: usize| (i.wrapping_mul(0x9E37_79B9) ^ tensor.wrapping_mul(0x85EB_CA6B)) >> 7;
        let uniform = |i: usize| (mix(i) % 65_536) as f32 / 65_536.0 - 0.5;
        let weight = |i: usize| uniform(i) + uniform(i + 1) + uniform(i + 2);
        Ok((0..SHAPE.iter().product()).map(weight).collect())
    };
    let memory = MemoryModel::new(FlipProbability::symmetric(0.01).expect("a probability"));
    let spec = QuantizedSpec { decoder: Decoder::Raw, ..QuantizedSpec::default() };
    let start = Instant::now();
    let storing = [Storing::new(memory, spec)];
    let model = StoredModel::store_tensors(&tensors, values, Granularity::Channel, &storing);
    let model = model.expect("finite weights");
    let (stored, start) = (start.elapsed().as_secs_f64(), Instant::now());
    let read = model.read(Seed(1), 0, &model.uniform(2)).expect("candidates that exist");
    let reading = start.elapsed().as_secs_f64();
    println!(
        "{} weights in {} groups of 9 candidates: stored in {stored:.1} s, read in {reading:.1} s, \
         {} tensors, peak {} MiB",
        model.weights(),
        model.groups().len(),
        read.len(),
        peak_mib().map_or_else(|| "unknown".to_owned(), |mib| mib.to_string()),
    );
}

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
