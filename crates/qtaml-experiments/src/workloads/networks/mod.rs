//! The networks that experiments share, each trained once.
//!
//! A new network is one file beside this one, and its entry in the list of networks in `args.rs`, where
//! the command line finds its claims; and the line `mod` here, which the compiler asks for.

mod lenet;
mod mobilenet;
mod resnet;
mod transformer;
mod vgg;

use anyhow::Result;
use qtaml::train::qat::QatMethod;
use qtaml::train::{AccuracyTest, Classifier, Dataset, Images, LeNet, TrainerConfig};
use serde::Serialize;

use crate::args::for_networks;
use crate::context::Context;

/// Images that accuracy under faults is measured on, at most. More would cost time and tell little:
/// patterns differ more than images.
const TEST_IMAGES: usize = 250;
/// Images that are evaluated at a time where all are: activations of thousands do not fit everywhere.
const PART: usize = 500;

/// A trained network and what it was trained on.
pub struct Trained<M> {
    /// Which one.
    pub net: Net,
    /// What its results are kept under.
    pub name: String,
    /// The network.
    pub model: M,
    /// Its data.
    pub data: Dataset,
    /// What the images are, in words.
    pub images: &'static str,
}

impl<M: Classifier> Trained<M> {
    /// Its accuracy on all test images, without faults.
    pub fn accuracy(&self, context: &Context) -> Result<f64> {
        let Self { name, model, data, .. } = self;
        context.unit(&("accuracy on all test images", name), || {
            let all: Vec<usize> = (0..data.test.len()).collect();
            let right = all.chunks(PART).map(|part| {
                let part = AccuracyTest::new(&data.test.select(part)?, &context.device)?;
                Ok(part.accuracy(model) * part.len() as f64)
            });
            Ok(right.sum::<Result<f64>>()? / all.len() as f64)
        })
    }

    /// The network that another method makes of the same initial weights, in as many steps.
    pub fn again(&self, context: &Context, method: QatMethod, suffix: &str) -> Result<Self> {
        let Self { net, model, data, images, .. } = self;
        let name = format!("{}-{suffix}", net.id());
        let config = net.training(ImageSet::of(context));
        // Training begins by forgetting what the weights are.
        let model = context.trained_with(method, &name, model.clone(), &data.train, &config)?;
        Ok(Self { net: *net, name, model, data: data.clone(), images })
    }
}

/// The images of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSet {
    /// The embedded 8x8 digits.
    Digits,
    /// 28x28 images of clothes, fifty times as many.
    FashionMnist,
}

impl ImageSet {
    /// Those of the run's profile.
    pub fn of(context: &Context) -> Self {
        if context.fashion_mnist.is_none() { Self::Digits } else { Self::FashionMnist }
    }
}

/// What distinguishes a network from the others, apart from its type.
struct Network {
    /// Its name in headings.
    title: &'static str,
    /// Its name within a sentence.
    phrase: &'static str,
    has_batch_norm: bool,
    flip_probability: f64,
    /// How it is trained once, for all claims that store it.
    training: fn(ImageSet) -> TrainerConfig,
    /// How it is trained many times: a few epochs at a rate that suits them.
    retraining: fn(ImageSet) -> TrainerConfig,
}

/// Adds shifted images.
fn augmented() -> TrainerConfig {
    TrainerConfig { batch_size: 32, shift: 0.5, ..TrainerConfig::new() }
}

fn smoothed(base: TrainerConfig) -> TrainerConfig {
    TrainerConfig { learning_rate: 5e-3, smoothing: 0.1, ..base }
}

/// A dozen epochs on few images, a few on many.
fn many_epochs(images: ImageSet) -> TrainerConfig {
    let new = TrainerConfig::new();
    match images {
        ImageSet::Digits => {
            TrainerConfig { batch_size: 32, learning_rate: 5e-3, epochs: 12, ..new }
        }
        ImageSet::FashionMnist => {
            TrainerConfig { batch_size: 64, learning_rate: 2e-3, epochs: 4, ..new }
        }
    }
}

