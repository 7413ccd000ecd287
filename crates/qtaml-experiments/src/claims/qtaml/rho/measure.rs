//! The gain of networks, as measured and as forecast.

use anyhow::Result;
use qtaml::compensation::allocation::{Source as WaterSource, WaterFilling};
use qtaml::compensation::{
    Accounting, bits_saved, noise_for_disagreement, rho_star, rho_star_exact,
};
use qtaml::deploy::scheme::{Allocator, Scheme};
use qtaml::quant::BitWidth;
use serde::{Deserialize, Serialize};

use super::{CLASSES, DISAGREEMENT, PATTERNS, PROBABILITIES, WIDTHS};
use crate::bench::budget::crossing;
use crate::bench::{Bench, TARGET, on_bench};
use crate::context::Context;
use crate::stats::{bootstrap, spearman};
use crate::workloads::networks::Net;

/// All cases, and how sure their order is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) cases: Vec<Case>,
    /// Of the rank correlation of the closed form, over networks.
    pub(super) interval: [f64; 2],
}

impl Measured {
    pub(super) fn closed_form(&self) -> Forecast<'_> {
        Forecast::new(&self.cases, |case| case.closed_form)
    }

    pub(super) fn exact_curves(&self) -> Forecast<'_> {
        Forecast::new(&self.cases, |case| Some(case.exact_curves))
    }
}

/// One network at one width and flip probability.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) net: String,
    pub(super) bits: u32,
    pub(super) p: f64,
    /// From the closed form of water-filling, and from exact curves.
    pub(super) closed_form: Option<f64>,
    pub(super) exact_curves: f64,
    /// The coding gain, which holds at large budgets.
    pub(super) coding_gain: Option<f64>,
    pub(super) measured: f64,
}

/// Measures all networks.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let mut cases = Vec::new();
    for net in Net::ALL {
        cases.extend(on_bench(context, net, |bench, _| of_network(bench))?);
    }
    let closed_form = Forecast::new(&cases, |case| case.closed_form);
    // Cases of one network are alike: whole networks are drawn again.
    let interval = bootstrap(Net::ALL.len(), 2000, context.seed, |drawn| {
        let of_net = |&net: &usize| closed_form.of(Net::ALL[net]);
        Ok(Forecast(drawn.iter().flat_map(of_net).collect()).correlation())
    })?;
    Ok(Measured { cases, interval })
}

fn of_network(bench: &Bench<'_>) -> Result<Vec<Case>> {
    let noise = noise_for_disagreement(&bench.margins()?, CLASSES, DISAGREEMENT)?;
    let (widths, ps) = if bench.context.smoke {
        (&WIDTHS[..1], &PROBABILITIES[2..])
    } else {
        (&WIDTHS[..], &PROBABILITIES[..])
    };
    let steps = (widths.len() * ps.len()) as u64;
    let task = bench.context.progress.task(&format!("{} ρ*", bench.net.id()), steps);
    let mut cases = Vec::new();
    for &bits in widths {
        for &p in ps {
            cases.extend(case(bench, BitWidth::new(bits)?, p, noise)?);
            task.tick(1);
        }
    }
    Ok(cases)
}

/// Nothing comes of a case in which no protection is needed, or all of it is too little: there is
/// no gain to predict.
fn case(bench: &Bench<'_>, bits: BitWidth, p: f64, noise: f64) -> Result<Option<Case>> {
    let tac = Scheme { bits, ..Scheme::tac() };
    let uniform = Scheme { allocator: Allocator::Uniform, ..tac.clone() };
    let [tac, uniform] =
        [tac, uniform].map(|scheme| bench.store(&scheme, p, Accounting::ProtectedBits));
    let (tac, uniform) = (tac?, uniform?);
    let (optimal, alike) = (tac.path(), uniform.path());
    let unprotected = optimal.distortion(0);
    let least = optimal.distortion(optimal.len() - 1);
    if !(least < noise && noise < unprotected) {
        return Ok(None);
    }
    let target = TARGET * bench.accuracy_of(tac.golden.clone())?;
    let patterns = PATTERNS.min(bench.patterns);
    let crossed = |stored| crossing(bench, stored, target, patterns);
    let (Some(of_uniform), Some(of_tac)) = (crossed(&uniform)?, crossed(&tac)?) else {
        return Ok(None);
    };
    let sources = tac.problem.iter().zip(tac.model.groups()).map(|(choices, unit)| WaterSource {
        score: choices[0].distortion,
        weights: unit.group.len(),
    });
    let water = WaterFilling::new(&sources.collect::<Vec<_>>(), f64::from(bits.get()))?;
    let large = water.uniform_cost(noise).map(|uniform| uniform / (uniform - bits_saved(&water)));
    Ok(Some(Case {
        net: bench.net.id().into(),
        bits: bits.get(),
        p,
        closed_form: rho_star(&water, noise).ok(),
        exact_curves: rho_star_exact(&alike, &optimal, noise)?,
        // Beyond its range, where it turns negative, it says nothing.
        coding_gain: large.ok().filter(|ratio| *ratio >= 1.0),
        measured: of_uniform / of_tac,
    }))
}

/// Predicted and measured gains, with their networks.
pub(super) struct Forecast<'a>(pub(super) Vec<(&'a str, f64, f64)>);

impl<'a> Forecast<'a> {
    pub(super) fn new(cases: &'a [Case], predicted: impl Fn(&Case) -> Option<f64>) -> Self {
        let of = |case: &'a Case| Some((case.net.as_str(), predicted(case)?, case.measured));
        Self(cases.iter().filter_map(of).collect())
    }

    pub(super) fn of(&self, net: Net) -> Vec<(&'a str, f64, f64)> {
        self.0.iter().filter(|(of, ..)| *of == net.id()).copied().collect()
    }

    /// Spearman's; 0 of so few or so equal cases that they have no order.
    pub(super) fn correlation(&self) -> f64 {
        let (predicted, measured): (Vec<f64>, Vec<f64>) = self.0.iter().map(|c| (c.1, c.2)).unzip();
        spearman(&predicted, &measured).unwrap_or(0.0)
    }

    /// The factor by which a prediction is typically off.
    pub(super) fn error(&self) -> f64 {
        let logs = self.0.iter().map(|(_, predicted, measured)| (predicted / measured).ln().abs());
        (logs.sum::<f64>() / self.0.len().max(1) as f64).exp()
    }
}
