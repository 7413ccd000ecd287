//! The command line of `qtaml inject`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use qtaml::compensation::{CodeHistogram, DecodeTable, Decoder};
use qtaml::fault::{BitFlips, BitMask, Bursts, Ecc, MemoryModel, Seed};
use qtaml::physics::FlipProfile;
use qtaml::quant::BitWidth;

use super::faults::{Draw, FaultSpec};
use super::storage::HowStored;
use crate::flags::{self, FAULTS, FlipArgs, count, help, probability};
use crate::format_flags::{DecoderArgs, FormatArgs, LayoutArgs, WORDS};
use crate::selection::Selection;
use crate::usage::UsageError;

/// The arguments of which one has to be there.
const WAYS: [&str; 9] =
    ["p", "p01", "p_per_bit", "cell", "flips", "bursts", "stuck_at_0", "stuck_at_1", "replay"];

const PATTERN: &str = "Pattern";

const AFTER_HELP: &str = help!(
    "\
Examples:
  qtaml inject model.safetensors --p 0.01 --out faulty.safetensors
      INT8 weights, one bit in a hundred flips
  qtaml inject model.safetensors --p 0.1 --protect 2 --trial 7 --out faulty.safetensors
      another pattern of faults, and none in the two top bits of a weight
  qtaml inject model.safetensors --p 0.01 --decoder bayes-gain --out faulty.safetensors
      the same faults, and each word decoded by what it most likely stored
  qtaml inject model.safetensors --p01 1e-4 --p10 1e-2 --bits 4 --encoding gray --out faulty.safetensors
      ones are lost more easily than zeros, in INT4 weights in Gray code
  qtaml inject model.safetensors --p 1e-3 --bits 4 --range min-max --scale group:32 --out faulty.safetensors
      unsigned codes with a scale and a minimum for every 32 weights
  qtaml inject model.safetensors --p 1e-3 --protect 2 --ecc secded:64 --out faulty.safetensors
      the top bits kept by a real code, as well as it can
  qtaml inject model.safetensors --flips 20 --out faulty.safetensors
      exactly 20 of all stored bits flip
  qtaml inject model.safetensors --bursts 1e-6:4 --out faulty.safetensors
      bursts of four neighbouring bits, one at a bit in a million
  qtaml inject model.safetensors --stuck-at-0 1e-3 --stuck-at-1 1e-4 --out faulty.safetensors
      cells that hold one value only, whatever is stored in them
  qtaml inject model.safetensors --p 0.01 --only fc.weight --record faults.bin --out faulty.safetensors
      faults in one tensor, which are kept in a file
  qtaml inject model.safetensors --p 0.01 --only '*.mlp.*' --skip '*.down_proj.*' --out faulty.safetensors
      faults in the tensors of such names
  qtaml inject model.safetensors --replay faults.bin --out faulty.safetensors
      the same faults again
  qtaml inject llama/ --flips 20 --out faulty/
      exactly 20 flips in all files of a model together, each written to a file of its name"
);

/// Write a copy of a model as it is read from a faulty memory
///
/// Float weights are quantized with one scale per output channel, their words are exposed to bit flips,
/// and what is read takes their place, in the type that they had. Codes of a quantized checkpoint and
/// eight-bit floats are such words already. Biases, norms, scales, masks and other buffers are copied, and
/// what is not understood is refused: `qtaml inspect` says what each tensor is. Two names of one tensor are
/// one cell. The faults follow from the seed, the trial and the names of the tensors alone. Files of any
/// size are read and written in pieces; scales and the tables of decoders are kept in memory, for one
/// tensor at a time.
///
/// With --p-per-bit there must be a flip probability for every bit of --bits, and eight if words of
/// I8, U8, --as-stored, --biases or --scales are exposed: choose other tensors with --only. Packed words
/// have a width of their own.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(group(
    ArgGroup::new("ways").required(true).multiple(true).args(WAYS)
))]
pub(crate) struct InjectArgs {
    /// The model: a safetensors file, a folder of such files, or the index of its shards
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,

    /// Where to write the faulty model: a file, or for a model in several files a folder
    #[arg(long, value_name = "PATH")]
    pub(super) out: PathBuf,

    #[command(flatten)]
    flip_probabilities: FlipArgs,

    /// Flip exactly so many of all stored bits, instead of each with a probability
    ///
    /// Ideal protection takes away those that fall on protected bits; the check bits of a real code
    /// are stored bits as well.
    #[arg(long, value_name = "N", conflicts_with = "flip-probabilities")]
    #[arg(value_parser = count, help_heading = FAULTS)]
    flips: Option<u64>,

