//! Verdict on the storage that a network needs.

use std::collections::BTreeMap;

use serde_json::json;

use super::measure::Measured;
use super::needed::Needed;
use crate::results::{Claim, Kind, Source, Verdict};
use crate::workloads::networks::Net;

/// Stored bits per weight that should be enough.
const fn goal(net: Net) -> f64 {
    match net {
        // Small and depthwise: few weights, and each counts.
        Net::MobileNet => 12.0,
        _ => 8.0,
    }
}

pub(super) fn claim(measured: &Measured) -> Claim {
    let Measured { net, clean, needed, hardened, sweep, .. } = measured;
    let (goal, codec) = (goal(*net), measured.codec());
    let detail = |needed: &Needed| {
        json!({ "scheme": needed.scheme.to_string(), "p": needed.p, "leakage": needed.leakage,
            "bits_per_weight": needed.bits, "missed": needed.missed,
            "fresh_accuracy": needed.fresh, "patterns": needed.patterns })
    };
    Claim {
        id: format!("ours.codec.{}", net.id()),
        kind: Kind::Claim,
        source: Source::Ours,
        statement: format!(
            "{goal:.0} stored bits per weight on average, everything included, are enough for {} to \
             keep 95 % of its clean accuracy at p = {}, with no bit protected ideally.",
            net.title(),
            codec.p
        ),
        expected: format!("at most {goal:.0} (a goal of ours)"),
        measured: measured.bits,
        unit: "bits/weight".into(),
        interval: measured.interval,
        n: u64::from(codec.patterns),
        verdict: Verdict::New,
        details: json!({
            "clean_accuracy": clean,
            "weights": measured.weights,
            "goal_met": !codec.missed && measured.bits <= goal,
            "needed": needed.iter().map(detail).collect::<Vec<_>>(),
            "trained_with_bit_errors": {
                "clean_accuracy": hardened.clean,
                "needed": hardened.needed.iter().map(detail).collect::<Vec<_>>(),
            },
            "falls_at": sweep.falls(*clean).into_iter().collect::<BTreeMap<_, _>>(),
        }),
    }
}
