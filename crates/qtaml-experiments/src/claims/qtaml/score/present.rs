//! Method, figure and table of the scores.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::BUDGETS;
use super::measure::Measured;
use crate::bench::TARGET;
use crate::results::{Figure, Table, Value};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let gap = &measured.gap;
    let along = format!(
        "Along the whole axis the gap is {:.1} points in the mean, and {:.1} where it is smallest, \
         at {:.0} % of all bits: {}",
        100.0 * gap.along.everywhere,
        100.0 * gap.along.smallest.0,
        100.0 * BUDGETS[gap.along.smallest.1],
        if gap.along.smallest.0 < 0.0 {
            "there magnitudes do better. The claim asks for the largest gap, and picking it favours \
             WKB."
        } else {
            "WKB is never behind."
        }
    );
    let definitions = format!(
        "Layer by layer, INT8, raw decoder, ideal protection, p = {}: only the score differs that \
         ranks the layers, and every score meets the same {} fault patterns. WKB is ||J||²Δ², the \
         Jacobian alone ||J||², magnitudes are n max|W|² and n (mean|W|)², where n is the size of \
         the layer; the source's abstract says “magnitude” and no more, so both definitions are \
         ours. Random scores are log-uniform. Empirical is WKB corrected by what each layer does \
         alone. The gap is to the better of the two magnitudes, at the budget where it is largest; \
         its size and interval are from {} fresh patterns. More budget does not always help: an \
         allocation takes the steps that fit, and a larger budget may fit others.",
        measured.net.flip_probability(),
        measured.few,
        measured.patterns
    );
    vec![definitions, along]
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let gap = &measured.gap;
    let series = measured.curves.iter().map(|curve| {
        let points = BUDGETS.iter().zip(&curve.accuracy);
        let points = points.map(|(share, mean)| mean.times(100.0).percent_at(100.0 * share));
        Series::new(&curve.score, Mark::LinePoints, points)
    });
    Figure {
        id: format!("qtaml.score.{}.budget", measured.net.id()),
        title: "Accuracy along the budget, by score".into(),
        caption: format!(
            "Mean over {} fault patterns with 95 % intervals. The largest gap between WKB and the \
             better magnitude is {:.1} points, at {:.0} % of all bits.",
            measured.few,
            100.0 * gap.paired.difference,
            100.0 * BUDGETS[gap.budget]
        ),
        picture: Chart {
            x: Axis::linear("protected share of all bits", "%"),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect(),
            rules: vec![Rule::horizontal(100.0 * TARGET * measured.clean, "95 % of clean")],
        }
        .into(),
    }
}

pub(super) fn table(measured: &Measured) -> Table {
    let columns = std::iter::once("protected bits [%]".to_owned())
        .chain(measured.curves.iter().map(|curve| curve.score.clone()));
    let row = |budget: usize| -> Vec<Value> {
        let share = Value::from(100.0 * BUDGETS[budget]);
        let accuracy = |mean: f64| Value::from(100.0 * mean);
        let accuracies = measured.curves.iter().map(|curve| accuracy(curve.accuracy[budget].value));
        std::iter::once(share).chain(accuracies).collect()
    };
    Table {
        id: format!("qtaml.score.{}.accuracy", measured.net.id()),
        title: "Mean accuracy in percent".into(),
        columns: columns.collect(),
        rows: (0..BUDGETS.len()).map(row).collect(),
        in_report: true,
    }
}
