//! What is wrong with a GGUF file.

use std::io;

use crate::FileFormat;

/// Why a GGUF file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// A file of another kind.
    #[error("it is {format}: {}", format.advice())]
    Foreign {
        /// What it is.
        format: FileFormat,
    },
    /// A file of ggml before this format.
    #[error("it is of an older format of llama.cpp: its tools make a GGUF file of it")]
    Older,
    /// What the system says.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// The file ends within its header.
    #[error("it ends after {bytes} bytes, within {part}")]
    Ends {
        /// The length of the file.
        bytes: u64,
        /// What was being read.
        part: &'static str,
    },
    /// A version that is not read.
    #[error("it is of version {version}: 2 and 3 are read")]
    Version {
        /// The number; that of a big-endian file is some other.
        version: u32,
    },
    /// A count or a length that the file has no room for.
    #[error("it is to have {count} {what}, and its {bytes} bytes have no room for them")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u64,
        /// The length of the file.
        bytes: u64,
    },
    /// A text that is no UTF-8.
    #[error("{part} is no UTF-8")]
    Text {
        /// What it is.
        part: &'static str,
    },
    /// A type of metadata that the format does not have, or lists within lists without end.
    #[error(
        "the metadata {key:?} are of the unknown type {number}: 0 to 12 are known, and lists within lists are not read"
    )]
    MetadataType {
        /// The key.
        key: String,
        /// The number of the type.
        number: u32,
    },
    /// Two entries of one name.
    #[error("it has two {what} named {name:?}")]
    Twice {
        /// What they are.
        what: &'static str,
        /// Their name.
        name: String,
    },
    /// Metadata that are missing or no such value.
    #[error("the metadata {key:?} are {found}, and {expected} is needed")]
    Metadata {
        /// The key.
        key: String,
        /// What is there.
        found: String,
        /// What is needed.
        expected: &'static str,
    },
    /// An alignment that is no power of two.
    #[error(
        "its tensors lie at multiples of {alignment}, which is no power of two from 1 to 65536"
    )]
    Alignment {
        /// The number.
        alignment: u64,
    },
    /// A type of values that is not read.
    #[error(
        "tensor {tensor:?} is of type {number}: F32 (0), F16 (1), Q4_0 (2), Q4_1 (3), Q8_0 (8), Q4_K (12), Q6_K (14) and \
         BF16 (30) are read"
    )]
    Type {
        /// The tensor.
        tensor: String,
        /// The number of the type.
        number: u32,
    },
    /// A shape that no tensor of this type has.
    #[error("tensor {tensor:?} has shape {shape:?}: {problem}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape, outermost dimension first.
        shape: Vec<u64>,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A place that no tensor can have.
    #[error("tensor {tensor:?} lies at {begin} with {length} bytes: {problem}")]
    Place {
        /// The tensor.
        tensor: String,
        /// Where it is to begin, from the first tensor on.
        begin: u64,
        /// Its length in bytes.
        length: u64,
        /// What is wrong with that.
        problem: &'static str,
    },
}
