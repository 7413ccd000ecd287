//! The figures and tables of one network.

use anyhow::Result;
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder, Score};
use qtaml::deploy::Recalibration;
use qtaml_chart::{Axis, Chart, Heatmap, Mark, Point, Rule, Series};

use super::bench::Bench;
use super::scheme::{Allocator, Scheme};
use super::{TARGET, Trials, Tried};
use crate::results::{Figure, Table, Value};
use crate::stats::mean;

/// Shares of all bits at which curves are drawn.
const BUDGETS: [f64; 11] = [0.0, 0.015, 0.03, 0.05, 0.075, 0.1, 0.125, 0.1875, 0.25, 0.375, 0.5];
/// Flip probabilities of the sweep.
const SWEEP: [f64; 8] = [1e-4, 1e-3, 5e-3, 0.02, 0.05, 0.1, 0.14, 0.2];

/// All figures.
pub(super) fn all(trials: &Trials<'_>) -> Result<Vec<Figure>> {
    Ok(vec![
        pareto(trials)?,
        sweep(trials)?,
        protection(trials),
        sensitivity(trials)?,
        noise(trials)?,
    ])
}

/// All tables.
pub(super) fn tables(trials: &Trials<'_>) -> Result<Vec<Table>> {
    Ok(vec![ablation(trials), layers(trials)?, every_trial(trials)])
}

fn id(trials: &Trials<'_>, what: &str) -> String {
    format!("qtaml.tac.{}.{what}", trials.bench.net.id())
}

/// Accuracy in percent with its interval, as a point at `x`.
pub fn percent(x: f64, accuracy: &[f64]) -> Result<Point> {
    let mean = mean(accuracy)?;
    let interval = mean.interval.map(|bound| (100.0 * bound).clamp(0.0, 100.0));
    Ok(Point { x, y: 100.0 * mean.value, interval: Some(interval) })
}

/// The baseline, the same with the decoder of the best, TAC as derived, and the best.
fn shown<'a>(trials: &'a Trials<'_>) -> [&'a Tried; 4] {
    [trials.baseline(), trials.alike(), trials.derived(), trials.best()]
}

fn pareto(trials: &Trials<'_>) -> Result<Figure> {
    let (bench, best) = (&trials.bench, trials.best());
    let task = bench.context.progress.task(&format!("{} curves", bench.net.id()), 4);
    let mut series = Vec::new();
    // Whole names of schemes are longer than the figure is wide; the caption has that of the best.
    let names =
        ["Uniform-MSP, raw", "Uniform-MSP, read as the best", "TAC as derived", "TAC, best"];
    for (tried, name) in shown(trials).into_iter().zip(names) {
        let (path, bits) = (tried.stored.path(), tried.stored.weight_bits());
        let mut steps: Vec<usize> = match tried.stored.scheme.allocator {
            Allocator::Uniform => (0..path.len()).collect(),
            Allocator::Tac(_) => {
                let within = |share: &f64| path.step_within((share * bits) as u64);
                BUDGETS.iter().map(within).collect::<Result<_, _>>()?
            }
        };
        steps.push(tried.search().step);
        steps.sort_unstable();
        steps.dedup();
        let point = |&step: &usize| {
            let allocation = path.at(step);
            let accuracy =
                bench.accuracies(&tried.stored, allocation.selection(), 0..bench.drawn)?;
            percent(100.0 * path.cost(step) as f64 / bits, &accuracy)
        };
        let points = steps.iter().map(point).collect::<Result<Vec<_>>>()?;
        series.push(Series::new(name, Mark::LinePoints, points));
        task.tick(1);
    }
    Ok(Figure {
        id: id(trials, "budget"),
        title: "Accuracy against protected bits".into(),
        caption: format!(
            "Mean over {} of the fault patterns that schemes are compared under, with 95 % intervals. \
             Under those that judge, “{}” reaches the dashed line with {:.2} % of all bits \
             protected, Uniform-MSP with {:.1} %.",
            bench.drawn,
            best.stored.scheme,
            100.0 * best.overhead(),
            100.0 * trials.baseline().overhead()
        ),
        picture: Chart {
            x: Axis::linear("protected share of all bits", "%").between(0.0, 50.0),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series,
            rules: vec![Rule::horizontal(100.0 * TARGET * trials.clean, "95 % of clean")],
        }
        .into(),
    })
}

