//! Stored folders: models that come back, an independent reader that follows docs/stored-folder.md, and
//! thousands of mutated folders.
//!
//! Whatever is in a folder: no panic, an error with words, bounded memory, and what is restored can be
//! written again. `QTAML_FUZZ_CASES=1000000 cargo test -p qtaml-deploy --test stored_folder` takes longer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mutation;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;

use mutation::{Mutator, cases, peak_kib};
use qtaml_compensation::allocation::Selection;
use qtaml_compensation::storage::{
    BitChoice, CodeLibrary, QuantizedSpec, ScalePolicy, StorageSpec, StoredAs,
};
use qtaml_compensation::{
    Accounting, Decoder, Plan, PlanGroup, PlannedModel, Prior, WeightStorage, WeightsDigester,
};
use qtaml_deploy::stored_folder::{Manifest, RestoredModel, StoredFolderError};
use qtaml_deploy::{
    DeployError, Granularity, PlanError, Role, StoredModel, Storing, Values, WeightTensor,
};
use qtaml_fault::{BitMask, MemoryModel, Seed, WordDigest};
use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::{BitWidth, CodeRange, Encoding, Format};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A linear layer with its outputs last, a bias that is not stored, a convolution and a table.
fn tensors() -> Vec<WeightTensor> {
    vec![
        WeightTensor::new("fc", [12, 5], Role::Linear).with_output_axis(1).with_alias("head"),
        WeightTensor::new("bias", [5], Role::Bias),
        WeightTensor::new("conv", [4, 3, 3, 3], Role::Convolution).with_output_axis(0),
        WeightTensor::new("middle", [3, 4, 5], Role::OtherWeight).with_output_axis(1),
        WeightTensor::new("table", [20, 6], Role::Embedding),
    ]
}

fn values(index: usize) -> Vec<f32> {
    let uniform = |i: usize| ((i * 7919 + index * 104_729) % 1009) as f32 / 504.5 - 0.9;
    let mut values: Vec<f32> = (0..tensors()[index].len()).map(|i| uniform(i).powi(3)).collect();
    // An outlier, where groups are large enough for one.
    values[4] = 90.0;
    values
}

fn quantized(bits: u32, encoding: Encoding, range: CodeRange, decoder: Decoder) -> QuantizedSpec {
    let width = BitWidth::new(bits).unwrap();
    let mask = |mask: u8| BitMask::of_bits(mask, width).unwrap();
    QuantizedSpec {
        format: Format::new(width, encoding),
        range,
        decoder,
        prior: if bits == 8 { Prior::Histogram } else { Prior::GeneralisedNormal },
        scale: if bits == 4 { ScalePolicy::PerTensor } else { ScalePolicy::PerGroup },
        protection: BitChoice::Sets(vec![mask(0), mask(0b101), mask(1 << (bits - 1))]),
    }
}

/// Every kind of storage, range and encoding in one memory.
fn model(p: f64, granularity: Granularity) -> StoredModel {
    let flips = FlipProbability::symmetric(p).unwrap();
    let memory = |ecc: &str| MemoryModel::new(flips).with_ecc(ecc.parse().unwrap());
    let (two, sign) = (Encoding::TwosComplement, Encoding::SignMagnitude);
    let storings = [
        Storing::new(
            memory("ideal"),
            quantized(4, Encoding::Gray, CodeRange::Symmetric, Decoder::Raw),
        ),
        Storing::new(memory("parity:5"), quantized(8, two, CodeRange::MinMax, Decoder::Bayes)),
        Storing::new(
            memory("repetition:3"),
            quantized(5, sign, CodeRange::ZeroPoint, Decoder::Affine),
        ),
        Storing::new(
            memory("ideal"),
            quantized(6, Encoding::OffsetBinary, CodeRange::MinMax, Decoder::LinearMmse),
        ),
        Storing::new(
            memory("secded:8"),
            quantized(7, two, CodeRange::Symmetric, Decoder::BayesGain),
        ),
        Storing::new(memory("ideal"), StorageSpec::codebook([3, 9])),
        Storing::new(memory("ideal"), StorageSpec::block_coded([4, 8])),
    ];
    StoredModel::store_tensors(&tensors(), |i| Ok(values(i)), granularity, &storings).unwrap()
}

