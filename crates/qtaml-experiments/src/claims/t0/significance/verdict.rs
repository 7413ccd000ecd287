//! Verdict on the significance of the smaller drop.

use serde_json::json;

use super::measure::Measured;
use super::{LEVEL, SOURCE_REDUCTION};
use crate::results::{Claim, Kind, Source, Verdict};
use crate::stats::Paired;

pub(super) fn claim(measured: &Measured) -> Claim {
    let Measured { paired, reduction, interval, .. } = measured;
    Claim {
        id: "t0.significance".into(),
        kind: Kind::Claim,
        source: Source::T0,
        statement:
            "The drop under noise of a layer trained with T0-QAT is smaller than that of the \
                    baseline, by 51 %."
                .into(),
        expected: format!("p < {LEVEL} for a smaller drop"),
        measured: paired.t_test,
        unit: "p-value".into(),
        interval: [paired.t_test; 2],
        n: measured.differences.len() as u64,
        verdict: verdict(paired, *interval),
        details: json!({
            "mean_difference": paired.difference,
            "difference_interval": paired.interval,
            "effect_size": paired.effect,
            "wilcoxon_p": paired.wilcoxon,
            "reduction": reduction,
            "reduction_interval": interval,
            "share_of_seeds_where_t0_drops_less": measured.less,
        }),
    }
}

/// Reproduced: significantly smaller, by as much. Contradicted: not significant, and the reduction
/// of the source lies outside what the seeds allow. Undecided: neither can be told.
fn verdict(paired: &Paired, reduction: [f64; 2]) -> Verdict {
    let smaller = paired.t_test < LEVEL && paired.difference > 0.0;
    let as_much = (reduction[0]..=reduction[1]).contains(&SOURCE_REDUCTION);
    match (smaller, as_much) {
        (true, true) => Verdict::Reproduced,
        (true, false) => Verdict::NotReproduced,
        (false, false) => Verdict::Contradicted,
        (false, true) => Verdict::Undecided,
    }
}
