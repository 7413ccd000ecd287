//! `qtaml.tac.<net>`: the overhead of TAC against that of the same number of bits everywhere.

pub mod bench;
pub mod budget;
pub mod code;
mod figures;
pub mod scheme;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder, Score};
use qtaml::deploy::{Granularity, Recalibration};
use qtaml::fault::Seed;
use qtaml::quant::Encoding;
use qtaml::train::Classifier;
use serde_json::json;

pub use self::figures::percent;

use self::bench::{Bench, PROJECTIONS, Stored};
use self::budget::{Found, judge as judge_budget, smallest};
use self::scheme::{Allocator, Scheme};
use crate::context::Context;
use crate::results::{Claim, Outcome, Source, Verdict};
use crate::stats::{bootstrap, judge};
use crate::workloads::networks::{Net, Trained, WithNet};

/// The share of clean accuracy that has to be kept.
pub const TARGET: f64 = 0.95;
/// The source: at least so many times less overhead than Uniform-MSP, up to 33.6 times.
const SOURCE_LEAST: f64 = 3.4;

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    net.with(context, Measure)
}

struct Measure;

impl WithNet for Measure {
    type Out = Outcome;

    fn run<M: Classifier>(self, context: &Context, trained: Trained<M>) -> Result<Outcome> {
        let all_images = trained.data.test.len();
        let whole = trained.accuracy(context)?;
        let bench = Bench::new(context, trained)?;
        let [float, clean] = bench.clean(&Scheme::uniform())?;
        // A smoke run tries the named ones and the last of each kind.
        let mut schemes = schemes(bench.net);
        if context.smoke {
            schemes = [0, 1, 2, 3, schemes.len() - 1].map(|i| schemes[i].clone()).to_vec();
        }
        let tried: Vec<Tried> = schemes
            .iter()
            .map(|scheme| Tried::new(&bench, scheme, clean))
            .collect::<Result<_>>()?;
        let best = best(&tried)?;
        let mut trials = Trials { bench, all_images, whole, float, clean, tried, best, alike: 0 };
        trials.judge()?;
        trials.outcome()
    }
}

/// Everything that is compared: the baseline first, each idea alone, then together.
fn schemes(net: Net) -> Vec<Scheme> {
    let (uniform, tac) = (Scheme::uniform, Scheme::tac);
    let measured = Allocator::Tac(Score::Measured);
    let gain = || Scheme { decoder: Decoder::BayesGain, scale: ScalePolicy::MinMse, ..tac() };
    let channels = || Scheme { granularity: Granularity::Channel, ..gain() };
    let mut schemes = vec![
        uniform(),
        Scheme { decoder: Decoder::Affine, ..uniform() },
        Scheme { allocator: Allocator::Uniform, ..gain() },
        tac(),
        Scheme { decoder: Decoder::Affine, ..tac() },
        Scheme { decoder: Decoder::LinearMmse, ..tac() },
        Scheme { decoder: Decoder::Bayes, ..tac() },
        Scheme { decoder: Decoder::BayesGain, ..tac() },
        Scheme { scale: ScalePolicy::MinMse, ..tac() },
        Scheme { allocator: measured, ..tac() },
        Scheme { granularity: Granularity::Channel, ..tac() },
        Scheme { granularity: Granularity::Channel, scale: ScalePolicy::PerGroup, ..tac() },
        Scheme { encoding: Encoding::SignMagnitude, decoder: Decoder::BayesGain, ..tac() },
        gain(),
        Scheme { allocator: measured, ..gain() },
        channels(),
        Scheme { allocator: measured, ..channels() },
    ];
    if net.has_batch_norm() {
        schemes.extend([
            Scheme { recalibration: Recalibration::BatchNorm, ..uniform() },
            Scheme { recalibration: Recalibration::BatchNorm, ..tac() },
            Scheme { recalibration: Recalibration::BatchNorm, ..channels() },
            Scheme { recalibration: Recalibration::BatchNorm, allocator: measured, ..channels() },
        ]);
    } else {
        schemes.extend(
            [uniform(), tac(), gain(), channels()]
                .map(|scheme| Scheme { recalibration: Recalibration::Logits, ..scheme }),
        );
    }
    schemes
}

