//! The command line of `qtaml protect`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args};
use qtaml::deploy::Storing;
use qtaml::fault::{BitMask, Ecc, MemoryModel};

use super::how::How;
use crate::flags::{self, FlipArgs, help};
use crate::format_flags::{DecoderArgs, FormatArgs, LayoutArgs, WORDS};
use crate::plan::read_plan;
use crate::selection::Selection;
use crate::usage::UsageError;

/// The arguments of which one has to be there.
const WAYS: [&str; 5] = ["plan", "p", "p01", "p_per_bit", "cell"];

const AFTER_HELP: &str = help!(
    "\
Columns:
  stored as  words of so many bits, codebooks, or blocks that are error corrected
  stored     bits in the memory that leaks, check bits among them
  check      how many of these are check bits of an error-correcting code
  protected  how many are kept ideally, as a plan with --count protected asks for
  metadata   bits that must be stored reliably beside them: scales and what decoders must know

Examples:
  qtaml plan model.onnx --data inputs.npz --p 0.01 -o plan
  qtaml protect model.onnx --plan plan/plan.json -o stored
      words.bin and check.bin are burned into the memory, manifest.json says what they mean
  qtaml recover stored --model model.onnx --out read.onnx
      then: the model as it is read
  qtaml protect model.safetensors --p 0.01 --protect 2 -o stored
      without a plan: INT8 words with a scale for each output channel, the two top bits of each protected
  qtaml protect llama/ --p 1e-3 --scale per-tensor --protect 1 --ecc secded:64 --decoder bayes-gain -o stored
      a model in several files, the top bits kept by a real code"
);

/// Write what is burned into the memory: as a plan says, or all weights alike
///
/// The folder gets three files: words.bin with the words and blocks of all weights, check.bin with the
/// check bits of error-correcting codes, and manifest.json with the plan, the places of all groups and
/// digests of everything. docs/stored-folder.md describes them for other programs. A stored model that was
/// in the folder is replaced; other files stay.
///
/// Without --plan all float weights are stored alike, as the flags of words say. Biases, norms, buffers and
/// the codes of quantized checkpoints are not stored, and stay in the model. One tensor is in memory at a
/// time, and the manifest; of an ONNX model all weights are.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
#[command(group(ArgGroup::new("ways").required(true).multiple(true).args(WAYS)))]
pub(crate) struct ProtectArgs {
    /// The model: an ONNX file, its weights inside or beside it, or safetensors: a file, a folder of such
    /// files, or the index of its shards
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,

    /// The plan, as `qtaml plan` writes it
    ///
    /// It is carried out on the weights that it was made for, in whatever file they lie: tensors are compared
    /// by name, shape and digest.
    #[arg(long, value_name = "PLAN.json")]
    #[arg(conflicts_with_all = ["flip-probabilities", "words", "format", "decoder", "protect", "ecc"])]
    pub(super) plan: Option<PathBuf>,

    #[command(flatten)]
    flips: FlipArgs,

    #[command(flatten)]
    format: FormatArgs,

    #[command(flatten)]
    pub(super) layout: LayoutArgs,

    #[command(flatten)]
    decoder: DecoderArgs,

    /// Protect so many of the most significant bits of each weight
    #[arg(long, value_name = "K", default_value_t = 0, help_heading = WORDS)]
    protect: u32,

    /// What keeps the protected bits: ideal, repetition:COPIES, secded:DATA, bch:M:T and others
    ///
    /// A real code runs along the words that share a scale, and its check bits are stored beside them. With
    /// --scale per-tensor they are those of `qtaml inject`, whose code words run through the whole tensor.
    #[arg(long, value_name = "SPEC", default_value_t, help_heading = WORDS)]
    ecc: Ecc,

    #[command(flatten)]
    pub(super) selection: Selection,

    /// The folder for words.bin, check.bin and manifest.json
    #[arg(short = 'o', long, value_name = "FOLDER")]
    pub(super) out: PathBuf,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl ProtectArgs {
    /// How weights are stored.
    pub(super) fn how(&self) -> Result<How> {
        if let Some(path) = &self.plan {
            return Ok(How::planned(read_plan(path)?));
        }
        let width = self.format.format().bits();
        let kept = BitMask::top(self.protect, width).map_err(UsageError::from)?;
        let ecc = flags::ecc(self.ecc, kept)?;
        let memory = MemoryModel::new(self.flips.one()?).with_ecc(ecc);
        memory.channel(self.format.format(), kept).map_err(UsageError::from)?;
        let spec = self.format.quantized(self.decoder.decoder, kept);
        let granularity = self.format.tensor_scaling().granularity;
        Ok(How::Alike { storing: Storing::new(memory, spec), granularity })
    }
}
