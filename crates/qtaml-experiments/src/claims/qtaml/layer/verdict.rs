//! Verdict on the first-order model.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::measure::Compared;
use super::{NEAR, SMALL};
use crate::results::{Claim, Source, Verdict};

pub(super) fn claim(
    rare: &[Compared],
    fine: &[Compared],
    alone: &[Compared],
    patterns: u32,
) -> Result<Claim> {
    let errors = rare.iter().filter(|c| c.p <= SMALL).map(Compared::relative_error);
    let (measured, interval) =
        errors.max_by(|a, b| a.0.total_cmp(&b.0)).context("no small flip probability")?;
    let row = |c: &Compared| {
        json!({ "what": c.what, "p": c.p, "predicted": c.predicted, "sampled": c.sampled.value,
            "ratio": c.ratio().0, "interval": c.ratio().1 })
    };
    let rows = |rows: &[Compared]| rows.iter().map(row).collect::<Vec<_>>();
    Ok(Claim {
        id: "qtaml.layer".into(),
        source: Source::Qtaml,
        statement: "How much the output of a network varies depends on each layer through its \
                    largest weight and its Jacobian: Var f = Σ_l Var_l ‖J_l‖², to first order."
            .into(),
        expected: format!("within {} % for small p (bound ours)", 100.0 * NEAR),
        measured,
        unit: "relative error".into(),
        interval,
        n: u64::from(patterns),
        verdict: if rare.iter().filter(|c| c.p <= SMALL).all(Compared::is_near) {
            Verdict::Reproduced
        } else {
            Verdict::NotReproduced
        },
        details: json!({ "all_bits": rows(rare), "top_bits_protected": rows(fine),
            "one_layer": rows(alone) }),
    })
}
