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

mod laws {
    use std::path::Path;

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use serde_json::Value;

    use super::*;

    /// Enough reads of INT4 words, unless the line says otherwise: a run is over in a moment.
    fn laws(line: &str) -> Command {
        let mut command = qtaml();
        command.arg("laws").args(line.split_whitespace());
        for (flag, value) in [("--bits", "4"), ("--trials", "10000")] {
            if !line.contains(&format!("{flag} ")) {
                command.args([flag, value]);
            }
        }
        command
    }

    fn json(line: &str) -> Value {
        let run = laws(line).arg("--json").assert().success();
        serde_json::from_slice(&run.get_output().stdout).unwrap()
    }

    /// A model file with the given tensors.
    fn model(folder: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> String {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let path = folder.join("model.safetensors");
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        path.display().to_string()
    }

    fn f32s(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        values.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    #[test]
    fn the_law_holds_and_the_report_says_of_what() {
        laws("").assert().success().stdout(
            contains("INT4 twos-complement, p = 0.1, seed 42, 10,000 reads per code")
                .and(contains("share of variance"))
                .and(contains("Three synthetic layers"))
                .and(contains("laplace"))
                .and(contains("of 46 scores, bound"))
                .and(contains(": the law holds")),
        );
        laws("--all-codes").assert().success().stdout(contains("All 16 words"));
    }

    #[test]
    fn json_holds_every_score() {
        let report = json("");
        assert_eq!(report["verdict"], "holds");
        let count = |rows: &str| report[rows].as_array().unwrap().len();
        assert_eq!([count("codes"), count("bits"), count("layers")], [32, 8, 6]);
        assert_eq!(report["scores"], 46);
        let least = &report["codes"][0];
        assert_eq!((&least["code"], &least["quantity"]), (&(-8).into(), &"mean_error".into()));
        // E[q'] - q = -2 p q - p at q = -8, p = 0.1
        assert!((least["law"].as_f64().unwrap() - 1.5).abs() < 1e-12, "{least}");
        assert_eq!(report, json(""), "the seed decides everything");
    }

    #[test]
    fn protected_bits_drop_out() {
        let report = json("--protect-bits 3,0");
        assert_eq!(report["verdict"], "holds");
        assert_eq!(report["protected_bits"], serde_json::json!([0, 3]));
        let bits: Vec<_> =
            report["bits"].as_array().unwrap().iter().map(|row| row["bit"].as_u64()).collect();
        assert_eq!(bits, [2, 2, 1, 1].map(Some));
        let out = tempfile::tempdir().unwrap();
        let all = format!("--protect 4 --out {}", out.path().display());
        laws(&all).assert().success().stdout(contains("bits 3, 2, 1, 0 protected"));
        assert!(!out.path().join("laws.bits.svg").exists(), "no bit has a variance to draw");
    }

    #[test]
    fn every_law_and_encoding_is_checked() {
        for line in [
            "--p01 0.15 --p10 0.3 --encoding sign-magnitude",
            "--p-per-bit 0.5,0.2,0.1,0.3:0.1 --encoding gray",
            "--p 0 --encoding offset-binary",
            "--p 0.5 --protect 3 --trials 12345",
            "--p01 1 --p10 0.25",
        ] {
            assert_eq!(json(line)["verdict"], "holds", "{line}");
        }
    }

    /// At a false alarm rate of nine in ten, this seed is one.
    #[test]
    fn a_contradiction_is_named_and_exits_1() {
        let run = laws("--bits 3 --seed 3 --false-alarm 0.9").assert().code(1);
        run.stdout(contains("the law is CONTRADICTED by the mean error of code -2 and 3 more"))
            .stderr(contains("the sampled faults contradict the law"));
    }

    #[test]
    fn too_few_flips_are_not_judged() {
        laws("--p 1e-4").assert().success().stdout(
            contains("not judged").and(contains("--trials 10000000 would do, 1000 times as many")),
        );
        let report = json("--p 1e-4");
        assert_eq!(
            (&report["verdict"], &report["trials_needed"]),
            (&"not_judged".into(), &1e7.into())
        );
        let hopeless = laws("--p 1e-300").assert().success();
        hopeless.stdout(contains("more than can be drawn"));
    }

    #[test]
    fn a_model_gives_the_layers() {
        let folder = tempfile::tempdir().unwrap();
        let weights = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin());
        let bf16 = weights(200).flat_map(|w| ((w.to_bits() >> 16) as u16).to_le_bytes());
        let path = model(
            folder.path(),
            &[
                ("fc.weight", Dtype::F32, vec![30, 20], f32s(weights(600))),
                ("fc.bias", Dtype::F32, vec![30], f32s(weights(30))),
                ("head.weight", Dtype::BF16, vec![10, 20], bf16.collect()),
                ("steps", Dtype::I64, vec![1, 1], vec![0; 8]),
            ],
        );
        let report = json(&format!("--weights {path}"));
        assert_eq!(report["verdict"], "holds");
        assert_eq!(report["weights"], path.as_str());
        let layers = report["layers"].as_array().unwrap();
        let column = |name: &str| layers.iter().step_by(2).map(|row| row[name].clone()).collect();
        let [names, passes]: [Vec<Value>; 2] = ["layer", "passes"].map(column);
        assert_eq!(names, ["fc.weight", "head.weight"]);
        assert_eq!(passes, [17, 50], "each layer is read at least 10,000 times");
        let mean = &layers[0];
        let [law, scale, in_weights] =
            ["law", "scale", "weight_law"].map(|key| mean[key].as_f64().unwrap());
        assert!((law * scale - in_weights).abs() < 1e-6 * in_weights.abs(), "{mean}");
    }

    #[test]
    fn unusable_models_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &str, named: &str| {
            laws(&format!("--weights {path}")).assert().code(1).stderr(contains(named.to_owned()));
        };
        let path = model(folder.path(), &[("a.w", Dtype::F32, vec![1, 2], f32s([1.0, f32::NAN]))]);
        refused(&path, "tensor \"a.w\" cannot be stored");
        refused(&path, "weight 1 is NaN");
        let path = model(folder.path(), &[("a.bias", Dtype::F32, vec![2], f32s([1.0, 2.0]))]);
        refused(&path, "holds no weights");
        std::fs::write(&path, "no such thing").unwrap();
        refused(&path, "is no safetensors file");
        refused("missing.safetensors", "cannot read missing.safetensors");
    }

