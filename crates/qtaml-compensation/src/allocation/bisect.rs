//! Bisection to the last bit of a float.

/// The neighbouring numbers between which `holds` turns from false to true. It is not asked about
/// the ends: it is taken to be false at `no` and true at `yes`, both of which are not negative.
///
/// Nonnegative floats are ordered like their bit patterns. Halving the patterns therefore takes 64
/// steps at most, whatever the number of decades in between.
pub(crate) fn bisect(no: f64, yes: f64, mut holds: impl FnMut(f64) -> bool) -> (f64, f64) {
    let (mut no, mut yes) = (no.to_bits(), yes.to_bits());
    while yes - no > 1 {
        let middle = no + (yes - no) / 2;
        *if holds(f64::from_bits(middle)) { &mut yes } else { &mut no } = middle;
    }
    (f64::from_bits(no), f64::from_bits(yes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_border_is_found_in_64_steps(border in 1e-300_f64..1e300) {
            let mut steps = 0;
            let (no, yes) = bisect(0.0, f64::MAX, |x| {
                steps += 1;
                x >= border
            });
            prop_assert!(no < border && yes == border && steps <= 64);
        }
    }
}
