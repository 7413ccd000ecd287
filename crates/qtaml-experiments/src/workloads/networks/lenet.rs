//! LeNet: in the style of LeNet-5.

use qtaml::train::{Device, LeNet, LeNetConfig, TrainerConfig};

use super::{ImageSet, Network, augmented, many_epochs, smoothed};

pub(super) const NETWORK: Network = Network {
    title: "LeNet",
    phrase: "LeNet",
    has_batch_norm: false,
    flip_probability: 0.10,
    training,
    retraining,
};

pub(super) fn init(images: ImageSet, device: &Device) -> LeNet {
    let config = match images {
        ImageSet::Digits => LeNetConfig::digits(),
        ImageSet::FashionMnist => LeNetConfig::fashion_mnist(),
    };
    config.init(device)
}

/// On the digits it was chosen by images held out and seeds of its own (decision at).
fn training(images: ImageSet) -> TrainerConfig {
    match images {
        ImageSet::Digits => TrainerConfig { epochs: 40, ..smoothed(augmented()) },
        ImageSet::FashionMnist => TrainerConfig { epochs: 6, ..TrainerConfig::new() },
    }
}

fn retraining(images: ImageSet) -> TrainerConfig {
    many_epochs(images)
}
