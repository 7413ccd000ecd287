//! Accounting: which bits count as the cost of a storage.

use crate::storage::WeightStorage;

/// What the cost of storing a group counts.
///
/// ```
/// use qtaml_compensation::Accounting;
///
/// assert_eq!("all-bits".parse(), Ok(Accounting::AllBits));
/// assert_eq!(Accounting::ProtectedBits.to_string(), "protected-bits");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Accounting {
    /// Protected bits, as if protection were free: the source's *ideal* overhead.
    ProtectedBits,
    /// Bits that a real code stores beside the weights.
    CheckBits,
    /// All bits: weights, check bits, scales and what decoders must know.
    AllBits,
}

qtaml_quant::names!(Accounting, "accounting", {
    ProtectedBits: "protected-bits",
    CheckBits: "check-bits",
    AllBits: "all-bits",
});

impl Accounting {
    /// What a storage costs, in bits.
    pub fn cost_of(self, storage: &dyn WeightStorage) -> u64 {
        match self {
            Self::ProtectedBits => storage.protected_bits(),
            Self::CheckBits => storage.check_bits(),
            Self::AllBits => storage.stored_bits().saturating_add(storage.metadata_bits()),
        }
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
