//! Perceptrons from 64 to 1024 wide, which span two orders of magnitude in size, and one whose layers do.

use qtaml::train::{Device, Mlp, MlpConfig, TrainerConfig};
use serde::Serialize;

use super::{ImageSet, Network, augmented, many_epochs};

/// The widths of the hidden layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the numbers are what they are")]
pub enum Width {
    W64,
    W128,
    W256,
    W512,
    W1024,
    /// 1024, and then 16: on the digits layers of 65,536, 16,384 and 160 weights.
    Tapered,
}

impl Width {
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::W64 => "mlp-64",
            Self::W128 => "mlp-128",
            Self::W256 => "mlp-256",
            Self::W512 => "mlp-512",
            Self::W1024 => "mlp-1024",
            Self::Tapered => "heterogeneous",
        }
    }

    pub(super) const fn network(self) -> &'static Network {
        &NETWORKS[self as usize]
    }
}

static NETWORKS: [Network; 6] = [
    named("MLP 64"),
    named("MLP 128"),
    named("MLP 256"),
    named("MLP 512"),
    named("MLP 1024"),
    named("MLP 1024-16"),
];

const fn named(title: &'static str) -> Network {
    Network {
        title,
        phrase: title,
        has_batch_norm: false,
        flip_probability: 0.10,
        training,
        retraining,
    }
}

pub(super) fn init(width: Width, images: ImageSet, device: &Device) -> Mlp {
    let hidden = match width {
        Width::Tapered => [1024, 16],
        width => [64 << width as usize; 2],
    };
    let config = match images {
        ImageSet::Digits => MlpConfig::digits(1),
        ImageSet::FashionMnist => MlpConfig::fashion_mnist(1),
    };
    MlpConfig { hidden, ..config }.init(device)
}

fn training(images: ImageSet) -> TrainerConfig {
    match images {
        ImageSet::Digits => TrainerConfig { epochs: 20, learning_rate: 2e-3, ..augmented() },
        ImageSet::FashionMnist => TrainerConfig { epochs: 6, ..TrainerConfig::new() },
    }
}

fn retraining(images: ImageSet) -> TrainerConfig {
    many_epochs(images)
}
