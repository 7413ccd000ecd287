//! Accuracy where the lowest bits of all weights are random, by the method that trained them.

use anyhow::Result;
use qtaml::quant::BitWidth;
use qtaml::train::qat::QatMethod;
use serde::Serialize;

use super::{LOWER, PLAIN, RANDOM};
use crate::context::Context;
use crate::stats::{Look, Mean, mean_at};
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::{
    self, AS_PUBLISHED, Candidate, MATCHED, Reading, Setting, matched_t0, published_t0,
};

/// The network that is trained.
pub(super) const NET: Net = Net::LeNet;

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) look: Look,
    pub(super) networks: qat_nets::Measured,
    /// How many points more a plain network loses to random lower bits than one trained with noise as
    /// published, and with matched noise.
    pub(super) ignored: [Mean; 2],
}

/// INT8 with so many random bits.
pub(super) fn setting(count: u32) -> Setting {
    let reading = if count == 0 { Reading::Raw } else { Reading::LowBits(count) };
    Setting { bits: BitWidth::INT8, p: 0.0, reading }
}

pub(super) fn measure(context: &Context, look: Look) -> Result<Measured> {
    let networks = qat_nets::Measured::new(context, NET, &candidates()?, 0..look.trainings)?;
    let [published, matched] =
        [AS_PUBLISHED, MATCHED].map(|name| ignored(&networks, name, look.level));
    Ok(Measured { look, ignored: [published?, matched?], networks })
}

fn candidates() -> Result<Vec<Candidate>> {
    let settings: Vec<Setting> = [0].iter().chain(&RANDOM).map(|&count| setting(count)).collect();
    let methods = [
        (PLAIN, QatMethod::None),
        (AS_PUBLISHED, published_t0()),
        (MATCHED, QatMethod::T0(matched_t0()?)),
    ];
    let candidate = |(name, method)| Candidate { name, method, settings: settings.clone() };
    Ok(methods.into_iter().map(candidate).collect())
}

/// How many points less a method's networks lose than plain ones, seed by seed in the mean over the numbers
/// of random bits.
fn ignored(networks: &qat_nets::Measured, name: &str, level: f64) -> Result<Mean> {
    let lost = |name: &str| -> Result<Vec<f64>> {
        let whole = networks.of(name, setting(0))?;
        let mut lost = vec![0.0; whole.len()];
        for count in LOWER {
            for ((lost, whole), read) in
                lost.iter_mut().zip(whole).zip(networks.of(name, setting(count))?)
            {
                *lost += 100.0 * (whole - read) / LOWER.len() as f64;
            }
        }
        Ok(lost)
    };
    let differences =
        lost(PLAIN)?.iter().zip(lost(name)?).map(|(plain, own)| plain - own).collect::<Vec<_>>();
    mean_at(&differences, level)
}
