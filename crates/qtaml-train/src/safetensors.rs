//! Networks in safetensors files.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{TensorData, bf16, f16};
use qtaml_deploy::{FloatType, WeightTensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::weights::data_of;
use crate::whole_file::write_whole;
use crate::{ModuleWeights, TrainError};

/// The module with all it has learned, parameters and running statistics, from a file. It comes
/// back ready for use, not for training.
///
/// Names, shapes and float types are those of [`ModuleWeights`]: a linear layer is `[in, out]`, the
/// transpose of what other frameworks write, and a tensor that fields share is there once.
///
/// # Errors
/// [`TrainError::File`] if the file cannot be read; [`TrainError::Checkpoint`] if it is damaged or
/// belongs to another network, naming the tensor that is missing, unknown, of another type or
/// shape, or not finite; [`TrainError::Weights`] as [`ModuleWeights::of`].
#[expect(clippy::needless_pass_by_value, reason = "the old module is gone")]
pub fn load_safetensors<M: Module>(module: M, path: &Path) -> Result<M, TrainError> {
    let bytes = std::fs::read(path).map_err(|source| TrainError::File {
        action: "read",
        path: path.into(),
        source,
    })?;
    let module = module.valid();
    let weights = ModuleWeights::of(&module)?;
    let values = decode(&bytes, weights.tensors()).map_err(|problem| unusable(path, problem))?;
    let data = weights.tensors().iter().zip(values).map(|(tensor, bytes)| {
        let shape = tensor.shape.clone();
        match tensor.dtype {
            FloatType::F64 => TensorData::new(numbers(&bytes, f64::from_le_bytes), shape),
            FloatType::F16 => TensorData::new(numbers(&bytes, f16::from_le_bytes), shape),
            FloatType::Bf16 => TensorData::new(numbers(&bytes, bf16::from_le_bytes), shape),
            _ => TensorData::new(numbers(&bytes, f32::from_le_bytes), shape),
        }
    });
    let data: HashMap<usize, TensorData> = data.enumerate().collect();
    Ok(weights.replace_data(&module, data))
}

/// Writes all that the module has learned, in the form that [`load_safetensors`] reads. The file
/// appears whole or not at all.
///
/// # Errors
/// [`TrainError::File`] if it cannot be written, [`TrainError::Weights`] as [`ModuleWeights::of`].
pub fn save_safetensors<M: Module>(module: &M, path: &Path) -> Result<(), TrainError> {
    // Leaving training first makes running statistics take up their last batch.
    let module = module.valid();
    let weights = ModuleWeights::of(&module)?;
    let data = data_of(&module);
    let bytes: Vec<&[u8]> = data.iter().map(TensorData::as_bytes).collect();
    let file = encode(weights.tensors(), &bytes).map_err(|problem| unusable(path, problem))?;
    write_whole(path, &file)
}

fn unusable(path: &Path, problem: String) -> TrainError {
    TrainError::Checkpoint { path: path.into(), problem }
}

/// The little-endian numbers of a file.
fn numbers<const N: usize, T>(bytes: &[u8], number: fn([u8; N]) -> T) -> Vec<T> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|word| number(*word)).collect()
}

const fn file_type(dtype: FloatType) -> Dtype {
    match dtype {
        FloatType::F64 => Dtype::F64,
        FloatType::F16 => Dtype::F16,
        FloatType::Bf16 => Dtype::BF16,
        _ => Dtype::F32,
    }
}

fn encode(tensors: &[WeightTensor], bytes: &[&[u8]]) -> Result<Vec<u8>, String> {
    let views = tensors.iter().zip(bytes).map(|(tensor, bytes)| {
        let view = TensorView::new(file_type(tensor.dtype), tensor.shape.clone(), bytes);
        Ok((tensor.name.clone(), view.map_err(|e| e.to_string())?))
    });
    let views: Vec<_> = views.collect::<Result<_, String>>()?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

/// The values of exactly the `expected` tensors, in their order.
fn decode(bytes: &[u8], expected: &[WeightTensor]) -> Result<Vec<Vec<u8>>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let known = |name: &str| expected.iter().any(|tensor| tensor.name == name);
    if let Some(name) = file.names().into_iter().filter(|name| !known(name)).min() {
        return Err(format!("the network has no {name:?}"));
    }
    expected.iter().map(|tensor| values(&file, tensor)).collect()
}

