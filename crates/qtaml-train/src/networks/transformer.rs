//! A small vision transformer.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::{all_positive, multiple};
use crate::{Classifier, TrainError};

/// Size of a [`Transformer`].
///
/// A. Dosovitskiy et al., ICLR 2021, arXiv 2010.11929: the image is cut into patches, which are the
/// words of a pre-norm encoder. Here the mean over all words stands in for a class token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransformerConfig {
    /// Side of the square grey images, a multiple of `patch`.
    pub side: usize,
    /// Side of the square patches.
    pub patch: usize,
    /// Numbers per word, a multiple of `heads`.
    pub width: usize,
    /// Width of the hidden layer of each block.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Blocks of the encoder.
    pub blocks: usize,
    /// Number of classes.
    pub classes: usize,
}

impl TransformerConfig {
    /// For the embedded 8x8 digits: 17,344 weights.
    pub const fn digits() -> Self {
        Self { side: 8, patch: 2, width: 32, hidden: 64, heads: 4, blocks: 2, classes: 10 }
    }

    /// For 28x28 Fashion-MNIST: 1.19 million weights, and 16 patches, which take a third of the time of 49.
    pub const fn fashion_mnist() -> Self {
        Self { side: 28, patch: 7, width: 128, hidden: 512, heads: 4, blocks: 6, classes: 10 }
    }

    /// The network, with burn's own initial weights.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) gives an error.
    pub fn init(&self, device: &Device) -> Transformer {
        self.try_init(device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// [`TrainError::Range`] for sizes that make no network.
    pub fn try_init(&self, device: &Device) -> Result<Transformer, TrainError> {
        let Self { side, patch, width, heads, .. } = *self;
        let allowed = "it must be a positive multiple of the side of a patch, which is not 0";
        multiple("the side of the images", side, patch, allowed)?;
        let allowed = "it must be a positive multiple of the number of heads, which is not 0";
        multiple("the width of the words", width, heads, allowed)?;
        all_positive(&[
            ("the width of hidden layers", self.hidden),
            ("the number of blocks", self.blocks),
            ("the number of classes", self.classes),
        ])?;
        let patches = Conv2dConfig::new([1, width], [patch, patch]).with_stride([patch, patch]);
        let encoder = TransformerEncoderConfig::new(width, self.hidden, heads, self.blocks);
        Ok(Transformer {
            patches: patches.init(device),
            positions: EmbeddingConfig::new((side / patch).pow(2), width).init(device),
            encoder: encoder.with_norm_first(true).with_dropout(0.0).init(device),
            norm: LayerNormConfig::new(width).init(device),
            head: LinearConfig::new(width, self.classes).init(device),
        })
    }
}

/// Patches and their positions, a pre-norm encoder, the mean over all patches, and a linear layer.
#[derive(Module, Debug)]
pub struct Transformer {
    patches: Conv2d,
    positions: Embedding,
    encoder: TransformerEncoder,
    norm: LayerNorm,
    head: Linear,
}

impl Classifier for Transformer {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let words = self.patches.forward(images).flatten::<3>(2, 3).swap_dims(1, 2);
        let words = words + self.positions.weight.val().unsqueeze();
        let words = self.encoder.forward(TransformerEncoderInput::new(words));
        self.head.forward(self.norm.forward(words).mean_dim(1).squeeze_dim(1))
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Tolerance;

    use super::*;
    use crate::networks::tests::{sizes, weights};

    #[test]
    fn names_and_sizes() {
        let model = TransformerConfig::digits().init(&Device::flex());
        let block = |i| {
            [
                (format!("encoder.layers.{i}.mha.query.weight"), 32 * 32),
                (format!("encoder.layers.{i}.mha.key.weight"), 32 * 32),
                (format!("encoder.layers.{i}.mha.value.weight"), 32 * 32),
                (format!("encoder.layers.{i}.mha.output.weight"), 32 * 32),
                (format!("encoder.layers.{i}.pwff.linear_inner.weight"), 32 * 64),
                (format!("encoder.layers.{i}.pwff.linear_outer.weight"), 32 * 64),
            ]
        };
        let first = [("patches.weight".into(), 4 * 32), ("positions.weight".into(), 16 * 32)];
        let expected = [&first[..], &block(0), &block(1), &[("head.weight".into(), 320)]];
        assert_eq!(sizes(&model), expected.concat());
        assert_eq!(weights(&model, 8), 17_344);
    }

    #[test]
    fn the_large_one_has_more_than_a_million_weights() {
        let model = TransformerConfig::fashion_mnist().init(&Device::flex());
        assert_eq!(weights(&model, 28), 1_189_248);
    }

    #[test]
    fn order_matters_only_through_positions() {
        let device = Device::flex();
        let model = TransformerConfig::digits().init(&device);
        let mut pixels = [0.0_f32; 64];
        pixels[..2].fill(1.0);
        let image =
            |pixels: [f32; 64]| Tensor::<1>::from_floats(pixels, &device).reshape([1, 1, 8, 8]);
        let logits = |model: &Transformer, pixels| model.logits(image(pixels)).into_data();
        let here = pixels;
        pixels.rotate_right(2);
        let there = pixels;
        assert_ne!(logits(&model, here), logits(&model, there));
        let values = [("positions.weight".to_owned(), vec![0.0; 512])].into();
        let blind = crate::replace_parameters(model, values).unwrap();
        logits(&blind, here).assert_approx_eq::<f32>(&logits(&blind, there), Tolerance::default());
    }
}
