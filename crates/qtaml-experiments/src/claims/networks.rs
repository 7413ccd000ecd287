//! The networks that experiments share, each trained once.

use anyhow::Result;
use qtaml::train::qat::QatMethod;
use qtaml::train::{
    Classifier, Dataset, Evaluation, LeNet, LeNetConfig, MobileNetConfig, ResNetConfig,
    TrainerConfig, TransformerConfig, VggConfig,
};

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
        context.unit(&format!("{name}/accuracy on all test images"), || {
            let all: Vec<usize> = (0..data.test.len()).collect();
            let right = all.chunks(PART).map(|part| {
                let part = Evaluation::new(&data.test.select(part), &context.device)?;
                Ok(part.accuracy(model) * part.len() as f64)
            });
            Ok(right.sum::<Result<f64>>()? / all.len() as f64)
        })
    }

    /// The network that another method makes of the same initial weights, in as many steps.
    pub fn again(&self, context: &Context, method: QatMethod, suffix: &str) -> Result<Self> {
        let Self { net, model, data, images, .. } = self;
        let name = format!("{}-{suffix}", net.id());
        let config = net.training(context.fashion_mnist.is_none());
        // Training begins by forgetting what the weights are.
        let model = context.trained_with(method, &name, model.clone(), &data.train, &config)?;
        Ok(Self { net: *net, name, model, data: data.clone(), images })
    }
}

/// A network by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// In the style of LeNet-5.
    LeNet,
    /// Plain and deep, without norms.
    Vgg,
    /// Residual, with batch norm.
    ResNet,
    /// Depthwise-separable, with batch norm.
    MobileNet,
    /// A vision transformer, with layer norm.
    Transformer,
}

/// What to do with a network of any type: a closure cannot be generic.
pub trait WithNet {
    /// What comes of it.
    type Out;

    /// Does it.
    fn run<M: Classifier>(self, context: &Context, trained: Trained<M>) -> Result<Self::Out>;
}

/// What to do with an untrained network of any type.
pub trait WithModel {
    /// What comes of it.
    type Out;

    /// Does it.
    fn run<M: Classifier>(self, model: M) -> Result<Self::Out>;
}

/// Trains a network before its visitor sees it.
struct Train<'a, V> {
    net: Net,
    context: &'a Context,
    visitor: V,
}

impl<V: WithNet> WithModel for Train<'_, V> {
    type Out = V::Out;

    fn run<M: Classifier>(self, model: M) -> Result<V::Out> {
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
    /// All, in the order of the report.
    pub const ALL: [Self; 5] =
        [Self::LeNet, Self::Vgg, Self::ResNet, Self::MobileNet, Self::Transformer];

    /// The last part of claim ids, such as `lenet`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::LeNet => "lenet",
            Self::Vgg => "vgg",
            Self::ResNet => "resnet",
            Self::MobileNet => "mobilenet",
            Self::Transformer => "transformer",
        }
    }

    /// Its name in headings.
    pub const fn title(self) -> &'static str {
        match self {
            Self::LeNet => "LeNet",
            Self::Vgg => "VGG",
            Self::ResNet => "ResNet",
            Self::MobileNet => "MobileNet",
            Self::Transformer => "Transformer",
        }
    }

    /// Whether it has batch norm, which can be measured again under faults.
    pub const fn has_batch_norm(self) -> bool {
        matches!(self, Self::ResNet | Self::MobileNet)
    }

    /// The flip probability at which the source tests networks of this kind.
    pub const fn flip_probability(self) -> f64 {
        match self {
            Self::Transformer => 0.05,
            _ => 0.10,
        }
    }

    /// Hands the trained network to `visitor`: trained on the embedded digits, or, in the full
    /// profile, on Fashion-MNIST.
    pub fn with<V: WithNet>(self, context: &Context, visitor: V) -> Result<V::Out> {
        self.with_model(context, Train { net: self, context, visitor })
    }

    /// Hands the network to `visitor` as burn makes it, for images of the profile.
    pub fn with_model<V: WithModel>(self, context: &Context, visitor: V) -> Result<V::Out> {
        let (device, small) = (&context.device, context.fashion_mnist.is_none());
        macro_rules! run {
            ($config:ident) => {{
                let config = if small { $config::digits() } else { $config::fashion_mnist() };
                visitor.run(config.init(device))
            }};
        }
        match self {
            Self::LeNet => run!(LeNetConfig),
            Self::Vgg => run!(VggConfig),
            Self::ResNet => run!(ResNetConfig),
            Self::MobileNet => run!(MobileNetConfig),
            Self::Transformer => run!(TransformerConfig),
        }
    }

    fn train<M: Classifier>(self, context: &Context, model: M) -> Result<Trained<M>> {
        let (data, images) = data(context)?;
        let config = self.training(context.fashion_mnist.is_none());
        let model = context.trained(self.id(), model, &data.train, &config)?;
        Ok(Trained { net: self, name: self.id().into(), model, data, images })
    }

    /// How it is trained. For `LeNet` on the digits that was chosen by images held out and seeds of its
    /// own (decision at).
    fn training(self, digits: bool) -> TrainerConfig {
        let new = TrainerConfig::new();
        let augmented = TrainerConfig { batch_size: 32, shift: 0.5, ..new };
        let smoothed = |base| TrainerConfig { learning_rate: 5e-3, smoothing: 0.1, ..base };
        match (self, digits) {
            (Self::LeNet, true) => TrainerConfig { epochs: 40, ..smoothed(augmented) },
            (Self::Vgg, true) => TrainerConfig { epochs: 40, ..augmented },
            (Self::ResNet, true) => TrainerConfig { epochs: 20, ..augmented },
            (Self::MobileNet, true) => smoothed(augmented),
            (Self::Transformer, true) => TrainerConfig {
                epochs: 50,
                batch_size: 16,
                learning_rate: 3e-3,
                warmup_epochs: 3,
                smoothing: 0.1,
                ..augmented
            },
            // Fifty times as many images.
            (Self::Transformer, false) => {
                TrainerConfig { epochs: 4, learning_rate: 5e-4, warmup_epochs: 1, ..new }
            }
            (Self::MobileNet, false) => TrainerConfig { epochs: 10, ..smoothed(new) },
            (_, false) => TrainerConfig { epochs: 6, ..new },
        }
    }
}

/// The images that accuracy under faults is measured on.
pub fn judges(context: &Context, data: &Dataset) -> Result<Evaluation> {
    let count = data.test.len().min(context.size(TEST_IMAGES, 100));
    let test = data.test.select(&(0..count).collect::<Vec<_>>());
    Ok(Evaluation::new(&test, &context.device)?)
}

/// The LeNet-style network: on the embedded digits, or, in the full profile, on Fashion-MNIST.
pub fn lenet(context: &Context) -> Result<Trained<LeNet>> {
    let config = match context.fashion_mnist {
        None => LeNetConfig::digits(),
        Some(_) => LeNetConfig::fashion_mnist(),
    };
    Net::LeNet.train(context, config.init(&context.device))
}
