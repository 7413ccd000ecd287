//! Accuracy along the budget where layers are ranked by different scores, and the gap between two.

use anyhow::{Context as _, Result};
use qtaml::compensation::{Accounting, Score};
use qtaml::deploy::scheme::{Allocator, Scheme};
use qtaml::fault::Seed;
use serde::Serialize;

use super::BUDGETS;
use crate::bench::{Bench, on_replicate};
use crate::context::Context;
use crate::stats::{Look, Mean, mean, mean_at};
use crate::workloads::networks::{Net, Replicate};

/// Where these are among the scores.
const WKB: usize = 0;
const MAGNITUDES: [usize; 2] = [1, 2];

/// All numbers of one network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) net: Net,
    pub(super) look: Look,
    /// Clean accuracy of the first training.
    pub(super) clean: f64,
    /// Fault patterns behind a point of a curve.
    pub(super) patterns: u32,
    /// Of the first training.
    pub(super) curves: Vec<Curve>,
    pub(super) gaps: Gaps,
}

/// Accuracy along the budget axis where layers are ranked by one score.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Curve {
    /// The score without its seed.
    pub(super) score: String,
    /// By budget.
    pub(super) accuracy: Vec<Mean>,
}

/// How far WKB is ahead of the better of the two magnitudes, in points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Gaps {
    /// In the mean over all budgets, with its interval over trainings.
    pub(super) everywhere: Mean,
    /// By budget, in the mean over trainings.
    pub(super) along: Vec<f64>,
    /// The better magnitude of each budget, among the scores.
    pub(super) against: Vec<usize>,
    pub(super) trainings: usize,
}

impl Gaps {
    /// From mean accuracies, training by training: WKB's and those of the two magnitudes by budget.
    fn new(trainings: &[[Vec<f64>; 3]], level: f64) -> Result<Self> {
        let budgets = trainings.first().context("no trainings")?[0].len();
        let mean_of = |score: usize, budget: usize| {
            let values = trainings.iter().map(|training| training[score][budget]);
            values.sum::<f64>() / trainings.len() as f64
        };
        // The better one in the mean over trainings: which one it is hangs on no single training.
        let better = |budget| if mean_of(2, budget) > mean_of(1, budget) { 2 } else { 1 };
        let against: Vec<usize> = (0..budgets).map(better).collect();
        let gap = |training: &[Vec<f64>; 3], budget: usize| {
            100.0 * (training[0][budget] - training[against[budget]][budget])
        };
        let mean_gap = |training: &[Vec<f64>; 3]| {
            (0..budgets).map(|budget| gap(training, budget)).sum::<f64>() / budgets as f64
        };
        let along = |budget| {
            let gaps = trainings.iter().map(|training| gap(training, budget));
            gaps.sum::<f64>() / trainings.len() as f64
        };
        Ok(Self {
            everywhere: mean_at(&trainings.iter().map(mean_gap).collect::<Vec<_>>(), level)?,
            along: (0..budgets).map(along).collect(),
            against: against.iter().map(|score| MAGNITUDES[score - 1]).collect(),
            trainings: trainings.len(),
        })
    }

    fn by_gap(&self) -> impl Fn(&usize, &usize) -> std::cmp::Ordering {
        |a, b| self.along[*a].total_cmp(&self.along[*b])
    }

    /// The budget where WKB is farthest ahead.
    pub(super) fn largest(&self) -> usize {
        (0..self.along.len()).max_by(self.by_gap()).unwrap_or(0)
    }

    /// That where magnitudes are: what the claim would show with its roles swapped.
    pub(super) fn smallest(&self) -> usize {
        (0..self.along.len()).min_by(self.by_gap()).unwrap_or(0)
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

/// What a network keeps at each budget where its layers are ranked by one score.
fn curve(bench: &Bench<'_>, score: Score) -> Result<Curve> {
    let scheme = Scheme { allocator: Allocator::Tac(score), ..Scheme::tac() };
    let stored = bench.store(&scheme, bench.net.flip_probability(), Accounting::ProtectedBits)?;
    let path = stored.path();
    let accuracy = BUDGETS.iter().map(|share| {
        let budget = (share * stored.weight_bits()) as u64;
        let allocation = path.within(budget)?;
        mean(&bench.accuracies(&stored, allocation.selection(), 0..bench.few)?)
    });
    let name = match score {
        Score::Random(_) => "random".into(),
        score => score.to_string(),
    };
    Ok(Curve { score: name, accuracy: accuracy.collect::<Result<_>>()? })
}

impl Curve {
    fn means(&self) -> Vec<f64> {
        self.accuracy.iter().map(|mean| mean.value).collect()
    }
}

/// Measures one network.
pub(super) fn measure(context: &Context, net: Net, look: Look) -> Result<Measured> {
    let compared = [WKB, MAGNITUDES[0], MAGNITUDES[1]];
    let trainings = look.trainings;
    let task = context.progress.task(&format!("{} scores", net.id()), trainings as u64 + 1);
    let mut gaps = Vec::new();
    for replicate in Replicate::first(trainings) {
        gaps.push(on_replicate(context, net, replicate, |bench| {
            let scores = scores(context.seed);
            let [wkb, max, mean] =
                compared.map(|score| Ok::<_, anyhow::Error>(curve(bench, scores[score])?.means()));
            Ok([wkb?, max?, mean?])
        })?);
        task.tick(1);
    }
    on_replicate(context, net, Replicate::FIRST, |bench| {
        let curves = scores(context.seed).into_iter().map(|score| curve(bench, score));
        let curves = curves.collect::<Result<_>>()?;
        task.tick(1);
        let (clean, patterns) = (bench.judges.clean, bench.few);
        Ok(Measured { net, clean, patterns, curves, gaps: Gaps::new(&gaps, look.level)?, look })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_to_the_better_magnitude_of_each_budget() {
        let training = |by: f64| {
            [vec![0.5 + by, 0.75 + by, 1.0 + by], vec![0.25, 0.5, 1.0], vec![0.5, 0.0, 0.5]]
        };
        let gaps = Gaps::new(&[training(-0.01), training(0.01)], 0.05).unwrap();
        // 0 to the mean, 25 points to the largest, 0 to the largest.
        assert_eq!(gaps.against, [MAGNITUDES[1], MAGNITUDES[0], MAGNITUDES[0]]);
        assert_eq!((gaps.largest(), gaps.along[1].round()), (1, 25.0));
        assert!((gaps.everywhere.value - 25.0 / 3.0).abs() < 1e-9);
        // Trainings differ by two points; the quantile of Student's t is 12.7.
        let half = gaps.everywhere.interval[1] - gaps.everywhere.value;
        assert!((half - 12.706_205).abs() < 1e-4, "{half}");
        assert!(gaps.along[gaps.smallest()].abs() < 1e-9);
        assert!(Gaps::new(&[], 0.05).is_err());
    }

    #[test]
    fn scores_are_where_they_are_looked_for() {
        let scores = scores(Seed(1));
        assert_eq!(scores[WKB], Score::Wkb);
        assert_eq!(MAGNITUDES.map(|i| scores[i]), [Score::MagnitudeMax, Score::MagnitudeMean]);
    }
}
