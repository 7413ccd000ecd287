//! `qtaml inspect` as a user meets it, and the kinds of models that it meets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
mod model_folder;
mod snapshot;

use std::collections::{BTreeMap, HashMap};

use assert_cmd::assert::Assert;
use model_folder::{ModelFolder, Tensor};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use safetensors::Dtype::{self, BF16, F8_E4M3, F16, F32, I8, I16, I32, I64, U8};
use serde_json::Value;
use snapshot::assert_snapshot;

impl ModelFolder {
    /// `qtaml inspect` with a command line as it is typed, in this folder.
    fn inspect(&self, line: &str) -> Assert {
        self.qtaml(&format!("inspect {line}"))
    }

    fn text(&self, line: &str) -> String {
        String::from_utf8(self.inspect(line).success().get_output().stdout.clone()).unwrap()
    }

    fn report(&self, line: &str) -> Value {
        self.json(&format!("inspect {line}"))
    }

    /// The row of a tensor.
    fn row(&self, line: &str, tensor: &str) -> Value {
        let report = self.report(line);
        let rows = report["tensors"].as_array().unwrap();
        rows.iter().find(|row| row["tensor"] == tensor).unwrap().clone()
    }
}

fn f32s(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

fn waves(n: usize, seed: usize) -> impl Iterator<Item = f32> {
    (0..n).map(move |i| ((i * 7 + seed) as f32 * 0.37).sin())
}

fn zeros(dtype: Dtype, shape: &[usize]) -> Vec<u8> {
    vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8]
}

/// A tensor of zeros.
fn blank(name: &'static str, dtype: Dtype, shape: &[usize]) -> Tensor<'static> {
    (name, dtype, shape.to_vec(), zeros(dtype, shape))
}

/// Of everything something.
fn zoo() -> ModelFolder {
    let folder = ModelFolder::new();
    let mut spiked: Vec<f32> = waves(2048, 1).collect();
    spiked[77] = 1e6;
    let half = |bits: u16| bits.to_le_bytes();
    // 65504, 1, 0 and 0.
    let halves = [half(0x7bff), half(0x3c00), half(0), half(0)].concat();
    folder.write(
        &[
            ("embed.weight", F32, vec![32, 8], f32s(waves(256, 3))),
            ("lm_head.weight", F32, vec![32, 8], f32s(waves(256, 3))),
            (
                "a.layer.whose.name.is.longer.than.any.line.of.eighty.columns.has.room.for.as.some.are.weight",
                F32,
                { vec![64, 32] },
                f32s(spiked),
            ),
            ("fc.weight", F32, vec![16, 24], f32s(waves(384, 5))),
            ("fc.bias", F32, vec![16], f32s(waves(16, 6))),
            ("norm.weight", F32, vec![24], f32s([1.0; 24])),
            ("conv.weight", F32, vec![8, 4, 3, 3], f32s(waves(288, 7))),
            ("bn.running_mean", F32, vec![8], f32s(waves(8, 8))),
            ("half.weight", F16, vec![2, 2], halves),
            ("broken.weight", F32, vec![2, 2], f32s([1.0, f32::NAN, 0.0, f32::INFINITY])),
            ("quantized.weight", I8, vec![4, 8], (0..32).collect()),
            ("quantized.weight_scale", F32, vec![4, 1], f32s([0.1, 0.2, 0.3, 0.4])),
            blank("attn.mask", U8, &[1, 1, 8, 8]),
            blank("position_ids", I64, &[1, 8]),
            blank("strange.weight", I16, &[4, 4]),
            blank("nothing.weight", F32, &[0, 4]),
        ],
        Some(HashMap::from([("format".into(), "pt".into())])),
    );
    folder
}

#[test]
fn the_table_and_the_help_are_the_known_ones() {
    let zoo = zoo();
    for (name, line) in [
        ("inspect.txt", "model.safetensors"),
        ("inspect-int4-groups.txt", "model.safetensors --bits 4 --scale group:8 --only *fc*"),
        ("inspect-per-tensor.txt", "model.safetensors --scale per-tensor --skip a.layer*"),
    ] {
        let text = zoo.text(line);
        assert_snapshot(name, &text);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{text}");
    }
    assert_snapshot("inspect-help.txt", &zoo.text("--help"));
    let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("qtaml"));
    let help = command.arg("--help").assert().success();
    let help = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    let places = [
        "  physics",
        "  inspect",
        "  evaluate",
        "  plan",
        "  protect",
        "  recover",
        "  inject",
        "  codec",
        "  verify",
    ]
    .map(|c| help.find(c));
    assert!(places.is_sorted() && places[0].is_some(), "{help}");
}

