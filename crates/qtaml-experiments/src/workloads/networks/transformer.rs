//! Transformer: a vision transformer, with layer norm.

use qtaml::train::{Device, TrainerConfig, Transformer, TransformerConfig};

use super::{ImageSet, Network, augmented, many_epochs};

pub(super) const NETWORK: Network = Network {
    title: "Transformer",
    phrase: "a transformer",
    has_batch_norm: false,
    flip_probability: 0.05,
    training,
    retraining,
};

pub(super) fn init(images: ImageSet, device: &Device) -> Transformer {
    let config = match images {
        ImageSet::Digits => TransformerConfig::digits(),
        ImageSet::FashionMnist => TransformerConfig::fashion_mnist(),
    };
    config.init(device)
}

fn training(images: ImageSet) -> TrainerConfig {
    match images {
        ImageSet::Digits => TrainerConfig {
            epochs: 50,
            batch_size: 16,
            learning_rate: 3e-3,
            warmup_epochs: 3,
            smoothing: 0.1,
            ..augmented()
        },
        // Fifty times as many images.
        ImageSet::FashionMnist => TrainerConfig {
            epochs: 4,
            learning_rate: 5e-4,
            warmup_epochs: 1,
            ..TrainerConfig::new()
        },
    }
}

fn retraining(images: ImageSet) -> TrainerConfig {
    let learning_rate = match images {
        ImageSet::Digits => 3e-3,
        ImageSet::FashionMnist => 5e-4,
    };
    let epochs = match images {
        ImageSet::Digits => 10,
        ImageSet::FashionMnist => 4,
    };
    TrainerConfig { epochs, learning_rate, warmup_epochs: 1, ..many_epochs(images) }
}
