//! Floating-point numbers as bytes of a file.

use half::{bf16, f16};
use safetensors::Dtype;

use crate::FileError;

/// A floating-point type whose values are weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Float {
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an F32.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Float {
    /// The type, `None` for what is no such float.
    pub fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F32 => Some(Self::F32),
            Dtype::F64 => Some(Self::F64),
            _ => None,
        }
    }

    /// Bytes of a value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The values in `bytes`, little-endian.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => values(bytes, half).collect(),
            Self::Bf16 => values(bytes, brain).collect(),
            Self::F32 => values(bytes, f32::from_le_bytes).collect(),
            Self::F64 => values(bytes, double).collect(),
        }
    }

    /// What is wrong with weight `index` of a tensor if only F64 can hold it; `bytes` begin with
    /// weight `first`.
    pub fn beyond_f32(self, bytes: &[u8], index: usize, first: u64) -> Option<FileError> {
        let weight = bytes.as_chunks().0.get(index.checked_sub(first as usize)?)?;
        let weight = Some(f64::from_le_bytes(*weight)).filter(|weight| weight.is_finite())?;
        (self == Self::F64).then_some(FileError::BeyondF32 { index, weight })
    }

    /// The largest number of the type that an f32 holds as well.
    pub fn largest(self) -> f32 {
        match self {
            Self::F16 => f16::MAX.to_f32(),
            Self::Bf16 => bf16::MAX.to_f32(),
            Self::F32 | Self::F64 => f32::MAX,
        }
    }

    /// Writes `values` into as many places of `bytes`, rounded to the nearest, ties to even; beyond
    /// the largest number of the type they become infinite.
    pub fn encode(self, values: &[f32], bytes: &mut [u8]) {
        match self {
            Self::F16 => write(values, bytes, |value| f16::from_f32(value).to_le_bytes()),
            Self::Bf16 => write(values, bytes, |value| bf16::from_f32(value).to_le_bytes()),
            Self::F32 => write(values, bytes, f32::to_le_bytes),
            Self::F64 => write(values, bytes, |value| f64::from(value).to_le_bytes()),
        }
    }

    /// The bytes of values that may be beyond the type: those become its largest or lowest number, as a
    /// memory of this type would be read.
    pub fn encode_within(self, values: &[f32]) -> WithinType {
        let largest = self.largest();
        let within: Vec<f32> = values.iter().map(|value| value.clamp(-largest, largest)).collect();
        let mut bytes = vec![0; values.len() * self.bytes()];
        self.encode(&within, &mut bytes);
        let count = |differ: &dyn Fn(usize, f32) -> bool| {
            within.iter().enumerate().filter(|(i, value)| differ(*i, **value)).count() as u64
        };
        let read = self.decode(&bytes);
        let rounded = count(&|i, value| read[i] != value && !value.is_nan());
        let beyond = count(&|i, value| values[i] != value && !value.is_nan());
        WithinType { bytes, rounded, beyond }
    }
}

/// Values in a type that cannot hold all of them as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WithinType {
    /// Their bytes, little-endian.
    pub bytes: Vec<u8>,
    /// How many of them were rounded.
    pub rounded: u64,
    /// How many were beyond the type.
    pub beyond: u64,
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

    /// Values by Python's `struct.unpack("<e", ..)`.
    #[test]
    fn halves_are_those_of_the_standard() {
        let decode = |bits: u16| half(bits.to_le_bytes());
        for (bits, value) in [
            (0x0000, 0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(decode(bits), value, "{bits:#06x}");
        }
        assert!(decode(0x7e00).is_nan());
    }

    /// Every number of either type leads back to itself, and the point between two neighbours to
    /// the one that is even.
    #[test]
    fn rounding_is_to_the_nearest_and_ties_go_to_even() {
        let decode = |float: Float, bits: u16| float.decode(&bits.to_le_bytes())[0];
        let encode = |float: Float, value: f32| {
            let mut bytes = [0; 2];
            float.encode(&[value], &mut bytes);
            u16::from_le_bytes(bytes)
        };
        for (float, infinity) in [(Float::F16, 0x7c00), (Float::Bf16, 0x7f80)] {
            let (decode, encode) = (|bits| decode(float, bits), |value| encode(float, value));
            for bits in 0..=infinity {
                let value = decode(bits);
                assert_eq!((encode(value), encode(-value)), (bits, bits | 0x8000), "{bits:#06x}");
            }
            for bits in 0..infinity - 1 {
                let (low, high) = (f64::from(decode(bits)), f64::from(decode(bits + 1)));
                let middle = f64::midpoint(low, high) as f32;
                let even = bits + bits % 2;
                assert_eq!(encode(middle), even, "{bits:#06x}");
                assert_eq!(encode(middle.next_down()), bits, "{bits:#06x}");
                assert_eq!(encode(middle.next_up()), bits + 1, "{bits:#06x}");
            }
            assert!(decode(encode(f32::NAN)).is_nan());
        }
        // From half a unit beyond the largest number on, as the standard says.
        let (half, brain) = (|v| encode(Float::F16, v), |v| encode(Float::Bf16, v));
        assert_eq!((half(65519.996), half(65520.0)), (0x7bff, 0x7c00));
        assert_eq!((brain(3.394e38), brain(f32::MAX)), (0x7f7f, 0x7f80));
    }

    #[test]
    fn what_is_beyond_a_type_becomes_its_largest_number() {
        let values = [0.5, 1e5, -f32::INFINITY, 0.1, f32::NAN];
        let half = Float::F16.encode_within(&values);
        assert_eq!((half.rounded, half.beyond), (1, 2));
        let read = Float::F16.decode(&half.bytes);
        assert_eq!((read[0], read[1], read[2]), (0.5, 65504.0, -65504.0));
        assert!((read[3] - 0.1).abs() < 1e-4 && read[4].is_nan());
        let single = Float::F32.encode_within(&values[..2]);
        assert_eq!((single.rounded, single.beyond), (0, 0));
    }

    #[test]
    fn every_float_type_is_read() {
        let read = |dtype, bytes: &[u8]| Float::of(dtype).map(|float| float.decode(bytes));
        assert_eq!(read(Dtype::F16, &0xc000_u16.to_le_bytes()), Some(vec![-2.0]));
        assert_eq!(read(Dtype::BF16, &0xc000_u16.to_le_bytes()), Some(vec![-2.0]));
        assert_eq!(read(Dtype::F32, &(-2.5_f32).to_le_bytes()), Some(vec![-2.5]));
        assert_eq!(read(Dtype::F64, &(-2.5_f64).to_le_bytes()), Some(vec![-2.5]));
        assert_eq!(read(Dtype::I32, &[0; 4]), None);
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
