//! Method, figure and table of the significance.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::Measured;
use crate::results::{Figure, Table, Value};
use crate::workloads::regressions::density;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let seeds = measured.differences.len();
    vec![format!(
        "The drops of Table 1 for {seeds} seeds, the two methods paired: same task, same initial \
         weights, same noise at evaluation. Student's paired t-test and Wilcoxon's signed-rank \
         test, both two-sided; the effect size is the mean difference over the standard deviation \
         of the differences (0.2 is called small). The interval of the reduction is a bootstrap \
         over seeds."
    )]
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let Measured { differences, paired, .. } = measured;
    Figure {
        id: "t0.significance.differences".into(),
        title: "By how much T0-QAT drops less, seed by seed".into(),
        caption: format!(
            "Distribution over seeds; the mean is {:.3} with a 95 % interval from {:.3} to {:.3}. The \
             source's one pair of numbers differs by 1.50.",
            paired.difference, paired.interval[0], paired.interval[1]
        ),
        picture: Chart {
            x: Axis::linear("drop of the baseline minus drop of T0-QAT", ""),
            y: Axis::linear("density", ""),
            series: vec![Series::new("seeds", Mark::Steps, density(differences, -12..12))],
            rules: vec![Rule::vertical(1.50, "source"), Rule::vertical(0.0, "")],
        }
        .into(),
    }
}

pub(super) fn table(measured: &Measured) -> Table {
    let Measured { paired, reduction, interval, .. } = measured;
    let row = |what: &str, value: f64, low: Value, high: Value| -> Vec<Value> {
        vec![what.into(), value.into(), low, high]
    };
    let none = || Value::Text(String::new());
    let [low, high] = paired.interval;
    let rows = vec![
        row("mean difference of drops", paired.difference, low.into(), high.into()),
        row("relative reduction", *reduction, interval[0].into(), interval[1].into()),
        row("effect size", paired.effect, none(), none()),
        row("p, paired t-test", paired.t_test, none(), none()),
        row("p, Wilcoxon signed ranks", paired.wilcoxon, none(), none()),
    ];
    Table {
        id: "t0.significance.tests".into(),
        title: "Tests over all seeds".into(),
        columns: ["quantity", "value", "low", "high"].map(String::from).to_vec(),
        rows,
        in_report: true,
    }
}
