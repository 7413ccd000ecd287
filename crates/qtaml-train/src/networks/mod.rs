//! Five image classifiers, each the smallest honest member of its family.
//!
//! All are built from burn's own layers and use no dropout. The sizes for the digits and for
//! Fashion-MNIST are ours: small enough for thousands of trials on two cores, with layers that
//! differ in size by two orders of magnitude, as those of the originals do.

mod conv_norm;
mod lenet;
mod mobilenet;
mod resnet;
mod transformer;
mod vgg;

pub use lenet::{LeNet, LeNetConfig};
pub use mobilenet::{MobileNet, MobileNetConfig};
pub use resnet::{ResNet, ResNetConfig};
pub use transformer::{Transformer, TransformerConfig};
pub use vgg::{Vgg, VggConfig};

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::{Device, Tensor};
    use qtaml_fault::Seed;

    use super::*;
    use crate::{Classifier, Dataset, Evaluation, Parameter, TrainerConfig, parameters, train};

    /// The names and sizes of the weights that are stored.
    pub(super) fn sizes(model: &impl Classifier) -> Vec<(String, usize)> {
        let weights = parameters(model).into_iter().filter(Parameter::is_weight);
        weights.map(|p| (p.name, p.values.len())).collect()
    }

    /// The number of weights, after a look at the shape of what the network returns.
    pub(super) fn weights(model: &impl Classifier, side: usize) -> usize {
        let images = Tensor::zeros([3, 1, side, side], &Device::flex());
        assert_eq!(model.logits(images).dims(), [3, 10]);
        sizes(model).iter().map(|(_, count)| count).sum()
    }

    /// Accuracy on the digits after few epochs; chance is 0.1.
    fn learns(model: impl Classifier, above: f64) {
        let device = Device::flex();
        let digits = Dataset::digits().unwrap();
        let config = TrainerConfig { epochs: 3, ..TrainerConfig::new() };
        let model = train(model, &digits.train, &config, Seed(3), &device, |_| ()).unwrap();
        let accuracy = Evaluation::new(&digits.test, &device).unwrap().accuracy(&model);
        assert!(accuracy > above, "{accuracy}");
    }

    #[test]
    fn every_network_learns() {
        let device = Device::flex();
        learns(VggConfig::digits().init(&device), 0.5);
        learns(ResNetConfig::digits().init(&device), 0.5);
        learns(MobileNetConfig::digits().init(&device), 0.5);
        learns(TransformerConfig::digits().init(&device), 0.5);
    }
}
