//! The codebooks of a model, and their file.

use std::collections::BTreeMap;

use qtaml_fault::frame::FileKind;
use serde::{Deserialize, Serialize};

use super::{Codebook, DesignConfig, Sample, WordChannel};
use crate::CodebookError;

const FILE: FileKind = FileKind { name: "codec", magic: *b"QTAMLCDC", version: 2 };
/// More weights than any tensor has, and few enough for their bits to be counted.
const MOST_WEIGHTS: u64 = 1 << 48;

/// The codes of a model's tensors by name: what a decoder needs in addition to the stored words.
///
/// ```
/// use qtaml_compensation::codebook::{Codec, DesignConfig, Sample, TensorCode, WordChannel};
/// use qtaml_physics::FlipProbability;
///
/// let weights = [0.3, -1.2, 0.8, 0.1, -0.2, 0.6];
/// let memory = WordChannel::new(FlipProbability::symmetric(0.01)?, 4)?;
/// let (sample, config) = (Sample::of(&weights)?, DesignConfig::default());
/// let mut codec = Codec::new();
/// codec.insert("fc.weight", TensorCode::design(&[2, 3], &sample, &memory, &config)?);
///
/// let codec = Codec::from_bytes(&codec.to_bytes())?;
/// let tensor = codec.get("fc.weight").ok_or("it was just put in")?;
/// let stored = tensor.code().encode_packed(&weights)?;
/// assert_eq!(stored.len() as u64, tensor.stored_bytes());
/// let read = tensor.code().decode_packed(&stored, weights.len())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Codec {
    tensors: BTreeMap<String, TensorCode>,
}

/// The code of one tensor, and for what it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorCode {
    shape: Vec<usize>,
    weights: u64,
    mean_square: f64,
    code: Codebook,
}

impl TensorCode {
    /// A code for a tensor of this shape whose weights are those of `sample`.
    ///
    /// # Errors
    /// [`CodebookError::TensorShape`] without weights, or for more than `2^48`.
    pub fn design(
        shape: &[usize],
        sample: &Sample,
        channel: &WordChannel,
        config: &DesignConfig,
    ) -> Result<Self, CodebookError> {
        let code = Codebook::design(sample, channel, config);
        Self::new(shape.to_vec(), sample.rms().powi(2), code)
    }

    fn new(shape: Vec<usize>, mean_square: f64, code: Codebook) -> Result<Self, CodebookError> {
        let product = |all: u64, &size: &usize| all.checked_mul(size as u64);
        match shape.iter().try_fold(1, product) {
            Some(weights @ 1..=MOST_WEIGHTS) => Ok(Self { shape, weights, mean_square, code }),
            _ => Err(CodebookError::TensorShape(shape)),
        }
    }

    /// The shape of the tensor.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of its weights.
    pub fn weights(&self) -> u64 {
        self.weights
    }

    /// Bytes that its words fill, side by side.
    pub fn stored_bytes(&self) -> u64 {
        (self.weights * u64::from(self.code.width())).div_ceil(8)
    }

    /// The mean square of the weights that the code was made for; [`Codebook::mse`] is their error.
    pub fn mean_square(&self) -> f64 {
        self.mean_square
    }

    /// The code.
    pub fn code(&self) -> &Codebook {
        &self.code
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    tensors: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    mean_square: f64,
    /// The length of the code's file.
    bytes: u64,
}

/// # Format
///
/// The file is in the frame of [`frame`](qtaml_fault::frame), with the magic `QTAMLCDC` and the version 2.
/// The body holds the files of the codes ([`Codebook::to_bytes`]), one after the other.
///
/// The header has one member, `tensors`: a list in rising order of names, each entry with these
/// members and no others. `bytes` is the length of the file of the code.
///
/// ```json
/// {"tensors": [{"name": "fc.weight", "shape": [2, 3], "mean_square": 0.4, "bytes": 167}]}
/// ```
impl Codec {
    /// No tensors yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor, or replaces the one of this name.
    pub fn insert(&mut self, name: &str, code: TensorCode) {
        self.tensors.insert(name.into(), code);
    }

    /// The code of a tensor, if it has one.
    pub fn get(&self, name: &str) -> Option<&TensorCode> {
        self.tensors.get(name)
    }

    /// All tensors, in rising order of names.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = (&str, &TensorCode)> {
        self.tensors.iter().map(|(name, code)| (name.as_str(), code))
    }

    /// The codec as a file. The same codec is the same bytes.
    ///
    /// # Panics
    /// Never: a header of finite numbers is always JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let codes: Vec<_> = self.tensors.values().map(|tensor| tensor.code.to_bytes()).collect();
        let entry = |((name, tensor), code): ((&String, &TensorCode), &Vec<u8>)| Entry {
            name: name.clone(),
            shape: tensor.shape.clone(),
            mean_square: tensor.mean_square,
            bytes: code.len() as u64,
        };
        let header = Header { tensors: self.tensors.iter().zip(&codes).map(entry).collect() };
        FILE.write(&header, &codes.concat()).expect("finite numbers are always JSON")
    }

    /// Whether a file that begins with these bytes is a codec, of any version.
    pub fn is_file(bytes: &[u8]) -> bool {
        FILE.is_kind_of(bytes)
    }

    /// Reads a file. Every length is checked before anything is taken for granted.
    ///
    /// # Errors
    /// [`CodebookError::File`] for what is no such file, of another version, damaged or corrupt;
    /// [`CodebookError::Tensor`] for the code of a tensor that is.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodebookError> {
        let (Header { tensors }, mut rest) = FILE.read(bytes)?;
        if !tensors.is_sorted_by(|a, b| a.name < b.name) {
            return Err(FILE.corrupt("its tensors are not in rising order of names").into());
        }
        let expected = tensors.iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.bytes));
        let found = rest.len() as u64;
        if expected != found {
            let what = format!("its tensors have {expected} bytes of codes, and {found} are there");
            return Err(FILE.corrupt(what).into());
        }
        let mut codec = Self::new();
        for entry in tensors {
            // The sum of them fits the file, which is in memory.
            let (code, behind) = rest.split_at(entry.bytes as usize);
            rest = behind;
            let name = entry.name.clone();
            let tensor = entry.read(code).map_err(|source| CodebookError::Tensor {
                name: name.clone(),
                source: Box::new(source),
            })?;
            codec.tensors.insert(name, tensor);
        }
        Ok(codec)
    }
}

