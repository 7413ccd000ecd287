//! The networks that experiments share, each trained once.

use anyhow::Result;
use qtaml::train::{Dataset, LeNet, LeNetConfig, TrainingConfig};

use crate::context::Context;

/// A trained network and what it was trained on.
pub struct Trained<M> {
    /// The network.
    pub model: M,
    /// Its data.
    pub data: Dataset,
    /// What the images are, in words.
    pub images: &'static str,
}

/// The LeNet-style network: on the embedded digits, or, in the full profile, on Fashion-MNIST.
pub fn lenet(context: &Context) -> Result<Trained<LeNet>> {
    let (data, images, epochs) = match &context.fashion_mnist {
        None => (Dataset::digits()?, "the embedded 8x8 digits", 30),
        Some(folder) => (Dataset::fashion_mnist(folder)?, "28x28 Fashion-MNIST", 8),
    };
    let [side, _] = data.train.size();
    let model = LeNetConfig { side, classes: data.train.classes() }.init(&context.device);
    let config = TrainingConfig { epochs, ..TrainingConfig::new() };
    let model = context.trained("lenet", model, &data.train, &config)?;
    Ok(Trained { model, data, images })
}
