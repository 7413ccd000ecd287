//! Accounting: which bits count as the cost of a storage.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::CompensationError;
use crate::storage::WeightStorage;

/// What the cost of storing a group counts.
///
/// ```
/// use qtaml_compensation::Accounting;
///
/// assert_eq!("all-bits".parse(), Ok(Accounting::AllBits));
/// assert_eq!(Accounting::ProtectedBits.to_string(), "protected-bits");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Accounting {
    /// Protected bits, as if protection were free: the source's *ideal* overhead.
    ProtectedBits,
    /// Bits that a real code stores beside the weights.
    CheckBits,
    /// All bits: weights, check bits, scales and what decoders must know.
    AllBits,
}

impl Accounting {
    /// Every way of counting.
    pub const ALL: [Self; 3] = [Self::ProtectedBits, Self::CheckBits, Self::AllBits];

    /// Its name, as on a command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProtectedBits => "protected-bits",
            Self::CheckBits => "check-bits",
            Self::AllBits => "all-bits",
        }
    }

    /// What a storage costs, in bits.
    pub fn cost_of(self, storage: &dyn WeightStorage) -> u64 {
        match self {
            Self::ProtectedBits => storage.protected_bits(),
            Self::CheckBits => storage.check_bits(),
            Self::AllBits => storage.stored_bits().saturating_add(storage.metadata_bits()),
        }
    }
}

impl fmt::Display for Accounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Accounting {
    type Err = CompensationError;

    fn from_str(name: &str) -> Result<Self, CompensationError> {
        let known = Self::ALL.into_iter().find(|accounting| accounting.name() == name);
        known.ok_or_else(|| CompensationError::UnknownAccounting(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use qtaml_fault::{BitMask, MemoryModel};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::Format;

    use super::*;
    use crate::storage::{GroupWeights, QuantizedMemory, QuantizedSpec, QuantizedStorage};

    #[test]
    fn names_lead_back() {
        for accounting in Accounting::ALL {
            assert_eq!(accounting.to_string().parse(), Ok(accounting));
            assert_eq!(serde_json::to_string(&accounting).unwrap(), format!("\"{accounting}\""));
        }
        assert!("free".parse::<Accounting>().unwrap_err().to_string().contains("check-bits"));
    }

    /// 64 weights of 8 bits, two of them protected.
    #[test]
    fn each_counts_what_it_says() {
        let costs = |ecc: &str| {
            let p = FlipProbability::symmetric(0.01).unwrap();
            let memory = MemoryModel::new(p).with_ecc(ecc.parse().unwrap());
            let memory = std::sync::Arc::new(QuantizedMemory::new(memory, Format::INT8).unwrap());
            let group = GroupWeights::whole(&[0.5; 64]);
            let top = BitMask::top(2, Format::INT8.bits()).unwrap();
            let spec = QuantizedSpec::default();
            let storage = QuantizedStorage::new(&group, &memory, &spec, top).unwrap();
            Accounting::ALL.map(|accounting| accounting.cost_of(&storage))
        };
        assert_eq!(costs("ideal"), [128, 0, 512 + 32]);
        assert_eq!(costs("secded:64"), [0, 16, 512 + 16 + 32]);
    }
}