fn values(file: &SafeTensors, tensor: &WeightTensor) -> Result<Vec<u8>, String> {
    let WeightTensor { name, shape, dtype, .. } = tensor;
    let view = file.tensor(name).map_err(|_| format!("it lacks {name:?}"))?;
    if view.dtype() != file_type(*dtype) {
        return Err(format!("{name:?} is {:?}, not {:?}", view.dtype(), file_type(*dtype)));
    }
    if view.shape() != shape {
        return Err(format!("{name:?} has the shape {:?}, not {shape:?}", view.shape()));
    }
    match not_finite(view.data(), *dtype) {
        Some((at, value)) => Err(format!("{name:?} has {value} at position {at}")),
        None => Ok(view.data().to_vec()),
    }
}

/// The first number that is none, or is infinite, with its position.
fn not_finite(bytes: &[u8], dtype: FloatType) -> Option<(usize, f64)> {
    let numbers = bytes.chunks_exact(dtype.bits() as usize / 8).map(|word| match *word {
        [a, b] if dtype == FloatType::Bf16 => f64::from(f32::from_le_bytes([0, 0, a, b])),
        // Of halves, only the exponent matters here.
        [_, b] => match (b & 0x7c, b & 3) {
            (0x7c, 0) => f64::INFINITY,
            (0x7c, _) => f64::NAN,
            _ => 0.0,
        },
        [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0.0,
    });
    numbers.enumerate().find(|(_, number)| !number.is_finite())
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Device;
    use qtaml_fault::Seed;

    use std::collections::BTreeMap;

    use super::*;
    use crate::{AccuracyTest, Dataset, MobileNetConfig, TrainerConfig, initialise, train};
    use crate::{parameters, replace_parameters};

    #[test]
    fn running_statistics_survive_files_and_new_weights() {
        let device = Device::flex();
        let digits = Dataset::digits().unwrap();
        let fresh = MobileNetConfig::digits().init(&device);
        let config = TrainerConfig { epochs: 1, ..TrainerConfig::new() };
        let model = train(fresh.clone(), &digits.train, &config, Seed(1), &device, |_| ()).unwrap();
        let evaluation = AccuracyTest::new(&digits.calibration, &device).unwrap();
        let expected = evaluation.logits(&model);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mobilenet.safetensors");
        save_safetensors(&model, &path).unwrap();
        let loaded = load_safetensors(fresh.clone(), &path).unwrap();
        assert_eq!(evaluation.logits(&loaded), expected);

        let values: BTreeMap<_, _> =
            parameters(&model).into_iter().map(|p| (p.name, p.values)).collect();
        let replaced = replace_parameters(model, values.clone()).unwrap();
        assert_eq!(evaluation.logits(&replaced), expected);
        // The weights alone are not the network.
        let fresh = initialise(fresh, Seed(2)).unwrap();
        assert_ne!(evaluation.logits(&replace_parameters(fresh, values).unwrap()), expected);
    }

    /// Tensors of `f32` as a file, and what is expected of one.
    fn file(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
            .collect();
        let bytes: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        encode(&expected(tensors), &bytes).unwrap()
    }

    fn expected(tensors: &[(&str, &[usize], &[f32])]) -> Vec<WeightTensor> {
        let tensor = |(name, shape, _): &(&str, &[usize], &[f32])| {
            WeightTensor::new(*name, shape.to_vec(), qtaml_deploy::Role::Other)
        };
        tensors.iter().map(tensor).collect()
    }

    #[test]
    fn misfits_are_named() {
        type Tensor = (&'static str, &'static [usize], &'static [f32]);
        let weight: Tensor = ("weight", &[2, 1], &[1.0, 2.0]);
        let bias: Tensor = ("bias", &[1], &[3.0]);
        let network = expected(&[weight, bias]);
        let problem = |tensors: &[Tensor]| decode(&file(tensors), &network).unwrap_err();
        assert_eq!(problem(&[weight]), "it lacks \"bias\"");
        let misspelt: Tensor = ("wieght", &[1], &[0.0]);
        assert_eq!(problem(&[weight, bias, misspelt]), "the network has no \"wieght\"");
        let transposed: Tensor = ("weight", &[1, 2], &[1.0, 2.0]);
        let message = "\"weight\" has the shape [1, 2], not [2, 1]";
        assert_eq!(problem(&[transposed, bias]), message);
        let bad: Tensor = ("bias", &[1], &[f32::NAN]);
        assert_eq!(problem(&[weight, bad]), "\"bias\" has NaN at position 0");
        let double = TensorView::new(Dtype::F64, vec![1], &[0; 8]).unwrap();
        let doubles = safetensors::serialize([("bias", double)], None).unwrap();
        assert_eq!(decode(&doubles, &network[1..]).unwrap_err(), "\"bias\" is F64, not F32");
        let whole = file(&[weight, bias]);
        assert_eq!(decode(&whole, &network).unwrap()[1], 3.0_f32.to_le_bytes());
    }

    #[test]
    fn what_is_not_finite_is_found_in_every_type() {
        use FloatType::{Bf16, F16, F32, F64};
        // One, infinity, and not a number.
        let words: [(FloatType, [&[u8]; 3]); 4] = [
            (F64, [&1f64.to_le_bytes(), &f64::INFINITY.to_le_bytes(), &f64::NAN.to_le_bytes()]),
            (F32, [&1f32.to_le_bytes(), &f32::INFINITY.to_le_bytes(), &f32::NAN.to_le_bytes()]),
            (F16, [&[0x00, 0x3c], &[0x00, 0x7c], &[0x00, 0x7e]]),
            (Bf16, [&[0x80, 0x3f], &[0x80, 0x7f], &[0xc0, 0x7f]]),
        ];
        for (dtype, [one, infinite, none]) in words {
            assert_eq!(not_finite(&[one, one].concat(), dtype), None);
            assert_eq!(not_finite(&[one, infinite].concat(), dtype), Some((1, f64::INFINITY)));
            let (at, value) = not_finite(&[one, one, none, one].concat(), dtype).unwrap();
            assert!(at == 2 && value.is_nan(), "{dtype}");
        }
    }

    #[test]
    fn modules_of_any_type_and_with_ties_come_back_to_the_bit() {
        use burn::module::{ModuleMapper, Param};
        use burn::nn::{Linear, LinearConfig};
        use burn::tensor::{DType, Tensor};

        struct Cast(DType);
        impl ModuleMapper for Cast {
            fn map_float<const D: usize>(&mut self, p: Param<Tensor<D>>) -> Param<Tensor<D>> {
                // In F64, with digits that an f32 does not have.
                p.map(|tensor| tensor.cast(self.0) * (1.0 + 1e-12))
            }
        }

        #[derive(Module, Debug)]
        struct Twice {
            first: Linear,
            second: Linear,
        }

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("linear.safetensors");
        let fresh = || -> Linear { LinearConfig::new(3, 2).init(&Device::flex()) };
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let linear = fresh().map(&mut Cast(dtype));
            let twice = Twice { first: linear.clone(), second: linear };
            save_safetensors(&twice, &path).unwrap();
            let other = fresh().map(&mut Cast(dtype));
            let other = Twice { first: other.clone(), second: other };
            let loaded = load_safetensors(other, &path).unwrap();
            for field in [&loaded.first, &loaded.second] {
                let expected = twice.first.weight.val().into_data();
                assert_eq!(field.weight.val().into_data(), expected, "{dtype:?}");
            }
        }
    }
}
