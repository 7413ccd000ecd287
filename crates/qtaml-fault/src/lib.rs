//! Exact, seeded bit faults in stored weights, and their error distribution in closed form.
//!
//! A memory cell flips each of its bits independently, with a probability that
//! [`qtaml_physics`] derives from the oxide. This crate
//!
//! - draws such faults so that each flip is a pure function of (seed, trial, tensor, position):
//!   the order of the work, the number of threads and the device cannot change it
//!   ([`BitFlips`], [`FaultStream`]); stuck cells, bursts and exact counts come as other models
//!   ([`FaultModel`]);
//! - states what they do to a code in closed form, for every width, encoding and flip probabilities:
//!   an affine drift of the mean and a variance that the top bits own ([`QuantizedChannel`]), and, as
//!   its independent check, the exact table P(read | stored) ([`ChannelMatrix`]);
//! - holds the one against the other by sampling ([`ChannelSample`]);
//! - knows which bits an error-correcting memory would keep ([`BitMask`]), and what real codes
//!   ask and leave of that ([`Ecc`], [`ecc`]);
//! - keeps what was injected as a file that can be replayed ([`FaultRecord`]), in the frame of all
//!   binary files of this project ([`frame`]).
//!
//! # A walk
//!
//! ```
//! use qtaml_fault::{BitFlips, FaultModel, BitMask, Seed, FaultStream};
//! use qtaml_physics::FlipProbability;
//! use qtaml_quant::{BitWidth, QuantizedTensor};
//!
//! let stored = QuantizedTensor::quantize(&[0.5, -1.0, 0.25, 1.0], &[4], BitWidth::INT8)?;
//! let model = BitFlips::new(FlipProbability::symmetric(0.1)?, BitWidth::INT8)?;
//!
//! // Trial 0 of seed 42 in this tensor: the same faults on every machine.
//! let stream = FaultStream::new(Seed(42), 0, "conv1.weight");
//! let read = model.corrupted(stored.words(), &stream, BitMask::NONE.into())?;
//! assert_eq!(read, model.corrupted(stored.words(), &stream, BitMask::NONE.into())?);
//!
//! // The same faults again, but the two top bits of each weight are kept.
//! let kept = model.corrupted(stored.words(), &stream, BitMask::top(2, BitWidth::INT8)?.into())?;
//! for ((&clean, &all), &some) in stored.words().iter().zip(&read).zip(&kept) {
//!     assert_eq!(some, clean ^ ((clean ^ all) & 0b0011_1111));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What to expect of them, without drawing any:
//!
//! ```
//! use qtaml_fault::{QuantizedChannel, BitMask};
//! use qtaml_physics::FlipProbability;
//! use qtaml_quant::{BitWidth, Code, Format};
//!
//! let channel =
//!     QuantizedChannel::new(FlipProbability::symmetric(0.1)?, BitWidth::INT8, BitMask::NONE)?;
//! let stored = Format::INT8.word_of(Code(100));
//! assert!((channel.mean(stored) - (0.8 * 100.0 - 0.1)).abs() < 1e-12);
//! assert!((channel.variance(stored) - 0.09 * 21845.0).abs() < 1e-9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

mod bit_mask;
mod channel;
pub mod ecc;
mod error;
mod fault_stream;
pub mod frame;
mod memory;
mod model;
mod philox;
mod protection_map;
mod record;
mod verify;

pub use bit_mask::BitMask;
pub use channel::{ChannelMatrix, QuantizedChannel, WordChannel};
pub use ecc::{Ecc, EccRead, EccTally};
pub use error::{EccError, FaultError, RecordError};
pub use fault_stream::{FaultStream, Seed};
pub use memory::MemoryModel;
pub use model::{
    BitFlips, Bursts, FaultModel, Faulty, FlipCount, WordFlips, flip_floats, inject, read_packed,
};
pub use philox::PhiloxRng;
pub use protection_map::ProtectionMap;
pub use record::{
    DigestError, FaultEffect, FaultRecord, TensorFaults, TensorRecorder, WordDigest, WordDigester,
    WordFault,
};
pub use verify::{BitZScore, ChannelSample, WordMoments, ZScore, largest_z};
