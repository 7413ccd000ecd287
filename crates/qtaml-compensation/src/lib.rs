//! Living with bit faults at deployment: no retraining, no labels, no cost at inference time.
//!
//! Three things can be done about weights that will be misread. Two are free, or nearly so: read
//! every word through a table that expects the faults ([`DecodeTable`]), and choose the range of
//! the weights for a memory that flips ([`clipping`]). The third costs stored bits: protect some of
//! them, and choose which ([`allocation`]). All follow from the exact error law in [`qtaml_fault`].
//! What is stored in the end, and what it costs, is a [`Storage`].
//!
//! # A walk
//!
//! The mean drift, inverted: after the affine decoder the mean of what is read is what was stored.
//!
//! ```
//! use qtaml_compensation::{CodeHistogram, DecodeTable, Decoder, Prior, mean_square_error};
//! use qtaml_fault::{ChannelMatrix, CodeChannel, Protection};
//! use qtaml_physics::FlipProbability;
//! use qtaml_quant::{Format, QuantizedTensor};
//!
//! let int8 = Format::INT8;
//! // Weights in a bell: the quantiles of a logistic law.
//! let quantile = |u: f32| (u / (1.0 - u)).ln();
//! let weights: Vec<f32> = (0..1000).map(|i| quantile((i as f32 + 0.5) / 1000.0)).collect();
//! let stored = CodeHistogram::of(&QuantizedTensor::quantize(&weights, &[1000], int8)?);
//! let channel = CodeChannel::new(FlipProbability::symmetric(0.1)?, int8, Protection::NONE)?;
//! let affine = DecodeTable::new(Decoder::Affine, &channel, &stored)?;
//! let matrix = ChannelMatrix::new(&channel);
//! let mean = matrix.expect(int8.word_of(100), |read| affine.value(read));
//! assert!((mean - 100.0).abs() < 1e-9);
//! # let raw = DecodeTable::new(Decoder::Raw, &channel, &stored)?;
//!
//! // What weights are like is redundancy: a Bayes decoder that knows two numbers of them undoes
//! // most of what happens to top bits.
//! let prior = Prior::GeneralisedNormal.apply(&stored);
//! let bayes = DecodeTable::new(Decoder::Bayes, &channel, &prior)?;
//! let error = |table| mean_square_error(&stored, &channel, table);
//! assert!(error(&bayes) < error(&raw) / 4.0);
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
pub mod clipping;
mod decoder;
mod distortion;
mod error;
mod histogram;
mod prior;
mod storage;

pub use allocation::Allocation;
pub use clipping::Clip;
pub use decoder::{DecodeTable, Decoder};
pub use distortion::{LayerDistortion, mean_square_error, weight_error};
pub use error::CompensationError;
pub use histogram::CodeHistogram;
pub use prior::Prior;
pub use storage::{ChannelKit, ProtectedStorage, Storage, StorageConfig};
