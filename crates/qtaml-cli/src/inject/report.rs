//! The report on an injection, as JSON and as a table.

use std::fmt;
use std::ops::Add;

use qtaml::fault::{EccTally, Seed};
use qtaml::files::TensorInfo;
use serde::Serialize;

use super::storage::Storage;
use crate::number::grouped;
use crate::table::table;

/// What the columns of a code mean.
const CODE_WORDS: &str = "\
stored bits include check bits; flips are those left in the words after decoding
corrected, detected and miscorrected count code words; a miscorrected one is wrong without a sign,
and is among the corrected ones unless no error was seen in it
";

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
    /// What it is read as, if that is something else; null if it is no number that JSON has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scale_read: Option<f32>,
    /// Weights that are read as the largest number of their type in place of a larger one.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) clamped: u64,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

/// Bits that were stored and bits that flipped.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Tally {
    words: u64,
    /// All bits of the words, and check bits; those of scales are not counted.
    stored_bits: u64,
    /// Bits of the words that are read wrong, after decoding if there is a code.
    flipped_bits: u64,
    /// The same per bit of the words, protected ones included.
    bit_error_rate: f64,
    /// Only if a real code keeps bits.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    code_words: Option<EccTally>,
}

impl Tally {
    fn new(words: u64, bits: u64, flipped_bits: u64, code_words: Option<EccTally>) -> Self {
        let bit_error_rate = if bits == 0 { 0.0 } else { flipped_bits as f64 / bits as f64 };
        let stored_bits = bits + check_bits(code_words);
        Self { words, stored_bits, flipped_bits, bit_error_rate, code_words }
    }

    /// Of all tensors together.
    pub(super) fn total(rows: &[Row]) -> Self {
        let sum = |count: fn(&Self) -> u64| rows.iter().map(|row| count(&row.tally)).sum();
        let code_words = rows.iter().filter_map(|row| row.tally.code_words).reduce(Add::add);
        let bits = sum(|t| t.stored_bits) - check_bits(code_words);
        Self::new(sum(|t| t.words), bits, sum(|t| t.flipped_bits), code_words)
    }

    fn cells(&self) -> Vec<String> {
        let code_words = self.code_words.map(|code| {
            [code.check_bits, code.corrected, code.detected, code.miscorrected].map(grouped)
        });
        let rate = format!("{:.6e}", self.bit_error_rate);
        let stored = [grouped(self.words), grouped(self.stored_bits)].into_iter();
        let stored = stored.chain(code_words.into_iter().flatten());
        stored.chain([grouped(self.flipped_bits), rate]).collect()
    }
}

fn check_bits(code_words: Option<EccTally>) -> u64 {
    code_words.map_or(0, |code| code.check_bits)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Row {
    pub(super) fn new(
        tensor: &TensorInfo,
        storage: Storage,
        [scale, scale_read]: [f32; 2],
        flipped_bits: u64,
        code_words: Option<EccTally>,
    ) -> Self {
        let words = storage.faulty_words_of(tensor);
        let bits = words * u64::from(storage.word_bits());
        Self {
            tensor: tensor.name.clone(),
            stored_as: storage.to_string(),
            scale: matches!(storage, Storage::Codes(..)).then_some(scale),
            scale_read: (scale_read.to_bits() != scale.to_bits()).then_some(scale_read),
            clamped: 0,
            tally: Tally::new(words, bits, flipped_bits, code_words),
        }
    }

    fn cells(&self) -> Vec<String> {
        let scale = self.scale.map_or_else(String::new, |scale| format!("{scale:.6e}"));
        let read = self.scale_read.map(|read| format!("{scale}, read as {read:.6e}"));
        // A file may name a tensor in ways that a terminal would obey.
        let id = [self.tensor.escape_debug().to_string(), self.stored_as.clone()];
        id.into_iter().chain(self.tally.cells()).chain([read.unwrap_or(scale)]).collect()
    }
}

impl Report {
    fn total_cells(&self) -> Vec<String> {
        let id = ["total".into(), String::new()];
        id.into_iter().chain(self.total.cells()).chain([String::new()]).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, faults, seed: Seed(seed), trial, copied, .. } = self;
        // A file may name faults in ways that a terminal would obey.
        let faults = faults.escape_debug();
        writeln!(f, "{model}: {faults}, seed {seed}, trial {trial}\n")?;
        let code_words = ["check bits", "corrected", "detected", "miscorrected"];
        let code_words = self.total.code_words.map(|_| code_words);
        let header = ["tensor", "stored as", "words", "stored bits"].into_iter();
        let header = header.chain(code_words.into_iter().flatten());
        let header = header.chain(["flips", "flips/bit", "scale"]);
        let rows = self.tensors.iter().map(Row::cells).chain([self.total_cells()]);
        let table = table(header, 2, rows);
        writeln!(f, "{table}\n")?;
        if code_words.is_some() {
            f.write_str(CODE_WORDS)?;
        }
        let clamped: u64 = self.tensors.iter().map(|row| row.clamped).sum();
        if clamped > 0 {
            let clamped = grouped(clamped);
            writeln!(f, "weights beyond their type, read as its largest number: {clamped}")?;
        }
        writeln!(
            f,
            "flips/bit counts every bit of the words, protected or not; {copied} other tensors are \
             unchanged"
        )
    }
}
