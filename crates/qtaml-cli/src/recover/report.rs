//! What was written into the copy: a row for each tensor of the file.

use qtaml::deploy::Values;
use qtaml::deploy::checkpoint_weights::WrittenWeights;
use qtaml::deploy::stored_folder::Manifest;
use qtaml::onnx::WrittenTensor;
use serde::Serialize;

use super::RecoverArgs;
use crate::measure;
use crate::number::grouped;
use crate::table::table;

/// A recovered model.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u64,
    stored: String,
    model: String,
    weights_sha256: String,
    out: String,
    /// The flip probabilities of the memory, in words.
    flips: String,
    clean: bool,
    seed: Option<u64>,
    trial: Option<u32>,
    tensors: Vec<Row>,
}

/// A tensor of the file.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    tensor: String,
    /// The stored tensor, of which this may be a second name.
    weight: String,
    dtype: String,
    weights: u64,
    read_otherwise: u64,
    rounded: u64,
    beyond: u64,
}

impl Row {
    /// A tensor of an ONNX file.
    pub(super) fn of_graph(tensor: &WrittenTensor, golden: &Values, read: &Values) -> Self {
        let none = Vec::new();
        let of = |values| Values::get(values, &tensor.weight).unwrap_or(&none);
        Self {
            tensor: tensor.name.clone(),
            weight: tensor.weight.clone(),
            dtype: tensor.dtype.name().to_owned(),
            weights: tensor.values,
            read_otherwise: differing(of(golden), of(read)),
            rounded: tensor.rounded,
            beyond: tensor.beyond,
        }
    }

    /// A tensor of safetensors files, of which so many values are read as other ones.
    pub(super) fn of_files(tensor: &WrittenWeights, read_otherwise: u64) -> Self {
        Self {
            tensor: tensor.name.clone(),
            weight: tensor.weight.clone(),
            dtype: tensor.dtype.name().to_uppercase(),
            weights: tensor.values,
            read_otherwise,
            rounded: tensor.rounded,
            beyond: tensor.beyond,
        }
    }
}

impl Report {
    pub(super) fn new(args: &RecoverArgs, manifest: &Manifest, tensors: Vec<Row>) -> Self {
        let faults = args.faults();
        Self {
            schema: 1,
            stored: args.stored.display().to_string(),
            model: args.model.display().to_string(),
            weights_sha256: manifest.model.sha256.to_string(),
            out: args.out.display().to_string(),
            flips: measure::flips(&manifest.plan.flips),
            clean: faults.is_none(),
            seed: faults.map(|(seed, _)| seed),
            trial: faults.map(|(_, trial)| trial),
            tensors,
        }
    }

    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let header = ["tensor", "type", "weights", "as read", "rounded", "beyond"];
        let rows = self.tensors.iter().map(|row| {
            let counts = [row.weights, row.read_otherwise, row.rounded, row.beyond].map(grouped);
            [row.tensor.clone(), row.dtype.clone()].into_iter().chain(counts).collect()
        });
        format!("{}\n\n{}\n", table(header, 2, rows), self.answer())
    }

    fn answer(&self) -> String {
        match (self.seed, self.trial) {
            (Some(seed), Some(trial)) => format!(
                "{} is the model as it is read in trial {trial} of seed {seed}, at p = {}.",
                self.out, self.flips
            ),
            _ => format!("{} is the model as it was stored, without faults.", self.out),
        }
    }
}

/// How many values of a weight are other ones.
pub(super) fn differing(golden: &[f32], read: &[f32]) -> u64 {
    golden.iter().zip(read).filter(|(a, b)| a.to_bits() != b.to_bits()).count() as u64
}
