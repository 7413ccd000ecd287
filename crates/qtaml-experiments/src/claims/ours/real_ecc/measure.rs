//! Codes by simulation and by computation, and the cheapest of them.

use anyhow::{Context as _, Result};
use qtaml::fault::ecc::{Bch, Code, EccCode, ErrorWeights, Repetition, Tally, simulate};
use qtaml::physics::FlipProbability;

use super::{BITS, KEPT, SWEEP};
use crate::context::Context;

/// A code, its law and what was simulated, along the sweep.
pub(super) struct Measured {
    pub(super) spec: EccCode,
    pub(super) code: Box<dyn Code>,
    pub(super) law: Law,
    pub(super) tallies: Vec<(f64, Tally)>,
}

impl Measured {
    pub(super) fn new(context: &Context, spec: EccCode) -> Result<Self> {
        let task = context.progress.task(&format!("simulating {spec}"), SWEEP.len() as u64);
        let tally = |p: f64| {
            let tally = simulated(context, spec, p, context.size(BITS, BITS >> 7))?;
            task.tick(1);
            Ok((p, tally))
        };
        let tallies = SWEEP.into_iter().map(tally).collect::<Result<_>>()?;
        Ok(Self { spec, code: spec.build()?, law: Law::new(spec)?, tallies })
    }

    pub(super) fn residual(&self, p: f64) -> Result<f64> {
        self.law.residual(FlipProbability::symmetric(p)?)
    }
}

/// Simulates as many words as `bits` stored bits make: long words take longer.
pub(super) fn simulated(context: &Context, spec: EccCode, p: f64, bits: usize) -> Result<Tally> {
    let code = spec.build()?;
    let words = bits.div_ceil(code.stored_bits()) as u64;
    // Part of the address of its faults: another name is another simulation.
    let name = format!("ours.real_ecc/{spec}/{p:?}");
    context.unit(&("ours.real_ecc", spec, p, &name, words), || {
        Ok(simulate(&*code, FlipProbability::symmetric(p)?, context.seed, &name, words)?)
    })
}

/// The residual flip probability of a code by computation.
pub(super) enum Law {
    Majority(Repetition),
    Counted(ErrorWeights),
    /// Too long to count: as if it detected everything that it cannot correct.
    Detecting(Bch),
}

impl Law {
    pub(super) fn new(spec: EccCode) -> Result<Self> {
        if let EccCode::Repetition { copies } = spec {
            return Ok(Self::Majority(Repetition::new(copies)?));
        }
        match (ErrorWeights::of(&*spec.build()?), spec) {
            (Ok(weights), _) => Ok(Self::Counted(weights)),
            (Err(_), EccCode::Bch { m, t, data: None }) => Ok(Self::Detecting(Bch::new(m, t)?)),
            (Err(error), _) => Err(error.into()),
        }
    }

    pub(super) fn residual(&self, flips: FlipProbability) -> Result<f64> {
        Ok(match self {
            Self::Majority(code) => code.after_majority(flips).p01(),
            Self::Counted(weights) => weights.residual(flips)?.bit_flips,
            Self::Detecting(code) => code.flips_left(flips)?,
        })
    }
}

/// A code that keeps its bits, and at what price.
#[derive(Clone, Copy)]
pub(super) struct Offer {
    pub(super) spec: EccCode,
    pub(super) overhead: f64,
    pub(super) residual: f64,
}

/// Every kind of code to choose from.
pub(super) struct AllCodes {
    pub(super) repetitions: Vec<Repetition>,
    pub(super) counted: Vec<(EccCode, f64, ErrorWeights)>,
    /// With its m.
    pub(super) bch: Vec<(u32, Bch)>,
}

pub(super) fn all_codes() -> Result<AllCodes> {
    let repetitions = (1..=31).step_by(2).map(Repetition::new).collect::<Result<_, _>>()?;
    let counted = [4, 8, 16, 32, 64].map(|data| {
        let spec = EccCode::SecDed { data };
        let code = spec.build()?;
        Ok((spec, code.overhead(), ErrorWeights::of(&*code)?))
    });
    let mut bch = Vec::new();
    for m in 3..=10 {
        let mut t = 1;
        while let Ok(code) = Bch::new(m, t) {
            t = code.errors() + 1;
            bch.push((m, code));
        }
    }
    Ok(AllCodes { repetitions, counted: counted.into_iter().collect::<Result<_>>()?, bch })
}

/// The code with the least overhead that leaves no more than [`KEPT`].
pub(super) fn cheapest(all: &AllCodes, flips: FlipProbability) -> Result<Offer> {
    let mut offers = Vec::new();
    for code in &all.repetitions {
        let spec = EccCode::Repetition { copies: code.stored_bits() };
        let residual = code.after_majority(flips).p01();
        offers.push(Offer { spec, overhead: code.overhead(), residual });
    }
    for (spec, overhead, weights) in &all.counted {
        let residual = weights.residual(flips)?.bit_flips;
        offers.push(Offer { spec: *spec, overhead: *overhead, residual });
    }
    for (m, code) in &all.bch {
        offers.extend(longest(*m, code, flips)?);
    }
    let kept = offers.into_iter().filter(|offer| offer.residual <= KEPT);
    kept.min_by(|a, b| a.overhead.total_cmp(&b.overhead)).context("no code is strong enough")
}

/// A BCH code shortened no more than it takes: fewer bits, fewer errors, but more overhead.
pub(super) fn longest(m: u32, code: &Bch, flips: FlipProbability) -> Result<Option<Offer>> {
    let (mut kept, mut lost) = (0, code.data_bits() + 1);
    let mut best = None;
    while lost - kept > 1 {
        let data = usize::midpoint(kept, lost);
        let short = code.clone().shortened(data)?;
        let residual = short.flips_left(flips)?;
        if residual <= KEPT {
            kept = data;
            let spec = EccCode::Bch { m, t: code.errors(), data: Some(data) };
            best = Some(Offer { spec, overhead: short.overhead(), residual });
        } else {
            lost = data;
        }
    }
    Ok(best)
}
