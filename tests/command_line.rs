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
    assert!((p - 0.0462).abs() < 1e-4, "{chain}");
}

#[test]
fn numbers_out_of_range_are_named_and_exit_2() {
    for (flag, value, quantity) in [("--oxide-nm", "nan", "NaN"), ("--mass", "-1", "-1")] {
        let mut command = qtaml();
        command.args(["physics", "--retention-s", "1", &format!("{flag}={value}")]);
        if flag != "--oxide-nm" {
            command.args(["--oxide-nm", "2"]);
        }
        command.assert().code(2).stderr(contains(quantity));
    }
}

#[test]
fn wrong_usage_exits_2() {
    qtaml().args(["physics"]).assert().code(2).stderr(contains("--oxide-nm"));
    qtaml().args(["physics", "--oxide-nm", "thick"]).assert().code(2);
    qtaml().args(["transmogrify"]).assert().code(2);
}

/// `qtaml physics` with a command line as it is typed.
fn physics(line: &str) -> assert_cmd::assert::Assert {
    qtaml().arg("physics").args(line.split_whitespace()).assert()
}

/// What a successful run printed as JSON.
fn json(run: assert_cmd::assert::Assert) -> serde_json::Value {
    serde_json::from_slice(&run.success().get_output().stdout).unwrap()
}

/// A folder with a cell file in it.
fn folder_with_cell(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cell.toml"), text).unwrap();
    folder
}

#[test]
fn every_step_is_shown_with_its_unit_in_one_column() {
    let run = physics("--oxide-nm 4.5 --retention-s 3.156e8").success();
    let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    for line in ["oxide thickness    4.5          nm", "retention time     3.156e8      s (10 yr)"]
    {
        assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("flip probability   0.04")), "{text}");
}

#[test]
fn a_file_gives_the_cell_and_flags_win_over_it() {
    let folder = folder_with_cell("oxide-nm = 4.5\nretention-s = 3.156e8\nmass = 0.5\n");
    let cell = format!("--cell {} --json", folder.path().join("cell.toml").display());
    let from_file = json(physics(&cell));
    assert_eq!(from_file["cell"]["barrier"]["mass_ratio"], 0.5);
    let by_flags = json(physics("--oxide-nm 4.5 --retention-s 3.156e8 --mass 0.5 --json"));
    assert_eq!(from_file, by_flags);
    let overridden = json(physics(&format!("{cell} --oxide-nm 5")));
    assert_eq!(overridden["cell"]["barrier"]["thickness_nm"], 5.0);
    assert_eq!(overridden["cell"]["barrier"]["mass_ratio"], 0.5);
}

#[test]
fn a_preset_is_a_start_and_says_what_it_leaves_out() {
    physics("--preset dram").success().stdout(contains("Not modelled in dram: "));
    let [usual, hot] = ["", "--temperature-k 400"]
        .map(|more| json(physics(&format!("--preset dram {more} --json"))));
    assert_eq!(hot["cell"], usual["cell"]);
    assert_eq!(usual["cell"]["leakage"], "one_way");
    assert_eq!(hot["condition"]["temperature_k"], 400.0);
    assert_eq!(hot["condition"]["retention_s"], usual["condition"]["retention_s"]);
    let p = |chain: &serde_json::Value| chain["probability"]["p10"].as_f64().unwrap();
    assert!(p(&hot) > p(&usual), "{hot}");
    physics("--preset tape").code(2).stderr(contains("floating-gate, dram, sram"));
}

#[test]
fn a_material_is_a_barrier_and_a_mass() {
    let chain = json(physics("--oxide-nm 4 --retention-s 1 --material HfO2 --mass 0.2 --json"));
    assert_eq!(chain["cell"]["barrier"]["height_ev"], 1.4);
    assert_eq!(chain["cell"]["barrier"]["mass_ratio"], 0.2);
    physics("--oxide-nm 4 --retention-s 1 --material wood").code(2).stderr(contains("si3n4"));
}

