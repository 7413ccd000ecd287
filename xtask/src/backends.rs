//! `cargo xtask backends`: one workload on every backend, one row each.
//!
//! Every backend runs in a process of its own, in a build of its own where it needs one: a driver
//! that crashes, or a toolkit that is missing, costs a row and not the table.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde::{Deserialize, Serialize};

use crate::args::DeviceName;
use crate::workspace::{build_runner, built_runner, commit};

const AFTER_HELP: &str = "\
Every device trains the same small network from the same seed and reads it under the same bit
faults. The faults must be the same everywhere; logits may differ by rounding. Times are medians.

Files, in the folder of --out:
  backends.md    the table
  backends.json  the same with all digits, and the commit

Exit codes:
  0  every device gave a result, or its row says why not
  1  a device drew other faults than flex, or flex itself failed
  2  wrong usage";

/// Compare the burn backends: same faults, close logits, how fast
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct BackendsArgs {
    /// Devices to compare, comma separated; flex is always one of them, as the reference
    #[arg(
        long, value_enum, value_name = "NAMES", value_delimiter = ',',
        default_values_t = [DeviceName::Flex, DeviceName::Ndarray],
    )]
    devices: Vec<DeviceName>,

    /// Folder for the results; created if missing
    #[arg(long, value_name = "DIR", default_value = "target/backends")]
    out: PathBuf,

    /// A smaller workload, for devices emulated in software
    #[arg(long)]
    tiny: bool,
}

/// What one device measured, as the runner prints it; without numbers, `note` says why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Row {
    device: String,
    adapter: Option<String>,
    golden_accuracy: Option<f64>,
    faulty_accuracy: Option<f64>,
    fault_digest: Option<String>,
    max_logit_gap: Option<f64>,
    train_step_ms: Option<f64>,
    train_images_per_s: Option<f64>,
    inference_ms: Option<f64>,
    note: Option<String>,
}

/// The content of `backends.json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: u32,
    commit: String,
    tiny: bool,
    backends: &'a [Row],
}

/// Measures all devices, prints and saves the table.
pub(crate) fn run(args: &BackendsArgs) -> Result<()> {
    fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    let reference = args.out.join("reference.json");
    // One of an earlier run would be compared with if flex fails now.
    let _ = fs::remove_file(&reference);

    let rows: Vec<Row> = flex_first(&args.devices)
        .into_iter()
        .map(|device| measure(device, args.tiny, &reference))
        .collect();
    println!("{}", table(&rows).set_content_arrangement(ContentArrangement::Dynamic));
    save(&rows, args)?;
    let failures = failures(&rows);
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Each device once, flex before all others: it writes what they compare with.
fn flex_first(devices: &[DeviceName]) -> Vec<DeviceName> {
    let mut order = vec![DeviceName::Flex];
    for &device in devices {
        if !order.contains(&device) {
            order.push(device);
        }
    }
    order
}

fn measure(device: DeviceName, tiny: bool, reference: &Path) -> Row {
    eprintln!("{device}: building, then measuring");
    try_measure(device, tiny, reference).unwrap_or_else(|why| Row {
        device: device.to_string(),
        note: Some(format!("{why:#}")),
        ..Row::default()
    })
}

fn try_measure(device: DeviceName, tiny: bool, reference: &Path) -> Result<Row> {
    let messages = run_child(&mut build_runner(device, true)).context("does not build")?;
    let mut child = Command::new(built_runner(&messages)?);
    child.args(["backend", "--json", "--device", device.as_str()]);
    if tiny {
        child.arg("--tiny");
    }
    if device == DeviceName::Flex {
        child.arg("--write-reference").arg(reference);
    } else if reference.exists() {
        child.arg("--reference").arg(reference);
    }
    parse(&run_child(&mut child)?)
}

/// Reads the last line only: some drivers greet on stdout first.
fn parse(stdout: &str) -> Result<Row> {
    let line = stdout.trim_end().lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("no measurement in its answer `{line}`"))
}

