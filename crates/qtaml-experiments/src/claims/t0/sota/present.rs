//! Method, figures and tables of the methods of training.

use anyhow::Result;
use qtaml_chart::{Axis, Chart, Mark, Point, Series};

use super::measure::{Measured, Test};
use super::{BITS, CLEAN, FLIPS};
use crate::results::{Figure, Table, Value};
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::{
    AS_PUBLISHED, PROTECTED, Reading, Setting, TRAINING_FLIPS, matched_in_words, two_digits,
};

pub(super) fn method(measured: &Measured) -> Result<Vec<String>> {
    let Measured { look, networks, matched, best, lead, .. } = measured;
    let published = networks.percent(AS_PUBLISHED, CLEAN)?.value;
    Ok(vec![
        networks.protocol(Net::LeNet),
        format!(
            "T0-QAT as published leaves {published:.0} % without any fault. Its source calls the \
             scaling specific to the data set, so a matched one (ours) is judged: {}. Bit errors (in \
             the manner of RandBET) and WKB noise (ours, normal noise with the exact moments of the \
             faults) train at the same p. STE is the straight-through estimator, LSQ learns its \
             scales, clipping saturates weights beyond half of the largest (ours; established \
             clipping is absolute). Nothing is tuned for this comparison.",
            matched_in_words(*matched)
        ),
        format!(
            "The best of the nine at p = {TRAINING_FLIPS}, picked on these same seeds, is “{best}”: \
             {:.1} points [{:.1}, {:.1}] ahead of matched T0-QAT. ξ enters matched noise only as a \
             unit: another constant with another scaling is the same noise. Tests are Student's, \
             paired by seed; ranks of so few pairs (Wilcoxon) can never be significant after \
             correction.{look}",
            lead.difference, lead.interval[0], lead.interval[1]
        ),
        format!(
            "Compensation knows p and needs no training: a Bayes table with its gain corrected for \
             each tensor, and with it {:.0} % of all bits protected ideally where TAC puts them. \
             Methods and readings meet the same fault patterns. The memory never writes the \
             outermost negative code, −8, which LSQ may use: it is stored as −7.",
            100.0 * PROTECTED
        ),
    ])
}

pub(super) fn figure(
    measured: &Measured,
    reading: Reading,
    id: &str,
    title: &str,
) -> Result<Figure> {
    let Measured { names, networks, .. } = measured;
    let series = names.iter().map(|name| {
        let point = |p: f64| -> Result<Point> {
            Ok(networks.percent(name, Setting { bits: BITS, p, reading })?.percent_at(p))
        };
        let points = FLIPS.into_iter().map(point).collect::<Result<Vec<_>>>()?;
        Ok(Series::new(name, Mark::LinePoints, points))
    });
    let compensated = match reading {
        Reading::Raw => String::new(),
        _ => format!(" Bayes tables, {:.0} % of all bits protected by TAC.", 100.0 * PROTECTED),
    };
    Ok(Figure {
        id: format!("t0.sota.{id}"),
        title: title.into(),
        caption: format!(
            "INT4, mean over {} training seeds with 95 % intervals.{compensated}",
            networks.seeds
        ),
        picture: Chart {
            x: Axis::log10("flip probability p", ""),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect::<Result<_>>()?,
            rules: vec![],
        }
        .into(),
    })
}

pub(super) fn accuracy_table(measured: &Measured) -> Result<Table> {
    let readings = [("raw", Reading::Raw), ("Bayes", Reading::Bayes), ("TAC", Reading::Tac)];
    let mut columns = vec!["method".to_owned(), "no faults".into()];
    let mut settings = vec![CLEAN];
    for p in [TRAINING_FLIPS, 0.1] {
        for (name, reading) in readings {
            columns.push(format!("p = {p}, {name}"));
            settings.push(Setting { bits: BITS, p, reading });
        }
    }
    let row = |name: &&'static str| -> Result<Vec<Value>> {
        let of =
            |setting: &Setting| Ok(two_digits(measured.networks.percent(name, *setting)?.value));
        std::iter::once(Ok((*name).into())).chain(settings.iter().map(of)).collect()
    };
    Ok(Table {
        id: "t0.sota.accuracy".into(),
        title: "Accuracy in percent, INT4".into(),
        columns,
        rows: measured.names.iter().map(row).collect::<Result<_>>()?,
        in_report: true,
    })
}

pub(super) fn test_table(measured: &Measured) -> Table {
    let row = |Test { other, paired, p }: &Test| -> Vec<Value> {
        let [low, high] = paired.interval;
        let points = [paired.difference, low, high, paired.effect].map(two_digits);
        let name = std::iter::once((*other).into());
        name.chain(points).chain(std::iter::once((*p).into())).collect()
    };
    let columns = [
        "matched T0-QAT against",
        "points ahead",
        "low",
        "high",
        "effect size",
        "p, t-test (Holm)",
    ];
    Table {
        id: "t0.sota.tests".into(),
        title: format!("Matched T0-QAT against each other method, raw, p = {TRAINING_FLIPS}"),
        columns: columns.map(String::from).to_vec(),
        rows: measured.tests.iter().map(row).collect(),
        in_report: true,
    }
}
