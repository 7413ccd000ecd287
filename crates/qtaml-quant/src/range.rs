//! The range of the codes: what the weights of a group are spread over.

use crate::Format;

/// What the codes of a group stand for, end to end.
///
/// | range | smallest code | code 0 | largest code | beside the scale |
/// | --- | --- | --- | --- | --- |
/// | symmetric | `-max \|w\|` (one code below it is never written) | 0 | `max \|w\|` | nothing |
/// | min-max | `min w` | somewhere | `max w` | the minimum, 32 bits |
/// | zero-point | about `min(w, 0)` | somewhere | about `max(w, 0)` | the code of 0, one word |
///
/// A symmetric range wastes half of its codes on weights of one sign. A min-max range wastes none, and
/// a weight of 0 is rounded like any other. A zero-point range is the same with 0 among its numbers, as
/// ONNX and PyTorch have it (`QuantizeLinear`, `torch.quantize_per_tensor`): what is pruned stays pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CodeRange {
    /// As far below zero as above it.
    #[default]
    Symmetric,
    /// From the smallest weight to the largest, with all codes.
    MinMax,
    /// From the smallest weight or 0 to the largest or 0, moved by a part of a step so that 0 has a code.
    ZeroPoint,
}

crate::names!(CodeRange, "range", {
    Symmetric: "symmetric",
    MinMax: "min-max",
    ZeroPoint: "zero-point",
});

impl CodeRange {
    /// Bits that are stored for each group beside its words: the scale, and what is known of the zero.
    pub const fn metadata_bits(self, format: Format) -> u64 {
        match self {
            Self::Symmetric => 32,
            Self::MinMax => 32 + 32,
            Self::ZeroPoint => 32 + format.bits().get() as u64,
        }
    }

    /// Whether it is the symmetric one: what serde leaves out of files that know no other.
    pub const fn is_symmetric(&self) -> bool {
        matches!(self, Self::Symmetric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_are_those_of_files() {
        for range in CodeRange::ALL {
            assert_eq!(range.name().parse(), Ok(range));
            assert_eq!(serde_json::to_string(&range).unwrap(), format!("\"{range}\""));
            assert_eq!(range.is_symmetric(), range == CodeRange::default());
        }
        let error = "unsigned".parse::<CodeRange>().unwrap_err().to_string();
        assert!(error.contains("\"unsigned\"") && error.contains("min-max"), "{error}");
    }
}