/// Candidates that change from group to group, all of them for as many groups.
fn mixed(model: &StoredModel, first: usize) -> Selection {
    let groups = model.groups().iter().enumerate();
    groups.map(|(g, stored)| ((first + 7 * g) % stored.candidates.len()) as u32).collect()
}

/// The plan of a selection.
fn plan_of(model: &StoredModel, selection: &Selection) -> Plan {
    let storages = model.selected(selection).unwrap();
    let group = |(stored, storage): (&qtaml_deploy::StoredGroup, &dyn WeightStorage)| PlanGroup {
        name: stored.group.name.clone(),
        weights: stored.group.len(),
        storage: storage.planned(),
        cost_bits: Accounting::AllBits.cost_of(storage),
        predicted_mse: storage.mean_square_error(),
        predicted_output_noise: 0.0,
    };
    let flips: FlipProfile = model.storings()[0].memory.flips.clone();
    Plan {
        schema: Plan::SCHEMA,
        model: Some(PlannedModel { name: Some("sample".into()), sha256: model.weights_sha256() }),
        flips,
        accounting: Accounting::AllBits,
        groups: model.groups().iter().zip(storages).map(group).collect(),
        overhead: 0.5,
        predicted_output_noise: 1.0,
        lower_bound: 0.5,
        proven: false,
    }
}

/// What a folder holds, in memory.
#[derive(Clone)]
struct Stored {
    manifest: String,
    words: Vec<u8>,
    check: Vec<u8>,
}

impl Stored {
    fn write(model: &StoredModel, plan: &Plan, library: &CodeLibrary) -> Self {
        let (mut words, mut check) = (Vec::new(), Vec::new());
        let manifest = model.write_stored(plan, &mut words, &mut check, library).unwrap();
        Self { manifest: manifest.to_json(), words, check }
    }

    fn restore(&self, library: &CodeLibrary) -> Result<RestoredModel, StoredFolderError> {
        let manifest = Manifest::from_json(&self.manifest)?;
        RestoredModel::restore(manifest, &mut &self.words[..], &mut &self.check[..], library)
    }

    /// The same with another manifest, whose digests are made right again.
    fn resealed(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut manifest: Value = serde_json::from_str(&self.manifest).unwrap();
        change(&mut manifest);
        Self { manifest: sealed(manifest), ..self.clone() }
    }
}

fn sealed(mut manifest: Value) -> String {
    if let Some(members) = manifest.as_object_mut() {
        members.remove("sha256");
        let plan = members.get("plan").map(|plan| sha256(canonical(plan).as_bytes()));
        members.insert("plan_sha256".into(), plan.into());
        let own = sha256(canonical(&manifest).as_bytes());
        manifest["sha256"] = own.into();
    }
    manifest.to_string()
}

// ---- the reader of docs/stored-folder.md, which uses nothing of the library ----

/// Section "Digests".
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Section "Digests": no white space, members sorted by the bytes of their names.
fn canonical(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            let member = |(name, value): (&String, &Value)| {
                format!("{}:{}", Value::from(name.as_str()), canonical(value))
            };
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        scalar => scalar.to_string(),
    }
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn slice<'a>(file: &'a [u8], span: &Value) -> &'a [u8] {
    &file[number(&span["offset"])..][..number(&span["bytes"])]
}

/// Section "Bits".
fn bit(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at / 8] >> (at % 8) & 1)
}