/// The networks by name, and everything that needs their types.
macro_rules! networks {
    ([] $($module:ident $net:ident,)*) => {
        /// A network by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub enum Net {
            $(#[doc = concat!("See `", stringify!($module), ".rs`.")] $net,)*
        }

        impl Net {
            /// All, in the order of the report.
            pub const ALL: [Self; [$(stringify!($module)),*].len()] = [$(Self::$net),*];

            /// The last part of claim ids, such as `lenet`.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$net => stringify!($module),)*
                }
            }

            const fn network(self) -> &'static Network {
                match self {
                    $(Self::$net => &$module::NETWORK,)*
                }
            }

            /// Hands the network to `visitor` as burn makes it, for images of the profile.
            pub fn with_model<V: WithModel>(self, context: &Context, visitor: V) -> Result<V::Out> {
                let (images, device) = (ImageSet::of(context), &context.device);
                match self {
                    $(Self::$net => visitor.run($module::init(images, device)),)*
                }
            }
        }
    };
}
for_networks!(networks);

/// What to do with a network of any type: a closure cannot be generic.
pub trait WithNet {
    /// What comes of it.
    type Out;

    /// Does it.
    fn run<M: Classifier + 'static>(
        self,
        context: &Context,
        trained: Trained<M>,
    ) -> Result<Self::Out>;
}

/// What to do with an untrained network of any type.
pub trait WithModel {
    /// What comes of it.
    type Out;

    /// Does it.
    fn run<M: Classifier + 'static>(self, model: M) -> Result<Self::Out>;
}

/// Trains a network before its visitor sees it.
struct Train<'a, V> {
    net: Net,
    context: &'a Context,
    visitor: V,
}

impl<V: WithNet> WithModel for Train<'_, V> {
    type Out = V::Out;

    fn run<M: Classifier + 'static>(self, model: M) -> Result<V::Out> {
        self.visitor.run(self.context, self.net.train(self.context, model)?)
    }
}

/// The images of the profile, and what they are, in words.
pub fn data(context: &Context) -> Result<(Dataset, &'static str)> {
    Ok(match &context.fashion_mnist {
        None => (Dataset::digits()?, "the embedded 8x8 digits"),
        Some(folder) => (Dataset::fashion_mnist(folder)?, "28x28 Fashion-MNIST"),
    })
}

impl Net {
    /// Its name in headings.
    pub const fn title(self) -> &'static str {
        self.network().title
    }

    /// Its name within a sentence, such as `a transformer`.
    pub const fn phrase(self) -> &'static str {
        self.network().phrase
    }

    /// Whether it has batch norm, which can be measured again under faults.
    pub const fn has_batch_norm(self) -> bool {
        self.network().has_batch_norm
    }

    /// The flip probability at which the source tests networks of this kind.
    pub const fn flip_probability(self) -> f64 {
        self.network().flip_probability
    }

    /// Hands the trained network to `visitor`: trained on the embedded digits, or, in the full
    /// profile, on Fashion-MNIST.
    pub fn with<V: WithNet>(self, context: &Context, visitor: V) -> Result<V::Out> {
        self.with_model(context, Train { net: self, context, visitor })
    }

    fn train<M: Classifier>(self, context: &Context, model: M) -> Result<Trained<M>> {
        let (data, images) = data(context)?;
        let config = self.training(ImageSet::of(context));
        let model = context.trained(self.id(), model, &data.train, &config)?;
        Ok(Trained { net: self, name: self.id().into(), model, data, images })
    }

    fn training(self, images: ImageSet) -> TrainerConfig {
        (self.network().training)(images)
    }

    /// How it is trained where that is done many times.
    pub fn retraining(self, images: ImageSet) -> TrainerConfig {
        (self.network().retraining)(images)
    }
}

/// The images that accuracy under faults is measured on.
pub fn judges(context: &Context, data: &Dataset) -> Result<Images> {
    let count = data.test.len().min(context.size(TEST_IMAGES, 100));
    Ok(data.test.select(&(0..count).collect::<Vec<_>>())?)
}

/// The LeNet-style network: on the embedded digits, or, in the full profile, on Fashion-MNIST.
pub fn lenet(context: &Context) -> Result<Trained<LeNet>> {
    Net::LeNet.train(context, lenet::init(ImageSet::of(context), &context.device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart_by_their_ids() {
        let ids: std::collections::BTreeSet<_> = Net::ALL.iter().map(|net| net.id()).collect();
        assert_eq!(ids.len(), Net::ALL.len());
        assert_eq!((Net::LeNet.id(), Net::Transformer.phrase()), ("lenet", "a transformer"));
    }

    #[test]
    fn every_network_can_be_trained_on_all_images() {
        for net in Net::ALL {
            for images in [ImageSet::Digits, ImageSet::FashionMnist] {
                for config in [net.training(images), net.retraining(images)] {
                    assert!(config.epochs > config.warmup_epochs, "{net:?} {images:?}");
                }
            }
        }
    }
}
