//! Tests of all solvers against each other and against exhaustive search.

use approx::assert_relative_eq;
use proptest::prelude::*;

use super::*;

/// Slack for sums that were taken in another order.
const ROUNDING: f64 = 1e-9;

fn units_of(curves: &[Vec<(u64, f64)>]) -> AllocationProblem {
    let mut groups = AllocationProblem::default();
    for (i, curve) in curves.iter().enumerate() {
        let candidate = |&(cost, distortion): &(u64, f64)| Candidate { cost, distortion };
        groups.push(format!("group {i}"), curve.iter().map(candidate)).unwrap();
    }
    groups
}

/// Arbitrary candidates: unsorted, not convex, with equal costs and with equal distortions.
fn any_units() -> impl Strategy<Value = AllocationProblem> {
    let distortion = prop_oneof![0.0_f64..100.0, (0_u32..5).prop_map(f64::from)];
    let group = prop::collection::vec((0_u64..30, distortion), 1..=5);
    prop::collection::vec(group, 1..=5).prop_map(|curves| units_of(&curves))
}

/// Layers whose noise falls by 6 dB a bit, up to some ripple.
fn falling_units() -> impl Strategy<Value = AllocationProblem> {
    let layer = (1_u64..1000, -8.0_f64..8.0, prop::collection::vec(0.8_f64..1.25, 9));
    prop::collection::vec(layer, 1..40).prop_map(|layers| {
        let curve = |(weights, log_score, ripple): &(u64, f64, Vec<f64>)| {
            let noise = |(k, r): (i32, &f64)| 10_f64.powf(*log_score) * 0.25_f64.powi(k) * r;
            (0..).map(|k| weights * k).zip((0..).zip(ripple).map(noise)).collect()
        };
        units_of(&layers.iter().map(curve).collect::<Vec<_>>())
    })
}

/// Layers of any size, with scores over twenty decades.
pub(crate) fn sources() -> impl Strategy<Value = Vec<Source>> {
    let source = (-10.0_f64..10.0, 1_usize..100_000);
    let source = source.prop_map(|(log, weights)| Source { score: 10_f64.powf(log), weights });
    prop::collection::vec(source, 1..20)
}

