//! `t0.noise_sweep`: ξ-scaled noise in training, over its scaling.

use anyhow::Result;
use qtaml::physics::XI;
use qtaml::quant::BitWidth;
use qtaml::train::qat::{QatMethod, T0};
use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};
use serde_json::json;

use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Value};
use crate::stats::{Paired, bootstrap, holm, judge, mean};
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::{Candidate, Measured, Setting, two_digits};
use crate::workloads::regressions::{Losses, WIDTHS, XI_SCALING, layers};

/// Scalings with the names of their networks; the first is no noise.
const SCALINGS: [(f64, &str); 10] = [
    (0.0, "s = 0"),
    (30.0, "s = 30"),
    (100.0, "s = 100"),
    (300.0, "s = 300"),
    (1e3, "s = 1000"),
    (3e3, "s = 3000"),
    (1e4, "s = 10000"),
    (6e4, "s = 60000"),
    (XI_SCALING, "s = 80000"),
    (1e5, "s = 100000"),
];
const PUBLISHED: usize = 8;
const LEVEL: f64 = 0.05;
/// What the networks are put through: no fault, few bits, few bits and faults.
const SETTINGS: [(&str, Setting); 3] = [
    ("INT8, no faults", Setting::raw(BitWidth::INT8, 0.0)),
    ("INT4, no faults", Setting::raw(BitWidth::INT4, 0.0)),
    ("INT4, p = 0.01", Setting::raw(BitWidth::INT4, 0.01)),
];

/// One number of what a layer loses.
type Loss = fn(&Losses) -> f64;

/// What is asked of the source's layer.
const LOSSES: [(&str, Loss); 3] = [
    ("full precision", |losses| losses.full),
    ("under noise 0.5", |losses| losses.noisy),
    ("rounded to INT4", |losses| losses.rounded[INT4]),
];
const INT4: usize = {
    assert!(WIDTHS[1] == 4, "the second width is INT4");
    1
};

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let layers = SCALINGS
        .iter()
        .map(|(s, name)| layers(context, &format!("linear layers, {name}"), (XI * s) as f32))
        .collect::<Result<Vec<_>>>()?;
    let candidate = |&(scaling, name): &(f64, &'static str)| Candidate {
        name,
        method: QatMethod::T0(T0 { scaling, relative: false }),
        settings: SETTINGS.map(|(_, setting)| setting).to_vec(),
    };
    let candidates: Vec<Candidate> = SCALINGS.iter().map(candidate).collect();
    let networks = Measured::new(context, Net::LeNet, &candidates, context.size(5, 2))?;
    let sweep = Sweep { context, layers, networks };
    Ok(Outcome {
        claims: vec![sweep.claim()?],
        method: sweep.method()?,
        figures: vec![sweep.loss_figure()?, sweep.accuracy_figure()?],
        tables: vec![
            sweep.loss_table()?,
            sweep.accuracy_table()?,
            sweep.networks.table("t0.noise_sweep"),
        ],
    })
}

struct Sweep<'a> {
    context: &'a Context,
    /// The source's layers, by scaling and task.
    layers: Vec<Vec<Losses>>,
    networks: Measured,
}

