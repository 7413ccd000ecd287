//! `qtaml protect`, `qtaml recover` and `qtaml inspect` on ONNX models, as a user meets them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
mod model_folder;
mod snapshot;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use model_folder::ModelFolder;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use qtaml::compensation::allocation::Selection;
use qtaml::compensation::storage::{CodeLibrary, ScalePolicy};
use qtaml::compensation::{Accounting, Budget, Decoder, Score};
use qtaml::deploy::planner::ModelPlan;
use qtaml::deploy::scheme::Scheme;
use qtaml::deploy::{Granularity, Output, Runner, RunnerError, StoredModel, Values, WeightTensor};
use qtaml::fault::Seed;
use qtaml::files::Float;
use qtaml::files::onnx::{OnnxFile, Place};
use qtaml::onnx::OnnxModel;
use qtaml::physics::{FlipProbability, FlipProfile};
use qtaml::quant::BitWidth;
use serde_json::Value;
use sha2::{Digest, Sha256};
use snapshot::assert_snapshot;

/// The weights of a model, which is not run here.
struct Weights(OnnxModel);

impl Runner for Weights {
    fn tensors(&self) -> &[WeightTensor] {
        self.0.tensors()
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, RunnerError> {
        Ok(self.0.values(index).unwrap().to_vec())
    }

    fn outputs(&self, _: Values) -> Result<Vec<Output>, RunnerError> {
        Err(RunnerError::failed("it is not run here"))
    }
}

/// A model stored by the library: what the commands have to agree with.
struct Expected {
    model: StoredModel,
    selection: Selection,
}

impl Expected {
    fn golden(&self) -> Values {
        self.model.golden_as(&self.selection).unwrap()
    }

    fn read(&self, seed: u64, trial: u32) -> Values {
        self.model.read(Seed(seed), trial, &self.selection).unwrap()
    }
}

/// INT8 words with a scale for each channel, read by a decoder.
fn scheme() -> Scheme {
    Scheme { decoder: Decoder::BayesGain, granularity: Granularity::Channel, ..Scheme::tac() }
}

impl ModelFolder {
    /// A model of `tests/onnx`, or that of the examples, with all that belongs to it.
    fn of(name: &str) -> Self {
        let folder = Self::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for from in ["tests/onnx", "examples"].map(|from| root.join(from)) {
            for entry in std::fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                let file = path.file_name().unwrap().to_str().unwrap().to_owned();
                if file.starts_with(&format!("{name}.")) {
                    std::fs::copy(&path, folder.path(&file)).unwrap();
                }
            }
        }
        folder
    }

    /// Writes `plan.json` for `NAME.onnx`.
    fn plan(&self, name: &str, scheme: Scheme) -> Expected {
        let path = self.path(&format!("{name}.onnx"));
        let runner = Weights(OnnxModel::open(&path).unwrap());
        let flips: FlipProfile = FlipProbability::symmetric(0.05).unwrap().into();
        let model = scheme.store(&runner, &flips, &CodeLibrary::default()).unwrap();
        let (count, budget) = (Accounting::ProtectedBits, Budget::Share(0.25));
        let plan = model.plan(Score::MagnitudeMax, &model.magnitudes(), count, budget).unwrap();
        let selection = model.selection_of(&plan).unwrap();
        let digest = Sha256::digest(std::fs::read(path).unwrap());
        let mut hex = String::new();
        digest.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        std::fs::write(self.path("plan.json"), ModelPlan::new(hex, scheme, plan).to_json())
            .unwrap();
        Expected { model, selection }
    }

    /// The values of all weights of a model.
    fn values(&self, file: &str) -> Values {
        let model = OnnxModel::open(self.path(file)).unwrap();
        let value = |(i, tensor): (usize, &WeightTensor)| {
            (tensor.name.clone(), model.values(i).unwrap().to_vec())
        };
        model.tensors().iter().enumerate().map(value).collect()
    }
}

