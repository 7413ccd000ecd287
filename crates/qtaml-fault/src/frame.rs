//! The frame of binary files: magic, version, lengths and a checksum around a header and a body.
//!
//! All integers are little-endian and unsigned.
//!
//! | offset | bytes | content |
//! | --- | --- | --- |
//! | 0 | 8 | magic of the kind of file, in ASCII |
//! | 8 | 4 | version of its format |
//! | 12 | 8 | length `h` of the header |
//! | 20 | 8 | length `n` of the body |
//! | 28 | `h` | header, one JSON object in UTF-8 |
//! | 28 + `h` | `n` | body |
//! | behind it | 4 | CRC-32 (RFC 1952, section 8) of everything before |
//!
//! Reading checks every length before it takes memory.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Magic, version and both lengths in front, the checksum behind.
const FRONT: u64 = 8 + 4 + 8 + 8;
const BEHIND: u64 = 4;

/// A kind of file.
///
/// ```
/// use qtaml_fault::frame::FileKind;
///
/// const NOTE: FileKind = FileKind { name: "note", magic: *b"EXAMPLE1", version: 3 };
/// let file = NOTE.write(&"to whom it may concern", b"hello")?;
/// let (header, body): (String, _) = NOTE.read(&file)?;
/// assert_eq!((header.as_str(), body), ("to whom it may concern", &b"hello"[..]));
///
/// let error = FileKind { version: 4, ..NOTE }.read::<String>(&file).unwrap_err();
/// assert_eq!(error.to_string(), "the note is of version 3, and this program reads version 4");
/// # Ok::<(), qtaml_fault::frame::FrameError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileKind {
    /// What such a file is called in errors.
    pub name: &'static str,
    /// What it begins with, in ASCII.
    pub magic: [u8; 8],
    /// The version that is read and written.
    pub version: u32,
}

