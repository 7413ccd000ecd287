//! The output noise at which a share of the predictions changes, without labels.

use statrs::function::erf::erfc;

use crate::DisagreementError;
use crate::allocation::bisect;

/// The output noise at which a wanted share of the predictions changes.
///
/// `margins` are those of calibration images, the best score minus the second best; no label is
/// needed. The noise is what [`Allocation::distortion`](crate::Allocation::distortion) predicts:
/// `τ = E||δf||²`, summed over the classes, in the mean over images.
///
/// # Formula
/// Gaussian noise of variance `τ / C` on each of `C` scores, independent of each other, swaps the
/// best two of an image of margin `m` with probability `Q(m / sqrt(2 τ / C))`, where `Q` is the
/// upper tail of the normal distribution. The mean over the images is set equal to `share`. That
/// only the best two can swap, and that the noise is independent, are approximations (ours).
///
/// # Errors
/// [`DisagreementError::Classes`] for fewer than 2 classes, [`DisagreementError::Margin`] for a
/// margin that is negative, NaN or infinite, and [`DisagreementError::Share`] unless `share`
/// is more than half the share of margins that are 0, and less than one half. Without margins there
/// is no such share.
///
/// ```
/// use qtaml_compensation::noise_for_disagreement;
///
/// // Q(1.644854) = 0.05, and 10 classes share the noise.
/// let noise = noise_for_disagreement(&[2.0], 10, 0.05)?;
/// assert!((noise - 5.0 * (2.0_f64 / 1.644_853_626_951_473).powi(2)).abs() < 1e-9);
/// # Ok::<(), qtaml_compensation::DisagreementError>(())
/// ```
pub fn noise_for_disagreement(
    margins: &[f64],
    classes: usize,
    share: f64,
) -> Result<f64, DisagreementError> {
    if classes < 2 {
        return Err(DisagreementError::Classes(classes));
    }
    let bad = |margin: &f64| !(margin.is_finite() && *margin >= 0.0);
    if let Some(index) = margins.iter().position(bad) {
        return Err(DisagreementError::Margin { index, value: margins[index] });
    }
    let mean = |sum: f64| sum / margins.len() as f64;
    let ties = margins.iter().filter(|margin| **margin == 0.0).count();
    let least = mean(ties as f64) / 2.0;
    // False as well without margins, where `least` is NaN.
    if !(share > least && share < 0.5) {
        return Err(DisagreementError::Share { share, least });
    }
    // In units of the standard deviation of a difference of two scores, Q(x) = erfc(x / sqrt 2) /
    // 2.
    let swapped = |sigma: f64| {
        mean(margins.iter().map(|m| 0.5 * erfc(m / sigma * std::f64::consts::FRAC_1_SQRT_2)).sum())
    };
    let (_, sigma) = bisect(0.0, f64::MAX, |sigma| swapped(sigma) >= share);
    Ok(sigma * sigma * classes as f64 / 2.0)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    /// One margin: the quantile of the normal distribution, mpmath, 30 digits.
    #[test]
    fn one_margin_is_a_quantile() {
        let quantiles = [
            (0.25, 0.674_489_750_196_081_7),
            (0.05, 1.644_853_626_951_472_7),
            (1e-3, 3.090_232_306_167_813_5),
            (1e-9, 5.997_807_015_007_687),
        ];
        for (share, quantile) in quantiles {
            let noise = noise_for_disagreement(&[3.0], 2, share).unwrap();
            assert_relative_eq!(noise, (3.0_f64 / quantile).powi(2), max_relative = 1e-9);
        }
    }

    proptest! {
        #[test]
        fn more_disagreement_needs_more_noise(
            margins in prop::collection::vec(1e-3_f64..100.0, 1..50),
            share in 0.001_f64..0.4, more in 1.05_f64..1.2, scale in 0.1_f64..10.0,
        ) {
            let noise =
                |margins: &[f64], share| noise_for_disagreement(margins, 10, share).unwrap();
            let tau = noise(&margins, share);
            prop_assert!(noise(&margins, share * more) > tau);
            // Noise is a square: margins twice as large bear four times as much.
            let scaled: Vec<f64> = margins.iter().map(|m| m * scale).collect();
            assert_relative_eq!(noise(&scaled, share), tau * scale * scale, max_relative = 1e-9);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |margins: &[f64], classes, share| {
            noise_for_disagreement(margins, classes, share).unwrap_err()
        };
        assert_eq!(refused(&[1.0], 1, 0.1), DisagreementError::Classes(1));
        for value in [-1.0, f64::INFINITY] {
            assert_eq!(
                refused(&[1.0, value], 2, 0.1),
                DisagreementError::Margin { index: 1, value }
            );
        }
        for share in [0.0, 0.5, 1.0, f64::NAN] {
            let error = refused(&[1.0], 2, share);
            assert!(matches!(error, DisagreementError::Share { .. }), "{share}");
        }
        // Half of the ties swap at the least noise.
        let error = DisagreementError::Share { share: 0.2, least: 0.25 };
        assert_eq!(refused(&[0.0, 1.0], 2, 0.2), error);
        assert!(refused(&[], 2, 0.1).to_string().contains("NaN < share"));
    }
}
