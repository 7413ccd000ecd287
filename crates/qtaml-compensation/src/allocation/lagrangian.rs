//! The Lagrangian solver: one price for every bit.

use super::{Allocation, AllocationProblem, Candidate, Selection, Solution, bisect};
use crate::AllocationError;

/// What [`lagrangian`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Lagrangian {
    /// The allocation, and the bound that the price proves.
    pub solution: Solution,
    /// The price `λ`: distortion per bit.
    pub price: f64,
}

/// The allocation at the lowest price per bit at which the budget is kept.
///
/// At a price `λ` every group decides for itself: it takes the candidate with the least
/// `D_u + λ B_u`. The higher the price, the less is bought. The allocation is optimal for what it
/// costs (H. Everett, Operations Research 11, 399 (1963)), which can be less than the budget: the
/// rest is left. Its distortion never rises with the budget.
///
/// # Formula
/// For every `λ >= 0` no allocation within `B` has less distortion than the dual
/// `Σ_u min_c (D_u(c) + λ B_u(c)) - λ B`. The best of these bounds is found beside the allocation.
///
/// # Errors
/// [`AllocationError::Budget`] if not even the cheapest candidates fit.
pub fn lagrangian(groups: &AllocationProblem, budget: u64) -> Result<Lagrangian, AllocationError> {
    groups.check_budget(budget)?;
    let free = Priced::new(groups, 0.0);
    if free.cost <= budget {
        return Ok(free.solution(groups, free.distortion));
    }
    // Costs are whole bits, so no step gains more per bit than the largest distortion.
    let worst = groups.iter().flatten().map(|candidate| candidate.distortion).fold(0.0, f64::max);
    let (over, price) =
        bisect(0.0, (2.0 * worst).min(f64::MAX), |price| Priced::new(groups, price).cost <= budget);
    let [over, within] = [over, price].map(|price| Priced::new(groups, price));
    Ok(within.solution(groups, over.dual(budget).max(within.dual(budget))))
}

/// What all groups buy at a price.
struct Priced {
    price: f64,
    cost: u64,
    distortion: f64,
}

impl Priced {
    fn new(groups: &AllocationProblem, price: f64) -> Self {
        let mut priced = Self { price, cost: 0, distortion: 0.0 };
        for candidates in groups.iter() {
            let candidate = candidates[favourite(candidates, price)];
            priced.cost += candidate.cost;
            priced.distortion += candidate.distortion;
        }
        priced
    }

    /// The bound that this price proves.
    fn dual(&self, budget: u64) -> f64 {
        let over = i128::from(self.cost) - i128::from(budget);
        self.distortion + self.price * over as f64
    }

    fn solution(&self, groups: &AllocationProblem, lower_bound: f64) -> Lagrangian {
        let selection: Selection =
            groups.iter().map(|candidates| favourite(candidates, self.price) as u32).collect();
        let allocation = Allocation::of(selection, groups);
        Lagrangian { solution: Solution::new(allocation, lower_bound), price: self.price }
    }
}

/// The candidate with the least `D + λ B`, and among equals the cheapest.
fn favourite(candidates: &[Candidate], price: f64) -> usize {
    let total = |candidate: &Candidate| candidate.distortion + price * candidate.cost as f64;
    let mut best = (0, f64::INFINITY, u64::MAX);
    for (index, candidate) in candidates.iter().enumerate() {
        let total = total(candidate);
        if total < best.1 || total == best.1 && candidate.cost < best.2 {
            best = (index, total, candidate.cost);
        }
    }
    best.0
}
