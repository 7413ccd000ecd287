//! Floats of eight bits, each a byte of a file.

use safetensors::Dtype;

/// A type of eight-bit float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Float8 {
    /// Four bits of exponent, no infinity (P. Micikevicius et al., arXiv:2209.05433).
    E4M3,
    /// Five bits of exponent, as the upper half of an F16 (the same paper).
    E5M2,
    /// Four bits of exponent, neither infinity nor a negative zero (B. Noune et al., arXiv:2206.02915).
    E4M3Fnuz,
    /// Five bits of exponent, neither infinity nor a negative zero (the same paper).
    E5M2Fnuz,
    /// An exponent alone: a power of two (OCP Microscaling Formats v1.0).
    E8M0,
}

impl Float8 {
    /// The type, `None` for what is no such float.
    pub const fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F8_E4M3 => Some(Self::E4M3),
            Dtype::F8_E5M2 => Some(Self::E5M2),
            Dtype::F8_E4M3FNUZ => Some(Self::E4M3Fnuz),
            Dtype::F8_E5M2FNUZ => Some(Self::E5M2Fnuz),
            Dtype::F8_E8M0 => Some(Self::E8M0),
            _ => None,
        }
    }

    /// Whether its numbers may be weights: an exponent alone is a scale.
    pub const fn is_weight(self) -> bool {
        !matches!(self, Self::E8M0)
    }

    /// The number that a byte stands for; an f32 holds each.
    ///
    /// # Formula
    /// `(-1)^s 2^(e - bias) (1 + m / 2^M)`, and `(-1)^s 2^(1 - bias) m / 2^M` at `e = 0`; with a bias
    /// of 7 and `M = 3`, or 15 and `M = 2`, and one more without a negative zero.
    pub fn value(self, byte: u8) -> f32 {
        let (mantissa_bits, bias) = match self {
            Self::E4M3 => (3, 7),
            Self::E5M2 => (2, 15),
            Self::E4M3Fnuz => (3, 8),
            Self::E5M2Fnuz => (2, 16),
            Self::E8M0 if byte == 0xff => return f32::NAN,
            Self::E8M0 => return (i32::from(byte) - 127).exp2(),
        };
        let magnitude = byte & 0x7f;
        match (self, magnitude) {
            (Self::E4M3, 0x7f) | (Self::E5M2, 0x7d..=0x7f) => return f32::NAN,
            (Self::E4M3Fnuz | Self::E5M2Fnuz, 0) if byte == 0x80 => return f32::NAN,
            (Self::E5M2, 0x7c) => return if byte == 0x7c { f32::INFINITY } else { -f32::INFINITY },
            _ => {}
        }
        let exponent = i32::from(magnitude >> mantissa_bits);
        let mantissa = f32::from(magnitude & ((1 << mantissa_bits) - 1));
        let fraction = mantissa * (-mantissa_bits).exp2();
        let value = match exponent {
            0 => (1 - bias).exp2() * fraction,
            _ => (exponent - bias).exp2() * (1.0 + fraction),
        };
        if byte & 0x80 == 0 { value } else { -value }
    }

    /// The numbers that bytes stand for.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let values: [f32; 256] = std::array::from_fn(|byte| self.value(byte as u8));
        bytes.iter().map(|&byte| values[usize::from(byte)]).collect()
    }
}

/// Powers of two, exact.
trait Exp2 {
    fn exp2(self) -> f32;
}

impl Exp2 for i32 {
    fn exp2(self) -> f32 {
        2_f32.powi(self)
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    /// Tables 1 and 2 of both papers, and the subnormal E8M0 of the standard.
    #[test]
    fn ends_of_the_ranges_are_those_of_the_papers() {
        use Float8::{E4M3, E4M3Fnuz, E5M2, E5M2Fnuz, E8M0};
        for (float, byte, value) in [
            (E4M3, 0x7e, 448.0),
            (E4M3, 0xfe, -448.0),
            (E4M3, 0x08, 0.015_625),
            (E4M3, 0x07, 0.013_671_875),
            (E4M3, 0x01, 0.001_953_125),
            (E5M2, 0x7b, 57344.0),
            (E5M2, 0x01, 1.525_878_9e-5),
            (E5M2, 0x7c, f32::INFINITY),
            (E4M3Fnuz, 0x7f, 240.0),
            (E4M3Fnuz, 0x01, 0.000_976_562_5),
            (E5M2Fnuz, 0x7f, 57344.0),
            (E8M0, 127, 1.0),
            (E8M0, 0, 5.877_472e-39),
            (E8M0, 254, 1.701_411_8e38),
        ] {
            assert_eq!(float.value(byte), value, "{float:?} {byte:#x}");
        }
        for (float, byte) in [(E4M3, 0xff), (E5M2, 0x7d), (E4M3Fnuz, 0x80), (E5M2Fnuz, 0x80)] {
            assert!(float.value(byte).is_nan(), "{float:?} {byte:#x}");
        }
    }

    /// An E5M2 is the upper half of an F16.
    #[test]
    fn half_of_an_f16_is_an_e5m2() {
        for byte in 0..=255 {
            let half = f16::from_le_bytes([0, byte]).to_f32();
            let value = Float8::E5M2.value(byte);
            assert!(value == half || (value.is_nan() && half.is_nan()), "{byte:#x}");
            assert_eq!(Float8::E5M2.decode(&[byte])[0].to_bits(), value.to_bits());
        }
    }
}
