//! Living with bit faults at deployment: no retraining, no labels, no cost at inference time.
//!
//! Three things can be done about weights that will be misread. One is free: read every word
//! through a table that expects the faults ([`DecodeTable`]). Another costs stored bits: protect
//! some of them, and choose which ([`allocation`]). The third stores other words in the first place,
//! chosen together with the table ([`codebook`]). All follow from the exact error law in
//! [`qtaml_fault`]; nothing here draws a random number of its own.
//!
//! # A walk
//!
//! The mean drift, inverted: after the affine decoder the mean of what is read is what was stored.
//!
//! ```
//! use qtaml_compensation::{DecodeTable, Decoder};
//! use qtaml_fault::{ChannelMatrix, CodeChannel, Protection};
//! use qtaml_physics::FlipProbability;
//! use qtaml_quant::Format;
//!
//! let int8 = Format::INT8;
//! let channel = CodeChannel::new(FlipProbability::symmetric(0.1)?, int8, Protection::NONE)?;
//! let table = DecodeTable::new(Decoder::Affine, &channel)?;
//! let matrix = ChannelMatrix::new(&channel);
//! let mean = matrix.expect(int8.word_of(100), |read| table.value(read));
//! assert!((mean - 100.0).abs() < 1e-9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The protection budget, spent where it counts: tunneling-aware compensation against the same
//! number of bits everywhere.
//!
//! ```
//! use qtaml_compensation::{LayerDistortion, allocation};
//!
//! // Two layers of equal size; an error in the first moves the output 100 times as much.
//! let fall = |score: f64| (0..=8).map(|k| score * 4_f64.powi(8 - k)).collect();
//! let layers = [
//!     LayerDistortion::new("first", 1000, fall(100.0))?,
//!     LayerDistortion::new("second", 1000, fall(1.0))?,
//! ];
//! let path = allocation::optimal_path(&layers);
//! // The first three steps, of one bit per weight each, all go to the first layer; after them
//! // it is no more sensitive than the second.
//! assert_eq!(path[3].protected_bits(), [3, 0]);
//! # Ok::<(), qtaml_compensation::CompensationError>(())
//! ```
#![deny(missing_docs)]

pub mod allocation;
pub mod codebook;
mod decoder;
mod distortion;
mod error;

pub use allocation::Allocation;
pub use codebook::Codebook;
pub use decoder::{DecodeTable, Decoder};
pub use distortion::{CodeHistogram, LayerDistortion, mean_square_error};
pub use error::CompensationError;
