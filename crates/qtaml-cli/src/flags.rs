//! Flags that several commands share: flip probabilities, widths, the ECC of protected bits.

use std::path::{Path, PathBuf};

use clap::Args;
use qtaml::fault::{BitMask, Ecc};
use qtaml::files::{Checkpoint, is_same};
use qtaml::physics::{FlipProbability, FlipProfile};
use qtaml::quant::BitWidth;

use crate::physics;
use crate::probabilities::Probabilities;
use crate::usage::UsageError;

/// Heading of the flags that say what fails.
pub(crate) const FAULTS: &str = "Faults";

/// The end of the help of every command.
macro_rules! help {
    ($text:expr) => {
        concat!(
            $text,
            "\n\nExit codes:\n  0 done, 1 it could not be done, 2 wrong usage, 130 interrupted"
        )
    };
}
pub(crate) use help;

/// How often bits flip: the same in every command.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "flip-probabilities", multiple = true)]
pub(crate) struct FlipArgs {
    /// Flip probability of every bit, 0 to 0.5, or 0% to 50%
    #[arg(long, value_name = "P", value_parser = all_symmetric, help_heading = FAULTS)]
    p: Option<Probabilities>,

    /// Probability that a stored 0 is read as 1; needs --p10
    #[arg(long, value_name = "P", value_parser = probability, help_heading = FAULTS)]
    #[arg(requires = "p10", conflicts_with = "p")]
    p01: Option<f64>,

    /// Probability that a stored 1 is read as 0; needs --p01
    #[arg(long, value_name = "P", value_parser = probability, help_heading = FAULTS)]
    #[arg(requires = "p01", conflicts_with = "p")]
    p10: Option<f64>,

    /// Flip probabilities of each bit, least significant first: p or p01:p10, separated by commas
    ///
    /// There must be one for every bit of a stored word.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = of_bit)]
    #[arg(conflicts_with_all = ["p", "p01", "p10"])]
    #[arg(help_heading = FAULTS)]
    p_per_bit: Vec<FlipProbability>,

    /// The flip probability of the memory cell in this file, as `qtaml physics --cell` reads it
    ///
    /// Its keys are the flags of `qtaml physics`: an oxide and a retention time, or a preset.
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = ["p", "p01", "p10", "p_per_bit"])]
    #[arg(help_heading = FAULTS)]
    cell: Option<PathBuf>,
}

impl FlipArgs {
    /// The flip probabilities, `None` without any; clap allows one way to give them.
    pub(crate) fn profile(&self) -> Result<Option<FlipProfile>, UsageError> {
        if let Some(file) = &self.cell {
            return Ok(Some(physics::flips_of_cell(file)?.into()));
        }
        Ok(match (&self.p, self.p01, self.p10) {
            (Some(all), ..) => {
                let p = all.only().ok_or_else(|| UsageError::SeveralP(all.clone()))?;
                Some(FlipProbability::symmetric(p)?.into())
            }
            (_, Some(p01), Some(p10)) => Some(FlipProbability::asymmetric(p01, p10)?.into()),
            _ if self.p_per_bit.is_empty() => None,
            _ => Some(FlipProfile::per_bit(self.p_per_bit.clone())?),
        })
    }

    /// One profile for each probability of `--p`, or the only one that is given in another way.
    #[cfg(feature = "onnx")]
    pub(crate) fn profiles(&self) -> Result<Vec<FlipProfile>, UsageError> {
        let Some(all) = &self.p else {
            return Ok(vec![self.profile()?.ok_or(UsageError::NoFlips)?]);
        };
        let profile = |&p: &f64| Ok(FlipProbability::symmetric(p)?.into());
        all.values().iter().map(profile).collect()
    }

    /// The only profile.
    #[cfg(feature = "onnx")]
    pub(crate) fn one(&self) -> Result<FlipProfile, UsageError> {
        self.profile()?.ok_or(UsageError::NoFlips)
    }

    /// The probabilities of `--p`, of which there may be several; `None` where flips are given in another
    /// way, or not at all.
    pub(crate) fn several(&self) -> Option<&Probabilities> {
        self.p.as_ref()
    }
}

/// What keeps protected bits, if there are any to keep.
pub(crate) fn ecc(ecc: Ecc, protection: BitMask) -> Result<Ecc, UsageError> {
    let has_bits = ecc == Ecc::Ideal || protection != BitMask::NONE;
    has_bits.then_some(ecc).ok_or(UsageError::NothingToKeep(ecc))
}

