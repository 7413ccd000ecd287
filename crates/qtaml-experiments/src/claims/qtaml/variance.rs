//! `qtaml.variance`: the variance of a stored code, p (1 - p) (4^b - 1) / 3, and its share per bit.
//!
//! Each bit owns four times what the one below it does.

use anyhow::Result;
use qtaml::fault::{WordMoments, ZScore, largest_z};
use qtaml_chart::{Axis, Chart, Mark, Series};
use serde_json::json;

use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Verdict};
use crate::workloads::sampled_channel::{
    FALSE_ALARM, FORMAT, Sampled, code_rows, largest, sampled,
};

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let cases = sampled(context)?;
    let words: Vec<Vec<ZScore>> = cases.iter().map(|case| case.sample.variances()).collect();
    let bits: Vec<Vec<ZScore>> = cases.iter().map(bit_scores).collect();
    let tests = words.iter().chain(&bits).map(Vec::len).sum();
    let largest = largest(&words).max(largest(&bits));
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
        n: cases.iter().map(|case| case.sample.reads()).sum(),
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
        tables: vec![table(&cases, &words)],
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

/// Flips of each bit, over all codes that store the same value in it, against its probability.
fn bit_scores(case: &Sampled) -> Vec<ZScore> {
    case.sample.bits().into_iter().map(|bit| bit.score).collect()
}

/// Variance that each bit was seen to contribute, averaged over the codes.
fn sampled_bit_variance(case: &Sampled, bit: usize) -> f64 {
    let of = |m: &WordMoments| {
        let share = m.flips[bit] as f64 / m.n as f64;
        share * (1.0 - share) * 4_f64.powi(bit as i32)
    };
    let moments = case.sample.moments();
    moments.iter().map(of).sum::<f64>() / moments.len() as f64
}

fn top_bit_share(cases: &[Sampled]) -> f64 {
    let Some(case) = cases.iter().find(|case| case.label == "p = 0.1") else { return f64::NAN };
    let bits = FORMAT.bits().get() as usize;
    let all: f64 = (0..bits).map(|bit| sampled_bit_variance(case, bit)).sum();
    sampled_bit_variance(case, bits - 1) / all
}

fn hierarchy_figure(cases: &[Sampled]) -> Figure {
    let shown = cases.iter().filter(|case| ["p = 0.01", "p = 0.1"].contains(&case.label.as_str()));
    let series = shown.flat_map(|case| {
        let (channel, moments) = (case.sample.channel(), case.sample.moments());
        let law = |bit| {
            let of = |m: &WordMoments| channel.bit_variances(m.stored).nth(bit).unwrap_or(0.0);
            moments.iter().map(of).sum::<f64>() / moments.len() as f64
        };
        let bits = 0..FORMAT.bits().get() as usize;
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
        picture: Chart {
            x: Axis::linear("bit", ""),
            y: Axis::log10("variance", "steps²"),
            series: series.collect(),
            rules: vec![],
        }
        .into(),
    }
}

fn table(cases: &[Sampled], scores: &[Vec<ZScore>]) -> Table {
    Table {
        id: "qtaml.variance.codes".into(),
        title: format!("Variance of every {} code", FORMAT.bits()),
        columns: [
            "case",
            "code",
            "samples",
            "law [steps²]",
            "sampled [steps²]",
            "standard error [steps²]",
            "z",
        ]
        .map(String::from)
        .to_vec(),
        rows: code_rows(cases, scores),
        in_report: false,
    }
}
