//! Method, figures and tables of the noise in training.

use qtaml::physics::XI;
use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::{LOSSES, Measured, Ratio};
use super::verdict::significant;
use super::{LEVEL, SCALINGS, SETTINGS, SOURCE_RATIO};
use crate::results::{Figure, Table, Value};
use crate::workloads::networks::Net;
use crate::workloads::qat_nets::two_digits;
use crate::workloads::regressions::XI_SCALING;

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let Ratio { value: ratio, interval: [low, high] } = measured.over_neighbours;
    let found = SETTINGS.iter().enumerate().map(|(setting, (name, _))| {
        let [helps, hurts] = significant(measured, setting).map(|scalings| list(&scalings));
        format!(" {name}: helps at {helps}; hurts at {hurts}.")
    });
    let found: String = found.collect();
    vec![
        format!(
            "The layers are those of Table 1, {} tasks a scaling, with the choices made there \
             where the source is silent. The measured number is the loss under noise of layers \
             trained with s = 80000 over that of layers trained without noise. The source's own \
             table has {SOURCE_RATIO:.2}; it argues from the drop, which no training changes \
             (t0.drop_law).",
            measured.tasks
        ),
        format!(
            "Is anything special at 80000? The loss under noise there is {ratio:.3} times [{low:.3}, \
             {high:.3}] the mean of those at 60000 and 100000; on a straight line between them it \
             would be 1.",
        ),
        measured.networks.protocol(Net::LeNet),
        format!(
            "The noise is absolute, as in the source, on weights and biases. What it does to \
             accuracy, paired by seed against s = 0, p below {LEVEL} after Holm's correction over \
             the scalings.{found}"
        ),
    ]
}

fn list(scalings: &[f64]) -> String {
    if scalings.is_empty() {
        return "none of them".into();
    }
    let scalings: Vec<String> = scalings.iter().map(f64::to_string).collect();
    format!("s = {}", scalings.join(", "))
}

pub(super) fn loss_figure(measured: &Measured) -> Figure {
    let series = LOSSES.iter().enumerate().map(|(loss, (name, _))| {
        let points = SCALINGS.iter().zip(&measured.losses).skip(1);
        let points = points
            .map(|((scaling, _), losses)| (*scaling, losses[loss].value, losses[loss].interval));
        Series::new(name, Mark::LinePoints, points)
    });
    let plain = measured.losses[0][1].value;
    Figure {
        id: "t0.noise_sweep.loss".into(),
        title: "Loss of the source's layer against the scaling of ξ".into(),
        caption:
            "Mean over tasks with 95 % intervals. Noise in training leaves the distance between \
                  the loss in full precision and under noise as it is, and lifts both."
                .into(),
        picture: Chart {
            x: Axis::log10("scaling s", ""),
            y: Axis::log10("mean square error", ""),
            series: series.collect(),
            rules: vec![
                Rule::vertical(XI_SCALING, "80000"),
                Rule::horizontal(plain, "under noise, s = 0"),
            ],
        }
        .into(),
    }
}

pub(super) fn accuracy_figure(measured: &Measured) -> Figure {
    let series = SETTINGS.iter().enumerate().map(|(setting, (name, _))| {
        let points = SCALINGS.iter().zip(&measured.accuracy).skip(1);
        let points = points.map(|((scaling, _), means)| means[setting].percent_at(*scaling));
        Series::new(name, Mark::LinePoints, points)
    });
    let rule = |setting: usize| {
        let plain = measured.accuracy[0][setting].value;
        Rule::horizontal(plain, &format!("{}, s = 0", SETTINGS[setting].0))
    };
    Figure {
        id: "t0.noise_sweep.accuracy".into(),
        title: "Accuracy of LeNet against the scaling of ξ".into(),
        caption: format!(
            "Mean over {} training seeds with 95 % intervals. Ten classes: chance is 10 %.",
            measured.networks.seeds
        ),
        picture: Chart {
            x: Axis::log10("scaling s", ""),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series: series.collect(),
            rules: vec![Rule::vertical(XI_SCALING, "80000"), rule(2)],
        }
        .into(),
    }
}

pub(super) fn loss_table(measured: &Measured) -> Table {
    let columns = [
        "s",
        "noise ξs",
        "loss, full precision",
        "loss under noise 0.5",
        "low",
        "high",
        "drop under noise",
        "loss, INT4",
    ];
    let rows = SCALINGS.iter().zip(&measured.losses).map(|((scaling, _), [full, noisy, int4])| {
        let ([low, high], drop) = (noisy.interval, noisy.value - full.value);
        let all = [*scaling, XI * scaling, full.value, noisy.value, low, high, drop, int4.value];
        all.map(Value::from).to_vec()
    });
    Table {
        id: "t0.noise_sweep.losses".into(),
        title: "The source's layer".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}

pub(super) fn accuracy_table(measured: &Measured) -> Table {
    let mut tests = vec![vec!["".into(), "".into(), "".into(), "".into()]];
    for (gain, p) in &measured.gains[2] {
        let [low, high] = gain.interval;
        let mut test = [gain.difference, low, high].map(two_digits).to_vec();
        test.push((*p).into());
        tests.push(test);
    }
    let rows = SCALINGS.iter().zip(&measured.accuracy).zip(tests);
    let rows = rows.map(|(((scaling, _), means), test)| -> Vec<Value> {
        let scaling = [*scaling, XI * scaling].map(Value::from);
        let accuracies = means.map(|mean| two_digits(mean.value));
        scaling.into_iter().chain(accuracies).chain(test).collect()
    });
    let columns = ["s", "noise ξs"].into_iter().chain(SETTINGS.map(|(name, _)| name)).chain([
        "gain there [points]",
        "low",
        "high",
        "p, t-test (Holm)",
    ]);
    Table {
        id: "t0.noise_sweep.accuracies".into(),
        title: "Accuracy of LeNet in percent".into(),
        columns: columns.map(String::from).collect(),
        rows: rows.collect(),
        in_report: true,
    }
}
