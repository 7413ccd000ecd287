//! Claims on the physics of a cell.

pub mod decade;
pub mod wkb_exact;
