//! The command line of `qtaml evaluate`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, value_parser};
use qtaml::deploy::planner::ModelPlan;

use super::way::Way;
use crate::flags::{FlipArgs, help, share};
use crate::format_flags::FormatArgs;
use crate::plan::read_plan_for;
use crate::workload::WorkloadArgs;

const AFTER_HELP: &str = help!(
    "\
Examples:
  qtaml evaluate model.onnx --data inputs.npz --p 1e-4..10%
      how many outputs stay the same, raw, with decoders, with protected bits and as codebooks
  qtaml evaluate model.onnx --data inputs.npz --labels labels.npy --p 0.01 -o report
      accuracy instead; the folder report gets report.html, a figure and tables
  qtaml evaluate model.onnx --data inputs.npz --p 0.01 --ways raw,bayes-gain,top:2 --trials 50
      what you choose, on 50 devices
  qtaml evaluate model.onnx --data inputs.npz --plan plan/plan.json
      what a plan of qtaml plan keeps
  qtaml evaluate model.onnx --data photos --size 224x224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --p 0.01
      on a folder of images
  qtaml evaluate model.onnx --data synthetic:64 --p 0.01 --metric cosine
      without data: random inputs, and results that are called so"
);

/// Measure what bit flips make of an ONNX model
///
/// The weights of the model are stored in each of several ways, read under many fault patterns, and the
/// model is run with them on your data. One fault pattern is one device. Told are the mean over devices
/// with its 95 % interval, what 95 % of the devices reach, and the share of devices that keep enough.
/// What quantization alone loses is counted as lost.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
#[command(mut_arg("p", |p| p.value_name("P[..P][,...]").help(
    "Flip probability of every bit, 0 to 0.5, or 0% to 50%; a list or a range for a row for each"
)))]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    pub(super) workload: WorkloadArgs,

    #[command(flatten)]
    pub(super) flips: FlipArgs,

    #[command(flatten)]
    pub(super) words: FormatArgs,

    /// How weights are stored and read, separated by commas: a decoder, top:K, codebook:B, blocks:B
    ///
    /// raw, affine, linear-mmse, bayes and bayes-gain read quantized words with nothing protected. top:K
    /// protects the K top bits of every weight. codebook:B stores words of B bits that expect the faults,
    /// blocks:B blocks of B bits a weight that are error corrected.
    #[arg(long, value_name = "WAY[,...]", value_delimiter = ',')]
    #[arg(default_value = "raw,bayes-gain,top:1,top:2,top:4,codebook:8")]
    pub(super) ways: Vec<Way>,

    /// A plan of `qtaml plan`, which is tried as well
    #[arg(long, value_name = "PLAN.json")]
    plan: Option<PathBuf>,

    /// The share of the metric that a device has to keep
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = share)]
    pub(super) keep: f64,

    /// Devices: fault patterns that each way is tried under
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = value_parser!(u32).range(2..=1_000_000))]
    pub(super) trials: u32,

    /// Everything random follows from this number
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub(super) seed: u64,

    /// Write report.html, a figure and tables into this folder
    #[arg(short = 'o', long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl EvaluateArgs {
    pub(super) fn ways(&self) -> &[Way] {
        &self.ways
    }

    /// The plan, which must be one of the model with this digest.
    pub(super) fn plan(&self, digest: &str) -> Result<Option<ModelPlan>> {
        self.plan.as_deref().map(|path| read_plan_for(path, digest)).transpose()
    }
}
