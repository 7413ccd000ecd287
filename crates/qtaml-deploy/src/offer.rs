//! Which candidates the groups of a tensor are offered.
//!
//! A model of many channels has many groups, and a scheme may know a hundred ways to store each: quantized words of
//! seven widths, each with any number of protected bits and several codes. Most are never the best for any
//! budget, and the channels of one tensor are alike in that. So a few of them tell which ways are worth while.

use std::collections::BTreeMap;

use qtaml_compensation::allocation::{AllocationProblem, Candidate, GreedyPath};
use qtaml_compensation::storage::{Candidates, GroupWeights, StorageWriter};
use qtaml_compensation::{Accounting, PlanGroup, StorageError};

use crate::planned::is_like;
use crate::{DeployError, StoredModelError, WeightGroup};

/// Groups of a tensor that tell which candidates the others have, evenly spaced.
const SAMPLED: usize = 8;
/// Weights of as many slices that tell what a whole tensor is offered, if it has four times as many or more.
const SLICE: usize = 1 << 13;
/// A candidate is offered if its error is at most so many times that of a mixture of others for as many bits.
const NEAR: f64 = 1.3;

/// What is offered.
pub(crate) enum Offer<'a> {
    /// All that the storings know.
    All,
    /// What a few groups need for some budget, or nearly, if the budget counts these bits; and the last candidate.
    Near(Accounting),
    /// What the plan of these groups stores some of them as.
    Planned(&'a BTreeMap<&'a str, &'a PlanGroup>),
}

impl Offer<'_> {
    /// The candidates of all groups of the tensor `name`, those of one writer after those of the other.
    pub(crate) fn candidates(
        &self,
        name: &str,
        writers: &[StorageWriter],
        (groups, parts): (&[WeightGroup], &[GroupWeights]),
    ) -> Result<Vec<Candidates>, DeployError> {
        let stored = |source| StoredModelError::Stored { name: name.to_owned(), source };
        let mut all = vec![Vec::new(); parts.len()];
        let sample = match self {
            Self::All => None,
            Self::Near(_) | Self::Planned(_) => sample(parts).map_err(stored)?,
        };
        let wanted = match sample {
            Some(sample) => {
                let sampled = writers.iter().map(|writer| writer.candidates(&sample));
                let sampled = sampled.collect::<Result<Vec<_>, _>>().map_err(stored)?;
                self.wanted(&sampled, groups)?
            }
            None => None,
        };
        for (number, writer) in writers.iter().enumerate() {
            let more = match &wanted {
                Some(wanted) => writer.some_candidates(parts, &wanted[number]),
                None => writer.candidates(parts),
            };
            for (all, more) in all.iter_mut().zip(more.map_err(stored)?) {
                all.extend(more);
            }
        }
        Ok(all)
    }

    /// The numbers of each writer's candidates that are wanted, as the candidates of a few groups by each writer tell.
    /// None if all are.
    fn wanted(
        &self,
        sampled: &[Vec<Candidates>],
        groups: &[WeightGroup],
    ) -> Result<Option<Vec<Vec<usize>>>, DeployError> {
        let count = |writer: &Vec<Candidates>| writer.first().map_or(0, Vec::len);
        let keep: Vec<bool> = match self {
            Self::All => return Ok(None),
            Self::Near(accounting) => near(sampled, *accounting)?,
            Self::Planned(plan) => {
                let planned: Vec<&PlanGroup> =
                    groups.iter().filter_map(|g| plan.get(g.name.as_str()).copied()).collect();
                let first = sampled.iter().filter_map(|writer| writer.first()).flatten();
                let is_planned = |stored_as| planned.iter().any(|g| is_like(stored_as, &g.storage));
                first.map(|storage| is_planned(storage.stored_as())).collect()
            }
        };
        if !keep.contains(&true) {
            // A plan of something else: what it is not can be told from all candidates.
            return Ok(None);
        }
        let mut keep = keep.into_iter();
        let of = |writer| (0..count(writer)).filter(|_| keep.next() == Some(true)).collect();
        Ok(Some(sampled.iter().map(of).collect()))
    }
}

/// A few groups, or slices of the only one. None of so few weights that all candidates of all groups are made as fast,
/// nor where weights are told apart one by one.
fn sample(parts: &[GroupWeights]) -> Result<Option<Vec<GroupWeights>>, StorageError> {
    match parts {
        [whole] if whole.channels() == 1 && whole.weights().len() >= 4 * SAMPLED * SLICE => {
            let every = whole.weights().len() / SAMPLED;
            let slices = (0..SAMPLED).map(|slice| slice * every..slice * every + SLICE);
            GroupWeights::parts(whole.tensor(), slices).map(Some)
        }
        _ if parts.len() > SAMPLED => {
            Ok(Some(parts.iter().step_by(parts.len() / SAMPLED).cloned().collect()))
        }
        _ => Ok(None),
    }
}

