//! Living with bit faults at deployment: decoders, storages and the allocation of protection.
//!
//! Four things can be done about weights that will be misread. Two are free, or nearly so: read
//! every word through a table that expects the faults ([`DecodeTable`]), and choose the range of
//! the weights for a memory that flips ([`clipping`]). The third costs stored bits: protect some of
//! them, and choose which ([`allocation`]). The fourth stores other words in the first place, chosen
//! together with the table ([`codebook`]). All follow from the exact error distribution in [`qtaml_fault`];
//! nothing here draws a random number but the baseline [`Score::Random`].
//! What is stored in the end, and what it costs, is a [`WeightStorage`].
//!
//! # A walk
//!
//! The mean drift, inverted: after the affine decoder the mean of what is read is what was stored.
//!
//! ```
//! use qtaml_compensation::{CodeHistogram, DecodeTable, Decoder, Prior, mean_square_error};
//! use qtaml_fault::{ChannelMatrix, QuantizedChannel, BitMask};
//! use qtaml_physics::FlipProbability;
//! use qtaml_quant::{Code, Format, QuantizedTensor};
//!
//! let int8 = Format::INT8;
//! // Weights in a bell: the quantiles of a logistic distribution.
//! let quantile = |u: f32| (u / (1.0 - u)).ln();
//! let weights: Vec<f32> = (0..1000).map(|i| quantile((i as f32 + 0.5) / 1000.0)).collect();
//! let stored = CodeHistogram::of(&QuantizedTensor::quantize(&weights, &[1000], int8)?);
//! let channel = QuantizedChannel::new(FlipProbability::symmetric(0.1)?, int8, BitMask::NONE)?;
//! let affine = DecodeTable::new(Decoder::Affine, &channel, &stored)?;
//! let matrix = ChannelMatrix::new(&channel);
//! let mean = matrix.expect(int8.word_of(Code(100)), |read| affine.value(read));
//! assert!((mean - 100.0).abs() < 1e-9);
//! # let raw = DecodeTable::new(Decoder::Raw, &channel, &stored)?;
//!
//! // What weights are like is redundancy: a Bayes decoder that knows two numbers of them undoes
//! // most of what happens to top bits.
//! let prior = Prior::GeneralisedNormal.apply(&stored);
//! let bayes = DecodeTable::new(Decoder::Bayes, &channel, &prior)?;
//! let error = |table| mean_square_error(&stored, &channel, table);
//! assert!(error(&bayes)? < error(&raw)? / 4.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The protection budget, spent where it counts: tunneling-aware compensation against the same
//! number of bits everywhere.
//!
//! ```
//! use qtaml_compensation::allocation::{Candidate, GreedyPath, AllocationProblem};
//!
//! // Two layers of equal size; an error in the first moves the output 100 times as much.
//! let mut units = AllocationProblem::default();
//! for (name, score) in [("first", 100.0), ("second", 1.0)] {
//!     let by_protected: Vec<f64> = (0..=8).map(|k| score * 4_f64.powi(8 - k)).collect();
//!     units.push(name, Candidate::top_bits(1000, &by_protected))?;
//! }
//! let (tac, uniform) = (GreedyPath::optimal(&units), GreedyPath::uniform(&units));
//! // The first three steps, of one bit per weight each, all go to the first layer; after them
//! // it is no more sensitive than the second.
//! assert_eq!(tac.at(3).selection(), [3, 0]);
//! assert!(tac.distortion(4) < uniform.distortion(2) && tac.cost(4) == uniform.cost(2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Most users start from statistics of layers ([`Score`]), a histogram of their codes and a budget,
//! and keep the result as JSON: [`Plan`]. How much noise a network bears is read
//! off its margins ([`noise_for_disagreement`]), and what TAC will save is known before anything is
//! simulated ([`rho_star`]).
#![deny(missing_docs)]

mod accounting;
pub mod allocation;
pub mod blockcode;
pub mod clipping;
pub mod codebook;
mod decoder;
mod disagreement;
mod distortion;
mod error;
mod histogram;
mod memo;
mod outliers;
mod plan;
mod planned_model;
mod prior;
mod protection_sets;
mod rho;
mod score;

pub mod storage;

pub use accounting::Accounting;
pub use allocation::{Allocation, Budget, Selection};
pub use codebook::Codebook;
pub use decoder::{DecodeTable, Decoder};
pub use disagreement::noise_for_disagreement;
pub use distortion::{mean_square_error, weight_error};
pub use error::{
    AllocationError, BlockCodeError, CodebookError, DecoderError, DisagreementError, PlanFileError,
    RestoreError, ScoreError, StorageError, WeightsError,
};
pub use histogram::CodeHistogram;
pub use outliers::Outlier;
pub use plan::{Plan, PlanGroup, PlannedStorage};
pub use planned_model::{PlannedModel, WeightsDigester};
pub use prior::{FittedPrior, Prior};
pub use rho::{bits_saved, rho_star, rho_star_exact};
pub use score::{GroupStatistics, Score};
pub use storage::{GroupWeights, QuantizedStorage, StorageSpec, StoredAs, WeightStorage};
