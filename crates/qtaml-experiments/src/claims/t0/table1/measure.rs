//! Losses of both methods over many seeds, as the source has them and with other choices.

use anyhow::Result;
use serde::Serialize;

use super::{SOURCE_BASELINE, SOURCE_T0};
use crate::context::Context;
use crate::stats::{Mean, Paired, holm, mean};
use crate::workloads::regressions::{
    Choices, Losses, Pair, WIDTHS, baseline_drop, pairs, ratio, t0_drop, values,
};

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// By seed.
    pub(super) pairs: Vec<Pair>,
    pub(super) baseline: Summary,
    pub(super) t0: Summary,
    /// Mean drop of T0-QAT over that of the baseline, with its interval.
    pub(super) ratio: f64,
    pub(super) interval: [f64; 2],
    /// The share of seeds where T0-QAT drops less.
    pub(super) less: f64,
    pub(super) variants: Vec<Variant>,
    pub(super) rounding: Vec<Rounding>,
}

/// One method over all seeds: in full precision, under noise, and the drop.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) means: [Mean; 3],
    /// The share of seeds below the source's number.
    pub(super) below_source: [f64; 3],
}

impl Summary {
    fn new(losses: &[Losses], source: [f64; 3]) -> Result<Self> {
        let of: [fn(&Losses) -> f64; 3] = [|l| l.full, |l| l.noisy, Losses::drop];
        let [full, noisy, drop] = of.map(|of| losses.iter().map(of).collect::<Vec<f64>>());
        let below = |values: &[f64], source: f64| {
            values.iter().filter(|value| **value < source).count() as f64 / values.len() as f64
        };
        Ok(Self {
            below_source: [
                below(&full, source[0]),
                below(&noisy, source[1]),
                below(&drop, source[2]),
            ],
            means: [mean(&full)?, mean(&noisy)?, mean(&drop)?],
        })
    }
}

/// What remains of the claim under one choice.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// Mean drops of the baseline and of T0-QAT.
    pub(super) drops: [f64; 2],
    pub(super) ratio: f64,
    pub(super) interval: [f64; 2],
    /// Of the paired t-test, corrected for all choices.
    pub(super) p: f64,
}

/// What it costs to round the weights to one width.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Rounding {
    pub(super) bits: u32,
    pub(super) baseline: f64,
    pub(super) t0: f64,
    pub(super) paired: Paired,
    /// Mean loss of T0-QAT afterwards.
    pub(super) t0_loss: f64,
}

/// Measures the claim.
pub(super) fn measure(context: &Context) -> Result<Measured> {
    let pairs = pairs(context, "t0.table1", &Choices::default())?;
    let of = |losses: fn(&Pair) -> Losses| pairs.iter().map(losses).collect::<Vec<_>>();
    let (ratio, interval) = ratio(context, &pairs)?;
    let less = pairs.iter().filter(|pair| t0_drop(pair) < baseline_drop(pair)).count();
    Ok(Measured {
        baseline: Summary::new(&of(|pair| pair.baseline), SOURCE_BASELINE)?,
        t0: Summary::new(&of(|pair| pair.t0), SOURCE_T0)?,
        ratio,
        interval,
        less: less as f64 / pairs.len() as f64,
        variants: variants(context)?,
        rounding: (0..WIDTHS.len()).map(|i| rounding(&pairs, i)).collect::<Result<_>>()?,
        pairs,
    })
}

/// Every choice that the source leaves open, varied one at a time.
fn variants(context: &Context) -> Result<Vec<Variant>> {
    let ours = Choices::default();
    let variants = [
        ("as chosen", ours),
        ("no noise on targets", Choices { target_noise: 0.0, ..ours }),
        ("noise 0.5 on targets", Choices { target_noise: 0.5, ..ours }),
        ("true weights half as large", Choices { truth: 0.5, ..ours }),
        ("true weights twice as large", Choices { truth: 2.0, ..ours }),
        ("baseline trained with noise 0.1", Choices { baseline_noise: 0.1, ..ours }),
        ("baseline trained with noise 0.5", Choices { baseline_noise: 0.5, ..ours }),
        ("evaluation noise 0.25", Choices { evaluation_noise: [0.25; 2], ..ours }),
        ("evaluation noise 1", Choices { evaluation_noise: [1.0; 2], ..ours }),
        ("evaluation noise on weights alone", Choices { evaluation_noise: [0.5, 0.0], ..ours }),
        ("three times as many epochs", Choices { patience: 3, ..ours }),
    ];
    let variant =
        |(name, choices): (&'static str, Choices)| Ok((name, pairs(context, name, &choices)?));
    let all = variants.into_iter().map(variant).collect::<Result<Vec<_>>>()?;
    let tests = all
        .iter()
        .map(|(_, pairs)| Paired::new(&values(pairs, baseline_drop), &values(pairs, t0_drop)));
    let tests = tests.collect::<Result<Vec<Paired>>>()?;
    let corrected = holm(&tests.iter().map(|test| test.t_test).collect::<Vec<_>>());
    let variants = all.iter().zip(corrected).map(|((name, pairs), p)| {
        let (ratio, interval) = ratio(context, pairs)?;
        let drops = [baseline_drop, t0_drop].map(|drop| mean(&values(pairs, drop)));
        let [baseline, t0] = drops;
        Ok(Variant { name, drops: [baseline?.value, t0?.value], ratio, interval, p })
    });
    variants.collect()
}

/// The same layers with weights that are rounded, instead of noise that stands for it.
fn rounding(pairs: &[Pair], width: usize) -> Result<Rounding> {
    let cost = |losses: &Losses| losses.rounded[width] - losses.full;
    let baseline: Vec<f64> = pairs.iter().map(|pair| cost(&pair.baseline)).collect();
    let t0: Vec<f64> = pairs.iter().map(|pair| cost(&pair.t0)).collect();
    let rounded = pairs.iter().map(|pair| pair.t0.rounded[width]).collect::<Vec<_>>();
    Ok(Rounding {
        bits: WIDTHS[width],
        baseline: mean(&baseline)?.value,
        t0: mean(&t0)?.value,
        paired: Paired::new(&baseline, &t0)?,
        t0_loss: mean(&rounded)?.value,
    })
}
