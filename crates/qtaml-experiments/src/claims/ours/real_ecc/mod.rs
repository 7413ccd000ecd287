//! `ours.real_ecc`: the overhead of a real code beside that of ideal protection.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{method, price_figure, sweep_figure, table, tallies, weight_figure};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

/// What is shown of each kind, from the cheapest to the strongest.
const CODES: [&str; 10] = [
    "parity:8",
    "secded:64",
    "secded:8",
    "bch:6:5",
    "bch:7:10",
    "repetition:3",
    "bch:4:2",
    "bch:8:42",
    "repetition:5",
    "repetition:9",
];

/// Raw flip probabilities.
const SWEEP: [f64; 9] = [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.05, 0.1, 0.2];
/// Those that the table shows.
const IN_TABLE: [f64; 5] = [1e-4, 1e-3, 0.01, 0.1, 0.2];
/// Stored bits that each simulation is made of.
const BITS: usize = 1 << 21;
/// Failed words below which a simulated point says too little to be drawn.
const FEWEST_FAILURES: u64 = 10;
/// The residual flip rate that counts as kept (ours): a round value.
const KEPT: f64 = 1e-3;
/// Bits of a weight, and how many of them are protected in the two schemes that are compared.
const WEIGHT_BITS: f64 = 8.0;
const PROTECTED: [f64; 2] = [2.0, 8.0];

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(),
        figures: vec![
            sweep_figure(&measured.codes),
            price_figure(&measured),
            weight_figure(&measured.prices),
        ],
        tables: vec![table(&measured.codes), tallies(&measured.codes)],
        ..Outcome::default()
    })
}

#[cfg(test)]
mod tests {
    use qtaml::fault::ecc::{Bch, EccCode, least_overhead};
    use qtaml::physics::FlipProbability;

    use super::KEPT;
    use super::measure::{all_codes, cheapest};
    use crate::workloads::reference_cell::SOURCE_P;

    /// Nothing in reach was overlooked: one more data bit, and the code no longer keeps its bits.
    #[test]
    fn the_cheapest_code_keeps_its_bits_and_the_next_longer_one_does_not() {
        let flips = FlipProbability::symmetric(SOURCE_P).unwrap();
        let best = cheapest(&all_codes().unwrap(), flips).unwrap();
        assert!(best.residual <= KEPT && best.overhead > least_overhead(flips, KEPT));
        let EccCode::Bch { m, t, data: Some(data) } = best.spec else { panic!("{}", best.spec) };
        let longer = Bch::new(m, t).unwrap().shortened(data + 1).unwrap();
        assert!(longer.flips_left(flips).unwrap() > KEPT);
    }

    #[test]
    fn where_flips_are_rare_enough_nothing_has_to_be_bought() {
        let rare = FlipProbability::symmetric(KEPT / 2.0).unwrap();
        let best = cheapest(&all_codes().unwrap(), rare).unwrap();
        assert_eq!((best.spec, best.overhead), (EccCode::Repetition { copies: 1 }, 0.0));
    }
}
