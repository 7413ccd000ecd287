//! Method, figure and table of the hierarchy.

use qtaml_chart::{Axis, Chart, Mark, Series};

use super::measure::{Hierarchy, Measured};
use super::verdict::bound;
use crate::results::{Figure, Table};
use crate::workloads::sampled_channel::{CodeScores, FORMAT, code_rows};

pub(super) fn method(measured: &Measured) -> Vec<String> {
    let (tests, bound) = (measured.tests(), bound(measured));
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

pub(super) fn hierarchy_figure(hierarchy: &[Hierarchy]) -> Figure {
    let shown = ["p = 0.01", "p = 0.1"];
    let shown = hierarchy.iter().filter(|case| shown.contains(&case.label.as_str()));
    let series = shown.flat_map(|case| {
        let points = |variances: &[f64]| -> Vec<(f64, f64)> {
            variances.iter().enumerate().map(|(bit, variance)| (bit as f64, *variance)).collect()
        };
        [
            Series::new(&format!("closed form, {}", case.label), Mark::Line, points(&case.theory)),
            Series::new(&format!("sampled, {}", case.label), Mark::Points, points(&case.sampled)),
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

pub(super) fn table(cases: &[CodeScores]) -> Table {
    Table {
        id: "qtaml.variance.codes".into(),
        title: format!("Variance of every {} code", FORMAT.bits()),
        columns: [
            "case",
            "code",
            "samples",
            "theory [steps²]",
            "sampled [steps²]",
            "standard error [steps²]",
            "z",
        ]
        .map(String::from)
        .to_vec(),
        rows: code_rows(cases),
        in_report: false,
    }
}
