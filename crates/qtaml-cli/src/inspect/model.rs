//! A model of any kind, as `inspect` goes through it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use qtaml::files::{Checkpoint, Dtype, FileError, Layout, TensorDescription};

#[cfg(feature = "onnx")]
use super::graph::Graph;
use crate::flags::open_model;

/// A tensor, whatever file it lies in.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// The name of its type.
    pub(super) dtype: String,
    /// That type, if safetensors files have it as well.
    pub(super) elements_as: Option<Dtype>,
    pub(super) shape: Vec<usize>,
    pub(super) elements: u64,
    pub(super) bytes: u64,
    /// The number of its file.
    pub(super) file: usize,
    /// Its own number.
    pub(super) number: usize,
}

/// A model with its tensors.
pub(super) struct Model {
    tensors: Vec<Tensor>,
    source: Source,
}

/// What it was read from.
enum Source {
    Safetensors(Checkpoint),
    #[cfg(feature = "onnx")]
    Onnx(Graph),
}

impl Model {
    pub(super) fn open(path: &Path) -> Result<Self> {
        #[cfg(feature = "onnx")]
        if let Some(graph) = Graph::open(path)? {
            return Ok(Self { tensors: graph.tensors(), source: Source::Onnx(graph) });
        }
        let model = open_model(path)?;
        let tensor = |(number, tensor): (usize, &qtaml::files::TensorInfo)| Tensor {
            name: tensor.name.clone(),
            dtype: tensor.dtype.to_string(),
            elements_as: Some(tensor.dtype),
            shape: tensor.shape.clone(),
            elements: tensor.elements(),
            bytes: tensor.bytes,
            file: tensor.shard(),
            number,
        };
        let tensors = model.tensors().iter().enumerate().map(tensor).collect();
        Ok(Self { tensors, source: Source::Safetensors(model) })
    }

    /// All tensors, in the order of the files.
    pub(super) fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    pub(super) fn path(&self) -> &Path {
        match &self.source {
            Source::Safetensors(model) => model.path(),
            #[cfg(feature = "onnx")]
            Source::Onnx(graph) => graph.file().path(),
        }
    }

    /// The paths of its files, by their numbers.
    pub(super) fn files(&self) -> Vec<String> {
        let name = |path: &Path| path.display().to_string();
        match &self.source {
            Source::Safetensors(model) => {
                model.shards().iter().map(|shard| name(shard.path())).collect()
            }
            #[cfg(feature = "onnx")]
            Source::Onnx(graph) => {
                let others = graph.file().other_files().map(|(_, path)| name(path));
                [name(graph.file().path())].into_iter().chain(others).collect()
            }
        }
    }

    /// The length of all files together.
    pub(super) fn length(&self) -> u64 {
        match &self.source {
            Source::Safetensors(model) => model.length(),
            #[cfg(feature = "onnx")]
            Source::Onnx(graph) => graph.file().length(),
        }
    }

    /// What each tensor is. The nodes of a graph know their axes, and need no layout.
    pub(super) fn describe(&self, layout: Option<Layout>) -> Result<Vec<TensorDescription>> {
        match &self.source {
            Source::Safetensors(model) => Ok(model.describe(layout)?),
            #[cfg(feature = "onnx")]
            Source::Onnx(graph) => graph.describe(layout),
        }
    }

    /// Each of these weights that is the same as one before it, with the first of them.
    pub(super) fn aliases(&self, of: impl Iterator<Item = usize>) -> Result<HashMap<usize, usize>> {
        match &self.source {
            Source::Safetensors(model) => Ok(model.aliases(of)?.into_iter().collect()),
            #[cfg(feature = "onnx")]
            Source::Onnx(graph) => Ok(graph.aliases(&of.collect::<Vec<_>>())),
        }
    }

    /// The bytes of a tensor.
    pub(super) fn bytes_of(&self, tensor: &Tensor) -> Result<Vec<u8>, FileError> {
        match &self.source {
            Source::Safetensors(model) => model.bytes_of(&model.tensors()[tensor.number]),
            #[cfg(feature = "onnx")]
            Source::Onnx(graph) => graph.file().bytes_of(&graph.file().tensors()[tensor.number]),
        }
    }

    /// The same in pieces.
    pub(super) fn for_each_piece(
        &self,
        tensor: &Tensor,
        most: usize,
        visit: impl FnMut(Vec<u8>) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        match &self.source {
            Source::Safetensors(model) => {
                model.for_each_piece(&model.tensors()[tensor.number], most, visit)
            }
            #[cfg(feature = "onnx")]
            Source::Onnx(graph) => {
                let file = graph.file();
                file.for_each_piece(&file.tensors()[tensor.number], most, visit)
            }
        }
    }
}