/// Every allocation there is.
fn everything(groups: &AllocationProblem) -> Vec<Allocation> {
    let mut all: Vec<Vec<u32>> = vec![vec![]];
    for candidates in groups.iter() {
        let longer = |head: &Vec<u32>| -> Vec<Vec<u32>> {
            (0..candidates.len() as u32)
                .map(|c| head.iter().copied().chain([c]).collect())
                .collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all.into_iter().map(|selection| Allocation::new(selection, groups).unwrap()).collect()
}

fn best_of(all: &[Allocation], budget: u64) -> Option<f64> {
    let within = all.iter().filter(|a| a.cost() <= budget).map(Allocation::distortion);
    within.min_by(f64::total_cmp)
}

fn most_cost(groups: &AllocationProblem) -> u64 {
    groups.iter().filter_map(|candidates| candidates.iter().map(|c| c.cost).max()).sum()
}

proptest! {
    #[test]
    fn no_allocation_of_the_same_cost_is_better_than_the_path(groups in any_units()) {
        let (all, path) = (everything(&groups), GreedyPath::optimal(&groups));
        for step in 0..path.len() {
            let found = path.at(step);
            prop_assert_eq!(found.cost(), path.cost(step));
            prop_assert!((found.distortion() - path.distortion(step)).abs() < ROUNDING);
            prop_assert!(found.distortion() <= best_of(&all, found.cost()).unwrap() + ROUNDING);
        }
        let least = best_of(&all, u64::MAX).unwrap();
        prop_assert!((path.distortion(path.len() - 1) - least).abs() < ROUNDING);
    }

    #[test]
    fn the_path_is_nested(groups in falling_units()) {
        let path = GreedyPath::optimal(&groups);
        for step in 1..path.len() {
            let (before, after) = (path.at(step - 1), path.at(step));
            prop_assert!(before.cost() < after.cost());
            prop_assert!(before.distortion() >= after.distortion());
            prop_assert!(before.selection().iter().zip(after.selection()).all(|(a, b)| a <= b));
        }
    }

    #[test]
    fn every_solver_agrees_with_trying_everything(groups in any_units(), budget in 0_u64..150) {
        let Some(best) = best_of(&everything(&groups), budget) else {
            let least = groups.least_cost();
            let refused = crate::AllocationError::Budget { budget, least };
            prop_assert_eq!(exact(&groups, budget, MOST_STATES).unwrap_err(), refused.clone());
            prop_assert_eq!(lagrangian(&groups, budget).unwrap_err(), refused.clone());
            prop_assert_eq!(GreedyPath::optimal(&groups).within(budget).unwrap_err(), refused);
            return Ok(());
        };
        let found = exact(&groups, budget, MOST_STATES).unwrap();
        prop_assert!(found.proven && found.allocation.cost() <= budget);
        prop_assert!((found.allocation.distortion() - best).abs() < ROUNDING);

        let priced = lagrangian(&groups, budget).unwrap().solution;
        prop_assert!(priced.allocation.cost() <= budget);
        prop_assert!(priced.allocation.distortion() >= best - ROUNDING);
        prop_assert!(priced.lower_bound <= best + ROUNDING);

        let greedy = GreedyPath::optimal(&groups).within(budget).unwrap();
        prop_assert!(greedy.cost() <= budget && greedy.distortion() >= best - ROUNDING);
        prop_assert!(greedy.distortion() <= priced.allocation.distortion() + ROUNDING);
    }

    /// Stopped early, the search still tells the truth about what it does not know.
    #[test]
    fn an_unfinished_search_brackets_the_optimum(
        groups in any_units(), budget in 0_u64..150, most_states in 0_usize..40,
    ) {
        if let Some(best) = best_of(&everything(&groups), budget) {
            let found = exact(&groups, budget, most_states).unwrap();
            prop_assert!(found.allocation.cost() <= budget);
            prop_assert!(found.lower_bound <= best + ROUNDING);
            prop_assert!(found.allocation.distortion() >= best - ROUNDING);
            let optimal = found.allocation.distortion() <= best + ROUNDING;
            prop_assert!(optimal || !found.proven && found.gap() > 0.0);
        }
    }

    #[test]
    fn more_budget_is_never_worse(groups in falling_units(), shares in [0.0..1.0, 0.0..1.0]) {
        let [mut less, mut more] = shares.map(|share| (share * most_cost(&groups) as f64) as u64);
        if less > more {
            (less, more) = (more, less);
        }
        let solve = |budget| {
            let path = GreedyPath::optimal(&groups);
            let greedy = path.within(budget).unwrap();
            let priced = lagrangian(&groups, budget).unwrap().solution;
            let found = exact(&groups, budget, MOST_STATES).unwrap();
            let all = [&greedy, &priced.allocation, &found.allocation];
            let [d_greedy, d_priced, d] = all.map(Allocation::distortion);
            let slack = 1.0 + ROUNDING;
            assert!(found.proven);
            assert!(d <= d_greedy * slack && d_greedy <= d_priced * slack);
            assert!(priced.lower_bound <= d * slack);
            assert!(d_greedy <= path.distortion(path.step_within(budget).unwrap()) * slack);
            assert!(all.iter().all(|allocation| allocation.cost() <= budget));
            [d_priced, d]
        };
        let [before, after] = [solve(less), solve(more)];
        let mut pairs = before.into_iter().zip(after);
        prop_assert!(pairs.all(|(before, after)| after <= before * (1.0 + ROUNDING)));
    }

    /// More budget can make the greedy allocation worse, by less than the next step of the path gains:
    /// what the rest is spent on never loses, and the path itself never rises.
    #[test]
    fn greedy_rises_by_less_than_the_next_step_gains(
        groups in any_units(), budgets in [0_u64..150, 0_u64..150],
    ) {
        let path = GreedyPath::optimal(&groups);
        let [less, more] = [budgets[0].min(budgets[1]), budgets[0].max(budgets[1])];
        if let Ok(step) = path.step_within(less) {
            let [before, after] = [less, more].map(|b| path.within(b).unwrap().distortion());
            let next = (step + 1).min(path.len() - 1);
            let gain = path.distortion(step) - path.distortion(next);
            prop_assert!(after <= before + gain + ROUNDING, "{after} {before} {gain}");
        }
    }

    /// The same bound twice: the price's, and the path's between two of its steps.
    #[test]
    fn the_dual_is_the_hull_of_the_path(groups in falling_units(), share in 0.01..0.99) {
        let path = GreedyPath::optimal(&groups);
        let end = path.cost(path.len() - 1);
        let budget = (share * end as f64) as u64;
        let priced = lagrangian(&groups, budget).unwrap();
        let step = path.step_within(budget).unwrap();
        let [from, to] = [step, step + 1].map(|step| (path.cost(step), path.distortion(step)));
        let slope = (from.1 - to.1) / (to.0 - from.0) as f64;
        let line = from.1 - slope * (budget - from.0) as f64;
        assert_relative_eq!(priced.solution.lower_bound, line, max_relative = ROUNDING);
        // A distortion is rounded, which is worth the more bits the less they gain.
        let rounding = 1e-14 * line / slope + 1e-6;
        prop_assert!((path.budget_for(line).unwrap() - budget as f64).abs() <= rounding);
    }
}

#[test]
fn uniform_chooses_alike() {
    let falling = |weights, b: i32| {
        let curve: Vec<f64> = (0..=b).map(|k| 4_f64.powi(b - k)).collect();
        Candidate::top_bits(weights, &curve).collect::<Vec<_>>()
    };
    let mut groups = AllocationProblem::default();
    groups.push("a", falling(10, 8)).unwrap();
    groups.push("b", falling(30, 4)).unwrap();
    let path = GreedyPath::uniform(&groups);
    assert_eq!(path.len(), 9);
    assert_eq!(path.at(2).selection(), [2, 2]);
    assert_eq!(path.at(6).selection(), [6, 4]);
    assert_eq!((path.cost(2), path.distortion(2)), (80, 4096.0 + 16.0));
    assert_eq!(path.at(2).overhead(10 * 8 + 30 * 4), 80.0 / 200.0);
    assert_eq!(path.at(path.step_within(119).unwrap()).selection(), [2, 2]);
}

#[test]
fn the_rest_of_a_budget_is_spent() {
    let groups = units_of(&[vec![(0, 90.0), (100, 1.0)], vec![(0, 3.0), (10, 2.0)]]);
    let path = GreedyPath::optimal(&groups);
    assert_eq!(path.step_within(50).unwrap(), 0, "the first step costs 100");
    assert_eq!(path.within(50).unwrap().selection(), [0, 1]);
}

#[test]
fn nothing_to_decide() {
    let none = AllocationProblem::default();
    for path in [GreedyPath::optimal(&none), GreedyPath::uniform(&none)] {
        assert_eq!((path.len(), path.cost(0), path.distortion(0)), (1, 0, 0.0));
        assert_eq!(path.budget_for(0.0).unwrap(), 0.0);
    }
    assert!(exact(&none, 0, 0).unwrap().proven && lagrangian(&none, 0).unwrap().solution.proven);
}

#[test]
fn noise_that_no_step_reaches_is_refused() {
    let groups = units_of(&[vec![(0, 4.0), (10, 1.0)]]);
    let path = GreedyPath::optimal(&groups);
    assert_eq!(path.budget_for(5.0).unwrap(), 0.0);
    assert_eq!(path.budget_for(2.5).unwrap(), 5.0);
    assert_eq!(path.budget_for(1.0).unwrap(), 10.0);
    assert!(path.budget_for(0.9).is_err() && path.budget_for(f64::NAN).is_err());
}
