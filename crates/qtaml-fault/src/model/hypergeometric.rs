//! The hypergeometric distribution, by which an exact number of flips is divided.

use std::iter::successors;

/// Weights below this, in units of the largest, are left out: what no 53 digits can choose.
const NEGLIGIBLE: f64 = 1.0 / (1_u128 << 64) as f64;

/// How many marked ones there are among `drawn` of `all` things of which `marked` are marked, all
/// sets of that size being equally likely; both are at most `all`.
///
/// The cumulative probability is inverted at `u` in `0..1`, counting from the likeliest number down
/// to the least and then up to the largest. The weights follow from their ratios alone, so no
/// function but the four operations of arithmetic is needed, and the answer is the same on every
/// machine. Each of `m` steps rounds by a few 2^-53, which leaves a relative error of `m` times 1e-15
/// at most in a probability `m` away from the likeliest.
///
/// # Formula
/// `P(x) = C(marked, x) C(all - marked, drawn - x) / C(all, drawn)`
pub(crate) fn hypergeometric(all: u64, marked: u64, drawn: u64, u: f64) -> u64 {
    // By symmetry both may be taken to be the smaller halves: then every count from 0 on is possible.
    if marked > all - marked {
        return drawn - hypergeometric(all, all - marked, drawn, u);
    }
    if drawn > all - drawn {
        return marked - hypergeometric(all, marked, all - drawn, u);
    }
    let spare = all - marked - drawn;
    let mode = u128::from(marked + 1) * u128::from(drawn + 1) / (u128::from(all) + 2);
    let mode = mode as u64;
    let mut down = weights([mode, spare + mode], [marked - mode + 1, drawn - mode + 1]);
    let mut up = weights([marked - mode, drawn - mode], [mode + 1, spare + mode + 1]).skip(1);
    let mut left = u * down.clone().chain(up.clone()).sum::<f64>();
    let mut is_reached = |weight: f64| {
        left -= weight;
        left < 0.0
    };
    if let Some(steps) = down.position(&mut is_reached) {
        return mode - steps as u64;
    }
    up.position(is_reached).map_or(mode, |steps| mode + 1 + steps as u64)
}

/// The weights from the likeliest count on, which has 1, to one side: with each step the numbers in
/// the numerator of their ratio fall by one, and those in the denominator rise.
fn weights(falling: [u64; 2], rising: [u64; 2]) -> impl Iterator<Item = f64> + Clone {
    let ([a, b], [c, d]) = (falling.map(|n| n as f64), rising.map(|n| n as f64));
    let next = move |&(weight, i): &(f64, f64)| {
        Some((weight * ((a - i) * (b - i) / ((c + i) * (d + i))), i + 1.0))
    };
    successors(Some((1.0, 0.0)), next).map(|(weight, _)| weight).take_while(|w| *w > NEGLIGIBLE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `C(n, k)`, exact where it fits.
    fn choose(n: u64, k: u64) -> u128 {
        if k > n { 0 } else { (0..k).fold(1, |c, i| c * u128::from(n - i) / u128::from(i + 1)) }
    }

    /// The share of a fine grid of `u` that gives each count is its probability.
    #[test]
    fn every_count_has_its_probability() {
        let grid = 1 << 17;
        for (all, marked, drawn) in
            [(1, 1, 1), (9, 4, 5), (40, 20, 7), (40, 33, 30), (60, 1, 59), (64, 32, 33), (50, 0, 9)]
        {
            let mut counts = vec![0; marked as usize + 1];
            for i in 0..grid {
                let u = (f64::from(i) + 0.5) / f64::from(grid);
                counts[hypergeometric(all, marked, drawn, u) as usize] += 1;
            }
            for (x, count) in (0..).zip(counts) {
                let ways =
                    choose(marked, x) * if x > drawn { 0 } else { choose(all - marked, drawn - x) };
                let p = ways as f64 / choose(all, drawn) as f64;
                let seen = f64::from(count) / f64::from(grid);
                assert!((seen - p).abs() <= 1.0 / f64::from(grid), "{all} {marked} {drawn}: {x}");
            }
        }
    }

    /// From a separate implementation in another language, with whole numbers of any length.
    #[test]
    fn counts_match_exact_arithmetic() {
        for (all, marked, drawn, u, expected) in [
            (10, 5, 5, 0.25, 3),
            (1000, 500, 100, 0.1, 49),
            (1000, 500, 100, 0.9, 56),
            (5000, 2500, 4000, 0.999, 1956),
            (5000, 4000, 2500, 0.001, 2000),
            (1 << 40, 1 << 39, 1000, 0.7, 508),
            (1 << 60, 1 << 59, 300, 1e-9, 150),
        ] {
            assert_eq!(hypergeometric(all, marked, drawn, u), expected, "{all} {marked} {drawn}");
        }
    }

    proptest! {
        #[test]
        fn counts_are_possible(
            all in 0_u64..=1 << 61, marked in 0.0..=1.0, drawn in 0_u64..100_000, u in 0.0..1.0,
        ) {
            let (marked, drawn) = ((marked * all as f64) as u64, drawn.min(all));
            let marked = marked.min(all);
            let count = hypergeometric(all, marked, drawn, u);
            prop_assert!(count <= marked.min(drawn) && drawn - count <= all - marked);
        }
    }
}
