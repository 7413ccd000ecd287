//! The networks that experiments share, each trained once.
//!
//! A new network is one file beside this one, and its entry in the list of networks in `args.rs`, where
//! the command line finds its claims; and the line `mod` here, which the compiler asks for. Perceptrons are
//! not in that list: they are a family, for claims that ask how gains depend on size.

mod lenet;
mod mlp;
mod mobilenet;
mod resnet;
mod transformer;
mod vgg;

use anyhow::Result;
use qtaml::fault::Seed;
use qtaml::train::qat::QatMethod;
use qtaml::train::{AccuracyTest, Classifier, Dataset, Images, LeNet, TrainerConfig};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use serde::Serialize;

pub use self::mlp::Width;

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
    /// Which of its trainings.
    pub replicate: Replicate,
    /// The seed of the training.
    pub seed: Seed,
}

/// One training of a network, the faults in its memory, and the test images: all that a claim on networks of
/// its kind is a sample of is drawn anew in the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Replicate(u32);

impl Replicate {
    /// The training that claims on one network share.
    pub const FIRST: Self = Self(0);

    /// The first ones.
    pub fn first(count: usize) -> impl Iterator<Item = Self> {
        (0..count as u32).map(Self)
    }

    /// A training that chooses something and judges nothing: no claim is judged by so many.
    pub const CHOOSING: Self = Self(1000);

    fn seed(self, context: &Context) -> Seed {
        match self {
            Self::FIRST => context.seed,
            Self(number) => Seed(context.seed.rng("replicate", number.into()).random()),
        }
    }

    /// What its results are kept under.
    fn name(self, net: Net) -> String {
        match self {
            Self::FIRST => net.id().into(),
            Self(number) => format!("{}-{number}", net.id()),
        }
    }
}

impl<M: Classifier> Trained<M> {
    /// Test images that judge, and others that choose: none is both.
    pub fn test_images(&self, context: &Context) -> Result<[Images; 2]> {
        let mut order: Vec<usize> = (0..self.data.test.len()).collect();
        if self.replicate != Replicate::FIRST {
            order.shuffle(&mut self.seed.rng("test images", 0));
        }
        let count = (order.len() / 2).min(context.size(TEST_IMAGES, 100));
        let part = |from: usize| self.data.test.select(&order[from..from + count]);
        Ok([part(0)?, part(count)?])
    }

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
        let name = format!("{}-{suffix}", self.name);
        let (config, seed) = (self.net.training(ImageSet::of(context)), self.seed);
        // Training begins by forgetting what the weights are.
        let (model, images) = (self.model.clone(), &self.data.train);
        let model = context.trained_with(method, &name, model, images, &config, seed)?;
        Ok(Self { name, model, data: self.data.clone(), ..*self })
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
            /// See `mlp.rs`.
            Mlp(Width),
        }

        impl Net {
            /// All, in the order of the report.
            pub const ALL: [Self; [$(stringify!($module)),*].len()] = [$(Self::$net),*];

            /// The last part of claim ids, such as `lenet`.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$net => stringify!($module),)*
                    Self::Mlp(width) => width.id(),
                }
            }

            const fn network(self) -> &'static Network {
                match self {
                    $(Self::$net => &$module::NETWORK,)*
                    Self::Mlp(width) => width.network(),
                }
            }

            /// Hands the network to `visitor` as burn makes it, for images of the profile.
            pub fn with_model<V: WithModel>(self, context: &Context, visitor: V) -> Result<V::Out> {
                let (images, device) = (ImageSet::of(context), &context.device);
                match self {
                    $(Self::$net => visitor.run($module::init(images, device)),)*
                    Self::Mlp(width) => visitor.run(mlp::init(width, images, device)),
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
    replicate: Replicate,
    context: &'a Context,
    visitor: V,
}

impl<V: WithNet> WithModel for Train<'_, V> {
    type Out = V::Out;

    fn run<M: Classifier + 'static>(self, model: M) -> Result<V::Out> {
        let trained = self.net.train(self.context, model, self.replicate)?;
        self.visitor.run(self.context, trained)
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
    /// Perceptrons from the smallest to the largest.
    pub const MLPS: [Self; 5] = [
        Self::Mlp(Width::W64),
        Self::Mlp(Width::W128),
        Self::Mlp(Width::W256),
        Self::Mlp(Width::W512),
        Self::Mlp(Width::W1024),
    ];

    /// That whose layers differ most: by two and a half orders of magnitude in size, and with it in what a weight
    /// does to the output.
    pub const HETEROGENEOUS: Self = Self::Mlp(Width::Tapered);

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
        self.with_replicate(context, Replicate::FIRST, visitor)
    }

    /// The same for another training of it.
    pub fn with_replicate<V: WithNet>(
        self,
        context: &Context,
        replicate: Replicate,
        visitor: V,
    ) -> Result<V::Out> {
        self.with_model(context, Train { net: self, replicate, context, visitor })
    }

    fn train<M: Classifier>(
        self,
        context: &Context,
        model: M,
        replicate: Replicate,
    ) -> Result<Trained<M>> {
        let (data, images) = data(context)?;
        let config = self.training(ImageSet::of(context));
        let (seed, name) = (replicate.seed(context), replicate.name(self));
        let model =
            context.trained_with(QatMethod::None, &name, model, &data.train, &config, seed)?;
        Ok(Trained { net: self, name, model, data, images, replicate, seed })
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
    let model = lenet::init(ImageSet::of(context), &context.device);
    Net::LeNet.train(context, model, Replicate::FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart_by_their_ids() {
        let all = || Net::ALL.into_iter().chain(Net::MLPS).chain([Net::HETEROGENEOUS]);
        let ids: std::collections::BTreeSet<_> = all().map(Net::id).collect();
        assert_eq!(ids.len(), all().count());
        assert_eq!((Net::LeNet.id(), Net::Transformer.phrase()), ("lenet", "a transformer"));
    }

    #[test]
    fn every_network_can_be_trained_on_all_images() {
        for net in Net::ALL.into_iter().chain(Net::MLPS).chain([Net::HETEROGENEOUS]) {
            for images in [ImageSet::Digits, ImageSet::FashionMnist] {
                for config in [net.training(images), net.retraining(images)] {
                    assert!(config.epochs > config.warmup_epochs, "{net:?} {images:?}");
                }
            }
        }
    }
}
