//! Verdict on noise as a regulariser.

use serde_json::json;

use super::measure::Measured;
use super::{LEVEL, SCALINGS, SETTINGS, SOURCE_RATIO};
use crate::results::{Claim, Kind, Source};
use crate::stats::judge;

/// Scalings whose gain in a setting is more than luck, those that help and those that hurt.
pub(super) fn significant(measured: &Measured, setting: usize) -> [Vec<f64>; 2] {
    [1.0, -1.0].map(|sign| {
        let gains = measured.gains[setting].iter().zip(&SCALINGS[1..]);
        let with_sign = gains.filter(|((gain, p), _)| *p < LEVEL && sign * gain.difference > 0.0);
        with_sign.map(|(_, (scaling, _))| *scaling).collect()
    })
}

pub(super) fn claim(measured: &Measured) -> Claim {
    let significant = SETTINGS.iter().enumerate().map(|(setting, (name, _))| {
        let [helps, hurts] = significant(measured, setting);
        ((*name).to_owned(), json!({ "helps": helps, "hurts": hurts }))
    });
    let neighbours = &measured.over_neighbours;
    let interval = measured.over_none.interval;
    Claim {
        id: "t0.noise_sweep".into(),
        kind: Kind::Claim,
        source: Source::T0,
        statement: "On the source's task, noise ξ·80000 in training is an effective \
                    regulariser: it makes a layer better under noise than none."
            .into(),
        expected: "below 1: less loss under noise than without".into(),
        measured: measured.over_none.value,
        unit: "ratio".into(),
        interval,
        n: measured.tasks as u64,
        verdict: judge(interval, [0.0, 1.0 - f64::EPSILON], 1.0),
        details: json!({
            "source_ratio": SOURCE_RATIO,
            "loss_over_mean_of_60000_and_100000": neighbours.value,
            "loss_over_mean_of_60000_and_100000_interval": neighbours.interval,
            "lenet_significant_scalings": significant.collect::<serde_json::Map<_, _>>(),
        }),
    }
}
