//! Verdict on the forecast of the gain.

use serde_json::json;

use super::measure::Measured;
use super::{DISAGREEMENT, PATTERNS};
use crate::results::{Claim, Source, Verdict};
use crate::workloads::networks::Net;

pub(super) fn claim(measured: &Measured) -> Claim {
    let (closed_form, exact) = (measured.closed_form(), measured.exact_curves());
    let interval = measured.interval;
    Claim {
        id: "qtaml.rho".into(),
        source: Source::Qtaml,
        statement:
            "A closed-form saturation ratio ρ*, computed before any simulation, forecasts by \
                    how much TAC needs less than Uniform-MSP."
                .into(),
        expected: "accurate forecasts, here: in order".into(),
        measured: closed_form.correlation(),
        unit: "rank correlation".into(),
        interval,
        n: Net::ALL.len() as u64,
        // Accuracy has no number in the abstract; ours is that the order is right.
        verdict: match () {
            () if interval[0] > 0.0 => Verdict::Reproduced,
            () if interval[1] < 0.0 => Verdict::Contradicted,
            () => Verdict::Undecided,
        },
        details: json!({
            "typical_factor": closed_form.error(),
            "exact_curves_correlation": exact.correlation(),
            "exact_curves_typical_factor": exact.error(),
            "disagreement": DISAGREEMENT,
            "patterns": PATTERNS,
            "cases": measured.cases,
        }),
    }
}
