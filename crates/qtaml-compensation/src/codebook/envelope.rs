//! The lower envelope of many straight lines.

/// The lower envelope of the lines `w -> b - 2 a w`: the lines that are lowest somewhere, in the
/// order in which they are so from left to right, and the points between them.
///
/// Rising `w` meets them with rising `a`. Of equal lines the first one counts.
///
/// # Formula
/// Lines `i` and `j` meet at `w = (b_j - b_i) / (2 (a_j - a_i))`. Sorted by `a`, a line leaves the
/// envelope when its successor undercuts it before it has undercut its predecessor (textbook: the
/// dual of Andrew's monotone chain, Information Processing Letters 9, 216, 1979).
pub(super) fn lower_envelope(a: &[f64], b: &[f64]) -> (Vec<u16>, Vec<f64>) {
    let mut lines: Vec<u16> = (0..a.len() as u16).collect();
    let key = |&line: &u16| (a[usize::from(line)], b[usize::from(line)]);
    lines.sort_unstable_by(|i, j| {
        let ((ai, bi), (aj, bj)) = (key(i), key(j));
        ai.total_cmp(&aj).then(bi.total_cmp(&bj)).then(i.cmp(j))
    });
    lines.dedup_by(|later, kept| key(later).0 == key(kept).0);

    let (mut lowest, mut between): (Vec<u16>, Vec<f64>) = (Vec::new(), Vec::new());
    for line in lines {
        let (a, b) = key(&line);
        while let Some(last) = lowest.last() {
            let (a_last, b_last) = key(last);
            let meet = (b - b_last) / (2.0 * (a - a_last));
            if between.last().is_none_or(|&before| before < meet) {
                between.push(meet);
                break;
            }
            between.pop();
            lowest.pop();
        }
        lowest.push(line);
    }
    (lowest, between)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the smallest of all lines, at any point.
        #[test]
        fn the_envelope_is_lowest_everywhere(
            lines in prop::collection::vec((-4..4_i32, -4..4_i32), 1..40),
            points in prop::collection::vec(-10.0..10.0_f64, 20),
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) =
                lines.iter().map(|&(a, b)| (f64::from(a), f64::from(b) / 3.0)).unzip();
            let (lowest, between) = lower_envelope(&a, &b);
            prop_assert_eq!(lowest.len(), between.len() + 1);
            prop_assert!(between.is_sorted_by(|x, y| x < y));
            for w in points {
                let height = |line: usize| b[line] - 2.0 * a[line] * w;
                let line = lowest[between.partition_point(|&t| t <= w)];
                let smallest = (0..a.len()).map(height).fold(f64::INFINITY, f64::min);
                prop_assert!(height(usize::from(line)) <= smallest + 1e-9);
            }
        }
    }

    #[test]
    fn of_equal_lines_the_first_counts() {
        assert_eq!(lower_envelope(&[1.0; 3], &[2.0; 3]), (vec![0], vec![]));
        assert_eq!(lower_envelope(&[1.0, 0.0, 1.0], &[1.0, 0.0, 1.0]), (vec![1, 0], vec![0.5]));
    }
}