/// Runs `child`, passing its stderr on line by line, and returns its stdout.
///
/// # Errors
/// If it does not succeed: how it ended, and the line of its stderr that says why.
fn run_child(child: &mut Command) -> Result<String> {
    let mut child =
        child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot start")?;
    let stderr = child.stderr.take().context("stderr is piped")?;
    // Both pipes are drained at once, or a child that fills one would wait for ever.
    let stderr = thread::spawn(move || pass_on(stderr));
    let output = child.wait_with_output().context("cannot wait for its end")?;
    let stderr = stderr.join().unwrap_or_default();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(anyhow!(ending(output.status, &stderr)))
    }
}

fn pass_on(stderr: impl Read) -> Vec<String> {
    let lines = BufReader::new(stderr).split(b'\n').map_while(Result::ok);
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .inspect(|line| eprintln!("{line}"))
        .collect()
}

fn ending(status: ExitStatus, stderr: &[String]) -> String {
    match reason(stderr) {
        Some(reason) => format!("{status}: {reason}"),
        None => status.to_string(),
    }
}

/// The line of `stderr` that says why: an error, what a panic said, or else the first one.
fn reason(stderr: &[String]) -> Option<&str> {
    let lines = || stderr.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.starts_with("error") || line.starts_with("Error");
    lines()
        .find(is_error)
        .or_else(|| lines().skip_while(|line| !line.contains("panicked at")).nth(1))
        .or_else(|| lines().next())
}

/// What makes the comparison as a whole fail.
fn failures(rows: &[Row]) -> Vec<String> {
    let Some((flex, others)) = rows.split_first() else { return Vec::new() };
    if flex.fault_digest.is_none() {
        let note = flex.note.as_deref().unwrap_or("no result");
        return vec![format!("flex, the reference of all others, failed: {note}")];
    }
    let differ = others.iter().filter(|row| same_faults(row, flex) == Some(false));
    differ.map(|row| format!("{} drew other faults than flex", row.device)).collect()
}

/// Whether both drew the same faults, if both drew any.
fn same_faults(row: &Row, flex: &Row) -> Option<bool> {
    Some(row.fault_digest.as_ref()? == flex.fault_digest.as_ref()?)
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "backend",
        "adapter",
        "clean acc.",
        "faulty acc.",
        "faults",
        "largest logit gap vs flex",
        "training step [ms]",
        "training [images/s]",
        "inference batch [ms]",
        "note",
    ]);
    for row in rows {
        table.add_row(cells(row, &rows[0]));
    }
    table
}

fn cells(row: &Row, flex: &Row) -> [String; 10] {
    let number = |value: Option<f64>, decimals| {
        value.map(|value| format!("{value:.decimals$}")).unwrap_or_default()
    };
    // A bar would end the cell.
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().replace('|', "\\|");
    let faults = match same_faults(row, flex) {
        Some(true) => "same",
        Some(false) => "DIFFER",
        None => "",
    };
    [
        row.device.clone(),
        text(&row.adapter),
        number(row.golden_accuracy, 4),
        number(row.faulty_accuracy, 4),
        faults.to_owned(),
        row.max_logit_gap.map(|gap| format!("{gap:.1e}")).unwrap_or_default(),
        number(row.train_step_ms, 1),
        number(row.train_images_per_s, 0),
        number(row.inference_ms, 1),
        text(&row.note),
    ]
}

