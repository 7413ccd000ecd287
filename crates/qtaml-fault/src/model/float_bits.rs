//! Bit flips in raw floats.

use qtaml_physics::FlipProfile;
use qtaml_quant::BitWidth;

use super::{BitFlips, FaultModel, places};
use crate::{FaultError, FaultStream, ProtectionMap};

/// Values whose bytes are laid out at a time.
const AT_ONCE: usize = 1024;

/// Flips the bits of values that are stored as IEEE 754 numbers, such as biases and scales.
///
/// `values` begin at position `first` of their tensor. The four bytes of each, least significant
/// first, are four INT8 words: byte `j` of value `i` is word `4 i + j` of the stream, and
/// flip probabilities of each bit are those of the bits of a byte.
///
/// The top byte holds the sign and seven bits of the exponent: a single flip there can turn a
/// value into one of 10^38, an infinity or a NaN. They are returned as they are, and what to do
/// about them is for the caller to say.
///
/// ```
/// use qtaml_fault::{Seed, FaultStream, flip_floats};
/// use qtaml_physics::FlipProbability;
///
/// let mut biases = [0.5, -1.0];
/// let always = FlipProbability::asymmetric(1.0, 1.0)?;
/// flip_floats(always, &mut biases, 0, &FaultStream::new(Seed(42), 0, "fc.bias"))?;
/// assert_eq!(biases.map(f32::to_bits), [0.5_f32, -1.0].map(|x| !x.to_bits()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`FaultError::ProfileWidth`] for flip probabilities of another number of bits than eight,
/// [`FaultError::Uncountable`] for a position whose bits 64 bits cannot count. No value is changed
/// then.
pub fn flip_floats(
    flips: impl Into<FlipProfile>,
    values: &mut [f32],
    first: u64,
    stream: &FaultStream,
) -> Result<(), FaultError> {
    let model = BitFlips::new(flips, BitWidth::INT8)?;
    // Checked before any value is changed.
    let words = values.len().saturating_mul(4);
    let uncountable = FaultError::Uncountable { words, first: first.saturating_mul(4) };
    places(first.checked_mul(4).ok_or(uncountable)?, words, BitWidth::INT8)?;
    for (slice, values) in values.chunks_mut(AT_ONCE).enumerate() {
        let mut bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let first = 4 * (first + (slice * AT_ONCE) as u64);
        model.inject_slice(&mut bytes, first, stream, ProtectionMap::NOTHING)?;
        for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
            *value = f32::from_le_bytes(*bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use qtaml_physics::FlipProbability;

    use super::*;
    use crate::Seed;

    fn flipped(p: f64, values: &[f32], first: u64) -> Vec<u32> {
        let mut values = values.to_vec();
        let p = FlipProbability::symmetric(p).unwrap();
        flip_floats(p, &mut values, first, &FaultStream::new(Seed(1), 2, "bias")).unwrap();
        values.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn a_value_is_four_words() {
        let values: Vec<f32> = (0..2000).map(|i| (i as f32 * 0.3).sin()).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let p = FlipProbability::symmetric(0.1).unwrap();
        let model = BitFlips::new(p, BitWidth::INT8).unwrap();
        let read = model
            .corrupted(&bytes, &FaultStream::new(Seed(1), 2, "bias"), ProtectionMap::NOTHING)
            .unwrap();
        let read: Vec<u32> = read.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        assert_eq!(flipped(0.1, &values, 0), read);
    }

    #[test]
    fn slices_agree_with_the_whole() {
        let values = [1.5; 3000];
        let mut slices = flipped(0.2, &values[..1234], 0);
        slices.extend(flipped(0.2, &values[1234..], 1234));
        assert_eq!(slices, flipped(0.2, &values, 0));
    }

    /// As documented: at one half, one exponent in 256 is all ones.
    #[test]
    fn exponents_make_values_that_are_no_numbers() {
        let read = flipped(0.5, &[0.1; 4096], 0);
        assert!(read.into_iter().any(|bits| !f32::from_bits(bits).is_finite()));
    }

    #[test]
    fn positions_that_cannot_be_counted_are_refused() {
        let (p, stream) = (FlipProbability::NEVER, FaultStream::new(Seed(0), 0, "bias"));
        for first in [u64::MAX, 1 << 62, (1 << 59) - 1] {
            let error = flip_floats(p, &mut [1.0], first, &stream).unwrap_err();
            assert!(matches!(error, FaultError::Uncountable { words: 4, .. }), "{error}");
        }
        flip_floats(p, &mut [1.0], (1 << 59) - 2, &stream).unwrap();
    }

    #[test]
    fn a_law_of_other_bits_is_refused() {
        let flip = FlipProfile::per_bit(vec![FlipProbability::NEVER; 4]).unwrap();
        let refused = flip_floats(flip, &mut [1.0], 0, &FaultStream::new(Seed(0), 0, "bias"));
        let width = BitWidth::INT8;
        assert_eq!(refused, Err(FaultError::ProfileWidth { bits: 4, width }));
    }
}
