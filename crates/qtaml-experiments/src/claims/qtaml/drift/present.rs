//! Method, figures and table of the drift.

use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::Measured;
use super::verdict::bound;
use crate::results::{Figure, Table};
use crate::workloads::sampled_channel::{CodeScores, FORMAT, code_rows, tests};

/// Cases that are drawn.
const SHOWN: [&str; 2] = ["p = 0.1", "p = 0.1, two top bits protected"];

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let (tests, bound) = (tests(&measured.cases), bound(measured));
    vec![
        "Every INT8 code is stored many times and read through the injector that all experiments \
         use; the mean of what is read is compared with the closed form, one z-score per code. \
         The asymmetric and the protected form, E[q'] = q_M + (1 - p01 - p10) q_U + p01 Σ w_i, are \
         our generalisation of the source's."
            .into(),
        format!(
            "{tests} scores are tested at once. A correct injector would exceed |z| = {bound:.2} \
             anywhere among them once in a million seeds (Bonferroni)."
        ),
    ]
}

pub(super) fn drift_figure(cases: &[CodeScores]) -> Figure {
    // The other cases are in the table; five lines over one another would hide each other.
    let shown = cases.iter().filter(|case| SHOWN.contains(&case.label.as_str()));
    let series = shown.flat_map(|case| {
        let mut codes = case.codes.clone();
        codes.sort_by_key(|code| code.code);
        let theory = codes.iter().map(|code| (f64::from(code.code), code.score.theory));
        let sampled = codes.iter().step_by(16);
        let sampled = sampled.map(|code| (f64::from(code.code), code.score.measured));
        [
            Series::new(&format!("closed form, {}", case.label), Mark::Line, theory),
            Series::new(&format!("sampled, {}", case.label), Mark::Points, sampled),
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

pub(super) fn score_figure(measured: &Measured) -> Figure {
    let bound = bound(measured);
    let series = measured.cases.iter().map(|case| {
        let points = case.codes.iter().map(|code| (f64::from(code.code), code.score.z()));
        Series::new(&case.label, Mark::Points, points)
    });
    Figure {
        id: "qtaml.drift.scores".into(),
        title: "Sampled mean against the closed form, code by code".into(),
        caption:
            "Distance in standard errors. Under the closed form these are standard normal numbers; \
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

pub(super) fn table(cases: &[CodeScores]) -> Table {
    Table {
        id: "qtaml.drift.codes".into(),
        title: format!("Mean error of every {} code", FORMAT.bits()),
        columns: [
            "case",
            "code",
            "samples",
            "theory [steps]",
            "sampled [steps]",
            "standard error [steps]",
            "z",
        ]
        .map(String::from)
        .to_vec(),
        rows: code_rows(cases),
        in_report: false,
    }
}
