//! Errors of compensation: one for each family of modules.

use qtaml_fault::FaultError;
use qtaml_fault::frame::{FrameError, JsonError};
use qtaml_quant::{Format, QuantError};

/// Why weights are none that something can be designed for, or stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// There are none.
    #[error("there are no weights to make a code for")]
    None,
    /// A weight is NaN or infinite.
    #[error("weight {index} is {value}: weights must be finite")]
    NotFinite {
        /// Position of the first such weight.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// An entry of a histogram that is none.
    #[error(
        "entry {index} of the histogram has mass {mass} at {value}: \
         the value must be finite, the mass in 0..=1e300"
    )]
    Mass {
        /// Position of the first such entry.
        index: usize,
        /// Its value.
        value: f32,
        /// Its mass.
        mass: f64,
    },
}

/// Why a codebook cannot be made, read or used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodebookError {
    /// Weights that have no code.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A channel of another width than the words, or words that it does not read.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A tensor whose weights cannot be grouped.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// A channel for words of another width than the code's.
    #[error("a channel of {given}-bit words does not fit a code of {expected}-bit words")]
    OtherWidth {
        /// The width of the channel's words.
        given: u32,
        /// The width of the code's words.
        expected: u32,
    },
    /// Words that do not fit a byte.
    #[error("words of {0} bits do not fit bytes: at most 8 bits do")]
    TooWideForBytes(u32),
    /// More protected bits than a word has.
    #[error("{protected} protected bits do not fit words of {width} bits")]
    ProtectedBits {
        /// The number of protected bits.
        protected: u32,
        /// The width of the words.
        width: u32,
    },
    /// A scale that is negative or NaN, or makes some value infinite.
    #[error("sigma {0} is not allowed: it must be at least 0, and every value times it finite")]
    Sigma(f32),
    /// A tensor that cannot be stored, or not addressed.
    #[error("a tensor of shape {0:?} cannot be coded: it takes 1 to 2^48 weights")]
    TensorShape(Vec<usize>),
    /// A file of codes that cannot be read.
    #[error(transparent)]
    File(#[from] FrameError),
    /// The code of a tensor that cannot be read, within a file of codes.
    #[error("the code of tensor {name:?} cannot be read")]
    Tensor {
        /// The name of the tensor.
        name: String,
        /// Why.
        source: Box<CodebookError>,
    },
}

/// Why weights cannot be stored by block codes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockCodeError {
    /// A number of stored bits per weight that block codes cannot have.
    #[error("{0} stored bits per weight cannot be had: 1..=8 can")]
    StoredBits(u32),
    /// Weights that have no code.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Blocks that cannot be read where they lie.
    #[error(transparent)]
    Fault(#[from] FaultError),
}

/// Why words cannot be decoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecoderError {
    /// The mean of what is read does not depend on what is stored.
    #[error(
        "the affine decoder needs p01 + p10 < 1, but they are {p01} and {p10} for bit {bit}: \
         the mean of what is read says nothing about what is stored"
    )]
    NotInvertible {
        /// The first such bit, 0 for the least significant one.
        bit: usize,
        /// Probability that a stored 0 is read as 1.
        p01: f64,
        /// Probability that a stored 1 is read as 0.
        p10: f64,
    },
    /// A generalised normal distribution that no weights are fitted with.
    #[error(
        "a generalised normal distribution of width {width} and shape {shape} around {location} is not \
         allowed: the width must be finite and not negative, the shape in 0.25..=16, and the location finite"
    )]
    FittedPrior {
        /// The width.
        width: f64,
        /// The shape.
        shape: f64,
        /// Its middle.
        location: f64,
    },
    /// Counts that are no histogram.
    #[error(
        "{given} counts are no histogram of {format} words: it takes {}, and one above 0",
        format.bits().levels()
    )]
    Counts {
        /// How many counts were given.
        given: usize,
        /// The format of the words.
        format: Format,
    },
    /// A prior or a table for words of another format than the channel's.
    #[error("a prior or table of {given} words does not fit a channel of {expected} words")]
    Format {
        /// The format of the prior or the table.
        given: Format,
        /// The format of the channel.
        expected: Format,
    },
    /// Another number of weights than of words.
    #[error("{words} words cannot be decoded into {weights} weights: one for each is needed")]
    Words {
        /// The number of words.
        words: usize,
        /// The number of weights.
        weights: usize,
    },
    /// Weights that cannot be quantized.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// A channel that cannot be made.
    #[error(transparent)]
    Fault(#[from] FaultError),
}

