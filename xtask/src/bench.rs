//! `cargo xtask bench`: how fast the libraries are on this machine, beside their goals.

mod allocation;
mod onnx;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::workspace::cargo;

const AFTER_HELP: &str = "\
Builds the benchmark in release mode, without burn, and runs it in a process of its own: about two
minutes each, once it is built. Progress goes to stderr, the table with the goals to stdout.

fault: 64 Mi weights of one byte are read through every fault model, on one thread and on all.
  M weights/s  millions of weights a second, all threads together; the median of 21 rounds
  x naive      against one `random_bool` from `StdRng` for each stored bit, on one thread
  x memcpy     against copying the weights with as many threads
  x 1 thread   against the same on one thread
  M flips/s    millions of flips a second, where flips and not weights are what costs
codec: a tensor of 64 Ki weights is given a code for a faulty memory, encoded and decoded, on one
thread. The columns are as above, but
  x naive      against a binary search for each weight or word; a design has nothing beside it
  x memcpy     against copying the weights
allocation: protection is divided among 1,000 layers up to 1,000,000 channels by every solver, and
planned for 1,000 layers from histograms of their weights on, on one thread.
  budget       the share of all bits that may be protected
  ms           milliseconds: the median of seven rounds where one takes less than a second
  gap          the share of the error that a better solution might save; the optimum has none
onnx: forward passes and trials of a convolutional network and of transformers with 5, 20 and 90 MB
of weights, or of the model of --model on the inputs of --data, on one sample and on 64 (16 at
once), on one thread. A trial draws faults of all weights (INT8 by output channel), decodes them,
runs the model on all samples, and leaves the model as it was. About ten minutes.
  p            the probability that a bit flips
  ms           milliseconds of processor time, where the system tells it
  x forward    against forward passes on the same samples; judged on 64, as many as choose a plan
  x onnxrt     against onnxruntime in the Python of --onnxruntime, on one thread
  passes       forward passes over a batch that the sensitivities of all weight tensors take, by
               one change of each: only what lies behind a changed tensor runs again
  share        that, less one for the base, for each weight tensor
with --plan a whole plan on 64 samples at p = 0.01 in place of these, as `qtaml plan` makes it

What is compared is measured in turn, so the ratios hold on a busy machine as well; weights a
second and milliseconds do not: close other programs first.

Files, in the folder of --out:
  fault.json   the rows, with all digits: case, p, threads, weights_per_s, ratio_naive, ratio_memcpy,
               ratio_one_thread
  codec.json   the same, but for the last
  allocation.json  the rows: case, groups, budget, seconds, gap
  onnx.json    the rows: model, megabytes, convolutional, samples, case, p, seconds, ratio_forward,
               ratio_onnxruntime, tensors, passes

Examples:
  cargo xtask bench fault
  cargo xtask bench codec --out results/bench
  cargo xtask bench allocation
  cargo xtask bench onnx --onnxruntime .venv/bin/python
  cargo xtask bench onnx --model model.onnx --data inputs.npz
  cargo xtask bench onnx --model model.onnx --data inputs.npz --plan stored

Exit codes:
  0  measured, whether goals are met or missed
  1  the benchmark does not build or run
  2  wrong usage";

/// Measure how fast faults are injected, codes are made and used, protection is planned and models run
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    name: Bench,

    /// Folder for the results; created if missing
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,

    #[command(flatten)]
    onnx: onnx::Flags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// Bit faults in stored weights
    Fault,
    /// Codes that expect faults
    Codec,
    /// Where protected bits count
    Allocation,
    /// Trials of ONNX models
    Onnx,
}

/// One line of a benchmark, as it prints it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Row {
    case: String,
    p: f64,
    threads: usize,
    weights_per_s: f64,
    ratio_naive: Option<f64>,
    ratio_memcpy: f64,
    ratio_one_thread: Option<f64>,
}

/// What a row should reach, and whether it did.
#[derive(Debug, PartialEq)]
struct Goal {
    text: String,
    met: bool,
}

