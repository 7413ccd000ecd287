//! Claims of T0-QAT (J. Pascher 2025).

pub mod code;
pub mod drop_law;
pub mod low_bits;
pub mod noise_sweep;
pub mod precision_limit;
pub mod significance;
pub mod sota;
pub mod table1;
pub mod vision;
