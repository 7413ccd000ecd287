//! How many weights a second faults are injected into, against a straightforward implementation
//! and against copying memory, all in one run: `cargo xtask bench fault`.
//!
//! Progress goes to stderr, the rows as JSON to stdout. What is compared is measured one after the
//! other, and every case once in every round, so that a noisy neighbour slows all of it alike, or
//! rounds that the median leaves out.

use std::hint::black_box;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use qtaml_fault::{
    BitFlips, BitMask, Bursts, FaultModel, FaultStream, FlipCount, ProtectionMap, Seed,
};
use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::BitWidth;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::Serialize;

/// Weights of a byte each, far more than any cache holds.
const WEIGHTS: usize = 64 << 20;
/// Weights for the straightforward implementation, whose speed does not depend on how many.
const NAIVE_WEIGHTS: usize = 1 << 19;
/// Weights that one thread copies at a time, as many as models read at a time.
const COPIED: usize = 1 << 18;
/// Rounds through all cases; medians count.
const ROUNDS: usize = 21;
/// What takes less time than this is repeated until it has taken as much.
const LEAST: Duration = Duration::from_millis(10);

/// One line of the result.
#[derive(Serialize)]
struct Row {
    case: &'static str,
    /// The largest flip probability of a bit; of bursts, that of their beginning.
    p: f64,
    threads: usize,
    weights_per_s: f64,
    /// Against the straightforward implementation, which runs on one thread.
    ratio_naive: f64,
    /// Against copying the weights with as many threads.
    ratio_memcpy: f64,
    /// Against one thread.
    ratio_one_thread: f64,
}

struct Case {
    name: &'static str,
    p: f64,
    model: Box<dyn FaultModel>,
    /// What the straightforward implementation draws: of bursts and counts, as many single bits.
    flips: FlipProfile,
    protected: Vec<BitMask>,
}

fn main() {
    // Cargo passes `--bench`, and nothing else is understood.
    let all = available_parallelism().map_or(1, usize::from);
    let threads = if all == 1 { vec![1] } else { vec![1, all] };
    let pools: Vec<ThreadPool> = threads
        .into_iter()
        .map(|n| ThreadPoolBuilder::new().num_threads(n).build().expect("threads of the machine"))
        .collect();
    let mut words: Vec<u8> = (0..WEIGHTS).map(|i| (i * 97 % 251) as u8).collect();
    let mut copy = words.clone();
    let cases = cases();
    // The first round warms up and does not count.
    let mut trial = 0;
    let rounds: Vec<Vec<Speeds>> = (0..=ROUNDS)
        .map(|round| {
            eprintln!("round {round} of {ROUNDS}");
            let speeds = |case| Speeds::measure(case, &mut trial, &pools, &mut words, &mut copy);
            cases.iter().map(speeds).collect()
        })
        .skip(1)
        .collect();
    let rows = cases.iter().enumerate().flat_map(|(i, case)| {
        let of_case: Vec<&Speeds> = rounds.iter().map(|round| &round[i]).collect();
        rows(case, &pools, &of_case)
    });
    let rows: Vec<Row> = rows.collect();
    println!("{}", serde_json::to_string_pretty(&rows).expect("plain numbers serialise"));
}

fn cases() -> Vec<Case> {
    let (int8, int4) = (BitWidth::INT8, BitWidth::INT4);
    let pair = |p01, p10| FlipProbability::asymmetric(p01, p10).expect("probabilities");
    let per_bit = |share: f64| {
        let p = |i| 0.02 * f64::from(i);
        let flips = (1..=8).map(|i| pair(p(i), p(i) * share)).collect();
        FlipProfile::per_bit(flips).expect("eight flip probabilities")
    };
    let case = |name, p, flips: FlipProfile, bits| {
        let model = BitFlips::new(flips.clone(), bits).expect("flip probabilities of this width");
        Case { name, p, model: Box::new(model), flips, protected: vec![BitMask::NONE] }
    };
    let symmetric = |p| case("symmetric", p, pair(p, p).into(), int8);
    let kept = |name, protected| Case { protected, ..case(name, 0.1, pair(0.1, 0.1).into(), int8) };
    let other = |name, p: f64, flips, model| Case { name, model, ..case(name, p, flips, int8) };

    let top = |k| BitMask::top(k, int8).expect("at most eight bits");
    let bursts = Bursts::new(1e-3, 3, int8).expect("three bits");
    let count = FlipCount::new(1000, WEIGHTS as u64, int8).expect("more than 1000 bits");
    let share = 1000.0 / (8 * WEIGHTS) as f64;
    let stuck = |p| pair(p, 0.0).into();

    // Around 1/256 the sampler changes.
    let all = [0.5, 0.1, 0.05, 0.01, 0.0079, 0.0077, 0.005, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12];
    let mut cases: Vec<Case> = all.into_iter().map(symmetric).collect();
    cases.extend([
        case("INT4", 0.1, pair(0.1, 0.1).into(), int4),
        case("asymmetric", 0.1, pair(0.02, 0.1).into(), int8),
        case("asymmetric", 1e-3, pair(2e-4, 1e-3).into(), int8),
        case("per bit", 0.16, per_bit(1.0), int8),
        case("per bit, asymmetric", 0.16, per_bit(0.5), int8),
        kept("2 bits protected", vec![top(2)]),
        kept("protected word by word", (0..WEIGHTS as u32).map(|i| top(i % 3)).collect()),
        case("stuck at 1", 0.1, stuck(0.1), int8),
        case("stuck at 1", 1e-3, stuck(1e-3), int8),
        other("bursts of 3", 1e-3, pair(1e-3, 1e-3).into(), Box::new(bursts)),
        other("1000 flips", share, pair(share, share).into(), Box::new(count)),
    ]);
    cases
}

