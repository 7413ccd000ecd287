//! `t0.drop_law`: the loss that noise costs a linear layer, whatever its training.

use anyhow::Result;
use qtaml::fault::largest_z;
use qtaml::physics::XI;
use qtaml::train::{LinearEnsemble, RegressionTasks};
use qtaml_chart::{Axis, Chart, Mark, Point, Series};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Value, Verdict};
use crate::stats::{Mean, mean};
use crate::workloads::regressions::{EPOCHS, LEARNING_RATE, XI_SCALING};

/// A right law is called wrong once in a million runs.
const FALSE_ALARM: f64 = 1e-6;
const NOISES: [f32; 4] = [0.1, 0.25, 0.5, 1.0];
const FEATURES: [usize; 3] = [5, 10, 20];
const SAMPLES: usize = 200;
/// Tasks at once.
const CHUNK: usize = 250;

/// How a layer was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Layer {
    Untrained,
    Baseline,
    T0,
}

impl Layer {
    const ALL: [Self; 3] = [Self::Untrained, Self::Baseline, Self::T0];

    const fn name(self) -> &'static str {
        match self {
            Self::Untrained => "untrained",
            Self::Baseline => "baseline",
            Self::T0 => "T0-QAT",
        }
    }
}

/// Drops of one layer over the law, by the noise of [`NOISES`].
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Drops {
    over_law: [f64; NOISES.len()],
}

/// Layers of one kind under one noise.
struct Case {
    layer: Layer,
    features: usize,
    noise: f32,
    over_law: Mean,
    n: usize,
}

impl Case {
    fn z(&self) -> f64 {
        (self.over_law.value - 1.0) / (self.over_law.deviation / (self.n as f64).sqrt())
    }
}

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let mut cases = Vec::new();
    let task = context.progress.task("t0.drop_law", 3 * FEATURES.len() as u64);
    for features in FEATURES {
        for layer in Layer::ALL {
            let drops = drops(context, layer, features)?;
            for (i, &noise) in NOISES.iter().enumerate() {
                let over_law: Vec<f64> = drops.iter().map(|d| d.over_law[i]).collect();
                let n = over_law.len();
                cases.push(Case { layer, features, noise, over_law: mean(&over_law)?, n });
            }
            task.tick(1);
        }
    }
    Ok(outcome(&cases))
}

fn drops(context: &Context, layer: Layer, features: usize) -> Result<Vec<Drops>> {
    let mut drops = Vec::new();
    for first in (0..context.size(2000, CHUNK)).step_by(CHUNK) {
        let key = ("t0.drop_law", layer, features, first, CHUNK);
        drops.extend(context.unit(&key, || Ok(measure(context, layer, features, first as u64)))?);
    }
    Ok(drops)
}

fn measure(context: &Context, layer: Layer, features: usize, first: u64) -> Vec<Drops> {
    let device = &context.device;
    let shape = [CHUNK, SAMPLES, features];
    let tasks = RegressionTasks::draw(context.seed, first, shape, [1.0, 0.1], device);
    let train = |noise| LinearEnsemble::train(&tasks, EPOCHS, LEARNING_RATE, noise, device);
    let model = match layer {
        Layer::Untrained => LinearEnsemble::init(&tasks, device),
        Layer::Baseline => train(0.0),
        Layer::T0 => train((XI * XI_SCALING) as f32),
    };
    let power = tasks.input_power();
    let clean = model.losses(&tasks, 0.0, device);
    let noisy = NOISES.map(|noise| model.losses(&tasks, noise, device));
    let law = |noise: f32, i: usize| f64::from(noise).powi(2) * (1.0 + power[i]);
    let over_law = |i| std::array::from_fn(|n| (noisy[n][i] - clean[i]) / law(NOISES[n], i));
    (0..CHUNK).map(|i| Drops { over_law: over_law(i) }).collect()
}

fn outcome(cases: &[Case]) -> Outcome {
    let bound = largest_z(cases.len(), FALSE_ALARM);
    let largest = cases.iter().map(|case| case.z().abs()).fold(0.0, f64::max);
    let n = cases.iter().map(|case| case.n).sum::<usize>() as u64;
    let claim = Claim {
        id: "t0.drop_law".into(),
        source: Source::Ours,
        statement: "For a linear layer, normal noise of standard deviation σ on weights and bias \
                    costs σ²(1 + E||x||²) in the mean, whatever its weights: no training changes it."
            .into(),
        expected: format!("largest |z| below {bound:.2}"),
        measured: largest,
        unit: "standard errors".into(),
        interval: [largest; 2],
        n,
        verdict: if largest < bound { Verdict::Reproduced } else { Verdict::Contradicted },
        details: json!({ "bound": bound, "false_alarm": FALSE_ALARM, "cases": cases.len() }),
    };
    Outcome {
        claims: vec![claim],
        method: method(),
        figures: vec![figure(cases)],
        tables: vec![table(cases)],
    }
}

fn method() -> Vec<String> {
    vec![
        "With noise e on the weights and d on the bias of a linear layer, the error of one sample \
         is r + e·x + d with r its error without noise. Squared and averaged over independent noise \
         of mean zero, the product terms vanish: E(r + e·x + d)² = r² + σ²(||x||² + 1). So the mean \
         drop is σ²(1 + E||x||²), and r, the only thing that depends on training, is not in it."
            .into(),
        "Layers as they are initialised, trained plainly, and trained with T0-QAT, on tasks of 5, 10 \
         and 20 standard normal features; E||x||² is that of each task's own samples. One draw of \
         noise per task. The bound is for all cases together; a right law exceeds it once in a \
         million runs."
            .into(),
    ]
}

fn figure(cases: &[Case]) -> Figure {
    let series = Layer::ALL.map(|layer| {
        let of_it = cases.iter().filter(|case| case.layer == layer);
        let points = of_it.enumerate().map(|(i, case)| Point {
            x: i as f64,
            y: case.over_law.value,
            interval: Some(case.over_law.interval),
        });
        Series::new(layer.name(), Mark::Points, points.collect::<Vec<_>>())
    });
    Figure {
        id: "t0.drop_law.ratio".into(),
        title: "Mean drop over the law".into(),
        caption: "With 95 % intervals, for 5, 10 and 20 features with noise 0.1, 0.25, 0.5 and 1 \
                  each. The spread of a single drop is widest where weights are far from their \
                  optimum (T0-QAT, small noise), the mean is the law's."
            .into(),
        picture: Chart {
            x: Axis::linear("case", ""),
            y: Axis::linear("mean drop / law", ""),
            series: series.to_vec(),
            rules: vec![qtaml_chart::Rule::horizontal(1.0, "law")],
        }
        .into(),
    }
}

fn table(cases: &[Case]) -> Table {
    let columns = ["layer", "features", "noise", "mean drop / law", "low", "high", "z"];
    let rows = cases.iter().map(|case| -> Vec<Value> {
        vec![
            case.layer.name().into(),
            case.features.into(),
            f64::from(case.noise).into(),
            case.over_law.value.into(),
            case.over_law.interval[0].into(),
            case.over_law.interval[1].into(),
            case.z().into(),
        ]
    });
    Table {
        id: "t0.drop_law.cases".into(),
        title: "Every case".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}
