//! Quantum-tunneling-aware machine learning: from a leaking oxide to a network that lives with it.
//!
//! Memory cells leak. Electrons tunnel through thin gate oxides and flip bits of stored weights.
//! Digital logic cannot live with that; a neural network can, if the errors are modelled right.
//! This crate is the front door to a family that does so. It holds no code of its own: each
//! chapter below is a crate that can be depended on alone.
//!
//! | module | crate | what it answers |
//! | --- | --- | --- |
//! | [`physics`] | `qtaml-physics` | How likely does a bit flip, given oxide, field and time? |
//! | [`quant`] | `qtaml-quant` | Which bits does a weight have, and what are they worth? |
//! | [`fault`] | `qtaml-fault` | What is read back, and how is it distributed? |
//! | [`compensation`] | `qtaml-compensation` | What to believe, and which bits to protect? |
//! | [`files`] | `qtaml-files` | How are large models read, and files written whole? |
//! | [`deploy`] | `qtaml-deploy` | What does a memory make of my model, on any framework? |
//! | `onnx` | `qtaml-onnx` | What does a memory make of an ONNX file? With the feature `onnx` |
//! | `train` | `qtaml-train` | What does a network make of it? With a backend, see below |
//!
//! # From oxide to network
//!
//! A cell gives a flip probability, and the probability gives the distribution of the error:
//!
//! ```
//! use qtaml::prelude::*;
//!
//! // 4.5 nm of SiO2, attempts at 10 THz, no field, 300 K: one bit in ten is lost after 23 years.
//! let cell = Cell::new(Barrier::sio2(4.5)?, 1e13);
//! let retention_s = cell.retention_for(0.1, &Condition::at_rest(0.0))?;
//! let p = cell.flip_probability(&Condition::at_rest(retention_s))?;
//!
//! // Stored as INT8, a weight of code 100 then reads as 79.9 in the mean.
//! let channel = QuantizedChannel::new(p, BitWidth::INT8, BitMask::NONE)?;
//! let stored = channel.format().word_of(Code(100));
//! assert!((channel.mean(stored) - 79.9).abs() < 1e-6);
//!
//! // Protecting the top two of its eight bits takes away 15/16 of the variance.
//! let kept = QuantizedChannel::new(p, BitWidth::INT8, BitMask::top(2, BitWidth::INT8)?)?;
//! assert!((kept.variance(stored) / channel.variance(stored) - 1.0 / 16.0).abs() < 1e-3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `train` continues the walk with a network.
//!
//! # Features
//!
//! One per backend, under burn's names: `flex` (default, CPU), `ndarray` (CPU), `wgpu`, `vulkan`
//! and `cuda`. Code does not change with the backend: it takes a `train::Device`, and
//! `train::device::open` makes one from its name. Each implies `train`, which is the module of that
//! name; without default features there is neither that nor burn. `onnx` runs ONNX files, with or
//! without burn.
#![deny(missing_docs)]

pub use qtaml_compensation as compensation;
pub use qtaml_deploy as deploy;
pub use qtaml_fault as fault;
pub use qtaml_files as files;
#[cfg(feature = "onnx")]
pub use qtaml_onnx as onnx;
pub use qtaml_physics as physics;
pub use qtaml_quant as quant;
#[cfg(feature = "train")]
pub use qtaml_train as train;

/// What most programs need, in one line: `use qtaml::prelude::*;`.
pub mod prelude {
    pub use crate::compensation::storage::{BitChoice, QuantizedSpec, ScalePolicy, StorageSpec};
    pub use crate::compensation::{
        Accounting, Allocation, Budget, CodeHistogram, DecodeTable, Decoder, Plan, Prior, Score,
        Selection, WeightStorage, allocation,
    };
    pub use crate::deploy::{
        Evaluation, Granularity, Metric, Recalibration, Role, Runner, StoredModel, Storing,
        WeightTensor,
    };
    pub use crate::fault::{
        BitFlips, BitMask, ChannelMatrix, Ecc, FaultModel, FaultStream, MemoryModel, ProtectionMap,
        QuantizedChannel, Seed,
    };
    pub use crate::physics::{Barrier, Cell, Condition, FlipProbability, FlipProfile};
    pub use crate::quant::{BitWidth, Code, Encoding, Format, QuantizedTensor, Word};
    #[cfg(feature = "train")]
    pub use crate::train::{
        AccuracyTest, BurnRunner, Classifier, Dataset, Device, Images, LeNetConfig, TrainerConfig,
        device, train,
    };
}

/// The example of the README, so that it keeps compiling.
#[cfg(all(doctest, feature = "flex"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
