//! Method, figure and table of the mean correction.

use qtaml_chart::{Axis, Heatmap};

use super::measure::Measured;
use crate::bench::reading::{Leakage, Reading};
use crate::results::{Figure, Table, Value};
use crate::workloads::networks::Net;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    vec![format!(
        "Flips of known probabilities move the mean of what a code is read as along a line: E[q'] = a q + c. The \
         affine decoder turns that back, for two numbers a layer that follow from the memory alone. Where bits \
         leak one way, c pulls all weights of a layer to one side; where they flip both ways alike, there is \
         hardly anything but a shrunk scale. TAC as derived is tried with and without it, range and codes as in \
         “{}”; a budget is where mean accuracy crosses 95 % of clean under {} fault patterns. The value is the \
         ratio of budgets for leakage {}, in the geometric mean over five networks; the interval is Student's t \
         on its logarithms over {} trainings. Other leakages are shown for the first training.{}",
        Reading::FIXED,
        measured.patterns,
        Reading::FIXED.leakage.label(),
        measured.look.trainings,
        measured.look
    )]
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let cells = Leakage::ALL.map(|leakage| {
        let rows = measured.rows.iter().filter(|row| row.leakage == leakage);
        rows.map(|row| Some(row.worth())).collect()
    });
    Figure {
        id: "qtaml.mean_correction.worth".into(),
        title: "How many times less TAC needs with the mean correction".into(),
        caption: "By the way in which bits leak. 1 is no difference.".into(),
        picture: Heatmap {
            cells: cells.to_vec(),
            rows: Axis::named("leakage", Leakage::ALL.map(Leakage::label)),
            columns: Axis::named("network", Net::ALL.map(Net::title)),
            value: Axis::log10("times less", ""),
        }
        .into(),
    }
}

pub(super) fn table(measured: &Measured) -> Table {
    let columns = [
        "network",
        "leakage",
        "trainings",
        "as they are [% of bits]",
        "corrected [% of bits]",
        "times less",
    ];
    let rows = measured.rows.iter().map(|row| -> Vec<Value> {
        let mean = |which: usize| {
            let shares = row.shares.iter().map(|shares| 100.0 * shares[which]);
            shares.sum::<f64>() / row.shares.len() as f64
        };
        vec![
            row.net.title().into(),
            row.leakage.label().into(),
            row.shares.len().into(),
            mean(0).into(),
            mean(1).into(),
            row.worth().into(),
        ]
    });
    Table {
        id: "qtaml.mean_correction.rows".into(),
        title: "What TAC needs, with and without".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}
