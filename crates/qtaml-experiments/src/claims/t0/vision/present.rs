//! Method, figures and table of noise in the training of image classifiers.

use anyhow::Result;
use qtaml::quant::BitWidth;
use qtaml_chart::{Axis, Chart, Mark, Point, Series};

use super::measure::Measured;
use super::{FLIPS, METHODS, STRENGTHS, WIDTHS};
use crate::results::{Figure, Table};
use crate::workloads::qat_nets::{Setting, two_digits};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let Measured { net, look, networks, strengths, gains, published, .. } = measured;
    vec![
        networks.protocol(*net),
        format!(
            "The source names vision tasks as its next step, INT4, INT3 and INT2 as the use, and standard \
             quantization-aware training with empirical noise as what it compares with. That is the \
             straight-through estimator (STE), one network for each width, and Gaussian noise relative to the \
             largest weight. Both kinds of noise have the same budget of tuning: {STRENGTHS:?}, as a standard \
             deviation of weights as they are for ξ-scaled noise (a constant and its scaling are one number to a \
             network) and of the largest weight for the other, chosen by accuracy at the three widths on {} seeds \
             that judge nothing. Chosen were {} and {}. As published, s = 80000 means a deviation of 10.7 on \
             weights far below 1.",
            measured.tuned_on, strengths[0], strengths[1]
        ),
        format!(
            "The measured number is what tuned ξ-scaled noise gains over the better of the two, in the mean over \
             the three widths, without faults. Over plain training, rounded afterwards, it gains {:.1} points, \
             over Gaussian noise {:.1}, over STE {:.1}; as published it differs from plain training by {:.1}. \
             The table has every width by itself. Fault rates that no method was trained for are in it and in \
             the CSV file.{look}",
            gains[0].value, gains[1].value, gains[2].value, published.value
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
    for tests in measured.tests.chunks(2) {
        let setting = tests[0].setting;
        let mut row = vec![setting.bits.to_string().into(), setting.p.into()];
        for name in METHODS {
            row.push(two_digits(measured.networks.percent(name, setting)?.value));
        }
        for test in tests {
            let [low, high] = test.paired.interval;
            row.extend([test.paired.difference, low, high].map(two_digits));
            row.push(test.p.into());
        }
        rows.push(row);
    }
    let columns = ["weights", "p"].into_iter().chain(METHODS).map(String::from);
    let tests = measured.tests.iter().take(2).flat_map(|test| {
        let first = format!("tuned − {}", test.against);
        [first, "low".into(), "high".into(), "p-value (Holm)".into()]
    });
    Ok(Table {
        id: format!("{}.accuracy", measured.id()),
        title: "Accuracy in percent".into(),
        columns: columns.chain(tests).collect(),
        rows,
        in_report: true,
    })
}
