//! Method, figure and tables of the readings.

use qtaml_chart::{Axis, Heatmap};

use super::SOURCE;
use super::measure::{Measured, Tried};
use crate::bench::PROJECTIONS;
use crate::bench::reading::Reading;
use crate::claims::qtaml::tac::networks;
use crate::results::{Figure, Table, Value};
use crate::workloads::networks::Net;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let best = measured.best();
    let in_range = measured.readings.iter().filter(|tried| tried.is_in_range()).count();
    let trainings = measured.judged.first().map_or(0, |of_net| of_net.trainings.len());
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
            "A budget is where mean accuracy crosses 95 % of clean, on the line between two steps of the path. \
             Readings are compared on one training of each network, under {} fault patterns: in {in_range} of \
             them all five ratios lie between {} and {}. The reading in which the network that gains least gains \
             most is “{}”. It is judged on {trainings} other trainings of each network, with other faults and \
             other test images. The value is the least of the five mean ratios; its interval runs from the least \
             lower to the least upper end of five intervals over trainings. `qtaml.tac` is judged by “{}”, which \
             was fixed before.",
            measured.few,
            SOURCE[0],
            SOURCE[1],
            best.reading,
            Reading::FIXED
        ),
    ]
}

fn nets() -> Vec<String> {
    Net::ALL.iter().map(|net| net.title().to_owned()).collect()
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let cells = measured
        .readings
        .iter()
        .map(|tried| tried.nets.iter().map(|pair| Some(pair.ratio())).collect());
    let readings = measured.readings.iter().map(|tried| tried.reading.to_string());
    Figure {
        id: "qtaml.reading.ratios".into(),
        title: "How many times less TAC needs, by reading of the source".into(),
        caption: format!(
            "As derived, the same for TAC and Uniform-MSP. The source says {} to {}. Where neither \
             needs less than everything, the ratio is 1.",
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
    vec![judged(measured), all(measured)]
}

fn all(measured: &Measured) -> Table {
    let row = |tried: &Tried| -> Vec<Value> {
        let ratios = tried.nets.iter().map(|pair| pair.ratio().into());
        let shares = tried.nets.iter().map(|pair| Value::from(100.0 * pair.tac));
        std::iter::once(tried.reading.to_string().into()).chain(ratios).chain(shares).collect()
    };
    let columns = std::iter::once("reading".to_owned());
    let columns = columns.chain(nets().into_iter().map(|net| format!("{net}, ratio")));
    let columns = columns.chain(nets().into_iter().map(|net| format!("{net}, TAC [% of bits]")));
    Table {
        id: "qtaml.reading.all".into(),
        title: "All readings".into(),
        columns: columns.collect(),
        rows: measured.readings.iter().map(row).collect(),
        in_report: true,
    }
}

fn judged(measured: &Measured) -> Table {
    let title = format!("“{}”, judged", measured.best().reading);
    networks("qtaml.reading.judged", title, &measured.judged)
}
