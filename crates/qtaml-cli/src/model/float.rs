//! Floating-point numbers as they lie in a file.

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
            Self::F16 => values(bytes, f16).map(of).collect(),
            Self::Bf16 => values(bytes, bf16).map(of).collect(),
            Self::F32 => values(bytes, f32::from_le_bytes).map(of).collect(),
            Self::F64 => values(bytes, f64).map(of).collect(),
        }
    }

    /// The largest of what `of` makes of the values in `bytes`, 0 without any.
    pub(crate) fn max(self, bytes: &[u8], of: impl Fn(f32) -> u32) -> u32 {
        match self {
            Self::F16 => values(bytes, f16).map(of).fold(0, u32::max),
            Self::Bf16 => values(bytes, bf16).map(of).fold(0, u32::max),
            Self::F32 => values(bytes, f32::from_le_bytes).map(of).fold(0, u32::max),
            Self::F64 => values(bytes, f64).map(of).fold(0, u32::max),
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
            Self::F16 => write(values, bytes, |value| to_f16(value).to_le_bytes()),
            Self::Bf16 => write(values, bytes, |value| to_bf16(value).to_le_bytes()),
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

fn f16(bytes: [u8; 2]) -> f32 {
    from_f16(u16::from_le_bytes(bytes))
}

fn bf16(bytes: [u8; 2]) -> f32 {
    from_bf16(u16::from_le_bytes(bytes))
}

fn f64(bytes: [u8; 8]) -> f32 {
    f64::from_le_bytes(bytes) as f32
}

fn write<const N: usize>(values: &[f32], bytes: &mut [u8], encode: impl Fn(f32) -> [u8; N]) {
    for (place, &value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *place = encode(value);
    }
}

/// IEEE 754 binary16, exactly.
pub(crate) fn from_f16(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2.0_f32.powi(exponent - 25),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

/// The nearest IEEE 754 binary16.
fn to_f16(value: f32) -> u16 {
    let (sign, magnitude) = ((value.to_bits() >> 16) as u16 & 0x8000, value.abs());
    if magnitude.is_nan() {
        return sign | 0x7e00;
    }
    // Below 2^-14 the numbers lie as close as just above it.
    let exponent = ((magnitude.to_bits() >> 23) as i32 - 127).max(-14);
    if exponent > 15 {
        return sign | 0x7c00;
    }
    // Counted in units of the last digit: 1024 to 2048 of them, fewer below 2^-14. The next power
    // of two carries into the exponent, as it should, and beyond the last one there is infinity.
    let units = (magnitude * 2.0_f32.powi(10 - exponent)).round_ties_even() as u16;
    sign | ((((exponent + 14) as u16) << 10) + units)
}

fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest bfloat16, the upper half of an `f32`.
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    let to_even = bits >> 16 & 1;
    ((bits + 0x7fff + to_even) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by Python's `struct.unpack("<e", ..)`.
    #[test]
    fn halves_are_those_of_the_standard() {
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
            assert_eq!(from_f16(bits), value, "{bits:#06x}");
        }
        assert!(from_f16(0x7e00).is_nan());
    }

    /// Every number of either type leads back to itself, and the point between two neighbours to
    /// the one that is even.
    #[test]
    fn rounding_is_to_the_nearest_and_ties_go_to_even() {
        type Decode = fn(u16) -> f32;
        type Encode = fn(f32) -> u16;
        let types: [(Decode, Encode, u16); 2] =
            [(from_f16, to_f16, 0x7c00), (from_bf16, to_bf16, 0x7f80)];
        for (decode, encode, infinity) in types {
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
        assert_eq!((to_f16(65519.996), to_f16(65520.0)), (0x7bff, 0x7c00));
        assert_eq!((to_bf16(3.394e38), to_bf16(f32::MAX)), (0x7f7f, 0x7f80));
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
