//! The layers whose weight errors are sampled: a model's own, or synthetic ones.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use qtaml::fault::{PhiloxRng, Seed};
use qtaml::files::{Float, TensorInfo, TensorKind};
use qtaml::quant::{Format, QuantizedTensor};
use rand::RngExt;
use rand_distr::{Exp1, StandardNormal};

use crate::flags::open_model;
use crate::selection::Selection;

/// Weights of a synthetic layer.
const SYNTHETIC: usize = 4096;

/// A tensor of weights as it is stored.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) stored: QuantizedTensor,
}

impl Layer {
    fn new(name: &str, weights: &[f32], shape: &[usize], format: Format) -> Result<Self> {
        let stored = QuantizedTensor::quantize(weights, shape, format);
        let unusable = || format!("tensor {name:?} cannot be stored");
        Ok(Self { name: name.into(), stored: stored.with_context(unusable)? })
    }
}

/// Three layers of the shapes that weights are known to take, for want of a model.
pub(super) fn synthetic(seed: Seed, format: Format) -> Result<Vec<Layer>> {
    type Draw = fn(&mut PhiloxRng) -> f32;
    let draws: [(&str, Draw); 3] = [
        ("normal", |rng| rng.sample(StandardNormal)),
        ("laplace", |rng| {
            let magnitude: f32 = rng.sample(Exp1);
            if rng.random() { magnitude } else { -magnitude }
        }),
        ("uniform", |rng| rng.random_range(-1.0..1.0)),
    ];
    let layer = |(name, draw): (&str, Draw)| {
        let mut rng = seed.rng(&format!("qtaml verify/{name}"), 0);
        let weights: Vec<f32> = (0..SYNTHETIC).map(|_| draw(&mut rng)).collect();
        Layer::new(name, &weights, &[SYNTHETIC], format)
    };
    draws.into_iter().map(layer).collect()
}

/// The float weights of a model, each under one of its names, in the order of these. Biases, norms and masks
/// are none, and memories are not filled with them; codes of a quantized checkpoint have no scale here.
pub(super) fn of_model(path: &Path, selection: &Selection, format: Format) -> Result<Vec<Layer>> {
    let model = open_model(path)?;
    let chosen = selection.choose(model.tensors().iter().map(|tensor| tensor.name.as_str()))?;
    let described = model.describe(None)?;
    let is_float = |i: usize| matches!(described[i].kind, TensorKind::Weights(_));
    let is_layer = |&i: &usize| chosen[i] && is_float(i);
    let weights: Vec<usize> = model.by_name().iter().copied().filter(is_layer).collect();
    let aliases: HashSet<usize> =
        model.aliases(weights.iter().copied())?.into_iter().map(|(alias, _)| alias).collect();
    let tensors = weights.into_iter().filter(|i| !aliases.contains(i)).map(|i| &model.tensors()[i]);
    let weights: Vec<(&TensorInfo, Float)> =
        tensors.filter_map(|tensor| Some((tensor, Float::of(tensor.dtype)?))).collect();
    ensure!(
        !weights.is_empty(),
        "{} holds no float weights: none of the {} tensors that are chosen is a weight of F16, BF16, F32 \
         or F64; `qtaml inspect` says what they are",
        path.display(),
        chosen.iter().filter(|chosen| **chosen).count()
    );
    let layer = |(tensor, float): (&TensorInfo, Float)| {
        let weights = float.decode(&model.bytes_of(tensor)?);
        Layer::new(&tensor.name, &weights, &tensor.shape, format)
    };
    let layers = weights.into_iter().map(layer).collect::<Result<_>>();
    layers.with_context(|| format!("{} has unusable weights", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_layers_follow_from_the_seed() {
        let words = |seed| -> Vec<Vec<u8>> {
            let layers = synthetic(Seed(seed), Format::INT8).unwrap();
            layers.iter().map(|layer| layer.stored.words().to_vec()).collect()
        };
        assert_eq!(words(1), words(1));
        assert_ne!(words(1), words(2));
        assert_ne!(words(1)[0], words(1)[1]);
    }
}
