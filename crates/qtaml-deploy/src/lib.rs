//! A model's weights in a faulty memory, on any framework that can run the model.
//!
//! A model is a list of named tensors and a function from their values to outputs: a [`Runner`].
//! Whoever implements that one trait, for a module of burn, a graph of ONNX or a callback of another
//! language, gets all of this crate.
//!
//! Tensors say what they are ([`WeightTensor`]): role, output axis, type and ties are stated, never
//! guessed from a rank or a name. [`groups_of`] cuts them into what shares one scale.
#![deny(missing_docs)]

mod group;
mod runner;
mod tensor;

pub use group::{ChannelMajor, Granularity, GranularityError, WeightGroup, groups_of};
pub use runner::{Output, Runner, RunnerError, Values, check_values};
pub use tensor::{FloatType, Role, UnknownName, WeightTensor};