/// Which candidates are on the lower hull of all of them, or near it.
fn near(sampled: &[Vec<Candidates>], accounting: Accounting) -> Result<Vec<bool>, DeployError> {
    let of_writer = |groups: &Vec<Candidates>| -> Vec<Candidate> {
        let number = groups.first().map_or(0, Vec::len);
        let total = |candidate: usize| {
            let storages = groups.iter().map(|candidates| &candidates[candidate]);
            storages.fold(Candidate { cost: 0, distortion: 0.0 }, |sum, storage| Candidate {
                cost: sum.cost.saturating_add(accounting.cost_of(storage.as_ref())),
                distortion: sum.distortion + storage.mean_square_error() * storage.weights() as f64,
            })
        };
        (0..number).map(total).collect()
    };
    let all: Vec<Candidate> = sampled.iter().flat_map(of_writer).collect();
    let mut problem = AllocationProblem::default();
    problem.push("a few groups", all.iter().copied())?;
    let path = GreedyPath::optimal(&problem);
    let corners: Vec<(u64, f64)> =
        (0..path.len()).map(|step| (path.cost(step), path.distortion(step))).collect();
    let is_near =
        |candidate: &Candidate| candidate.distortion <= NEAR * hull(&corners, candidate.cost);
    let mut keep: Vec<bool> = all.iter().map(is_near).collect();
    if let Some(last) = keep.last_mut() {
        *last = true;
    }
    Ok(keep)
}

/// The distortion of the hull at some cost, on the line between two corners.
fn hull(corners: &[(u64, f64)], cost: u64) -> f64 {
    let above = corners.partition_point(|&(corner, _)| corner <= cost);
    match (above.checked_sub(1).map(|below| corners[below]), corners.get(above)) {
        (None, Some(&(_, first))) => first,
        (Some((_, last)), None) => last,
        (Some((from, before)), Some(&(to, after))) => {
            before + (after - before) * (cost - from) as f64 / (to - from) as f64
        }
        (None, None) => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use qtaml_compensation::allocation::GreedyPath;
    use qtaml_compensation::storage::CodeLibrary;
    use qtaml_compensation::{Budget, Score};
    use qtaml_fault::Seed;
    use qtaml_physics::FlipProbability;

    use super::*;
    use crate::scheme::{CodeFamily, Scheme};
    use crate::testing::Perceptron;
    use crate::{Granularity, PlanError, StoredModel};

    fn stored(accounting: Option<Accounting>) -> StoredModel {
        let eccs = "secded:64 repetition:3".split(' ').map(|name| name.parse().unwrap()).collect();
        let code = CodeFamily::Mixed;
        let scheme = Scheme { granularity: Granularity::Channel, code, eccs, ..Scheme::tac() };
        let model = Perceptron::new(5, 60, 64);
        let flips = FlipProbability::symmetric(0.02).unwrap().into();
        let storings = scheme.storings(&flips);
        let (granularity, library) = (scheme.granularity, CodeLibrary::default());
        match accounting {
            Some(count) => {
                StoredModel::store_near(&model, granularity, &storings, &library, count).unwrap()
            }
            None => StoredModel::store_with(&model, granularity, &storings, &library).unwrap(),
        }
    }

    /// A fraction of the candidates, and nearly as little noise for the same bits at every budget.
    #[test]
    fn few_candidates_are_as_good_as_all() {
        let [all, few] = [None, Some(Accounting::AllBits)].map(stored);
        let candidates = |model: &StoredModel| -> usize {
            model.groups().iter().map(|group| group.candidates.len()).sum()
        };
        assert!(3 * candidates(&few) < candidates(&all), "{}", candidates(&few));
        assert_eq!(all.golden(), few.golden());
        let problem = |model: &StoredModel| {
            let statistics = model.magnitudes();
            model.problem(Score::MagnitudeMax, &statistics, Accounting::AllBits).unwrap()
        };
        let (all, few) = (problem(&all), problem(&few));
        let [all, few] = [&all, &few].map(GreedyPath::optimal);
        for step in (0..all.len()).step_by(all.len() / 20) {
            let (cost, noise) = (all.cost(step), all.distortion(step));
            let Some(same) = (0..few.len()).find(|&step| few.distortion(step) <= noise) else {
                continue;
            };
            let more = few.cost(same) as f64 / cost as f64;
            assert!(more < 1.03, "{cost} {more}");
        }
    }

    /// What the plan names is all that is made; where it names nothing that there is, it is refused as what it is.
    #[test]
    fn a_plan_is_offered_what_it_names_or_refused() {
        let (model, library) = (Perceptron::new(5, 60, 64), CodeLibrary::default());
        let (granularity, code) = (Granularity::Channel, CodeFamily::Codebook);
        let scheme = Scheme { granularity, code, ..Scheme::tac() };
        let flips = FlipProbability::symmetric(0.02).unwrap().into();
        let stored = scheme.store(&model, &flips, &library).unwrap();
        let (score, budget) = (Score::MagnitudeMax, Budget::Share(1.3));
        let plan = stored.plan(score, &stored.magnitudes(), Accounting::AllBits, budget).unwrap();
        let again = scheme.store_planned(&model, &plan, &library).unwrap();
        let count = |model: &StoredModel| model.groups().last().unwrap().candidates.len();
        assert!(count(&again) < count(&stored), "{}", count(&again));
        let read = |model: &StoredModel| {
            model.read(Seed(1), 2, &model.selection_of(&plan).unwrap()).unwrap()
        };
        assert_eq!(read(&again), read(&stored));
        let other = Scheme { code: CodeFamily::BlockCoded, ..scheme };
        let other = other.store_planned(&model, &plan, &library).unwrap();
        let error = other.selection_of(&plan).unwrap_err();
        assert!(matches!(error, DeployError::Plan(PlanError::NotOffered { .. })), "{error}");
    }

    #[test]
    fn between_corners_the_hull_is_a_line() {
        let corners = [(10, 8.0), (20, 2.0), (40, 1.0)];
        for (cost, expected) in [(0, 8.0), (10, 8.0), (15, 5.0), (20, 2.0), (30, 1.5), (99, 1.0)] {
            assert_eq!(hull(&corners, cost), expected, "{cost}");
        }
        assert_eq!(hull(&[], 1), f64::INFINITY);
    }
}
