//! Networks trained with noise and without, at few bits and under bit errors.

use anyhow::Result;
use qtaml::physics::XI;
use qtaml::quant::BitWidth;
use qtaml::train::qat::{FakeQuant, Gaussian, QatMethod, T0};
use serde::Serialize;

use super::{FLIPS, GAUSSIAN, LOW_WIDTHS, PLAIN, SHOWN_FLIPS, STE, STRENGTHS, TUNED, WIDTHS};
use crate::context::Context;
use crate::stats::{Look, Mean, Paired, holm, mean_at};
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::{self, AS_PUBLISHED, Candidate, HELD_OUT, Setting, published_t0};

/// All numbers of one network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) net: Net,
    pub(super) look: Look,
    pub(super) networks: qat_nets::Measured,
    /// The chosen strengths of ξ-scaled and of Gaussian noise, and the seeds that chose.
    pub(super) strengths: [f64; 2],
    pub(super) tuned_on: usize,
    /// What tuned ξ-scaled noise gains over plain training, over Gaussian noise and over STE, without faults in
    /// points, in the mean over the widths that the source names.
    pub(super) gains: [Mean; 3],
    /// The same noise as published over plain training.
    pub(super) published: Mean,
    /// Tuned ξ-scaled noise against both comparators, setting by setting.
    pub(super) tests: Vec<Test>,
}

/// What tuned noise is compared with, in the order of the gains.
pub(super) const AGAINST: [&str; 3] = [PLAIN, GAUSSIAN, STE];

impl Measured {
    /// The id of the claim.
    pub(super) fn id(&self) -> String {
        format!("t0.vision.{}", self.net.id())
    }

    /// The comparator that does better: standard training with empirical noise, or with rounding.
    pub(super) fn comparator(&self) -> usize {
        // The smaller gain is over the better one.
        if self.gains[1].value < self.gains[2].value { 1 } else { 2 }
    }
}

/// ξ-scaled noise against another method in one setting, in points.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Test {
    pub(super) setting: Setting,
    pub(super) against: &'static str,
    pub(super) paired: Paired,
    /// Of the t-test, corrected for all settings and methods.
    pub(super) p: f64,
}

/// Measures one network.
pub(super) fn measure(context: &Context, net: Net, look: Look) -> Result<Measured> {
    let tuned_on = context.size(2, 1);
    let strengths = tuned(context, net, tuned_on)?;
    let seeds = 0..look.trainings;
    let networks = qat_nets::Measured::new(context, net, &candidates(strengths)?, seeds)?;
    let [plain, gaussian, ste] = AGAINST.map(|other| gain(&networks, TUNED, other, look.level));
    Ok(Measured {
        net,
        look,
        strengths,
        tuned_on,
        gains: [plain?, gaussian?, ste?],
        published: gain(&networks, AS_PUBLISHED, PLAIN, look.level)?,
        tests: tests(&networks)?,
        networks,
    })
}

/// Noise with this standard deviation of weights as they are, which ξ scales to.
fn scaled(deviation: f64) -> QatMethod {
    QatMethod::T0(T0 { scaling: deviation / XI, relative: false })
}

fn gaussian(deviation: f64) -> QatMethod {
    QatMethod::Gaussian(Gaussian { sigma_relative: deviation })
}

/// The strengths of both kinds of noise that keep most at low widths, on seeds that judge nothing.
fn tuned(context: &Context, net: Net, seeds: usize) -> Result<[f64; 2]> {
    let strengths = &STRENGTHS[..context.size(STRENGTHS.len(), 2)];
    let settings = settings(&LOW_WIDTHS, &[0.0])?;
    let of_kind = |method: fn(f64) -> QatMethod| -> Result<f64> {
        let (mut best, mut most) = (strengths[0], f64::NEG_INFINITY);
        for &strength in strengths {
            let candidate =
                Candidate { name: TUNED, method: method(strength), settings: settings.clone() };
            let seeds = HELD_OUT..HELD_OUT + seeds;
            let found = qat_nets::Measured::new(context, net, &[candidate], seeds)?;
            let accuracies = settings.iter().map(|setting| found.of(TUNED, *setting));
            let all: f64 = accuracies.map(|of| Ok(of?.iter().sum::<f64>())).sum::<Result<f64>>()?;
            if all > most {
                (best, most) = (strength, all);
            }
        }
        Ok(best)
    };
    Ok([of_kind(scaled)?, of_kind(gaussian)?])
}

fn settings(widths: &[u32], flips: &[f64]) -> Result<Vec<Setting>> {
    let widths = widths.iter().map(|&bits| BitWidth::new(bits));
    let widths = widths.collect::<Result<Vec<_>, _>>()?;
    let setting = |&bits: &BitWidth| flips.iter().map(move |&p| Setting::raw(bits, p));
    Ok(widths.iter().flat_map(setting).collect())
}

/// Four methods that do not know the width, and one that is trained for each low width.
fn candidates([scale, sigma]: [f64; 2]) -> Result<Vec<Candidate>> {
    let all = settings(&WIDTHS, &FLIPS)?;
    let methods = [
        (PLAIN, QatMethod::None),
        (AS_PUBLISHED, published_t0()),
        (TUNED, scaled(scale)),
        (GAUSSIAN, gaussian(sigma)),
    ];
    let mut candidates: Vec<Candidate> = methods
        .into_iter()
        .map(|(name, method)| Candidate { name, method, settings: all.clone() })
        .collect();
    for bits in LOW_WIDTHS {
        let method = QatMethod::FakeQuant(FakeQuant::new(BitWidth::new(bits)?));
        candidates.push(Candidate { name: STE, method, settings: settings(&[bits], &FLIPS)? });
    }
    Ok(candidates)
}

fn gain(networks: &qat_nets::Measured, name: &str, other: &str, level: f64) -> Result<Mean> {
    let mut gains = vec![0.0; networks.seeds];
    for bits in LOW_WIDTHS {
        let setting = Setting::raw(BitWidth::new(bits)?, 0.0);
        let [of_it, of_other] = [name, other].map(|name| networks.of(name, setting));
        for (gain, (a, b)) in gains.iter_mut().zip(of_it?.iter().zip(of_other?)) {
            *gain += 100.0 * (a - b) / LOW_WIDTHS.len() as f64;
        }
    }
    mean_at(&gains, level)
}

fn tests(networks: &qat_nets::Measured) -> Result<Vec<Test>> {
    let mut all = Vec::new();
    for setting in settings(&LOW_WIDTHS, &SHOWN_FLIPS)? {
        for against in [GAUSSIAN, STE] {
            all.push((setting, against, networks.points(TUNED, against, setting)?));
        }
    }
    let corrected = holm(&all.iter().map(|(.., test)| test.t_test).collect::<Vec<_>>());
    let all = all.into_iter().zip(corrected);
    Ok(all.map(|((setting, against, paired), p)| Test { setting, against, paired, p }).collect())
}
