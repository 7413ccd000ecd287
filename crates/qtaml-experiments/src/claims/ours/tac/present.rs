//! Method and tables of one network.

use qtaml::deploy::budget::Gain;

use super::measure::{Measured, Tried};
use super::statistics;
use crate::bench::PROJECTIONS;
use crate::results::{Table, Value};
use crate::stats::percent;

/// The id of a figure or table.
pub(super) fn id(measured: &Measured, what: &str) -> String {
    format!("ours.tac.{}.{what}", measured.net.id())
}

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let (tac, baseline, best) = (measured.derived(), measured.baseline(), measured.best());
    let (gain, plain) = (&measured.gain, &measured.gain_over_plain);
    let ends = |gain: &Gain| gain.interpolated_interval.ends();
    vec![
        format!(
            "{}, trained here from the run's seed on {}, {} weights stored as INT8 two's \
             complement. Accuracy on all {} test images: {:.1} %; on the {} that judge: {:.1} % in \
             floating point, {:.1} % quantized, which is “clean”. Biases and norm parameters are \
             not stored as codes.",
            measured.net.title(),
            measured.images,
            measured.weights,
            measured.all_images,
            100.0 * measured.whole,
            measured.test_images,
            100.0 * measured.float,
            100.0 * measured.clean
        ),
        format!(
            "Protection is ideal: a protected bit never flips, and overhead is protected bits over \
             all weight bits. Uniform-MSP protects the same number k of most significant bits in \
             every layer, in steps of an eighth of all bits; budgets are read between steps. TAC minimises the predicted output \
             distortion Σ ||J||² mse(k) with ||J||² estimated from the calibration images by \
             {PROJECTIONS} random projections, without labels, and mse(k) exact for the stored \
             codes. The formula behind the source's allocation is not in its abstract; this \
             derivation is ours."
        ),
        format!(
            "Bits flip both ways alike here. TAC as derived, read as it is, reaches the target with {:.1} %. \
             Everything else in the table is ours, each idea alone and then together: decode tables that know \
             how weights are distributed (Bayes, from two fitted numbers a group, with its gain corrected), the \
             min-MSE scale under faults, channels in place of layers, scores corrected by what each layer does \
             when it alone is read with faults (measured sensitivity), and recalibration, a repair that needs \
             the calibration images and a forward pass after every read, but no labels: of batch norm or, in \
             networks without it, of the logits of each class. The best is “{}”, with {:.2} %. Uniform-MSP with \
             the same decoder, ranges and repairs needs {:.1} %, {:.2} times as much [{:.2}, {:.2}]; without \
             them, {:.1} % and {:.1} times as much [{:.1}, {:.1}].",
            100.0 * tac.overhead(),
            best.scheme,
            100.0 * best.overhead(),
            100.0 * measured.alike().overhead(),
            gain.interpolated,
            ends(gain)[0],
            ends(gain)[1],
            100.0 * baseline.overhead(),
            plain.interpolated,
            ends(plain)[0],
            ends(plain)[1],
        ),
        format!(
            "The source counts protected bits only. The best scheme's scales, fitted numbers and numbers that bring scores back take \
             {:.1} % of all weight bits more than the baseline's scales; with them it needs {:.1} %, \
             Uniform-MSP {:.1} %. The column “with scales and tables” has the same for every scheme, \
             and ours.bayes finds the least storage with everything counted.",
            100.0 * best.side_overhead(baseline),
            100.0 * best.overhead_with_side(baseline),
            100.0 * baseline.overhead(),
        ),
        format!(
            "Every budget is tried under the same fault patterns. A scheme's budget is found by \
             bisection along its path: where mean accuracy crosses 95 % of clean, on the line between two \
             steps. Schemes are compared under {} and {0} patterns on test images that judge nothing. \
             Both kinds of Uniform-MSP, TAC as derived and the scheme that looks best are then judged by {} and \
             {1} others, on other test images; ratios of the rest are those of the comparison. The accuracies of \
             the table are those under as many more patterns, which chose nothing. The interval of a ratio is a \
             bootstrap over patterns: it is a statement about this one training, and what another would give is \
             not in it.",
            measured.few, measured.patterns
        ),
        statistics::method(measured),
    ]
}

