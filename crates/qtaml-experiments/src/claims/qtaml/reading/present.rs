//! Method, figure and tables of the readings.

use qtaml_chart::{Axis, Heatmap};

use super::SOURCE;
use super::measure::{Measured, OfNet};
use crate::bench::PROJECTIONS;
use crate::results::{Figure, Table, Value};
use crate::workloads::networks::Net;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let best = measured.best();
    let in_range = measured.readings.iter().filter(|tried| tried.is_in_range()).count();
    let [few, patterns] = measured.patterns;
    vec![
        format!(
            "The abstract leaves four things open: which way bits leak, whether codes are signed around 0 or \
             unsigned from the smallest weight on, where their range ends, and whether words are read as they \
             are or with the affine mean correction. {} combinations are tried as derived: INT8, one scale a \
             layer, layer by layer, ||J||² from {PROJECTIONS} projections, no repair of ours, and always the same \
             for TAC and for Uniform-MSP. p is that of the source: 0.1, and 0.05 for the transformer; where bits \
             leak one way, it is the probability of that way and the other is 0.",
            measured.readings.len()
        ),
        format!(
            "A budget is where mean accuracy crosses 95 % of clean, on the line between two steps of the path. In \
             {in_range} of the readings all five ratios lie between {} and {} under {few} patterns. The reading in \
             which the network that gains least gains most is “{}”: it was chosen among all under these, and is \
             judged under {patterns} others. The value is the least of its five ratios; its interval runs from the \
             least lower to the least upper end of five bootstraps over patterns. It is a statement about these \
             five trainings: other trainings and other images are not in it.",
            SOURCE[0], SOURCE[1], best.reading
        ),
    ]
}

fn nets() -> Vec<String> {
    Net::ALL.iter().map(|net| net.title().to_owned()).collect()
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let cells = measured.readings.iter().map(|tried| {
        tried.nets.iter().map(|net| net.ratio().filter(|ratio| *ratio > 0.0)).collect()
    });
    let readings = measured.readings.iter().map(|tried| tried.reading.to_string());
    Figure {
        id: "qtaml.reading.ratios".into(),
        title: "How many times less TAC needs, by reading of the source".into(),
        caption: format!(
            "As derived, the same for TAC and Uniform-MSP. The source says {} to {}. Crossed out: one of the two \
             does not reach the target.",
            SOURCE[0], SOURCE[1]
        ),
        picture: Heatmap {
            cells: cells.collect(),
            rows: Axis::named("reading", readings),
            columns: Axis::named("network", nets()),
            value: Axis::log10("times less than Uniform-MSP", ""),
        }
        .into(),
    }
}

pub(super) fn tables(measured: &Measured) -> Vec<Table> {
    let shares = |of: fn(&OfNet) -> f64| move |net: &OfNet| Value::from(100.0 * of(net));
    let row = |tried: &super::measure::Tried| -> Vec<Value> {
        let mut row = vec![tried.reading.to_string().into()];
        row.extend(
            tried.nets.iter().map(|net| net.ratio().map_or("not reached".into(), Value::from)),
        );
        row.extend(tried.nets.iter().map(shares(|net| net.tac)));
        row
    };
    let columns = std::iter::once("reading".to_owned());
    let columns = columns.chain(nets().into_iter().map(|net| format!("{net}, ratio")));
    let columns = columns.chain(nets().into_iter().map(|net| format!("{net}, TAC [% of bits]")));
    let all = Table {
        id: "qtaml.reading.all".into(),
        title: "All readings".into(),
        columns: columns.collect(),
        rows: measured.readings.iter().map(row).collect(),
        in_report: true,
    };
    let judged = measured.judged.iter().map(|net| -> Vec<Value> {
        let [low, high] = net.gain.interpolated_interval.ends();
        vec![
            net.net.title().into(),
            (100.0 * net.uniform).into(),
            (100.0 * net.tac).into(),
            net.gain.interpolated.into(),
            low.into(),
            high.into(),
            net.gain.ratio.into(),
        ]
    });
    let columns = [
        "network",
        "Uniform-MSP [% of bits]",
        "TAC [% of bits]",
        "ratio",
        "lower end",
        "upper end",
        "ratio by steps of the budget",
    ];
    let judged = Table {
        id: "qtaml.reading.judged".into(),
        title: format!("“{}”, judged", measured.best().reading),
        columns: columns.map(String::from).to_vec(),
        rows: judged.collect(),
        in_report: true,
    };
    vec![judged, all]
}
