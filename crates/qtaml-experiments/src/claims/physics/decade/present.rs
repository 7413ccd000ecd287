//! Method, figure and table of the reference cell.

use qtaml::physics::YEAR_S;
use qtaml_chart::{Axis, Chart, Mark, Rule, Series};

use super::measure::Measured;
use crate::results::{Figure, Table};
use crate::workloads::reference_cell::SOURCE_P;

pub(super) fn method() -> Vec<String> {
    [
        "WKB transmission of the barrier, T = exp(-2 ∫ κ dx), averaged over the Fermi edge of \
         electrons at 300 K, times the attempt rate gives the rate of flips; a two-state Markov cell with equal rates both ways gives the flip \
         probability p = (1 - exp(-2 Γ t)) / 2. WKB is right in the exponent and off by a \
         prefactor of order one.",
        "The reference cell is ours: the sources give flip probabilities, not cells. Its \
         retention time is solved so that p = 0.10, the value at which QTAML tests \
         convolutional networks; every network experiment below takes p from this cell.",
    ]
    .map(String::from)
    .to_vec()
}

pub(super) fn thickness_figure(measured: &Measured) -> Figure {
    let curves = measured.curves.iter();
    let series =
        curves.map(|(label, points)| Series::new(label, Mark::Line, points.iter().copied()));
    Figure {
        id: "physics.decade.thickness".into(),
        title: "Flip probability against oxide thickness".into(),
        caption: "SiO2 (3.1 eV, 0.42 electron masses), no field, attempts at 10 THz. Each fifth \
                  of a nanometre is worth a decade, until half of the bits are lost."
            .into(),
        picture: Chart {
            x: Axis::linear("oxide thickness", "nm"),
            y: Axis::log10("flip probability", ""),
            series: series.collect(),
            rules: vec![Rule::horizontal(SOURCE_P, "p = 0.10")],
        }
        .into(),
    }
}

pub(super) fn chain_table(measured: &Measured) -> Table {
    let Measured { cell, condition, chain, .. } = measured;
    let row =
        |quantity: &str, value: f64, unit: &str| vec![quantity.into(), value.into(), unit.into()];
    Table {
        id: "physics.decade.chain".into(),
        title: "The reference cell, step by step".into(),
        columns: ["quantity", "value", "unit"].map(String::from).to_vec(),
        rows: vec![
            row("barrier height", cell.barrier.height_ev(), "eV"),
            row("oxide thickness", cell.barrier.thickness_nm(), "nm"),
            row("tunneling mass", cell.barrier.mass_ratio(), "electron masses"),
            row("oxide field", condition.field_v_per_nm, "V/nm"),
            row("decay constant κ", chain.kappa_per_nm, "1/nm"),
            row("WKB exponent", chain.wkb_exponent, ""),
            row("transmission", chain.transmission, ""),
            row("temperature", chain.temperature_k, "K"),
            row("thermal factor", chain.thermal_factor, ""),
            row("attempt rate", cell.attempt_rate_hz, "1/s"),
            row("flip rate", chain.rate_per_s, "1/s"),
            row("retention time", chain.retention_s / YEAR_S, "years"),
            row("flip probability", chain.probability.p10(), ""),
        ],
        in_report: true,
    }
}
