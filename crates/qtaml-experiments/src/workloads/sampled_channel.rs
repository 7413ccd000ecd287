//! Samples of every code under the fault injector.
//!
//! `qtaml.drift` and `qtaml.variance` are judged by them.

use anyhow::{Result, ensure};
use qtaml::fault::{BitMask, ChannelSample, QuantizedChannel, ZScore};
use qtaml::physics::FlipProbability;
use qtaml::quant::Format;

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
pub fn codes(sample: &ChannelSample) -> impl Iterator<Item = i32> {
    sample.moments().iter().map(|m| FORMAT.code_of(m.stored).0)
}

/// The largest `|z|` of all scores.
pub fn largest(scores: &[Vec<ZScore>]) -> f64 {
    scores.iter().flatten().fold(0.0_f64, |largest, score| largest.max(score.z().abs()))
}

/// One row per case and code: the law and what was sampled, with its score.
pub fn code_rows(cases: &[Sampled], scores: &[Vec<ZScore>]) -> Vec<Vec<Value>> {
    let of_case = |(case, scores): (&Sampled, &Vec<ZScore>)| -> Vec<Vec<Value>> {
        let words = codes(&case.sample).zip(case.sample.moments());
        let row = |((code, m), score): ((i32, _), &ZScore)| {
            let m: &qtaml::fault::WordMoments = m;
            vec![
                case.label.as_str().into(),
                i64::from(code).into(),
                (m.n as i64).into(),
                score.theory.into(),
                score.measured.into(),
                score.standard_error.into(),
                score.z().into(),
            ]
        };
        words.zip(scores).map(row).collect()
    };
    cases.iter().zip(scores).flat_map(of_case).collect()
}
