//! Flip probabilities bit by bit, for memories that do not treat all bits of a word alike.

use crate::error::{PhysicsError, checked};
use crate::probability::FlipProbability;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Allowed lengths of a list of flip probabilities, one per bit.
const BITS: RangeInclusive<f64> = 1.0..=16.0;

/// The flip probability at each bit position of a stored word, bit 0 being the least significant.
///
/// It is either one flip probability for all bits, which fits a word of any width, or one per bit. It
/// knows nothing of what the bits mean.
///
/// ```
/// use qtaml_physics::{FlipProbability, FlipProfile};
///
/// let weak = FlipProbability::symmetric(0.1)?;
/// let everywhere = FlipProfile::from(weak);
/// assert_eq!((everywhere.at(7), everywhere.bits()), (weak, None));
///
/// // Two bits, the upper one kept in a cell that never fails.
/// let mixed = FlipProfile::per_bit(vec![weak, FlipProbability::NEVER])?;
/// assert_eq!((mixed.at(1), mixed.bits()), (FlipProbability::NEVER, Some(2)));
/// assert_eq!(mixed.to_string(), "bit 0: p = 0.1; bit 1: p = 0.0");
/// # Ok::<(), qtaml_physics::PhysicsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct FlipProfile(Bits);

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Bits {
    Uniform(FlipProbability),
    PerBit(#[serde(serialize_with = "as_list")] Arc<[FlipProbability]>),
}

impl FlipProfile {
    /// One flip probability per bit, least significant first.
    ///
    /// # Errors
    ///
    /// [`PhysicsError::OutOfRange`] unless there are 1 to 16 of them.
    pub fn per_bit(flips: Vec<FlipProbability>) -> Result<Self, PhysicsError> {
        checked("bits", flips.len() as f64, BITS)?;
        Ok(Self(Bits::PerBit(flips.into())))
    }

    /// The flip probability of the bit at position `bit`. A bit that a profile per bit does not have
    /// ([`bits`](Self::bits)) never flips.
    pub fn at(&self, bit: usize) -> FlipProbability {
        match &self.0 {
            Bits::Uniform(flip) => *flip,
            Bits::PerBit(flips) => flips.get(bit).copied().unwrap_or(FlipProbability::NEVER),
        }
    }

    /// How many bits a word must have for this; `None` if any number will do.
    pub fn bits(&self) -> Option<usize> {
        match &self.0 {
            Bits::Uniform(_) => None,
            Bits::PerBit(flips) => Some(flips.len()),
        }
    }

    /// Whether both values of every bit flip with the same probability.
    pub fn is_symmetric(&self) -> bool {
        self.flips().iter().all(|flip| flip.is_symmetric())
    }

    /// The one flip probability of all bits, `None` if they differ.
    pub fn uniform(&self) -> Option<FlipProbability> {
        let (first, rest) = self.flips().split_first()?;
        rest.iter().all(|flip| flip == first).then_some(*first)
    }

    fn flips(&self) -> &[FlipProbability] {
        match &self.0 {
            Bits::Uniform(flip) => std::slice::from_ref(flip),
            Bits::PerBit(flips) => flips,
        }
    }
}

impl From<FlipProbability> for FlipProfile {
    fn from(flip: FlipProbability) -> Self {
        Self(Bits::Uniform(flip))
    }
}

/// `p = 0.1` for all bits, or `bit 0: p = 0.1; bit 1: p01 = 0.0, p10 = 0.2` and so on.
impl fmt::Display for FlipProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Bits::Uniform(flip) => flip.fmt(f),
            Bits::PerBit(flips) => flips.iter().enumerate().try_for_each(|(bit, flip)| {
                let separator = if bit == 0 { "" } else { "; " };
                write!(f, "{separator}bit {bit}: {flip}")
            }),
        }
    }
}

/// Serde writes slices behind an `Arc` only with a feature that nothing else here needs.
fn as_list<S: serde::Serializer>(
    flips: &Arc<[FlipProbability]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    flips.as_ref().serialize(serializer)
}

