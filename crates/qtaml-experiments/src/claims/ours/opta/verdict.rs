//! Verdict on the distance to Shannon's bound.

use serde_json::json;

use super::measure::{Measured, decibels};
use super::{BITS, P, WEIGHTS};
use crate::results::{Claim, Kind, Source, Verdict};

pub(super) fn claim(measured: &Measured) -> Claim {
    let Measured { distance, survey, .. } = measured;
    let words = survey.iter().find(|point| (point.p, point.bits) == (P, BITS));
    Claim {
        id: "ours.opta".into(),
        kind: Kind::Claim,
        source: Source::Ours,
        statement: format!(
            "Normal weights can be stored in {BITS} bits each in a memory that flips one bit in \
             ten with an error a few decibels above the least that any code can reach."
        ),
        expected: "above 0 dB (Shannon's bound)".into(),
        measured: distance.above.value,
        unit: "dB".into(),
        interval: distance.above.interval,
        n: distance.draws as u64,
        verdict: Verdict::New,
        details: json!({
            "p": P, "stored_bits_per_weight": BITS, "weights_a_draw": WEIGHTS,
            "draws_with_a_lost_block": distance.lost,
            "words_above_bound_db": words.map(|point| decibels(point.words / point.bound)),
        }),
    }
}