fn save(rows: &[Row], args: &BackendsArgs) -> Result<()> {
    let report = Report { schema: 1, commit: commit(), tiny: args.tiny, backends: rows };
    let json = serde_json::to_string_pretty(&report)?;
    for (name, content) in [("backends.json", json), ("backends.md", table(rows).to_string())] {
        let path = args.out.join(name);
        fs::write(&path, content + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: &str = r#"{"device": "flex", "adapter": "CPU", "golden_accuracy": 0.96667,
        "faulty_accuracy": 0.5, "fault_digest": "ab12", "max_logit_gap": null,
        "train_step_ms": 12.34, "train_images_per_s": 5186.4, "inference_ms": 5.0, "note": null}"#;

    fn measured(device: &str, digest: &str) -> Row {
        let row = parse(&MEASURED.replace('\n', "")).expect("as the runner prints it");
        Row { device: device.to_owned(), fault_digest: Some(digest.to_owned()), ..row }
    }

    fn absent(device: &str, note: &str) -> Row {
        Row { device: device.to_owned(), note: Some(note.to_owned()), ..Row::default() }
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn flex_comes_first_and_each_device_once() {
        use DeviceName::{Cuda, Flex, Ndarray};
        assert_eq!(flex_first(&[Cuda, Ndarray, Cuda]), [Flex, Cuda, Ndarray]);
        assert_eq!(flex_first(&[Ndarray, Flex]), [Flex, Ndarray]);
    }

    #[test]
    fn the_last_line_is_the_measurement() {
        let row = parse(&format!("driver 1.2\n{}\n", MEASURED.replace('\n', ""))).expect("JSON");
        assert_eq!((row.golden_accuracy, row.max_logit_gap), (Some(0.96667), None));
        let absence = parse(r#"{"device": "cuda", "note": "no device found: no driver"}"#);
        assert_eq!(
            absence.expect("numbers are optional"),
            absent("cuda", "no device found: no driver")
        );
        for bad in ["", "Killed", "{}"] {
            assert!(parse(bad).expect_err("no measurement").to_string().contains(bad));
        }
    }

    #[test]
    fn the_reason_is_an_error_or_what_a_panic_said_or_the_first_line() {
        let error = lines("   Compiling burn\nerror[E0432]: unresolved import\nerror: aborting");
        assert_eq!(reason(&error), Some("error[E0432]: unresolved import"));
        let panic =
            lines("warming up\n\nthread 'main' panicked at src/x.rs:1:2:\nno adapter\nnote: …");
        assert_eq!(reason(&panic), Some("no adapter"));
        assert_eq!(reason(&lines("\n  libcuda.so is missing\nbye")), Some("libcuda.so is missing"));
        assert_eq!(reason(&[]), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_child_that_dies_says_how_and_why() {
        let shell = |script: &str| run_child(Command::new("sh").args(["-c", script]));
        assert_eq!(shell("echo noise >&2; echo answer").expect("it succeeds"), "answer\n");
        let exit = shell("echo 'Error: no adapter' >&2; exit 3").expect_err("it fails");
        assert_eq!(exit.to_string(), "exit status: 3: Error: no adapter");
        let signal = shell("kill -KILL $$").expect_err("it is killed");
        assert!(signal.to_string().starts_with("signal: 9"), "{signal}");
    }

    #[test]
    fn a_missing_device_is_no_failure_but_other_faults_are() {
        let good = [measured("flex", "a"), measured("ndarray", "a"), absent("cuda", "no driver")];
        assert_eq!(failures(&good), Vec::<String>::new());
        let bad = [measured("flex", "a"), measured("wgpu", "b")];
        assert_eq!(failures(&bad), ["wgpu drew other faults than flex"]);
        let broken = [absent("flex", "killed"), measured("ndarray", "a")];
        assert_eq!(failures(&broken), ["flex, the reference of all others, failed: killed"]);
    }

    #[test]
    fn the_table_is_markdown_with_one_line_a_row() {
        let rows = [
            measured("flex", "a"),
            Row { max_logit_gap: Some(2.5e-6), ..measured("ndarray", "a") },
            measured("wgpu", "b"),
            absent("cuda", "no driver | no luck"),
        ];
        let table = table(&rows).to_string();
        let cells: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        assert_eq!(cells.len(), 2 + rows.len(), "{table}");
        assert_eq!(
            cells[2],
            ["flex", "CPU", "0.9667", "0.5000", "same", "", "12.3", "5186", "5.0", ""]
        );
        assert_eq!(cells[3][4..6], ["same", "2.5e-6"]);
        assert_eq!(cells[4][4], "DIFFER");
        assert!(table.contains("no driver \\| no luck"), "{table}");
    }
}
