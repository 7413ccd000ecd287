//! `qtaml codec` as a user meets it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod model_folder;

use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use qtaml::compensation::codebook::Codec;
use qtaml::fault::{FaultStream, Seed};
use qtaml::quant::{pack_words, unpack_words};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use self::model_folder::{ModelFolder, Tensor};

/// A folder with a small model of every kind of tensor.
struct Folder(ModelFolder);

impl std::ops::Deref for Folder {
    type Target = ModelFolder;

    fn deref(&self) -> &ModelFolder {
        &self.0
    }
}

/// Weights in a bell: quantiles of the logistic distribution, in no order.
fn bell(count: u32) -> Vec<f32> {
    let uniform = |i: u32| (f64::from(i.wrapping_mul(2_654_435_761)) + 0.5) / 2_f64.powi(32);
    (1..=count).map(|i| (0.05 * (uniform(i) / (1.0 - uniform(i))).ln()) as f32).collect()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn values(model: &SafeTensors, name: &str) -> Vec<f32> {
    let view = model.tensor(name).unwrap();
    view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

impl Folder {
    fn new() -> Self {
        let folder = Self(ModelFolder::new());
        let bf16 = bell(1999).into_iter().flat_map(|w| ((w.to_bits() >> 16) as u16).to_le_bytes());
        folder.model(&[
            ("fc.weight", Dtype::F32, vec![200, 333], f32s(&bell(66_600))),
            ("fc.bias", Dtype::F32, vec![100], f32s(&bell(100))),
            ("head.weight", Dtype::BF16, vec![1999, 1], bf16.collect()),
            ("norm.weight", Dtype::F32, vec![3, 1], f32s(&[1.0, 0.5, 0.25])),
            ("empty.weight", Dtype::F32, vec![0, 3], vec![]),
            ("steps", Dtype::I64, vec![1, 1], vec![1; 8]),
        ]);
        folder
    }

    /// Writes `model.safetensors` with these tensors.
    fn model(&self, tensors: &[Tensor]) {
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        self.write(tensors, Some(metadata));
    }

    /// `model.codec` and `s.safetensors`.
    fn encode(&self, fit: &str) -> Value {
        self.qtaml(&format!("codec design model.safetensors {fit} -o model.codec")).success();
        self.json("codec encode model.safetensors --codec model.codec -o s.safetensors")
    }

    fn decode(&self, stored: &str) -> Vec<u8> {
        let line = format!("codec decode {stored} --codec model.codec -o r.safetensors");
        self.qtaml(&line).success();
        self.read("r.safetensors")
    }

    /// Fails, says so, and leaves no file behind.
    fn refused(&self, line: &str, code: i32, named: &str) {
        let before = self.names();
        self.qtaml(line).code(code).stderr(contains(named)).stdout(is_empty());
        assert_eq!(self.names(), before, "{line}");
    }
}

fn row<'a>(report: &'a Value, tensor: &str) -> &'a Value {
    report["tensors"].as_array().unwrap().iter().find(|row| row["tensor"] == tensor).unwrap()
}

/// The whole way through a memory, for words that fill bytes and words that do not: what is read is
/// off by what was said, to five standard errors of the mean over 66,600 weights.
#[test]
fn a_model_that_went_through_the_memory_is_off_by_what_was_predicted() {
    let folder = Folder::new();
    for (flips, bits) in
        [("--p 0.1", 8), ("--p 0.05", 3), ("--p01 0.01 --p10 0.2", 5), ("--p 0.02", 9)]
    {
        let report = folder.encode(&format!("{flips} --bits {bits}"));
        let fc = row(&report, "fc.weight");
        assert_eq!(fc["stored_bytes"], (66_600_u64 * bits).div_ceil(8));
        folder.qtaml(&format!("inject s.safetensors {flips} --out f.safetensors")).success();
        let (clean, read) = (bell(66_600), folder.decode("f.safetensors"));
        let read = values(&SafeTensors::deserialize(&read).unwrap(), "fc.weight");

        let error = |(w, r): (&f32, &f32)| f64::from(w - r).powi(2);
        let errors: Vec<f64> = clean.iter().zip(&read).map(error).collect();
        let n = errors.len() as f64;
        let mean = errors.iter().sum::<f64>() / n;
        let variance = errors.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / n;
        let predicted = fc["mean_square_error"].as_f64().unwrap();
        let z = (mean - predicted) / (variance / n).sqrt();
        assert!(z.abs() < 5.0, "{flips}, {bits} bits: {mean} for {predicted}, z = {z}");
        let square = clean.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / n;
        let relative = fc["relative_error"].as_f64().unwrap();
        assert!((relative * square / predicted - 1.0).abs() < 1e-9, "{flips}");
    }
}

