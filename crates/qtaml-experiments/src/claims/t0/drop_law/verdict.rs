//! Verdict on what noise costs a linear layer.

use qtaml::fault::largest_z;
use serde_json::json;

use super::FALSE_ALARM;
use super::measure::Case;
use crate::results::{Claim, Kind, Source, Verdict};

pub(super) fn claim(cases: &[Case]) -> Claim {
    let bound = largest_z(cases.len(), FALSE_ALARM);
    let largest = cases.iter().map(|case| case.z().abs()).fold(0.0, f64::max);
    let n = cases.iter().map(|case| case.n).sum::<usize>() as u64;
    Claim {
        id: "t0.drop_law".into(),
        kind: Kind::Consistency,
        source: Source::Ours,
        statement: "For a linear layer, normal noise of standard deviation σ on weights and bias \
                    costs σ²(1 + E||x||²) in the mean, whatever its weights: no training changes it."
            .into(),
        expected: format!("largest |z| below {bound:.2}"),
        measured: largest,
        unit: "standard errors".into(),
        interval: [largest; 2],
        n,
        verdict: if largest < bound { Verdict::Reproduced } else { Verdict::Contradicted },
        details: json!({ "bound": bound, "false_alarm": FALSE_ALARM, "cases": cases.len() }),
    }
}
