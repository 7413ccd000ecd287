//! Verdict on what WKB is worth.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::measure::{Case, Measured};
use super::{KINETIC_EV, OPAQUE, ORDER_ONE};
use crate::results::{Claim, Kind, Source, Verdict};

pub(super) fn claim(measured: &Measured) -> Result<Claim> {
    let opaque = || measured.grid.iter().filter(|case| case.exponent >= OPAQUE);
    let worst = opaque()
        .max_by(|a, b| a.factor().total_cmp(&b.factor()))
        .context("no barrier of the grid is opaque")?;
    let range = |f: fn(f64, f64) -> f64, from| opaque().map(Case::prefactor).fold(from, f);
    Ok(Claim {
        id: "physics.wkb_exact".into(),
        kind: Kind::Consistency,
        source: Source::Ours,
        statement: format!(
            "WKB is right in the exponent and off by a prefactor of order one, for electrons of {} to {} eV and \
             SiO2 of any thickness in any field, as long as it is opaque.",
            KINETIC_EV[0],
            KINETIC_EV[KINETIC_EV.len() - 1]
        ),
        expected: format!("a factor below {ORDER_ONE} (bound ours)"),
        measured: worst.factor(),
        unit: "factor".into(),
        interval: [worst.factor(); 2],
        n: opaque().count() as u64,
        verdict: if worst.factor() < ORDER_ONE {
            Verdict::Reproduced
        } else {
            Verdict::Contradicted
        },
        details: json!({
            "slow_electrons": measured.slow.iter().map(|case| json!({
                "kinetic_ev": case.kinetic_ev, "factor": case.factor() })).collect::<Vec<_>>(),
            "worst": { "thickness_nm": worst.thickness_nm, "field_v_per_nm": worst.field,
                "kinetic_ev": worst.kinetic_ev, "exponent": worst.exponent,
                "exact": worst.exact, "wkb": worst.wkb },
            "prefactor_range": [range(f64::min, f64::INFINITY), range(f64::max, 0.0)],
        }),
    })
}
