//! Method, figure and tables of Table 1 over many seeds.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::{Measured, Rounding, Summary, Variant};
use super::{SOURCE_BASELINE, SOURCE_T0};
use crate::results::{Figure, Table, Value};
use crate::workloads::regressions::{Pair, baseline_drop, density, t0_drop, values};

const QUANTITIES: [&str; 3] = ["loss, full precision", "loss, under noise", "drop"];

pub(super) fn method(seeds: usize) -> Vec<String> {
    vec![
        format!(
            "The source's listing, {seeds} times: 1,000 samples of 10 standard normal features, one \
             linear layer, 300 full-batch steps of Adam at 0.005, training noise ξ·80000 = 10.67 \
             on weights and bias. Each seed draws its own task, initial weights and noise; both \
             methods get the same."
        ),
        "What the source leaves open is ours: the target is y = x·w* + b* + 0.1 noise with \
         standard normal w*, b*; the baseline trains without noise; “quantized” means normal \
         noise of standard deviation 0.5 on weights and bias, the value that matches the size of \
         the source's baseline drop. ξ is the source's postulate, not a measured constant."
            .into(),
        "Each of these choices is varied in the second table; in none of them does the drop of \
         T0-QAT come near half of the baseline's. The third table rounds the weights for real: \
         there T0-QAT costs more, because its weights are scattered by its own noise."
            .into(),
        "For a linear layer, noise σ on weights and bias costs σ²(1 + E||x||²) = 11σ² = 2.75 in \
         the mean, whatever the weights are: no training can change it. The source's two drops \
         are two draws from the wide distributions below. Its full-precision loss of T0-QAT, \
         9.50, is that of a layer that has learned nothing: E||w*||² = 10, plus 1 for the bias."
            .into(),
    ]
}

pub(super) fn drop_figure(pairs: &[Pair]) -> Figure {
    let series = [("baseline", values(pairs, baseline_drop)), ("T0-QAT", values(pairs, t0_drop))];
    let series =
        series.iter().map(|(name, drops)| Series::new(name, Mark::Steps, density(drops, -12..20)));
    Figure {
        id: "t0.table1.drops".into(),
        title: "Drop under noise, seed by seed".into(),
        caption: "Distribution over seeds. Both have the same mean; the vertical lines are the \
                  source's two numbers. A drop below zero is a layer that noise made better."
            .into(),
        picture: Chart {
            x: Axis::linear("drop (loss under noise minus loss)", ""),
            y: Axis::linear("density", ""),
            series: series.collect(),
            rules: vec![
                Rule::vertical(SOURCE_BASELINE[2], "baseline 2.94"),
                Rule::vertical(SOURCE_T0[2], "T0-QAT 1.44"),
            ],
        }
        .into(),
    }
}

/// All tables.
pub(super) fn tables(measured: &Measured) -> Vec<Table> {
    vec![
        mean_table(measured),
        variant_table(&measured.variants),
        rounding_table(&measured.rounding),
        seed_table(&measured.pairs),
    ]
}

fn mean_table(measured: &Measured) -> Table {
    let rows = |method: &str, summary: &Summary, source: [f64; 3]| -> Vec<Vec<Value>> {
        let row = |i: usize| {
            let mean = summary.means[i];
            vec![
                method.into(),
                QUANTITIES[i].into(),
                source[i].into(),
                (100.0 * summary.below_source[i]).into(),
                mean.value.into(),
                mean.interval[0].into(),
                mean.interval[1].into(),
                mean.deviation.into(),
            ]
        };
        (0..3).map(row).collect()
    };
    let baseline = rows("baseline", &measured.baseline, SOURCE_BASELINE);
    let t0 = rows("T0-QAT", &measured.t0, SOURCE_T0);
    let columns = [
        "method",
        "quantity",
        "source, one seed",
        "our seeds below it [%]",
        "our mean",
        "low",
        "high",
        "seed deviation",
    ];
    Table {
        id: "t0.table1.means".into(),
        title: "Table 1, over all seeds".into(),
        columns: columns.map(String::from).to_vec(),
        rows: baseline.into_iter().chain(t0).collect(),
        in_report: true,
    }
}

/// What remains of the claim under each choice.
fn variant_table(variants: &[Variant]) -> Table {
    let row = |variant: &Variant| -> Vec<Value> {
        let ([baseline, t0], [low, high]) = (variant.drops, variant.interval);
        let numbers = [baseline, t0, variant.ratio, low, high, variant.p].map(Value::from);
        std::iter::once(variant.name.into()).chain(numbers).collect()
    };
    let columns =
        ["choice", "baseline drop", "T0-QAT drop", "ratio", "low", "high", "p, t-test (Holm)"];
    Table {
        id: "t0.table1.choices".into(),
        title: "What the source leaves open, varied one at a time".into(),
        columns: columns.map(String::from).to_vec(),
        rows: variants.iter().map(row).collect(),
        in_report: true,
    }
}

fn rounding_table(widths: &[Rounding]) -> Table {
    let row = |width: &Rounding| -> Vec<Value> {
        let Rounding { bits, baseline, t0, paired, t0_loss } = width;
        let numbers = [*baseline, *t0, paired.t_test, *t0_loss].map(Value::from);
        std::iter::once(format!("INT{bits}").into()).chain(numbers).collect()
    };
    let columns = [
        "weights",
        "baseline: cost of rounding",
        "T0-QAT: cost of rounding",
        "p, paired t-test",
        "T0-QAT: loss after it",
    ];
    Table {
        id: "t0.table1.rounding".into(),
        title: "True rounding instead of noise".into(),
        columns: columns.map(String::from).to_vec(),
        rows: widths.iter().map(row).collect(),
        in_report: true,
    }
}

fn seed_table(pairs: &[Pair]) -> Table {
    let columns = ["seed", "baseline", "baseline, noisy", "T0-QAT", "T0-QAT, noisy"];
    let rows = pairs.iter().enumerate().map(|(seed, pair)| -> Vec<Value> {
        let Pair { baseline, t0 } = pair;
        let losses = [baseline.full, baseline.noisy, t0.full, t0.noisy].map(Value::from);
        std::iter::once((seed as i64).into()).chain(losses).collect()
    });
    Table {
        id: "t0.table1.seeds".into(),
        title: "Losses of every seed".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: false,
    }
}
