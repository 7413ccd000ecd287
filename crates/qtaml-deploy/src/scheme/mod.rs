//! Schemes: how a model is stored, what repairs it and where its budget goes, as data.

mod storings;

use std::fmt;

use qtaml_compensation::allocation::{AllocationProblem, GreedyPath};
use qtaml_compensation::storage::ScalePolicy;
use qtaml_compensation::{Decoder, Score};
use qtaml_fault::Ecc;
use qtaml_quant::{BitWidth, CodeRange, Encoding};
use serde::{Deserialize, Serialize};

use crate::{Granularity, Recalibration};

/// Where the budget goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Allocator {
    /// The same everywhere.
    Uniform,
    /// Where the predicted output distortion falls most, by this score: tunneling-aware compensation.
    Tac(Score),
}

/// What lies in the memory for a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodeFamily {
    /// A quantized word, some of whose bits are protected.
    Quantized,
    /// A quantized word with as many protected top bits as its own score asks for. Tensors are stored as a
    /// whole, so that the granularity is [`Granularity::Tensor`]; where scales are those of groups, they
    /// are those of output channels.
    PerWeight,
    /// The same as quantized words with 2 bits or more: short words leave room for check bits.
    AnyWidth,
    /// A word of a channel-optimised codebook.
    Codebook,
    /// A part of a block that is error corrected as a whole.
    BlockCoded,
    /// Whatever suits a group: a codebook, a block code, or quantized words of any width.
    Mixed,
}

qtaml_quant::names!(CodeFamily, "code family", {
    Quantized: "quantized",
    PerWeight: "per-weight",
    AnyWidth: "any-width",
    Codebook: "codebook",
    BlockCoded: "block-coded",
    Mixed: "mixed",
});

impl Allocator {
    /// The way through the budgets of a problem.
    pub fn path(self, problem: &AllocationProblem) -> GreedyPath<'_> {
        match self {
            Self::Uniform => GreedyPath::uniform(problem),
            Self::Tac(_) => GreedyPath::optimal(problem),
        }
    }

    /// The score that distortions are predicted by: the linear one where it decides nothing.
    pub const fn score(self) -> Score {
        match self {
            Self::Uniform => Score::Wkb,
            Self::Tac(score) => score,
        }
    }
}

impl CodeFamily {
    /// Whether protection is of bits.
    pub const fn is_quantized(self) -> bool {
        matches!(self, Self::Quantized | Self::PerWeight | Self::AnyWidth)
    }
}

/// A way to store and protect a model.
///
/// ```
/// use qtaml_compensation::Decoder;
/// use qtaml_deploy::Granularity;
/// use qtaml_deploy::scheme::Scheme;
///
/// let tac = Scheme { decoder: Decoder::BayesGain, granularity: Granularity::Channel, ..Scheme::tac() };
/// assert_eq!(tac.to_string(), "TAC, bayes-gain, by channel");
/// assert_eq!(Scheme::uniform().to_string(), "Uniform-MSP, raw");
/// assert_eq!(Scheme::tac().by_weight().to_string(), "TAC, raw, by weight, channels' scales");
/// # let json = serde_json::to_string(&tac)?;
/// # assert_eq!(serde_json::from_str::<Scheme>(&json)?, tac);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    /// Where the budget goes.
    pub allocator: Allocator,
    /// What to believe of a word that is read.
    pub decoder: Decoder,
    /// What is protected alike.
    pub granularity: Granularity,
    /// What lies in the memory for a weight.
    pub code: CodeFamily,
    /// What the outermost codes stand for.
    pub scale: ScalePolicy,
    /// What the codes are spread over; it is not written down where it is symmetric.
    #[serde(default, skip_serializing_if = "CodeRange::is_symmetric")]
    pub range: CodeRange,
    /// What bits stand for.
    pub encoding: Encoding,
    /// Bits of a weight; where words may be shorter, of the longest.
    pub bits: BitWidth,
    /// What is measured again after each read.
    pub recalibration: Recalibration,
    /// What may keep protected bits.
    pub eccs: Vec<Ecc>,
}