/// One scheme, and the budget that it needs.
struct Tried {
    stored: Stored,
    unprotected: f64,
    /// Under the patterns that all schemes are compared by.
    compared: Found,
    /// Under those that judge, for the few that ratios are made of.
    judged: Option<Found>,
}

impl Tried {
    fn new(bench: &Bench<'_>, scheme: &Scheme, clean: f64) -> Result<Self> {
        let stored =
            bench.store(scheme, bench.net.flip_probability(), Accounting::ProtectedBits)?;
        let none = bench.accuracies(&stored, &stored.model.uniform(0), 0..bench.few)?;
        let unprotected = none.iter().sum::<f64>() / none.len() as f64;
        let compared = smallest(bench, &stored, TARGET * clean, bench.few)?;
        Ok(Self { stored, unprotected, compared, judged: None })
    }

    /// What counts: the judgement, if there is one.
    fn search(&self) -> &Found {
        self.judged.as_ref().unwrap_or(&self.compared)
    }

    /// Protected bits over all weight bits. One that needs none is counted with a single bit, so
    /// that ratios stay finite.
    fn overhead(&self) -> f64 {
        self.overhead_of(self.search().cost)
    }

    fn overhead_of(&self, cost: u64) -> f64 {
        cost.max(1) as f64 / self.stored.weight_bits()
    }

    /// Scales and what decoders know, over all weight bits, as far as the baseline does not have
    /// them: one scale for each tensor.
    fn side_overhead(&self, baseline: &Self) -> f64 {
        (self.metadata_bits() - baseline.metadata_bits()) / self.stored.weight_bits()
    }

    /// Protected bits, and those.
    fn overhead_with_side(&self, baseline: &Self) -> f64 {
        self.overhead() + self.side_overhead(baseline)
    }

    fn metadata_bits(&self) -> f64 {
        let units = self.stored.model.groups().iter();
        let side = units.zip(&self.search().selection);
        let side: u64 =
            side.map(|(unit, &choice)| unit.candidates[choice as usize].metadata_bits()).sum();
        (side + self.stored.recalibration_bits) as f64
    }

    fn is_tac(&self) -> bool {
        matches!(self.stored.scheme.allocator, Allocator::Tac(_))
    }
}

/// The scheme that needs least protection.
fn best(tried: &[Tried]) -> Result<usize> {
    let reached = (0..tried.len()).filter(|&i| tried[i].is_tac() && !tried[i].search().missed);
    reached
        .min_by(|&a, &b| tried[a].overhead().total_cmp(&tried[b].overhead()))
        .context("no scheme reaches the target, not even with every bit protected")
}

struct Trials<'a> {
    bench: Bench<'a>,
    /// The test images there are, of which some judge.
    all_images: usize,
    /// Accuracy in floating point on all of them.
    whole: f64,
    /// On those that judge.
    float: f64,
    clean: f64,
    tried: Vec<Tried>,
    best: usize,
    /// The baseline that reads as the best does.
    alike: usize,
}

/// A ratio of overheads.
struct Gain {
    ratio: f64,
    interval: [f64; 2],
}

/// What the source's range says of it. More than the source's best would not speak against it.
fn verdict(gain: &Gain) -> Verdict {
    judge(gain.interval, [SOURCE_LEAST, f64::INFINITY], 1.0)
}

/// Where TAC as derived stands among the schemes.
const DERIVED: usize = 3;

