//! Verdict on noise in the training of image classifiers.

use serde_json::json;

use super::measure::Measured;
use crate::results::{Claim, Source};
use crate::stats::judge;

pub(super) fn claim(measured: &Measured) -> Claim {
    let Measured { net, gain, published, ste, .. } = measured;
    Claim {
        id: measured.id(),
        source: Source::T0,
        statement: format!(
            "With ξ-scaled noise in training, a network like {} keeps more of its accuracy at INT4, \
             INT3 and INT2.",
            net.title()
        ),
        expected: "above 0: more than plain training keeps".into(),
        measured: gain.value,
        unit: "points".into(),
        interval: gain.interval,
        n: measured.networks.seeds as u64,
        verdict: judge(gain.interval, [f64::MIN_POSITIVE, f64::INFINITY], 0.0),
        details: json!({
            "matched_scaling": measured.matched.scaling,
            "as_published": published.value,
            "as_published_interval": published.interval,
            "straight_through": ste.value,
            "straight_through_interval": ste.interval,
        }),
    }
}
