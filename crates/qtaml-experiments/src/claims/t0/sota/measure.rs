//! Nine methods of training, in memories of many flip probabilities.

use anyhow::{Context as _, Result};
use qtaml::physics::FlipProbability;
use qtaml::train::qat::{BitErrors, FakeQuant, Lsq, QatMethod, T0, WkbNoise};
use serde::Serialize;

use super::{BITS, CLEAN, FLIPS, JUDGED, STE};
use crate::context::Context;
use crate::stats::{Look, Paired, holm};
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::{
    self, AS_PUBLISHED, Candidate, MATCHED, Reading, Setting, TRAINING_FLIPS, matched_t0,
    published_t0,
};

/// The range that clipping leaves, of the largest weight (ours).
const CLIP: f32 = 0.5;

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) look: Look,
    pub(super) names: Vec<&'static str>,
    pub(super) networks: qat_nets::Measured,
    pub(super) matched: T0,
    /// Matched noise against STE, where methods are compared, in points.
    pub(super) gain: Paired,
    /// The most accurate method there, and how far it is ahead of matched noise.
    pub(super) best: &'static str,
    pub(super) lead: Paired,
    /// Matched noise against each other method there.
    pub(super) tests: Vec<Test>,
}

/// Matched noise against another method, in points.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Test {
    pub(super) other: &'static str,
    pub(super) paired: Paired,
    /// Of the t-test, corrected for all methods.
    pub(super) p: f64,
}

/// Measures the claim.
pub(super) fn measure(context: &Context, look: Look) -> Result<Measured> {
    let candidates: Vec<Candidate> = methods()?
        .into_iter()
        .map(|(name, method)| Candidate { name, method, settings: settings() })
        .collect();
    let seeds = 0..look.trainings;
    let networks = qat_nets::Measured::new(context, Net::LeNet, &candidates, seeds)?;
    let names: Vec<_> = candidates.iter().map(|candidate| candidate.name).collect();
    let best = best(&networks, &names)?;
    Ok(Measured {
        look,
        matched: matched_t0()?,
        gain: networks.points_at(MATCHED, STE, JUDGED, look.level)?,
        best,
        lead: networks.points(best, MATCHED, JUDGED)?,
        tests: tests(&networks, &names)?,
        names,
        networks,
    })
}

fn methods() -> Result<[(&'static str, QatMethod); 9]> {
    let flips = FlipProbability::symmetric(TRAINING_FLIPS)?;
    let (ste, errors) = (FakeQuant::new(BITS), BitErrors::new(BITS, flips));
    let clip = Some(CLIP);
    Ok([
        ("plain, rounded afterwards", QatMethod::None),
        (AS_PUBLISHED, published_t0()),
        (MATCHED, QatMethod::T0(matched_t0()?)),
        (STE, QatMethod::FakeQuant(ste)),
        ("LSQ", QatMethod::Lsq(Lsq::new(BITS))),
        ("STE, clipped", QatMethod::FakeQuant(FakeQuant { clip, ..ste })),
        ("bit errors", QatMethod::BitErrors(errors)),
        ("bit errors, clipped", QatMethod::BitErrors(BitErrors { clip, ..errors })),
        ("WKB noise", QatMethod::WkbNoise(WkbNoise::new(BITS, flips))),
    ])
}

fn settings() -> Vec<Setting> {
    let readings = [Reading::Raw, Reading::Bayes, Reading::Tac];
    let faulty = readings.map(|reading| FLIPS.map(|p| Setting { bits: BITS, p, reading }));
    std::iter::once(CLEAN).chain(faulty.into_iter().flatten()).collect()
}

/// The method with the best accuracy where methods are compared.
fn best(networks: &qat_nets::Measured, names: &[&'static str]) -> Result<&'static str> {
    let mut best: Option<(f64, &str)> = None;
    for &name in names {
        let value = networks.percent(name, JUDGED)?.value;
        if best.is_none_or(|(most, _)| value > most) {
            best = Some((value, name));
        }
    }
    Ok(best.context("no methods")?.1)
}

fn tests(networks: &qat_nets::Measured, names: &[&'static str]) -> Result<Vec<Test>> {
    let others: Vec<_> = names.iter().copied().filter(|name| *name != MATCHED).collect();
    let tests = others.iter().map(|other| networks.points(MATCHED, other, JUDGED));
    let tests = tests.collect::<Result<Vec<Paired>>>()?;
    let corrected = holm(&tests.iter().map(|test| test.t_test).collect::<Vec<_>>());
    let all = others.into_iter().zip(tests).zip(corrected);
    Ok(all.map(|((other, paired), p)| Test { other, paired, p }).collect())
}
