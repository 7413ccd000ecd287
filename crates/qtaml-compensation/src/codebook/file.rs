//! A code as a file.

use qtaml_physics::{FlipProbability, FlipProfile};
use serde::{Deserialize, Serialize};

use super::{Codebook, WordChannel};
use crate::CompensationError;

const MAGIC: &[u8; 8] = b"QTAMLCBK";
const VERSION: u32 = 1;
/// Magic, version and length of the header.
const FRAME: u64 = 8 + 4 + 8;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    flips: Vec<FlipProbability>,
    mse: f64,
}

/// # Format
///
/// All integers are little-endian and unsigned.
///
/// | offset | bytes | content |
/// | --- | --- | --- |
/// | 0 | 8 | `QTAMLCBK` in ASCII |
/// | 8 | 4 | version of the format, 1 |
/// | 12 | 8 | length `h` of the header |
/// | 20 | `h` | header, one JSON object in UTF-8 |
/// | 20 + `h` | 4 `2^R` | the value of each word read, as little-endian IEEE 754 binary32 |
///
/// The header has these members and no others: `flips`, a list of `R` flip probabilities, that of
/// the least significant bit first, and `mse`.
///
/// ```json
/// {"flips": [{"p01": 0.1, "p10": 0.1}], "mse": 0.6}
/// ```
///
/// Thresholds and words of the encoder follow from the table and the flip probabilities, and are
/// not stored.
impl Codebook {
    /// The code as a file. The same code is the same bytes.
    ///
    /// # Panics
    /// Never: a header of finite numbers is always JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header { flips: self.channel().laws().to_vec(), mse: self.mse() };
        let header = serde_json::to_vec(&header).expect("finite numbers are always JSON");
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        bytes.extend(self.table().iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// Reads a file. Every length is checked before anything is taken for granted.
    ///
    /// # Errors
    /// [`CompensationError::NotACodebook`], [`CompensationError::CodebookVersion`] for a format that
    /// is not known yet, [`CompensationError::CodebookTruncated`],
    /// [`CompensationError::CodebookCorrupt`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CompensationError> {
        let found = bytes.len() as u64;
        let truncated = |expected| CompensationError::CodebookTruncated { expected, found };
        let corrupt = CompensationError::CodebookCorrupt;
        let rest = bytes.strip_prefix(MAGIC).ok_or(CompensationError::NotACodebook)?;
        let (&version, rest) = rest.split_first_chunk().ok_or_else(|| truncated(FRAME))?;
        match u32::from_le_bytes(version) {
            VERSION => {}
            other => return Err(CompensationError::CodebookVersion(other)),
        }
        let (&length, rest) = rest.split_first_chunk().ok_or_else(|| truncated(FRAME))?;
        let length = u64::from_le_bytes(length);
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (header, table) = split.ok_or_else(|| truncated(FRAME.saturating_add(length)))?;
        let Header { flips, mse } =
            serde_json::from_slice(header).map_err(|e| corrupt(format!("its header: {e}")))?;

        let width = flips.len() as u32;
        let flips = FlipProfile::per_bit(flips).map_err(|e| corrupt(e.to_string()))?;
        let channel = WordChannel::new(flips, width)?;
        let expected = FRAME + length + 4 * channel.words() as u64;
        if found < expected {
            return Err(truncated(expected));
        }
        if found > expected {
            return Err(corrupt(format!("{} bytes follow its end", found - expected)));
        }
        let (values, _) = table.as_chunks();
        let table: Vec<f32> = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
        if let Some(word) = table.iter().position(|value| !value.is_finite()) {
            return Err(corrupt(format!("word {word} stands for {}", table[word])));
        }
        if mse < 0.0 {
            return Err(corrupt(format!("its mean square error is {mse}")));
        }
        Ok(Self::of_table(channel, table, mse))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codebook::{DesignConfig, Sample};

    fn code(width: u32) -> Codebook {
        let flips = FlipProbability::asymmetric(0.1, 0.02).unwrap();
        let channel = WordChannel::new(flips, width).unwrap();
        Codebook::design(&Sample::laplacian(), &channel, &DesignConfig::default())
    }

    #[test]
    fn reading_gives_back_what_was_written() {
        for width in [1, 4, 7] {
            let code = code(width);
            assert_eq!(Codebook::from_bytes(&code.to_bytes()), Ok(code));
        }
    }

    #[test]
    fn the_format_is_the_documented_one() {
        let channel = WordChannel::new(FlipProbability::symmetric(0.5).unwrap(), 1).unwrap();
        let mut expected = b"QTAMLCBK\x01\0\0\0\x29\0\0\0\0\0\0\0".to_vec();
        expected.extend(br#"{"flips":[{"p01":0.5,"p10":0.5}],"mse":1.25}"#);
        expected[12] = (expected.len() - 20) as u8;
        expected.extend([0, 0, 0, 0xbf, 0, 0, 0x80, 0x3f]);
        assert_eq!(Codebook::of_table(channel, vec![-0.5, 1.0], 1.25).to_bytes(), expected);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let file = code(2).to_bytes();
        let error = |bytes: &[u8]| Codebook::from_bytes(bytes).unwrap_err();
        assert_eq!(error(b"PK"), CompensationError::NotACodebook);
        let mut other = file.clone();
        other[8] = 2;
        assert_eq!(error(&other), CompensationError::CodebookVersion(2));
        let (expected, found) = (file.len() as u64, file.len() as u64 - 1);
        let short = error(&file[..file.len() - 1]);
        assert_eq!(short, CompensationError::CodebookTruncated { expected, found });
        let mut long = file.clone();
        long.push(0);
        assert!(error(&long).to_string().contains("1 bytes follow its end"));
        let mut infinite = file.clone();
        infinite[expected as usize - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
        assert!(error(&infinite).to_string().contains("word 3 stands for inf"));
        for at in 0..file.len() {
            assert!(Codebook::from_bytes(&file[..at]).is_err(), "cut at {at}");
        }
    }

    proptest! {
        /// Hostile bytes give an error or a code that works.
        #[test]
        fn no_bytes_break_the_reader(
            noise in prop::collection::vec((0_usize..200, any::<u8>()), 1..6),
        ) {
            let mut file = code(2).to_bytes();
            for (at, byte) in noise {
                let at = at % file.len();
                file[at] = byte;
            }
            if let Ok(code) = Codebook::from_bytes(&file) {
                let words = code.encode(&[-1.0, 0.0, 1.0, f32::MAX, f32::MIN]).unwrap();
                prop_assert_eq!(code.decode(&words).len(), 5);
                prop_assert_eq!(Codebook::from_bytes(&code.to_bytes()), Ok(code));
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused(tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let file = [MAGIC.as_slice(), &VERSION.to_le_bytes(), &tail].concat();
            prop_assert!(Codebook::from_bytes(&file).is_err());
        }
    }
}
