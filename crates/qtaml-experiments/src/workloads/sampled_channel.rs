//! Samples of every code under the fault injector.
//!
//! `qtaml.drift` and `qtaml.variance` are judged by them.

use anyhow::{Result, ensure};
use qtaml::fault::{BitMask, ChannelSample, QuantizedChannel, ZScore};
use qtaml::physics::FlipProbability;
use qtaml::quant::Format;
use serde::Serialize;

use crate::context::Context;
use crate::results::Value;

/// The format that both claims are measured in.
pub const FORMAT: Format = Format::INT8;

/// The chance that a correct injector and a correct formula are called wrong.
pub const FALSE_ALARM: f64 = 1e-6;

/// One flip probability with all codes sampled under it.
pub struct Sampled {
    /// How it is called in tables.
    pub label: String,
    /// What was read, word by word.
    pub sample: ChannelSample,
}

/// Samples every code at the flip probabilities that both claims are tested at: three symmetric
/// ones, the source's among them, one asymmetric, and one with the two top bits protected.
///
/// Both claims draw the same samples; whichever runs second finds them kept.
pub fn sampled(context: &Context) -> Result<Vec<Sampled>> {
    let n = context.size(1 << 18, 1 << 17);
    let cases = [
        ("p = 0.01", FlipProbability::symmetric(0.01)?, 0),
        ("p = 0.1", FlipProbability::symmetric(0.1)?, 0),
        ("p = 0.5", FlipProbability::symmetric(0.5)?, 0),
        ("p01 = 0.02, p10 = 0.2", FlipProbability::asymmetric(0.02, 0.2)?, 0),
        ("p = 0.1, two top bits protected", FlipProbability::symmetric(0.1)?, 2),
    ];
    let task = context.progress.task("sampling codes", cases.len() as u64);
    cases
        .into_iter()
        .map(|(label, probability, k)| {
            let protection = BitMask::top(k, FORMAT.bits())?;
            let channel = QuantizedChannel::new(probability, FORMAT, protection)?;
            // Part of the address of its faults: another name is another sample.
            let name = format!("sampled-channel/{label}");
            let moments = context.unit(&("sampled-channel", &name, probability, k, n), || {
                let sample = ChannelSample::of_every_word(&channel, context.seed, &name, n)?;
                Ok(sample.moments().to_vec())
            })?;
            task.tick(1);
            let sample = ChannelSample::from_moments(&channel, moments)?;
            ensure!(sample.is_large_enough(), "{label}: too few flips for scores to be normal");
            Ok(Sampled { label: label.into(), sample })
        })
        .collect()
}

/// The code that each word of a sample stands for, in the order of its moments.
fn codes(sample: &ChannelSample) -> impl Iterator<Item = i32> {
    sample.moments().iter().map(|m| FORMAT.code_of(m.stored).0)
}

/// One number of every code under one flip probability, against its theory.
#[derive(Clone, Debug, Serialize)]
pub struct CodeScores {
    /// How the flip probability is called in tables.
    pub label: String,
    /// In the order of the words.
    pub codes: Vec<CodeScore>,
}

impl CodeScores {
    /// The scores of a sample, in the order of its moments.
    pub fn new(case: &Sampled, scores: Vec<ZScore>) -> Self {
        let reads = case.sample.moments().iter().map(|m| m.n);
        let codes = codes(&case.sample).zip(reads).zip(scores);
        let codes = codes.map(|((code, reads), score)| CodeScore { code, reads, score });
        Self { label: case.label.clone(), codes: codes.collect() }
    }
}

/// One number of one code.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CodeScore {
    /// The code.
    pub code: i32,
    /// How often it was read.
    pub reads: u64,
    /// What was sampled, and what theory says.
    pub score: ZScore,
}

/// The largest `|z|` of all codes.
pub fn largest(cases: &[CodeScores]) -> f64 {
    let scores = cases.iter().flat_map(|case| &case.codes);
    scores.fold(0.0_f64, |largest, code| largest.max(code.score.z().abs()))
}

/// How many codes are tested at once.
pub fn tests(cases: &[CodeScores]) -> usize {
    cases.iter().map(|case| case.codes.len()).sum()
}

/// One row per case and code: theory and sample, with the score.
pub fn code_rows(cases: &[CodeScores]) -> Vec<Vec<Value>> {
    let of_case = |case: &CodeScores| -> Vec<Vec<Value>> {
        let row = |CodeScore { code, reads, score }: &CodeScore| {
            vec![
                case.label.as_str().into(),
                i64::from(*code).into(),
                (*reads as i64).into(),
                score.theory.into(),
                score.measured.into(),
                score.standard_error.into(),
                score.z().into(),
            ]
        };
        case.codes.iter().map(row).collect()
    };
    cases.iter().flat_map(of_case).collect()
}
