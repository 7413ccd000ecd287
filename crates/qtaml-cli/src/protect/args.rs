//! The command line of `qtaml protect`.

use std::path::PathBuf;

use clap::Args;

use crate::flags::help;

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
      then: the model as it is read"
);

/// Write what a plan burns into the memory
///
/// The folder gets three files: words.bin with the words and blocks of all weights, check.bin with the
/// check bits of error-correcting codes, and manifest.json with the plan, the places of all groups and
/// digests of everything. docs/stored-folder.md describes them for other programs. A stored model that was
/// in the folder is replaced; other files stay.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct ProtectArgs {
    /// The model that the plan was made for: an ONNX file, its weights inside or beside it
    #[arg(value_name = "MODEL.onnx")]
    pub(super) model: PathBuf,

    /// The plan, as `qtaml plan` writes it
    #[arg(long, value_name = "PLAN.json")]
    pub(super) plan: PathBuf,

    /// The folder for words.bin, check.bin and manifest.json
    #[arg(short = 'o', long, value_name = "FOLDER")]
    pub(super) out: PathBuf,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}
