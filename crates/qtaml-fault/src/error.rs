//! Errors of fault models, codes and records of faults.

use qtaml_physics::FlipProbability;
use qtaml_quant::{BitWidth, Format, Word};

use crate::WordDigest;
use crate::frame::FrameError;

/// Why faults cannot be drawn, or their distribution not be computed.
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
    /// Protection word by word, for another number of words.
    #[error("the protection of {given} words does not fit {expected}: one per word is needed")]
    ProtectedWords {
        /// The number of words with a protection.
        given: usize,
        /// The number of words.
        expected: usize,
    },
    /// Flip probabilities for another number of bits.
    #[error("{bits} flip probabilities do not fit an {width} code: one per bit is needed")]
    ProfileWidth {
        /// The number of probabilities.
        bits: usize,
        /// The width of the code.
        width: BitWidth,
    },
    /// A bit that words lack.
    #[error("an {width} word has no bit {bit}: its bits are 0 to {}", width.get() - 1)]
    NoSuchBit {
        /// The bit asked for, 0 for the least significant one.
        bit: usize,
        /// The width of the word.
        width: BitWidth,
    },
    /// Another number of values than there are words.
    #[error("{given} values for words of {width} bits: one for each of the {} is needed", 1_u64 << width)]
    WordValues {
        /// How many were given.
        given: usize,
        /// The bits of a word.
        width: u32,
    },
    /// Words in another format than the channel's.
    #[error("{given} words cannot be read as {expected}")]
    Format {
        /// The format of the words.
        given: Format,
        /// The format of the channel.
        expected: Format,
    },
    /// A code that cannot be built, or not keep these bits.
    #[error(transparent)]
    Ecc(#[from] EccError),
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
        Some(word) => format!("the counts of word {word} cannot come from reading {width} words"),
        None => "nothing was read: there is nothing to compare".into(),
    })]
    Sample {
        /// The first word whose counts are wrong, if there is any word.
        word: Option<Word>,
        /// The width of the words.
        width: BitWidth,
    },
    /// A tensor of another size than the fault model's.
    #[error("a tensor of {given} words cannot be damaged by a model of {expected} words")]
    Words {
        /// The number of words of the tensor.
        given: u64,
        /// The number of words that the model is made for.
        expected: u64,
    },
    /// A fault model that leaves out check bits that a code stores in addition to the words.
    #[error(
        "a fault model of one tensor, of {words} words, leaves out its check bits: a code \
         needs one that counts them, or one of any words"
    )]
    OneTensorOnly {
        /// The words of its tensor.
        words: u64,
    },
    /// A slice whose bits are too many to be counted.
    #[error("the bits of {words} words from word {first} on cannot be counted in 64 bits")]
    Uncountable {
        /// The number of words of the slice.
        words: usize,
        /// The first word of the slice.
        first: u64,
    },
    /// Words of a width that there is no memory for.
    #[error("words of {0} bits are not supported: 1..=12 bits are")]
    WordWidth(u32),
    /// Words that only independent flips without a real code know.
    #[error(
        "words of {0} bits meet independent flips without a real code alone: bursts, stuck cells, counts \
         of flips and codes need words of 2..=8 bits"
    )]
    FlipsOnly(u32),
    /// Flip probabilities for words of another width.
    #[error("{bits} flip probabilities do not fit words of {width} bits: one per bit is needed")]
    WordProfile {
        /// The number of probabilities.
        bits: usize,
        /// The bits of a word.
        width: u32,
    },
    /// More protected bits than a word has.
    #[error("cannot protect {protected} bits of a word of {width} bits: 0..={width} are allowed")]
    WordBits {
        /// The number of bits asked for.
        protected: u32,
        /// The bits of a word.
        width: u32,
    },
    /// Words of another width than the fault model's.
    #[error("{given} words cannot be damaged by a model of {expected} words")]
    Width {
        /// The width of the words.
        given: BitWidth,
        /// The width of the model.
        expected: BitWidth,
    },
}

/// Why an error-correcting code cannot be built, or not be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EccError {
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
    /// An interleaved code that says not how many words of what.
    #[error(
        "{text:?} is no interleaved code: interleaved:WORDS:CODE is, such as interleaved:4:secded:64"
    )]
    Interleaving {
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
    /// A share of bits left wrong that is no probability.
    #[error("the code leaves a share {0} of its bits wrong, which is no probability")]
    Residual(f64),
    /// A slice that begins in the middle of a code word.
    #[error("a slice from word {first} on cuts code words: multiples of {alignment} do not")]
    Misaligned {
        /// The first word of the slice.
        first: u64,
        /// What it must be a multiple of.
        alignment: u64,
    },
}

/// Why a record of faults cannot be made, read or applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Words that were read, but not as many as were stored.
    #[error("{read} words read do not answer {stored} stored ones")]
    ReadLength {
        /// The number of words stored.
        stored: usize,
        /// The number of words read.
        read: usize,
    },
    /// A flipped bit outside the word.
    #[error("word {index} flipped in the bits {mask:#010b}, but an {width} word has only {:#010b}", width.mask())]
    FlipOutside {
        /// Position of the first such word.
        index: u64,
        /// The bits that flipped.
        mask: u8,
        /// The width of the word.
        width: BitWidth,
    },
    /// A file of faults that cannot be read.
    #[error(transparent)]
    File(#[from] FrameError),
    /// A second tensor of the same name.
    #[error("tensor {0:?} is recorded twice")]
    DuplicateTensor(String),
    /// A tensor of which nothing is recorded.
    #[error("no faults of tensor {name:?} are recorded: there are {known:?}")]
    UnknownTensor {
        /// The name asked for.
        name: String,
        /// The names that are known.
        known: Vec<String>,
    },
    /// A tensor of another size than the recorded one.
    #[error("the faults of tensor {name:?} are those of {recorded} words, and {given} are there")]
    Length {
        /// The name of the tensor.
        name: String,
        /// The number of words when it was recorded.
        recorded: u64,
        /// The number of words given.
        given: u64,
    },
    /// A tensor with other words than those that the recorded faults were drawn on.
    #[error(
        "the faults of tensor {name:?} were drawn on other words: those have the SHA-256 {recorded}, and \
         these {given}"
    )]
    OtherWords {
        /// The name of the tensor.
        name: String,
        /// The digest of the words when it was recorded.
        recorded: WordDigest,
        /// The digest of the words given.
        given: WordDigest,
    },
}
