//! Flags of the stored format: width, encoding, range and scales of quantized weights.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use qtaml::compensation::Decoder;
#[cfg(feature = "onnx")]
use qtaml::compensation::storage::{BitChoice, QuantizedSpec, ScalePolicy};
#[cfg(feature = "onnx")]
use qtaml::fault::BitMask;
use qtaml::files::Layout;
use qtaml::quant::{BitWidth, Clip, CodeRange, Encoding, Format, Granularity, Scaling};

use crate::flags::bit_width;

/// Heading of the flags that say how weights are stored.
pub(crate) const WORDS: &str = "Words";

/// Codes of float weights, and which of them share a scale: the same in every command.
#[derive(Debug, Clone, Args)]
#[group(id = "words", multiple = true)]
pub(crate) struct WordArgs {
    /// Bits of the code of a float weight, 2 to 8
    #[arg(long, value_name = "B", default_value = "8", value_parser = bit_width)]
    #[arg(help_heading = WORDS)]
    bits: BitWidth,

    /// What they stand for: twos-complement, sign-magnitude, offset-binary or gray
    #[arg(long, value_name = "NAME", default_value_t, help_heading = WORDS)]
    encoding: Encoding,

    /// Which weights share a scale: per-channel, per-tensor or group:N
    ///
    /// Channels are output channels, along an axis that the file says or that is said of it. group:N is a scale for N weights
    /// in a row within a channel, the last of which may be fewer.
    #[arg(long, value_name = "WHICH", default_value_t, help_heading = WORDS)]
    scale: ScaleFlag,
}

/// How matrices are laid out, where no graph says so.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "matrix-layout")]
pub(crate) struct LayoutArgs {
    /// Matrices of linear layers: pytorch for [outputs, inputs], burn for [inputs, outputs]
    ///
    /// By default the file says, by its metadata or by the biases beside the matrices; where it does
    /// not, the first axis is taken, and that is noted.
    #[arg(long, value_name = "NAME", help_heading = WORDS)]
    pub(crate) layout: Option<Layout>,
}

/// How float weights are quantized.
#[derive(Debug, Clone, Args)]
#[group(id = "format", multiple = true)]
pub(crate) struct FormatArgs {
    #[command(flatten)]
    words: WordArgs,

    /// What the codes are spread over: symmetric, min-max or zero-point
    ///
    /// Symmetric: as far below zero as above it. Min-max: all codes from the smallest weight to the
    /// largest, unsigned codes with --encoding offset-binary. Zero-point: the same with 0 among the
    /// numbers, as ONNX and PyTorch quantize.
    #[arg(long, value_name = "NAME", default_value_t, help_heading = WORDS)]
    range: CodeRange,

    /// Where the ends of the codes come from: max, or min-mse for the least error of quantization
    ///
    /// With min-mse the weights are read once more, and the few outside are clipped.
    #[arg(long, value_name = "HOW", default_value_t, help_heading = WORDS)]
    clip: Clip,
}

/// What is believed of words that are read.
#[derive(Debug, Clone, Args)]
pub(crate) struct DecoderArgs {
    /// What to believe of a word that is read: raw, affine, linear-mmse, bayes or bayes-gain
    ///
    /// Raw takes it as it is. The others undo what the flips do in the mean, and need to know how often
    /// bits flip; bayes-gain, which we recommend, knows the distribution of the weights and keeps the gain
    /// of a layer. What is written are the weights as they are decoded.
    #[arg(long, value_name = "NAME", default_value_t, help_heading = WORDS)]
    pub(crate) decoder: Decoder,
}

impl WordArgs {
    /// What the words mean.
    pub(crate) fn format(&self) -> Format {
        Format::new(self.bits, self.encoding)
    }

    /// Which weights share a scale.
    pub(crate) fn granularity(&self) -> Granularity {
        self.scale.0
    }
}

impl FormatArgs {
    /// What the words mean.
    pub(crate) fn format(&self) -> Format {
        self.words.format()
    }

    /// How tensors are scaled.
    pub(crate) fn tensor_scaling(&self) -> TensorScaling {
        let Self { range, clip, .. } = *self;
        TensorScaling { granularity: self.words.granularity(), range, clip }
    }

    /// How weights are written and read, with these bits protected. Where ends are those of least error, that of
    /// faults counts as well.
    #[cfg(feature = "onnx")]
    pub(crate) fn quantized(&self, decoder: Decoder, protected: BitMask) -> QuantizedSpec {
        let scale = match self.clip {
            Clip::MinMse => ScalePolicy::MinMse,
            _ => ScalePolicy::PerGroup,
        };
        QuantizedSpec {
            format: self.format(),
            scale,
            range: self.range,
            decoder,
            protection: BitChoice::Sets(vec![protected]),
            ..QuantizedSpec::default()
        }
    }
}

/// How tensors of any shape are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TensorScaling {
    pub(crate) granularity: Granularity,
    pub(crate) range: CodeRange,
    pub(crate) clip: Clip,
}

impl TensorScaling {
    /// That of a tensor whose output channels lie along an axis.
    pub(crate) fn of_axis(self, axis: usize) -> Scaling {
        let Self { granularity, range, clip } = self;
        let axis = (granularity != Granularity::Tensor).then_some(axis);
        Scaling { granularity, axis, range, clip }
    }
}

/// A granularity as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScaleFlag(Granularity);

impl ScaleFlag {
    /// Which weights share a scale.
    pub(crate) const fn granularity(self) -> Granularity {
        self.0
    }
}

impl From<Granularity> for ScaleFlag {
    fn from(granularity: Granularity) -> Self {
        Self(granularity)
    }
}

impl Default for ScaleFlag {
    fn default() -> Self {
        Self(Granularity::Channel)
    }
}

impl fmt::Display for ScaleFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Granularity::Tensor => f.write_str("per-tensor"),
            Granularity::Channel => f.write_str("per-channel"),
            other => other.fmt(f),
        }
    }
}

impl FromStr for ScaleFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "per-tensor" => Ok(Self(Granularity::Tensor)),
            "per-channel" => Ok(Self(Granularity::Channel)),
            _ if text.starts_with("group:") => text.parse().map(Self).map_err(|_| wrong_scale()),
            _ => Err(wrong_scale()),
        }
    }
}

fn wrong_scale() -> String {
    "per-channel, per-tensor, or group:N with N of at least 1 is needed".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_as_a_default_can_be_typed() {
        for granularity in [Granularity::Tensor, Granularity::Channel, Granularity::Group(32)] {
            let flag = ScaleFlag(granularity);
            assert_eq!(flag.to_string().parse(), Ok(flag));
        }
        for text in ["tensor", "channel", "group:0", "group:", "group:-1", ""] {
            assert_eq!(text.parse::<ScaleFlag>(), Err(wrong_scale()), "{text}");
        }
    }
}
