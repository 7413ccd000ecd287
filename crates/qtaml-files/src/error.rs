//! Errors of reading and writing files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use crate::gguf::GgufError;
use crate::onnx::OnnxError;
use crate::{CheckpointError, FileFormat, StoredWords, WordsError};

/// Why a file could not be read or written. The cause is the source, and not repeated in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// What the system says.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: Action,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A folder, a device, a pipe: it has no end to read to, and cannot be replaced.
    #[error("cannot {action} {}: it is {found}, and no regular file", path.display())]
    NotRegular {
        /// What was tried.
        action: Action,
        /// The path.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// A stream that is no file of ours failed.
    #[error("cannot write the output")]
    Stream(#[source] io::Error),
    /// The first of several files that belong together are in place, and the others are not.
    #[error("{}", separated(placed, left))]
    Separated {
        /// The files in place.
        placed: Vec<PathBuf>,
        /// Where the others belong, and where they are instead.
        left: Vec<(PathBuf, PathBuf)>,
        /// The cause.
        source: io::Error,
    },
    /// A file of another kind than is needed.
    #[error("{} is no safetensors file, but {format}: {}", path.display(), format.advice())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        format: FileFormat,
    },
    /// A folder or an index that does not lead to a model.
    #[error("{} leads to no model", path.display())]
    Checkpoint {
        /// The folder or the index.
        path: PathBuf,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// A file in the place of the folder that several files need.
    #[error("cannot write {}: it is a file, and a folder is needed for the files of this model", path.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
    },
    /// A model that was not written to its end, or beyond.
    #[error("{} is to have {expected} bytes, and {written} were written", path.display())]
    Length {
        /// The file or the folder.
        path: PathBuf,
        /// What it was to have.
        expected: u64,
        /// What was written, or was about to be.
        written: u64,
    },
    /// A safetensors file that is damaged.
    #[error("{} is no safetensors file", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// An ONNX file that is damaged or none, or a copy of it that cannot be made.
    #[error("{} is no ONNX model that can be read or copied", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OnnxError,
    },
    /// A GGUF file that is damaged or none.
    #[error("{} is no GGUF model that can be read", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GgufError,
    },
    /// Another file has come to the place of one that is being read.
    #[error("{} has changed while it was read", path.display())]
    Changed {
        /// The path of both.
        path: PathBuf,
    },
    /// The bytes of a tensor cannot be read.
    #[error("cannot read tensor {tensor:?} of {}", path.display())]
    Tensor {
        /// The tensor.
        tensor: String,
        /// Its file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file whose metadata speak of words that are not there.
    #[error("the metadata {:?} of {} are damaged", StoredWords::METADATA, path.display())]
    Words {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: WordsError,
    },
    /// A weight that only F64 can hold.
    #[error("weight {index} is {weight:e}: F64 weights must be in the range of F32")]
    BeyondF32 {
        /// Its place in the tensor.
        index: usize,
        /// Its value.
        weight: f64,
    },
    /// A header that has no JSON form.
    #[error("the header of the new file cannot be written")]
    Layout(#[source] serde_json::Error),
}

impl FileError {
    /// The error of the system, or this one as such.
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Io { source, .. } | Self::Tensor { source, .. } | Self::Stream(source) => source,
            Self::NotRegular { found, .. } => {
                io::Error::other(format!("it is {found}, and no regular file"))
            }
            other => io::Error::other(other),
        }
    }

    /// The error of a write, which names the file itself where that is one of ours.
    pub(crate) fn of_write(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Stream)
    }
}

/// What is in place and what is not, in words; of many files the first are named.
fn separated(placed: &[PathBuf], left: &[(PathBuf, PathBuf)]) -> String {
    let path = |path: &Path| path.display().to_string();
    let more = |count: usize| match count {
        0 | 1 => String::new(),
        _ => format!(" and {} more", count - 1),
    };
    let are = if placed.len() == 1 { "is" } else { "are" };
    let new = placed.first().map_or_else(String::new, |first| path(first)) + &more(placed.len());
    let (target, kept) = left.first().map(|(a, b)| (path(a), path(b))).unwrap_or_default();
    format!(
        "{new} {are} new, but cannot write {target}{}: it is at {kept} instead",
        more(left.len())
    )
}

