//! The oxide that one decade of leakage is worth, and the reference cell step by step.

use anyhow::Result;
use qtaml::physics::{Cell, Chain, Condition, YEAR_S};
use serde::Serialize;

use crate::workloads::reference_cell::reference;

/// All numbers of the claim.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// The reference cell.
    pub(super) cell: Cell,
    pub(super) condition: Condition,
    pub(super) chain: Chain,
    /// Oxide for one decade by the closed form, and by solving for the thickness.
    pub(super) decade_nm: f64,
    pub(super) solved_nm: f64,
    /// Flip probability by oxide thickness, after several times.
    pub(super) curves: Vec<(&'static str, Vec<(f64, f64)>)>,
}

/// Measures the claim.
pub(super) fn measure() -> Result<Measured> {
    let (cell, condition) = reference()?;
    let thicker = cell.thickness_for(1e-5, &condition)?;
    let thinner = cell.thickness_for(1e-4, &condition)?;
    let after = [("after 1 ms", 1e-3), ("after 1 day", 86400.0), ("after 10 years", 10.0 * YEAR_S)];
    let curve = |(label, retention_s)| Ok((label, by_thickness(&cell, retention_s)?));
    Ok(Measured {
        chain: cell.tunneling(&condition)?,
        decade_nm: cell.barrier.thickness_per_decade_nm(),
        solved_nm: thicker - thinner,
        curves: after.into_iter().map(curve).collect::<Result<_>>()?,
        cell,
        condition,
    })
}

fn by_thickness(cell: &Cell, retention_s: f64) -> Result<Vec<(f64, f64)>> {
    let condition = Condition::at_rest(retention_s);
    let points = (0..=100).map(|i| {
        let thickness = 2.5 + 0.03 * f64::from(i);
        let barrier = cell.barrier.with_thickness_nm(thickness)?;
        let p = Cell { barrier, ..*cell }.flip_probability(&condition)?;
        Ok((thickness, p.p10()))
    });
    points.collect()
}
