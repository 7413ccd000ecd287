//! The experiment runner as `cargo xtask reproduce` starts it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
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
    for experiment in results["experiments"].as_array_mut().unwrap() {
        experiment["seconds"] = 0.into();
    }
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
    assert_eq!(one["schema"], 2);
    let claims = one["claims"].as_array().unwrap();
    assert_eq!(claims.iter().map(|c| c["id"].clone()).collect::<Vec<_>>(), ids);
    for file in ["report.html", "qtaml.drift.mean.svg", "qtaml.drift.mean.csv"] {
        let [one, two] = outs.each_ref().map(|out| fs::read(out.join(file)).unwrap());
        assert!(!one.is_empty());
        assert!(file == "report.html" || one == two, "{file}");
    }
}

/// The files of finished parts, by name.
fn jobs(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(out.join("jobs")) else { return BTreeMap::new() };
    let files = entries.map(|entry| entry.unwrap().path()).filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        // It may be renamed at this moment.
        let finished = path.extension().is_some_and(|extension| extension == "json");
        finished.then_some((name, fs::read(path).ok()?))
    });
    files.collect()
}

#[test]
fn finished_parts_are_resumed_and_a_damaged_one_is_named_and_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    runner(out, &["--only", "t0.table1"]).assert().success();
    let first = results(out);
    let all = jobs(out);
    let path = out.join("jobs").join(all.keys().next().unwrap());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    runner(out, &["--only", "t0.table1", "--resume"])
        .assert()
        .success()
        .stderr(contains(format!("resuming: {} finished parts are kept", all.len() - 1)))
        .stderr(contains("is damaged").and(contains("computed anew")));
    assert_eq!(results(out), first);
    assert_eq!(jobs(out), all);
}

#[test]
fn another_seed_and_another_build_are_other_work_and_another_commit_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let run = |flags: &[&str]| {
        let flags = [&["--only", "qtaml.drift"], flags].concat();
        let output = runner(out, &flags).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    run(&["--build", "a", "--commit", "1"]);
    let first = results(out);
    let work = jobs(out).len();
    let stderr = run(&["--resume", "--build", "a", "--commit", "2"]);
    assert!(stderr.contains(&format!("resuming: {work} finished parts")), "{stderr}");
    assert_eq!(jobs(out).len(), work);

    let stderr = run(&["--resume", "--build", "b"]);
    assert!(stderr.contains("starting afresh"), "{stderr}");
    assert_eq!(results(out)["claims"], first["claims"]);
    let stderr = run(&["--resume", "--build", "a", "--seed", "43"]);
    assert!(stderr.contains("starting afresh"), "{stderr}");
    assert_ne!(results(out)["claims"][0]["measured"], first["claims"][0]["measured"]);
    assert_eq!(jobs(out).len(), 3 * work, "what others did stays");

    run(&["--build", "a"]);
    assert_eq!(jobs(out).len(), work, "without --resume all is done again");
}

/// Together they train, draw and try budgets; each has several parts.
const KILLED: &str = "qtaml.drift,qtaml.layer,ours.bayes.lenet,t0.table1";

#[cfg(unix)]
#[test]
fn a_run_killed_at_any_time_loses_the_part_under_way_alone() {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    let folder = tempfile::tempdir().unwrap();
    let [straight, killed] = ["straight", "killed"].map(|name| folder.path().join(name));
    let flags = ["--only", KILLED, "--build", "b", "--threads", "2"];
    runner(&straight, &flags).assert().success();

    let mut kept = BTreeMap::new();
    // Killed so many milliseconds after so many parts were finished: each goes on from where the one
    // before was killed. The network is trained after the fifth part.
    for (parts, later) in [(1, 0), (3, 40), (5, 300), (9, 7), (16, 90)] {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("qtaml-experiments"))
            .args(["reproduce", "--smoke", "--resume", "--out"])
            .arg(&killed)
            .args(flags)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while jobs(&killed).len() < parts {
            assert!(child.try_wait().unwrap().is_none(), "it came to its end");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(later));
        // On Unix this is SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        let now = jobs(&killed);
        assert!(kept.iter().all(|(name, bytes)| now.get(name) == Some(bytes)), "{parts} parts");
        kept = now;
    }
    assert!(kept.len() < jobs(&straight).len(), "nothing was left to do");
    let resumed = format!("resuming: {} finished parts are kept", kept.len());
    runner(&killed, &[&flags[..], &["--resume"]].concat())
        .assert()
        .success()
        .stderr(contains(resumed));
    assert_eq!(results(&killed), results(&straight));
    assert_eq!(jobs(&killed), jobs(&straight));
}

