//! Method, figure and table of the Gaussian twin.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::MARGIN;
use super::measure::Measured;
use crate::results::{Figure, Table, Value};
use crate::workloads::networks::Net;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let Measured { look, patterns, .. } = measured;
    vec![format!(
        "Each network is read twice from INT8 words in which every bit flips with probability p: once with real \
         flips, and once with normal noise in their place, whose mean and variance are those that the flips give \
         to each stored code, exactly. Nothing is protected and nothing corrected. What is left between the two \
         is structure: that faults are few and large, one power of two each. The value is accuracy under flips \
         less that under the twin, in points, in the mean over five networks and four flip probabilities; the \
         interval is Student's t over {} trainings, each with faults ({patterns} patterns) and test \
         images of its own. Within {MARGIN} point either way counts as no difference; that margin was set before \
         anything was measured here.{look}",
        look.trainings,
    )]
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let of_net = |net: Net| {
        let rows = measured.rows.iter().filter(move |row| row.net == net);
        let points = rows.map(|row| qtaml_chart::Point {
            x: row.p,
            y: row.difference.value,
            interval: Some(row.difference.interval),
        });
        Series::new(net.title(), Mark::LinePoints, points)
    };
    Figure {
        id: "qtaml.gaussian.difference".into(),
        title: "Accuracy under flips less that under normal noise of the same moments".into(),
        caption: "In points; mean over trainings with 95 % intervals. Above the line, real flips do less harm."
            .into(),
        picture: Chart {
            x: Axis::log10("flip probability per stored bit", ""),
            y: Axis::linear("difference", "points"),
            series: Net::ALL.into_iter().map(of_net).collect(),
            rules: vec![Rule::horizontal(0.0, "no difference")],
        }
        .into(),
    }
}

pub(super) fn table(measured: &Measured) -> Table {
    let columns = [
        "network",
        "p",
        "accuracy under flips [%]",
        "under the twin [%]",
        "difference [points]",
        "lower end",
        "upper end",
    ];
    let rows = measured.rows.iter().map(|row| -> Vec<Value> {
        vec![
            row.net.title().into(),
            row.p.into(),
            row.flips.value.into(),
            row.twin.value.into(),
            row.difference.value.into(),
            row.difference.interval[0].into(),
            row.difference.interval[1].into(),
        ]
    });
    Table {
        id: "qtaml.gaussian.rows".into(),
        title: "Network by network".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}