/// What was tried with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// To read it.
    Read,
    /// To write it.
    Write,
    /// To find where its path leads.
    Find,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Find => "find",
        })
    }
}

/// What is wrong with a safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A file without room for a header.
    #[error("it has {bytes} bytes, and a header alone has more")]
    TooShort {
        /// Length of the file.
        bytes: u64,
    },
    /// A header longer than the file.
    #[error("its header has {header} bytes, the whole file {bytes}")]
    LongerThanFile {
        /// Length of the header.
        header: u64,
        /// Length of the file.
        bytes: u64,
    },
    /// A header that the reference implementation does not read either.
    #[error("its header has {header} bytes, more than {most}")]
    TooLong {
        /// Length of the header.
        header: u64,
        /// The longest allowed one.
        most: u64,
    },
    /// A header that is no JSON of tensors.
    #[error("its header does not describe tensors")]
    Json(#[source] serde_json::Error),
    /// A tensor that is named more than once.
    #[error("it names tensor {tensor:?} twice")]
    Duplicate {
        /// The tensor.
        tensor: String,
    },
    /// A type that the format does not have.
    #[error("tensor {tensor:?} is of type {dtype:?}, which the format does not have")]
    Dtype {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// A shape whose elements cannot be counted.
    #[error("tensor {tensor:?} of shape {shape:?} has more elements than can be counted")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A tensor that does not fill its place.
    #[error(
        "tensor {tensor:?} of {dtype} and shape {shape:?} has {bits} bits, and a place of {bytes} bytes"
    )]
    Size {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<u64>,
        /// The bits of its elements.
        bits: u64,
        /// The bytes of its place.
        bytes: u64,
    },
    /// A tensor that ends before it begins.
    #[error("tensor {tensor:?} ends at {to}, before it begins at {from}")]
    Reversed {
        /// The tensor.
        tensor: String,
        /// Where it begins.
        from: u64,
        /// Where it ends.
        to: u64,
    },
    /// Bytes between two tensors.
    #[error("{bytes} bytes before tensor {tensor:?} belong to no tensor")]
    Hole {
        /// The tensor behind them.
        tensor: String,
        /// Their number.
        bytes: u64,
    },
    /// Two tensors in one place.
    #[error("tensors {tensor:?} and {other:?} lie over each other")]
    Overlap {
        /// A tensor.
        tensor: String,
        /// The one before it.
        other: String,
    },
    /// Offsets that no file reaches.
    #[error("its header speaks of more than 2^64 bytes")]
    Overflow,
    /// A file that ends before its last tensor does.
    #[error("it ends after {bytes} bytes of {expected}")]
    CutOff {
        /// Length of the file.
        bytes: u64,
        /// Length by its header.
        expected: u64,
    },
    /// Bytes that belong to no tensor.
    #[error("{bytes} bytes follow its last tensor")]
    Trailing {
        /// Their number.
        bytes: u64,
    },
    /// What the system says.
    #[error("its header cannot be read")]
    Io(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_cause_is_the_source_and_not_in_the_text() {
        let cause = || io::Error::from(io::ErrorKind::StorageFull);
        let error = FileError::Io { action: Action::Write, path: "a".into(), source: cause() };
        assert_eq!(error.to_string(), "cannot write a");
        assert_eq!(error.source().map(ToString::to_string), Some(cause().to_string()));
        assert_eq!(error.into_io().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn the_error_of_a_file_survives_the_way_through_a_stream() {
        let error = FileError::Changed { path: "a".into() };
        let through = FileError::of_write(io::Error::other(error));
        assert_eq!(through.to_string(), "a has changed while it was read");
        let other = FileError::of_write(io::ErrorKind::BrokenPipe.into());
        assert!(matches!(other, FileError::Stream(_)));
    }
}
