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
    /// Bytes that are something else than a fault file.
    #[error("this is no fault file: it does not begin with QTAMLFLT")]
    NotARecord,
    /// A fault file of a later format.
    #[error("the fault file is of version {0}, and only version 1 is known")]
    Version(u32),
    /// A fault file without its end.
    #[error("the fault file ends after {found} bytes of {expected}")]
    Truncated {
        /// The length it should have; at least this much where not even that can be read.
        expected: u64,
        /// The length it has.
        found: u64,
    },
    /// A fault file with something in it that cannot be.
    #[error("the fault file is damaged: {0}")]
    Corrupt(String),
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
}
