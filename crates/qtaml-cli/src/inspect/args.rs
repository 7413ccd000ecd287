//! The command line of `qtaml inspect`.

use std::path::PathBuf;

use clap::Args;
use qtaml::deploy::Granularity;
use qtaml::files::Layout;
use qtaml::quant::{BitWidth, Encoding, Format};

use crate::flags::{bit_width, help};
use crate::selection::Selection;

const WORDS: &str = "Words";

const AFTER_HELP: &str = help!(
    "\
Columns:
  shape    the axis of output channels has a star, if it is known
  max/rms  the largest magnitude in units of the root mean square
  kurt     kurtosis: 3 for a normal distribution, 1.8 for a uniform one, more for heavy tails
  dB       weights against their rounding error; fewer than 10 are warned of
  zeros    share of the weights whose code is zero

Examples:
  qtaml inspect model.safetensors
      every tensor, what it is, and what INT8 with a scale for each output channel makes of it
  qtaml inspect model.safetensors --bits 4 --scale group:32
      INT4 with a scale for each 32 weights in a row
  qtaml inspect llama/ --only '*.mlp.*' --skip '*norm*'
      some tensors of a model in several files
  qtaml inspect net.safetensors --layout burn
      matrices are [inputs, outputs], if the file does not say so itself
  qtaml inspect model.safetensors --json
      the same for a program"
);

/// Show what is in a model, and what rounding to codes makes of it
///
/// MODEL is a safetensors file, a folder of such files, or the index of its shards. For each tensor: its
/// kind, its axis of output channels, its range, and for weights the error of rounding, what would be
/// stored, and a warning where rounding destroys it. What is a weight, and which quantized checkpoints
/// are known, is in docs/model-files.md. Files of any size are read in pieces.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct InspectArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,

    /// Bits of the code of a float weight, 2 to 8
    #[arg(long, value_name = "B", default_value = "8", value_parser = bit_width)]
    #[arg(help_heading = WORDS)]
    bits: BitWidth,

    /// What they stand for: twos-complement, sign-magnitude, offset-binary or gray
    #[arg(long, value_name = "NAME", default_value_t, help_heading = WORDS)]
    encoding: Encoding,

    /// Weights of one scale: per-tensor, per-channel, or group:N for N in a row within a channel
    #[arg(long, value_name = "SCOPE", default_value = "per-channel", value_parser = scale)]
    #[arg(help_heading = WORDS)]
    pub(super) scale: Granularity,

    /// Matrices of linear layers: pytorch for [outputs, inputs], burn for [inputs, outputs]
    ///
    /// By default the file says, by its metadata or by the biases beside the matrices; where it does
    /// not, the first axis is taken, and that is noted.
    #[arg(long, value_name = "NAME", help_heading = WORDS)]
    pub(super) layout: Option<Layout>,

    #[command(flatten)]
    pub(super) selection: Selection,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl InspectArgs {
    /// How weights would be stored.
    pub(super) fn format(&self) -> Format {
        Format::new(self.bits, self.encoding)
    }
}

fn scale(text: &str) -> Result<Granularity, String> {
    let name = match text {
        "per-tensor" => "tensor",
        "per-channel" => "channel",
        group if group.starts_with("group:") => group,
        _ => "",
    };
    name.parse().map_err(|_| "per-tensor, per-channel, or group:N with N of at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_a_scope() {
        assert_eq!(scale("per-channel"), Ok(Granularity::Channel));
        assert_eq!(scale("per-tensor"), Ok(Granularity::Tensor));
        assert_eq!(scale("group:32"), Ok(Granularity::Group(32)));
        for text in ["group:0", "group:", "group:-1", "channel", "", "per-row"] {
            assert!(scale(text).unwrap_err().starts_with("per-tensor, per-channel"), "{text}");
        }
    }
}
