//! The report on an injection, as JSON and as a table.

use std::collections::HashSet;
use std::fmt;
use std::ops::Add;

use qtaml::fault::{EccTally, Seed};
use qtaml::files::TensorInfo;
use qtaml::quant::{QuantizationNoise, Scaling};
use serde::Serialize;

use super::storage::Storage;
use super::stored::StoredCodes;
use crate::number::grouped;
use crate::printable::printable;
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
    /// What was stored beside all tensors together, if it lies in the faulty memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Metadata>,
    /// What rounding destroys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
    /// Tensors whose axis of output channels nobody says: the first one was taken.
    #[serde(skip_serializing_if = "is_none_of")]
    pub(super) axes_guessed: usize,
    /// Tensors that are the same as before.
    pub(super) copied: usize,
}

/// What happened to one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) tensor: String,
    /// The first name of the same cells, which are counted once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alias_of: Option<String>,
    pub(super) stored_as: String,
    /// Which weights share a scale, and where scales come from; none for what is stored as it is.
    scaling: Option<Scaling>,
    /// What one step of the code is worth; none for what is stored as it is, or with several scales.
    pub(super) scale: Option<f32>,
    /// What it is read as, if that is something else; null if it is no number that JSON has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scale_read: Option<f32>,
    /// Of several scales.
    #[serde(skip_serializing_if = "Option::is_none")]
    scales: Option<ScaleRange>,
    /// What is stored beside its words, if that lies in the faulty memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    /// Weights that rounding misses by at least what they are, zeros not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    /// Their share of the weights that are not zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_share: Option<f64>,
    /// Signal over the noise of quantization, faults apart, in decibels; none without noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    sqnr_db: Option<f64>,
    /// Weights that are read as the largest number of their type in place of a larger one.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) clamped: u64,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

/// Scales, and what is stored beside them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Metadata {
    stored_bits: u64,
    flipped_bits: u64,
}

impl Metadata {
    fn of(codes: &StoredCodes) -> Option<Self> {
        let read = codes.read.as_ref()?;
        Some(Self { stored_bits: read.bits(), flipped_bits: read.flipped_bits() })
    }

    /// Of all tensors together, each under one of its names.
    pub(super) fn total(rows: &[Row]) -> Option<Self> {
        let all = distinct(rows).into_iter().filter_map(|row| row.metadata);
        all.reduce(|a, b| Self {
            stored_bits: a.stored_bits + b.stored_bits,
            flipped_bits: a.flipped_bits + b.flipped_bits,
        })
    }
}

/// Each tensor under one of its names.
fn distinct(rows: &[Row]) -> Vec<&Row> {
    let mut seen = HashSet::new();
    rows.iter().filter(|row| seen.insert(row.cells_of())).collect()
}

