//! Verdict on the score of Jacobian and range.

use serde_json::json;

use super::measure::Measured;
use super::{BUDGETS, SOURCE_POINTS};
use crate::results::{Claim, Source, Verdict};

pub(super) fn claim(measured: &Measured) -> Claim {
    let gap = &measured.gap;
    let [low, high] = gap.paired.interval.map(|bound| 100.0 * bound);
    let points = 100.0 * gap.paired.difference;
    Claim {
        id: format!("qtaml.score.{}", measured.net.id()),
        source: Source::Qtaml,
        statement: format!(
            "At small budgets, allocation by the WKB-derived score keeps up to 24 points more \
             accuracy than allocation by magnitude, on a network like {}.",
            measured.net.title()
        ),
        expected: format!("up to {SOURCE_POINTS} points more"),
        measured: points,
        unit: "points".into(),
        interval: [low, high],
        n: u64::from(measured.patterns),
        // The source gives its largest gap over several networks; here the sign is judged.
        verdict: match () {
            () if low > 0.0 => Verdict::Reproduced,
            () if high < 0.0 => Verdict::Contradicted,
            () => Verdict::Undecided,
        },
        details: json!({
            "flip_probability": measured.net.flip_probability(),
            "clean_accuracy": measured.clean,
            "budget": BUDGETS[gap.budget],
            "against": measured.curves[gap.against].score,
            "mean_gap": 100.0 * gap.along.everywhere,
            "smallest_gap": 100.0 * gap.along.smallest.0,
            "smallest_gap_at": BUDGETS[gap.along.smallest.1],
            "paired_t_p": gap.paired.t_test,
            "wilcoxon_p": gap.paired.wilcoxon,
        }),
    }
}
