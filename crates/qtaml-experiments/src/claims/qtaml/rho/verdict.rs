//! Verdict on the forecast of the gain.

use serde_json::json;

use super::forecast::{Candidate, correlation_within, of_candidate, of_constant};
use super::measure::Measured;
use super::{DISAGREEMENT, PATTERNS};
use crate::results::{Claim, Kind, Source};
use crate::stats::judge;

pub(super) fn claim(measured: &Measured) -> Claim {
    let all = measured.all();
    let candidates = Candidate::ALL.into_iter().map(|candidate| {
        let (of, constant) = (of_candidate(&all, candidate), of_constant(&all, candidate));
        let found = json!({
            "cases": of.count(),
            "typical_factor": of.error(),
            "constant_typical_factor": constant.error(),
            "correlation_within": correlation_within(&all, candidate),
        });
        (candidate.label().to_owned(), found)
    });
    let candidates: serde_json::Map<_, _> = candidates.collect();
    Claim {
        id: "qtaml.rho".into(),
        kind: Kind::Claim,
        source: Source::Qtaml,
        statement: "A closed-form saturation ratio ρ*, computed before any simulation, forecasts by how much \
                    TAC needs less than Uniform-MSP, better than a constant does."
            .into(),
        expected: "accurate forecasts, here: an error below that of a constant".into(),
        measured: measured.over_constant,
        unit: "error over that of a constant".into(),
        interval: measured.interval,
        n: measured.nets as u64,
        // Accuracy has no number in the abstract; ours is that a forecast beats none.
        verdict: judge(measured.interval, [0.0, 1.0 - f64::EPSILON], 1.0),
        details: json!({
            "best": measured.best.map(Candidate::label),
            "correlation_within": measured.within,
            "correlation_within_interval": measured.within_interval,
            "candidates": candidates,
            "disagreement": DISAGREEMENT,
            "patterns": PATTERNS,
            "cases": measured.cases,
        }),
    }
}
