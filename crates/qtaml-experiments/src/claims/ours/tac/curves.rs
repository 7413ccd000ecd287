//! The numbers behind the figures of one network, and its layers.

use anyhow::Result;
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder, Score};
use qtaml::deploy::Recalibration;
use qtaml::deploy::scheme::{Allocator, Scheme};
use serde::Serialize;

use super::measure::Trial;
use super::{BUDGETS, SWEEP};
use crate::bench::{Bench, Level};

/// A curve and its name.
type NamedPoints = (String, Vec<(f64, f64)>);

/// Everything that is drawn.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Curves {
    /// Accuracy along the budget, in percent of all bits: of the baseline, of the baseline that reads
    /// as the best, of TAC as derived, and of the best.
    pub(super) budget: [Vec<Level>; 4],
    /// Accuracy over flip probabilities.
    pub(super) sweep: Sweep,
    /// The names of the tensors.
    pub(super) tensors: Vec<String>,
    /// For each tensor, the share of its weights by protected bits, in the best.
    pub(super) protection: Vec<Vec<f64>>,
    /// Squared change of the output when one group alone is exposed, with the number of the group:
    /// to first order and measured, both raw, and to first order with the best decoder.
    pub(super) sensitivity: [Vec<(f64, f64)>; 3],
    /// By scheme, the output noise that is predicted and the one that was measured.
    pub(super) noise: Vec<NamedPoints>,
}

impl Curves {
    /// Of the baseline, the baseline that reads as the best, TAC as derived, and the best.
    pub(super) fn new(bench: &Bench<'_>, named: [&Trial; 4]) -> Result<Self> {
        let [baseline, _, _, best] = named;
        let tensors = tensors(best);
        Ok(Self {
            budget: along_budgets(bench, named)?,
            sweep: Sweep::new(bench, baseline, best)?,
            protection: protection(best, &tensors),
            tensors,
            sensitivity: sensitivity(bench)?,
            noise: noise(bench, best)?,
        })
    }
}

fn along_budgets(bench: &Bench<'_>, named: [&Trial; 4]) -> Result<[Vec<Level>; 4]> {
    let task = bench.context.progress.task(&format!("{} curves", bench.net.id()), 4);
    let mut curves: [Vec<Level>; 4] = Default::default();
    for (curve, trial) in curves.iter_mut().zip(named) {
        *curve = along_budget(bench, trial)?;
        task.tick(1);
    }
    Ok(curves)
}

fn along_budget(bench: &Bench<'_>, Trial { stored, tried }: &Trial) -> Result<Vec<Level>> {
    let (path, bits) = (stored.path(), stored.weight_bits());
    let mut steps: Vec<usize> = if stored.scheme.allocator == Allocator::Uniform {
        (0..path.len()).collect()
    } else {
        let within = |share: &f64| path.step_within((share * bits) as u64);
        BUDGETS.iter().map(within).collect::<Result<_, _>>()?
    };
    steps.push(tried.search().step);
    steps.sort_unstable();
    steps.dedup();
    let level = |&step: &usize| {
        let allocation = path.at(step);
        let accuracy = bench.accuracies(stored, allocation.selection(), 0..bench.drawn)?;
        Level::new(100.0 * path.cost(step) as f64 / bits, &accuracy)
    };
    steps.iter().map(level).collect()
}

/// Accuracy over flip probabilities: without protection, and with that of a fixed budget.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sweep {
    /// The baseline, with nothing protected and with one bit in eight.
    pub(super) baseline: [Vec<Level>; 2],
    /// The best, with nothing protected and with what it needs at the network's flip probability.
    pub(super) best: [Vec<Level>; 2],
}

impl Sweep {
    fn new(bench: &Bench<'_>, baseline: &Trial, best: &Trial) -> Result<Self> {
        let eighth = baseline.stored.weight_bits() as u64 / 8;
        Ok(Self {
            baseline: exposed_and_protected(bench, &Scheme::uniform(), eighth)?,
            best: exposed_and_protected(bench, &best.tried.scheme, best.tried.search().cost)?,
        })
    }
}

fn exposed_and_protected(
    bench: &Bench<'_>,
    scheme: &Scheme,
    budget: u64,
) -> Result<[Vec<Level>; 2]> {
    let sweep = &SWEEP[..bench.context.size(SWEEP.len(), 2)];
    let name = format!("{} sweep, {}", bench.net.id(), scheme.decoder);
    let task = bench.context.progress.task(&name, sweep.len() as u64);
    let mut levels = [Vec::new(), Vec::new()];
    for &p in sweep {
        let stored = bench.store(scheme, p, Accounting::ProtectedBits)?;
        let path = stored.path();
        for (levels, budget) in levels.iter_mut().zip([0, budget]) {
            let chosen = path.at(path.step_within(budget)?);
            let accuracy = bench.accuracies(&stored, chosen.selection(), 0..bench.drawn)?;
            levels.push(Level::new(p, &accuracy)?);
        }
        task.tick(1);
    }
    Ok(levels)
}

