//! Readings of the source: what its abstract leaves open, and what TAC as derived needs in each.

use std::fmt;

use anyhow::Result;
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder};
use qtaml::deploy::scheme::{Allocator, Scheme};
use qtaml::quant::{CodeRange, Encoding};
use serde::Serialize;

use super::budget::needed;
use super::{Bench, Flips};
use crate::context::Context;

/// Which way bits leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leakage {
    /// Either way, as often.
    Symmetric,
    /// Charge is a 1.
    OneToZero,
    /// Charge is a 0.
    ZeroToOne,
}

impl Leakage {
    /// All.
    pub const ALL: [Self; 3] = [Self::Symmetric, Self::OneToZero, Self::ZeroToOne];

    /// A memory in which bits that leak do so with this probability.
    pub fn flips(self, p: f64) -> Flips {
        match self {
            Self::Symmetric => p.into(),
            Self::OneToZero => Flips { p01: 0.0, p10: p },
            Self::ZeroToOne => Flips { p01: p, p10: 0.0 },
        }
    }

    /// That of a memory.
    pub fn of(flips: Flips) -> Self {
        match flips {
            Flips { p01: 0.0, p10 } if p10 > 0.0 => Self::OneToZero,
            Flips { p01, p10: 0.0 } if p01 > 0.0 => Self::ZeroToOne,
            _ => Self::Symmetric,
        }
    }

    /// The kinds that leak one way, under which claims of ours are tried besides: the first of them where all
    /// would take too long.
    pub fn one_way(context: &Context) -> &'static [Self] {
        let all = &[Self::OneToZero, Self::ZeroToOne];
        if context.is_full() { all } else { &all[..1] }
    }

    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Symmetric => "both ways",
            Self::OneToZero => "1 to 0",
            Self::ZeroToOne => "0 to 1",
        }
    }
}

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// Which way bits leak.
    pub leakage: Leakage,
    /// Whether codes are signed, or count from the smallest weight on.
    pub range: CodeRange,
    /// Where their range ends.
    pub ends: ScalePolicy,
    /// How words are read.
    pub decoder: Decoder,
}

impl Reading {
    /// The one that the source is judged by. Bits leak one way, as tunneling discharges a cell, and from 0 to 1,
    /// as a floating gate that has lost its charge is read as 1; words are read with the mean correction, as it
    /// is part of TAC; and the range is that of least error, as one outlier should not set it (decision rd).
    pub const FIXED: Self = Self {
        leakage: Leakage::ZeroToOne,
        range: CodeRange::Symmetric,
        ends: ScalePolicy::MinMse,
        decoder: Decoder::Affine,
    };
}

/// Where a range can end; at 8 bits the least rounding is mostly that of the outermost weight.
const ENDS: [ScalePolicy; 5] = [
    ScalePolicy::PerTensor,
    ScalePolicy::MinRounding,
    ScalePolicy::FourSigma,
    ScalePolicy::ThreeSigma,
    ScalePolicy::MinMse,
];
/// Those of the coarse grid.
const COARSE_ENDS: [ScalePolicy; 3] =
    [ScalePolicy::PerTensor, ScalePolicy::ThreeSigma, ScalePolicy::MinMse];

impl Reading {
    /// All that are reasonable, or those between which the coarse differences lie: signed codes, and three
    /// ranges.
    pub fn grid(is_whole: bool) -> Vec<Self> {
        let (ranges, all_ends): (&[CodeRange], &[ScalePolicy]) = if is_whole {
            (&[CodeRange::Symmetric, CodeRange::MinMax], &ENDS)
        } else {
            (&[CodeRange::Symmetric], &COARSE_ENDS)
        };
        let mut all = Vec::new();
        for leakage in Leakage::ALL {
            for &range in ranges {
                for &ends in all_ends {
                    for decoder in [Decoder::Raw, Decoder::Affine] {
                        all.push(Self { leakage, range, ends, decoder });
                    }
                }
            }
        }
        all
    }

    /// Uniform-MSP and TAC as derived, in this reading.
    pub fn schemes(self) -> [Scheme; 2] {
        let Self { range, ends: scale, decoder, .. } = self;
        // Codes of a range that is not symmetric count from its lower end on.
        let encoding =
            if range.is_symmetric() { Encoding::TwosComplement } else { Encoding::OffsetBinary };
        let tac = Scheme { range, scale, decoder, encoding, ..Scheme::tac() };
        [Scheme { allocator: Allocator::Uniform, ..tac.clone() }, tac]
    }
}

/// What both need on one network in one reading, as shares of all weight bits between the steps of their
/// paths.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pair {
    /// Uniform-MSP.
    pub uniform: f64,
    /// TAC.
    pub tac: f64,
}

impl Pair {
    /// What they need under so many patterns, on the images that judge.
    ///
    /// # Errors
    ///
    /// What a trial fails with.
    pub fn new(bench: &Bench<'_>, reading: Reading, patterns: u32) -> Result<Self> {
        let flips = reading.leakage.flips(bench.net.flip_probability());
        let need = |scheme| {
            needed(bench, &bench.store(&scheme, flips, Accounting::ProtectedBits)?, patterns)
        };
        let [uniform, tac] = reading.schemes().map(need);
        Ok(Self { uniform: uniform?, tac: tac? })
    }

    /// How many times less TAC needs.
    pub fn ratio(self) -> f64 {
        self.uniform / self.tac
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leakage = self.leakage.label();
        let range = if self.range.is_symmetric() { "" } else { "unsigned, " };
        let ends = match self.ends {
            ScalePolicy::ThreeSigma => "3 sigma",
            ScalePolicy::FourSigma => "4 sigma",
            ScalePolicy::MinRounding => "least rounding",
            ScalePolicy::MinMse => "least error",
            _ => "max",
        };
        write!(f, "{leakage}, {range}{ends}, {}", self.decoder)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn readings_differ_in_what_is_left_open_alone() {
        let whole = Reading::grid(true);
        assert_eq!((whole.len(), Reading::grid(false).len()), (60, 18));
        assert!(Reading::grid(false).contains(&Reading::FIXED));
        let names: BTreeSet<String> = whole.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 60);
        assert!(Reading::grid(false).iter().all(|reading| whole.contains(reading)));
        for reading in whole {
            let [uniform, tac] = reading.schemes();
            assert_eq!(Scheme { allocator: Allocator::Uniform, ..tac.clone() }, uniform);
            assert_eq!(tac.allocator, Scheme::tac().allocator);
            assert_eq!(tac.granularity, Scheme::tac().granularity);
        }
        // The first one is TAC as it is derived for symmetric flips.
        assert_eq!(Reading::grid(true)[0].schemes()[1], Scheme::tac());
    }
}
