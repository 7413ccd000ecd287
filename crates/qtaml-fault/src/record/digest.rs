//! The digest of the stored words that faults were drawn on.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// SHA-256 of the words of a tensor, one byte each, in the order of their positions.
///
/// ```
/// use qtaml_fault::WordDigest;
///
/// let digest = WordDigest::of(b"abc");
/// assert!(digest.to_string().starts_with("ba7816bf8f01cfea"));
/// assert_eq!(digest.to_string().parse(), Ok(digest));
/// # Ok::<(), qtaml_fault::DigestError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WordDigest([u8; 32]);

impl WordDigest {
    /// The digest of a whole tensor.
    pub fn of(words: &[u8]) -> Self {
        let mut digester = WordDigester::default();
        digester.update(words);
        digester.finish()
    }

    /// Its 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

/// Takes the digest of a tensor that comes in pieces.
#[derive(Debug, Clone, Default)]
pub struct WordDigester(Sha256);

impl WordDigester {
    /// Takes the next words.
    pub fn update(&mut self, words: &[u8]) {
        self.0.update(words);
    }

    /// The digest of all of them.
    pub fn finish(self) -> WordDigest {
        WordDigest(self.0.finalize().into())
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no SHA-256: 64 lower-case hexadecimal digits are")]
pub struct DigestError {
    text: String,
}

impl fmt::Display for WordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for WordDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let error = || DigestError { text: text.into() };
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(error()),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(error());
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

qtaml_quant::text_in_files!(WordDigest);

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, and the digest of nothing.
    #[test]
    fn published_values() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(WordDigest::of(b"abc").to_string(), abc);
        assert_eq!(WordDigest::of(b"").to_string(), none);
        let mut pieces = WordDigester::default();
        pieces.update(b"a");
        pieces.update(b"bc");
        assert_eq!(pieces.finish(), abc.parse().unwrap());
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let good = WordDigest::of(b"").to_string();
        for text in ["", "e3b0", &good[1..], &good.to_uppercase(), &format!("{good}0")] {
            let error = text.parse::<WordDigest>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no SHA-256")), "{error}");
        }
        let json = serde_json::to_string(&WordDigest::of(b"")).unwrap();
        assert_eq!(serde_json::from_str::<WordDigest>(&json).unwrap(), WordDigest::of(b""));
    }
}