impl Scheme {
    /// The baseline of the literature: so many top bits of every weight, read as they are, one scale a
    /// tensor.
    pub fn uniform() -> Self {
        Self {
            allocator: Allocator::Uniform,
            decoder: Decoder::Raw,
            granularity: Granularity::Tensor,
            code: CodeFamily::Quantized,
            scale: ScalePolicy::PerTensor,
            range: CodeRange::default(),
            encoding: Encoding::TwosComplement,
            bits: BitWidth::INT8,
            recalibration: Recalibration::None,
            eccs: vec![Ecc::Ideal],
        }
    }

    /// Tunneling-aware compensation as its source derives it: the linear score, layer by layer.
    pub fn tac() -> Self {
        Self { allocator: Allocator::Tac(Score::Wkb), ..Self::uniform() }
    }

    /// Whether another scheme has the same ways to store each group, and differs at most in where the budget goes and
    /// what is measured again.
    pub fn stores_as(&self, other: &Self) -> bool {
        let Self { allocator, recalibration, .. } = *self;
        *self == Self { allocator, recalibration, ..other.clone() }
    }

    /// The same with weights that are protected one by one, and scales of output channels.
    #[must_use]
    pub fn by_weight(self) -> Self {
        let (code, granularity) = (CodeFamily::PerWeight, Granularity::Tensor);
        Self { code, granularity, scale: ScalePolicy::PerGroup, ..self }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.allocator {
            Allocator::Uniform if self.code.is_quantized() => f.write_str("Uniform-MSP")?,
            Allocator::Uniform => f.write_str("fixed width")?,
            Allocator::Tac(Score::Wkb) => f.write_str("TAC")?,
            Allocator::Tac(Score::Measured) => f.write_str("TAC, measured sensitivity")?,
            Allocator::Tac(score) => write!(f, "TAC by {score}")?,
        }
        match self.code {
            CodeFamily::Quantized => write!(f, ", {}", self.decoder)?,
            CodeFamily::PerWeight => write!(f, ", {}, by weight", self.decoder)?,
            CodeFamily::AnyWidth => write!(f, ", {}, 2 to {} bits", self.decoder, self.bits.get())?,
            CodeFamily::Codebook => f.write_str(", codebook (COSQ)")?,
            CodeFamily::BlockCoded => f.write_str(", block codes")?,
            CodeFamily::Mixed => f.write_str(", mixed")?,
        }
        if self.bits != BitWidth::INT8 && self.code != CodeFamily::AnyWidth {
            write!(f, ", {}", self.bits)?;
        }
        if self.encoding != Encoding::TwosComplement {
            write!(f, ", {}", self.encoding)?;
        }
        if !self.range.is_symmetric() {
            write!(f, ", {}", self.range)?;
        }
        match self.granularity {
            Granularity::Channel => f.write_str(", by channel")?,
            Granularity::Group(weights) => write!(f, ", by {weights} weights")?,
            _ => {}
        }
        match (self.scale, self.granularity) {
            (ScalePolicy::MinMse, _) if self.code.is_quantized() => {
                f.write_str(", min-MSE scale")?;
            }
            (ScalePolicy::PerGroup, _) if self.code == CodeFamily::PerWeight => {
                f.write_str(", channels' scales")?;
            }
            (ScalePolicy::PerGroup, Granularity::Channel | Granularity::Group(_)) => {
                f.write_str(", own scales")?;
            }
            (ScalePolicy::ThreeSigma | ScalePolicy::FourSigma | ScalePolicy::MinRounding, _)
                if self.code.is_quantized() =>
            {
                write!(f, ", {} scale", self.scale)?;
            }
            _ => {}
        }
        if self.recalibration != Recalibration::None {
            write!(f, ", {} recalibration", self.recalibration)?;
        }
        if self.code.is_quantized() && self.eccs != [Ecc::Ideal] {
            f.write_str(", real codes")?;
        }
        Ok(())
    }
}