/// Accuracy over flip probabilities: without protection, and with that of a fixed budget.
fn sweep(trials: &Trials<'_>) -> Result<Figure> {
    let (bench, best) = (&trials.bench, trials.best());
    let (uniform, scheme) = (Scheme::uniform(), &best.stored.scheme);
    let eighth = trials.baseline().stored.weight_bits() as u64 / 8;
    let [raw, alike] = exposed_and_protected(bench, &uniform, eighth)?;
    let [decoded, planned] = exposed_and_protected(bench, scheme, best.search().cost)?;
    let planned_name = format!("TAC, best, {:.1} % of bits", 100.0 * best.overhead());
    let series = [
        ("unprotected, raw", raw),
        ("unprotected, read as the best", decoded),
        ("Uniform-MSP, 12.5 % of bits", alike),
        (&planned_name, planned),
    ]
    .map(|(name, points)| Series::new(name, Mark::LinePoints, points))
    .to_vec();
    Ok(Figure {
        id: id(trials, "sweep"),
        title: "Accuracy against flip probability".into(),
        caption: format!(
            "Mean over {} of the fault patterns that schemes are compared under, with 95 % intervals. \
             Tables, ranges and allocations are made for each flip probability; budgets are not.",
            bench.drawn
        ),
        picture: Chart {
            x: Axis::log10("flip probability per stored bit", ""),
            y: Axis::linear("accuracy", "%").between(0.0, 100.0),
            series,
            rules: vec![Rule::horizontal(100.0 * TARGET * trials.clean, "95 % of clean")],
        }
        .into(),
    })
}

/// Accuracy over flip probabilities, without protection and with what the budget pays for.
fn exposed_and_protected(
    bench: &Bench<'_>,
    scheme: &Scheme,
    budget: u64,
) -> Result<[Vec<Point>; 2]> {
    let sweep = &SWEEP[..bench.context.size(SWEEP.len(), 2)];
    let name = format!("{} sweep, {}", bench.net.id(), scheme.decoder);
    let task = bench.context.progress.task(&name, sweep.len() as u64);
    let mut points = [Vec::new(), Vec::new()];
    for &p in sweep {
        let stored = bench.store(scheme, p, Accounting::ProtectedBits)?;
        let path = stored.path();
        for (points, budget) in points.iter_mut().zip([0, budget]) {
            let chosen = path.at(path.step_within(budget)?);
            points
                .push(percent(p, &bench.accuracies(&stored, chosen.selection(), 0..bench.drawn)?)?);
        }
        task.tick(1);
    }
    Ok(points)
}

/// The tensors of a network, in order.
fn tensors(tried: &Tried) -> Vec<String> {
    let mut names: Vec<String> =
        tried.stored.model.groups().iter().map(|stored| stored.tensor.to_string()).collect();
    names.dedup();
    names
}

/// By name, without the word that all names end with.
fn layer_axis(tensors: &[String]) -> Axis {
    Axis::named("layer", tensors.iter().map(|name| name.trim_end_matches(".weight")))
}

