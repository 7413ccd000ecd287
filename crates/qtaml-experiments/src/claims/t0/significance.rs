//! `t0.significance`: the significance of the smaller drop of Table 1.

use anyhow::Result;
use qtaml_chart::{Axis, Chart, Mark, Rule, Series};
use serde_json::json;

use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Value, Verdict};
use crate::stats::Paired;
use crate::workloads::regressions::{
    Choices, baseline_drop, density, pairs, ratio, t0_drop, values,
};

/// The source: a drop that is 51 % smaller.
const SOURCE_REDUCTION: f64 = 0.51;
const LEVEL: f64 = 0.05;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let pairs = pairs(context, "t0.significance", &Choices::default())?;
    let (baseline, t0) = (values(&pairs, baseline_drop), values(&pairs, t0_drop));
    let paired = Paired::new(&baseline, &t0)?;
    let (ratio, [low, high]) = ratio(context, &pairs)?;
    let (reduction, interval) = (1.0 - ratio, [1.0 - high, 1.0 - low]);
    let less = baseline.iter().zip(&t0).filter(|(b, t)| t < b).count();
    let claim = Claim {
        id: "t0.significance".into(),
        source: Source::T0,
        statement:
            "The drop under noise of a layer trained with T0-QAT is smaller than that of the \
                    baseline, by 51 %."
                .into(),
        expected: format!("p < {LEVEL} for a smaller drop"),
        measured: paired.t_test,
        unit: "p-value".into(),
        interval: [paired.t_test; 2],
        n: pairs.len() as u64,
        verdict: verdict(&paired, interval),
        details: json!({
            "mean_difference": paired.difference,
            "difference_interval": paired.interval,
            "effect_size": paired.effect,
            "wilcoxon_p": paired.wilcoxon,
            "reduction": reduction,
            "reduction_interval": interval,
            "share_of_seeds_where_t0_drops_less": less as f64 / pairs.len() as f64,
        }),
    };
    let table = table(&paired, reduction, interval);
    Ok(Outcome {
        claims: vec![claim],
        method: method(pairs.len()),
        figures: vec![figure(&baseline, &t0, &paired)],
        tables: vec![table],
    })
}

/// Reproduced: significantly smaller, by as much. Contradicted: not significant, and the reduction
/// of the source lies outside what the seeds allow.
fn verdict(paired: &Paired, reduction: [f64; 2]) -> Verdict {
    let smaller = paired.t_test < LEVEL && paired.difference > 0.0;
    let as_much = (reduction[0]..=reduction[1]).contains(&SOURCE_REDUCTION);
    match (smaller, as_much) {
        (true, true) => Verdict::Reproduced,
        (false, false) => Verdict::Contradicted,
        _ => Verdict::NotReproduced,
    }
}

fn method(seeds: usize) -> Vec<String> {
    vec![format!(
        "The drops of Table 1 for {seeds} seeds, the two methods paired: same task, same initial \
         weights, same noise at evaluation. Student's paired t-test and Wilcoxon's signed-rank \
         test, both two-sided; the effect size is the mean difference over the standard deviation \
         of the differences (0.2 is called small). The interval of the reduction is a bootstrap \
         over seeds."
    )]
}

fn figure(baseline: &[f64], t0: &[f64], paired: &Paired) -> Figure {
    let differences: Vec<f64> = baseline.iter().zip(t0).map(|(b, t)| b - t).collect();
    Figure {
        id: "t0.significance.differences".into(),
        title: "By how much T0-QAT drops less, seed by seed".into(),
        caption: format!(
            "Distribution over seeds; the mean is {:.3} with a 95 % interval from {:.3} to {:.3}. The \
             source's one pair of numbers differs by 1.50.",
            paired.difference, paired.interval[0], paired.interval[1]
        ),
        picture: Chart {
            x: Axis::linear("drop of the baseline minus drop of T0-QAT", ""),
            y: Axis::linear("density", ""),
            series: vec![Series::new("seeds", Mark::Steps, density(&differences, -12..12))],
            rules: vec![Rule::vertical(1.50, "source"), Rule::vertical(0.0, "")],
        }
        .into(),
    }
}

fn table(paired: &Paired, reduction: f64, interval: [f64; 2]) -> Table {
    let row = |what: &str, value: f64, low: Value, high: Value| -> Vec<Value> {
        vec![what.into(), value.into(), low, high]
    };
    let none = || Value::Text(String::new());
    let [low, high] = paired.interval;
    let rows = vec![
        row("mean difference of drops", paired.difference, low.into(), high.into()),
        row("relative reduction", reduction, interval[0].into(), interval[1].into()),
        row("effect size", paired.effect, none(), none()),
        row("p, paired t-test", paired.t_test, none(), none()),
        row("p, Wilcoxon signed ranks", paired.wilcoxon, none(), none()),
    ];
    Table {
        id: "t0.significance.tests".into(),
        title: "Tests over all seeds".into(),
        columns: ["quantity", "value", "low", "high"].map(String::from).to_vec(),
        rows,
        in_report: true,
    }
}
