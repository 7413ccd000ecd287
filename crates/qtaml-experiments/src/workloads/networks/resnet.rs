//! ResNet: residual, with batch norm.

use qtaml::train::{Device, ResNet, ResNetConfig, TrainerConfig};

use super::{ImageSet, Network, augmented, many_epochs};

pub(super) const NETWORK: Network = Network {
    title: "ResNet",
    phrase: "ResNet",
    has_batch_norm: true,
    flip_probability: 0.10,
    training,
    retraining,
};

pub(super) fn init(images: ImageSet, device: &Device) -> ResNet {
    let config = match images {
        ImageSet::Digits => ResNetConfig::digits(),
        ImageSet::FashionMnist => ResNetConfig::fashion_mnist(),
    };
    config.init(device)
}

fn training(images: ImageSet) -> TrainerConfig {
    match images {
        ImageSet::Digits => TrainerConfig { epochs: 20, ..augmented() },
        ImageSet::FashionMnist => TrainerConfig { epochs: 6, ..TrainerConfig::new() },
    }
}

fn retraining(images: ImageSet) -> TrainerConfig {
    TrainerConfig { epochs: 4, ..many_epochs(images) }
}
