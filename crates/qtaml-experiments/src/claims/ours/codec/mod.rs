//! `ours.codec.<net>`: eight stored bits a weight in all, nothing protected.

mod coded;
mod needed;
mod sweep;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder, Score};
use qtaml::deploy::Recalibration;
use qtaml::fault::{Ecc, Seed};
use qtaml::physics::FlipProbability;
use qtaml::quant::BitWidth;
use qtaml::train::Classifier;
use qtaml::train::qat::{BitErrors, QatMethod};
use serde_json::json;

use self::coded::Coded;
use self::needed::Needed;
use self::sweep::Sweep;
use crate::claims::tac::bench::Bench;
use crate::claims::tac::code::Code;
use crate::claims::tac::scheme::{Allocator, Scheme};
use crate::context::Context;
use crate::results::{Claim, Outcome, Source, Verdict};
use crate::stats::bootstrap;
use crate::workloads::networks::{Net, Trained, WithNet};
use crate::workloads::qat_nets::TRAINING_FLIPS;

/// Codes that may keep bits of numbers: that of server memories, a strong BCH code, and copies.
const CODES: [&str; 6] =
    ["secded:64", "bch:6:5", "repetition:3", "repetition:5", "repetition:7", "repetition:9"];

/// Stored bits per weight that should be enough.
const fn goal(net: Net) -> f64 {
    match net {
        // Small and depthwise: few weights, and each counts.
        Net::MobileNet => 12.0,
        _ => 8.0,
    }
}

/// The flip probability at which all networks are tried.
const P: f64 = 0.10;

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    net.with(context, Measure)
}

struct Measure;

impl WithNet for Measure {
    type Out = Outcome;

    fn run<M: Classifier>(self, context: &Context, trained: Trained<M>) -> Result<Outcome> {
        let hardened = trained.again(context, QatMethod::BitErrors(bit_errors()?), "bit-errors")?;
        let bench = Bench::new(context, trained)?;
        let [_, clean] = bench.clean(&Scheme::uniform())?;
        let own = bench.net.flip_probability();
        let mut needed = Vec::new();
        for p in if own == P || context.smoke { vec![own] } else { vec![own, P] } {
            let [raw, numbers, words, any] = schemes(&bench)?;
            let raw = bench.store(&raw, p, Accounting::AllBits)?;
            let coded = Coded::new(&bench, [&numbers, &words, &any], p)?;
            for stored in [raw, coded.quantized, coded.codebook] {
                needed.push(Needed::new(&bench, stored, clean, bench.few)?);
            }
            let patterns = if p == own { bench.patterns } else { bench.few };
            needed.push(Needed::new(&bench, coded.mixed, clean, patterns)?);
        }
        let hardened = Hardened::new(&Bench::new(context, hardened)?, clean)?;
        let sweep = Sweep::new(&bench)?;
        outcome(&Measured { bench, clean, needed, hardened, sweep })
    }
}

/// How a network is hardened: faults in its words of 8 bits while it learns, as often as in the
/// claims on T0-QAT, which is less often than in the memory that it is for.
fn bit_errors() -> Result<BitErrors> {
    Ok(BitErrors::new(BitWidth::INT8, FlipProbability::symmetric(TRAINING_FLIPS)?))
}

/// The network that was trained with bit errors.
struct Hardened {
    clean: f64,
    /// By scheme, without the second.
    needed: Vec<Needed>,
}

impl Hardened {
    /// What it needs to be as accurate as the plain one has to be, which has `clean` without faults.
    fn new(bench: &Bench<'_>, clean: f64) -> Result<Self> {
        let p = bench.net.flip_probability();
        let [raw, numbers, words, any] = schemes(bench)?;
        let raw = bench.store(&raw, p, Accounting::AllBits)?;
        // Not tried on their own, so not worth a look at every layer.
        let numbers = Scheme { allocator: Allocator::Tac(Score::Wkb), ..numbers };
        let Coded { codebook, mixed, .. } = Coded::new(bench, [&numbers, &words, &any], p)?;
        let needed = [(raw, bench.few), (codebook, bench.few), (mixed, bench.patterns)]
            .into_iter()
            .map(|(stored, patterns)| Needed::new(bench, stored, clean, patterns))
            .collect::<Result<_>>()?;
        let [_, clean] = bench.clean(&Scheme::uniform())?;
        Ok(Self { clean, needed })
    }
}

/// What competes: numbers as they are, numbers with all that Bayes and batch norm offer, codebooks,
/// and all of these beside sequences. The last is the claim.
fn schemes(bench: &Bench<'_>) -> Result<[Scheme; 4]> {
    let codes = &CODES[CODES.len() - bench.context.size(CODES.len(), 1)..];
    let eccs = codes.iter().map(|code| Ok(code.parse()?)).collect::<Result<Vec<Ecc>>>()?;
    let batch_norm = bench.net.has_batch_norm();
    let recalibration = if batch_norm { Recalibration::BatchNorm } else { Recalibration::None };
    let raw = Scheme { eccs, code: Code::AnyWidth, ..Scheme::tac() };
    let bayes = Scheme {
        allocator: Allocator::Tac(Score::Measured),
        decoder: Decoder::BayesGain,
        scale: ScalePolicy::MinMse,
        recalibration,
        ..raw.clone()
    };
    let words = Scheme { code: Code::Codebook, ..bayes.clone() };
    let any = Scheme { code: Code::Mixed, ..bayes.clone() };
    Ok([raw, bayes, words, any])
}

/// What was measured of one network.
struct Measured<'a> {
    bench: Bench<'a>,
    clean: f64,
    /// By flip probability, that of the network first, then by scheme.
    needed: Vec<Needed>,
    hardened: Hardened,
    sweep: Sweep,
}

