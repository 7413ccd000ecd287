//! Networks as safetensors files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::parameters::{replace_state, state};
use crate::whole_file::write_whole;
use crate::{Parameter, TrainError};

/// The module with all it has learned, parameters and running statistics, from a file. It comes
/// back ready for use, not for training.
///
/// Names and shapes are those of [`parameters`](crate::parameters): a linear layer is `[in, out]`,
/// the transpose of what other frameworks write. Numbers are F32.
///
/// # Errors
/// [`TrainError::File`] if the file cannot be read; [`TrainError::Checkpoint`] if it is damaged or
/// belongs to another network, naming the tensor that is missing, unknown, of another type or
/// shape, or not finite.
pub fn load_safetensors<M: Module>(module: M, path: &Path) -> Result<M, TrainError> {
    let bytes = std::fs::read(path).map_err(|source| TrainError::File {
        action: "read",
        path: path.into(),
        source,
    })?;
    let values = decode(&bytes, &state(&module)).map_err(|problem| unusable(path, problem))?;
    replace_state(module, values)
}

/// Writes all that the module has learned, in the form that [`load_safetensors`] reads. The file
/// appears whole or not at all.
///
/// # Errors
/// [`TrainError::File`] if it cannot be written.
pub fn save_safetensors<M: Module>(module: &M, path: &Path) -> Result<(), TrainError> {
    let bytes = encode(&state(module)).map_err(|problem| unusable(path, problem))?;
    write_whole(path, &bytes)
}

fn unusable(path: &Path, problem: String) -> TrainError {
    TrainError::Checkpoint { path: path.into(), problem }
}

fn encode(tensors: &[Parameter]) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|p| p.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|(p, bytes)| {
        let view = TensorView::new(Dtype::F32, p.shape.clone(), bytes);
        Ok((p.name.clone(), view.map_err(|e| e.to_string())?))
    });
    let views: Vec<_> = views.collect::<Result<_, String>>()?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

/// The values of exactly the `expected` tensors.
fn decode(bytes: &[u8], expected: &[Parameter]) -> Result<BTreeMap<String, Vec<f32>>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let known = |name: &str| expected.iter().any(|p| p.name == name);
    if let Some(name) = file.names().into_iter().filter(|name| !known(name)).min() {
        return Err(format!("the network has no {name:?}"));
    }
    let values = expected.iter().map(|p| Ok((p.name.clone(), values(&file, p)?)));
    values.collect()
}

fn values(
    file: &SafeTensors,
    Parameter { name, shape, .. }: &Parameter,
) -> Result<Vec<f32>, String> {
    let view = file.tensor(name).map_err(|_| format!("it lacks {name:?}"))?;
    if view.dtype() != Dtype::F32 {
        return Err(format!("{name:?} is {:?}, not F32", view.dtype()));
    }
    if view.shape() != shape {
        return Err(format!("{name:?} has the shape {:?}, not {shape:?}", view.shape()));
    }
    let (words, _) = view.data().as_chunks::<4>();
    let values: Vec<f32> = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(format!("{name:?} has {} at position {at}", values[at])),
        None => Ok(values),
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Device;
    use qtaml_fault::Seed;

    use super::*;
    use crate::{Dataset, Evaluation, MobileNetConfig, TrainerConfig, initialise, train};
    use crate::{parameters, replace_parameters};

    #[test]
    fn running_statistics_survive_files_and_new_weights() {
        let device = Device::flex();
        let digits = Dataset::digits().unwrap();
        let fresh = MobileNetConfig::digits().init(&device);
        let config = TrainerConfig { epochs: 1, ..TrainerConfig::new() };
        let model = train(fresh.clone(), &digits.train, &config, Seed(1), &device, |_| ()).unwrap();
        let evaluation = Evaluation::new(&digits.calibration, &device).unwrap();
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

    #[test]
    fn misfits_are_named() {
        let parameter = |name: &str, shape: &[usize], values: &[f32]| Parameter {
            name: name.into(),
            shape: shape.into(),
            values: values.into(),
        };
        let weight = parameter("weight", &[2, 1], &[1.0, 2.0]);
        let expected = [weight.clone(), parameter("bias", &[1], &[0.0])];
        let bias = |value| parameter("bias", &[1], &[value]);
        let problem = |file: &[Parameter]| decode(&encode(file).unwrap(), &expected).unwrap_err();
        assert_eq!(problem(&expected[..1]), "it lacks \"bias\"");
        let misspelt = parameter("wieght", &[1], &[0.0]);
        assert_eq!(
            problem(&[weight.clone(), bias(0.0), misspelt]),
            "the network has no \"wieght\""
        );
        let transposed = parameter("weight", &[1, 2], &[1.0, 2.0]);
        let message = "\"weight\" has the shape [1, 2], not [2, 1]";
        assert_eq!(problem(&[transposed, bias(0.0)]), message);
        assert_eq!(problem(&[weight.clone(), bias(f32::NAN)]), "\"bias\" has NaN at position 0");
        let double = TensorView::new(Dtype::F64, vec![1], &[0; 8]).unwrap();
        let file = safetensors::serialize([("bias", double)], None).unwrap();
        assert_eq!(decode(&file, &expected[1..]).unwrap_err(), "\"bias\" is F64, not F32");
        let whole = encode(&[weight.clone(), bias(3.0)]).unwrap();
        assert_eq!(decode(&whole, &expected).unwrap()["bias"], [3.0]);
    }
}