fn unpacked(bytes: &[u8], width: usize, words: usize) -> Vec<usize> {
    for spare in words * width..8 * bytes.len() {
        assert_eq!(bit(bytes, spare), 0, "bits behind the last word are zero");
    }
    let word = |i: usize| (0..width).map(|j| bit(bytes, i * width + j) << j).sum();
    (0..words).map(word).collect()
}

/// Section "Quantized words": the code of a word.
fn code(word: usize, bits: usize, encoding: &str) -> f64 {
    let (half, all) = (1_i32 << (bits - 1), 1_i32 << bits);
    let word = i32::try_from(word).unwrap();
    f64::from(match encoding {
        "twos-complement" => {
            if word < half {
                word
            } else {
                word - all
            }
        }
        "sign-magnitude" => {
            if word < half {
                word
            } else {
                half - word
            }
        }
        "offset-binary" => word - half,
        "gray" => (0..8).fold(0, |sum, shift| sum ^ word >> shift) - half,
        other => panic!("{other}"),
    })
}

/// Section "Quantized words": its weight.
fn weight(code: f64, bits: usize, encoding: &str, storage: &Value) -> f32 {
    let scale = f64::from(storage["scale"].as_f64().unwrap() as f32);
    let origin = &storage["origin"];
    let lowest =
        f64::from(1 - (1 << (bits - 1))) - f64::from(u8::from(encoding != "sign-magnitude"));
    if let Some(minimum) = origin["minimum"].as_f64() {
        return (f64::from(minimum as f32) + scale * (code - lowest)) as f32;
    }
    let zero = origin["zero-point"].as_f64().unwrap_or(0.0);
    (scale * (code - zero)) as f32
}

