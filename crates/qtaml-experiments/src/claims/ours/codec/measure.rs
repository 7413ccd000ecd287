//! One network and its twin that was trained with bit errors, stored in every way.

use anyhow::{Context as _, Result};
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder, Score};
use qtaml::deploy::Recalibration;
use qtaml::deploy::scheme::CodeFamily;
use qtaml::deploy::scheme::{Allocator, Scheme};
use qtaml::fault::Ecc;
use qtaml::physics::FlipProbability;
use qtaml::quant::BitWidth;
use qtaml::train::Classifier;
use qtaml::train::qat::{BitErrors, QatMethod};
use serde::Serialize;

use super::coded::Coded;
use super::needed::{Layer, Needed, Trial};
use super::sweep::Sweep;
use super::{CODES, P};
use crate::bench::Bench;
use crate::context::Context;
use crate::stats::bootstrap;
use crate::workloads::networks::{Net, Trained, WithNet};
use crate::workloads::qat_nets::TRAINING_FLIPS;

/// All numbers of one network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) net: Net,
    pub(super) clean: f64,
    pub(super) weights: u64,
    /// Fault patterns that compare.
    pub(super) few: u32,
    /// By flip probability, that of the network first, then by scheme.
    pub(super) needed: Vec<Needed>,
    /// Where the scheme that is claimed is among them: the last one at the network's own flip
    /// probability.
    codec: usize,
    /// Of the bits that it needs, over fault patterns.
    pub(super) interval: [f64; 2],
    /// Where its bits go.
    pub(super) layers: Vec<Layer>,
    pub(super) hardened: Hardened,
    pub(super) sweep: Sweep,
}

impl Measured {
    /// What the claimed scheme needs.
    pub(super) fn codec(&self) -> &Needed {
        &self.needed[self.codec]
    }
}

/// The network that was trained with bit errors.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Hardened {
    pub(super) clean: f64,
    /// By scheme, without the second.
    pub(super) needed: Vec<Needed>,
}

impl Hardened {
    /// What it needs to be as accurate as the plain one has to be.
    fn new(bench: &Bench<'_>) -> Result<Self> {
        let p = bench.net.flip_probability();
        let [raw, numbers, words, any] = schemes(bench)?;
        let raw = bench.store(&raw, p, Accounting::AllBits)?;
        // Not tried on their own, so not worth a look at every layer.
        let numbers = Scheme { allocator: Allocator::Tac(Score::Wkb), ..numbers };
        let Coded { codebook, mixed, .. } = Coded::new(bench, [&numbers, &words, &any], p)?;
        let needed = [(raw, bench.few), (codebook, bench.few), (mixed, bench.patterns)]
            .into_iter()
            .map(|(stored, patterns)| Ok(Trial::new(bench, stored, patterns)?.needed()))
            .collect::<Result<_>>()?;
        Ok(Self { clean: bench.judges.clean, needed })
    }
}

/// How a network is hardened: faults in its words of 8 bits while it learns, as often as in the
/// claims on T0-QAT, which is less often than in the memory that it is for.
fn bit_errors() -> Result<BitErrors> {
    Ok(BitErrors::new(BitWidth::INT8, FlipProbability::symmetric(TRAINING_FLIPS)?))
}

/// What competes: numbers as they are, numbers with all that Bayes and batch norm offer, codebooks,
/// and all of these beside sequences. The last is the claim.
pub(super) fn schemes(bench: &Bench<'_>) -> Result<[Scheme; 4]> {
    let codes = &CODES[CODES.len() - bench.context.size(CODES.len(), 1)..];
    let eccs = codes.iter().map(|code| Ok(code.parse()?)).collect::<Result<Vec<Ecc>>>()?;
    let batch_norm = bench.net.has_batch_norm();
    let recalibration = if batch_norm { Recalibration::BatchNorm } else { Recalibration::None };
    let raw = Scheme { eccs, code: CodeFamily::AnyWidth, ..Scheme::tac() };
    let bayes = Scheme {
        allocator: Allocator::Tac(Score::Measured),
        decoder: Decoder::BayesGain,
        scale: ScalePolicy::MinMse,
        recalibration,
        ..raw.clone()
    };
    let words = Scheme { code: CodeFamily::Codebook, ..bayes.clone() };
    let any = Scheme { code: CodeFamily::Mixed, ..bayes.clone() };
    Ok([raw, bayes, words, any])
}

/// Measures one network.
pub(super) fn measure(context: &Context, net: Net) -> Result<Measured> {
    net.with(context, Measure)
}

struct Measure;

impl WithNet for Measure {
    type Out = Measured;

    fn run<M: Classifier>(self, context: &Context, trained: Trained<M>) -> Result<Measured> {
        let hardened = trained.again(context, QatMethod::BitErrors(bit_errors()?), "bit-errors")?;
        let bench = Bench::new(context, trained)?;
        let trials = trials(&bench)?;
        let hardened = Bench::new(context, hardened)?.as_accurate_as(&bench);
        measured(&bench, &trials, Hardened::new(&hardened)?)
    }
}

/// Every scheme at the network's own flip probability, and at [`P`].
fn trials(bench: &Bench<'_>) -> Result<Vec<Trial>> {
    let own = bench.net.flip_probability();
    let mut trials = Vec::new();
    for p in if own == P || bench.context.smoke { vec![own] } else { vec![own, P] } {
        let [raw, numbers, words, any] = schemes(bench)?;
        let raw = bench.store(&raw, p, Accounting::AllBits)?;
        let coded = Coded::new(bench, [&numbers, &words, &any], p)?;
        for stored in [raw, coded.quantized, coded.codebook] {
            trials.push(Trial::new(bench, stored, bench.few)?);
        }
        let patterns = if p == own { bench.patterns } else { bench.few };
        trials.push(Trial::new(bench, coded.mixed, patterns)?);
    }
    Ok(trials)
}

fn measured(bench: &Bench<'_>, trials: &[Trial], hardened: Hardened) -> Result<Measured> {
    let own = bench.net.flip_probability();
    let codec = trials.iter().rposition(|trial| trial.stored.flips.most() == own);
    let codec = codec.context("nothing was tried")?;
    let claimed = &trials[codec];
    let (patterns, seed) = (claimed.search.patterns.count as usize, bench.context.seed);
    let interval = bootstrap(patterns, 2000, seed, |patterns| {
        Ok(claimed.per_weight(claimed.search.cost_over(patterns)))
    })?;
    Ok(Measured {
        net: bench.net,
        clean: bench.judges.clean,
        weights: claimed.stored.model.weights(),
        few: bench.few,
        codec,
        interval,
        layers: claimed.layers(),
        needed: trials.iter().map(Trial::needed).collect(),
        hardened,
        sweep: Sweep::new(bench)?,
    })
}