fn expected() -> BTreeMap<String, Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/onnx/expected.json");
    let mut all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(all["models"].take()).unwrap()
}

/// Models of floats that can be run.
fn float_models() -> impl Iterator<Item = String> {
    let runs = |(_, model): &(String, Value)| model["refused"].is_null();
    expected().into_iter().filter(runs).map(|(name, _)| name).filter(|name| name != "qdq")
}

/// Values as the types of a file hold them.
fn as_kept(file: &OnnxFile, mut values: Values) -> Values {
    for (name, values) in &mut values {
        let float = file.tensor(name).ok().and_then(|tensor| Float::of(tensor.dtype.dtype()?));
        if let Some(float) = float {
            *values = float.decode(&float.encode_within(values).bytes);
        }
    }
    values
}

#[test]
fn what_is_recovered_is_what_the_plan_stores() {
    for name in float_models() {
        let folder = ModelFolder::of(&name);
        let expected = folder.plan(&name, scheme());
        folder.qtaml(&format!("protect {name}.onnx --plan plan.json -o stored")).success();
        let original = OnnxFile::open(&folder.path(&format!("{name}.onnx"))).unwrap();
        for (line, values) in [
            ("", expected.golden()),
            ("--clean", expected.golden()),
            ("--trial 0", expected.read(42, 0)),
            ("--seed 7 --trial 3", expected.read(7, 3)),
        ] {
            let out = "out/read.onnx";
            let run = format!("recover stored --model {name}.onnx --out {out} {line}");
            folder.qtaml(&run).success();
            let copy = OnnxFile::open(&folder.path(out)).unwrap();
            let tied = stored_names(&folder.path(out));
            assert!(folder.values(out) == as_kept(&copy, values), "{name} {line}");
            check_the_rest(&original, &copy, &tied, &name);
        }
    }
}

/// The names in the file of each weight.
fn stored_names(path: &Path) -> BTreeMap<String, Vec<String>> {
    let model = OnnxModel::open(path).unwrap();
    let names = |(i, tensor): (usize, &WeightTensor)| {
        let names = model.stored(i).iter().map(|stored| stored.name.clone()).collect();
        (tensor.name.clone(), names)
    };
    model.tensors().iter().enumerate().map(names).collect()
}

/// All names of a cell have its values, and everything else is as it was.
fn check_the_rest(
    original: &OnnxFile,
    copy: &OnnxFile,
    tied: &BTreeMap<String, Vec<String>>,
    model: &str,
) {
    let bytes = |file: &OnnxFile, name: &str| file.bytes_of(file.tensor(name).unwrap()).unwrap();
    for names in tied.values() {
        assert!(names.iter().all(|name| bytes(copy, name) == bytes(copy, &names[0])), "{names:?}");
    }
    let is_stored = |name: &str| tied.values().flatten().any(|stored| stored == name);
    for tensor in original.tensors().iter().filter(|tensor| !is_stored(&tensor.name)) {
        assert!(
            bytes(original, &tensor.name) == bytes(copy, &tensor.name),
            "{model}: {}",
            tensor.name
        );
    }
    let stored = || original.tensors().iter().filter(|tensor| is_stored(&tensor.name));
    let places = |location: Option<&str>| {
        let place = move |tensor: &qtaml::files::onnx::OnnxTensor| match &tensor.place {
            Place::Here { begin } if location.is_none() => Some((*begin, tensor.bytes)),
            Place::Elsewhere { location: other, begin } if location == Some(other) => {
                Some((*begin, tensor.bytes))
            }
            _ => None,
        };
        stored().filter_map(place).collect::<Vec<_>>()
    };
    let blank = |path: &Path, places: &[(u64, u64)]| {
        let mut bytes = std::fs::read(path).unwrap();
        for &(begin, length) in places {
            bytes[begin as usize..(begin + length) as usize].fill(0);
        }
        bytes
    };
    // Values that were listed one by one come as raw bytes: their messages have other lengths.
    if !stored().any(|tensor| matches!(tensor.place, Place::Listed(_))) {
        let places = places(None);
        assert!(blank(original.path(), &places) == blank(copy.path(), &places), "{model}");
    }
    for ((location, path), (same, other)) in original.other_files().zip(copy.other_files()) {
        assert_eq!(location, same);
        let places = places(Some(location));
        assert!(blank(path, &places) == blank(other, &places), "{model}: {location}");
    }
}

