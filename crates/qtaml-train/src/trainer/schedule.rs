//! Schedules of the learning rate.

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// The learning rate of each step, as a share of the base rate.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// From the whole rate to zero along half a cosine (I. Loshchilov and F. Hutter, ICLR 2017,
    /// without restarts).
    #[default]
    Cosine,
    /// Times a factor after every so many steps.
    Step {
        /// Steps between two changes.
        every_steps: u64,
        /// The factor, above 0 and at most 1.
        factor: f64,
    },
}

impl Schedule {
    /// The share of the base rate at step `step` of `of`, counted from 0.
    ///
    /// ```
    /// use qtaml_train::trainer::Schedule;
    ///
    /// assert_eq!(Schedule::Cosine.share(0, 100), 1.0);
    /// assert!((Schedule::Cosine.share(50, 100) - 0.5).abs() < 1e-15);
    /// ```
    pub fn share(self, step: u64, of: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => {
                0.5 * (1.0 + (std::f64::consts::PI * step as f64 / of.max(1) as f64).cos())
            }
            Self::Step { every_steps, factor } => factor.powf((step / every_steps) as f64),
        }
    }

    pub(super) fn check(self) -> Result<(), TrainError> {
        let range = |what, value, allowed| Err(TrainError::Range { what, value, allowed });
        match self {
            Self::Step { every_steps: 0, .. } => {
                range("schedule interval", 0.0, "it must be at least 1")
            }
            Self::Step { factor, .. } if !(factor > 0.0 && factor <= 1.0) => {
                range("the factor of the learning rate", factor, "it must be above 0 and at most 1")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_starts_and_ends_where_it_should() {
        let shares = |schedule: Schedule| [0, 25, 50, 99].map(|step| schedule.share(step, 100));
        assert_eq!(shares(Schedule::Constant), [1.0; 4]);
        let [first, quarter, half, last] = shares(Schedule::Cosine);
        assert_eq!(first, 1.0);
        assert!((quarter - (0.5 + 0.125_f64.sqrt())).abs() < 1e-15);
        assert!((half - 0.5).abs() < 1e-15 && last < 3e-4);
        assert_eq!(
            shares(Schedule::Step { every_steps: 25, factor: 0.5 }),
            [1.0, 0.5, 0.25, 0.125]
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let message = |schedule: Schedule| schedule.check().unwrap_err().to_string();
        let growing = Schedule::Step { every_steps: 1, factor: 2.0 };
        assert_eq!(
            message(growing),
            "the factor of the learning rate is 2: it must be above 0 and at most 1"
        );
        assert!(message(Schedule::Step { every_steps: 0, factor: 0.5 }).contains("at least 1"));
    }
}
