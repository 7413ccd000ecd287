//! The optimum for a budget, proven.

use super::path::Move;
use super::{Allocation, AllocationProblem, GreedyPath, Solution};
use crate::CompensationError;

/// A limit of [`exact`] that takes seconds and some 200 MB to reach.
pub const MOST_STATES: usize = 1 << 23;

/// The allocation with the least distortion within a budget.
///
/// The search starts from the last step of the optimal [`GreedyPath`] that the budget pays for, where
/// nearly all units already have their best choice. The others, the *core*, are not known
/// beforehand: units are added to it one by one, those first whose steps gain nearly as much per
/// bit as the next one on the path. Partial solutions that cost more and are worse than another are
/// dropped, and so are those that units outside the core can no longer lift above the best solution
/// known, judged by the best step that any of them still has. Mostly a few dozen units decide (D.
/// Pisinger, Eur. J. Oper. Res. 83, 394 (1995); the bound is that of the linear relaxation: M. E.
/// Dyer, Math. Programming 29, 57 (1984); E. Zemel, Inf. Process. Lett. 18, 123 (1984)).
///
/// After `most_states` partial solutions it gives up, and returns the best solution with the bound
/// that it has proven so far.
///
/// # Errors
/// [`CompensationError::Budget`] if not even the cheapest choices fit.
pub fn exact(
    units: &AllocationProblem,
    budget: u64,
    most_states: usize,
) -> Result<Solution, CompensationError> {
    let budget = spendable(units, budget)?;
    let path = GreedyPath::optimal(units);
    let step = path.step_within(budget)?;
    let mut search = Search::new(units, budget, path.at(step), &path.within(budget)?);
    let mut outside = Outside::new(&path, step, units.len());
    // Nodes are numbered with 32 bits.
    let most_states = most_states.min(u32::MAX as usize);
    loop {
        let rates = outside.rates();
        let Some(unit) = outside.next().filter(|_| !search.states.is_empty()) else {
            return Ok(search.proven());
        };
        let further = search.states.len() * units.choices(unit as usize).len();
        if search.generated + further > most_states {
            return Ok(search.unfinished(rates));
        }
        search.add_to_core(unit, outside.rates());
    }
}

/// The part of a budget that can be spent: costs differ by multiples of some number of bits.
fn spendable(units: &AllocationProblem, budget: u64) -> Result<u64, CompensationError> {
    units.check_budget(budget)?;
    let differences =
        units.iter().flat_map(|choices| choices.iter().map(|c| c.cost - cheapest(choices)));
    let unit = differences.fold(0, gcd);
    Ok(match (budget - units.least_cost()).checked_rem(unit) {
        Some(rest) => budget - rest,
        None => budget,
    })
}

fn cheapest(choices: &[super::Candidate]) -> u64 {
    choices.iter().map(|choice| choice.cost).min().unwrap_or(0)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The units that are not in the core, by their steps from the break solution.
struct Outside<'a> {
    taken: &'a [Move],
    later: &'a [Move],
    in_core: Vec<bool>,
    forward: bool,
}

/// What units outside the core can at best still do, in distortion per bit: gain by a further
/// step, lose by taking one back.
#[derive(Clone, Copy)]
struct Rates {
    gain: f64,
    loss: f64,
}

impl<'a> Outside<'a> {
    fn new(path: &'a GreedyPath, step: usize, units: usize) -> Self {
        let (taken, later) = path.moves_around(step);
        Self { taken, later, in_core: vec![false; units], forward: false }
    }

    /// Gains fall along the path, so the nearest steps are the best.
    fn rates(&self) -> Rates {
        let gain = self.later.first().map_or(0.0, |step| step.gain_per_bit);
        let loss = self.taken.last().map_or(f64::INFINITY, |step| step.gain_per_bit);
        Rates { gain, loss }
    }

    /// Moves a unit into the core, alternately from either side of the break.
    fn next(&mut self) -> Option<u32> {
        self.forward = !self.forward;
        let mut sides = [self.taken.last(), self.later.first()];
        if self.forward {
            sides.reverse();
        }
        let unit = sides[0].or(sides[1])?.unit;
        self.in_core[unit as usize] = true;
        while let [step, rest @ ..] = self.later
            && self.in_core[step.unit as usize]
        {
            self.later = rest;
        }
        while let [rest @ .., step] = self.taken
            && self.in_core[step.unit as usize]
        {
            self.taken = rest;
        }
        Some(unit)
    }
}

/// A choice for each unit in the core; the others are as in the break solution.
#[derive(Debug, Clone, Copy)]
struct State {
    cost: u64,
    /// Distortion beyond that of the break solution: small numbers, which add up exactly enough.
    change: f64,
    /// The last choice that differs from the break solution.
    node: Option<u32>,
}

/// One differing choice, and the one before it.
struct Node {
    before: Option<u32>,
    unit: u32,
    choice: u32,
}

struct Search<'a> {
    units: &'a AllocationProblem,
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
        units: &'a AllocationProblem,
        budget: u64,
        broke: Allocation,
        known: &Allocation,
    ) -> Self {
        let choices = broke.chosen().iter().zip(known.chosen());
        let change = |(unit, (&from, &to))| {
            units.choice(unit, to).distortion - units.choice(unit, from).distortion
        };
        Self {
            units,
            budget,
            states: vec![State { cost: broke.cost(), change: 0.0, node: None }],
            nodes: Vec::new(),
            generated: 0,
            best: known.chosen().to_vec(),
            best_change: (0..).zip(choices).map(change).sum(),
            broke,
        }
    }

    /// Every state with every choice of a unit, less those that cannot lead to anything better.
    fn add_to_core(&mut self, unit: u32, rates: Rates) {
        let choices = self.units.choices(unit as usize);
        let current = self.broke.chosen()[unit as usize];
        let from = choices[current as usize];
        self.generated += self.states.len() * choices.len();

        let mut next: Vec<(State, u32)> = Vec::new();
        for (index, to) in (0..).zip(choices) {
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
        for (mut state, choice) in next {
            if state.change >= least {
                continue;
            }
            least = state.change;
            if choice != current {
                self.nodes.push(Node { before: state.node, unit, choice });
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
            self.best = self.broke.chosen().to_vec();
            let mut node = state.node;
            while let Some(Node { before, unit, choice }) = node.map(|n| &self.nodes[n as usize]) {
                self.best[*unit as usize] = *choice;
                node = *before;
            }
        }
    }

    /// Nothing is left that could be better.
    fn proven(self) -> Solution {
        let best = Allocation::of(self.best, self.units);
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
        Solution::new(Allocation::of(self.best, self.units), bound)
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
