//! The report on the tensors of a model under a codec, as JSON and as a table.

use std::collections::BTreeSet;
use std::fmt;

use qtaml::compensation::codebook::{Codec, TensorCode, WordChannel};
use qtaml::physics::FlipProfile;
use serde::Serialize;

use crate::number::{grouped, readable, rounded};
use crate::table::table;

/// Everything that is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The file that was read.
    pub(super) file: String,
    pub(super) codec_bytes: usize,
    pub(super) tensors: Vec<Row>,
    pub(super) total: Total,
    /// Tensors that are the same as before; none where there is only a codec.
    pub(super) copied: Option<usize>,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) tensor: String,
    shape: Vec<usize>,
    /// The flips that its code expects.
    memory: String,
    weights: u64,
    bits: u32,
    /// Different words that are stored.
    patterns: usize,
    mean_square_error: f64,
    mean_square: f64,
    relative_error: f64,
    stored_bytes: u64,
}

/// All tensors together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Total {
    weights: u64,
    relative_error: f64,
    stored_bytes: u64,
}

impl Row {
    pub(super) fn new(name: &str, code: &TensorCode, error: f64, mean_square: f64) -> Self {
        Self {
            tensor: name.into(),
            shape: code.shape().to_vec(),
            memory: memory(code.code().channel()),
            weights: code.weights(),
            bits: code.code().width(),
            patterns: code.code().words().len(),
            mean_square_error: error,
            mean_square,
            relative_error: relative(error, mean_square),
            stored_bytes: code.stored_bytes(),
        }
    }

    /// By the weights that the code was made for.
    pub(super) fn of_codec(name: &str, code: &TensorCode) -> Self {
        Self::new(name, code, code.code().mse(), code.mean_square())
    }

    pub(super) fn all_of_codec(codec: &Codec) -> Vec<Self> {
        codec.tensors().map(|(name, code)| Self::of_codec(name, code)).collect()
    }

    fn cells(&self) -> [String; 6] {
        // A file may name a tensor in ways that a terminal would obey.
        let name = self.tensor.escape_debug().to_string();
        let (bits, patterns) = (self.bits.to_string(), self.patterns.to_string());
        let (weights, bytes) = (grouped(self.weights), grouped(self.stored_bytes));
        [name, weights, bits, patterns, short(self.relative_error), bytes]
    }
}

impl Total {
    pub(super) fn of(rows: &[Row]) -> Self {
        let sum = |of: fn(&Row) -> f64| -> f64 {
            rows.iter().map(|row| row.weights as f64 * of(row)).sum()
        };
        let error = sum(|row| row.mean_square_error);
        Self {
            weights: rows.iter().map(|row| row.weights).sum(),
            relative_error: relative(error, sum(|row| row.mean_square)),
            stored_bytes: rows.iter().map(|row| row.stored_bytes).sum(),
        }
    }

    fn cells(&self) -> [String; 6] {
        let (weights, bytes) = (grouped(self.weights), grouped(self.stored_bytes));
        let none = String::new;
        ["total".into(), weights, none(), none(), short(self.relative_error), bytes]
    }
}

/// Weights that are all zero are read as zeros.
fn relative(error: f64, mean_square: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / mean_square }
}

/// Four digits: the faults of one trial make more of an error uncertain.
fn short(error: f64) -> String {
    readable(rounded(error, 4))
}

fn memory(channel: &WordChannel) -> String {
    let flips = channel.flips();
    match flips.split_first() {
        Some((first, others)) if others.iter().all(|other| other == first) => first.to_string(),
        _ => FlipProfile::per_bit(flips.to_vec()).map_or_else(|e| e.to_string(), |p| p.to_string()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memories: BTreeSet<&str> = self.tensors.iter().map(|row| row.memory.as_str()).collect();
        let memories: Vec<&str> = memories.into_iter().collect();
        writeln!(f, "{}: codes for {}\n", self.file, memories.join(" and for "))?;
        let header = ["tensor", "weights", "bits", "patterns", "error", "stored bytes"];
        let rows = self.tensors.iter().map(Row::cells).chain([self.total.cells()]);
        let table = table(header, 1, rows.map(Vec::from));
        writeln!(f, "{table}\n")?;
        writeln!(
            f,
            "error is the expected square error over all faults, as a share of the squares of the weights;"
        )?;
        writeln!(
            f,
            "patterns are the different words stored; the codec has {} bytes",
            grouped(self.codec_bytes as u64)
        )?;
        match self.copied {
            Some(copied) => writeln!(f, "{copied} other tensors are unchanged"),
            None => Ok(()),
        }
    }
}
