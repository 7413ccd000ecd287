//! The command line of `qtaml inspect`.

use std::path::PathBuf;

use clap::Args;

use crate::flags::help;
use crate::format_flags::{LayoutArgs, WordArgs};
use crate::selection::Selection;

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
  qtaml inspect model.onnx
      an ONNX model: its operators say what is a weight, and along which axis its outputs are
  qtaml inspect model.safetensors --json
      the same for a program"
);

/// Show what is in a model, and what rounding to codes makes of it
///
/// MODEL is a safetensors file, a folder of such files, the index of its shards, or an ONNX file. For each tensor: its
/// kind, its axis of output channels, its range, and for weights the error of rounding, what would be
/// stored, and a warning where rounding destroys it. What is a weight, and which quantized checkpoints
/// are known, is in docs/model-files.md. Safetensors files of any size are read
/// in pieces; of an ONNX model the weights are in memory.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct InspectArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,

    #[command(flatten)]
    pub(super) words: WordArgs,

    #[command(flatten)]
    pub(super) layout: LayoutArgs,

    #[command(flatten)]
    pub(super) selection: Selection,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}
