//! Verdict on the decade of leakage.

use serde_json::json;

use super::ABOUT_A_FIFTH;
use super::measure::Measured;
use crate::results::{Claim, Kind, Source, Verdict};

pub(super) fn claim(measured: &Measured) -> Claim {
    let Measured { cell, condition, chain, decade_nm, solved_nm, .. } = measured;
    Claim {
        id: "physics.decade".into(),
        kind: Kind::Consistency,
        source: Source::Ours,
        statement: "Gate leakage through SiO2 falls by one decade per 0.2 nm of oxide; this is \
                    the textbook value that the tunneling model has to give."
            .into(),
        expected: "about 0.2 nm".into(),
        measured: *decade_nm,
        unit: "nm".into(),
        interval: [*decade_nm; 2],
        n: 1,
        verdict: if (ABOUT_A_FIFTH[0]..ABOUT_A_FIFTH[1]).contains(decade_nm) {
            Verdict::Reproduced
        } else {
            Verdict::NotReproduced
        },
        details: json!({
            "closed_form_nm": decade_nm,
            "from_1e-4_to_1e-5_by_solving_for_thickness_nm": solved_nm,
            "reference_cell": { "chain": chain, "barrier_ev": cell.barrier.height_ev(),
                "thickness_nm": cell.barrier.thickness_nm(), "mass_ratio": cell.barrier.mass_ratio(),
                "attempt_rate_hz": cell.attempt_rate_hz,
                "field_v_per_nm": condition.field_v_per_nm },
        }),
    }
}