/// Weights a second in one round of one case.
struct Speeds {
    naive: f64,
    /// Of copying and of reading through the model, for each pool of threads.
    pools: Vec<[f64; 2]>,
}

impl Speeds {
    /// Every pass is a trial of its own: rare flips at the places of the pass before would find them
    /// in the cache.
    fn measure(
        case: &Case,
        trial: &mut u32,
        pools: &[ThreadPool],
        words: &mut [u8],
        copy: &mut [u8],
    ) -> Self {
        let protected = match case.protected.as_slice() {
            [alike] => ProtectionMap::Alike(*alike),
            each => ProtectionMap::Each(each),
        };
        let naive = rate(NAIVE_WEIGHTS, || naive(&mut words[..NAIVE_WEIGHTS], case));
        let mut both = |pool: &ThreadPool| {
            let copied = pool.install(|| rate(WEIGHTS, || memcpy(copy, words)));
            let inject = || {
                *trial += 1;
                case.model
                    .inject_tensor(words, &FaultStream::new(Seed(42), *trial, "bench"), protected)
                    .expect("the models fit the words");
            };
            [copied, pool.install(|| rate(WEIGHTS, inject))]
        };
        Self { naive, pools: pools.iter().map(&mut both).collect() }
    }
}

/// The rows of one case, one for each pool of threads: medians, and medians of ratios.
fn rows(case: &Case, pools: &[ThreadPool], rounds: &[&Speeds]) -> Vec<Row> {
    let row = |(i, pool): (usize, &ThreadPool)| {
        let of = |value: &dyn Fn(&Speeds) -> f64| {
            median(rounds.iter().map(|speeds| value(speeds)).collect())
        };
        let rate = |speeds: &Speeds, pool: usize| speeds.pools[pool][1];
        Row {
            case: case.name,
            p: case.p,
            threads: pool.current_num_threads(),
            weights_per_s: of(&|speeds| rate(speeds, i)),
            ratio_naive: of(&|speeds| rate(speeds, i) / speeds.naive),
            ratio_memcpy: of(&|speeds| rate(speeds, i) / speeds.pools[i][0]),
            ratio_one_thread: of(&|speeds| rate(speeds, i) / rate(speeds, 0)),
        }
    };
    pools.iter().enumerate().map(row).collect()
}

/// One random number per stored bit, from the standard generator of `rand`.
fn naive(words: &mut [u8], case: &Case) {
    let mut rng = StdRng::seed_from_u64(42);
    for (i, word) in words.iter_mut().enumerate() {
        let kept = case.protected.get(i).unwrap_or(&case.protected[0]).mask();
        for bit in 0..case.model.bits().get() as usize {
            let flip = case.flips.at(bit);
            let p = if *word >> bit & 1 == 1 { flip.p10() } else { flip.p01() };
            if rng.random_bool(p) && kept >> bit & 1 == 0 {
                *word ^= 1 << bit;
            }
        }
    }
}

fn memcpy(to: &mut [u8], from: &[u8]) {
    let chunks = to.par_chunks_mut(COPIED).zip(from.par_chunks(COPIED));
    chunks.for_each(|(to, from)| to.copy_from_slice(black_box(from)));
}

/// Weights a second, for work on so many.
fn rate(weights: usize, mut work: impl FnMut()) -> f64 {
    let (start, mut passes) = (Instant::now(), 0);
    while start.elapsed() < LEAST || passes == 0 {
        work();
        passes += 1;
    }
    (passes * weights) as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
