//! The memory model: flip probabilities and the ECC of protected bits.

use qtaml_physics::FlipProfile;
use qtaml_quant::{BitWidth, Format};
use serde::{Deserialize, Serialize};

use crate::{BitFlips, BitMask, Ecc, FaultError, QuantizedChannel};

/// A memory whose cells flip independently, with an error-correcting code for protected bits. It says
/// nothing of what is stored.
///
/// ```
/// use qtaml_fault::{BitMask, MemoryModel};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::Format;
///
/// let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
/// let channel = memory.channel(Format::INT8, BitMask::top(2, Format::INT8.bits())?)?;
/// // Protected bits are kept ideally.
/// assert_eq!((channel.flip(7, true)?, channel.flip(0, true)?), (0.0, 0.1));
///
/// let with_code = memory.with_ecc("secded:64".parse()?);
/// assert_eq!(with_code.ecc.to_string(), "secded:64");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryModel {
    /// The flip probabilities of unprotected bits.
    pub flips: FlipProfile,
    /// What keeps protected bits.
    #[serde(default)]
    pub ecc: Ecc,
}

impl MemoryModel {
    /// A memory that keeps protected bits ideally. One probability stands for that of every bit.
    pub fn new(flips: impl Into<FlipProfile>) -> Self {
        Self { flips: flips.into(), ecc: Ecc::Ideal }
    }

    /// The same memory with another error-correcting code.
    #[must_use]
    pub fn with_ecc(self, ecc: Ecc) -> Self {
        Self { ecc, ..self }
    }

    /// The model that draws the faults of words of this width.
    ///
    /// # Errors
    /// [`FaultError::ProfileWidth`] for flip probabilities of another number of bits.
    pub fn bit_flips(&self, width: BitWidth) -> Result<BitFlips, FaultError> {
        BitFlips::new(self.flips.clone(), width)
    }

    /// The channel of words of this format, of which these bits are protected.
    ///
    /// # Errors
    /// [`FaultError::ProfileWidth`] for flip probabilities of another number of bits,
    /// [`FaultError::ProtectedBits`] for bits that the format lacks, and as [`Ecc::residual`].
    pub fn channel(&self, format: Format, mask: BitMask) -> Result<QuantizedChannel, FaultError> {
        QuantizedChannel::new(self.flips.clone(), format, mask)?.with_ecc(self.ecc)
    }
}

#[cfg(test)]
mod tests {
    use qtaml_physics::FlipProbability;

    use super::*;
    use crate::EccError;

    #[test]
    fn a_memory_is_what_its_text_says() {
        let p = FlipProbability::asymmetric(0.01, 0.1).unwrap();
        for ecc in ["ideal", "repetition:3", "interleaved:4:secded:16"] {
            let memory = MemoryModel::new(p).with_ecc(ecc.parse().unwrap());
            let json = serde_json::to_string(&memory).unwrap();
            assert_eq!(serde_json::from_str::<MemoryModel>(&json).unwrap(), memory);
        }
        let short: MemoryModel =
            serde_json::from_str(r#"{"flips":{"p01":0.0,"p10":0.1}}"#).unwrap();
        assert_eq!(short.ecc, Ecc::Ideal);
        assert!(serde_json::from_str::<MemoryModel>(r#"{"flips":{"p01":2,"p10":0}}"#).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let four = FlipProfile::per_bit(vec![FlipProbability::NEVER; 4]).unwrap();
        let memory = MemoryModel::new(four);
        assert!(memory.bit_flips(BitWidth::INT4).is_ok());
        assert!(matches!(memory.bit_flips(BitWidth::INT8), Err(FaultError::ProfileWidth { .. })));
        let unequal = FlipProbability::asymmetric(0.1, 0.2).unwrap();
        let memory = MemoryModel::new(unequal).with_ecc("secded:64".parse().unwrap());
        let top = BitMask::top(1, BitWidth::INT8).unwrap();
        let refused = memory.channel(Format::INT8, top).unwrap_err();
        assert!(matches!(refused, FaultError::Ecc(EccError::Asymmetric { .. })), "{refused}");
    }
}