/// Why a group of weights cannot be stored or read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A spec without sets of protected bits.
    #[error(
        "there is no set of protected bits to choose from: one at least is needed, it may be empty"
    )]
    NoBitSets,
    /// A spec that offers no way to store anything.
    #[error("the spec offers no candidate: a width or a rate is needed at least")]
    NoCandidates,
    /// Codes for a memory whose bits do not flip alike.
    #[error(
        "codebooks and block codes are made for one flip probability of all bits, not for one each"
    )]
    OneProbability,
    /// A part that a tensor does not have.
    #[error("weights {start} to {end} are no part of a tensor of {weights}")]
    Part {
        /// The first weight.
        start: usize,
        /// The weight after the last.
        end: usize,
        /// The weights of the tensor.
        weights: usize,
    },
    /// A part of a tensor, where weights are protected one by one.
    #[error(
        "weights that are protected one by one are stored tensor by tensor, and the group has {weights} of \
         the {tensor} weights of one"
    )]
    NotWhole {
        /// The weights of the group.
        weights: usize,
        /// Those of its tensor.
        tensor: usize,
    },
    /// Something that does not go with weights that are protected one by one.
    #[error("weights that are protected one by one need {what}, and {given} is asked for")]
    PerWeight {
        /// What they need.
        what: &'static str,
        /// What was given.
        given: String,
    },
    /// Weights that do not fill their channels.
    #[error(
        "{weights} weights are not those of {channels} channels: each has as many as the others"
    )]
    Channels {
        /// The channels.
        channels: usize,
        /// The weights.
        weights: usize,
    },
    /// Input powers that are not those of the weights.
    #[error("{powers} input powers were given where {weights} are needed")]
    Powers {
        /// How many were given.
        powers: usize,
        /// How many are needed.
        weights: usize,
    },
    /// An input power that is no mean square.
    #[error("input power {index} is {value}: it must be finite and not negative")]
    InputPower {
        /// The number of its weight.
        index: usize,
        /// The power.
        value: f32,
    },
    /// Weights that cannot be quantized.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// A memory that cannot hold them, or words that do not fit it.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// Words that cannot be decoded.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// A codebook that cannot be made or used.
    #[error(transparent)]
    Codebook(#[from] CodebookError),
    /// Blocks that cannot be made or read.
    #[error(transparent)]
    BlockCode(#[from] BlockCodeError),
}

/// Why a group has no score.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A group lacks what its score is made of.
    #[error("the {score} score of group {group:?} needs its {statistic}, which was not given")]
    MissingStatistic {
        /// The group.
        group: String,
        /// The score.
        score: &'static str,
        /// What is missing.
        statistic: &'static str,
    },
    /// A statistic that makes no score.
    #[error(
        "the {score} score of group {group:?} is {value}: its statistics must be finite and not \
         negative"
    )]
    BadStatistic {
        /// The group.
        group: String,
        /// The score.
        score: &'static str,
        /// What came out.
        value: f64,
    },
}

/// Why a budget cannot be allocated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocationError {
    /// A group without candidates.
    #[error("group {0:?} has no candidates: it needs one at least")]
    NoCandidate(String),
    /// A distortion that is negative, NaN or infinite, or makes the sum of all infinite.
    #[error(
        "candidate {candidate} of group {group:?} has distortion {value}: \
         it must be finite, not negative, and so must be the sum over all groups"
    )]
    Distortion {
        /// The group.
        group: String,
        /// The index of the candidate.
        candidate: usize,
        /// The offending value.
        value: f64,
    },
    /// Costs that are too large to be counted.
    #[error("with group {0:?} the groups can cost more than 2^64 - 1 bits")]
    Cost(String),
    /// A selection that does not fit the groups.
    #[error("{given} indices do not select among the candidates of {groups} groups")]
    Selection {
        /// The number of indices.
        given: usize,
        /// The number of groups.
        groups: usize,
    },
    /// A budget that nothing fits in.
    #[error("a budget of {budget} bits is too small: the cheapest candidates cost {least}")]
    Budget {
        /// The budget.
        budget: u64,
        /// The least that can be spent.
        least: u64,
    },
    /// A budget that is none.
    #[error("a budget of {0} bits: it must not be negative or NaN")]
    Bits(f64),
    /// A share of the stored bits that is none.
    #[error(
        "a budget of {0} of the stored bits is not a share: it must be finite and not negative"
    )]
    BudgetShare(f64),
    /// Output noise that no allocation has.
    #[error("output noise {noise} cannot be had: it goes from {least} to {most}")]
    Noise {
        /// The noise asked for.
        noise: f64,
        /// The least that is possible.
        least: f64,
        /// The noise without any protection.
        most: f64,
    },
    /// A group that water cannot fill.
    #[error(
        "group {index} has score {score} and {weights} weights: the score must be finite and not \
         negative, with a finite sum over all groups, and it needs one weight at least"
    )]
    Source {
        /// The number of the group.
        index: usize,
        /// Its score.
        score: f64,
        /// Its weights.
        weights: usize,
    },
    /// A cap on the bits per weight that is none.
    #[error("at most {0} bits per weight: it must be positive and finite")]
    MostBits(f64),
}

