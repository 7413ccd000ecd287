//! Verdict on the least storage.

use serde_json::json;

use super::measure::{Measured, Tried};
use crate::results::{Claim, Kind, Source, Verdict};

pub(super) fn claim(measured: &Measured) -> Claim {
    let (net, best, raw) = (measured.net, measured.best(), measured.raw());
    let scheme = |tried: &Tried| {
        let found = json!({ "bits_per_weight": tried.bits, "missed": tried.missed,
            "patterns": tried.patterns, "fresh_accuracy": tried.fresh });
        (tried.scheme.clone(), found)
    };
    Claim {
        id: format!("ours.bayes.{}", net.id()),
        kind: Kind::Claim,
        source: Source::Ours,
        statement: format!(
            "Stored bits per weight, check bits, scales and tables included, that keep 95 % of the \
             clean accuracy of {} at p = {} with Bayes decoding and repeated bits.",
            net.title(),
            net.flip_probability()
        ),
        expected: "fewer than with raw decoding".into(),
        measured: measured.bits,
        unit: "bits/weight".into(),
        interval: measured.interval,
        n: u64::from(measured.patterns),
        verdict: Verdict::New,
        details: json!({
            "clean_accuracy": measured.clean,
            "missed": best.missed,
            "raw": raw.bits,
            "raw_best": raw.scheme,
            "best": best.scheme,
            "one_way": measured.one_way,
            "schemes": measured.tried.iter().map(scheme).collect::<serde_json::Map<_, _>>(),
        }),
    }
}