/// Section "Check bits", for a parity and for three copies.
fn check_bits(words: &[usize], protected: &[usize], ecc: &str) -> Vec<usize> {
    let mut protected = protected.to_vec();
    protected.sort_unstable();
    let plane = |bit: usize| words.iter().map(move |word| word >> bit & 1).collect::<Vec<_>>();
    let of = |bit: usize| match ecc {
        "parity:5" => plane(bit).chunks(5).map(|bits| bits.iter().sum::<usize>() % 2).collect(),
        "repetition:3" => plane(bit).iter().flat_map(|&bit| [bit, bit]).collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    protected.into_iter().flat_map(of).collect()
}

/// The row-major places of a group, section "Tensors and groups".
fn places(tensor: &Value, granularity: &str, start: usize, end: usize) -> Vec<usize> {
    let shape: Vec<usize> = tensor["shape"].as_array().unwrap().iter().map(number).collect();
    let Some(axis) = tensor["output_axis"].as_u64().filter(|_| granularity != "tensor") else {
        return (start..end).collect();
    };
    let axis = usize::try_from(axis).unwrap();
    let inner: usize = shape[axis + 1..].iter().product();
    let channels = shape[axis];
    let channel_len = shape.iter().product::<usize>() / channels;
    let place = |at: usize| {
        let (channel, within) = (at / channel_len, at % channel_len);
        within / inner * channels * inner + channel * inner + within % inner
    };
    (start..end).map(place).collect()
}

/// The weights of a group without faults; `None` for blocks, of which the lengths are checked.
fn group_weights(
    group: &Value,
    planned: &Value,
    manifest: &Value,
    stored: &Stored,
) -> Option<Vec<f32>> {
    let weights = number(&group["end"]) - number(&group["start"]);
    let (words, check) =
        (slice(&stored.words, &group["words"]), slice(&stored.check, &group["check"]));
    if let Some(blocks) = group["layout"].get("blocks") {
        let (rate, count) = (number(&blocks["rate"]), number(&blocks["blocks"]));
        assert_eq!(count, (weights * rate).div_ceil(65_536));
        let edge = |i: usize| i * weights / count;
        let bytes: usize = (0..count).map(|i| (edge(i + 1) - edge(i)) * rate / 8).sum();
        assert_eq!((words.len(), check.len()), (bytes, 0));
        return None;
    }
    let layout = &group["layout"]["words"];
    let width = number(&layout["width"]);
    assert_eq!(number(&layout["words"]), weights);
    assert_eq!(words.len(), (weights * width).div_ceil(8));
    let words = unpacked(words, width, weights);
    if let Some(storage) = planned["storage"].get("quantized") {
        let protected: Vec<usize> =
            storage["protected"].as_array().unwrap().iter().map(number).collect();
        let ecc = storage["ecc"].as_str().unwrap();
        let bits = number(&layout["check_bits"]);
        if ["parity:5", "repetition:3"].contains(&ecc) {
            let expected = check_bits(&words, &protected, ecc);
            assert_eq!(bits, expected.len());
            assert_eq!(unpacked(check, 1, bits), expected);
        }
        let encoding = storage["format"]["encoding"].as_str().unwrap();
        let weight = |&word| weight(code(word, width, encoding), width, encoding, storage);
        return Some(words.iter().map(weight).collect());
    }
    let storage = &planned["storage"]["codebook"];
    let codebooks = manifest["codebooks"].as_array().unwrap();
    let codebook = codebooks.iter().find(|codebook| {
        ["shape", "width", "protected"].iter().all(|key| codebook[key] == storage[key])
    });
    let table = codebook.unwrap()["table"].as_array().unwrap();
    let sigma = storage["sigma"].as_f64().unwrap() as f32;
    let mut weights: Vec<f32> =
        words.iter().map(|&word| table[word].as_f64().unwrap() as f32 * sigma).collect();
    for outlier in storage["outliers"].as_array().unwrap_or(&vec![]) {
        weights[number(&outlier["index"])] = outlier["weight"].as_f64().unwrap() as f32;
    }
    Some(weights)
}

/// Reads a whole folder, and compares it with the weights without faults. Returns how many weights were
/// compared.
fn read_by_hand(stored: &Stored, golden: &Values) -> usize {
    let mut manifest: Value = serde_json::from_str(&stored.manifest).unwrap();
    let own = manifest.as_object_mut().unwrap().remove("sha256").unwrap();
    assert_eq!(own, sha256(canonical(&manifest).as_bytes()));
    assert_eq!(manifest["plan_sha256"], sha256(canonical(&manifest["plan"]).as_bytes()));
    assert_eq!(
        (&manifest["format"], &manifest["schema"]),
        (&json!("qtaml-stored-model"), &json!(1))
    );
    let granularity = manifest["granularity"].as_str().unwrap();
    let planned = manifest["plan"]["groups"].as_array().unwrap();
    let mut compared = 0;
    for entry in manifest["tensors"].as_array().unwrap() {
        for (file, part) in [(&stored.words, &entry["words"]), (&stored.check, &entry["check"])] {
            assert_eq!(part["sha256"], sha256(slice(file, part)));
        }
        let tensor = &entry["tensor"];
        let golden = &golden[tensor["name"].as_str().unwrap()];
        for group in entry["groups"].as_array().unwrap() {
            let planned = planned.iter().find(|planned| planned["name"] == group["name"]).unwrap();
            let places =
                places(tensor, granularity, number(&group["start"]), number(&group["end"]));
            let Some(weights) = group_weights(group, planned, &manifest, stored) else { continue };
            let expected: Vec<f32> = places.iter().map(|&place| golden[place]).collect();
            assert_eq!(weights, expected, "{}", group["name"]);
            compared += weights.len();
        }
    }
    compared
}

// ---- models that come back ----

const GRANULARITIES: [Granularity; 3] =
    [Granularity::Tensor, Granularity::Channel, Granularity::Group(11)];

#[test]
fn every_trial_reads_the_same_values_without_the_weights() {
    let library = CodeLibrary::default();
    let mut kinds = std::collections::BTreeSet::new();
    for granularity in GRANULARITIES {
        let model = model(0.1, granularity);
        for first in 0..6 {
            let selection = mixed(&model, 3 * first);
            kinds.extend(model.stored_as(&selection).unwrap().iter().map(ToString::to_string));
            let plan = plan_of(&model, &selection);
            let restored = Stored::write(&model, &plan, &library).restore(&library).unwrap();
            assert_eq!(restored.plan(), &plan);
            assert_eq!(restored.golden(), model.golden_as(&selection).unwrap());
            for (seed, trial) in [(0, 0), (42, 7), (u64::MAX, u32::MAX)] {
                let expected = model.read(Seed(seed), trial, &selection).unwrap();
                assert_eq!(restored.read(Seed(seed), trial).unwrap(), expected, "{granularity}");
            }
            // Groups, names and numbers of tensors are those of the model.
            assert_eq!(restored.model().weight_groups(), model.weight_groups());
            assert_eq!(restored.model().selection_of(&plan).unwrap(), restored.model().uniform(0));
        }
    }
    // Three sets of bits of five formats, two codebooks and two block codes.
    assert!(kinds.len() > 15, "{kinds:?}");
}

/// Where nothing flips, words are read as they are: exactly by decoders that compute nothing, and to
/// rounding by the means of Bayes.
#[test]
fn a_perfect_memory_reads_the_golden_values() {
    let library = CodeLibrary::default();
    for granularity in GRANULARITIES {
        let model = model(0.0, granularity);
        for candidate in 0..model.groups()[0].candidates.len() as u32 {
            let selection = model.uniform(candidate);
            let exact =
                (0..3).contains(&candidate) || (6..9).contains(&candidate) || candidate > 14;
            let plan = plan_of(&model, &selection);
            let restored = Stored::write(&model, &plan, &library).restore(&library).unwrap();
            let (read, golden) = (restored.read(Seed(1), 2).unwrap(), restored.golden());
            for (name, golden) in golden {
                for (&read, &golden) in read[&name].iter().zip(&golden) {
                    let error = f64::from(read - golden).abs();
                    let allowed = if exact { 0.0 } else { 1e-4 * f64::from(golden.abs()).max(1.0) };
                    assert!(error <= allowed, "{name} as {candidate}: {read} {golden}");
                }
            }
        }
    }
}

#[test]
fn a_reader_that_follows_the_text_reads_the_golden_values() {
    let library = CodeLibrary::default();
    let (mut compared, mut all) = (0, 0);
    for granularity in GRANULARITIES {
        let model = model(0.05, granularity);
        for first in 0..19 {
            let selection = mixed(&model, first);
            let stored = Stored::write(&model, &plan_of(&model, &selection), &library);
            let golden = model.golden_as(&selection).unwrap();
            compared += read_by_hand(&stored, &golden);
            all += golden.values().map(Vec::len).sum::<usize>();
        }
    }
    assert!(compared > all * 8 / 10, "{compared} of {all}");
}

// ---- folders that are not as they were written ----

fn sample(library: &CodeLibrary) -> (StoredModel, Plan, Stored) {
    let model = model(0.1, Granularity::Channel);
    let plan = plan_of(&model, &mixed(&model, 2));
    let stored = Stored::write(&model, &plan, library);
    (model, plan, stored)
}

#[test]
fn a_folder_is_whole_or_refused() {
    let library = CodeLibrary::default();
    let (model, plan, stored) = sample(&library);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new").join("folder");
    let manifest = model.write_folder(&plan, &folder, &library).unwrap();
    assert_eq!(manifest.to_json(), stored.manifest);
    let read = |file: &str| fs::read(folder.join(file)).unwrap();
    assert_eq!(
        (read("words.bin"), read("check.bin")),
        (stored.words.clone(), stored.check.clone())
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "nothing temporary is left");
    let restored = RestoredModel::open(&folder, &library).unwrap();
    assert_eq!(restored.manifest(), &manifest);

    for file in ["manifest.json", "words.bin", "check.bin"] {
        let good = read(file);
        let refused = || RestoredModel::open(&folder, &library).unwrap_err();
        fs::remove_file(folder.join(file)).unwrap();
        let missing = refused().to_string();
        assert_eq!(missing, format!("{} is no stored folder: it has no {file}", folder.display()));
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut altered = good.clone();
            altered[at] ^= 1;
            fs::write(folder.join(file), &altered).unwrap();
            let error = refused();
            if file == "manifest.json" {
                assert!(!error.to_string().is_empty());
            } else {
                let text = error.to_string();
                assert!(text.contains(file) && text.contains("has been altered"), "{text}");
            }
        }
        fs::write(folder.join(file), &good[..good.len() - 1]).unwrap();
        let short = refused();
        fs::write(folder.join(file), [&good[..], b"x"].concat()).unwrap();
        let long = refused();
        if file != "manifest.json" {
            assert!(matches!(short, StoredFolderError::Short { missing: 1, .. }), "{short}");
            assert!(matches!(long, StoredFolderError::Long { .. }), "{long}");
        }
        fs::write(folder.join(file), &good).unwrap();
    }
    assert!(RestoredModel::open(&folder, &library).is_ok());
    // Over an older one.
    model.write_folder(&plan_of(&model, &mixed(&model, 5)), &folder, &library).unwrap();
    assert_ne!(RestoredModel::open(&folder, &library).unwrap().manifest(), &manifest);
}

