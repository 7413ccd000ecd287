//! What can be wrong with a fault model from outside.

use qtaml_quant::BitWidth;

/// Why a fault model was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// More bits to protect than there are.
    #[error("cannot protect {bits} bits of an {width} code: 0..={} are allowed", width.get())]
    TooManyBits {
        /// The number of bits asked for.
        bits: u32,
        /// The width of the code.
        width: BitWidth,
    },
}
