//! Codes by simulation and by computation, and the cheapest of them.

use anyhow::{Context as _, Result};
use qtaml::fault::ecc::{
    Bch, Code as _, EccCode, ErrorWeights, Repetition, Tally, least_overhead, simulate,
};
use qtaml::physics::FlipProbability;
use serde::Serialize;

use super::{BITS, CODES, IN_TABLE, KEPT, SWEEP};
use crate::context::Context;
use crate::workloads::reference_cell::SOURCE_P;

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) codes: Vec<Shown>,
    /// The cheapest code that keeps its bits where the claim is made.
    pub(super) best: Offer,
    /// The same code, simulated there.
    pub(super) tally: Tally,
    pub(super) flips: FlipProbability,
    /// Overhead and residual there of more and more copies.
    pub(super) repetitions: Vec<(f64, f64)>,
    /// By flip probability, the overhead of the cheapest code and that of Shannon's limit.
    pub(super) prices: Vec<(f64, f64, f64)>,
}

/// A code, what it leaves by computation and what was simulated.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    pub(super) spec: EccCode,
    pub(super) data_bits: usize,
    pub(super) stored_bits: usize,
    pub(super) overhead: f64,
    /// Residuals by flip probability: on a fine grid, for the table, and where the claim is made.
    pub(super) curve: Vec<(f64, f64)>,
    pub(super) in_table: [f64; IN_TABLE.len()],
    pub(super) at_source: f64,
    pub(super) simulated: Vec<Simulated>,
}

/// One simulation, beside what was computed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Simulated {
    pub(super) p: f64,
    pub(super) computed: f64,
    pub(super) tally: Tally,
}

/// Measures the claim.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let codes = CODES.iter().map(|name| Shown::new(context, name.parse()?));
    let codes = codes.collect::<Result<_>>()?;
    let (all, flips) = (all_codes()?, FlipProbability::symmetric(SOURCE_P)?);
    let best = cheapest(&all, flips)?;
    let tally = simulated(context, best.spec, SOURCE_P, context.size(BITS << 3, BITS >> 7))?;
    let repetitions = (1..=11).step_by(2).map(|copies| {
        let code = Repetition::new(copies)?;
        Ok((code.overhead(), code.after_majority(flips).p01()))
    });
    let price = |p: f64| {
        let flips = FlipProbability::symmetric(p)?;
        Ok((p, cheapest(&all, flips)?.overhead, least_overhead(flips, KEPT)))
    };
    Ok(Measured {
        codes,
        best,
        tally,
        flips,
        repetitions: repetitions.collect::<Result<_>>()?,
        prices: grid(KEPT, 0.2).map(price).collect::<Result<_>>()?,
    })
}

/// Flip probabilities at equal factors.
fn grid(from: f64, to: f64) -> impl Iterator<Item = f64> {
    (0..=40).map(move |i| from * (to / from).powf(f64::from(i) / 40.0))
}

impl Shown {
    fn new(context: &Context, spec: EccCode) -> Result<Self> {
        let task = context.progress.task(&format!("simulating {spec}"), SWEEP.len() as u64);
        let (code, residual) = (spec.build()?, Residual::new(spec)?);
        let left = |p: f64| residual.of(FlipProbability::symmetric(p)?);
        let simulated = |p: f64| {
            let tally = simulated(context, spec, p, context.size(BITS, BITS >> 7))?;
            task.tick(1);
            Ok(Simulated { p, computed: left(p)?, tally })
        };
        let mut in_table = [0.0; IN_TABLE.len()];
        for (residual, p) in in_table.iter_mut().zip(IN_TABLE) {
            *residual = left(p)?;
        }
        Ok(Self {
            spec,
            data_bits: code.data_bits(),
            stored_bits: code.stored_bits(),
            overhead: code.overhead(),
            curve: grid(1e-4, 0.2).map(|p| Ok((p, left(p)?))).collect::<Result<_>>()?,
            in_table,
            at_source: left(SOURCE_P)?,
            simulated: SWEEP.into_iter().map(simulated).collect::<Result<_>>()?,
        })
    }
}

/// Simulates as many words as `bits` stored bits make: long words take longer.
fn simulated(context: &Context, spec: EccCode, p: f64, bits: usize) -> Result<Tally> {
    let code = spec.build()?;
    let words = bits.div_ceil(code.stored_bits()) as u64;
    // Part of the address of its faults: another name is another simulation.
    let name = format!("ours.real_ecc/{spec}/{p:?}");
    context.unit(&("ours.real_ecc", spec, p, &name, words), || {
        Ok(simulate(&*code, FlipProbability::symmetric(p)?, context.seed, &name, words)?)
    })
}

/// The residual flip probability of a code by computation.
enum Residual {
    Majority(Repetition),
    Counted(ErrorWeights),
    /// Too long to count: as if it detected everything that it cannot correct.
    Detecting(Bch),
}

impl Residual {
    fn new(spec: EccCode) -> Result<Self> {
        if let EccCode::Repetition { copies } = spec {
            return Ok(Self::Majority(Repetition::new(copies)?));
        }
        match (ErrorWeights::of(&*spec.build()?), spec) {
            (Ok(weights), _) => Ok(Self::Counted(weights)),
            (Err(_), EccCode::Bch { m, t, data: None }) => Ok(Self::Detecting(Bch::new(m, t)?)),
            (Err(error), _) => Err(error.into()),
        }
    }

    fn of(&self, flips: FlipProbability) -> Result<f64> {
        Ok(match self {
            Self::Majority(code) => code.after_majority(flips).p01(),
            Self::Counted(weights) => weights.residual(flips)?.bit_flips,
            Self::Detecting(code) => code.flips_left(flips)?,
        })
    }
}

/// A code that keeps its bits, and at what price.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Offer {
    pub(super) spec: EccCode,
    pub(super) overhead: f64,
    pub(super) residual: f64,
}

/// Every kind of code to choose from.
pub(super) struct AllCodes {
    repetitions: Vec<Repetition>,
    counted: Vec<(EccCode, f64, ErrorWeights)>,
    /// With its m.
    bch: Vec<(u32, Bch)>,
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
fn longest(m: u32, code: &Bch, flips: FlipProbability) -> Result<Option<Offer>> {
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