impl Measured<'_> {
    /// The last scheme at the network's own flip probability.
    fn codec(&self) -> Result<&Needed> {
        let p = self.bench.net.flip_probability();
        self.needed.iter().rfind(|needed| needed.stored.p == p).context("nothing was tried")
    }
}

fn outcome(measured: &Measured<'_>) -> Result<Outcome> {
    let codec = measured.codec()?;
    Ok(Outcome {
        claims: vec![claim(measured, codec)?],
        method: method(measured, codec),
        figures: vec![measured.sweep.figure(&measured.bench, measured.clean)],
        tables: vec![
            needed::table(measured),
            measured.sweep.table(measured.bench.net, measured.clean),
            needed::layers(measured.bench.net, codec),
        ],
    })
}

fn claim(measured: &Measured<'_>, codec: &Needed) -> Result<Claim> {
    let Measured { bench, clean, needed, hardened, sweep } = measured;
    let net = bench.net;
    let seed = Seed(bench.context.seed.0);
    let interval = bootstrap(codec.search.patterns.count as usize, 2000, seed, |patterns| {
        Ok(codec.per_weight(codec.search.cost_over(patterns)))
    })?;
    let detail = |needed: &Needed| {
        json!({ "scheme": needed.stored.scheme.to_string(), "p": needed.stored.p,
            "bits_per_weight": needed.bits(), "missed": needed.search.missed,
            "fresh_accuracy": needed.search.fresh.value, "patterns": needed.search.patterns.count })
    };
    Ok(Claim {
        id: format!("ours.codec.{}", net.id()),
        source: Source::Ours,
        statement: format!(
            "{:.0} stored bits per weight on average, everything included, are enough for {} to \
             keep 95 % of its clean accuracy at p = {}, with no bit protected ideally.",
            goal(net),
            net.title(),
            codec.stored.p
        ),
        expected: format!("at most {:.0} (a goal of ours)", goal(net)),
        measured: codec.bits(),
        unit: "bits/weight".into(),
        interval,
        n: u64::from(codec.search.patterns.count),
        verdict: Verdict::New,
        details: json!({
            "clean_accuracy": clean,
            "weights": codec.stored.model.weights(),
            "goal_met": !codec.search.missed && codec.bits() <= goal(net),
            "needed": needed.iter().map(detail).collect::<Vec<_>>(),
            "trained_with_bit_errors": {
                "clean_accuracy": hardened.clean,
                "needed": hardened.needed.iter().map(detail).collect::<Vec<_>>(),
            },
            "falls_at": sweep.falls(*clean).into_iter().collect::<BTreeMap<_, _>>(),
        }),
    })
}

fn method(measured: &Measured<'_>, codec: &Needed) -> Vec<String> {
    let bench = &measured.bench;
    let mut method = vec![
        "Every stored bit is counted. Those of the weights, check bits and copies may all flip; \
         scales, steps and fitted numbers lie beside them and are read without faults. Biases and \
         norm parameters are not stored as codes. Layers get different numbers of bits by the \
         solver of TAC. No labels and no retraining."
            .into(),
        format!(
            "“TAC, raw” spends bits on quantized words of 2 to 8 bits and on real codes for their top \
             bits: {}. The next row reads them by Bayes tables, at the min-MSE scale. “Codebook” are \
             channel-optimised codebooks (COSQ) of 1 to 8 bits, one weight at a time. “Mixed” takes \
             for each layer whatever its budget does most with: quantized words, a codebook, or a \
             block code, in which a whole layer is entropy coded and then error corrected, in 1 to 8 \
             bits a weight.",
            CODES.join(", ")
        ),
        format!(
            "A layer's score is its Jacobian norm, corrected by what the layer does when it alone is \
             read with faults (measured; codebooks of 8 bits where codebooks may be taken); TAC, raw has \
             the linear score. A budget is found by bisection and confirmed under as many fresh \
             fault patterns: {} patterns, and {} for the claim and for the mixed codes after training with \
             bit errors. A stored bit meets the same faults in every scheme. The interval is a \
             bootstrap over patterns among the budgets that were tried.",
            bench.few, codec.search.patterns.count
        ),
        training(measured),
    ];
    if bench.net.has_batch_norm() {
        method.push(
            "Batch norm is recalibrated on the calibration images under the faults, without labels, in \
             all schemes but the raw one."
                .into(),
        );
    } else {
        method.push("Logits are not recalibrated here, unlike in qtaml.tac and ours.bayes.".into());
    }
    method
}

/// What it brings to train with bit errors.
fn training(measured: &Measured<'_>) -> String {
    let Measured { bench, clean, needed, hardened, .. } = measured;
    let compared: Vec<String> = hardened
        .needed
        .iter()
        .filter_map(|after| {
            let (scheme, p) = (&after.stored.scheme, after.stored.p);
            let same = |n: &&Needed| n.stored.scheme == *scheme && n.stored.p == p;
            let before = needed.iter().find(same)?;
            Some(format!("{} (“{scheme}”; plain: {})", after.in_words(), before.in_words()))
        })
        .collect();
    format!(
        "Trained again from the same start in as many steps, with {:.0} % of the bits of its INT8 \
         words flipped anew in every step and gradients passed straight through, the network has \
         {:.1} % without faults, the plain one {:.1} %. It is stored in the same ways at p = {} and \
         judged by the same accuracy, 95 % of the plain one's, under the same patterns. Stored bits \
         per weight: {}. The claim and all else here are about the plain network.",
        100.0 * TRAINING_FLIPS,
        100.0 * hardened.clean,
        100.0 * clean,
        bench.net.flip_probability(),
        compared.join("; "),
    )
}
