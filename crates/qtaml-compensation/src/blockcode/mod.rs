//! Block codes for many weights at once, near the Shannon bound.
//!
//! A code of one weight must be good at once at telling values and at surviving flips. Over thousands
//! of weights the two can be had apart, and each nearly as good as possible (Shannon's separation):
//! quantize finely as the rate allows, write the result down in as few bits as its entropy, and
//! spend all other stored bits on one long code that corrects what flips.
//!
//! [`BlockCodedStorage`] does so with known parts: a uniform quantizer, an entropy coder, and an
//! irregular repeat-accumulate code with belief propagation. It is decoded once, when the weights
//! are loaded. See docs/codec.md for an introduction and docs/theory.md, section 8.5.

mod accumulate;
mod batched;
mod codes;
mod entropy;
mod quantizer;
mod storage;

pub use batched::BatchedBlocks;
pub use codes::BlockCodes;
pub use storage::BlockCodedStorage;
pub(crate) use storage::{block_count, bytes_of_blocks};
