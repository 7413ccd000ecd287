//! Fault records: faults as a file, drawn once and replayed anywhere.

mod digest;
mod leb128;
mod tensor;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use qtaml_quant::{Format, Scaling};
use serde::{Deserialize, Serialize};

pub use self::digest::{DigestError, WordDigest, WordDigester};
pub use self::tensor::{FaultEffect, TensorFaults, TensorRecorder, WordFault};
use crate::frame::FileKind;
use crate::{RecordError, Seed};

const FILE: FileKind = FileKind { name: "fault file", magic: *b"QTAMLFLT", version: 3 };

/// What was injected into the tensors of one model in one trial, bit by bit.
///
/// It can be applied to the same words again, with no need for the generator that drew it, and be kept
/// as a file.
///
/// ```
/// use qtaml_fault::{BitFlips, FaultModel, FaultRecord, ProtectionMap, Seed, FaultStream};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::BitWidth;
///
/// let stored: Vec<u8> = (0..=255).collect();
/// let p = FlipProbability::symmetric(0.01)?;
/// let stream = FaultStream::new(Seed(42), 0, "fc.weight");
/// let read = BitFlips::new(p, BitWidth::INT8)?.corrupted(&stored, &stream, ProtectionMap::NOTHING)?;
///
/// let mut record = FaultRecord::new(Seed(42), 0, &p.to_string());
/// record.add("fc.weight", BitWidth::INT8, &stored, &read)?;
/// let file = record.to_bytes();
///
/// let mut words = stored.clone();
/// let record = FaultRecord::from_bytes(&file)?;
/// record.apply("fc.weight", &mut words)?;
/// assert_eq!(words, read);
/// // Those are other words than the faults were drawn on.
/// assert!(record.apply("fc.weight", &mut words).is_err());
/// record.apply_anyway("fc.weight", &mut words)?;          // flips are their own inverse
/// assert_eq!(words, stored);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Format
///
/// The file is in the frame of [`frame`](crate::frame), with the magic `QTAMLFLT` and the version 3. The
/// header has these members and one more:
///
/// ```json
/// {"seed": 42, "trial": 0, "model": "p = 0.01",
///  "tensors": [{"name": "fc.weight", "words": 600,
///               "format": {"bits": 8, "encoding": "twos-complement"},
///               "scaling": {"granularity": "channel", "axis": 0, "range": "symmetric", "clip": "max"},
///               "effect": "flip", "sha256": "9f86...", "bytes": 34}]}
/// ```
///
/// `seed` and `trial` are the address of the random stream, `model` says in words what was drawn,
/// `scaling` is how the words follow from weights ([`Scaling`]) or `null` if they lie in the model as they are,
/// `sha256` is the digest of the words that the faults were drawn on ([`WordDigest`]), and `bytes` is the
/// length of the tensor's faults. Faults in what is stored beside a tensor, such as its scales, are another
/// entry behind those of all tensors, of the same `name` and with the member `"substream": "scale"`: the
/// name of their [substream](crate::FaultStream::substream). The body holds the faults of each tensor, in the order of the header.
/// They are one entry for each faulty word, in rising order, without separators:
///
/// - how many words without a fault lie between the faulty word before (or the begin of the tensor)
///   and this one, in LEB128: seven bits a byte, least significant first, the top bit set in all
///   bytes but the last, and no more bytes than needed (DWARF 5, section 7.6);
/// - one byte with the bits that were read wrong, at least one and none above the width;
/// - if the effect is `stuck`, one byte with the values that these bits were read as, and no others.
///
/// Reading checks every length before it takes memory, which never exceeds a small multiple of the
/// file's size. The same faults are the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRecord {
    seed: Seed,
    trial: u32,
    model: String,
    tensors: BTreeMap<String, TensorFaults>,
    /// By the names of the tensor and of the substream.
    beside: BTreeMap<(String, String), TensorFaults>,
}

