//! An ONNX model as `inspect` sees it: its operators say what each tensor is.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use qtaml::deploy::{Role, WeightTensor};
use qtaml::files::onnx::{ElementType, OnnxFile, OnnxTensor, Place};
use qtaml::files::{
    BufferKind, Codes, FileFormat, Layout, MetadataKind, TensorDescription, TensorKind, WeightRole,
};
use qtaml::onnx::{OnnxModel, StoredTensor};

use super::model::Tensor;
use crate::usage::UsageError;
use crate::weights_only::open_onnx;

/// A file, and what its graph makes of its tensors.
pub(super) struct Graph {
    file: OnnxFile,
    model: OnnxModel,
}

impl Graph {
    /// Opens a model, if the file is one of ONNX.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        // What is no file is told of by whoever looks for another kind of model.
        let is_onnx = path.is_file() && FileFormat::of_file(path)? == FileFormat::Onnx;
        if !is_onnx {
            return Ok(None);
        }
        Ok(Some(Self { model: open_onnx(path)?, file: OnnxFile::open(path)? }))
    }

    pub(super) fn file(&self) -> &OnnxFile {
        &self.file
    }

    /// All tensors, in the order of the file.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let others: Vec<&str> = self.file.other_files().map(|(location, _)| location).collect();
        let file = |tensor: &OnnxTensor| match &tensor.place {
            Place::Elsewhere { location, .. } => {
                others.iter().position(|other| other == location).map_or(0, |at| at + 1)
            }
            _ => 0,
        };
        let tensor = |(number, tensor): (usize, &OnnxTensor)| Tensor {
            name: tensor.name.clone(),
            dtype: tensor.dtype.to_string(),
            elements_as: tensor.dtype.dtype(),
            shape: tensor.shape.clone(),
            elements: tensor.elements(),
            bytes: tensor.bytes,
            file: file(tensor),
            number,
        };
        self.file.tensors().iter().enumerate().map(tensor).collect()
    }

    /// What each tensor is.
    ///
    /// # Errors
    /// [`UsageError::LayoutOfGraph`] for a layout that would contradict the nodes.
    pub(super) fn describe(&self, layout: Option<Layout>) -> Result<Vec<TensorDescription>> {
        if layout.is_some() {
            return Err(UsageError::LayoutOfGraph.into());
        }
        let mut known = HashMap::new();
        for (stored, weight) in self.stored() {
            self.describe_weight(stored, weight, &mut known);
        }
        for other in self.model.others() {
            let kind = match other.role {
                Role::Bias => TensorKind::Bias,
                Role::Norm => TensorKind::Norm,
                Role::Statistics => TensorKind::Buffer(BufferKind::Statistics),
                _ => continue,
            };
            let described = TensorDescription::of_graph(kind, None);
            known.entry(other.name.clone()).or_insert(described);
        }
        // What no layer reads is there for the graph.
        let constant = |tensor: &OnnxTensor| {
            let kind =
                if tensor.elements() == 0 { TensorKind::Empty } else { TensorKind::Constant };
            TensorDescription::of_graph(kind, None)
        };
        let describe = |tensor: &OnnxTensor| {
            known.get(&tensor.name).cloned().unwrap_or_else(|| constant(tensor))
        };
        Ok(self.file.tensors().iter().map(describe).collect())
    }

    /// The tensors of the file that hold weights, tied ones under each name, and the weights.
    fn stored(&self) -> impl Iterator<Item = (&StoredTensor, &WeightTensor)> {
        let weights = self.model.tensors().iter().enumerate();
        weights.flat_map(|(i, weight)| self.model.stored(i).iter().map(move |s| (s, weight)))
    }

    fn describe_weight(
        &self,
        stored: &StoredTensor,
        weight: &WeightTensor,
        known: &mut HashMap<String, TensorDescription>,
    ) {
        let of = |kind| TensorDescription::of_graph(kind, weight.output_axis);
        let Some(codes) = &stored.codes else {
            known.insert(stored.name.clone(), of(TensorKind::Weights(role(weight.role))));
            return;
        };
        let dtype = self.file.tensor(&stored.name).map(|tensor| tensor.dtype);
        let kind = match dtype {
            Ok(ElementType::Int8 | ElementType::Uint8) => {
                TensorKind::Codes(Codes::of_graph(weight.len() as u64, weight.output_axis))
            }
            _ => TensorKind::Unknown,
        };
        known.insert(stored.name.clone(), of(kind));
        let beside = [
            (Some(&codes.scale), MetadataKind::Scale),
            (codes.zero_point.as_ref(), MetadataKind::ZeroPoint),
        ];
        for (name, what) in beside {
            let kind = TensorKind::Metadata { of: stored.name.clone(), what };
            let described = TensorDescription::of_graph(kind, None);
            known.extend(name.map(|name| (name.clone(), described)));
        }
    }

    /// Each of these tensors that is tied to one before it among them, with that one.
    pub(super) fn aliases(&self, of: &[usize]) -> HashMap<usize, usize> {
        let names = |number: usize| self.file.tensors()[number].name.as_str();
        let numbers: HashMap<&str, usize> = of.iter().map(|&i| (names(i), i)).collect();
        let mut aliases = HashMap::new();
        for weight in 0..self.model.tensors().len() {
            let mut tied: Vec<&str> =
                self.model.stored(weight).iter().map(|stored| stored.name.as_str()).collect();
            tied.sort_unstable();
            let mut tied = tied.into_iter().filter_map(|name| numbers.get(name).copied());
            if let Some(first) = tied.next() {
                aliases.extend(tied.map(|alias| (alias, first)));
            }
        }
        aliases
    }
}

fn role(role: Role) -> WeightRole {
    match role {
        Role::Linear => WeightRole::Linear,
        Role::Convolution => WeightRole::Convolution,
        Role::TransposedConvolution => WeightRole::TransposedConvolution,
        Role::Embedding => WeightRole::Embedding,
        _ => WeightRole::Other,
    }
}
