//! The file of a codebook.

use qtaml_fault::frame::FileKind;
use qtaml_physics::{FlipProbability, FlipProfile};
use serde::{Deserialize, Serialize};

use super::{Codebook, WordChannel};
use crate::CodebookError;

const FILE: FileKind = FileKind { name: "codebook", magic: *b"QTAMLCBK", version: 2 };

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    flips: Vec<FlipProbability>,
    mse: f64,
}

/// # Format
///
/// The file is in the frame of [`frame`](qtaml_fault::frame), with the magic `QTAMLCBK` and the version 2.
/// The body holds the value of each of the `2^R` words that may be read, as little-endian IEEE 754
/// binary32.
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
        let header = Header { flips: self.channel().flips().to_vec(), mse: self.mse() };
        let table: Vec<u8> = self.table().iter().flat_map(|value| value.to_le_bytes()).collect();
        FILE.write(&header, &table).expect("finite numbers are always JSON")
    }

    /// Reads a file. Every length is checked before anything is taken for granted.
    ///
    /// # Errors
    /// [`CodebookError::File`] for what is no such file, of another version, damaged or corrupt.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodebookError> {
        let corrupt = |what: String| CodebookError::from(FILE.corrupt(what));
        let (Header { flips, mse }, table) = FILE.read(bytes)?;
        let width = flips.len() as u32;
        let flips = FlipProfile::per_bit(flips).map_err(|e| corrupt(e.to_string()))?;
        let channel = WordChannel::new(flips, width)?;
        let (expected, found) = (4 * channel.words(), table.len());
        if found != expected {
            return Err(corrupt(format!("its table has {found} bytes, and {expected} are needed")));
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
        let header = br#"{"flips":[{"p01":0.5,"p10":0.5}],"mse":1.25}"#;
        let mut expected = b"QTAMLCBK\x02\0\0\0".to_vec();
        expected.extend((header.len() as u64).to_le_bytes());
        expected.extend(8_u64.to_le_bytes());
        expected.extend(header);
        expected.extend([0, 0, 0, 0xbf, 0, 0, 0x80, 0x3f]);
        let file = Codebook::of_table(channel, vec![-0.5, 1.0], 1.25).to_bytes();
        // The checksum is tested with the frame.
        assert_eq!(file[..file.len() - 4], expected);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let file = code(2).to_bytes();
        let error = |bytes: &[u8]| Codebook::from_bytes(bytes).unwrap_err().to_string();
        assert_eq!(error(b"PK"), "this is no codebook: it does not begin with QTAMLCBK");
        let mut other = file.clone();
        other[8] = 1;
        let expected = "the codebook is of version 1, and this program reads version 2";
        assert_eq!(error(&other), expected);
        let (Header { flips, mse }, table) = FILE.read(&file).unwrap();
        let made = |flips: &[FlipProbability], mse: f64, table: &[u8]| {
            error(&FILE.write(&Header { flips: flips.to_vec(), mse }, table).unwrap())
        };
        assert!(
            made(&flips, mse, &table[1..]).contains("its table has 15 bytes, and 16 are needed")
        );
        assert!(made(&flips, -1.0, table).contains("its mean square error is -1"));
        let infinite = [&table[..12], &f32::INFINITY.to_le_bytes()].concat();
        assert!(made(&flips, mse, &infinite).contains("word 3 stands for inf"));
        assert!(made(&[], mse, table).contains("corrupt"));
        for at in 0..file.len() {
            assert!(Codebook::from_bytes(&file[..at]).is_err(), "cut at {at}");
        }
    }

    proptest! {
        /// A table that was changed on purpose, checksum and all, gives an error or a code that works.
        #[test]
        fn no_table_breaks_the_reader(noise in prop::collection::vec((0_usize..16, any::<u8>()), 1..6)) {
            let file = code(2).to_bytes();
            let (header, table) = FILE.read::<Header>(&file).unwrap();
            let mut table = table.to_vec();
            for (at, byte) in noise {
                table[at] = byte;
            }
            if let Ok(code) = Codebook::from_bytes(&FILE.write(&header, &table).unwrap()) {
                let words = code.encode(&[-1.0, 0.0, 1.0, f32::MAX, f32::MIN]).unwrap();
                prop_assert_eq!(code.decode(&words).len(), 5);
                prop_assert_eq!(Codebook::from_bytes(&code.to_bytes()), Ok(code));
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused(tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let file = [FILE.magic.as_slice(), &FILE.version.to_le_bytes(), &tail].concat();
            prop_assert!(Codebook::from_bytes(&file).is_err());
        }
    }
}
