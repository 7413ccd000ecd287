//! The types of values in a GGUF file, and the numbers that their blocks stand for.

use std::fmt;

use crate::Float;

/// How the values of a tensor are written: each by itself, or some together as integers with scales.
///
/// Source: `ggml-common.h` and `ggml-quants.c` of ggml, for the layout of blocks.
///
/// # Formula
/// `Q8_0` and `Q4_0`: `y = d q`. `Q4_1`: `y = d q + m`. `Q4_K`: `y = d s q - e t`, with a scale `s` and an offset `t` of
/// six bits for each 32 values. `Q6_K`: `y = d s q`, with a scale of eight bits for each 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GgufType {
    /// Floating-point numbers.
    Float(Float),
    /// 32 integers of 8 bits with a scale.
    Q8_0,
    /// 32 integers of 4 bits with a scale.
    Q4_0,
    /// 32 integers of 4 bits with a scale and an offset.
    Q4_1,
    /// 256 integers of 4 bits with eight scales and offsets.
    Q4K,
    /// 256 integers of 6 bits with sixteen scales.
    Q6K,
}

/// The types that are read, by their numbers in files.
const TYPES: [(u32, GgufType); 8] = [
    (0, GgufType::Float(Float::F32)),
    (1, GgufType::Float(Float::F16)),
    (2, GgufType::Q4_0),
    (3, GgufType::Q4_1),
    (8, GgufType::Q8_0),
    (12, GgufType::Q4K),
    (14, GgufType::Q6K),
    (30, GgufType::Float(Float::Bf16)),
];

impl GgufType {
    /// The type of this number, if it is one that is read.
    pub(super) fn of(number: u32) -> Option<Self> {
        TYPES.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
    }

    /// Values of a block.
    pub const fn block(self) -> usize {
        match self {
            Self::Float(_) => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Float(float) => float.bytes(),
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q4K => 144,
            Self::Q6K => 210,
        }
    }

    /// The numbers that some blocks stand for.
    pub(super) fn values(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::Float(float) => float.decode(bytes),
            Self::Q8_0 => blocks(bytes, q8_0),
            Self::Q4_0 => blocks(bytes, q4_0),
            Self::Q4_1 => blocks(bytes, q4_1),
            Self::Q4K => blocks(bytes, q4_k),
            Self::Q6K => blocks(bytes, q6_k),
        }
    }
}

/// As files of ggml and its tools call it.
impl fmt::Display for GgufType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float(Float::F16) => "F16",
            Self::Float(Float::Bf16) => "BF16",
            Self::Float(_) => "F32",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
        })
    }
}

fn blocks<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    values: impl Fn(&[u8; BYTES]) -> [f32; VALUES],
) -> Vec<f32> {
    bytes.as_chunks().0.iter().flat_map(values).collect()
}

/// A scale of half precision at some bytes.
fn half(bytes: &[u8]) -> f32 {
    half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

const fn low(byte: u8) -> u8 {
    byte & 0xf
}

const fn high(byte: u8) -> u8 {
    byte >> 4
}

fn q8_0(block: &[u8; 34]) -> [f32; 32] {
    let scale = half(block);
    std::array::from_fn(|i| scale * f32::from(block[2 + i].cast_signed()))
}

/// The first half of the values in the lower halves of the bytes, the others in the upper ones.
fn nibble(bytes: &[u8], i: usize) -> f32 {
    let half = bytes.len();
    f32::from(if i < half { low(bytes[i]) } else { high(bytes[i - half]) })
}

fn q4_0(block: &[u8; 18]) -> [f32; 32] {
    let scale = half(block);
    std::array::from_fn(|i| scale * (nibble(&block[2..], i) - 8.0))
}

fn q4_1(block: &[u8; 20]) -> [f32; 32] {
    let (scale, least) = (half(block), half(&block[2..]));
    std::array::from_fn(|i| scale * nibble(&block[4..], i) + least)
}

/// Scale and offset of 32 values: of the first four in six bits of one byte each, of the others in four bits and the
/// two that these leave.
fn six_bits(packed: &[u8], part: usize) -> [f32; 2] {
    let numbers = if part < 4 {
        [packed[part] & 63, packed[part + 4] & 63]
    } else {
        let both = packed[part + 4];
        [low(both) | packed[part - 4] >> 6 << 4, high(both) | packed[part] >> 6 << 4]
    };
    numbers.map(f32::from)
}

fn q4_k(block: &[u8; 144]) -> [f32; 256] {
    let (scale, offset) = (half(block), half(&block[2..]));
    let (packed, codes) = (&block[4..16], &block[16..]);
    let mut values = [0.0; 256];
    for (part, values) in values.chunks_mut(32).enumerate() {
        let [of_scale, of_offset] = six_bits(packed, part);
        let (scale, offset) = (scale * of_scale, offset * of_offset);
        for (value, byte) in values.iter_mut().zip(&codes[part / 2 * 32..]) {
            let code = if part % 2 == 0 { low(*byte) } else { high(*byte) };
            *value = scale * f32::from(code) - offset;
        }
    }
    values
}

fn q6_k(block: &[u8; 210]) -> [f32; 256] {
    let (lower, upper, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(&block[208..]);
    std::array::from_fn(|i| {
        // Of each half of the block: four rows of 32 values, two rows share the bytes of their lower bits, and all four
        // those of their upper ones.
        let (part, row, column) = (i / 128, i / 32 % 4, i % 32);
        let byte = lower[64 * part + 32 * (row % 2) + column];
        let lower = if row < 2 { low(byte) } else { high(byte) };
        let upper = upper[32 * part + column] >> (2 * row) & 3;
        let code = f32::from(lower | upper << 4) - 32.0;
        scale * f32::from(scales[i / 16].cast_signed()) * code
    })
}
