//! The number of stored bits that a scheme needs.

use anyhow::Result;
use serde::Serialize;

use crate::bench::budget::{Found, judge, smallest};
use crate::bench::code::kind;
use crate::bench::reading::Leakage;
use crate::bench::{Bench, Stored};
use qtaml::deploy::scheme::Scheme;

/// A scheme under trial.
pub(super) struct Trial {
    pub(super) stored: Stored,
    pub(super) search: Found,
}

impl Trial {
    /// A scheme that is tried under more patterns than the others is one that is judged.
    pub(super) fn new(bench: &Bench<'_>, stored: Stored, patterns: u32) -> Result<Self> {
        let search = if patterns > bench.few {
            judge(bench, &stored, patterns)?
        } else {
            smallest(bench, &stored, patterns)?
        };
        Ok(Self { stored, search })
    }

    pub(super) fn needed(&self) -> Needed {
        Needed {
            scheme: self.stored.scheme.clone(),
            p: self.stored.flips.most(),
            leakage: Leakage::of(self.stored.flips),
            bits: self.stored.bits_a_weight(self.search.cost as f64),
            missed: self.search.missed,
            fresh: self.search.fresh.value,
            above: self.search.devices_above(),
            patterns: self.search.patterns.count,
        }
    }

    /// Where its bits go.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let groups = self.stored.model.groups().iter().zip(&self.search.selection);
        let layers = groups.map(|(group, &choice)| {
            let storage = &group.candidates[choice as usize];
            let bits = storage.stored_bits() + storage.metadata_bits();
            Layer {
                name: group.group.name.clone(),
                weights: storage.weights(),
                kind: kind(storage.stored_as()),
                bits: bits as f64 / storage.weights() as f64,
            }
        });
        layers.collect()
    }
}

/// The least storage with which a scheme keeps 95 % of clean accuracy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Needed {
    pub(super) scheme: Scheme,
    /// The flip probability of the memory.
    pub(super) p: f64,
    /// Which way its bits leak.
    pub(super) leakage: Leakage,
    /// Stored bits per weight, everything included.
    pub(super) bits: f64,
    /// Whether even these are too few.
    pub(super) missed: bool,
    /// Accuracy under patterns that chose nothing.
    pub(super) fresh: f64,
    /// The share of devices that keep the target.
    pub(super) above: Option<f64>,
    /// Fault patterns behind it.
    pub(super) patterns: u32,
}

/// How a layer is stored.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) weights: usize,
    pub(super) kind: &'static str,
    /// Stored bits per weight, everything included.
    pub(super) bits: f64,
}
