//! Networks trained with noise and without, at few bits and under bit errors.

use anyhow::Result;
use qtaml::quant::BitWidth;
use qtaml::train::qat::{FakeQuant, QatMethod, T0};
use serde::Serialize;

use super::{FLIPS, LOW_WIDTHS, PLAIN, SHOWN_FLIPS, STE, WIDTHS};
use crate::context::Context;
use crate::stats::{Mean, Paired, holm, mean};
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::{
    self, AS_PUBLISHED, Candidate, MATCHED, Setting, matched_t0, published_t0,
};

/// All numbers of one network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) net: Net,
    pub(super) networks: qat_nets::Measured,
    pub(super) matched: T0,
    /// What matched noise, noise as published and STE gain over plain training without faults in
    /// points, in the mean over the widths that the source names.
    pub(super) gain: Mean,
    pub(super) published: Mean,
    pub(super) ste: Mean,
    /// Matched noise against plain training, setting by setting.
    pub(super) tests: Vec<Test>,
}

impl Measured {
    /// The id of the claim.
    pub(super) fn id(&self) -> String {
        format!("t0.vision.{}", self.net.id())
    }
}

/// Matched noise against plain training in one setting, in points.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Test {
    pub(super) setting: Setting,
    pub(super) paired: Paired,
    /// Of the t-test, corrected for all settings.
    pub(super) p: f64,
}

/// Measures one network.
pub(super) fn measure(context: &Context, net: Net) -> Result<Measured> {
    let networks = qat_nets::Measured::new(context, net, &candidates()?, context.size(3, 2))?;
    Ok(Measured {
        net,
        matched: matched_t0()?,
        gain: gain(&networks, MATCHED)?,
        published: gain(&networks, AS_PUBLISHED)?,
        ste: gain(&networks, STE)?,
        tests: tests(&networks)?,
        networks,
    })
}

fn settings(widths: &[u32], flips: &[f64]) -> Result<Vec<Setting>> {
    let widths = widths.iter().map(|&bits| BitWidth::new(bits));
    let widths = widths.collect::<Result<Vec<_>, _>>()?;
    let setting = |&bits: &BitWidth| flips.iter().map(move |&p| Setting::raw(bits, p));
    Ok(widths.iter().flat_map(setting).collect())
}

/// Three methods that do not know the width, and one that is trained for each low width.
fn candidates() -> Result<Vec<Candidate>> {
    let all = settings(&WIDTHS, &FLIPS)?;
    let methods = [
        (PLAIN, QatMethod::None),
        (AS_PUBLISHED, published_t0()),
        (MATCHED, QatMethod::T0(matched_t0()?)),
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

fn gain(networks: &qat_nets::Measured, name: &str) -> Result<Mean> {
    let mut gains = vec![0.0; networks.seeds];
    for bits in LOW_WIDTHS {
        let setting = Setting::raw(BitWidth::new(bits)?, 0.0);
        let [of_it, of_plain] = [name, PLAIN].map(|name| networks.of(name, setting));
        for (gain, (a, b)) in gains.iter_mut().zip(of_it?.iter().zip(of_plain?)) {
            *gain += 100.0 * (a - b) / LOW_WIDTHS.len() as f64;
        }
    }
    mean(&gains)
}

fn tests(networks: &qat_nets::Measured) -> Result<Vec<Test>> {
    let settings = settings(&WIDTHS, &SHOWN_FLIPS)?;
    let tests = settings.iter().map(|&setting| networks.points(MATCHED, PLAIN, setting));
    let tests = tests.collect::<Result<Vec<_>>>()?;
    let corrected = holm(&tests.iter().map(|test| test.t_test).collect::<Vec<_>>());
    let all = settings.into_iter().zip(tests).zip(corrected);
    Ok(all.map(|((setting, paired), p)| Test { setting, paired, p }).collect())
}
