//! A small convolutional network in the style of LeNet-5.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{all_positive, multiple};
use crate::{Classifier, TrainError};

/// Size of a [`LeNet`].
///
/// Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Proc. IEEE 86(11), 1998; here with 3x3 kernels that keep the
/// size, rectifiers and max pooling, so that it fits images of any size divisible by four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeNetConfig {
    /// Side of the square grey images, a multiple of four.
    pub side: usize,
    /// Number of classes.
    pub classes: usize,
}

impl LeNetConfig {
    /// For the embedded 8x8 digits.
    pub const fn digits() -> Self {
        Self { side: 8, classes: 10 }
    }

    /// For 28x28 Fashion-MNIST.
    pub const fn fashion_mnist() -> Self {
        Self { side: 28, classes: 10 }
    }

    /// The network, with burn's own initial weights.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) gives an error.
    pub fn init(&self, device: &Device) -> LeNet {
        self.try_init(device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// [`TrainError::Range`] for sizes that make no network.
    pub fn try_init(&self, device: &Device) -> Result<LeNet, TrainError> {
        let allowed = "it must be a positive multiple of 4";
        multiple("the side of the images", self.side, 4, allowed)?;
        all_positive(&[("the number of classes", self.classes)])?;
        let conv = |channels| {
            Conv2dConfig::new(channels, [3, 3]).with_padding(PaddingConfig2d::Same).init(device)
        };
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let features = 16 * (self.side / 4).pow(2);
        Ok(LeNet {
            conv1: conv([1, 6]),
            conv2: conv([6, 16]),
            fc1: linear(features, 120),
            fc2: linear(120, 84),
            fc3: linear(84, self.classes),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        })
    }
}

/// Two convolutions, each followed by a rectifier and 2x2 max pooling, and three linear layers.
#[derive(Module, Debug)]
pub struct LeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    pool: MaxPool2d,
}

impl Classifier for LeNet {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.conv1.forward(images)));
        let x = self.pool.forward(relu(self.conv2.forward(x)));
        let x = x.flatten::<2>(1, 3);
        let x = relu(self.fc1.forward(x));
        let x = relu(self.fc2.forward(x));
        self.fc3.forward(x)
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::{Dataset, Parameter, parameters};

    #[test]
    fn shapes() {
        let device = Device::flex();
        let model = LeNetConfig::digits().init(&device);
        let images = Dataset::digits().unwrap().calibration;
        assert_eq!(model.logits(images.tensor(&device)).dims(), [200, 10]);
        let weights: Vec<_> = parameters(&model).into_iter().filter(Parameter::is_weight).collect();
        let names: Vec<&str> = weights.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(
            names,
            ["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight", "fc3.weight"]
        );
        let count: usize = weights.iter().map(|p| p.values.len()).sum();
        assert_eq!(count, 54 + 864 + 7680 + 10080 + 840);
    }
}
