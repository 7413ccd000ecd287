//! Method, figures and tables of the distance to the bound.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::{Load, Measured, Surveyed, decibels};
use super::{BITS, CLIFF_BLOCKS, DRAWN, DRAWS, GUESSES, P, WEIGHTS};
use crate::results::{Figure, Table, Value};

pub(super) fn method() -> Vec<String> {
    vec![
        "Weights are normal. A memory whose bits flip with probability p carries C = 1 - H2(p) bits \
         per stored bit, so no code of any length leaves less than 2^(-2RC) of the variance with R \
         stored bits per weight (Shannon's optimum performance theoretically attainable, OPTA). \
         Distances are 10 lg of the mean square error over that bound."
            .into(),
        format!(
            "Words are channel-optimised codebooks, one weight at a time; their error is exact. \
             Sequences quantize {WEIGHTS} weights with one step, entropy code them, and protect \
             blocks of up to 8 KiB by an irregular repeat-accumulate code; their error is that of \
             one draw of weights and faults, lost blocks included. The claim takes {DRAWS} draws of \
             both, with Student's interval. Scale and step, 65 bits a sequence, are not counted."
        ),
        format!(
            "A wrong guess: a code is made for one memory and used in another. For words that is \
             exact; for sequences it is the mean over {CLIFF_BLOCKS} blocks of 1 KiB, which are \
             read or lost as a whole. Times are of this run on its machine, and no part of results.json, which \
             does not depend on them."
        ),
    ]
}

pub(super) fn distance_figure(survey: &[Surveyed]) -> Figure {
    let curve = |name: &str, bits: u32, error: fn(&Surveyed) -> f64| {
        let points = survey.iter().filter(|point| point.bits == bits);
        let points = points.map(|point| (point.p, decibels(error(point) / point.bound)));
        Series::new(&format!("{name}, {bits} bits"), Mark::LinePoints, points.collect::<Vec<_>>())
    };
    let words = DRAWN.map(|bits| curve("words", bits, |point| point.words));
    let sequences = DRAWN.map(|bits| curve("sequences", bits, |point| point.sequences));
    Figure {
        id: "ours.opta.distance".into(),
        title: "Distance to Shannon's bound".into(),
        caption: "How far the mean square error of normal weights lies above the least possible. \
                  Words, one weight at a time, fall behind where there are many bits; sequences \
                  keep a distance of a few decibels."
            .into(),
        picture: Chart {
            x: Axis::log10("flip probability per stored bit", ""),
            y: Axis::linear("above the bound", "dB"),
            series: words.into_iter().chain(sequences).collect(),
            rules: vec![Rule::horizontal(0.0, "Shannon's bound")],
        }
        .into(),
    }
}

pub(super) fn rate_figure(measured: &Measured) -> Figure {
    let at = |error: fn(&Surveyed) -> f64| -> Vec<(f64, f64)> {
        let points = measured.survey.iter().filter(|point| point.p == P);
        points.map(|point| (f64::from(point.bits), -decibels(error(point)))).collect()
    };
    let limit = measured.limit.iter().enumerate();
    let limit = limit.map(|(bits, error)| (bits as f64, -decibels(*error)));
    Figure {
        id: "ours.opta.rate".into(),
        title: format!("What a stored bit buys at p = {P}"),
        caption: "Variance of normal weights over their mean square error when read.".into(),
        picture: Chart {
            x: Axis::linear("stored bits per weight", ""),
            y: Axis::linear("signal over error", "dB"),
            series: vec![
                Series::new("Shannon's bound", Mark::Line, limit),
                Series::new("sequences", Mark::LinePoints, at(|point| point.sequences)),
                Series::new("words", Mark::LinePoints, at(|point| point.words)),
            ],
            rules: vec![],
        }
        .into(),
    }
}

pub(super) fn mismatch_figure(measured: &Measured) -> Figure {
    let words = GUESSES.iter().zip(&measured.guesses).map(|(made_for, curve)| {
        Series::new(&format!("words made for {made_for}"), Mark::Line, curve.iter().copied())
    });
    let sequences = measured.cliff.iter().copied();
    let sequences = Series::new(&format!("sequences made for {P}"), Mark::LinePoints, sequences);
    Figure {
        id: "ours.opta.mismatch".into(),
        title: "A wrong guess of the flip probability".into(),
        caption: format!(
            "Mean square error over variance of codes of {BITS} bits a weight, made for one memory \
             and used in another. A code for a worse memory wastes precision in a better one, and a \
             code for a better memory is hurt. Words get worse by degrees; sequences lose whole \
             blocks just beyond the memory they are made for."
        ),
        picture: Chart {
            x: Axis::log10("flip probability of the memory", ""),
            y: Axis::log10("error over variance", ""),
            series: words.chain([sequences]).collect(),
            rules: vec![Rule::horizontal(1.0, "zeros instead of weights")],
        }
        .into(),
    }
}

pub(super) fn survey_table(survey: &[Surveyed]) -> Table {
    let columns = ["p", "stored bits", "bound [dB]", "words [dB]", "sequences [dB]"];
    let row = |point: &Surveyed| -> Vec<Value> {
        let signal = |error: f64| Value::from(-decibels(error));
        let (bound, words, sequences) = (point.bound, point.words, point.sequences);
        vec![point.p.into(), point.bits.into(), signal(bound), signal(words), signal(sequences)]
    };
    Table {
        id: "ours.opta.survey".into(),
        title: "Signal over error of normal weights".into(),
        columns: columns.map(String::from).to_vec(),
        rows: survey.iter().map(row).collect(),
        in_report: true,
    }
}

/// Seconds for a million weights on all threads.
pub(super) fn load_table(loads: &[Load]) -> Table {
    let columns = ["flip probability", "words [s]", "sequences [s]"];
    let row = |load: &Load| [load.p, load.words, load.sequences].map(Value::from).to_vec();
    Table {
        id: "ours.opta.load".into(),
        title: format!("Seconds to load a million weights of {BITS} bits, on this run's machine"),
        columns: columns.map(String::from).to_vec(),
        rows: loads.iter().map(row).collect(),
        in_report: true,
    }
}
