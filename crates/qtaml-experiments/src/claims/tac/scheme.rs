//! A way to store weights, to read them, and to spend a budget on them.

use std::fmt;

use qtaml::compensation::{Decoder, Prior, Score};
use qtaml::fault::Ecc;
use qtaml::physics::FlipProfile;
use qtaml::quant::{BitWidth, Encoding, Format};
use qtaml::train::{Granularity, Memory, Range};

use super::code::Code;

/// Where protected bits go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allocator {
    /// The same number everywhere.
    Uniform,
    /// Where the predicted output distortion falls most, by this score.
    Tac(Score),
}

/// A way to protect a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    /// Where protected bits go.
    pub allocator: Allocator,
    /// What to believe of a word that is read.
    pub decoder: Decoder,
    /// What is protected alike.
    pub granularity: Granularity,
    /// What lies in the memory for a weight.
    pub code: Code,
    /// What the largest code stands for.
    pub range: Range,
    /// What bits stand for.
    pub encoding: Encoding,
    /// Bits per weight.
    pub bits: BitWidth,
    /// Whether batch norm is measured again under the faults.
    pub norms_again: bool,
    /// Whether the scores of each class are measured again, and brought back to what they were.
    pub scores_again: bool,
    /// What may keep protected bits.
    pub eccs: Vec<Ecc>,
}

impl Scheme {
    /// The source's baseline: so many top bits of every weight, read as they are.
    pub fn uniform() -> Self {
        Self {
            allocator: Allocator::Uniform,
            decoder: Decoder::Raw,
            granularity: Granularity::Tensor,
            code: Code::Numbers,
            range: Range::Tensor,
            encoding: Encoding::TwosComplement,
            bits: BitWidth::INT8,
            norms_again: false,
            scores_again: false,
            eccs: vec![Ecc::Ideal],
        }
    }

    /// The source's method as we derive it: the linear score, layer by layer.
    pub fn tac() -> Self {
        Self { allocator: Allocator::Tac(Score::Wkb), ..Self::uniform() }
    }

    /// The memory that this stores numbers in.
    pub fn memory(&self, flips: FlipProfile) -> Memory {
        Memory {
            format: Format::new(self.bits, self.encoding),
            granularity: self.granularity,
            range: self.range,
            decoder: self.decoder,
            prior: Prior::default(),
            eccs: self.eccs.clone(),
            ..Memory::new(flips)
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.allocator {
            Allocator::Uniform if self.code.is_number() => f.write_str("Uniform-MSP")?,
            Allocator::Uniform => f.write_str("one width")?,
            Allocator::Tac(Score::Wkb) => f.write_str("TAC")?,
            Allocator::Tac(score) => write!(f, "TAC by {score}")?,
        }
        match self.code {
            Code::Numbers => write!(f, ", {}", self.decoder)?,
            Code::ShortNumbers => write!(f, ", {}, 2 to 8 bits", self.decoder)?,
            Code::Words => f.write_str(", words")?,
            Code::Any => f.write_str(", any code")?,
        }
        if self.bits != BitWidth::INT8 {
            write!(f, ", {}", self.bits)?;
        }
        if self.encoding != Encoding::TwosComplement {
            write!(f, ", {}", self.encoding)?;
        }
        match self.granularity {
            Granularity::Tensor => {}
            Granularity::Channel => f.write_str(", by channel")?,
            Granularity::Group(weights) => write!(f, ", by {weights} weights")?,
        }
        match (self.range, self.granularity) {
            (Range::Best, _) if self.code.is_number() => f.write_str(", best range")?,
            (Range::Unit, Granularity::Channel | Granularity::Group(_)) => {
                f.write_str(", own scales")?;
            }
            _ => {}
        }
        if self.norms_again {
            f.write_str(", norms again")?;
        }
        if self.scores_again {
            f.write_str(", scores again")?;
        }
        if self.code.is_number() && self.eccs != [Ecc::Ideal] {
            f.write_str(", real codes")?;
        }
        Ok(())
    }
}
