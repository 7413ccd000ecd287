//! Errors of ONNX files.

use std::io;
use std::path::PathBuf;

use super::ElementType;
use crate::FileFormat;

/// What is wrong with an ONNX file, or with a copy that is to be made of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// A file of another kind.
    #[error("it is {format}")]
    Foreign {
        /// What it is.
        format: FileFormat,
    },
    /// A protocol buffer without a graph.
    #[error("there is no graph in it")]
    NoGraph,
    /// A length beyond the end of what holds it.
    #[error("at byte {at}: {length} bytes are said to follow, and {left} do")]
    Beyond {
        /// Where they are said to begin.
        at: u64,
        /// Their number.
        length: u64,
        /// How many there are.
        left: u64,
    },
    /// A number that has no end.
    #[error("at byte {at}: a number of more than 64 bits")]
    Varint {
        /// Where it begins.
        at: u64,
    },
    /// A wire type that ONNX does not use.
    #[error("at byte {at}: wire type {kind}, and ONNX has 0, 1, 2 and 5")]
    WireType {
        /// Where the field begins.
        at: u64,
        /// The wire type.
        kind: u64,
    },
    /// Field number 0.
    #[error("at byte {at}: a field without a number")]
    FieldZero {
        /// Where it begins.
        at: u64,
    },
    /// Graphs in graphs without end.
    #[error("at byte {at}: graphs in graphs, more than {most} deep")]
    Depth {
        /// Where the innermost graph begins.
        at: u64,
        /// How deep they may be.
        most: usize,
    },
    /// A name that is no name.
    #[error("at byte {at}: a text of {length} bytes, more than {most}")]
    LongText {
        /// Where it begins.
        at: u64,
        /// Its length.
        length: u64,
        /// The longest allowed one.
        most: u64,
    },
    /// A text that is none.
    #[error("at byte {at}: a text that is no UTF-8")]
    Text {
        /// Where it begins.
        at: u64,
    },
    /// A tensor with too many dimensions, before its name is known.
    #[error("at byte {at}: a tensor of more than {most} dimensions")]
    Rank {
        /// Where it begins.
        at: u64,
        /// How many it may have.
        most: usize,
    },
    /// A tensor that is named more than once.
    #[error("it has tensor {tensor:?} twice")]
    Duplicate {
        /// The tensor.
        tensor: String,
    },
    /// A type that ONNX does not have.
    #[error("tensor {tensor:?} is of type {dtype}, and ONNX has 1 to 28")]
    Dtype {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: u64,
    },
    /// A shape whose elements cannot be counted.
    #[error("tensor {tensor:?} of shape {shape:?} has no number of elements that can be counted")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<i64>,
    },
    /// A tensor that does not fill its place.
    #[error(
        "tensor {tensor:?} of {dtype} and shape {shape:?} has {bytes} bytes, and a place of {place}"
    )]
    Size {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: ElementType,
        /// Its shape.
        shape: Vec<usize>,
        /// The bytes of its elements.
        bytes: u64,
        /// The bytes of its place.
        place: u64,
    },
    /// A list of values of another length than the shape says.
    #[error(
        "tensor {tensor:?} of {dtype} and shape {shape:?} has another number of values in {field}"
    )]
    Count {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: ElementType,
        /// Its shape.
        shape: Vec<usize>,
        /// The field of its values.
        field: &'static str,
    },
    /// Values in a field that is not for their type.
    #[error("tensor {tensor:?} of {dtype} has its values in {field}, which is not for this type")]
    WrongField {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: ElementType,
        /// The field.
        field: &'static str,
    },
    /// Values in more than one place.
    #[error("tensor {tensor:?} has its values in {field} and in {other}")]
    TwoFields {
        /// The tensor.
        tensor: String,
        /// A field.
        field: &'static str,
        /// The other one.
        other: &'static str,
    },
    /// A tensor without values.
    #[error("tensor {tensor:?} of shape {shape:?} has no values")]
    NoValues {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Values in a file that is not beside the model, nor in a folder below.
    #[error("tensor {tensor:?} is in {location:?}, which is no file in the folder of the model")]
    Location {
        /// The tensor.
        tensor: String,
        /// Where it is to be.
        location: String,
    },
    /// A place in another file that is no number.
    #[error("tensor {tensor:?} has {key} {value:?} in another file, which is no number of bytes")]
    ExternalNumber {
        /// The tensor.
        tensor: String,
        /// What it is to be.
        key: &'static str,
        /// What it is.
        value: String,
    },
    /// Another file that cannot be read.
    #[error("tensor {tensor:?} is in {location}, which cannot be read")]
    ExternalFile {
        /// The tensor.
        tensor: String,
        /// The other file.
        location: String,
        /// The cause.
        source: io::Error,
    },
    /// Another file that ends before a tensor does.
    #[error("tensor {tensor:?} ends at byte {end} of {location}, which has {bytes}")]
    ExternalCutOff {
        /// The tensor.
        tensor: String,
        /// The other file.
        location: String,
        /// Where the tensor ends.
        end: u64,
        /// The length of the file.
        bytes: u64,
    },
    /// Two tensors in one place, of which one is to change.
    #[error(
        "tensors {tensor:?} and {other:?} lie over each other: only one of them can be replaced"
    )]
    Overlap {
        /// A tensor.
        tensor: String,
        /// The other one.
        other: String,
    },
    /// A copy whose other files are those of the model, or the copy itself.
    #[error("{} would be written twice, or is a file of the model itself: name another folder", path.display())]
    SamePlace {
        /// The file.
        path: PathBuf,
    },
    /// Names and places that would take too much memory: no model has as many.
    #[error("its tensors and nodes take more than {most} bytes to list")]
    TooMany {
        /// The most allowed ones.
        most: usize,
    },
    /// New values that are too few or too many.
    #[error("tensor {tensor:?} has {expected} bytes, and {written} were written")]
    NewValues {
        /// The tensor.
        tensor: String,
        /// Its bytes.
        expected: u64,
        /// What was written, or was about to be.
        written: u64,
    },
    /// What the system says.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
}
