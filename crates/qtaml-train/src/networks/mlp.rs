//! A multilayer perceptron with two hidden layers.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::all_positive;
use crate::{Classifier, TrainError};

/// Size of an [`Mlp`].
///
/// Where both hidden layers are as wide, the layer between them grows with the square of their width, and the others
/// in proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MlpConfig {
    /// Side of the square grey images.
    pub side: usize,
    /// Widths of the hidden layers.
    pub hidden: [usize; 2],
    /// Number of classes.
    pub classes: usize,
}

impl MlpConfig {
    /// For the embedded 8x8 digits, with two hidden layers of one width.
    pub const fn digits(hidden: usize) -> Self {
        Self { side: 8, hidden: [hidden; 2], classes: 10 }
    }

    /// For 28x28 Fashion-MNIST, with two hidden layers of one width.
    pub const fn fashion_mnist(hidden: usize) -> Self {
        Self { side: 28, hidden: [hidden; 2], classes: 10 }
    }

    /// The network, with burn's own initial weights.
    ///
    /// # Panics
    /// Where [`try_init`](Self::try_init) gives an error.
    pub fn init(&self, device: &Device) -> Mlp {
        self.try_init(device).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// [`TrainError::Range`] for sizes that make no network.
    pub fn try_init(&self, device: &Device) -> Result<Mlp, TrainError> {
        all_positive(&[
            ("the side of the images", self.side),
            ("the width of the first hidden layer", self.hidden[0]),
            ("the width of the second hidden layer", self.hidden[1]),
            ("the number of classes", self.classes),
        ])?;
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Ok(Mlp {
            fc1: linear(self.side.pow(2), self.hidden[0]),
            fc2: linear(self.hidden[0], self.hidden[1]),
            fc3: linear(self.hidden[1], self.classes),
        })
    }
}

/// Three linear layers with rectifiers between them.
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Classifier for Mlp {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.fc1.forward(images.flatten::<2>(1, 3)));
        let x = relu(self.fc2.forward(x));
        self.fc3.forward(x)
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::super::tests::{sizes, weights};
    use super::*;

    #[test]
    fn the_middle_layer_grows_with_the_square_of_the_width() {
        let of = |hidden| MlpConfig::digits(hidden).init(&Device::flex());
        let named = |name: &str, count| (name.to_owned(), count);
        let expected = [
            named("fc1.weight", 64 * 32),
            named("fc2.weight", 32 * 32),
            named("fc3.weight", 32 * 10),
        ];
        assert_eq!(sizes(&of(32)), expected);
        assert_eq!(weights(&of(64), 8), 64 * 64 + 64 * 64 + 64 * 10);
        let tapered = MlpConfig { hidden: [64, 4], ..MlpConfig::digits(1) };
        assert_eq!(weights(&tapered.init(&Device::flex()), 8), 64 * 64 + 64 * 4 + 4 * 10);
        let none = MlpConfig { hidden: [1, 0], ..MlpConfig::digits(1) };
        let error = none.try_init(&Device::flex()).unwrap_err().to_string();
        assert_eq!(error, "the width of the second hidden layer is 0: it must be at least 1");
    }
}
