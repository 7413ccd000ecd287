//! Method, figures and table of noise in the training of image classifiers.

use anyhow::Result;
use qtaml::quant::BitWidth;
use qtaml_chart::{Axis, Chart, Mark, Point, Series};

use super::measure::Measured;
use super::{FLIPS, METHODS, WIDTHS};
use crate::results::{Figure, Table};
use crate::workloads::qat_nets::{Setting, matched_in_words, two_digits};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let Measured { net, networks, matched, published, ste, .. } = measured;
    vec![
        networks.protocol(*net),
        format!(
            "The source names vision tasks as its next step and INT4, INT3 and INT2 as the use, and \
             calls its scaling specific to the data set. As published, s = 80000 means noise of \
             10.7 on weights far below 1. So a matched scaling (ours) is judged: {}; nothing is \
             tuned. STE is quantization-aware training with the straight-through estimator, one \
             network for each of the three low widths.",
            matched_in_words(*matched)
        ),
        format!(
            "The measured number is what matched noise gains over plain training, rounded \
             afterwards, in the mean over the three widths, without faults. As published T0-QAT \
             differs from plain training by {:.1} points, STE by {:.1}. The CSV file has all flip \
             probabilities.",
            published.value, ste.value
        ),
    ]
}

fn point(measured: &Measured, x: f64, name: &str, setting: Setting) -> Result<Point> {
    Ok(measured.networks.percent(name, setting)?.percent_at(x))
}

pub(super) fn width_figure(measured: &Measured) -> Result<Figure> {
    let series = METHODS.iter().map(|name| {
        let mut points = Vec::new();
        for (i, bits) in WIDTHS.into_iter().enumerate() {
            let setting = Setting::raw(BitWidth::new(bits)?, 0.0);
            if measured.networks.was_tried(name, setting) {
                points.push(point(measured, i as f64, name, setting)?);
            }
        }
        Ok(Series::new(name, Mark::LinePoints, points))
    });
    Ok(Figure {
        id: format!("{}.widths", measured.id()),
        title: "Accuracy without faults, by width".into(),
        caption: caption(measured),
        picture: Chart {
            x: Axis::named("weights", WIDTHS.map(|bits| format!("INT{bits}"))),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect::<Result<_>>()?,
            rules: vec![],
        }
        .into(),
    })
}

pub(super) fn flip_figure(measured: &Measured) -> Result<Figure> {
    let series = METHODS.iter().map(|name| {
        let at = |&p: &f64| point(measured, p, name, Setting::raw(BitWidth::INT4, p));
        let points = FLIPS[1..].iter().map(at).collect::<Result<Vec<_>>>()?;
        Ok(Series::new(name, Mark::LinePoints, points))
    });
    Ok(Figure {
        id: format!("{}.faults", measured.id()),
        title: "Accuracy of INT4 weights under bit errors".into(),
        caption: caption(measured),
        picture: Chart {
            x: Axis::log10("flip probability p", ""),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect::<Result<_>>()?,
            rules: vec![],
        }
        .into(),
    })
}

fn caption(measured: &Measured) -> String {
    format!(
        "Mean over {} training seeds with 95 % intervals. Ten classes: chance is 10 %.",
        measured.networks.seeds
    )
}

pub(super) fn table(measured: &Measured) -> Result<Table> {
    let mut rows = Vec::new();
    for test in &measured.tests {
        let setting = test.setting;
        let mut row = vec![setting.bits.to_string().into(), setting.p.into()];
        for name in METHODS {
            row.push(if measured.networks.was_tried(name, setting) {
                two_digits(measured.networks.percent(name, setting)?.value)
            } else {
                "".into()
            });
        }
        let [low, high] = test.paired.interval;
        row.extend([test.paired.difference, low, high].map(two_digits));
        row.push(test.p.into());
        rows.push(row);
    }
    let columns = ["weights", "p"].into_iter().chain(METHODS).chain([
        "matched − plain",
        "low",
        "high",
        "p-value, t-test (Holm)",
    ]);
    Ok(Table {
        id: format!("{}.accuracy", measured.id()),
        title: "Accuracy in percent".into(),
        columns: columns.map(String::from).collect(),
        rows,
        in_report: true,
    })
}
