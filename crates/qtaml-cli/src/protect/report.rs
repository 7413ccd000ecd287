//! What lies in the memory: a row for each tensor.

use std::collections::BTreeSet;

use qtaml::compensation::storage::{StoredAs, WeightStorage};
use qtaml::deploy::stored_folder::Manifest;
use serde::Serialize;

use super::ProtectArgs;
use super::how::{How, Planned};
use crate::measure;
use crate::number::grouped;
use crate::table::table;

/// A stored model.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u64,
    model: String,
    /// The digest of the file that it was planned for.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_sha256: Option<String>,
    weights_sha256: String,
    /// The file of the plan, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    plan_sha256: String,
    stored: String,
    /// The flip probabilities that it is meant for, in words.
    flips: String,
    scheme: String,
    tensors: Vec<Row>,
    total: Taken,
}

/// A tensor in the memory.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    tensor: String,
    stored_as: String,
    #[serde(flatten)]
    bits: Taken,
}

/// What groups take.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Taken {
    weights: u64,
    groups: u64,
    stored_bits: u64,
    check_bits: u64,
    protected_bits: u64,
    metadata_bits: u64,
}

impl Taken {
    fn of(storage: &dyn WeightStorage) -> Self {
        Self {
            weights: storage.weights() as u64,
            groups: 1,
            stored_bits: storage.stored_bits(),
            check_bits: storage.check_bits(),
            protected_bits: storage.protected_bits(),
            metadata_bits: storage.metadata_bits(),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            weights: self.weights + other.weights,
            groups: self.groups + other.groups,
            stored_bits: self.stored_bits + other.stored_bits,
            check_bits: self.check_bits + other.check_bits,
            protected_bits: self.protected_bits + other.protected_bits,
            metadata_bits: self.metadata_bits + other.metadata_bits,
        }
    }

    fn cells(self) -> [String; 6] {
        [
            self.groups,
            self.weights,
            self.stored_bits,
            self.check_bits,
            self.protected_bits,
            self.metadata_bits,
        ]
        .map(grouped)
    }
}

impl Row {
    /// A tensor whose groups are stored so.
    pub(super) fn new(tensor: &str, groups: &[&dyn WeightStorage]) -> Self {
        let bits = groups.iter().map(|&group| Taken::of(group));
        Self {
            tensor: tensor.to_owned(),
            stored_as: how_stored(groups),
            bits: bits.fold(Taken::default(), Taken::and),
        }
    }
}

impl Report {
    pub(super) fn new(
        args: &ProtectArgs,
        how: &How,
        manifest: &Manifest,
        tensors: Vec<Row>,
    ) -> Self {
        let model_sha256 = match how {
            How::Planned(Planned { plan, .. }) => Some(plan.model.clone()),
            How::Alike { .. } => None,
        };
        Self {
            schema: 1,
            model: args.model.display().to_string(),
            model_sha256,
            weights_sha256: manifest.model.sha256.to_string(),
            plan: args.plan.as_ref().map(|plan| plan.display().to_string()),
            plan_sha256: manifest.plan_sha256.to_string(),
            stored: args.out.display().to_string(),
            flips: measure::flips(how.flips()),
            scheme: how.to_string(),
            total: tensors.iter().map(|row| row.bits).fold(Taken::default(), Taken::and),
            tensors,
        }
    }

    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let header = [
            "tensor",
            "stored as",
            "groups",
            "weights",
            "stored",
            "check",
            "protected",
            "metadata",
        ];
        let cells = |name: &str, how: &str, bits: Taken| {
            [name.to_owned(), how.to_owned()].into_iter().chain(bits.cells()).collect()
        };
        let rows = self.tensors.iter().map(|row| cells(&row.tensor, &row.stored_as, row.bits));
        let rows = rows.chain([cells("all", "", self.total)]);
        format!("{}\n\n{}\n", table(header, 2, rows), self.answer())
    }

    fn answer(&self) -> String {
        let Taken { weights, stored_bits, metadata_bits, .. } = self.total;
        let a_weight = (stored_bits + metadata_bits) as f64 / weights as f64;
        format!(
            "{} bits in the memory and {} beside it, {a_weight:.2} a weight; {} for p = {}.",
            grouped(stored_bits),
            grouped(metadata_bits),
            if self.plan.is_some() { "planned" } else { "meant" },
            self.flips,
        )
    }
}

/// The ways in which groups are stored, each with the widths that it has.
fn how_stored(groups: &[&dyn WeightStorage]) -> String {
    let (mut words, mut codebooks, mut blocks) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut others = false;
    for group in groups {
        match group.stored_as() {
            StoredAs::Quantized { bits, .. } => words.insert(bits),
            StoredAs::Codebook { width, .. } => codebooks.insert(width),
            StoredAs::BlockCoded { rate } => blocks.insert(rate),
            _ => std::mem::replace(&mut others, true),
        };
    }
    let told = |what: &str, widths: &BTreeSet<u32>| {
        let (first, last) = (widths.first()?, widths.last()?);
        Some(if first == last {
            format!("{what}:{first}")
        } else {
            format!("{what}:{first}-{last}")
        })
    };
    let all = [
        told("words", &words),
        told("codebook", &codebooks),
        told("blocks", &blocks),
        others.then(|| "others".to_owned()),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
