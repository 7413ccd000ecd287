//! Method, figures and table of the limit of precision.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::{Measured, OfNet, bits_of_xi};
use super::{TOLERANCE, WIDTHS};
use crate::results::{Figure, Table, Value};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    vec![format!(
        "The source calls ξ a fundamental precision limit below which more or fewer bits make little difference. \
         If so, something should happen where a step of the codes is ξ of their range, at {:.1} bits. Weights of \
         five networks are rounded to 2 to 16 bits, one scale a tensor, without faults. The value is the fewest \
         bits from which on accuracy stays within {TOLERANCE} point of floating point, in the mean over networks, \
         with Student's interval over {} trainings, each with test images of its own. The second figure asks \
         without any threshold: the squared change of the scores falls by a factor of four with every bit as long \
         as rounding is what changes them, and would level off at a limit of precision.",
        bits_of_xi(),
        measured.trainings
    )]
}

pub(super) fn figures(measured: &Measured) -> Vec<Figure> {
    let series = |of: fn(&OfNet) -> &[f64]| -> Vec<Series> {
        let of_net = |net: &OfNet| {
            let points = WIDTHS.map(f64::from).zip(of(net).iter().copied());
            Series::new(net.net.title(), Mark::LinePoints, points.filter(|(_, y)| y.is_finite()))
        };
        measured.nets.iter().map(of_net).collect()
    };
    let xi = || vec![Rule::vertical(bits_of_xi(), "ξ")];
    vec![
        Figure {
            id: "t0.precision_limit.lost".into(),
            title: "Accuracy that rounding loses".into(),
            caption: "Mean over trainings; no faults.".into(),
            picture: Chart {
                x: Axis::linear("bits of a weight", ""),
                y: Axis::linear("lost accuracy", "points"),
                series: series(|net| &net.lost),
                rules: xi(),
            }
            .into(),
        },
        Figure {
            id: "t0.precision_limit.change".into(),
            title: "Change of the scores by rounding".into(),
            caption: "Relative change of all scores of the calibration images.".into(),
            picture: Chart {
                x: Axis::linear("bits of a weight", ""),
                y: Axis::log10("relative change", ""),
                series: series(|net| &net.change),
                rules: xi(),
            }
            .into(),
        },
    ]
}

pub(super) fn table(measured: &Measured) -> Table {
    let columns = std::iter::once("bits".to_owned());
    let columns = columns
        .chain(measured.nets.iter().map(|net| format!("{}, lost [points]", net.net.title())));
    let columns =
        columns.chain(measured.nets.iter().map(|net| format!("{}, change", net.net.title())));
    let row = |(i, bits): (usize, u32)| -> Vec<Value> {
        let lost = measured.nets.iter().map(|net| net.lost[i].into());
        let change = measured.nets.iter().map(|net| net.change[i].into());
        std::iter::once(bits.into()).chain(lost).chain(change).collect()
    };
    Table {
        id: "t0.precision_limit.widths".into(),
        title: "By width".into(),
        columns: columns.collect(),
        rows: WIDTHS.enumerate().map(row).collect(),
        in_report: true,
    }
}
