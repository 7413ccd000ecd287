//! Rank correlation.

use anyhow::{Result, ensure};

/// Spearman's rank correlation (C. Spearman, American Journal of Psychology 15, 72, 1904): Pearson's,
/// of the ranks; equal values share the mean of theirs.
///
/// # Errors
///
/// Lists of different lengths, or one in which all values are equal.
pub fn spearman(a: &[f64], b: &[f64]) -> Result<f64> {
    ensure!(a.len() == b.len(), "{} values cannot be compared with {}", a.len(), b.len());
    let (a, b) = (ranks(a), ranks(b));
    let middle = f64::midpoint(a.len() as f64, 1.0);
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    ensure!(spread > 0.0, "a rank correlation needs values that differ");
    Ok(product(&a, &b) / spread)
}

/// Ranks from 1; equal values share the mean of theirs.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let shared = before as f64 + f64::midpoint(group.len() as f64, 1.0);
        for &i in group {
            ranks[i] = shared;
        }
        before += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 1.0]), [3.0, 1.5, 1.5]);
    }

    /// R's `cor(c(1, 2, 3, 4, 5), c(2, 1, 4, 3, 7), method = "spearman")`: 1 - 6 * 4 / 120 = 0.8.
    #[test]
    fn it_is_the_correlation_of_ranks() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!((spearman(&a, &[2.0, 1.0, 4.0, 3.0, 7.0]).unwrap() - 0.8).abs() < 1e-12);
        assert_eq!(spearman(&a, &a.map(|x: f64| -x.exp())).unwrap(), -1.0);
        assert!(spearman(&a, &[1.0; 5]).is_err());
        assert!(spearman(&a, &a[1..]).is_err());
    }
}
