//! The command line of `qtaml codec`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, value_parser};
use qtaml::compensation::codebook::WordChannel;
use qtaml::files::Layout;
use qtaml::physics::FlipProfile;

use crate::flags::{FlipArgs, help};
use crate::format_flags::{ScaleFlag, WORDS};
use crate::selection::Selection;
use crate::usage::UsageError;

const AFTER_HELP: &str = help!(
    "\
Examples:
  qtaml codec design model.safetensors --p 0.1 -o model.codec
      find a code for every weight tensor, for a memory that flips one bit in ten
  qtaml codec encode model.safetensors --codec model.codec -o stored.safetensors
      what to store
  qtaml inject stored.safetensors --p 0.1 --out faulty.safetensors
      what the memory makes of it
  qtaml codec decode faulty.safetensors --codec model.codec -o restored.safetensors
      the model as it is read
  qtaml codec inspect model.codec
      how far each tensor will be off, without any fault drawn"
);

const DESIGN_HELP: &str = help!(
    "\
Examples:
  qtaml codec design model.safetensors --p 0.01 -o model.codec
      8 stored bits for each weight, one bit in a hundred flips
  qtaml codec design model.safetensors --p 0.1 --bits 12 -o model.codec
      a worse memory, and more bits to live with it
  qtaml codec design model.safetensors --p 0.1 --scale group:64 -o model.codec
      a scale for every 64 weights of an output channel
  qtaml codec design model.safetensors --p01 1e-4 --p10 1e-2 --bits 4 -o model.codec
      ones are lost more easily than zeros: they are stored where they cost least
  qtaml codec design model.safetensors --p 0.1 --skip 'lm_head.*' --skip '*norm*' -o model.codec
      tensors with such names stay as they are"
);

const ENCODE_HELP: &str = help!(
    "\
The tensors of the codec become words, stored as U8: of the same shape for words of 8 bits, side by
side without a spare bit in a tensor of shape [1, BYTES] for others. Each word lies with its least
significant bit first. All other tensors are copied. The file says with which codec it was written.

The error that is shown is exact for these weights: the mean over all faults of a memory like the
one of the codec, relative to the mean square of the weights.

Example:
  qtaml codec encode model.safetensors --codec model.codec -o stored.safetensors"
);

const DECODE_HELP: &str = help!(
    "\
The stored tensors become F32 of the shape that they had, whatever their type was. All others are
copied.

Example:
  qtaml codec decode stored.safetensors --codec model.codec -o restored.safetensors"
);

const INSPECT_HELP: &str = help!(
    "\
Example:
  qtaml codec inspect model.codec
      expected error of each tensor, its stored words and bytes"
);

/// Store weights as words that expect faults, and read them back
///
/// An ordinary code stores a number: its top bit is worth half of the range, and flips as often as
/// the others. A codec chooses the stored words for the memory as it is, so that a flip costs
/// little, and no bit need be protected. docs/codec.md is an introduction.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct CodecArgs {
    #[command(subcommand)]
    pub(super) command: CodecCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum CodecCommand {
    Design(Box<DesignArgs>),
    Encode(EncodeArgs),
    Decode(DecodeArgs),
    Inspect(InspectArgs),
}

/// Find a code for every weight tensor of a model
///
/// Weight tensors are those that `qtaml inspect` calls so, of floats; biases, norms and buffers are stored
/// as they are, and what is not understood is an error. A code is made for the weights of its
/// tensor, in units of their scales, and for the flips of the memory. It takes a fraction of a second for
/// words of up to 8 bits, 10 to 20 s for 12, and 4 bytes for each of the 2^B words and for each scale.
///
/// With --p-per-bit there must be a flip probability for every bit of --bits. `qtaml inject` knows
/// such flips for words of 2 to 8 bits, and wants the same --bits.
#[derive(Debug, Args)]
#[command(after_long_help = DESIGN_HELP)]
#[command(group(ArgGroup::new("faults").args(["p", "p01", "p_per_bit", "cell"]).required(true)))]
pub(super) struct DesignArgs {
    /// The model: a safetensors file, a folder of such files, or the index of its shards
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,

    /// Where to write the codec
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: PathBuf,

    #[command(flatten)]
    flips: FlipArgs,

    /// Stored bits of a weight, 1 to 12
    #[arg(long, value_name = "B", default_value_t = 8)]
    #[arg(value_parser = value_parser!(u32).range(1..=WordChannel::MAX_WIDTH.into()))]
    bits: u32,

    /// Which weights share a scale: per-channel, per-tensor or group:N
    ///
    /// A tensor has one code, in units of its scales: each is the root mean square of its weights and takes
    /// 32 bits in the codec. Channels are output channels, along an axis that the file or --layout says. group:N is
    /// a scale for N weights in a row within a channel, the last of which may be fewer.
    #[arg(long, value_name = "WHICH", default_value_t, help_heading = WORDS)]
    pub(super) scale: ScaleFlag,

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

/// Write a model as words of its codec
#[derive(Debug, Args)]
#[command(after_long_help = ENCODE_HELP)]
pub(super) struct EncodeArgs {
    /// The model: a safetensors file, a folder of such files, or the index of its shards
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,

    #[command(flatten)]
    pub(super) files: CodingFiles,
}

/// Write a model as it is read from words of its codec
#[derive(Debug, Args)]
#[command(after_long_help = DECODE_HELP)]
pub(super) struct DecodeArgs {
    /// The stored model, as it was encoded or as a memory returned it
    #[arg(value_name = "MODEL")]
    pub(super) stored: PathBuf,

    #[command(flatten)]
    pub(super) files: CodingFiles,
}

#[derive(Debug, Args)]
pub(super) struct CodingFiles {
    /// The codec, as `qtaml codec design` writes it
    #[arg(long, value_name = "FILE")]
    pub(super) codec: PathBuf,

    /// Where to write the result: a file, or for a model in several files a folder
    #[arg(short, long, value_name = "PATH")]
    pub(super) out: PathBuf,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// Show what is in a codec
#[derive(Debug, Args)]
#[command(after_long_help = INSPECT_HELP)]
pub(super) struct InspectArgs {
    /// The codec
    #[arg(value_name = "FILE")]
    pub(super) codec: PathBuf,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl DesignArgs {
    /// The memory that the codes are made for.
    pub(super) fn channel(&self) -> Result<WordChannel, UsageError> {
        let flips = self.flips.profile()?.map_or_else(|| FlipProfile::per_bit(vec![]), Ok)?;
        Ok(WordChannel::new(flips, self.bits)?)
    }
}
