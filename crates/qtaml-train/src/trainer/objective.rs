//! Objectives: examples and the loss on them.

use burn::tensor::{Device, Int, Tensor};

use super::snapshot::sha256;
use crate::Images;

/// Examples by number, as batches on a device: a user's own data.
///
/// ```
/// use burn::tensor::{Device, Tensor, TensorData};
/// use qtaml_train::trainer::TrainingData;
///
/// /// Points of a curve.
/// struct Curve(Vec<[f32; 2]>);
///
/// impl TrainingData for Curve {
///     type Batch = [Tensor<2>; 2];
///
///     fn len(&self) -> usize {
///         self.0.len()
///     }
///
///     fn batch(&self, positions: &[usize], device: &Device) -> Self::Batch {
///         [0, 1].map(|axis| {
///             let values: Vec<f32> = positions.iter().map(|&at| self.0[at][axis]).collect();
///             Tensor::from_data(TensorData::new(values, [positions.len(), 1]), device)
///         })
///     }
/// }
/// ```
pub trait TrainingData {
    /// Some examples with what they should lead to.
    type Batch;

    /// The number of examples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The examples at these positions, each below [`len`](Self::len), in this order.
    fn batch(&self, positions: &[usize], device: &Device) -> Self::Batch;

    /// The same, each moved by so many pixels down and right:
    /// [`TrainerConfig::shift`](super::TrainerConfig::shift). `None` for what is no image.
    fn shifted(
        &self,
        positions: &[usize],
        moves: &[[f32; 2]],
        device: &Device,
    ) -> Option<Self::Batch> {
        let _ = (positions, moves, device);
        None
    }

    /// What tells these data from others, such as a hash of them: a checkpoint of a run on others is
    /// refused. `None` tells nothing apart but their number.
    fn digest(&self) -> Option<String> {
        None
    }
}

/// Images on a device with their labels.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LabelledImages {
    /// `[n, channels, height, width]`
    pub images: Tensor<4>,
    /// `[n]`
    pub labels: Tensor<1, Int>,
}

impl LabelledImages {
    fn new(images: &Images, device: &Device) -> Self {
        Self { images: images.tensor(device), labels: images.label_tensor(device) }
    }
}

impl TrainingData for Images {
    type Batch = LabelledImages;

    fn len(&self) -> usize {
        self.len()
    }

    fn batch(&self, positions: &[usize], device: &Device) -> LabelledImages {
        LabelledImages::new(&self.picked(positions), device)
    }

    fn shifted(
        &self,
        positions: &[usize],
        moves: &[[f32; 2]],
        device: &Device,
    ) -> Option<LabelledImages> {
        Some(LabelledImages::new(&self.picked(positions).moved(moves), device))
    }

    fn digest(&self) -> Option<String> {
        let pixels: Vec<u8> = self.pixels().iter().flat_map(|p| p.to_le_bytes()).collect();
        let labels: Vec<u8> =
            self.labels().iter().flat_map(|label| (*label as u64).to_le_bytes()).collect();
        let shape = format!("{:?}", self.shape());
        Some(sha256([shape.as_bytes(), &pixels, &labels]))
    }
}

type Loss<'a, M, B> = dyn Fn(&M, &B) -> Tensor<1> + 'a;
type Metric<'a, M> = dyn Fn(&M) -> f64 + 'a;

/// What training makes small, and what tells how well it went.
pub struct Objective<'a, M, B> {
    pub(super) loss: Box<Loss<'a, M, B>>,
    pub(super) metric: Option<Box<Metric<'a, M>>>,
}

impl<'a, M, B> Objective<'a, M, B> {
    /// One number for a batch, as the mean of the losses of its examples.
    pub fn new(loss: impl Fn(&M, &B) -> Tensor<1> + 'a) -> Self {
        Self { loss: Box::new(loss), metric: None }
    }

    /// The same with a number that is measured after every epoch, on the network as it would be
    /// deployed: the higher, the better.
    #[must_use]
    pub fn with_metric(self, metric: impl Fn(&M) -> f64 + 'a) -> Self {
        Self { metric: Some(Box::new(metric)), ..self }
    }
}

impl<M, B> std::fmt::Debug for Objective<'_, M, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objective").field("metric", &self.metric.is_some()).finish_non_exhaustive()
    }
}
