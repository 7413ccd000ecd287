//! Verdict on the hierarchy of the variance.

use qtaml::fault::largest_z;
use serde_json::json;

use super::measure::Measured;
use crate::results::{Claim, Kind, Source, Verdict};
use crate::workloads::sampled_channel::FALSE_ALARM;

/// The largest `|z|` that a correct injector may have.
pub(super) fn bound(measured: &Measured) -> f64 {
    largest_z(measured.tests(), FALSE_ALARM)
}

pub(super) fn claim(measured: &Measured) -> Claim {
    let (largest, bound) = (measured.largest(), bound(measured));
    Claim {
        id: "qtaml.variance".into(),
        kind: Kind::Consistency,
        source: Source::Qtaml,
        statement: "The variance of a faulty weight is a hierarchy led by the most significant \
                    bit: bit i contributes 4ⁱ p(1−p), the top bit about three quarters of all."
            .into(),
        expected: format!("exact: no |z| above {bound:.2}"),
        measured: largest,
        unit: "largest |z|".into(),
        interval: [largest; 2],
        n: measured.reads,
        verdict: if largest <= bound { Verdict::Reproduced } else { Verdict::Contradicted },
        details: json!({
            "tests": measured.tests(), "bound": bound, "false_alarm_rate": FALSE_ALARM,
            "top_bit_share": measured.top_bit_share(),
        }),
    }
}
