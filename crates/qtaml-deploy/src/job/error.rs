//! Errors of jobs and their files.

use std::path::PathBuf;

use qtaml_files::FileError;
use thiserror::Error;

use super::Fingerprint;

/// A value without canonical JSON.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CanonicalError {
    /// JSON has no such number, and would write `null` for each.
    #[error("{value} in a description or result: every number must be finite")]
    NotFinite {
        /// The number.
        value: f64,
    },
    /// A map with keys that are no text, or a type that refuses to be written.
    #[error("the value has no JSON form")]
    Json(#[source] serde_json::Error),
}

/// A job that cannot be kept or found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// The description has no canonical form.
    #[error("the recipe cannot be written down")]
    Recipe(#[source] CanonicalError),
    /// The result has no canonical form.
    #[error("the result of {recipe} cannot be kept")]
    Result {
        /// The canonical text of the recipe.
        recipe: String,
        /// Why.
        source: CanonicalError,
    },
    /// The kept form is not the form that is asked for.
    #[error("the result of {recipe} does not read back")]
    ReadBack {
        /// The canonical text of the recipe.
        recipe: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// A file or folder that cannot be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried: `read`, `create` or `remove`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not as it was written.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Two files of one job that do not say the same.
    #[error("{} and {} are of one job and hold different results", ours.display(), theirs.display())]
    Conflict {
        /// The file that was there.
        ours: PathBuf,
        /// The file that was to be taken in.
        theirs: PathBuf,
        /// The job.
        fingerprint: Fingerprint,
    },
}
