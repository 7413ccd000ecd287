//! Verdict on the overhead of TAC with all that is ours.

use serde_json::json;

use super::measure::Measured;
use crate::results::{Claim, Kind, Source, Verdict};

pub(super) fn claim(measured: &Measured) -> Claim {
    let (net, gain) = (measured.net, &measured.gain);
    Claim {
        id: format!("ours.tac.{}", net.id()),
        kind: Kind::Claim,
        source: Source::Ours,
        statement: format!(
            "At p = {}, the best scheme of ours keeps 95 % of the clean accuracy of this {} with less \
             protection than Uniform-MSP with the same decoder, range and repairs.",
            net.flip_probability(),
            net.title()
        ),
        expected: "more than 1 time less".into(),
        measured: gain.interpolated,
        unit: "ratio".into(),
        interval: gain.interpolated_interval.ends(),
        n: u64::from(measured.patterns),
        verdict: Verdict::New,
        details: details(measured),
    }
}

fn details(measured: &Measured) -> serde_json::Value {
    let plain = &measured.gain_over_plain;
    json!({
        "flip_probability": measured.net.flip_probability(),
        "accuracy_on_all_test_images": measured.whole,
        "all_test_images": measured.all_images,
        "float_accuracy": measured.float,
        "clean_accuracy": measured.clean,
        "test_images": measured.test_images,
        "weights": measured.weights,
        "best": measured.best().scheme.to_string(),
        "same_decoder": measured.alike().scheme.to_string(),
        "over_plain_uniform": plain.interpolated,
        "over_plain_uniform_interval": plain.interpolated_interval.ends(),
        "by_steps": measured.gain.ratio,
        "recalibration": measured.recalibrated,
        "schemes": schemes(measured),
    })
}

fn schemes(measured: &Measured) -> serde_json::Map<String, serde_json::Value> {
    let schemes = measured.tried.iter().map(|tried| {
        let found = json!({
            "overhead": tried.overhead(),
            "ratio": measured.ratio_of(tried),
            "side_overhead": tried.side_overhead(measured.baseline()),
            "overhead_with_side": tried.overhead_with_side(measured.baseline()),
            "unprotected": tried.unprotected,
            "kept": tried.kept(),
            "devices_above": tried.search().devices_above(),
            "patterns": tried.search().patterns.count,
            "missed": tried.search().missed,
        });
        (tried.scheme.to_string(), found)
    });
    schemes.collect()
}