/// Either `{"p01": .., "p10": ..}` or a list of those. Not an untagged enum, which would say of a
/// wrong number only that nothing matched.
impl<'de> Deserialize<'de> for FlipProfile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrList)
    }
}

struct OneOrList;

impl<'de> Visitor<'de> for OneOrList {
    type Value = FlipProfile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flip probability or a list of them, one per bit")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FlipProfile, A::Error> {
        FlipProbability::deserialize(MapAccessDeserializer::new(map)).map(FlipProfile::from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<FlipProfile, A::Error> {
        let flips = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        FlipProfile::per_bit(flips).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flip(p01: f64, p10: f64) -> FlipProbability {
        FlipProbability::asymmetric(p01, p10).unwrap()
    }

    #[test]
    fn a_word_has_one_to_sixteen_bits() {
        for bits in [1, 8, 16] {
            let profile = FlipProfile::per_bit(vec![flip(0.1, 0.2); bits]).unwrap();
            assert_eq!(profile.bits(), Some(bits));
        }
        for bits in [0, 17] {
            let message = FlipProfile::per_bit(vec![flip(0.1, 0.2); bits]).unwrap_err().to_string();
            assert_eq!(message, format!("bits = {bits}.0 is outside 1.0..=16.0"));
        }
    }

    #[test]
    fn a_missing_bit_never_flips() {
        let one = FlipProfile::per_bit(vec![flip(0.1, 0.2)]).unwrap();
        assert_eq!([one.at(0), one.at(1)], [flip(0.1, 0.2), FlipProbability::NEVER]);
    }

    #[test]
    fn equal_probabilities_are_uniform_and_one_other_is_enough_to_differ() {
        let equal = FlipProfile::per_bit(vec![flip(0.1, 0.1); 3]).unwrap();
        assert_eq!((equal.uniform(), equal.is_symmetric()), (Some(flip(0.1, 0.1)), true));
        let differing = FlipProfile::per_bit(vec![flip(0.1, 0.1), flip(0.1, 0.2)]).unwrap();
        assert_eq!((differing.uniform(), differing.is_symmetric()), (None, false));
        assert_eq!(FlipProfile::from(flip(0.1, 0.2)).uniform(), Some(flip(0.1, 0.2)));
        assert!(!FlipProfile::from(flip(0.1, 0.2)).is_symmetric());
    }

    #[test]
    fn deserialising_takes_one_probability_or_a_list_and_checks_the_numbers() {
        let parse = serde_json::from_str::<FlipProfile>;
        let one = parse(r#"{"p01": 0.1, "p10": 0.2}"#).unwrap();
        assert_eq!(one, FlipProfile::from(flip(0.1, 0.2)));
        let list = parse(r#"[{"p01": 0.1, "p10": 0.2}, {"p01": 0.0, "p10": 0.0}]"#).unwrap();
        assert_eq!((list.at(0), list.at(1)), (flip(0.1, 0.2), FlipProbability::NEVER));
        for (bad, complaint) in [
            ("[]", "bits = 0.0 is outside 1.0..=16.0"),
            (r#"[{"p01": 0.1, "p10": 1.5}]"#, "p10 = 1.5 is outside 0.0..=1.0"),
            (r#"{"p01": 0.1, "p10": 1.5}"#, "p10 = 1.5 is outside 0.0..=1.0"),
            ("0.1", "expected a flip probability or a list of them, one per bit"),
        ] {
            let message = parse(bad).unwrap_err().to_string();
            assert!(message.contains(complaint), "{message}");
        }
    }

    proptest! {
        #[test]
        fn serialising_keeps_the_digits(
            pairs in prop::collection::vec((0.0..=1.0, 0.0..=1e-18), 1..=16),
        ) {
            let flips: Vec<_> = pairs.into_iter().map(|(p01, p10)| flip(p01, p10)).collect();
            for profile in [FlipProfile::from(flips[0]), FlipProfile::per_bit(flips).unwrap()] {
                let json = serde_json::to_string(&profile).unwrap();
                prop_assert_eq!(serde_json::from_str::<FlipProfile>(&json).unwrap(), profile);
            }
        }
    }
}
