//! Verdict on the overhead of TAC as derived.

use serde_json::json;

use super::measure::Measured;
use crate::results::{Claim, Kind, Source};

pub(super) fn claim(measured: &Measured) -> Claim {
    let (of_net, reading) = (&measured.of_net, measured.reading);
    let (net, gain) = (of_net.net, of_net.gain);
    let [uniform, tac] = of_net.shares();
    Claim {
        id: format!("qtaml.tac.{}", net.id()),
        kind: Kind::Claim,
        source: Source::Qtaml,
        statement: format!(
            "At p = {}, TAC keeps 95 % of the clean accuracy of a network like {} with several times less \
             protection overhead than Uniform-MSP, without retraining, labels or cost at inference.",
            net.flip_probability(),
            net.title()
        ),
        expected: "3.4 to 33.6 times less".into(),
        measured: gain.value,
        unit: "ratio".into(),
        interval: gain.interval,
        n: of_net.trainings.len() as u64,
        verdict: of_net.verdict(),
        details: json!({
            "flip_probability": net.flip_probability(),
            "reading": reading.to_string(),
            "uniform_share": uniform,
            "tac_share": tac,
            "trainings": of_net.trainings,
            "patterns": of_net.patterns,
            "test_images": of_net.test_images,
        }),
    }
}
