//! The exact solver: the proven optimum for a budget.

use super::path::Move;
use super::{Allocation, AllocationProblem, GreedyPath, Solution};
use crate::AllocationError;

/// A limit of [`exact`] that takes seconds and some 200 MB to reach.
pub const MOST_STATES: usize = 1 << 23;

/// The allocation with the least distortion within a budget.
///
/// The search starts from the last step of the optimal [`GreedyPath`] that the budget pays for, where
/// nearly all groups already have their best candidate. The others, the *core*, are not known
/// beforehand: groups are added to it one by one, those first whose steps gain nearly as much per
/// bit as the next one on the path. Partial solutions that cost more and are worse than another are
/// dropped, and so are those that groups outside the core can no longer lift above the best solution
/// known, judged by the best step that any of them still has. Mostly a few dozen groups decide (D.
/// Pisinger, Eur. J. Oper. Res. 83, 394 (1995); the bound is that of the linear relaxation: M. E.
/// Dyer, Math. Programming 29, 57 (1984); E. Zemel, Inf. Process. Lett. 18, 123 (1984)).
///
/// After `most_states` partial solutions it gives up, and returns the best solution with the bound
/// that it has proven so far.
///
/// # Errors
/// [`AllocationError::Budget`] if not even the cheapest candidates fit.
pub fn exact(
    groups: &AllocationProblem,
    budget: u64,
    most_states: usize,
) -> Result<Solution, AllocationError> {
    let budget = spendable(groups, budget)?;
    let path = GreedyPath::optimal(groups);
    let step = path.step_within(budget)?;
    let mut search = Search::new(groups, budget, path.at(step), &path.within(budget)?);
    let mut outside = Outside::new(&path, step, groups.len());
    // Nodes are numbered with 32 bits.
    let most_states = most_states.min(u32::MAX as usize);
    loop {
        let rates = outside.rates();
        let Some(group) = outside.next().filter(|_| !search.states.is_empty()) else {
            return Ok(search.proven());
        };
        let further = search.states.len() * groups.candidates(group as usize).len();
        if search.generated + further > most_states {
            return Ok(search.unfinished(rates));
        }
        search.add_to_core(group, outside.rates());
    }
}

/// The part of a budget that can be spent: costs differ by multiples of some number of bits.
fn spendable(groups: &AllocationProblem, budget: u64) -> Result<u64, AllocationError> {
    groups.check_budget(budget)?;
    let differences = groups
        .iter()
        .flat_map(|candidates| candidates.iter().map(|c| c.cost - cheapest(candidates)));
    let group = differences.fold(0, gcd);
    Ok(match (budget - groups.least_cost()).checked_rem(group) {
        Some(rest) => budget - rest,
        None => budget,
    })
}

fn cheapest(candidates: &[super::Candidate]) -> u64 {
    candidates.iter().map(|candidate| candidate.cost).min().unwrap_or(0)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The groups that are not in the core, by their steps from the break solution.
struct Outside<'a> {
    taken: &'a [Move],
    later: &'a [Move],
    in_core: Vec<bool>,
    forward: bool,
}

/// What groups outside the core can at best still do, in distortion per bit: gain by a further
/// step, lose by taking one back.
#[derive(Clone, Copy)]
struct Rates {
    gain: f64,
    loss: f64,
}

impl<'a> Outside<'a> {
    fn new(path: &'a GreedyPath, step: usize, groups: usize) -> Self {
        let (taken, later) = path.moves_around(step);
        Self { taken, later, in_core: vec![false; groups], forward: false }
    }

    /// Gains fall along the path, so the nearest steps are the best.
    fn rates(&self) -> Rates {
        let gain = self.later.first().map_or(0.0, |step| step.gain_per_bit);
        let loss = self.taken.last().map_or(f64::INFINITY, |step| step.gain_per_bit);
        Rates { gain, loss }
    }

    /// Moves a group into the core, alternately from either side of the break.
    fn next(&mut self) -> Option<u32> {
        self.forward = !self.forward;
        let mut sides = [self.taken.last(), self.later.first()];
        if self.forward {
            sides.reverse();
        }
        let group = sides[0].or(sides[1])?.group;
        self.in_core[group as usize] = true;
        while let [step, rest @ ..] = self.later
            && self.in_core[step.group as usize]
        {
            self.later = rest;
        }
        while let [rest @ .., step] = self.taken
            && self.in_core[step.group as usize]
        {
            self.taken = rest;
        }
        Some(group)
    }
}