/// How many bits are protected in which share of each layer's weights.
fn protection(trials: &Trials<'_>) -> Figure {
    let best = trials.best();
    let names = tensors(best);
    let most = best.stored.scheme.bits.get() as usize;
    let cells = names.iter().map(|name| {
        let mut weights = vec![0.0; most + 1];
        for (unit, &k) in best.stored.model.groups().iter().zip(&best.search().selection) {
            if *unit.tensor == **name {
                weights[k as usize] += unit.group.len() as f64;
            }
        }
        let all: f64 = weights.iter().sum();
        weights.iter().map(|w| (*w > 0.0).then_some(100.0 * w / all)).collect()
    });
    Figure {
        id: id(trials, "protection"),
        title: format!("Where “{}” spends its budget", best.stored.scheme),
        caption:
            "Share of each layer's weights by the number of their most significant bits that are \
                  protected. Crossed out: none."
                .into(),
        picture: Heatmap {
            cells: cells.collect(),
            rows: layer_axis(&names),
            columns: Axis::named("protected bits", (0..=most).map(|k| k.to_string())),
            value: Axis::linear("share of the layer's weights", "%").between(0.0, 100.0),
        }
        .into(),
    }
}

/// What a fault in each layer does: by the linear law, and measured at full strength.
fn sensitivity(trials: &Trials<'_>) -> Result<Figure> {
    let (bench, best) = (&trials.bench, trials.best());
    let p = bench.net.flip_probability();
    let measured = Scheme { allocator: Allocator::Tac(Score::Measured), ..Scheme::tac() };
    let mut series = Vec::new();
    for (name, scheme) in [
        ("linear law, raw", Scheme::tac()),
        ("measured, raw", measured),
        (
            "linear law, bayes-gain and best range",
            Scheme { decoder: Decoder::BayesGain, scale: ScalePolicy::MinMse, ..Scheme::tac() },
        ),
    ] {
        let stored = bench.store(&scheme, p, Accounting::ProtectedBits)?;
        let point = |unit: usize| (stored.problem.candidates(unit)[0].distortion, unit as f64);
        let points: Vec<(f64, f64)> =
            (0..stored.problem.len()).map(point).filter(|(x, _)| *x > 0.0).collect();
        series.push(Series::new(name, Mark::Points, points));
    }
    Ok(Figure {
        id: id(trials, "sensitivity"),
        title: "What unprotected faults in one layer do to the output".into(),
        caption: "Squared change of all scores of an image. The linear law is the product of Jacobian \
                  and exact weight error; measured is the same with faults in that layer alone. Where \
                  the two part, noise is too large for a law of small errors."
            .into(),
        picture: Chart {
            x: Axis::log10("squared change of the scores", ""),
            y: layer_axis(&tensors(best)),
            series,
            rules: vec![],
        }
        .into(),
    })
}

/// Predicted against measured output noise along two paths.
fn noise(trials: &Trials<'_>) -> Result<Figure> {
    let (bench, best) = (&trials.bench, trials.best());
    let linear = Scheme {
        allocator: Allocator::Tac(Score::Wkb),
        recalibration: Recalibration::None,
        ..best.stored.scheme.clone()
    };
    let schemes = [Scheme::tac(), linear];
    let mut series = Vec::new();
    for scheme in schemes {
        let stored =
            bench.store(&scheme, bench.net.flip_probability(), Accounting::ProtectedBits)?;
        let (path, bits) = (stored.path(), stored.weight_bits());
        let mut points = Vec::new();
        for share in &BUDGETS[..bench.context.size(BUDGETS.len(), 3)] {
            let step = path.step_within((share * bits) as u64)?;
            let measured = bench.output_noise(&stored, path.at(step).selection())?;
            if path.distortion(step) > 0.0 && measured > 0.0 {
                points.push((path.distortion(step), measured));
            }
        }
        series.push(Series::new(&scheme.to_string(), Mark::Points, points));
    }
    Ok(Figure {
        id: id(trials, "noise"),
        title: "Output noise, predicted and measured".into(),
        caption:
            "Squared change of all scores of a calibration image at budgets from 0 to 50 %. The \
                  prediction is the linear law; on the line it is exact. Large noise saturates."
                .into(),
        picture: Chart {
            x: Axis::log10("predicted", ""),
            y: Axis::log10("measured", ""),
            series,
            rules: vec![Rule::diagonal("equal")],
        }
        .into(),
    })
}