/// The scales of a tensor that has several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct ScaleRange {
    count: usize,
    smallest: f32,
    largest: f32,
    /// Those that are read as something else, or of which the minimum or the zero point is.
    read_wrong: usize,
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

    /// Of all tensors together, each under one of its names.
    pub(super) fn total(rows: &[Row]) -> Self {
        let rows = distinct(rows);
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

/// A share in percent, in as many digits as make sense.
fn percent(share: f64) -> String {
    match 100.0 * share {
        percent if percent >= 10.0 => format!("{percent:.0} %"),
        percent if percent >= 0.1 => format!("{percent:.1} %"),
        percent if percent > 0.0 => "<0.1 %".into(),
        _ => "0 %".into(),
    }
}

/// What rounding destroys: tensors of which it takes more than half of the weights. The worst are named.
pub(super) fn warnings(rows: &[Row]) -> Vec<String> {
    const NAMED: usize = 3;
    let destroyed = |row: &&Row| row.lost_share.is_some_and(|share| share > 0.5);
    let mut rows: Vec<&Row> = rows.iter().filter(destroyed).collect();
    let share = |row: &&Row| row.lost_share.unwrap_or_default();
    rows.sort_by(|a, b| share(b).total_cmp(&share(a)));
    let named: Vec<String> = rows
        .iter()
        .take(NAMED)
        .map(|row| format!("{:?} ({})", row.tensor, percent(share(row))))
        .collect();
    let others = match rows.len().saturating_sub(NAMED) {
        0 => String::new(),
        others => format!(" and {others} more tensors"),
    };
    let advice = "a finer --scale, --clip min-mse or more --bits keep more of them";
    let warning = || {
        format!(
            "rounding takes more than half of the weights of {}{others}: {advice}",
            named.join(", ")
        )
    };
    if rows.is_empty() { Vec::new() } else { vec![warning()] }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_none_of(count: &usize) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Row {
    pub(super) fn new(
        tensor: &TensorInfo,
        storage: &Storage,
        flipped_bits: u64,
        code_words: Option<EccTally>,
    ) -> Self {
        let words = storage.faulty_words_of(tensor);
        let bits = words * u64::from(storage.word_bits());
        Self {
            tensor: tensor.name.clone(),
            alias_of: None,
            stored_as: storage.to_string(),
            scaling: storage.scaling(),
            scale: None,
            scale_read: None,
            scales: None,
            metadata: None,
            lost: None,
            lost_share: None,
            sqnr_db: None,
            clamped: 0,
            tally: Tally::new(words, bits, flipped_bits, code_words),
        }
    }

    /// With what is known of codes, and of the noise that quantization makes.
    pub(super) fn with_codes(self, codes: Option<&StoredCodes>, noise: QuantizationNoise) -> Self {
        let Some(codes) = codes else { return self };
        // To a tenth: the last digits depend on the order of the sums.
        let sqnr_db = Some((10.0 * noise.sqnr_db()).round() / 10.0).filter(|db| db.is_finite());
        let metadata = Metadata::of(codes);
        let (lost, lost_share) = (Some(noise.lost()), Some(noise.lost_share()));
        let row = Self { metadata, lost, lost_share, sqnr_db, ..self };
        let scales = codes.scales.scales();
        if let [scale] = *scales {
            let read = codes.read.as_ref().map(|read| read.scales.scales()[0]);
            let scale_read = read.filter(|read| read.to_bits() != scale.to_bits());
            return Self { scale: Some(scale), scale_read, ..row };
        }
        let fold = |of: fn(f32, f32) -> f32| scales.iter().copied().reduce(of).unwrap_or_default();
        let scales = ScaleRange {
            count: scales.len(),
            smallest: fold(f32::min),
            largest: fold(f32::max),
            read_wrong: codes.scales_read_wrong(),
        };
        Self { scales: Some(scales), ..row }
    }

    /// The name by which its cells are known.
    fn cells_of(&self) -> &str {
        self.alias_of.as_deref().unwrap_or(&self.tensor)
    }

    fn scale_cell(&self) -> String {
        match (self.scale, self.scale_read, self.scales) {
            (Some(scale), None, _) => format!("{scale:.3e}"),
            (Some(scale), Some(read), _) => format!("{scale:.3e}, read as {read:.3e}"),
            (None, _, Some(ScaleRange { count, smallest, largest, read_wrong })) => {
                let wrong = match read_wrong {
                    0 => String::new(),
                    wrong => format!(", {} read wrong", grouped(wrong as u64)),
                };
                let count = grouped(count as u64);
                format!("{count} of {smallest:.1e} to {largest:.1e}{wrong}")
            }
            (None, _, None) => String::new(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let sqnr = self.sqnr_db.map_or_else(String::new, |db| format!("{db:.1} dB"));
        let lost = self.lost_share.map_or_else(String::new, percent);
        let stored_as = match &self.alias_of {
            Some(first) => format!("= {first}"),
            None => self.stored_as.clone(),
        };
        let id = [self.tensor.clone(), stored_as];
        id.into_iter().chain(self.tally.cells()).chain([self.scale_cell(), sqnr, lost]).collect()
    }
}

impl Report {
    /// How floats were scaled: each way once, with the number of its tensors.
    fn fmt_scaling(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ways: Vec<(Scaling, u64)> = Vec::new();
        for scaling in self.tensors.iter().filter_map(|row| row.scaling) {
            match ways.iter_mut().find(|(way, _)| *way == scaling) {
                Some((_, count)) => *count += 1,
                None => ways.push((scaling, 1)),
            }
        }
        for (scaling, count) in &ways {
            writeln!(f, "scales of {} tensors: {scaling}", grouped(*count))?;
        }
        if self.axes_guessed > 0 {
            let count = grouped(self.axes_guessed as u64);
            writeln!(
                f,
                "the axis of output channels is not known of {count} of them, and the first was taken: \
                 --layout says which it is"
            )?;
        }
        if !ways.is_empty() {
            f.write_str(
                "SQNR and lost are of rounding alone; lost weights are missed by all that they are\n",
            )?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }

    fn total_cells(&self) -> Vec<String> {
        let id = ["total".into(), String::new()];
        id.into_iter().chain(self.total.cells()).chain([const { String::new() }; 3]).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, faults, seed: Seed(seed), trial, copied, .. } = self;
        let [model, faults] = [model, faults].map(|text| printable(text));
        writeln!(f, "{model}: {faults}, seed {seed}, trial {trial}\n")?;
        let code_words = ["check bits", "corrected", "detected", "miscorrected"];
        let code_words = self.total.code_words.map(|_| code_words);
        let header = ["tensor", "stored as", "words", "stored bits"].into_iter();
        let header = header.chain(code_words.into_iter().flatten());
        let header = header.chain(["flips", "flips/bit", "scale", "SQNR", "lost"]);
        let rows = self.tensors.iter().map(Row::cells).chain([self.total_cells()]);
        let table = table(header, 2, rows);
        writeln!(f, "{table}\n")?;
        if code_words.is_some() {
            f.write_str(CODE_WORDS)?;
        }
        self.fmt_scaling(f)?;
        if let Some(Metadata { stored_bits, flipped_bits }) = self.metadata {
            let [flips, bits] = [flipped_bits, stored_bits].map(grouped);
            writeln!(
                f,
                "flips in scales and what is stored beside them, not counted above: {flips} of {bits} bits"
            )?;
        }
        let clamped: u64 = self.tensors.iter().map(|row| row.clamped).sum();
        if clamped > 0 {
            let clamped = grouped(clamped);
            writeln!(f, "weights beyond their type, read as its largest number: {clamped}")?;
        }
        let aliases = self.tensors.iter().filter(|row| row.alias_of.is_some()).count();
        if aliases > 0 {
            let aliases = grouped(aliases as u64);
            writeln!(
                f,
                "other names of the same cells, with the same faults, counted once: {aliases}"
            )?;
        }
        writeln!(
            f,
            "flips/bit counts every bit of the words, protected or not; {copied} other tensors are \
             unchanged"
        )
    }
}