#[test]
fn numbers_are_those_of_the_definitions() {
    let zoo = zoo();
    let row = zoo.row("model.safetensors --scale per-tensor", "fc.weight");
    let values: Vec<f64> = waves(384, 5).map(f64::from).collect();
    let square = values.iter().map(|v| v * v).sum::<f64>();
    let largest = values.iter().fold(0.0_f64, |max, v| max.max(v.abs()));
    let scale = largest / 127.0;
    let noise: f64 = values.iter().map(|v| (v - scale * (v / scale).round()).powi(2)).sum();
    let close = |key: &str, expected: f64| {
        let value = row[key].as_f64().unwrap();
        assert!((value / expected - 1.0).abs() < 1e-4, "{key}: {value} {expected}");
    };
    close("rms", (square / 384.0).sqrt());
    close("max_over_rms", largest / (square / 384.0).sqrt());
    close("sqnr_db", 10.0 * (square / noise).log10());
    assert_eq!(row["stored_bits"], 384 * 8);
    assert_eq!((&row["output_axis"], &row["output_axis_by"]), (&0.into(), &"companion".into()));
}

/// Fault 12: one weight of 1e6 among 2048.
#[test]
fn a_tensor_that_rounding_destroys_is_warned_of() {
    let zoo = zoo();
    let spiked = "--only a.layer* --scale";
    let warned = zoo.text(&format!("model.safetensors {spiked} per-tensor"));
    assert!(warned.contains("100.0% of its weights are rounded to zero"), "{warned}");
    let by_channel = zoo.text(&format!("model.safetensors {spiked} per-channel"));
    assert!(by_channel.contains("1 of 64 scales round more than half"), "{by_channel}");
    let name = "a.layer.whose.name.is.longer.than.any.line.of.eighty.columns.has.room.for.as.some.are.weight";
    let by = |scope: &str| {
        zoo.row(&format!("model.safetensors {spiked} {scope}"), name)["lost"].as_f64()
    };
    assert!(by("per-channel").unwrap() < 0.05 && by("per-tensor").unwrap() > 0.99);
}

/// Fault 13: of 65504 the code -128 stands for -66020.
#[test]
fn a_code_beyond_its_type_is_warned_of() {
    let warnings = |line: &str| zoo().row(line, "half.weight")["warnings"].to_string();
    let found = warnings("model.safetensors");
    assert!(found.contains("code -128") && found.contains("1 of 2 scales"), "{found}");
    assert_eq!(warnings("model.safetensors --encoding sign-magnitude"), "[]");
}

#[test]
fn what_is_no_number_or_not_understood_is_warned_of() {
    let text = zoo().text("model.safetensors");
    for named in [
        "2 weights are NaN, infinite or beyond F32, weight 1 first",
        "I16 of shape [4, 4] is not understood",
        " = embed.weight",
    ] {
        assert!(text.contains(named), "{named} in\n{text}");
    }
}

/// Fault 10: two names of the same bytes are counted once.
#[test]
fn ties_are_counted_once() {
    let report = zoo().report("model.safetensors --only embed.weight --only lm_head.weight");
    assert_eq!(report["tensors"][0]["alias_of"], Value::Null);
    assert_eq!(report["tensors"][1]["alias_of"], "embed.weight");
    assert_eq!(report["stored_bits"], 256 * 8);
}

/// Faults 4 and 6: scales and masks are no weights.
#[test]
fn scales_and_masks_are_no_weights() {
    let zoo = zoo();
    let kind = |tensor| zoo.row("model.safetensors", tensor)["kind"].clone();
    for (tensor, expected) in [
        ("quantized.weight", "codes"),
        ("quantized.weight_scale", "scale"),
        ("attn.mask", "mask"),
        ("position_ids", "indices"),
        ("bn.running_mean", "statistics"),
        ("norm.weight", "norm"),
        ("strange.weight", "unknown"),
        ("nothing.weight", "empty"),
    ] {
        assert_eq!(kind(tensor), expected, "{tensor}");
    }
    let scale = zoo.row("model.safetensors", "quantized.weight_scale");
    assert_eq!((&scale["of"], &scale["stored_bits"]), (&"quantized.weight".into(), &0.into()));
}

#[test]
fn packed_codes_are_known_with_their_width() {
    let folder = ModelFolder::new();
    folder.write(
        &[
            blank("g.qweight", I32, &[16, 64]),
            blank("g.qzeros", I32, &[4, 8]),
            blank("g.scales", F16, &[4, 64]),
            blank("g.g_idx", I32, &[128]),
            blank("a.qweight", I32, &[128, 8]),
            blank("a.qzeros", I32, &[4, 8]),
            blank("a.scales", F16, &[4, 64]),
            ("f.weight", F8_E4M3, vec![2, 4], vec![0x7e, 0xfe, 1, 0, 8, 9, 10, 11]),
            blank("f.weight_scale_inv", BF16, &[1, 1]),
        ],
        None,
    );
    for (tensor, layout, bits) in
        [("g.qweight", "gptq", 4 * 128 * 64), ("a.qweight", "awq", 4 * 128 * 64)]
    {
        let row = folder.row("model.safetensors", tensor);
        assert_eq!((&row["layout"], &row["stored_bits"]), (&layout.into(), &bits.into()));
    }
    let fp8 = folder.row("model.safetensors", "f.weight");
    assert_eq!((&fp8["max"], &fp8["stored_bits"]), (&448.0.into(), &64.into()));
    assert_eq!(folder.report("model.safetensors")["totals"].as_array().unwrap().len(), 3);
}

