//! Verdict on the forecast of the gain.

use anyhow::Result;
use serde_json::json;

use super::measure::{Case, Forecast};
use super::present::{figure, method, table};
use super::{DISAGREEMENT, PATTERNS};
use crate::context::Context;
use crate::results::{Claim, Outcome, Source, Verdict};
use crate::stats::bootstrap;
use crate::workloads::networks::Net;

pub(super) fn outcome(context: &Context, cases: &[Case]) -> Result<Outcome> {
    let exact = Forecast::new(cases, |case| Some(case.exact_curves));
    let closed_form = Forecast::new(cases, |case| case.closed_form);
    // Cases of one network are alike: whole networks are drawn again.
    let interval = bootstrap(Net::ALL.len(), 2000, context.seed, |drawn| {
        let of_net = |&net: &usize| closed_form.of(Net::ALL[net]);
        Ok(Forecast(drawn.iter().flat_map(of_net).collect()).correlation())
    })?;
    let claim = Claim {
        id: "qtaml.rho".into(),
        source: Source::Qtaml,
        statement:
            "A closed-form saturation ratio ρ*, computed before any simulation, forecasts by \
                    how much TAC needs less than Uniform-MSP."
                .into(),
        expected: "accurate forecasts, here: in order".into(),
        measured: closed_form.correlation(),
        unit: "rank correlation".into(),
        interval,
        n: Net::ALL.len() as u64,
        // Accuracy has no number in the abstract; ours is that the order is right.
        verdict: match () {
            () if interval[0] > 0.0 => Verdict::Reproduced,
            () if interval[1] < 0.0 => Verdict::Contradicted,
            () => Verdict::NotReproduced,
        },
        details: json!({
            "typical_factor": closed_form.error(),
            "exact_curves_correlation": exact.correlation(),
            "exact_curves_typical_factor": exact.error(),
            "disagreement": DISAGREEMENT,
            "patterns": PATTERNS,
            "cases": cases,
        }),
    };
    Ok(Outcome {
        claims: vec![claim],
        method: method(&closed_form, &exact),
        figures: vec![figure(cases)],
        tables: vec![table(cases)],
    })
}
