//! The codebooks of a model, and their file.

use std::collections::BTreeMap;

use qtaml_fault::frame::FileKind;
use qtaml_quant::{Granularity, GroupLayout, QuantError};
use serde::{Deserialize, Serialize};

use super::sample::check_finite;
use super::{Codebook, DesignConfig, GroupScales, Sample, WordChannel};
use crate::{CodebookError, WeightsError};

const FILE: FileKind = FileKind { name: "codec", magic: *b"QTAMLCDC", version: 3 };
/// The version that knew no scales: each code is in the units of its weights.
const WITHOUT_SCALES: FileKind = FileKind { version: 2, ..FILE };
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
/// let stored = tensor.encode(0, &weights)?;
/// assert_eq!(stored.len() as u64, tensor.stored_bytes());
/// let read = tensor.decode(0, &stored, weights.len())?;
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
    /// `None` where the code is in the units of the weights.
    scales: Option<GroupScales>,
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
        let weights = count(shape)?;
        let code = Codebook::design(sample, channel, config);
        let mean_square = sample.rms().powi(2);
        Ok(Self { shape: shape.to_vec(), weights, mean_square, code, scales: None })
    }

    /// One code for all groups of a tensor, in units of their scales. `sample` are the weights in these
    /// units, as [`SampleBins::add_scaled`](super::SampleBins::add_scaled) counts them.
    ///
    /// # Errors
    /// [`CodebookError::TensorShape`] as [`design`](Self::design), [`CodebookError::Quant`] unless there is
    /// one scale for each group of such a tensor.
    pub fn design_scaled(
        shape: &[usize],
        scales: GroupScales,
        sample: &Sample,
        channel: &WordChannel,
        config: &DesignConfig,
    ) -> Result<Self, CodebookError> {
        let weights = count(shape)?;
        let layout = GroupLayout::of(shape, scales.axis(), scales.granularity())?;
        let (groups, given) = (layout.groups(), scales.scales().len());
        if groups != given || weights != scales.weights() as u64 {
            return Err(QuantError::Groups { groups, given }.into());
        }
        let code = Codebook::design(sample, channel, config);
        // The masses of the sample are the squares of the scales.
        let mean_square = sample.rms().powi(2) * scales.mean_square();
        Ok(Self { shape: shape.to_vec(), weights, mean_square, code, scales: Some(scales) })
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

    /// The mean square of the weights that the code was made for; [`mse`](Self::mse) is their error.
    pub fn mean_square(&self) -> f64 {
        self.mean_square
    }

    /// Expected square error of a stored weight, over the weights and the channel of the design.
    pub fn mse(&self) -> f64 {
        self.code.mse() * self.scales.as_ref().map_or(1.0, GroupScales::mean_square)
    }

    /// The code, in units of the scales where there are some.
    pub fn code(&self) -> &Codebook {
        &self.code
    }

    /// The scales of its groups; `None` where the code is in the units of the weights.
    pub fn scales(&self) -> Option<&GroupScales> {
        self.scales.as_ref()
    }

    /// Bits that a decoder needs besides the words: the table of the code, and 32 for each scale.
    pub fn metadata_bits(&self) -> u64 {
        let scales = self.scales.as_ref().map_or(0, |scales| scales.scales().len() as u64);
        self.code.metadata_bits() + GroupScales::BITS_EACH * scales
    }

    /// The bytes to store for the weights from the row-major position `first` on, as
    /// [`Codebook::encode_packed`] lays them out: a tensor may be cut behind every eighth weight.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] for one that is NaN or infinite.
    ///
    /// # Panics
    /// If the tensor has no such positions.
    pub fn encode(&self, first: usize, weights: &[f32]) -> Result<Vec<u8>, WeightsError> {
        match &self.scales {
            None => self.code.encode_packed(weights),
            Some(scales) => {
                check_finite(weights)?;
                self.code.encode_packed(&scales.in_units(first, weights))
            }
        }
    }

    /// The weights of so many words that are read from `bytes`, from the position `first` on.
    ///
    /// # Errors
    /// [`QuantError::PackedLength`] for too few or too many bytes.
    ///
    /// # Panics
    /// If the tensor has no such positions.
    pub fn decode(&self, first: usize, bytes: &[u8], words: usize) -> Result<Vec<f32>, QuantError> {
        let mut values = self.code.decode_packed(bytes, words)?;
        self.scales.iter().for_each(|scales| scales.restore(first, &mut values));
        Ok(values)
    }

    /// Expected square error of these very weights, from the position `first` on, summed over them, when
    /// the memory is the one of the design.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] for one that is NaN or infinite.
    ///
    /// # Panics
    /// If the tensor has no such positions.
    pub fn square_error(&self, first: usize, weights: &[f32]) -> Result<f64, WeightsError> {
        let Some(scales) = &self.scales else { return self.code.square_error(weights) };
        check_finite(weights)?;
        let units = scales.in_units(first, weights);
        let mut believed = self.code.believed(&units);
        let mut total = 0.0;
        scales.each_run(first, weights.len(), |scale, within| {
            let scale = f64::from(scale);
            for (&weight, [mean, variance]) in weights[within].iter().zip(&mut believed) {
                total += (f64::from(weight) - scale * mean).powi(2) + scale * scale * variance;
            }
        });
        Ok(total)
    }
}

