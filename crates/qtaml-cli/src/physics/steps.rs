//! All steps from a cell to its flip probability, as a table or as JSON.

use std::fmt;

use anyhow::Result;
use qtaml::physics::{Cell, Chain, Condition, Leakage, Shape};
use serde::Serialize;

use super::input::{Input, refused};
use crate::number::{duration, readable};

/// A cell, its condition, and what follows from them.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Steps {
    pub(super) cell: Cell,
    pub(super) condition: Condition,
    #[serde(flatten)]
    pub(super) chain: Chain,
}

impl Steps {
    pub(super) fn new(input: &Input) -> Result<Self> {
        let (cell, condition) = input.resolve()?;
        let chain = cell.tunneling(&condition).map_err(refused)?;
        Ok(Self { cell, condition, chain })
    }

    /// What is said about each quantity: its name, its value and its unit.
    fn lines(&self) -> Vec<(&'static str, String, String)> {
        let Self { cell, condition, chain } = self;
        let line = |name, value: f64, unit: &str| (name, readable(value), unit.to_owned());
        let pure = |name, value| line(name, value, "");
        let shape = match chain.shape {
            Shape::Rectangular => "rectangular",
            Shape::Trapezoidal => "trapezoidal",
            Shape::Triangular => "triangular",
        };
        let leakage = match cell.leakage {
            Leakage::Symmetric => "symmetric".into(),
            Leakage::OneWay => "one-way".into(),
            Leakage::Ratio { g01_over_g10 } => readable(g01_over_g10),
        };
        let time = duration(condition.retention_s).map_or("s".into(), |t| format!("s ({t})"));
        let mut lines = vec![
            line("barrier height", cell.barrier.height_ev(), "eV"),
            line("oxide thickness", cell.barrier.thickness_nm(), "nm"),
            line("tunneling mass", cell.barrier.mass_ratio(), "electron masses"),
            line("oxide field", condition.field_v_per_nm, "V/nm"),
            line("temperature", condition.temperature_k, "K"),
            ("barrier shape", shape.into(), String::new()),
            line("decay constant", chain.kappa_per_nm, "/nm (without field)"),
            pure("WKB exponent", chain.wkb_exponent),
            pure("transmission", chain.transmission),
            pure("thermal factor", chain.thermal_factor),
            line("attempt rate", cell.attempt_rate_hz, "Hz"),
            line("leak rate", chain.rate_per_s, "/s"),
            ("leakage", leakage, String::new()),
            line("retention time", condition.retention_s, &time),
        ];
        let p = chain.probability;
        match p.symmetric_value() {
            Some(p) => lines.push(pure("flip probability", p)),
            None => lines.extend([
                line("flip probability", p.p01(), "(stored 0 read as 1)"),
                line("", p.p10(), "(stored 1 read as 0)"),
            ]),
        }
        lines
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value, unit) in self.lines() {
            let line = format!("{name:<18} {value:<12} {unit}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
