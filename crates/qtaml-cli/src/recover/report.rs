//! What was written into the copy: a row for each tensor of the file.

use qtaml::deploy::Values;
use qtaml::deploy::stored_folder::RestoredModel;
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
struct Row {
    tensor: String,
    /// The stored tensor, of which this may be a second name.
    weight: String,
    dtype: &'static str,
    weights: u64,
    read_otherwise: u64,
    rounded: u64,
    beyond: u64,
}

impl Report {
    pub(super) fn new(
        args: &RecoverArgs,
        stored: &RestoredModel,
        golden: &Values,
        read: &Values,
        written: &[WrittenTensor],
    ) -> Self {
        let faults = args.faults();
        let row = |tensor: &WrittenTensor| Row {
            tensor: tensor.name.clone(),
            weight: tensor.weight.clone(),
            dtype: tensor.dtype.name(),
            weights: tensor.values,
            read_otherwise: differing(golden, read, &tensor.weight),
            rounded: tensor.rounded,
            beyond: tensor.beyond,
        };
        Self {
            schema: 1,
            stored: args.stored.display().to_string(),
            model: args.model.display().to_string(),
            weights_sha256: stored.manifest().model.sha256.to_string(),
            out: args.out.display().to_string(),
            flips: measure::flips(&stored.plan().flips),
            clean: faults.is_none(),
            seed: faults.map(|(seed, _)| seed),
            trial: faults.map(|(_, trial)| trial),
            tensors: written.iter().map(row).collect(),
        }
    }

    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let header = ["tensor", "type", "weights", "as read", "rounded", "beyond"];
        let rows = self.tensors.iter().map(|row| {
            let counts = [row.weights, row.read_otherwise, row.rounded, row.beyond].map(grouped);
            [row.tensor.clone(), row.dtype.to_owned()].into_iter().chain(counts).collect()
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
fn differing(golden: &Values, read: &Values, weight: &str) -> u64 {
    let none = Vec::new();
    let of = |values| Values::get(values, weight).unwrap_or(&none).iter();
    of(golden).zip(of(read)).filter(|(a, b)| a.to_bits() != b.to_bits()).count() as u64
}