/// The number of weights of a tensor of this shape.
fn count(shape: &[usize]) -> Result<u64, CodebookError> {
    let product = |all: u64, &size: &usize| all.checked_mul(size as u64);
    let weights = shape.iter().try_fold(1, product);
    let weights = weights.filter(|weights| (1..=MOST_WEIGHTS).contains(weights));
    weights.ok_or_else(|| CodebookError::TensorShape(shape.to_vec()))
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
    /// The length of the code's file, and of the scales behind it.
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(default)]
    scales: Option<Groups>,
}

/// Which weights share a scale.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Groups {
    granularity: Granularity,
    axis: Option<usize>,
}

/// # Format
///
/// The file is in the frame of [`frame`](qtaml_fault::frame), with the magic `QTAMLCDC` and the version 3.
/// The body holds the files of the codes ([`Codebook::to_bytes`]), one after the other. The scales of a
/// tensor, if it has some, follow its code: one for each group in the order of the
/// [`GroupLayout`](qtaml_quant::GroupLayout), as little-endian IEEE 754 binary32, at least 0 and finite.
///
/// The header has one member, `tensors`: a list in rising order of names, each entry with these
/// members and no others. `bytes` is the length of the file of the code together with the scales.
/// `scales` says which weights share one, and is left out where the code is in the units of the weights;
/// its `axis` is that of output channels, or null.
///
/// ```json
/// {"tensors": [{"name": "fc.weight", "shape": [2, 3], "mean_square": 0.4, "bytes": 175,
///               "scales": {"granularity": "channel", "axis": 0}}]}
/// ```
///
/// Version 2 is the same without `scales`, and is read too.
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
        let codes: Vec<_> = self.tensors.values().map(TensorCode::to_bytes).collect();
        let entry = |((name, tensor), code): ((&String, &TensorCode), &Vec<u8>)| Entry {
            name: name.clone(),
            shape: tensor.shape.clone(),
            mean_square: tensor.mean_square,
            bytes: code.len() as u64,
            scales: tensor
                .scales
                .as_ref()
                .map(|scales| Groups { granularity: scales.granularity(), axis: scales.axis() }),
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
        let kind = if WITHOUT_SCALES.is_version_of(bytes) { WITHOUT_SCALES } else { FILE };
        let (Header { tensors }, mut rest) = kind.read(bytes)?;
        if kind == WITHOUT_SCALES && tensors.iter().any(|entry| entry.scales.is_some()) {
            return Err(FILE.corrupt("it is of version 2, which has no scales").into());
        }
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
        let Self { shape, mean_square, scales, .. } = self;
        let weights = count(&shape)?;
        let Some(Groups { granularity, axis }) = scales else {
            let code = Codebook::from_bytes(code)?;
            return Ok(TensorCode { shape, weights, mean_square, code, scales: None });
        };
        let layout = GroupLayout::of(&shape, axis, granularity)?;
        let behind = code.len().checked_sub(layout.groups().saturating_mul(4));
        let Some((code, stored)) = behind.and_then(|at| code.split_at_checked(at)) else {
            let what = format!("{} bytes are too few for {} scales", code.len(), layout.groups());
            return Err(FILE.corrupt(what).into());
        };
        let stored = stored.as_chunks().0.iter().map(|&scale| f32::from_le_bytes(scale));
        let stored: Vec<f32> = stored.collect();
        if let Some(group) = stored.iter().position(|scale| !(0.0..=f32::MAX).contains(scale)) {
            return Err(FILE
                .corrupt(format!("the scale of group {group} is {}", stored[group]))
                .into());
        }
        let code = Codebook::from_bytes(code)?;
        let scales = Some(GroupScales::new(layout, (granularity, axis), stored));
        Ok(TensorCode { shape, weights, mean_square, code, scales })
    }
}

