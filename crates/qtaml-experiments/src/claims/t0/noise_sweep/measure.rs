//! What layers lose and networks keep that were trained with more and more noise.

use anyhow::Result;
use qtaml::physics::XI;
use qtaml::train::qat::{QatMethod, T0};
use serde::Serialize;

use super::{PUBLISHED, SCALINGS, SETTINGS};
use crate::context::Context;
use crate::stats::{Mean, Paired, bootstrap, holm, mean};
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::{self, Candidate, Setting};
use crate::workloads::regressions::{Losses, WIDTHS, layers};

/// One number of what a layer loses.
pub(super) type Loss = fn(&Losses) -> f64;

/// What is asked of the source's layer.
pub(super) const LOSSES: [(&str, Loss); 3] = [
    ("full precision", |losses| losses.full),
    ("under noise 0.5", |losses| losses.noisy),
    ("rounded to INT4", |losses| losses.rounded[INT4]),
];
const INT4: usize = {
    assert!(WIDTHS[1] == 4, "the second width is INT4");
    1
};

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// Tasks that layers were trained on, with every scaling.
    pub(super) tasks: usize,
    /// By scaling, what the source's layer loses, as in [`LOSSES`].
    pub(super) losses: Vec<[Mean; 3]>,
    /// Loss under noise at the published scaling over that without noise in training.
    pub(super) over_none: Ratio,
    /// The same over the mean of the next smaller and the next larger scaling.
    pub(super) over_neighbours: Ratio,
    pub(super) networks: qat_nets::Measured,
    /// By scaling, accuracy in percent in each of [`SETTINGS`].
    pub(super) accuracy: Vec<[Mean; 3]>,
    /// By setting: what each scaling but the first gains over it in points, and the p-value of that,
    /// corrected for all scalings.
    pub(super) gains: [Vec<(Paired, f64)>; 3],
}

/// A ratio of mean losses, with its interval over tasks.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Ratio {
    pub(super) value: f64,
    pub(super) interval: [f64; 2],
}

/// Measures the claim.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let layers = SCALINGS
        .iter()
        .map(|(s, name)| layers(context, &format!("linear layers, {name}"), (XI * s) as f32))
        .collect::<Result<Vec<_>>>()?;
    let networks = networks(context)?;
    let of = |scaling: &Vec<Losses>| -> Result<[Mean; 3]> {
        let [full, noisy, rounded] = LOSSES.map(|(_, of)| mean(&values(scaling, of)));
        Ok([full?, noisy?, rounded?])
    };
    Ok(Measured {
        tasks: layers[0].len(),
        losses: layers.iter().map(of).collect::<Result<_>>()?,
        over_none: ratio(context, &layers, &[0])?,
        over_neighbours: ratio(context, &layers, &[PUBLISHED - 1, PUBLISHED + 1])?,
        accuracy: SCALINGS
            .iter()
            .map(|(_, name)| accuracy(&networks, name))
            .collect::<Result<_>>()?,
        gains: gains(&networks)?,
        networks,
    })
}

fn networks(context: &Context) -> Result<qat_nets::Measured> {
    let candidate = |&(scaling, name): &(f64, &'static str)| Candidate {
        name,
        method: QatMethod::T0(T0 { scaling, relative: false }),
        settings: SETTINGS.map(|(_, setting)| setting).to_vec(),
    };
    let candidates: Vec<Candidate> = SCALINGS.iter().map(candidate).collect();
    qat_nets::Measured::new(context, Net::LeNet, &candidates, 0..context.size(5, 2))
}

fn values(losses: &[Losses], of: Loss) -> Vec<f64> {
    losses.iter().map(of).collect()
}

/// Mean loss under noise at the published scaling over that at others, in the mean.
fn ratio(context: &Context, layers: &[Vec<Losses>], others: &[usize]) -> Result<Ratio> {
    let noisy = LOSSES[1].1;
    let published = values(&layers[PUBLISHED], noisy);
    let others: Vec<Vec<f64>> = others.iter().map(|&i| values(&layers[i], noisy)).collect();
    let ratio = |seeds: &[usize]| {
        let sum = |losses: &[f64]| seeds.iter().map(|&i| losses[i]).sum::<f64>();
        let mean = others.iter().map(|l| sum(l)).sum::<f64>() / others.len() as f64;
        Ok(sum(&published) / mean)
    };
    let seeds: Vec<usize> = (0..published.len()).collect();
    Ok(Ratio {
        value: ratio(&seeds)?,
        interval: bootstrap(seeds.len(), 2000, context.seed, ratio)?,
    })
}

fn accuracy(networks: &qat_nets::Measured, name: &str) -> Result<[Mean; 3]> {
    let [first, second, third] = SETTINGS.map(|(_, setting)| networks.percent(name, setting));
    Ok([first?, second?, third?])
}

/// The gain of every network over those without noise, setting by setting.
fn gains(networks: &qat_nets::Measured) -> Result<[Vec<(Paired, f64)>; 3]> {
    let plain = SCALINGS[0].1;
    let of = |setting: Setting| -> Result<Vec<(Paired, f64)>> {
        let gain = |(_, name): &(f64, &str)| networks.points(name, plain, setting);
        let gains = SCALINGS[1..].iter().map(gain).collect::<Result<Vec<_>>>()?;
        let corrected = holm(&gains.iter().map(|gain| gain.t_test).collect::<Vec<_>>());
        Ok(gains.into_iter().zip(corrected).collect())
    };
    let [first, second, third] = SETTINGS.map(|(_, setting)| of(setting));
    Ok([first?, second?, third?])
}
