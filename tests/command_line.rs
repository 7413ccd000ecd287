//! The `qtaml` command as a user meets it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

fn qtaml() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("qtaml"))
}

#[test]
fn help_teaches_by_example() {
    qtaml()
        .args(["physics", "--help"])
        .assert()
        .success()
        .stdout(contains("Examples:").and(contains("nanometres")));
}

#[test]
fn a_cell_gives_its_flip_probability() {
    let run = qtaml()
        .args(["physics", "--oxide-nm", "4.5", "--retention-s", "3.156e8", "--json"])
        .assert()
        .success();
    let chain: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    let p = chain["probability"]["p10"].as_f64().unwrap();
    assert!((p - 0.0427).abs() < 1e-4, "{chain}");
}

#[test]
fn numbers_out_of_range_are_named_and_exit_1() {
    for (flag, value, quantity) in [("--oxide-nm", "nan", "NaN"), ("--mass", "-1", "-1")] {
        let mut command = qtaml();
        command.args(["physics", "--retention-s", "1", &format!("{flag}={value}")]);
        if flag != "--oxide-nm" {
            command.args(["--oxide-nm", "2"]);
        }
        command.assert().code(1).stderr(contains(quantity));
    }
}

#[test]
fn wrong_usage_exits_2() {
    qtaml().args(["physics"]).assert().code(2).stderr(contains("--oxide-nm"));
    qtaml().args(["physics", "--oxide-nm", "thick"]).assert().code(2);
    qtaml().args(["transmogrify"]).assert().code(2);
}

#[test]
fn devices_are_listed() {
    qtaml().args(["devices"]).assert().success().stdout(contains("flex"));
}
