//! The raw decoder: each word as it is read.

use qtaml_quant::Format;

pub(super) fn values(format: Format) -> Vec<f64> {
    format.bits().words().map(|read| f64::from(format.code_of(read))).collect()
}
