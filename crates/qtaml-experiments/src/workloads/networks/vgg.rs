//! VGG: plain and deep, without norms.

use qtaml::train::{Device, TrainerConfig, Vgg, VggConfig};

use super::{ImageSet, Network, augmented, many_epochs};

pub(super) const NETWORK: Network = Network {
    title: "VGG",
    phrase: "VGG",
    has_batch_norm: false,
    flip_probability: 0.10,
    training,
    retraining,
};

pub(super) fn init(images: ImageSet, device: &Device) -> Vgg {
    let config = match images {
        ImageSet::Digits => VggConfig::digits(),
        ImageSet::FashionMnist => VggConfig::fashion_mnist(),
    };
    config.init(device)
}

fn training(images: ImageSet) -> TrainerConfig {
    match images {
        ImageSet::Digits => TrainerConfig { epochs: 40, ..augmented() },
        ImageSet::FashionMnist => TrainerConfig { epochs: 6, ..TrainerConfig::new() },
    }
}

fn retraining(images: ImageSet) -> TrainerConfig {
    many_epochs(images)
}
