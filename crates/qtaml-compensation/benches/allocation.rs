//! How long each solver takes and how far from the optimum it stays, for a thousand layers up to a
//! million output channels, and how long a plan takes from weights on: `cargo xtask bench
//! allocation`.
//!
//! The gap is against the lower bound of the price: what is left between them is not known to be
//! anyone's fault. Memory is dominated by the groups and the path, about 100 bytes a candidate
//! together. Progress goes to stderr, the rows as JSON to stdout. Everything runs on one thread.

use std::time::Instant;

use qtaml_compensation::allocation::{
    AllocationProblem, Candidate, GreedyPath, MOST_STATES, Source, WaterFilling, exact, lagrangian,
};
use qtaml_compensation::storage::{
    BitChoice, CodeLibrary, GroupWeights, QuantizedSpec, StorageWriter,
};
use qtaml_compensation::{Accounting, Budget, Decoder};
use qtaml_fault::{MemoryModel, Seed};
use qtaml_physics::FlipProbability;
use rand::RngExt;
use serde::Serialize;

/// Protected bits, from none to all.
const BITS: i32 = 8;
/// Rounds of what takes less than a second; medians count.
const ROUNDS: usize = 7;

/// One line of the result.
#[derive(Serialize)]
struct Row {
    case: String,
    groups: usize,
    /// The share of all bits that may be protected.
    budget: f64,
    seconds: f64,
    /// The share of the distortion that may lie above the optimum; water has another model.
    gap: Option<f64>,
}

fn main() {
    let mut rows = Vec::new();
    for (count, channels) in [(1000, 1), (100_000, 64), (1_000_000, 256)] {
        let sources = sources(count, channels);
        let groups = groups(&sources);
        let all: u64 = sources.iter().map(|source| (BITS as usize * source.weights) as u64).sum();
        for share in [0.1, 0.4] {
            rows.extend(compare(&sources, &groups, share, (share * all as f64) as u64));
        }
    }
    let layers = layers();
    for decoder in [Decoder::Raw, Decoder::Bayes] {
        for sets in [BitChoice::Top, BitChoice::Best] {
            rows.push(plan(&layers, decoder, sets));
        }
    }
    println!("{}", serde_json::to_string_pretty(&rows).expect("plain numbers serialise"));
}

/// Layers of log-uniform size, and scores per weight over six decades. The channels of a layer are
/// equally large, and as sensitive up to a factor of ten.
fn sources(count: usize, channels: usize) -> Vec<Source> {
    let mut rng = Seed(42).rng("allocation bench", 0);
    let mut layer = (0, 0.0);
    let mut source = |i: usize| {
        if i.is_multiple_of(channels) {
            let size = 10_f64.powf(1.0 + 3.0 * rng.random::<f64>());
            layer = (size as usize, 10_f64.powf(6.0 * rng.random::<f64>()));
        }
        let score = layer.1 * layer.0 as f64 * 10_f64.powf(rng.random::<f64>());
        Source { score, weights: layer.0 }
    };
    (0..count).map(&mut source).collect()
}

/// The error of two's complement with the top bits protected: `4^(b-k) - 1`.
fn groups(sources: &[Source]) -> AllocationProblem {
    let mut groups = AllocationProblem::default();
    for (i, source) in sources.iter().enumerate() {
        let error = |k| source.score * (4_f64.powi(BITS - k) - 1.0);
        let by_protected: Vec<f64> = (0..=BITS).map(error).collect();
        let candidates = Candidate::top_bits(source.weights, &by_protected);
        groups.push(i.to_string(), candidates).expect("errors are finite and not negative");
    }
    groups
}

