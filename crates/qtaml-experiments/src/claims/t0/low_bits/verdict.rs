//! Verdict on lower bits.

use serde_json::json;

use super::LOWER;
use super::measure::Measured;
use crate::results::{Claim, Kind, Source};
use crate::stats::judge;
use crate::workloads::qat_nets::AS_PUBLISHED;

pub(super) fn claim(measured: &Measured) -> Claim {
    let [published, matched] = measured.ignored;
    Claim {
        id: "t0.low_bits".into(),
        kind: Kind::Claim,
        source: Source::T0,
        statement: "Models trained with ξ-aware noise learn to ignore precision variations in lower bits: random \
                    bits there cost them less than plain training."
            .into(),
        expected: "above 0: less is lost".into(),
        measured: matched.value,
        unit: "points".into(),
        interval: matched.interval,
        n: measured.networks.seeds as u64,
        // Networks at chance have nothing to lose: noise as published is no evidence either way.
        verdict: judge(matched.interval, [f64::MIN_POSITIVE, f64::INFINITY], 0.0),
        details: json!({
            "lower_bits": LOWER,
            (AS_PUBLISHED): { "points": published.value, "interval": published.interval },
        }),
    }
}
