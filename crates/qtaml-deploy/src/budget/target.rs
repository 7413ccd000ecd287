//! Targets: a bound on a metric, in the mean or in yield.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, Binomial, ContinuousCDF as _, DiscreteCDF as _, StudentsT};

use super::EarlyDecision;
use crate::{BudgetError, Evaluation, UnknownName};

/// So many standard errors from the target a budget counts as surely enough, or as hopeless: of
/// resamples one in a thousand says otherwise.
const SURE: f64 = 3.0;

/// What of the devices has to reach the level.
///
/// ```
/// use qtaml_deploy::budget::Criterion;
///
/// assert_eq!("yield:0.95".parse::<Criterion>()?, Criterion::Yield(0.95));
/// assert_eq!(Criterion::Mean.to_string(), "mean");
/// # Ok::<(), qtaml_deploy::UnknownName>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Criterion {
    /// Their mean.
    #[default]
    Mean,
    /// At least this share of them, each by itself.
    Yield(f64),
}

impl Criterion {
    /// A yield is a share of devices that is not zero.
    fn is_possible(self) -> bool {
        match self {
            Self::Mean => true,
            Self::Yield(share) => share > 0.0 && share <= 1.0,
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Yield(share) => write!(f, "yield:{share}"),
        }
    }
}

impl FromStr for Criterion {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let share = || name.strip_prefix("yield:")?.parse().ok().map(Self::Yield);
        let known = if name == "mean" { Some(Self::Mean) } else { share() };
        known.filter(|criterion| criterion.is_possible()).ok_or_else(|| {
            let known = ["mean", "yield:Y with a share Y above 0 and up to 1"];
            UnknownName::new("criterion", name, known)
        })
    }
}

qtaml_quant::text_in_files!(Criterion);

/// Which values of a metric are enough, and on how many devices.
///
/// A mean that reaches the level says nothing of a single device: with a mean of 95.7 % of clean
/// accuracy, a third of the devices may be below 95 %. Yield is the share of those that are not.
///
/// ```
/// use qtaml_deploy::budget::Target;
///
/// let accuracies = [0.97, 0.96, 0.90, 0.97];
/// assert!(Target::mean(0.95).is_reached(&accuracies));
/// assert!(!Target::in_yield(0.95, 0.8)?.is_reached(&accuracies));
/// // Perplexity must not rise.
/// assert!(Target::mean(20.0).at_most().is_reached(&[18.0, 21.0]));
/// # Ok::<(), qtaml_deploy::BudgetError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Target {
    /// The value of the metric that has to be reached.
    pub level: f64,
    /// Whether larger values are better: the level is then the least, else the most.
    pub higher_is_better: bool,
    /// What of the devices has to reach it.
    pub criterion: Criterion,
}

/// What a target is compared with, and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The mean over devices, or the yield.
    #[serde(with = "super::json::number")]
    pub value: f64,
    /// Its 95 % interval: Student's for a mean, that of Clopper and Pearson for a yield.
    #[serde(with = "super::json::numbers")]
    pub interval: [f64; 2],
}

impl Target {
    /// A mean over devices of at least this level.
    pub const fn mean(level: f64) -> Self {
        Self { level, higher_is_better: true, criterion: Criterion::Mean }
    }

    /// At least this level on at least this share of the devices.
    ///
    /// # Errors
    /// [`BudgetError::OutOfRange`] unless the share is above 0 and at most 1.
    pub fn in_yield(level: f64, share: f64) -> Result<Self, BudgetError> {
        let target = Self { criterion: Criterion::Yield(share), ..Self::mean(level) };
        target.check()?;
        Ok(target)
    }

    /// A target for a metric: at least this level, or at most if smaller values are better.
    ///
    /// # Errors
    /// [`BudgetError::OutOfRange`] unless the level is finite and a yield above 0 and at most 1.
    pub fn of_metric(
        evaluation: &Evaluation,
        level: f64,
        criterion: Criterion,
    ) -> Result<Self, BudgetError> {
        let higher_is_better = evaluation.higher_is_better();
        let target = Self { level, higher_is_better, criterion };
        target.check()?;
        Ok(target)
    }

