//! Faults in models as people have them: in several files, quantized already, with tied weights and buffers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
mod model_folder;

use std::collections::{BTreeMap, HashMap};

use assert_cmd::assert::Assert;
use model_folder::{ModelFolder, Tensor};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty};
use safetensors::Dtype::{self, BF16, F16, F32, I8, I16, I32, I64, U8};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::json;

/// Tensors by name: types, shapes and bytes.
type Content = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

impl ModelFolder {
    /// Fails, says so, and leaves no file behind.
    fn refused(&self, line: &str, code: i32, named: &[&str]) {
        let before = self.all_files();
        let mut run = self.qtaml(line).code(code).stdout(is_empty());
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

    /// The bytes of a tensor of a file.
    fn bytes(&self, file: &str, tensor: &str) -> Vec<u8> {
        self.content(&[file])[tensor].2.clone()
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
        // It says the size of the tensors, which was wrong before.
        let [before, after] = ["two", "out"].map(|path| {
            let bytes = folder.read(&format!("{path}/{index}"));
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
        });
        assert_eq!(before["weight_map"], after["weight_map"]);
        let total = expected.values().map(|(_, _, bytes)| bytes.len()).sum::<usize>();
        assert_eq!(after["metadata"]["total_size"], total);
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

/// A tensor of bytes that follow from its length.
fn bytes(name: &'static str, dtype: Dtype, shape: &[usize]) -> Tensor<'static> {
    let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    (name, dtype, shape.to_vec(), (0..length).map(|i| (i * 37 % 251) as u8).collect())
}

fn f32_of(name: &'static str, shape: &[usize], seed: usize) -> Tensor<'static> {
    (name, F32, shape.to_vec(), waves(shape.iter().product(), seed))
}

/// The tensors that a run changes, by name.
fn changed(folder: &ModelFolder, line: &str) -> Vec<String> {
    folder.qtaml(&format!("inject m.safetensors {line} --out out.safetensors")).success();
    let (before, after) =
        (folder.content(&["m.safetensors"]), folder.content(&["out.safetensors"]));
    let is_changed = |(name, content): (&String, &(Dtype, Vec<usize>, Vec<u8>))| {
        (before[name] != *content).then(|| name.clone())
    };
    after.iter().filter_map(is_changed).collect()
}

fn flips(folder: &ModelFolder, tensor: &str) -> Vec<u8> {
    let (before, after) =
        (folder.bytes("m.safetensors", tensor), folder.bytes("out.safetensors", tensor));
    before.iter().zip(after).map(|(a, b)| a ^ b).collect()
}

#[test]
fn codes_are_the_weights_and_their_scales_stay_clean() {
    let folder = ModelFolder::new();
    let scaled = [
        bytes("fc.weight", I8, &[64, 32]),
        ("fc.weight_scale", F32, vec![64, 1], waves(64, 1)),
        bytes("fc.weight_zero_point", I8, &[64, 1]),
    ];
    let gptq = [
        bytes("l.qweight", I32, &[16, 64]),
        bytes("l.qzeros", I32, &[4, 8]),
        bytes("l.scales", F16, &[4, 64]),
        bytes("l.g_idx", I32, &[128]),
    ];
    for (tensors, codes, scales) in [
        (&scaled[..], "fc.weight", ["fc.weight_scale", "fc.weight_zero_point"]),
        (&gptq[..], "l.qweight", ["l.qzeros", "l.scales"]),
    ] {
        folder.shard("m.safetensors", &tensors.iter().collect::<Vec<_>>());
        assert!(changed(&folder, "--p 0").is_empty(), "{codes}");
        assert_eq!(changed(&folder, "--p 0.2"), [codes]);
        assert_eq!(changed(&folder, "--p 0.2 --biases"), [codes]);
        assert_eq!(changed(&folder, "--p 0.2 --scales"), [&[codes][..], &scales].concat());
        assert_eq!(changed(&folder, &format!("--p 0.2 --only {}", scales[0])), [scales[0]]);
        changed(&folder, "--flips 50");
        let count: u32 = flips(&folder, codes).into_iter().map(u8::count_ones).sum();
        assert_eq!(count, 50, "{codes}");
    }
}

/// Codes of four bits flip as such: the top bit of each half of a byte is the same bit to them.
#[test]
fn packed_codes_flip_bit_by_bit() {
    let folder = ModelFolder::new();
    let awq = [
        bytes("l.qweight", I32, &[128, 8]),
        bytes("l.qzeros", I32, &[4, 8]),
        bytes("l.scales", F16, &[4, 64]),
    ];
    folder.shard("m.safetensors", &awq.iter().collect::<Vec<_>>());
    let line = "--bits 4 --p-per-bit 0,0,0,0.3 --record f.bin";
    assert_eq!(changed(&folder, line), ["l.qweight"]);
    let drawn = folder.read("out.safetensors");
    let flips = flips(&folder, "l.qweight");
    for mask in [0x08, 0x80] {
        let count = flips.iter().filter(|byte| **byte & mask != 0).count();
        // 4096 bits: 1229 expected, sd 29.
        assert!((1050..1400).contains(&count), "{count}");
    }
    assert!(flips.iter().all(|byte| byte & 0x77 == 0));
    assert_eq!(changed(&folder, "--p 0.2 --protect 4"), [""; 0]);
    changed(&folder, "--replay f.bin");
    assert!(folder.read("out.safetensors") == drawn);
    let report = folder.json("inject m.safetensors --p 0.1 --out out.safetensors");
    let row = &report["tensors"][0];
    assert_eq!((&row["words"], &row["stored_bits"]), (&8192.into(), &32_768.into()));
}

/// Codes of three bits do not fill elements: they go on in the next row, in the next element of the same
/// row, or leave two bits of each element. Only the top bits of codes flip here, wherever these lie.
#[test]
fn codes_across_elements_flip_in_their_own_bits() {
    let shape_of = |outputs: i64, inputs: i64| -> Tensor<'static> {
        let shape = [outputs, inputs].into_iter().flat_map(i64::to_le_bytes).collect();
        ("l.weight_shape", I64, vec![2], shape)
    };
    let beside = |outputs: usize| f32_of("l.weight_scale", &[outputs, 1], 1);
    let gptq = vec![
        bytes("l.qweight", I32, &[12, 32]),
        bytes("l.qzeros", I32, &[1, 3]),
        bytes("l.scales", F16, &[1, 32]),
    ];
    let across = vec![bytes("l.weight_packed", I32, &[20, 12]), beside(20), shape_of(20, 125)];
    let with_gaps = vec![bytes("l.weight_packed", I32, &[20, 12]), beside(20), shape_of(20, 116)];
    // The bit of a row of elements, or of a column of GPTQ, that a bit of the bytes is.
    let down = |bit: usize| bit / 32 / 32 * 32 + bit % 32;
    let along = |bit: usize| bit % (12 * 32);
    let in_element = |bit: usize| bit % 32;
    for (tensors, words, is_top) in [
        (gptq, 128 * 32, (&|bit| down(bit) % 3 == 2) as &dyn Fn(usize) -> bool),
        (across, 20 * 125, &|bit| along(bit) % 3 == 2 && along(bit) < 375),
        (with_gaps, 20 * 120, &|bit| in_element(bit) % 3 == 2 && in_element(bit) < 30),
    ] {
        let (folder, name) = (ModelFolder::new(), tensors[0].0);
        folder.shard("m.safetensors", &tensors.iter().collect::<Vec<_>>());
        let line = "--bits 3 --p-per-bit 0,0,0.3 --record f.bin";
        assert_eq!(changed(&folder, line), [name]);
        let (drawn, flipped) = (folder.read("out.safetensors"), flips(&folder, name));
        let flipped: Vec<usize> =
            (0..8 * flipped.len()).filter(|bit| flipped[bit / 8] >> (bit % 8) & 1 == 1).collect();
        assert!(flipped.iter().all(|&bit| is_top(bit)), "{words} of {name}: {flipped:?}");
        let expected = 0.3 * f64::from(words);
        assert!((flipped.len() as f64 - expected).abs() < 5.0 * expected.sqrt(), "{name}");
        changed(&folder, "--replay f.bin");
        assert!(folder.read("out.safetensors") == drawn);
        let report = folder.json("inject m.safetensors --p 0.1 --out out.safetensors");
        let row = &report["tensors"][0];
        assert_eq!((&row["words"], &row["stored_bits"]), (&words.into(), &(3 * words).into()));
        assert_eq!(changed(&folder, "--p 0.5 --ecc bch:6:3 --protect 3"), [name]);
        changed(&folder, "--flips 50");
        let count: u32 = flips(&folder, name).into_iter().map(u8::count_ones).sum();
        assert_eq!(count, 50, "{name}");
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let folder = ModelFolder::new();
    let fc = f32_of("fc.weight", &[8, 8], 1);
    for odd in [
        bytes("odd.weight", I16, &[8, 8]),
        bytes("odd.weight", I32, &[8, 8]),
        bytes("odd.table", U8, &[8, 8]),
        ("odd.weight_scale", F32, vec![8, 8], waves(64, 3)),
    ] {
        let (name, dtype) = (odd.0, odd.1.to_string());
        folder.shard("m.safetensors", &[&fc, &odd]);
        let inject =
            |line: &str| format!("inject m.safetensors --p 0.3 {line} --out n.safetensors");
        let named = format!("tensor \"{name}\" of {dtype} and shape [8, 8] is not understood");
        let ways = format!("--skip '{name}' leaves it");
        for line in ["", "--as-stored", "--only *", &format!("--only {name}")] {
            folder.refused(&inject(line), 1, &[&named, &ways]);
        }
        assert_eq!(changed(&folder, &format!("--p 0.3 --skip {name}")), ["fc.weight"]);
        assert_eq!(changed(&folder, "--p 0.3 --skip odd.*"), ["fc.weight"]);
        assert_eq!(changed(&folder, "--p 0.3 --only fc.*"), ["fc.weight"]);
        let line = format!("--p 0.3 --as-stored --only {name} --record f.bin");
        assert_eq!(changed(&folder, &line), [name]);
        assert_eq!(changed(&folder, "--replay f.bin"), [name]);
    }
    // Columns of codes of three bits that end within a code are no layout of anybody.
    let gptq = [
        bytes("l.qweight", I32, &[11, 32]),
        bytes("l.qzeros", I32, &[1, 3]),
        bytes("l.scales", F16, &[1, 32]),
    ];
    folder.shard("m.safetensors", &gptq.iter().collect::<Vec<_>>());
    let line = "inject m.safetensors --p 0.1 --out n.safetensors";
    folder.refused(line, 1, &["\"l.qweight\" of I32", "--as-stored --only"]);
    assert_eq!(changed(&folder, "--p 0.1 --as-stored --only l.qweight"), ["l.qweight"]);
}

#[test]
fn floats_of_eight_bits_flip_in_these() {
    let folder = ModelFolder::new();
    for dtype in [Dtype::F8_E4M3, Dtype::F8_E5M2] {
        let scale = ("fp8.weight_scale", F32, vec![1], f32s([0.5]));
        let (fp8, fc) = (bytes("fp8.weight", dtype, &[64, 64]), f32_of("fc.weight", &[8, 8], 1));
        folder.shard("m.safetensors", &[&fp8, &scale, &fc]);
        assert_eq!(changed(&folder, "--p 0.3"), ["fc.weight", "fp8.weight"]);
        let bits = flips(&folder, "fp8.weight").into_iter().fold(0, |all, flips| all | flips);
        assert_eq!(bits, 0xff, "{dtype}");
    }
}

#[test]
fn buffers_are_no_weights() {
    let folder = ModelFolder::new();
    let tensors = [
        f32_of("h.0.attn.c_attn.weight", &[64, 64], 1),
        bytes("h.0.attn.bias", U8, &[1, 1, 64, 64]),
        bytes("h.1.attn.causal_mask", U8, &[64, 64]),
        f32_of("h.2.attn.bias", &[1, 1, 64, 64], 2),
        bytes("embeddings.position_ids", I64, &[1, 64]),
        f32_of("rotary_emb.inv_freq", &[32], 3),
        f32_of("bn.running_mean", &[64], 4),
        f32_of("bn.running_var", &[64], 5),
        bytes("bn.num_batches_tracked", I64, &[]),
        f32_of("bn.weight", &[64], 6),
    ];
    folder.shard("m.safetensors", &tensors.iter().collect::<Vec<_>>());
    assert_eq!(changed(&folder, "--p 0.3"), ["h.0.attn.c_attn.weight"]);
    assert_eq!(changed(&folder, "--p 0.3 --biases"), ["bn.weight", "h.0.attn.c_attn.weight"]);
    assert_eq!(changed(&folder, "--p 0.3 --only *.weight"), ["h.0.attn.c_attn.weight"]);
    for (name, kind) in [
        ("h.0.attn.bias", "(U8 of rank 4) is no weight, but mask"),
        ("embeddings.position_ids", "(I64 of rank 2) is no weight, but indices"),
        ("bn.running_mean", "(F32 of rank 1) is no weight, but statistics"),
    ] {
        let line = format!("inject m.safetensors --p 0.1 --only {name} --out n.safetensors");
        folder.refused(&line, 1, &[kind]);
    }
    folder.refused(
        "inject m.safetensors --p 0.1 --only bn.* --out n",
        1,
        &["there are no weights"],
    );
    folder.refused(
        "inject m.safetensors --p 0.1 --skip *.wieght --out n",
        1,
        &["there is no tensor \"*.wieght\""],
    );
}

#[test]
fn names_of_one_tensor_are_one_cell() {
    let folder = ModelFolder::new();
    let tied = |name| f32_of(name, &[64, 32], 1);
    let (embed, head, fc) =
        (tied("embed.weight"), tied("lm_head.weight"), f32_of("fc.weight", &[8, 8], 2));
    folder.shard("m.safetensors", &[&embed, &head, &fc]);
    folder.shards("two", &[&[&head, &fc], &[&embed]]);
    for line in ["--p 0.05", "--flips 99 --bits 4", "--p 0.05 --as-stored"] {
        let report = folder
            .json(&format!("inject m.safetensors {line} --record f.bin --out out.safetensors"));
        let after = folder.content(&["out.safetensors"]);
        assert!(after["embed.weight"] == after["lm_head.weight"], "{line}");
        assert!(after["embed.weight"].2 != embed.3, "{line}");
        let rows = report["tensors"].as_array().unwrap();
        let of = |name: &str| rows.iter().find(|row| row["tensor"] == name).unwrap();
        assert_eq!(of("lm_head.weight")["alias_of"], "embed.weight");
        let sum = |key: &str| {
            ["embed.weight", "fc.weight"]
                .map(|name| of(name)[key].as_u64().unwrap())
                .iter()
                .sum::<u64>()
        };
        for key in ["words", "stored_bits", "flipped_bits"] {
            assert_eq!(report["total"][key], sum(key), "{line} {key}");
        }
        let replayed =
            folder.json("inject m.safetensors --replay f.bin --out replayed.safetensors");
        assert_eq!(replayed["total"], report["total"], "{line}");
        assert!(folder.content(&["replayed.safetensors"]) == after, "{line}");
        // A name alone meets the faults of both.
        folder.json(&format!("inject m.safetensors {line} --only lm_head.* --out one.safetensors"));
        if !line.contains("flips") {
            assert!(
                folder.content(&["one.safetensors"])["lm_head.weight"] == after["lm_head.weight"]
            );
            folder.json(&format!("inject two {line} --out out"));
            assert!(folder.content(&OUT) == after, "{line}");
        }
    }
    let run = folder.qtaml("inject m.safetensors --p 0.05 --out out.safetensors").success();
    run.stdout(contains("= embed.weight").and(contains("with the same faults, counted once: 1")));
}

#[test]
fn output_channels_lie_where_the_file_says() {
    let folder = ModelFolder::new();
    let axis = |tensor: &Tensor<'_>, producer: Option<&str>, line: &str| {
        let metadata = producer.map(|name| HashMap::from([("producer".into(), name.into())]));
        folder.write(std::slice::from_ref(tensor), metadata);
        let report = folder.json(&format!("inject model.safetensors --p 0 {line} --out o"));
        let count = report["tensors"][0]["scales"]["count"].as_u64().unwrap();
        (
            report["tensors"][0]["scaling"]["axis"].as_u64().unwrap(),
            count,
            report.get("axes_guessed").is_some(),
        )
    };
    let fc = f32_of("fc.weight", &[4, 6], 1);
    assert_eq!(axis(&fc, None, ""), (0, 4, true));
    assert_eq!(axis(&fc, Some("burn"), ""), (1, 6, false));
    assert_eq!(axis(&fc, None, "--layout burn"), (1, 6, false));
    assert_eq!(axis(&fc, Some("burn"), "--layout pytorch"), (0, 4, false));
    let up = f32_of("up.conv_transpose.weight", &[2, 3, 2, 2], 1);
    assert_eq!(axis(&up, None, ""), (1, 3, false));
    let table = f32_of("embed.weight", &[9, 4], 1);
    assert_eq!(axis(&table, Some("burn"), ""), (0, 9, false));
}

#[test]
fn tensors_without_elements_are_copied() {
    let folder = ModelFolder::new();
    let fc = f32_of("fc.weight", &[4, 6], 1);
    for shape in [&[4, 0][..], &[0, 4], &[0]] {
        let empty = ("empty.weight", F32, shape.to_vec(), Vec::new());
        folder.shard("m.safetensors", &[&fc, &empty]);
        for line in ["--p 0.3", "--p 0.3 --scale group:3 --biases", "--p 0.3 --as-stored"] {
            assert_eq!(changed(&folder, line), ["fc.weight"], "{shape:?} {line}");
        }
    }
}

#[test]
fn of_a_hundred_thousand_tensors_ten_are_named() {
    let folder = ModelFolder::new();
    let names: Vec<String> = (0..100_000).map(|i| format!("layers.{i}.weight")).collect();
    let tensors: Vec<Tensor<'_>> =
        names.iter().map(|name| (name.as_str(), I8, vec![1, 1], vec![1])).collect();
    folder.write(&tensors, None);
    for line in [
        "inject model.safetensors --p 0.1 --only layers.7.wieght --out o",
        "codec design model.safetensors --p 0.1 --skip layers.7.wieght --out o",
    ] {
        let run = folder
            .qtaml(line)
            .code(1)
            .stderr(contains("\"layers.7.weight\"").and(contains("99990 more")));
        assert!(run.get_output().stderr.len() < 2000);
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let folder = ModelFolder::new();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    for (file, what) in [
        (&pointer[..], "a git-lfs pointer"),
        (b"GGUF\x03\0\0\0\0\0\0\0", "a GGUF model"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"", "an empty file"),
    ] {
        std::fs::write(folder.path("m.safetensors"), file).unwrap();
        for line in
            ["inject m.safetensors --p 0.1 --out o", "codec design m.safetensors --p 0.1 --out o"]
        {
            folder.refused(line, 1, &["m.safetensors is no safetensors file, but", what]);
        }
    }
}

/// A model in several files has its words in as many.
/// Names and file names that would clear the screen, or write backwards, in tables and in errors.
#[test]
fn names_from_files_are_shown_and_not_obeyed() {
    const NAMES: [&str; 3] = ["a\u{1b}[2J.weight", "b\u{202e}thgiew.\u{9b}1m", "c\r\n.weight"];
    let shown = ["a\\u{1b}[2J.weight", "b\\u{202e}thgiew.\\u{9b}1m", "c\\r\\n.weight"];
    let folder = ModelFolder::new();
    let is_obeyed =
        |text: &str| text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}'));
    let texts = |run: Assert| {
        let output = run.get_output();
        [&output.stdout, &output.stderr].map(|text| String::from_utf8(text.clone()).unwrap())
    };
    folder.write(&NAMES.map(|name| f32_of(name, &[20, 30], name.len())), None);
    for line in [
        "inspect model.safetensors",
        "inject model.safetensors --p 0.1 --out f.safetensors",
        "verify --bits 2 --trials 1000 --weights model.safetensors",
    ] {
        for text in texts(folder.qtaml(line)) {
            assert!(!is_obeyed(&text), "{line}: {text:?}");
        }
        let [stdout, _] = texts(folder.qtaml(line));
        assert!(shown.iter().all(|name| stdout.contains(name)), "{line}: {stdout}");
    }
    // What is not understood, what is no number, and a file that an index names.
    let [name, ..] = NAMES;
    folder.write(&[bytes(name, I16, &[4, 4])], None);
    let unknown =
        texts(folder.qtaml("inject model.safetensors --p 0.1 --out f.safetensors").code(1));
    folder.write(&[(name, F32, vec![2, 2], f32s([1.0, f32::NAN, 1.0, 1.0]))], None);
    let nan = texts(folder.qtaml("verify --weights model.safetensors").code(1));
    std::fs::create_dir_all(folder.path("m")).unwrap();
    let index = json!({"weight_map": {"x": "\u{1b}[31m.safetensors"}}).to_string();
    std::fs::write(folder.path("m/model.safetensors.index.json"), index).unwrap();
    let index = texts(folder.qtaml("inspect m").code(1));
    for [_, stderr] in [unknown, nan, index] {
        assert!(stderr.contains("\\u{1b}") && !is_obeyed(&stderr), "{stderr:?}");
    }
}

#[test]
fn codecs_take_models_in_several_files() {
    let folder = ModelFolder::new();
    let [bw, bb, aw, cw, dw] = &parts();
    folder.shard("whole.safetensors", &[bw, bb, aw, cw, dw]);
    folder.shards("two", &[&[cw, bw], &[aw, bb, dw]]);
    folder
        .json("codec design whole.safetensors --p 0.02 --bits 6 --only *.weight --out whole.codec");
    let report = folder.json("codec design two --p 0.02 --bits 6 --skip *bias --out two.codec");
    assert_eq!(report["tensors"].as_array().unwrap().len(), 4);
    assert!(folder.read("whole.codec") == folder.read("two.codec"));
    folder.json("codec encode two --codec two.codec --out stored");
    let stored = folder.json("inspect stored --only *.weight");
    let layouts = stored["tensors"].as_array().unwrap().iter().map(|tensor| &tensor["layout"]);
    assert_eq!(layouts.collect::<Vec<_>>(), ["qtaml-codec"; 4]);
    folder.json("inject stored --p 0.02 --out faulty");
    folder.json("codec decode faulty --codec two.codec --out out");
    folder.json("codec encode whole.safetensors --codec two.codec --out s.safetensors");
    folder.json("inject s.safetensors --p 0.02 --out f.safetensors");
    folder.json("codec decode f.safetensors --codec two.codec --out o.safetensors");
    assert!(folder.content(&OUT) == folder.content(&["o.safetensors"]));
    assert_eq!(folder.content(&OUT)["b.bias"].2, bb.3);
    folder.refused("codec decode two --codec two.codec --out n", 1, &["was not written by"]);
    folder.refused(
        "codec design two --p 0.1 --out two/m-1.safetensors",
        2,
        &["the model are the same"],
    );
}
