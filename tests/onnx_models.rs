//! ONNX models as runners, against onnxruntime and against what is expected of each file of `tests/onnx`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use qtaml_compensation::storage::QuantizedSpec;
use qtaml_deploy::sensitivity::{forward_norms, measured_norms};
use qtaml_deploy::{
    DeployError, Evaluation, FloatType, Granularity, Metric, Output, Recalibration, Recalibrator,
    Runner, RunnerError, StoredModel, Storing, Trials, Values, WeightGroup, WeightTensor,
    groups_of,
};
use qtaml_fault::{MemoryModel, Seed};
use qtaml_onnx::{Agreement, Array, Inputs, OnnxError, OnnxModel, OnnxRunner, RunError};
use qtaml_physics::FlipProbability;
use serde_json::Value as Json;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/onnx")
}

fn expected() -> BTreeMap<String, Json> {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let mut all: Json = serde_json::from_str(&text).unwrap();
    serde_json::from_value(all["models"].take()).unwrap()
}

fn names_of(list: &Json) -> Vec<String> {
    serde_json::from_value(list.clone()).unwrap()
}

/// The models that can be run.
fn runnable() -> impl Iterator<Item = (String, Json)> {
    expected().into_iter().filter(|(_, model)| model["refused"].is_null())
}

fn open(name: &str) -> OnnxModel {
    let model = OnnxModel::open(folder().join(format!("{name}.onnx")));
    model.unwrap_or_else(|error| panic!("{name}: {}", chain(&error)))
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

/// The arrays of `NAME.npz`: inputs, and what onnxruntime makes of them.
fn arrays(name: &str) -> BTreeMap<String, Array> {
    npz::read(&std::fs::read(folder().join(format!("{name}.npz"))).unwrap())
}

fn inputs(name: &str, model: &Json) -> Inputs {
    let mut arrays = arrays(name);
    let take = |inputs: Inputs, name: String| {
        let array = arrays.remove(&name).unwrap();
        inputs.with(name, array)
    };
    names_of(&model["inputs"]).into_iter().fold(Inputs::new(), take)
}

fn runner(name: &str) -> OnnxRunner {
    let model = &expected()[name];
    open(name)
        .runner(&inputs(name, model))
        .unwrap_or_else(|error| panic!("{name}: {}", chain(&error)))
}

#[test]
fn weights_are_those_that_are_expected() {
    for (name, expected) in runnable() {
        let model = open(&name);
        let mut found: Vec<Json> = Vec::new();
        for (index, tensor) in model.tensors().iter().enumerate() {
            let mut aliases = tensor.aliases.clone();
            aliases.sort();
            found.push(serde_json::json!({
                "name": tensor.name,
                "shape": tensor.shape,
                "role": tensor.role.to_string(),
                "axis": tensor.output_axis,
                "aliases": aliases,
                "batch_norm": model.batch_norm(index),
            }));
            assert_eq!(model.values(index).map(<[f32]>::len), Some(tensor.len()), "{name}");
        }
        let mut wanted: Vec<Json> = serde_json::from_value(expected["weights"].clone()).unwrap();
        for weight in &mut wanted {
            let stored = weight.as_object_mut().unwrap().remove("stored").unwrap();
            let tensor =
                model.tensors().iter().find(|tensor| weight["name"] == tensor.name.as_str());
            let is_half = tensor.is_some_and(|tensor| tensor.dtype == FloatType::F16);
            assert_eq!(is_half, stored == "f16", "{name}");
        }
        let by_name = |weight: &Json| weight["name"].to_string();
        found.sort_by_key(by_name);
        wanted.sort_by_key(by_name);
        assert_eq!(found, wanted, "{name}");
        assert_eq!(model.outputs(), names_of(&expected["outputs"]), "{name}");
    }
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    for (name, expected) in expected() {
        let refused = &expected["refused"];
        if refused.is_null() {
            continue;
        }
        let error = OnnxModel::open(folder().join(format!("{name}.onnx"))).unwrap_err();
        match refused["reason"].as_str().unwrap() {
            "operator" => {
                let OnnxError::Operator { operator, node, .. } = &error else { panic!("{error}") };
                assert_eq!(
                    (refused["operator"].as_str(), refused["node"].as_str()),
                    (Some(operator.as_str()), Some(node.as_str()))
                );
            }
            "no weights" => assert!(matches!(error, OnnxError::NoWeights { .. }), "{error}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn outputs_are_those_of_onnxruntime() {
    let mut not_exact = Vec::new();
    for (name, expected) in runnable() {
        let runner = runner(&name);
        let outputs = runner.outputs(Values::new()).unwrap();
        let arrays = arrays(&name);
        assert_eq!(outputs.len(), names_of(&expected["outputs"]).len(), "{name}");
        for output in &outputs {
            let (shape, values) = npz::floats(&arrays[&output.name]);
            assert_eq!(output.shape, shape, "{name}");
            let largest = values.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
            for (found, value) in output.values.iter().zip(&values) {
                assert!((found - value).abs() <= 1e-5 * largest, "{name}: {found} {value}");
            }
        }
        if runner.agreement() != Agreement::Exact {
            not_exact.push(format!("{name} {:?}", runner.agreement()));
        }
    }
    assert!(not_exact.is_empty(), "{not_exact:?}");
}

/// Any values that are not those of the model.
fn other_values(runner: &OnnxRunner, index: usize) -> Vec<f32> {
    let values = runner.values(index).unwrap();
    values.iter().enumerate().map(|(i, value)| value * 1.25 - 0.01 * (i % 3) as f32).collect()
}

/// Every weight reaches the outputs: what a runtime ignores silently would go unnoticed otherwise.
#[test]
fn every_weight_counts() {
    for (name, _) in runnable() {
        let runner = runner(&name);
        let clean = runner.outputs(Values::new()).unwrap();
        for (index, tensor) in runner.tensors().iter().enumerate() {
            let own = Values::from([(tensor.name.clone(), runner.values(index).unwrap())]);
            assert_eq!(runner.outputs(own).unwrap(), clean, "{name} {}", tensor.name);
            let other = Values::from([(tensor.name.clone(), other_values(&runner, index))]);
            let changed = runner.outputs(other).unwrap() != clean;
            // Of two branches one is taken.
            let is_idle =
                ["y0.else_branch/y0.else.c", "y1.then_branch/own"].contains(&tensor.name.as_str());
            assert_eq!(changed, !is_idle, "{name} {}", tensor.name);
        }
    }
}

#[test]
fn a_run_from_a_base_gives_the_bits_of_a_whole_run() {
    for (name, _) in runnable() {
        let runner = runner(&name);
        let golden = |index: usize| runner.values(index).unwrap().iter().map(|w| w * 0.9).collect();
        let base: Values = (runner.tensors().iter().enumerate())
            .map(|(index, tensor)| (tensor.name.clone(), golden(index)))
            .collect();
        let around = runner.around(&base).unwrap();
        assert_eq!(around.passes(), 1.0, "{name}");
        for (index, tensor) in runner.tensors().iter().enumerate() {
            let mut replaced = base.clone();
            replaced.insert(tensor.name.clone(), other_values(&runner, index));
            let whole = runner.outputs(replaced.clone()).unwrap();
            let bits = |outputs: &[Output]| -> Vec<u32> {
                outputs.iter().flat_map(|output| &output.values).map(|v| v.to_bits()).collect()
            };
            let behind = around.outputs(index, replaced).unwrap();
            assert_eq!(bits(&behind), bits(&whole), "{name} {}", tensor.name);
        }
        let most = 1.0 + runner.tensors().len() as f64;
        assert!(around.passes() <= most, "{name}: {} passes, {most}", around.passes());
    }
}

/// `depth` layers in a row, each with a weight, a bias and a rectifier.
fn deep(depth: usize) -> Vec<u8> {
    use rten_onnx::onnx::*;
    let value = |name: &str| {
        let dim = |name: Option<&str>, size| Dimension {
            dim_value: size,
            dim_param: name.map(str::to_owned),
        };
        let shape = TensorShapeProto { dim: vec![dim(Some("n"), None), dim(None, Some(4))] };
        let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(shape) };
        let kind = TypeProto { tensor_type: Some(tensor), sequence: None };
        ValueInfoProto { name: Some(name.to_owned()), r#type: Some(kind) }
    };
    let tensor = |name: String, dims: Vec<i64>, seed: usize| {
        let count = dims.iter().product::<i64>() as usize;
        let float_data = (0..count).map(|i| ((i * 7 + seed * 3) as f32).sin()).collect();
        TensorProto {
            name: Some(name),
            dims,
            data_type: Some(DataType::FLOAT),
            float_data,
            ..TensorProto::default()
        }
    };
    let node = |op: &str, input: &[&str], output: String| NodeProto {
        op_type: Some(op.to_owned()),
        input: input.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output],
        ..NodeProto::default()
    };
    let mut graph = GraphProto { input: vec![value("x")], ..GraphProto::default() };
    let mut last = "x".to_owned();
    for i in 0..depth {
        graph.initializer.push(tensor(format!("w{i}"), vec![4, 4], i));
        graph.initializer.push(tensor(format!("b{i}"), vec![4], i));
        graph.node.push(node("MatMul", &[&last, &format!("w{i}")], format!("m{i}")));
        graph.node.push(node("Add", &[&format!("m{i}"), &format!("b{i}")], format!("a{i}")));
        last = format!("r{i}");
        graph.node.push(node("Relu", &[&format!("a{i}")], last.clone()));
    }
    graph.output = vec![value(&last)];
    let opset = OperatorSetIdProto { domain: None, version: Some(17) };
    ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![opset],
        ..ModelProto::default()
    }
    .write_buf()
    .unwrap()
}

/// A model of which every run is a whole one.
struct Whole<'a>(&'a OnnxRunner);

impl Runner for Whole<'_> {
    fn tensors(&self) -> &[WeightTensor] {
        self.0.tensors()
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, RunnerError> {
        self.0.values(index)
    }

    fn outputs(&self, replaced: Values) -> Result<Vec<Output>, RunnerError> {
        self.0.outputs(replaced)
    }
}

/// Sensitivities cost the half of what whole runs cost, and are the same.
#[test]
fn sensitivities_take_half_of_the_passes() {
    let model = OnnxModel::from_bytes(&deep(20)).unwrap();
    let inputs = Inputs::synthetic(&model, 40, Seed(3)).unwrap();
    let runner = model.runner(&inputs).unwrap();
    let layers = runner.tensors().len();
    assert_eq!((layers, runner.samples()), (20, 40));
    let around = runner.around(&Values::new()).unwrap();
    for (index, tensor) in runner.tensors().iter().enumerate() {
        let values = Values::from([(tensor.name.clone(), other_values(&runner, index))]);
        around.outputs(index, values).unwrap();
    }
    let most = 0.6 * layers as f64 + 1.0;
    assert!(around.passes() < most, "{} passes, {most}", around.passes());

    let groups: Vec<WeightGroup> = (runner.tensors().iter().enumerate())
        .flat_map(|(index, tensor)| groups_of(index, tensor, Granularity::Tensor))
        .collect();
    let forward = |runner: &dyn Runner| forward_norms(runner, &groups, 3, Seed(1)).unwrap();
    assert_eq!(forward(&runner), forward(&Whole(&runner)));
    let golden: Values = (runner.tensors().iter().enumerate())
        .map(|(index, tensor)| (tensor.name.clone(), runner.values(index).unwrap()))
        .collect();
    let measured = |runner: &dyn Runner| {
        let recalibrator = Recalibrator::new(Recalibration::None, runner, &golden).unwrap();
        let read = |group: &WeightGroup, pattern: u32| {
            let mut values = golden.clone();
            let name = &runner.tensors()[group.tensor].name;
            values.get_mut(name).unwrap()[pattern as usize] += 0.5;
            Ok::<_, DeployError>(values)
        };
        measured_norms(runner, &recalibrator, &groups, 4, read).unwrap()
    };
    assert_eq!(measured(&runner), measured(&Whole(&runner)));
}

#[test]
fn tied_tensors_are_replaced_wherever_they_are() {
    let runner = runner("shared_axes");
    let index = runner.tensors().iter().position(|tensor| tensor.name == "equal1").unwrap();
    let with = |name: &str| {
        let values = Values::from([(name.to_owned(), other_values(&runner, index))]);
        runner.outputs(values).unwrap()
    };
    assert_eq!(with("equal1"), with("equal2"));
    let twice = ["equal1", "equal2"].map(|name| (name.to_owned(), vec![0.0; 64]));
    assert!(matches!(runner.outputs(twice.into()), Err(RunnerError::Twice { .. })));
    let unknown = Values::from([("equal3".to_owned(), vec![])]);
    assert!(matches!(runner.outputs(unknown), Err(RunnerError::UnknownTensor { .. })));
    let short = Values::from([("equal1".to_owned(), vec![0.0])]);
    assert!(matches!(runner.outputs(short), Err(RunnerError::Length { .. })));
}

/// Stored without faults every model gives the outputs of its quantized weights, whichever way it runs.
#[test]
fn without_flips_a_model_is_read_as_it_was_stored() {
    let memory = |p| MemoryModel::new(FlipProbability::symmetric(p).unwrap());
    for (name, _) in runnable() {
        let runner = runner(&name);
        let storing = |p| [Storing::new(memory(p), QuantizedSpec::default())];
        let stored = StoredModel::store(&runner, Granularity::Channel, &storing(0.0)).unwrap();
        let read = stored.read(Seed(1), 0, &stored.uniform(0)).unwrap();
        assert_eq!(read, stored.golden(), "{name}");
        let clean = runner.outputs(Values::new()).unwrap();
        let golden = runner.outputs(read).unwrap();
        let evaluation = Evaluation::new(clean, Metric::RelativeError).unwrap();
        let error = evaluation.score(&golden).unwrap();
        assert!(error < 0.1, "{name}: {error}");
        // With flips, trials side by side give what they give one by one.
        let stored = StoredModel::store(&runner, Granularity::Channel, &storing(0.01)).unwrap();
        let golden = stored.golden();
        let recalibrator = Recalibrator::new(Recalibration::None, &runner, &golden).unwrap();
        let trials = Trials::new(&runner, &recalibrator, &evaluation);
        let read = |trial| stored.read(Seed(1), trial, &stored.uniform(0));
        let scores = trials.scores(0..6, read).unwrap();
        let one_by_one: Vec<f64> =
            (0..6).map(|trial| trials.score(read(trial).unwrap()).unwrap()).collect();
        assert_eq!(scores, one_by_one, "{name}");
    }
}

#[test]
fn batches_of_any_size_give_the_same_outputs() {
    for (name, expected) in runnable().filter(|(_, model)| model["batch"] == "dynamic") {
        let (model, inputs) = (open(&name), inputs(&name, &expected));
        let whole = model.runner(&inputs).unwrap().outputs(Values::new()).unwrap();
        // Turned sequences do not have their samples first, and `If` looks at all of them.
        let Ok(runner) = model.runner_in_batches(&inputs, 2) else {
            assert!(["lstm", "gru"].contains(&name.as_str()), "{name}");
            continue;
        };
        for (whole, cut) in whole.iter().zip(runner.outputs(Values::new()).unwrap()) {
            assert_eq!(whole.shape, cut.shape, "{name}");
            let close = whole.values.iter().zip(&cut.values).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(close, "{name}");
        }
    }
}

/// The mean square of what a weight is multiplied with, computed by hand.
#[test]
fn input_power_is_the_mean_square_of_what_weights_see() {
    let mlp = runner("mlp_gemm");
    let (shape, x) = npz::floats(&arrays("mlp_gemm")["x"]);
    let power = mlp.input_power(0).unwrap().unwrap();
    for (position, power) in power.iter().enumerate() {
        // `fc1.weight` is `[16, 12]`, with inputs along its columns.
        let column = x.iter().skip(position % 12).step_by(12);
        let mean = column.map(|x| x * x).sum::<f32>() / shape[0] as f32;
        assert!((power - mean).abs() < 1e-5, "{power} {mean}");
    }
    // The table is also the head: how often a row is looked up, and the power of what the head sees.
    let tied = runner("embedding_tied");
    let index = tied.tensors().iter().position(|tensor| tensor.name == "table").unwrap();
    let power = tied.input_power(index).unwrap().unwrap();
    let rows: Vec<f32> = power.iter().step_by(8).copied().collect();
    let least = rows.iter().copied().fold(f32::INFINITY, f32::min);
    let looked_up: f32 = rows.iter().map(|row| row - least).sum();
    assert!((looked_up - 1.0).abs() < 1e-4, "{looked_up}");
    // A depthwise convolution: each output channel sees one input channel.
    let conv = runner("conv_bn");
    let power = conv.input_power(1).unwrap().unwrap();
    for channel in power.chunks(9) {
        assert!(channel.iter().all(|value| *value == channel[0] && *value >= 0.0));
    }
    assert!(runner("lstm").input_power(0).unwrap().is_some());
    assert!(runner("lstm").input_power(1).unwrap().is_none());
}

#[test]
fn inputs_that_do_not_fit_are_refused_by_name() {
    let model = open("mlp_gemm");
    let refused = |inputs: &Inputs| model.runner(inputs).unwrap_err().to_string();
    assert_eq!(
        refused(&Inputs::new()),
        "input \"x\" is missing: \"x\" of floats [batch, 12] is needed"
    );
    let wide = Inputs::new().with("x", Array::f32([2, 13], vec![0.0; 26]));
    assert_eq!(refused(&wide), "input \"x\" has shape [2, 13]: the model takes [batch, 12]");
    let none = Inputs::new().with("x", Array::f32([0, 12], vec![]));
    assert_eq!(refused(&none), "input \"x\" has no samples");
    let fixed = open("matmul_sides");
    let four = Inputs::new().with("x", Array::f32([4, 7, 8], vec![0.0; 224]));
    assert!(matches!(fixed.runner(&four), Err(RunError::Inputs(_))));
    let six = Inputs::new().with("x", Array::f32([6, 7, 8], vec![0.5; 336]));
    assert_eq!(fixed.runner(&six).unwrap().outputs(Values::new()).unwrap()[0].shape[0], 6);
    let nan = Inputs::new().with("x", Array::f32([3, 7, 8], vec![f32::NAN; 168]));
    let error = fixed.runner(&nan).unwrap_err().to_string();
    assert!(
        error.ends_with("60 values that are no numbers, without any fault, the first at 0"),
        "{error}"
    );
}

#[test]
fn random_inputs_are_drawn_for_every_model() {
    for (name, _) in runnable() {
        let model = open(&name);
        let samples = if name == "matmul_sides" { 3 } else { 4 };
        let inputs = Inputs::synthetic(&model, samples, Seed(1)).unwrap();
        assert_eq!(inputs, Inputs::synthetic(&model, samples, Seed(1)).unwrap());
        assert_ne!(inputs, Inputs::synthetic(&model, samples, Seed(2)).unwrap());
        model.runner(&inputs).unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
    }
}

/// Sizes that the graph leaves open are asked for by name.
#[test]
fn random_inputs_need_all_sizes() {
    let mut proto = rten_onnx::onnx::ModelProto::parse_buf(&deep(1)).unwrap();
    let input = &mut proto.graph.as_mut().unwrap().input[0];
    let tensor = input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
    let width = &mut tensor.shape.as_mut().unwrap().dim[1];
    (width.dim_value, width.dim_param) = (None, Some("width".to_owned()));
    let model = OnnxModel::from_bytes(&proto.write_buf().unwrap()).unwrap();
    let error = Inputs::synthetic(&model, 2, Seed(1)).unwrap_err().to_string();
    assert_eq!(
        error,
        "the size of dimension \"width\" of input \"x\" is not known: random inputs need one"
    );
    let sizes = BTreeMap::from([("width".to_owned(), 4)]);
    let inputs = Inputs::synthetic_with(&model, 2, Seed(1), &sizes).unwrap();
    assert_eq!(model.runner(&inputs).unwrap().samples(), 2);
}

#[test]
fn other_files_are_told_apart() {
    let error = OnnxModel::open(folder().join("expected.json")).unwrap_err();
    assert!(matches!(error, OnnxError::Foreign { .. }), "{error}");
    let error = OnnxModel::open(folder().join("none.onnx")).unwrap_err();
    assert!(matches!(error, OnnxError::Read { .. }), "{error}");
    let external = std::fs::read(folder().join("external.onnx")).unwrap();
    let error = OnnxModel::from_bytes(&external).unwrap_err();
    assert!(matches!(error, OnnxError::External { .. }), "{error}");
    assert!(OnnxModel::from_bytes(&[]).is_err());
}

/// Cut off anywhere, or with any bytes changed, a file is opened or refused.
#[test]
fn hostile_files_are_refused() {
    for name in ["mlp_gemm", "lookthrough", "if", "qdq"] {
        let bytes = std::fs::read(folder().join(format!("{name}.onnx"))).unwrap();
        for length in (0..bytes.len()).step_by(bytes.len() / 97 + 1) {
            assert!(OnnxModel::from_bytes(&bytes[..length]).is_err(), "{name} {length}");
        }
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize % below
        };
        for _ in 0..200 {
            let mut changed = bytes.clone();
            for _ in 0..=random(3) {
                let at = random(changed.len());
                changed[at] ^= 1 << random(8);
            }
            if let Ok(model) = OnnxModel::from_bytes(&changed)
                && let Ok(inputs) = Inputs::synthetic(&model, 2, Seed(1))
                && let Ok(runner) = model.runner(&inputs)
            {
                let _ = runner.outputs(Values::new());
            }
        }
    }
}

