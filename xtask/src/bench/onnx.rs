//! The flags and rows of `cargo xtask bench onnx`.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use comfy_table::{Table, presets};
use serde::Deserialize;

use super::{Goal, verdicts};

/// Samples on which a trial is judged: as many as choose a plan. On fewer, reading the weights counts
/// for more.
const SAMPLES: usize = 64;

/// What is measured in place of made-up models, and beside them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Only for onnx")]
pub(super) struct Flags {
    /// A model to measure in place of those that are made up
    #[arg(long, value_name = "MODEL.onnx", requires = "data")]
    model: Option<PathBuf>,

    /// Its inputs: FILE.npz with an array for each by its name, or FILE.npy for the only one
    #[arg(long, value_name = "FILE", requires = "model")]
    data: Option<PathBuf>,

    /// A Python with onnxruntime, to compare forward passes with
    #[arg(long, value_name = "PYTHON")]
    onnxruntime: Option<PathBuf>,

    /// Make a plan in place of single trials, whose budget counts these bits
    #[arg(long, value_name = "BITS", value_parser = ["stored", "protected"])]
    plan: Option<String>,
}

impl Flags {
    /// The same for the benchmark, which runs in another folder.
    pub(super) fn arguments(&self) -> Result<Vec<OsString>> {
        let flags = [
            ("--model", &self.model),
            ("--data", &self.data),
            ("--onnxruntime", &self.onnxruntime),
        ];
        let mut arguments = Vec::new();
        for (flag, path) in flags {
            let Some(path) = path else { continue };
            // A program is looked for in PATH if it is a name alone. A link of an environment stays one:
            // Python finds its packages by it.
            let is_name = flag == "--onnxruntime" && path.components().count() == 1;
            let absolute = if is_name { Ok(path.clone()) } else { std::path::absolute(path) };
            let absolute = absolute.with_context(|| format!("no path: {}", path.display()))?;
            arguments.extend([flag.into(), absolute.into_os_string()]);
        }
        if let Some(bits) = &self.plan {
            arguments.extend(["--plan".into(), bits.into()]);
        }
        Ok(arguments)
    }
}

/// One line of the benchmark, as it prints it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Row {
    model: String,
    megabytes: f64,
    convolutional: bool,
    samples: usize,
    case: String,
    p: Option<f64>,
    seconds: Option<f64>,
    ratio_forward: Option<f64>,
    ratio_onnxruntime: Option<f64>,
    tensors: Option<usize>,
    passes: Option<f64>,
}

impl Row {
    /// Passes beyond that of the base, for each weight tensor.
    fn share(&self) -> Option<f64> {
        Some((self.passes? - 1.0) / self.tensors? as f64)
    }
}

/// A trial costs hardly more than running the model, and running it hardly more than elsewhere.
pub(super) fn goals(row: &Row) -> Vec<Goal> {
    let most = |limit: f64, ratio: Option<f64>, unit: &str| {
        let goal = |ratio| Goal { text: format!("<= {limit} {unit}"), met: ratio <= limit };
        ratio.map(goal).into_iter().collect()
    };
    match row.case.as_str() {
        "trial" if row.samples < SAMPLES => Vec::new(),
        "trial" if row.megabytes <= 20.0 => most(1.05, row.ratio_forward, "x forward"),
        "trial" if row.megabytes <= 90.0 => most(1.15, row.ratio_forward, "x forward"),
        "forward" if !row.convolutional => most(1.1, row.ratio_onnxruntime, "x onnxruntime"),
        "forward" if row.samples == 1 => most(2.5, row.ratio_onnxruntime, "x onnxruntime"),
        "sensitivities" => most(0.6, row.share(), "passes a tensor"),
        // Ten minutes on two cores.
        case if case.starts_with("plan") && row.megabytes <= 90.0 => {
            most(1200.0, row.seconds, "s of processor time")
        }
        _ => Vec::new(),
    }
}

pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "model",
        "MB",
        "samples",
        "case",
        "p",
        "ms",
        "x forward",
        "x onnxrt",
        "passes",
        "share",
        "goals",
    ]);
    let shown = |number: Option<f64>, digits: usize| {
        number.map_or_else(String::new, |number| format!("{number:.digits$}"))
    };
    for row in rows {
        table.add_row([
            row.model.clone(),
            format!("{:.1}", row.megabytes),
            row.samples.to_string(),
            row.case.clone(),
            row.p.map_or_else(String::new, |p| format!("{p:.0e}")),
            shown(row.seconds.map(|seconds| 1e3 * seconds), 2),
            shown(row.ratio_forward, 3),
            shown(row.ratio_onnxruntime, 2),
            shown(row.passes, 1),
            shown(row.share(), 2),
            verdicts(goals(row)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(case: &str, megabytes: f64, samples: usize, ratio: f64) -> Row {
        Row {
            model: "m".into(),
            megabytes,
            convolutional: false,
            samples,
            case: case.into(),
            p: None,
            seconds: Some(0.5),
            ratio_forward: (case == "trial").then_some(ratio),
            ratio_onnxruntime: (case == "forward").then_some(ratio),
            tensors: None,
            passes: None,
        }
    }

    fn met(row: &Row) -> Vec<bool> {
        goals(row).iter().map(|goal| goal.met).collect()
    }

    #[test]
    fn trials_are_judged_by_the_size_of_the_weights() {
        assert_eq!(met(&row("trial", 20.0, 64, 1.05)), [true]);
        assert_eq!(met(&row("trial", 20.0, 64, 1.06)), [false]);
        assert_eq!(met(&row("trial", 89.9, 64, 1.15)), [true]);
        assert_eq!(met(&row("trial", 89.9, 64, 1.16)), [false]);
        assert!(met(&row("trial", 91.0, 64, 9.0)).is_empty());
        assert!(met(&row("trial", 5.0, 1, 9.0)).is_empty(), "one sample alone");
    }

    #[test]
    fn forward_passes_are_judged_by_the_kind_of_the_model() {
        assert_eq!(met(&row("forward", 5.0, 64, 1.1)), [true]);
        assert_eq!(met(&row("forward", 5.0, 1, 1.11)), [false]);
        let convolutional = Row { convolutional: true, ..row("forward", 5.0, 1, 2.5) };
        assert_eq!(met(&convolutional), [true]);
        assert!(met(&Row { samples: 64, ..convolutional }).is_empty());
        assert_eq!(
            met(&Row { seconds: Some(1200.0), ..row("plan, stored", 89.0, 64, 0.0) }),
            [true]
        );
        assert_eq!(
            met(&Row { seconds: Some(1201.0), ..row("plan, stored", 89.0, 64, 0.0) }),
            [false]
        );
        assert!(met(&Row { ratio_onnxruntime: None, ..row("forward", 5.0, 1, 9.0) }).is_empty());
    }

    #[test]
    fn sensitivities_are_judged_by_passes_a_tensor() {
        let of = |passes| Row {
            passes: Some(passes),
            tensors: Some(10),
            ..row("sensitivities", 5.0, 1, 0.0)
        };
        assert_eq!(met(&of(7.0)), [true]);
        assert_eq!(met(&of(7.1)), [false]);
    }

    #[test]
    fn rows_are_read_and_shown() {
        let json = r#"{"model": "m", "megabytes": 5.0, "convolutional": false, "samples": 64,
            "case": "trial", "p": 0.001, "seconds": 0.5, "ratio_forward": 1.25,
            "ratio_onnxruntime": null, "tensors": null, "passes": null}"#;
        let found: Row = serde_json::from_str(json).expect("a row");
        assert_eq!(found, Row { p: Some(1e-3), ..row("trial", 5.0, 64, 1.25) });
        let table = table(&[found]).to_string();
        assert!(table.contains("500.00") && table.contains("1e-3"), "{table}");
        assert!(table.contains("<= 1.05 x forward (MISSED)"), "{table}");
    }

    #[test]
    fn paths_are_handed_on_whole_and_programs_by_name() {
        let path = |text: &str| Some(PathBuf::from(text));
        let flags = Flags {
            model: path("a.onnx"),
            data: path("a.npz"),
            onnxruntime: path("python3"),
            plan: Some("stored".into()),
        };
        let arguments = flags.arguments().expect("paths");
        assert_eq!((arguments.len(), &*arguments[7]), (8, "stored".as_ref()));
        assert!(PathBuf::from(&arguments[1]).is_absolute());
        assert_eq!(arguments[5], "python3");
    }
}