#[test]
fn leakage_decides_which_value_is_lost() {
    let flips = |law: &str| {
        let line = format!("--oxide-nm 4.5 --retention-s 3.156e8 --leakage {law} --json");
        let chain = json(physics(&line));
        ["p01", "p10"].map(|p| chain["probability"][p].as_f64().unwrap())
    };
    let [p01, p10] = flips("one-way");
    assert!(p01 == 0.0 && p10 > 0.0);
    let [p01, p10] = flips("0.5");
    assert!((p01 / p10 - 0.5).abs() < 1e-12);
    physics("--oxide-nm 4 --retention-s 1 --leakage=-2")
        .code(2)
        .stderr(contains("g01_over_g10 = -2.0 is outside").and(contains("called leakage")));
    physics("--oxide-nm 4 --retention-s 1 --leakage never").code(2).stderr(contains("one-way"));
}

#[test]
fn a_bad_file_is_named_with_its_fault() {
    for (text, fault) in [
        ("oxide = 4.5", "unknown field `oxide`"),
        ("oxide-nm = \"thick\"", "invalid type"),
        ("preset = \"tape\"", "there is no preset \"tape\""),
    ] {
        let folder = folder_with_cell(text);
        let path = folder.path().join("cell.toml");
        physics(&format!("--cell {}", path.display())).code(1).stderr(contains(fault));
    }
    let folder = folder_with_cell("oxide-nm = -4\nretention-s = 1");
    physics(&format!("--cell {}", folder.path().join("cell.toml").display()))
        .code(2)
        .stderr(contains("thickness_nm = -4.0 is outside 0.001..=10000.0"));
    physics("--cell no-such.toml").code(1).stderr(contains("no-such.toml"));
}

