//! Verdict on the smaller drop of Table 1.

use qtaml::physics::XI;
use serde_json::json;

use super::measure::{Measured, Summary};
use super::{SOURCE_BASELINE, SOURCE_T0};
use crate::results::{Claim, Kind, Source};
use crate::stats::judge;
use crate::workloads::regressions::{Choices, FEATURES, XI_SCALING};

pub(super) fn claim(measured: &Measured) -> Claim {
    let expected = SOURCE_T0[2] / SOURCE_BASELINE[2];
    let choices = Choices::default();
    let noise = choices.evaluation_noise[0];
    let theory = f64::from(noise).powi(2) * (1.0 + FEATURES as f64);
    Claim {
        id: "t0.table1".into(),
        kind: Kind::Claim,
        source: Source::T0,
        statement: "Training with ξ-scaled noise reduces the drop under quantization noise by \
                    51 % (Table 1: from 2.94 to 1.44)."
            .into(),
        expected: format!("{expected:.3} (51 % less)"),
        measured: measured.ratio,
        unit: "ratio".into(),
        interval: measured.interval,
        n: measured.pairs.len() as u64,
        verdict: judge(measured.interval, [expected; 2], 1.0),
        details: json!({
            "mean_drop_by_theory": theory,
            "baseline": summary(&measured.baseline),
            "t0": summary(&measured.t0),
            "share_of_seeds_where_t0_drops_less": measured.less,
            "training_noise": XI * XI_SCALING,
            "evaluation_noise": noise,
            "target_noise": choices.target_noise,
        }),
    }
}

fn summary(Summary { means: [full, noisy, drop], .. }: &Summary) -> serde_json::Value {
    json!({ "full_precision": full.value, "noisy": noisy.value, "drop": drop.value,
        "drop_deviation": drop.deviation })
}
