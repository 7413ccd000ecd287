//! `qtaml.drift`: faults move the mean of a stored code affinely, E[q'] = (1 - 2p) q - p.

use anyhow::Result;
use qtaml::fault::{ChannelSample, ZScore, largest_z};
use qtaml_chart::{Axis, Chart, Mark, Rule, Series};
use serde_json::json;

use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Verdict};
use crate::workloads::sampled_channel::{
    FALSE_ALARM, FORMAT, Sampled, code_rows, codes, largest, sampled,
};

/// Cases whose law is drawn.
const SHOWN: [&str; 2] = ["p = 0.1", "p = 0.1, two top bits protected"];

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let cases = sampled(context)?;
    let scores: Vec<Vec<ZScore>> = cases.iter().map(|case| case.sample.drifts()).collect();
    let tests = scores.iter().map(Vec::len).sum();
    let largest = largest(&scores);
    let bound = largest_z(tests, FALSE_ALARM);
    let n = cases.iter().map(|case| case.sample.reads()).sum();
    let claim = Claim {
        id: "qtaml.drift".into(),
        source: Source::Qtaml,
        statement: "The mean weight error under bit flips is affine in the weight: \
                    E[ΔW] = −2pW − pΔ for two's-complement codes, exactly."
            .into(),
        expected: format!("exact: no |z| above {bound:.2}"),
        measured: largest,
        unit: "largest |z|".into(),
        interval: [largest; 2],
        n,
        verdict: if largest <= bound { Verdict::Reproduced } else { Verdict::Contradicted },
        details: json!({ "tests": tests, "bound": bound, "false_alarm_rate": FALSE_ALARM }),
    };
    Ok(Outcome {
        claims: vec![claim],
        method: method(tests, bound),
        figures: vec![drift_figure(&cases), score_figure(&cases, &scores, bound)],
        tables: vec![table(&cases, &scores)],
    })
}

fn method(tests: usize, bound: f64) -> Vec<String> {
    vec![
        "Every INT8 code is stored many times and read through the injector that all experiments \
         use; the mean of what is read is compared with the closed form, one z-score per code. \
         The asymmetric and the protected law, E[q'] = q_M + (1 - p01 - p10) q_U + p01 Σ w_i, are \
         our generalisation of the source's."
            .into(),
        format!(
            "{tests} scores are tested at once. A correct injector would exceed |z| = {bound:.2} \
             anywhere among them once in a million seeds (Bonferroni)."
        ),
    ]
}

/// The mean errors in the order of the codes.
fn by_code(sample: &ChannelSample) -> Vec<(f64, ZScore)> {
    let mut scores: Vec<_> = codes(sample).map(f64::from).zip(sample.drifts()).collect();
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    scores
}

fn drift_figure(cases: &[Sampled]) -> Figure {
    // The other cases are in the table; five lines over one another would hide each other.
    let shown = cases.iter().filter(|case| SHOWN.contains(&case.label.as_str()));
    let series = shown.flat_map(|case| {
        let scores = by_code(&case.sample);
        let law: Vec<_> = scores.iter().map(|(q, score)| (*q, score.theory)).collect();
        let measured = scores.iter().step_by(16).map(|(q, score)| (*q, score.measured));
        let measured: Vec<_> = measured.collect();
        [
            Series::new(&format!("law, {}", case.label), Mark::Line, law),
            Series::new(&format!("sampled, {}", case.label), Mark::Points, measured),
        ]
    });
    Figure {
        id: "qtaml.drift.mean".into(),
        title: "Mean error of a stored code".into(),
        caption: "In units of the quantization step. Lines: closed form. Points: every sixteenth \
                  code, sampled; the intervals are smaller than the points. Large weights shrink; \
                  protecting the top bits turns the line into a shallow saw."
            .into(),
        picture: Chart {
            x: Axis::linear("stored code q", "steps"),
            y: Axis::linear("mean error E[q'] - q", "steps"),
            series: series.collect(),
            rules: vec![],
        }
        .into(),
    }
}

fn score_figure(cases: &[Sampled], scores: &[Vec<ZScore>], bound: f64) -> Figure {
    let series = cases.iter().zip(scores).map(|(case, scores)| {
        let points = codes(&case.sample).zip(scores).map(|(q, score)| (f64::from(q), score.z()));
        Series::new(&case.label, Mark::Points, points.collect::<Vec<_>>())
    });
    Figure {
        id: "qtaml.drift.scores".into(),
        title: "Sampled mean against the law, code by code".into(),
        caption: "Distance in standard errors. Under the law these are standard normal numbers; \
                  a single one outside the dashed lines would contradict it."
            .into(),
        picture: Chart {
            x: Axis::linear("stored code q", "steps"),
            y: Axis::linear("z-score of the mean", ""),
            series: series.collect(),
            rules: vec![Rule::horizontal(bound, "bound"), Rule::horizontal(-bound, "")],
        }
        .into(),
    }
}

fn table(cases: &[Sampled], scores: &[Vec<ZScore>]) -> Table {
    Table {
        id: "qtaml.drift.codes".into(),
        title: format!("Mean error of every {} code", FORMAT.bits()),
        columns: [
            "case",
            "code",
            "samples",
            "law [steps]",
            "sampled [steps]",
            "standard error [steps]",
            "z",
        ]
        .map(String::from)
        .to_vec(),
        rows: code_rows(cases, scores),
        in_report: false,
    }
}
