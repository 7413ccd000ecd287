//! The flags that commands share, as a user meets them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
mod model_folder;

use assert_cmd::assert::Assert;
use model_folder::ModelFolder;
use predicates::str::contains;
use safetensors::Dtype;
use serde_json::Value;

impl ModelFolder {
    /// `model.safetensors` with one matrix.
    fn of_one_matrix() -> Self {
        let folder = Self::new();
        let weights = (0..256).flat_map(|i| (i as f32 * 0.37).sin().to_le_bytes()).collect();
        folder.write(&[("fc.weight", Dtype::F32, vec![8, 32], weights)], None);
        folder
    }

    /// `qtaml` with a command line as it is typed, in this folder.
    fn qtaml(&self, line: &str) -> Assert {
        let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("qtaml"));
        command.current_dir(self.folder()).args(line.split_whitespace()).assert()
    }

    fn json(&self, line: &str) -> Value {
        let run = self.qtaml(&format!("{line} --json")).success();
        serde_json::from_slice(&run.get_output().stdout).unwrap()
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
