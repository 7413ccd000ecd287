//! The weights of a model of any kind, without a way to run it: all that storing needs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use qtaml::compensation::WeightsDigester;
use qtaml::deploy::checkpoint_weights::CheckpointWeights;
use qtaml::deploy::{Output, Runner, RunnerError, Values, WeightTensor};
use qtaml::fault::WordDigest;
use qtaml::files::onnx::OnnxFile;
use qtaml::files::{FileFormat, Layout};
use qtaml::onnx::OnnxModel;

use crate::flags::open_model;
use crate::selection::Selection;
use crate::usage::UsageError;

/// The weights of a model that are stored.
pub(crate) struct ModelWeights {
    runner: Box<dyn Runner>,
    /// Of each: its number in the runner, and that in the model.
    chosen: Vec<(usize, usize)>,
    /// The files of the model.
    pub(crate) paths: Vec<PathBuf>,
    /// Tensors whose axis of output channels was guessed.
    pub(crate) axes_guessed: usize,
    pub(crate) is_onnx: bool,
}

impl ModelWeights {
    /// Opens a model, whatever it is; `layout` is for safetensors files, which have no graph.
    pub(crate) fn open(path: &Path, layout: Option<Layout>, selection: &Selection) -> Result<Self> {
        if is_safetensors(path)? {
            Self::of_files(path, layout, selection)
        } else {
            Self::of_graph(path, layout, selection)
        }
    }

    fn of_graph(path: &Path, layout: Option<Layout>, selection: &Selection) -> Result<Self> {
        if layout.is_some() {
            return Err(UsageError::LayoutOfGraph.into());
        }
        let model = open_onnx(path)?;
        let file = OnnxFile::open(path)?;
        let others = file.other_files().map(|(_, path)| path.to_owned());
        let paths = others.chain([path.to_owned()]).collect();
        let is_chosen =
            selection.choose(model.tensors().iter().map(|tensor| tensor.name.as_str()))?;
        let numbers = model.tensors().iter().enumerate().zip(is_chosen);
        let is_stored = |tensor: &WeightTensor| tensor.role.is_weight() && !tensor.is_empty();
        let numbers = numbers.filter(|((_, tensor), chosen)| *chosen && is_stored(tensor));
        let chosen: Vec<_> = numbers.map(|((number, _), _)| (number, number)).collect();
        anyhow::ensure!(!chosen.is_empty(), "no weights of {} are chosen", path.display());
        let runner = Box::new(WeightsOnly(model));
        Ok(Self { runner, chosen, paths, axes_guessed: 0, is_onnx: true })
    }

    fn of_files(path: &Path, layout: Option<Layout>, selection: &Selection) -> Result<Self> {
        let model = open_model(path)?;
        let paths = model.paths();
        let names = || model.tensors().iter().map(|tensor| tensor.name.as_str());
        let chosen = names().zip(selection.choose(names())?).filter(|(_, chosen)| *chosen);
        let chosen: HashSet<String> = chosen.map(|(name, _)| name.to_owned()).collect();
        let named: Vec<String> =
            names().filter(|name| selection.names(name)).map(str::to_owned).collect();
        let weights = CheckpointWeights::of(model, layout, |name| chosen.contains(name))
            .with_context(|| format!("cannot use {}", path.display()))?;
        let is_weight = |name: &String| {
            weights
                .tensors()
                .iter()
                .any(|tensor| tensor.name == *name || tensor.aliases.contains(name))
        };
        if let Some(name) = named.iter().find(|name| !is_weight(name)) {
            return Err(NoFloats { name: name.clone() }.into());
        }
        let chosen = weights.numbers().iter().copied().enumerate().collect();
        let axes_guessed = weights.axes_guessed();
        Ok(Self { runner: Box::new(weights), chosen, paths, axes_guessed, is_onnx: false })
    }

    /// Each of them alone, with its number in the model.
    pub(crate) fn each(&self) -> impl Iterator<Item = (usize, OneWeight<'_>)> {
        let one = move |&(index, number): &(usize, usize)| {
            let tensor = [self.runner.tensors()[index].clone()];
            (number, OneWeight { runner: self.runner.as_ref(), index, tensor })
        };
        self.chosen.iter().map(one)
    }

    /// Their digest, by which plans and stored folders know them.
    pub(crate) fn sha256(&self) -> Result<WordDigest> {
        let mut digester = WeightsDigester::default();
        for (_, one) in self.each() {
            let tensor = one.tensor();
            digester.add(&tensor.name, &tensor.shape, &one.values(0)?);
        }
        Ok(digester.finish())
    }
}

/// One weight tensor, as a model of its own.
pub(crate) struct OneWeight<'a> {
    runner: &'a dyn Runner,
    index: usize,
    tensor: [WeightTensor; 1],
}

impl OneWeight<'_> {
    pub(crate) fn tensor(&self) -> &WeightTensor {
        &self.tensor[0]
    }
}

impl Runner for OneWeight<'_> {
    fn tensors(&self) -> &[WeightTensor] {
        &self.tensor
    }

    fn values(&self, _: usize) -> Result<Vec<f32>, RunnerError> {
        self.runner.values(self.index)
    }

    fn outputs(&self, _: Values) -> Result<Vec<Output>, RunnerError> {
        Err(no_inputs())
    }
}

/// An ONNX model that has tensors and values, and refuses to run.
struct WeightsOnly(OnnxModel);

impl Runner for WeightsOnly {
    fn tensors(&self) -> &[WeightTensor] {
        self.0.tensors()
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, RunnerError> {
        let missing = || RunnerError::failed(format!("the model has no tensor number {index}"));
        self.0.values(index).map(<[f32]>::to_vec).ok_or_else(missing)
    }

    fn outputs(&self, _: Values) -> Result<Vec<Output>, RunnerError> {
        Err(no_inputs())
    }
}

fn no_inputs() -> RunnerError {
    RunnerError::failed("without inputs no model is run")
}

/// Opens an ONNX model.
pub(crate) fn open_onnx(path: &Path) -> Result<OnnxModel> {
    OnnxModel::open(path).with_context(|| format!("cannot use {}", path.display()))
}

/// Whether a model is one of safetensors: a file, a folder or an index.
pub(crate) fn is_safetensors(path: &Path) -> Result<bool> {
    if path.is_dir() {
        return Ok(true);
    }
    Ok(matches!(FileFormat::of_file(path)?, FileFormat::Safetensors | FileFormat::ShardIndex))
}

/// A tensor that somebody has asked for, and that is not stored.
#[derive(Debug, thiserror::Error)]
#[error("tensor {name:?} is no float weight, and is not stored: `qtaml inspect` says what it is")]
struct NoFloats {
    name: String,
}
