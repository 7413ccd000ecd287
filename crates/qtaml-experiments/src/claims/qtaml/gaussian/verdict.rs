//! Verdict on the structure of faults.

use serde_json::json;

use super::MARGIN;
use super::measure::Measured;
use crate::results::{Claim, Kind, Source, Verdict};

/// Whether the interval lies beyond the margin, within it, or across.
fn verdict([low, high]: [f64; 2]) -> Verdict {
    if low > MARGIN || high < -MARGIN {
        Verdict::Reproduced
    } else if low > -MARGIN && high < MARGIN {
        Verdict::Contradicted
    } else {
        Verdict::Undecided
    }
}

pub(super) fn claim(measured: &Measured) -> Claim {
    let interval = measured.difference.interval;
    Claim {
        id: "qtaml.gaussian".into(),
        kind: Kind::Claim,
        source: Source::Qtaml,
        statement: "Faults have a structure that Gaussian noise models fail to capture: accuracy under flipped \
                    bits differs from that under normal noise of the same mean and variance for every code."
            .into(),
        expected: format!("a difference, here: of more than {MARGIN} point"),
        measured: measured.difference.value,
        unit: "points".into(),
        interval,
        n: measured.look.trainings as u64,
        verdict: verdict(interval),
        details: json!({
            "margin": MARGIN,
            "patterns": measured.patterns,
            "rows": measured.rows,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_one_beyond_the_margin() {
        assert_eq!(verdict([1.1, 3.0]), Verdict::Reproduced);
        assert_eq!(verdict([-3.0, -1.1]), Verdict::Reproduced);
        assert_eq!(verdict([-0.5, 0.9]), Verdict::Contradicted);
        assert_eq!(verdict([0.5, 1.5]), Verdict::Undecided);
        assert_eq!(verdict([-2.0, 2.0]), Verdict::Undecided);
    }
}