/// The tensors of a network, in order.
fn tensors(trial: &Trial) -> Vec<String> {
    let groups = trial.stored.model.groups().iter();
    let mut names: Vec<String> = groups.map(|stored| stored.tensor.to_string()).collect();
    names.dedup();
    names
}

fn protection(best: &Trial, tensors: &[String]) -> Vec<Vec<f64>> {
    let most = best.tried.scheme.bits.get() as usize;
    let of_tensor = |name: &String| {
        let mut weights = vec![0.0; most + 1];
        for (group, &k) in best.stored.model.groups().iter().zip(&best.tried.search().selection) {
            if *group.tensor == **name {
                weights[k as usize] += group.group.len() as f64;
            }
        }
        let all: f64 = weights.iter().sum();
        weights.iter().map(|w| w / all).collect()
    };
    tensors.iter().map(of_tensor).collect()
}

fn sensitivity(bench: &Bench<'_>) -> Result<[Vec<(f64, f64)>; 3]> {
    let measured = Scheme { allocator: Allocator::Tac(Score::Measured), ..Scheme::tac() };
    let decoded =
        Scheme { decoder: Decoder::BayesGain, scale: ScalePolicy::MinMse, ..Scheme::tac() };
    let mut all: [Vec<(f64, f64)>; 3] = Default::default();
    for (groups, scheme) in all.iter_mut().zip([Scheme::tac(), measured, decoded]) {
        let p = bench.net.flip_probability();
        let stored = bench.store(&scheme, p, Accounting::ProtectedBits)?;
        let exposed = |group: usize| stored.problem.candidates(group)[0].distortion;
        let each = (0..stored.problem.len()).map(|group| (exposed(group), group as f64));
        *groups = each.filter(|(change, _)| *change > 0.0).collect();
    }
    Ok(all)
}

/// Of TAC as derived, and of the best with the linear score and without repairs.
fn noise(bench: &Bench<'_>, best: &Trial) -> Result<Vec<NamedPoints>> {
    let linear = Scheme {
        allocator: Allocator::Tac(Score::Wkb),
        recalibration: Recalibration::None,
        ..best.tried.scheme.clone()
    };
    let mut noise = Vec::new();
    for scheme in [Scheme::tac(), linear] {
        let stored =
            bench.store(&scheme, bench.net.flip_probability(), Accounting::ProtectedBits)?;
        let (path, bits) = (stored.path(), stored.weight_bits());
        let mut points = Vec::new();
        for share in &BUDGETS[..bench.context.size(BUDGETS.len(), 3)] {
            let step = path.step_within((share * bits) as u64)?;
            let measured = bench.output_noise(&stored, path.at(step).selection())?;
            if path.distortion(step) > 0.0 && measured > 0.0 {
                points.push((path.distortion(step), measured));
            }
        }
        noise.push((scheme.to_string(), points));
    }
    Ok(noise)
}

/// One layer: what TAC knows of it, and what it gets.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) weights: usize,
    pub(super) largest: f64,
    /// Squared norm of the Jacobian, and its standard error.
    pub(super) jacobian: f64,
    pub(super) jacobian_error: f64,
    /// Mean square error of a weight that is not protected.
    pub(super) mean_square_error: f64,
    /// Protected bits of a weight in TAC as derived, and in the mean in the best.
    pub(super) bits: u32,
    pub(super) best_bits: f64,
}

/// The layers of the network.
pub(super) fn layers(bench: &Bench<'_>, tac: &Trial, best: &Trial) -> Result<Vec<Layer>> {
    let norms = bench.norms(tac.stored.scheme.granularity)?;
    let groups = tac.stored.model.groups().iter().zip(&*norms).zip(&tac.tried.search().selection);
    let layers = groups.map(|((group, norm), &k)| {
        let of_layer = best.stored.model.groups().iter().zip(&best.tried.search().selection);
        let of_layer = of_layer.filter(|(part, _)| part.tensor == group.tensor);
        let bits: usize = of_layer.map(|(part, &k)| part.group.len() * k as usize).sum();
        Layer {
            name: group.group.name.clone(),
            weights: group.group.len(),
            largest: group.largest,
            jacobian: norm.squared,
            jacobian_error: norm.standard_error,
            mean_square_error: group.candidates[0].mean_square_error(),
            bits: k,
            best_bits: bits as f64 / group.group.len() as f64,
        }
    });
    Ok(layers.collect())
}
