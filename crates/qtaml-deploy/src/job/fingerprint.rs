//! The fingerprint of a recipe: SHA-256 of its canonical JSON.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::CanonicalError;
use super::canonical::canonical_json;

/// SHA-256 of a value's canonical JSON: 64 hexadecimal digits as text.
///
/// Canonical JSON has no white space, sorts the keys of each object by their bytes, and writes every
/// number in the fewest digits that read back as the same number. So the fingerprint depends on
/// neither the order of fields nor the platform.
///
/// ```
/// use qtaml_deploy::job::Fingerprint;
///
/// let fingerprint = Fingerprint::of(&("lenet", 42))?;
/// assert_eq!(fingerprint.to_string().parse::<Fingerprint>()?, fingerprint);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// Text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no fingerprint: it must be 64 digits of 0-9 and a-f")]
pub struct FingerprintError {
    /// The text.
    pub text: String,
}

impl Fingerprint {
    /// The fingerprint of a value.
    ///
    /// # Errors
    /// A value that has no canonical JSON: see [`CanonicalError`].
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, CanonicalError> {
        Ok(Self::of_text(&canonical_json(value)?))
    }

    /// The SHA-256 of a text.
    pub(super) fn of_text(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// The remainder of the fingerprint's first 64 bits, most significant byte first, over `count`;
    /// 0 for a count of 0.
    pub(super) fn modulo(self, count: u32) -> u32 {
        let head = self.0.iter().take(8).fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
        head.checked_rem(u64::from(count)).unwrap_or(0) as u32
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let error = || FingerprintError { text: text.into() };
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(error()),
        };
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| error())?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

qtaml_quant::text_in_files!(Fingerprint);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// By `printf '%s' TEXT | sha256sum`.
    #[test]
    fn fingerprints_are_those_of_sha256sum() {
        let of =
            |value: &dyn Fn() -> Result<Fingerprint, CanonicalError>| value().unwrap().to_string();
        // printf '%s' '["lenet",42,0.1,null]'
        assert_eq!(
            of(&|| Fingerprint::of(&("lenet", 42, 0.1, None::<u8>))),
            "f020e20b0a850c1607a324900cf01934f7b4805a813b8e9ce2a51c1576268692"
        );
        // printf '%s' '{"a":1,"b":[true,"ξ\n"]}'
        let map =
            HashMap::from([("b", serde_json::json!([true, "ξ\n"])), ("a", serde_json::json!(1))]);
        assert_eq!(
            of(&|| Fingerprint::of(&map)),
            "06ea36c5d09bdc22c1f2672599f6e4db9683a56d141a9c89f81949bc9a2de6c2"
        );
    }

    #[test]
    fn the_order_of_fields_does_not_matter_and_that_of_elements_does() {
        #[derive(Serialize)]
        struct One {
            a: u8,
            b: u8,
        }
        #[derive(Serialize)]
        struct Other {
            b: u8,
            a: u8,
        }
        let one = Fingerprint::of(&One { a: 1, b: 2 }).unwrap();
        assert_eq!(one, Fingerprint::of(&Other { a: 1, b: 2 }).unwrap());
        assert_ne!(one, Fingerprint::of(&Other { a: 2, b: 1 }).unwrap());
        assert_ne!(Fingerprint::of(&[1, 2]).unwrap(), Fingerprint::of(&[2, 1]).unwrap());
    }

    #[test]
    fn text_that_is_no_fingerprint_is_refused() {
        let good = Fingerprint::of_text("").to_string();
        assert_eq!(good, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for bad in ["", "e3b0", &good[1..], &good.to_uppercase(), &good.replace('e', "g")] {
            let error = bad.parse::<Fingerprint>().unwrap_err();
            assert_eq!(error.text, bad);
        }
        assert!(format!("{good}0").parse::<Fingerprint>().is_err());
    }

    #[test]
    fn the_remainder_is_that_of_the_leading_bytes() {
        let fingerprint: Fingerprint =
            format!("00000000000001ff{}", "7".repeat(48)).parse().unwrap();
        assert_eq!(fingerprint.modulo(16), 511 % 16);
        assert_eq!(fingerprint.modulo(100), 11);
        assert_eq!(fingerprint.modulo(0), 0);
    }
}
