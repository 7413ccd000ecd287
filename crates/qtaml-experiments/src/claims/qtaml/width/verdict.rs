//! Verdict on the width of networks.

use serde_json::json;

use super::measure::Measured;
use crate::bench::reading::Reading;
use crate::results::{Claim, Kind, Source, Verdict};

pub(super) fn claim(measured: &Measured) -> Claim {
    let nets = measured.nets.iter().map(|of_net| {
        json!({ "network": of_net.net.id(), "gain": of_net.gain.value, "interval": of_net.gain.interval })
    });
    Claim {
        id: "qtaml.width".into(),
        kind: Kind::Claim,
        source: Source::Ours,
        statement: "The gain of TAC as derived over Uniform-MSP grows with the width of a network: few weights lie \
                    in small layers, and those are what is protected."
            .into(),
        expected: "a gain of 1024 units over that of 64, above 1".into(),
        measured: measured.growth.value,
        unit: "ratio of gains".into(),
        interval: measured.growth.interval,
        n: measured.nets.first().map_or(0, |of_net| of_net.trainings.len()) as u64,
        verdict: Verdict::New,
        details: json!({ "reading": Reading::FIXED.to_string(), "networks": nets.collect::<Vec<_>>() }),
    }
}