impl Entry {
    fn read(self, code: &[u8]) -> Result<TensorCode, CodebookError> {
        if self.mean_square < 0.0 {
            return Err(FILE.corrupt(format!("its mean square is {}", self.mean_square)).into());
        }
        TensorCode::new(self.shape, self.mean_square, Codebook::from_bytes(code)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_physics::FlipProbability;

    use super::*;

    fn tensor(shape: &[usize], width: u32) -> Result<TensorCode, CodebookError> {
        let flips = FlipProbability::asymmetric(0.1, 0.02).unwrap();
        let channel = WordChannel::new(flips, width).unwrap();
        let quick = DesignConfig { switches: 0, iterations: 5, ..DesignConfig::default() };
        TensorCode::design(shape, &Sample::of(&[0.5, -1.0, 0.25]).unwrap(), &channel, &quick)
    }

    fn codec() -> Codec {
        let mut codec = Codec::new();
        for (name, shape, width) in [("b", [2, 3], 2), ("a", [1, 1], 3), ("\u{e4} \"", [7, 1], 1)] {
            codec.insert(name, tensor(&shape, width).unwrap());
        }
        codec
    }

    #[test]
    fn reading_gives_back_what_was_written() {
        for codec in [Codec::new(), codec()] {
            assert_eq!(Codec::from_bytes(&codec.to_bytes()), Ok(codec));
        }
        let code = tensor(&[3, 5], 3).unwrap();
        assert_eq!((code.weights(), code.stored_bytes()), (15, 6));
        assert!((code.mean_square() - 1.3125 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_format_is_the_documented_one() {
        let mut codec = Codec::new();
        let code = tensor(&[2, 3], 1).unwrap();
        codec.insert("w", code.clone());
        let (code, mean_square) = (code.code.to_bytes(), code.mean_square);
        let header = format!(
            r#"{{"tensors":[{{"name":"w","shape":[2,3],"mean_square":{mean_square},"bytes":{}}}]}}"#,
            code.len()
        );
        let [length, body] = [header.len(), code.len()].map(|n| (n as u64).to_le_bytes());
        let magic = b"QTAMLCDC\x02\0\0\0".as_slice();
        let expected = [magic, &length, &body, header.as_bytes(), &code].concat();
        let file = codec.to_bytes();
        // The checksum is tested with the frame.
        assert_eq!(file[..file.len() - 4], expected);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let file = codec().to_bytes();
        let error = |bytes: &[u8]| Codec::from_bytes(bytes).unwrap_err();
        let text = error(b"PK").to_string();
        assert_eq!(text, "this is no codec: it does not begin with QTAMLCDC");
        assert!(Codec::is_file(&file) && !Codec::is_file(b"PK"));
        let mut other = file.clone();
        other[8] = 1;
        let text = error(&other).to_string();
        assert_eq!(text, "the codec is of version 1, and this program reads version 2");
        for at in 0..file.len() {
            assert!(Codec::from_bytes(&file[..at]).is_err(), "cut at {at}");
        }
        // The same with a checksum that fits.
        let edited = |from: &str, to: &str| {
            let (header, body) = FILE.read::<serde_json::Value>(&file).unwrap();
            let header = header.to_string().replacen(from, to, 1);
            let header: serde_json::Value = serde_json::from_str(&header).unwrap();
            error(&FILE.write(&header, body).unwrap())
        };
        for (from, to, named) in [
            (r#""name":"a""#, r#""name":"c""#, "rising order"),
            (r#""bytes":"#, r#""bytes":1"#, "bytes of codes, and"),
        ] {
            let error = edited(from, to).to_string();
            assert!(error.contains(named), "{error}");
        }
        for (from, to, cause) in [
            ("[2,3]", "[0,3]", "a tensor of shape [0, 3]"),
            (r#""mean_square":0"#, r#""mean_square":-0"#, "its mean square is -0"),
        ] {
            let error = edited(from, to);
            assert!(error.to_string().contains("cannot be read"), "{error}");
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains(cause), "{source}");
        }
        for shape in [&[1 << 30, 1 << 30][..], &[usize::MAX, 2], &[0]] {
            let error = tensor(shape, 1).unwrap_err();
            assert_eq!(error, CodebookError::TensorShape(shape.to_vec()));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused(tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let file = [FILE.magic.as_slice(), &FILE.version.to_le_bytes(), &tail].concat();
            prop_assert!(Codec::from_bytes(&file).is_err());
        }
    }
}