#[test]
fn all_other_tensors_stay_and_the_library_reads_the_rest() {
    let folder = Folder::new();
    let report = folder.encode("--p 0.01 --bits 7 --skip norm*");
    assert_eq!(report["copied"], 4);
    let codec = Codec::from_bytes(&folder.read("model.codec")).unwrap();
    assert_eq!(
        codec.tensors().map(|(name, _)| name).collect::<Vec<_>>(),
        ["fc.weight", "head.weight"]
    );

    let files = ["model.safetensors", "s.safetensors"].map(|name| folder.read(name));
    let restored = folder.decode("s.safetensors");
    let [clean, stored] = files.each_ref().map(|file| SafeTensors::deserialize(file).unwrap());
    let read = SafeTensors::deserialize(&restored).unwrap();
    for (name, before) in clean.tensors() {
        let [within, after] = [&stored, &read].map(|model| model.tensor(&name).unwrap());
        let Some(code) = codec.get(&name) else {
            assert_eq!((&within, &after), (&before, &before), "{name}");
            continue;
        };
        let bytes = code.stored_bytes() as usize;
        assert_eq!((within.dtype(), within.shape()), (Dtype::U8, &[1, bytes][..]));
        assert_eq!((after.dtype(), after.shape()), (Dtype::F32, before.shape()));
        let expected = code.decode(0, within.data(), code.weights() as usize).unwrap();
        assert_eq!(values(&read, &name), expected);
    }
    for (file, keys) in [(&files[0], 1), (&files[1], 3), (&restored, 1)] {
        let (_, header) = SafeTensors::read_metadata(file).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!((metadata.len(), metadata["format"].as_str()), (keys, "pt"));
    }
    // Floats lie where floats may lie, behind whatever words there are.
    let (size, header) = SafeTensors::read_metadata(&files[1]).unwrap();
    for (name, info) in header.tensors() {
        let begin = 8 + size + info.data_offsets.0;
        assert_eq!(begin % (info.dtype.bitsize() / 8), 0, "{name}");
    }
}

/// Words of a packed file meet the faults that the library draws for them, whatever their width; bits
/// behind the last word meet none.
#[test]
fn packed_words_meet_the_faults_of_the_library() {
    let folder = Folder::new();
    for bits in [1, 3, 5, 8, 9] {
        folder.encode(&format!("--p 0.02 --bits {bits}"));
        let line = "inject s.safetensors --p 0.02 --seed 7 --trial 3 --out f.safetensors";
        let report = folder.json(line);
        let codec = Codec::from_bytes(&folder.read("model.codec")).unwrap();
        let files = ["s.safetensors", "f.safetensors"].map(|name| folder.read(name));
        let [stored, faulty] = files.each_ref().map(|file| SafeTensors::deserialize(file).unwrap());
        for (name, tensor) in codec.tensors() {
            let (code, count) = (tensor.code(), tensor.weights() as usize);
            let [stored, faulty] = [&stored, &faulty].map(|file| file.tensor(name).unwrap());
            let words = unpack_words(stored.data(), code.width(), count);
            let stream = FaultStream::new(Seed(7), 3, name);
            let model = code.channel().fault_model().unwrap();
            let read = model.corrupted(&words, &stream).unwrap();
            assert_eq!(pack_words(&read, code.width()), faulty.data(), "{name}, {bits} bits");
            let row = row(&report, name);
            assert_eq!(
                (&row["words"], &row["stored_bits"]),
                (&count.into(), &(count as u64 * bits).into())
            );
            let flips =
                words.iter().zip(&read).map(|(a, b)| u64::from((a ^ b).count_ones())).sum::<u64>();
            assert_eq!(row["flipped_bits"], flips);
            let values = code.read(&words, code.channel(), &stream).unwrap();
            assert_eq!(code.decode_packed(faulty.data(), count).unwrap(), values);
        }
    }
    // Kept bits are the top bits of words, a record holds the bytes, and replays them.
    folder.encode("--p 0.1 --bits 5");
    let line = "inject s.safetensors --p 0.5 --protect 5 --out f.safetensors";
    assert_eq!(folder.json(line)["total"]["flipped_bits"], 0);
    let line = "inject s.safetensors --bursts 1e-3:9 --record r.bin --out f.safetensors";
    assert_ne!(folder.json(line)["total"]["flipped_bits"], 0);
    folder.qtaml("inject s.safetensors --replay r.bin --out g.safetensors").success();
    assert_eq!(folder.read("f.safetensors"), folder.read("g.safetensors"));
    folder.encode("--p 0.1 --bits 9");
    let line = "inject s.safetensors --bursts 1e-3:9 --out h.safetensors";
    folder.refused(line, 1, "words of 9 bits meet independent flips");
}