#[test]
fn plans_and_weights_of_another_model_are_refused() {
    let library = CodeLibrary::default();
    let (model, plan, stored) = sample(&library);
    let mut digester = WeightsDigester::default();
    for (index, tensor) in tensors().iter().enumerate().filter(|(_, t)| t.role.is_weight()) {
        digester.add(&tensor.name, &tensor.shape, &values(index));
    }
    let digest = digester.finish();
    assert_eq!(model.weights_sha256(), digest);
    let restored = stored.restore(&library).unwrap();
    assert_eq!(restored.check_weights(digest), Ok(()));
    let other = WordDigest::of(b"other");
    let refused = restored.check_weights(other).unwrap_err();
    assert!(matches!(refused, PlanError::OtherModel { found, .. } if found == other));
    assert!(refused.to_string().starts_with("the plan is made for \"sample\" with weights"));

    let foreign = PlannedModel { name: None, sha256: other };
    let foreign = Plan { model: Some(foreign), ..plan };
    let error =
        model.write_stored(&foreign, &mut Vec::new(), &mut Vec::new(), &library).unwrap_err();
    let StoredFolderError::Deploy(DeployError::Plan(error)) = error else { panic!("{error}") };
    assert!(matches!(error, PlanError::OtherModel { .. }), "{error}");
    let foreign = stored.resealed(|manifest| {
        manifest["plan"]["model"]["sha256"] = other.to_string().into();
    });
    let error = foreign.restore(&library).unwrap_err();
    assert!(matches!(error, StoredFolderError::Plan(PlanError::OtherModel { .. })), "{error}");
}

