//! Method, figure and table of the least storage.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::{Measured, Tried};
use crate::bench::TARGET;
use crate::results::{Figure, Table, Value};
use crate::stats::percent;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    vec![
        format!(
            "No bit is protected ideally here: each layer may repeat any number of its most \
             significant bits 3, 5, 7 or 9 times in the same memory, where every copy flips with \
             p = {}, and what majority votes leave comes through. All that stores the weights is \
             counted: bits, copies, one 32-bit scale a unit, and the two numbers that a Bayes table is \
             made of, and what brings scores back (two numbers a class). Biases and norm parameters, measured \
             again or not, are not stored as codes; they and the images that recalibration needs after every \
             read are kept reliably and not counted. \
             The allocation minimises predicted output distortion per stored bit.",
            measured.net.flip_probability()
        ),
        format!(
            "Schemes are compared under {} fault patterns that find a budget and {0} that confirm it; \
             the best one read as it is and the best one with Bayes tables are then judged by {} and \
             {1} others. The numbers of the other schemes are those of the comparison. What the claim \
             needs lies between two budgets, on the line through them; the interval is a bootstrap over the patterns \
             that judge; images and training are the same throughout. Where \
             bits leak one way, the flip probability is that of the one kind of bits and 0 for the other, and \
             schemes are tried as for a comparison.",
            measured.few, measured.patterns
        ),
        "Other codes of the fault crate do not help at such flip probabilities: SEC-DED words hold \
         several errors each, and BCH codes short enough to be decoded leave more than repetition \
         at the same price (see “What a kept bit costs”)."
            .into(),
    ]
}

pub(super) fn figure(measured: &Measured) -> Figure {
    // The scheme's own name is longer than the figure is wide.
    let names = ["read as it is", "with Bayes tables"];
    let series = names.iter().zip(&measured.curves).map(|(name, levels)| {
        Series::new(name, Mark::LinePoints, levels.iter().map(|level| level.point()))
    });
    Figure {
        id: format!("ours.bayes.{}.stored", measured.net.id()),
        title: "Accuracy against stored bits per weight".into(),
        caption: format!(
            "Mean over {} fault patterns with 95 % intervals; all stored bits counted. Eight bits are \
             the weights themselves.",
            measured.few
        ),
        picture: Chart {
            x: Axis::linear("stored bits per weight", "").between(8.0, 32.0),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect(),
            rules: vec![Rule::horizontal(100.0 * TARGET * measured.clean, "95 % of clean")],
        }
        .into(),
    }
}

pub(super) fn table(measured: &Measured) -> Table {
    let columns = [
        "scheme",
        "bits leak",
        "stored bits per weight",
        "accuracy, unseen patterns [% of clean]",
        "devices above 95 % [%]",
        "patterns",
    ];
    let row = |tried: &Tried| -> Vec<Value> {
        let Tried { scheme, leakage, bits, missed, patterns, fresh, above } = tried;
        vec![
            scheme.as_str().into(),
            leakage.label().into(),
            if *missed { format!("not reached with {bits:.1}").into() } else { (*bits).into() },
            (100.0 * fresh / measured.clean).into(),
            percent(*above),
            (*patterns).into(),
        ]
    };
    Table {
        id: format!("ours.bayes.{}.schemes", measured.net.id()),
        title: "Smallest storage that keeps 95 % of clean accuracy".into(),
        columns: columns.map(String::from).to_vec(),
        rows: measured.tried.iter().chain(&measured.one_way).map(row).collect(),
        in_report: true,
    }
}