impl TensorCode {
    /// The file of the code, and the scales behind it.
    fn to_bytes(&self) -> Vec<u8> {
        let scales = self.scales.iter().flat_map(GroupScales::scales);
        let scales = scales.flat_map(|scale| scale.to_le_bytes());
        self.code.to_bytes().into_iter().chain(scales).collect()
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use qtaml_fault::{FaultStream, Seed};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{pack_words, unpack_words};

    use super::*;
    use crate::codebook::{GroupSquares, SampleCounts};

    fn quick() -> DesignConfig {
        DesignConfig { switches: 0, iterations: 5, ..DesignConfig::default() }
    }

    fn tensor(shape: &[usize], width: u32) -> Result<TensorCode, CodebookError> {
        let flips = FlipProbability::asymmetric(0.1, 0.02).unwrap();
        let channel = WordChannel::new(flips, width).unwrap();
        TensorCode::design(shape, &Sample::of(&[0.5, -1.0, 0.25]).unwrap(), &channel, &quick())
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

    /// Two output channels, the second a hundred times as large.
    fn uneven(count: u32) -> Vec<f32> {
        let uniform = |i: u32| f64::from(i + 1) * 0.618_033_988_749_895 % 1.0;
        let bell = |i| (uniform(i) / (1.0 - uniform(i))).ln() as f32;
        (0..count).map(|i| bell(i) * if i < count / 2 { 0.01 } else { 1.0 }).collect()
    }

    fn scaled(
        weights: &[f32],
        shape: &[usize],
        granularity: Granularity,
        channel: &WordChannel,
    ) -> TensorCode {
        let mut squares = GroupSquares::new(shape, Some(0), granularity).unwrap();
        squares.add(weights).unwrap();
        let scales = squares.into_scales().unwrap();
        let mut counts = SampleCounts::new();
        counts.add_scaled(weights, &scales).unwrap();
        let mut bins = counts.into_bins();
        weights.chunks(97).for_each(|piece| bins.add_scaled(piece, &scales).unwrap());
        let (sample, config) = (bins.sample().unwrap(), DesignConfig::default());
        TensorCode::design_scaled(shape, scales, &sample, channel, &config).unwrap()
    }

    fn channel(width: u32) -> WordChannel {
        WordChannel::new(FlipProbability::symmetric(0.05).unwrap(), width).unwrap()
    }

    /// A scale a channel: what is predicted is the mean over drawn faults, for the whole tensor and for
    /// each channel, and the small channel is as good as the large one.
    #[test]
    fn channels_of_any_spread_are_read_equally_well() {
        let (count, shape) = (20_000, [2, 10_000]);
        let weights = uneven(count);
        let code = scaled(&weights, &shape, Granularity::Channel, &channel(6));
        let predicted = code.square_error(0, &weights).unwrap();
        assert_relative_eq!(predicted / f64::from(count), code.mse(), max_relative = 1e-2);
        let square = |w: &f32| f64::from(*w).powi(2);
        let mean_square = weights.iter().map(square).sum::<f64>() / f64::from(count);
        assert_relative_eq!(code.mean_square(), mean_square, max_relative = 1e-6);

        let stored = code.encode(0, &weights).unwrap();
        let words = unpack_words(&stored, 6, weights.len());
        let model = code.code().channel().fault_model().unwrap();
        let mut errors = vec![Vec::new(); 2];
        for trial in 0..8 {
            let read = model.corrupted(&words, &FaultStream::new(Seed(5), trial, "w")).unwrap();
            let read = code.decode(0, &pack_words(&read, 6), weights.len()).unwrap();
            for (at, (w, r)) in weights.iter().zip(&read).enumerate() {
                errors[at / shape[1]].push(f64::from(w - r).powi(2));
            }
        }
        for (half, errors) in errors.iter().enumerate() {
            let rows = &weights[half * shape[1]..][..shape[1]];
            let n = errors.len() as f64;
            let mean = errors.iter().sum::<f64>() / n;
            let spread = errors.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / n;
            let predicted = code.square_error(half * shape[1], rows).unwrap() / shape[1] as f64;
            // Two comparisons: a false alarm rate below 1e-5.
            let z = (mean - predicted) / (spread / n).sqrt();
            assert!(z.abs() < 4.6, "channel {half}: {mean} for {predicted}, z = {z}");
        }
        // One scale for all reads the small channel as noise.
        let sample = Sample::of(&weights).unwrap();
        let whole =
            TensorCode::design(&shape, &sample, &channel(6), &DesignConfig::default()).unwrap();
        let small = &weights[..shape[1]];
        let of_small = |code: &TensorCode| {
            code.square_error(0, small).unwrap() / small.iter().map(square).sum::<f64>()
        };
        assert!(of_small(&whole) > 0.9 && of_small(&code) < 0.2, "{}", of_small(&code));
    }

    #[test]
    fn scales_lie_behind_their_code() {
        let weights = uneven(42);
        for granularity in [Granularity::Channel, Granularity::Group(4)] {
            let code = scaled(&weights, &[2, 21], granularity, &channel(3));
            let groups = code.scales().unwrap().scales().len();
            assert_eq!(groups, if granularity == Granularity::Channel { 2 } else { 12 });
            assert_eq!(code.metadata_bits(), 32 * (8 + groups as u64));
            // In pieces as in one.
            let whole = code.encode(0, &weights).unwrap();
            let cut = [code.encode(0, &weights[..16]), code.encode(16, &weights[16..])];
            assert_eq!(cut.map(Result::unwrap).concat(), whole);
            let read = code.decode(0, &whole, 42).unwrap();
            assert_eq!(code.decode(16, &whole[6..], 26).unwrap(), read[16..]);
            for (weight, read) in weights.iter().zip(&read) {
                assert!((weight - read).abs() < 0.05 || weight.abs() > 0.05, "{weight} {read}");
            }
            let mut codec = Codec::new();
            codec.insert("w", code.clone());
            let file = codec.to_bytes();
            assert_eq!(Codec::from_bytes(&file), Ok(codec));
            let (header, body) = FILE.read::<serde_json::Value>(&file).unwrap();
            let entry = &header["tensors"][0];
            let expected = serde_json::json!({"granularity": granularity, "axis": 0});
            assert_eq!((&entry["scales"], &entry["bytes"]), (&expected, &body.len().into()));
            let scales = code.scales().unwrap().scales().iter().flat_map(|s| s.to_le_bytes());
            assert!(body.ends_with(&scales.collect::<Vec<_>>()));

            // A scale that is none, one too few, an axis that is not there.
            let cause = |header: &serde_json::Value, body: &[u8]| {
                let error = Codec::from_bytes(&FILE.write(header, body).unwrap()).unwrap_err();
                std::error::Error::source(&error).unwrap().to_string()
            };
            let mut negative = body.to_vec();
            *negative.last_mut().unwrap() |= 0x80;
            let text = format!("the scale of group {} is -", groups - 1);
            assert!(cause(&header, &negative).contains(&text));
            let edited = |from: &str, to: &str| {
                serde_json::from_str::<serde_json::Value>(&header.to_string().replacen(from, to, 1))
            };
            let text = cause(&edited("[2,21]", "[99999,21]").unwrap(), body);
            assert!(text.contains("bytes are too few for"), "{text}");
            let text = cause(&edited("\"axis\":0", "\"axis\":2").unwrap(), body);
            assert!(text.contains("has no axis 2"), "{text}");
        }
        let one = GroupSquares::new(&[2, 2], Some(0), Granularity::Channel).unwrap();
        let mut one = one;
        one.add(&[1.0; 4]).unwrap();
        let scales = one.into_scales().unwrap();
        let sample = Sample::gaussian();
        for shape in [&[3, 2][..], &[2, 3]] {
            let other =
                TensorCode::design_scaled(shape, scales.clone(), &sample, &channel(1), &quick());
            assert!(matches!(other, Err(CodebookError::Quant(_))), "{other:?}");
        }
    }

    /// Files from before there were scales.
    #[test]
    fn version_2_is_read() {
        let codec = codec();
        let (header, body) = FILE
            .read::<serde_json::Value>(&codec.to_bytes())
            .map(|(header, body)| (header, body.to_vec()))
            .unwrap();
        let old = WITHOUT_SCALES.write(&header, &body).unwrap();
        assert_eq!(Codec::from_bytes(&old), Ok(codec));
        let mut scaled_codec = Codec::new();
        scaled_codec.insert("w", scaled(&uneven(6), &[2, 3], Granularity::Channel, &channel(1)));
        let file = scaled_codec.to_bytes();
        let (header, body) = FILE.read::<serde_json::Value>(&file).unwrap();
        let error = Codec::from_bytes(&WITHOUT_SCALES.write(&header, body).unwrap()).unwrap_err();
        assert!(error.to_string().contains("version 2, which has no scales"), "{error}");
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
        let magic = b"QTAMLCDC\x03\0\0\0".as_slice();
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
        assert_eq!(text, "the codec is of version 1, and this program reads version 3");
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
