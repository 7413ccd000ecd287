//! The flags that commands share, as a user meets them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
mod model_folder;
mod snapshot;

use model_folder::ModelFolder;
use predicates::str::contains;
use safetensors::Dtype;
use snapshot::assert_snapshot;

impl ModelFolder {
    /// `model.safetensors` with one matrix.
    fn of_one_matrix() -> Self {
        let folder = Self::new();
        let weights = (0..256).flat_map(|i| (i as f32 * 0.37).sin().to_le_bytes()).collect();
        folder.write(&[("fc.weight", Dtype::F32, vec![8, 32], weights)], None);
        folder
    }
}

#[test]
fn faults_follow_from_a_cell_in_every_command() {
    let folder = ModelFolder::of_one_matrix();
    for (name, text) in [
        ("cell.toml", "oxide-nm = 4.5\nretention-s = 3.156e8\n"),
        ("dram.toml", "preset = \"dram\"\ntemperature-k = 400\n"),
    ] {
        std::fs::write(folder.path(name), text).unwrap();
        let flips = folder.json(&format!("physics --cell {name}"))["probability"].clone();
        let [p01, p10] = ["p01", "p10"].map(|p| flips[p].as_f64().unwrap());
        let typed = format!("--p01 {p01:?} --p10 {p10:?}");
        let from_cell = format!("--cell {name}");
        let verified = folder.json(&format!("verify --bits 4 --trials 100 {from_cell}"));
        assert_eq!(verified["flips"], flips);
        for command in ["inject model.safetensors --out", "codec design model.safetensors --out"] {
            folder.json(&format!("{command} a {from_cell}"));
            folder.json(&format!("{command} b {typed}"));
            assert!(folder.read("a") == folder.read("b"), "{command} {from_cell}");
        }
    }
}

#[test]
fn a_cell_that_is_none_is_named() {
    let folder = ModelFolder::of_one_matrix();
    for (text, code, named) in [
        ("", 2, "says nothing of oxide-nm and retention-s, which a cell needs"),
        ("oxide-nm = 4", 2, "cell.toml says nothing of retention-s, which"),
        ("oxide-nm = -4\nretention-s = 1", 2, "is called oxide-nm"),
        ("oxide = 4", 1, "unknown field `oxide`"),
        ("preset = \"drum\"", 1, "there is no preset \"drum\""),
        ("<html>", 1, "cell.toml describes no cell"),
    ] {
        std::fs::write(folder.path("cell.toml"), text).unwrap();
        for command in
            ["verify", "inject model.safetensors --out x", "codec design model.safetensors --out x"]
        {
            let run = folder.qtaml(&format!("{command} --cell cell.toml"));
            run.code(code).stderr(contains(named));
        }
    }
    folder.qtaml("verify --cell none.toml").code(1).stderr(contains("none.toml"));
    for other in ["--p 0.1", "--p01 0.1 --p10 0.1", "--p-per-bit 0.1"] {
        let run = folder.qtaml(&format!("verify --cell cell.toml {other}"));
        run.code(2).stderr(contains("cannot be used with"));
    }
    for other in ["--flips 3", "--bursts 1e-6:4", "--stuck-at-0 0.1", "--replay faults.bin"] {
        let line = format!("inject model.safetensors --out x --cell cell.toml {other}");
        folder.qtaml(&line).code(2).stderr(contains("cannot be used with"));
    }
}

#[test]
fn several_p_are_a_row_each() {
    let folder = ModelFolder::of_one_matrix();
    let line = "verify --bits 2 --trials 100000";
    let several = folder.json(&format!("{line} --p 0.02,5% --false-alarm 1e-5"));
    for (at, p) in [(0, "0.02"), (1, "0.05")] {
        let alone = folder.json(&format!("{line} --p {p} --false-alarm 5e-6"));
        assert_eq!(several[at], alone, "the alarms are shared, and nothing else is");
    }
    let rows = folder.qtaml(&format!("{line} --p 0.01..0.1 --out out")).success();
    let text = String::from_utf8(rows.get_output().stdout.clone()).unwrap();
    assert_eq!(text.matches("holds").count(), 4, "{text}");
    for p in ["0.01", "0.02", "0.05", "0.1"] {
        assert!(folder.path(&format!("out/p={p}/verify.codes.csv")).exists(), "{p}");
    }
    let one = "are several flip probabilities, and one is needed here";
    for command in ["inject model.safetensors --out x", "codec design model.safetensors --out x"] {
        folder.qtaml(&format!("{command} --p 0.01,0.1")).code(2).stderr(contains(one));
    }
    let run = folder.qtaml(&format!("{line} --p 0.1,0.7"));
    run.code(2).stderr(contains("p = 0.7 is outside 0.0..=0.5"));
}