    #[test]
    fn tables_and_figures_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/laws");
        let line = format!("--out {}", out.display());
        laws(&line).assert().success().stderr(contains("wrote 6 files to"));
        let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
        for (name, rows, begin) in [
            ("laws.codes.csv", 32, "code,word,reads,quantity,law,sampled,standard_error,z,judged"),
            ("laws.bits.csv", 8, "bit,stored,variance_law,variance_sampled,share,quantity,law"),
            ("laws.layers.csv", 6, "layer,weights,passes,scale,weight_law"),
        ] {
            let csv = read(name);
            assert!(csv.starts_with(begin), "{csv}");
            assert_eq!(csv.lines().count(), 1 + rows, "{name}");
        }
        for name in ["laws.drift.svg", "laws.bits.svg", "laws.scores.svg"] {
            assert!(read(name).starts_with("<svg"), "{name}");
        }
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 6, "no temporary file stays");
        let below_a_file = out.join("laws.bits.csv/x");
        let line = format!("--out {}", below_a_file.display());
        laws(&line).assert().code(1).stderr(contains("cannot create folder"));
    }

    #[test]
    fn wrong_usage_exits_2() {
        for (line, named) in [
            ("--p 0.6", "p = 0.6 is outside 0.0..=0.5"),
            ("--p-per-bit 0.1,0.1", "2 flip probabilities do not fit an INT4 code"),
            ("--protect 5", "cannot protect 5 bits of an INT4 code"),
            ("--encoding morse", "encoding \"morse\" is unknown"),
            ("--trials 0", "0 is not in 1..="),
        ] {
            laws(line).assert().code(2).stderr(contains(named));
        }
        qtaml().args(["laws", "--help"]).assert().success().stdout(contains("Examples:"));
    }
}
