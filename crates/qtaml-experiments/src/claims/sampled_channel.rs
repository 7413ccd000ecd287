//! What the real injector does to every code, sampled: the raw material of `qtaml.drift` and
//! `qtaml.variance`.

use anyhow::Result;
use qtaml::fault::{CodeChannel, Injector, Protection, Site};
use qtaml::physics::FlipProbability;
use qtaml::quant::BitWidth;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::results::Value;

/// The width that both claims are measured at.
pub const BITS: BitWidth = BitWidth::INT8;
/// Words injected at once: small enough for the cache.
const CHUNK: usize = 1 << 14;

/// Sums over the words read where one code was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// The code that was stored.
    pub code: i32,
    /// How often it was read.
    pub n: u64,
    /// Sum of the codes read.
    pub sum: i64,
    /// Sum of their squares.
    pub sum_of_squares: i64,
    /// How often each bit flipped, least significant first.
    pub flips: Vec<u64>,
}

impl Moments {
    /// Mean of the codes read.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.n as f64
    }

    /// Variance of the codes read, about their own mean.
    pub fn variance(&self) -> f64 {
        let n = self.n as f64;
        let centred = self.sum_of_squares as f64 - (self.sum as f64).powi(2) / n;
        centred / (n - 1.0)
    }
}

/// One flip probability with all codes sampled under it.
pub struct Sampled {
    /// How it is called in tables.
    pub label: String,
    /// The law that should hold.
    pub channel: CodeChannel,
    /// What was read, code by code.
    pub moments: Vec<Moments>,
}

/// Samples every code at the flip probabilities that both claims are tested at: three symmetric
/// ones, the source's among them, one asymmetric, and one with the two top bits protected. None is
/// so small that the flips of a bit, some hundreds at least, would be far from normal.
///
/// Both claims draw the same samples; whichever runs second finds them in the journal.
pub fn sampled(context: &Context) -> Result<Vec<Sampled>> {
    let n = context.size(1 << 18, 1 << 15);
    let cases = [
        ("p = 0.01", FlipProbability::symmetric(0.01)?, 0),
        ("p = 0.1", FlipProbability::symmetric(0.1)?, 0),
        ("p = 0.5", FlipProbability::symmetric(0.5)?, 0),
        ("p01 = 0.02, p10 = 0.2", FlipProbability::asymmetric(0.02, 0.2)?, 0),
        ("p = 0.1, two top bits protected", FlipProbability::symmetric(0.1)?, 2),
    ];
    let task = context.progress.task("sampling codes", (cases.len() * BITS.levels()) as u64);
    cases
        .into_iter()
        .map(|(label, probability, k)| {
            let protection = Protection::top(k, BITS)?;
            let channel = CodeChannel::new(probability, BITS, protection);
            let moments = context.unit(&format!("sampled-channel/{label}/{n}"), || {
                let moments = BITS.words().collect::<Vec<u8>>().into_par_iter().map(|stored| {
                    let moments = sample(context, label, &channel, stored, n);
                    task.tick(1);
                    moments
                });
                Ok(moments.collect::<Vec<_>>())
            })?;
            Ok(Sampled { label: label.into(), channel, moments })
        })
        .collect()
}

/// Stores one word `n` times and reads it back through the injector.
fn sample(context: &Context, label: &str, channel: &CodeChannel, stored: u8, n: usize) -> Moments {
    let injector = Injector::new(channel.probability(), BITS);
    let site = Site::new(context.seed, u32::from(stored), &format!("sampled-channel/{label}"));
    let mut moments = Moments {
        code: BITS.code_of(stored),
        n: n as u64,
        sum: 0,
        sum_of_squares: 0,
        flips: vec![0; BITS.get() as usize],
    };
    let mut words = vec![stored; CHUNK];
    for first in (0..n).step_by(CHUNK) {
        let words = &mut words[..CHUNK.min(n - first)];
        words.fill(stored);
        injector.inject(words, first as u64, &site, channel.protection());
        for &read in &*words {
            let code = i64::from(BITS.code_of(read));
            moments.sum += code;
            moments.sum_of_squares += code * code;
            for (bit, flips) in moments.flips.iter_mut().enumerate() {
                *flips += u64::from((read ^ stored) >> bit & 1);
            }
        }
    }
    moments
}

/// One row per case and code: the law and what was sampled, with its score.
pub fn code_rows(
    cases: &[Sampled],
    scores: &[Vec<f64>],
    law: fn(&CodeChannel, i32) -> f64,
    sampled: fn(&Moments) -> f64,
) -> Vec<Vec<Value>> {
    let of_case = |(case, scores): (&Sampled, &Vec<f64>)| -> Vec<Vec<Value>> {
        let row = |(m, z): (&Moments, &f64)| {
            vec![
                case.label.as_str().into(),
                i64::from(m.code).into(),
                (m.n as i64).into(),
                law(&case.channel, m.code).into(),
                sampled(m).into(),
                (*z).into(),
            ]
        };
        case.moments.iter().zip(scores).map(row).collect()
    };
    cases.iter().zip(scores).flat_map(of_case).collect()
}