/// One scale a channel, as the file has them, and words of as many bits: the codes come back, and with
/// faults other codes of the same type. What has no such codes is refused.
#[test]
fn integers_come_back_or_are_refused_by_name() {
    let folder = ModelFolder::of("qdq");
    let raw = Scheme { decoder: Decoder::Raw, scale: ScalePolicy::PerGroup, ..scheme() };
    let protect = "protect qdq.onnx --plan plan.json -o stored";
    let recover = "recover stored --model qdq.onnx --out";
    let codes = |file: &str| {
        let file = OnnxFile::open(&folder.path(file)).unwrap();
        ["conv.codes", "fc.codes"].map(|name| file.bytes_of(file.tensor(name).unwrap()).unwrap())
    };
    let expected = folder.plan("qdq", raw.clone());
    folder.qtaml(protect).success();
    folder.qtaml(&format!("{recover} clean.onnx --clean")).success();
    assert!(codes("clean.onnx") == codes("qdq.onnx"));
    folder.qtaml(&format!("{recover} read.onnx --trial 0")).success();
    assert!(codes("read.onnx") != codes("qdq.onnx"));
    for (name, read) in expected.read(42, 0) {
        for (ours, file) in read.iter().zip(&folder.values("read.onnx")[&name]) {
            assert!((ours - file).abs() <= 1e-6 * ours.abs(), "{name}: {ours} {file}");
        }
    }
    let original = OnnxFile::open(&folder.path("qdq.onnx")).unwrap();
    let copy = OnnxFile::open(&folder.path("read.onnx")).unwrap();
    check_the_rest(&original, &copy, &stored_names(&folder.path("read.onnx")), "qdq");

    folder.plan("qdq", Scheme { bits: BitWidth::new(4).unwrap(), ..raw });
    folder.qtaml(protect).success();
    let run = folder.qtaml(&format!("{recover} narrow.onnx")).code(1);
    run.stderr(contains("holds integers of type").and(contains("before it was quantized")));
    assert!(!folder.path("narrow.onnx").exists());
}

/// From inputs to the recovered file: what `qtaml evaluate` says of a plan is what the files do.
#[test]
fn the_whole_way_gives_what_evaluate_measures() {
    let folder = ModelFolder::of("digits");
    let data = "--data digits.npz --labels digits.labels.npy";
    let plan = format!("plan digits.onnx {data} --p 0.01 --count protected --trials 2 -o plan");
    folder.qtaml(&plan).success();
    let protect = "protect digits.onnx --plan plan/plan.json -o stored";
    let stored = folder.json(protect);
    let sum = |key: &str| -> u64 {
        stored["tensors"].as_array().unwrap().iter().map(|row| row[key].as_u64().unwrap()).sum()
    };
    for key in ["weights", "groups", "stored_bits", "check_bits", "protected_bits", "metadata_bits"]
    {
        assert_eq!(stored["total"][key], sum(key), "{key}");
    }
    assert_eq!(stored["total"]["check_bits"], 0);
    let line =
        format!("evaluate digits.onnx {data} --plan plan/plan.json --p 0.01 --ways raw --trials 2");
    let measured = folder.json(&line)["rows"][1].clone();
    assert_eq!(measured["stored_as"], "plan");
    let accuracy = |line: &str| {
        let recover = format!("recover stored --model digits.onnx --out read.onnx {line}");
        folder.qtaml(&recover).success();
        let line = format!("evaluate read.onnx {data} --p 0 --ways raw --trials 2");
        folder.json(&line)["clean"].as_f64().unwrap()
    };
    assert_eq!(measured["without_faults"], accuracy(""));
    let mean = f64::midpoint(accuracy("--trial 0"), accuracy("--trial 1"));
    let value = measured["metric"]["mean"]["value"].as_f64().unwrap();
    assert!((value - mean).abs() < 1e-12, "{value} {mean}");
}