    /// The target to keep a share of the golden model's own score; where smaller values are better, the
    /// score may grow to it over that share.
    ///
    /// # Errors
    /// As [`of_metric`](Self::of_metric).
    pub fn keeping(
        evaluation: &Evaluation,
        share: f64,
        criterion: Criterion,
    ) -> Result<Self, BudgetError> {
        let clean = evaluation.clean();
        let level = if evaluation.higher_is_better() { clean * share } else { clean / share };
        Self::of_metric(evaluation, level, criterion)
    }

    /// The same for a metric of which smaller values are better: at most this level.
    #[must_use]
    pub const fn at_most(self) -> Self {
        Self { higher_is_better: false, ..self }
    }

    pub(super) fn check(&self) -> Result<(), BudgetError> {
        if let (Criterion::Yield(value), false) = (self.criterion, self.criterion.is_possible()) {
            let (what, allowed) = ("the yield", "a share above 0 and up to 1");
            return Err(BudgetError::OutOfRange { what, value, allowed });
        }
        if !self.level.is_finite() {
            let (what, allowed) = ("the level of the target", "a finite number");
            return Err(BudgetError::OutOfRange { what, value: self.level, allowed });
        }
        Ok(())
    }

    /// A device's part in the mean that is compared with [`threshold`](Self::threshold): both are made
    /// such that more is better.
    fn part(&self, value: f64) -> f64 {
        match self.criterion {
            Criterion::Mean => self.rising(value),
            Criterion::Yield(_) => {
                f64::from(u8::from(self.rising(value) >= self.rising(self.level)))
            }
        }
    }

    fn rising(&self, value: f64) -> f64 {
        if self.higher_is_better { value } else { -value }
    }

    /// What the mean of the parts must reach.
    fn threshold(&self) -> f64 {
        match self.criterion {
            Criterion::Mean => self.rising(self.level),
            Criterion::Yield(share) => share,
        }
    }

    /// By how much the values of some devices are above the target, below it if negative.
    pub(super) fn lead(&self, values: impl ExactSizeIterator<Item = f64>) -> f64 {
        let n = values.len() as f64;
        values.map(|value| self.part(value)).sum::<f64>() / n - self.threshold()
    }

    /// Whether the values of some devices reach the target. Values that are no numbers do not.
    pub fn is_reached(&self, values: &[f64]) -> bool {
        self.lead(values.iter().copied()) >= 0.0
    }

    /// Whether nearly all resamples of the devices reach the target, or nearly none; none if neither.
    pub(super) fn surely(&self, values: &[f64]) -> Option<bool> {
        let Spread { mean, variance } = self.spread(values);
        let error = variance.sqrt() / (values.len() as f64).sqrt();
        let distance = mean - self.threshold();
        (distance.abs() >= SURE * error).then_some(distance >= 0.0)
    }

    /// Whether the first few devices already tell that the target is far away, or far exceeded.
    ///
    /// A mean tells if it is some times as far away as its 95 % interval, or the least doubt if that is wider.
    /// A yield tells if, with the wanted share, less than one in a thousand would be as bad or as good.
    pub(super) fn tells(&self, few: &[f64], early: &EarlyDecision) -> Option<bool> {
        match self.criterion {
            Criterion::Mean => {
                let Spread { mean, variance } = self.spread(few);
                let n = few.len() as f64;
                let distance = mean - self.threshold();
                let half = quantile_of_t(n - 1.0)? * (variance / n).sqrt();
                let doubt = early.intervals * half.max(early.least_doubt);
                (distance.abs() > doubt).then_some(distance > 0.0)
            }
            Criterion::Yield(share) => {
                let good = few.iter().filter(|&&value| self.part(value) > 0.0).count() as u64;
                let devices = Binomial::new(share, few.len() as u64).ok()?;
                let as_bad = devices.cdf(good);
                let as_good = if good == 0 { 1.0 } else { devices.sf(good - 1) };
                let rare = 1e-3;
                (as_bad < rare || as_good < rare).then_some(as_good < rare)
            }
        }
    }

