//! `ours.opta`: how far from Shannon's bound weights are stored.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use qtaml::compensation::WeightStorage;
use qtaml::compensation::blockcode::{BlockCodedStorage, BlockCodes};
use qtaml::compensation::codebook::{Codebook, DesignConfig, Sample, WordChannel};
use qtaml::fault::ecc::capacity;
use qtaml::fault::{FaultStream, Seed};
use qtaml::physics::FlipProbability;
use qtaml_chart::{Axis, Chart, Mark, Rule, Series};
use rand::RngExt as _;
use serde_json::json;

use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Value, Verdict};
use crate::stats::{Mean, mean};

/// Where the claim is measured.
const P: f64 = 0.1;
const BITS: u32 = 8;
/// Flip probabilities and stored bits per weight of the survey.
const SWEEP: [f64; 6] = [1e-3, 0.01, 0.03, 0.05, 0.1, 0.2];
const RATES: [u32; 5] = [1, 2, 4, 6, 8];
/// Rates that are drawn over flip probabilities.
const DRAWN: [u32; 3] = [2, 4, 8];
/// Weights of a sequence: several of the longest blocks at 8 bits.
const WEIGHTS: usize = 1 << 15;
/// Independent draws of the weights behind the claim.
const DRAWS: usize = 8;
/// Memories that codes are made for, in the figure on wrong guesses.
const GUESSES: [f64; 4] = [1e-3, 0.01, 0.05, 0.1];
/// Memories that sequences for [`P`] are tried in, and the blocks of one each.
const CLIFF: [f64; 10] = [1e-3, 0.01, 0.05, 0.09, 0.1, 0.105, 0.11, 0.12, 0.14, 0.2];
const CLIFF_BLOCKS: usize = 16;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let survey = survey(context)?;
    let claim = Distance::new(context)?;
    let cliff = cliff(context)?;
    Ok(Outcome {
        claims: vec![claim.claim(&survey)],
        method: method(),
        figures: vec![
            distance_figure(&survey),
            rate_figure(&survey)?,
            mismatch_figure(context, &cliff)?,
        ],
        tables: vec![survey_table(&survey), load_table(context)?],
    })
}

/// The least error per variance that any code leaves of normal weights, `2^(-2RC)`.
fn bound(p: f64, bits: u32) -> Result<f64> {
    let capacity = capacity(FlipProbability::symmetric(p)?);
    Ok((-2.0 * f64::from(bits) * capacity).exp2())
}

fn decibels(ratio: f64) -> f64 {
    10.0 * ratio.log10()
}

/// Errors per variance with one memory and rate.
struct Surveyed {
    p: f64,
    bits: u32,
    bound: f64,
    words: f64,
    sequences: f64,
}

impl Surveyed {
    fn new(context: &Context, p: f64, bits: u32) -> Result<Self> {
        let key = format!("ours.opta/{p:?}/{bits}");
        let words = context.unit(&format!("{key}/words"), || Ok(codebook(p, bits)?.mse()))?;
        let sequences = context.unit(&format!("{key}/sequences"), || {
            let codes = Arc::new(BlockCodes::new(FlipProbability::symmetric(p)?)?);
            Ok(Sequences::read(context, &codes, bits, 0, context.size(WEIGHTS, 1 << 10))?.error)
        })?;
        Ok(Self { p, bits, bound: bound(p, bits)?, words, sequences })
    }
}

fn survey(context: &Context) -> Result<Vec<Surveyed>> {
    let task = context.progress.task("codes near the bound", SWEEP.len() as u64);
    let mut survey = Vec::new();
    for p in SWEEP {
        for bits in RATES {
            survey.push(Surveyed::new(context, p, bits)?);
        }
        task.tick(1);
    }
    Ok(survey)
}

fn codebook(p: f64, bits: u32) -> Result<Codebook> {
    let channel = WordChannel::new(FlipProbability::symmetric(p)?, bits)?;
    Ok(Codebook::design(&Sample::gaussian(), &channel, &DesignConfig::default()))
}

