//! The `qtaml` command as a user meets it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
mod model_folder;

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
    let flips = |direction: &str| {
        let line = format!("--oxide-nm 4.5 --retention-s 3.156e8 --leakage {direction} --json");
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
fn several_probabilities_are_solved_for_in_rows() {
    let line = "--oxide-nm 4.5 --solve retention-s --p 1e-3,10%";
    let both = json(physics(&format!("{line} --json")));
    for (i, p) in ["1e-3", "0.1"].into_iter().enumerate() {
        let line = format!("--oxide-nm 4.5 --solve retention-s --p {p} --json");
        assert_eq!(both[i], json(physics(&line)), "{p}");
    }
    physics(line).success().stdout(contains("retention-s [s]").and(contains("0.001")));
    physics("--retention-s 1 --solve oxide-nm --p 1e-9..1e-7")
        .success()
        .stdout(contains("oxide-nm [nm]").and(contains("5e-8")));
    physics("--oxide-nm 4.5 --solve retention-s --p 0.1..0.9")
        .failure()
        .stderr(contains("p = 0.5"));
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
    let folder = tempfile::tempdir().unwrap();
    let [model, out] = ["model", "out"].map(|name| folder.path().join(name).display().to_string());
    let weights = safetensors::tensor::TensorView::new(safetensors::Dtype::I8, vec![1, 1], &[1]);
    let bytes = safetensors::serialize([("w", weights.unwrap())], None).unwrap();
    std::fs::write(&model, bytes).unwrap();
    for line in [
        "physics --preset dram",
        "physics --preset dram --json",
        "verify --bits 2 --trials 1",
        &format!("inject {model} --p 0.1 --out {out}"),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("qtaml"));
        let run = command.args(line.split(' ')).stdout(writer).stderr(std::process::Stdio::piped());
        let run = run.spawn().unwrap().wait_with_output().unwrap();
        assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
    }
}

#[cfg(feature = "train")]
#[test]
fn devices_are_listed() {
    qtaml()
        .args(["devices"])
        .assert()
        .success()
        .stdout(contains(qtaml::train::device::BUILT_IN[0]));
}

#[cfg(not(feature = "train"))]
#[test]
fn a_build_without_devices_says_how_to_get_them() {
    qtaml().args(["devices"]).assert().code(1).stderr(contains("--features flex"));
}

mod verify {
    use std::path::Path;

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use serde_json::Value;

    use super::*;

    /// Enough reads of INT4 words, unless the line says otherwise: a run is over in a moment.
    fn verify(line: &str) -> Command {
        let mut command = qtaml();
        command.arg("verify").args(line.split_whitespace());
        for (flag, value) in [("--bits", "4"), ("--trials", "10000")] {
            if !line.contains(&format!("{flag} ")) {
                command.args([flag, value]);
            }
        }
        command
    }

    fn json(line: &str) -> Value {
        let run = verify(line).arg("--json").assert().success();
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
    fn the_closed_forms_hold_and_the_report_says_of_what() {
        verify("").assert().success().stdout(
            contains("INT4 twos-complement, p = 0.1, seed 42, 10,000 reads per code")
                .and(contains("share of variance"))
                .and(contains("Three synthetic layers"))
                .and(contains("laplace"))
                .and(contains("of 46 scores, bound"))
                .and(contains(": the closed forms hold")),
        );
        verify("--all-codes").assert().success().stdout(contains("All 16 words"));
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
        assert!((least["expected"].as_f64().unwrap() - 1.5).abs() < 1e-12, "{least}");
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
        verify(&all).assert().success().stdout(contains("bits 3, 2, 1, 0 protected"));
        assert!(!out.path().join("verify.bits.svg").exists(), "no bit has a variance to draw");
    }

    #[test]
    fn every_flip_probability_and_encoding_is_checked() {
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

    /// A layer of 4096 weights does not fill its code words of 7.
    #[test]
    fn a_real_code_is_sampled_by_whole_code_words() {
        let line = "--protect 2 --ecc bch:4:2 --p 0.1 --encoding gray --trials 20000";
        let report = json(line);
        assert_eq!((&report["verdict"], &report["ecc"]), (&"holds".into(), &"bch:4:2".into()));
        let bits = report["bits"].as_array().unwrap();
        assert_eq!(bits.len(), 8, "kept bits are sampled as well");
        let expected = |bit: usize| bits[bit]["expected"].as_f64().unwrap();
        assert!(0.0 < expected(0) && expected(0) < 0.1 && expected(7) == 0.1, "{bits:?}");
        assert_eq!(report["layers"][0]["passes"], 35, "586 code words a pass");
        verify(line).assert().success().stdout(
            contains("bits 3, 2 protected by bch:4:2, seed 42")
                .and(contains("one word of each code word is counted")),
        );
        verify("--p 1e-3 --protect 1 --ecc secded:8")
            .assert()
            .success()
            .stdout(contains("closed forms of a code").and(contains("not judged")));
        verify("--ecc secded:8").assert().code(2).stderr(contains("--protect says which"));
    }

    /// At a false alarm rate of nine in ten, every other seed is one.
    #[test]
    fn a_contradiction_is_named_and_exits_1() {
        let line = |seed| format!("--bits 3 --seed {seed} --false-alarm 0.9");
        let is_contradicted = |seed: &u32| !verify(&line(*seed)).output().unwrap().status.success();
        let seed = (1..=40).find(is_contradicted).unwrap();
        let run = verify(&line(seed)).assert().code(1);
        run.stdout(contains("the closed forms are CONTRADICTED by the "))
            .stderr(contains("the sampled faults contradict the closed forms"));
        let report = verify(&line(seed)).arg("--json").assert().code(1);
        let report: Value = serde_json::from_slice(&report.get_output().stdout).unwrap();
        assert_eq!(report["verdict"], "contradicted");
        assert!(report["largest_z"].as_f64() > report["bound"].as_f64());
    }

    #[test]
    fn too_few_flips_are_not_judged() {
        verify("--p 1e-4").assert().success().stdout(
            contains("not judged").and(contains("--trials 10000000 would do, 1000 times as many")),
        );
        let report = json("--p 1e-4");
        assert_eq!(
            (&report["verdict"], &report["trials_needed"]),
            (&"not_judged".into(), &1e7.into())
        );
        let hopeless = verify("--p 1e-300").assert().success();
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
        let [expected, scale, in_weights] =
            ["expected", "scale", "weight_expected"].map(|key| mean[key].as_f64().unwrap());
        assert!((expected * scale - in_weights).abs() < 1e-6 * in_weights.abs(), "{mean}");
    }

    /// In several files, with a mask and a second name for a layer.
    #[test]
    fn layers_are_what_weights_are_in_a_folder_too() {
        let folder = tempfile::tempdir().unwrap();
        let weights = |n: usize| f32s((0..n).map(|i| (i as f32 * 0.37).sin()));
        let shard = |name: &str, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]| {
            let path = model(folder.path(), tensors);
            std::fs::rename(path, folder.path().join(name)).unwrap();
        };
        let mask = (0..256).map(|i| if i % 16 > i / 16 { f32::MIN } else { 0.0 });
        shard(
            "m-1.safetensors",
            &[
                ("head.weight", Dtype::F32, vec![20, 30], weights(600)),
                ("attn.mask", Dtype::F32, vec![1, 1, 16, 16], f32s(mask)),
            ],
        );
        shard(
            "m-2.safetensors",
            &[
                ("embed.weight", Dtype::F32, vec![20, 30], weights(600)),
                ("a.weight", Dtype::F32, vec![10, 30], weights(300)),
            ],
        );
        let map = [("head.weight", 1), ("attn.mask", 1), ("embed.weight", 2), ("a.weight", 2)]
            .map(|(name, file)| (name.to_owned(), format!("m-{file}.safetensors")));
        let index = serde_json::json!({ "weight_map": map.into_iter().collect::<std::collections::BTreeMap<_, _>>() });
        let path = folder.path().join("model.safetensors.index.json");
        std::fs::write(&path, index.to_string()).unwrap();
        for path in [folder.path(), &path] {
            let report = json(&format!("--weights {}", path.display()));
            let layers = report["layers"].as_array().unwrap();
            let names: Vec<_> = layers.iter().step_by(2).map(|row| row["layer"].clone()).collect();
            assert_eq!(names, ["a.weight", "embed.weight"]);
            for chosen in ["--only a.*", "--skip *e*d.weight"] {
                let report = json(&format!("--weights {} {chosen}", path.display()));
                assert_eq!(report["layers"][0]["layer"], "a.weight");
                assert_eq!(report["layers"].as_array().unwrap().len(), 2, "mean and variance");
            }
            verify(&format!("--weights {} --only a.wieght", path.display()))
                .assert()
                .code(1)
                .stderr(contains("no tensor \"a.wieght\"").and(contains("a.weight")));
        }
        verify("--only a.*").assert().code(2).stderr(contains("--weights <MODEL>"));
    }

    #[test]
    fn unusable_models_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &str, named: &str| {
            verify(&format!("--weights {path}"))
                .assert()
                .code(1)
                .stderr(contains(named.to_owned()));
        };
        let path =
            model(folder.path(), &[("a.weight", Dtype::F32, vec![1, 2], f32s([1.0, f32::NAN]))]);
        refused(&path, "tensor \"a.weight\" cannot be stored");
        refused(&path, "weight 1 is NaN");
        let path = model(folder.path(), &[("a.bias", Dtype::F32, vec![2], f32s([1.0, 2.0]))]);
        refused(&path, "holds no float weights");
        std::fs::write(&path, "no such thing").unwrap();
        refused(&path, "is no safetensors file");
        refused("missing.safetensors", "cannot read missing.safetensors");
    }