/// Arrays of numpy in a zip archive without compression.
mod npz {
    use std::collections::BTreeMap;

    use qtaml_onnx::Array;

    pub(super) fn read(mut bytes: &[u8]) -> BTreeMap<String, Array> {
        let mut arrays = BTreeMap::new();
        while bytes.starts_with(b"PK\x03\x04") {
            let field = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
            assert_eq!(field(8), 0, "compressed");
            let size = field(18) | field(20) << 16;
            let (name, extra) = (field(26), field(28));
            let start = 30 + name + extra;
            let name = String::from_utf8(bytes[30..30 + name].to_vec()).unwrap();
            let name = name.strip_suffix(".npy").unwrap().to_owned();
            arrays.insert(name, array(&bytes[start..start + size]));
            bytes = &bytes[start + size..];
        }
        arrays
    }

    fn array(npy: &[u8]) -> Array {
        assert!(npy.starts_with(b"\x93NUMPY\x01"));
        let length = usize::from(u16::from_le_bytes([npy[8], npy[9]]));
        let header = std::str::from_utf8(&npy[10..10 + length]).unwrap();
        assert!(header.contains("'fortran_order': False"));
        let between = |from: &str, to: &str| {
            let rest = header.split_once(from).unwrap().1;
            rest.split_once(to).unwrap().0.to_owned()
        };
        let shape: Vec<usize> = between("'shape': (", ")")
            .split(',')
            .filter_map(|size| size.trim().parse().ok())
            .collect();
        let data = &npy[10 + length..];
        match between("'descr': '", "'").as_str() {
            "<f4" => Array::f32(shape, numbers(data, f32::from_le_bytes)),
            "<i4" => Array::i32(shape, numbers(data, i32::from_le_bytes)),
            "<i8" => Array::i64(shape, &numbers(data, i64::from_le_bytes)),
            "|b1" => Array::bool(shape, &data.iter().map(|&byte| byte != 0).collect::<Vec<_>>()),
            other => panic!("{other}"),
        }
    }

    fn numbers<T, const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
        data.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
    }

    /// Shape and values of an array, integers as floats.
    pub(super) fn floats(array: &Array) -> (Vec<usize>, Vec<f32>) {
        (array.shape().to_vec(), array.to_f32())
    }
}
