//! `qtaml protect`: what a plan burns into the memory.

mod args;
mod report;

use std::path::Path;

use anyhow::{Context, Result};
use qtaml::compensation::PlannedModel;
use qtaml::compensation::storage::CodeLibrary;
use qtaml::deploy::planner::ModelPlan;
use qtaml::deploy::stored_folder::{CHECK, MANIFEST, WORDS};

pub(crate) use self::args::ProtectArgs;
use self::report::Report;
use crate::flags::{no_stream, not_over};
use crate::plan::read_plan;
use crate::stdout;
use crate::weights_only::{WeightsOnly, open_onnx, refuse_others};
use crate::workload::digest_of;

pub(crate) fn run(args: &ProtectArgs) -> Result<()> {
    let ProtectArgs { model: path, plan: plan_path, out, .. } = args;
    for (flag, path) in [("MODEL", path), ("--plan", plan_path), ("-o", out)] {
        no_stream(flag, path)?;
    }
    for file in [MANIFEST, WORDS, CHECK] {
        let file = out.join(file);
        not_over("-o", &file, std::slice::from_ref(path), "the model")?;
        not_over("-o", &file, std::slice::from_ref(plan_path), "--plan")?;
    }
    refuse_others(path)?;
    let model = open_onnx(path)?;
    let plan = plan_of(plan_path, path)?;
    let library = CodeLibrary::default();
    let (stored, selection) = plan
        .store(&WeightsOnly(&model), &library)
        .with_context(|| format!("{} does not fit the weights", plan_path.display()))?;
    let manifest = stored
        .write_folder(&plan.plan, out, &library)
        .with_context(|| format!("cannot write the stored model to {}", out.display()))?;
    let report = Report::new(args, &plan, &stored, &selection, &manifest)?;
    eprintln!("wrote {WORDS}, {CHECK} and {MANIFEST} to {}", out.display());
    if args.json { stdout::print_json(&report) } else { stdout::print(&report.text()) }
}

/// The plan, which must be one of this model; its model gets a name for people.
fn plan_of(path: &Path, model: &Path) -> Result<ModelPlan> {
    let mut plan = read_plan(path, &digest_of(model)?)?;
    if let Some(PlannedModel { name, .. }) = &mut plan.plan.model {
        let file = model.file_name().map(|name| name.to_string_lossy().into_owned());
        *name = name.take().or(file);
    }
    Ok(plan)
}
