//! The figures of one network.

use qtaml_chart::{Axis, Chart, Heatmap, Mark, Point, Rule, Series};

use super::measure::Measured;
use super::present::id;
use crate::bench::{Level, TARGET};
use crate::results::Figure;

/// All figures.
pub(super) fn all(measured: &Measured) -> Vec<Figure> {
    vec![
        budget(measured),
        sweep(measured),
        protection(measured),
        sensitivity(measured),
        noise(measured),
    ]
}

fn points(levels: &[Level]) -> Vec<Point> {
    levels.iter().map(|level| level.point()).collect()
}

fn target(measured: &Measured) -> Rule {
    Rule::horizontal(100.0 * TARGET * measured.clean, "95 % of clean")
}

fn budget(measured: &Measured) -> Figure {
    // Whole names of schemes are longer than the figure is wide; the caption has that of the best.
    let names =
        ["Uniform-MSP, raw", "Uniform-MSP, read as the best", "TAC as derived", "TAC, best"];
    let series = names
        .iter()
        .zip(&measured.curves.budget)
        .map(|(name, levels)| Series::new(name, Mark::LinePoints, points(levels)));
    let best = measured.best();
    Figure {
        id: id(measured, "budget"),
        title: "Accuracy against protected bits".into(),
        caption: format!(
            "Mean over {} of the fault patterns that schemes are compared under, with 95 % intervals. \
             Under those that judge, “{}” reaches the dashed line with {:.2} % of all bits \
             protected, Uniform-MSP with {:.1} %.",
            measured.drawn,
            best.scheme,
            100.0 * best.overhead(),
            100.0 * measured.baseline().overhead()
        ),
        picture: Chart {
            x: Axis::linear("protected share of all bits", "%").between(0.0, 50.0),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect(),
            rules: vec![target(measured)],
        }
        .into(),
    }
}

fn sweep(measured: &Measured) -> Figure {
    let sweep = &measured.curves.sweep;
    let planned = format!("TAC, best, {:.1} % of bits", 100.0 * measured.best().overhead());
    let series = [
        ("unprotected, raw", &sweep.baseline[0]),
        ("unprotected, read as the best", &sweep.best[0]),
        ("Uniform-MSP, 12.5 % of bits", &sweep.baseline[1]),
        (&planned, &sweep.best[1]),
    ]
    .map(|(name, levels)| Series::new(name, Mark::LinePoints, points(levels)))
    .to_vec();
    Figure {
        id: id(measured, "sweep"),
        title: "Accuracy against flip probability".into(),
        caption: format!(
            "Mean over {} of the fault patterns that schemes are compared under, with 95 % intervals. \
             Tables, ranges and allocations are made for each flip probability; budgets are not.",
            measured.drawn
        ),
        picture: Chart {
            x: Axis::log10("flip probability per stored bit", ""),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series,
            rules: vec![target(measured)],
        }
        .into(),
    }
}

/// By name, without the word that all names end with.
fn layer_axis(tensors: &[String]) -> Axis {
    Axis::named("layer", tensors.iter().map(|name| name.trim_end_matches(".weight")))
}

/// How many bits are protected in which share of each layer's weights.
fn protection(measured: &Measured) -> Figure {
    let scheme = &measured.best().scheme;
    let cells =
        measured.curves.protection.iter().map(|shares| {
            shares.iter().map(|share| (*share > 0.0).then_some(100.0 * share)).collect()
        });
    Figure {
        id: id(measured, "protection"),
        title: format!("Where “{scheme}” spends its budget"),
        caption:
            "Share of each layer's weights by the number of their most significant bits that are \
                  protected. Crossed out: none."
                .into(),
        picture: Heatmap {
            cells: cells.collect(),
            rows: layer_axis(&measured.curves.tensors),
            columns: Axis::named("protected bits", (0..=scheme.bits.get()).map(|k| k.to_string())),
            value: Axis::linear("share of the layer's weights", "%").between(0.0, 100.0),
        }
        .into(),
    }
}

/// What a fault in each layer does: to first order, and measured at full strength.
fn sensitivity(measured: &Measured) -> Figure {
    let names = [
        "first-order model, raw",
        "measured, raw",
        "first-order model, bayes-gain and min-MSE scale",
    ];
    let series = names
        .iter()
        .zip(&measured.curves.sensitivity)
        .map(|(name, groups)| Series::new(name, Mark::Points, groups.iter().copied()));
    Figure {
        id: id(measured, "sensitivity"),
        title: "What unprotected faults in one layer do to the output".into(),
        caption:
            "Squared change of all scores of an image. The first-order model is the product of \
                  Jacobian and exact weight error; measured is the same with faults in that layer \
                  alone. Where the two part, noise is too large for a model of small errors."
                .into(),
        picture: Chart {
            x: Axis::log10("squared change of the scores", ""),
            y: layer_axis(&measured.curves.tensors),
            series: series.collect(),
            rules: vec![],
        }
        .into(),
    }
}

/// Predicted against measured output noise along two paths.
fn noise(measured: &Measured) -> Figure {
    let series = measured
        .curves
        .noise
        .iter()
        .map(|(scheme, points)| Series::new(scheme, Mark::Points, points.iter().copied()));
    Figure {
        id: id(measured, "noise"),
        title: "Output noise, predicted and measured".into(),
        caption:
            "Squared change of all scores of a calibration image at budgets from 0 to 50 %. The \
                  prediction is the first-order model; on the line it is exact. Large noise saturates."
                .into(),
        picture: Chart {
            x: Axis::log10("predicted", ""),
            y: Axis::log10("measured", ""),
            series: series.collect(),
            rules: vec![Rule::diagonal("equal")],
        }
        .into(),
    }
}