/// Why a file was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Bytes that do not begin as such a file does.
    #[error("this is no {name}: it does not begin with {}", magic.escape_ascii())]
    OtherFile {
        /// What was expected.
        name: &'static str,
        /// What it begins with.
        magic: [u8; 8],
    },
    /// A file of another version of the format.
    #[error("the {name} is of version {found}, and this program reads version {known}")]
    Version {
        /// The kind of file.
        name: &'static str,
        /// The version of the file.
        found: u32,
        /// The version that can be read.
        known: u32,
    },
    /// A file without its end.
    #[error("the {name} ends after {found} bytes of {expected}")]
    Truncated {
        /// The kind of file.
        name: &'static str,
        /// The length that it should have; at least this much where not even that can be read.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// A file with more behind its end.
    #[error("{extra} bytes follow the end of the {name}")]
    TooLong {
        /// The kind of file.
        name: &'static str,
        /// The number of bytes behind the end.
        extra: u64,
    },
    /// A file that has changed since it was written.
    #[error("the {name} is damaged: its checksum is {computed:#010x}, and not {stored:#010x}")]
    Checksum {
        /// The kind of file.
        name: &'static str,
        /// The checksum in the file.
        stored: u32,
        /// The checksum of the file.
        computed: u32,
    },
    /// A header that is no JSON, or other JSON.
    #[error("the header of the {name} cannot be read")]
    Header {
        /// The kind of file.
        name: &'static str,
        /// Why.
        source: JsonError,
    },
    /// Content that cannot be.
    #[error("the {name} is corrupt: {what}")]
    Corrupt {
        /// The kind of file.
        name: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

/// An error of a JSON parser that can be copied and compared.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(Arc<serde_json::Error>);

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl PartialEq for JsonError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl FileKind {
    /// Whether a file that begins with these bytes is one of this kind, of any version.
    pub fn is_kind_of(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(&self.magic)
    }

    /// Whether a file that begins with these bytes is one of this kind and version.
    pub fn is_version_of(&self, bytes: &[u8]) -> bool {
        let version = bytes.get(self.magic.len()..self.magic.len() + 4);
        self.is_kind_of(bytes) && version == Some(&self.version.to_le_bytes())
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// [`FrameError::Header`] for a header that JSON cannot hold.
    pub fn write(&self, header: &impl Serialize, body: &[u8]) -> Result<Vec<u8>, FrameError> {
        let header = serde_json::to_vec(header).map_err(|error| self.bad_header(error))?;
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(header);
        bytes.extend(body);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        Ok(bytes)
    }

    /// The header and the body of a file.
    ///
    /// # Errors
    /// Every [`FrameError`] but [`FrameError::Corrupt`].
    pub fn read<'a, H: DeserializeOwned>(
        &self,
        bytes: &'a [u8],
    ) -> Result<(H, &'a [u8]), FrameError> {
        let &Self { name, magic, version: known } = self;
        let found = bytes.len() as u64;
        let truncated = |expected| FrameError::Truncated { name, expected, found };
        let rest = bytes.strip_prefix(&magic).ok_or(FrameError::OtherFile { name, magic })?;
        let (&version, rest) = rest.split_first_chunk().ok_or_else(|| truncated(FRONT + BEHIND))?;
        match u32::from_le_bytes(version) {
            version if version == known => {}
            found => return Err(FrameError::Version { name, found, known }),
        }
        let lengths = rest.split_first_chunk::<8>();
        let lengths = lengths.and_then(|(h, rest)| Some((h, rest.split_first_chunk::<8>()?)));
        let (h, (n, rest)) = lengths.ok_or_else(|| truncated(FRONT + BEHIND))?;
        let [h, n] = [h, n].map(|length| u64::from_le_bytes(*length));
        let expected = FRONT.saturating_add(h).saturating_add(n).saturating_add(BEHIND);
        if found < expected {
            return Err(truncated(expected));
        }
        if found > expected {
            return Err(FrameError::TooLong { name, extra: found - expected });
        }
        // The file is in memory, so its lengths fit.
        let (header, rest) = rest.split_at(h as usize);
        let (body, sum) = rest.split_at(n as usize);
        let computed = crc32fast::hash(&bytes[..bytes.len() - sum.len()]);
        let stored = sum.first_chunk().map_or(0, |sum| u32::from_le_bytes(*sum));
        if computed != stored {
            return Err(FrameError::Checksum { name, stored, computed });
        }
        let header = serde_json::from_slice(header).map_err(|error| self.bad_header(error))?;
        Ok((header, body))
    }

    /// An error about content that cannot be.
    pub fn corrupt(&self, what: impl Into<String>) -> FrameError {
        FrameError::Corrupt { name: self.name, what: what.into() }
    }

    fn bad_header(&self, error: serde_json::Error) -> FrameError {
        FrameError::Header { name: self.name, source: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use proptest::prelude::*;

    use super::*;

    const KIND: FileKind = FileKind { name: "test file", magic: *b"QTAMLTST", version: 7 };
    const CRC: u32 = 0x8212_94db;

    fn file() -> Vec<u8> {
        KIND.write(&[1, 2], b"body").unwrap()
    }

    fn read(bytes: &[u8]) -> Result<(Vec<i32>, &[u8]), FrameError> {
        KIND.read(bytes)
    }

    /// Every byte by hand; the checksum is that of Python's `zlib.crc32`.
    #[test]
    fn the_layout_is_the_documented_one() {
        let mut expected =
            b"QTAMLTST\x07\0\0\0\x05\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0[1,2]body".to_vec();
        expected.extend(CRC.to_le_bytes());
        assert_eq!(file(), expected);
        assert_eq!(read(&file()), Ok((vec![1, 2], &b"body"[..])));
    }

    /// The check values of the catalogues, and zlib's of nothing and of a sentence.
    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32fast::hash(b""), 0);
        assert_eq!(crc32fast::hash(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
    }

    #[test]
    fn every_defect_has_its_error() {
        let (good, name) = (file(), "test file");
        let error = |bytes: &[u8]| read(bytes).unwrap_err();
        let other = FrameError::OtherFile { name, magic: KIND.magic };
        for bytes in [&b""[..], b"PK", b"\x08\0\0\0\0\0\0\0{}"] {
            assert_eq!(error(bytes), other);
            assert!(!KIND.is_kind_of(bytes));
        }
        assert_eq!(other.to_string(), "this is no test file: it does not begin with QTAMLTST");
        let mut older = good.clone();
        older[8] = 6;
        assert_eq!(error(&older), FrameError::Version { name, found: 6, known: 7 });
        let (found, expected) = (good.len() as u64 - 1, good.len() as u64);
        let short = error(&good[..good.len() - 1]);
        assert_eq!(short, FrameError::Truncated { name, expected, found });
        let longer = [&good[..], &[0; 3]].concat();
        assert_eq!(error(&longer), FrameError::TooLong { name, extra: 3 });
        let mut endless = good.clone();
        endless[12..28].fill(0xff);
        let found = good.len() as u64;
        assert_eq!(error(&endless), FrameError::Truncated { name, expected: u64::MAX, found });
        let mut damaged = good.clone();
        damaged[30] ^= 1;
        assert!(matches!(error(&damaged), FrameError::Checksum { stored: CRC, .. }));
    }

    /// The cause is there once, as a source.
    #[test]
    fn a_header_of_another_kind_is_an_error_with_a_cause() {
        let error = read(&KIND.write(&"text", b"").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the header of the test file cannot be read");
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains("invalid type: string"), "{cause}");
        assert_eq!(error, error.clone());
        let error = KIND.corrupt("it is empty").to_string();
        assert_eq!(error, "the test file is corrupt: it is empty");
    }

    proptest! {
        #[test]
        fn damaged_files_are_refused(
            body in prop::collection::vec(any::<u8>(), 0..50),
            place in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let mut file = KIND.write(&[3], &body).unwrap();
            prop_assert_eq!(read(&file), Ok((vec![3], &body[..])));
            let place = place.index(file.len());
            prop_assert!(read(&file[..place]).is_err());
            file[place] ^= 1 << bit;
            prop_assert!(read(&file).is_err());
        }

        #[test]
        fn any_bytes_behind_the_version_are_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let start = [&KIND.magic[..], &7_u32.to_le_bytes(), &bytes].concat();
            prop_assert!(read(&start).is_err());
        }
    }
}