/// Measures, saves the rows, and prints them with their goals.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let (package, bench) = match args.name {
        Bench::Fault => ("qtaml-fault", "fault"),
        Bench::Codec => ("qtaml-compensation", "codec"),
        Bench::Allocation => ("qtaml-compensation", "allocation"),
        Bench::Onnx => ("qtaml-onnx", "onnx"),
    };
    let flags = args.onnx.arguments()?;
    ensure!(
        flags.is_empty() || args.name == Bench::Onnx,
        "--model, --data, --onnxruntime and --plan are for `cargo xtask bench onnx`"
    );
    let mut child = cargo("bench");
    child.args(["--package", package, "--bench", bench]).stderr(Stdio::inherit());
    if args.name == Bench::Onnx {
        child.arg("--").args(flags).env("RAYON_NUM_THREADS", "1");
    }
    let output = child.output().with_context(|| format!("cannot start {child:?}"))?;
    ensure!(output.status.success(), "{child:?}: {}", output.status);
    let json = String::from_utf8(output.stdout).context("its rows are not text")?;
    let (mut table, goals) = report(args.name, &json)?;

    let path = args.out.join(format!("{bench}.json"));
    write_whole(&path, &json)?;
    println!("{}", table.set_content_arrangement(ContentArrangement::Dynamic));
    println!("{}", summary(&goals));
    println!("wrote {}", path.display());
    Ok(())
}

/// The rows as a table, and all their goals.
fn report(name: Bench, json: &str) -> Result<(Table, Vec<Goal>)> {
    Ok(match name {
        Bench::Fault | Bench::Codec => {
            let rows = parse(json)?;
            (table(&rows), rows.iter().flat_map(|row| goals(row, &rows)).collect())
        }
        Bench::Allocation => {
            let rows = parse(json)?;
            (allocation::table(&rows), rows.iter().flat_map(allocation::goals).collect())
        }
        Bench::Onnx => {
            let rows = parse(json)?;
            (onnx::table(&rows), rows.iter().flat_map(onnx::goals).collect())
        }
    })
}

fn parse<R: DeserializeOwned>(json: &str) -> Result<Vec<R>> {
    serde_json::from_str(json).with_context(|| format!("no rows in `{}`", json.trim()))
}

/// Writes a file beside `path` and gives it its name at the end: readers see all of it or nothing.
fn write_whole(path: &Path, content: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&partial, content)?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The goals of a row. Those of speed are set for one thread, those of scaling for two.
fn goals(row: &Row, rows: &[Row]) -> Vec<Goal> {
    let rate = |millions: f64| Goal {
        text: format!(">= {millions} M weights/s"),
        met: row.weights_per_s >= millions * 1e6,
    };
    let like = |p: f64| {
        rows.iter()
            .find(|other| other.case == row.case && other.p == p && other.threads == row.threads)
    };
    // By how much more often than in another row something happens, if there is such a row.
    let times = |other: Option<&Row>, of: fn(&Row) -> f64, least: f64, text: &str| {
        let goal = |other| Goal { text: text.to_owned(), met: of(row) >= least * of(other) };
        other.map(goal).into_iter().collect()
    };
    let speed = |row: &Row| row.weights_per_s;
    match (row.case.as_str(), row.threads) {
        ("symmetric", 1) if row.p == 0.1 => {
            let naive =
                Goal { text: ">= 20 x naive".to_owned(), met: row.ratio_naive >= Some(20.0) };
            vec![rate(500.0), naive]
        }
        ("symmetric", 1) if row.p == 1e-3 => vec![rate(2000.0)],
        ("symmetric", 1) if row.p == 1e-6 => {
            times(like(1e-4), flips_per_s, 0.5, ">= 0.5 x the flips/s of p = 1e-4")
        }
        // Too few flips are left to time them.
        ("symmetric", 1) if row.p < 1e-6 => {
            times(like(1e-6), speed, 1.0, "no slower than p = 1e-6")
        }
        ("decode, 8 bits", 1) => vec![rate(1000.0)],
        ("asymmetric" | "per bit" | "per bit, asymmetric", 1) if row.p >= 0.1 => vec![rate(250.0)],
        ("symmetric" | "asymmetric" | "per bit" | "per bit, asymmetric", 2) if row.p >= 1e-3 => {
            let met = row.ratio_one_thread >= Some(1.8);
            vec![Goal { text: ">= 1.8 x one thread".to_owned(), met }]
        }
        _ => Vec::new(),
    }
}

/// Flips a second, where each of the eight bits of a weight flips with probability `p`.
fn flips_per_s(row: &Row) -> f64 {
    8.0 * row.p * row.weights_per_s
}

fn summary(goals: &[Goal]) -> String {
    let met = goals.iter().filter(|goal| goal.met).count();
    format!("{met} of {} goals are met on this machine in this run", goals.len())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "case",
        "p",
        "threads",
        "M weights/s",
        "x naive",
        "x memcpy",
        "x 1 thread",
        "M flips/s",
        "goals",
    ]);
    for row in rows {
        table.add_row(cells(row, rows));
    }
    table
}

fn verdicts(goals: Vec<Goal>) -> String {
    let verdict =
        |goal: Goal| format!("{} ({})", goal.text, if goal.met { "met" } else { "MISSED" });
    goals.into_iter().map(verdict).collect::<Vec<_>>().join("; ")
}

