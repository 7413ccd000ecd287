//! `qtaml protect`: what is burned into the memory, as a plan says or for all weights alike.

mod args;
mod how;
mod report;

use std::path::Path;

use anyhow::{Context, Result};
use qtaml::compensation::storage::CodeLibrary;
use qtaml::compensation::{PlanGroup, WeightsDigester};
use qtaml::deploy::stored_folder::{CHECK, MANIFEST, Manifest, StoredFolderWriter, WORDS};
use qtaml::deploy::{PlanError, Runner};

pub(crate) use self::args::ProtectArgs;
use self::how::{How, Planned};
use self::report::{Report, Row};
use crate::flags::{no_stream, not_over};
use crate::stdout;
use crate::weights_only::ModelWeights;
use crate::workload::digest_of;

pub(crate) fn run(args: &ProtectArgs) -> Result<()> {
    let ProtectArgs { model: path, plan, out, .. } = args;
    let plan = plan.as_deref();
    for (flag, path) in
        [("MODEL", Some(path.as_path())), ("--plan", plan), ("-o", Some(out.as_path()))]
    {
        path.map_or(Ok(()), |path| no_stream(flag, path))?;
    }
    let how = args.how()?;
    let weights = ModelWeights::open(path, args.layout.layout, &args.selection)?;
    for file in [MANIFEST, WORDS, CHECK] {
        let file = out.join(file);
        not_over("-o", &file, &weights.paths, "the model")?;
        plan.map_or(Ok(()), |plan| not_over("-o", &file, &[plan.to_owned()], "--plan"))?;
    }
    check_model(&how, args, &weights)?;
    let (manifest, rows) = write(&how, &weights, path, out)
        .with_context(|| format!("cannot write the stored model to {}", out.display()))?;
    if weights.axes_guessed > 0 {
        eprintln!(
            "note: nobody says along which axis the output channels of {} tensors are, and the first was \
             taken; --layout says it",
            weights.axes_guessed
        );
    }
    let report = Report::new(args, &how, &manifest, rows);
    eprintln!("wrote {WORDS}, {CHECK} and {MANIFEST} to {}", out.display());
    if args.json { stdout::print_json(&report) } else { stdout::print(&report.text()) }
}

/// Refuses a plan of another model: of another ONNX file, or of other weights, in whatever file.
fn check_model(how: &How, args: &ProtectArgs, weights: &ModelWeights) -> Result<()> {
    let (How::Planned(Planned { plan, .. }), Some(path)) = (how, &args.plan) else { return Ok(()) };
    let cannot = || format!("cannot use {}", path.display());
    if weights.is_onnx {
        plan.check_model(&digest_of(&args.model)?).with_context(cannot)?;
    }
    let fits = || format!("{} does not fit the weights", path.display());
    let tensors: Vec<_> = weights.each().map(|(_, one)| one.tensor().clone()).collect();
    how.check_groups(tensors.iter()).with_context(fits)?;
    let Some(planned) = &plan.plan.model else { return Ok(()) };
    let found = weights.sha256()?;
    if planned.sha256 == found {
        return Ok(());
    }
    Err(PlanError::OtherModel { planned: planned.clone(), found }).with_context(fits)
}

/// Writes the folder tensor by tensor.
fn write(
    how: &How,
    weights: &ModelWeights,
    path: &Path,
    out: &Path,
) -> Result<(Manifest, Vec<Row>)> {
    let library = CodeLibrary::default();
    let mut folder = StoredFolderWriter::create(out, how.granularity())?;
    let mut digester = WeightsDigester::default();
    let (mut groups, mut rows, mut bits) = (Vec::<PlanGroup>::new(), Vec::new(), 0);
    for (number, one) in weights.each() {
        let tensor = one.tensor();
        digester.add(&tensor.name, &tensor.shape, &one.values(0)?);
        let (stored, plan) = how.store(&one, &library)?;
        folder.add(number, &stored, &plan)?;
        let selection = stored.selection_of(&plan)?;
        rows.push(Row::new(&tensor.name, &stored.selected(&selection)?));
        bits += stored.weight_bits();
        groups.extend(plan.groups);
    }
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let model = how.model(&file.unwrap_or_default(), digester.finish());
    let plan = how.whole(&model, groups, bits);
    Ok((folder.finish(model, plan, &library)?, rows))
}
