//! Five image classifiers, one of each common family, and perceptrons of any width.
//!
//! All are built from burn's own layers and use no dropout. The sizes for the digits and for
//! Fashion-MNIST are ours: small enough for thousands of trials on two cores, with layers that
//! differ in size by two orders of magnitude, as those of the originals do.

mod conv_norm;
mod lenet;
mod mlp;
mod mobilenet;
mod resnet;
mod transformer;
mod vgg;

pub use lenet::{LeNet, LeNetConfig};
pub use mlp::{Mlp, MlpConfig};
pub use mobilenet::{MobileNet, MobileNetConfig};
pub use resnet::{ResNet, ResNetConfig};
pub use transformer::{Transformer, TransformerConfig};
pub use vgg::{Vgg, VggConfig};

use crate::TrainError;

/// Refuses a size of zero. Each is what it is, and its value.
fn all_positive(sizes: &[(&'static str, usize)]) -> Result<(), TrainError> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((what, _)) => {
            Err(TrainError::Range { what, value: 0.0, allowed: "it must be at least 1" })
        }
        None => Ok(()),
    }
}

/// Refuses a size that is no positive multiple of another; `allowed` says of which.
fn multiple(
    what: &'static str,
    size: usize,
    of: usize,
    allowed: &'static str,
) -> Result<(), TrainError> {
    if size > 0 && of > 0 && size.is_multiple_of(of) {
        return Ok(());
    }
    Err(TrainError::Range { what, value: size as f64, allowed })
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::{Device, Tensor};
    use qtaml_fault::Seed;

    use super::*;
    use crate::{AccuracyTest, Classifier, Dataset, Parameter, TrainerConfig, parameters, train};

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
        let accuracy = AccuracyTest::new(&digits.test, &device).unwrap().accuracy(&model);
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

    #[test]
    fn sizes_that_make_no_network_are_refused() {
        let device = Device::flex();
        let message = |error: crate::TrainError| error.to_string();
        let lenet = LeNetConfig { side: 6, ..LeNetConfig::digits() };
        assert_eq!(
            message(lenet.try_init(&device).unwrap_err()),
            "the side of the images is 6: it must be a positive multiple of 4"
        );
        let lenet = LeNetConfig { classes: 0, ..LeNetConfig::digits() };
        let expected = "the number of classes is 0: it must be at least 1";
        assert_eq!(message(lenet.try_init(&device).unwrap_err()), expected);
        let vgg = VggConfig { widths: [3, 0], ..VggConfig::digits() };
        assert!(
            message(vgg.try_init(&device).unwrap_err()).starts_with("the width of a stage is 0")
        );
        let vgg = VggConfig { side: 0, ..VggConfig::digits() };
        assert!(message(vgg.try_init(&device).unwrap_err()).starts_with("the side of the images"));
        let resnet = ResNetConfig { stem: 0, ..ResNetConfig::digits() };
        assert!(message(resnet.try_init(&device).unwrap_err()).contains("is 0"));
        let mobilenet = MobileNetConfig { blocks: &[(8, 1), (8, 0)], ..MobileNetConfig::digits() };
        assert!(message(mobilenet.try_init(&device).unwrap_err()).starts_with("the step of"));
        for transformer in [
            TransformerConfig { patch: 3, ..TransformerConfig::digits() },
            TransformerConfig { patch: 0, ..TransformerConfig::digits() },
            TransformerConfig { heads: 5, ..TransformerConfig::digits() },
            TransformerConfig { hidden: 0, ..TransformerConfig::digits() },
            TransformerConfig { blocks: 0, ..TransformerConfig::digits() },
        ] {
            let error = transformer.try_init(&device).unwrap_err();
            assert!(matches!(error, crate::TrainError::Range { .. }), "{error}");
        }
    }
}
