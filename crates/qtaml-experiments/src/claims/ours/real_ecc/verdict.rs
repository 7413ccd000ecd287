//! Verdict on the overhead of codes.

use qtaml::fault::ecc::{Tally, capacity, least_overhead};
use serde_json::json;

use super::measure::Measured;
use super::{KEPT, WEIGHT_BITS};
use crate::results::{Claim, Kind, Source, Verdict};
use crate::workloads::reference_cell::SOURCE_P;

pub(super) fn interval(tally: &Tally) -> [f64; 2] {
    let (seen, half) = (tally.residual().bit_flips, 1.96 * tally.standard_error());
    [(seen - half).max(0.0), seen + half]
}

/// Whether what was simulated is what was computed, by five standard errors.
fn obeyed(Measured { best, tally, .. }: &Measured) -> bool {
    (tally.residual().bit_flips - best.residual).abs() <= 5.0 * tally.standard_error()
}

pub(super) fn claim(measured: &Measured) -> Claim {
    let Measured { best, tally, flips, .. } = measured;
    let flips = *flips;
    let limit = least_overhead(flips, 0.0);
    Claim {
        id: "ours.real_ecc".into(),
        kind: Kind::Claim,
        source: Source::Ours,
        statement: format!(
            "Protection is not free: at p = {SOURCE_P} a bit that is to flip no more than once in \
             a thousand reads costs several extra stored bits with a real code, and with no code \
             less than the Shannon limit."
        ),
        expected: format!("above {limit:.2} (Shannon limit)"),
        measured: best.overhead,
        unit: "bits/bit".into(),
        interval: [best.overhead; 2],
        n: tally.words(),
        // A price found with a formula that the code does not obey would be no price.
        verdict: if obeyed(measured) { Verdict::New } else { Verdict::NotReproduced },
        details: json!({
            "code": best.spec, "p": SOURCE_P, "largest_residual": KEPT,
            "residual_by_formula": best.residual,
            "residual_simulated": tally.residual().bit_flips,
            "residual_simulated_interval": interval(tally),
            "words": { "clean": tally.clean, "corrected": tally.corrected,
                "detected": tally.detected, "miscorrected": tally.miscorrected },
            "capacity_bits": capacity(flips),
            "shannon_limit_nothing_lost": limit,
            "shannon_limit_same_residual": least_overhead(flips, KEPT),
            "times_the_shannon_limit": best.overhead / limit,
            "stored_bits_per_weight": {
                "top_2_protected": WEIGHT_BITS + 2.0 * best.overhead,
                "all_8_protected": WEIGHT_BITS + 8.0 * best.overhead,
            },
        }),
    }
}
