//! The paired comparison of two methods, over the same seeds or fault patterns.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::rank::ranks;
use super::{LEVEL, mean_at};

/// A comparison in pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Mean of the differences.
    pub difference: f64,
    /// Its interval by Student's t, of 95 % where nothing else is said.
    pub interval: [f64; 2],
    /// Mean difference over the standard deviation of the differences (Cohen's d for pairs).
    pub effect: f64,
    /// Two-sided p-value of Student's paired t-test.
    pub t_test: f64,
    /// Two-sided p-value of Wilcoxon's signed-rank test, which does not assume normality.
    pub wilcoxon: f64,
}

impl Paired {
    /// Compares `a[i]` with `b[i]`; differences are `a - b`.
    ///
    /// # Errors
    ///
    /// Fewer than two pairs, or lists of different lengths.
    pub fn new(a: &[f64], b: &[f64]) -> Result<Self> {
        Self::at(a, b, LEVEL)
    }

    /// The same with an interval that misses as often as `level` says.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn at(a: &[f64], b: &[f64], level: f64) -> Result<Self> {
        ensure!(a.len() == b.len(), "{} values cannot be paired with {}", a.len(), b.len());
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let mean = mean_at(&differences, level)?;
        let n = differences.len() as f64;
        Ok(Self {
            difference: mean.value,
            interval: mean.interval,
            effect: if mean.value == 0.0 { 0.0 } else { mean.value / mean.deviation },
            t_test: t_test(mean.value, mean.deviation, n)?,
            wilcoxon: wilcoxon(&differences),
        })
    }
}

fn t_test(mean: f64, deviation: f64, n: f64) -> Result<f64> {
    if mean == 0.0 {
        return Ok(1.0);
    }
    let t = mean.abs() / (deviation / n.sqrt());
    let student = StudentsT::new(0.0, 1.0, n - 1.0).context("Student's t")?;
    Ok(2.0 * student.sf(t))
}

/// Differences up to which the null distribution is counted out.
const EXACT: usize = 50;

/// Two-sided p-value of Wilcoxon's signed-rank test (F. Wilcoxon, Biometrics Bulletin 1, 80, 1945).
///
/// Pairs without a difference are left out. Up to 50 differences without ties the distribution is
/// exact; otherwise it is normal with the variance corrected for ties and for continuity.
fn wilcoxon(differences: &[f64]) -> f64 {
    let different: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let n = different.len();
    if n == 0 {
        return 1.0;
    }
    let ranks = ranks(&different.iter().map(|d| d.abs()).collect::<Vec<_>>());
    let signed = different.iter().zip(&ranks).filter(|(d, _)| **d > 0.0);
    let positive: f64 = signed.map(|(_, rank)| rank).sum();
    let total = (n * (n + 1)) as f64 / 2.0;
    let smaller = positive.min(total - positive);
    // Ranks that are shared have a smaller sum of squares than those that are not.
    let squares: f64 = ranks.iter().map(|rank| rank * rank).sum();
    let tied = squares < (n * (n + 1) * (2 * n + 1)) as f64 / 6.0;
    if n <= EXACT && !tied {
        return (2.0 * share_at_most(n, smaller as usize)).min(1.0);
    }
    // The variance is a quarter of that sum, ties or not.
    let deviation = (squares / 4.0).sqrt();
    let z = (total / 2.0 - smaller - 0.5).max(0.0) / deviation;
    2.0 * Normal::standard().sf(z)
}

/// The share of all sign patterns of `1..=n` whose positive ranks add up to at most `sum`.
fn share_at_most(n: usize, sum: usize) -> f64 {
    let mut share = vec![0.0; n * (n + 1) / 2 + 1];
    share[0] = 1.0;
    for rank in 1..=n {
        for s in (0..share.len()).rev() {
            let with = if s >= rank { share[s - rank] } else { 0.0 };
            share[s] = f64::midpoint(share[s], with);
        }
    }
    share[..=sum].iter().sum()
}

/// Holm's correction: p-values that may be compared with the level as if there were one test
/// (S. Holm, Scandinavian Journal of Statistics 6, 65, 1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (tests_before, &at) in order.iter().enumerate() {
        let remaining = (p_values.len() - tests_before) as f64;
        largest = largest.max((remaining * p_values[at]).min(1.0));
        corrected[at] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Student's sleep data (1908): R's paired `t.test` gives t = -4.0621, p = 0.002833.
    #[test]
    fn the_paired_t_test_is_students() {
        let first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let paired = Paired::new(&first, &second).unwrap();
        assert!((paired.difference + 1.58).abs() < 1e-12);
        assert!((paired.t_test - 0.002_833).abs() < 1e-6, "{paired:?}");
        assert!((paired.effect * 10.0_f64.sqrt() + 4.0621).abs() < 1e-4);
    }

    /// The depression data of Hollander and Wolfe (1973) in the manual of R's `wilcox.test`, in thousandths: V = 40,
    /// one-sided p = 0.01953, so two-sided 0.03906.
    #[test]
    fn few_signed_ranks_are_counted_out() {
        let x = [1830.0, 500.0, 1620.0, 2480.0, 1680.0, 1880.0, 1550.0, 3060.0, 1300.0];
        let y = [878.0, 647.0, 598.0, 2050.0, 1060.0, 1290.0, 1060.0, 3140.0, 1290.0];
        let p = Paired::new(&x, &y).unwrap().wilcoxon;
        assert!((p - 20.0 / 512.0).abs() < 1e-12, "{p}");
    }

    #[test]
    fn many_signed_ranks_are_normal() {
        let differences: Vec<f64> =
            (1..=EXACT).map(|i| i as f64 * if i % 3 == 0 { -1.0 } else { 1.0 }).collect();
        let exact = wilcoxon(&differences);
        let mut one_more = differences;
        one_more.push(0.5);
        let normal = wilcoxon(&one_more);
        assert!(exact < 0.05 && normal < exact && normal > 0.3 * exact, "{exact} {normal}");
    }

    #[test]
    fn no_difference_is_no_evidence() {
        let same = Paired::new(&[1.0, 2.0], &[1.0, 2.0]).unwrap();
        assert_eq!((same.t_test, same.wilcoxon, same.effect), (1.0, 1.0, 0.0));
        assert!(Paired::new(&[1.0, 2.0], &[1.0]).is_err());
    }

    /// R's `p.adjust(c(0.04, 0.01, 0.03, 0.02), "holm")`.
    #[test]
    fn holm_is_p_adjust() {
        let corrected = holm(&[0.04, 0.01, 0.03, 0.02]);
        for (found, expected) in corrected.iter().zip([0.06, 0.04, 0.06, 0.06]) {
            assert!((found - expected).abs() < 1e-12, "{corrected:?}");
        }
    }
}
