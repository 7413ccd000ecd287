//! `t0.vision.<net>`: noise in the training of image classifiers, at few bits and under bit errors.

use anyhow::Result;
use qtaml::physics::XI;
use qtaml::quant::BitWidth;
use qtaml::train::qat::{FakeQuant, QatMethod};
use qtaml_chart::{Axis, Chart, Mark, Point, Series};
use serde_json::json;

use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table};
use crate::stats::{Mean, holm, judge, mean};
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::{
    AS_PUBLISHED, Candidate, MATCHED, Measured, Setting, matched_t0, published_t0, two_digits,
};

const WIDTHS: [u32; 4] = [8, 4, 3, 2];
/// Those that the source names for deployment.
const LOW_WIDTHS: [u32; 3] = [4, 3, 2];
const FLIPS: [f64; 5] = [0.0, 1e-4, 1e-3, 1e-2, 1e-1];
/// Those that the table shows.
const SHOWN_FLIPS: [f64; 3] = [0.0, 1e-2, 1e-1];
const PLAIN: &str = "plain";
const STE: &str = "STE of the width";
const METHODS: [&str; 4] = [PLAIN, AS_PUBLISHED, MATCHED, STE];

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    let measured = Measured::new(context, net, &candidates()?, context.size(3, 2))?;
    let vision = Vision { net, measured };
    Ok(Outcome {
        claims: vec![vision.claim()?],
        method: vision.method()?,
        figures: vec![vision.width_figure()?, vision.flip_figure()?],
        tables: vec![vision.table()?, vision.measured.table(&vision.id())],
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

struct Vision {
    net: Net,
    measured: Measured,
}

impl Vision {
    fn id(&self) -> String {
        format!("t0.vision.{}", self.net.id())
    }

    /// What a method gains over plain training without faults in points, in the mean over the widths
    /// that the source names.
    fn gain(&self, name: &str) -> Result<Mean> {
        let mut gains = vec![0.0; self.measured.seeds];
        for bits in LOW_WIDTHS {
            let setting = Setting::raw(BitWidth::new(bits)?, 0.0);
            let [of_it, of_plain] = [name, PLAIN].map(|name| self.measured.of(name, setting));
            for (gain, (a, b)) in gains.iter_mut().zip(of_it?.iter().zip(of_plain?)) {
                *gain += 100.0 * (a - b) / LOW_WIDTHS.len() as f64;
            }
        }
        mean(&gains)
    }

    fn claim(&self) -> Result<Claim> {
        let gain = self.gain(MATCHED)?;
        let [published, ste] = [AS_PUBLISHED, STE].map(|name| self.gain(name));
        let (published, ste) = (published?, ste?);
        Ok(Claim {
            id: self.id(),
            source: Source::T0,
            statement: format!(
                "With ξ-scaled noise in training, a network like {} keeps more of its accuracy at INT4, \
                 INT3 and INT2.",
                self.net.title()
            ),
            expected: "above 0: more than plain training keeps".into(),
            measured: gain.value,
            unit: "points".into(),
            interval: gain.interval,
            n: self.measured.seeds as u64,
            verdict: judge(gain.interval, [f64::MIN_POSITIVE, f64::INFINITY], 0.0),
            details: json!({
                "matched_scaling": matched_t0()?.scaling,
                "as_published": published.value,
                "as_published_interval": published.interval,
                "straight_through": ste.value,
                "straight_through_interval": ste.interval,
            }),
        })
    }

    fn method(&self) -> Result<Vec<String>> {
        let t0 = matched_t0()?;
        let published = self.gain(AS_PUBLISHED)?.value;
        let ste = self.gain(STE)?.value;
        Ok(vec![
            self.measured.protocol(self.net),
            format!(
                "The source names vision tasks as its next step and INT4, INT3 and INT2 as the use, and \
                 calls its scaling specific to the data set. As published, s = 80000 means noise of \
                 10.7 on weights far below 1. So a matched scaling (ours) is judged: s = {:.0} relative \
                 to the largest weight of each tensor, noise of {:.1} % of it, as large as that of 1 % \
                 bit faults in INT4 weights; nothing is tuned. STE is quantization-aware training with \
                 the straight-through estimator, one network for each of the three low widths.",
                t0.scaling,
                100.0 * XI * t0.scaling
            ),
            format!(
                "The measured number is what matched noise gains over plain training, rounded \
                 afterwards, in the mean over the three widths, without faults. As published T0-QAT \
                 differs from plain training by {published:.1} points, STE by {ste:.1}. The CSV file has \
                 all flip probabilities."
            ),
        ])
    }

    fn point(&self, x: f64, name: &str, setting: Setting) -> Result<Point> {
        let mean = self.measured.percent(name, setting)?;
        let interval = mean.interval.map(|bound| bound.clamp(0.0, 100.0));
        Ok(Point { x, y: mean.value, interval: Some(interval) })
    }

    fn width_figure(&self) -> Result<Figure> {
        let series = METHODS.iter().map(|name| {
            let mut points = Vec::new();
            for (i, bits) in WIDTHS.into_iter().enumerate() {
                let setting = Setting::raw(BitWidth::new(bits)?, 0.0);
                if self.measured.was_tried(name, setting) {
                    points.push(self.point(i as f64, name, setting)?);
                }
            }
            Ok(Series::new(name, Mark::LinePoints, points))
        });
        Ok(Figure {
            id: format!("{}.widths", self.id()),
            title: "Accuracy without faults, by width".into(),
            caption: self.caption(),
            picture: Chart {
                x: Axis::named("weights", WIDTHS.map(|bits| format!("INT{bits}"))),
                y: Axis::linear("accuracy", "%").between(0.0, 100.0),
                series: series.collect::<Result<_>>()?,
                rules: vec![],
            }
            .into(),
        })
    }

    fn flip_figure(&self) -> Result<Figure> {
        let series = METHODS.iter().map(|name| {
            let point = |&p: &f64| self.point(p, name, Setting::raw(BitWidth::INT4, p));
            let points = FLIPS[1..].iter().map(point).collect::<Result<Vec<_>>>()?;
            Ok(Series::new(name, Mark::LinePoints, points))
        });
        Ok(Figure {
            id: format!("{}.faults", self.id()),
            title: "Accuracy of INT4 weights under bit errors".into(),
            caption: self.caption(),
            picture: Chart {
                x: Axis::log10("flip probability p", ""),
                y: Axis::linear("accuracy", "%").between(0.0, 100.0),
                series: series.collect::<Result<_>>()?,
                rules: vec![],
            }
            .into(),
        })
    }

    fn caption(&self) -> String {
        format!(
            "Mean over {} training seeds with 95 % intervals. Ten classes: chance is 10 %.",
            self.measured.seeds
        )
    }

    fn table(&self) -> Result<Table> {
        let settings = settings(&WIDTHS, &SHOWN_FLIPS)?;
        let tests = settings.iter().map(|&s| self.measured.points(MATCHED, PLAIN, s));
        let tests = tests.collect::<Result<Vec<_>>>()?;
        let corrected = holm(&tests.iter().map(|test| test.t_test).collect::<Vec<_>>());
        let mut rows = Vec::new();
        for ((setting, test), p) in settings.iter().zip(tests).zip(corrected) {
            let mut row = vec![setting.bits.to_string().into(), setting.p.into()];
            for name in METHODS {
                row.push(if self.measured.was_tried(name, *setting) {
                    two_digits(self.measured.percent(name, *setting)?.value)
                } else {
                    "".into()
                });
            }
            let [low, high] = test.interval;
            row.extend([test.difference, low, high].map(two_digits));
            row.push(p.into());
            rows.push(row);
        }
        let columns = ["weights", "p"].into_iter().chain(METHODS).chain([
            "matched − plain",
            "low",
            "high",
            "p-value, t-test (Holm)",
        ]);
        Ok(Table {
            id: format!("{}.accuracy", self.id()),
            title: "Accuracy in percent".into(),
            columns: columns.map(String::from).collect(),
            rows,
            in_report: true,
        })
    }
}
