//! Range and moments of numbers that come in pieces.

/// The range and the first four central moments of numbers, and the numbers that are none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moments {
    /// Finite numbers.
    pub(super) count: u64,
    pub(super) min: f32,
    pub(super) max: f32,
    pub(super) not_finite: u64,
    /// The place of the first one that is not.
    pub(super) first_not_finite: Option<u64>,
    mean: f64,
    /// Sums of powers of the distance to the mean.
    second: f64,
    third: f64,
    fourth: f64,
}

impl Moments {
    pub(super) const NONE: Self = Self {
        count: 0,
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
        not_finite: 0,
        first_not_finite: None,
        mean: 0.0,
        second: 0.0,
        third: 0.0,
        fourth: 0.0,
    };

    /// Those of some numbers, the first of which is number `first`.
    pub(super) fn of(values: &[f32], first: u64) -> Self {
        let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
        if !sum.is_finite() {
            return Self::with_gaps(values, first);
        }
        let mean = if values.is_empty() { 0.0 } else { sum / values.len() as f64 };
        let mut moments = Self { count: values.len() as u64, mean, ..Self::NONE };
        for &value in values {
            moments.min = moments.min.min(value);
            moments.max = moments.max.max(value);
            let off = f64::from(value) - mean;
            let square = off * off;
            moments.second += square;
            moments.third += square * off;
            moments.fourth += square * square;
        }
        moments
    }

    /// Of the finite ones among them.
    fn with_gaps(values: &[f32], first: u64) -> Self {
        let finite: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let gap = values.iter().position(|value| !value.is_finite());
        Self {
            not_finite: (values.len() - finite.len()) as u64,
            first_not_finite: gap.map(|i| first + i as u64),
            ..Self::of(&finite, first)
        }
    }

    /// Those of these numbers and others behind them.
    ///
    /// # Formula
    /// The pairwise updates of P. Pébay, SAND2008-6212, equations 3.1 and 2.1.
    pub(super) fn and(self, other: Self) -> Self {
        let (a, b) = (self.count as f64, other.count as f64);
        let n = a + b;
        let gaps = Self {
            not_finite: self.not_finite + other.not_finite,
            first_not_finite: self.first_not_finite.or(other.first_not_finite),
            ..if self.count == 0 { other } else { self }
        };
        if self.count == 0 || other.count == 0 {
            return gaps;
        }
        let d = other.mean - self.mean;
        let (d2, ab) = (d * d, a * b);
        let third =
            d2 * d * ab * (a - b) / (n * n) + 3.0 * d * (a * other.second - b * self.second) / n;
        let fourth = d2 * d2 * ab * (a * a - ab + b * b) / (n * n * n)
            + 6.0 * d2 * (a * a * other.second + b * b * self.second) / (n * n)
            + 4.0 * d * (a * other.third - b * self.third) / n;
        Self {
            count: self.count + other.count,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            mean: self.mean + d * b / n,
            second: self.second + other.second + d2 * ab / n,
            third: self.third + other.third + third,
            fourth: self.fourth + other.fourth + fourth,
            ..gaps
        }
    }

    /// The largest magnitude.
    pub(super) fn largest(&self) -> f64 {
        f64::from(self.max.max(-self.min))
    }

    /// The root of the mean square.
    pub(super) fn rms(&self) -> f64 {
        (self.second / self.count as f64 + self.mean * self.mean).sqrt()
    }

    /// The kurtosis, if not all numbers are the same: 3 for a normal distribution.
    pub(super) fn kurtosis(&self) -> Option<f64> {
        (self.second > 0.0).then(|| self.count as f64 * self.fourth / (self.second * self.second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize) -> Vec<f32> {
        (0..n)
            .map(|i| 1000.0 + (i as f32 * 0.37).sin() + if i % 97 == 0 { 5.0 } else { 0.0 })
            .collect()
    }

    /// By their definition, in one go.
    fn kurtosis(values: &[f32]) -> f64 {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let moment =
            |power| values.iter().map(|&v| (f64::from(v) - mean).powi(power)).sum::<f64>() / n;
        moment(4) / moment(2).powi(2)
    }

    #[test]
    fn pieces_have_the_moments_of_the_whole() {
        let values = values(10_000);
        let rms = (values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 1e4).sqrt();
        for piece in [10_000, 4096, 7, 1] {
            let pieces = values.chunks(piece).enumerate();
            let all = pieces
                .map(|(i, piece_values)| Moments::of(piece_values, (i * piece) as u64))
                .fold(Moments::NONE, Moments::and);
            assert_eq!((all.count, all.not_finite), (10_000, 0));
            let off = |value: f64, expected: f64| (value / expected - 1.0).abs();
            assert!(off(all.kurtosis().unwrap(), kurtosis(&values)) < 1e-9, "{piece}");
            assert!(off(all.rms(), rms) < 1e-12, "{piece}");
            assert_eq!(f64::from(all.max), all.largest());
        }
    }

    #[test]
    fn what_is_no_number_is_counted_and_left_out() {
        let pieces = [vec![1.0, 2.0], vec![3.0, f32::NAN, -5.0, f32::INFINITY], vec![f32::NAN]];
        let mut first = 0;
        let all = pieces.iter().fold(Moments::NONE, |all, piece| {
            let moments = Moments::of(piece, first);
            first += piece.len() as u64;
            all.and(moments)
        });
        assert_eq!((all.count, all.not_finite, all.first_not_finite), (4, 3, Some(3)));
        assert_eq!((all.min, all.max, all.largest()), (-5.0, 3.0, 5.0));
        assert_eq!(Moments::of(&[2.0, 2.0], 0).kurtosis(), None);
    }

    #[test]
    fn known_distributions_have_their_kurtosis() {
        let uniform: Vec<f32> = (0..100_001).map(|i| i as f32 / 1e5 - 0.5).collect();
        assert!((Moments::of(&uniform, 0).kurtosis().unwrap() - 1.8).abs() < 1e-4);
        let coin: Vec<f32> = (0..1000).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert_eq!(Moments::of(&coin, 0).kurtosis(), Some(1.0));
    }
}
