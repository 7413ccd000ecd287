//! What can be wrong with a compensation from outside.

use qtaml_fault::FaultError;
use qtaml_quant::{Format, QuantError};

/// Why a compensation could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompensationError {
    /// The mean of what is read does not depend on what is stored.
    #[error(
        "the affine decoder needs p01 + p10 < 1, but they are {p01} and {p10} for bit {bit}: \
         the mean of what is read says nothing about what is stored"
    )]
    NotInvertible {
        /// The first such bit, 0 for the least significant one.
        bit: usize,
        /// Probability that a stored 0 is read as 1.
        p01: f64,
        /// Probability that a stored 1 is read as 0.
        p10: f64,
    },
    /// A layer without weights.
    #[error("layer {0:?} has no weights")]
    EmptyLayer(String),
    /// A distortion that is negative, NaN or infinite, or none at all.
    #[error(
        "layer {layer:?} has distortion {value} with {protected} bits protected: \
         it must be finite and not negative"
    )]
    Distortion {
        /// The layer.
        layer: String,
        /// The number of protected bits.
        protected: usize,
        /// The offending value; NaN if there is none.
        value: f64,
    },
    /// A name that is no decoder's.
    #[error("decoder {0:?} is unknown: raw, affine, linear-mmse, bayes and bayes-gain are there")]
    UnknownDecoder(String),
    /// A name that is no prior's.
    #[error("prior {0:?} is unknown: generalised-normal and histogram are there")]
    UnknownPrior(String),
    /// Counts that are no histogram.
    #[error(
        "{given} counts are no histogram of {format} words: it takes {}, and one above 0",
        format.bits().levels()
    )]
    Counts {
        /// How many counts were given.
        given: usize,
        /// The format of the words.
        format: Format,
    },
    /// Weights that cannot be quantized.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// A channel, a protection or a code that does not fit.
    #[error(transparent)]
    Fault(#[from] FaultError),
}
