//! The command line of `qtaml inject`.

use std::path::PathBuf;

use clap::Args;
use qtaml::fault::{BitFlips, Keeper, Protection, Seed};
use qtaml::physics::{FlipProbability, FlipProfile, PhysicsError};
use qtaml::quant::{BitWidth, Encoding, Format};

use super::faults::{Draw, Law};
use crate::flags::{self, UsageError, bit_law, bit_width, symmetric};

const AFTER_HELP: &str = "\
Examples:
  qtaml inject model.safetensors --p 0.01 --out faulty.safetensors
      INT8 weights, one bit in a hundred flips
  qtaml inject model.safetensors --p 0.1 --protect 2 --trial 7 --out faulty.safetensors
      another pattern of faults, and none in the two top bits of a weight
  qtaml inject model.safetensors --p01 1e-4 --p10 1e-2 --bits 4 --encoding gray --out faulty.safetensors
      ones are lost more easily than zeros, in INT4 weights in Gray code
  qtaml inject model.safetensors --p 1e-3 --protect 2 --code secded:64 --out faulty.safetensors
      the top bits kept by a real code, as well as it can
  qtaml inject model.safetensors --faults 20 --out faulty.safetensors
      exactly 20 of all stored bits flip
  qtaml inject model.safetensors --p 0.01 --only fc.weight --record faults.bin --out faulty.safetensors
      faults in one tensor, which are kept in a file
  qtaml inject model.safetensors --replay faults.bin --out faulty.safetensors
      the same faults again

Exit codes:
  0 the model was written, 1 it could not be, 2 wrong usage";

/// Write a copy of a model as it is read from a faulty memory
///
/// Float tensors of rank 2 and more are quantized with one scale per tensor, their words are
/// exposed to bit flips, and what is read takes their place, in the type that they had. Tensors of
/// I8 and U8 are such words already. All others are copied. The faults follow from the seed, the
/// trial and the names of the tensors alone. Files of any size are read and written in pieces.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct InjectArgs {
    /// The model
    #[arg(value_name = "FILE.safetensors")]
    pub(super) model: PathBuf,

    /// Where to write the faulty model
    #[arg(long, value_name = "FILE.safetensors")]
    pub(super) out: PathBuf,

    /// Flip probability of every bit, 0 to 0.5
    #[arg(long, value_name = "P", value_parser = symmetric)]
    #[arg(required_unless_present_any = ["p01", "p_per_bit", "faults", "replay"])]
    p: Option<FlipProbability>,

    /// Probability that a stored 0 is read as 1; needs --p10
    #[arg(long, value_name = "P", requires = "p10", conflicts_with = "p")]
    p01: Option<f64>,

    /// Probability that a stored 1 is read as 0; needs --p01
    #[arg(long, value_name = "P", requires = "p01", conflicts_with = "p")]
    p10: Option<f64>,

    /// A law for each bit, least significant first: p or p01:p10, separated by commas
    ///
    /// There must be one for every bit of --bits, and eight if words of I8, U8 or --biases are
    /// among the tensors: choose others with --only.
    #[arg(long, value_name = "LAWS", value_delimiter = ',', value_parser = bit_law)]
    #[arg(conflicts_with_all = ["p", "p01", "p10"])]
    p_per_bit: Vec<FlipProbability>,

    /// Flip exactly so many of all stored bits, instead of each with a probability
    ///
    /// Protection takes away those that fall on protected bits.
    #[arg(long, value_name = "N", conflicts_with_all = ["p", "p01", "p10", "p_per_bit"])]
    faults: Option<u64>,

    /// Bits of the code of a float weight, 2 to 8
    #[arg(long, value_name = "B", default_value = "8", value_parser = bit_width)]
    bits: BitWidth,

    /// What they stand for: twos-complement, sign-magnitude, offset-binary or gray
    #[arg(long, value_name = "NAME", default_value_t)]
    encoding: Encoding,

    /// Protect so many of the most significant bits of each weight
    #[arg(long, value_name = "K", default_value_t = 0)]
    protect: u32,

    /// What keeps the protected bits: ideal, repetition:COPIES, secded:DATA, bch:M:T and others
    ///
    /// A real code runs along the words: the same bit of DATA words in a row makes a code word. Its
    /// check bits are stored beside the tensor and flip as well.
    #[arg(long, value_name = "CODE", default_value_t, conflicts_with = "faults")]
    code: Keeper,

    /// Everything random follows from this number
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    seed: u64,

    /// Number of the fault pattern; each has faults of its own
    #[arg(long, value_name = "N", default_value_t = 0)]
    trial: u32,

    /// Inject into this tensor only; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(super) only: Vec<String>,

    /// Inject into tensors of rank 1 and 0 too, as they are
    ///
    /// Each of their bytes is a word of eight bits, none of them protected. A flip in the exponent
    /// of a float can make it huge, infinite or NaN.
    #[arg(long)]
    pub(super) biases: bool,

    /// Write the faults to this file, for --replay
    ///
    /// They are kept in memory until then, in about two bytes for each faulty word.
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

    /// Inject the faults of this file and draw none
    ///
    /// The same faults in the same model give the same faulty model. In a faulty model they take
    /// themselves back, bit by bit, only where words are stored as they are, in I8, U8 and the
    /// tensors of --biases: matrices of floats are quantized anew, with another scale.
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["p", "p01", "p10", "p_per_bit", "faults", "bits", "encoding"])]
    #[arg(conflicts_with_all = ["protect", "code", "seed", "trial", "only", "biases", "record"])]
    pub(super) replay: Option<PathBuf>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl InjectArgs {
    /// How weights are stored.
    pub(super) fn format(&self) -> Format {
        Format::new(self.bits, self.encoding)
    }

    /// What is drawn, or what does not fit together.
    pub(super) fn draw(&self) -> Result<(Law, Draw), UsageError> {
        let protect = self.protect;
        Protection::top(protect, self.bits)?;
        let draw = Draw { protect, keeper: self.code, seed: Seed(self.seed), trial: self.trial };
        if let Some(count) = self.faults {
            return Ok((Law::Count(count), draw));
        }
        let flips = self.flips()?;
        BitFlips::new(flips.clone(), self.bits)?;
        Ok((Law::Flips(flips), draw))
    }

    fn flips(&self) -> Result<FlipProfile, PhysicsError> {
        let given = flags::flips(self.p, (self.p01, self.p10), &self.p_per_bit)?;
        given.map_or_else(|| FlipProfile::per_bit(vec![]), Ok)
    }
}
