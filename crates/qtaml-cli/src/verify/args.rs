//! The command line of `qtaml verify`, and the channel that it describes.

use std::path::PathBuf;

use clap::{Args, value_parser};
use qtaml::fault::{BitMask, Ecc, QuantizedChannel};
use qtaml::physics::{FlipProbability, FlipProfile};
use qtaml::quant::{BitWidth, Encoding, Format};

use crate::flags::{self, FlipArgs, bit_width, help, number};
use crate::selection::Selection;
use crate::usage::UsageError;

const AFTER_HELP: &str = help!(
    "\
Examples:
  qtaml verify
      INT8, one bit in ten: every code, every bit and three synthetic layers
  qtaml verify --p 0.05 --weights model.safetensors
      the layers of your own model
  qtaml verify --p 0.05 --weights model.safetensors --only '*.fc*.weight'
      some of its layers
  qtaml verify --p 1e-3..10%
      a row for each of 0.001, 0.002, 0.005, 0.01, ... 0.1; lists are separated by commas
  qtaml verify --p01 0.02 --p10 0.2 --encoding sign-magnitude --protect 1
      zeros and ones leak differently, another encoding, and the sign is protected
  qtaml verify --bits 4 --p-per-bit 0.1,0.1,0.01,0.001:0.002
      a flip probability for each bit, least significant first, p or p01:p10
  qtaml verify --p 0.01 --protect 2 --ecc secded:16
      the two top bits in a real code, and what it leaves of their flips
  qtaml verify --p 1e-4 --trials 10000000 --out verify
      rare flips need many reads; tables and figures go to the folder verify

A contradiction is exit code 1; closed forms that hold or were not judged are 0."
);

/// Check the closed forms of the weight error against sampled faults
///
/// Every code is stored many times and read back through the fault injector that all experiments
/// use. Mean error and variance of each code, the flips of each bit, and the mean error and
/// variance of each layer are compared with their closed forms. The verdict is on all scores at
/// once: if the closed forms are right, the largest |z| stays below the bound, but for the false
/// alarm rate (Bonferroni).
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
#[command(mut_arg("p", |p| p.value_name("P[..P][,...]").help(
    "Flip probability of every bit, 0 to 0.5, or 0% to 50%; a list or a range for a row for each"
)))]
#[command(mut_arg("only", |only| only.requires("weights")))]
#[command(mut_arg("skip", |skip| skip.requires("weights")))]
pub(crate) struct VerifyArgs {
    /// Bits of a code, 2 to 8
    #[arg(long, value_name = "B", default_value = "8", value_parser = bit_width)]
    bits: BitWidth,

    /// What the bits stand for: twos-complement, sign-magnitude, offset-binary or gray
    #[arg(long, value_name = "NAME", default_value_t)]
    encoding: Encoding,

    #[command(flatten)]
    flips: FlipArgs,

    /// Protect so many of the most significant bits
    #[arg(long, value_name = "K", default_value_t = 0)]
    protect: u32,

    /// Protect these bits, 0 the least significant one, separated by commas
    #[arg(long, value_name = "BITS", value_delimiter = ',', conflicts_with = "protect")]
    #[arg(value_parser = value_parser!(u8).range(0..=7))]
    protect_bits: Vec<u8>,

    /// What keeps the protected bits: ideal, repetition:COPIES, secded:DATA, bch:M:T and others
    ///
    /// The same bit of DATA words in a row makes a code word, and words of one code word are wrong
    /// together. So code words are read as a whole, and of each one word is counted, drawn at random:
    /// these are independent. It takes DATA times as long.
    #[arg(long, value_name = "SPEC", default_value_t)]
    ecc: Ecc,

    /// How often each code is read [default: 262144, and 16384 with --ecc]
    ///
    /// Each layer is read at least as many times, weight by weight.
    #[arg(long, value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(1..=super::MOST_TRIALS))]
    trials: Option<u64>,

    /// Everything random follows from this number
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub(super) seed: u64,

    /// Take the layers of this model, its float weights: a safetensors file, a folder of such files, or the index of
    /// its shards
    #[arg(long, value_name = "MODEL")]
    pub(super) weights: Option<PathBuf>,

    #[command(flatten)]
    pub(super) selection: Selection,

    /// The chance that closed forms that are right are called contradicted
    #[arg(long, value_name = "RATE", default_value = "1e-6", value_parser = false_alarm)]
    pub(super) false_alarm: f64,

    /// Show every code and not the worst only
    #[arg(long)]
    pub(super) all_codes: bool,

    /// Write tables as CSV and figures as SVG into this folder
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,

    /// Print JSON instead of tables
    #[arg(long)]
    pub(super) json: bool,
}

impl VerifyArgs {
    /// The channels, one for each `--p`, or what does not fit together.
    pub(super) fn channels(&self) -> Result<Vec<QuantizedChannel>, UsageError> {
        let protection = if self.protect_bits.is_empty() {
            BitMask::top(self.protect, self.bits)?
        } else {
            let mask = self.protect_bits.iter().fold(0, |mask, bit| mask | 1 << bit);
            BitMask::of_bits(mask, self.bits)?
        };
        let ecc = flags::ecc(self.ecc, protection)?;
        let format = self.format();
        let channel = |flips: FlipProfile| -> Result<QuantizedChannel, UsageError> {
            Ok(QuantizedChannel::new(flips, format, protection)?.with_ecc(ecc)?)
        };
        self.flips()?.into_iter().map(channel).collect()
    }