fn compare(sources: &[Source], groups: &AllocationProblem, share: f64, budget: u64) -> [Row; 4] {
    let row = |case: &str, seconds, gap| {
        show(Row { case: case.into(), groups: groups.len(), budget: share, seconds, gap })
    };
    let (seconds, priced) = timed(|| lagrangian(groups, budget).expect("nothing costs nothing"));
    let bound = priced.solution.lower_bound;
    let gap = |distortion: f64| Some((distortion - bound).max(0.0) / distortion);
    let lagrangian = row("lagrangian", seconds, gap(priced.solution.allocation.distortion()));

    let (seconds, greedy) =
        timed(|| GreedyPath::optimal(groups).within(budget).expect("nothing costs nothing"));
    let greedy = row("greedy", seconds, gap(greedy.distortion()));

    let (seconds, found) =
        timed(|| exact(groups, budget, MOST_STATES).expect("nothing costs nothing"));
    let case = if found.proven { "exact, proven" } else { "exact, unproven" };
    let exact = row(case, seconds, Some(found.gap()));

    let (seconds, _) = timed(|| {
        let water = WaterFilling::new(sources, f64::from(BITS)).expect("scores are positive");
        water.for_budget(budget as f64).expect("a number of bits")
    });
    [lagrangian, greedy, exact, row("water-filling", seconds, None)]
}

/// A thousand layers of 4096 weights each: heaps around zero with longer and longer tails.
fn layers() -> Vec<Vec<f32>> {
    let of = |layer: usize| {
        let weight = |i: usize| {
            let u = (i as f64 + 0.5) / 4096.0;
            let logistic = (u / (1.0 - u)).ln();
            (logistic.abs().powf(0.5 + layer as f64 / 1000.0) * logistic.signum()) as f32
        };
        (0..4096).map(weight).collect()
    };
    (0..1000).map(of).collect()
}

/// From weights to the best selection, with the scores of the thousand layers above.
fn plan(layers: &[Vec<f32>], decoder: Decoder, protection: BitChoice) -> Row {
    let p = FlipProbability::symmetric(0.1).expect("a probability");
    let sources = sources(layers.len(), 1);
    let sets = if protection == BitChoice::Top { "top bits" } else { "any bits" };
    let spec = QuantizedSpec { decoder, protection, ..QuantizedSpec::default() }.into();
    let (seconds, solution) = timed(|| {
        let library = CodeLibrary::default();
        let writer = StorageWriter::new(&MemoryModel::new(p), &spec, &library);
        let writer = writer.expect("one flip probability for all bits");
        let mut problem = AllocationProblem::default();
        for (i, (weights, source)) in layers.iter().zip(&sources).enumerate() {
            let group = [GroupWeights::whole(weights)];
            let stored = writer.candidates(&group).expect("finite weights").remove(0);
            let candidates = stored.iter().map(|storage| Candidate {
                cost: Accounting::ProtectedBits.cost_of(storage.as_ref()),
                distortion: source.score * storage.mean_square_error(),
            });
            problem.push(i.to_string(), candidates).expect("errors are finite and not negative");
        }
        let bits = 8 * 4096 * layers.len() as u64;
        Budget::Share(0.1).solve(&problem, bits).expect("nothing costs nothing")
    });
    let case = format!("plan, {decoder}, {sets}");
    show(Row { case, groups: layers.len(), budget: 0.1, seconds, gap: Some(solution.gap()) })
}

fn show(row: Row) -> Row {
    let Row { case, groups, budget, seconds, gap } = &row;
    let gap = gap.map_or_else(String::new, |gap| format!("gap {gap:.1e}"));
    eprintln!("{case:<22} {groups:>8} groups, budget {budget}: {:>9.3} ms {gap}", 1e3 * seconds);
    row
}

/// The median time of several rounds, where they are short.
fn timed<T>(work: impl Fn() -> T) -> (f64, T) {
    let once = || {
        let start = Instant::now();
        let result = work();
        (start.elapsed().as_secs_f64(), result)
    };
    let (first, result) = once();
    if first >= 1.0 {
        return (first, result);
    }
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| once().0).collect();
    times.sort_unstable_by(f64::total_cmp);
    (times[ROUNDS / 2], result)
}