#[test]
fn parts_side_by_side_merge_into_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, shared, one, two, all] =
        ["whole", "shared", "one", "two", "all"].map(|name| folder.path().join(name));
    // Both parts train the same network.
    let flags = ["--only", "ours.bayes.lenet,qtaml.score.lenet,qtaml.drift", "--build", "b"];
    let part = |out: &Path, shard: &str| {
        let flags = [&flags[..], &["--shard", shard, "--threads", "1"]].concat();
        runner(out, &flags).assert().success().stdout(contains(format!("part {shard}: ")));
    };
    runner(&whole, &flags).assert().success();

    // In one folder at once.
    std::thread::scope(|scope| {
        for shard in ["1/2", "2/2"] {
            let (part, shared) = (&part, &shared);
            scope.spawn(move || part(shared, shard));
        }
    });
    assert!(!shared.join("results.json").exists(), "no part is the whole");
    assert_eq!(jobs(&shared), jobs(&whole));

    // In folders of their own.
    part(&one, "1/2");
    part(&two, "2/2");
    let merge = |folders: &[&Path]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("qtaml-experiments"));
        command.args(["reproduce", "merge", "--out"]).arg(&all).args(folders);
        command.assert()
    };
    merge(&[&one, &two]).success().stdout(contains("2 trained networks were new"));
    assert_eq!(jobs(&all), jobs(&whole));
    for out in [&shared, &all] {
        let resumed = format!("resuming: {} finished parts", jobs(&whole).len());
        runner(out, &[&flags[..], &["--resume"]].concat())
            .assert()
            .success()
            .stderr(contains(resumed).and(contains("training").not()));
        assert_eq!(results(out), results(&whole));
        assert_eq!(jobs(out), jobs(&whole), "nothing was done again");
    }

    // A result of the same part that says something else.
    let name = jobs(&one).into_keys().find(|name| jobs(&two).contains_key(name)).unwrap();
    let path = two.join("jobs").join(&name);
    let other = fs::read_to_string(&path).unwrap().replacen("\"result\":", "\"result\":1", 1);
    fs::write(&path, other).unwrap();
    merge(&[&two]).code(1).stderr(contains(&*name).and(contains("two")));
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
        .stderr(contains("jobs").and(contains("file")));
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
fn ctrl_c_and_a_batch_system_keep_what_is_finished() {
    for signal in ["-INT", "-TERM"] {
        a_signal_keeps_what_is_finished(signal);
    }
}

#[cfg(unix)]
fn a_signal_keeps_what_is_finished(signal: &str) {
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
    let start = Instant::now();
    while jobs(out).is_empty() {
        assert!(start.elapsed() < Duration::from_mins(2), "no part was ever finished");
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("finished parts are kept"), "{stderr}");
    assert_eq!(fs::read_to_string(earlier).unwrap(), "of an earlier run");
}

/// A whole training of the quick profile takes much longer than a test.
#[cfg(unix)]
#[test]
fn a_training_that_is_asked_to_stop_writes_a_checkpoint_and_goes_on_from_it() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let checkpoint = || {
        let entries = fs::read_dir(out.join("weights")).ok()?;
        let unfinished =
            |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "unfinished");
        let folder = entries.map(|entry| entry.unwrap().path()).find(unfinished)?;
        fs::metadata(folder.join("run.safetensors")).ok()?.modified().ok()
    };
    let mut written = None;
    for _ in 0..2 {
        let child = Command::new(assert_cmd::cargo::cargo_bin!("qtaml-experiments"))
            .args(["reproduce", "--only", "qtaml.layer", "--build", "b", "--resume", "--out"])
            .arg(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let start = Instant::now();
        // The first run has written a checkpoint, the second a later one.
        while checkpoint() <= written {
            assert!(start.elapsed() < Duration::from_mins(5), "no checkpoint was ever written");
            std::thread::sleep(Duration::from_millis(20));
        }
        let before = checkpoint();
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        written = checkpoint();
        assert!(written > before, "the signal wrote no checkpoint of its own");
    }
    assert!(jobs(out).is_empty(), "the training came to its end");
}
