//! `ours.opta`: the distance of weight storages to Shannon's bound.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{
    distance_figure, load_table, method, mismatch_figure, rate_figure, survey_table,
};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// Where the claim is measured.
const P: f64 = 0.1;
const BITS: u32 = 8;
/// Flip probabilities and stored bits per weight of the survey.
const SWEEP: [f64; 6] = [1e-3, 0.01, 0.03, 0.05, 0.1, 0.2];
const RATES: [u32; 5] = [1, 2, 4, 6, 8];
/// Rates that are drawn over flip probabilities.
const DRAWN: [u32; 3] = [2, 4, 8];
/// Weights of a sequence: several of the longest blocks at 8 bits.
const WEIGHTS: usize = 1 << 15;
/// Independent draws of the weights behind the claim.
const DRAWS: usize = 8;
/// Memories that codes are made for, in the figure on wrong guesses.
const GUESSES: [f64; 4] = [1e-3, 0.01, 0.05, 0.1];
/// Memories that sequences for [`P`] are tried in, and the blocks of one each.
const CLIFF: [f64; 10] = [1e-3, 0.01, 0.05, 0.09, 0.1, 0.105, 0.11, 0.12, 0.14, 0.2];
const CLIFF_BLOCKS: usize = 16;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(),
        figures: vec![
            distance_figure(&measured.survey),
            rate_figure(&measured),
            mismatch_figure(&measured),
        ],
        tables: vec![survey_table(&measured.survey)],
        timings: vec![load_table(&measured.loads)],
    })
}

#[cfg(test)]
mod tests {
    use qtaml::fault::Seed;

    use super::measure::{bound, decibels, normal};

    /// Half of the capacity of a perfect memory is at p = 0.110028.
    #[test]
    fn the_bound_is_six_decibels_for_each_bit_that_arrives() {
        assert!((decibels(bound(0.0, 3).unwrap()) + 3.0 * 6.0206).abs() < 1e-3);
        assert!((decibels(bound(0.110_028, 8).unwrap()) + 4.0 * 6.0206).abs() < 1e-3);
    }

    #[test]
    fn drawn_weights_are_normal() {
        let weights = normal(Seed(3), 0, 1 << 14);
        let moment = |k: i32| {
            weights.iter().map(|w| f64::from(*w).powi(k)).sum::<f64>() / weights.len() as f64
        };
        // Within six standard errors: 1, √2 and √96 over the root of their number.
        let error = 6.0 / 128.0;
        assert!(moment(1).abs() < error);
        assert!((moment(2) - 1.0).abs() < error * 2_f64.sqrt());
        assert!((moment(4) - 3.0).abs() < error * 96_f64.sqrt());
    }
}
