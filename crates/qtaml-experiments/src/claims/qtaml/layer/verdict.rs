//! Verdict on what faults in a layer depend on.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::measure::Compared;
use super::slopes::Slopes;
use super::{ALONE, NEAR, SMALL};
use crate::results::{Claim, Kind, Source, Verdict};

pub(super) fn claim(slopes: &Slopes, sweeps: [&[Compared]; 3]) -> Result<Claim> {
    let [rare, fine, alone] = sweeps;
    let errors = rare.iter().filter(|c| c.p <= SMALL).map(Compared::relative_error);
    let (error, error_interval) =
        errors.max_by(|a, b| a.0.total_cmp(&b.0)).context("no small flip probability")?;
    let row = |c: &Compared| {
        json!({ "what": c.what, "p": c.p, "predicted": c.predicted, "sampled": c.sampled.value,
            "ratio": c.ratio().0, "interval": c.ratio().1 })
    };
    let rows = |rows: &[Compared]| rows.iter().map(row).collect::<Vec<_>>();
    let Slopes { largest, jacobian, correlation, layers } = slopes;
    let depends = |interval: [f64; 2]| interval[0] > 0.0;
    Ok(Claim {
        id: "qtaml.layer".into(),
        kind: Kind::Claim,
        source: Source::Qtaml,
        statement: "What faults in a layer do to the output depends on its largest weight and on its Jacobian."
            .into(),
        expected: "a slope above 0; 1 by the first-order model".into(),
        measured: largest.value,
        unit: "slope over the square of the largest weight".into(),
        interval: largest.interval,
        n: layers.len() as u64,
        verdict: match [depends(largest.interval), depends(jacobian.interval)] {
            [true, true] => Verdict::Reproduced,
            _ if largest.interval[1] < 0.0 || jacobian.interval[1] < 0.0 => Verdict::Contradicted,
            _ => Verdict::Undecided,
        },
        details: json!({
            "p": ALONE,
            "slope_over_jacobian": jacobian,
            "correlation": correlation,
            "first_order_error": { "value": error, "interval": error_interval, "up_to_p": SMALL,
                "near": rare.iter().filter(|c| c.p <= SMALL).all(Compared::is_near),
                "counted_as_near": NEAR },
            "all_bits": rows(rare),
            "top_bits_protected": rows(fine),
            "one_layer": rows(alone),
        }),
    })
}
