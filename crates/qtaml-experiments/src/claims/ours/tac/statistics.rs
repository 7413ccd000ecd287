//! What recalibration is worth with statistics of another read, and what it keeps.

use anyhow::{Context as _, Result};
use qtaml::deploy::Recalibration;
use serde::Serialize;

use super::measure::{Measured, Trial};
use super::present::id;
use crate::bench::{Bench, CalibrationImages, Statistics};
use crate::results::{Table, Value};
use crate::stats::{Mean, mean};

/// One scheme with recalibration, with statistics from everywhere.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Recalibrated {
    /// The scheme.
    pub(super) scheme: String,
    /// Mean accuracy, by [`Statistics::ALL`].
    pub(super) accuracy: [Mean; 3],
    /// Fault patterns behind each.
    pub(super) patterns: u32,
    /// What is kept for it.
    pub(super) images: CalibrationImages,
    /// The bits of all weights.
    weight_bits: f64,
}

impl Recalibrated {
    /// The scheme that needs least of those that recalibrate: the best of all, if it does.
    pub(super) fn new(bench: &Bench<'_>, trials: &[Trial]) -> Result<Self> {
        let repairs = |trial: &&Trial| trial.tried.scheme.recalibration != Recalibration::None;
        let trial = trials.iter().filter(repairs).min_by(|a, b| {
            let missed = a.tried.search().missed.cmp(&b.tried.search().missed);
            missed.then(a.tried.overhead().total_cmp(&b.tried.overhead()))
        });
        let Trial { stored, tried } = trial.context("no scheme recalibrates")?;
        let selection = &tried.search().selection;
        let of = |statistics| {
            mean(&bench.accuracies_with(statistics, stored, selection, 0..bench.few)?)
        };
        let [fresh, stale, none] = Statistics::ALL.map(of);
        Ok(Self {
            scheme: tried.scheme.to_string(),
            accuracy: [fresh?, stale?, none?],
            patterns: bench.few,
            images: bench.calibration_images,
            weight_bits: tried.weight_bits,
        })
    }

    /// Bits of the images over those of all weights.
    pub(super) fn share_of_images(&self) -> f64 {
        self.images.bits as f64 / self.weight_bits
    }
}

pub(super) fn method(measured: &Measured) -> String {
    let Recalibrated { scheme, accuracy, patterns, images, .. } = &measured.recalibrated;
    let [fresh, stale, none] = accuracy.map(|mean| 100.0 * mean.value / measured.clean);
    format!(
        "Recalibration repairs one read: its statistics are those of the faults that were just read, so that a device \
         needs the calibration images and a forward pass over them after every read. What that is worth is seen on \
         “{scheme}”, the scheme with recalibration that needs least, with the bits that it protects: {fresh:.1} % of \
         clean with fresh statistics, {stale:.1} % with those of another fault pattern, {none:.1} % without any, each \
         under {patterns} patterns. It keeps {} images, {:.1} % of all weight bits at eight bits a pixel, which no other \
         number here counts.",
        images.count,
        100.0 * measured.recalibrated.share_of_images(),
    )
}

pub(super) fn table(measured: &Measured) -> Table {
    let recalibrated = &measured.recalibrated;
    let columns = [
        "statistics of recalibration",
        "accuracy [% of clean]",
        "low",
        "high",
        "calibration images",
        "their bits [% of all weight bits]",
        "patterns",
    ];
    let row = |(statistics, accuracy): (Statistics, &Mean)| -> Vec<Value> {
        let [images, bits]: [Value; 2] = if statistics == Statistics::None {
            [0_usize.into(), 0.0.into()]
        } else {
            [recalibrated.images.count.into(), (100.0 * recalibrated.share_of_images()).into()]
        };
        let share = |accuracy: f64| Value::from(100.0 * accuracy / measured.clean);
        vec![
            statistics.label().into(),
            share(accuracy.value),
            share(accuracy.interval[0]),
            share(accuracy.interval[1]),
            images,
            bits,
            recalibrated.patterns.into(),
        ]
    };
    Table {
        id: id(measured, "statistics"),
        title: format!("What stale statistics are worth: “{}”", recalibrated.scheme),
        columns: columns.map(String::from).to_vec(),
        rows: Statistics::ALL.into_iter().zip(&recalibrated.accuracy).map(row).collect(),
        in_report: true,
    }
}
