//! What can be wrong with a compensation from outside.

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
    /// Words that are too wide for a code, or of no bits at all.
    #[error("words of {0} bits cannot be designed: 1..=12 bits are allowed")]
    WordWidth(u32),
    /// Flip probabilities for another number of bits.
    #[error("{bits} flip probabilities do not fit words of {width} bits: one per bit is needed")]
    ProfileWidth {
        /// The number of probabilities.
        bits: usize,
        /// The width of the words.
        width: u32,
    },
    /// Nothing to make a code for.
    #[error("there are no weights to make a code for")]
    NoWeights,
    /// A weight is NaN or infinite.
    #[error("weight {index} is {value}: weights must be finite")]
    Weight {
        /// Position of the first such weight.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// An entry of a histogram that is none.
    #[error(
        "entry {index} of the histogram has mass {mass} at {value}: \
         the value must be finite, the mass in 0..=1e300"
    )]
    Mass {
        /// Position of the first such entry.
        index: usize,
        /// Its value.
        value: f32,
        /// Its mass.
        mass: f64,
    },
    /// A channel for words of another width than the code's.
    #[error("a channel of {given}-bit words does not fit a code of {expected}-bit words")]
    OtherWidth {
        /// The width of the channel's words.
        given: u32,
        /// The width of the code's words.
        expected: u32,
    },
    /// Words that do not fit a byte.
    #[error("words of {0} bits do not fit bytes: at most 8 bits do")]
    TooWideForBytes(u32),
    /// A scale that is negative or NaN, or makes some value infinite.
    #[error("sigma {0} is not allowed: it must be at least 0, and every value times it finite")]
    Sigma(f32),
    /// Bytes that do not begin as a code's file does.
    #[error("this is not a codebook: it does not begin with QTAMLCBK")]
    NotACodebook,
    /// A file of a format that is not known.
    #[error("codebook format {0} is not known: 1 is")]
    CodebookVersion(u32),
    /// A file that ends too early.
    #[error("the codebook is cut off: {found} bytes of at least {expected}")]
    CodebookTruncated {
        /// The least number of bytes that it should have.
        expected: u64,
        /// The number of bytes that it has.
        found: u64,
    },
    /// A file whose content cannot be.
    #[error("the codebook is corrupt: {0}")]
    CodebookCorrupt(String),
}
