//! The figures of `qtaml verify`: drift, variance per bit, and all scores.

use anyhow::Result;
use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};

use super::report::{Quantity, Reading, Report, Row, StoredBit, StoredCode};
use crate::report_files;

/// Points that a figure bears side by side.
const POINTS: usize = 32;

/// Names and pictures. A figure without a point, such as the variance of bits that never flip, is
/// left out.
pub(super) fn figures(report: &Report) -> Result<Vec<(&'static str, String)>> {
    let mut figures = Vec::new();
    for (name, title, chart) in [
        ("verify.drift.svg", "Mean error of each code", drift(report)),
        ("verify.bits.svg", "Variance that each bit contributes", bits(report)),
        ("verify.scores.svg", "Sampled against the closed forms, code by code", scores(report)),
    ] {
        let svg = report_files::figure(&chart, &format!("{title}: {}", report.format))?;
        figures.extend(svg.map(|svg| (name, svg)));
    }
    Ok(figures)
}

fn readings(report: &Report, quantity: Quantity) -> impl Iterator<Item = (f64, &Reading)> {
    let of = move |row: &&Row<StoredCode>| row.reading.quantity == quantity;
    report.codes.iter().filter(of).map(|row| (f64::from(row.of.code), &row.reading))
}

fn drift(report: &Report) -> Chart {
    let expected =
        readings(report, Quantity::MeanError).map(|(code, reading)| (code, reading.expected));
    let every = report.format.bits().levels().div_ceil(POINTS);
    let sampled = readings(report, Quantity::MeanError).step_by(every).map(|(code, reading)| {
        let half = 1.96 * reading.standard_error;
        (code, reading.sampled, [reading.sampled - half, reading.sampled + half])
    });
    Chart {
        x: Axis::linear("stored code q", "steps"),
        y: Axis::linear("mean error E[q'] - q", "steps"),
        series: vec![
            Series::new("closed form", Mark::Line, expected),
            Series::new("sampled, 95 % interval", Mark::Points, sampled),
        ],
        rules: vec![],
    }
}

fn bits(report: &Report) -> Chart {
    let width = report.format.bits().get();
    // Both values that a bit may store add to what it contributes.
    let total = |of: fn(&StoredBit) -> f64| -> Vec<Point> {
        let part = |bit| {
            let rows = report.bits.iter().filter(move |row| row.of.bit == bit as usize);
            rows.map(|row| of(&row.of)).sum::<f64>()
        };
        (0..width).map(|bit| (f64::from(bit), part(bit)).into()).collect()
    };
    // Two bits alone would get ticks between them.
    let right = f64::from(width.max(3)) - 0.5;
    Chart {
        x: Axis::linear("bit", "").between(-0.5, right),
        y: Axis::log10("variance", "steps²"),
        series: vec![
            Series::new("closed form", Mark::Line, total(|bit| bit.variance_expected)),
            Series::new("sampled", Mark::Points, total(|bit| bit.variance_sampled)),
        ],
        rules: vec![],
    }
}

fn scores(report: &Report) -> Chart {
    let z = |quantity| readings(report, quantity).map(|(code, reading)| (code, reading.z));
    let bound = report.outcome.bound;
    Chart {
        x: Axis::linear("stored code q", "steps"),
        y: Axis::linear("z", "standard errors"),
        series: vec![
            Series::new("mean error", Mark::Points, z(Quantity::MeanError)),
            Series::new("variance", Mark::Points, z(Quantity::Variance)),
        ],
        rules: vec![Rule::horizontal(bound, "bound"), Rule::horizontal(-bound, "")],
    }
}
