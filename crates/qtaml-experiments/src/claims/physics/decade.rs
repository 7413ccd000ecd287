//! `physics.decade`: one decade of leakage per 0.2 nm of SiO2, and the reference cell.

use anyhow::Result;
use qtaml::physics::{Barrier, Cell, Chain, Condition};
use qtaml_chart::{Axis, Chart, Mark, Rule, Series};
use serde_json::json;

use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Verdict};

/// Flip probability at which the source tests its convolutional networks.
pub const SOURCE_P: f64 = 0.10;

const YEAR_S: f64 = 365.25 * 24.0 * 3600.0;
/// What "about 0.2 nm" can mean when rounded to one digit.
const ABOUT_A_FIFTH: [f64; 2] = [0.15, 0.25];

/// The reference cell (ours): 4.5 nm of SiO2 without a field, electrons that try 10^13 times a
/// second, left alone for as long as it takes to lose one bit in ten.
pub fn reference() -> Result<(Cell, Condition)> {
    let cell = Cell::new(Barrier::sio2(4.5)?, 1e13);
    let retention_s = cell.retention_for(SOURCE_P, &Condition::at_rest(0.0))?;
    Ok((cell, Condition::at_rest(retention_s)))
}

/// Measures the claim.
pub fn run(_: &Context) -> Result<Outcome> {
    let (cell, condition) = reference()?;
    let chain = cell.tunneling(&condition)?;
    let decade = cell.barrier.thickness_per_decade_nm();
    let thicker = cell.thickness_for(1e-5, &condition)?;
    let thinner = cell.thickness_for(1e-4, &condition)?;
    let verdict = if (ABOUT_A_FIFTH[0]..ABOUT_A_FIFTH[1]).contains(&decade) {
        Verdict::Reproduced
    } else {
        Verdict::NotReproduced
    };
    let claim = Claim {
        id: "physics.decade".into(),
        source: Source::Ours,
        statement: "Gate leakage through SiO2 falls by one decade per 0.2 nm of oxide; this is \
                    the textbook value that the tunneling model has to give."
            .into(),
        expected: "about 0.2 nm".into(),
        measured: decade,
        unit: "nm".into(),
        interval: [decade; 2],
        n: 1,
        verdict,
        details: json!({
            "closed_form_nm": decade,
            "from_1e-4_to_1e-5_by_solving_for_thickness_nm": thicker - thinner,
            "reference_cell": { "chain": chain, "barrier_ev": cell.barrier.height_ev(),
                "thickness_nm": cell.barrier.thickness_nm(), "mass_ratio": cell.barrier.mass_ratio(),
                "attempt_rate_hz": cell.attempt_rate_hz,
                "field_v_per_nm": condition.field_v_per_nm },
        }),
    };
    Ok(Outcome {
        claims: vec![claim],
        method: method(),
        figures: vec![thickness_figure(&cell)?],
        tables: vec![chain_table(&cell, &condition, &chain)],
    })
}

fn method() -> Vec<String> {
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

fn thickness_figure(cell: &Cell) -> Result<Figure> {
    let after = |label: &str, retention_s: f64| -> Result<Series> {
        let condition = Condition::at_rest(retention_s);
        let points = (0..=100).map(|i| {
            let thickness = 2.5 + 0.03 * f64::from(i);
            let barrier = cell.barrier.with_thickness_nm(thickness)?;
            let p = Cell { barrier, ..*cell }.flip_probability(&condition)?;
            Ok((thickness, p.p10()))
        });
        let points: Vec<(f64, f64)> = points.collect::<Result<_>>()?;
        Ok(Series::new(label, Mark::Line, points))
    };
    let series = vec![
        after("after 1 ms", 1e-3)?,
        after("after 1 day", 86400.0)?,
        after("after 10 years", 10.0 * YEAR_S)?,
    ];
    Ok(Figure {
        id: "physics.decade.thickness".into(),
        title: "Flip probability against oxide thickness".into(),
        caption: "SiO2 (3.1 eV, 0.42 electron masses), no field, attempts at 10 THz. Each fifth \
                  of a nanometre is worth a decade, until half of the bits are lost."
            .into(),
        picture: Chart {
            x: Axis::linear("oxide thickness", "nm"),
            y: Axis::log10("flip probability", ""),
            series,
            rules: vec![Rule::horizontal(SOURCE_P, "p = 0.10")],
        }
        .into(),
    })
}

fn chain_table(cell: &Cell, condition: &Condition, chain: &Chain) -> Table {
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
