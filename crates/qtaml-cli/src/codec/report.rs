//! The report on the tensors of a model under a codec, as JSON and as a table.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::Result;
use qtaml::compensation::codebook::{Codec, GroupScales, TensorCode, WordChannel};
use qtaml::physics::FlipProfile;
use qtaml::quant::Granularity;
use serde::Serialize;

use crate::number::{grouped, readable, rounded};
use crate::stdout;
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
    /// Tensors with scales for channels along an axis that nobody says.
    #[serde(skip_serializing_if = "is_none")]
    pub(super) axes_guessed: usize,
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
    /// Which weights share a scale.
    scale: String,
    scales: usize,
    /// Different words that are stored.
    patterns: usize,
    mean_square_error: f64,
    mean_square: f64,
    relative_error: f64,
    stored_bytes: u64,
    /// Bits of the table and of the scales.
    metadata_bits: u64,
    /// All bits: words, table and scales.
    bits_per_weight: f64,
}

/// All tensors together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Total {
    weights: u64,
    relative_error: f64,
    stored_bytes: u64,
    metadata_bits: u64,
    bits_per_weight: f64,
}

impl Report {
    /// The report on some tensors, of which none is copied.
    pub(super) fn new(file: &Path, codec_bytes: usize, tensors: Vec<Row>) -> Self {
        let (file, total) = (file.display().to_string(), Total::of(&tensors));
        Self { file, codec_bytes, tensors, total, copied: None, axes_guessed: 0 }
    }

    /// Prints it as JSON or as a table.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json { stdout::print_json(self) } else { stdout::print(&self.to_string()) }
    }
}

impl Row {
    pub(super) fn new(name: &str, code: &TensorCode, error: f64, mean_square: f64) -> Self {
        let granularity = code.scales().map_or(Granularity::Tensor, GroupScales::granularity);
        Self {
            tensor: name.into(),
            shape: code.shape().to_vec(),
            memory: memory(code.code().channel()),
            weights: code.weights(),
            bits: code.code().width(),
            scale: granularity.to_string(),
            scales: code.scales().map_or(0, |scales| scales.scales().len()),
            patterns: code.code().words().len(),
            mean_square_error: error,
            mean_square,
            relative_error: relative(error, mean_square),
            stored_bytes: code.stored_bytes(),
            metadata_bits: code.metadata_bits(),
            bits_per_weight: all_bits(code.stored_bytes(), code.metadata_bits(), code.weights()),
        }
    }

    /// By the weights that the code was made for.
    pub(super) fn of_codec(name: &str, code: &TensorCode) -> Self {
        Self::new(name, code, code.mse(), code.mean_square())
    }

    pub(super) fn all_of_codec(codec: &Codec) -> Vec<Self> {
        codec.tensors().map(|(name, code)| Self::of_codec(name, code)).collect()
    }

    fn cells(&self) -> [String; 8] {
        // A file may name a tensor in ways that a terminal would obey.
        let name = self.tensor.escape_debug().to_string();
        let (bits, patterns) = (self.bits.to_string(), self.patterns.to_string());
        let (weights, bytes) = (grouped(self.weights), grouped(self.stored_bytes));
        let (scales, all) = (grouped(self.scales as u64), short(self.bits_per_weight));
        [name, weights, bits, scales, patterns, short(self.relative_error), bytes, all]
    }
}

impl Total {
    pub(super) fn of(rows: &[Row]) -> Self {
        let sum = |of: fn(&Row) -> f64| -> f64 {
            rows.iter().map(|row| row.weights as f64 * of(row)).sum()
        };
        let error = sum(|row| row.mean_square_error);
        let count = |of: fn(&Row) -> u64| -> u64 { rows.iter().map(of).sum() };
        let weights = count(|row| row.weights);
        let stored_bytes = count(|row| row.stored_bytes);
        let metadata_bits = count(|row| row.metadata_bits);
        Self {
            weights,
            relative_error: relative(error, sum(|row| row.mean_square)),
            stored_bytes,
            metadata_bits,
            bits_per_weight: all_bits(stored_bytes, metadata_bits, weights),
        }
    }

    fn cells(&self) -> [String; 8] {
        let (weights, bytes) = (grouped(self.weights), grouped(self.stored_bytes));
        let none = String::new;
        let (error, all) = (short(self.relative_error), short(self.bits_per_weight));
        ["total".into(), weights, none(), none(), none(), error, bytes, all]
    }
}

/// Stored bits of a weight, everything counted.
fn all_bits(stored_bytes: u64, metadata_bits: u64, weights: u64) -> f64 {
    (8 * stored_bytes + metadata_bits) as f64 / weights.max(1) as f64
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_none(count: &usize) -> bool {
    *count == 0
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
        let header = [
            "tensor",
            "weights",
            "bits",
            "scales",
            "patterns",
            "error",
            "stored bytes",
            "bits/weight",
        ];
        let rows = self.tensors.iter().map(Row::cells).chain([self.total.cells()]);
        let table = table(header, 1, rows.map(Vec::from));
        writeln!(f, "{table}\n")?;
        writeln!(
            f,
            "error is the expected square error over all faults, as a share of the squares of the weights;"
        )?;
        writeln!(
            f,
            "patterns are the different words stored; bits/weight counts words, tables and scales;"
        )?;
        writeln!(f, "the codec has {} bytes", grouped(self.codec_bytes as u64))?;
        if self.axes_guessed > 0 {
            let count = grouped(self.axes_guessed as u64);
            writeln!(
                f,
                "the axis of output channels is not known of {count} of them, and the first was taken: \
                 --layout says which it is"
            )?;
        }
        match self.copied {
            Some(copied) => writeln!(f, "{copied} other tensors are unchanged"),
            None => Ok(()),
        }
    }
}
