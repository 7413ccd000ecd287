//! The encodings of a code: what the bits of a word stand for.

use serde::{Deserialize, Serialize};

/// How a signed code is written in bits.
///
/// All four agree on the codes from `-(2^(b-1) - 1)` to `2^(b-1) - 1`; they differ in what a
/// flipped bit does to them, and so in what protecting it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Encoding {
    /// `q = -2^(b-1) B_(b-1) + Σ_(i<b-1) 2^i B_i`: what processors use, and the sources.
    #[default]
    TwosComplement,
    /// `q = (-1)^B_(b-1) Σ_(i<b-1) 2^i B_i`. Zero has two words; `-2^(b-1)` has none.
    SignMagnitude,
    /// `q = -2^(b-1) + Σ 2^i B_i`, also called excess code: words in the order of their codes.
    OffsetBinary,
    /// The reflected binary code of `q + 2^(b-1)` (F. Gray, US patent 2632058, 1953): neighbouring
    /// codes differ in one bit.
    Gray,
}

impl Encoding {
    /// Every encoding there is.
    pub const ALL: [Self; 4] =
        [Self::TwosComplement, Self::SignMagnitude, Self::OffsetBinary, Self::Gray];

    /// Its name, as on a command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TwosComplement => "twos-complement",
            Self::SignMagnitude => "sign-magnitude",
            Self::OffsetBinary => "offset-binary",
            Self::Gray => "gray",
        }
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Encoding {
    type Err = crate::QuantError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|encoding| encoding.name() == name);
        known.ok_or_else(|| crate::QuantError::Encoding(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_are_those_of_files() {
        for encoding in Encoding::ALL {
            assert_eq!(encoding.name().parse(), Ok(encoding));
            let json = serde_json::to_string(&encoding).unwrap();
            assert_eq!(json, format!("\"{encoding}\""));
        }
        let error = "binary".parse::<Encoding>().unwrap_err().to_string();
        assert!(error.contains("\"binary\"") && error.contains("offset-binary"), "{error}");
    }
}
