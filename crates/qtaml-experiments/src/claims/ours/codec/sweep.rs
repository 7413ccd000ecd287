//! Accuracy with eight stored bits a weight, over the flip probability.

use anyhow::Result;
use qtaml::compensation::{Accounting, Score};
use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};

use super::coded::Coded;
use super::{P, schemes};
use crate::claims::tac::bench::{Bench, Stored};
use crate::claims::tac::scheme::{Allocator, Scheme};
use crate::claims::tac::{TARGET, percent};
use crate::results::{Figure, Table, Value};
use crate::workloads::networks::Net;

/// Flip probabilities.
const SWEEP: [f64; 8] = [1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.14, 0.2];
/// Fault patterns behind a point.
const PATTERNS: u32 = 10;
/// Stored bits per weight.
const BITS: u64 = 8;

/// The ways to spend them that are compared.
const WAYS: [&str; 6] = [
    "quantized, raw",
    "quantized, Bayes",
    "the same, 1 bit in 8 ideal",
    "quantized and real codes",
    "codebook (COSQ)",
    "mixed",
];

/// Accuracy in each of these ways. Layers have their linear scores: to measure them at every flip
/// probability would take longer than all trials.
fn points(bench: &Bench<'_>, p: f64) -> Result<Vec<Point>> {
    let linear = |scheme: Scheme| Scheme { allocator: Allocator::Tac(Score::Wkb), ..scheme };
    let [_, numbers, words, any] = schemes(bench)?.map(linear);
    let bayes = Scheme {
        decoder: numbers.decoder,
        scale: numbers.scale,
        recalibration: numbers.recalibration,
        ..Scheme::tac()
    };
    let raw = bench.store(&Scheme::uniform(), p, Accounting::ProtectedBits)?;
    let bayes = bench.store(&bayes, p, Accounting::ProtectedBits)?;
    let Coded { quantized, codebook, mixed } = Coded::new(bench, [&numbers, &words, &any], p)?;
    // Of numbers of eight bits only what is protected has a price: nothing, or one bit in eight.
    let bits = BITS * raw.model.weights();
    let spent = [
        (&raw, 0),
        (&bayes, 0),
        (&bayes, bits / 8),
        (&quantized, bits),
        (&codebook, bits),
        (&mixed, bits),
    ];
    let point = |(stored, budget): (&Stored, u64)| {
        let allocation = stored.path().within(budget)?;
        let patterns = 0..PATTERNS.min(bench.few);
        percent(p, &bench.accuracies(stored, allocation.selection(), patterns)?)
    };
    spent.into_iter().map(point).collect()
}

/// Accuracy over flip probabilities, way by way.
pub(super) struct Sweep {
    curves: Vec<(&'static str, Vec<Point>)>,
}

impl Sweep {
    pub(super) fn new(bench: &Bench<'_>) -> Result<Self> {
        let sweep = if bench.context.smoke { &[P][..] } else { &SWEEP };
        let name = format!("{} at 8 bits", bench.net.id());
        let task = bench.context.progress.task(&name, sweep.len() as u64);
        let mut curves = WAYS.map(|name| (name, Vec::new())).to_vec();
        for &p in sweep {
            for ((_, curve), point) in curves.iter_mut().zip(points(bench, p)?) {
                curve.push(point);
            }
            task.tick(1);
        }
        Ok(Self { curves })
    }

    /// The flip probability at which each falls below the target, if it does.
    pub(super) fn falls(&self, clean: f64) -> Vec<(&'static str, Option<f64>)> {
        let falls = |(name, points): &(_, Vec<Point>)| (*name, falls(points, target(clean)));
        self.curves.iter().map(falls).collect()
    }

    pub(super) fn figure(&self, bench: &Bench<'_>, clean: f64) -> Figure {
        let series = self
            .curves
            .iter()
            .map(|(name, points)| Series::new(name, Mark::LinePoints, points.iter().copied()));
        let repaired = if bench.net.has_batch_norm() {
            " All but the raw weights have their batch norm recalibrated under the faults."
        } else {
            ""
        };
        Figure {
            id: format!("ours.codec.{}.sweep", bench.net.id()),
            title: "Accuracy at eight stored bits per weight".into(),
            caption: format!(
                "Mean over {PATTERNS} fault patterns, with 95 % intervals. \
                 Codes and allocations are made for each flip probability. Numbers have 8 bits, and \
                 their scales beside; one bit in eight that is kept ideally is protection which \
                 nobody pays for. The other three have 8 bits a weight for everything.{repaired}"
            ),
            picture: Chart {
                x: Axis::log10("flip probability per stored bit", ""),
                y: Axis::linear("accuracy", "%").between(0.0, 100.0),
                series: series.collect(),
                rules: vec![Rule::horizontal(target(clean), "95 % of clean")],
            }
            .into(),
        }
    }

    pub(super) fn table(&self, net: Net, clean: f64) -> Table {
        let columns = ["eight stored bits per weight", "keeps 95 % of clean up to p ="];
        let row = |(name, falls): (&'static str, Option<f64>)| {
            let beyond = || format!("beyond {}", SWEEP[SWEEP.len() - 1]).into();
            vec![name.into(), falls.map_or_else(beyond, Value::from)]
        };
        Table {
            id: format!("ours.codec.{}.falls", net.id()),
            title: "How bad the memory may be".into(),
            columns: columns.map(String::from).to_vec(),
            rows: self.falls(clean).into_iter().map(row).collect(),
            in_report: true,
        }
    }
}

/// Accuracy in percent that has to be kept.
fn target(clean: f64) -> f64 {
    100.0 * TARGET * clean
}

/// Where a curve first falls below the target, on a straight line between two points whose flip
/// probabilities are drawn logarithmically.
fn falls(points: &[Point], target: f64) -> Option<f64> {
    let below = points.iter().position(|point| point.y < target)?;
    let (before, after) = (points[below.saturating_sub(1)], points[below]);
    if below == 0 {
        return Some(after.x);
    }
    let share = (before.y - target) / (before.y - after.y);
    Some(before.x * (after.x / before.x).powf(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_falls_between_two_points() {
        let curve = |y: [f64; 3]| -> Vec<Point> {
            [1e-4, 1e-2, 0.1].into_iter().zip(y).map(Point::from).collect()
        };
        assert_eq!(falls(&curve([99.0, 97.0, 96.0]), 95.0), None);
        assert_eq!(falls(&curve([94.0, 97.0, 96.0]), 95.0), Some(1e-4));
        // Half of the way on a logarithmic axis.
        let half = falls(&curve([99.0, 91.0, 96.0]), 95.0).unwrap();
        assert!((half / 1e-3 - 1.0).abs() < 1e-9);
        assert_eq!(falls(&curve([99.0, 95.0, 85.0]), 95.0), Some(1e-2));
    }
}
