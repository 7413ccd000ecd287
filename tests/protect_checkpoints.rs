//! `qtaml protect` and `qtaml recover` on safetensors, as a user meets them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
mod model_folder;
mod snapshot;

use model_folder::ModelFolder;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use qtaml::compensation::storage::{CodeLibrary, QuantizedSpec};
use qtaml::compensation::{Accounting, Budget, Decoder, Score};
use qtaml::deploy::checkpoint_weights::CheckpointWeights;
use qtaml::deploy::planner::ModelPlan;
use qtaml::deploy::scheme::Scheme;
use qtaml::deploy::{Granularity, Runner, StoredModel, Storing};
use qtaml::fault::{MemoryModel, Seed};
use qtaml::files::{Checkpoint, Float};
use qtaml::physics::{FlipProbability, FlipProfile};
use qtaml::quant::{BitWidth, Clip, CodeRange, Encoding, Format, ScaledTensor, Scaling};
use safetensors::Dtype;
use snapshot::assert_snapshot;

const ROWS: usize = 12;
const COLUMNS: usize = 35;

/// What makes another tensor of one.
type Change = fn(&mut model_folder::Tensor<'_>);

fn values(seed: f32) -> Vec<f32> {
    (0..ROWS * COLUMNS).map(|i| (i as f32 * 0.37 + seed).sin().powi(3)).collect()
}

fn bytes(float: Float, values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * float.bytes()];
    float.encode(values, &mut bytes);
    bytes
}

/// Weights of every type with a tied one, a bias and a count.
fn tensors() -> Vec<model_folder::Tensor<'static>> {
    let matrix =
        |name, dtype, float, seed| (name, dtype, vec![ROWS, COLUMNS], bytes(float, &values(seed)));
    vec![
        matrix("z.weight", Dtype::F32, Float::F32, 0.0),
        matrix("a.weight", Dtype::F32, Float::F32, 0.0),
        matrix("half.weight", Dtype::F16, Float::F16, 1.0),
        matrix("brain.weight", Dtype::BF16, Float::Bf16, 2.0),
        matrix("wide.weight", Dtype::F64, Float::F64, 3.0),
        ("half.bias", Dtype::F32, vec![ROWS], bytes(Float::F32, &values(4.0)[..ROWS])),
        ("count", Dtype::I64, vec![], vec![7; 8]),
    ]
}

impl ModelFolder {
    fn of_all_types() -> Self {
        let folder = Self::new();
        folder.write(&tensors(), Some([("format".to_owned(), "pt".to_owned())].into()));
        folder
    }

    /// The same model in two files with an index, in the folder `model`.
    fn of_shards() -> Self {
        let folder = Self::of_all_types();
        std::fs::create_dir(folder.path("model")).unwrap();
        let all = tensors();
        let mut map = serde_json::Map::new();
        for (number, part) in [&all[..3], &all[3..]].into_iter().enumerate() {
            let file = format!("part-{number}.safetensors");
            folder.write(part, Some([("format".to_owned(), "pt".to_owned())].into()));
            std::fs::rename(folder.path("model.safetensors"), folder.path("model").join(&file))
                .unwrap();
            map.extend(part.iter().map(|(name, ..)| ((*name).to_owned(), file.clone().into())));
        }
        let index = serde_json::json!({"metadata": {}, "weight_map": map});
        let path = folder.path("model").join("model.safetensors.index.json");
        std::fs::write(path, index.to_string()).unwrap();
        folder
    }

    fn open(&self, name: &str) -> Checkpoint {
        Checkpoint::open(&self.path(name)).unwrap()
    }
}

