//! One network and its twin that was trained with bit errors, stored in every way.

use anyhow::Result;
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
use crate::bench::reading::Leakage;
use crate::bench::{Bench, Flips};
use crate::context::Context;
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
    /// Where the scheme that is claimed is among them: mixed storage at the network's own flip
    /// probability, both ways.
    codec: usize,
    /// The bits that it needs, between two budgets, and their interval over fault patterns.
    pub(super) bits: f64,
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
        let [raw, numbers, words, any] = schemes(bench, p.into())?;
        let raw = bench.store(&raw, p, Accounting::AllBits)?;
        let numbers = linear(numbers);
        let Coded { codebook, mixed, .. } = Coded::new(bench, [&numbers, &words, &any], p.into())?;
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
/// and all of these beside sequences. The last is the claim. Where bits leak one way, copies are the only real
/// codes: what the others leave is known for memories that flip both ways alike.
pub(super) fn schemes(bench: &Bench<'_>, flips: Flips) -> Result<[Scheme; 4]> {
    let codes = &CODES[CODES.len() - bench.context.size(CODES.len(), 1)..];
    let both_ways = Leakage::of(flips) == Leakage::Symmetric;
    let codes = codes.iter().filter(|code| both_ways || code.starts_with("repetition"));
    let eccs = codes.map(|code| Ok(code.parse()?)).collect::<Result<Vec<Ecc>>>()?;
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

/// The same with linear scores: for what is not tried on its own, a look at every layer is not worth it.
pub(super) fn linear(scheme: Scheme) -> Scheme {
    Scheme { allocator: Allocator::Tac(Score::Wkb), ..scheme }
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
        let trials = Trials::new(&bench)?;
        let hardened = Bench::new(context, hardened)?.as_accurate_as(&bench);
        measured(&bench, trials, Hardened::new(&hardened)?)
    }
}

/// All that is tried.
struct Trials {
    all: Vec<Trial>,
    /// Where the claimed one is among them.
    codec: usize,
}

impl Trials {
    /// Every scheme at the network's own flip probability, and at [`P`]; at its own also with logits brought
    /// back, and where bits leak one way.
    fn new(bench: &Bench<'_>) -> Result<Self> {
        let own = bench.net.flip_probability();
        let (mut all, codec) = Self::at(bench, own, bench.patterns)?;
        if own != P && !bench.context.smoke {
            all.extend(Self::at(bench, P, bench.few)?.0);
        }
        for leakage in Leakage::one_way(bench.context) {
            all.extend(Self::leaking(bench, leakage.flips(own))?);
        }
        Ok(Self { all, codec })
    }

    /// All schemes, and where mixed storage is among them, which so many patterns are for.
    fn at(bench: &Bench<'_>, p: f64, patterns: u32) -> Result<(Vec<Trial>, usize)> {
        let [raw, numbers, words, any] = schemes(bench, p.into())?;
        let raw = bench.store(&raw, p, Accounting::AllBits)?;
        let coded = Coded::new(bench, [&numbers, &words, &any], p.into())?;
        let is_own = p == bench.net.flip_probability();
        let with_logits = is_own.then(|| coded.with_logits(bench)).transpose()?;
        let Coded { quantized, codebook, mixed } = coded;
        let mut trials = Vec::new();
        for stored in [raw, quantized, codebook] {
            trials.push(Trial::new(bench, stored, bench.few)?);
        }
        trials.push(Trial::new(bench, mixed, patterns)?);
        let codec = trials.len() - 1;
        if let Some(with_logits) = with_logits {
            trials.push(Trial::new(bench, with_logits, bench.few)?);
        }
        Ok((trials, codec))
    }

    /// Codebooks and mixed storage in such a memory, and all other schemes where a run is for all.
    fn leaking(bench: &Bench<'_>, flips: Flips) -> Result<Vec<Trial>> {
        let [raw, numbers, words, any] = schemes(bench, flips)?;
        let all = bench.context.is_full();
        let numbers = if all { numbers } else { linear(numbers) };
        let Coded { quantized, codebook, mixed } =
            Coded::new(bench, [&numbers, &words, &any], flips)?;
        let mut stored = vec![codebook, mixed];
        if all {
            stored.extend([bench.store(&raw, flips, Accounting::AllBits)?, quantized]);
        }
        stored.into_iter().map(|stored| Trial::new(bench, stored, bench.few)).collect()
    }
}

fn measured(bench: &Bench<'_>, trials: Trials, hardened: Hardened) -> Result<Measured> {
    let Trials { all: trials, codec } = trials;
    let claimed = &trials[codec];
    let (bits, interval) = claimed.search.between(&claimed.stored, bench.context.seed);
    Ok(Measured {
        net: bench.net,
        clean: bench.judges.clean,
        weights: claimed.stored.model.weights(),
        few: bench.few,
        codec,
        bits,
        interval,
        layers: claimed.layers(),
        needed: trials.iter().map(Trial::needed).collect(),
        hardened,
        sweep: Sweep::new(bench)?,
    })
}
