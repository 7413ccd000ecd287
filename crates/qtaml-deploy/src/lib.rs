//! A model's weights in a faulty memory, on any framework that can run the model.
//!
//! A model is a list of named tensors and a function from their values to outputs: a [`Runner`].
//! Whoever implements that one trait, for a module of burn, a graph of ONNX or a callback of another
//! language, gets all of this crate.
//!
//! Tensors say what they are ([`WeightTensor`]): role, output axis, type and ties are stated, never
//! guessed from a rank or a name. [`groups_of`] cuts them into what shares one scale.
//!
//! A [`StoredModel`] holds each group with the ways to store it, in the memories and as the specs of
//! [`Storing`] say. It reads the weights under the faults of a trial, and a [`Plan`] of how each group
//! is stored is made of it and carried out by it.
//!
//! Where one tensor is changed at a time, a runner may keep what lies before it ([`BaseRun`]).
//!
//! Outputs are judged by a [`Metric`], or a user's own ([`Evaluation`]). How much they depend on each
//! group of weights is measured with gradients or without ([`sensitivity`]). What is read with faults
//! can be repaired from inputs without labels ([`Recalibration`]). [`Trials`] read, repair, run and
//! judge a model under fault patterns; the smallest protection budget that keeps a target, in the
//! mean over devices or in yield, is searched with them ([`budget`]).
//!
//! What a plan burns into a memory is written as a [stored folder](stored_folder), which gives the weights
//! back, with faults or without.
//!
//! The weights of safetensors files need no framework to be stored and to be written back as they are read
//! ([`checkpoint_weights`]).
//!
//! Experiments are [jobs](job): described as data, done once, kept as one file each.
//!
//! [`Plan`]: qtaml_compensation::Plan
#![deny(missing_docs)]

mod base_run;
pub mod budget;
pub mod checkpoint_weights;
mod error;
mod evaluation;
mod group;
mod highest;
pub mod job;
mod metric;
mod offer;
mod planned;
pub mod planner;
mod recalibration;
mod runner;
pub mod scheme;
pub mod sensitivity;
mod stored;
pub mod stored_folder;
mod tensor;
#[cfg(test)]
mod testing;
mod trials;

pub use base_run::BaseRun;
pub use error::{
    BudgetError, DeployError, EvaluationError, RecalibrationError, SensitivityError,
    StoredModelError,
};
pub use evaluation::Evaluation;
pub use group::{WeightGroup, groups_of};
pub use highest::{highest, margin};
pub use metric::{Judge, Judged, JudgedRow, Metric, OwnMetric, UNLABELLED};
pub use planned::PlanError;
pub use qtaml_quant::{ChannelMajor, Granularity, UnknownName};
pub use recalibration::{Observed, Recalibration, RecalibrationNeeds, Recalibrator};
pub use runner::{Output, Runner, RunnerError, Values, check_values};
pub use sensitivity::GroupSensitivity;
pub use stored::{StoredGroup, StoredModel, Storing};
pub use tensor::{FloatType, Role, WeightTensor};
pub use trials::Trials;
