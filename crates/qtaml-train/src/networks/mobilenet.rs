//! A small network of depthwise-separable convolutions, as made for phones.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::all_positive;
use super::conv_norm::{ConvNorm, global_average};
use crate::{Classifier, TrainError};

/// Size of a [`MobileNet`].
///
/// A. G. Howard et al., arXiv 1704.04861, 2017 (version 1): blocks of a 3x3 convolution for each
/// channel by itself and a 1x1 convolution across channels, each with batch norm and rectifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MobileNetConfig {
    /// Channels and step of the first convolution.
    pub stem: (usize, usize),
    /// Channels and step of each block.
    pub blocks: &'static [(usize, usize)],
    /// Number of classes.
    pub classes: usize,
}

impl MobileNetConfig {
    /// For the embedded 8x8 digits: 28,128 weights.
    pub const fn digits() -> Self {
        Self { stem: (12, 1), blocks: &[(24, 2), (48, 1), (96, 2), (192, 1)], classes: 10 }
    }

    /// For 28x28 Fashion-MNIST: 70,592 weights.
    pub const fn fashion_mnist() -> Self {
        let blocks = &[(32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 1)];
        Self { stem: (16, 2), blocks, classes: 10 }
    }

    /// The network for grey images of any size, with burn's own initial weights.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) gives an error.
    pub fn init(&self, device: &Device) -> MobileNet {
        self.try_init(device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// [`TrainError::Range`] for sizes that make no network.
    pub fn try_init(&self, device: &Device) -> Result<MobileNet, TrainError> {
        for &(channels, step) in self.blocks.iter().chain([&self.stem]) {
            all_positive(&[
                ("the number of channels of a convolution", channels),
                ("the step of a convolution", step),
            ])?;
        }
        all_positive(&[("the number of classes", self.classes)])?;
        let (first, stride) = self.stem;
        let mut from = first;
        let blocks = self.blocks.iter().map(|&(to, stride)| {
            Separable::new([std::mem::replace(&mut from, to), to], stride, device)
        });
        Ok(MobileNet {
            stem: ConvNorm::new([1, first], 3, stride, device),
            blocks: blocks.collect(),
            fc: LinearConfig::new(from, self.classes).init(device),
        })
    }
}

/// A convolution, depthwise-separable blocks, the mean over the image, and a linear layer.
#[derive(Module, Debug)]
pub struct MobileNet {
    stem: ConvNorm,
    blocks: Vec<Separable>,
    fc: Linear,
}

impl Classifier for MobileNet {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem.forward(images));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.fc.forward(global_average(x))
    }
}

/// A convolution within channels, then one across them.
#[derive(Module, Debug)]
struct Separable {
    depthwise: ConvNorm,
    pointwise: ConvNorm,
}

impl Separable {
    fn new(channels: [usize; 2], stride: usize, device: &Device) -> Self {
        Self {
            depthwise: ConvNorm::depthwise(channels[0], stride, device),
            pointwise: ConvNorm::new(channels, 1, 1, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.pointwise.forward(relu(self.depthwise.forward(x))))
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::networks::tests::{sizes, weights};

    #[test]
    fn names_and_sizes() {
        let model = MobileNetConfig::digits().init(&Device::flex());
        let sizes = sizes(&model);
        let names: Vec<&str> = sizes.iter().take(3).map(|(name, _)| name.as_str()).collect();
        let expected = [
            "stem.conv.weight",
            "blocks.0.depthwise.conv.weight",
            "blocks.0.pointwise.conv.weight",
        ];
        assert_eq!(names, expected);
        let counts: Vec<usize> = sizes.iter().map(|(_, count)| *count).collect();
        let within = [9 * 12, 9 * 24, 9 * 48, 9 * 96];
        let across = [12 * 24, 24 * 48, 48 * 96, 96 * 192];
        let blocks: Vec<usize> =
            within.into_iter().zip(across).flat_map(<[usize; 2]>::from).collect();
        assert_eq!(counts, [&[9 * 12][..], &blocks, &[192 * 10]].concat());
        assert_eq!(weights(&model, 8), 28_128);
    }

    #[test]
    fn any_size_of_image_fits() {
        let model = MobileNetConfig::fashion_mnist().init(&Device::flex());
        assert_eq!(weights(&model, 28), 70_592);
    }
}