fn cells(row: &Row, rows: &[Row]) -> [String; 9] {
    let rare = row.case == "symmetric" && row.p <= 1e-3;
    [
        row.case.clone(),
        format!("{:.1e}", row.p),
        row.threads.to_string(),
        format!("{:.0}", row.weights_per_s / 1e6),
        row.ratio_naive.map_or_else(String::new, |ratio| format!("{ratio:.1}")),
        format!("{:.2}", row.ratio_memcpy),
        if row.threads == 1 { None } else { row.ratio_one_thread }
            .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        if rare { format!("{:.3}", flips_per_s(row) / 1e6) } else { String::new() },
        verdicts(goals(row, rows)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(case: &str, p: f64, threads: usize, millions: f64) -> Row {
        Row {
            case: case.to_owned(),
            p,
            threads,
            weights_per_s: millions * 1e6,
            ratio_naive: Some(millions / 20.0),
            ratio_memcpy: 0.25,
            ratio_one_thread: Some(millions / 100.0),
        }
    }

    fn met_by(rows: &[Row]) -> Vec<Vec<bool>> {
        let met = |row| goals(row, rows).into_iter().map(|goal| goal.met).collect();
        rows.iter().map(met).collect()
    }

    #[test]
    fn rows_are_read_as_the_benchmark_prints_them() {
        let json = r#"[{"case": "symmetric", "p": 0.1, "threads": 2, "weights_per_s": 5e8,
            "ratio_naive": 25.0, "ratio_memcpy": 0.25, "ratio_one_thread": 5.0}]"#;
        assert_eq!(parse::<Row>(json).expect("one row"), [row("symmetric", 0.1, 2, 500.0)]);
        for bad in ["", "{}", r#"[{"case": "symmetric"}]"#] {
            assert!(parse::<Row>(bad).expect_err("no rows").to_string().contains(bad));
        }
    }

    #[test]
    fn speed_is_judged_on_one_thread() {
        assert_eq!(
            met_by(&[
                row("symmetric", 0.1, 1, 500.0),
                row("symmetric", 0.1, 16, 1.0),
                row("symmetric", 1e-3, 1, 1999.0),
                row("asymmetric", 0.1, 1, 249.0),
                row("per bit, asymmetric", 0.16, 1, 250.0),
                row("asymmetric", 1e-3, 1, 1.0),
                row("1000 flips", 1e-6, 1, 1.0),
            ]),
            [vec![true, true], vec![], vec![false], vec![false], vec![true], vec![], vec![]]
        );
    }

    #[test]
    fn two_threads_are_judged_against_one() {
        let [fast, slow] = [181.0, 179.0].map(|rate| row("per bit", 0.16, 2, rate));
        let unknown = Row { ratio_one_thread: None, ..fast.clone() };
        assert_eq!(met_by(&[fast, slow, unknown]), [[true], [false], [false]]);
    }

    #[test]
    fn rare_flips_must_cost_what_they_are() {
        let [often, rare, rarest] =
            [(1e-4, 4e3), (1e-6, 2.1e5), (1e-9, 2e5)].map(|(p, rate)| row("symmetric", p, 1, rate));
        let found = met_by(&[often.clone(), rare, rarest]);
        assert_eq!(found, [vec![], vec![true], vec![false]]);
        assert_eq!(met_by(&[often, row("symmetric", 1e-6, 1, 1.9e5)])[1], [false]);
    }

    #[test]
    fn the_table_says_what_is_missed() {
        let rows = [row("symmetric", 0.1, 1, 450.0), row("symmetric", 1e-4, 1, 4000.0)];
        let table = table(&rows).to_string();
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        let verdicts = ">= 500 M weights/s (MISSED); >= 20 x naive (met)";
        assert_eq!(lines[2], ["symmetric", "1.0e-1", "1", "450", "22.5", "0.25", "", "", verdicts]);
        assert_eq!(lines[3][7], "3.200");
        let goals: Vec<Goal> = rows.iter().flat_map(|row| goals(row, &rows)).collect();
        assert_eq!(summary(&goals), "1 of 2 goals are met on this machine in this run");
    }

    #[test]
    fn a_file_is_written_whole() {
        let folder = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
        let path = folder.join("new/fault.json");
        for content in ["first", "second"] {
            write_whole(&path, content).expect("the temporary folder can be written");
            assert_eq!(fs::read_to_string(&path).expect("it is there"), content);
        }
        assert_eq!(fs::read_dir(folder.join("new")).expect("it is there").count(), 1);
        let error = write_whole(&path.join("below"), "").expect_err("a file is no folder");
        assert!(error.to_string().starts_with("cannot write"), "{error}");
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
