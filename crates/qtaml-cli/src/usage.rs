//! Command lines that mean nothing, whatever the numbers in them are.

use miette::Diagnostic;

/// Wrong usage that clap cannot see by itself; like clap's own it ends with exit code 2.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(help("{help}"))]
pub(crate) struct WrongUsage {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: String,
}
