//! A price for every bit.

use super::{Allocation, AllocationProblem, Candidate, Solution, bisect};
use crate::CompensationError;

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
/// At a price `λ` every unit decides for itself: it takes the choice with the least
/// `D_u + λ B_u`. The higher the price, the less is bought. The allocation is optimal for what it
/// costs (H. Everett, Operations Research 11, 399 (1963)), which can be less than the budget: the
/// rest is left. Its distortion never rises with the budget.
///
/// # Formula
/// For every `λ >= 0` no allocation within `B` has less distortion than the dual
/// `Σ_u min_c (D_u(c) + λ B_u(c)) - λ B`. The best of these bounds is found beside the allocation.
///
/// # Errors
/// [`CompensationError::Budget`] if not even the cheapest choices fit.
pub fn lagrangian(units: &AllocationProblem, budget: u64) -> Result<Lagrangian, CompensationError> {
    units.check_budget(budget)?;
    let free = Priced::new(units, 0.0);
    if free.cost <= budget {
        return Ok(free.solution(units, free.distortion));
    }
    // Costs are whole bits, so no step gains more per bit than the largest distortion.
    let worst = units.iter().flatten().map(|choice| choice.distortion).fold(0.0, f64::max);
    let (over, price) =
        bisect(0.0, (2.0 * worst).min(f64::MAX), |price| Priced::new(units, price).cost <= budget);
    let [over, within] = [over, price].map(|price| Priced::new(units, price));
    Ok(within.solution(units, over.dual(budget).max(within.dual(budget))))
}

/// What all units buy at a price.
struct Priced {
    price: f64,
    cost: u64,
    distortion: f64,
}

impl Priced {
    fn new(units: &AllocationProblem, price: f64) -> Self {
        let mut priced = Self { price, cost: 0, distortion: 0.0 };
        for choices in units.iter() {
            let choice = choices[favourite(choices, price)];
            priced.cost += choice.cost;
            priced.distortion += choice.distortion;
        }
        priced
    }

    /// The bound that this price proves.
    fn dual(&self, budget: u64) -> f64 {
        let over = i128::from(self.cost) - i128::from(budget);
        self.distortion + self.price * over as f64
    }

    fn solution(&self, units: &AllocationProblem, lower_bound: f64) -> Lagrangian {
        let chosen = units.iter().map(|choices| favourite(choices, self.price) as u32).collect();
        let allocation = Allocation::of(chosen, units);
        Lagrangian { solution: Solution::new(allocation, lower_bound), price: self.price }
    }
}

/// The choice with the least `D + λ B`, and among equals the cheapest.
fn favourite(choices: &[Candidate], price: f64) -> usize {
    let total = |choice: &Candidate| choice.distortion + price * choice.cost as f64;
    let mut best = (0, f64::INFINITY, u64::MAX);
    for (index, choice) in choices.iter().enumerate() {
        let total = total(choice);
        if total < best.1 || total == best.1 && choice.cost < best.2 {
            best = (index, total, choice.cost);
        }
    }
    best.0
}
