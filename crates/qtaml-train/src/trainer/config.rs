//! How to train.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, ModuleOptimizer};
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
    /// What Adam adds to its denominator (D. P. Kingma and J. Ba, ICLR 2015).
    pub epsilon: f32,
    /// What Adam adds to the gradient for each unit of weight; 0 for nothing.
    pub weight_decay: f32,
    /// Epochs without a better accuracy on the validation images after which training stops; the
    /// network is then that of the best epoch. `None` trains to the end and keeps the last.
    pub patience: Option<u64>,
}

impl TrainerConfig {
    /// 30 epochs of batches of 64 with Adam at 0.002 that falls along half a cosine, `ε = 1e-5`, and
    /// neither weight decay nor early stopping.
    pub const fn new() -> Self {
        Self {
            epochs: 30,
            batch_size: 64,
            learning_rate: 2e-3,
            schedule: Schedule::Cosine,
            epsilon: 1e-5,
            weight_decay: 0.0,
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
        self.schedule.check()
    }

    pub(super) fn optimizer(&self) -> ModuleOptimizer {
        let adam = AdamConfig::new().with_epsilon(self.epsilon);
        let decay = (self.weight_decay > 0.0).then(|| WeightDecayConfig::new(self.weight_decay));
        adam.with_weight_decay(decay).init()
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
        ] {
            assert_eq!(config.check().unwrap_err().to_string(), message);
        }
        new().check().unwrap();
    }
}
