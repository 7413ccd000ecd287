//! Verdict on co-design.

use serde_json::json;

use super::measure::Measured;
use super::{OXIDE_NM, PROTECTED, YEARS};
use crate::results::{Claim, Kind, Source};
use crate::stats::judge;

pub(super) fn claim(measured: &Measured) -> Claim {
    Claim {
        id: "qtaml.codesign".into(),
        kind: Kind::Claim,
        source: Source::Qtaml,
        statement: format!(
            "Noise-resilient networks and protection where it counts allow for a thinner oxide: {YEARS} years with \
             95 % of clean accuracy and {:.0} % of all bits protected, against none.",
            100.0 * PROTECTED
        ),
        expected: "thinner than without".into(),
        measured: measured.saved_nm.value,
        unit: "nm".into(),
        interval: measured.saved_nm.interval,
        n: measured.nets.len() as u64,
        verdict: judge(measured.saved_nm.interval, [f64::MIN_POSITIVE, f64::INFINITY], 0.0),
        details: json!({
            "years": YEARS,
            "oxide_nm": OXIDE_NM,
            "protected": PROTECTED,
            "patterns": measured.patterns,
            "networks": measured.nets,
        }),
    }
}
