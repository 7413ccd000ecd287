//! What can be wrong with a fault model from outside.

use qtaml_physics::FlipProbability;
use qtaml_quant::{BitWidth, Format};

use crate::Keeper;

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
    /// A number that a code cannot be built with.
    #[error("no {code} code with {what} = {value}: {min}..={max} are allowed")]
    CodeParameter {
        /// The kind of code.
        code: &'static str,
        /// What the number is.
        what: &'static str,
        /// The number.
        value: usize,
        /// The smallest allowed.
        min: usize,
        /// The largest allowed.
        max: usize,
    },
    /// An even number of copies, which can be split between 0 and 1.
    #[error("{copies} copies have no majority: an odd number is needed")]
    EvenCopies {
        /// The number of copies.
        copies: usize,
    },
    /// Bits that are not as many as the code has.
    #[error("{given} {what} bits given: the code has {expected}")]
    CodeLength {
        /// Data or stored bits.
        what: &'static str,
        /// How many are given.
        given: usize,
        /// How many it takes.
        expected: usize,
    },
    /// The name of a code that there is not.
    #[error(
        "unknown code {text:?}: parity:DATA, secded:DATA, repetition:COPIES, bch:M:T and \
         bch:M:T:DATA are known"
    )]
    UnknownCode {
        /// What was asked for.
        text: String,
    },
    /// A code whose error patterns are too many to count.
    #[error(
        "the error patterns of {stored} stored bits with {check} check bits are too many to count: \
         {max_stored} and {max_check} are allowed"
    )]
    TooManyPatterns {
        /// Its stored bits.
        stored: usize,
        /// Its check bits.
        check: usize,
        /// The most stored bits.
        max_stored: usize,
        /// The most check bits.
        max_check: usize,
    },
    /// A closed form for equal flip probabilities, asked about unequal ones.
    #[error("{flips}: this closed form needs p01 = p10")]
    Asymmetric {
        /// The flip probabilities.
        flips: FlipProbability,
    },
    /// Words that share code words, where independent ones are needed.
    #[error("the words that {keeper} keeps are not independent: their scores would mean nothing")]
    Coded {
        /// What keeps the protected bits.
        keeper: Keeper,
    },
}
