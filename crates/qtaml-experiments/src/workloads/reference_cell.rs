//! The reference cell: where the flip probability of every network experiment comes from.

use anyhow::Result;
use qtaml::physics::{Barrier, Cell, Condition};

/// Flip probability at which the source tests its convolutional networks.
pub const SOURCE_P: f64 = 0.10;

/// The reference cell (ours): 4.5 nm of SiO2 without a field, electrons that try 10^13 times a
/// second, left alone for as long as it takes to lose one bit in ten.
pub fn reference() -> Result<(Cell, Condition)> {
    let cell = Cell::new(Barrier::sio2(4.5)?, 1e13);
    let retention_s = cell.retention_for(SOURCE_P, &Condition::at_rest(0.0))?;
    Ok((cell, Condition::at_rest(retention_s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_cell_loses_one_bit_in_ten() {
        let (cell, condition) = reference().unwrap();
        let p = cell.flip_probability(&condition).unwrap();
        assert!((p.p10() - SOURCE_P).abs() < 1e-12 && p.is_symmetric());
    }
}
