//! The layers whose weight errors are sampled: a model's own, or synthetic ones.

use std::path::Path;

use miette::{Context, IntoDiagnostic, Result, ensure};
use qtaml::fault::{PhiloxRng, Seed};
use qtaml::quant::{Format, QuantizedTensor};
use rand::RngExt;
use rand_distr::{Exp1, StandardNormal};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::model::float::from_f16;

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
        Ok(Self { name: name.into(), stored: stored.into_diagnostic().wrap_err_with(unusable)? })
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
        let mut rng = seed.rng(&format!("qtaml laws/{name}"), 0);
        let weights: Vec<f32> = (0..SYNTHETIC).map(|_| draw(&mut rng)).collect();
        Layer::new(name, &weights, &[SYNTHETIC], format)
    };
    draws.into_iter().map(layer).collect()
}

/// The weight tensors of a model file, in the order of their names: float tensors of rank 2 and
/// more. Biases and norm parameters have rank one, and memories are not filled with them.
pub(super) fn of_model(path: &Path, format: Format) -> Result<Vec<Layer>> {
    let bytes = std::fs::read(path).into_diagnostic();
    let bytes = bytes.wrap_err_with(|| format!("cannot read {}", path.display()))?;
    let file = SafeTensors::deserialize(&bytes).into_diagnostic();
    let file = file.wrap_err_with(|| format!("{} is no safetensors file", path.display()))?;
    let mut tensors: Vec<_> = file.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let layers: Vec<Layer> = tensors
        .iter()
        .filter(|(_, view)| view.shape().len() >= 2)
        .filter_map(|(name, view)| Some((name, view.shape(), floats(view)?)))
        .map(|(name, shape, weights)| Layer::new(name, &weights, shape, format))
        .collect::<Result<_>>()
        .wrap_err_with(|| format!("{} has unusable weights", path.display()))?;
    ensure!(
        !layers.is_empty(),
        "{} holds no weights: none of its {} tensors is of rank 2 or more and F16, BF16, F32, F64",
        path.display(),
        tensors.len()
    );
    Ok(layers)
}

/// The values of a float tensor, `None` for one of another type.
fn floats(view: &TensorView) -> Option<Vec<f32>> {
    let data = view.data();
    match view.dtype() {
        Dtype::F16 => Some(each(data, |bytes| from_f16(u16::from_le_bytes(bytes)))),
        Dtype::BF16 => {
            Some(each(data, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)))
        }
        Dtype::F32 => Some(each(data, f32::from_le_bytes)),
        Dtype::F64 => Some(each(data, |bytes| f64::from_le_bytes(bytes) as f32)),
        _ => None,
    }
}

fn each<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks().0.iter().map(|bytes| value(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_type_is_read() {
        let read =
            |dtype, bytes: &[u8]| floats(&TensorView::new(dtype, vec![1, 1], bytes).unwrap());
        assert_eq!(read(Dtype::F16, &0xc000_u16.to_le_bytes()), Some(vec![-2.0]));
        assert_eq!(read(Dtype::BF16, &0xc000_u16.to_le_bytes()), Some(vec![-2.0]));
        assert_eq!(read(Dtype::F32, &(-2.5_f32).to_le_bytes()), Some(vec![-2.5]));
        assert_eq!(read(Dtype::F64, &(-2.5_f64).to_le_bytes()), Some(vec![-2.5]));
        assert_eq!(read(Dtype::I32, &[0; 4]), None);
    }

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
