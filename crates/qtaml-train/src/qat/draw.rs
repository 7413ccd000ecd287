//! The random numbers of the noise of a training step.

use burn::tensor::{DType, Tensor};
use qtaml_fault::{FaultStream, Seed};
use rand_distr::{Distribution, StandardNormal};

use crate::weights::from_host;

/// The address of one parameter's noise in one step.
///
/// What is drawn there is a function of seed, step and name alone: a layer that reads its weight
/// twice in a step reads the same, and so does a run that was interrupted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw<'a> {
    pub(super) seed: Seed,
    pub(super) step: u64,
    pub(super) name: &'a str,
}

impl Draw<'_> {
    /// Standard normal numbers without end.
    pub(super) fn standard_normals(&self) -> impl Iterator<Item = f32> + use<> {
        let rng = self.seed.rng(&format!("qat.{}", self.name), self.step);
        StandardNormal.sample_iter(rng)
    }

    /// Standard normal numbers in the shape of `like`, and where it lies.
    pub(super) fn normals<const D: usize>(&self, like: &Tensor<D>) -> Tensor<D> {
        let count = like.shape().num_elements();
        let values: Vec<f32> = self.standard_normals().take(count).collect();
        from_host(values, like.dims(), &like.device(), DType::F32)
    }

    /// The stream of its bit faults: never that of a trial with which a network is evaluated.
    pub(super) fn stream(&self) -> FaultStream {
        // Training runs have fewer than 2^32 steps; beyond, the faults of the first come again.
        FaultStream::new(self.seed, self.step as u32, self.name).substream("training")
    }
}

/// The tensor with normal noise of standard deviation `sigma`; relative to its largest magnitude
/// if `relative`, which is held constant in the backward pass. The gradient passes unchanged.
pub(super) fn add_noise<const D: usize>(
    base: Tensor<D>,
    sigma: f64,
    relative: bool,
    draw: &Draw<'_>,
) -> Tensor<D> {
    let clean = base.clone().without_autodiff();
    let noise = draw.normals(&clean).cast(clean.dtype()) * sigma;
    base + if relative { noise * clean.abs().max().reshape([1; D]) } else { noise }
}
