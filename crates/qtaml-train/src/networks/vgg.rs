//! A plain deep convolutional network in the style of VGG.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{all_positive, multiple};
use crate::{Classifier, TrainError};

/// Size of a [`Vgg`].
///
/// K. Simonyan and A. Zisserman, ICLR 2015, arXiv 1409.1556, in the manner of configuration A there:
/// stages of 3x3 convolutions, the first of one and the next of two, no norms, and three linear layers
/// with most of the weights. Here with two stages, and without dropout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VggConfig {
    /// Side of the square grey images, a multiple of four.
    pub side: usize,
    /// Channels of each stage.
    pub widths: [usize; 2],
    /// Width of the two hidden linear layers.
    pub hidden: usize,
    /// Number of classes.
    pub classes: usize,
}

impl VggConfig {
    /// For the embedded 8x8 digits: 37,836 weights.
    pub const fn digits() -> Self {
        Self { side: 8, widths: [12, 24], hidden: 128, classes: 10 }
    }

    /// For 28x28 Fashion-MNIST: 1.08 million weights.
    pub const fn fashion_mnist() -> Self {
        Self { side: 28, widths: [16, 32], hidden: 512, classes: 10 }
    }

    /// The network, with burn's own initial weights.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) gives an error.
    pub fn init(&self, device: &Device) -> Vgg {
        self.try_init(device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// [`TrainError::Range`] for sizes that make no network.
    pub fn try_init(&self, device: &Device) -> Result<Vgg, TrainError> {
        let allowed = "it must be a positive multiple of 4";
        multiple("the side of the images", self.side, 4, allowed)?;
        let width = "the width of a stage";
        all_positive(&[
            (width, self.widths[0]),
            (width, self.widths[1]),
            ("the width of hidden layers", self.hidden),
            ("the number of classes", self.classes),
        ])?;
        let conv = |from, to| {
            Conv2dConfig::new([from, to], [3, 3]).with_padding(PaddingConfig2d::Same).init(device)
        };
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let [first, second] = self.widths;
        let features = second * (self.side / 4).pow(2);
        Ok(Vgg {
            stages: vec![vec![conv(1, first)], vec![conv(first, second), conv(second, second)]],
            fc1: linear(features, self.hidden),
            fc2: linear(self.hidden, self.hidden),
            fc3: linear(self.hidden, self.classes),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        })
    }
}

/// Two stages of convolutions with rectifiers, each followed by 2x2 max pooling, and three linear
/// layers.
#[derive(Module, Debug)]
pub struct Vgg {
    stages: Vec<Vec<Conv2d>>,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    pool: MaxPool2d,
}

impl Classifier for Vgg {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = images;
        for stage in &self.stages {
            x = stage.iter().fold(x, |x, conv| relu(conv.forward(x)));
            x = self.pool.forward(x);
        }
        let x = relu(self.fc1.forward(x.flatten::<2>(1, 3)));
        let x = relu(self.fc2.forward(x));
        self.fc3.forward(x)
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::networks::tests::{sizes, weights};

    #[test]
    fn names_and_sizes() {
        let model = VggConfig::digits().init(&Device::flex());
        let expected = [
            ("stages.0.0.weight", 9 * 12),
            ("stages.1.0.weight", 9 * 12 * 24),
            ("stages.1.1.weight", 9 * 24 * 24),
            ("fc1.weight", 2 * 2 * 24 * 128),
            ("fc2.weight", 128 * 128),
            ("fc3.weight", 128 * 10),
        ];
        assert_eq!(sizes(&model), expected.map(|(name, size)| (name.to_owned(), size)));
        assert_eq!(weights(&model, 8), 37_836);
    }

    #[test]
    fn the_first_linear_layer_holds_most_weights() {
        let model = VggConfig::fashion_mnist().init(&Device::flex());
        let largest = sizes(&model).into_iter().max_by_key(|(_, size)| *size);
        assert_eq!(largest, Some(("fc1.weight".to_owned(), 7 * 7 * 32 * 512)));
        assert_eq!(weights(&model, 28), 1_084_048);
    }
}
