//! Shannon's limit: the capacity of a stored bit.

use std::f64::consts::LN_2;

use qtaml_physics::FlipProbability;

/// Bits of surprise in an event of probability `p`.
///
/// # Formula
/// `H2(p) = -p log2 p - (1 - p) log2 (1 - p)`; NaN outside 0 to 1.
pub fn binary_entropy(p: f64) -> f64 {
    let of = |x: f64, ln_x: f64| if x == 0.0 { 0.0 } else { -x * ln_x };
    (of(p, p.ln()) + of(1.0 - p, (-p).ln_1p())) / LN_2
}

/// Bits that a stored bit is worth, at the best share of ones and with the best code (Shannon,
/// Bell System Technical Journal 27, 379, 1948).
///
/// # Formula
/// Symmetric: `C = 1 - H2(p)`. Else, with `s = 1 - p01 - p10`,
///
/// `C = log2(1 + 2^((H2(p01) - H2(p10)) / s)) - (1 - p10) / s H2(p01) + p01 / s H2(p10)`
///
/// where the mutual information of stored and read bits is stationary in the share of ones
/// (textbook; it is 0 for `s = 0`, where what is read tells nothing). It is summed as the mean
/// divergence of what is read of a stored bit from what is read of all: near `s = 0` the closed
/// form is all rounding, and that sum has no negative term.
///
/// ```
/// use qtaml_fault::ecc::capacity;
/// use qtaml_physics::FlipProbability;
///
/// assert!((capacity(FlipProbability::symmetric(0.1)?) - 0.531).abs() < 1e-3);
/// // The Z channel: only a stored 1 can flip.
/// let leaky = FlipProbability::asymmetric(0.0, 0.5)?;
/// assert!((capacity(leaky) - 1.25_f64.log2()).abs() < 1e-12);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
pub fn capacity(flips: FlipProbability) -> f64 {
    let (p01, p10) = (flips.p01(), flips.p10());
    // The larger one first: near 0 both differences are then exact.
    let s = 1.0 - p01.max(p10) - p01.min(p10);
    let ones = best_share(p01, p10, s);
    let (of_zero, of_one) = (ones * s, (1.0 - ones) * s);
    let zero = divergence(p01, of_zero) + divergence(1.0 - p01, -of_zero);
    let one = divergence(1.0 - p10, -of_one) + divergence(p10, of_one);
    ((1.0 - ones) * zero + ones * one).clamp(0.0, LN_2) / LN_2
}

/// The share of stored ones that tells most.
fn best_share(p01: f64, p10: f64, s: f64) -> f64 {
    let read_one = f64::midpoint(p01, 1.0 - p10);
    // It is one half but for the order of this quotient, and information is flat at the best share:
    // at 1e-4 both this and the rounding below cost 1e-9 of it at most.
    if s.abs() <= 1e-4 * read_one * (1.0 - read_one) {
        return 0.5;
    }
    let odds = ((binary_entropy(p10) - binary_entropy(p01)) / s).exp2();
    ((1.0 + odds).recip() - p01) / s
}

/// The part of one outcome in a Kullback-Leibler divergence, in nats: its probability is `p`, and
/// `p + excess` by the other probability. The excesses of all outcomes cancel and are added here, which
/// leaves no part below 0: `p ln(p / (p + excess)) + excess`.
fn divergence(p: f64, excess: f64) -> f64 {
    let x = excess / p;
    if p == 0.0 {
        excess
    } else if x.abs() < 1e-3 {
        p * x * x * (0.5 - x * (1.0 / 3.0 - x * (0.25 - x * 0.2)))
    } else {
        p * (x - x.ln_1p())
    }
}

/// The fewest extra stored bits per data bit with which any code can leave a share `residual` of
/// the data bits wrong; infinite where a stored bit is worth nothing.
///
/// # Formula
/// `(1 - H2(residual)) / C - 1`, which is `1 / C - 1` for data without a wrong bit: capacity, and
/// the rate-distortion function of fair bits (Shannon, IRE National Convention Record, part 4, 142,
/// 1959). Codes come near it only with ever longer words.
///
/// ```
/// use qtaml_fault::ecc::least_overhead;
/// use qtaml_physics::FlipProbability;
///
/// let p = FlipProbability::symmetric(0.1)?;
/// assert!((least_overhead(p, 0.0) - 0.883).abs() < 1e-3);
/// // Flips that may stay cost nothing.
/// assert!(least_overhead(p, 0.1).abs() < 1e-12);
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
pub fn least_overhead(flips: FlipProbability, residual: f64) -> f64 {
    (1.0 - binary_entropy(residual)) / capacity(flips) - 1.0
}

