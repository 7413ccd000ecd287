//! The values of a tensor of the file, wherever it keeps them.

use qtaml_deploy::FloatType;
use qtaml_files::Float;
use rten_onnx::onnx::{DataLocation, DataType, NodeProto, TensorProto};

use crate::OnnxError;

/// The tensor of a Constant node.
pub(crate) fn of_constant(node: &NodeProto) -> Option<&TensorProto> {
    let is_constant = node.op_type.as_deref() == Some("Constant");
    is_constant.then(|| node.attribute.iter().find_map(|attribute| attribute.t.as_ref())).flatten()
}

/// The shape of a tensor. `None` if it is no shape, or has more elements than can be counted.
pub(crate) fn shape(tensor: &TensorProto) -> Option<Vec<usize>> {
    let shape: Vec<usize> =
        tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
    shape.iter().try_fold(4_usize, |bytes, &dim| bytes.checked_mul(dim))?;
    Some(shape)
}

/// The float type of a tensor, `None` for integers, strings and small floats.
pub(crate) fn float_type(tensor: &TensorProto) -> Option<FloatType> {
    match tensor.data_type? {
        DataType::FLOAT => Some(FloatType::F32),
        DataType::DOUBLE => Some(FloatType::F64),
        DataType::FLOAT16 => Some(FloatType::F16),
        DataType::BFLOAT16 => Some(FloatType::Bf16),
        _ => None,
    }
}

/// Whether the codes of a `DequantizeLinear` can be of this type.
pub(crate) fn is_code(tensor: &TensorProto) -> bool {
    matches!(tensor.data_type, Some(DataType::INT8 | DataType::UINT8 | DataType::INT32))
}

/// The float values of a tensor, as `f32`.
pub(crate) fn floats(tensor: &TensorProto) -> Result<Vec<f32>, OnnxError> {
    let float = match float_type(tensor) {
        Some(FloatType::F32) => Float::F32,
        Some(FloatType::F64) => Float::F64,
        Some(FloatType::F16) => Float::F16,
        Some(FloatType::Bf16) => Float::Bf16,
        _ => return Err(broken(tensor, "its values are no floats".to_owned())),
    };
    let values = match &tensor.raw_data {
        Some(raw) => float.decode(whole(tensor, &raw.borrow(), float.bytes())?),
        None => match float {
            Float::F32 => tensor.float_data.clone(),
            Float::F64 => tensor.double_data.iter().map(|&value| value as f32).collect(),
            // Bits of halves as integers.
            _ => float.decode(&bits(&tensor.int32_data)),
        },
    };
    counted(tensor, values)
}

fn bits(halves: &[i32]) -> Vec<u8> {
    halves.iter().flat_map(|&half| (half as u16).to_le_bytes()).collect()
}

/// The integer values of a tensor.
pub(crate) fn integers(tensor: &TensorProto) -> Result<Vec<i64>, OnnxError> {
    let raw = tensor.raw_data.as_ref().map(|raw| raw.borrow());
    let from_raw = |bytes: usize, signed: bool| -> Result<Option<Vec<i64>>, OnnxError> {
        let Some(raw) = raw.as_deref() else { return Ok(None) };
        let raw = whole(tensor, raw, bytes)?;
        Ok(Some(raw.chunks_exact(bytes).map(|bytes| integer(bytes, signed)).collect()))
    };
    let typed = || tensor.int32_data.iter().map(|&value| i64::from(value)).collect();
    let values = match tensor.data_type {
        Some(DataType::INT64) => from_raw(8, true)?.unwrap_or_else(|| tensor.int64_data.clone()),
        Some(DataType::INT32) => from_raw(4, true)?.unwrap_or_else(typed),
        Some(DataType::INT8) => from_raw(1, true)?.unwrap_or_else(typed),
        Some(DataType::UINT8) => from_raw(1, false)?.unwrap_or_else(typed),
        _ => return Err(broken(tensor, "its values are no integers that are known".to_owned())),
    };
    counted(tensor, values)
}

