//! Method, figure and table of the scores.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::BUDGETS;
use super::measure::Measured;
use crate::bench::TARGET;
use crate::results::{Figure, Table, Value};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let gaps = &measured.gaps;
    let [largest, smallest] = [gaps.largest(), gaps.smallest()];
    vec![
        format!(
            "Layer by layer, INT8, raw decoder, ideal protection, p = {}: only the score differs that \
             ranks the layers, and every score meets the same {} fault patterns. WKB is ||J||²Δ², the \
             Jacobian alone ||J||², magnitudes are n max|W|² and n (mean|W|)², where n is the size of \
             the layer; the source's abstract says “magnitude” and no more, so both definitions are \
             ours. Random scores are log-uniform. Empirical is WKB corrected by what each layer does \
             alone. More budget does not always help: an allocation takes the steps that fit, and a larger \
             budget may fit others.",
            measured.net.flip_probability(),
            measured.patterns
        ),
        format!(
            "Judged is how far WKB is ahead of the better magnitude in the mean over all {} budgets of the axis, \
             which were named beforehand; the interval is Student's t over {} trainings, each with faults and \
             test images of its own. The source's sentence asks for the largest gap, and picking it favours WKB: \
             it is {:.1} points, at {:.0} % of all bits. The same test with roles swapped gives magnitudes {:.1} \
             points, at {:.0} %.{}",
            BUDGETS.len(),
            gaps.trainings,
            gaps.along[largest],
            100.0 * BUDGETS[largest],
            -gaps.along[smallest],
            100.0 * BUDGETS[smallest],
            measured.look,
        ),
    ]
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let gaps = &measured.gaps;
    let series = measured.curves.iter().map(|curve| {
        let points = BUDGETS.iter().zip(&curve.accuracy);
        let points = points.map(|(share, mean)| mean.times(100.0).percent_at(100.0 * share));
        Series::new(&curve.score, Mark::LinePoints, points)
    });
    Figure {
        id: format!("qtaml.score.{}.budget", measured.net.id()),
        title: "Accuracy along the budget, by score".into(),
        caption: format!(
            "The first training. Mean over {} fault patterns with 95 % intervals. In the mean over budgets and \
             trainings WKB is {:.1} points ahead of the better magnitude.",
            measured.patterns, gaps.everywhere.value
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
        .chain(measured.curves.iter().map(|curve| curve.score.clone()))
        .chain(["gap over all trainings [points]".to_owned()]);
    let row = |budget: usize| -> Vec<Value> {
        let share = Value::from(100.0 * BUDGETS[budget]);
        let accuracy = |mean: f64| Value::from(100.0 * mean);
        let accuracies = measured.curves.iter().map(|curve| accuracy(curve.accuracy[budget].value));
        let gap = Value::from(measured.gaps.along[budget]);
        std::iter::once(share).chain(accuracies).chain([gap]).collect()
    };
    Table {
        id: format!("qtaml.score.{}.accuracy", measured.net.id()),
        title: "Mean accuracy in percent, first training".into(),
        columns: columns.collect(),
        rows: (0..BUDGETS.len()).map(row).collect(),
        in_report: true,
    }
}