impl FaultRecord {
    /// A record without tensors; `model` says in words what was drawn.
    pub fn new(seed: Seed, trial: u32, model: &str) -> Self {
        let (tensors, beside) = (BTreeMap::new(), BTreeMap::new());
        Self { seed, trial, model: model.into(), tensors, beside }
    }

    /// Records flips in a whole tensor: the words `stored` were `read`. A width alone stands for two's
    /// complement. For stuck cells, and for tensors in pieces, there is [`TensorRecorder`].
    ///
    /// # Errors
    /// As [`TensorRecorder::append`] and [`insert`](Self::insert).
    pub fn add(
        &mut self,
        name: &str,
        format: impl Into<Format>,
        stored: &[u8],
        read: &[u8],
    ) -> Result<(), RecordError> {
        let mut tensor = TensorRecorder::new(format, FaultEffect::Flip);
        tensor.append(stored, read)?;
        self.insert(name, tensor.finish())
    }

    /// Takes the faults of a tensor.
    ///
    /// # Errors
    /// [`RecordError::DuplicateTensor`] if it has some already.
    pub fn insert(&mut self, name: &str, tensor: TensorFaults) -> Result<(), RecordError> {
        insert(&mut self.tensors, name.into(), name, tensor)
    }

    /// Takes the faults of what is stored beside a tensor, and drawn from a
    /// [substream](crate::FaultStream::substream) of it.
    ///
    /// # Errors
    /// [`RecordError::DuplicateTensor`] if it has some already.
    pub fn insert_beside(
        &mut self,
        name: &str,
        substream: &str,
        faults: TensorFaults,
    ) -> Result<(), RecordError> {
        insert(&mut self.beside, (name.into(), substream.into()), name, faults)
    }

    /// What is recorded beside the words of tensors: the names of tensor and substream, and the faults, in the
    /// order of the names.
    pub fn beside(&self) -> impl ExactSizeIterator<Item = (&str, &str, &TensorFaults)> {
        let all = self.beside.iter();
        all.map(|((name, substream), faults)| (name.as_str(), substream.as_str(), faults))
    }

    /// What is recorded beside the words of one tensor, if anything is.
    pub fn beside_tensor(&self, name: &str, substream: &str) -> Option<&TensorFaults> {
        self.beside.get(&(name.to_owned(), substream.to_owned()))
    }

    /// Does to `words`, all words of a tensor, what was done to them when it was recorded.
    ///
    /// # Errors
    /// [`RecordError::UnknownTensor`], [`RecordError::Length`] for another number of words,
    /// [`RecordError::OtherWords`] for other words than the faults were drawn on; then no word is changed.
    pub fn apply(&self, name: &str, words: &mut [u8]) -> Result<(), RecordError> {
        self.tensor_of(name, words.len())?.check_digest(name, WordDigest::of(words))?;
        self.apply_anyway(name, words)
    }

    /// Does the same to other words. Flips are flipped; a cell that was seen to be stuck is read as the
    /// value that it is stuck at. Stuck cells that stored that value when they were recorded are not known.
    ///
    /// # Errors
    /// [`RecordError::UnknownTensor`], and [`RecordError::Length`] for another number of words; then
    /// no word is changed.
    pub fn apply_anyway(&self, name: &str, words: &mut [u8]) -> Result<(), RecordError> {
        let tensor = self.tensor_of(name, words.len())?;
        for fault in tensor.faults() {
            let word = &mut words[fault.index as usize];
            *word = fault.applied_to(*word);
        }
        Ok(())
    }

    /// The faults of a tensor of so many words.
    fn tensor_of(&self, name: &str, words: usize) -> Result<&TensorFaults, RecordError> {
        let tensor = self.tensor(name)?;
        let (recorded, given) = (tensor.words(), words as u64);
        if given != recorded {
            return Err(RecordError::Length { name: name.into(), recorded, given });
        }
        Ok(tensor)
    }

    /// The faults of a tensor.
    ///
    /// # Errors
    /// [`RecordError::UnknownTensor`] if none are recorded.
    pub fn tensor(&self, name: &str) -> Result<&TensorFaults, RecordError> {
        self.tensors.get(name).ok_or_else(|| RecordError::UnknownTensor {
            name: name.into(),
            known: self.tensors.keys().cloned().collect(),
        })
    }