/// All tables.
pub(super) fn tables(measured: &Measured) -> Vec<Table> {
    vec![ablation(measured), statistics::table(measured), layers(measured), every_trial(measured)]
}

fn ablation(measured: &Measured) -> Table {
    let columns = [
        "scheme",
        "protected bits [%]",
        "times less than Uniform-MSP",
        "scales and tables beyond it [%]",
        "with scales and tables [%]",
        "accuracy, unseen patterns [% of clean]",
        "devices above 95 % [%]",
        "accuracy without protection [% of clean]",
        "patterns",
    ];
    let row = |tried: &Tried| -> Vec<Value> {
        vec![
            tried.scheme.to_string().into(),
            if tried.search().missed {
                "not reached".into()
            } else {
                (100.0 * tried.overhead()).into()
            },
            measured.ratio_of(tried).into(),
            (100.0 * tried.side_overhead(measured.baseline())).into(),
            (100.0 * tried.overhead_with_side(measured.baseline())).into(),
            (100.0 * tried.kept()).into(),
            percent(tried.search().devices_above()),
            (100.0 * tried.unprotected / measured.clean).into(),
            tried.search().patterns.count.into(),
        ]
    };
    Table {
        id: id(measured, "schemes"),
        title: "Smallest budgets that keep 95 % of clean accuracy".into(),
        columns: columns.map(String::from).to_vec(),
        rows: measured.tried.iter().map(row).collect(),
        in_report: true,
    }
}

fn layers(measured: &Measured) -> Table {
    let columns = [
        "layer",
        "weights",
        "largest weight",
        "||J||²",
        "its standard error",
        "mean square error of a weight, unprotected",
        "bits protected, TAC",
        "bits protected, best",
    ];
    let rows = measured.layers.iter().map(|layer| -> Vec<Value> {
        vec![
            layer.name.as_str().into(),
            layer.weights.into(),
            layer.largest.into(),
            layer.jacobian.into(),
            layer.jacobian_error.into(),
            layer.mean_square_error.into(),
            layer.bits.into(),
            layer.best_bits.into(),
        ]
    });
    Table {
        id: id(measured, "layers"),
        title: "Layers".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}

fn every_trial(measured: &Measured) -> Table {
    let columns =
        ["scheme", "stage", "step", "protected bits", "overhead", "to", "pattern", "accuracy"];
    let mut rows = Vec::new();
    for tried in &measured.tried {
        let stages = [("compare", Some(&tried.compared)), ("judge", tried.judged.as_ref())];
        let visits = stages.into_iter().filter_map(|(stage, search)| Some((stage, search?)));
        let visits =
            visits.flat_map(|(stage, search)| search.visits.iter().map(move |v| (stage, v)));
        for (stage, (step, visit)) in visits {
            let find = visit.values.iter().enumerate().map(|trial| ("find", trial));
            let confirm = visit.confirmed.iter().flatten().enumerate().map(|t| ("confirm", t));
            for (purpose, (pattern, accuracy)) in find.chain(confirm) {
                rows.push(vec![
                    tried.scheme.to_string().into(),
                    stage.into(),
                    (*step).into(),
                    Value::Integer(i64::try_from(visit.cost).unwrap_or(i64::MAX)),
                    (visit.cost as f64 / tried.weight_bits).into(),
                    purpose.into(),
                    pattern.into(),
                    (*accuracy).into(),
                ]);
            }
        }
    }
    Table {
        id: id(measured, "trials"),
        title: "Every trial that decided".into(),
        columns: columns.map(String::from).to_vec(),
        rows,
        in_report: false,
    }
}