/// By the library: quantized with a scale for each group, back again, and into the type of the file.
#[test]
fn without_faults_a_model_is_quantized_and_dequantized() {
    let folder = ModelFolder::of_all_types();
    for (bits, scale, granularity) in [
        (8, "per-channel", Granularity::Channel),
        (4, "per-channel", Granularity::Channel),
        (4, "per-tensor", Granularity::Tensor),
        (5, "group:8", Granularity::Group(8)),
    ] {
        let protect = format!("protect model.safetensors --p 0 --bits {bits} --scale {scale}");
        folder.qtaml(&format!("{protect} -o stored")).success();
        let recover = "recover stored --into model.safetensors --out";
        folder.qtaml(&format!("{recover} clean.safetensors")).success();
        folder.qtaml(&format!("{recover} read.safetensors --trial 3")).success();
        assert!(folder.read("clean.safetensors") == folder.read("read.safetensors"));
        let (was, is) = (folder.open("model.safetensors"), folder.open("clean.safetensors"));
        assert_eq!(was.shards()[0].header(), is.shards()[0].header());
        let format = Format::new(BitWidth::new(bits).unwrap(), Encoding::TwosComplement);
        let axis = (granularity != Granularity::Tensor).then_some(0);
        let scaling = Scaling { granularity, axis, range: CodeRange::Symmetric, clip: Clip::Max };
        for tensor in was.tensors() {
            let [old, new] = [&was, &is].map(|model| model.bytes_of(tensor).unwrap());
            let float = Float::of(tensor.dtype).filter(|_| tensor.rank() == 2);
            let expected = float.map_or(old.clone(), |float| {
                let weights = float.decode(&old);
                let stored = ScaledTensor::quantize(&weights, &tensor.shape, format, scaling);
                float.encode_within(&stored.unwrap().dequantize()).bytes
            });
            assert!(new == expected, "{bits} {scale} {}", tensor.name);
            assert_eq!(float.is_some(), new != old, "{}", tensor.name);
        }
    }
}

/// Where both can say how weights are stored, a device reads what `qtaml inject` writes.
#[test]
fn faults_are_those_of_inject() {
    let (single, shards) = (ModelFolder::of_all_types(), ModelFolder::of_shards());
    for line in [
        "--p 0.05 --protect 2",
        "--p 0.05 --bits 4",
        "--p 0.02 --bits 4 --decoder bayes-gain --encoding gray",
        "--p01 0.01 --p10 0.1 --scale group:8 --range min-max",
        "--p 0.03 --scale per-tensor --protect 2 --ecc secded:64",
        "--p 0.1 --scale per-tensor --bits 6 --protect 1 --ecc repetition:3 --decoder bayes",
        "--p 0.1 --only *.weight --skip half.*",
    ] {
        for (folder, model, read) in [
            (&single, "model.safetensors", vec!["injected"]),
            (
                &shards,
                "model",
                vec![
                    "injected/part-0.safetensors",
                    "injected/part-1.safetensors",
                    "injected/model.safetensors.index.json",
                ],
            ),
        ] {
            let pattern = "--seed 7 --trial 3";
            folder.qtaml(&format!("inject {model} {line} {pattern} --out injected")).success();
            folder.qtaml(&format!("protect {model} {line} -o stored")).success();
            folder
                .qtaml(&format!("recover stored --model {model} --out recovered {pattern}"))
                .success();
            for file in read {
                let recovered = file.replace("injected", "recovered");
                assert!(folder.read(file) == folder.read(&recovered), "{model} {line} {file}");
            }
        }
    }
}

/// In however many files a model is, what is burned into the memory is the same.
#[test]
fn a_stored_folder_does_not_depend_on_the_files() {
    let (single, shards) = (ModelFolder::of_all_types(), ModelFolder::of_shards());
    let line = "--p 0.01 --protect 1 --ecc parity:7 -o stored";
    single.qtaml(&format!("protect model.safetensors {line}")).success();
    shards.qtaml(&format!("protect model {line}")).success();
    for file in ["stored/words.bin", "stored/check.bin"] {
        assert!(!single.read(file).is_empty() && single.read(file) == shards.read(file), "{file}");
    }
    // So that each recovers the other one's.
    std::fs::rename(shards.path("stored"), single.path("other")).unwrap();
    single.qtaml("recover other --model model.safetensors --out a --trial 1").success();
    single.qtaml("recover stored --model model.safetensors --out b --trial 1").success();
    assert!(single.read("a") == single.read("b"));
}

fn planned(weights: &CheckpointWeights) -> (StoredModel, ModelPlan) {
    let granularity = Granularity::Channel;
    let scheme = Scheme { decoder: Decoder::BayesGain, granularity, ..Scheme::tac() };
    let flips: FlipProfile = FlipProbability::symmetric(0.05).unwrap().into();
    let model = scheme.store(weights, &flips, &CodeLibrary::default()).unwrap();
    let (count, budget) = (Accounting::ProtectedBits, Budget::Share(0.25));
    let plan = model.plan(Score::MagnitudeMax, &model.magnitudes(), count, budget).unwrap();
    // The digest of the file that it was made of, which is another one.
    (model, ModelPlan::new("00".repeat(32), scheme, plan))
}

