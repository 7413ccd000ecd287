//! The greedy path through the budgets, and the uniform path as the baseline.

use super::hull::{Corner, lower_hull};
use super::{Allocation, AllocationProblem, Candidate};
use crate::AllocationError;

/// A sequence of allocations, from the cheapest on. Only their differences are kept.
#[derive(Debug, Clone)]
pub struct GreedyPath<'a> {
    groups: &'a AllocationProblem,
    first: Vec<u32>,
    moves: Vec<Move>,
    stops: Vec<Stop>,
}

/// Another candidate for one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) group: u32,
    pub(super) candidate: u32,
    pub(super) gain_per_bit: f64,
}

/// What an allocation on the path costs and leaves, and the moves that lead to it.
#[derive(Debug, Clone, Copy)]
struct Stop {
    moves: usize,
    cost: u64,
    distortion: f64,
}

impl<'a> GreedyPath<'a> {
    /// Tunneling-aware compensation: from the cheapest candidates to the best, always the step that
    /// lowers the distortion most per bit.
    ///
    /// The steps are the edges of the groups' lower convex hulls. Every allocation on the path is
    /// optimal for its own cost (H. Everett, Operations Research 11, 399 (1963)), and the path is
    /// nested: a larger budget never takes a step back. A candidate that costs more and helps nothing
    /// is never taken.
    pub fn optimal(groups: &'a AllocationProblem) -> Self {
        let (mut first, mut moves) = (Vec::with_capacity(groups.len()), Vec::new());
        let mut corners: Vec<Corner> = Vec::new();
        for (group, candidates) in (0..).zip(groups.iter()) {
            lower_hull(candidates, &mut corners);
            first.push(corners[0].index);
            moves.extend(corners.windows(2).map(|edge| Move {
                group,
                candidate: edge[1].index,
                gain_per_bit: edge[0].gain_per_bit(edge[1]),
            }));
        }
        // Stable: within a group the gains already fall, so its steps stay in order.
        moves.sort_by(|a, b| b.gain_per_bit.total_cmp(&a.gain_per_bit));
        let stops = stops_of(groups, &first, &moves);
        Self { groups, first, moves, stops }
    }

    /// The Uniform-MSP baseline: the same candidate everywhere, by index. Groups with fewer candidates
    /// stop at their last.
    pub fn uniform(groups: &'a AllocationProblem) -> Self {
        let most = groups.iter().map(<[_]>::len).max().unwrap_or(0).max(1) as u32;
        let first = vec![0; groups.len()];
        let mut moves = Vec::new();
        let mut selection = first.clone();
        let stops = (0..most).map(|index| {
            for (group, candidates) in (0..).zip(groups.iter()) {
                if index > 0 && (index as usize) < candidates.len() {
                    selection[group as usize] = index;
                    moves.push(Move { group, candidate: index, gain_per_bit: 0.0 });
                }
            }
            let all = Allocation::of(selection.clone(), groups);
            Stop { moves: moves.len(), cost: all.cost(), distortion: all.distortion() }
        });
        let stops = stops.collect();
        Self { groups, first, moves, stops }
    }

