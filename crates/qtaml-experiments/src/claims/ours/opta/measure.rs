//! Errors of storages for normal weights, and the Shannon bound.

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
use serde::Serialize;

use super::{BITS, CLIFF, CLIFF_BLOCKS, DRAWS, GUESSES, P, RATES, SWEEP, WEIGHTS};
use crate::context::Context;
use crate::stats::{Mean, mean};
use crate::workloads::normal::standard_normal;

/// The least error per variance that any code leaves of normal weights, `2^(-2RC)`.
pub(super) fn bound(p: f64, bits: u32) -> Result<f64> {
    let capacity = capacity(FlipProbability::symmetric(p)?);
    Ok((-2.0 * f64::from(bits) * capacity).exp2())
}

pub(super) fn decibels(ratio: f64) -> f64 {
    10.0 * ratio.log10()
}

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) survey: Vec<Surveyed>,
    pub(super) distance: Distance,
    /// The bound at [`P`], by stored bits from none on.
    pub(super) limit: Vec<f64>,
    /// For each of [`GUESSES`], the errors of its words by the memory that they are used in.
    pub(super) guesses: Vec<Vec<(f64, f64)>>,
    /// The same of sequences for [`P`].
    pub(super) cliff: Vec<(f64, f64)>,
    pub(super) loads: Vec<Load>,
}

/// Measures the claim.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    Ok(Measured {
        survey: survey(context)?,
        distance: Distance::new(context)?,
        limit: (0..=BITS).map(|bits| bound(P, bits)).collect::<Result<_>>()?,
        cliff: cliff(context)?,
        guesses: GUESSES.iter().map(|&made_for| guess(context, made_for)).collect::<Result<_>>()?,
        loads: [0.01, 0.05, P].iter().map(|&p| Load::new(context, p)).collect::<Result<_>>()?,
    })
}

/// Errors per variance with one memory and rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Surveyed {
    pub(super) p: f64,
    pub(super) bits: u32,
    pub(super) bound: f64,
    pub(super) words: f64,
    pub(super) sequences: f64,
}

impl Surveyed {
    pub(super) fn new(context: &Context, p: f64, bits: u32) -> Result<Self> {
        let words =
            context.unit(&("ours.opta", "words", p, bits), || Ok(codebook(p, bits)?.mse()))?;
        let count = context.size(WEIGHTS, 1 << 10);
        let sequences = context.unit(&("ours.opta", "sequences", p, bits, count), || {
            let codes = Arc::new(BlockCodes::new(FlipProbability::symmetric(p)?)?);
            Ok(Sequences::read(context, &codes, bits, 0, count)?.error)
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
pub(super) fn normal(seed: Seed, draw: usize, count: usize) -> Vec<f32> {
    let mut rng = seed.rng("ours.opta", draw as u64);
    (0..count).map(|_| standard_normal(&mut rng) as f32).collect()
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
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Distance {
    pub(super) above: Mean,
    pub(super) draws: usize,
    pub(super) lost: usize,
}

impl Distance {
    pub(super) fn new(context: &Context) -> Result<Self> {
        let codes = Arc::new(BlockCodes::new(FlipProbability::symmetric(P)?)?);
        let (draws, count) = (context.size(DRAWS, 2), context.size(WEIGHTS, 1 << 10));
        let task = context.progress.task("sequences at the claim's rate", draws as u64);
        let (mut above, mut lost) = (Vec::new(), 0);
        for draw in 1..=draws {
            let (error, is_lost) =
                context.unit(&("ours.opta", "draw", P, BITS, draw, count), || {
                    let read = Sequences::read(context, &codes, BITS, draw, count)?;
                    Ok((read.error, read.lost))
                })?;
            above.push(decibels(error / bound(P, BITS)?));
            lost += usize::from(is_lost);
            task.tick(1);
        }
        Ok(Self { above: mean(&above)?, draws, lost })
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
        let errors: Vec<f64> = context.unit(&("ours.opta", "cliff", P, BITS, p, blocks), || {
            let error = |draw| Ok(Sequences::read(context, &codes, BITS, draw, 1 << 10)?.error);
            (0..blocks).map(error).collect()
        })?;
        points.push((p, mean(&errors)?.value));
        task.tick(1);
    }
    Ok(points)
}

/// Errors of words made for one memory, by the memory that they are used in.
fn guess(context: &Context, made_for: f64) -> Result<Vec<(f64, f64)>> {
    let grid: Vec<f64> = (0..=66).map(|i| 1e-4 * 10_f64.powf(f64::from(i) / 20.0)).collect();
    context.unit(&("ours.opta", "guess", made_for, BITS, &grid), || {
        let (sample, code) = (Sample::gaussian(), codebook(made_for, BITS)?);
        let error = |&p: &f64| {
            let memory = WordChannel::new(FlipProbability::symmetric(p)?, BITS)?;
            Ok((p, code.mse_on(&sample, &memory)?))
        };
        grid.iter().map(error).collect()
    })
}

/// Seconds for a million weights on all threads of this machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Load {
    pub(super) p: f64,
    pub(super) words: f64,
    pub(super) sequences: f64,
}

impl Load {
    fn new(context: &Context, p: f64) -> Result<Self> {
        let count = context.size(WEIGHTS, 1 << 10);
        let [words, sequences] = context.unit(&("ours.opta", "time", p, BITS, count), || {
            let (weights, flips) = (normal(context.seed, 0, count), FlipProbability::symmetric(p)?);
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
        Ok(Self { p, words, sequences })
    }
}

fn per_million(count: usize, rounds: u32, load: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..rounds).for_each(|_| load());
    start.elapsed().as_secs_f64() / f64::from(rounds) / count as f64 * 1e6
}
