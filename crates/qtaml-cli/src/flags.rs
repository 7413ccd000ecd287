//! Flags that several commands read alike: widths and flip probabilities.

use qtaml::fault::{BitMask, Ecc, FaultError};
use qtaml::physics::{FlipProbability, FlipProfile, PhysicsError};
use qtaml::quant::BitWidth;

/// Arguments that make no sense together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error(transparent)]
    Physics(#[from] PhysicsError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("--code {0} has no bits to keep: --protect says which it should")]
    NothingToKeep(Ecc),
    #[error("{0} of all cells stuck at 0 and {1} at 1 are more than all cells")]
    Stuck(f64, f64),
}

/// What keeps protected bits, if there are any to keep.
pub(crate) fn ecc(code: Ecc, protection: BitMask) -> Result<Ecc, UsageError> {
    let has_bits = code == Ecc::Ideal || protection != BitMask::NONE;
    has_bits.then_some(code).ok_or(UsageError::NothingToKeep(code))
}

/// The law of `--p`, of `--p01` with `--p10`, or of `--p-per-bit`, whichever is given; clap allows
/// one of them.
pub(crate) fn flips(
    p: Option<FlipProbability>,
    pair: (Option<f64>, Option<f64>),
    per_bit: &[FlipProbability],
) -> Result<Option<FlipProfile>, PhysicsError> {
    Ok(match (p, pair) {
        (Some(p), _) => Some(p.into()),
        (_, (Some(p01), Some(p10))) => Some(FlipProbability::asymmetric(p01, p10)?.into()),
        _ if per_bit.is_empty() => None,
        _ => Some(FlipProfile::per_bit(per_bit.to_vec())?),
    })
}

pub(crate) fn number(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is no number"))
}

pub(crate) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a whole number from 0 to {} is needed", u64::MAX))
}

pub(crate) fn bit_width(text: &str) -> Result<BitWidth, String> {
    let bits = text.parse().map_err(|_| "a whole number, 2 to 8, is needed".to_owned())?;
    BitWidth::new(bits).map_err(|error| error.to_string())
}

pub(crate) fn symmetric(text: &str) -> Result<FlipProbability, String> {
    FlipProbability::symmetric(number(text)?).map_err(|error| error.to_string())
}

/// `p` or `p01:p10`.
pub(crate) fn bit_law(text: &str) -> Result<FlipProbability, String> {
    let Some((p01, p10)) = text.split_once(':') else { return symmetric(text) };
    FlipProbability::asymmetric(number(p01)?, number(p10)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_of_a_bit_is_one_probability_or_two() {
        assert_eq!(bit_law("0.1"), Ok(FlipProbability::symmetric(0.1).unwrap()));
        assert_eq!(bit_law("0:1e-3"), Ok(FlipProbability::asymmetric(0.0, 1e-3).unwrap()));
        assert!(bit_law("0.6").unwrap_err().contains("0.0..=0.5"));
        assert_eq!(bit_law("a:b").unwrap_err(), "\"a\" is no number");
        assert!(bit_width("9").is_err() && bit_width("x").is_err());
    }
}