/// Manifests with right digests that say what cannot be.
#[test]
fn manifests_that_cannot_be_are_named() {
    let library = CodeLibrary::default();
    let (_, _, stored) = sample(&library);
    let error = |change: &dyn Fn(&mut Value)| {
        let error = stored.resealed(change).restore(&library).unwrap_err();
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    };
    let set = |pointer: &'static str, new: Value| {
        error(&move |manifest: &mut Value| *manifest.pointer_mut(pointer).unwrap() = new.clone())
    };
    assert_eq!(set("/schema", json!(2)), "the stored folder has schema 2, and 1 is known");
    assert!(set("/format", json!("gguf")).starts_with("the manifest has format \"gguf\""));
    assert_eq!(set("/plan/schema", json!(4)), "the plan has schema 4, and 3 is known");
    let elsewhere = "tensor \"fc\" lies elsewhere than its shape and the plan say";
    for pointer in [
        "/tensors/0/words/bytes",
        "/tensors/0/check/offset",
        "/tensors/0/groups/1/words/offset",
        "/tensors/0/groups/1/start",
    ] {
        assert_eq!(set(pointer, json!(1)), elsewhere, "{pointer}");
    }
    let shape = "/tensors/0/tensor/shape";
    assert!(set(shape, json!([u64::MAX, 5])).contains("needs weights to be stored"));
    assert!(set(shape, json!([12, 0])).contains("needs weights to be stored"));
    assert!(set(shape, json!([1, 1_u64 << 60])).contains("groups, and the plan has no more than"));
    assert!(
        set(shape, json!([13, 5])).starts_with("group \"fc[0]\" has 12 weights in the plan, 13")
    );
    assert!(set("/tensors/0/tensor/output_axis", json!(2)).contains("has no axis 2"));
    assert_eq!(set("/tensors/1/tensor/name", json!("fc")), "tensor \"fc\" is stored twice");
    assert!(set("/tensors/1/index", json!(0)).contains("is not in its place"));
    assert!(set("/granularity", json!("tensor")).contains("the plan lacks group \"fc\""));
    assert!(set("/codebooks/0/table/3", json!(0.125)).contains("is not the one that this program"));
    assert!(set("/codebooks", json!([])).contains("is missing, or not in its place"));
    let more = error(&|manifest| {
        let first = manifest["codebooks"][0].clone();
        manifest["codebooks"].as_array_mut().unwrap().push(first);
    });
    assert!(more.ends_with("is used by no group"), "{more}");
    let unknown = error(&|manifest| manifest["new"] = json!(1));
    assert!(unknown.contains("unknown field `new`"), "{unknown}");
    let fewer = error(&|manifest| drop(manifest["tensors"].as_array_mut().unwrap().pop()));
    assert!(fewer.starts_with("the plan has group \"table\""), "{fewer}");

    // Without new digests each change is seen.
    let altered = |from: &str, to: &str| {
        assert!(stored.manifest.contains(from), "{from}");
        let manifest = stored.manifest.replacen(from, to, 1);
        Manifest::from_json(&manifest).unwrap_err().to_string()
    };
    for (from, to) in [("\"head\"", "\"hand\""), ("\"overhead\": 0.5", "\"overhead\": 0.25")] {
        assert!(altered(from, to).starts_with("the manifest has been altered: its SHA-256 is"));
    }
}