    /// Bursts of so many neighbouring bits, 1 to 64, that begin at each bit with probability P, 0 to 0.1
    ///
    /// They cross from word to word; bits that several of them hit are read wrong once.
    #[arg(long, value_name = "P:BITS", value_parser = burst, help_heading = FAULTS)]
    #[arg(conflicts_with_all = ["flip-probabilities", "flips"])]
    bursts: Option<Burst>,

    /// Share of the cells that are read as 0 whatever they store; may go with --stuck-at-1
    #[arg(long, value_name = "P", value_parser = share, help_heading = FAULTS)]
    #[arg(conflicts_with_all = ["flip-probabilities", "flips", "bursts"])]
    stuck_at_0: Option<f64>,

    /// Share of the cells that are read as 1 whatever they store; may go with --stuck-at-0
    #[arg(long, value_name = "P", value_parser = share, help_heading = FAULTS)]
    #[arg(conflicts_with_all = ["flip-probabilities", "flips", "bursts"])]
    stuck_at_1: Option<f64>,

    #[command(flatten)]
    format: FormatArgs,

    #[command(flatten)]
    layout: LayoutArgs,

    #[command(flatten)]
    decoder: DecoderArgs,

    /// Store float weights as they are in the file and do not quantize them
    ///
    /// Each of their bytes is a word of eight bits, none of them protected, as with --biases. A flip in the
    /// exponent of a float can make it huge, infinite or NaN.
    #[arg(long, conflicts_with_all = ["words", "format", "layout", "decoder", "scales"], help_heading = WORDS)]
    as_stored: bool,

    /// Protect so many of the most significant bits of each weight
    #[arg(long, value_name = "K", default_value_t = 0, help_heading = WORDS)]
    protect: u32,

    /// What keeps the protected bits: ideal, repetition:COPIES, secded:DATA, bch:M:T and others
    ///
    /// A real code runs along the words: the same bit of DATA words in a row makes a code word. Its
    /// check bits are stored beside the tensor and flip as well. interleaved:4:CODE deals out four
    /// code words bit by bit, so that a burst hits different ones.
    #[arg(long, value_name = "SPEC", default_value_t, help_heading = WORDS)]
    ecc: Ecc,

    /// Everything random follows from this number
    #[arg(long, value_name = "SEED", default_value_t = 42, help_heading = PATTERN)]
    seed: u64,

