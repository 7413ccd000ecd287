//! Verdict on ξ-scaled noise beside quantization-aware training.

use anyhow::Result;
use serde_json::json;

use super::measure::Measured;
use super::{CLEAN, JUDGED};
use crate::results::{Claim, Kind, Source};
use crate::stats::judge;
use crate::workloads::qat_nets::TRAINING_FLIPS;

pub(super) fn claim(measured: &Measured) -> Result<Claim> {
    let Measured { names, networks, gain, .. } = measured;
    let mut accuracies = serde_json::Map::new();
    for &name in names {
        let of = |setting| networks.percent(name, setting);
        let [clean, faulty] = [of(CLEAN)?.value, of(JUDGED)?.value];
        accuracies.insert(name.into(), json!({ "clean": clean, "faulty": faulty }));
    }
    Ok(Claim {
        id: "t0.sota".into(),
        kind: Kind::Claim,
        source: Source::T0,
        statement: format!(
            "Training with ξ-scaled noise makes a network more robust than standard \
             quantization-aware training: INT4 weights, bit errors at p = {TRAINING_FLIPS}."
        ),
        expected: "above 0: more accuracy than STE".into(),
        measured: gain.difference,
        unit: "points".into(),
        interval: gain.interval,
        n: networks.seeds as u64,
        verdict: judge(gain.interval, [f64::MIN_POSITIVE, f64::INFINITY], 0.0),
        details: json!({
            "t_test_p": gain.t_test,
            "wilcoxon_p": gain.wilcoxon,
            "matched_scaling": measured.matched.scaling,
            "best_method": measured.best,
            "accuracy_percent": accuracies,
        }),
    })
}