/// A candidate for each group in the core; the others are as in the break solution.
#[derive(Debug, Clone, Copy)]
struct State {
    cost: u64,
    /// Distortion beyond that of the break solution: small numbers, which add up exactly enough.
    change: f64,
    /// The last candidate that differs from the break solution.
    node: Option<u32>,
}

/// One differing candidate, and the one before it.
struct Node {
    before: Option<u32>,
    group: u32,
    candidate: u32,
}

struct Search<'a> {
    groups: &'a AllocationProblem,
    budget: u64,
    broke: Allocation,
    /// The core's partial solutions, by rising cost and falling distortion.
    states: Vec<State>,
    nodes: Vec<Node>,
    generated: usize,
    best: Vec<u32>,
    best_change: f64,
}

impl<'a> Search<'a> {
    fn new(
        groups: &'a AllocationProblem,
        budget: u64,
        broke: Allocation,
        known: &Allocation,
    ) -> Self {
        let candidates = broke.selection().iter().zip(known.selection());
        let change = |(group, (&from, &to))| {
            groups.candidate(group, to).distortion - groups.candidate(group, from).distortion
        };
        Self {
            groups,
            budget,
            states: vec![State { cost: broke.cost(), change: 0.0, node: None }],
            nodes: Vec::new(),
            generated: 0,
            best: known.selection().to_vec(),
            best_change: (0..).zip(candidates).map(change).sum(),
            broke,
        }
    }

    /// Every state with every candidate of a group, less those that cannot lead to anything better.
    fn add_to_core(&mut self, group: u32, rates: Rates) {
        let candidates = self.groups.candidates(group as usize);
        let current = self.broke.selection()[group as usize];
        let from = candidates[current as usize];
        self.generated += self.states.len() * candidates.len();

        let mut next: Vec<(State, u32)> = Vec::new();
        for (index, to) in (0..).zip(candidates) {
            let change = to.distortion - from.distortion;
            let moved = self.states.iter().map(|state| State {
                cost: state.cost - from.cost + to.cost,
                change: state.change + change,
                node: state.node,
            });
            let promising = moved.filter(|s| s.bound(self.budget, rates) < self.best_change);
            next.extend(promising.map(|state| (state, index)));
        }
        next.sort_unstable_by(|(a, _), (b, _)| {
            a.cost.cmp(&b.cost).then(a.change.total_cmp(&b.change))
        });

        self.states.clear();
        let mut least = f64::INFINITY;
        for (mut state, candidate) in next {
            if state.change >= least {
                continue;
            }
            least = state.change;
            if candidate != current {
                self.nodes.push(Node { before: state.node, group, candidate });
                state.node = Some(self.nodes.len() as u32 - 1);
            }
            self.states.push(state);
        }
        self.remember_best();
    }

    /// The best state within the budget is the last one, for distortion falls with cost.
    fn remember_best(&mut self) {
        let within = self.states.partition_point(|state| state.cost <= self.budget);
        let Some(state) = within.checked_sub(1).map(|last| self.states[last]) else { return };
        if state.change < self.best_change {
            self.best_change = state.change;
            self.best = self.broke.selection().to_vec();
            let mut node = state.node;
            while let Some(Node { before, group, candidate }) =
                node.map(|n| &self.nodes[n as usize])
            {
                self.best[*group as usize] = *candidate;
                node = *before;
            }
        }
    }

    /// Nothing is left that could be better.
    fn proven(self) -> Solution {
        let best = Allocation::of(self.best, self.groups);
        let distortion = best.distortion();
        Solution::new(best, distortion)
    }

    /// Something may be left: as good as the best completion of any state.
    fn unfinished(self, rates: Rates) -> Solution {
        let bounds = self.states.iter().map(|state| state.bound(self.budget, rates));
        let change = bounds.fold(self.best_change, f64::min);
        if change == self.best_change {
            return self.proven();
        }
        let bound = self.broke.distortion() + change;
        Solution::new(Allocation::of(self.best, self.groups), bound)
    }
}

impl State {
    /// The least change that any completion outside the core can lead to.
    fn bound(&self, budget: u64, rates: Rates) -> f64 {
        if self.cost <= budget {
            self.change - rates.gain * (budget - self.cost) as f64
        } else {
            self.change + rates.loss * (self.cost - budget) as f64
        }
    }
}
