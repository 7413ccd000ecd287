//! Floating-point numbers as they lie in a file.

use half::{bf16, f16};
use miette::{Report, miette};
use safetensors::Dtype;

/// A floating-point type whose values are weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    /// The type, `None` for what is no such float.
    pub(crate) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F32 => Some(Self::F32),
            Dtype::F64 => Some(Self::F64),
            _ => None,
        }
    }

    /// Bytes of a value.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The values in `bytes`, little-endian.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        self.map(bytes, |value| value)
    }

    /// What `of` makes of each value in `bytes`.
    pub(crate) fn map<T>(self, bytes: &[u8], of: impl Fn(f32) -> T) -> Vec<T> {
        match self {
            Self::F16 => values(bytes, half).map(of).collect(),
            Self::Bf16 => values(bytes, brain).map(of).collect(),
            Self::F32 => values(bytes, f32::from_le_bytes).map(of).collect(),
            Self::F64 => values(bytes, double).map(of).collect(),
        }
    }

    /// The largest of what `of` makes of the values in `bytes`, 0 without any.
    pub(crate) fn max(self, bytes: &[u8], of: impl Fn(f32) -> u32) -> u32 {
        match self {
            Self::F16 => values(bytes, half).map(of).fold(0, u32::max),
            Self::Bf16 => values(bytes, brain).map(of).fold(0, u32::max),
            Self::F32 => values(bytes, f32::from_le_bytes).map(of).fold(0, u32::max),
            Self::F64 => values(bytes, double).map(of).fold(0, u32::max),
        }
    }

    /// What is wrong with weight `index` of a tensor if only F64 can hold it; `bytes` begin with
    /// weight `first`.
    pub(crate) fn beyond_f32(self, bytes: &[u8], index: usize, first: u64) -> Option<Report> {
        let weight = bytes.as_chunks().0.get(index.checked_sub(first as usize)?)?;
        let weight = Some(f64::from_le_bytes(*weight)).filter(|weight| weight.is_finite())?;
        (self == Self::F64).then(|| {
            miette!("weight {index} is {weight:e}: F64 weights must be in the range of F32")
        })
    }

    /// Writes `values` into as many places of `bytes`, rounded to the nearest, ties to even; beyond
    /// the largest number of the type they become infinite.
    pub(crate) fn encode(self, values: &[f32], bytes: &mut [u8]) {
        match self {
            Self::F16 => write(values, bytes, |value| f16::from_f32(value).to_le_bytes()),
            Self::Bf16 => write(values, bytes, |value| bf16::from_f32(value).to_le_bytes()),
            Self::F32 => write(values, bytes, f32::to_le_bytes),
            Self::F64 => write(values, bytes, |value| f64::from(value).to_le_bytes()),
        }
    }
}

fn values<const N: usize>(
    bytes: &[u8],
    value: impl Fn([u8; N]) -> f32,
) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(move |bytes| value(*bytes))
}

fn half(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

fn brain(bytes: [u8; 2]) -> f32 {
    bf16::from_le_bytes(bytes).to_f32()
}

fn double(bytes: [u8; 8]) -> f32 {
    f64::from_le_bytes(bytes) as f32
}

fn write<const N: usize>(values: &[f32], bytes: &mut [u8], encode: impl Fn(f32) -> [u8; N]) {
    for (place, &value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *place = encode(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From half a unit beyond the largest number on, the nearest is infinity, as the standard says.
    #[test]
    fn rounding_is_to_the_nearest_and_ties_go_to_even() {
        let rounded = |float: Float, value: f32| {
            let mut bytes = vec![0; float.bytes()];
            float.encode(&[value], &mut bytes);
            float.decode(&bytes)[0]
        };
        for (value, nearest) in [
            (65519.996, 65504.0),
            (65520.0, f32::INFINITY),
            (2049.0, 2048.0),
            (2051.0, 2052.0),
            (2.0_f32.powi(-25), 0.0),
            (1.5 * 2.0_f32.powi(-24), 2.0_f32.powi(-23)),
        ] {
            assert_eq!(rounded(Float::F16, value), nearest, "{value}");
            assert_eq!(rounded(Float::F16, -value), -nearest, "{value}");
        }
        for (value, nearest) in [(257.0, 256.0), (259.0, 260.0), (f32::MAX, f32::INFINITY)] {
            assert_eq!(rounded(Float::Bf16, value), nearest, "{value}");
        }
    }

    #[test]
    fn every_type_reads_what_it_writes() {
        let values = [0.5, -1.0, 0.0, 96.0];
        for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
            let float = Float::of(dtype).unwrap();
            assert_eq!(8 * float.bytes(), dtype.bitsize());
            let mut bytes = vec![0; values.len() * float.bytes()];
            float.encode(&values, &mut bytes);
            assert_eq!(float.decode(&bytes), values, "{dtype}");
        }
        assert_eq!(Float::of(Dtype::I16), None);
    }
}
