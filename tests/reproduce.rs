//! The experiment runner as `cargo xtask reproduce` starts it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

fn runner(out: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("qtaml-experiments"));
    command.args(["reproduce", "--smoke", "--out"]).arg(out).args(flags);
    command
}

fn results(out: &Path) -> serde_json::Value {
    let text = fs::read_to_string(out.join("results.json")).unwrap();
    let mut results: serde_json::Value = serde_json::from_str(&text).unwrap();
    results["seconds"] = 0.into();
    results
}

#[test]
fn a_run_leaves_everything_behind_and_repeats() {
    let folder = tempfile::tempdir().unwrap();
    // One of each kind: together they train, store, read, decode, protect and draw.
    let ids = [
        "physics.decade",
        "qtaml.drift",
        "qtaml.layer",
        "qtaml.tac.lenet",
        "qtaml.score.mobilenet",
        "ours.bayes.lenet",
        "ours.codec.lenet",
        "t0.table1",
        "t0.vision.resnet",
    ];
    let outs = ["one", "two"].map(|name| folder.path().join(name));
    for (out, threads) in outs.iter().zip(["1", "4"]) {
        runner(out, &["--threads", threads, "--only", &ids.join(",")])
            .assert()
            .success()
            .stdout(contains("qtaml.drift").and(contains("report.html")));
    }
    let [one, two] = outs.each_ref().map(|out| results(out));
    assert_eq!(one, two, "the number of threads changes no number");
    assert_eq!(one["schema"], 1);
    let claims = one["claims"].as_array().unwrap();
    assert_eq!(claims.iter().map(|c| c["id"].clone()).collect::<Vec<_>>(), ids);
    for file in ["report.html", "qtaml.drift.mean.svg", "qtaml.drift.mean.csv"] {
        let [one, two] = outs.each_ref().map(|out| fs::read(out.join(file)).unwrap());
        assert!(!one.is_empty());
        assert!(file == "report.html" || one == two, "{file}");
    }
}

#[test]
fn finished_parts_are_resumed_and_a_cut_off_line_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    runner(out, &["--only", "t0.table1"]).assert().success();
    let first = results(out);
    let journal = out.join("journal.jsonl");
    let whole = fs::read(&journal).unwrap();
    fs::write(&journal, &whole[..whole.len() - 100]).unwrap();
    runner(out, &["--only", "t0.table1", "--resume"])
        .assert()
        .success()
        .stderr(contains("resuming: 10 finished parts are kept"));
    assert_eq!(results(out), first);
    assert_eq!(fs::read(&journal).unwrap(), whole);
}

#[test]
fn another_seed_is_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    runner(out, &["--only", "qtaml.drift"]).assert().success();
    let first = results(out);
    runner(out, &["--only", "qtaml.drift", "--seed", "43", "--resume"])
        .assert()
        .success()
        .stderr(contains("starting afresh"));
    assert_ne!(results(out)["claims"][0]["measured"], first["claims"][0]["measured"]);
}

#[test]
fn wrong_usage_exits_2_and_names_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    runner(folder.path(), &["--only", "qtaml.drfit"])
        .assert()
        .code(2)
        .stderr(contains("qtaml.drfit").and(contains("qtaml.drift")));
    runner(folder.path(), &["--device", "abacus"])
        .assert()
        .code(2)
        .stderr(contains("abacus").and(contains("ndarray")));
    assert!(!folder.path().join("results.json").exists());
}

#[test]
fn a_device_that_is_not_built_in_exits_1_and_names_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    if cfg!(feature = "cuda") {
        return;
    }
    runner(folder.path(), &["--device", "cuda"])
        .assert()
        .code(1)
        .stderr(contains("unknown device \"cuda\"").and(contains("flex")));
}

#[test]
fn a_folder_that_cannot_be_written_exits_1_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    runner(&file.join("out"), &["--only", "physics.decade"])
        .assert()
        .code(1)
        .stderr(contains("journal.jsonl").and(contains("file")));
}

#[test]
fn a_data_set_that_is_not_there_exits_1_and_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    Command::new(assert_cmd::cargo::cargo_bin!("qtaml-experiments"))
        .args(["reproduce", "--profile", "full", "--only", "qtaml.tac.lenet", "--data-dir"])
        .arg(&nowhere)
        .arg("--out")
        .arg(folder.path().join("out"))
        .assert()
        .code(1)
        .stderr(contains("train-images-idx3-ubyte").and(contains("nowhere")));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_finished() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let earlier = out.join("results.json");
    fs::write(&earlier, "of an earlier run").unwrap();
    let child = Command::new(assert_cmd::cargo::cargo_bin!("qtaml-experiments"))
        .args(["reproduce", "--only", "t0.table1", "--out"])
        .arg(out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let journal = out.join("journal.jsonl");
    let start = Instant::now();
    let lines = || fs::read_to_string(&journal).unwrap_or_default().lines().count();
    while lines() < 2 {
        assert!(start.elapsed() < Duration::from_mins(2), "no part was ever finished");
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("finished parts are kept"), "{stderr}");
    assert!(lines() >= 2);
    assert_eq!(fs::read_to_string(earlier).unwrap(), "of an earlier run");
}