    #[test]
    fn tables_and_figures_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/verify");
        let line = format!("--out {}", out.display());
        verify(&line).assert().success().stderr(contains("wrote 6 files to"));
        let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
        for (name, rows, begin) in [
            (
                "verify.codes.csv",
                32,
                "code,word,reads,quantity,expected,sampled,standard_error,z,judged",
            ),
            (
                "verify.bits.csv",
                8,
                "bit,stored,variance_expected,variance_sampled,share,quantity,expected",
            ),
            ("verify.layers.csv", 6, "layer,weights,passes,scale,weight_expected"),
        ] {
            let csv = read(name);
            assert!(csv.starts_with(begin), "{csv}");
            assert_eq!(csv.lines().count(), 1 + rows, "{name}");
        }
        for name in ["verify.drift.svg", "verify.bits.svg", "verify.scores.svg"] {
            assert!(read(name).starts_with("<svg"), "{name}");
        }
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 6, "no temporary file stays");
        let below_a_file = out.join("verify.bits.csv/x");
        let line = format!("--out {}", below_a_file.display());
        verify(&line).assert().code(1).stderr(contains("cannot write"));
    }

    #[test]
    fn wrong_usage_exits_2() {
        for (line, named) in [
            ("--p 0.6", "p = 0.6 is outside 0.0..=0.5"),
            ("--p -0.1", "p = -0.1 is outside 0.0..=0.5"),
            ("--p-per-bit 0.1,0.1", "2 flip probabilities do not fit an INT4 code"),
            ("--protect 5", "cannot protect 5 bits of an INT4 code"),
            ("--encoding morse", "encoding \"morse\" is unknown"),
            ("--trials 0", "0 is not in 1..="),
        ] {
            verify(line).assert().code(2).stderr(contains(named));
        }
        qtaml().args(["verify", "--help"]).assert().success().stdout(contains("Examples:"));
    }
}

mod inject {
    use std::path::Path;

    use predicates::str::{contains, is_empty};
    use qtaml::compensation::{CodeHistogram, DecodeTable, Decoder, Prior};
    use qtaml::fault::{
        BitFlips, BitMask, FaultModel, FaultStream, ProtectionMap, QuantizedChannel, Seed,
    };
    use qtaml::physics::FlipProbability;
    use qtaml::quant::{
        BitWidth, Clip, CodeRange, Encoding, Format, Granularity, Grid, Origin, QuantizedTensor,
        ScaledTensor, Scales, Scaling, Word,
    };
    use safetensors::{Dtype, SafeTensors};
    use serde_json::Value;

    use super::model_folder::{ModelFolder, Tensor};
    use super::*;

    /// A folder with a small model of every kind of tensor.
    struct Folder(ModelFolder);

    impl std::ops::Deref for Folder {
        type Target = ModelFolder;

        fn deref(&self) -> &ModelFolder {
            &self.0
        }
    }

    impl Folder {
        fn new() -> Self {
            let folder = Self(ModelFolder::new());
            let values = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin());
            let f32s = |n| values(n).flat_map(f32::to_le_bytes).collect();
            let bf16 = values(2000).flat_map(|w| ((w.to_bits() >> 16) as u16).to_le_bytes());
            folder.model(&[
                ("fc.weight", Dtype::F32, vec![100, 200], f32s(20_000)),
                ("fc.bias", Dtype::F32, vec![100], f32s(100)),
                ("head.weight", Dtype::BF16, vec![10, 200], bf16.collect()),
                ("codes", Dtype::I8, vec![32, 8], (0..=255).collect()),
                ("steps", Dtype::I64, vec![1, 1], vec![0; 8]),
            ]);
            folder
        }

        /// Writes `model.safetensors` with these tensors.
        fn model(&self, tensors: &[Tensor<'_>]) {
            self.write(tensors, None);
        }

        /// `qtaml inject model.safetensors LINE --out OUT` in this folder.
        fn inject_slice(&self, line: &str, out: &str) -> Command {
            let mut command = qtaml();
            command.current_dir(self.folder()).args(["inject", "model.safetensors"]);
            command.args(line.split_whitespace()).args(["--out", out]);
            command
        }

        fn json(&self, line: &str, out: &str) -> Value {
            json(self.inject_slice(line, out).arg("--json").assert())
        }

        /// Fails, says so, and leaves no file behind.
        fn refused(&self, line: &str, code: i32, named: &str) {
            let before = self.names();
            let run = self.inject_slice(line, "out.safetensors").assert().code(code);
            run.stderr(contains(named)).stdout(is_empty());
            assert_eq!(self.names(), before, "{line}");
        }
    }

