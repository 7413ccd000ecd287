//! The number of stored bits that a scheme needs.

use anyhow::Result;

use super::Measured;
use crate::claims::tac::TARGET;
use crate::claims::tac::bench::{Bench, Stored};
use crate::claims::tac::budget::{Found, judge, smallest};
use crate::claims::tac::code::kind;
use crate::results::{Table, Value};
use crate::workloads::networks::Net;

/// The least storage with which a scheme keeps 95 % of clean accuracy.
pub(super) struct Needed {
    pub(super) stored: Stored,
    pub(super) search: Found,
}

impl Needed {
    /// A scheme that is tried under more patterns than the others is one that is judged.
    pub(super) fn new(
        bench: &Bench<'_>,
        stored: Stored,
        clean: f64,
        patterns: u32,
    ) -> Result<Self> {
        let (target, whole) = (TARGET * clean, [0, stored.path().len() - 1]);
        let search = if patterns > bench.few {
            judge(bench, &stored, target, patterns, whole)?
        } else {
            smallest(bench, &stored, target, patterns)?
        };
        Ok(Self { stored, search })
    }

    /// Stored bits per weight, everything included.
    pub(super) fn bits(&self) -> f64 {
        self.per_weight(self.search.cost)
    }

    pub(super) fn per_weight(&self, cost: u64) -> f64 {
        cost as f64 / self.stored.model.weights() as f64
    }

    /// The same in words.
    pub(super) fn in_words(&self) -> String {
        let missed = if self.search.missed { "not reached with " } else { "" };
        format!("{missed}{:.2}", self.bits())
    }
}

pub(super) fn table(measured: &Measured<'_>) -> Table {
    let columns = [
        "flip probability",
        "training",
        "scheme",
        "stored bits per weight",
        "accuracy, unseen patterns [% of clean]",
        "fault patterns",
    ];
    let row = |(training, needed): (&str, &Needed)| -> Vec<Value> {
        let (bits, search) = (needed.bits(), &needed.search);
        vec![
            needed.stored.p.into(),
            training.into(),
            needed.stored.scheme.to_string().into(),
            if search.missed { needed.in_words().into() } else { bits.into() },
            (100.0 * search.fresh.value / measured.clean).into(),
            search.patterns.count.into(),
        ]
    };
    let plain = measured.needed.iter().map(|needed| ("plain", needed));
    let hardened = measured.hardened.needed.iter().map(|needed| ("bit errors", needed));
    Table {
        id: format!("ours.codec.{}.needed", measured.bench.net.id()),
        title: "Smallest storage that keeps 95 % of clean accuracy, everything counted".into(),
        columns: columns.map(String::from).to_vec(),
        rows: plain.chain(hardened).map(row).collect(),
        in_report: true,
    }
}

/// Where the bits of the codec go.
pub(super) fn layers(net: Net, codec: &Needed) -> Table {
    let Needed { stored, search, .. } = codec;
    let columns = ["layer", "weights", "stored as", "stored bits per weight"];
    let rows = stored.model.groups().iter().zip(&search.selection).map(|(unit, &choice)| {
        let storage = &unit.candidates[choice as usize];
        let (weights, bits) = (storage.weights(), storage.stored_bits() + storage.metadata_bits());
        vec![
            unit.group.name.as_str().into(),
            weights.into(),
            kind(storage.stored_as()).into(),
            (bits as f64 / weights as f64).into(),
        ]
    });
    Table {
        id: format!("ours.codec.{}.layers", net.id()),
        title: format!("Where “{}” spends its bits at p = {}", stored.scheme, stored.p),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}
