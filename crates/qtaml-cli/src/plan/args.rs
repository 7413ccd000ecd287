//! The command line of `qtaml plan`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum, value_parser};
use qtaml::compensation::{Accounting, Decoder};
use qtaml::deploy::Granularity;
use qtaml::deploy::budget::Criterion;
use qtaml::deploy::planner::{Goal, ModelPlan, contenders};
use qtaml::deploy::scheme::Scheme;

use super::report::Report;
use crate::flags::{FlipArgs, help, no_stream, number, share};
use crate::usage::UsageError;
use crate::workload::WorkloadArgs;

const AFTER_HELP: &str = help!(
    "\
Examples:
  qtaml plan model.onnx --data inputs.npz --p 0.01 -o plan
      how to store the model so that 95 % of its outputs stay the same; nothing is ideal, all bits count
  qtaml plan model.onnx --data inputs.npz --p 0.01 --count protected -o plan
      which bits of INT8 words to protect, if protection is free but scarce
  qtaml plan model.onnx --data inputs.npz --labels labels.npy --p 1e-3 --keep 0.99 --yield 0.95 -o plan
      99 % of the accuracy, on 95 % of the devices and not only in their mean
  qtaml protect model.onnx --plan plan/plan.json -o stored
      then: what is burned into the memory

Interrupted, the same command goes on where it was: finished trials are kept in DIR/jobs."
);

/// Find the cheapest way to store an ONNX model that keeps its quality
///
/// Needs inputs, and no labels. Half of them choose among the ways to store the model, and the other half
/// judge the plan, under fault patterns that chose nothing. What quantization alone loses is counted as lost.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(super) workload: WorkloadArgs,

    #[command(flatten)]
    flips: FlipArgs,

    /// The share of the metric without faults that has to be kept
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = share)]
    keep: f64,

    /// The share of devices that have to keep it [default: their mean has to]
    #[arg(long = "yield", value_name = "SHARE", value_parser = share)]
    on: Option<f64>,

    /// What the budget counts
    #[arg(long, value_name = "BITS", default_value = "stored")]
    count: Count,

    /// Quantized words alone, with this decoder, in place of the search among decoders
    #[arg(long, value_name = "NAME")]
    decoder: Option<Decoder>,

    /// Which weights are stored alike, in place of the search: tensor, channel or group:N
    #[arg(long, value_name = "WHICH")]
    granularity: Option<Granularity>,

    /// By how many standard errors the inputs that choose must do better than the target
    ///
    /// A share that is measured on few inputs is uncertain: with 0 about half of all plans turn out a little
    /// short on other inputs, with 1 about a sixth.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = margin)]
    margin: f64,

    /// Devices: fault patterns that find, and as many that judge
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = value_parser!(u32).range(2..=100_000))]
    pub(super) trials: u32,

    /// Everything random follows from this number
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub(super) seed: u64,

    /// The folder for plan.json, report.html, a figure and tables
    #[arg(short = 'o', long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,

    /// Print JSON instead of tables
    #[arg(long)]
    pub(super) json: bool,
}

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Count {
    /// All stored bits: words, check bits, scales, tables; nothing is ideal
    Stored,
    /// Bits of INT8 words that are protected ideally
    Protected,
}

fn margin(text: &str) -> Result<f64, String> {
    let margin = number(text)?;
    let fits = (0.0..=10.0).contains(&margin);
    fits.then_some(margin).ok_or_else(|| format!("{margin:?} is outside 0.0..=10.0"))
}

impl PlanArgs {
    pub(super) fn goal(&self) -> Result<Goal, UsageError> {
        let criterion = self.on.map_or(Criterion::Mean, Criterion::Yield);
        let goal = Goal::new(self.flips.one()?).keeping(self.keep).on(criterion);
        Ok(goal.counting(self.accounting()).with_margin(self.margin))
    }

    fn accounting(&self) -> Accounting {
        match self.count {
            Count::Stored => Accounting::AllBits,
            Count::Protected => Accounting::ProtectedBits,
        }
    }

    /// What competes, and what it is compared with.
    pub(super) fn schemes(&self) -> (Vec<Scheme>, Vec<Scheme>) {
        let (mut schemes, baselines) = contenders(self.accounting());
        if let Some(decoder) = self.decoder {
            schemes.retain(|scheme| scheme.code.is_quantized());
            for scheme in &mut schemes {
                scheme.decoder = decoder;
            }
        }
        if let Some(granularity) = self.granularity {
            for scheme in &mut schemes {
                scheme.granularity = granularity;
            }
        }
        let mut all: Vec<Scheme> = Vec::new();
        for scheme in schemes {
            if !all.contains(&scheme) {
                all.push(scheme);
            }
        }
        (all, baselines)
    }

    /// Writes everything into the folder, the plan last; says what was written.
    pub(super) fn write(&self, plan: &ModelPlan, report: &Report) -> Result<String> {
        let Some(folder) = &self.out else {
            return Ok("no plan was written: -o DIR says where to".into());
        };
        no_stream("-o", folder)?;
        let count = report.write(folder)?;
        let path = folder.join("plan.json");
        qtaml::files::write(&path, plan.to_json().as_bytes())?;
        Ok(format!("wrote {} and {count} files beside it", path.display()))
    }
}
