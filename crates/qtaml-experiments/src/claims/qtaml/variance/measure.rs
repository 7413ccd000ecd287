//! The variance of every code and of every bit, as sampled and in closed form.

use anyhow::Result;
use qtaml::fault::{WordMoments, ZScore};
use serde::Serialize;

use crate::context::Context;
use crate::workloads::sampled_channel::{CodeScores, FORMAT, Sampled, largest, sampled, tests};

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// The variance of every code, by flip probability.
    pub(super) cases: Vec<CodeScores>,
    /// How often each bit flips, over all codes that store the same value in it.
    pub(super) bits: Vec<Vec<ZScore>>,
    /// By flip probability.
    pub(super) hierarchy: Vec<Hierarchy>,
    /// Codes read in all.
    pub(super) reads: u64,
}

impl Measured {
    pub(super) fn tests(&self) -> usize {
        tests(&self.cases) + self.bits.iter().map(Vec::len).sum::<usize>()
    }

    /// The largest `|z|` of codes and bits.
    pub(super) fn largest(&self) -> f64 {
        let bits = self.bits.iter().flatten();
        bits.fold(largest(&self.cases), |largest, score| largest.max(score.z().abs()))
    }

    /// The share of the top bit in the sampled variance at p = 0.1.
    pub(super) fn top_bit_share(&self) -> f64 {
        let Some(case) = self.hierarchy.iter().find(|case| case.label == "p = 0.1") else {
            return f64::NAN;
        };
        case.sampled.last().map_or(f64::NAN, |top| top / case.sampled.iter().sum::<f64>())
    }
}

/// The variance that each bit contributes, averaged over the codes, the lowest bit first.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Hierarchy {
    pub(super) label: String,
    pub(super) theory: Vec<f64>,
    pub(super) sampled: Vec<f64>,
}

impl Hierarchy {
    fn new(case: &Sampled) -> Self {
        let (channel, moments) = (case.sample.channel(), case.sample.moments());
        let mean = |of: &dyn Fn(&WordMoments) -> f64| {
            moments.iter().map(of).sum::<f64>() / moments.len() as f64
        };
        let theory = |bit| mean(&|m| channel.bit_variances(m.stored).nth(bit).unwrap_or(0.0));
        let sampled = |bit: usize| {
            mean(&|m| {
                let share = m.flips[bit] as f64 / m.n as f64;
                share * (1.0 - share) * 4_f64.powi(bit as i32)
            })
        };
        let bits = 0..FORMAT.bits().get() as usize;
        Self {
            label: case.label.clone(),
            theory: bits.clone().map(theory).collect(),
            sampled: bits.map(sampled).collect(),
        }
    }
}

/// Measures the claim.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let samples = sampled(context)?;
    let variances = samples.iter().map(|case| CodeScores::new(case, case.sample.variances()));
    let bits = samples.iter().map(|case| case.sample.bits());
    Ok(Measured {
        cases: variances.collect(),
        bits: bits.map(|bits| bits.into_iter().map(|bit| bit.score).collect()).collect(),
        hierarchy: samples.iter().map(Hierarchy::new).collect(),
        reads: samples.iter().map(|case| case.sample.reads()).sum(),
    })
}
