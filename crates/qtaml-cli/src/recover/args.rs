//! The command line of `qtaml recover`.

use std::path::PathBuf;

use clap::Args;

use crate::flags::help;

const AFTER_HELP: &str = help!(
    "\
Columns:
  as read  values that are read otherwise than they were stored: by faults, or by a decoder that
           expects them
  rounded  values that the type of the file does not hold exactly
  beyond   values beyond that type, which become its largest or lowest number

Examples:
  qtaml recover stored --model model.onnx --out quantized.onnx
      the model as it was stored, without faults
  qtaml recover stored --model model.onnx --out read.onnx --trial 0
      as it is read on the first device: the weights of the first trial of qtaml evaluate --plan
  qtaml recover stored --model model.onnx --out read.onnx --seed 7 --trial 3
      as on the fourth device of another seed
  qtaml recover stored --model model.safetensors --out read.safetensors --trial 0
      the same for safetensors; of a folder or an index --out is a folder"
);

/// Write the model as it is read from the memory
///
/// The copy is the file of the model with other values in its stored tensors, and every other byte is as
/// it was, also in files beside it, which come beside the copy. Values get the type that the file has.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct RecoverArgs {
    /// The folder that `qtaml protect` wrote
    #[arg(value_name = "FOLDER")]
    pub(super) stored: PathBuf,

    /// The model that was stored: an ONNX file, its weights inside or beside it, or safetensors: a file, a
    /// folder of such files, or the index of its shards
    #[arg(long, value_name = "MODEL", visible_alias = "into")]
    pub(super) model: PathBuf,

    /// The copy: a file, or for a model in several safetensors files a folder
    #[arg(long, value_name = "PATH")]
    pub(super) out: PathBuf,

    /// The words as they were stored, without faults and without a decoder; this is the default
    #[arg(long, conflicts_with_all = ["seed", "trial"])]
    clean: bool,

    /// The device: the fault pattern of this number
    #[arg(long, value_name = "N")]
    trial: Option<u32>,

    /// The seed of all fault patterns [default: 42]
    #[arg(long, value_name = "SEED", requires = "trial")]
    seed: Option<u64>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl RecoverArgs {
    /// Seed and trial, if the model is to be read with faults.
    pub(super) fn faults(&self) -> Option<(u64, u32)> {
        let trial = self.trial.filter(|_| !self.clean)?;
        Some((self.seed.unwrap_or(42), trial))
    }
}
