//! The weights of a model without a way to run it: all that storing needs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use qtaml::deploy::{Output, Runner, RunnerError, Values, WeightTensor};
use qtaml::files::FileFormat;
use qtaml::onnx::OnnxModel;

/// A runner that has tensors and values, and refuses to run.
pub(crate) struct WeightsOnly<'a>(pub(crate) &'a OnnxModel);

impl Runner for WeightsOnly<'_> {
    fn tensors(&self) -> &[WeightTensor] {
        self.0.tensors()
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, RunnerError> {
        let missing = || RunnerError::failed(format!("the model has no tensor number {index}"));
        self.0.values(index).map(<[f32]>::to_vec).ok_or_else(missing)
    }

    fn outputs(&self, _: Values) -> Result<Vec<Output>, RunnerError> {
        Err(RunnerError::failed("without inputs no model is run"))
    }
}

/// Opens a model.
pub(crate) fn open_onnx(path: &Path) -> Result<OnnxModel> {
    OnnxModel::open(path).with_context(|| format!("cannot use {}", path.display()))
}

/// Refuses a file that is no ONNX model, with what to do.
///
/// A plan names its model by the bytes of its file, and `qtaml plan` makes plans of ONNX files alone.
pub(crate) fn refuse_others(path: &Path) -> Result<()> {
    let is_folder = path.is_dir();
    let format = if is_folder { None } else { Some(FileFormat::of_file(path)?) };
    if is_folder || matches!(format, Some(FileFormat::Safetensors | FileFormat::ShardIndex)) {
        return Err(NotYet { path: path.into() }.into());
    }
    Ok(())
}

/// A model in safetensors files.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is a model in safetensors files, and plans are made of ONNX files: export it as ONNX for qtaml plan, \
     protect and recover, or use qtaml inject and qtaml codec, which take safetensors",
    path.display()
)]
struct NotYet {
    path: PathBuf,
}
