//! Errors of ONNX models, of their inputs and of their runs.

use std::error::Error;
use std::path::PathBuf;

use qtaml_files::FileFormat;

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of another kind.
    #[error("{} is no ONNX model, but {format}: {}", path.display(), format.advice())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        format: FileFormat,
    },
    /// Bytes that are no model, as those of a file that was cut off.
    #[error("this is no ONNX model, or a part of one")]
    Parse(#[source] Box<dyn Error + Send + Sync>),
    /// A model without a graph.
    #[error("the model has no graph")]
    NoGraph,
    /// A model that does not say which operators it is made of, as one that was cut off behind its graph.
    #[error("the model names no version of its operators")]
    NoOperatorSet,
    /// Graphs in graphs, or messages in messages, deeper than any model needs.
    #[error("messages lie in messages {depth} deep: at most {most} are read")]
    TooDeep {
        /// How deep they lie.
        depth: usize,
        /// The most that is allowed.
        most: usize,
    },
    /// A tensor of the file that contradicts itself, or that no weight can be.
    #[error("tensor {name:?}: {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An external file that cannot be read.
    #[error("tensor {name:?} lies in {location:?} beside the model, which cannot be read")]
    External {
        /// The tensor.
        name: String,
        /// The file that the model names.
        location: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// An operator that cannot be run faithfully.
    #[error("operator {operator} of node {node:?} is not supported: {reason}")]
    Operator {
        /// The operator.
        operator: String,
        /// The node, by its name or else by its first output.
        node: String,
        /// Why.
        reason: String,
    },
    /// A model that the runtime does not load.
    #[error("the model cannot be loaded")]
    Load(#[source] Box<dyn Error + Send + Sync>),
    /// A model in which nothing could be stored.
    #[error(
        "the model has no weights: no operator of {operators} has a constant operand of floats and of rank two or more"
    )]
    NoWeights {
        /// The operators that have weights.
        operators: String,
    },
}

/// Why inputs do not fit a model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Inputs of different numbers of samples.
    #[error("input {name:?} has {count} samples, and input {other:?} has {expected}")]
    Uneven {
        /// One input.
        name: String,
        /// Its samples.
        count: usize,
        /// Another input.
        other: String,
        /// Its samples.
        expected: usize,
    },
    /// A sample that there is not.
    #[error("sample {sample} is none of the {count} samples, which begin at 0")]
    Sample {
        /// The number that was given.
        sample: usize,
        /// How many there are.
        count: usize,
    },
    /// Values that do not fill their shape.
    #[error("input {name:?} has {values} values, its shape is {shape:?}")]
    Length {
        /// The input.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The number of its values.
        values: usize,
    },
    /// An input that the model does not have.
    #[error("the model has no input {name:?}: its inputs are {}", known.join(", "))]
    Unknown {
        /// The name that was given.
        name: String,
        /// The inputs of the model, with type and shape.
        known: Vec<String>,
    },
    /// An input without values.
    #[error("input {name:?} is missing: {expected} is needed")]
    Missing {
        /// The input.
        name: String,
        /// Its type and shape.
        expected: String,
    },
    /// Values of another type.
    #[error("input {name:?} is of {found}: the model takes {expected}")]
    Kind {
        /// The input.
        name: String,
        /// The type that was given.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// An integer that the runtime has no place for: it computes with 32 bits.
    #[error(
        "value {value} of input {name:?} is outside {} to {}, as large as integers of the runtime are",
        i32::MIN,
        i32::MAX
    )]
    Integer {
        /// The input.
        name: String,
        /// The value.
        value: i64,
    },
    /// A shape of another rank, or with another size where it is fixed.
    #[error("input {name:?} has shape {found:?}: the model takes {expected}")]
    Shape {
        /// The input.
        name: String,
        /// The shape that was given.
        found: Vec<usize>,
        /// What is allowed.
        expected: String,
    },
    /// Two sizes of one dimension.
    #[error(
        "dimension {dimension:?} is {first} in input {first_input:?} and {second} in {second_input:?}: it is one and the same"
    )]
    Disagree {
        /// The dimension.
        dimension: String,
        /// Its size in one input.
        first: usize,
        /// That input.
        first_input: String,
        /// Its size in another.
        second: usize,
        /// The other.
        second_input: String,
    },
    /// Another number of samples than the model can take.
    #[error(
        "input {name:?} has {samples} samples: the model takes {batch} at a time, and a multiple of that is needed"
    )]
    Samples {
        /// The input.
        name: String,
        /// The samples that were given.
        samples: usize,
        /// The samples of one batch.
        batch: usize,
    },
    /// No samples.
    #[error("input {name:?} has no samples")]
    Empty {
        /// The input.
        name: String,
    },
    /// Random inputs of a model that leaves their shapes open.
    #[error("the size of {} is not known: random inputs need one", unknown.join(", "))]
    Open {
        /// The dimensions, with the inputs that have them.
        unknown: Vec<String>,
    },
    /// A type that random inputs cannot be drawn of, or values cannot be given of.
    #[error("input {name:?} is of type {kind}, which is not supported")]
    Type {
        /// The input.
        name: String,
        /// Its type.
        kind: String,
    },
}

/// Why a model cannot be run on inputs, or not as the file says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Inputs that do not fit.
    #[error(transparent)]
    Inputs(#[from] InputError),
    /// What the runtime says.
    #[error("the runtime cannot run the model")]
    Runtime(#[source] Box<dyn Error + Send + Sync>),
    /// An output that is no tensor of numbers.
    #[error("output {output:?} is {found}: tensors of numbers are needed")]
    Output {
        /// The output.
        output: String,
        /// What it is.
        found: String,
    },
    /// An output that does not have the samples along its first axis.
    #[error(
        "output {output:?} has shape {found:?} for {samples} samples of {of}: batches cannot be put together unless the first axis has the samples"
    )]
    Batch {
        /// The output.
        output: String,
        /// Its shape for one batch.
        found: Vec<usize>,
        /// The samples of the batch.
        samples: usize,
        /// The samples of all batches.
        of: usize,
    },
    /// Outputs that are no numbers although nothing is faulty.
    #[error(
        "output {output:?} has {count} values that are no numbers, without any fault, the first at {first}"
    )]
    NotANumber {
        /// The output.
        output: String,
        /// How many.
        count: usize,
        /// The index of the first.
        first: usize,
    },
    /// A model that computes something else once its weights are inputs.
    #[error(
        "output {output:?} differs by {difference:e} from that of the unchanged file, where its largest value is {largest:e}: at most {allowed:e} of that is allowed"
    )]
    Differs {
        /// The output.
        output: String,
        /// The largest difference.
        difference: f64,
        /// The largest value of the output.
        largest: f64,
        /// What is allowed, as a share of the largest value.
        allowed: f64,
    },
}
