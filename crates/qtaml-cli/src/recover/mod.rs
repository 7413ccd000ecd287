//! `qtaml recover`: the model as it is read from the memory.

mod args;
mod report;

use anyhow::{Context, Result};
use qtaml::compensation::WeightsDigester;
use qtaml::compensation::storage::CodeLibrary;
use qtaml::deploy::stored_folder::{CHECK, MANIFEST, RestoredModel, WORDS};
use qtaml::fault::{Seed, WordDigest};
use qtaml::files::onnx::OnnxFile;
use qtaml::onnx::OnnxModel;

pub(crate) use self::args::RecoverArgs;
use self::report::Report;
use crate::flags::{no_stream, not_over};
use crate::stdout;
use crate::weights_only::{open_onnx, refuse_others};

pub(crate) fn run(args: &RecoverArgs) -> Result<()> {
    let RecoverArgs { stored: folder, model: path, out, .. } = args;
    for (flag, path) in [("FOLDER", folder), ("--model", path), ("--out", out)] {
        no_stream(flag, path)?;
    }
    refuse_others(path)?;
    let stored = RestoredModel::open(folder, &CodeLibrary::default())
        .with_context(|| format!("cannot recover {}", folder.display()))?;
    let model = open_onnx(path)?;
    stored
        .check_weights(weights_sha256(&model))
        .with_context(|| format!("{} is not the model in {}", path.display(), folder.display()))?;
    let file = OnnxFile::open(path)?;
    no_file_is_lost(args, &file)?;
    let golden = stored.golden();
    let read = match args.faults() {
        Some((seed, trial)) => stored.read(Seed(seed), trial)?,
        None => golden.clone(),
    };
    let copy = model.copy_with(&file, &read, out)?;
    copy.copy.finish()?;
    let report = Report::new(args, &stored, &golden, &read, &copy.written);
    eprintln!("wrote {}", out.display());
    if args.json { stdout::print_json(&report) } else { stdout::print(&report.text()) }
}

/// The digest of the weights of a model, by which a stored folder knows it.
fn weights_sha256(model: &OnnxModel) -> WordDigest {
    let mut digester = WeightsDigester::default();
    for (index, tensor) in model.tensors().iter().enumerate() {
        if let Some(values) = model.values(index).filter(|values| !values.is_empty()) {
            digester.add(&tensor.name, &tensor.shape, values);
        }
    }
    digester.finish()
}

/// Refuses to write over the model, its other files, and the stored ones.
fn no_file_is_lost(args: &RecoverArgs, file: &OnnxFile) -> Result<()> {
    let others = file.other_files().map(|(_, path)| path.to_owned());
    let read: Vec<_> = others.chain([args.model.clone()]).collect();
    let stored = [MANIFEST, WORDS, CHECK].map(|file| args.stored.join(file));
    for path in file.paths_at(&args.out) {
        not_over("--out", &path, &read, "--model")?;
        not_over("--out", &path, &stored, "FOLDER")?;
    }
    Ok(())
}
