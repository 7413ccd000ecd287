//! Method, figure and table of what noise costs a linear layer.

use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};

use super::measure::{Case, Layer};
use crate::results::{Figure, Table, Value};

pub(super) fn method() -> Vec<String> {
    vec![
        "With noise e on the weights and d on the bias of a linear layer, the error of one sample \
         is r + e·x + d with r its error without noise. Squared and averaged over independent noise \
         of mean zero, the product terms vanish: E(r + e·x + d)² = r² + σ²(||x||² + 1). So the mean \
         drop is σ²(1 + E||x||²), and r, the only thing that depends on training, is not in it."
            .into(),
        "Layers as they are initialised, trained plainly, and trained with T0-QAT, on tasks of 5, 10 \
         and 20 standard normal features; E||x||² is that of each task's own samples. One draw of \
         noise per task. The bound is for all cases together; a right formula exceeds it once in a \
         million runs."
            .into(),
    ]
}

pub(super) fn figure(cases: &[Case]) -> Figure {
    let series = Layer::ALL.map(|layer| {
        let of_it = cases.iter().filter(|case| case.layer == layer);
        let points = of_it.enumerate().map(|(i, case)| Point {
            x: i as f64,
            y: case.over_theory.value,
            interval: Some(case.over_theory.interval),
        });
        Series::new(layer.name(), Mark::Points, points.collect::<Vec<_>>())
    });
    Figure {
        id: "t0.drop_law.ratio".into(),
        title: "Mean drop over theory".into(),
        caption: "With 95 % intervals, for 5, 10 and 20 features with noise 0.1, 0.25, 0.5 and 1 \
                  each. The spread of a single drop is widest where weights are far from their \
                  optimum (T0-QAT, small noise), the mean is that of theory."
            .into(),
        picture: Chart {
            x: Axis::linear("case", ""),
            y: Axis::linear("mean drop / theory", ""),
            series: series.to_vec(),
            rules: vec![Rule::horizontal(1.0, "theory")],
        }
        .into(),
    }
}

pub(super) fn table(cases: &[Case]) -> Table {
    let columns = ["layer", "features", "noise", "mean drop / theory", "low", "high", "z"];
    let rows = cases.iter().map(|case| -> Vec<Value> {
        vec![
            case.layer.name().into(),
            case.features.into(),
            f64::from(case.noise).into(),
            case.over_theory.value.into(),
            case.over_theory.interval[0].into(),
            case.over_theory.interval[1].into(),
            case.z().into(),
        ]
    });
    Table {
        id: "t0.drop_law.cases".into(),
        title: "Every case".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}
