//! Method, figure and tables of the forecast of the gain.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::forecast::{Candidate, correlation_within, of_candidate, of_constant};
use super::measure::Measured;
use super::{CLASSES, DISAGREEMENT, PATTERNS};
use crate::bench::reading::Reading;
use crate::results::{Figure, Table, Value};
use crate::workloads::networks::Net;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let best = measured.best.map_or("none", Candidate::label);
    vec![
        format!(
            "The source says that its saturation ratio is closed-form and computed before any simulation; the \
             formula is not in its abstract, so candidates compete. All ask how many protected bits bring the \
             predicted output noise down to τ, the noise at which {:.0} % of the predictions would change: with \
             normal noise of total power τ over {CLASSES} scores, the two highest swap with probability \
             Q(m / √(2τ/10)) where m is their lead on a calibration image. No labels and no faults are involved. \
             “Water-filling” is the ratio of budgets over continuous bits; “exact curves” has the exact error of \
             every number of protected bits in its place; “unsaturated” counts the bits of layers that have some \
             and fewer than the most; “protected” counts weights in place of bits; the coding gain holds at \
             large budgets.",
            100.0 * DISAGREEMENT,
        ),
        format!(
            "Measured is the ratio of the budgets at which accuracy crosses 95 % of what the codes keep without \
             faults, each between two steps of its path, under {PATTERNS} fault patterns, on {} networks: the five, \
             and perceptrons from 64 to 1024 wide. Ranges and decoder are those of “{}”, for bits that leak its \
             way and both ways. Cases in which no bit or every bit is needed are left out.",
            measured.nets,
            Reading::FIXED
        ),
        format!(
            "A forecast has to beat a constant: the geometric mean of what was measured on all other networks. \
             Judged are the forecasts of the candidate that did best on all other networks, so that none is \
             chosen by what it is judged by; the value is the mean distance of their logarithms from those of \
             the measured ratios, over that of the constant. The interval is a bootstrap over networks, as cases \
             of one are alike, and rough, as they are few. On all cases “{best}” does best; within cases of one \
             width, flip probability and leakage its rank correlation over networks is {:.2} [{:.2}, {:.2}].",
            measured.within, measured.within_interval[0], measured.within_interval[1]
        ),
    ]
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let best = measured.best.unwrap_or(Candidate::ClosedForm);
    let points = |nets: &[Net]| -> Vec<(f64, f64)> {
        let of = measured.cases.iter().filter(|case| nets.iter().any(|net| net.id() == case.net));
        of.filter_map(|case| Some((case.forecast(best)?, case.measured))).collect()
    };
    let mut series: Vec<Series> = Net::ALL
        .iter()
        .map(|net| Series::new(net.title(), Mark::Points, points(&[*net])))
        .collect();
    series.push(Series::new("perceptrons", Mark::Points, points(&Net::MLPS)));
    Figure {
        id: "qtaml.rho.forecast".into(),
        title: "Gain of TAC over Uniform-MSP, forecast and measured".into(),
        caption: format!(
            "By “{}”, which does best on all cases. One point for each width, flip probability and leakage; on \
             the line the forecast is exact.",
            best.label()
        ),
        picture: Chart {
            x: Axis::log10("ρ*, forecast", ""),
            y: Axis::log10("ratio of budgets, measured", ""),
            series,
            rules: vec![Rule::diagonal("equal")],
        }
        .into(),
    }
}

pub(super) fn tables(measured: &Measured) -> Vec<Table> {
    vec![candidates(measured), cases(measured)]
}

fn candidates(measured: &Measured) -> Table {
    let all = measured.all();
    let row = |candidate: Candidate| -> Vec<Value> {
        let (of, constant) = (of_candidate(&all, candidate), of_constant(&all, candidate));
        vec![
            candidate.label().into(),
            of.count().into(),
            of.error().into(),
            constant.error().into(),
            of.over(&constant).into(),
            correlation_within(&all, candidate).map_or(Value::Text(String::new()), Value::Number),
        ]
    };
    let columns = [
        "candidate",
        "cases with an answer",
        "typically off by a factor of",
        "a constant, on these",
        "error over that of a constant",
        "rank correlation within a setting",
    ];
    Table {
        id: "qtaml.rho.candidates".into(),
        title: "Candidates".into(),
        columns: columns.map(String::from).to_vec(),
        rows: Candidate::ALL.into_iter().map(row).collect(),
        in_report: true,
    }
}

fn cases(measured: &Measured) -> Table {
    let columns = ["network", "bits", "p", "leakage"].into_iter().map(String::from);
    let columns = columns.chain(Candidate::ALL.map(|candidate| candidate.label().to_owned()));
    let optional = |value: &Option<f64>| value.map_or(Value::Text(String::new()), Value::Number);
    let rows = measured.cases.iter().map(|case| -> Vec<Value> {
        let mut row = vec![
            case.net.as_str().into(),
            case.bits.into(),
            case.p.into(),
            case.leakage.as_str().into(),
        ];
        row.extend(case.forecasts.iter().map(optional));
        row.push(case.measured.into());
        row
    });
    Table {
        id: "qtaml.rho.cases".into(),
        title: "Every case".into(),
        columns: columns.chain(["measured".to_owned()]).collect(),
        rows: rows.collect(),
        in_report: false,
    }
}
