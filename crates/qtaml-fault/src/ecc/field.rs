//! Arithmetic in the finite field GF(2^m), by logarithms.

use std::ops::RangeInclusive;

/// The fields that there are tables for.
pub(super) const DEGREES: RangeInclusive<u32> = 3..=10;

/// Primitive polynomials, from degree 3 on: Lin and Costello, "Error Control Coding", 2nd edition,
/// 2004, table 2.7. Bit i is the coefficient of x^i.
const PRIMITIVE: [u16; 8] = [0xb, 0x13, 0x25, 0x43, 0x89, 0x11d, 0x211, 0x409];

/// GF(2^m) with its primitive element α. Elements are their coordinates, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// α^i, twice around, so that a sum of two logarithms needs no reduction.
    powers: Vec<u16>,
    logarithms: Vec<u16>,
}

impl Field {
    /// The field of 2^m elements; `None` outside [`DEGREES`].
    pub(super) fn new(m: u32) -> Option<Self> {
        let polynomial = *PRIMITIVE.get(m.checked_sub(*DEGREES.start())? as usize)?;
        let order = (1 << m) - 1;
        let (mut powers, mut logarithms) = (vec![1; 2 * order], vec![0; order + 1]);
        for i in 1..2 * order {
            let shifted = powers[i - 1] << 1;
            powers[i] = if shifted >> m == 0 { shifted } else { shifted ^ polynomial };
        }
        for (i, &power) in powers[..order].iter().enumerate() {
            logarithms[usize::from(power)] = i as u16;
        }
        Some(Self { powers, logarithms })
    }

    /// The number of elements other than 0: 2^m - 1.
    pub(super) fn order(&self) -> usize {
        self.powers.len() / 2
    }

    /// α^i.
    pub(super) fn power(&self, i: usize) -> u16 {
        self.powers[i % self.order()]
    }

    /// The i with α^i = x, for x other than 0.
    pub(super) fn logarithm(&self, x: u16) -> usize {
        usize::from(self.logarithms[usize::from(x)])
    }

    pub(super) fn multiply(&self, x: u16, y: u16) -> u16 {
        if x == 0 || y == 0 { 0 } else { self.powers[self.logarithm(x) + self.logarithm(y)] }
    }

    /// x / y, for y other than 0.
    pub(super) fn divide(&self, x: u16, y: u16) -> u16 {
        if x == 0 { 0 } else { self.powers[self.logarithm(x) + self.order() - self.logarithm(y)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplication of polynomials, reduced by hand: no table.
    fn product(x: u16, y: u16, m: u32) -> u16 {
        let polynomial = u32::from(PRIMITIVE[m as usize - 3]);
        let mut product = (0..16).filter(|i| y >> i & 1 == 1).fold(0, |p, i| p ^ u32::from(x) << i);
        for i in (m..2 * m).rev().filter(|i| i < &31) {
            if product >> i & 1 == 1 {
                product ^= polynomial << (i - m);
            }
        }
        product as u16
    }

    #[test]
    fn alpha_reaches_every_element() {
        for m in DEGREES {
            let field = Field::new(m).unwrap();
            assert_eq!(field.order(), (1 << m) - 1);
            let mut elements: Vec<u16> = (0..field.order()).map(|i| field.power(i)).collect();
            elements.sort_unstable();
            assert!(elements.into_iter().eq(1..=field.order() as u16), "{m}");
        }
        assert!(Field::new(2).is_none() && Field::new(11).is_none() && Field::new(0).is_none());
    }

    #[test]
    fn products_are_those_of_polynomials() {
        for m in DEGREES {
            let field = Field::new(m).unwrap();
            let elements = || (0..=field.order() as u16).step_by(1 << m.saturating_sub(6));
            for (x, y) in elements().flat_map(|x| elements().map(move |y| (x, y))) {
                assert_eq!(field.multiply(x, y), product(x, y, m), "{x} * {y} in GF(2^{m})");
                if y != 0 {
                    assert_eq!(field.divide(field.multiply(x, y), y), x);
                }
            }
        }
    }
}
