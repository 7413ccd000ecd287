//! Verdict on the mean correction.

use serde_json::json;

use super::measure::Measured;
use crate::bench::reading::Reading;
use crate::results::{Claim, Kind, Source};
use crate::stats::judge;

pub(super) fn claim(measured: &Measured) -> Claim {
    let rows = measured.rows.iter().map(|row| {
        json!({ "net": row.net, "leakage": row.leakage, "worth": row.worth(), "shares": row.shares })
    });
    Claim {
        id: "qtaml.mean_correction".into(),
        kind: Kind::Claim,
        source: Source::Qtaml,
        statement: "The closed-form mean correction lowers what TAC has to protect in a memory that leaks one way."
            .into(),
        expected: "more than 1 time less".into(),
        measured: measured.worth.value,
        unit: "ratio".into(),
        interval: measured.worth.interval,
        n: measured.look.trainings as u64,
        verdict: judge(measured.worth.interval, [1.0 + f64::EPSILON, f64::INFINITY], 1.0),
        details: json!({
            "reading": Reading::FIXED.to_string(),
            "patterns": measured.patterns,
            "rows": rows.collect::<Vec<_>>(),
        }),
    }
}