    /// The number of allocations on the path, one at least.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.stops.len()
    }

    /// What the allocation number `step` costs, in bits.
    ///
    /// # Panics
    /// If the path has no such step, as all that ask for one.
    pub fn cost(&self, step: usize) -> u64 {
        self.stops[step].cost
    }

    /// The distortion that the allocation number `step` leaves.
    ///
    /// # Panics
    /// If the path has no such step.
    pub fn distortion(&self, step: usize) -> f64 {
        self.stops[step].distortion
    }

    /// The allocation number `step`.
    ///
    /// # Panics
    /// If the path has no such step.
    pub fn at(&self, step: usize) -> Allocation {
        Allocation::of(self.selection(step), self.groups)
    }

    /// The last step that a budget pays for.
    ///
    /// # Errors
    /// [`AllocationError::Budget`] if it pays for none.
    pub fn step_within(&self, budget: u64) -> Result<usize, AllocationError> {
        self.stops.iter().rposition(|stop| stop.cost <= budget).ok_or_else(|| {
            let least = self.stops.iter().map(|stop| stop.cost).min().unwrap_or(0);
            AllocationError::Budget { budget, least }
        })
    }

    /// The greedy allocation for a budget: the last step that it pays for, and of the later steps,
    /// in their order, whatever the rest still pays for.
    ///
    /// It is never worse than the step itself. What the rest pays for depends on how it divides, so
    /// the distortion can rise a little with the budget; that of [`exact`](super::exact) cannot.
    /// On a path of the same candidate everywhere the rest is spent group by group as well; the steps
    /// alone ([`step_within`](Self::step_within)) are the same everywhere.
    ///
    /// # Errors
    /// [`AllocationError::Budget`] if the budget pays for no step.
    pub fn within(&self, budget: u64) -> Result<Allocation, AllocationError> {
        let step = self.step_within(budget)?;
        let (mut selection, mut rest) = (self.selection(step), budget - self.cost(step));
        for &Move { group, candidate, .. } in &self.moves[self.stops[step].moves..] {
            let current = &mut selection[group as usize];
            let [from, to] = [*current, candidate].map(|index| self.groups.candidate(group, index));
            if to.distortion < from.distortion && to.cost <= from.cost.saturating_add(rest) {
                rest = rest + from.cost - to.cost;
                *current = candidate;
            }
        }
        Ok(Allocation::of(selection, self.groups))
    }

    /// The budget at which the distortion has fallen to `distortion`, in bits: along the lower
    /// convex hull of the path, as if a step could be taken for a part of the weights.
    ///
    /// # Errors
    /// [`AllocationError::Noise`] if the path never gets there, or for NaN.
    pub fn budget_for(&self, distortion: f64) -> Result<f64, AllocationError> {
        let candidate = |stop: &Stop| Candidate { cost: stop.cost, distortion: stop.distortion };
        let candidates: Vec<Candidate> = self.stops.iter().map(candidate).collect();
        let mut corners = Vec::new();
        lower_hull(&candidates, &mut corners);
        let reached = corners.partition_point(|corner| corner.candidate.distortion > distortion);
        let Some(to) = corners.get(reached).filter(|_| !distortion.is_nan()) else {
            let [most, least] = [corners[0], corners[corners.len() - 1]];
            let [most, least] = [most, least].map(|corner| corner.candidate.distortion);
            return Err(AllocationError::Noise { noise: distortion, least, most });
        };
        let Some(from) = reached.checked_sub(1).map(|before| corners[before]) else {
            return Ok(to.candidate.cost as f64);
        };
        let bits = (from.candidate.distortion - distortion) / from.gain_per_bit(*to);
        Ok(from.candidate.cost as f64 + bits)
    }

    /// The steps taken up to `step` and those after it.
    pub(super) fn moves_around(&self, step: usize) -> (&[Move], &[Move]) {
        self.moves.split_at(self.stops[step].moves)
    }

    fn selection(&self, step: usize) -> Vec<u32> {
        let mut selection = self.first.clone();
        for &Move { group, candidate, .. } in &self.moves[..self.stops[step].moves] {
            selection[group as usize] = candidate;
        }
        selection
    }
}

/// A stop after each move. Distortions are summed from the end: what is added never cancels, so
/// the smallest of them are exact as well.
fn stops_of(groups: &AllocationProblem, first: &[u32], moves: &[Move]) -> Vec<Stop> {
    let mut selection = first.to_vec();
    let mut cost = Allocation::of(selection.clone(), groups).cost();
    let mut stops = Vec::with_capacity(moves.len() + 1);
    // For now the distortion of a stop is by how much its move lowered it.
    stops.push(Stop { moves: 0, cost, distortion: 0.0 });
    for (before, &Move { group, candidate, .. }) in moves.iter().enumerate() {
        let current = &mut selection[group as usize];
        let [from, to] = [*current, candidate].map(|index| groups.candidate(group, index));
        *current = candidate;
        cost = cost - from.cost + to.cost;
        stops.push(Stop { moves: before + 1, cost, distortion: from.distortion - to.distortion });
    }
    let mut distortion = Allocation::of(selection, groups).distortion();
    for stop in stops.iter_mut().rev() {
        distortion += std::mem::replace(&mut stop.distortion, distortion);
    }
    stops
}
