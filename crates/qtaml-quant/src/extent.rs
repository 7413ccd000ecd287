//! The extent of a group: its smallest and its largest weight.

use multiversion::multiversion;

use crate::QuantError;

/// The smallest and the largest of some weights, which may come in pieces.
///
/// ```
/// use qtaml_quant::Extent;
///
/// let mut extent = Extent::default();
/// extent.add(&[0.5, -2.0]);
/// extent.add(&[1.0]);
/// assert_eq!(extent.ends()?, (-2.0, 1.0));
/// # Ok::<(), qtaml_quant::QuantError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    low: i32,
    high: i32,
}

impl Default for Extent {
    /// That of no weights.
    fn default() -> Self {
        Self { low: i32::MAX, high: i32::MIN }
    }
}

/// The bits of a float as a number in the order of the floats, in which NaN is beyond infinity. It is its
/// own inverse.
#[inline(always)]
const fn in_order(bits: i32) -> i32 {
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

impl Extent {
    /// Takes more weights into account.
    #[inline]
    pub fn add(&mut self, weights: &[f32]) {
        const FEW: usize = 16;
        if weights.len() < FEW {
            for &weight in weights {
                self.add_one(weight);
            }
        } else {
            let [low, high] = ends(weights);
            *self = self.and(Self { low, high });
        }
    }

    #[inline(always)]
    pub(crate) fn add_one(&mut self, weight: f32) {
        let key = in_order(weight.to_bits() as i32);
        (self.low, self.high) = (self.low.min(key), self.high.max(key));
    }

    /// That of two parts of the weights.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Whether there were no weights.
    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    /// Whether all weights are finite.
    pub fn is_finite(self) -> bool {
        let [low, high] = self.values();
        self.is_empty() || low.is_finite() && high.is_finite()
    }

    /// The smallest and the largest weight.
    ///
    /// # Errors
    /// [`QuantError::Limit`] if one of the weights is NaN or infinite, [`QuantError::Empty`] without any.
    pub fn ends(self) -> Result<(f32, f32), QuantError> {
        if self.is_empty() {
            return Err(QuantError::Empty { shape: vec![0] });
        }
        let [low, high] = self.values();
        match [low, high].into_iter().find(|end| !end.is_finite()) {
            Some(end) => Err(QuantError::Limit(end)),
            None => Ok((low, high)),
        }
    }

    fn values(self) -> [f32; 2] {
        [self.low, self.high].map(|key| f32::from_bits(in_order(key) as u32))
    }
}

/// The lowest and the highest key; for these sets of vector instructions as well.
#[multiversion(targets("x86_64+avx2+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn ends(weights: &[f32]) -> [i32; 2] {
    let (mut low, mut high) = (i32::MAX, i32::MIN);
    for weight in weights {
        let key = in_order(weight.to_bits() as i32);
        (low, high) = (low.min(key), high.max(key));
    }
    [low, high]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_ends_is_named() {
        let ends = |weights: &[f32]| {
            let mut extent = Extent::default();
            extent.add(weights);
            extent.ends()
        };
        assert!(matches!(ends(&[]), Err(QuantError::Empty { .. })));
        assert_eq!(ends(&[0.0, -0.0]), Ok((-0.0, 0.0)));
        let mut many = vec![1.0; 100];
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            many[57] = bad;
            assert!(matches!(ends(&many), Err(QuantError::Limit(_))), "{bad}");
            assert!(matches!(ends(&[bad]), Err(QuantError::Limit(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ends_are_those_of_the_standard_order(
            mut weights in prop::collection::vec(any::<f32>(), 1..80),
            cut in any::<prop::sample::Index>(),
        ) {
            weights.retain(|weight| weight.is_finite());
            prop_assume!(!weights.is_empty());
            let cut = cut.index(weights.len());
            let mut extent = Extent::default();
            extent.add(&weights[..cut]);
            extent.add(&weights[cut..]);
            let low = weights.iter().copied().min_by(f32::total_cmp).unwrap();
            let high = weights.iter().copied().max_by(f32::total_cmp).unwrap();
            prop_assert_eq!(extent.ends(), Ok((low, high)));
            prop_assert!(extent.is_finite());
        }
    }
}
