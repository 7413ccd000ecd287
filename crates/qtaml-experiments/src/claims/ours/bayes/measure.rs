//! The least storage with which schemes keep their accuracy, everything counted.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder, Score};
use qtaml::deploy::scheme::{Allocator, Scheme};
use qtaml::deploy::{Granularity, Recalibration};
use qtaml::fault::Ecc;
use serde::Serialize;

use crate::bench::budget::{Found, judge, smallest};
use crate::bench::reading::Leakage;
use crate::bench::{Bench, Level, Stored, on_bench};
use crate::context::Context;
use crate::workloads::networks::Net;

/// Codes that may keep protected bits: at one flip in ten bits, copies are what is left.
const CODES: [&str; 4] = ["repetition:3", "repetition:5", "repetition:7", "repetition:9"];

/// All numbers of one network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) net: Net,
    pub(super) clean: f64,
    /// Fault patterns that judge, and that compare.
    pub(super) patterns: u32,
    pub(super) few: u32,
    pub(super) tried: Vec<Tried>,
    /// Some of them where bits leak one way.
    pub(super) one_way: Vec<Tried>,
    /// Where the best that is read as it is, and the best with Bayes tables are.
    raw: usize,
    best: usize,
    /// The bits that the best needs, between two budgets, and their interval over fault patterns.
    pub(super) bits: f64,
    pub(super) interval: [f64; 2],
    /// Accuracy by stored bits per weight, of these two.
    pub(super) curves: [Vec<Level>; 2],
}

impl Measured {
    pub(super) fn raw(&self) -> &Tried {
        &self.tried[self.raw]
    }

    pub(super) fn best(&self) -> &Tried {
        &self.tried[self.best]
    }
}

/// One scheme, and what it needs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tried {
    pub(super) scheme: String,
    /// Which way bits leak.
    pub(super) leakage: Leakage,
    /// Stored bits per weight.
    pub(super) bits: f64,
    /// Whether even these are too few.
    pub(super) missed: bool,
    /// Fault patterns behind it.
    pub(super) patterns: u32,
    /// Accuracy under patterns that chose nothing.
    pub(super) fresh: f64,
    /// The share of devices that keep the target.
    pub(super) above: Option<f64>,
}

/// The same codes everywhere, then where they count, then with what the decoder can know.
fn schemes(net: Net) -> Result<Vec<Scheme>> {
    let eccs = CODES.iter().map(|code| Ok(code.parse()?)).collect::<Result<Vec<Ecc>>>()?;
    let measured = Allocator::Tac(Score::Measured);
    let raw = Scheme { eccs, ..Scheme::tac() };
    let bayes = Scheme { decoder: Decoder::BayesGain, scale: ScalePolicy::MinMse, ..raw.clone() };
    let mut schemes = vec![
        raw.clone(),
        Scheme { allocator: measured, ..raw },
        bayes.clone(),
        Scheme { allocator: measured, ..bayes.clone() },
        Scheme { granularity: Granularity::Channel, ..bayes.clone() },
        Scheme { granularity: Granularity::Group(64), allocator: measured, ..bayes.clone() },
    ];
    if net.has_batch_norm() {
        schemes.push(Scheme {
            recalibration: Recalibration::BatchNorm,
            allocator: measured,
            ..bayes
        });
    } else {
        schemes.push(Scheme { recalibration: Recalibration::Logits, ..bayes });
    }
    Ok(schemes)
}

/// A scheme under trial.
struct Trial {
    stored: Stored,
    search: Found,
}

impl Trial {
    fn new(bench: &Bench<'_>, scheme: &Scheme, leakage: Leakage) -> Result<Self> {
        let flips = leakage.flips(bench.net.flip_probability());
        let stored = bench.store(scheme, flips, Accounting::AllBits)?;
        let search = smallest(bench, &stored, bench.few)?;
        Ok(Self { stored, search })
    }

    fn bits(&self) -> f64 {
        self.stored.bits_a_weight(self.search.cost as f64)
    }

    fn tried(&self) -> Tried {
        Tried {
            scheme: self.stored.scheme.to_string(),
            leakage: Leakage::of(self.stored.flips),
            bits: self.bits(),
            missed: self.search.missed,
            patterns: self.search.patterns.count,
            fresh: self.search.fresh.value,
            above: self.search.devices_above(),
        }
    }

    /// Accuracy along the path, at what was found and at eighths of the way.
    fn curve(&self, bench: &Bench<'_>) -> Result<Vec<Level>> {
        let path = self.stored.path();
        let mut steps: Vec<usize> = (0..=8).map(|i| i * (path.len() - 1) / 8).collect();
        steps.push(self.search.step);
        steps.sort_unstable();
        steps.dedup();
        let level = |step: usize| {
            let selection = path.at(step).selection().clone();
            let accuracy = bench.accuracies(&self.stored, &selection, 0..bench.few)?;
            Level::new(self.stored.bits_a_weight(path.cost(step) as f64), &accuracy)
        };
        steps.into_iter().map(level).collect()
    }
}

/// The cheapest with a decoder. One that misses the target counts only where all do.
fn best(trials: &[Trial], decoder: Decoder) -> Result<usize> {
    let with_it = (0..trials.len()).filter(|&i| trials[i].stored.scheme.decoder == decoder);
    let better = |&a: &usize, &b: &usize| {
        let missed = trials[a].search.missed.cmp(&trials[b].search.missed);
        missed.then(trials[a].bits().total_cmp(&trials[b].bits()))
    };
    with_it.min_by(better).with_context(|| format!("no scheme is read by {decoder}"))
}

/// Measures one network.
pub(super) fn measure(context: &Context, net: Net) -> Result<Measured> {
    on_bench(context, net, measured)
}

fn measured(bench: &Bench<'_>) -> Result<Measured> {
    let mut schemes = schemes(bench.net)?;
    schemes.truncate(bench.context.size(schemes.len(), 3));
    let trials = schemes.iter().map(|scheme| Trial::new(bench, scheme, Leakage::Symmetric));
    let mut trials = trials.collect::<Result<Vec<_>>>()?;
    let (raw, best) = (best(&trials, Decoder::Raw)?, best(&trials, Decoder::BayesGain)?);
    // Chosen under a few patterns, judged by others.
    for i in BTreeSet::from([raw, best]) {
        trials[i].search = judge(bench, &trials[i].stored, bench.patterns)?;
    }
    let Trial { search, stored, .. } = &trials[best];
    let (bits, interval) = search.between(stored, bench.context.seed);
    Ok(Measured {
        net: bench.net,
        clean: bench.judges.clean,
        patterns: bench.patterns,
        few: bench.few,
        raw,
        best,
        bits,
        interval,
        curves: [trials[raw].curve(bench)?, trials[best].curve(bench)?],
        one_way: one_way(bench, &schemes, [raw, best])?,
        tried: trials.iter().map(Trial::tried).collect(),
    })
}

/// What the two best, or all where a run is for all, need in memories that leak one way.
fn one_way(bench: &Bench<'_>, schemes: &[Scheme], best: [usize; 2]) -> Result<Vec<Tried>> {
    let is_tried = |i: &usize| bench.context.is_full() || best.contains(i);
    let mut tried = Vec::new();
    for &leakage in Leakage::one_way(bench.context) {
        for i in (0..schemes.len()).filter(is_tried) {
            tried.push(Trial::new(bench, &schemes[i], leakage)?.tried());
        }
    }
    Ok(tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_have_names_of_their_own() {
        for net in Net::ALL {
            let schemes = schemes(net).unwrap();
            let names: BTreeSet<String> = schemes.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), schemes.len(), "{names:?}");
        }
    }
}
