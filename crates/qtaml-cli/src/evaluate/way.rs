//! One way to store all weights of a model, as it is typed.

use std::fmt;
use std::str::FromStr;

use qtaml::compensation::Decoder;
use qtaml::compensation::storage::StorageSpec;
use qtaml::deploy::Storing;
use qtaml::fault::{BitMask, MemoryModel};
use qtaml::physics::FlipProfile;

use crate::format_flags::FormatArgs;

/// How every weight is stored and read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// Quantized words, nothing protected, read by a decoder.
    Decoder(Decoder),
    /// Quantized words with so many top bits protected, read as they are.
    Top(u32),
    /// Words of a channel-optimised codebook of so many bits.
    Codebook(u32),
    /// Blocks that are error corrected, so many bits a weight.
    Blocks(u32),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decoder(decoder) => decoder.fmt(f),
            Self::Top(bits) => write!(f, "top:{bits}"),
            Self::Codebook(bits) => write!(f, "codebook:{bits}"),
            Self::Blocks(bits) => write!(f, "blocks:{bits}"),
        }
    }
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let decoders: Vec<String> = Decoder::ALL.iter().map(ToString::to_string).collect();
            format!(
                "{text:?} is no way to store weights: {}, top:K, codebook:B and blocks:B are, with K \
                 of 0 to 8 and B of 1 to 8",
                decoders.join(", ")
            )
        };
        let Some((kind, bits)) = text.split_once(':') else {
            return text.parse().map(Self::Decoder).map_err(|_| wrong());
        };
        let bits: u32 = bits.parse().map_err(|_| wrong())?;
        match (kind, bits) {
            ("top", 0..=8) => Ok(Self::Top(bits)),
            ("codebook", 1..=8) => Ok(Self::Codebook(bits)),
            ("blocks", 1..=8) => Ok(Self::Blocks(bits)),
            _ => Err(wrong()),
        }
    }
}

impl Way {
    /// The memory and the storage.
    pub(super) fn storing(self, words: &FormatArgs, flips: &FlipProfile) -> Storing {
        let memory = MemoryModel::new(flips.clone());
        match self {
            Self::Decoder(decoder) => Storing::new(memory, words.quantized(decoder, BitMask::NONE)),
            Self::Top(bits) => {
                let width = words.format().bits();
                let kept = BitMask::top(bits.min(width.get()), width).unwrap_or_default();
                Storing::new(memory, words.quantized(Decoder::Raw, kept))
            }
            Self::Codebook(bits) => Storing::new(memory, StorageSpec::codebook([bits])),
            Self::Blocks(bits) => Storing::new(memory, StorageSpec::block_coded([bits])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let ways =
            [Way::Decoder(Decoder::BayesGain), Way::Top(2), Way::Codebook(5), Way::Blocks(8)];
        for way in ways {
            assert_eq!(way.to_string().parse(), Ok(way));
        }
        for text in ["top:9", "codebook:0", "blocks:x", "top", "best", ""] {
            assert!(text.parse::<Way>().unwrap_err().contains("bayes-gain, top:K"), "{text}");
        }
    }
}
