//! `qtaml.variance`: the variance is p (1 - p) (4^b - 1) / 3 for every code, and each bit owns
//! four times what the one below it does.

use anyhow::Result;
use qtaml::fault::{ChannelMatrix, CodeChannel};
use qtaml_chart::{Axis, Chart, Mark, Series};
use serde_json::json;

use super::qtaml_drift::FALSE_ALARM;
use super::sampled_channel::{BITS, Moments, Sampled, code_rows, sampled};
use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Verdict};
use crate::stats::largest_z;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let cases = sampled(context)?;
    let totals: Vec<Vec<f64>> = cases.iter().map(total_scores).collect();
    let bits: Vec<f64> = cases.iter().flat_map(bit_scores).collect();
    let tests = totals.iter().map(Vec::len).sum::<usize>() + bits.len();
    let largest = totals.iter().flatten().chain(&bits).fold(0.0_f64, |m, z| m.max(z.abs()));
    let bound = largest_z(tests, FALSE_ALARM);
    let claim = Claim {
        id: "qtaml.variance".into(),
        source: Source::Qtaml,
        statement: "The variance of a faulty weight is a hierarchy led by the most significant \
                    bit: bit i contributes 4ⁱ p(1−p), the top bit about three quarters of all."
            .into(),
        expected: format!("exact: no |z| above {bound:.2}"),
        measured: largest,
        unit: "largest |z|".into(),
        interval: [largest; 2],
        n: cases.iter().flat_map(|c| &c.moments).map(|m| m.n).sum(),
        verdict: if largest <= bound { Verdict::Reproduced } else { Verdict::Contradicted },
        details: json!({
            "tests": tests, "bound": bound, "false_alarm_rate": FALSE_ALARM,
            "top_bit_share": top_bit_share(&cases),
        }),
    };
    Ok(Outcome {
        claims: vec![claim],
        method: method(tests, bound),
        figures: vec![hierarchy_figure(&cases)],
        tables: vec![table(&cases, &totals)],
    })
}

fn method(tests: usize, bound: f64) -> Vec<String> {
    vec![
        "The samples are those of the drift. The variance of what is read is compared with the \
         closed form code by code; its standard error follows from the exact fourth moment, by \
         summation over the 256 x 256 channel matrix. Each bit's flips are compared with its \
         flip probability, which is what the hierarchy is made of."
            .into(),
        format!(
            "{tests} scores are tested at once; a correct injector exceeds |z| = {bound:.2} \
             anywhere among them about once in a million seeds (Bonferroni, normal approximation)."
        ),
    ]
}

/// Sampled variance against the law, in standard errors: the variance of s² is (μ4 - σ⁴) / n, nearly.
fn total_scores(case: &Sampled) -> Vec<f64> {
    let matrix = ChannelMatrix::new(&case.channel);
    case.moments
        .iter()
        .map(|m| {
            let (mean, law) = (case.channel.mean(m.code), case.channel.variance(m.code));
            let centred = |read| f64::from(BITS.code_of(read)) - mean;
            let fourth = matrix.expect(BITS.word_of(m.code), |read| centred(read).powi(4));
            (m.variance() - law) / ((fourth - law * law) / m.n as f64).sqrt()
        })
        .collect()
}

/// Flips of each bit, over all codes that store the same value in it, against its probability.
fn bit_scores(case: &Sampled) -> Vec<f64> {
    let kept = case.channel.protection().mask();
    let p = [case.channel.probability().p01(), case.channel.probability().p10()];
    let pairs = (0..BITS.get() as usize).flat_map(|bit| [(bit, 0), (bit, 1)]);
    pairs
        .filter(|(bit, _)| kept >> bit & 1 == 0)
        .map(|(bit, value)| {
            let stores = |m: &&Moments| usize::from(BITS.word_of(m.code) >> bit & 1) == value;
            let (flips, n) = case
                .moments
                .iter()
                .filter(stores)
                .fold((0.0, 0.0), |(f, n), m| (f + m.flips[bit] as f64, n + m.n as f64));
            (flips - n * p[value]) / (n * p[value] * (1.0 - p[value])).sqrt()
        })
        .collect()
}

/// Variance that each bit was seen to contribute, averaged over the codes.
fn sampled_bit_variance(case: &Sampled, bit: usize) -> f64 {
    let of = |m: &Moments| {
        let share = m.flips[bit] as f64 / m.n as f64;
        share * (1.0 - share) * 4_f64.powi(bit as i32)
    };
    case.moments.iter().map(of).sum::<f64>() / case.moments.len() as f64
}

fn top_bit_share(cases: &[Sampled]) -> f64 {
    let Some(case) = cases.iter().find(|case| case.label == "p = 0.1") else { return f64::NAN };
    let all: f64 = (0..BITS.get() as usize).map(|bit| sampled_bit_variance(case, bit)).sum();
    sampled_bit_variance(case, BITS.get() as usize - 1) / all
}

fn hierarchy_figure(cases: &[Sampled]) -> Figure {
    let shown = cases.iter().filter(|case| ["p = 0.01", "p = 0.1"].contains(&case.label.as_str()));
    let series = shown.flat_map(|case| {
        let count = case.moments.len() as f64;
        let law = |bit| {
            let of = |m: &Moments| case.channel.bit_variances(m.code).nth(bit).unwrap_or(0.0);
            case.moments.iter().map(of).sum::<f64>() / count
        };
        let bits = 0..BITS.get() as usize;
        let law: Vec<_> = bits.clone().map(|bit| (bit as f64, law(bit))).collect();
        let seen: Vec<_> = bits.map(|b| (b as f64, sampled_bit_variance(case, b))).collect();
        [
            Series::new(&format!("law, {}", case.label), Mark::Line, law),
            Series::new(&format!("sampled, {}", case.label), Mark::Points, seen),
        ]
    });
    Figure {
        id: "qtaml.variance.bits".into(),
        title: "Variance that each bit contributes".into(),
        caption: "Mean over all codes, in squared quantization steps. Each bit owns four times \
                  what the one below it does; the sign bit, bit 7, three quarters of all."
            .into(),
        chart: Chart {
            x: Axis::linear("bit", ""),
            y: Axis::log10("variance", "steps²"),
            series: series.collect(),
            rules: vec![],
        },
    }
}

fn table(cases: &[Sampled], scores: &[Vec<f64>]) -> Table {
    Table {
        id: "qtaml.variance.codes".into(),
        title: format!("Variance of every {BITS} code"),
        columns: ["case", "code", "samples", "law [steps²]", "sampled [steps²]", "z"]
            .map(String::from)
            .to_vec(),
        rows: code_rows(cases, scores, CodeChannel::variance, Moments::variance),
        in_report: false,
    }
}