    /// All tensors with their names, in the order of these.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = (&str, &TensorFaults)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The seed that everything was drawn from.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The trial that was drawn.
    pub fn trial(&self) -> u32 {
        self.trial
    }

    /// What was drawn, in words.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Bits that flipped, over all tensors and what is recorded beside them.
    pub fn flipped_bits(&self) -> u64 {
        self.all().map(TensorFaults::flipped_bits).fold(0, u64::saturating_add)
    }

    /// Bits that were stored, over all tensors and what is recorded beside them, protected ones included.
    pub fn stored_bits(&self) -> u64 {
        self.all().map(TensorFaults::stored_bits).fold(0, u64::saturating_add)
    }

    /// In the order of a file.
    fn all(&self) -> impl Iterator<Item = &TensorFaults> {
        self.tensors.values().chain(self.beside.values())
    }

    /// Bits that flipped per *stored* bit, over all tensors. Protected bits are stored bits: with
    /// protection this lies below the flip probability.
    pub fn bit_error_rate(&self) -> f64 {
        rate(self.flipped_bits(), self.stored_bits())
    }

    /// The record as a file.
    ///
    /// # Panics
    /// Never: a header of names and numbers is always JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entry =
            |name: &String, substream: Option<&String>, tensor: &TensorFaults| TensorHeader {
                name: name.clone(),
                substream: substream.cloned(),
                words: tensor.words(),
                format: tensor.format(),
                scaling: tensor.scaling(),
                effect: tensor.effect(),
                sha256: tensor.digest(),
                bytes: tensor.entries().len() as u64,
            };
        let tensors = self.tensors.iter().map(|(name, tensor)| entry(name, None, tensor));
        let beside = self.beside.iter();
        let beside = beside.map(|((name, what), tensor)| entry(name, Some(what), tensor));
        let tensors = tensors.chain(beside).collect();
        let header =
            Header { seed: self.seed, trial: self.trial, model: self.model.clone(), tensors };
        let body: Vec<&[u8]> = self.all().map(TensorFaults::entries).collect();
        FILE.write(&header, &body.concat()).expect("names and numbers are always JSON")
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`RecordError::File`] for what is no such file, of another version, or damaged;
    /// [`RecordError::DuplicateTensor`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let (header, mut entries) = FILE.read::<Header>(bytes)?;
        let lengths = header.tensors.iter().map(|tensor| tensor.bytes);
        let (expected, found) = (lengths.fold(0, u64::saturating_add), entries.len() as u64);
        if expected != found {
            let what =
                format!("its tensors have {expected} bytes of faults, and {found} are there");
            return Err(FILE.corrupt(what).into());
        }
        let mut record = Self::new(header.seed, header.trial, &header.model);
        for tensor in header.tensors {
            let TensorHeader { name, substream, words, format, scaling, effect, sha256, bytes } =
                tensor;
            let own;
            (own, entries) = entries.split_at(bytes as usize);
            let tensor = TensorFaults::from_entries((format, scaling), effect, words, sha256, own)
                .ok_or_else(|| FILE.corrupt(format!("the faults of tensor {name:?}")))?;
            match substream {
                None => record.insert(&name, tensor)?,
                Some(substream) => record.insert_beside(&name, &substream, tensor)?,
            }
        }
        Ok(record)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    seed: Seed,
    trial: u32,
    model: String,
    tensors: Vec<TensorHeader>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorHeader {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    substream: Option<String>,
    words: u64,
    format: Format,
    scaling: Option<Scaling>,
    effect: FaultEffect,
    sha256: WordDigest,
    bytes: u64,
}

/// Takes faults under a key that has none yet; `name` is that of the tensor.
fn insert<K: Ord>(
    all: &mut BTreeMap<K, TensorFaults>,
    key: K,
    name: &str,
    faults: TensorFaults,
) -> Result<(), RecordError> {
    match all.entry(key) {
        Entry::Occupied(_) => Err(RecordError::DuplicateTensor(name.into())),
        Entry::Vacant(place) => {
            place.insert(faults);
            Ok(())
        }
    }
}

