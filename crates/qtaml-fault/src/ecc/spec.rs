//! The names of codes, for command lines and files.

use std::fmt;
use std::str::FromStr;

use super::{Bch, Code, Parity, Repetition, SecDed};
use crate::EccError;

/// Which code: what it takes to build one, as small as its name.
///
/// | Name | Code |
/// | --- | --- |
/// | `parity:DATA` | [`Parity`] |
/// | `secded:DATA` | [`SecDed`] |
/// | `repetition:COPIES` | [`Repetition`] |
/// | `bch:M:T` | [`Bch`] of length 2^M - 1 for T errors |
/// | `bch:M:T:DATA` | the same, shortened |
///
/// A name is parsed only if there is such a code.
///
/// ```
/// use qtaml_fault::ecc::EccCode;
///
/// let spec: EccCode = "bch:4:2".parse()?;
/// assert_eq!(spec, EccCode::Bch { m: 4, t: 2, data: None });
/// assert_eq!(spec.build()?.data_bits(), 7);
/// assert!("repetition:4".parse::<EccCode>().is_err());
/// # Ok::<(), qtaml_fault::EccError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EccCode {
    /// A parity bit.
    Parity {
        /// Data bits.
        data: usize,
    },
    /// Single-error correction, double-error detection.
    SecDed {
        /// Data bits.
        data: usize,
    },
    /// Copies and a majority vote.
    Repetition {
        /// Copies, an odd number.
        copies: usize,
    },
    /// A BCH code.
    Bch {
        /// The length is 2^m - 1 before it is shortened.
        m: u32,
        /// Errors to be corrected.
        t: usize,
        /// Data bits, if it is shortened.
        data: Option<usize>,
    },
}

impl EccCode {
    /// The code.
    ///
    /// # Errors
    /// As the constructor of the code.
    pub fn build(self) -> Result<Box<dyn Code>, EccError> {
        Ok(match self {
            Self::Parity { data } => Box::new(Parity::new(data)?),
            Self::SecDed { data } => Box::new(SecDed::new(data)?),
            Self::Repetition { copies } => Box::new(Repetition::new(copies)?),
            Self::Bch { m, t, data: None } => Box::new(Bch::new(m, t)?),
            Self::Bch { m, t, data: Some(data) } => Box::new(Bch::new(m, t)?.shortened(data)?),
        })
    }

    /// What the name says, whether or not there is such a code.
    fn read(name: &str) -> Option<Self> {
        let (kind, numbers) = name.split_once(':')?;
        let numbers: Vec<usize> =
            numbers.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(match (kind, &numbers[..]) {
            ("parity", &[data]) => Self::Parity { data },
            ("secded", &[data]) => Self::SecDed { data },
            ("repetition", &[copies]) => Self::Repetition { copies },
            ("bch", &[m, t]) => Self::Bch { m: m.try_into().ok()?, t, data: None },
            ("bch", &[m, t, data]) => Self::Bch { m: m.try_into().ok()?, t, data: Some(data) },
            _ => return None,
        })
    }
}

impl FromStr for EccCode {
    type Err = EccError;

    fn from_str(name: &str) -> Result<Self, EccError> {
        let spec = Self::read(name).ok_or_else(|| EccError::UnknownCode { text: name.into() })?;
        spec.build()?;
        Ok(spec)
    }
}

impl fmt::Display for EccCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parity { data } => write!(f, "parity:{data}"),
            Self::SecDed { data } => write!(f, "secded:{data}"),
            Self::Repetition { copies } => write!(f, "repetition:{copies}"),
            Self::Bch { m, t, data: None } => write!(f, "bch:{m}:{t}"),
            Self::Bch { m, t, data: Some(data) } => write!(f, "bch:{m}:{t}:{data}"),
        }
    }
}

qtaml_quant::text_in_files!(EccCode);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    fn from_file(name: &str) -> Result<EccCode, Error> {
        let file: StrDeserializer<'_, Error> = name.into_deserializer();
        EccCode::deserialize(file)
    }

    #[test]
    fn names_lead_back_and_are_those_of_files() {
        for (name, data, stored) in [
            ("parity:8", 8, 9),
            ("secded:64", 64, 72),
            ("repetition:5", 1, 5),
            ("bch:7:5", 92, 127),
            ("bch:7:5:64", 64, 99),
        ] {
            let spec: EccCode = name.parse().unwrap();
            assert_eq!((spec.to_string(), from_file(name)), (name.into(), Ok(spec)));
            let code = spec.build().unwrap();
            assert_eq!((code.data_bits(), code.stored_bits()), (data, stored), "{name}");
        }
    }

    #[test]
    fn what_is_no_code_is_told_why() {
        for name in ["", ":", "parity", "parity:", "bch:7", "bch:1:2:3:4", "parity:-1", "Parity:8"]
        {
            let error = name.parse::<EccCode>().unwrap_err();
            assert_eq!(error, EccError::UnknownCode { text: name.into() });
        }
        for (name, why) in [
            ("repetition:2", "2 copies have no majority"),
            ("secded:0", "no SEC-DED code with data bits = 0: 1..=4096 are allowed"),
            ("bch:40:1", "no BCH code with m = 40: 3..=10 are allowed"),
            ("bch:8:128", "no BCH code with t = 128: 1..=127 are allowed"),
            ("bch:8:2:240", "no BCH code with data bits = 240: 1..=239 are allowed"),
        ] {
            let error = name.parse::<EccCode>().unwrap_err().to_string();
            assert!(error.starts_with(why), "{name}: {error}");
            assert!(from_file(name).is_err());
        }
    }

    proptest! {
        #[test]
        fn hostile_names_are_errors(
            text in prop_oneof![
                ".{0,40}",
                "(parity|secded|repetition|bch)(:[0-9]{0,25}){0,4}",
                "(parity|secded|repetition|bch)(:[0-9]{1,2}){1,3}",
            ],
        ) {
            if let Ok(spec) = text.parse::<EccCode>() {
                prop_assert!(spec.build().is_ok());
                prop_assert_eq!(spec.to_string().parse(), Ok(spec));
            }
        }
    }
}
