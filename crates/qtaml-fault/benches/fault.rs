//! How many weights a second faults are injected into, against a straightforward implementation
//! and against copying memory, all in one run: `cargo xtask bench fault`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use qtaml_fault::{BitFlips, FaultModel, Protected, Protection, Seed, Site};
use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::BitWidth;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::ThreadPoolBuilder;
use serde::Serialize;

/// INT8 weights, far more than any cache holds.
const WEIGHTS: usize = 64 << 20;
/// Weights for the straightforward implementation, whose speed does not depend on how many.
const NAIVE_WEIGHTS: usize = 1 << 20;
/// Runs of each case; the median counts.
const RUNS: usize = 5;

/// One line of the result.
#[derive(Serialize)]
struct Row {
    case: String,
    p: f64,
    threads: usize,
    weights_per_s: f64,
    ratio_naive: f64,
    ratio_memcpy: f64,
}

#[derive(Clone)]
struct Case {
    name: &'static str,
    /// The largest flip probability of a bit.
    p: f64,
    flips: FlipProfile,
    protection: Protection,
}

fn main() {
    // Cargo passes `--bench`, and nothing else is understood.
    let mut words: Vec<u8> = (0..WEIGHTS).map(|i| (i * 97 % 251) as u8).collect();
    let threads: Vec<usize> = match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => vec![1],
        all => vec![1, all],
    };
    let mut rows = Vec::new();
    for threads in threads {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("a pool of the machine's own threads");
        let memcpy = rate(&words.clone(), |target| target.copy_from_slice(black_box(&words)));
        for case in cases() {
            let row = pool.install(|| measure(&case, &mut words, threads, memcpy));
            eprintln!(
                "{:<28} p {:<8} {} threads {:>10.1} M weights/s {:>8.1} x naive {:>6.2} x memcpy",
                row.case,
                row.p,
                row.threads,
                row.weights_per_s / 1e6,
                row.ratio_naive,
                row.ratio_memcpy
            );
            rows.push(row);
        }
    }
    println!("{}", serde_json::to_string_pretty(&rows).expect("plain numbers serialise"));
}

fn cases() -> Vec<Case> {
    let pair = |p01, p10| FlipProbability::asymmetric(p01, p10).expect("probabilities");
    let top = Protection::top(2, BitWidth::INT8).expect("two of eight bits");
    let case = |name, p, flips: FlipProfile| Case { name, p, flips, protection: Protection::NONE };
    let symmetric = |p: f64| case("symmetric", p, pair(p, p).into());
    let mixed: Vec<FlipProbability> =
        (1..=8).map(|i| 0.02 * f64::from(i)).map(|p| pair(p, p)).collect();
    let uneven = (1..=8).map(|i| 0.02 * f64::from(i)).map(|p| pair(p, p / 2.0)).collect();
    let per_bit = |laws| FlipProfile::per_bit(laws).expect("eight laws");
    let mut cases = [0.5, 0.1, 0.05, 0.01, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12].map(symmetric).to_vec();
    cases.extend([
        Case { protection: top, ..case("symmetric, 2 bits protected", 0.1, pair(0.1, 0.1).into()) },
        case("asymmetric", 0.1, pair(0.02, 0.1).into()),
        case("asymmetric", 1e-3, pair(2e-4, 1e-3).into()),
        case("per bit", 0.16, per_bit(mixed)),
        case("per bit, asymmetric", 0.16, per_bit(uneven)),
    ]);
    cases
}

fn measure(case: &Case, words: &mut [u8], threads: usize, memcpy: f64) -> Row {
    let model = BitFlips::new(case.flips.clone(), BitWidth::INT8).expect("it fits the width");
    let protected = Protected::from(case.protection);
    let mut trial = 0;
    let weights_per_s = rate(words, |words: &mut [u8]| {
        model.inject_all(words, &Site::new(Seed(42), trial, "bench"), protected);
        trial += 1;
    });
    let naive = rate(&vec![0x5a; NAIVE_WEIGHTS], |words| naive(words, case));
    Row {
        case: case.name.into(),
        p: case.p,
        threads,
        weights_per_s,
        // The straightforward implementation runs on one thread; so does copying.
        ratio_naive: weights_per_s / naive,
        ratio_memcpy: weights_per_s / memcpy,
    }
}

/// One random number per stored bit, from the standard generator of `rand`.
fn naive(words: &mut [u8], case: &Case) {
    let mut rng = StdRng::seed_from_u64(42);
    for word in words {
        for bit in 0..8 {
            let law = case.flips.at(bit);
            let p = if *word >> bit & 1 == 1 { law.p10() } else { law.p01() };
            if rng.random_bool(p) && case.protection.mask() >> bit & 1 == 0 {
                *word ^= 1 << bit;
            }
        }
    }
}

/// Weights a second: the median of some runs, after one that does not count.
fn rate(words: &[u8], mut work: impl FnMut(&mut [u8])) -> f64 {
    let mut words = words.to_vec();
    work(&mut words);
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work(black_box(&mut words));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    words.len() as f64 / times[RUNS / 2].as_secs_f64()
}
