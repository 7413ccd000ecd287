//! Method, figures and table of the first-order model.

use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};

use super::measure::{Compared, Trial};
use super::slopes::{Slope, Slopes};
use super::{ALONE, NEAR, SMALL};
use crate::results::{Figure, Table, Value};
use crate::stats::Mean;
use crate::workloads::networks::Net;

pub(super) fn method(trial: &Trial, slopes: &Slopes) -> Vec<String> {
    let Slopes { largest, jacobian, correlation, layers } = slopes;
    let ends = |slope: &Slope| {
        format!("{:.2} [{:.2}, {:.2}]", slope.value, slope.interval[0], slope.interval[1])
    };
    vec![
        format!(
            "The source says that errors depend on the layer, through the infinity norm of its weights and the \
             Jacobian, and gives no number. Each of {} layers of the five networks is read with faults alone, p = \
             {ALONE}, INT8, words as they are, and the squared change of the scores is regressed on the squares of \
             its largest weight and of the norm of its Jacobian, in logarithms and within networks. To first order \
             both slopes are 1, if layers hold their codes alike. Found are {} and {}, with a correlation of \
             {correlation:.3}. Judged is whether both are above 0; intervals are those of the regression.",
            layers.len(),
            ends(largest),
            ends(jacobian)
        ),
        format!(
            "LeNet is stored as INT8 and read with independent faults, {} times for each p up to \
             {SMALL:e} and {} times beyond. The scores of {} calibration images vary from one \
             reading to the next; their total variance per image is compared with the closed form, \
             in which ‖J_l‖² is Hutchinson's estimate at the stored weights and Var_l the exact \
             variance of the layer's codes. Intervals hold the spread over fault patterns and that \
             of the Jacobian's estimate.",
            trial.patterns(SMALL),
            trial.patterns(1.0),
            trial.images
        ),
        "A first-order model needs small errors, and rare ones are not small: a flipped sign bit \
         moves a weight by the largest weight of its layer however seldom it happens. So the same \
         sweep is done twice: with every bit exposed, and with the top four bits protected, where \
         no error exceeds an eighth of the largest weight."
            .into(),
        format!(
            "Whether the first-order model is accurate is another question, on which the source says \
             nothing: here it counts as near where the interval of the relative error reaches down to {} %.",
            100.0 * NEAR
        ),
    ]
}

pub(super) fn slope_figure(slopes: &Slopes) -> Figure {
    let of_net = |net: Net| {
        let layers = slopes.layers.iter().filter(move |layer| layer.net == net);
        let points = layers.map(|layer| (layer.largest.powi(2) * layer.jacobian, layer.change));
        Series::new(net.title(), Mark::Points, points)
    };
    Figure {
        id: "qtaml.layer.slopes".into(),
        title: "What faults in one layer do, by its largest weight and its Jacobian".into(),
        caption: format!("One point a layer, exposed alone, p = {ALONE}."),
        picture: Chart {
            x: Axis::log10("‖W‖∞² ‖J‖²", ""),
            y: Axis::log10("squared change of the scores", ""),
            series: Net::ALL.into_iter().map(of_net).collect(),
            rules: vec![],
        }
        .into(),
    }
}

pub(super) fn slope_table(slopes: &Slopes) -> Table {
    let columns = ["network", "layer", "largest weight", "‖J‖²", "squared change of the scores"];
    let rows = slopes.layers.iter().map(|layer| -> Vec<Value> {
        vec![
            layer.net.title().into(),
            layer.name.as_str().into(),
            layer.largest.into(),
            layer.jacobian.into(),
            layer.change.into(),
        ]
    });
    Table {
        id: "qtaml.layer.layers".into(),
        title: "Layer by layer".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: false,
    }
}

pub(super) fn ratio_figure(rare: &[Compared], fine: &[Compared]) -> Figure {
    let series = |name: &str, rows: &[Compared]| {
        let point = |c: &Compared| {
            let (ratio, interval) = c.ratio();
            Point::from((c.p, ratio, interval))
        };
        Series::new(name, Mark::Points, rows.iter().map(point).collect::<Vec<_>>())
    };
    Figure {
        id: "qtaml.layer.ratio".into(),
        title: "Output variance, sampled over predicted".into(),
        caption:
            "The dashed line is the first-order model. Bars are 95 % intervals over fault patterns."
                .into(),
        picture: Chart {
            x: Axis::log10("flip probability", ""),
            y: Axis::log10("sampled / predicted variance", ""),
            series: vec![
                series("every bit exposed", rare),
                series("top four bits protected", fine),
            ],
            rules: vec![Rule::horizontal(1.0, "")],
        }
        .into(),
    }
}

pub(super) fn layer_figure(alone: &[Compared]) -> Figure {
    let series = |c: &Compared| {
        let Mean { value, interval, .. } = c.sampled;
        Series::new(&c.what, Mark::Points, [Point::from((c.predicted, value, interval))])
    };
    let ends = alone.iter().map(|c| c.predicted);
    let line = [ends.clone().fold(f64::INFINITY, f64::min), ends.fold(0.0, f64::max)];
    let model = Series::new("first-order model", Mark::Line, line.map(|x| (x, x)));
    Figure {
        id: "qtaml.layer.alone".into(),
        title: format!("One faulty layer at a time, p = {ALONE:e}"),
        caption: "Variance of the scores per image when only this layer is read with faults."
            .into(),
        picture: Chart {
            x: Axis::log10("predicted variance", ""),
            y: Axis::log10("sampled variance", ""),
            series: std::iter::once(model).chain(alone.iter().map(series)).collect(),
            rules: vec![],
        }
        .into(),
    }
}

pub(super) fn table(id: &str, title: &str, groups: &[&[Compared]]) -> Table {
    let row = |c: &Compared| {
        let (ratio, [low, high]) = c.ratio();
        vec![
            c.what.as_str().into(),
            c.p.into(),
            c.predicted.into(),
            c.sampled.value.into(),
            ratio.into(),
            low.into(),
            high.into(),
        ]
    };
    Table {
        id: id.into(),
        title: title.into(),
        columns: ["faults", "p", "predicted", "sampled", "ratio", "95 % from", "to"]
            .map(String::from)
            .to_vec(),
        rows: groups.iter().flat_map(|group| group.iter().map(row)).collect(),
        in_report: true,
    }
}
