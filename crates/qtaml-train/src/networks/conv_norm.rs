//! A convolution followed by batch norm.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

/// The norm shifts its input anyway, so the convolution has no bias.
#[derive(Module, Debug)]
pub(super) struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    /// A kernel of odd side, padded so that only `stride` changes the size of the image.
    pub(super) fn new(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        let conv = Conv2dConfig::new(channels, [kernel, kernel]);
        Self::from(&conv, kernel, stride, device)
    }

    /// One 3x3 kernel for each channel.
    pub(super) fn depthwise(channels: usize, stride: usize, device: &Device) -> Self {
        let conv = Conv2dConfig::new([channels, channels], [3, 3]).with_groups(channels);
        Self::from(&conv, 3, stride, device)
    }

    fn from(conv: &Conv2dConfig, kernel: usize, stride: usize, device: &Device) -> Self {
        let pad = kernel / 2;
        let conv = conv
            .clone()
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
            .with_bias(false);
        Self { norm: BatchNormConfig::new(conv.channels[1]).init(device), conv: conv.init(device) }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

/// The mean of every channel.
///
/// # Shapes
/// `[n, channels, height, width]` to `[n, channels]`.
pub(super) fn global_average(x: Tensor<4>) -> Tensor<2> {
    x.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
}