#[test]
fn a_plan_is_carried_out_on_the_weights_that_it_is_for() {
    let folder = ModelFolder::of_all_types();
    let weights = CheckpointWeights::of(folder.open("model.safetensors"), None, |_| true).unwrap();
    let (model, plan) = planned(&weights);
    let write =
        |plan: &ModelPlan| std::fs::write(folder.path("plan.json"), plan.to_json()).unwrap();
    write(&plan);
    let protect = "protect model.safetensors --plan plan.json -o stored";
    folder.qtaml(protect).success();
    folder.qtaml("recover stored --model model.safetensors --out read --trial 2").success();
    let selection = model.selection_of(&plan.plan).unwrap();
    let expected = model.read(Seed(42), 2, &selection).unwrap();
    let read = folder.open("read");
    for tensor in weights.tensors() {
        for name in std::iter::once(&tensor.name).chain(&tensor.aliases) {
            let info = read.tensor(name).unwrap();
            let bytes = Float::of(info.dtype).unwrap().encode_within(&expected[&tensor.name]).bytes;
            assert!(read.bytes_of(info).unwrap() == bytes, "{name}");
        }
    }
    let mut more = plan.clone();
    let group = more.plan.groups[0].clone();
    more.plan.groups.push(qtaml::compensation::PlanGroup { name: "head".into(), ..group });
    write(&more);
    folder.qtaml(protect).code(1).stderr(contains("has group \"head\", which the model does not"));
    let mut fewer = plan.clone();
    fewer.plan.groups.pop();
    write(&fewer);
    folder.qtaml(protect).code(1).stderr(contains("the plan lacks group \"wide.weight[11]\""));
    write(&plan);
    let mut other = tensors();
    other[2].3[0] ^= 1;
    folder.write(&other, None);
    folder.qtaml(protect).code(1).stderr(contains("these weights have SHA-256"));
    // Nobody says whose plan it is: scales tell.
    let mut unknown = plan;
    unknown.plan.model = None;
    write(&unknown);
    folder.write(&tensors(), None);
    folder.qtaml(protect).success();
    other[2].3 = bytes(Float::F16, &values(1.5));
    folder.write(&other, None);
    folder.qtaml(protect).code(1).stderr(contains("which the model does not offer"));
}

/// The library on the same weights, all at once.
#[test]
fn tensor_by_tensor_is_as_all_at_once() {
    let folder = ModelFolder::of_all_types();
    folder.qtaml("protect model.safetensors --p 0.02 --bits 4 -o stored").success();
    let weights = CheckpointWeights::of(folder.open("model.safetensors"), None, |_| true).unwrap();
    let memory = MemoryModel::new(FlipProbability::symmetric(0.02).unwrap());
    let format = Format::new(BitWidth::INT4, Encoding::TwosComplement);
    let storing = Storing::new(memory, QuantizedSpec { format, ..QuantizedSpec::default() });
    let model = StoredModel::store(&weights, Granularity::Channel, &[storing]).unwrap();
    let restored = qtaml::deploy::stored_folder::RestoredModel::open(
        &folder.path("stored"),
        &CodeLibrary::default(),
    )
    .unwrap();
    for trial in [0, 5] {
        let expected = model.read(Seed(3), trial, &model.uniform(0)).unwrap();
        assert_eq!(restored.read(Seed(3), trial).unwrap(), expected);
    }
    assert_eq!(restored.manifest().model.sha256, model.weights_sha256());
    assert_eq!(restored.manifest().model.name.as_deref(), Some("model.safetensors"));
}

