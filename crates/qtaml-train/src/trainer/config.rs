//! The configuration of a training.

use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{Progress, Schedule};
use crate::TrainError;

/// How a [`Trainer`](super::Trainer) trains: with it, a method, a seed and data a run is determined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerConfig {
    /// Passes over the data, at most.
    pub epochs: u64,
    /// Images per step; the last step of an epoch takes what is left.
    pub batch_size: usize,
    /// Base step size of Adam.
    pub learning_rate: f64,
    /// What becomes of it over the steps.
    pub schedule: Schedule,
    /// Epochs in which it rises from zero to that of the schedule, in a straight line of steps:
    /// attention needs a gentle start.
    pub warmup_epochs: u64,
    /// What Adam adds to its denominator (D. P. Kingma and J. Ba, ICLR 2015).
    pub epsilon: f32,
    /// What Adam adds to the gradient for each unit of weight; 0 for nothing.
    pub weight_decay: f32,
    /// Each image is moved by up to so many pixels down or up and right or left, at random in every
    /// epoch; from 0 to 1000.
    pub shift: f32,
    /// The share of the label that goes to all classes alike, below 1: it keeps networks from being
    /// too sure (C. Szegedy et al., CVPR 2016, pp. 2818-2826).
    pub smoothing: f32,
    /// Epochs without a better accuracy on the validation images after which training stops; the
    /// network is then that of the best epoch. `None` trains to the end and keeps the last.
    pub patience: Option<u64>,
}

impl TrainerConfig {
    /// 30 epochs of batches of 64 with Adam at 0.002 that falls along half a cosine, `ε = 1e-5`, and
    /// nothing else.
    pub const fn new() -> Self {
        Self {
            epochs: 30,
            batch_size: 64,
            learning_rate: 2e-3,
            schedule: Schedule::Cosine,
            warmup_epochs: 0,
            epsilon: 1e-5,
            weight_decay: 0.0,
            shift: 0.0,
            smoothing: 0.0,
            patience: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
        let range = |what, value, allowed| Err(TrainError::Range { what, value, allowed });
        if self.batch_size == 0 {
            return range("batch size", 0.0, "it must be at least 1");
        }
        if self.patience == Some(0) {
            return range("patience", 0.0, "it must be at least 1");
        }
        for (what, value) in
            [("learning rate", self.learning_rate), ("epsilon", f64::from(self.epsilon))]
        {
            if !(value.is_finite() && value > 0.0) {
                return range(what, value, "it must be finite and positive");
            }
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            let value = f64::from(self.weight_decay);
            return range("weight decay", value, "it must be finite and not negative");
        }
        if !(0.0..=1000.0).contains(&self.shift) {
            return range("shift", self.shift.into(), "it must be at least 0 and at most 1000");
        }
        if !(0.0..1.0).contains(&self.smoothing) {
            return range("label smoothing", self.smoothing.into(), "it must be in 0..1");
        }
        self.schedule.check()
    }

    pub(super) fn optimizer(&self) -> ModuleOptimizer {
        let adam = AdamConfig::new().with_epsilon(self.epsilon);
        let decay = (self.weight_decay > 0.0).then(|| WeightDecayConfig::new(self.weight_decay));
        adam.with_weight_decay(decay).init()
    }

    pub(super) fn loss(&self, device: &Device) -> CrossEntropyLoss {
        let smoothing = (self.smoothing > 0.0).then_some(self.smoothing);
        CrossEntropyLossConfig::new().with_smoothing(smoothing).init(device)
    }

    /// The steps of a run, if it does not stop early, where an epoch has `per_epoch`.
    pub(super) const fn steps(&self, per_epoch: u64) -> u64 {
        self.epochs.saturating_mul(per_epoch)
    }

    /// Adam's step size at step `step`, counted from 0, where an epoch has `per_epoch`.
    pub(super) fn rate(&self, step: u64, per_epoch: u64) -> f64 {
        let warmup = self.warmup_epochs.saturating_mul(per_epoch);
        let rise = ((step + 1) as f64 / warmup as f64).min(1.0);
        rise * self.learning_rate * self.schedule.share(step, self.steps(per_epoch))
    }

    /// Whether the accuracies at the ends of epochs have not improved for too long.
    pub(super) fn is_over(&self, history: &[Progress]) -> bool {
        let best = best_epoch(history).unwrap_or_default();
        self.patience.is_some_and(|patience| history.len() as u64 > best as u64 + patience)
    }
}

impl Default for TrainerConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// The first of the epochs with the highest accuracy.
pub(super) fn best_epoch(history: &[Progress]) -> Option<usize> {
    let accuracies = history.iter().enumerate().filter_map(|(i, epoch)| Some((i, epoch.accuracy?)));
    accuracies.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(accuracies: &[f64]) -> Vec<Progress> {
        let epoch = |&accuracy| Progress {
            step: 1,
            of: 9,
            loss: 1.0,
            learning_rate: 0.1,
            accuracy: Some(accuracy),
        };
        accuracies.iter().map(epoch).collect()
    }

    #[test]
    fn patience_counts_epochs_since_the_first_best() {
        let config = TrainerConfig { patience: Some(2), ..TrainerConfig::new() };
        for (accuracies, over) in [
            (&[][..], false),
            (&[0.5, 0.4], false),
            (&[0.5, 0.4, 0.5], true),
            (&[0.5, 0.4, 0.6, 0.1], false),
            (&[0.5, 0.4, 0.6, 0.1, 0.6], true),
        ] {
            assert_eq!(config.is_over(&history(accuracies)), over, "{accuracies:?}");
            assert!(!TrainerConfig::new().is_over(&history(accuracies)));
        }
        assert_eq!(best_epoch(&history(&[0.1, 0.7, 0.7])), Some(1));
    }

    #[test]
    fn the_step_size_rises_under_any_schedule() {
        let every = Schedule::Step { every_steps: 4, factor: 0.5 };
        for schedule in [Schedule::Constant, Schedule::Cosine, every] {
            let config = TrainerConfig { schedule, learning_rate: 6.0, ..TrainerConfig::new() };
            let gentle = TrainerConfig { warmup_epochs: 2, ..config };
            // Three steps an epoch.
            let rise = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.0, 6.0].map(|sixths| sixths / 6.0);
            for (step, rise) in (0..).zip(rise) {
                let whole = 6.0 * schedule.share(step, 90);
                assert_eq!(config.rate(step, 3), whole);
                assert!((gentle.rate(step, 3) - rise * whole).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let new = TrainerConfig::new;
        for (config, message) in [
            (TrainerConfig { batch_size: 0, ..new() }, "batch size is 0: it must be at least 1"),
            (TrainerConfig { patience: Some(0), ..new() }, "patience is 0: it must be at least 1"),
            (
                TrainerConfig { learning_rate: f64::NAN, ..new() },
                "learning rate is NaN: it must be finite and positive",
            ),
            (
                TrainerConfig { weight_decay: -1.0, ..new() },
                "weight decay is -1: it must be finite and not negative",
            ),
            (
                TrainerConfig { shift: -1.0, ..new() },
                "shift is -1: it must be at least 0 and at most 1000",
            ),
            (TrainerConfig { smoothing: 1.0, ..new() }, "label smoothing is 1: it must be in 0..1"),
        ] {
            assert_eq!(config.check().unwrap_err().to_string(), message);
        }
        new().check().unwrap();
    }
}