/// Normal weights (G. E. P. Box and M. E. Muller, Ann. Math. Statist. 29, 610, 1958).
fn normal(seed: Seed, draw: usize, count: usize) -> Vec<f32> {
    let mut rng = seed.rng("ours.opta", draw as u64);
    let mut weight = || {
        let (u, turn): (f64, f64) = (rng.random(), rng.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    };
    (0..count).map(|_| weight() as f32).collect()
}

/// What one trial with one draw of weights gives back.
struct Sequences {
    /// Mean square error over mean square weight.
    error: f64,
    /// Whether a block was lost.
    lost: bool,
}

impl Sequences {
    fn read(
        context: &Context,
        codes: &Arc<BlockCodes>,
        bits: u32,
        draw: usize,
        count: usize,
    ) -> Result<Self> {
        let weights = normal(context.seed, draw, count);
        let unit = BlockCodedStorage::new(&weights, codes, bits)?;
        let read = unit.read(&FaultStream::new(context.seed, draw as u32, "ours.opta"), 0)?;
        let square = |(w, r): (&f32, &f32)| (f64::from(*w) - f64::from(*r)).powi(2);
        let error: f64 = weights.iter().zip(&read).map(square).sum();
        let power: f64 = weights.iter().map(|w| f64::from(*w).powi(2)).sum();
        Ok(Self { error: error / power, lost: read != unit.golden() })
    }
}

/// The claim's own measurement: over several draws.
struct Distance {
    above: Mean,
    draws: usize,
    lost: usize,
}

impl Distance {
    fn new(context: &Context) -> Result<Self> {
        let codes = Arc::new(BlockCodes::new(FlipProbability::symmetric(P)?)?);
        let (draws, count) = (context.size(DRAWS, 2), context.size(WEIGHTS, 1 << 10));
        let task = context.progress.task("sequences at the claim's rate", draws as u64);
        let (mut above, mut lost) = (Vec::new(), 0);
        for draw in 1..=draws {
            let (error, is_lost) = context.unit(&format!("ours.opta/draw {draw}"), || {
                let read = Sequences::read(context, &codes, BITS, draw, count)?;
                Ok((read.error, read.lost))
            })?;
            above.push(decibels(error / bound(P, BITS)?));
            lost += usize::from(is_lost);
            task.tick(1);
        }
        Ok(Self { above: mean(&above)?, draws, lost })
    }

    fn claim(&self, survey: &[Surveyed]) -> Claim {
        let words = survey.iter().find(|point| (point.p, point.bits) == (P, BITS));
        Claim {
            id: "ours.opta".into(),
            source: Source::Ours,
            statement: format!(
                "Normal weights can be stored in {BITS} bits each in a memory that flips one bit in \
                 ten with an error a few decibels above the least that any code can reach."
            ),
            expected: "above 0 dB (Shannon's bound)".into(),
            measured: self.above.value,
            unit: "dB".into(),
            interval: self.above.interval,
            n: self.draws as u64,
            verdict: Verdict::New,
            details: json!({
                "p": P, "stored_bits_per_weight": BITS, "weights_a_draw": WEIGHTS,
                "draws_with_a_lost_block": self.lost,
                "words_above_bound_db": words.map(|point| decibels(point.words / point.bound)),
            }),
        }
    }
}

/// Mean errors of sequences for [`P`] in other memories.
fn cliff(context: &Context) -> Result<Vec<(f64, f64)>> {
    let made_for = BlockCodes::new(FlipProbability::symmetric(P)?)?;
    let task = context.progress.task("sequences in other memories", CLIFF.len() as u64);
    let mut points = Vec::new();
    for p in CLIFF {
        let codes = Arc::new(made_for.in_memory(FlipProbability::symmetric(p)?)?);
        let blocks = context.size(CLIFF_BLOCKS, 2);
        let errors: Vec<f64> = context.unit(&format!("ours.opta/cliff/{p:?}"), || {
            let error = |draw| Ok(Sequences::read(context, &codes, BITS, draw, 1 << 10)?.error);
            (0..blocks).map(error).collect()
        })?;
        points.push((p, mean(&errors)?.value));
        task.tick(1);
    }
    Ok(points)
}

fn method() -> Vec<String> {
    vec![
        "Weights are normal. A memory whose bits flip with probability p carries C = 1 - H2(p) bits \
         per stored bit, so no code of any length leaves less than 2^(-2RC) of the variance with R \
         stored bits per weight (Shannon's optimum performance theoretically attainable, OPTA). \
         Distances are 10 lg of the mean square error over that bound."
            .into(),
        format!(
            "Words are channel-optimised codebooks, one weight at a time; their error is exact. \
             Sequences quantize {WEIGHTS} weights with one step, entropy code them, and protect \
             blocks of up to 8 KiB by an irregular repeat-accumulate code; their error is that of \
             one draw of weights and faults, lost blocks included. The claim takes {DRAWS} draws of \
             both, with Student's interval. Scale and step, 65 bits a sequence, are not counted."
        ),
        format!(
            "A wrong guess: a code is made for one memory and used in another. For words that is \
             exact; for sequences it is the mean over {CLIFF_BLOCKS} blocks of 1 KiB, which are \
             read or lost as a whole. Times are of this run on its machine, and no part of results.json, which \
             does not depend on them."
        ),
    ]
}

fn distance_figure(survey: &[Surveyed]) -> Figure {
    let curve = |name: &str, bits: u32, error: fn(&Surveyed) -> f64| {
        let points = survey.iter().filter(|point| point.bits == bits);
        let points = points.map(|point| (point.p, decibels(error(point) / point.bound)));
        Series::new(&format!("{name}, {bits} bits"), Mark::LinePoints, points.collect::<Vec<_>>())
    };
    let words = DRAWN.map(|bits| curve("words", bits, |point| point.words));
    let sequences = DRAWN.map(|bits| curve("sequences", bits, |point| point.sequences));
    Figure {
        id: "ours.opta.distance".into(),
        title: "Distance to Shannon's bound".into(),
        caption: "How far the mean square error of normal weights lies above the least possible. \
                  Words, one weight at a time, fall behind where there are many bits; sequences \
                  keep a distance of a few decibels."
            .into(),
        picture: Chart {
            x: Axis::log10("flip probability per stored bit", ""),
            y: Axis::linear("above the bound", "dB"),
            series: words.into_iter().chain(sequences).collect(),
            rules: vec![Rule::horizontal(0.0, "Shannon's bound")],
        }
        .into(),
    }
}

fn rate_figure(survey: &[Surveyed]) -> Result<Figure> {
    let at = |error: fn(&Surveyed) -> f64| -> Vec<(f64, f64)> {
        let points = survey.iter().filter(|point| point.p == P);
        points.map(|point| (f64::from(point.bits), -decibels(error(point)))).collect()
    };
    let mut limit = Vec::new();
    for bits in 0..=BITS {
        limit.push((f64::from(bits), -decibels(bound(P, bits)?)));
    }
    Ok(Figure {
        id: "ours.opta.rate".into(),
        title: format!("What a stored bit buys at p = {P}"),
        caption: "Variance of normal weights over their mean square error when read.".into(),
        picture: Chart {
            x: Axis::linear("stored bits per weight", ""),
            y: Axis::linear("signal over error", "dB"),
            series: vec![
                Series::new("Shannon's bound", Mark::Line, limit),
                Series::new("sequences", Mark::LinePoints, at(|point| point.sequences)),
                Series::new("words", Mark::LinePoints, at(|point| point.words)),
            ],
            rules: vec![],
        }
        .into(),
    })
}

fn mismatch_figure(context: &Context, cliff: &[(f64, f64)]) -> Result<Figure> {
    let sample = Sample::gaussian();
    let grid: Vec<f64> = (0..=66).map(|i| 1e-4 * 10_f64.powf(f64::from(i) / 20.0)).collect();
    let mut series = Vec::new();
    for guess in GUESSES {
        let curve: Vec<(f64, f64)> = context.unit(&format!("ours.opta/guess {guess:?}"), || {
            let code = codebook(guess, BITS)?;
            let error = |&p: &f64| {
                let memory = WordChannel::new(FlipProbability::symmetric(p)?, BITS)?;
                Ok((p, code.mse_on(&sample, &memory)?))
            };
            grid.iter().map(error).collect()
        })?;
        series.push(Series::new(&format!("words made for {guess}"), Mark::Line, curve));
    }
    let points = cliff.iter().copied();
    series.push(Series::new(&format!("sequences made for {P}"), Mark::LinePoints, points));
    Ok(Figure {
        id: "ours.opta.mismatch".into(),
        title: "A wrong guess of the flip probability".into(),
        caption: format!(
            "Mean square error over variance of codes of {BITS} bits a weight, made for one memory \
             and used in another. A code for a worse memory wastes precision in a better one, and a \
             code for a better memory is hurt. Words get worse by degrees; sequences lose whole \
             blocks just beyond the memory they are made for."
        ),
        picture: Chart {
            x: Axis::log10("flip probability of the memory", ""),
            y: Axis::log10("error over variance", ""),
            series,
            rules: vec![Rule::horizontal(1.0, "zeros instead of weights")],
        }
        .into(),
    })
}

fn survey_table(survey: &[Surveyed]) -> Table {
    let columns = ["p", "stored bits", "bound [dB]", "words [dB]", "sequences [dB]"];
    let row = |point: &Surveyed| -> Vec<Value> {
        let signal = |error: f64| Value::from(-decibels(error));
        let (bound, words, sequences) = (point.bound, point.words, point.sequences);
        vec![point.p.into(), point.bits.into(), signal(bound), signal(words), signal(sequences)]
    };
    Table {
        id: "ours.opta.survey".into(),
        title: "Signal over error of normal weights".into(),
        columns: columns.map(String::from).to_vec(),
        rows: survey.iter().map(row).collect(),
        in_report: false,
    }
}

/// Seconds for a million weights on all threads.
fn load_table(context: &Context) -> Result<Table> {
    let columns = ["flip probability", "words [s]", "sequences [s]"];
    let count = context.size(WEIGHTS, 1 << 10);
    let weights = normal(context.seed, 0, count);
    let mut rows = Vec::new();
    for p in [0.01, 0.05, P] {
        let [words, sequences] = context.unit(&format!("ours.opta/time/{p:?}"), || {
            let flips = FlipProbability::symmetric(p)?;
            let code = codebook(p, BITS)?;
            let words = code.encode(&weights)?;
            let unit = BlockCodedStorage::new(&weights, &Arc::new(BlockCodes::new(flips)?), BITS)?;
            let stream = FaultStream::new(context.seed, 1, "ours.opta");
            // The first read makes the codes as well.
            unit.read(&stream, 0)?;
            Ok([
                per_million(count, 100, || drop(black_box(code.decode(black_box(&words))))),
                per_million(count, 1, || drop(black_box(unit.read(&stream, 0)))),
            ])
        })?;
        rows.push(vec![p.into(), words.into(), sequences.into()]);
    }
    Ok(Table {
        id: "ours.opta.load".into(),
        title: format!("Seconds to load a million weights of {BITS} bits, on this run's machine"),
        columns: columns.map(String::from).to_vec(),
        rows,
        in_report: true,
    })
}

fn per_million(count: usize, rounds: u32, load: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..rounds).for_each(|_| load());
    start.elapsed().as_secs_f64() / f64::from(rounds) / count as f64 * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the capacity of a perfect memory is at p = 0.110028.
    #[test]
    fn the_bound_is_six_decibels_for_each_bit_that_arrives() {
        assert!((decibels(bound(0.0, 3).unwrap()) + 3.0 * 6.0206).abs() < 1e-3);
        assert!((decibels(bound(0.110_028, 8).unwrap()) + 4.0 * 6.0206).abs() < 1e-3);
    }

    #[test]
    fn drawn_weights_are_normal() {
        let weights = normal(Seed(3), 0, 1 << 14);
        let moment = |k: i32| {
            weights.iter().map(|w| f64::from(*w).powi(k)).sum::<f64>() / weights.len() as f64
        };
        // Within six standard errors: 1, √2 and √96 over the root of their number.
        let error = 6.0 / 128.0;
        assert!(moment(1).abs() < error);
        assert!((moment(2) - 1.0).abs() < error * 2_f64.sqrt());
        assert!((moment(4) - 3.0).abs() < error * 96_f64.sqrt());
    }
}
