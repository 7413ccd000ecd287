//! What can go wrong between a network and its data, device and files.

use std::path::PathBuf;

use qtaml_compensation::CompensationError;
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
    /// An allocation or scores for another network.
    #[error("{given} units were given, the network stores {units}")]
    Allocation {
        /// Units of the network.
        units: usize,
        /// Units that were given.
        given: usize,
    },
    /// An allocation that chooses what is not there.
    #[error("choice {choice} of unit {unit:?} was taken, but it has {choices}")]
    Candidate {
        /// The unit.
        unit: String,
        /// The choice.
        choice: usize,
        /// How many there are.
        choices: usize,
    },
    /// A unit that cannot be stored or read.
    #[error("{name}: {source}")]
    Stored {
        /// The unit.
        name: String,
        /// Why.
        source: CompensationError,
    },
    /// A plan that does not fit the network.
    #[error(transparent)]
    Plan(#[from] crate::PlanError),
    /// A memory that leaves no way to store anything.
    #[error("the memory offers no choice: it needs a ecc and a set of protected bits at least")]
    NoChoices,
    /// A network without weights to store.
    #[error("the network has no weights of rank two or more: nothing to store")]
    NoWeights,
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
    #[error("cannot {action} {}: {source}", path.display())]
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
    #[error("parameter {name:?}: {source}")]
    Quant {
        /// The parameter.
        name: String,
        /// Why it was refused.
        source: QuantError,
    },
    /// A fault model that makes no sense.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A compensation that cannot be made.
    #[error(transparent)]
    Compensation(#[from] CompensationError),
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
    /// The checkpoint of a run that differs from the one that was asked for.
    #[error("{} is of another run: {}", path.display(), differences.join("; "))]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// Each field that differs, with both values.
        differences: Vec<String>,
    },
}
