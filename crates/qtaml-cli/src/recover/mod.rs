//! `qtaml recover`: the model as it is read from the memory.

mod args;
mod report;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use qtaml::compensation::WeightsDigester;
use qtaml::compensation::storage::CodeLibrary;
use qtaml::deploy::checkpoint_weights::{CheckpointWeights, WrittenWeights};
use qtaml::deploy::stored_folder::{CHECK, MANIFEST, RestoredModel, StoredFolder, WORDS};
use qtaml::fault::{Seed, WordDigest};
use qtaml::files::onnx::OnnxFile;
use qtaml::onnx::OnnxModel;

pub(crate) use self::args::RecoverArgs;
use self::report::{Report, Row, differing};
use crate::flags::{no_stream, not_over, open_model};
use crate::stdout;
use crate::weights_only::{is_safetensors, open_onnx};

pub(crate) fn run(args: &RecoverArgs) -> Result<()> {
    let RecoverArgs { stored: folder, model: path, out, .. } = args;
    for (flag, path) in [("FOLDER", folder), ("--model", path), ("--out", out)] {
        no_stream(flag, path)?;
    }
    let report = if is_safetensors(path)? { of_files(args)? } else { of_graph(args)? };
    eprintln!("wrote {}", out.display());
    if args.json { stdout::print_json(&report) } else { stdout::print(&report.text()) }
}

impl RecoverArgs {
    fn cannot(&self) -> String {
        format!("cannot recover {}", self.stored.display())
    }

    fn other_model(&self) -> String {
        format!("{} is not the model in {}", self.model.display(), self.stored.display())
    }
}

/// Copies an ONNX model with all of its weights as they are read.
fn of_graph(args: &RecoverArgs) -> Result<Report> {
    let RecoverArgs { stored: folder, model: path, out, .. } = args;
    let stored = RestoredModel::open(folder, &CodeLibrary::default());
    let stored = stored.with_context(|| args.cannot())?;
    let model = open_onnx(path)?;
    stored.check_weights(weights_sha256(&model)).with_context(|| args.other_model())?;
    let file = OnnxFile::open(path)?;
    let others = file.other_files().map(|(_, path)| path.to_owned());
    let read: Vec<_> = others.chain([path.clone()]).collect();
    no_file_is_lost(args, &read, &file.paths_at(out))?;
    let golden = stored.golden();
    let read = match args.faults() {
        Some((seed, trial)) => stored.read(Seed(seed), trial)?,
        None => golden.clone(),
    };
    let copy = model.copy_with(&file, &read, out)?;
    copy.copy.finish()?;
    let rows = copy.written.iter().map(|tensor| Row::of_graph(tensor, &golden, &read)).collect();
    Ok(Report::new(args, stored.manifest(), rows))
}

/// Copies a model in safetensors files tensor by tensor.
fn of_files(args: &RecoverArgs) -> Result<Report> {
    let RecoverArgs { stored: folder, model: path, out, .. } = args;
    let stored = StoredFolder::open(folder, &CodeLibrary::default());
    let stored = stored.with_context(|| args.cannot())?;
    let manifest = stored.manifest();
    let model = open_model(path)?;
    no_file_is_lost(args, &model.paths(), &model.paths_at(out))?;
    let tensors = manifest.tensors.iter().map(|tensor| tensor.tensor.clone()).collect();
    let weights = CheckpointWeights::known(model, tensors).with_context(|| args.other_model())?;
    manifest.check_weights(weights.sha256()?).with_context(|| args.other_model())?;
    let mut otherwise: HashMap<String, u64> = HashMap::new();
    let written = weights.copy(out, |index| {
        let name = &manifest.tensors[index].tensor.name;
        let tensor = stored.tensor(index).with_context(|| args.cannot())?;
        let golden = tensor.golden().remove(name).unwrap_or_default();
        let Some((seed, trial)) = args.faults() else { return anyhow::Ok(golden) };
        let read = tensor.read(Seed(seed), trial, &tensor.uniform(0))?.remove(name);
        let read = read.unwrap_or_default();
        otherwise.insert(name.clone(), differing(&golden, &read));
        Ok(read)
    })?;
    let row = |tensor: &WrittenWeights| {
        Row::of_files(tensor, otherwise.get(&tensor.weight).copied().unwrap_or(0))
    };
    Ok(Report::new(args, manifest, written.iter().map(row).collect()))
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
fn no_file_is_lost(args: &RecoverArgs, read: &[PathBuf], written: &[PathBuf]) -> Result<()> {
    let stored = [MANIFEST, WORDS, CHECK].map(|file| args.stored.join(file));
    for path in written {
        not_over("--out", path, read, "--model")?;
        not_over("--out", path, &stored, "FOLDER")?;
    }
    Ok(())
}
