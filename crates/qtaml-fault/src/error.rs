//! What can be wrong with a fault model from outside.

use qtaml_quant::{BitWidth, Format};

/// Why a fault model was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// More bits to protect than there are.
    #[error("cannot protect {bits} bits of an {width} code: 0..={} are allowed", width.get())]
    TooManyBits {
        /// The number of bits asked for.
        bits: u32,
        /// The width of the code.
        width: BitWidth,
    },
    /// A protected bit outside the word.
    #[error("protected bits {mask:#010b} do not fit an {width} code, whose bits are {:#010b}", width.mask())]
    ProtectedBits {
        /// The bits asked for.
        mask: u8,
        /// The width of the code.
        width: BitWidth,
    },
    /// Flip probabilities for another number of bits.
    #[error("{bits} flip probabilities do not fit an {width} code: one per bit is needed")]
    ProfileWidth {
        /// The number of probabilities.
        bits: usize,
        /// The width of the code.
        width: BitWidth,
    },
    /// Words in another format than the channel's.
    #[error("{given} words cannot be read as {expected}")]
    Format {
        /// The format of the words.
        given: Format,
        /// The format of the channel.
        expected: Format,
    },
    /// A probability outside its range.
    #[error("probability {0} is outside what this fault model allows")]
    Probability(f64),
    /// A burst that is too long, or none.
    #[error("bursts of {0} bits are not supported: 1..=64 are")]
    BurstLength(u32),
    /// More flips than there are bits.
    #[error("{flips} flips do not fit into {stored} stored bits")]
    TooManyFlips {
        /// The number of flips asked for.
        flips: u64,
        /// The number of bits that are stored.
        stored: u64,
    },
    /// Counts that no sample of words of this width gives.
    #[error("{}", match word {
        Some(word) => format!("the counts of word {word:#04x} cannot come from reading {width} words"),
        None => "nothing was read: there is nothing to compare".into(),
    })]
    Sample {
        /// The first word whose counts are wrong, if there is any word.
        word: Option<u8>,
        /// The width of the words.
        width: BitWidth,
    },
}
