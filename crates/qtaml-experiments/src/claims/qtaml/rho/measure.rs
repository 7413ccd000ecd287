//! Forecast and measured gains over networks, widths, flip probabilities and leakage.

use anyhow::Result;
use qtaml::compensation::allocation::{Source as WaterSource, WaterFilling};
use qtaml::compensation::{Accounting, noise_for_disagreement, rho_star_exact};
use qtaml::deploy::scheme::Scheme;
use qtaml::quant::BitWidth;
use serde::Serialize;

use super::forecast::{
    Candidate, Case, best, correlation_within, drawn, forecasts, of_best_elsewhere,
    of_constant_beside,
};
use super::{CLASSES, DISAGREEMENT, PATTERNS, PROBABILITIES, WIDTHS};
use crate::bench::budget::crossing;
use crate::bench::reading::{Leakage, Reading};
use crate::bench::{Bench, TARGET, on_bench};
use crate::context::Context;
use crate::stats::bootstrap;
use crate::workloads::networks::Net;

/// Resamples of networks.
const RESAMPLES: usize = 500;

/// All cases, and what was found of the candidates.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) cases: Vec<Case>,
    /// The number of networks.
    pub(super) nets: usize,
    /// The candidate that does best on all cases.
    pub(super) best: Option<Candidate>,
    /// The error of the candidate that did best on all other networks, over that of a constant.
    pub(super) over_constant: f64,
    /// Its interval over networks.
    pub(super) interval: [f64; 2],
    /// The correlation of the best within a setting, and its interval.
    pub(super) within: f64,
    pub(super) within_interval: [f64; 2],
}

impl Measured {
    pub(super) fn all(&self) -> Vec<&Case> {
        self.cases.iter().collect()
    }
}

/// Measures all networks.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let nets: Vec<Net> = Net::ALL.into_iter().chain(Net::MLPS).collect();
    let nets = &nets[..context.size(nets.len(), 3)];
    let mut cases = Vec::new();
    for &net in nets {
        cases.extend(on_bench(context, net, of_network)?);
    }
    let ids: Vec<&str> = nets.iter().map(|net| net.id()).collect();
    let over_constant = |cases: &[&Case]| of_best_elsewhere(cases).over(&of_constant_beside(cases));
    // Cases of one network are alike: whole networks are drawn again.
    let interval_of = |statistic: &dyn Fn(&[&Case]) -> f64| {
        bootstrap(nets.len(), RESAMPLES, context.seed, |at| {
            let named: Vec<&str> = at.iter().map(|&net| ids[net]).collect();
            Ok(statistic(&drawn(&cases, &named)))
        })
    };
    let all: Vec<&Case> = cases.iter().collect();
    let best = best(&all);
    let within =
        |cases: &[&Case]| best.and_then(|best| correlation_within(cases, best)).unwrap_or(0.0);
    Ok(Measured {
        nets: nets.len(),
        best,
        over_constant: over_constant(&all),
        interval: interval_of(&over_constant)?,
        within: within(&all),
        within_interval: interval_of(&within)?,
        cases,
    })
}

/// Where bits leak both ways, and the way of the reading that the source is judged by.
fn leakages() -> [Reading; 2] {
    [Reading { leakage: Leakage::Symmetric, ..Reading::FIXED }, Reading::FIXED]
}

fn of_network(bench: &Bench<'_>) -> Result<Vec<Case>> {
    let noise = noise_for_disagreement(&bench.margins()?, CLASSES, DISAGREEMENT)?;
    let some = if bench.context.is_full() { 3 } else { bench.context.size(2, 1) };
    let (widths, ps, leakages) = (&WIDTHS[..some], &PROBABILITIES[..some], leakages());
    let steps = (some * some * leakages.len()) as u64;
    let task = bench.context.progress.task(&format!("{} ρ*", bench.net.id()), steps);
    let mut cases = Vec::new();
    for &bits in widths {
        for &p in ps {
            for reading in leakages {
                cases.extend(case(bench, reading, BitWidth::new(bits)?, p, noise)?);
                task.tick(1);
            }
        }
    }
    Ok(cases)
}

/// Nothing comes of a case in which no protection is needed, or all of it is too little: there is
/// no gain to predict.
fn case(
    bench: &Bench<'_>,
    reading: Reading,
    bits: BitWidth,
    p: f64,
    noise: f64,
) -> Result<Option<Case>> {
    let flips = reading.leakage.flips(p);
    let store = |scheme| bench.store(&Scheme { bits, ..scheme }, flips, Accounting::ProtectedBits);
    let [uniform, tac] = reading.schemes().map(store);
    let (uniform, tac) = (uniform?, tac?);
    let (optimal, alike) = (tac.path(), uniform.path());
    let unprotected = optimal.distortion(0);
    let least = optimal.distortion(optimal.len() - 1);
    if !(least < noise && noise < unprotected) {
        return Ok(None);
    }
    let level = TARGET * bench.judges.accuracy_of(tac.golden.clone())?;
    let patterns = PATTERNS.min(bench.patterns);
    let crossed = |stored| Ok::<_, anyhow::Error>(crossing(bench, stored, level, patterns)?.bits());
    let (Some(of_uniform), Some(of_tac)) = (crossed(&uniform)?, crossed(&tac)?) else {
        return Ok(None);
    };
    let sources = tac.problem.iter().zip(tac.model.groups()).map(|(choices, unit)| WaterSource {
        score: choices[0].distortion,
        weights: unit.group.len(),
    });
    let sources: Vec<WaterSource> = sources.collect();
    let water = WaterFilling::new(&sources, f64::from(bits.get()))?;
    let sizes: Vec<f64> = sources.iter().map(|source| source.weights as f64).collect();
    let exact = rho_star_exact(&alike, &optimal, noise)?;
    Ok(Some(Case {
        net: bench.net.id().into(),
        bits: bits.get(),
        p,
        leakage: reading.leakage.label().into(),
        forecasts: forecasts(&water, &sizes, noise, exact),
        measured: of_uniform / of_tac,
    }))
}
