//! Labelled reference lines.

use serde::{Deserialize, Serialize};

/// A labelled reference line.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where the line lies and which way it runs.
    pub at: At,
    /// What it means.
    pub label: String,
}

impl Rule {
    /// A horizontal line at height `y`.
    pub fn horizontal(y: f64, label: &str) -> Self {
        Self { at: At::Y(y), label: label.into() }
    }

    /// A vertical line at `x`.
    pub fn vertical(x: f64, label: &str) -> Self {
        Self { at: At::X(x), label: label.into() }
    }

    /// The line y = x, on which predictions come true.
    pub fn diagonal(label: &str) -> Self {
        Self { at: At::Diagonal, label: label.into() }
    }
}

/// The place of a [`Rule`].
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// A vertical line.
    X(f64),
    /// A horizontal line.
    Y(f64),
    /// The values that are equal on both axes, if these have the same scale.
    Diagonal,
}