    #[test]
    fn a_faulty_model_has_the_layout_of_the_clean_one() {
        let folder = Folder::new();
        folder.inject_slice("--p 0.01", "faulty.safetensors").assert().success().stdout(
            contains("model.safetensors: p = 0.01, seed 42, trial 0")
                .and(contains("INT8 twos-complement"))
                .and(contains("2 other tensors are unchanged")),
        );
        assert_eq!(folder.names(), ["faulty.safetensors", "model.safetensors"]);
        let (clean, faulty) = (folder.read("model.safetensors"), folder.read("faulty.safetensors"));
        let clean = SafeTensors::deserialize(&clean).unwrap();
        let faulty = SafeTensors::deserialize(&faulty).unwrap();
        for (name, before) in clean.tensors() {
            let after = faulty.tensor(&name).unwrap();
            assert_eq!((after.dtype(), after.shape()), (before.dtype(), before.shape()), "{name}");
            let is_same = after.data() == before.data();
            assert_eq!(is_same, ["fc.bias", "steps"].contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn the_summary_counts_stored_bits() {
        let folder = Folder::new();
        let report = folder.json("--p 0.1 --bits 4 --encoding gray --protect 2", "f.safetensors");
        assert_eq!(report["faults"], "p = 0.1, top 2 bits protected");
        assert_eq!(
            (&report["seed"], &report["trial"], &report["copied"]),
            (&42.into(), &0.into(), &2.into())
        );
        let tensors = report["tensors"].as_array().unwrap();
        let of = |name: &str| tensors.iter().find(|row| row["tensor"] == name).unwrap();
        let (fc, codes) = (of("fc.weight"), of("codes"));
        assert_eq!((&fc["words"], &fc["stored_bits"]), (&20_000.into(), &80_000.into()));
        assert_eq!((&codes["stored_as"], &codes["scale"]), (&"I8 as it is".into(), &Value::Null));
        // Two of four bits are exposed: 4000 flips are expected of 40,000 bits, sd 60, false alarm
        // of 6 sd 2e-9.
        let flips = fc["flipped_bits"].as_f64().unwrap();
        assert!((flips - 4000.0).abs() < 360.0, "{flips}");
        assert_eq!(fc["bit_error_rate"].as_f64().unwrap(), flips / 80_000.0);
        let sum = |key: &str| tensors.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
        for key in ["words", "stored_bits", "flipped_bits"] {
            assert_eq!(report["total"][key], sum(key), "{key}");
        }
    }

    #[test]
    fn of_many_tensors_ten_are_named() {
        let folder = Folder::new();
        let names: Vec<String> = (0..300).map(|i| format!("layers.{i}.weight")).collect();
        let tensor = |name| (name, Dtype::U8, vec![1, 1], vec![0]);
        folder.model(&names.iter().map(|name| tensor(name.as_str())).collect::<Vec<_>>());
        folder.refused("--p 0.1 --only layers.7.wieght", 1, "nearest are \"layers.7.weight\"");
        folder.refused("--p 0.1 --only layers.7.wieght", 1, ", and 290 more");
    }

    /// SIGTERM and Ctrl-C come while the copy is as long as the model, or nearly.
    #[cfg(unix)]
    #[test]
    fn an_interruption_leaves_no_file_and_is_130() {
        let folder = Folder::new();
        folder.write_hollow(256 << 20);
        for signal in ["TERM", "INT"] {
            let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("qtaml"));
            let line = "inject model.safetensors --p 0.4 --out out.safetensors";
            command.current_dir(folder.folder()).args(line.split(' '));
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut run = command.spawn().unwrap();
            while folder.names().len() == 1 {
                assert!(run.try_wait().unwrap().is_none(), "it is over before it could be stopped");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let id = run.id().to_string();
            let kill = std::process::Command::new("kill").args(["-s", signal, &id]).status();
            assert!(kill.unwrap().success());
            assert_eq!(run.wait().unwrap().code(), Some(130), "{signal}");
            assert_eq!(folder.names(), ["model.safetensors"], "{signal}");
        }
    }

    #[test]
    fn seeds_and_trials_are_patterns_of_their_own() {
        let folder = Folder::new();
        let drawn = |line: &str| {
            folder.inject_slice(line, "f.safetensors").assert().success();
            folder.read("f.safetensors")
        };
        let first = drawn("--p 0.1");
        assert!(first == drawn("--p01 0.1 --p10 0.1 --seed 42 --trial 0"));
        assert!(first == drawn("--p 10%"));
        assert!(first != drawn("--p 0.1 --seed 43") && first != drawn("--p 0.1 --trial 1"));
        let only = drawn("--p 0.1 --only codes");
        let (only, first) =
            (SafeTensors::deserialize(&only).unwrap(), SafeTensors::deserialize(&first).unwrap());
        assert_eq!(only.tensor("codes").unwrap(), first.tensor("codes").unwrap());
        assert_ne!(only.tensor("fc.weight").unwrap(), first.tensor("fc.weight").unwrap());
    }

    #[test]
    fn without_flips_weights_are_off_by_half_a_step_at_most() {
        let folder = Folder::new();
        let report = folder.json("--p 0 --biases --bits 5", "f.safetensors");
        assert_eq!((&report["total"]["flipped_bits"], &report["copied"]), (&0.into(), &1.into()));
        let (clean, read) = (folder.read("model.safetensors"), folder.read("f.safetensors"));
        let [clean, read] = [&clean, &read].map(|file| SafeTensors::deserialize(file).unwrap());
        assert_eq!(clean.tensor("fc.bias").unwrap(), read.tensor("fc.bias").unwrap());
        let values = |model: &SafeTensors| -> Vec<f32> {
            let view = model.tensor("fc.weight").unwrap();
            view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        let half_a_step = 1.000_001 / 15.0 / 2.0;
        let off = values(&clean).into_iter().zip(values(&read)).map(|(a, b)| (a - b).abs());
        let off = off.fold(0.0, f32::max);
        assert!(off > 0.0 && off <= half_a_step, "{off}");
    }

    /// The words are the same as without faults in scales, and each stands for its code of the scale
    /// that is read.
    #[test]
    fn a_scale_is_read_wrong_for_all_weights() {
        let folder = Folder::new();
        let read = |line: &str| -> (Value, Vec<f32>) {
            let mut report = folder.json(line, "f.safetensors");
            let file = folder.read("f.safetensors");
            let tensors = SafeTensors::deserialize(&file).unwrap();
            let bytes = tensors.tensor("fc.weight").unwrap().data().to_vec();
            let values = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            (report["tensors"][0].take(), values.collect())
        };
        let mut changed = 0;
        for trial in 0..8 {
            // The top bits of the bytes: a sign, the last bit of the exponent, two of the fraction.
            let line = "--p-per-bit 0,0,0,0,0,0,0,0.5 --only fc.weight --scale per-tensor";
            let line = format!("{line} --trial {trial}");
            let (sound, values) = read(&line);
            let (faulty, others) = read(&format!("{line} --scales"));
            assert_eq!(sound["flipped_bits"], faulty["flipped_bits"]);
            let scale = sound["scale"].as_f64().unwrap() as f32;
            let scale_read = faulty.get("scale_read").map_or(scale, |s| s.as_f64().unwrap() as f32);
            changed += u32::from(scale_read != scale);
            for (value, other) in values.into_iter().zip(others) {
                assert_eq!((value / scale).round() * scale_read, other);
            }
        }
        assert!(changed > 2, "of eight, of which a sixteenth stays as it is: {changed}");

        // What is stored without a scale has none that could be read wrong.
        let report = folder.json("--p 0.5 --scales --biases --scale per-tensor", "f.safetensors");
        assert_eq!(report["faults"], "p = 0.5, scales exposed");
        let rows = report["tensors"].as_array().unwrap();
        let read_wrong = rows.iter().filter(|row| row.get("scale_read").is_some());
        let names: Vec<_> = read_wrong.map(|row| row["tensor"].as_str().unwrap()).collect();
        assert_eq!(rows.len(), 4);
        assert_eq!(names, ["fc.weight", "head.weight"]);
    }

    #[test]
    fn recorded_faults_come_back_and_fit_no_other_model() {
        let folder = Folder::new();
        let line =
            "--p 0.02 --bits 4 --encoding sign-magnitude --biases --seed 7 --record faults.bin";
        let drawn = folder.json(line, "drawn.safetensors");
        let replayed = folder.json("--replay faults.bin", "replayed.safetensors");
        assert!(folder.read("drawn.safetensors") == folder.read("replayed.safetensors"));
        for key in ["tensors", "total", "copied", "faults", "seed", "trial"] {
            assert_eq!(replayed[key], drawn[key], "{key}");
        }

        folder.refused("--replay model.safetensors", 1, "this is no fault file");
        folder.refused("--replay missing.bin", 1, "cannot replay missing.bin");
        folder.refused("--replay .", 1, "it is a folder, and no regular file");
        let mut damaged = folder.read("faults.bin");
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(folder.path("damaged.bin"), damaged).unwrap();
        folder.refused("--replay damaged.bin", 1, "its checksum is");
        folder.model(&[("fc.weight", Dtype::F32, vec![2, 2], vec![0; 16])]);
        folder.refused("--replay faults.bin", 1, "recorded for other tensors");
    }

    /// Faults belong to the words that they were drawn on; where they are wanted on others, flips flip and
    /// stuck cells are stuck.
    #[test]
    fn faults_are_replayed_on_other_words_only_on_demand() {
        let folder = Folder::new();
        let words =
            |word: u8| folder.model(&[("codes", Dtype::I8, vec![20, 50], vec![word; 1000])]);
        let read = |name: &str| {
            let file = folder.read(name);
            let model = SafeTensors::deserialize(&file).unwrap();
            model.tensor("codes").unwrap().data().to_vec()
        };
        for (line, stuck) in [("--stuck-at-0 0.1", true), ("--p 0.1", false)] {
            words(0xff);
            folder.json(&format!("{line} --record f.bin"), "drawn.safetensors");
            let drawn = read("drawn.safetensors");
            words(0);
            folder.refused("--replay f.bin", 1, "were drawn on other words");
            folder.json("--replay f.bin --force-replay", "replayed.safetensors");
            let replayed = read("replayed.safetensors");
            let expected: Vec<u8> =
                drawn.iter().map(|word| if stuck { 0 } else { !word }).collect();
            assert!(drawn.iter().any(|word| *word != 0xff) && replayed == expected, "{line}");
        }
        folder.inject_slice("--p 0.1 --force-replay", "f.safetensors").assert().code(2);
    }

    /// The lowest code of F16 weights can stand for a number that F16 does not have.
    #[test]
    fn narrow_floats_do_not_overflow() {
        let folder = Folder::new();
        let weights = [0x7bff_u16, 0, 0, 0x3c00].map(u16::to_le_bytes).concat();
        folder.model(&[("w", Dtype::F16, vec![2, 2], weights)]);
        // Every 0 is read as 1 in the top bit alone: codes 127, 0, 0, 0 become -1, -128, -128, -128.
        let flips = "--scale per-tensor --p-per-bit 0,0,0,0,0,0,0,1:0";
        let report = folder.json(flips, "f.safetensors");
        assert_eq!(report["tensors"][0]["clamped"], 3);
        let file = folder.read("f.safetensors");
        let model = SafeTensors::deserialize(&file).unwrap();
        let read: Vec<u16> = model
            .tensor("w")
            .unwrap()
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|b| u16::from_le_bytes(*b))
            .collect();
        assert_eq!(read[1..], [0xfbff; 3]);
        let clean = folder.json("--p 0", "f.safetensors");
        assert_eq!(clean["tensors"][0].get("clamped"), None);
        let run = folder.inject_slice(flips, "f.safetensors").assert().success();
        run.stdout(contains("beyond their type, read as its largest number: 3"));
    }

    /// Fault 13 in another type: the largest BF16 is 127 steps, and code -128 is beyond; eight-bit floats have
    /// infinities of their own, which are read as they are and not counted.
    #[test]
    fn wider_and_narrower_types_do_not_overflow() {
        let folder = Folder::new();
        let weights = [0x7f7f_u16, 0, 0, 0x3f80].map(u16::to_le_bytes).concat();
        folder.model(&[
            ("w", Dtype::BF16, vec![2, 2], weights),
            ("e", Dtype::F8_E5M2, vec![2, 2], vec![0x7b, 0, 0x3c, 0xfb]),
        ]);
        let top = "--scale per-tensor --p-per-bit 0,0,0,0,0,0,0,1:0";
        let report = folder.json(top, "f.safetensors");
        let rows = report["tensors"].as_array().unwrap();
        let clamped = |name: &str| {
            let row = rows.iter().find(|row| row["tensor"] == name).unwrap();
            row.get("clamped").cloned()
        };
        assert_eq!((clamped("w"), clamped("e")), (Some(3.into()), None));
        let file = folder.read("f.safetensors");
        let model = SafeTensors::deserialize(&file).unwrap();
        let read = model.tensor("w").unwrap().data().to_vec();
        assert_eq!(read[2..], [0xff7f_u16; 3].map(u16::to_le_bytes).concat());
        // The top bit of every word is read as one: all numbers are negative.
        assert_eq!(model.tensor("e").unwrap().data(), [0xfb, 0x80, 0xbc, 0xfb]);
    }

    /// Its description could clear the screen of who looks at it.
    #[test]
    fn a_fault_file_writes_nothing_but_text() {
        use qtaml::fault::FaultRecord;

        let folder = Folder::new();
        folder.model(&[("codes", Dtype::U8, vec![1, 2], vec![1, 2])]);
        let mut record = FaultRecord::new(Seed(1), 0, "\u{1b}[2Jp = 0.5");
        record.add("codes", Format::INT8, &[1, 2], &[1, 3]).unwrap();
        std::fs::write(folder.path("faults.bin"), record.to_bytes()).unwrap();
        let run = folder.inject_slice("--replay faults.bin", "f.safetensors").assert().success();
        run.stdout(contains("\\u{1b}[2Jp = 0.5")).stdout(contains("\u{1b}").not());
    }

    /// Three copies of two of eight bits: the memory holds half as much again, one wrong copy is outvoted
    /// and two are not.
    #[test]
    fn what_a_code_costs_and_leaves_is_counted() {
        let folder = Folder::new();
        folder.model(&[("codes", Dtype::I8, vec![100, 1000], vec![0b0101_0101; 100_000])]);
        let line = "--p 0.1 --protect 2 --ecc repetition:3";
        let report = folder.json(line, "f.safetensors");
        let total = |key: &str| report["total"][key].as_f64().unwrap();
        assert_eq!([total("stored_bits"), total("check_bits")], [1_200_000.0, 400_000.0]);
        assert_eq!(total("detected"), 0.0);
        let near = |key, expected: f64| {
            let off = (total(key) - expected).abs();
            assert!(off < 5.0 * expected.sqrt(), "{key}: {}", total(key));
        };
        near("miscorrected", 200_000.0 * 0.028);
        near("corrected", 200_000.0 * 0.27);
        let wrong = folder.read("f.safetensors");
        let wrong = wrong[wrong.len() - 100_000..].iter().map(|word| word ^ 0b0101_0101);
        let flips: u32 = wrong.map(u8::count_ones).sum();
        assert_eq!(report["total"]["flipped_bits"], flips);
        assert_eq!(total("bit_error_rate"), f64::from(flips) / 800_000.0);

        let plain = folder.json("--p 0.1 --protect 2", "f.safetensors");
        assert_eq!(plain["total"]["stored_bits"], 800_000);
        assert_eq!(plain["total"].get("check_bits"), None);
        let table = folder.inject_slice(line, "f.safetensors").assert().success();
        table.stdout(contains("miscorrected")).stdout(contains("flips are those left"));
    }

    #[test]
    fn unusable_models_are_named_and_leave_nothing_behind() {
        let folder = Folder::new();
        folder.refused("--p 0.1 --only fc", 1, "there is no tensor \"fc\": there are \"codes\"");
        folder.refused("--p 0.1 --only fc.bias", 1, "with --biases");
        folder.refused("--p 0.1 --only steps", 1, "I64 of rank 2");
        let nan = [1.0, f32::NAN].into_iter().flat_map(f32::to_le_bytes).collect();
        folder.model(&[("w.weight", Dtype::F32, vec![1, 2], nan)]);
        folder.refused("--p 0.1 --record faults.bin", 1, "weight 1 is NaN");
        let bytes = folder.read("model.safetensors");
        std::fs::write(folder.path("model.safetensors"), &bytes[..bytes.len() - 1]).unwrap();
        folder.refused("--p 0.1", 1, "it ends after");
        std::fs::write(folder.path("model.safetensors"), [0xff; 64]).unwrap();
        folder.refused("--p 0.1", 1, "no safetensors file");
        folder.model(&[("b", Dtype::F32, vec![1], vec![0; 4])]);
        folder.refused("--p 0.1", 1, "there are no weights");
        folder.model(&[("w", Dtype::F32, vec![0, 300], vec![])]);
        folder.refused("--p 0.1", 1, "not empty as [\"w\"]");
        folder.refused("--p 0.1 --only w", 1, "tensor \"w\" of shape [0, 300] is empty");
        std::fs::remove_file(folder.path("model.safetensors")).unwrap();
        folder.refused("--p 0.1", 1, "cannot read model.safetensors");
    }

    #[test]
    fn wrong_usage_exits_2() {
        let folder = Folder::new();
        for (line, named) in [
            ("", "--p"),
            ("--p 0.6", "p = 0.6 is outside 0.0..=0.5"),
            ("--p -0.1", "p = -0.1 is outside 0.0..=0.5"),
            ("--p01 -0.001 --p10 0.1", "p01 = -0.001"),
            ("--p-per-bit -0.1", "p = -0.1 is outside 0.0..=0.5"),
            ("--stuck-at-1 -1", "-1.0 is outside 0.0..=1.0"),
            ("--flips -1", "a whole number from 0 to 18446744073709551615 is needed"),
            ("--p -1e-3", "p = -0.001 is outside 0.0..=0.5"),
            ("--p 60%", "p = 0.6 is outside 0.0..=0.5"),
            ("--bursts -1e-3:4", "probability -0.001: 0 to 0.1 is allowed"),
            ("--p01 0.1", "--p10"),
            ("--p 0.1 --protect 5 --bits 4", "cannot protect 5 bits of an INT4 code"),
            ("--p-per-bit 0.1,0.2", "2 flip probabilities do not fit an INT8 code"),
            ("--p01 2 --p10 0.1", "p01 = 2.0"),
            ("--replay faults.bin --p 0.1", "cannot be used with"),
            ("--replay faults.bin --seed 1", "cannot be used with"),
            ("--replay faults.bin --scale per-tensor", "cannot be used with"),
            ("--replay faults.bin --decoder bayes", "cannot be used with"),
            ("--p 0.1 --scale tensor", "per-channel, per-tensor, or group:N"),
            ("--p 0.1 --scale group:0", "per-channel, per-tensor, or group:N"),
            ("--p 0.1 --range unsigned", "symmetric, min-max and zero-point are there"),
            ("--p 0.1 --clip mse", "max and min-mse are there"),
            ("--p 0.1 --layout keras", "there is no layout \"keras\": there are"),
            ("--p 0.1 --decoder mmse", "linear-mmse"),
            ("--p 0.1 --bits 9", "bit width 9 is not supported"),
            ("--p 0.1 --as-stored --bits 4", "cannot be used with"),
            ("--flips 3 --decoder bayes", "--decoder bayes needs flip probabilities"),
            ("--bursts 1e-3:4 --decoder affine", "--decoder affine needs flip probabilities"),
            ("--stuck-at-0 0.1 --decoder bayes-gain", "needs flip probabilities: say them by --p"),
            ("--p 0.5 --decoder affine", "the affine decoder needs p01 + p10 < 1"),
        ] {
            folder.refused(line, 2, named);
        }
        qtaml().args(["inject", "--help"]).assert().success().stdout(contains("Examples:"));
    }

    #[test]
    fn memory_does_not_grow_with_the_model() {
        const BYTES: u64 = 64 << 20;
        if !Path::new("/proc/self/status").exists() {
            return;
        }
        let folder = Folder::new();
        folder.write_hollow(BYTES);
        let line = "inject model.safetensors --p 1e-3 --out f.safetensors";
        let peak = folder.peak_kib(line);
        assert!((1..BYTES / 1024 / 2).contains(&peak), "{peak} KiB");
    }

    #[test]
    fn an_exact_number_of_bits_flips() {
        let folder = Folder::new();
        let report = |line: &str| folder.json(line, "faulty.safetensors");
        for flips in [0, 1, 1234] {
            let report = report(&format!("--flips {flips}"));
            assert_eq!(report["total"]["flipped_bits"], flips);
        }
        let kept = report("--flips 1000 --protect 4");
        let kept = kept["total"]["flipped_bits"].as_u64().unwrap();
        assert!((400..600).contains(&kept), "half of the bits are protected: {kept}");
        let coded = report("--flips 1000 --protect 4 --ecc repetition:3");
        let of = |key: &str| coded["total"][key].as_u64().unwrap();
        assert_eq!(of("check_bits") * 2, of("stored_bits"));
        let left = of("flipped_bits");
        assert!((180..340).contains(&left), "a quarter of all bits is not kept: {left}");
        folder
            .inject_slice("--flips 10000000", "faulty.safetensors")
            .assert()
            .code(1)
            .stderr(contains("10000000 flips do not fit"));
        folder.inject_slice("--flips 5 --p 0.1", "faulty.safetensors").assert().code(2);
    }

    #[test]
    fn bursts_and_stuck_cells_are_injected_and_replayed() {
        let folder = Folder::new();
        for (line, model) in [
            ("--bursts 1e-3:5", "bursts of 5 bits, p = 0.001"),
            ("--stuck-at-1 0.05", "cells stuck at 0 with p = 0.0, at 1 with p = 0.05"),
            ("--stuck-at-0 0.01 --stuck-at-1 0.02", "cells stuck at 0 with p = 0.01"),
            ("--flips 500", "500 flips"),
        ] {
            let drawn =
                folder.json(&format!("{line} --bits 4 --record f.bin"), "drawn.safetensors");
            assert!(drawn["faults"].as_str().unwrap().starts_with(model), "{drawn}");
            assert!(drawn["total"]["flipped_bits"].as_u64().unwrap() > 300, "{drawn}");
            let replayed = folder.json("--replay f.bin", "replayed.safetensors");
            assert_eq!(replayed["total"], drawn["total"], "{line}");
            assert!(folder.read("drawn.safetensors") == folder.read("replayed.safetensors"));
        }
    }

    /// 256 codes of eight bits each: all of them, and each of their bits as often 0 as 1.
    #[test]
    fn stuck_cells_hold_their_value_and_bursts_stay_together() {
        let folder = Folder::new();
        let codes = |line: &str| {
            folder
                .inject_slice(&format!("{line} --only codes"), "f.safetensors")
                .assert()
                .success();
            let file = folder.read("f.safetensors");
            SafeTensors::deserialize(&file).unwrap().tensor("codes").unwrap().data().to_vec()
        };
        assert_eq!(codes("--stuck-at-0 1"), [0; 256]);
        assert_eq!(codes("--stuck-at-1 1"), [255; 256]);
        let clean: Vec<u8> = (0..=255).collect();
        let flips: Vec<bool> = (clean.iter().zip(codes("--bursts 0.01:3")))
            .flat_map(|(a, b)| (0..8).map(move |bit| (a ^ b) >> bit & 1 == 1))
            .collect();
        let runs: Vec<usize> =
            flips.chunk_by(|a, b| a == b).filter(|run| run[0]).map(<[_]>::len).collect();
        // The last one may be cut off at the end of the tensor.
        assert!(runs.len() > 3 && runs[..runs.len() - 1].iter().all(|run| *run >= 3), "{runs:?}");
    }

    #[test]
    fn one_way_of_faults_at_a_time() {
        let folder = Folder::new();
        for (line, named) in [
            ("--bursts 1e-3:5 --p 0.1", "'--bursts <P:BITS>' cannot be used with"),
            ("--bursts 1e-3:5 --flips 3", "cannot be used with"),
            ("--bursts 1e-3:5 --stuck-at-0 0.1", "cannot be used with"),
            ("--stuck-at-0 0.1 --p 0.1", "'--stuck-at-0 <P>' cannot be used with"),
            ("--stuck-at-1 0.1 --flips 3", "cannot be used with"),
            ("--stuck-at-1 0.1 --replay f.bin", "cannot be used with"),
            ("--bursts 0.001", "as in 1e-6:4"),
            ("--bursts 0.2:4", "0 to 0.1 is allowed"),
            ("--bursts 0.1:65", "bursts of 65 bits are not supported: 1..=64 are"),
            ("--stuck-at-0 1.5", "1.5 is outside 0.0..=1.0"),
            ("--stuck-at-0 0.7 --stuck-at-1 0.7", "are more than all cells"),
            ("--p 0.1 --ecc secded:8", "--protect says which"),
            ("--p 0.1 --protect 1 --ecc interleaved:secded:8", "such as interleaved:4:secded:64"),
        ] {
            folder.refused(line, 2, named);
        }
        qtaml()
            .args(["inject", "--help"])
            .assert()
            .success()
            .stdout(contains("Faults:").and(contains("Words:")));
    }

    #[test]
    fn no_file_of_the_user_is_lost() {
        let folder = Folder::new();
        let model = folder.read("model.safetensors");
        for (record, named) in [
            ("./new/../model.safetensors", "--record and the model are the same file"),
            ("./out.safetensors", "--record and --out are the same file"),
        ] {
            folder.refused(&format!("--p 0.1 --record {record}"), 2, named);
        }
        folder.inject_slice("--p 0.1 --record faults.bin", "model.safetensors").assert().success();
        assert!(folder.read("model.safetensors") != model, "in place, as asked");
        let faults = folder.read("faults.bin");
        let same = folder.inject_slice("--replay faults.bin", "faults.bin").assert().code(2);
        same.stderr(contains("--replay and --out are the same file"));
        std::fs::create_dir(folder.path("folder")).unwrap();
        folder.refused("--p 0.1 --record folder", 1, "cannot write folder");
        let run = folder.inject_slice("--p 0.1 --record faults.bin", "folder").assert().code(1);
        run.stderr(contains("no regular file"));
        assert!(folder.read("faults.bin") == faults);
        qtaml()
            .current_dir(folder.folder())
            .args(["inject", "folder", "--p", "0.1", "--out", "f"])
            .assert()
            .code(1)
            .stderr(contains("folder leads to no model").and(contains("no safetensors file in")));
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_no_models() {
        let folder = Folder::new();
        let device = folder.inject_slice("--p 0.1", "/dev/null").assert().code(1);
        device
            .stderr(contains("cannot write /dev/null: it is a stream of this process or a device"));
        for out in ["/dev/stdout", "/dev/fd/1"] {
            let run = folder.inject_slice("--p 0.1", out).assert().code(1);
            run.stderr(contains("it is a stream of this process")).stdout(is_empty());
        }
        let stream = folder.inject_slice("--p 0.1", "-").assert().code(2);
        stream.stderr(contains("--out - is a stream of this process, and a file is needed"));
        let mut stream = qtaml();
        stream.args(["inject", "-", "--p", "0.1", "--out", "f"]);
        stream.assert().code(2).stderr(contains("MODEL - is a stream"));
        std::fs::remove_file(folder.path("model.safetensors")).unwrap();
        let mut pipe = std::process::Command::new("mkfifo");
        assert!(pipe.arg(folder.path("model.safetensors")).status().unwrap().success());
        folder.refused("--p 0.1", 1, "and no regular file");
        for line in
            ["verify --p 0.1 --weights model.safetensors", "codec inspect model.safetensors"]
        {
            let mut run = qtaml();
            run.current_dir(folder.folder()).args(line.split(' ')).assert().code(1).stderr(
                contains("cannot read model.safetensors").and(contains("and no regular file")),
            );
        }
    }

    #[test]
    fn flip_probabilities_and_weights_that_do_not_fit_are_named() {
        let folder = Folder::new();
        let line = "--bits 4 --p-per-bit 0.1,0.1,0.1,0.1";
        folder.refused(line, 1, "cannot inject into tensor \"codes\"");
        folder
            .inject_slice(&format!("{line} --only fc.weight"), "f.safetensors")
            .assert()
            .success();
        let line = format!("{line} --only fc.weight --scales");
        folder.refused(&line, 1, "cannot inject into the scale of tensor \"fc.weight\"");
        let huge = [1.0, -1e300].into_iter().flat_map(f64::to_le_bytes).collect();
        folder.model(&[("w.weight", Dtype::F64, vec![1, 2], huge)]);
        folder.refused("--p 0.1", 1, "weight 1 is -1e300");
    }

    /// Floats of rank 2, three channels of which the last is a thousand times as large, off any grid.
    fn uneven() -> Vec<f32> {
        (0..96).map(|i| ((i as f32 * 0.37).sin() + 0.2) * if i < 64 { 1.0 } else { 1e3 }).collect()
    }

    fn f32s(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    impl Folder {
        fn uneven() -> Self {
            let folder = Self::new();
            folder.model(&[("w", Dtype::F32, vec![3, 32], f32s(&uneven()))]);
            folder
        }

        /// The weights that a line leads to.
        fn weights(&self, line: &str) -> Vec<f32> {
            self.inject_slice(line, "f.safetensors").assert().success();
            let file = self.read("f.safetensors");
            let view =
                SafeTensors::deserialize(&file).unwrap().tensor("w").unwrap().data().to_vec();
            view.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        }
    }

    /// What the flags say, in the types of the library.
    fn formats() -> Vec<(&'static str, Format, Scaling)> {
        let scaling = |granularity, axis, range, clip| Scaling { granularity, axis, range, clip };
        let (tensor, channel) = (Granularity::Tensor, Granularity::Channel);
        let format = |bits, encoding| Format::new(BitWidth::new(bits).unwrap(), encoding);
        let symmetric = CodeRange::Symmetric;
        vec![
            ("", Format::INT8, scaling(channel, Some(0), symmetric, Clip::Max)),
            (
                "--bits 2 --scale per-tensor --clip min-mse",
                format(2, Encoding::TwosComplement),
                scaling(tensor, None, symmetric, Clip::MinMse),
            ),
            (
                "--bits 4 --encoding offset-binary --range min-max --scale group:7",
                format(4, Encoding::OffsetBinary),
                scaling(Granularity::Group(7), Some(0), CodeRange::MinMax, Clip::Max),
            ),
            (
                "--bits 5 --encoding gray --range zero-point --layout burn --clip min-mse",
                format(5, Encoding::Gray),
                scaling(channel, Some(1), CodeRange::ZeroPoint, Clip::MinMse),
            ),
            (
                "--bits 3 --encoding sign-magnitude --range min-max --scale group:2 --layout burn",
                format(3, Encoding::SignMagnitude),
                scaling(Granularity::Group(2), Some(1), CodeRange::MinMax, Clip::Max),
            ),
        ]
    }

    /// Weight by weight what the library stores and reads, with and without faults; and replayed.
    #[test]
    fn every_format_is_that_of_the_library() {
        let folder = Folder::uneven();
        for (line, format, scaling) in formats() {
            let stored = ScaledTensor::quantize(&uneven(), &[3, 32], format, scaling).unwrap();
            assert_eq!(folder.weights(&format!("--p 0 {line}")), stored.dequantize(), "{line}");
            let drawn = folder.weights(&format!("--p 0.1 --record f.bin {line}"));
            let model = BitFlips::new(FlipProbability::symmetric(0.1).unwrap(), format.bits());
            let stream = FaultStream::new(Seed(42), 0, "w");
            let read = model.unwrap().corrupted(stored.words(), &stream, ProtectionMap::NOTHING);
            let read = ScaledTensor::from_words(read.unwrap(), &[3, 32], stored.scales().clone());
            assert_eq!(drawn, read.unwrap().dequantize(), "{line}");
            assert_eq!(folder.weights("--replay f.bin"), drawn, "{line}");
        }
        let report = folder.json("--p 0.1 --scale group:5", "f.safetensors");
        let row = &report["tensors"][0];
        assert_eq!(row["scaling"]["granularity"], "group:5");
        assert_eq!((&row["scaling"]["axis"], &row["scales"]["count"]), (&0.into(), &21.into()));
        let shown = folder.inject_slice("--p 0.1 --range min-max", "f.safetensors").assert();
        shown.success().stdout(contains("scales of 1 tensors: per channel of axis 0, min-max"));
    }

    /// Bits of scales are counted with those of words, and recorded by the substreams of their addresses.
    #[test]
    fn scales_take_part_in_a_number_of_flips_and_in_records() {
        use qtaml::fault::FaultRecord;
        let folder = Folder::uneven();
        // Four groups in each of three rows: words of 4 bits, and two floats or a float and a word a group.
        for (range, beside, bits) in [
            ("symmetric", &["scale"][..], 12 * 32),
            ("min-max", &["minimum", "scale"], 12 * 64),
            ("zero-point", &["scale", "zero point"], 12 * 36),
        ] {
            let line = format!("--bits 4 --scale group:8 --range {range} --scales --flips 200");
            let report = folder.json(&format!("{line} --record f.bin"), "f.safetensors");
            let flips = |key: &str| report[key]["flipped_bits"].as_u64().unwrap();
            assert_eq!(flips("total") + flips("metadata"), 200, "{range}");
            assert!(flips("metadata") > 0 && flips("total") > 0);
            assert_eq!(report["metadata"]["stored_bits"], bits, "{range}");
            let record = FaultRecord::from_bytes(&folder.read("f.bin")).unwrap();
            assert_eq!(record.flipped_bits(), 200);
            assert_eq!(record.beside().map(|(_, what, _)| what).collect::<Vec<_>>(), beside);
            let faulty = folder.read("f.safetensors");
            folder.json("--replay f.bin", "replayed.safetensors");
            assert!(folder.read("replayed.safetensors") == faulty, "{range}");
        }
        // All bits flip: those of the words, and no more are there than those of the scales.
        let all = 96 * 4 + 12 * 36;
        let line = "--bits 4 --scale group:8 --range zero-point --scales --flips";
        let report = folder.json(&format!("{line} {all}"), "f.safetensors");
        assert_eq!(report["metadata"]["flipped_bits"], 12 * 36);
        folder.refused(&format!("{line} {}", all + 1), 1, "flips do not fit");

        // The same words with other scales.
        folder.inject_slice("--p 0.02 --scales --record f.bin", "f.safetensors").assert().success();
        let doubled: Vec<f32> = uneven().into_iter().map(|weight| 2.0 * weight).collect();
        folder.model(&[("w", Dtype::F32, vec![3, 32], f32s(&doubled))]);
        folder.refused("--replay f.bin", 1, "were drawn on other words");
        folder.inject_slice("--replay f.bin --force-replay", "f.safetensors").assert().success();
    }

    /// The record of scales says what the library draws at their address.
    #[test]
    fn recorded_scales_are_those_of_their_address() {
        use qtaml::fault::{FaultEffect, FaultRecord, TensorRecorder};
        let folder = Folder::uneven();
        folder.inject_slice("--p 0.1 --scales --record f.bin", "f.safetensors").assert().success();
        let record = FaultRecord::from_bytes(&folder.read("f.bin")).unwrap();
        let scaling = formats()[0].2;
        let stored = ScaledTensor::quantize(&uneven(), &[3, 32], Format::INT8, scaling).unwrap();
        let words = f32s(stored.scales().scales());
        let p = FlipProbability::symmetric(0.1).unwrap();
        let stream = FaultStream::new(Seed(42), 0, "w").substream("scale");
        let model = BitFlips::new(p, BitWidth::INT8).unwrap();
        let read = model.corrupted(&words, &stream, ProtectionMap::NOTHING).unwrap();
        let mut recorder = TensorRecorder::new(BitWidth::INT8, FaultEffect::Flip);
        recorder.append(&words, &read).unwrap();
        assert_eq!(record.beside_tensor("w", "scale"), Some(&recorder.finish()));
    }

    /// Each scale, minimum and zero point is stored once, at the address that theory.md gives it.
    #[test]
    fn scales_are_exposed_at_their_addresses() {
        let folder = Folder::uneven();
        let stream = |what| FaultStream::new(Seed(42), 0, "w").substream(what);
        let flip = |words: &[u8], bits, what| {
            let model = BitFlips::new(FlipProbability::symmetric(0.02).unwrap(), bits).unwrap();
            model.corrupted(words, &stream(what), ProtectionMap::NOTHING).unwrap()
        };
        let floats = |values: &[f32], what| -> Vec<f32> {
            let read = flip(&f32s(values), BitWidth::INT8, what);
            read.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        for (line, format, scaling) in formats() {
            let stored = ScaledTensor::quantize(&uneven(), &[3, 32], format, scaling).unwrap();
            let grids: Vec<Grid> = stored.scales().grids().collect();
            let scales = floats(stored.scales().scales(), "scale");
            let minima: Vec<f32> = grids
                .iter()
                .map(|g| if let Origin::Minimum(m) = g.origin() { m } else { 0.0 })
                .collect();
            let points: Vec<u8> = grids
                .iter()
                .map(
                    |g| if let Origin::ZeroPoint(q) = g.origin() { format.word_of(q).0 } else { 0 },
                )
                .collect();
            let (minima, points) =
                (floats(&minima, "minimum"), flip(&points, format.bits(), "zero point"));
            let origin = |i: usize| match grids[i].origin() {
                Origin::Minimum(_) => Origin::Minimum(minima[i]),
                Origin::ZeroPoint(_) => Origin::ZeroPoint(format.code_of(Word(points[i]))),
                other => other,
            };
            let read: Vec<Grid> =
                (0..grids.len()).map(|i| Grid::as_read(format, scales[i], origin(i))).collect();
            let scales = Scales::new(stored.scales().layout(), &read).unwrap();
            // Words that never flip, as all of their bits are protected.
            let line = format!("--p 0.02 --scales --protect {} {line}", format.bits().get());
            let expected = ScaledTensor::from_words(stored.words().to_vec(), &[3, 32], scales);
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let expected = bits(expected.unwrap().dequantize());
            // What is no number is written as the file's type holds it.
            let found = bits(folder.weights(&line));
            assert_eq!(found, expected, "{line}");
        }
    }

    /// Group by group the table of the library, fitted to the codes of the group.
    #[test]
    fn decoders_are_those_of_the_library() {
        let folder = Folder::uneven();
        let p = FlipProbability::symmetric(0.1).unwrap();
        for decoder in [Decoder::Affine, Decoder::LinearMmse, Decoder::Bayes, Decoder::BayesGain] {
            for (line, format, scaling) in formats() {
                let stored = ScaledTensor::quantize(&uneven(), &[3, 32], format, scaling).unwrap();
                let (model, scales) = (BitFlips::new(p, format.bits()).unwrap(), stored.scales());
                let stream = FaultStream::new(Seed(42), 0, "w");
                let read =
                    model.corrupted(stored.words(), &stream, ProtectionMap::NOTHING).unwrap();
                let channel = QuantizedChannel::new(p, format, BitMask::NONE).unwrap();
                let layout = scales.layout();
                let mut expected = vec![0.0; 96];
                for group in 0..layout.groups() {
                    let positions: Vec<usize> =
                        layout.order().positions(layout.range(group)).collect();
                    let words: Vec<u8> = positions.iter().map(|&i| stored.words()[i]).collect();
                    let grid = scales.grid(group);
                    let tensor = QuantizedTensor::from_words_on(words, &[positions.len()], grid);
                    let codes = CodeHistogram::of(&tensor.unwrap());
                    let table =
                        DecodeTable::of_group(decoder, &channel, Prior::default(), &codes, grid);
                    let table = table.unwrap();
                    for i in positions {
                        expected[i] = table.weights_on(&[read[i]], grid)[0];
                    }
                }
                let line = format!("--p 0.1 --decoder {decoder} {line}");
                assert_eq!(folder.weights(&line), expected, "{line}");
            }
        }
        // Two channels of weights in a bell, each larger than its prior.
        let uniform = |i: u32| f64::from(i) * 0.618_033_988_749_895 % 1.0;
        let bell = |i: u32| (0..4).map(|k| uniform(4 * i + k * k + 1)).sum::<f64>() - 2.0;
        let bell: Vec<f32> = (0..4000).map(|i| bell(i) as f32).collect();
        folder.model(&[("w", Dtype::F32, vec![2, 2000], f32s(&bell))]);
        let error = |line: &str| {
            let off = |(a, b): (&f32, f32)| f64::from(a - b).powi(2);
            bell.iter().zip(folder.weights(line)).map(off).sum::<f64>()
        };
        let [raw, bayes] = ["raw", "bayes"].map(|d| error(&format!("--p 0.1 --decoder {d}")));
        assert!(bayes < 0.9 * raw, "{bayes} {raw}");
        let report = folder.json("--p 0.1 --decoder bayes-gain --protect 1", "f.safetensors");
        assert_eq!(report["faults"], "p = 0.1, top bit protected, decoded by bayes-gain");
    }

    /// Floats flip in their own bits at any rank, and those of eight bits do in any case.
    #[test]
    fn floats_may_lie_in_the_memory_as_they_are() {
        let folder = Folder::new();
        let bytes: Vec<u8> = (0..240).collect();
        for dtype in
            [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64, Dtype::F8_E4M3, Dtype::F8_E5M2]
        {
            let columns = 240 * 8 / dtype.bitsize() / 2;
            folder.model(&[("w", dtype, vec![2, columns], bytes.clone())]);
            let report = folder.json("--p 0.1 --as-stored --record f.bin", "f.safetensors");
            let row = &report["tensors"][0];
            assert_eq!((&row["words"], &row["scaling"]), (&240.into(), &Value::Null), "{dtype}");
            let model = BitFlips::new(FlipProbability::symmetric(0.1).unwrap(), BitWidth::INT8);
            let stream = FaultStream::new(Seed(42), 0, "w");
            let expected =
                model.unwrap().corrupted(&bytes, &stream, ProtectionMap::NOTHING).unwrap();
            let file = folder.read("f.safetensors");
            let read =
                SafeTensors::deserialize(&file).unwrap().tensor("w").unwrap().data().to_vec();
            assert_eq!(read, *expected, "{dtype}");
            folder.json("--replay f.bin", "replayed.safetensors");
            assert!(folder.read("replayed.safetensors") == file, "{dtype}");
        }
    }

    /// One weight of a million among two thousand: with one scale all others are gone, and it is said.
    #[test]
    fn a_tensor_that_rounding_destroys_is_named() {
        let folder = Folder::new();
        let mut weights: Vec<f32> = (0..2048).map(|i| (i as f32 * 0.7).sin() + 2.0).collect();
        weights[77] = 1e6;
        folder.model(&[("w", Dtype::F32, vec![32, 64], f32s(&weights))]);
        let report = folder.json("--p 0 --scale per-tensor", "f.safetensors");
        assert_eq!(report["tensors"][0]["lost"], 2047);
        let warning = report["warnings"][0].as_str().unwrap();
        assert!(warning.contains("\"w\" (100 %)") && warning.contains("--scale"), "{warning}");
        let shown = folder.inject_slice("--p 0 --scale per-tensor", "f.safetensors").assert();
        shown.success().stdout(contains("warning: rounding takes more than half of the weights"));
        // A scale for each channel loses those beside it alone.
        let report = folder.json("--p 0", "f.safetensors");
        assert_eq!((&report["tensors"][0]["lost"], report.get("warnings")), (&63.into(), None));
    }

    /// Fault 12 in another type and by other scales: a row of F16 whose tail is heavy, and a group with zeros,
    /// which have no share in what can be lost.
    #[test]
    fn heavy_tails_and_groups_with_zeros_are_named_too() {
        let folder = Folder::new();
        // Eight weights of 32768, and all others near a thousandth.
        let tail: Vec<u8> = (1..=512)
            .map(|i| match i % 64 {
                0 => 0x7800_u16,
                _ => 0x1400 + i as u16,
            })
            .flat_map(u16::to_le_bytes)
            .collect();
        folder.model(&[("tail.weight", Dtype::F16, vec![4, 128], tail)]);
        let report = folder.json("--p 0 --scale per-tensor", "f.safetensors");
        let row = &report["tensors"][0];
        assert_eq!((&row["lost"], &row["lost_share"]), (&504.into(), &(504.0 / 512.0).into()));
        assert!(report["warnings"][0].as_str().unwrap().contains("\"tail.weight\" (98 %)"));

        // Eight weights a group: one of a thousand, one that is lost beside it, and zeros.
        let group = [1000.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let groups: Vec<f32> = group.into_iter().cycle().take(128).collect();
        folder.model(&[("sparse.weight", Dtype::F32, vec![8, 16], f32s(&groups))]);
        for scale in ["group:8", "per-channel", "per-tensor"] {
            let report = folder.json(&format!("--p 0 --scale {scale}"), "f.safetensors");
            let row = &report["tensors"][0];
            assert_eq!((&row["lost"], &row["lost_share"]), (&16.into(), &0.5.into()), "{scale}");
            let line = ["inspect", "model.safetensors", "--scale", scale, "--json"];
            let mut inspect = qtaml();
            let shown = json(inspect.current_dir(folder.folder()).args(line).assert());
            assert_eq!(shown["tensors"][0]["lost"], row["lost_share"], "one denominator");
        }
    }

    #[test]
    fn records_of_older_versions_are_refused() {
        let folder = Folder::uneven();
        folder.inject_slice("--p 0.1 --record f.bin", "f.safetensors").assert().success();
        let mut older = folder.read("f.bin");
        older[8] = 2;
        std::fs::write(folder.path("older.bin"), older).unwrap();
        folder.refused("--replay older.bin", 1, "of version 2, and this program reads version 3");
        // Quantized alike it fits, and other weights are told by their words.
        folder.model(&[("w", Dtype::F32, vec![3, 32], f32s(&[0.5; 96]))]);
        folder.refused("--replay f.bin", 1, "were drawn on other words");
    }

    #[test]
    fn protected_bits_may_be_in_a_real_code() {
        let folder = Folder::new();
        let flips = |line: &str| {
            folder.json(line, "faulty.safetensors")["total"]["flipped_bits"].as_u64().unwrap()
        };
        let [none, real, ideal] = ["", "--protect 8 --ecc repetition:3", "--protect 8"]
            .map(|protection| flips(&format!("--p 0.1 {protection}")));
        assert!(ideal == 0 && 0 < real && real < none / 2, "{none} {real} {ideal}");
        let [plain, dealt] = ["secded:16", "interleaved:4:secded:16"]
            .map(|code| flips(&format!("--bursts 1e-4:20 --protect 8 --ecc {code}")));
        assert!(dealt < plain, "{plain} {dealt}");
        folder
            .inject_slice("--p 0.1 --ecc repetition:4", "faulty.safetensors")
            .assert()
            .code(2)
            .stderr(contains("4 copies have no majority"));
    }
}