impl Trials<'_> {
    fn baseline(&self) -> &Tried {
        &self.tried[0]
    }

    fn derived(&self) -> &Tried {
        &self.tried[DERIVED]
    }

    fn best(&self) -> &Tried {
        &self.tried[self.best]
    }

    fn alike(&self) -> &Tried {
        &self.tried[self.alike]
    }

    /// Those that the ratios are made of are judged by more patterns, none of which chose the best:
    /// the baseline, TAC as derived, the best, and the baseline with all that is not allocation from
    /// the best.
    fn judge(&mut self) -> Result<()> {
        let alike = Scheme { allocator: Allocator::Uniform, ..self.best().stored.scheme.clone() };
        let known = self.tried.iter().position(|tried| tried.stored.scheme == alike);
        self.alike = known.unwrap_or(self.tried.len());
        if known.is_none() {
            self.tried.push(Tried::new(&self.bench, &alike, self.clean)?);
        }
        for i in BTreeSet::from([0, DERIVED, self.best, self.alike]) {
            let Tried { stored, compared, .. } = &self.tried[i];
            let (target, patterns) = (TARGET * self.clean, self.bench.patterns);
            let search = judge_budget(&self.bench, stored, target, patterns, compared.bracket)?;
            self.tried[i].judged = Some(search);
        }
        Ok(())
    }

    /// How many times less than the baseline a scheme needs, both under the same patterns.
    fn ratio_of(&self, tried: &Tried) -> f64 {
        let baseline = match tried.judged {
            Some(_) => self.baseline().overhead(),
            None => self.baseline().overhead_of(self.baseline().compared.cost),
        };
        baseline / tried.overhead()
    }

    /// How many times less one needs than another, with the 95 % interval over fault patterns: whole
    /// patterns are drawn again, and every scheme sees the same ones.
    fn gain(&self, tried: &Tried, over: &Tried) -> Result<Gain> {
        let (patterns, seed) = (self.bench.patterns as usize, Seed(self.bench.context.seed.0));
        let interval = bootstrap(patterns, 2000, seed, |patterns| {
            let overhead = |tried: &Tried| tried.overhead_of(tried.search().cost_over(patterns));
            Ok(overhead(over) / overhead(tried))
        })?;
        Ok(Gain { ratio: over.overhead() / tried.overhead(), interval })
    }

    fn outcome(&self) -> Result<Outcome> {
        let allocation = self.gain(self.best(), self.alike())?;
        let derived = self.gain(self.derived(), self.baseline())?;
        Ok(Outcome {
            claims: vec![self.claim(&allocation, &derived)?],
            method: self.method(&allocation, &derived),
            figures: figures::all(self)?,
            tables: figures::tables(self)?,
        })
    }

    fn claim(&self, allocation: &Gain, derived: &Gain) -> Result<Claim> {
        let (best, gain) = (self.best(), self.gain(self.best(), self.baseline())?);
        let schemes: serde_json::Map<_, _> = self
            .tried
            .iter()
            .map(|tried| {
                let found = json!({ "overhead": tried.overhead(), "ratio": self.ratio_of(tried),
                    "side_overhead": tried.side_overhead(self.baseline()),
                    "overhead_with_side": tried.overhead_with_side(self.baseline()),
                    "unprotected": tried.unprotected, "fresh_accuracy": tried.search().fresh.value,
                    "patterns": tried.search().patterns.count, "missed": tried.search().missed });
                (tried.stored.scheme.to_string(), found)
            })
            .collect();
        let p = self.bench.net.flip_probability();
        Ok(Claim {
            id: format!("qtaml.tac.{}", self.bench.net.id()),
            source: Source::Qtaml,
            statement: format!(
                "At p = {p}, TAC keeps 95 % of the clean accuracy of a network like {} with several \
                 times less protection overhead than Uniform-MSP, without retraining, labels or \
                 cost at inference.",
                self.bench.net.title()
            ),
            expected: "3.4 to 33.6 times less".into(),
            measured: gain.ratio,
            unit: "ratio".into(),
            interval: gain.interval,
            n: u64::from(self.bench.patterns),
            verdict: verdict(&gain),
            details: json!({
                "flip_probability": p,
                "accuracy_on_all_test_images": self.whole,
                "all_test_images": self.all_images,
                "float_accuracy": self.float,
                "clean_accuracy": self.clean,
                "target_accuracy": TARGET * self.clean,
                "test_images": self.bench.test_images(),
                "weights": self.baseline().stored.model.weights(),
                "best": best.stored.scheme.to_string(),
                "as_derived": derived.ratio,
                "as_derived_interval": derived.interval,
                "as_derived_verdict": verdict(derived),
                "same_decoder": self.alike().stored.scheme.to_string(),
                "over_same_decoder": allocation.ratio,
                "over_same_decoder_interval": allocation.interval,
                "schemes": schemes,
            }),
        })
    }

    fn method(&self, allocation: &Gain, derived: &Gain) -> Vec<String> {
        let (tac, baseline, best) = (self.derived(), self.baseline(), self.best());
        vec![
            format!(
                "{}, trained here from the run's seed on {}, {} weights stored as INT8 two's \
                 complement. Accuracy on all {} test images: {:.1} %; on the {} that judge: {:.1} % in \
                 floating point, {:.1} % quantized, which is “clean”. Biases and norm parameters are \
                 not stored as codes.",
                self.bench.net.title(),
                self.bench.images,
                baseline.stored.model.weights(),
                self.all_images,
                100.0 * self.whole,
                self.bench.test_images(),
                100.0 * self.float,
                100.0 * self.clean
            ),
            format!(
                "Protection is ideal: a protected bit never flips, and overhead is protected bits over \
                 all weight bits. Uniform-MSP protects the same number k of most significant bits in \
                 every layer; it can only move in steps of one bit of every weight, an eighth of all \
                 bits, and that coarseness is part of the baseline. TAC minimises the predicted output \
                 distortion Σ ||J||² mse(k) with ||J||² estimated from the calibration images by \
                 {PROJECTIONS} random projections, without labels, and mse(k) exact for the stored \
                 codes. The formula behind the source's allocation is not in its abstract; this \
                 derivation is ours."
            ),
            format!(
                "TAC as derived reaches the target with {:.1} %, {:.1} times less [{:.1}, {:.1}]: by \
                 itself it would be judged as “{}”. Everything else in the table is ours, each idea alone \
                 and then together: decode tables that know how weights are distributed (Bayes, from two fitted numbers a group, with its gain \
                 corrected), the min-MSE scale under faults, sign-magnitude words, in which a \
                 flipped sign spares small weights, channels in place of layers, scores corrected by \
                 what each layer does when it alone is read with faults (measured sensitivity), and \
                 recalibration, a repair after each read that needs the calibration images and a \
                 forward pass, but no labels: of batch norm or, in networks without it, of the logits \
                 of each class, which get back the mean and deviation that they had. The best is “{}”, with {:.2} %. \
                 Uniform-MSP with the same decoder, ranges and repairs needs {:.1} %, which leaves allocation alone a ratio \
                 of {:.2} [{:.2}, {:.2}].",
                100.0 * tac.overhead(),
                derived.ratio,
                derived.interval[0],
                derived.interval[1],
                verdict(derived).label(),
                best.stored.scheme,
                100.0 * best.overhead(),
                100.0 * self.alike().overhead(),
                allocation.ratio,
                allocation.interval[0],
                allocation.interval[1],
            ),
            format!(
                "The source counts protected bits only. The best scheme's scales, fitted numbers and numbers that bring scores back take \
                 {:.1} % of all weight bits more than the baseline's scales; with them it needs {:.1} %, \
                 Uniform-MSP {:.1} %. The column “with scales and tables” has the same for every scheme, \
                 and ours.bayes finds the least storage with everything counted.",
                100.0 * best.side_overhead(baseline),
                100.0 * best.overhead_with_side(baseline),
                100.0 * baseline.overhead(),
            ),
            format!(
                "Every budget is tried under the same fault patterns. A scheme's budget is found by \
                 bisection along its path: the smallest whose mean accuracy reaches 95 % of clean, and \
                 does so again under as many others. Schemes are compared under {} and {0} patterns. \
                 Uniform-MSP, TAC as derived, the scheme that looks best and Uniform-MSP with the same \
                 decoder are then judged by {} and {1} that had no part in the comparison; ratios of \
                 the others are those of the comparison. The accuracies of the table are those under as \
                 many more patterns, which chose nothing. The interval of a ratio is a bootstrap over \
                 patterns among the budgets that were tried, up to one that surely is enough. Patterns \
                 are fresh at each stage, the images are not: the same ones compare and judge, and what \
                 other images or another training would give is not in the interval.",
                self.bench.few, self.bench.patterns
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a trial is kept under has the name of its scheme in it.
    #[test]
    fn schemes_have_names_of_their_own() {
        for net in Net::ALL {
            let schemes = schemes(net);
            let names: BTreeSet<String> = schemes.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), schemes.len(), "{names:?}");
            assert_eq!(schemes[DERIVED], Scheme::tac());
        }
    }
}