fn integer(bytes: &[u8], signed: bool) -> i64 {
    let negative = signed && bytes.last().is_some_and(|last| last & 128 != 0);
    let mut all = [if negative { 255 } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(all)
}

/// The raw bytes, if they are whole elements.
fn whole<'a>(tensor: &TensorProto, raw: &'a [u8], size: usize) -> Result<&'a [u8], OnnxError> {
    if tensor.data_location == Some(DataLocation::EXTERNAL) || !raw.len().is_multiple_of(size) {
        let problem = format!("{} bytes are no whole number of elements of {size}", raw.len());
        return Err(broken(tensor, problem));
    }
    Ok(raw)
}

/// The values, if there are as many as the shape says.
fn counted<T>(tensor: &TensorProto, values: Vec<T>) -> Result<Vec<T>, OnnxError> {
    let count = shape(tensor).map(|shape| shape.iter().product::<usize>());
    if count == Some(values.len()) {
        return Ok(values);
    }
    Err(broken(tensor, format!("it has {} values, its shape is {:?}", values.len(), tensor.dims)))
}

fn broken(tensor: &TensorProto, problem: String) -> OnnxError {
    OnnxError::Tensor { name: tensor.name.clone().unwrap_or_default(), problem }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn tensor(data_type: DataType, dims: &[i64], raw: Option<&[u8]>) -> TensorProto {
        TensorProto {
            dims: dims.to_vec(),
            data_type: Some(data_type),
            name: Some("w".to_owned()),
            raw_data: raw.map(|raw| RefCell::new(raw.to_vec())),
            ..TensorProto::default()
        }
    }

    #[test]
    fn floats_lie_in_any_of_the_fields() {
        let half = [0x00, 0x3c, 0x00, 0xc0];
        assert_eq!(floats(&tensor(DataType::FLOAT16, &[2], Some(&half))).unwrap(), [1.0, -2.0]);
        let mut listed = tensor(DataType::FLOAT16, &[2], None);
        listed.int32_data = vec![0x3c00, 0xc000];
        assert_eq!(floats(&listed).unwrap(), [1.0, -2.0]);
        let mut listed = tensor(DataType::DOUBLE, &[], None);
        listed.double_data = vec![0.5];
        assert_eq!(floats(&listed).unwrap(), [0.5]);
        let mut listed = tensor(DataType::FLOAT, &[1, 2], None);
        listed.float_data = vec![0.25, 3.0];
        assert_eq!(floats(&listed).unwrap(), [0.25, 3.0]);
        assert_eq!(
            floats(&tensor(DataType::FLOAT, &[1], Some(&1.5_f32.to_le_bytes()))).unwrap(),
            [1.5]
        );
    }

    #[test]
    fn integers_have_their_sign() {
        let bytes = [255, 1];
        assert_eq!(integers(&tensor(DataType::INT8, &[2], Some(&bytes))).unwrap(), [-1, 1]);
        assert_eq!(integers(&tensor(DataType::UINT8, &[2], Some(&bytes))).unwrap(), [255, 1]);
        let bytes = (-3_i64).to_le_bytes();
        assert_eq!(integers(&tensor(DataType::INT64, &[1], Some(&bytes))).unwrap(), [-3]);
        let mut listed = tensor(DataType::INT8, &[1], None);
        listed.int32_data = vec![-7];
        assert_eq!(integers(&listed).unwrap(), [-7]);
    }

    #[test]
    fn values_that_do_not_fit_are_refused_by_name() {
        let error = |tensor: &TensorProto| floats(tensor).unwrap_err().to_string();
        assert_eq!(
            error(&tensor(DataType::FLOAT, &[2, 3], Some(&[0; 8]))),
            "tensor \"w\": it has 2 values, its shape is [2, 3]"
        );
        assert_eq!(
            error(&tensor(DataType::FLOAT, &[1], Some(&[0; 5]))),
            "tensor \"w\": 5 bytes are no whole number of elements of 4"
        );
        assert!(
            error(&tensor(DataType::FLOAT, &[i64::MAX, 8], Some(&[]))).contains("its shape is")
        );
        assert!(error(&tensor(DataType::FLOAT, &[-1], Some(&[0; 4]))).contains("its shape is"));
        assert!(error(&tensor(DataType::INT8, &[1], Some(&[0]))).contains("no floats"));
        assert!(integers(&tensor(DataType::FLOAT, &[1], Some(&[0; 4]))).is_err());
    }
}
