//! The codes of a model, and their file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Codebook, DesignConfig, Sample, WordChannel};
use crate::CompensationError;

const MAGIC: &[u8; 8] = b"QTAMLCDC";
const VERSION: u32 = 1;
/// Magic, version and length of the header.
const FRAME: u64 = 8 + 4 + 8;
/// More weights than any tensor has, and few enough for their bits to be counted.
const MOST_WEIGHTS: u64 = 1 << 48;

/// The codes of a model's tensors by name: what a decoder needs beside the stored words.
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
    /// [`CompensationError::TensorShape`] without weights, or for more than `2^48`.
    pub fn design(
        shape: &[usize],
        sample: &Sample,
        channel: &WordChannel,
        config: &DesignConfig,
    ) -> Result<Self, CompensationError> {
        let code = Codebook::design(sample, channel, config);
        Self::new(shape.to_vec(), sample.rms().powi(2), code)
    }

    fn new(shape: Vec<usize>, mean_square: f64, code: Codebook) -> Result<Self, CompensationError> {
        let product = |all: u64, &size: &usize| all.checked_mul(size as u64);
        match shape.iter().try_fold(1, product) {
            Some(weights @ 1..=MOST_WEIGHTS) => Ok(Self { shape, weights, mean_square, code }),
            _ => Err(CompensationError::TensorShape(shape)),
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
/// All integers are little-endian and unsigned.
///
/// | offset | bytes | content |
/// | --- | --- | --- |
/// | 0 | 8 | `QTAMLCDC` in ASCII |
/// | 8 | 4 | version of the format, 1 |
/// | 12 | 8 | length `h` of the header |
/// | 20 | `h` | header, one JSON object in UTF-8 |
/// | 20 + `h` | | the files of the codes ([`Codebook::to_bytes`]), one after the other |
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
        let header = serde_json::to_vec(&header).expect("finite numbers are always JSON");
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        bytes.extend(codes.concat());
        bytes
    }

    /// Reads a file. Every length is checked before anything is taken for granted.
    ///
    /// # Errors
    /// [`CompensationError::NotACodec`], [`CompensationError::CodecVersion`] for a format that is
    /// not known yet, [`CompensationError::CodecTruncated`], [`CompensationError::CodecCorrupt`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CompensationError> {
        let found = bytes.len() as u64;
        let truncated = |expected| CompensationError::CodecTruncated { expected, found };
        let corrupt = CompensationError::CodecCorrupt;
        let rest = bytes.strip_prefix(MAGIC).ok_or(CompensationError::NotACodec)?;
        let (&version, rest) = rest.split_first_chunk().ok_or_else(|| truncated(FRAME))?;
        match u32::from_le_bytes(version) {
            VERSION => {}
            other => return Err(CompensationError::CodecVersion(other)),
        }
        let (&length, rest) = rest.split_first_chunk().ok_or_else(|| truncated(FRAME))?;
        let length = u64::from_le_bytes(length);
        let begin = FRAME.saturating_add(length);
        let (header, codes) = split(rest, length).ok_or_else(|| truncated(begin))?;
        let Header { tensors } =
            serde_json::from_slice(header).map_err(|e| corrupt(format!("its header: {e}")))?;
        if !tensors.is_sorted_by(|a, b| a.name < b.name) {
            return Err(corrupt("its tensors are not in rising order of names".into()));
        }
        let codes_end = tensors.iter().fold(begin, |end, entry| end.saturating_add(entry.bytes));
        if found < codes_end {
            return Err(truncated(codes_end));
        }
        if found > codes_end {
            return Err(corrupt(format!("{} bytes follow its end", found - codes_end)));
        }
        let mut codec = Self::new();
        let mut rest = codes;
        for entry in tensors {
            let (code, behind) = split(rest, entry.bytes).ok_or_else(|| truncated(codes_end))?;
            rest = behind;
            let name = entry.name.clone();
            let tensor = entry.read(code);
            let tensor = tensor.map_err(|e| corrupt(format!("its tensor {name:?}: {e}")))?;
            codec.tensors.insert(name, tensor);
        }
        Ok(codec)
    }
}

impl Entry {
    fn read(self, code: &[u8]) -> Result<TensorCode, CompensationError> {
        if self.mean_square < 0.0 {
            let what = format!("its mean square is {}", self.mean_square);
            return Err(CompensationError::CodecCorrupt(what));
        }
        TensorCode::new(self.shape, self.mean_square, Codebook::from_bytes(code)?)
    }
}

fn split(bytes: &[u8], at: u64) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(at).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_physics::FlipProbability;

    use super::*;

    fn tensor(shape: &[usize], width: u32) -> Result<TensorCode, CompensationError> {
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
        let length = (header.len() as u64).to_le_bytes();
        let expected =
            [b"QTAMLCDC\x01\0\0\0", length.as_slice(), header.as_bytes(), &code].concat();
        assert_eq!(codec.to_bytes(), expected);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let file = codec().to_bytes();
        let error = |bytes: &[u8]| Codec::from_bytes(bytes).unwrap_err();
        assert_eq!(error(b"PK"), CompensationError::NotACodec);
        let mut other = file.clone();
        other[8] = 2;
        assert_eq!(error(&other), CompensationError::CodecVersion(2));
        let long = [file.as_slice(), &[0]].concat();
        assert!(error(&long).to_string().contains("1 bytes follow its end"));
        for at in 0..file.len() {
            assert!(Codec::from_bytes(&file[..at]).is_err(), "cut at {at}");
        }
        let edited = |from: &str, to: &str| {
            let text = file.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
            let mut edited = file.clone();
            edited[text..text + from.len()].copy_from_slice(to.as_bytes());
            error(&edited).to_string()
        };
        for (from, to, named) in [
            (r#""name":"a""#, r#""name":"b""#, "rising order"),
            ("[2,3]", "[0,3]", r#""b": a tensor of shape [0, 3]"#),
            ("mean_square\":0", "mean_square\":-", "corrupt"),
            ("QTAMLCBK", "QTAMLXXX", "its tensor \"a\": this is not a codebook"),
        ] {
            assert!(edited(from, to).contains(named), "{}", edited(from, to));
        }
        for shape in [&[1 << 30, 1 << 30][..], &[usize::MAX, 2], &[0]] {
            let error = tensor(shape, 1).unwrap_err();
            assert_eq!(error, CompensationError::TensorShape(shape.to_vec()));
        }
    }

    proptest! {
        /// Hostile bytes give an error or a codec that works.
        #[test]
        fn no_bytes_break_the_reader(
            noise in prop::collection::vec((0_usize..800, any::<u8>()), 1..6),
        ) {
            let mut file = codec().to_bytes();
            for (at, byte) in noise {
                let at = at % file.len();
                file[at] = byte;
            }
            if let Ok(codec) = Codec::from_bytes(&file) {
                for (_, tensor) in codec.tensors() {
                    let stored = tensor.code().encode_packed(&[-1.0, f32::MAX]).unwrap();
                    prop_assert_eq!(tensor.code().decode_packed(&stored, 2).unwrap().len(), 2);
                    prop_assert!(tensor.stored_bytes() > 0);
                }
                prop_assert_eq!(Codec::from_bytes(&codec.to_bytes()), Ok(codec));
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused(tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let file = [MAGIC.as_slice(), &VERSION.to_le_bytes(), &tail].concat();
            prop_assert!(Codec::from_bytes(&file).is_err());
        }
    }
}
