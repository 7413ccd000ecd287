//! `physics.wkb_exact`: the WKB transmission against the exact one.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{energy_figure, method, prefactor_figure, tables, thickness_figure};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

const THICKNESSES_NM: [f64; 7] = [0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 5.0];
const FIELDS_V_PER_NM: [f64; 5] = [0.0, 0.3, 0.6, 1.0, 1.5];
const KINETIC_EV: [f64; 4] = [0.1, 0.5, 1.0, 3.1];
/// Electrons that are slower: shown, not judged.
const SLOW_EV: [f64; 3] = [0.05, 0.01, 0.001];
/// WKB is judged where the exponent is at least this: below it nothing decays.
const OPAQUE: f64 = 2.0;
/// What "of order one" can mean for a factor (ours).
const ORDER_ONE: f64 = 10.0;

/// Measures the claim.
pub fn run(_: &Context) -> Result<Outcome> {
    let measured = measure()?;
    Ok(Outcome {
        claims: vec![claim(&measured)?],
        method: method(&measured),
        figures: vec![
            thickness_figure(&measured),
            prefactor_figure(&measured.grid),
            energy_figure(&measured),
        ],
        tables: tables(&measured.grid),
        ..Outcome::default()
    })
}
