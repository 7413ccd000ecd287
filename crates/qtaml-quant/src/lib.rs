//! Neural-network weights as b-bit codes.
//!
//! A weight that is stored in a memory cell is a handful of bits. This crate turns floating-point
//! weights into such bits and back, and says what each bit is worth: the two facts on which every
//! model of memory faults rests. It knows nothing of faults itself, and nothing of tensor libraries.
//!
//! # A walk
//!
//! Pick a [`BitWidth`] or a whole [`Format`], quantize, look at the stored words, read them back:
//!
//! ```
//! use qtaml_quant::{BitWidth, QuantizedTensor};
//!
//! let weights = [0.5, -1.0, 0.25, 1.0];
//! let stored = QuantizedTensor::quantize(&weights, &[2, 2], BitWidth::INT8)?;
//!
//! assert_eq!(stored.scale(), 1.0 / 127.0);                     // max |w| maps to code 127
//! assert_eq!(stored.codes().collect::<Vec<_>>(), [64, -127, 32, 127]);
//! assert_eq!(stored.words(), [0x40, 0x81, 0x20, 0x7f]);        // two's complement, as stored
//! assert!((stored.dequantize()[0] - 0.5).abs() <= stored.scale() / 2.0);
//! # Ok::<(), qtaml_quant::QuantError>(())
//! ```
//!
//! A flip of the most significant bit moves a code further than all other bits together, and that
//! is the whole reason why protecting a few bits goes a long way. It depends on the [`Encoding`]:
//!
//! ```
//! use qtaml_quant::{BitWidth, Code, Encoding, Format};
//!
//! let moved_by_top_bit = |encoding| {
//!     let format = Format::new(BitWidth::INT8, encoding);
//!     format.code_of(format.word_of(Code(3)).with_flipped(7)).0 - 3
//! };
//! assert_eq!(moved_by_top_bit(Encoding::TwosComplement), -128);
//! assert_eq!(moved_by_top_bit(Encoding::SignMagnitude), -6);
//! ```
#![deny(missing_docs)]

mod bit_width;
mod channel_major;
mod clip;
mod encoding;
mod error;
mod extent;
mod extents;
mod format;
mod granularity;
mod grid;
mod group_layout;
mod names;
mod noise;
mod packed;
mod range;
mod rounding;
mod scaled_tensor;
mod scales;
mod scaling;
mod tensor;
mod word;

pub use bit_width::BitWidth;
pub use channel_major::ChannelMajor;
pub use clip::{Clip, ClipSearch};
pub use encoding::Encoding;
pub use error::QuantError;
pub use extent::Extent;
pub use extents::Extents;
pub use format::{Format, Term};
pub use granularity::Granularity;
pub use grid::{Grid, Origin};
pub use group_layout::{Across, GroupLayout, Run};
pub use names::UnknownName;
pub use noise::QuantizationNoise;
pub use packed::{PackedWords, pack_words, unpack_words};
pub use range::CodeRange;
pub use rounding::Rounding;
pub use scaled_tensor::ScaledTensor;
pub use scales::Scales;
pub use scaling::Scaling;
pub use tensor::QuantizedTensor;
pub use word::{Code, Word};

/// What [`names!`] writes its impls for, whatever crate it is called in.
#[doc(hidden)]
pub use serde;