#[test]
fn a_sweep_leaves_a_table_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("figures");
    let line = "--retention-s 3.156e8 --sweep oxide-nm=3..6:4 --out";
    physics(&format!("{line} {}", out.display()))
        .success()
        .stdout(contains("sweep-oxide-nm.csv").and(contains("sweep-oxide-nm.svg")));
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 2);

    let csv = std::fs::read_to_string(out.join("sweep-oxide-nm.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name| rows[0].iter().position(|column| *column == name).unwrap();
    let (oxide, p10) = (column("oxide_nm"), column("p10"));
    let values = |column: usize| -> Vec<f64> {
        rows[1..].iter().map(|row| row[column].parse().unwrap()).collect()
    };
    assert_eq!(values(oxide), [3.0, 4.0, 5.0, 6.0]);
    assert!(values(p10).is_sorted_by(|thin, thick| thin > thick), "{csv}");

    let svg = std::fs::read_to_string(out.join("sweep-oxide-nm.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("oxide thickness [nm]"));
}

#[test]
fn a_sweep_goes_to_the_current_folder_and_as_json_to_none() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = |more: &[&str]| {
        let line = ["physics", "--oxide-nm=4.5", "--sweep=retention-s=1e-3..1e9:13"];
        qtaml().current_dir(folder.path()).args(line).args(more).assert()
    };
    let rows = json(sweep(&["--json"]));
    assert_eq!(rows.as_array().unwrap().len(), 13);
    assert!((rows[6]["retention_s"].as_f64().unwrap() - 1e3).abs() < 1e-9);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    sweep(&[]).success();
    assert!(folder.path().join("sweep-retention-s.csv").is_file());
}

#[test]
fn a_sweep_says_of_which_cell() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display();
    physics(&format!("--material hfo2 --retention-s 60 --sweep oxide-nm=3..6 --out {out}"))
        .success()
        .stdout(contains(
            "barrier 1.4 eV, 0.11 electron masses, 1e13 attempts/s, 0 V/nm, 300 K, 1 min\n",
        ));
}

#[test]
fn a_sweep_in_which_nothing_flips_leaves_its_table() {
    for line in [
        "--retention-s 1 --temperature-k 0 --sweep oxide-nm=100..200:3",
        "--retention-s 1 --attempt-rate-hz 0 --sweep oxide-nm=1..2:3",
    ] {
        let folder = tempfile::tempdir().unwrap();
        physics(&format!("{line} --out {}", folder.path().display()))
            .success()
            .stdout(contains("sweep-oxide-nm.csv").and(contains("no chart")));
        let csv = std::fs::read_to_string(folder.path().join("sweep-oxide-nm.csv")).unwrap();
        assert_eq!(csv.lines().count(), 4, "{line}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{line}");
    }
}

#[test]
fn every_quantity_can_be_swept() {
    for sweep in
        ["oxide-nm=3..5", "field-v-per-nm=-1..1", "retention-s=1e-9..1", "temperature-k=0..400"]
    {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().display();
        physics(&format!("--preset dram --sweep {sweep}:5 --out {out}"))
            .success()
            .stdout(contains("5 points"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "{sweep}");
    }
}

#[test]
fn impossible_sweeps_are_refused_with_what_is_possible() {
    for (sweep, says) in [
        ("oxide-nm=6..3", "has to be the larger one"),
        ("oxide-nm=3..6:1", "2..=10000"),
        ("oxide-nm=3", "LOW..HIGH"),
        ("colour=1..2", "field-v-per-nm"),
        ("retention-s=0..1", ":linear"),
    ] {
        physics(&format!("--oxide-nm 4 --retention-s 1 --sweep {sweep}"))
            .code(2)
            .stderr(contains(says));
    }
    physics("--retention-s 1 --sweep oxide-nm=0..3")
        .code(2)
        .stderr(contains("thickness_nm = 0.0 is outside"));
    physics("--retention-s 1 --oxide-nm 4 --sweep oxide-nm=3..6")
        .code(2)
        .stderr(contains("cannot be given as --oxide-nm"));
    physics("--oxide-nm 4 --retention-s 1 --out here").code(2).stderr(contains("--sweep"));
}

#[test]
fn what_is_solved_for_leads_back_to_the_probability() {
    for (given, unknown) in [
        ("--oxide-nm 4.5", "retention-s"),
        ("--retention-s 3.156e8", "oxide-nm"),
        ("--preset floating-gate --temperature-k 300", "field-v-per-nm"),
    ] {
        let solution = json(physics(&format!("{given} --solve {unknown} --p 0.1 --json")));
        assert_eq!(solution["solved"]["quantity"], unknown);
        let value = &solution["solved"]["value"];
        let again = json(physics(&format!("{given} --{unknown} {value} --json")));
        let p = again["probability"]["p10"].as_f64().unwrap();
        assert!((p - 0.1).abs() < 1e-9, "{unknown}: {again}");
    }
    physics("--oxide-nm 4.5 --solve retention-s --p 0.1")
        .success()
        .stdout(contains("retention-s = ").and(contains("flip probability   0.1\n")));
}

#[test]
fn what_cannot_be_solved_is_said() {
    physics("--oxide-nm 4 --solve retention-s --p 0.7").code(1).stderr(contains("0.7"));
    physics("--preset sram --solve retention-s --p 0.5").code(1).stderr(contains("retention_s"));
    physics("--oxide-nm 4 --solve retention-s --p -1").code(2).stderr(contains("-1.0 is outside"));
    physics("--oxide-nm 4 --solve retention-s").code(2).stderr(contains("--p"));
    physics("--oxide-nm 4 --retention-s 1 --p 0.1").code(2).stderr(contains("--solve"));
    physics("--oxide-nm 4 --retention-s 1 --solve mass --p 0.1")
        .code(2)
        .stderr(contains("field-v-per-nm"));
    physics("--oxide-nm 4 --solve oxide-nm --p 0.1").code(2);
}

#[test]
fn zero_has_no_sign() {
    physics("--oxide-nm 4.5 --retention-s 1 --field-v-per-nm=-0")
        .success()
        .stdout(contains("oxide field        0            V/nm"));
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    for line in [
        "physics --preset dram",
        "physics --preset dram --json",
        "laws --bits 2 --trials 1",
        "devices",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("qtaml"));
        let run = command.args(line.split(' ')).stdout(writer).stderr(std::process::Stdio::piped());
        let run = run.spawn().unwrap().wait_with_output().unwrap();
        assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
    }
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
        laws(&line).assert().code(1).stderr(contains("cannot write"));
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
