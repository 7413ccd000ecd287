//! Verdict on the completeness of the listing.

use serde_json::json;

use super::measure::Measured;
use crate::results::{Claim, Kind, Source, Verdict};

pub(super) fn claim(measured: &Measured) -> Claim {
    let missing = measured.missing();
    let count = missing.len() as f64;
    let complete = missing.is_empty() && measured.undefined.is_empty();
    Claim {
        id: "t0.code".into(),
        kind: Kind::Claim,
        source: Source::T0,
        statement: "The listing of section 5.2 is the complete code of the experiment: it has all that Table 1 needs."
            .into(),
        expected: "0: complete".into(),
        measured: count,
        unit: "pieces missing".into(),
        interval: [count; 2],
        n: measured.pieces.len() as u64,
        verdict: if complete { Verdict::Reproduced } else { Verdict::Contradicted },
        details: json!({ "missing": missing, "undefined": measured.undefined }),
    }
}
