//! Schemes: storage, recalibration and allocation under one name.

use std::fmt;

use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Decoder, Score};
use qtaml::deploy::{Granularity, Recalibration};
use qtaml::fault::Ecc;
use qtaml::quant::{BitWidth, Encoding};
use serde::Serialize;

use super::code::Code;

/// Where protected bits go.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Allocator {
    /// The same number everywhere.
    Uniform,
    /// Where the predicted output distortion falls most, by this score.
    Tac(Score),
}

/// A way to protect a network.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    pub scale: ScalePolicy,
    /// What bits stand for.
    pub encoding: Encoding,
    /// Bits per weight.
    pub bits: BitWidth,
    /// What is measured again after each read.
    pub recalibration: Recalibration,
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
            code: Code::Quantized,
            scale: ScalePolicy::PerTensor,
            encoding: Encoding::TwosComplement,
            bits: BitWidth::INT8,
            recalibration: Recalibration::None,
            eccs: vec![Ecc::Ideal],
        }
    }

    /// The source's method as we derive it: the linear score, layer by layer.
    pub fn tac() -> Self {
        Self { allocator: Allocator::Tac(Score::Wkb), ..Self::uniform() }
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
            Code::Quantized => write!(f, ", {}", self.decoder)?,
            Code::AnyWidth => write!(f, ", {}, 2 to 8 bits", self.decoder)?,
            Code::Codebook => f.write_str(", codebook (COSQ)")?,
            Code::Mixed => f.write_str(", mixed")?,
        }
        if self.bits != BitWidth::INT8 {
            write!(f, ", {}", self.bits)?;
        }
        if self.encoding != Encoding::TwosComplement {
            write!(f, ", {}", self.encoding)?;
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
            (ScalePolicy::PerGroup, Granularity::Channel | Granularity::Group(_)) => {
                f.write_str(", own scales")?;
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
