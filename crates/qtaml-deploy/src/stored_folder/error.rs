//! Errors of stored folders: why one cannot be written or restored.

use std::io;
use std::path::PathBuf;

use qtaml_compensation::codebook::StandardShape;
use qtaml_compensation::{PlanFileError, RestoreError, StorageError};
use qtaml_fault::frame::JsonError;
use qtaml_files::FileError;

use super::Manifest;
use crate::{DeployError, PlanError};

/// Why a stored folder cannot be written or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredFolderError {
    /// A folder without one of its files.
    #[error("{} is no stored folder: it has no {file}", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file that is missing.
        file: &'static str,
    },
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A stream that cannot be read or written.
    #[error("cannot {action} {file}")]
    Stream {
        /// What was tried.
        action: &'static str,
        /// Which of the files it stands for.
        file: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A text that is no manifest.
    #[error("the manifest is none of a stored folder")]
    Text(#[source] JsonError),
    /// A manifest of something else.
    #[error("the manifest has format {0:?}, and that of a stored folder is {known:?}", known = Manifest::FORMAT)]
    Format(String),
    /// A manifest of another version.
    #[error("the stored folder has schema {0}, and {known} is known", known = Manifest::SCHEMA)]
    Schema(u64),
    /// Something that has changed since it was written.
    #[error("{part} has been altered: its SHA-256 is {found}, and {expected} was written")]
    Altered {
        /// What has changed.
        part: String,
        /// The digest that the manifest says.
        expected: String,
        /// The digest that it has.
        found: String,
    },
    /// A file that is too short.
    #[error("{file} ends {missing} bytes before the end of tensor {tensor:?}")]
    Short {
        /// The file.
        file: &'static str,
        /// The tensor that is not whole.
        tensor: String,
        /// How much is missing.
        missing: u64,
    },
    /// A file that is too long.
    #[error("{file} does not end where its last tensor does")]
    Long {
        /// The file.
        file: &'static str,
    },
    /// A tensor that cannot be, or lies elsewhere than it must.
    #[error("tensor {tensor:?} {problem}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Tables of codebooks that this program does not make.
    #[error(
        "the codebook of {width} bits, {protected} of them protected, for a {shape} shape {problem}"
    )]
    Codebook {
        /// The shape that it is designed for.
        shape: StandardShape,
        /// The bits of a word.
        width: u32,
        /// How many of them never flip.
        protected: u32,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A group whose bytes do not fit its plan.
    #[error("group {name:?} cannot be restored")]
    Group {
        /// The group.
        name: String,
        /// Why.
        #[source]
        source: RestoreError,
    },
    /// A plan that cannot be true.
    #[error(transparent)]
    PlanFile(#[from] PlanFileError),
    /// A plan of other weights or other groups.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A memory that has no such codes.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A plan that cannot be carried out, or a model that cannot be read.
    #[error(transparent)]
    Deploy(#[from] DeployError),
}