#[test]
fn negative_numbers_are_refused_by_their_range() {
    let folder = ModelFolder::of_one_matrix();
    for (line, named) in [
        ("verify --p -1e-3", "p = -0.001 is outside 0.0..=0.5"),
        ("verify --p -1e-3..0.1", "-0.001..0.1 is no range"),
        ("verify --bits -1", "2 to 8"),
        ("verify --trials -5", "a whole number is needed"),
        ("verify --trials -1e-3", "a whole number is needed"),
        ("verify --seed -1", "a whole number is needed"),
        ("verify --protect -1", "-1 is not in 0..="),
        ("verify --false-alarm -1e-6", "is outside 1e-12..1.0"),
        ("physics --preset dram --mass -1e-3", "-0.001"),
        ("physics --preset dram --solve oxide-nm --p -1e-3", "-0.001"),
        ("inspect model.safetensors --bits -1", "2 to 8"),
        ("inject model.safetensors --out x --p -1e-3", "p = -0.001 is outside"),
        ("inject model.safetensors --out x --p 0 --seed -1", "a whole number is needed"),
        ("inject model.safetensors --out x --p 0 --protect -1e-3", "a whole number is needed"),
        ("codec design model.safetensors --out x --p -1e-3", "p = -0.001 is outside"),
        ("codec design model.safetensors --out x --p 0 --bits -1", "-1 is not in 1..=12"),
    ] {
        folder.qtaml(line).code(2).stderr(contains(named));
    }
}

#[test]
fn help_tables_and_errors_are_the_known_ones() {
    let folder = ModelFolder::of_one_matrix();
    std::fs::write(folder.path("cell.toml"), "oxide-nm = 4.5\n").unwrap();
    for (name, line, code) in [
        ("help.txt", "--help", 0),
        ("physics-help.txt", "physics --help", 0),
        ("inject-help.txt", "inject --help", 0),
        ("codec-help.txt", "codec --help", 0),
        ("codec-design-help.txt", "codec design --help", 0),
        ("codec-encode-help.txt", "codec encode --help", 0),
        ("codec-decode-help.txt", "codec decode --help", 0),
        ("codec-inspect-help.txt", "codec inspect --help", 0),
        ("verify-help.txt", "verify --help", 0),
        ("devices-help.txt", "devices --help", 0),
        ("physics.txt", "physics --oxide-nm 4.5 --retention-s 3.156e8", 0),
        ("physics-preset.txt", "physics --preset dram --temperature-k 400", 0),
        ("physics-solve.txt", "physics --oxide-nm 4.5 --solve retention-s --p 0.1", 0),
        ("physics-missing.txt", "physics --mass 0.5", 2),
        ("physics-range.txt", "physics --oxide-nm 4.5 --retention-s 1 --mass -1e-3", 2),
        ("physics-name.txt", "physics --preset drum", 2),
        ("verify-protected.txt", "verify --bits 2 --trials 100000 --p 0.05 --protect 1", 0),
        ("verify-several.txt", "verify --bits 2 --trials 10000 --p 1e-3..5%", 0),
        ("verify-range.txt", "verify --p -1e-3", 2),
        ("verify-integer.txt", "verify --seed -1", 2),
        ("verify-cell.txt", "verify --cell cell.toml", 2),
    ] {
        let run = folder.qtaml(line).code(code);
        let output = run.get_output();
        let text = if code == 0 { &output.stdout } else { &output.stderr };
        assert_snapshot(name, str::from_utf8(text).unwrap());
    }
    let help = folder.qtaml("--help").success();
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    let fits = help.lines().count() <= 44 && help.lines().all(|line| line.chars().count() <= 88);
    assert!(fits, "one screen: {help}");
    let order =
        ["physics", "inspect", "evaluate", "plan", "protect", "recover", "inject", "verify"];
    let places = order.map(|command| help.find(&format!("    qtaml {command} ")));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{help}");
}
