//! What no code can beat.

use qtaml_physics::FlipProbability;

/// Bits of surprise in an event of probability `p`.
///
/// # Formula
/// `H2(p) = -p log2 p - (1 - p) log2 (1 - p)`; NaN outside 0 to 1.
pub fn binary_entropy(p: f64) -> f64 {
    let of = |x: f64, ln_x: f64| if x == 0.0 { 0.0 } else { -x * ln_x };
    (of(p, p.ln()) + of(1.0 - p, (-p).ln_1p())) / std::f64::consts::LN_2
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
/// (textbook; it is 0 for `s = 0`, where what is read tells nothing).
///
/// ```
/// use qtaml_fault::code::capacity;
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
    let (h01, h10) = (binary_entropy(p01), binary_entropy(p10));
    let s = 1.0 - p01 - p10;
    if flips.is_symmetric() {
        return 1.0 - h01;
    }
    if s == 0.0 {
        return 0.0;
    }
    let capacity = ((h01 - h10) / s).exp2().ln_1p() / std::f64::consts::LN_2
        - ((1.0 - p10) * h01 - p01 * h10) / s;
    capacity.clamp(0.0, 1.0)
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
/// use qtaml_fault::code::least_overhead;
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
        ] {
            let flips = FlipProbability::asymmetric(p01, p10).unwrap();
            assert_relative_eq!(capacity(flips), expected, max_relative = 1e-13);
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
}