impl Sweep<'_> {
    /// The losses of the layers trained with a scaling.
    fn losses(&self, scaling: usize, of: Loss) -> Vec<f64> {
        self.layers[scaling].iter().map(of).collect()
    }

    /// Mean loss at the published scaling over that at others, in the mean; with its interval.
    fn ratio(&self, others: &[usize], of: Loss) -> Result<(f64, [f64; 2])> {
        let published = self.losses(PUBLISHED, of);
        let others: Vec<Vec<f64>> = others.iter().map(|&i| self.losses(i, of)).collect();
        let ratio = |seeds: &[usize]| {
            let sum = |losses: &[f64]| seeds.iter().map(|&i| losses[i]).sum::<f64>();
            let mean = others.iter().map(|l| sum(l)).sum::<f64>() / others.len() as f64;
            Ok(sum(&published) / mean)
        };
        let seeds: Vec<usize> = (0..published.len()).collect();
        Ok((ratio(&seeds)?, bootstrap(seeds.len(), 2000, self.context.seed, ratio)?))
    }

    /// The gain of every network over those without noise in points, p-values corrected.
    fn gains(&self, setting: Setting) -> Result<Vec<(Paired, f64)>> {
        let plain = SCALINGS[0].1;
        let gain = |(_, name): &(f64, &str)| self.networks.points(name, plain, setting);
        let gains = SCALINGS[1..].iter().map(gain).collect::<Result<Vec<_>>>()?;
        let corrected = holm(&gains.iter().map(|gain| gain.t_test).collect::<Vec<_>>());
        Ok(gains.into_iter().zip(corrected).collect())
    }

    /// Scalings whose gain is more than luck, those that help and those that hurt.
    fn significant(&self, setting: Setting) -> Result<[Vec<f64>; 2]> {
        let gains = self.gains(setting)?;
        let of = |sign: f64| {
            let gains = gains.iter().zip(&SCALINGS[1..]);
            let with_sign =
                gains.filter(|((gain, p), _)| *p < LEVEL && sign * gain.difference > 0.0);
            with_sign.map(|(_, (scaling, _))| *scaling).collect()
        };
        Ok([of(1.0), of(-1.0)])
    }

    fn claim(&self) -> Result<Claim> {
        let noisy = LOSSES[1].1;
        let (ratio, interval) = self.ratio(&[0], noisy)?;
        let (over_neighbours, neighbours) = self.ratio(&[PUBLISHED - 1, PUBLISHED + 1], noisy)?;
        let significant = SETTINGS
            .iter()
            .map(|(name, setting)| {
                let [helps, hurts] = self.significant(*setting)?;
                Ok(((*name).to_owned(), json!({ "helps": helps, "hurts": hurts })))
            })
            .collect::<Result<serde_json::Map<_, _>>>()?;
        Ok(Claim {
            id: "t0.noise_sweep".into(),
            source: Source::T0,
            statement: "On the source's task, noise ξ·80000 in training is an effective \
                        regulariser: it makes a layer better under noise than none."
                .into(),
            expected: "below 1: less loss under noise than without".into(),
            measured: ratio,
            unit: "ratio".into(),
            interval,
            n: self.layers[0].len() as u64,
            verdict: judge(interval, [0.0, 1.0 - f64::EPSILON], 1.0),
            details: json!({
                "source_ratio": SOURCE_RATIO,
                "loss_over_mean_of_60000_and_100000": over_neighbours,
                "loss_over_mean_of_60000_and_100000_interval": neighbours,
                "lenet_significant_scalings": significant,
            }),
        })
    }

    fn method(&self) -> Result<Vec<String>> {
        let neighbours = [PUBLISHED - 1, PUBLISHED + 1];
        let (ratio, [low, high]) = self.ratio(&neighbours, LOSSES[1].1)?;
        let found = SETTINGS.iter().map(|(name, setting)| {
            let [helps, hurts] = self.significant(*setting)?.map(|scalings| list(&scalings));
            Ok(format!(" {name}: helps at {helps}; hurts at {hurts}."))
        });
        let found = found.collect::<Result<String>>()?;
        Ok(vec![
            format!(
                "The layers are those of Table 1, {} tasks a scaling, with the choices made there \
                 where the source is silent. The measured number is the loss under noise of layers \
                 trained with s = 80000 over that of layers trained without noise. The source's own \
                 table has {SOURCE_RATIO:.2}; it argues from the drop, which no training changes \
                 (t0.drop_law).",
                self.layers[0].len()
            ),
            format!(
                "Is anything special at 80000? The loss under noise there is {ratio:.3} times [{low:.3}, \
                 {high:.3}] the mean of those at 60000 and 100000; on a straight line between them it \
                 would be 1.",
            ),
            self.networks.protocol(Net::LeNet),
            format!(
                "The noise is absolute, as in the source, on weights and biases. What it does to \
                 accuracy, paired by seed against s = 0, p below {LEVEL} after Holm's correction over \
                 the scalings.{found}"
            ),
        ])
    }

    fn loss_figure(&self) -> Result<Figure> {
        let series = LOSSES.iter().map(|(name, of)| {
            let points = (1..SCALINGS.len()).map(|i| {
                let mean = mean(&self.losses(i, *of))?;
                Ok(Point { x: SCALINGS[i].0, y: mean.value, interval: Some(mean.interval) })
            });
            Ok(Series::new(name, Mark::LinePoints, points.collect::<Result<Vec<_>>>()?))
        });
        let plain = mean(&self.losses(0, LOSSES[1].1))?.value;
        Ok(Figure {
            id: "t0.noise_sweep.loss".into(),
            title: "Loss of the source's layer against the scaling of ξ".into(),
            caption: "Mean over tasks with 95 % intervals. Noise in training leaves the distance between \
                      the loss in full precision and under noise as it is, and lifts both."
                .into(),
            picture: Chart {
                x: Axis::log10("scaling s", ""),
                y: Axis::log10("mean square error", ""),
                series: series.collect::<Result<_>>()?,
                rules: vec![
                    Rule::vertical(XI_SCALING, "80000"),
                    Rule::horizontal(plain, "under noise, s = 0"),
                ],
            }
            .into(),
        })
    }

    fn accuracy_figure(&self) -> Result<Figure> {
        let point = |(scaling, name): &(f64, &str), setting| {
            let mean = self.networks.percent(name, setting)?;
            let interval = mean.interval.map(|bound| bound.clamp(0.0, 100.0));
            Ok(Point { x: *scaling, y: mean.value, interval: Some(interval) })
        };
        let series = SETTINGS.iter().map(|(name, setting)| {
            let points = SCALINGS[1..].iter().map(|scaling| point(scaling, *setting));
            Ok(Series::new(name, Mark::LinePoints, points.collect::<Result<Vec<_>>>()?))
        });
        let rule = |i: usize| -> Result<Rule> {
            let (name, setting) = SETTINGS[i];
            let plain = self.networks.percent(SCALINGS[0].1, setting)?.value;
            Ok(Rule::horizontal(plain, &format!("{name}, s = 0")))
        };
        Ok(Figure {
            id: "t0.noise_sweep.accuracy".into(),
            title: "Accuracy of LeNet against the scaling of ξ".into(),
            caption: format!(
                "Mean over {} training seeds with 95 % intervals. Ten classes: chance is 10 %.",
                self.networks.seeds
            ),
            picture: Chart {
                x: Axis::log10("scaling s", ""),
                y: Axis::linear("accuracy", "%").between(0.0, 100.0),
                series: series.collect::<Result<_>>()?,
                rules: vec![Rule::vertical(XI_SCALING, "80000"), rule(2)?],
            }
            .into(),
        })
    }

    fn loss_table(&self) -> Result<Table> {
        let columns = [
            "s",
            "noise ξs",
            "loss, full precision",
            "loss under noise 0.5",
            "low",
            "high",
            "drop under noise",
            "loss, INT4",
        ];
        let rows = (0..SCALINGS.len()).map(|i| -> Result<Vec<Value>> {
            let [full, noisy, rounded] = LOSSES.map(|(_, of)| mean(&self.losses(i, of)));
            let ([full, rounded], noisy) = ([full?.value, rounded?.value], noisy?);
            let [low, high] = noisy.interval;
            let (scaling, drop) = (SCALINGS[i].0, noisy.value - full);
            let all = [scaling, XI * scaling, full, noisy.value, low, high, drop, rounded];
            Ok(all.map(Value::from).to_vec())
        });
        Ok(Table {
            id: "t0.noise_sweep.losses".into(),
            title: "The source's layer".into(),
            columns: columns.map(String::from).to_vec(),
            rows: rows.collect::<Result<_>>()?,
            in_report: true,
        })
    }

    fn accuracy_table(&self) -> Result<Table> {
        let faulty = SETTINGS[2].1;
        let mut tests = vec![vec!["".into(), "".into(), "".into(), "".into()]];
        for (gain, p) in self.gains(faulty)? {
            let [low, high] = gain.interval;
            let mut test = [gain.difference, low, high].map(two_digits).to_vec();
            test.push(p.into());
            tests.push(test);
        }
        let mut rows = Vec::new();
        for ((scaling, name), test) in SCALINGS.iter().zip(tests) {
            let mut row = vec![(*scaling).into(), (XI * scaling).into()];
            for (_, setting) in SETTINGS {
                row.push(two_digits(self.networks.percent(name, setting)?.value));
            }
            row.extend(test);
            rows.push(row);
        }
        let columns = ["s", "noise ξs"].into_iter().chain(SETTINGS.map(|(name, _)| name)).chain([
            "gain there [points]",
            "low",
            "high",
            "p, t-test (Holm)",
        ]);
        Ok(Table {
            id: "t0.noise_sweep.accuracies".into(),
            title: "Accuracy of LeNet in percent".into(),
            columns: columns.map(String::from).collect(),
            rows,
            in_report: true,
        })
    }
}

/// Loss under noise of T0-QAT over that of the baseline, in the source's Table 1.
const SOURCE_RATIO: f64 = 10.936_824 / 3.254_614;

fn list(scalings: &[f64]) -> String {
    if scalings.is_empty() {
        return "none of them".into();
    }
    let scalings: Vec<String> = scalings.iter().map(f64::to_string).collect();
    format!("s = {}", scalings.join(", "))
}
