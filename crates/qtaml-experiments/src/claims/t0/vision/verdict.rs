//! Verdict on noise in the training of image classifiers.

use serde_json::json;

use super::measure::{AGAINST, Measured};
use crate::results::{Claim, Kind, Source};
use crate::stats::judge;

pub(super) fn claim(measured: &Measured) -> Claim {
    let Measured { net, gains, published, strengths, .. } = measured;
    let comparator = measured.comparator();
    let gain = gains[comparator];
    let against = AGAINST.into_iter().zip(gains).map(|(name, gain)| {
        (name.to_owned(), json!({ "points": gain.value, "interval": gain.interval }))
    });
    Claim {
        id: measured.id(),
        kind: Kind::Claim,
        source: Source::T0,
        statement: format!(
            "With ξ-scaled noise in training, a network like {} keeps more of its accuracy at INT4, INT3 and INT2 \
             than with standard quantization-aware training.",
            net.title()
        ),
        expected: "above 0: more than the better of STE and Gaussian noise".into(),
        measured: gain.value,
        unit: "points".into(),
        interval: gain.interval,
        n: measured.networks.seeds as u64,
        verdict: judge(gain.interval, [f64::MIN_POSITIVE, f64::INFINITY], 0.0),
        details: json!({
            "comparator": AGAINST[comparator],
            "over": against.collect::<serde_json::Map<_, _>>(),
            "as_published_over_plain": { "points": published.value, "interval": published.interval },
            "strengths": { "scaled": strengths[0], "gaussian": strengths[1] },
            "width_by_width": measured.tests,
        }),
    }
}
