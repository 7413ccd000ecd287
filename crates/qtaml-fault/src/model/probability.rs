//! Probabilities as binary fractions, where `f64` would round.

/// A probability as a whole number of 2^-120.
///
/// Every `f64` from 2^-67 (6.8e-21) to 1 is exact, and so is the complement of it; a product is
/// off by less than 2^-120.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fraction(u128);

impl Fraction {
    /// Binary digits after the point.
    pub(crate) const DIGITS: u32 = 120;
    /// Certainty.
    pub(crate) const ONE: Self = Self(1 << Self::DIGITS);

    /// The fraction nearest below `p`, which is taken to be in `0..=1`.
    pub(crate) fn new(p: f64) -> Self {
        // Scaling by a power of two is exact.
        Self(((p * 2.0_f64.powi(Self::DIGITS as i32)) as u128).min(Self::ONE.0))
    }

    /// How many 2^-120 it is.
    pub(crate) const fn units(self) -> u128 {
        self.0
    }

    /// The probability of the opposite.
    pub(crate) const fn complement(self) -> Self {
        Self(Self::ONE.0 - self.0)
    }

    /// The probability that two independent events both happen, rounded down.
    pub(crate) const fn both(self, other: Self) -> Self {
        const HALF: u32 = Fraction::DIGITS / 2;
        const LOW: u128 = (1 << HALF) - 1;
        let (a, b) = ((self.0 >> HALF, self.0 & LOW), (other.0 >> HALF, other.0 & LOW));
        let middle = a.0 * b.1 + a.1 * b.0 + ((a.1 * b.1) >> HALF);
        Self(a.0 * b.0 + (middle >> HALF))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(fraction: Fraction) -> f64 {
        fraction.units() as f64 * 2.0_f64.powi(-120)
    }

    #[test]
    fn a_fraction_is_the_probability_itself() {
        for p in [0.0, 1e-20, 1e-18, 1e-9, 0.1, 0.3, 0.5, 1.0 - f64::EPSILON / 2.0, 1.0] {
            assert_eq!(back(Fraction::new(p)), p);
        }
        assert_eq!(Fraction::new(0.1).complement().complement(), Fraction::new(0.1));
        assert_eq!(Fraction::ONE.complement(), Fraction::new(0.0));
    }

    #[test]
    fn products_are_exact_where_there_is_room() {
        // Both factors have few digits, so the product has all of them.
        for (a, b) in [(0.5, 0.5), (0.75, 0.625), (1.0, 0.1), (0.0, 0.3), (1.0, 1.0)] {
            assert_eq!(back(Fraction::new(a).both(Fraction::new(b))), a * b);
        }
        // 0.1 as f64 is 3602879701896397 / 2^55: squared, an integer below 2^104 over 2^110.
        let tenth = 3_602_879_701_896_397_u128;
        assert_eq!(Fraction::new(0.1).both(Fraction::new(0.1)).units(), (tenth * tenth) << 10);
    }
}
