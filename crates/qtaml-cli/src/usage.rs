//! Command lines that mean nothing, and numbers that mean nothing to a law of physics.

use miette::Diagnostic;

/// Wrong usage that clap cannot see by itself; like clap's own it ends with exit code 2.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub(crate) struct WrongUsage {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it, where that is not obvious.
    #[help]
    pub(crate) help: Option<String>,
}