    /// The format of the codes.
    pub(super) fn format(&self) -> Format {
        Format::new(self.bits, self.encoding)
    }

    /// How often each code is read: decoding takes its time.
    pub(super) fn trials(&self) -> u64 {
        let usual = if self.ecc == Ecc::Ideal { 1 << 18 } else { 1 << 14 };
        self.trials.unwrap_or(usual)
    }

    fn flips(&self) -> Result<Vec<FlipProfile>, UsageError> {
        let usual = || Ok(FlipProbability::symmetric(0.1)?.into());
        match self.flips.several() {
            Some(several) => {
                let flips = |&p| Ok(FlipProbability::symmetric(p)?.into());
                several.values().iter().map(flips).collect()
            }
            None => self.flips.profile()?.map_or_else(usual, Ok).map(|flips| vec![flips]),
        }
    }
}

/// Below 1e-12 the tail of a sum of flips is no longer that of the normal distribution.
fn false_alarm(text: &str) -> Result<f64, String> {
    let rate = number(text)?;
    let allowed = (1e-12..1.0).contains(&rate);
    allowed.then_some(rate).ok_or_else(|| format!("{rate:?} is outside 1e-12..1.0"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: VerifyArgs,
    }

    fn channels(line: &str) -> Result<Vec<QuantizedChannel>, String> {
        let words = std::iter::once("verify").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.args.channels().map_err(|error| error.to_string())
    }

    fn channel(line: &str) -> Result<QuantizedChannel, String> {
        channels(line).map(|mut channels| channels.remove(0))
    }

    #[test]
    fn every_p_has_a_channel() {
        let p = |line| -> Vec<f64> {
            let channels = channels(line).unwrap();
            channels.iter().map(|channel| channel.flip(7, true).unwrap()).collect()
        };
        assert_eq!(p("--p 1e-4,1%"), [1e-4, 0.01]);
        assert_eq!(p("--p 0.1..0.5"), [0.1, 0.2, 0.5]);
        assert_eq!(p(""), [0.1]);
    }

    #[test]
    fn every_way_to_give_flip_probabilities() {
        let flip = |line, bit, value| channel(line).unwrap().flip(bit, value).unwrap();
        assert_eq!(flip("", 7, true), 0.1);
        assert_eq!(flip("--p 1e-18", 0, false), 1e-18);
        assert_eq!(flip("--p01 0.2 --p10 0.7", 3, true), 0.7);
        let mixed = "--bits 2 --p-per-bit 0.3,0.01:0.02";
        assert_eq!([flip(mixed, 0, true), flip(mixed, 1, false)], [0.3, 0.01]);
        assert_eq!(channel("--protect 2").unwrap().protection().mask(), 0b1100_0000);
        assert_eq!(channel("--protect-bits 6,0").unwrap().protection().mask(), 0b0100_0001);
        let coded = flip("--protect-bits 3 --ecc repetition:3", 3, true);
        assert!((coded - 0.028).abs() < 1e-12);
        let gray = Format::new(BitWidth::INT4, Encoding::Gray);
        assert_eq!(channel("--bits 4 --encoding gray").unwrap().format(), gray);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in [
            ("--bits 9", "bit width 9"),
            ("--bits x", "2 to 8"),
            ("--p 0.6", "p = 0.6 is outside 0.0..=0.5"),
            ("--p nan", "NaN"),
            ("--p 0.1,0.6", "p = 0.6 is outside 0.0..=0.5"),
            ("--p 0.1..60%", "p = 0.6 is outside 0.0..=0.5"),
            ("--p 0.1..0.01", "has to rise"),
            ("--p half", "\"half\" is no number"),
            ("--p01 0.1", "--p10"),
            ("--p01 0.1 --p10 1.5", "p10 = 1.5"),
            ("--p 0.1 --p01 0.1 --p10 0.1", "cannot be used with"),
            ("--p-per-bit 0.1,0.2", "2 flip probabilities do not fit an INT8 code"),
            ("--p-per-bit 0.1,,0.2", "no number"),
            ("--encoding morse", "encoding \"morse\" is unknown"),
            ("--protect 9", "cannot protect 9 bits of an INT8 code"),
            ("--bits 4 --protect-bits 5", "0b00100000 do not fit an INT4 code"),
            ("--protect-bits 8", "8 is not in 0..=7"),
            ("--ecc secded:8", "--ecc secded:8 has no bits to keep"),
            ("--protect 1 --ecc repetition:2", "2 copies have no majority"),
            ("--p01 0.1 --p10 0.2 --protect 1 --ecc secded:8", "this closed form needs p01 = p10"),
            ("--trials 0", "0 is not in 1..="),
            ("--false-alarm 0", "1e-12..1.0"),
        ] {
            let error = channel(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
