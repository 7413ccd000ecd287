//! A residual network with batch norm.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::all_positive;
use super::conv_norm::{ConvNorm, global_average};
use crate::{Classifier, TrainError};

/// Size of a [`ResNet`].
///
/// K. He, X. Zhang, S. Ren and J. Sun, CVPR 2016, pp. 770-778: stages of blocks of two 3x3
/// convolutions, with 1x1 convolutions for shortcuts where a block changes the size (option B there).
/// Here every stage begins by halving the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Channels after the first convolution.
    pub stem: usize,
    /// Channels of each stage.
    pub widths: [usize; 2],
    /// Blocks in each stage.
    pub blocks: usize,
    /// Number of classes.
    pub classes: usize,
}

impl ResNetConfig {
    /// For the embedded 8x8 digits: 39,912 weights.
    pub const fn digits() -> Self {
        Self { stem: 8, widths: [24, 48], blocks: 1, classes: 10 }
    }

    /// For 28x28 Fashion-MNIST: 72,464 weights.
    pub const fn fashion_mnist() -> Self {
        Self { stem: 16, widths: [32, 64], blocks: 1, classes: 10 }
    }

    /// The network for grey images of any size, with burn's own initial weights.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) gives an error.
    pub fn init(&self, device: &Device) -> ResNet {
        self.try_init(device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// [`TrainError::Range`] for sizes that make no network.
    pub fn try_init(&self, device: &Device) -> Result<ResNet, TrainError> {
        let width = "the width of a stage";
        all_positive(&[
            ("the number of channels of the first convolution", self.stem),
            (width, self.widths[0]),
            (width, self.widths[1]),
            ("the number of blocks in a stage", self.blocks),
            ("the number of classes", self.classes),
        ])?;
        let mut from = self.stem;
        let mut blocks = Vec::new();
        for to in self.widths {
            for block in 0..self.blocks {
                let stride = if block == 0 { 2 } else { 1 };
                blocks.push(Residual::new([from, to], stride, device));
                from = to;
            }
        }
        Ok(ResNet {
            stem: ConvNorm::new([1, self.stem], 3, 1, device),
            blocks,
            fc: LinearConfig::new(from, self.classes).init(device),
        })
    }
}

/// A convolution, two stages of residual blocks, the mean over the image, and a linear layer.
#[derive(Module, Debug)]
pub struct ResNet {
    stem: ConvNorm,
    blocks: Vec<Residual>,
    fc: Linear,
}

impl Classifier for ResNet {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem.forward(images));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.fc.forward(global_average(x))
    }
}

/// Two convolutions whose result is added to their input.
#[derive(Module, Debug)]
struct Residual {
    conv1: ConvNorm,
    conv2: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl Residual {
    fn new(channels: [usize; 2], stride: usize, device: &Device) -> Self {
        let [from, to] = channels;
        let same = from == to && stride == 1;
        Self {
            conv1: ConvNorm::new(channels, 3, stride, device),
            conv2: ConvNorm::new([to, to], 3, 1, device),
            shortcut: (!same).then(|| ConvNorm::new(channels, 1, stride, device)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let change = self.conv2.forward(relu(self.conv1.forward(x.clone())));
        let kept = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        relu(kept + change)
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::networks::tests::{sizes, weights};

    #[test]
    fn names_and_sizes() {
        let model = ResNetConfig::digits().init(&Device::flex());
        let expected = [
            ("stem.conv.weight", 9 * 8),
            ("blocks.0.conv1.conv.weight", 9 * 8 * 24),
            ("blocks.0.conv2.conv.weight", 9 * 24 * 24),
            ("blocks.0.shortcut.conv.weight", 8 * 24),
            ("blocks.1.conv1.conv.weight", 9 * 24 * 48),
            ("blocks.1.conv2.conv.weight", 9 * 48 * 48),
            ("blocks.1.shortcut.conv.weight", 24 * 48),
            ("fc.weight", 48 * 10),
        ];
        assert_eq!(sizes(&model), expected.map(|(name, size)| (name.to_owned(), size)));
        assert_eq!(weights(&model, 8), 39_912);
    }

    #[test]
    fn any_size_of_image_fits() {
        let model = ResNetConfig::fashion_mnist().init(&Device::flex());
        assert_eq!(weights(&model, 28), 72_464);
        assert_eq!(weights(&model, 13), 72_464);
    }
}
