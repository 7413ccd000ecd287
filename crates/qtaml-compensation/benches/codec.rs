//! How long the design of a code takes, and how many weights a second are encoded and decoded,
//! against a binary search and against copying as many weights: `cargo xtask bench codec`. Sequences
//! of weights, which are stored and read as a whole, follow.
//!
//! Progress goes to stderr, the rows as JSON to stdout. What is compared is measured in turn, so
//! that a noisy neighbour slows all of it alike. Everything runs on one thread, but for sequences.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qtaml_compensation::WeightStorage;
use qtaml_compensation::blockcode::{BlockCodedStorage, BlockCodes};
use qtaml_compensation::codebook::{Codebook, DesignConfig, Sample, WordChannel};
use qtaml_fault::{FaultStream, Seed};
use qtaml_physics::FlipProbability;
use serde::Serialize;

/// Weights of one tensor, few enough for a cache: not the memory is to be measured.
const WEIGHTS: usize = 1 << 16;
/// Rounds of each case; medians count.
const ROUNDS: usize = 7;
/// What takes less time than this is repeated until it has taken as much.
const LEAST: Duration = Duration::from_millis(10);

/// One line of the result.
#[derive(Serialize)]
struct Row {
    case: String,
    p: f64,
    threads: usize,
    weights_per_s: f64,
    /// Against a binary search for each weight or word; a design has nothing to be compared with.
    ratio_naive: Option<f64>,
    /// Against copying the weights.
    ratio_memcpy: f64,
}

fn main() {
    // Cargo passes `--bench`, and nothing else is understood.
    let weights: Vec<f32> = (0..WEIGHTS as u64).map(weight).collect();
    let cases = [(4, 0.1), (8, 0.1), (8, 0.01), (8, 1e-6)];
    let words = cases.into_iter().flat_map(|(width, p)| measure(width, p, &weights));
    let sequences = [0.1, 0.01].into_iter().flat_map(|p| measure_sequence(8, p, &weights));
    let rows: Vec<Row> = words.chain(sequences).collect();
    println!("{}", serde_json::to_string_pretty(&rows).expect("plain numbers serialise"));
}

/// Weights like those of a trained layer, a bell, in no order: bytes of a hash, summed.
fn weight(index: u64) -> f32 {
    let hash = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash.to_be_bytes().iter().map(|&byte| f32::from(byte) - 127.5).sum::<f32>() / 210.0
}

fn measure(width: u32, p: f64, weights: &[f32]) -> Vec<Row> {
    let flips = FlipProbability::symmetric(p).expect("a probability");
    let channel = WordChannel::new(flips, width).expect("at most eight bits");
    let design = || {
        let sample = Sample::of(weights).expect("finite weights");
        Codebook::design(&sample, &channel, &DesignConfig::default())
    };
    let code = design();
    let (thresholds, words) = (code.thresholds(), code.words());
    let stored = code.encode_bytes(weights).expect("finite weights");
    let pairs: Vec<(u8, f32)> = (0..=u8::MAX).zip(code.table().iter().copied()).collect();
    let mut copy = weights.to_vec();

    let naive_encode = |weight: &f32| words[thresholds.partition_point(|t| t <= weight)] as u8;
    let naive_decode = |word: &u8| pairs[pairs.partition_point(|(w, _)| w < word)].1;
    let works: [&dyn Fn(); 5] = [
        &|| drop(black_box(design())),
        &|| drop(black_box(code.encode_bytes(black_box(weights)))),
        &|| drop(black_box(weights.iter().map(naive_encode).collect::<Vec<u8>>())),
        &|| drop(black_box(code.decode_bytes(black_box(&stored)))),
        &|| drop(black_box(stored.iter().map(naive_decode).collect::<Vec<f32>>())),
    ];
    // The first round warms up and does not count.
    let rounds: Vec<(Vec<f64>, f64)> = (0..=ROUNDS)
        .map(|_| {
            let rates = works.iter().map(rate).collect();
            (rates, rate(|| copy.copy_from_slice(black_box(weights))))
        })
        .skip(1)
        .collect();

    let of = |value: &dyn Fn(&[f64], f64) -> f64| {
        median(rounds.iter().map(|(rates, memcpy)| value(rates, *memcpy)).collect())
    };
    let row = |(case, work, naive): (&str, usize, Option<usize>)| {
        let row = Row {
            case: format!("{case}, {width} bits"),
            p,
            threads: 1,
            weights_per_s: of(&|rates, _| rates[work]),
            ratio_naive: naive.map(|naive| of(&|rates, _| rates[work] / rates[naive])),
            ratio_memcpy: of(&|rates, memcpy| rates[work] / memcpy),
        };
        show(&row);
        row
    };
    [("design", 0, None), ("encode", 1, Some(2)), ("decode", 3, Some(4))].map(row).into()
}

fn measure_sequence(bits: u32, p: f64, weights: &[f32]) -> [Row; 2] {
    let flips = FlipProbability::symmetric(p).expect("a probability");
    let codes = Arc::new(BlockCodes::new(flips).expect("any flip probability will do"));
    let store = || BlockCodedStorage::new(weights, &codes, bits).expect("finite weights");
    let (unit, stream) = (store(), FaultStream::new(Seed(42), 0, "weight"));
    let mut copy = weights.to_vec();
    let memcpy = rate(|| copy.copy_from_slice(black_box(weights)));
    let works: [(&str, &dyn Fn()); 2] = [
        ("store", &|| drop(black_box(store()))),
        ("read", &|| drop(black_box(unit.read(&stream, 0)))),
    ];
    works.map(|(case, work)| {
        let weights_per_s = median((0..ROUNDS).map(|_| rate(work)).collect());
        let row = Row {
            case: format!("{case} sequence, {bits} bits"),
            p,
            threads: rayon::current_num_threads(),
            weights_per_s,
            ratio_naive: None,
            ratio_memcpy: weights_per_s / memcpy,
        };
        show(&row);
        row
    })
}

fn show(row: &Row) {
    let Row { case, p, weights_per_s, ratio_naive, ratio_memcpy, .. } = row;
    let naive = ratio_naive.map_or_else(String::new, |ratio| format!("{ratio:.1} x naive"));
    eprintln!(
        "{case:<22} p {p:<7.1e} {:>9.2} M weights/s {:>9.3} ms a tensor {ratio_memcpy:>8.1e} x memcpy \
         {naive}",
        weights_per_s / 1e6,
        1e3 * WEIGHTS as f64 / weights_per_s
    );
}

/// Weights a second, for work on a tensor.
fn rate(mut work: impl FnMut()) -> f64 {
    let (start, mut passes) = (Instant::now(), 0);
    while start.elapsed() < LEAST || passes == 0 {
        work();
        passes += 1;
    }
    (passes * WEIGHTS) as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