// ---- hostile folders ----

/// What an error says, and its causes.
fn texts(error: &dyn Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts
}

/// Folders of a few KiB are read, and nothing in them may ask for more than this.
/// Other tests run beside.
const MOST_KIB: u64 = 256 * 1024;

/// The digests of all parts and of the manifest made right again, so that what is behind them is reached.
fn resealed_parts(text: &str, words: Vec<u8>, check: Vec<u8>) -> Stored {
    let Ok(mut manifest) = serde_json::from_str::<Value>(text) else {
        return Stored { manifest: text.into(), words, check };
    };
    let tensors = manifest.get_mut("tensors").and_then(Value::as_array_mut);
    for tensor in tensors.into_iter().flatten() {
        for (file, name) in [(&words, "words"), (&check, "check")] {
            let number = |field: &str| tensor.get(name)?.get(field)?.as_u64();
            let (Some(offset), Some(bytes)) = (number("offset"), number("bytes")) else { continue };
            let bytes = file.get(offset as usize..).and_then(|file| file.get(..bytes as usize));
            let (Some(bytes), true) = (bytes, tensor[name].is_object()) else { continue };
            tensor[name]["sha256"] = sha256(bytes).into();
        }
    }
    Stored { manifest: sealed(manifest), words, check }
}

fn mutated(mutator: &mut Mutator, stored: &Stored) -> Stored {
    let Stored { manifest, words, check } = stored.clone();
    let seal = mutator.below(4) > 0;
    let part = *mutator.pick(&["manifest", "manifest", "words", "check"]);
    let (manifest, words, check) = match part {
        "words" => (manifest, mutator.mutated(&words, &check), check),
        "check" => (manifest, words.clone(), mutator.mutated(&check, &words)),
        _ => {
            let text = mutator.mutated(manifest.as_bytes(), manifest.as_bytes());
            (String::from_utf8_lossy(&text).into_owned(), words, check)
        }
    };
    if seal { resealed_parts(&manifest, words, check) } else { Stored { manifest, words, check } }
}

