//! How long each solver takes and how far from the optimum it stays, for a thousand layers up to a
//! million output channels: `cargo bench -p qtaml-compensation`.
//!
//! The gap is against the lower bound of the price: what is left between them is not known to be
//! anyone's fault. Memory is dominated by the units and the path, about 100 bytes a choice
//! together.

use std::time::Instant;

use qtaml_compensation::allocation::{
    Choice, MOST_STATES, Path, Source, Units, WaterFilling, exact, lagrangian,
};
use qtaml_fault::Seed;
use rand::RngExt;

/// Protected bits, from none to all.
const BITS: i32 = 8;

fn main() {
    println!("| units | budget | solver | seconds | gap | |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (count, channels) in [(1000, 1), (100_000, 64), (1_000_000, 256)] {
        let sources = sources(count, channels);
        let units = units(&sources);
        let all: u64 = sources.iter().map(|source| (BITS as usize * source.weights) as u64).sum();
        for share in [0.1, 0.4] {
            compare(&sources, &units, share, (share * all as f64) as u64);
        }
    }
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
fn units(sources: &[Source]) -> Units {
    let mut units = Units::default();
    for (i, source) in sources.iter().enumerate() {
        let error = |k| source.score * (4_f64.powi(BITS - k) - 1.0);
        let by_protected: Vec<f64> = (0..=BITS).map(error).collect();
        let choices = Choice::top_bits(source.weights, &by_protected);
        units.push(i.to_string(), choices).expect("errors are finite and not negative");
    }
    units
}

fn compare(sources: &[Source], units: &Units, share: f64, budget: u64) {
    let row = |solver: &str, seconds: f64, gap: Option<f64>, note: &str| {
        let (count, gap) = (units.len(), gap.map_or("-".into(), |gap| format!("{gap:.1e}")));
        println!("| {count} | {share} | {solver} | {seconds:.4} | {gap} | {note} |");
    };
    let (seconds, priced) = timed(|| lagrangian(units, budget).expect("nothing costs nothing"));
    let bound = priced.solution.lower_bound;
    let gap = |distortion: f64| Some((distortion - bound).max(0.0) / distortion);
    row("lagrangian", seconds, gap(priced.solution.allocation.distortion()), "");

    let (seconds, greedy) =
        timed(|| Path::optimal(units).within(budget).expect("nothing costs nothing"));
    row("greedy", seconds, gap(greedy.distortion()), "");

    let (seconds, found) =
        timed(|| exact(units, budget, MOST_STATES).expect("nothing costs nothing"));
    let note = if found.proven { "proven".to_owned() } else { format!("{:.1e} left", found.gap()) };
    row("exact", seconds, gap(found.allocation.distortion()), &note);

    let (seconds, _) = timed(|| {
        let water = WaterFilling::new(sources, f64::from(BITS)).expect("scores are positive");
        water.for_budget(budget as f64)
    });
    row("water-filling", seconds, None, "another law, real bits");
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed().as_secs_f64(), result)
}