#[test]
fn tables_and_help_are_the_known_ones() {
    let folder = ModelFolder::of("conv_bn");
    folder.plan("conv_bn", scheme());
    for (name, line) in [
        ("protect-help.txt", "protect --help"),
        ("recover-help.txt", "recover --help"),
        ("protect.txt", "protect conv_bn.onnx --plan plan.json -o stored"),
        ("recover.txt", "recover stored --model conv_bn.onnx --out read.onnx --trial 0"),
        ("inspect-onnx.txt", "inspect conv_bn.onnx"),
    ] {
        let run = folder.qtaml(line).success();
        assert_snapshot(name, str::from_utf8(&run.get_output().stdout).unwrap());
    }
}

#[test]
fn errors_name_what_is_wrong_and_leave_nothing() {
    let folder = ModelFolder::of("mlp_gemm");
    folder.plan("mlp_gemm", scheme());
    let protect = "protect mlp_gemm.onnx --plan plan.json -o stored";
    folder.qtaml(protect).success();
    let other = ModelFolder::of("conv_bn");
    std::fs::copy(other.path("conv_bn.onnx"), folder.path("other.onnx")).unwrap();
    let none = ModelFolder::of("no_weights");
    std::fs::copy(none.path("no_weights.onnx"), folder.path("none.onnx")).unwrap();
    std::fs::write(folder.path("none.json"), "{}").unwrap();
    std::fs::write(folder.path("page.onnx"), "<!DOCTYPE html>").unwrap();
    folder.write(&[("w", safetensors::Dtype::F32, vec![4, 4], vec![0; 64])], None);
    let before = folder.names();
    let recover = "recover stored --model mlp_gemm.onnx --out";
    let mut wrong = Vec::new();
    for (line, code, named) in [
        ("protect other.onnx --plan plan.json -o x", 1, "the plan is for a model with SHA-256"),
        ("protect mlp_gemm.onnx --plan none.json -o x", 1, "this is no plan of a model"),
        ("protect mlp_gemm.onnx --plan missing.json -o x", 1, "missing.json"),
        ("protect missing.onnx --plan plan.json -o x", 1, "missing.onnx"),
        ("protect page.onnx --plan plan.json -o x", 1, "a web page"),
        ("protect model.safetensors --plan plan.json -o x", 1, "which the model does not store"),
        ("protect . --plan plan.json -o x", 1, "which the model does not store"),
        ("protect mlp_gemm.onnx --plan plan.json -o mlp_gemm.onnx/x", 1, "Not a directory"),
        ("protect mlp_gemm.onnx --plan plan.json -o -", 2, "-o - is a stream"),
        ("protect mlp_gemm.onnx --plan plan.json", 2, "--out <FOLDER>"),
        ("recover missing --model mlp_gemm.onnx --out y.onnx", 1, "it has no manifest.json"),
        (
            "recover stored --model other.onnx --out y.onnx",
            1,
            "other.onnx is not the model in stored",
        ),
        ("recover stored --model none.onnx --out y.onnx", 1, "the model has no weights"),
        ("recover stored --model model.safetensors --out y", 1, "is not the model in stored"),
        (&format!("{recover} mlp_gemm.onnx"), 2, "--out and --model are the same file"),
        (&format!("{recover} ./stored/words.bin"), 2, "--out and FOLDER are the same file"),
        (&format!("{recover} -"), 2, "--out - is a stream"),
        (&format!("{recover} none.json/y.onnx"), 1, "none.json"),
        (&format!("{recover} y.onnx --clean --trial 1"), 2, "cannot be used with"),
        (&format!("{recover} y.onnx --seed 1"), 2, "--trial <N>"),
    ] {
        let run = folder.qtaml(line);
        let output = run.get_output();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(code) || !text.contains(named) {
            wrong.push(format!("{line}: {named:?} and {code} in {:?}: {text}", output.status));
        }
        assert_eq!(folder.names(), before, "{line}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let words = folder.read("stored/words.bin");
    let mut altered = words.clone();
    altered[7] ^= 1;
    for (file, bytes, named) in [
        ("words.bin", Some(altered.as_slice()), "has been altered"),
        ("words.bin", Some(&words[..words.len() - 1]), "before the end of tensor"),
        ("manifest.json", Some(b"{}"), "none of a stored folder"),
        ("check.bin", None, "it has no check.bin"),
    ] {
        folder.qtaml(protect).success();
        let path: PathBuf = folder.path("stored").join(file);
        match bytes {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let run = folder.qtaml(&format!("{recover} y.onnx")).code(1);
        run.stderr(contains("cannot recover stored").and(contains(named)));
        assert_eq!(folder.names(), before, "{file}");
    }
}

/// Files beside the model are copied beside the copy, and never written over.
#[test]
fn a_model_of_several_files_stays_whole() {
    let folder = ModelFolder::of("external");
    folder.plan("external", scheme());
    folder.qtaml("protect external.onnx --plan plan.json -o stored").success();
    let before = folder.read("external.data");
    let run = folder.qtaml("recover stored --model external.onnx --out read.onnx");
    run.code(2).stderr(contains("--out and --model are the same file"));
    assert!(folder.read("external.data") == before);
    folder.qtaml("recover stored --model external.onnx --out read/read.onnx").success();
    assert!(folder.read("read/external.data") != before);
    assert!(folder.read("external.data") == before);
}

#[test]
fn operators_tell_weights_axes_and_ties() {
    for (name, model) in expected().into_iter().filter(|(_, model)| model["refused"].is_null()) {
        let folder = ModelFolder::of(&name);
        let report = folder.json(&format!("inspect {name}.onnx"));
        let row = |tensor: &Value| {
            let rows = report["tensors"].as_array().unwrap().iter();
            rows.clone().find(|row| row["tensor"] == *tensor).cloned()
        };
        for weight in model["weights"].as_array().unwrap() {
            // A weight may have the name of the node that dequantizes it.
            let Some(row) = row(&weight["name"]) else { continue };
            assert_eq!(row["shape"], weight["shape"], "{name} {weight}");
            assert_eq!(row["output_axis"], weight["axis"], "{name} {weight}");
            let is_float = row["kind"] == weight["role"];
            assert!(is_float || row["kind"] == "codes", "{name} {weight} {row}");
        }
    }
    let tied = ModelFolder::of("shared_axes").json("inspect shared_axes.onnx");
    let aliases = tied["tensors"].as_array().unwrap().iter();
    assert_eq!(aliases.filter(|row| !row["alias_of"].is_null()).count(), 1, "{tied}");
    let codes = ModelFolder::of("qdq").json("inspect qdq.onnx");
    let kinds: Vec<&str> = codes["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["kind"].as_str().unwrap())
        .collect();
    for kind in ["codes", "scale"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let external = ModelFolder::of("external");
    assert!(external.json("inspect external.onnx")["files"].as_array().unwrap().len() > 1);
    let layout = external.qtaml("inspect external.onnx --layout burn");
    layout.code(2).stderr(contains("--layout is for safetensors files"));
}

#[test]
fn commands_of_safetensors_say_which_ones_take_onnx() {
    let folder = ModelFolder::of("mlp_gemm");
    for line in
        ["inject mlp_gemm.onnx --p 0.1 --out x", "codec design mlp_gemm.onnx --p 0.1 --out x"]
    {
        let advice = "qtaml inspect, evaluate, plan, protect and recover take it as it is";
        folder.qtaml(line).code(1).stderr(contains(advice));
    }
}
