//! Exact, seeded bit faults in stored weights, and their error distribution in closed form.
//!
//! A memory cell flips each of its bits independently, with a probability that
//! [`qtaml_physics`] derives from the oxide. This crate
//!
//! - draws such faults so that each flip is a pure function of (seed, trial, tensor, position):
//!   the order of the work, the number of threads and the device cannot change it
//!   ([`BitFlips`], [`Site`]); stuck cells, bursts and exact counts come as other models
//!   ([`FaultModel`]);
//! - states what they do to a code in closed form, for every width, encoding and law of the bits:
//!   an affine drift of the mean and a variance that the top bits own ([`CodeChannel`]), and, as
//!   its independent check, the exact table P(read | stored) ([`ChannelMatrix`]);
//! - holds the one against the other by sampling ([`CodeSample`]);
//! - knows which bits an error-correcting memory would keep ([`Protection`]), and what real codes
//!   ask and leave of that ([`Keeper`], [`code`]);
//! - keeps what was injected as a file that can be replayed ([`FaultRecord`]).
//!
//! # A walk
//!
//! ```
//! use qtaml_fault::{BitFlips, FaultModel, Protection, Seed, Site};
//! use qtaml_physics::FlipProbability;
//! use qtaml_quant::{BitWidth, QuantizedTensor};
//!
//! let stored = QuantizedTensor::quantize(&[0.5, -1.0, 0.25, 1.0], &[4], BitWidth::INT8)?;
//! let model = BitFlips::new(FlipProbability::symmetric(0.1)?, BitWidth::INT8)?;
//!
//! // Trial 0 of seed 42 in this tensor: the same faults on every machine.
//! let site = Site::new(Seed(42), 0, "conv1.weight");
//! let read = model.read(stored.words(), &site, Protection::NONE.into());
//! assert_eq!(read, model.read(stored.words(), &site, Protection::NONE.into()));
//!
//! // The same faults again, but the two top bits of each weight are kept.
//! let kept = model.read(stored.words(), &site, Protection::top(2, BitWidth::INT8)?.into());
//! for ((&clean, &all), &some) in stored.words().iter().zip(&read).zip(&kept) {
//!     assert_eq!(some, clean ^ ((clean ^ all) & 0b0011_1111));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What to expect of them, without drawing any:
//!
//! ```
//! use qtaml_fault::{CodeChannel, Protection};
//! use qtaml_physics::FlipProbability;
//! use qtaml_quant::BitWidth;
//!
//! let channel =
//!     CodeChannel::new(FlipProbability::symmetric(0.1)?, BitWidth::INT8, Protection::NONE)?;
//! assert!((channel.mean(100) - (0.8 * 100.0 - 0.1)).abs() < 1e-12);
//! assert!((channel.variance(100) - 0.09 * 21845.0).abs() < 1e-9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

mod bit_flips;
mod bursts;
mod channel;
pub mod code;
mod crc32;
mod dense;
mod error;
mod flip_count;
mod float_bits;
mod hypergeometric;
mod keeper;
mod leb128;
mod model;
mod philox;
mod probability;
mod protected;
mod protection;
mod record;
mod sampling;
mod site;
mod sparse;

pub use bit_flips::BitFlips;
pub use bursts::Bursts;
pub use channel::{ChannelMatrix, CodeChannel};
pub use error::FaultError;
pub use flip_count::FlipCount;
pub use float_bits::flip_floats;
pub use keeper::{CodeTally, Keeper, Kept};
pub use model::{FaultModel, Faulty, inject, read_packed};
pub use philox::{Philox4x32, PhiloxRng};
pub use protected::Protected;
pub use protection::Protection;
pub use record::{FaultRecord, TensorFaults, WordFault};
pub use sampling::{BitScore, CodeSample, Moments, Score, largest_z};
pub use site::{Seed, Site};