#[cfg(test)]
mod tests {
    use approx::{assert_abs_diff_eq, assert_relative_eq};
    use proptest::prelude::*;

    use super::*;

    /// Mutual information of stored and read bits where a share `ones` of the stored ones are 1.
    fn information(ones: f64, p01: f64, p10: f64) -> f64 {
        let read_one = ones * (1.0 - p10) + (1.0 - ones) * p01;
        binary_entropy(read_one) - ones * binary_entropy(p10) - (1.0 - ones) * binary_entropy(p01)
    }

    proptest! {
        /// No share of ones does better, and the best on a grid comes close.
        #[test]
        fn capacity_is_the_largest_information(p01 in 0.0..=1.0_f64, p10 in 0.0..=1.0_f64) {
            let capacity = capacity(FlipProbability::asymmetric(p01, p10).unwrap());
            let shares = (0..=2000).map(|i| information(f64::from(i) / 2000.0, p01, p10));
            let largest = shares.fold(0.0, f64::max);
            prop_assert!(largest <= capacity + 1e-9, "{largest} > {capacity}");
            prop_assert!(capacity - largest < 1e-5, "{largest} < {capacity}");
        }
    }

    /// `mpmath`, 30 digits: the information at the root of its derivative.
    #[test]
    fn capacities_match_reference_values() {
        for (p01, p10, expected) in [
            (0.1, 0.1, 0.531_004_406_410_718_8),
            (0.01, 0.2, 0.577_870_315_861_810_9),
            (0.3, 0.05, 0.373_143_240_646_105_7),
            (1e-6, 0.4, 0.406_775_442_234_509_2),
            (0.955, 0.04, 0.000_110_860_062_313_873_08),
            (0.3, 0.7001, 8.588_288_548_150_877e-9),
            (1e-6, 0.999_998_9, 1.718_253_894_482_311e-9),
            (0.25, 0.74999, 9.617_838_703_151_397e-11),
            (0.971, 0.029_000_001, 6.404_235_524_894_827_5e-18),
        ] {
            let flips = FlipProbability::asymmetric(p01, p10).unwrap();
            assert_relative_eq!(capacity(flips), expected, max_relative = 1e-9);
        }
    }

    #[test]
    fn a_bit_that_tells_nothing_is_worth_nothing() {
        let capacity = |p01, p10| capacity(FlipProbability::asymmetric(p01, p10).unwrap());
        assert_eq!(capacity(0.5, 0.5), 0.0);
        assert_eq!(capacity(0.25, 0.75), 0.0);
        assert_eq!(capacity(0.0, 0.0), 1.0);
        assert_eq!(capacity(1.0, 1.0), 1.0, "always wrong is as good as always right");
        assert_abs_diff_eq!(capacity(1.0, 0.0), 0.0);
        let lost = FlipProbability::symmetric(0.5).unwrap();
        assert_eq!(least_overhead(lost, 0.0), f64::INFINITY);
    }

    /// Where the two rows of the channel are equal but for rounding, and on the way there.
    #[test]
    fn capacity_falls_to_nothing_without_a_jump() {
        for i in 1..1000 {
            let p01 = f64::from(i) / 1000.0;
            let of = |p10| capacity(FlipProbability::asymmetric(p01, p10).unwrap());
            let lost = 1.0 - p01;
            for p10 in [lost.next_down(), lost, lost.next_up(), f64::from(1000 - i) / 1000.0] {
                assert!(of(p10) < 1e-28, "{p01} {p10}: {}", of(p10));
            }
            for side in [-1.0, 1.0] {
                let room = if side < 0.0 { lost } else { p01 };
                let falling = (0..100).map(|k| of(lost + side * room * 0.8_f64.powi(k)));
                assert!(falling.is_sorted_by(|a, b| a > b), "{p01}, side {side}");
            }
        }
    }
}