    /// Number of the fault pattern; each has faults of its own
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = PATTERN)]
    trial: u32,

    #[command(flatten)]
    pub(super) selection: Selection,

    /// Inject into biases, norms and other vectors too, as they are
    ///
    /// Each of their bytes is a word of eight bits, none of them protected. A flip in the exponent
    /// of a float can make it huge, infinite or NaN.
    #[arg(long, help_heading = WORDS)]
    pub(super) biases: bool,

    /// Expose the scales of the tensors of codes too, and what --range stores beside them
    ///
    /// Scales and zero points of a quantized checkpoint are exposed as the bytes that they are.
    /// The four bytes of a scale are words of eight bits, none of them protected, stored once for its
    /// weights: a flip in the exponent makes all of them huge, infinite or NaN. The same holds for the
    /// minimum of a min-max range; a zero point is one more word of its weights' format. Their bits are
    /// among those of --flips, and a record has their faults.
    #[arg(long, conflicts_with = "replay", help_heading = WORDS)]
    scales: bool,

    /// Write the faults to this file, for --replay
    ///
    /// They are kept in memory until then, in about two bytes for each faulty word, and in four or
    /// more while the file is written. With --ecc they are those left after decoding, and check
    /// bits are not among them.
    #[arg(long, value_name = "FILE", help_heading = PATTERN)]
    pub(super) record: Option<PathBuf>,

    /// Inject the faults of this file and draw none
    ///
    /// The same faults in the same model give the same faulty model. The record knows the words that
    /// the faults were drawn on, by their SHA-256, and is refused where others are stored. It knows format
    /// and scaling of every tensor as well.
    #[arg(long, value_name = "FILE", help_heading = FAULTS)]
    #[arg(conflicts_with_all = ["flip-probabilities", "flips", "bursts"])]
    #[arg(conflicts_with_all = ["stuck_at_0", "stuck_at_1", "words", "format", "layout", "decoder", "as_stored"])]
    #[arg(conflicts_with_all = ["protect", "ecc", "seed", "trial", "only", "skip", "biases", "record"])]
    pub(super) replay: Option<PathBuf>,

    /// With --replay: inject the faults into other words than they were drawn on, too
    ///
    /// Flips are flipped, and so undone in the faulty model, as long as words are stored as they are:
    /// in I8, U8 and the tensors of --biases. Matrices of floats are quantized anew, with another scale.
    /// Cells that were seen to be stuck are read as what they are stuck at; those that stored that value
    /// already when they were recorded are not known.
    #[arg(long, requires = "replay", help_heading = FAULTS)]
    #[arg(conflicts_with_all = ["flip-probabilities", "flips", "bursts"])]
    #[arg(conflicts_with_all = ["stuck_at_0", "stuck_at_1"])]
    pub(super) force_replay: bool,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl InjectArgs {
    /// How weights are stored.
    pub(super) fn how_stored(&self) -> HowStored {
        HowStored {
            format: self.format.format(),
            scaling: (!self.as_stored).then(|| self.format.tensor_scaling()),
            layout: self.layout.layout,
            biases: self.biases,
            scales: self.scales,
        }
    }

    /// What is drawn, or what does not fit together.
    pub(super) fn draw(&self) -> Result<(FaultSpec, Draw), UsageError> {
        let (protect, decoder) = (self.protect, self.decoder.decoder);
        let ecc = flags::ecc(self.ecc, BitMask::top(protect, self.bits())?)?;
        let (seed, trial, scales) = (Seed(self.seed), self.trial, self.scales);
        let draw = Draw { protect, ecc, scales, decoder, seed, trial };
        let spec = self.spec()?;
        self.can_decode(&spec, draw)?;
        Ok((spec, draw))
    }

    /// The width of the words of floats.
    fn bits(&self) -> BitWidth {
        self.how_stored().format.bits()
    }

    /// Refuses a decoder that does not know how often bits flip, or cannot undo it.
    fn can_decode(&self, spec: &FaultSpec, draw: Draw) -> Result<(), UsageError> {
        if draw.decoder == Decoder::Raw {
            return Ok(());
        }
        let FaultSpec::Flips(flips) = spec else {
            return Err(UsageError::DecoderNeedsFlips(draw.decoder));
        };
        let format = self.how_stored().format;
        let memory = MemoryModel::new(flips.clone()).with_ecc(draw.ecc);
        let channel = memory.channel(format, BitMask::top(draw.protect, format.bits())?)?;
        let anything = CodeHistogram::from_counts(format, &vec![1; format.bits().levels()])?;
        DecodeTable::new(draw.decoder, &channel, &anything)?;
        Ok(())
    }

    fn spec(&self) -> Result<FaultSpec, UsageError> {
        if let Some(flips) = self.flips {
            return Ok(FaultSpec::of_count(flips));
        }
        if let Some(Burst { p, length }) = self.bursts {
            return Ok(FaultSpec::Bursts { p, length });
        }
        if self.stuck_at_0.is_some() || self.stuck_at_1.is_some() {
            let [at_zero, at_one] =
                [self.stuck_at_0, self.stuck_at_1].map(Option::unwrap_or_default);
            let stuck = BitFlips::stuck(at_zero, at_one, self.bits());
            stuck.map_err(|_| UsageError::Stuck(at_zero, at_one))?;
            return Ok(FaultSpec::Stuck { at_zero, at_one });
        }
        let given = self.flip_probabilities.profile()?;
        let flips = given.map_or_else(|| FlipProfile::per_bit(vec![]), Ok)?;
        BitFlips::new(flips.clone(), self.bits())?;
        Ok(FaultSpec::Flips(flips))
    }
}

/// Bursts as they are typed.
#[derive(Debug, Clone, Copy)]
struct Burst {
    p: f64,
    length: u32,
}

fn burst(text: &str) -> Result<Burst, String> {
    let read =
        text.split_once(':').and_then(|(p, bits)| Some((probability(p).ok()?, bits.parse().ok()?)));
    let (p, length) = read.ok_or("a probability and a number of bits are needed, as in 1e-6:4")?;
    if !(0.0..=0.1).contains(&p) {
        return Err(format!(
            "bursts that begin at a bit with probability {p:?}: 0 to 0.1 is allowed"
        ));
    }
    let possible = Bursts::new(p, length, BitWidth::INT8).map_err(|error| error.to_string());
    possible.map(|_| Burst { p, length })
}

fn share(text: &str) -> Result<f64, String> {
    let share = probability(text)?;
    let allowed = (0.0..=1.0).contains(&share);
    allowed.then_some(share).ok_or_else(|| format!("{share:?} is outside 0.0..=1.0"))
}
