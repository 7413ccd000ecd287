//! Method, figure and table of the width of networks.

use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};

use super::measure::Measured;
use crate::bench::reading::Reading;
use crate::claims::qtaml::tac::{SOURCE, networks};
use crate::results::{Figure, Table};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let trainings = measured.nets.first().map_or(0, |of_net| of_net.trainings.len());
    vec![format!(
        "Perceptrons with two hidden layers of one width span two orders of magnitude in size, and the ratio of \
         their layers changes with it: the one in the middle grows with the square of the width, the others in \
         proportion. Each is trained {trainings} times and judged as the networks of `qtaml.tac`, in the reading \
         “{}”. The value is the gain of the widest over that of the narrowest, training by training; the interval \
         is Student's t on its logarithms.",
        Reading::FIXED
    )]
}

pub(super) fn figure(measured: &Measured) -> Figure {
    let points = measured.nets.iter().enumerate().map(|(place, of_net)| Point {
        x: place as f64,
        y: of_net.gain.value,
        interval: Some(of_net.gain.interval),
    });
    Figure {
        id: "qtaml.width.gain".into(),
        title: "How many times less TAC as derived needs, by the width of a perceptron".into(),
        caption: "Geometric mean over trainings, with 95 % intervals. The lines are the ends of the source's range."
            .into(),
        picture: Chart {
            x: Axis::named("network", measured.nets.iter().map(|of_net| of_net.net.title())),
            y: Axis::log10("times less", ""),
            series: vec![Series::new("TAC as derived", Mark::LinePoints, points.collect::<Vec<_>>())],
            rules: SOURCE.map(|end| Rule::horizontal(end, &format!("{end}"))).to_vec(),
        }
        .into(),
    }
}

pub(super) fn table(measured: &Measured) -> Table {
    networks("qtaml.width.networks", "By width".into(), &measured.nets)
}
