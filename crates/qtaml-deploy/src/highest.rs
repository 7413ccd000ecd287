//! The highest value of a row, and its margin.

use crate::Output;

/// The position of the first of the highest values; none where no value is a number.
///
/// ```
/// use qtaml_deploy::highest;
///
/// assert_eq!(highest(&[0.0, 3.0, 3.0]), Some(1));
/// assert_eq!(highest(&[f32::NAN, -1.0]), Some(1));
/// ```
pub fn highest(row: &[f32]) -> Option<usize> {
    let best = row.iter().copied().filter(|value| !value.is_nan()).reduce(f32::max)?;
    row.iter().position(|value| *value == best)
}

/// By how much the highest value of a row leads the second; 0 for a single one. Values that are no
/// numbers do not take part.
pub fn margin(row: &[f32]) -> f64 {
    let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    let mut numbers = 0;
    for &value in row.iter().filter(|value| !value.is_nan()) {
        numbers += 1;
        if value > first {
            (first, second) = (value, first);
        } else if value > second {
            second = value;
        }
    }
    // Two infinities are equal, and their difference is no number.
    if numbers < 2 || first == second { 0.0 } else { f64::from(first) - f64::from(second) }
}

/// Whether two rows have their highest value at the same place. A row without numbers agrees with
/// nothing.
pub(crate) fn agree(a: &[f32], b: &[f32]) -> bool {
    highest(a).is_some_and(|class| highest(b) == Some(class))
}

/// The share of rows of which two models say something else, over all outputs with two classes at
/// least; none if no output has them.
///
/// Outputs must be of the same shapes.
pub(crate) fn disagreement(golden: &[Output], faulty: &[Output]) -> Option<f64> {
    let classes = golden.iter().zip(faulty).filter(|(golden, _)| golden.classes() > 1);
    let (mut rows, mut others) = (0_usize, 0_usize);
    for (a, b) in classes.flat_map(|(golden, faulty)| golden.rows().zip(faulty.rows())) {
        rows += 1;
        others += usize::from(!agree(a, b));
    }
    (rows > 0).then(|| others as f64 / rows as f64)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    #[test]
    fn a_margin_is_a_lead() {
        assert_eq!(margin(&[1.0, 4.0, 2.5]), 1.5);
        assert_eq!(margin(&[4.0, 1.0, 4.0]), 0.0);
        assert_eq!(margin(&[1.0]), 0.0);
        assert_eq!(margin(&[f32::NAN, 1.0, -1.0]), 2.0);
        assert_eq!(margin(&[f32::INFINITY, f32::INFINITY]), 0.0);
        assert_eq!(margin(&[f32::INFINITY, 0.0]), f64::INFINITY);
    }

    #[test]
    fn the_highest_value_wins_and_nan_never() {
        assert_eq!(highest(&[0.0, 3.0, 3.0]), Some(1));
        assert_eq!(highest(&[f32::NAN, -1.0]), Some(1));
        assert_eq!(highest(&[f32::NEG_INFINITY; 2]), Some(0));
        assert_eq!((highest(&[f32::NAN]), highest(&[])), (None, None));
    }

    #[test]
    fn rows_without_numbers_agree_with_nothing() {
        let nan = [f32::NAN; 2];
        assert!(agree(&[0.0, 1.0], &[-5.0, 2.0]) && !agree(&[0.0, 1.0], &[1.0, 0.0]));
        assert!(!agree(&nan, &nan) && !agree(&nan, &[0.0, 1.0]) && !agree(&[0.0, 1.0], &nan));
    }

    #[test]
    fn outputs_of_one_value_say_nothing_that_could_differ() {
        let output =
            |shape: [usize; 2], values: &[f32]| Output::new("y", shape, values.to_vec()).unwrap();
        let of = |a: &Output, b: &Output| disagreement(from_ref(a), from_ref(b));
        assert_eq!(of(&output([2, 1], &[1.0, 2.0]), &output([2, 1], &[9.0, 9.0])), None);
        let (a, b) = (output([2, 2], &[0.0, 1.0, 0.0, 1.0]), output([2, 2], &[0.0, 1.0, 1.0, 0.0]));
        assert_eq!((of(&a, &b), of(&a, &a)), (Some(0.5), Some(0.0)));
    }
}
