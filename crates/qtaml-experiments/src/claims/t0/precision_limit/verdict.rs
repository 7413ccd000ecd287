//! Verdict on ξ as a limit of precision.

use serde_json::json;

use super::TOLERANCE;
use super::measure::{Measured, bits_of_xi};
use crate::results::{Claim, Kind, Source, Verdict};

/// Bits that may lie between where returns end and ξ: a width is a whole number.
const WITHIN: f64 = 1.0;

fn verdict([low, high]: [f64; 2]) -> Verdict {
    let [first, last] = [bits_of_xi() - WITHIN, bits_of_xi() + WITHIN];
    if high < first || low > last {
        Verdict::Contradicted
    } else if low >= first && high <= last {
        Verdict::Reproduced
    } else {
        Verdict::Undecided
    }
}

pub(super) fn claim(measured: &Measured) -> Claim {
    let interval = measured.enough.interval;
    Claim {
        id: "t0.precision_limit".into(),
        kind: Kind::Claim,
        source: Source::T0,
        statement: "ξ is the precision limit of networks: returns of more bits end where a step is ξ of the range."
            .into(),
        expected: format!("{:.1} bits, the logarithm of 1/ξ, within {WITHIN}", bits_of_xi()),
        measured: measured.enough.value,
        unit: "bits".into(),
        interval,
        n: measured.trainings as u64,
        verdict: verdict(interval),
        details: json!({ "tolerance_points": TOLERANCE, "networks": measured.nets }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_met_within_a_bit() {
        assert_eq!(verdict([5.0, 6.0]), Verdict::Contradicted);
        assert_eq!(verdict([12.5, 13.5]), Verdict::Reproduced);
        assert_eq!(verdict([10.0, 13.0]), Verdict::Undecided);
        assert_eq!(verdict([14.0, 15.0]), Verdict::Contradicted);
    }
}