fn ablation(trials: &Trials<'_>) -> Table {
    let columns = [
        "scheme",
        "protected bits [%]",
        "times less than Uniform-MSP",
        "scales and tables beyond it [%]",
        "with scales and tables [%]",
        "accuracy, unseen patterns [% of clean]",
        "accuracy without protection [% of clean]",
        "patterns",
    ];
    let row = |tried: &Tried| -> Vec<Value> {
        vec![
            tried.stored.scheme.to_string().into(),
            if tried.search().missed {
                "not reached".into()
            } else {
                (100.0 * tried.overhead()).into()
            },
            trials.ratio_of(tried).into(),
            (100.0 * tried.side_overhead(trials.baseline())).into(),
            (100.0 * tried.overhead_with_side(trials.baseline())).into(),
            (100.0 * tried.search().fresh.value / trials.clean).into(),
            (100.0 * tried.unprotected / trials.clean).into(),
            tried.search().patterns.count.into(),
        ]
    };
    Table {
        id: id(trials, "schemes"),
        title: "Smallest budgets that keep 95 % of clean accuracy".into(),
        columns: columns.map(String::from).to_vec(),
        rows: trials.tried.iter().map(row).collect(),
        in_report: true,
    }
}

fn layers(trials: &Trials<'_>) -> Result<Table> {
    let best = trials.best();
    let columns = [
        "layer",
        "weights",
        "largest weight",
        "||J||²",
        "its standard error",
        "mean square error of a weight, unprotected",
        "bits protected, TAC",
        "bits protected, best",
    ];
    let tac = trials.derived();
    let norms = trials.bench.norms(tac.stored.scheme.granularity)?;
    let rows = tac.stored.model.groups().iter().zip(&*norms).zip(&tac.search().selection);
    let rows = rows.map(|((unit, norm), &k)| -> Vec<Value> {
        let of_layer = best.stored.model.groups().iter().zip(&best.search().selection);
        let of_layer = of_layer.filter(|(part, _)| part.tensor == unit.tensor);
        let bits: usize = of_layer.map(|(part, &k)| part.group.len() * k as usize).sum();
        vec![
            unit.group.name.as_str().into(),
            unit.group.len().into(),
            unit.largest.into(),
            norm.squared.into(),
            norm.standard_error.into(),
            unit.candidates[0].mean_square_error().into(),
            k.into(),
            (bits as f64 / unit.group.len() as f64).into(),
        ]
    });
    Ok(Table {
        id: id(trials, "layers"),
        title: "Layers".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    })
}

fn every_trial(trials: &Trials<'_>) -> Table {
    let columns =
        ["scheme", "stage", "step", "protected bits", "overhead", "to", "pattern", "accuracy"];
    let mut rows = Vec::new();
    for tried in &trials.tried {
        let stages = [("compare", Some(&tried.compared)), ("judge", tried.judged.as_ref())];
        let visits = stages.into_iter().filter_map(|(stage, search)| Some((stage, search?)));
        let visits =
            visits.flat_map(|(stage, search)| search.visits.iter().map(move |v| (stage, v)));
        for (stage, (step, visit)) in visits {
            let find = visit.values.iter().enumerate().map(|trial| ("find", trial));
            let confirm = visit.confirmed.iter().flatten().enumerate().map(|t| ("confirm", t));
            for (purpose, (pattern, accuracy)) in find.chain(confirm) {
                rows.push(vec![
                    tried.stored.scheme.to_string().into(),
                    stage.into(),
                    (*step).into(),
                    Value::Integer(i64::try_from(visit.cost).unwrap_or(i64::MAX)),
                    tried.overhead_of(visit.cost).into(),
                    purpose.into(),
                    pattern.into(),
                    (*accuracy).into(),
                ]);
            }
        }
    }
    Table {
        id: id(trials, "trials"),
        title: "Every trial that decided".into(),
        columns: columns.map(String::from).to_vec(),
        rows,
        in_report: false,
    }
}
