//! MobileNet: depthwise-separable, with batch norm.

use qtaml::train::{Device, MobileNet, MobileNetConfig, TrainerConfig};

use super::{ImageSet, Network, augmented, many_epochs, smoothed};

pub(super) const NETWORK: Network = Network {
    title: "MobileNet",
    phrase: "MobileNet",
    has_batch_norm: true,
    flip_probability: 0.10,
    training,
    retraining,
};

pub(super) fn init(images: ImageSet, device: &Device) -> MobileNet {
    let config = match images {
        ImageSet::Digits => MobileNetConfig::digits(),
        ImageSet::FashionMnist => MobileNetConfig::fashion_mnist(),
    };
    config.init(device)
}

fn training(images: ImageSet) -> TrainerConfig {
    match images {
        ImageSet::Digits => smoothed(augmented()),
        ImageSet::FashionMnist => TrainerConfig { epochs: 10, ..smoothed(TrainerConfig::new()) },
    }
}

fn retraining(images: ImageSet) -> TrainerConfig {
    TrainerConfig { epochs: 4, ..many_epochs(images) }
}