    fn spread(&self, values: &[f64]) -> Spread {
        let n = values.len() as f64;
        let parts = || values.iter().map(|&value| self.part(value));
        let mean = parts().sum::<f64>() / n;
        let variance = parts().map(|part| (part - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Spread { mean, variance }
    }

    /// The mean over devices or the yield, with its interval.
    ///
    /// # Errors
    /// [`BudgetError::TooFew`] for fewer than two devices.
    pub fn estimate(&self, values: &[f64]) -> Result<Estimate, BudgetError> {
        let (what, given) = ("the number of devices", values.len() as u64);
        let few = || BudgetError::TooFew { what, given, least: 2 };
        if given < 2 {
            return Err(few());
        }
        let Spread { mean, variance } = self.spread(values);
        let n = values.len() as f64;
        if matches!(self.criterion, Criterion::Yield(_)) {
            let good = values.iter().filter(|&&value| self.part(value) > 0.0).count() as f64;
            return Ok(Estimate { value: mean, interval: clopper_pearson(good, n) });
        }
        let value = self.rising(mean);
        let half = quantile_of_t(n - 1.0).ok_or_else(few)? * (variance / n).sqrt();
        Ok(Estimate { value, interval: [value - half, value + half] })
    }
}

/// The mean of the parts of devices, and the variance of one.
struct Spread {
    mean: f64,
    variance: f64,
}

/// What Student's t stays below with a probability of 97.5 %.
fn quantile_of_t(freedom: f64) -> Option<f64> {
    Some(StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(0.975))
}

/// The 95 % interval of a share of which `good` of `n` were seen (C. J. Clopper and E. S. Pearson,
/// Biometrika 26, 404, 1934).
fn clopper_pearson(good: f64, n: f64) -> [f64; 2] {
    let quantile = |a: f64, b: f64, p: f64| Beta::new(a, b).map(|beta| beta.inverse_cdf(p));
    let low = quantile(good, n - good + 1.0, 0.025).unwrap_or(0.0);
    let high = quantile(good + 1.0, n - good, 0.975).unwrap_or(1.0);
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metric, Output};

    #[test]
    fn a_mean_and_a_yield_are_reached_or_not() {
        let values = [0.97, 0.96, 0.90, 0.97];
        for (target, reached) in [
            (Target::mean(0.95), true),
            (Target::mean(0.951), false),
            (Target::in_yield(0.95, 0.75).unwrap(), true),
            (Target::in_yield(0.95, 0.76).unwrap(), false),
            (Target::mean(0.95).at_most(), true),
            (Target::mean(0.94).at_most(), false),
            (Target::in_yield(0.96, 0.5).unwrap().at_most(), true),
            (Target::in_yield(0.95, 0.5).unwrap().at_most(), false),
        ] {
            assert_eq!(target.is_reached(&values), reached, "{target:?}");
        }
        // 19 of 20 are 95 %, without a rounding error.
        let mut devices = [1.0; 20];
        devices[3] = 0.0;
        assert!(Target::in_yield(0.5, 0.95).unwrap().is_reached(&devices));
    }

    #[test]
    fn what_is_no_number_reaches_nothing() {
        for target in [Target::mean(0.0), Target::in_yield(0.0, 1.0).unwrap()] {
            for target in [target, target.at_most()] {
                assert!(!target.is_reached(&[f64::NAN, f64::NAN]), "{target:?}");
                let worst = if target.higher_is_better { f64::NEG_INFINITY } else { f64::INFINITY };
                assert!(!target.is_reached(&[worst, 0.0]), "{target:?}");
                assert_eq!(
                    target.tells(&[f64::NAN; 5], &doubt(0.01)),
                    match target.criterion {
                        Criterion::Mean => None,
                        Criterion::Yield(_) => Some(false),
                    }
                );
            }
        }
    }

    /// Student's sleep data (1908), drug 2: R's `t.test` gives mean 2.33, interval 0.898 to 3.762.
    #[test]
    fn the_interval_of_a_mean_is_students() {
        let sleep = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        for target in [Target::mean(0.0), Target::mean(0.0).at_most()] {
            let found = target.estimate(&sleep).unwrap();
            assert!((found.value - 2.33).abs() < 1e-12);
            assert!((found.interval[0] - 0.897_677_5).abs() < 1e-6, "{found:?}");
            assert!((found.interval[1] - 3.762_322_5).abs() < 1e-6, "{found:?}");
        }
        assert!(Target::mean(0.0).estimate(&[1.0]).is_err());
    }

    /// Closed forms where all or none are good; R's `binom.test(7, 10)` gives 0.3475471 to 0.9332605.
    #[test]
    fn the_interval_of_a_yield_is_clopper_and_pearsons() {
        let of = |good: usize| {
            let values: Vec<f64> = (0..10).map(|i| f64::from(u8::from(i < good))).collect();
            Target::in_yield(0.5, 0.9).unwrap().estimate(&values).unwrap()
        };
        let close = |found: [f64; 2], expected: [f64; 2]| {
            let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(near, "{found:?} {expected:?}");
        };
        close(of(10).interval, [0.025_f64.powf(0.1), 1.0]);
        close(of(0).interval, [0.0, 1.0 - 0.025_f64.powf(0.1)]);
        close(of(7).interval, [0.347_547_1, 0.933_260_5]);
        assert_eq!(of(7).value, 0.7);
    }

    fn doubt(least: f64) -> EarlyDecision {
        EarlyDecision::default().with_least_doubt(least)
    }

    #[test]
    fn a_few_devices_tell_what_is_clear_and_no_more() {
        let mean = Target::mean(0.9);
        assert_eq!(mean.tells(&[0.8, 0.81, 0.79, 0.8, 0.8], &doubt(0.01)), Some(false));
        assert_eq!(mean.tells(&[0.95, 0.96, 0.95, 0.94, 0.95], &doubt(0.01)), Some(true));
        assert_eq!(mean.tells(&[0.91, 0.91, 0.91, 0.91, 0.91], &doubt(0.01)), None);
        assert_eq!(mean.tells(&[0.91, 0.91, 0.91, 0.91, 0.91], &doubt(0.001)), Some(true));
        assert_eq!(mean.at_most().tells(&[0.8, 0.81, 0.79, 0.8, 0.8], &doubt(0.01)), Some(true));
        let hasty = doubt(0.01).with_intervals(0.9);
        assert_eq!(mean.tells(&[0.91, 0.91, 0.91, 0.91, 0.91], &hasty), Some(true));
        let yields = Target::in_yield(0.9, 0.95).unwrap();
        // Ten good ones of ten do not tell 95 %: with that share they are seen in 60 of 100 cases.
        assert_eq!(yields.tells(&[1.0; 10], &doubt(0.01)), None);
        assert_eq!(yields.tells(&[0.0; 5], &doubt(0.01)), Some(false));
        // Two bad ones of five: 2.3 % with that share, and three: 0.12 %; four: 3e-5.
        assert_eq!(yields.tells(&[0.0, 0.0, 0.0, 1.0, 1.0], &doubt(0.01)), None);
        assert_eq!(yields.tells(&[0.0, 0.0, 0.0, 0.0, 1.0], &doubt(0.01)), Some(false));
        let half = Target::in_yield(0.9, 0.5).unwrap();
        assert_eq!(half.tells(&[1.0; 9], &doubt(0.01)), None);
        assert_eq!(half.tells(&[1.0; 10], &doubt(0.01)), Some(true));
    }

    #[test]
    fn a_metric_says_which_way_its_target_lies() {
        let golden = vec![Output::new("y", [1, 2], vec![0.0, 1.0]).unwrap()];
        let of = |metric, criterion| {
            let evaluation = Evaluation::new(golden.clone(), metric).unwrap();
            Target::of_metric(&evaluation, 0.5, criterion)
        };
        let agreement = of(Metric::Agreement, Criterion::Mean).unwrap();
        assert_eq!(agreement, Target::mean(0.5));
        let kl = of(Metric::Kl, Criterion::Yield(0.9)).unwrap();
        assert_eq!(kl, Target::in_yield(0.5, 0.9).unwrap().at_most());
        assert!(of(Metric::Kl, Criterion::Yield(0.0)).is_err());
    }

    #[test]
    fn impossible_targets_are_refused() {
        for share in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(Target::in_yield(0.5, share).is_err(), "{share}");
        }
        assert!(Target::mean(f64::NAN).check().is_err());
        let error = Target::in_yield(0.5, 2.0).unwrap_err().to_string();
        assert_eq!(error, "the yield is 2: a share above 0 and up to 1 is allowed");
    }

    #[test]
    fn names_lead_back() {
        for criterion in [Criterion::Mean, Criterion::Yield(0.95), Criterion::Yield(1.0)] {
            assert_eq!(criterion.to_string().parse(), Ok(criterion));
            let target = Target { criterion, ..Target::mean(0.5) };
            let json = serde_json::to_string(&target).unwrap();
            assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
        }
        for bad in ["yield:0", "yield:1.5", "yield:NaN", "yield:", "median", ""] {
            let error = bad.parse::<Criterion>().unwrap_err();
            assert_eq!((error.what, error.name.as_str()), ("criterion", bad));
        }
    }
}