/// A folder that is refused with words, or read and written again as it was.
fn try_folder(stored: &Stored, library: &CodeLibrary) -> bool {
    match stored.restore(library) {
        Ok(restored) => {
            let again = Stored::write(restored.model(), restored.plan(), library);
            assert_eq!((&again.words, &again.check), (&stored.words, &stored.check));
            restored.read(Seed(1), 0).unwrap();
            true
        }
        Err(error) => {
            let texts = texts(&error);
            assert!(texts.iter().all(|text| !text.is_empty()), "{error:?}");
            let is_told_twice = |pair: &[String]| pair[0].contains(&pair[1]);
            assert!(!texts.windows(2).any(is_told_twice), "{texts:?}");
            false
        }
    }
}

/// Quantized words with codes, everything mutated.
#[test]
fn hostile_folders() {
    let flips = FlipProbability::symmetric(0.1).unwrap();
    let memory = MemoryModel::new(flips).with_ecc("secded:8".parse().unwrap());
    let spec = quantized(5, Encoding::TwosComplement, CodeRange::MinMax, Decoder::Raw);
    let storing = [Storing::new(memory, spec)];
    let tensors = [
        WeightTensor::new("a", [4, 3], Role::Linear).with_output_axis(1),
        WeightTensor::new("b", [9], Role::OtherWeight),
    ];
    let value =
        |tensor: usize| Ok((0..tensors[tensor].len()).map(|i| (i as f32 * 0.7).sin()).collect());
    let model =
        StoredModel::store_tensors(&tensors, value, Granularity::Channel, &storing).unwrap();
    let library = CodeLibrary::default();
    let stored = Stored::write(&model, &plan_of(&model, &mixed(&model, 1)), &library);
    assert!(try_folder(&stored, &library));
    let (before, count, mut accepted) = (peak_kib(), cases(5_000), 0);
    let mut mutator = Mutator::new(42);
    for _ in 0..count {
        // No code of a hostile memory is kept.
        accepted +=
            usize::from(try_folder(&mutated(&mut mutator, &stored), &CodeLibrary::default()));
    }
    assert!(0 < accepted && accepted < count, "{accepted} of {count} were accepted");
    let grown = peak_kib().saturating_sub(before);
    assert!(grown < MOST_KIB, "{grown} KiB were taken");
}

/// Words of codebooks and blocks, whose plan stays as it is.
#[test]
fn hostile_words_of_codes() {
    let library = CodeLibrary::default();
    let model = model(0.1, Granularity::Channel);
    let codes =
        |(_, candidate): &(usize, StoredAs)| !matches!(candidate, StoredAs::Quantized { .. });
    let selection: Selection = (0..model.groups().len() as u32).map(|g| 15 + g % 4).collect();
    assert!(model.stored_as(&selection).unwrap().into_iter().enumerate().all(|c| codes(&c)));
    let stored = Stored::write(&model, &plan_of(&model, &selection), &library);
    let (count, mut accepted) = (cases(1_000), 0);
    let mut mutator = Mutator::new(7);
    for _ in 0..count {
        let mut words = stored.words.clone();
        let at = mutator.below(words.len());
        words[at] ^= 1 << mutator.below(8);
        let stored = resealed_parts(&stored.manifest, words, stored.check.clone());
        accepted += usize::from(try_folder(&stored, &library));
    }
    // Many other words of a codebook are read; hardly any other block is one.
    assert!(0 < accepted && accepted < count, "{accepted} of {count} were accepted");
}