/// A file says what words it holds, and that is checked.
#[test]
fn words_that_do_not_fit_their_tensor_are_refused() {
    let folder = Folder::new();
    for (words, named) in [
        (r#"{"w": {"bits": 5, "weights": 17}}"#, "is 10 bytes of U8"),
        (r#"{"w": {"bits": 13, "weights": 1}}"#, "words of 13 bits"),
        (r#"{"v": {"bits": 5, "weights": 16}}"#, "there is no tensor"),
        ("{", "are damaged"),
    ] {
        let metadata = [("qtaml.words".to_owned(), words.to_owned())].into();
        folder.write(&[("w", Dtype::U8, vec![1, 10], vec![0; 10])], Some(metadata));
        folder.refused("inject model.safetensors --p 0.1 --out f.safetensors", 1, named);
    }
}

#[test]
fn every_command_shows_the_same_table() {
    let folder = Folder::new();
    let line = "codec design model.safetensors --p 0.02 --bits 4 -o model.codec";
    let fit = folder.json(line);
    let show = folder.json("codec inspect model.codec");
    assert_eq!(fit["tensors"], show["tensors"]);
    assert_eq!((&fit["total"], &show["copied"]), (&show["total"], &Value::Null));
    let encode = folder.json("codec encode model.safetensors --codec model.codec -o s.safetensors");
    for (fitted, encoded) in
        fit["tensors"].as_array().unwrap().iter().zip(encode["tensors"].as_array().unwrap())
    {
        for key in ["tensor", "weights", "bits", "patterns", "stored_bytes", "memory", "shape"] {
            assert_eq!(fitted[key], encoded[key], "{key}");
        }
        let errors = [fitted, encoded].map(|row| row["relative_error"].as_f64().unwrap());
        assert!((errors[0] - errors[1]).abs() <= 1e-3 * errors[0], "{fitted} {encoded}");
    }
    let decode = folder.json("codec decode s.safetensors --codec model.codec -o r.safetensors");
    assert_eq!(decode["tensors"], fit["tensors"]);
    folder.qtaml("codec inspect model.codec").success().stdout(
        contains("codes for p = 0.02").and(contains("fc.weight")).and(contains("stored bytes")),
    );
    folder.qtaml(line).success().stdout(contains("3 other tensors are unchanged"));
    folder
        .qtaml("codec design --help")
        .success()
        .stdout(contains("Examples:").and(contains("--skip")));
}

/// What has no bell, no spread or hardly any numbers, without faults and with many.
#[test]
fn odd_tensors_are_stored_as_well_as_they_can_be() {
    let folder = Folder::new();
    let bell = bell(2000);
    let tails: Vec<f32> = bell.iter().map(|w| (40.0 * w).exp()).collect();
    let nearly: Vec<f32> = bell.iter().map(|w| 3.0 + 1e-4 * w).collect();
    let kinds: [(&str, Vec<f32>); 6] = [
        ("zero.weight", vec![0.0; 77]),
        ("one.weight", vec![-0.25]),
        ("constant.weight", vec![0.7; 50]),
        ("nearly.weight", nearly),
        ("tails.weight", tails),
        ("large.weight", vec![f32::MAX, -f32::MAX, 0.0, 1.0]),
    ];
    let tensors: Vec<Tensor> =
        kinds.iter().map(|(name, w)| (*name, Dtype::F32, vec![w.len(), 1], f32s(w))).collect();
    folder.model(&tensors);
    for (fit, p, most) in [
        ("--scale per-tensor", "0", [0.0, 0.0, 1e-15, 1e-12, 1e-3, 1e-70]),
        ("--scale per-tensor", "0.1", [0.0, 0.0, 1e-15, 1e-9, 0.3, 0.6]),
        ("--scale per-channel", "0.1", [0.0, 0.0, 1e-15, 1e-9, 0.3, 0.6]),
        ("--scale group:3", "0", [0.0, 0.0, 1e-15, 1e-12, 1e-3, 1e-70]),
    ] {
        let report = folder.encode(&format!("--p {p} {fit}"));
        let line = format!("inject s.safetensors --p {p} --out f.safetensors");
        folder.qtaml(&line).success();
        let read = folder.decode("f.safetensors");
        let read = SafeTensors::deserialize(&read).unwrap();
        for ((name, weights), most) in kinds.iter().zip(most) {
            let error = row(&report, name)["relative_error"].as_f64().unwrap();
            assert!((0.0..=most).contains(&error), "{name}, p = {p}, {fit}: {error}");
            let values = values(&read, name);
            assert!(values.iter().all(|value| value.is_finite()), "{name}");
            if most == 0.0 {
                assert_eq!(&values, weights, "{name}, p = {p}, {fit}");
            }
        }
    }
}

/// A matrix of 64 output channels whose spreads run over a factor of a thousand, in two files with an index
/// and in one: a scale for each channel makes each of them as good as the largest, and what was predicted
/// comes true.
#[test]
fn channels_of_any_spread_are_stored_by_their_own_scales() {
    const SHAPE: [usize; 2] = [64, 256];
    let folder = Folder::new();
    let spread = |i: usize| 10_f32.powf(-3.0 * (i / SHAPE[1]) as f32 / 63.0);
    let weights: Vec<f32> = bell(64 * 256).iter().enumerate().map(|(i, w)| w * spread(i)).collect();
    // The same as a matrix of [inputs, outputs].
    let turned: Vec<f32> =
        (0..64 * 256).map(|i| weights[i % SHAPE[0] * SHAPE[1] + i / SHAPE[0]]).collect();
    folder.model(&[
        ("a.weight", Dtype::F32, SHAPE.to_vec(), f32s(&weights)),
        ("a.bias", Dtype::F32, vec![64], f32s(&[0.5; 64])),
        ("b.weight", Dtype::F32, vec![256, 64], f32s(&turned)),
        ("b.bias", Dtype::F32, vec![64], f32s(&[0.5; 64])),
    ]);
    let mut errors = Vec::new();
    for (fit, scales) in [
        ("--scale per-tensor", 0),
        ("", 64),
        ("--scale per-channel", 64),
        ("--scale group:64", 256),
    ] {
        let report = folder.encode(&format!("--p 0.05 --bits 6 {fit}"));
        for name in ["a.weight", "b.weight"] {
            let row = row(&report, name);
            assert_eq!(row["scales"], scales, "{fit}");
            // Words of 6 bits, a table of 64 numbers, and the scales.
            let bits = 6.0 + f64::from(32 * (64 + scales)) / 16384.0;
            assert!((row["bits_per_weight"].as_f64().unwrap() - bits).abs() < 1e-9, "{row}");
        }
        folder.qtaml("inject s.safetensors --p 0.05 --out f.safetensors").success();
        let read = folder.decode("f.safetensors");
        let read = SafeTensors::deserialize(&read).unwrap();
        let (a, b) = (values(&read, "a.weight"), values(&read, "b.weight"));
        // Of each channel, relative to its own squares.
        let of_channels = |read: &dyn Fn(usize) -> f32| -> f64 {
            let channel = |rows: usize| {
                let all = rows * SHAPE[1]..(rows + 1) * SHAPE[1];
                let square = |x: f32| f64::from(x).powi(2);
                let total: f64 = all.clone().map(|i| square(weights[i])).sum();
                all.map(|i| square(weights[i] - read(i))).sum::<f64>() / total
            };
            (0..SHAPE[0]).map(channel).sum::<f64>() / SHAPE[0] as f64
        };
        let a = of_channels(&|i| a[i]);
        let b = of_channels(&|i| b[i % SHAPE[1] * SHAPE[0] + i / SHAPE[1]]);
        // Without scales a few faults in small channels are all that counts.
        assert!(scales == 0 || (a / b - 1.0).abs() < 0.2, "{fit}: {a} {b}");
        errors.push((row(&report, "a.weight")["relative_error"].as_f64().unwrap(), a));
    }
    assert_eq!(errors[1], errors[2]);
    let [whole, channel, _, group] = errors[..] else { panic!("{errors:?}") };
    assert!(channel.0 < 0.9 * whole.0 && group.0 < whole.0, "{errors:?}");
    assert!(channel.1 < 0.3 && whole.1 > 2.0 * channel.1, "{errors:?}");

    // In two files, whose index says how long the words are.
    let line = "codec design model.safetensors --p 0.05 --bits 6 -o model.codec";
    folder.qtaml(line).success();
    let codec = folder.read("model.codec");
    let bytes = folder.read("model.safetensors");
    let model = SafeTensors::deserialize(&bytes).unwrap();
    std::fs::create_dir(folder.path("parts")).unwrap();
    let mut map = serde_json::Map::new();
    for (file, names) in
        [("p-1.safetensors", ["b.weight", "a.bias"]), ("p-2.safetensors", ["a.weight", "b.bias"])]
    {
        let views = names.map(|name| (name, model.tensor(name).unwrap()));
        let part = safetensors::serialize(views, None).unwrap();
        std::fs::write(folder.path("parts").join(file), part).unwrap();
        map.extend(names.map(|name| (name.to_owned(), file.into())));
    }
    let index = serde_json::json!({"metadata": {"total_size": 131_584}, "weight_map": map});
    let name = "model.safetensors.index.json";
    std::fs::write(folder.path("parts").join(name), index.to_string()).unwrap();
    folder.qtaml("codec design parts --p 0.05 --bits 6 -o parts.codec").success();
    assert!(folder.read("parts.codec") == codec);
    folder.qtaml("codec encode parts --codec model.codec -o words").success();
    folder.qtaml("codec decode words --codec model.codec -o back").success();
    let whole = folder.encode("--p 0.05 --bits 6");
    assert_eq!(whole["total"]["stored_bytes"], 2 * 12_288);
    let total = |path: &str| {
        let index: Value = serde_json::from_slice(&folder.read(&format!("{path}/{name}"))).unwrap();
        assert_eq!(index["weight_map"], Value::Object(map.clone()));
        index["metadata"]["total_size"].as_u64()
    };
    assert_eq!((total("words"), total("back")), (Some(2 * 12_288 + 512), Some(131_584)));
    let restored = folder.decode("s.safetensors");
    let restored = SafeTensors::deserialize(&restored).unwrap();
    for (file, names) in
        [("back/p-1.safetensors", "b.weight"), ("back/p-2.safetensors", "a.weight")]
    {
        let part = folder.read(file);
        let part = SafeTensors::deserialize(&part).unwrap();
        assert_eq!(values(&part, names), values(&restored, names));
    }
}

/// Who does not know the layer is told: no metadata, no bias.
#[test]
fn a_guessed_axis_is_noted() {
    let folder = Folder::new();
    let matrix = ("layer.weight", Dtype::F32, vec![20, 30], f32s(&bell(600)));
    folder.write(&[matrix], None);
    let line = "codec design model.safetensors --p 0.01 --bits 2 -o t.codec";
    let report = folder.json(line);
    assert_eq!(
        (&report["axes_guessed"], &row(&report, "layer.weight")["scales"]),
        (&1.into(), &20.into())
    );
    folder.qtaml(line).success().stdout(contains("--layout says which it is"));
    let report = folder.json(&format!("{line} --layout burn"));
    assert_eq!(
        (&report["axes_guessed"], &row(&report, "layer.weight")["scales"]),
        (&Value::Null, &30.into())
    );
    let report = folder.json(&format!("{line} --scale per-tensor"));
    assert_eq!(report["axes_guessed"], Value::Null);
}

/// Tensors that nobody understands are named and refused until somebody decides; masks, statistics and
/// what else is no weight are copied.
#[test]
fn what_is_not_understood_is_refused_by_name() {
    let folder = Folder::new();
    let weight = || ("fc.weight", Dtype::F32, vec![20, 30], f32s(&bell(600)));
    let copied: [Tensor; 5] = [
        ("attn.bias", Dtype::U8, vec![1, 1, 8, 8], vec![1; 64]),
        ("bn.running_mean", Dtype::F32, vec![20], f32s(&bell(20))),
        ("bn.num_batches_tracked", Dtype::I64, vec![], vec![7; 8]),
        ("rope.inv_freq", Dtype::F32, vec![16], f32s(&bell(16))),
        ("fc.bias", Dtype::F32, vec![20], f32s(&bell(20))),
    ];
    folder.model(&[&copied[..], &[weight()]].concat());
    let fit = "codec design model.safetensors --p 0.01 --bits 2 -o t.codec";
    let report = folder.json(fit);
    assert_eq!((report["tensors"].as_array().unwrap().len(), &report["copied"]), (1, &5.into()));
    std::fs::remove_file(folder.path("t.codec")).unwrap();

    for (tensor, named) in [
        (
            ("x.table", Dtype::I16, vec![4, 8], vec![0; 64]),
            "\"x.table\" of I16 and shape [4, 8] is not understood: --skip 'x.table'",
        ),
        (
            ("q.weight", Dtype::I8, vec![4, 8], vec![0; 32]),
            "\"q.weight\" of I8 is stored in words already",
        ),
        (
            ("q.weight", Dtype::F8_E4M3, vec![4, 8], vec![0; 32]),
            "\"q.weight\" of F8_E4M3 is stored in words already",
        ),
        (
            ("l.scales", Dtype::F32, vec![4, 8], vec![0; 128]),
            "and --only 'l.scales' makes a code for it",
        ),
    ] {
        let (name, tensors) = (tensor.0, [weight(), tensor]);
        folder.model(&tensors);
        folder.refused(fit, 1, named);
        let report = folder.json(&format!("{fit} --skip {name}"));
        assert_eq!(report["copied"], 1);
        folder.qtaml(&format!("{fit} --only fc*")).success();
        std::fs::remove_file(folder.path("t.codec")).unwrap();
    }
    folder.qtaml(&format!("{fit} --only l.scales")).success();
    std::fs::remove_file(folder.path("t.codec")).unwrap();
    folder.model(&[
        weight(),
        ("x.table", Dtype::I16, vec![4, 8], vec![0; 64]),
        ("y.table", Dtype::I16, vec![4, 8], vec![0; 64]),
    ]);
    folder.refused(fit, 1, "2 tensors cannot be coded");
    folder.refused(&format!("{fit} --only x.table"), 1, "x.table");
    folder.model(&copied);
    folder.refused(&format!("{fit} --only fc.bias"), 1, "is no weight, but bias");
}

/// What is no safetensors file is named for what it is, with what to do, by every command.
#[test]
fn files_of_other_kinds_are_named_by_every_command() {
    let folder = Folder::new();
    folder.qtaml("codec design model.safetensors --p 0.1 --bits 2 -o model.codec").success();
    let mut torch = b"PK\x03\x04".to_vec();
    torch.resize(26, 0);
    torch.extend([16, 0, 0, 0]);
    torch.extend(b"archive/data.pkl\x80\x02}");
    let kinds: [(&str, &[u8], &str, &str); 6] = [
        ("m.pt", &torch, "a PyTorch file", "safetensors.torch.save_file"),
        (
            "m.bin",
            b"\x80\x02ccollections\nOrderedDict\n",
            "a Python pickle",
            "safetensors.torch.save_file",
        ),
        (
            "m.onnx",
            b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:",
            "an ONNX model",
            "qtaml inspect, evaluate, plan, protect and recover take it",
        ),
        (
            "p.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n",
            "a git-lfs pointer",
            "git lfs pull",
        ),
        (
            "h.safetensors",
            b"<!DOCTYPE html><html>Not found</html>",
            "a web page",
            "the download has failed",
        ),
        (
            "m.gguf",
            b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0",
            "a GGUF model",
            "safetensors files that it was made from",
        ),
    ];
    for (name, bytes, kind, advice) in kinds {
        std::fs::write(folder.path(name), bytes).unwrap();
        for line in [
            format!("inject {name} --p 0.1 --out o.safetensors"),
            format!("codec design {name} --p 0.1 -o o.codec"),
            format!("codec encode {name} --codec model.codec -o o.safetensors"),
            format!("codec decode {name} --codec model.codec -o o.safetensors"),
        ] {
            folder.refused(&line, 1, kind);
            folder.refused(&line, 1, advice);
            folder.refused(&line, 1, name);
        }
    }
    // And a model where the codec should be.
    let line = "codec encode model.safetensors --codec m.pt -o o.safetensors";
    folder.refused(line, 1, "this is no codec");
}

#[test]
fn every_float_type_is_encoded() {
    let folder = Folder::new();
    let weights: Vec<f32> =
        bell(500).iter().map(|w| f32::from_bits(w.to_bits() & 0xffff_0000)).collect();
    let bf16 = weights.iter().flat_map(|w| ((w.to_bits() >> 16) as u16).to_le_bytes()).collect();
    let f64s = weights.iter().flat_map(|w| f64::from(*w).to_le_bytes()).collect();
    folder.model(&[
        ("a", Dtype::F32, vec![50, 10], f32s(&weights)),
        ("b", Dtype::BF16, vec![50, 10], bf16),
        ("c", Dtype::F64, vec![50, 10], f64s),
    ]);
    folder.encode("--p 0.03 --bits 6");
    let read = folder.decode("s.safetensors");
    let read = SafeTensors::deserialize(&read).unwrap();
    assert_eq!(values(&read, "b"), values(&read, "a"));
    assert_eq!(values(&read, "c"), values(&read, "a"));
}

#[test]
fn a_file_may_take_the_place_of_another_and_the_codec_stays() {
    let folder = Folder::new();
    folder.encode("--p 0.01");
    let (stored, restored) = (folder.read("s.safetensors"), folder.decode("s.safetensors"));
    let encode = "codec encode model.safetensors --codec model.codec -o";
    let decode = "codec decode model.safetensors --codec model.codec -o";
    folder.refused(&format!("{encode} ./model.codec"), 2, "--out and the codec are the same file");
    folder.refused("codec design model.safetensors --p 0.1 -o model.safetensors", 2, "the model");
    folder.qtaml(&format!("{encode} model.safetensors")).success();
    assert!(folder.read("model.safetensors") == stored);
    folder.refused(&format!("{encode} t.safetensors"), 1, "encoded already");
    folder.refused(&format!("{decode} model.codec"), 2, "the same file");
    folder.qtaml(&format!("{decode} model.safetensors")).success();
    assert!(folder.read("model.safetensors") == restored);
    folder.refused(&format!("{decode} t.safetensors"), 1, "not written by `qtaml codec encode`");
}

#[test]
fn codecs_of_other_models_are_refused_by_name() {
    let folder = Folder::new();
    folder.encode("--p 0.01 --bits 4");
    folder.qtaml("codec design model.safetensors --p 0.02 --bits 4 -o other.codec").success();
    let decode = "codec decode s.safetensors --codec other.codec -o t.safetensors";
    folder.refused(decode, 1, "encoded with another codec");
    let encode = "codec encode model.safetensors --codec model.codec -o t.safetensors";
    let head = || ("head.weight", Dtype::F32, vec![1999, 1], f32s(&bell(1999)));
    for (tensors, named) in [
        (vec![head()], "there is no tensor \"fc.weight\""),
        (
            vec![head(), ("fc.weight", Dtype::F32, vec![333, 200], vec![0; 4 * 66_600])],
            "does not fit tensor \"fc.weight\"",
        ),
        (vec![head(), ("fc.weight", Dtype::I8, vec![200, 333], vec![0; 66_600])], "it is of I8"),
    ] {
        folder
            .model(&[tensors, vec![("norm.weight", Dtype::F32, vec![3, 1], vec![0; 12])]].concat());
        folder.refused(encode, 1, named);
    }
}

#[test]
fn damaged_files_and_numbers_that_are_none_are_named() {
    let folder = Folder::new();
    folder.encode("--p 0.01 --bits 4");
    let line = "codec decode s.safetensors --codec bad.codec -o t.safetensors";
    folder.refused(line, 1, "cannot read bad.codec");
    let codec = folder.read("model.codec");
    let (end, length) = (codec.len() - 1, codec.len());
    let cut_off = format!("the codec ends after {end} bytes of {length}");
    for (bytes, named) in [
        (&codec[..end], cut_off.as_str()),
        (b"PK\x03\x04", "this is no codec"),
        (&[], "this is no codec"),
    ] {
        std::fs::write(folder.path("bad.codec"), bytes).unwrap();
        folder.refused(line, 1, named);
        folder.refused("codec inspect bad.codec", 1, named);
    }
    let stored = folder.read("s.safetensors");
    std::fs::write(folder.path("cut.safetensors"), &stored[..stored.len() - 1]).unwrap();
    let line = "codec decode cut.safetensors --codec model.codec -o t.safetensors";
    folder.refused(line, 1, "it ends after");

    let fit = "codec design model.safetensors --p 0.1 --bits 2 -o t.codec";
    let mut weights = bell(70_000);
    weights[66_001] = f32::NAN;
    folder.model(&[("w.weight", Dtype::F32, vec![70_000, 1], f32s(&weights))]);
    folder.refused(fit, 1, "weight 66001 is NaN");
    let large = [1.0, 1e300].into_iter().flat_map(f64::to_le_bytes).collect();
    folder.model(&[("w.weight", Dtype::F64, vec![2, 1], large)]);
    folder.refused(fit, 1, "weight 1 is 1e300: F64 weights must be in the range of F32");
    folder.model(&[("w.weight", Dtype::F32, vec![70_000, 1], f32s(&bell(70_000)))]);
    folder.qtaml("codec design model.safetensors --p 0.1 --bits 2 -o model.codec").success();
    weights[66_001] = f32::INFINITY;
    folder.model(&[("w.weight", Dtype::F32, vec![70_000, 1], f32s(&weights))]);
    let line = "codec encode model.safetensors --codec model.codec -o t.safetensors";
    folder.refused(line, 1, "weight 66001 is inf");
    folder.model(&[("b", Dtype::F32, vec![4], vec![0; 16])]);
    folder.refused(fit, 1, "there are no weights");
}

#[test]
fn wrong_usage_exits_2() {
    let folder = Folder::new();
    for (line, named) in [
        ("", "--p <P>"),
        ("--p 0.6", "0.0..=0.5"),
        ("--p 0.1 --bits 13", "13 is not in 1..=12"),
        ("--p 0.1 --bits 0", "0 is not in 1..=12"),
        ("--p01 0.1", "--p10"),
        ("--p01 0.1 --p10 2", "p10 = 2"),
        ("--bits 3 --p-per-bit 0.1,0.2", "2 flip probabilities do not fit words of 3 bits"),
    ] {
        folder.refused(&format!("codec design model.safetensors {line} -o t.codec"), 2, named);
    }
    folder.refused("codec encode model.safetensors -o t.safetensors", 2, "--codec");
    folder.refused("codec", 2, "Usage");
    let typo = "codec design model.safetensors --p 0.1 --skip embed* -o t.codec";
    folder.refused(typo, 1, "there is no tensor \"embed*\"");
}

#[test]
fn memory_does_not_grow_with_the_model() {
    const BYTES: u64 = 64 << 20;
    if !std::path::Path::new("/proc/self/status").exists() {
        return;
    }
    let folder = Folder::new();
    folder.write_hollow(BYTES);
    for line in [
        "codec design model.safetensors --p 0.1 -o model.codec",
        "codec encode model.safetensors --codec model.codec -o s.safetensors",
        "codec decode s.safetensors --codec model.codec -o r.safetensors",
    ] {
        let peak = folder.peak_kib(line);
        assert!((1..BYTES / 1024 / 2).contains(&peak), "{line}: {peak} KiB");
    }
}

/// Fault 16 in another command: SIGTERM and Ctrl-C while words are written.
#[cfg(unix)]
#[test]
fn an_interrupted_encoder_leaves_no_file() {
    let folder = Folder::new();
    folder.write_hollow(256 << 20);
    folder.qtaml("codec design model.safetensors --p 0.1 --bits 4 -o model.codec").success();
    let before = folder.names();
    for signal in ["TERM", "INT"] {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("qtaml"));
        let line = "codec encode model.safetensors --codec model.codec -o s.safetensors";
        command.current_dir(folder.folder()).args(line.split(' '));
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut run = command.spawn().unwrap();
        while folder.names() == before {
            assert!(run.try_wait().unwrap().is_none(), "it is over before it could be stopped");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let id = run.id().to_string();
        let kill = std::process::Command::new("kill").args(["-s", signal, &id]).status();
        assert!(kill.unwrap().success());
        assert_eq!(run.wait().unwrap().code(), Some(130), "{signal}");
        assert_eq!(folder.names(), before, "{signal}");
    }
}