/// Opens a model in one file or in several, which is read from several places and more than once: a stream is none.
pub(crate) fn open_model(path: &Path) -> anyhow::Result<Checkpoint> {
    no_stream("MODEL", path)?;
    Ok(Checkpoint::open(path)?)
}

/// Refuses `-`: what is written whole or not at all is no stream.
pub(crate) fn no_stream(flag: &'static str, path: &Path) -> Result<(), UsageError> {
    if path == Path::new("-") { Err(UsageError::Stream { flag }) } else { Ok(()) }
}

/// Refuses to write over files that are still needed.
pub(crate) fn not_over(
    flag: &'static str,
    out: &Path,
    needed: &[PathBuf],
    name: &'static str,
) -> anyhow::Result<()> {
    for needed in needed {
        if is_same(out, needed)? {
            return Err(UsageError::SameFile { a: flag, b: name, path: out.into() }.into());
        }
    }
    Ok(())
}

pub(crate) fn number(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is no number"))
}

/// A probability as a number or in percent.
pub(crate) fn probability(text: &str) -> Result<f64, String> {
    let Some(percent) = text.trim().strip_suffix('%') else { return number(text) };
    // By the parser, as it rounds once: 0.7 / 100 is another number than 0.007.
    let hundredths = number(&format!("{}e-2", percent.trim()));
    let divided = || Ok::<_, String>(number(percent)? / 100.0);
    hundredths.or_else(|_| divided()).map_err(|_| format!("{text:?} is no number"))
}

/// A share that is more than nothing.
#[cfg(feature = "onnx")]
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = probability(text)?;
    let is_share = share > 0.0 && share <= 1.0;
    is_share.then_some(share).ok_or_else(|| format!("{share:?} is no share above 0 and up to 1"))
}

pub(crate) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a whole number from 0 to {} is needed", u64::MAX))
}

pub(crate) fn bit_width(text: &str) -> Result<BitWidth, String> {
    let bits = text.parse().map_err(|_| "a whole number, 2 to 8, is needed".to_owned())?;
    BitWidth::new(bits).map_err(|error| error.to_string())
}

fn symmetric(text: &str) -> Result<FlipProbability, String> {
    FlipProbability::symmetric(probability(text)?).map_err(|error| error.to_string())
}

fn all_symmetric(text: &str) -> Result<Probabilities, String> {
    // Of a number that no bit can flip with, the range of flips is told and not that of probabilities.
    if let Ok(p) = probability(text) {
        FlipProbability::symmetric(p).map_err(|error| error.to_string())?;
    }
    let all: Probabilities = text.parse()?;
    let refused = all.values().iter().find_map(|&p| FlipProbability::symmetric(p).err());
    refused.map_or(Ok(all), |error| Err(error.to_string()))
}

/// `p` or `p01:p10`.
fn of_bit(text: &str) -> Result<FlipProbability, String> {
    let Some((p01, p10)) = text.split_once(':') else { return symmetric(text) };
    let (p01, p10) = (probability(p01)?, probability(p10)?);
    FlipProbability::asymmetric(p01, p10).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_has_one_flip_probability_or_two() {
        assert_eq!(of_bit("0.1"), Ok(FlipProbability::symmetric(0.1).unwrap()));
        assert_eq!(of_bit("0:1e-3"), Ok(FlipProbability::asymmetric(0.0, 1e-3).unwrap()));
        assert!(of_bit("0.6").unwrap_err().contains("0.0..=0.5"));
        assert_eq!(of_bit("a:b").unwrap_err(), "\"a\" is no number");
        assert!(bit_width("9").is_err() && bit_width("x").is_err());
    }

    #[test]
    fn a_percentage_is_the_nearest_number_to_what_is_written() {
        for (text, value) in
            [("1%", 0.01), ("0.7%", 0.007), (" 50 % ", 0.5), ("-3%", -0.03), ("1e-3%", 1e-5)]
        {
            assert_eq!(probability(text), Ok(value), "{text}");
        }
        for text in ["%", "x%", "1%%", "half", ""] {
            assert_eq!(probability(text).unwrap_err(), format!("{text:?} is no number"));
        }
    }
}
