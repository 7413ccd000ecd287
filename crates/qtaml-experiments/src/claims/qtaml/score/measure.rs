//! Accuracy along the budget where layers are ranked by different scores, and the gap between two.

use anyhow::{Context as _, Result};
use qtaml::compensation::allocation::Selection;
use qtaml::compensation::{Accounting, Score};
use qtaml::deploy::scheme::{Allocator, Scheme};
use qtaml::fault::Seed;
use serde::Serialize;

use super::BUDGETS;
use crate::bench::{Bench, Stored, on_bench};
use crate::context::Context;
use crate::stats::{Mean, Paired, mean};
use crate::workloads::networks::Net;

/// Patterns that the gap is measured on are not those that chose where.
const FRESH: u32 = 1 << 20;

/// Where these are among the scores.
const WKB: usize = 0;
const MAGNITUDES: [usize; 2] = [1, 2];

/// All numbers of one network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) net: Net,
    pub(super) clean: f64,
    /// Fault patterns behind the gap, and behind a point of a curve.
    pub(super) patterns: u32,
    pub(super) few: u32,
    pub(super) curves: Vec<Curve>,
    pub(super) gap: Gap,
}

/// Accuracy along the budget axis where layers are ranked by one score.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Curve {
    /// The score without its seed.
    pub(super) score: String,
    /// By budget.
    pub(super) accuracy: Vec<Mean>,
}

/// The largest gap as fresh patterns see it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Gap {
    /// Which of the budgets.
    pub(super) budget: usize,
    /// Which of the curves is the better magnitude there.
    pub(super) against: usize,
    pub(super) paired: Paired,
    /// Under the patterns that chose the largest.
    pub(super) along: Along,
}

/// How far WKB is ahead of the better of the two magnitudes, budget by budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Along {
    /// The budget where it is farthest, and the magnitude that is the better one there.
    pub(super) largest: (usize, usize),
    /// The mean over all budgets.
    pub(super) everywhere: f64,
    /// The smallest gap, and its budget.
    pub(super) smallest: (f64, usize),
}

impl Along {
    /// From mean accuracies by budget: WKB's, and those of the two magnitudes.
    fn new(wkb: &[f64], magnitudes: [&[f64]; 2]) -> Result<Self> {
        let [max, mean] = magnitudes;
        let better: Vec<usize> =
            max.iter().zip(mean).map(|(max, mean)| usize::from(mean > max)).collect();
        let gaps: Vec<f64> = (0..wkb.len()).map(|i| wkb[i] - magnitudes[better[i]][i]).collect();
        let by_gap = |a: &usize, b: &usize| gaps[*a].total_cmp(&gaps[*b]);
        let largest = (0..gaps.len()).max_by(by_gap).context("no budgets")?;
        let smallest = (0..gaps.len()).min_by(by_gap).context("no budgets")?;
        Ok(Self {
            largest: (largest, better[largest]),
            everywhere: gaps.iter().sum::<f64>() / gaps.len() as f64,
            smallest: (gaps[smallest], smallest),
        })
    }
}

fn scores(seed: Seed) -> [Score; 6] {
    [
        Score::Wkb,
        Score::MagnitudeMax,
        Score::MagnitudeMean,
        Score::Jacobian,
        Score::Random(seed),
        Score::Measured,
    ]
}

/// The network with its layers ranked by one score, and what it keeps at each budget.
struct Ranked {
    stored: Stored,
    selections: Vec<Selection>,
    curve: Curve,
}

impl Ranked {
    fn new(bench: &Bench<'_>, score: Score) -> Result<Self> {
        let scheme = Scheme { allocator: Allocator::Tac(score), ..Scheme::tac() };
        let stored =
            bench.store(&scheme, bench.net.flip_probability(), Accounting::ProtectedBits)?;
        let (mut selections, mut accuracy) = (Vec::new(), Vec::new());
        for share in BUDGETS {
            let budget = (share * stored.weight_bits()) as u64;
            let allocation = stored.path().within(budget)?;
            let selection = allocation.selection().clone();
            accuracy.push(mean(&bench.accuracies(&stored, &selection, 0..bench.few)?)?);
            selections.push(selection);
        }
        let score = match score {
            Score::Random(_) => "random".into(),
            score => score.to_string(),
        };
        Ok(Self { stored, selections, curve: Curve { score, accuracy } })
    }

    fn means(&self) -> Vec<f64> {
        self.curve.accuracy.iter().map(|mean| mean.value).collect()
    }
}

/// The largest gap; chosen on some patterns and measured on others.
fn gap(bench: &Bench<'_>, ranked: &[Ranked]) -> Result<Gap> {
    let [max, mean] = MAGNITUDES.map(|magnitude| ranked[magnitude].means());
    let along = Along::new(&ranked[WKB].means(), [&max, &mean])?;
    let (budget, against) = (along.largest.0, MAGNITUDES[along.largest.1]);
    let fresh = |curve: usize| {
        let Ranked { stored, selections, .. } = &ranked[curve];
        bench.accuracies(stored, &selections[budget], FRESH..FRESH + bench.patterns)
    };
    let paired = Paired::new(&fresh(WKB)?, &fresh(against)?)?;
    Ok(Gap { budget, against, paired, along })
}

/// Measures one network.
pub(super) fn measure(context: &Context, net: Net) -> Result<Measured> {
    on_bench(context, net, |bench| {
        let task = context.progress.task(&format!("{} scores", net.id()), 6);
        let ranked = scores(context.seed).into_iter().map(|score| {
            let ranked = Ranked::new(bench, score)?;
            task.tick(1);
            Ok(ranked)
        });
        let ranked = ranked.collect::<Result<Vec<_>>>()?;
        Ok(Measured {
            net,
            clean: bench.judges.clean,
            patterns: bench.patterns,
            few: bench.few,
            gap: gap(bench, &ranked)?,
            curves: ranked.into_iter().map(|ranked| ranked.curve).collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_to_the_better_magnitude_of_each_budget() {
        let wkb = [0.5, 0.75, 1.0];
        let [max, mean] = [[0.25, 0.5, 1.0], [0.5, 0.0, 0.5]];
        let along = Along::new(&wkb, [&max, &mean]).unwrap();
        // 0 to the mean, 0.25 to the largest, 0 to the largest.
        assert_eq!(along.largest, (1, 0));
        assert!((along.everywhere - 0.25 / 3.0).abs() < 1e-12);
        assert_eq!(along.smallest, (0.0, 0));

        let behind = Along::new(&[0.0, 0.25], [&[0.5, 0.25], &[0.25, 1.0]]).unwrap();
        assert_eq!((behind.largest, behind.smallest), ((0, 0), (-0.75, 1)));
        assert!(Along::new(&[], [&[], &[]]).is_err());
    }

    #[test]
    fn scores_are_where_they_are_looked_for() {
        let scores = scores(Seed(1));
        assert_eq!(scores[WKB], Score::Wkb);
        assert_eq!(MAGNITUDES.map(|i| scores[i]), [Score::MagnitudeMax, Score::MagnitudeMean]);
    }
}
