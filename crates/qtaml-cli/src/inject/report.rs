//! What was done to a model, as JSON and as people read it.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table};
use qtaml::fault::Seed;
use serde::Serialize;

use super::storage::Storage;
use crate::model::Tensor;
use crate::number::grouped;

/// A line below the header and nothing else, in the notation of `comfy_table`.
const HEADER_LINE: &str = "     ──            ";

/// Everything that is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) out: String,
    /// What was injected, in words.
    pub(super) faults: String,
    pub(super) seed: Seed,
    pub(super) trial: u32,
    pub(super) tensors: Vec<Row>,
    pub(super) total: Tally,
    /// Tensors that are the same as before.
    pub(super) copied: usize,
}

/// What happened to one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) tensor: String,
    pub(super) stored_as: String,
    /// What one step of the code is worth; none for what is stored as it is.
    pub(super) scale: Option<f32>,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

/// Bits that were stored and bits that flipped.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Tally {
    words: u64,
    stored_bits: u64,
    flipped_bits: u64,
    /// Flipped bits per stored bit, protected ones included.
    bit_error_rate: f64,
}

impl Tally {
    fn new(words: u64, stored_bits: u64, flipped_bits: u64) -> Self {
        let bit_error_rate =
            if stored_bits == 0 { 0.0 } else { flipped_bits as f64 / stored_bits as f64 };
        Self { words, stored_bits, flipped_bits, bit_error_rate }
    }

    /// Of all tensors together.
    pub(super) fn total(rows: &[Row]) -> Self {
        let sum = |count: fn(&Self) -> u64| rows.iter().map(|row| count(&row.tally)).sum();
        Self::new(sum(|t| t.words), sum(|t| t.stored_bits), sum(|t| t.flipped_bits))
    }

    fn cells(&self) -> [String; 4] {
        let rate = format!("{:.6e}", self.bit_error_rate);
        [grouped(self.words), grouped(self.stored_bits), grouped(self.flipped_bits), rate]
    }
}

impl Row {
    pub(super) fn new(tensor: &Tensor, storage: Storage, scale: f32, flipped_bits: u64) -> Self {
        let words = storage.words_of(tensor);
        let stored_bits = words * u64::from(storage.format().bits().get());
        Self {
            tensor: tensor.name.clone(),
            stored_as: storage.to_string(),
            scale: matches!(storage, Storage::Codes(..)).then_some(scale),
            tally: Tally::new(words, stored_bits, flipped_bits),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, faults, seed: Seed(seed), trial, copied, .. } = self;
        writeln!(f, "{model}: {faults}, seed {seed}, trial {trial}\n")?;
        let mut table = Table::new();
        table
            .load_preset(HEADER_LINE)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header([
                "tensor",
                "stored as",
                "words",
                "stored bits",
                "flips",
                "flips/bit",
                "scale",
            ]);
        for row in &self.tensors {
            let scale = row.scale.map_or_else(String::new, |scale| format!("{scale:.6e}"));
            // A file may name a tensor in ways that a terminal would obey.
            let id = [row.tensor.escape_debug().to_string(), row.stored_as.clone()];
            table.add_row(id.into_iter().chain(row.tally.cells()).chain([scale]));
        }
        let id = ["total".into(), String::new()];
        table.add_row(id.into_iter().chain(self.total.cells()).chain([String::new()]));
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}\n")?;
        writeln!(
            f,
            "flips/bit counts every stored bit, protected or not; {copied} other tensors are unchanged"
        )
    }
}
