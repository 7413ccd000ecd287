//! How many stored bits a scheme needs.

use anyhow::Result;
use qtaml::train::Classifier;

use super::Measured;
use crate::claims::networks::Net;
use crate::claims::tac::TARGET;
use crate::claims::tac::bench::{Bench, Stored};
use crate::claims::tac::budget::{Search, judge, smallest};
use crate::results::{Table, Value};

/// The least storage with which a scheme keeps 95 % of clean accuracy.
pub(super) struct Needed<M> {
    pub(super) stored: Stored<M>,
    pub(super) search: Search,
}

impl<M: Classifier> Needed<M> {
    /// A scheme that is tried under more patterns than the others is one that is judged.
    pub(super) fn new(
        bench: &Bench<'_, M>,
        stored: Stored<M>,
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
        cost as f64 / self.stored.network.weights() as f64
    }

    /// The same in words.
    pub(super) fn in_words(&self) -> String {
        let missed = if self.search.missed { "not reached with " } else { "" };
        format!("{missed}{:.2}", self.bits())
    }
}

pub(super) fn table<M: Classifier>(measured: &Measured<'_, M>) -> Table {
    let columns = [
        "flip probability",
        "training",
        "scheme",
        "stored bits per weight",
        "accuracy, unseen patterns [% of clean]",
        "fault patterns",
    ];
    let row = |(training, needed): (&str, &Needed<M>)| -> Vec<Value> {
        let (bits, search) = (needed.bits(), &needed.search);
        vec![
            needed.stored.p.into(),
            training.into(),
            needed.stored.scheme.to_string().into(),
            if search.missed { needed.in_words().into() } else { bits.into() },
            (100.0 * search.fresh / measured.clean).into(),
            search.patterns.into(),
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
pub(super) fn layers<M: Classifier>(net: Net, codec: &Needed<M>) -> Table {
    let Needed { stored, search, .. } = codec;
    let columns = ["layer", "weights", "stored as", "stored bits per weight"];
    let rows = stored.network.units().iter().zip(&search.chosen).map(|(unit, &choice)| {
        let storage = &unit.storages()[choice as usize];
        let (weights, bits) = (storage.weights(), storage.stored_bits() + storage.side_bits());
        vec![
            unit.unit().name.as_str().into(),
            weights.into(),
            stored.scheme.code.name(choice).into(),
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
