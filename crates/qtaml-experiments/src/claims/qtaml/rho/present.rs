//! Method, figure and table of the forecast of the gain.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::{Case, Measured};
use super::{CLASSES, DISAGREEMENT, PATTERNS};
use crate::results::{Figure, Table, Value};
use crate::workloads::networks::Net;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let (closed_form, exact) = (measured.closed_form(), measured.exact_curves());
    vec![
        format!(
            "The source says that its saturation ratio is closed-form and computed before any \
             simulation; the formula is not in its abstract, so this one is ours. ρ* is the budget at \
             which Uniform-MSP brings the predicted output noise down to τ, over that of TAC. τ is \
             the noise at which {:.0} % of the predictions would change: with normal noise of total \
             power τ over {CLASSES} scores, the two highest swap with probability Q(m / √(2τ/10)) \
             where m is their lead on a calibration image. No labels and no faults are involved. The \
             closed form is reverse water-filling over continuous bits: it needs the sizes, scores and \
             errors of the layers, and has an answer in {} cases.",
            100.0 * DISAGREEMENT,
            closed_form.0.len()
        ),
        format!(
            "Measured is the ratio of the budgets at which accuracy crosses 95 % of clean, each \
             between two steps of its path on the line through them, under {PATTERNS} fault patterns, \
             raw decoder, layer by layer. Predictions are typically off by a factor of {:.2}: the \
             ratio of budgets depends on τ, and the first-order model that it rests on overrates large noise. \
             What is judged is the order of the cases; the interval is a bootstrap over the five \
             networks, as cases of one are alike, and rough, as five are few. Cases in which no bit or \
             every bit is needed are left out.",
            closed_form.error()
        ),
        format!(
            "With the exact error of every number of protected bits of every layer in place of the \
             closed form, the rank correlation over {} cases is {:.2}, and forecasts are typically off \
             by a factor of {:.2}.",
            exact.0.len(),
            exact.correlation(),
            exact.error()
        ),
    ]
}

pub(super) fn figure(cases: &[Case]) -> Figure {
    let series = Net::ALL.map(|net| {
        let of_it = cases.iter().filter(|case| case.net == net.id());
        let points: Vec<(f64, f64)> =
            of_it.filter_map(|case| Some((case.closed_form?, case.measured))).collect();
        Series::new(net.title(), Mark::Points, points)
    });
    Figure {
        id: "qtaml.rho.forecast".into(),
        title: "Gain of TAC over Uniform-MSP, predicted and measured".into(),
        caption:
            "One point for each width and flip probability; on the line the prediction is exact."
                .into(),
        picture: Chart {
            x: Axis::log10("ρ*, predicted", ""),
            y: Axis::log10("ratio of budgets, measured", ""),
            series: series.to_vec(),
            rules: vec![Rule::diagonal("equal")],
        }
        .into(),
    }
}

pub(super) fn table(cases: &[Case]) -> Table {
    let columns = [
        "network",
        "bits",
        "p",
        "ρ*, closed form",
        "ρ*, exact curves",
        "coding gain, large budgets",
        "measured",
    ];
    let optional = |value: Option<f64>| value.map_or(Value::Text(String::new()), Value::Number);
    let rows = cases.iter().map(|case| -> Vec<Value> {
        vec![
            case.net.as_str().into(),
            case.bits.into(),
            case.p.into(),
            optional(case.closed_form),
            case.exact_curves.into(),
            optional(case.coding_gain),
            case.measured.into(),
        ]
    });
    Table {
        id: "qtaml.rho.cases".into(),
        title: "Every case".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}
