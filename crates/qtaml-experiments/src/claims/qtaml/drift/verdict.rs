//! Verdict on the drift of the mean.

use qtaml::fault::largest_z;
use serde_json::json;

use super::measure::Measured;
use crate::results::{Claim, Kind, Source, Verdict};
use crate::workloads::sampled_channel::{FALSE_ALARM, largest, tests};

/// The largest `|z|` that a correct injector may have.
pub(super) fn bound(measured: &Measured) -> f64 {
    largest_z(tests(&measured.cases), FALSE_ALARM)
}

pub(super) fn claim(measured: &Measured) -> Claim {
    let (largest, bound) = (largest(&measured.cases), bound(measured));
    Claim {
        id: "qtaml.drift".into(),
        kind: Kind::Consistency,
        source: Source::Qtaml,
        statement: "The mean weight error under bit flips is affine in the weight: \
                    E[ΔW] = −2pW − pΔ for two's-complement codes, exactly."
            .into(),
        expected: format!("exact: no |z| above {bound:.2}"),
        measured: largest,
        unit: "largest |z|".into(),
        interval: [largest; 2],
        n: measured.reads,
        verdict: if largest <= bound { Verdict::Reproduced } else { Verdict::Contradicted },
        details: json!({ "tests": tests(&measured.cases), "bound": bound,
            "false_alarm_rate": FALSE_ALARM }),
    }
}