/// A rate of nothing is 0.
fn rate(flipped: u64, stored: u64) -> f64 {
    if stored == 0 { 0.0 } else { flipped as f64 / stored as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_quant::{BitWidth, Clip, CodeRange, Encoding, Granularity};

    use super::*;
    use crate::{BitFlips, FaultModel, FaultStream, ProtectionMap};

    fn faults(tensor: &TensorFaults) -> Vec<(u64, u8)> {
        tensor.faults().map(|fault| (fault.index, fault.mask)).collect()
    }

    /// Two tensors, one of them with words far apart.
    fn example() -> FaultRecord {
        let mut record = FaultRecord::new(Seed(7), 3, "p = 0.5");
        let mut fc = TensorRecorder::new(BitWidth::INT4, FaultEffect::Stuck);
        let scaling = Scaling {
            granularity: Granularity::Group(2),
            axis: Some(1),
            range: CodeRange::MinMax,
            clip: Clip::MinMse,
        };
        fc = fc.with_scaling(scaling);
        fc.append(&[1, 2, 3, 4], &[1, 0, 3, 0xf]).unwrap();
        record.insert("fc", fc.finish()).unwrap();
        let (stored, mut read) = (vec![0; 1000], vec![0; 1000]);
        (read[0], read[999]) = (0x80, 0x01);
        let gray = Format::new(BitWidth::INT8, Encoding::Gray);
        record.add("conv", gray, &stored, &read).unwrap();
        record
    }

    /// A file is a promise to other programs: every byte of it, by hand.
    #[test]
    fn the_format_is_the_documented_one() {
        let header = concat!(
            r#"{"seed":7,"trial":3,"model":"p = 0.5","tensors":["#,
            r#"{"name":"conv","words":1000,"format":{"bits":8,"encoding":"gray"},"#,
            r#""scaling":null,"effect":"flip","#,
            r#""sha256":"541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53","bytes":5},"#,
            r#"{"name":"fc","words":4,"format":{"bits":4,"encoding":"twos-complement"},"#,
            r#""scaling":{"granularity":"group:2","axis":1,"range":"min-max","clip":"min-mse"},"#,
            r#""effect":"stuck","#,
            r#""sha256":"9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a","bytes":6}]}"#
        );
        let mut expected = b"QTAMLFLT\x03\0\0\0".to_vec();
        expected.extend((header.len() as u64).to_le_bytes());
        expected.extend(11_u64.to_le_bytes());
        expected.extend(header.bytes());
        // 998 = 7 * 128 + 102 words between the two faults.
        expected.extend([0, 0x80, 102 + 0x80, 7, 0x01]);
        expected.extend([1, 0b0010, 0, 1, 0b1011, 0b1011]);
        let file = example().to_bytes();
        assert_eq!(file[..file.len() - 4], expected);
        // By Python's zlib.crc32.
        assert_eq!(file[file.len() - 4..], 0x58a4_c9d3_u32.to_le_bytes());
    }

    #[test]
    fn faults_beside_a_tensor_have_an_entry_of_their_own() {
        let mut record = example();
        let mut scales = TensorRecorder::new(BitWidth::INT8, FaultEffect::Flip);
        scales.append(&[0, 0, 128, 63], &[0, 0, 128, 191]).unwrap();
        let scales = scales.finish();
        record.insert_beside("fc", "scale", scales.clone()).unwrap();
        assert_eq!((record.flipped_bits(), record.stored_bits()), (7, 8048));
        let file = record.to_bytes();
        let entry = r#","bytes":6},{"name":"fc","substream":"scale","words":4,"format""#;
        assert!(String::from_utf8_lossy(&file).contains(entry));
        let read = FaultRecord::from_bytes(&file).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.beside().collect::<Vec<_>>(), [("fc", "scale", &scales)]);
        assert_eq!(read.beside_tensor("fc", "scale"), Some(&scales));
        assert_eq!(read.beside_tensor("conv", "scale"), None);
        assert_eq!(read.tensors().len(), 2, "they are no tensor");
        let twice = record.insert_beside("fc", "scale", scales);
        assert_eq!(twice, Err(RecordError::DuplicateTensor("fc".into())));
    }

    #[test]
    fn rates_are_per_stored_bit() {
        let record = example();
        let fc = record.tensor("fc").unwrap();
        assert_eq!((fc.flipped_bits(), fc.stored_bits(), fc.bit_error_rate()), (4, 16, 0.25));
        assert_eq!((record.flipped_bits(), record.stored_bits()), (6, 8016));
        assert_eq!(record.bit_error_rate(), 6.0 / 8016.0);
        assert_eq!(FaultRecord::new(Seed(0), 0, "").bit_error_rate(), 0.0);
        assert_eq!(faults(record.tensor("conv").unwrap()), [(0, 0x80), (999, 1)]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut record = example();
        let message = |error: RecordError| error.to_string();
        assert_eq!(
            message(record.apply("head", &mut []).unwrap_err()),
            "no faults of tensor \"head\" are recorded: there are [\"conv\", \"fc\"]"
        );
        let mut three = [9, 9, 9];
        assert_eq!(
            message(record.apply("fc", &mut three).unwrap_err()),
            "the faults of tensor \"fc\" are those of 4 words, and 3 are there"
        );
        assert_eq!(three, [9, 9, 9]);
        let mut other = [1, 2, 3, 5];
        let expected = format!(
            "the faults of tensor \"fc\" were drawn on other words: those have the SHA-256 {}, and \
             these {}",
            WordDigest::of(&[1, 2, 3, 4]),
            WordDigest::of(&other)
        );
        assert_eq!(message(record.apply("fc", &mut other).unwrap_err()), expected);
        assert_eq!(other, [1, 2, 3, 5]);
        let twice = record.add("fc", BitWidth::INT4, &[], &[]);
        assert_eq!(twice, Err(RecordError::DuplicateTensor("fc".into())));
        let mut tensor = TensorRecorder::new(BitWidth::INT4, FaultEffect::Flip);
        let width = BitWidth::INT4;
        assert_eq!(
            tensor.append(&[0, 0], &[1, 16]),
            Err(RecordError::FlipOutside { index: 1, mask: 16, width })
        );
        assert_eq!(tensor.append(&[0], &[]), Err(RecordError::ReadLength { stored: 1, read: 0 }));
        let tensor = tensor.finish();
        assert_eq!((tensor.words(), tensor.flipped_bits()), (0, 0));
    }

    /// A record of stuck cells never flips a bit away from where it is stuck.
    #[test]
    fn stuck_cells_stay_stuck_on_other_words() {
        let record = example();
        let (mut zeros, mut ones) = ([0; 4], [0xf; 4]);
        assert!(record.apply("fc", &mut zeros).is_err());
        record.apply_anyway("fc", &mut zeros).unwrap();
        assert_eq!(zeros, [0, 0, 0, 0b1011]);
        record.apply_anyway("fc", &mut ones).unwrap();
        assert_eq!(ones, [0xf, 0b1101, 0xf, 0xf]);
        record.apply_anyway("fc", &mut ones).unwrap();
        assert_eq!(ones, [0xf, 0b1101, 0xf, 0xf], "nothing changes any more");
        let stuck = BitFlips::stuck(0.3, 0.0, BitWidth::INT8).unwrap();
        let stream = FaultStream::new(Seed(1), 0, "w");
        let read = stuck.corrupted(&[0xff; 500], &stream, ProtectionMap::NOTHING).unwrap();
        let mut recorder = TensorRecorder::new(BitWidth::INT8, FaultEffect::Stuck);
        recorder.append(&[0xff; 500], &read).unwrap();
        let mut record = FaultRecord::new(Seed(1), 0, "stuck at 0");
        record.insert("w", recorder.finish()).unwrap();
        for stored in [0, 0xff, 0x5a] {
            let mut words = [stored; 500];
            record.apply_anyway("w", &mut words).unwrap();
            let expected = stuck.corrupted(&[stored; 500], &stream, ProtectionMap::NOTHING);
            assert_eq!(words, *expected.unwrap(), "all of them were seen on ones");
        }
    }

    /// The bytes of a file with this header and these entries, and a checksum that fits.
    fn file(header: &str, entries: &[u8]) -> Vec<u8> {
        let header: serde_json::Value = serde_json::from_str(header).unwrap();
        FILE.write(&header, entries).unwrap()
    }

    fn corrupt(what: &str) -> RecordError {
        FILE.corrupt(what).into()
    }

    #[test]
    fn every_defect_has_its_error() {
        let good = example().to_bytes();
        let error = |bytes: &[u8]| FaultRecord::from_bytes(bytes).unwrap_err();
        assert_eq!(
            error(b"PK").to_string(),
            "this is no fault file: it does not begin with QTAMLFLT"
        );
        let mut older = good.clone();
        older[8] = 1;
        assert_eq!(
            error(&older).to_string(),
            "the fault file is of version 1, and this program reads version 3"
        );
        let mut damaged = good.clone();
        damaged[good.len() - 6] ^= 1;
        assert!(error(&damaged).to_string().starts_with("the fault file is damaged: its checksum"));
        assert!(error(&file("[]", &[])).to_string().contains("header of the fault file"));
    }

    /// What a checksum cannot see: a file that was made wrong.
    #[test]
    fn hostile_files_with_a_good_checksum() {
        let tensor = |name: &str, words: &str, effect: &str, bytes: &str| {
            let (digest, format) = (WordDigest::of(b""), r#"{"bits":4,"encoding":"gray"}"#);
            format!(
                r#"{{"name":"{name}","words":{words},"format":{format},"scaling":null,"effect":"{effect}","sha256":"{digest}","bytes":{bytes}}}"#
            )
        };
        let header = |tensors: &[String]| {
            format!(r#"{{"seed":0,"trial":0,"model":"","tensors":[{}]}}"#, tensors.join(","))
        };
        let read_as = |effect: &str, words: &str, entries: &[u8]| {
            let header = header(&[tensor("w", words, effect, &entries.len().to_string())]);
            FaultRecord::from_bytes(&file(&header, entries))
        };
        let read = |words: &str, entries: &[u8]| read_as("flip", words, entries);
        assert_eq!(faults(read("9", &[8, 0xf]).unwrap().tensor("w").unwrap()), [(8, 0xf)]);
        let most = u64::MAX.to_string();
        assert_eq!(read(&most, &[0, 1]).unwrap().stored_bits(), u64::MAX);
        for (words, entries, why) in [
            ("8", &[8, 1][..], "a word behind the last one"),
            ("8", &[0, 0], "a fault that flips nothing"),
            ("8", &[0, 0x10], "a bit above the width"),
            ("8", &[0], "an entry without its bits"),
            ("8", &[0x80], "half a number"),
            ("8", &[0x80, 0, 1], "a number longer than need be"),
            (&most, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1], "the last"),
            (&most, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1], "65 bits"),
            (&most, &[0x80; 20], "no end"),
        ] {
            let expected = corrupt("the faults of tensor \"w\"");
            assert_eq!(read(words, entries), Err(expected), "{why}");
        }
        for (entries, why) in [(&[8, 0xf][..], "no values"), (&[8, 6, 1], "values of other bits")] {
            let expected = corrupt("the faults of tensor \"w\"");
            assert_eq!(read_as("stuck", "9", entries), Err(expected), "{why}");
        }
        assert!(read_as("stuck", "9", &[8, 6, 2]).is_ok());
        let huge = header(&[tensor("w", "1", "flip", &most), tensor("v", "1", "flip", &most)]);
        let error = FaultRecord::from_bytes(&file(&huge, &[])).unwrap_err().to_string();
        assert!(error.contains("and 0 are there"), "{error}");
        let twice = header(&[tensor("w", "1", "flip", "0"), tensor("w", "1", "flip", "0")]);
        let duplicate = Err(RecordError::DuplicateTensor("w".into()));
        assert_eq!(FaultRecord::from_bytes(&file(&twice, &[])), duplicate);
    }

    /// A tensor as it was stored and as it was read, with faults both dense and rare.
    fn tensor() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let word = (any::<u8>(), prop_oneof![9 => Just(0), 1 => any::<u8>()]);
        prop::collection::vec(word.prop_map(|(word, mask)| (word, word ^ mask)), 0..600)
            .prop_map(|words| words.into_iter().unzip())
    }

    fn record() -> impl Strategy<Value = FaultRecord> {
        (any::<u64>(), any::<u32>(), ".*", prop::collection::btree_map(".*", tensor(), 0..4))
            .prop_map(|(seed, trial, model, tensors)| {
                let mut record = FaultRecord::new(Seed(seed), trial, &model);
                for (name, (stored, read)) in tensors {
                    record.add(&name, BitWidth::INT8, &stored, &read).unwrap();
                }
                record
            })
    }

    proptest! {
        #[test]
        fn faults_are_replayed_and_undone((stored, read) in tensor()) {
            let mut record = FaultRecord::new(Seed(0), 0, "");
            record.add("w", BitWidth::INT8, &stored, &read).unwrap();
            let mut words = stored.clone();
            record.apply("w", &mut words).unwrap();
            prop_assert_eq!(&words, &read);
            if read != stored {
                let error = record.apply("w", &mut words).unwrap_err();
                let is_refused = matches!(error, RecordError::OtherWords { .. });
                prop_assert!(is_refused && words == read);
            }
            record.apply_anyway("w", &mut words).unwrap();
            prop_assert_eq!(&words, &stored);
            let flipped: u32 = stored.iter().zip(&read).map(|(s, r)| (s ^ r).count_ones()).sum();
            prop_assert_eq!(record.flipped_bits(), u64::from(flipped));
        }

        #[test]
        fn slices_agree_with_the_whole(
            (stored, read) in tensor(),
            cut in any::<prop::sample::Index>(),
        ) {
            let cut = cut.index(stored.len() + 1);
            let (mut whole, mut slices) = (
                TensorRecorder::new(BitWidth::INT8, FaultEffect::Stuck),
                TensorRecorder::new(BitWidth::INT8, FaultEffect::Stuck),
            );
            whole.append(&stored, &read).unwrap();
            slices.append(&stored[..cut], &read[..cut]).unwrap();
            slices.append(&stored[cut..], &read[cut..]).unwrap();
            prop_assert_eq!(slices.finish(), whole.finish());
        }

        #[test]
        fn a_file_holds_everything(record in record()) {
            prop_assert_eq!(FaultRecord::from_bytes(&record.to_bytes()), Ok(record));
        }

        #[test]
        fn damaged_files_are_refused(
            record in record(),
            place in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let mut file = record.to_bytes();
            let place = place.index(file.len());
            prop_assert!(FaultRecord::from_bytes(&file[..place]).is_err());
            file[place] ^= 1 << bit;
            prop_assert!(FaultRecord::from_bytes(&file).is_err());
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(FaultRecord::from_bytes(&bytes).is_err());
        }

        /// Any faults are refused, or the only way to write them.
        #[test]
        fn any_entries_are_refused_or_meant(
            entries in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..3], 0..40),
            words in 0_u64..100,
        ) {
            let stored = vec![0; words as usize];
            let digest = WordDigest::of(&stored);
            let (format, effect) = (BitWidth::INT4.into(), FaultEffect::Flip);
            let read = TensorFaults::from_entries((format, None), effect, words, digest, &entries);
            if let Some(tensor) = read {
                let mut again = TensorRecorder::new(format, effect);
                let mut read = stored.clone();
                tensor.faults().for_each(|fault| read[fault.index as usize] = fault.mask);
                again.append(&stored, &read).unwrap();
                prop_assert_eq!(again.finish(), tensor);
            }
        }
    }
}