#[test]
fn errors_name_what_is_wrong_and_leave_nothing() {
    let folder = ModelFolder::of_all_types();
    let protect = "protect model.safetensors --p 0.01 --protect 1 --ecc parity:7 -o stored";
    folder.qtaml(protect).success();
    std::fs::write(folder.path("page.safetensors"), "<!DOCTYPE html>").unwrap();
    let before = folder.names();
    let recover = "recover stored --model model.safetensors --out";
    for (line, code, named) in [
        ("protect model.safetensors -o x", 2, "--plan <PLAN.json>"),
        ("protect model.safetensors --p 0.1 --plan p.json -o x", 2, "cannot be used with"),
        ("protect model.safetensors --plan p.json --bits 4 -o x", 2, "cannot be used with"),
        ("protect model.safetensors --p 0.1,0.2 -o x", 2, "several flip probabilities"),
        ("protect model.safetensors --p 0.1 --ecc secded:64 -o x", 2, "no bits to keep"),
        ("protect model.safetensors --p 0.1 --protect 9 -o x", 2, "9"),
        ("protect model.safetensors --p 0.1 --only head -o x", 1, "no tensor \"head\""),
        ("protect model.safetensors --p 0.1 --only half.bias -o x", 1, "no float weights"),
        ("protect page.safetensors --p 0.1 -o x", 1, "a web page"),
        ("protect model.safetensors --plan none.json -o x", 1, "none.json"),
        ("protect model.safetensors --p 0.1 -o -", 2, "-o - is a stream"),
        ("recover none --model model.safetensors --out y", 1, "it has no manifest.json"),
        (&format!("{recover} model.safetensors"), 2, "--out and --model are the same file"),
        (&format!("{recover} stored/words.bin"), 2, "--out and FOLDER are the same file"),
    ] {
        folder.qtaml(line).code(code).stderr(contains(named));
        assert_eq!(folder.names(), before, "{line}");
    }
    let named = folder.qtaml("protect model.safetensors --p 0.1 --only a.weight --only count -o x");
    named.code(1).stderr(contains("tensor \"count\" is no float weight"));
    let words = folder.read("stored/words.bin");
    let mut altered = words.clone();
    altered[1000] ^= 1;
    let longer = [&words[..], b"x"].concat();
    for (file, bytes, named) in [
        (
            "words.bin",
            Some(altered.as_slice()),
            "tensor \"half.weight\" in words.bin has been altered",
        ),
        ("words.bin", Some(&words[..words.len() - 1]), "before the end of tensor \"wide.weight\""),
        ("words.bin", Some(&longer), "words.bin does not end where its last tensor does"),
        ("manifest.json", Some(b"{}"), "none of a stored folder"),
        ("check.bin", None, "it has no check.bin"),
    ] {
        folder.qtaml(protect).success();
        let path = folder.path("stored").join(file);
        match bytes {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let run = folder.qtaml(&format!("{recover} y.safetensors")).code(1);
        run.stderr(contains("cannot recover stored").and(contains(named)));
        assert_eq!(folder.names(), before, "{file}");
    }
    folder.qtaml(protect).success();
    let others: [(usize, Change, &str); 4] = [
        (2, |tensor| tensor.3[4] ^= 1, "these weights have SHA-256"),
        (2, |tensor| tensor.0 = "other.weight", "no tensor \"half.weight\""),
        (2, |tensor| tensor.2.reverse(), "and was of f16 and shape [12, 35]"),
        (0, |tensor| tensor.3[4] ^= 1, "\"a.weight\" and \"z.weight\" were one"),
    ];
    for (at, change, named) in others {
        let mut other = tensors();
        change(&mut other[at]);
        folder.write(&other, None);
        let run = folder.qtaml(&format!("{recover} y.safetensors")).code(1);
        run.stderr(contains("model.safetensors is not the model in stored").and(contains(named)));
    }
    assert_eq!(folder.names(), before);
}

#[test]
fn tables_are_the_known_ones() {
    let folder = ModelFolder::of_all_types();
    for (name, line) in [
        (
            "protect-safetensors.txt",
            "protect model.safetensors --p 0.01 --protect 1 --ecc secded:64 -o stored",
        ),
        (
            "recover-safetensors.txt",
            "recover stored --model model.safetensors --out read --trial 0",
        ),
    ] {
        let run = folder.qtaml(line).success();
        assert_snapshot(name, str::from_utf8(&run.get_output().stdout).unwrap());
    }
    let report = folder.json("protect model.safetensors --p 0.01 -o stored");
    assert_eq!(report["scheme"], "INT8 twos-complement, per-channel, raw");
    assert!(report["plan"].is_null() && report["total"]["weights"] == 4 * ROWS * COLUMNS);
}

/// Four tensors take hardly more memory than one.
#[cfg(target_os = "linux")]
#[test]
fn one_tensor_is_in_memory_at_a_time() {
    let peak = |count: usize| {
        let folder = ModelFolder::new();
        let names: Vec<String> = (0..count).map(|i| format!("{i}.weight")).collect();
        let matrix = |i: usize| -> Vec<u8> {
            (0..1 << 21).flat_map(|at| ((at + i) as f32 * 0.1).sin().to_le_bytes()).collect()
        };
        let tensors: Vec<_> = names.iter().enumerate().collect();
        let tensors: Vec<model_folder::Tensor<'_>> = tensors
            .into_iter()
            .map(|(i, name)| (name.as_str(), Dtype::F32, vec![1 << 7, 1 << 14], matrix(i)))
            .collect();
        folder.write(&tensors, None);
        let protect = folder.peak_kib("protect model.safetensors --p 0.01 -o stored");
        let recover =
            folder.peak_kib("recover stored --model model.safetensors --out read --trial 0");
        [protect, recover]
    };
    for (one, four) in peak(1).into_iter().zip(peak(4)) {
        assert!(four < one + one / 2, "{one} KiB for one tensor, {four} KiB for four");
    }
}
