//! Verdict on the readings of the source.

use serde_json::json;

use super::SOURCE;
use super::measure::Measured;
use crate::bench::reading::Reading;
use crate::results::{Claim, Kind, Source};
use crate::stats::judge;

pub(super) fn claim(measured: &Measured) -> Claim {
    let interval = measured.interval();
    let in_range = measured.readings.iter().filter(|tried| tried.is_in_range());
    let in_range: Vec<String> = in_range.map(|tried| tried.reading.to_string()).collect();
    Claim {
        id: "qtaml.reading".into(),
        kind: Kind::Claim,
        source: Source::Qtaml,
        statement:
            "There is a reading of the source in which TAC as derived keeps 95 % of clean accuracy \
                    with 3.4 to 33.6 times less than Uniform-MSP on all five networks."
                .into(),
        expected: "3.4 to 33.6 times less on the network that gains least".into(),
        measured: measured.least(),
        unit: "ratio".into(),
        interval,
        n: measured.judged.first().map_or(0, |of_net| of_net.trainings.len() as u64),
        // More than the source's best would not speak against it.
        verdict: judge(interval, [SOURCE[0], f64::INFINITY], 1.0),
        details: json!({
            "reading": measured.best().reading.to_string(),
            "readings": measured.readings.len(),
            "readings_in_range": in_range,
            "fixed": Reading::FIXED.to_string(),
            "judged": measured.judged,
        }),
    }
}
