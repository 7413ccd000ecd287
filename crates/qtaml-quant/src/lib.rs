//! Neural-network weights as b-bit codes.
//!
//! A weight that is stored in a memory cell is a handful of bits. This crate turns floating-point
//! weights into such bits and back, and says what each bit is worth: the two facts on which every
//! model of memory faults rests. It knows nothing of faults itself, and nothing of tensor libraries.
//!
//! # A walk
//!
//! Pick a [`BitWidth`], quantize, look at the stored words, read them back:
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
//! The most significant bit is worth as much as all others together, and that is the whole reason
//! why protecting a few bits goes a long way:
//!
//! ```
//! use qtaml_quant::BitWidth;
//!
//! let values: Vec<i32> = BitWidth::INT8.bit_values().collect();
//! assert_eq!(values, [1, 2, 4, 8, 16, 32, 64, -128]);
//! assert_eq!(values.iter().sum::<i32>(), -1);
//! ```
#![deny(missing_docs)]

mod bit_width;
mod error;
mod tensor;

pub use bit_width::BitWidth;
pub use error::QuantError;
pub use tensor::QuantizedTensor;
