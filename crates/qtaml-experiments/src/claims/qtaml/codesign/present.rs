//! Method, figures and table of co-design.

use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};

use super::measure::{Measured, OfNet, Way};
use super::{OXIDE_NM, PROTECTED, YEARS};
use crate::bench::TARGET;
use crate::results::{Figure, Table, Value};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    vec![format!(
        "From the oxide to the accuracy, end to end: WKB tunneling through SiO2 gives the flip probability of the \
         reference cell after {YEARS} years without a field, both ways alike; networks are read from INT8 words \
         that flip so often, and the flip probability at which they fall below 95 % of clean is turned back into \
         an oxide for {YEARS} years, and into the years that {OXIDE_NM} nm last. Three ways: nothing protected and \
         words as they are; {:.0} % of all bits protected where TAC puts them, ideally; and the same with the \
         gain-corrected Bayes decoder and the range of least error. Mean over {} fault patterns a point. Saved \
         oxide is that of the first less that of the last, in the mean over five networks, one training each, \
         with Student's interval over these. A decade of flip probability is worth the oxide of `physics.decade` \
         whatever the network; what a network adds is how many decades it bears. Other mechanisms of leakage, \
         which rule thick oxides, are not in it.",
        100.0 * PROTECTED,
        measured.patterns
    )]
}

pub(super) fn figures(measured: &Measured) -> Vec<Figure> {
    measured.nets.iter().map(figure).collect()
}

fn figure(of_net: &OfNet) -> Figure {
    let series = of_net.ways.iter().map(|way: &Way| {
        let points = way.oxides.iter().zip(&way.levels);
        let points = points.map(|(&oxide, level)| Point { x: oxide, ..level.point() });
        Series::new(way.name, Mark::LinePoints, points)
    });
    Figure {
        id: format!("qtaml.codesign.{}", of_net.net.id()),
        title: format!("Accuracy of {} by its oxide, after {YEARS} years", of_net.net.phrase()),
        caption: "Means with 95 % intervals over fault patterns.".into(),
        picture: Chart {
            x: Axis::linear("oxide thickness", "nm"),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect(),
            rules: vec![Rule::horizontal(100.0 * TARGET * of_net.clean, "95 % of clean")],
        }
        .into(),
    }
}

pub(super) fn table(measured: &Measured) -> Table {
    let oxide = format!("oxide for {YEARS} years [nm]");
    let years = format!("years with {OXIDE_NM} nm");
    let columns = ["network", "kept by", "largest p", &oxide, &years].map(String::from);
    let rows = measured.nets.iter().flat_map(|of_net| {
        of_net.ways.iter().map(|way| -> Vec<Value> {
            vec![
                of_net.net.title().into(),
                way.name.into(),
                way.bears.into(),
                way.oxide_nm.into(),
                way.years.into(),
            ]
        })
    });
    Table {
        id: "qtaml.codesign.networks".into(),
        title: "What protection buys".into(),
        columns: columns.to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}
