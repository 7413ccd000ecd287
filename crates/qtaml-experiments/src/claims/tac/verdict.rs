//! Verdict on the overhead of TAC.

use serde_json::json;

use super::SOURCE_LEAST;
use super::measure::{Gain, Measured};
use crate::bench::TARGET;
use crate::results::{Claim, Source, Verdict};
use crate::stats::judge;

/// What the source's range says of it. More than the source's best would not speak against it.
pub(super) fn verdict(gain: &Gain) -> Verdict {
    judge(gain.interval, [SOURCE_LEAST, f64::INFINITY], 1.0)
}

pub(super) fn claim(measured: &Measured) -> Claim {
    let (net, gain) = (measured.net, &measured.gain);
    let p = net.flip_probability();
    Claim {
        id: format!("qtaml.tac.{}", net.id()),
        source: Source::Qtaml,
        statement: format!(
            "At p = {p}, TAC keeps 95 % of the clean accuracy of a network like {} with several \
             times less protection overhead than Uniform-MSP, without retraining, labels or cost at \
             inference.",
            net.title()
        ),
        expected: "3.4 to 33.6 times less".into(),
        measured: gain.ratio,
        unit: "ratio".into(),
        interval: gain.interval,
        n: u64::from(measured.patterns),
        verdict: verdict(gain),
        details: details(measured),
    }
}

fn details(measured: &Measured) -> serde_json::Value {
    let (derived, allocation) = (&measured.derived_gain, &measured.allocation_gain);
    json!({
        "flip_probability": measured.net.flip_probability(),
        "accuracy_on_all_test_images": measured.whole,
        "all_test_images": measured.all_images,
        "float_accuracy": measured.float,
        "clean_accuracy": measured.clean,
        "target_accuracy": TARGET * measured.clean,
        "test_images": measured.test_images,
        "weights": measured.weights,
        "best": measured.best().scheme.to_string(),
        "as_derived": derived.ratio,
        "as_derived_interval": derived.interval,
        "as_derived_verdict": verdict(derived),
        "same_decoder": measured.alike().scheme.to_string(),
        "over_same_decoder": allocation.ratio,
        "over_same_decoder_interval": allocation.interval,
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
            "fresh_accuracy": tried.search().fresh.value,
            "patterns": tried.search().patterns.count,
            "missed": tried.search().missed,
        });
        (tried.scheme.to_string(), found)
    });
    schemes.collect()
}
