//! Faults in models as people have them: in several files, quantized already, with tied weights and buffers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
mod model_folder;

use std::collections::{BTreeMap, HashMap};

use assert_cmd::assert::Assert;
use model_folder::{ModelFolder, Tensor};
use predicates::str::{contains, is_empty};
use safetensors::Dtype::{self, BF16, F32};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

/// Tensors by name: types, shapes and bytes.
type Content = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

impl ModelFolder {
    /// `qtaml` with a command line as it is typed, in this folder.
    fn run(&self, line: &str) -> Assert {
        let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("qtaml"));
        command.current_dir(self.folder()).args(line.split_whitespace()).assert()
    }

    fn json(&self, line: &str) -> Value {
        let run = self.run(&format!("{line} --json")).success();
        serde_json::from_slice(&run.get_output().stdout).unwrap()
    }

    /// Fails, says so, and leaves no file behind.
    fn refused(&self, line: &str, code: i32, named: &[&str]) {
        let before = self.all_files();
        let mut run = self.run(line).code(code).stdout(is_empty());
        for named in named {
            run = run.stderr(contains(*named));
        }
        assert_eq!(self.all_files(), before, "{line}");
    }

    /// All files in it and in its folders.
    fn all_files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for name in self.names() {
            match std::fs::read_dir(self.path(&name)) {
                Err(_) => files.push(name),
                Ok(inner) => {
                    let inner =
                        inner.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                    files.extend(inner.map(|file| format!("{name}/{file}")));
                }
            }
        }
        files.sort();
        files
    }

    /// Writes a file of these tensors.
    fn shard(&self, path: &str, tensors: &[&Tensor<'_>]) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let metadata = Some(HashMap::from([("format".into(), "pt".into())]));
        std::fs::write(self.path(path), safetensors::serialize(views, metadata).unwrap()).unwrap();
    }

    /// Writes `FOLDER/m-1.safetensors` and so on, and the index.
    fn shards(&self, folder: &str, shards: &[&[&Tensor<'_>]]) {
        let mut map = BTreeMap::new();
        for (i, tensors) in shards.iter().enumerate() {
            let file = format!("m-{}.safetensors", i + 1);
            self.shard(&format!("{folder}/{file}"), tensors);
            map.extend(tensors.iter().map(|(name, ..)| ((*name).to_owned(), file.clone())));
        }
        let index = json!({"metadata": {"total_size": 0}, "weight_map": map}).to_string();
        std::fs::write(self.path(folder).join("model.safetensors.index.json"), index).unwrap();
    }

    /// The tensors of some files together.
    fn content(&self, files: &[&str]) -> Content {
        let mut content = Content::new();
        for file in files {
            let bytes = self.read(file);
            let model = SafeTensors::deserialize(&bytes).unwrap();
            content.extend(model.tensors().into_iter().map(|(name, view)| {
                (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            }));
        }
        content
    }
}

fn f32s(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

fn waves(n: usize, seed: usize) -> Vec<u8> {
    f32s((0..n).map(|i| ((i * 7 + seed) as f32 * 0.37).sin()))
}

/// Five tensors whose order by name is none of those by file.
fn parts() -> [Tensor<'static>; 5] {
    let narrow = waves(600, 4).as_chunks::<4>().0.iter().flat_map(|b| [b[2], b[3]]).collect();
    [
        ("b.weight", F32, vec![40, 50], waves(2000, 1)),
        ("b.bias", F32, vec![40], waves(40, 2)),
        ("a.weight", F32, vec![30, 50], waves(1500, 3)),
        ("c.weight", BF16, vec![20, 30], narrow),
        ("d.weight", F32, vec![10, 20], waves(200, 5)),
    ]
}

const OUT: [&str; 2] = ["out/m-1.safetensors", "out/m-2.safetensors"];

#[test]
fn a_model_in_several_files_is_one_model() {
    let folder = ModelFolder::new();
    let [bw, bb, aw, cw, dw] = &parts();
    folder.shard("whole/model.safetensors", &[bw, bb, aw, cw, dw]);
    folder.shards("two", &[&[cw, bw], &[aw, bb, dw]]);
    let whole = folder.json("inject whole/model.safetensors --p 0.02 --out w.safetensors");
    let expected = folder.content(&["w.safetensors"]);
    for model in ["two", "two/model.safetensors.index.json"] {
        let report = folder.json(&format!("inject {model} --p 0.02 --out out"));
        assert_eq!(report["total"], whole["total"], "{model}");
        assert!(folder.content(&OUT) == expected, "{model}");
        for file in ["m-1.safetensors", "m-2.safetensors"] {
            let names = |path: String| folder.content(&[&path]).into_keys().collect::<Vec<_>>();
            assert_eq!(names(format!("out/{file}")), names(format!("two/{file}")));
        }
        let index = "model.safetensors.index.json";
        assert!(folder.read(&format!("out/{index}")) == folder.read(&format!("two/{index}")));
        std::fs::remove_dir_all(folder.path("out")).unwrap();
    }
    // A folder without an index is the same.
    std::fs::remove_file(folder.path("two/model.safetensors.index.json")).unwrap();
    folder.json("inject two --p 0.02 --out out");
    assert!(folder.content(&OUT) == expected);
    assert_eq!(std::fs::read_dir(folder.path("out")).unwrap().count(), 2);
}

#[test]
fn a_number_of_flips_spans_all_files_however_they_are_cut() {
    let folder = ModelFolder::new();
    let [bw, bb, aw, cw, dw] = &parts();
    let content = |shards: &[&[&Tensor<'_>]], line: &str| {
        folder.shards("model", shards);
        let report = folder.json(&format!("inject model --out out {line}"));
        (folder.content(&OUT), report)
    };
    let (first, report) = content(&[&[cw, bw], &[aw, bb, dw]], "--flips 300");
    assert_eq!(report["total"]["flipped_bits"], 300);
    let rows = report["tensors"].as_array().unwrap();
    assert!(rows.len() == 4 && rows.iter().all(|row| row["flipped_bits"] != 0), "{report}");
    let (second, _) = content(&[&[dw, aw], &[bb, bw, cw]], "--flips 300");
    assert!(first == second);
}

#[test]
fn records_span_files() {
    let folder = ModelFolder::new();
    let [bw, bb, aw, cw, dw] = &parts();
    folder.shards("model", &[&[cw, bw], &[aw, bb, dw]]);
    for line in ["--p 0.01 --biases", "--flips 77 --bits 4"] {
        let drawn = folder.json(&format!("inject model {line} --record f.bin --out out"));
        let content = folder.content(&OUT);
        let replayed = folder.json("inject model --replay f.bin --out out");
        assert_eq!(replayed["tensors"], drawn["tensors"], "{line}");
        assert!(folder.content(&OUT) == content, "{line}");
    }
    folder.shard("one.safetensors", &[aw]);
    folder.refused(
        "inject one.safetensors --replay f.bin --out n.safetensors",
        1,
        &["cannot replay f.bin", "recorded for other tensors"],
    );
}

#[test]
fn files_of_a_model_are_there_together_or_not_at_all() {
    let folder = ModelFolder::new();
    let [bw, bb, aw, cw, dw] = &parts();
    let broken = ("z.weight", F32, vec![2, 2], f32s([1.0, f32::NAN, 0.0, 0.0]));
    folder.shards("model", &[&[cw, bw], &[aw, bb, dw]]);
    folder.shards("broken", &[&[cw, bw], &[&broken]]);
    std::fs::create_dir(folder.path("out")).unwrap();
    folder.refused("inject broken --p 0.1 --out out", 1, &["\"z.weight\"", "weight 1 is NaN"]);
    std::fs::write(folder.path("file"), "notes").unwrap();
    folder.refused("inject model --p 0.1 --out file", 1, &["it is a file, and a folder is needed"]);
    for (record, other) in [
        ("out/m-2.safetensors", "--record and --out are the same file"),
        ("out/model.safetensors.index.json", "--record and --out are the same file"),
        ("model/m-1.safetensors", "--record and the model are the same file"),
        ("model/model.safetensors.index.json", "--record and the model are the same file"),
    ] {
        let line = format!("inject model --p 0.1 --out out --record {record}");
        folder.refused(&line, 2, &[other]);
    }
    std::fs::remove_file(folder.path("model/m-2.safetensors")).unwrap();
    folder.refused(
        "inject model --p 0.1 --out out",
        1,
        &["1 of its 2 files are missing: m-2.safetensors"],
    );
}
