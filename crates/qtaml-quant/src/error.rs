//! Errors of quantization.

use crate::{Code, Format, Word};

/// Why weights could not be quantized or stored words not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// A bit width outside the supported range.
    #[error("bit width {0} is not supported: it must be in 2..=8")]
    BitWidth(u32),
    /// A tensor without elements has no scale.
    #[error("the tensor has no elements (shape {shape:?}): there is nothing to quantize")]
    Empty {
        /// The shape that was given.
        shape: Vec<usize>,
    },
    /// The number of values does not fit the shape.
    #[error("{values} values do not fill shape {shape:?}, which holds {expected}")]
    Shape {
        /// The shape that was given.
        shape: Vec<usize>,
        /// The number of elements of that shape.
        expected: usize,
        /// The number of values that were given.
        values: usize,
    },
    /// A weight is NaN or infinite.
    #[error("weight {index} is {value}: weights must be finite")]
    NotFinite {
        /// Position of the first such weight in row-major order.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// A scale that is negative, NaN, or so large that some code would have an infinite weight.
    #[error("scale {0} is not allowed: every code times it must be finite, and it not negative")]
    Scale(f32),
    /// A range that no weights can be rounded in.
    #[error(
        "range limit {0} is not allowed: it must be finite, and above 0 unless all weights are 0"
    )]
    Limit(f32),
    /// A zero point without a word.
    #[error(
        "zero point {code} is no code of {format}: {}..={} are",
        format.min_code(),
        format.bits().max_code()
    )]
    ZeroPoint {
        /// The zero point.
        code: Code,
        /// The format of the words.
        format: Format,
    },
    /// Output channels along an axis that the tensor lacks.
    #[error("the tensor of shape {shape:?} has no axis {axis}")]
    Axis {
        /// The shape of the tensor.
        shape: Vec<usize>,
        /// The axis of its output channels.
        axis: usize,
    },
    /// Another number of scales than groups.
    #[error("{given} grids do not fit {groups} groups: one for each, alike in format and range")]
    Groups {
        /// The number of groups.
        groups: usize,
        /// The number of grids.
        given: usize,
    },
    /// A stored word has bits set above its width.
    #[error("word {word} at {index} does not fit {bits} bits")]
    Word {
        /// Position of the first such word.
        index: usize,
        /// The offending word.
        word: Word,
        /// The width that it must fit.
        bits: u32,
    },
    /// The number of packed bytes does not fit the number of words.
    #[error("{words} words of {bits} bits fill {expected} bytes, and {bytes} were given")]
    PackedLength {
        /// The number of words.
        words: usize,
        /// The width of a word.
        bits: u32,
        /// The number of bytes that they fill.
        expected: usize,
        /// The number of bytes that were given.
        bytes: usize,
    },
    /// Bits behind the last packed word are set.
    #[error(
        "the last byte is {last:#010b}, but only its low {used} bits belong to words: \
         the others must be zero"
    )]
    Padding {
        /// The last byte.
        last: u8,
        /// How many of its bits belong to words.
        used: u32,
    },
}