/// Fault 14: a model in several files, by its folder and by its index.
#[test]
fn shards_are_one_model() {
    let folder = ModelFolder::new();
    let mut map = BTreeMap::new();
    for (file, tensor) in [("m-1.safetensors", "a.weight"), ("m-2.safetensors", "b.weight")] {
        folder.write(&[(tensor, F32, vec![4, 8], f32s(waves(32, file.len())))], None);
        std::fs::rename(folder.path("model.safetensors"), folder.path(file)).unwrap();
        map.insert(tensor, file);
    }
    let index = serde_json::json!({"metadata": {"total_size": 256}, "weight_map": map});
    std::fs::write(folder.path("m.safetensors.index.json"), index.to_string()).unwrap();
    for line in [".", "m.safetensors.index.json"] {
        let report = folder.report(line);
        assert_eq!(report["files"].as_array().unwrap().len(), 2);
        assert_eq!(report["tensors"][1]["tensor"], "b.weight");
    }
    std::fs::remove_file(folder.path("m-2.safetensors")).unwrap();
    folder.inspect(".").code(1).stderr(contains("1 of its 2 files are missing: m-2.safetensors"));
}

/// Fault 15: other files are named for what they are.
#[test]
fn foreign_files_are_named_with_what_to_do() {
    let folder = ModelFolder::new();
    for (bytes, named) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"[..],
            "git lfs pull",
        ),
        (b"GGUF\x03\0\0\0", "a GGUF model of llama.cpp"),
        (b"<!DOCTYPE html><html>", "a web page: the download has failed"),
        (b"\x80\x02}q\0.", "torch.load(FILE"),
        (b"", "an empty file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ] {
        std::fs::write(folder.path("model.safetensors"), bytes).unwrap();
        let run = folder.inspect("model.safetensors").code(1);
        run.stderr(contains(named).and(contains("model.safetensors is no safetensors file, but")));
    }
    folder.inspect("missing").code(1).stderr(contains("cannot read missing"));
    folder.inspect("-").code(2).stderr(contains("MODEL - is a stream of this process"));
}

/// Fault 18: the ten nearest names, and fault 6: patterns.
#[test]
fn a_pattern_without_a_tensor_is_an_error() {
    let zoo = zoo();
    for flag in ["--only", "--skip"] {
        zoo.inspect(&format!("model.safetensors {flag} fc.wieght"))
            .code(1)
            .stderr(contains("no tensor \"fc.wieght\": the nearest are \"fc.weight\", "))
            .stderr(contains("and 6 more"));
    }
    for (line, named) in [
        ("--bits -1", "a whole number, 2 to 8"),
        ("--scale per-row", "per-channel, per-tensor, or group:N"),
        ("--layout torch", "there are \"pytorch\", \"burn\""),
        ("--encoding morse", "morse"),
    ] {
        zoo.inspect(&format!("model.safetensors {line}")).code(2).stderr(contains(named));
    }
}

/// Fault 8: the axis is what the file or the flag says.
#[test]
fn the_axis_is_named_and_its_absence_noted() {
    let folder = ModelFolder::new();
    folder.write(&[("w.weight", F32, vec![4, 4], f32s(waves(16, 1)))], None);
    let text = folder.text("model.safetensors");
    assert!(text.contains("The axis of output channels is not known of 1 tensor"), "{text}");
    let axis = |line: &str| {
        folder.row(&format!("model.safetensors {line}"), "w.weight")["output_axis"].clone()
    };
    assert_eq!(axis(""), Value::Null);
    assert_eq!([axis("--layout burn"), axis("--layout pytorch")], [1, 0].map(Value::from));
    let metadata = [("format", "safetensors"), ("producer", "burn"), ("version", "0.22.1")];
    let metadata = metadata.map(|(key, value)| (key.into(), value.into()));
    folder.write(&[("w.weight", F32, vec![4, 4], f32s(waves(16, 1)))], Some(metadata.into()));
    assert_eq!(axis(""), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_model() {
    let folder = ModelFolder::new();
    folder.write_hollow(1 << 30);
    let peak = folder.peak_kib("inspect model.safetensors");
    assert!(peak < 300 << 10, "{peak} KiB");
}
