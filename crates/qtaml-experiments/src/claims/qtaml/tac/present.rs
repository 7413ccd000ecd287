//! Method, figure and table of TAC as derived.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::{Measured, OfNet};
use crate::bench::PROJECTIONS;
use crate::results::{Figure, Table, Value};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let (of_net, reading) = (&measured.of_net, measured.reading);
    let [uniform, tac] = of_net.shares();
    vec![
        format!(
            "{}, trained here {} times on {}, INT8, one scale a layer. TAC minimises the predicted output \
             distortion Σ ||J||² mse(k) layer by layer, with ||J||² from {PROJECTIONS} random projections on \
             the calibration images, without labels, and mse(k) exact for the stored codes. The formula behind \
             the source's allocation is not in its abstract; this derivation is ours, and nothing else of ours \
             is in it. Uniform-MSP protects the same number of most significant bits in every layer. Protection \
             is ideal: overhead is protected bits over all weight bits.",
            of_net.net.title(),
            of_net.trainings.len(),
            of_net.images,
        ),
        format!(
            "The abstract leaves open which way bits leak, what codes are spread over, where their range ends \
             and how words are read. Here it is “{reading}”, the same for both. Bits leak one way, because tunneling \
             discharges a cell, and from 0 to 1, because a floating gate that has lost its charge is read as 1; words \
             are read with the affine mean correction, because it is part of TAC; and the range is that of least \
             mean square error under the faults, because one outlier should not set it. That was fixed before \
             these numbers, and after a trial of readings with other faults; `qtaml.reading` has all others."
        ),
        format!(
            "A budget is where mean accuracy crosses 95 % of clean under {} fault patterns, on the line between \
             two steps of its path. In the mean over trainings Uniform-MSP needs {:.1} % of all bits, TAC \
             {:.2} %. The interval is Student's t on the logarithms of the ratios of the trainings, each with a \
             seed, faults and {} test images of its own: it holds for networks of this kind trained on such \
             images.{}",
            of_net.patterns,
            100.0 * uniform,
            100.0 * tac,
            of_net.test_images,
            of_net.look
        ),
    ]
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let series =
        ["Uniform-MSP", "TAC as derived"].iter().zip(&measured.curves).map(|(name, levels)| {
            Series::new(name, Mark::LinePoints, levels.iter().map(|level| level.point()))
        });
    let net = measured.of_net.net;
    Figure {
        id: format!("qtaml.tac.{}.budget", net.id()),
        title: "Accuracy against protected bits".into(),
        caption: format!(
            "The first training, “{}”. Mean over {} fault patterns, with 95 % intervals.",
            measured.reading, measured.drawn
        ),
        picture: Chart {
            x: Axis::linear("protected share of all bits", "%").between(0.0, 40.0),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect(),
            rules: vec![Rule::horizontal(100.0 * measured.target, "95 % of clean")],
        }
        .into(),
    }
}

pub(super) fn table(of_net: &OfNet) -> Table {
    let columns = [
        "training",
        "accuracy, floating point [%]",
        "accuracy, INT8 without faults [%]",
        "Uniform-MSP [% of bits]",
        "TAC [% of bits]",
        "times less",
    ];
    let rows = of_net.trainings.iter().enumerate().map(|(number, training)| -> Vec<Value> {
        let [float, clean] = training.accuracy;
        vec![
            (number + 1).into(),
            (100.0 * float).into(),
            (100.0 * clean).into(),
            (100.0 * training.pair.uniform).into(),
            (100.0 * training.pair.tac).into(),
            training.pair.ratio().into(),
        ]
    });
    Table {
        id: format!("qtaml.tac.{}.trainings", of_net.net.id()),
        title: "What both need, training by training".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}

/// What both need on several networks.
pub fn networks(id: &str, title: String, nets: &[OfNet]) -> Table {
    let columns = [
        "network",
        "Uniform-MSP [% of bits]",
        "TAC [% of bits]",
        "ratio",
        "lower end",
        "upper end",
    ];
    let rows = nets.iter().map(|of_net| -> Vec<Value> {
        let [uniform, tac] = of_net.shares();
        vec![
            of_net.net.title().into(),
            (100.0 * uniform).into(),
            (100.0 * tac).into(),
            of_net.gain.value.into(),
            of_net.gain.interval[0].into(),
            of_net.gain.interval[1].into(),
        ]
    });
    Table {
        id: id.into(),
        title,
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}
