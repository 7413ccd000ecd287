//! Any ONNX model as a runner: its weights in a faulty memory, on a runtime in pure Rust.
//!
//! [`OnnxModel::open`] reads a file and tells its weights from all else by the operators that use them.
//! A graph is made in which these weights are inputs, and [`OnnxModel::runner`] runs it on fixed
//! [`Inputs`]: the [`OnnxRunner`] is a [`Runner`](qtaml_deploy::Runner), with which models are stored,
//! read with faults, planned and judged (`qtaml_deploy`). The runtime is `rten`.
//!
//! Before anything else the unchanged file is run on the same inputs, and must give the same outputs
//! ([`Agreement`]). What cannot be run faithfully is refused by name: integer operators other than
//! `DequantizeLinear` of stored weights, random ones, and those that the runtime does not know.
//!
//! ```
//! use qtaml_compensation::storage::QuantizedSpec;
//! use qtaml_deploy::{Evaluation, Granularity, Metric, Runner, StoredModel, Storing, Values};
//! use qtaml_fault::{MemoryModel, Seed};
//! use qtaml_onnx::{Array, Inputs, OnnxModel};
//! use qtaml_physics::FlipProbability;
//! # use rten_onnx::onnx::*;
//! # fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
//! #     let dim = dims.iter().map(|&d| Dimension { dim_value: Some(d), dim_param: None }).collect();
//! #     let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(TensorShapeProto { dim }) };
//! #     ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type: Some(tensor), sequence: None }) }
//! # }
//! # let weight = TensorProto {
//! #     name: Some("w".into()), dims: vec![2, 2], data_type: Some(DataType::FLOAT),
//! #     float_data: vec![0.5, -1.0, 2.0, 0.25], ..Default::default()
//! # };
//! # let node = NodeProto {
//! #     op_type: Some("MatMul".into()), input: vec!["x".into(), "w".into()], output: vec!["y".into()],
//! #     ..Default::default()
//! # };
//! # let graph = GraphProto {
//! #     node: vec![node], initializer: vec![weight], input: vec![value("x", &[2, 2])],
//! #     output: vec![value("y", &[2, 2])], value_info: vec![],
//! # };
//! # let opset = OperatorSetIdProto { domain: None, version: Some(17) };
//! # let proto = ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..Default::default() };
//! # let bytes = proto.write_buf()?;
//!
//! // `bytes` is the model `y = x w`, with `w` of shape [2, 2].
//! let model = OnnxModel::from_bytes(&bytes)?;
//! assert_eq!(model.tensors()[0].name, "w");
//! assert_eq!(model.tensors()[0].output_axis, Some(1));
//!
//! let inputs = Inputs::new().with("x", Array::f32([2, 2], vec![1.0, 0.0, 0.0, 1.0]));
//! let runner = model.runner(&inputs)?;
//! let clean = runner.outputs(Values::new())?;
//! assert_eq!(clean[0].values, [0.5, -1.0, 2.0, 0.25]);
//!
//! // Stored in a memory in which one bit in ten flips, and read on the first device.
//! let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
//! let storing = Storing::new(memory, QuantizedSpec::default());
//! let stored = StoredModel::store(&runner, Granularity::Channel, &[storing])?;
//! let read = stored.read(Seed(1), 0, &stored.uniform(0))?;
//! let evaluation = Evaluation::new(clean, Metric::RelativeError)?;
//! assert!(evaluation.score(&runner.outputs(read)?)? > 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

mod batches;
mod cells;
mod complete;
mod constants;
mod copy;
mod dequantize;
mod error;
mod external;
mod fold;
mod hoist;
mod inputs;
mod lineage;
mod model;
mod operands;
mod power;
mod run;
mod runner;
mod scope;
mod suffix;
mod synthetic;
mod tensor;
mod thread;
mod weights;
mod wire;

pub use cells::{StoredCodes, StoredTensor};
pub use copy::{CopyError, WeightsCopy, WrittenTensor};
pub use error::{InputError, OnnxError, RunError};
pub use inputs::{Array, Dim, InputKind, InputSpec, Inputs};
pub use model::OnnxModel;
pub use runner::{Agreement, OnnxRunner};
