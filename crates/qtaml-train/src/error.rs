//! Errors of networks, data, devices and files.

use std::path::PathBuf;

use qtaml_fault::FaultError;
use qtaml_physics::PhysicsError;
use qtaml_quant::QuantError;

/// Why a network could not be trained, stored, read or evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A name that no backend has.
    #[error("unknown device {name:?}: the devices of this build are {}", allowed.join(", "))]
    UnknownDevice {
        /// The name that was given.
        name: String,
        /// The names that this build knows.
        allowed: Vec<&'static str>,
    },
    /// The backend is built in, but the machine has nothing to run it on.
    #[error("no device found for {0:?}: the backend is built in, but lists no hardware here")]
    NoDevice(&'static str),
    /// Data that are not what they should be.
    #[error("data set {name}: {problem}")]
    Data {
        /// Which data.
        name: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// A parameter that the network does not have.
    #[error("unknown parameter {name:?}: the network has {}", known.join(", "))]
    UnknownParameter {
        /// The name that was given.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// Values that do not fit their parameter.
    #[error("{values} values for parameter {name:?} of shape {shape:?}")]
    ParameterShape {
        /// The parameter.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The number of values that were given.
        values: usize,
    },
    /// Tensors that cannot be listed, read or replaced.
    #[error(transparent)]
    Weights(#[from] crate::WeightsError),
    /// A number that makes no sense.
    #[error("{what} is {value}: {allowed}")]
    Range {
        /// What the number is.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A file that could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file with other content than expected.
    #[error("{} is not a usable checkpoint: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A physical number out of range.
    #[error(transparent)]
    Physics(#[from] PhysicsError),
    /// Weights that cannot be quantized.
    #[error("parameter {name:?} cannot be quantized")]
    Quant {
        /// The parameter.
        name: String,
        /// Why it was refused.
        source: QuantError,
    },
    /// A fault model that makes no sense.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A loss or a weight that stopped being a number.
    #[error(
        "training diverged at step {step} (learning rate {learning_rate}): the loss is {loss}, and not finite first are the {first}"
    )]
    NotFinite {
        /// The step, from 0.
        step: u64,
        /// Its learning rate.
        learning_rate: f64,
        /// The loss of its batch.
        loss: f32,
        /// Weights or gradients of which parameter, in the order of the network's fields.
        first: String,
    },
    /// A loss that is a function of no parameter.
    #[error("the loss has no gradient: no parameter of the network that learns has a part in it")]
    NoGradient,
    /// The checkpoint of a run that differs from the one that was asked for.
    #[error("{} is of another run: {}", path.display(), differences.join("; "))]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// Each field that differs, with both values.
        differences: Vec<String>,
    },
    /// A training that was asked to stop.
    #[error("training stopped after step {step} of {of}, as asked")]
    Stopped {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        of: u64,
    },
}
