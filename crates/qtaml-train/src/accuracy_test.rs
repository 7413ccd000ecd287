//! Accuracy on a fixed set of images.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use qtaml_deploy::{highest, margin};

use crate::parameters::to_host;
use crate::{Images, TrainError};

/// A network that classifies images. Derived burn modules are `Sync`, so trials can run side by side,
/// and can be shown, so other modules can be made of them.
pub trait Classifier: Module + ModuleDisplay + Sync + 'static {
    /// One score per class, before any softmax.
    ///
    /// # Shapes
    /// `[n, channels, height, width]` to `[n, classes]`.
    fn logits(&self, images: Tensor<4>) -> Tensor<2>;
}

/// Images that stay on a device, to evaluate many networks on.
#[derive(Debug, Clone)]
pub struct AccuracyTest {
    images: Tensor<4>,
    labels: Vec<usize>,
}

impl AccuracyTest {
    /// Uploads the images once.
    ///
    /// # Errors
    /// [`TrainError::Data`] without images: nothing could be said of their accuracy.
    pub fn new(images: &Images, device: &Device) -> Result<Self, TrainError> {
        if images.is_empty() {
            let problem = "has no images".into();
            return Err(TrainError::Data { name: "evaluation".into(), problem });
        }
        Ok(Self { images: images.tensor(device), labels: images.labels().to_vec() })
    }

    /// The number of images.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty: construction refuses that")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The network's scores, `[n, classes]` row-major.
    pub fn logits(&self, model: &impl Classifier) -> Vec<f32> {
        to_host(model.logits(self.images.clone()))
    }

    /// The class of the highest score of each image; none where no score is a number.
    pub fn predictions(&self, model: &impl Classifier) -> Vec<Option<usize>> {
        self.highest_of(&self.logits(model))
    }

    pub(crate) fn highest_of(&self, logits: &[f32]) -> Vec<Option<usize>> {
        logits.chunks(logits.len() / self.labels.len()).map(highest).collect()
    }

    /// The share of images whose highest score is that of their label. A score that is not a
    /// number never wins.
    pub fn accuracy(&self, model: &impl Classifier) -> f64 {
        let predicted = self.predictions(model);
        let right = predicted.iter().zip(&self.labels);
        let right = right.filter(|(class, label)| **class == Some(**label)).count();
        right as f64 / self.labels.len() as f64
    }

    /// By how much the highest score of each image leads the second: how sure the network is of
    /// what it says, whether or not it is right.
    pub fn margins(&self, model: &impl Classifier) -> Vec<f64> {
        let logits = self.logits(model);
        logits.chunks(logits.len() / self.labels.len()).map(margin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_is_a_lead() {
        assert_eq!(margin(&[1.0, 4.0, 2.5]), 1.5);
        assert_eq!(margin(&[1.0]), 0.0);
    }

    #[test]
    fn the_highest_score_wins_and_nan_never() {
        assert_eq!(highest(&[0.0, 3.0, 3.0]), Some(1));
        assert_eq!(highest(&[f32::NAN, -1.0]), Some(1));
        assert_eq!(highest(&[f32::NAN]), None);
    }
}