/// Why no output noise changes a given share of the predictions.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DisagreementError {
    /// A margin that no prediction has.
    #[error("margin {value} of image {index} must be finite and not negative")]
    Margin {
        /// The number of the image.
        index: usize,
        /// The offending value.
        value: f64,
    },
    /// Predictions that no noise changes this often.
    #[error(
        "no noise changes a share {share} of the predictions: it changes {least} < share < 0.5"
    )]
    Share {
        /// The share asked for.
        share: f64,
        /// The share that the least noise changes: half of those with margin 0.
        least: f64,
    },
    /// A network of too few classes to change a prediction.
    #[error("{0} classes leave nothing to confuse: 2 at least are needed")]
    Classes(usize),
}

/// Why a plan cannot be read, or not be true.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFileError {
    /// A text that is no plan.
    #[error("not a plan")]
    Text(#[source] JsonError),
    /// A plan of another version.
    #[error("the plan has schema {0}, and {known} is known", known = crate::Plan::SCHEMA)]
    Schema(u64),
    /// A group without weights.
    #[error("group {0:?} has no weights")]
    EmptyGroup(String),
    /// Two groups of one name.
    #[error("the plan has two groups called {0:?}")]
    DuplicateGroup(String),
    /// A number that cannot be.
    #[error("the plan's {what} is {value}: it must be finite and not negative")]
    Number {
        /// What the number is.
        what: String,
        /// Its value.
        value: f64,
    },
    /// A bound that is above what was found, or a proof that is none.
    #[error(
        "the plan has output noise {noise}, none less than {bound}, proven: {proven}: the bound \
         must not be above the noise, and is proven where it meets it"
    )]
    Bound {
        /// The predicted output noise.
        noise: f64,
        /// The bound.
        bound: f64,
        /// Whether they are said to be the same.
        proven: bool,
    },
    /// A group without what its decoder must know, or with what it does not ask.
    #[error(
        "group {group:?} {} a prior, and the decoder {decoder} {}",
        if decoder.needs_prior() { "lacks" } else { "has" },
        if decoder.needs_prior() { "needs one" } else { "asks none" }
    )]
    Prior {
        /// The group.
        group: String,
        /// The decoder.
        decoder: crate::Decoder,
    },
    /// Numbers of a tensor that is protected weight by weight, of which there cannot be so many.
    #[error("group {group:?} of {weights} weights has {given} {what}: {allowed}")]
    Count {
        /// The group.
        group: String,
        /// The number of its weights.
        weights: usize,
        /// What they are.
        what: &'static str,
        /// How many there are.
        given: usize,
        /// How many there may be.
        allowed: String,
    },
    /// Bits that a group's words lack, or that are listed twice.
    #[error("group {group:?} protects bits {bits:?}: they must be different and below {width}")]
    Bits {
        /// The group.
        group: String,
        /// The bits.
        bits: Vec<u32>,
        /// The number of bits that there are.
        width: u32,
    },
    /// A scale or an origin that no words have.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// Flip probabilities or a code that do not fit a group's words.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// Words that cannot be decoded.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// Words of a codebook that does not exist.
    #[error(transparent)]
    Codebook(#[from] CodebookError),
    /// Blocks of a code that does not exist.
    #[error(transparent)]
    BlockCode(#[from] BlockCodeError),
}

/// Why what lies in a memory is not what a plan says.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Another number of bytes than the weights take.
    #[error("{weights} weights take {expected} bytes of {what}, and {given} were given")]
    Length {
        /// Words, blocks or check bits.
        what: &'static str,
        /// The number of weights.
        weights: usize,
        /// The number of bytes that they take.
        expected: u64,
        /// The number of bytes that were given.
        given: u64,
    },
    /// Words that cannot be unpacked, or a scale that no words have.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// A word that is stored for no weight.
    #[error("word {index} is {word:#x}, which is stored for no weight: {reason}")]
    Word {
        /// Position of the first such word.
        index: usize,
        /// The word.
        word: u16,
        /// Why it is never stored.
        reason: &'static str,
    },
    /// Check bits that do not belong to the words.
    #[error("bit {bit} of the check bits is not that of {ecc} for these words")]
    CheckBits {
        /// The first such bit.
        bit: u64,
        /// The code.
        ecc: qtaml_fault::Ecc,
    },
    /// A block that is stored for no weights.
    #[error("block {block} is no block of this plan in this memory: {reason}")]
    Block {
        /// The number of the block.
        block: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A group that cannot be planned so.
    #[error(transparent)]
    Plan(#[from] PlanFileError),
    /// Codes that this memory does not have.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
