//! Faults as a file: drawn once, replayed anywhere.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use qtaml_quant::Format;
use serde::{Deserialize, Serialize};

use crate::crc32::crc32;
use crate::leb128::{read_leb128, write_leb128};
use crate::{FaultError, Seed};

const MAGIC: &[u8; 8] = b"QTAMLFLT";
const VERSION: u32 = 1;
/// Magic, version and length of the header in front, the check sum behind.
const FRAME: u64 = 8 + 4 + 8 + 4;

/// What was injected into the tensors of one model in one trial, bit by bit.
///
/// It can be applied to the same tensors again, with no need for the generator that drew it, and
/// be kept as a file.
///
/// ```
/// use qtaml_fault::{BitFlips, FaultModel, FaultRecord, ProtectionMap, Seed, FaultStream};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::BitWidth;
///
/// let stored: Vec<u8> = (0..=255).collect();
/// let p = FlipProbability::symmetric(0.01)?;
/// let stream = FaultStream::new(Seed(42), 0, "fc.weight");
/// let read = BitFlips::new(p, BitWidth::INT8)?.corrupted(&stored, &stream, ProtectionMap::NOTHING);
///
/// let mut record = FaultRecord::new(Seed(42), 0, &p.to_string());
/// record.add("fc.weight", BitWidth::INT8, &stored, &read)?;
/// let file = record.to_bytes();
///
/// let mut words = stored.clone();
/// let record = FaultRecord::from_bytes(&file)?;
/// record.apply("fc.weight", &mut words)?;
/// assert_eq!(words, read);
/// record.apply("fc.weight", &mut words)?;                 // its own inverse
/// assert_eq!(words, stored);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Format
///
/// All integers are little-endian and unsigned.
///
/// | offset | bytes | content |
/// | --- | --- | --- |
/// | 0 | 8 | `QTAMLFLT` in ASCII |
/// | 8 | 4 | version of the format, 1 |
/// | 12 | 8 | length `h` of the header |
/// | 20 | `h` | header, one JSON object in UTF-8 |
/// | 20 + `h` | sum of all `bytes` | faults of each tensor, in the order of the header |
/// | behind them | 4 | CRC-32 (RFC 1952, section 8) of everything before |
///
/// The header has these members and no others:
///
/// ```json
/// {"seed": 42, "trial": 0, "model": "p = 0.01",
///  "tensors": [{"name": "fc.weight", "words": 600,
///               "format": {"bits": 8, "encoding": "twos-complement"}, "bytes": 34}]}
/// ```
///
/// `seed` and `trial` are the address of the random stream, `model` says in words what was drawn,
/// and `bytes` is the length of the tensor's faults. Those are one entry for each faulty word, in
/// rising order, without separators:
///
/// - how many words without a fault lie between the faulty word before (or the begin of the tensor)
///   and this one, in LEB128: seven bits a byte, least significant first, the top bit set in all
///   bytes but the last, and no more bytes than needed (DWARF 5, section 7.6);
/// - one byte with the bits that flipped, at least one and none above the width.
///
/// Reading checks every length before it takes memory, which never exceeds a small multiple of the
/// file's size. The same faults are the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRecord {
    seed: Seed,
    trial: u32,
    model: String,
    tensors: BTreeMap<String, TensorFaults>,
}

/// The faults of one tensor, held as compactly as in a file: two bytes a faulty word, unless
/// faults are rare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorFaults {
    format: Format,
    words: u64,
    flipped_bits: u64,
    entries: Vec<u8>,
    /// The word behind the last faulty one.
    next: u64,
}

/// A word that is read otherwise than it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordFault {
    /// Position of the word in its tensor, row-major.
    pub index: u64,
    /// The bits that flipped, never none.
    pub mask: u8,
}

impl FaultRecord {
    /// A record without tensors; `model` says in words what was drawn.
    pub fn new(seed: Seed, trial: u32, model: &str) -> Self {
        Self { seed, trial, model: model.into(), tensors: BTreeMap::new() }
    }

    /// Records what happened to a whole tensor: the words `stored` were `read`. A width alone
    /// stands for two's complement.
    ///
    /// # Errors
    /// As of [`TensorFaults::append`] and [`insert`](Self::insert).
    pub fn add(
        &mut self,
        name: &str,
        format: impl Into<Format>,
        stored: &[u8],
        read: &[u8],
    ) -> Result<(), FaultError> {
        let mut tensor = TensorFaults::new(format);
        tensor.append(stored, read)?;
        self.insert(name, tensor)
    }

    /// Takes the faults of a tensor.
    ///
    /// # Errors
    /// [`FaultError::DuplicateTensor`] if it has some already.
    pub fn insert(&mut self, name: &str, tensor: TensorFaults) -> Result<(), FaultError> {
        match self.tensors.entry(name.into()) {
            Entry::Occupied(_) => Err(FaultError::DuplicateTensor(name.into())),
            Entry::Vacant(place) => {
                place.insert(tensor);
                Ok(())
            }
        }
    }

    /// Flips in `words`, all words of a tensor, what was flipped when it was recorded. Done twice,
    /// nothing has happened.
    ///
    /// # Errors
    /// [`FaultError::UnknownTensor`], and [`FaultError::Length`] for another number of words; then
    /// no word is changed.
    pub fn apply(&self, name: &str, words: &mut [u8]) -> Result<(), FaultError> {
        let tensor = self.tensor(name)?;
        if words.len() as u64 != tensor.words {
            let (name, recorded, given) = (name.into(), tensor.words, words.len() as u64);
            return Err(FaultError::Length { name, recorded, given });
        }
        for WordFault { index, mask } in tensor.faults() {
            words[index as usize] ^= mask;
        }
        Ok(())
    }

    /// The faults of a tensor.
    ///
    /// # Errors
    /// [`FaultError::UnknownTensor`] if none are recorded.
    pub fn tensor(&self, name: &str) -> Result<&TensorFaults, FaultError> {
        self.tensors.get(name).ok_or_else(|| FaultError::UnknownTensor {
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

    /// Bits that flipped, over all tensors.
    pub fn flipped_bits(&self) -> u64 {
        self.tensors.values().map(TensorFaults::flipped_bits).fold(0, u64::saturating_add)
    }

    /// Bits that were stored, over all tensors, protected ones included.
    pub fn stored_bits(&self) -> u64 {
        self.tensors.values().map(TensorFaults::stored_bits).fold(0, u64::saturating_add)
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
        let entry = |(name, tensor): (&String, &TensorFaults)| TensorHeader {
            name: name.clone(),
            words: tensor.words,
            format: tensor.format,
            bytes: tensor.entries.len() as u64,
        };
        let tensors = self.tensors.iter().map(entry).collect();
        let header =
            Header { seed: self.seed, trial: self.trial, model: self.model.clone(), tensors };
        let header = serde_json::to_vec(&header).expect("names and numbers are always JSON");

        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        for tensor in self.tensors.values() {
            bytes.extend(&tensor.entries);
        }
        bytes.extend(crc32(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`FaultError::NotARecord`], [`FaultError::Version`] for a format that is not known yet,
    /// [`FaultError::Truncated`], [`FaultError::Corrupt`], [`FaultError::DuplicateTensor`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FaultError> {
        let found = bytes.len() as u64;
        let truncated = |expected| FaultError::Truncated { expected, found };
        let rest = bytes.strip_prefix(MAGIC).ok_or(FaultError::NotARecord)?;
        let (&version, rest) = rest.split_first_chunk().ok_or_else(|| truncated(FRAME))?;
        match u32::from_le_bytes(version) {
            VERSION => {}
            other => return Err(FaultError::Version(other)),
        }
        let (&length, rest) = rest.split_first_chunk().ok_or_else(|| truncated(FRAME))?;
        let length = u64::from_le_bytes(length);
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (header, rest) = split.ok_or_else(|| truncated(FRAME.saturating_add(length)))?;
        let header: Header =
            serde_json::from_slice(header).map_err(|e| corrupt(format!("its header: {e}")))?;

        let lengths = header.tensors.iter().map(|tensor| tensor.bytes);
        let expected = lengths.fold(FRAME + length, u64::saturating_add);
        if found < expected {
            return Err(truncated(expected));
        }
        if found > expected {
            return Err(corrupt(format!("{} bytes follow its end", found - expected)));
        }
        let (entries, sum) = rest.split_last_chunk().ok_or_else(|| truncated(expected))?;
        if crc32(&bytes[..bytes.len() - sum.len()]) != u32::from_le_bytes(*sum) {
            return Err(corrupt("its check sum does not fit".into()));
        }
        Self::from_parts(header, entries)
    }

    /// The lengths in `header` add up to that of `entries`.
    fn from_parts(header: Header, mut entries: &[u8]) -> Result<Self, FaultError> {
        let mut record = Self::new(header.seed, header.trial, &header.model);
        for TensorHeader { name, words, format, bytes } in header.tensors {
            let own;
            (own, entries) = entries.split_at(bytes as usize);
            let tensor = TensorFaults::from_entries(format, words, own)
                .ok_or_else(|| corrupt(format!("the faults of tensor {name:?}")))?;
            record.insert(&name, tensor)?;
        }
        Ok(record)
    }
}

impl TensorFaults {
    /// A tensor of no words yet. A width alone stands for two's complement.
    pub fn new(format: impl Into<Format>) -> Self {
        let format = format.into();
        Self { format, words: 0, flipped_bits: 0, entries: Vec::new(), next: 0 }
    }

    /// A tensor of `words` words, of which those in `faults` are faulty, in rising order.
    ///
    /// # Errors
    /// [`FaultError::FaultOrder`] for a fault that does not follow the one before it or lies beyond
    /// the words, [`FaultError::FlipOutside`] for a flipped bit above the width.
    pub fn of_faults(
        format: impl Into<Format>,
        words: u64,
        faults: impl IntoIterator<Item = WordFault>,
    ) -> Result<Self, FaultError> {
        let mut tensor = Self { words, ..Self::new(format) };
        let width = tensor.format.bits();
        for fault in faults {
            let WordFault { index, mask } = fault;
            if index < tensor.next || index >= words {
                return Err(FaultError::FaultOrder { index, words });
            }
            if mask & !width.mask() != 0 {
                return Err(FaultError::FlipOutside { index, mask, width });
            }
            if mask != 0 {
                tensor.push(fault);
            }
        }
        Ok(tensor)
    }

    /// Records what happened to the next words of the tensor: `stored` were `read`.
    ///
    /// # Errors
    /// [`FaultError::ReadLength`] unless both are of one length, [`FaultError::FlipOutside`] for a
    /// flipped bit above the width; then nothing is recorded.
    pub fn append(&mut self, stored: &[u8], read: &[u8]) -> Result<(), FaultError> {
        if stored.len() != read.len() {
            return Err(FaultError::ReadLength { stored: stored.len(), read: read.len() });
        }
        let width = self.format.bits();
        let masks =
            || (self.words..).zip(stored.iter().zip(read).map(|(stored, read)| stored ^ read));
        if let Some((index, mask)) = masks().find(|(_, mask)| mask & !width.mask() != 0) {
            return Err(FaultError::FlipOutside { index, mask, width });
        }
        let faults: Vec<WordFault> = masks()
            .filter(|(_, mask)| *mask != 0)
            .map(|(index, mask)| WordFault { index, mask })
            .collect();
        for fault in faults {
            self.push(fault);
        }
        self.words += stored.len() as u64;
        Ok(())
    }

    /// The faulty words, in rising order.
    pub fn faults(&self) -> impl Iterator<Item = WordFault> {
        let (mut entries, mut next) = (self.entries.as_slice(), 0);
        std::iter::from_fn(move || {
            let fault = read_fault(&mut entries, next)?;
            next = fault.index + 1;
            Some(fault)
        })
    }

    /// The number of words, faulty or not.
    pub fn words(&self) -> u64 {
        self.words
    }

    /// What the words mean.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bits that flipped.
    pub fn flipped_bits(&self) -> u64 {
        self.flipped_bits
    }

    /// Bits that were stored, protected ones included.
    pub fn stored_bits(&self) -> u64 {
        self.words.saturating_mul(self.format.bits().get().into())
    }

    /// Bits that flipped per *stored* bit, see [`FaultRecord::bit_error_rate`].
    pub fn bit_error_rate(&self) -> f64 {
        rate(self.flipped_bits(), self.stored_bits())
    }

    /// `None` for entries that no tensor of so many words in this format could have.
    fn from_entries(format: Format, words: u64, entries: &[u8]) -> Option<Self> {
        let mut tensor = Self { words, entries: entries.into(), ..Self::new(format) };
        let mut rest = entries;
        while !rest.is_empty() {
            let fault = read_fault(&mut rest, tensor.next)?;
            let mask = fault.mask;
            if fault.index >= words || mask == 0 || mask & !format.bits().mask() != 0 {
                return None;
            }
            tensor.note(fault);
        }
        Some(tensor)
    }

    fn push(&mut self, fault: WordFault) {
        write_leb128(&mut self.entries, fault.index - self.next);
        self.entries.push(fault.mask);
        self.note(fault);
    }

    fn note(&mut self, fault: WordFault) {
        self.flipped_bits += u64::from(fault.mask.count_ones());
        self.next = fault.index + 1;
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
    words: u64,
    format: Format,
    bytes: u64,
}

fn corrupt(what: String) -> FaultError {
    FaultError::Corrupt(what)
}

/// A rate of nothing is 0.
fn rate(flipped: u64, stored: u64) -> f64 {
    if stored == 0 { 0.0 } else { flipped as f64 / stored as f64 }
}

/// Takes one entry off the front; `next` is the word behind the faulty one before.
fn read_fault(entries: &mut &[u8], next: u64) -> Option<WordFault> {
    let index = next.checked_add(read_leb128(entries)?)?;
    let (&mask, rest) = entries.split_first()?;
    *entries = rest;
    Some(WordFault { index, mask })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_quant::{BitWidth, Encoding};

    use super::*;

    fn faults(tensor: &TensorFaults) -> Vec<(u64, u8)> {
        tensor.faults().map(|fault| (fault.index, fault.mask)).collect()
    }

    /// Two tensors, one of them with words far apart.
    fn example() -> FaultRecord {
        let mut record = FaultRecord::new(Seed(7), 3, "p = 0.5");
        record.add("fc", BitWidth::INT4, &[1, 2, 3, 4], &[1, 0, 3, 0xf]).unwrap();
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
            r#"{"name":"conv","words":1000,"format":{"bits":8,"encoding":"gray"},"bytes":5},"#,
            r#"{"name":"fc","words":4,"format":{"bits":4,"encoding":"twos-complement"},"bytes":4}]}"#
        );
        let mut expected = b"QTAMLFLT\x01\0\0\0".to_vec();
        expected.extend((header.len() as u64).to_le_bytes());
        expected.extend(header.bytes());
        // 998 = 7 * 128 + 102 words between the two faults.
        expected.extend([0, 0x80, 102 + 0x80, 7, 0x01]);
        expected.extend([1, 0b0010, 1, 0b1011]);
        let file = example().to_bytes();
        assert_eq!(file[..file.len() - 4], expected);
        // By Python's zlib.crc32.
        assert_eq!(file[file.len() - 4..], 0x82aa_2015_u32.to_le_bytes());
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
        let message = |error: FaultError| error.to_string();
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
        let twice = record.add("fc", BitWidth::INT4, &[], &[]);
        assert_eq!(twice, Err(FaultError::DuplicateTensor("fc".into())));
        let mut tensor = TensorFaults::new(BitWidth::INT4);
        let width = BitWidth::INT4;
        assert_eq!(
            tensor.append(&[0, 0], &[1, 16]),
            Err(FaultError::FlipOutside { index: 1, mask: 16, width })
        );
        assert_eq!(tensor.append(&[0], &[]), Err(FaultError::ReadLength { stored: 1, read: 0 }));
        assert_eq!((tensor.words(), tensor.flipped_bits()), (0, 0));
    }

    /// The bytes of a file with this header and these entries, and a check sum that fits.
    fn file(header: &str, entries: &[u8]) -> Vec<u8> {
        let length = (header.len() as u64).to_le_bytes();
        let version = VERSION.to_le_bytes();
        let mut bytes = [&MAGIC[..], &version, &length, header.as_bytes(), entries].concat();
        bytes.extend(crc32(&bytes).to_le_bytes());
        bytes
    }

    #[test]
    fn every_defect_has_its_error() {
        let good = example().to_bytes();
        let error = |bytes: &[u8]| FaultRecord::from_bytes(bytes).unwrap_err();
        assert_eq!(error(b""), FaultError::NotARecord);
        assert_eq!(error(b"\x08\0\0\0\0\0\0\0{}"), FaultError::NotARecord);
        let mut newer = good.clone();
        newer[8] = 2;
        assert_eq!(error(&newer), FaultError::Version(2));
        let (found, expected) = (good.len() as u64 - 1, good.len() as u64);
        assert_eq!(error(&good[..good.len() - 1]), FaultError::Truncated { expected, found });
        let longer = [&good[..], &[0; 3]].concat();
        assert_eq!(error(&longer), FaultError::Corrupt("3 bytes follow its end".into()));
        let mut damaged = good.clone();
        damaged[good.len() - 6] ^= 1;
        assert_eq!(error(&damaged), FaultError::Corrupt("its check sum does not fit".into()));
        assert!(error(&file("[]", &[])).to_string().contains("its header"));
    }

    /// What a check sum cannot see: a file that was made wrong.
    #[test]
    fn hostile_files_with_a_good_check_sum() {
        let tensor = |name: &str, words: &str, bytes: &str| {
            format!(
                r#"{{"name":"{name}","words":{words},"format":{{"bits":4,"encoding":"gray"}},"bytes":{bytes}}}"#
            )
        };
        let header = |tensors: &[String]| {
            format!(r#"{{"seed":0,"trial":0,"model":"","tensors":[{}]}}"#, tensors.join(","))
        };
        let read = |words: &str, entries: &[u8]| {
            let header = header(&[tensor("w", words, &entries.len().to_string())]);
            FaultRecord::from_bytes(&file(&header, entries))
        };
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
            let expected = FaultError::Corrupt("the faults of tensor \"w\"".into());
            assert_eq!(read(words, entries), Err(expected), "{why}");
        }
        let huge = header(&[tensor("w", "1", &most), tensor("v", "1", &most)]);
        let found = file(&huge, &[]).len() as u64;
        let truncated = FaultError::Truncated { expected: u64::MAX, found };
        assert_eq!(FaultRecord::from_bytes(&file(&huge, &[])), Err(truncated));
        let twice = header(&[tensor("w", "1", "0"), tensor("w", "1", "0")]);
        let duplicate = Err(FaultError::DuplicateTensor("w".into()));
        assert_eq!(FaultRecord::from_bytes(&file(&twice, &[])), duplicate);
        let mut endless = file("{}", &[]);
        endless[12..20].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(
            FaultRecord::from_bytes(&endless),
            Err(FaultError::Truncated { expected: u64::MAX, .. })
        ));
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
            record.apply("w", &mut words).unwrap();
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
            let (mut whole, mut slices) =
                (TensorFaults::new(BitWidth::INT8), TensorFaults::new(BitWidth::INT8));
            whole.append(&stored, &read).unwrap();
            slices.append(&stored[..cut], &read[..cut]).unwrap();
            slices.append(&stored[cut..], &read[cut..]).unwrap();
            prop_assert_eq!(slices, whole);
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

        /// Any length, and any header and entries of just that length, with a check sum that fits.
        #[test]
        fn any_bytes_behind_the_version_are_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            header in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let start = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
            prop_assert!(FaultRecord::from_bytes(&[&start[..], &bytes].concat()).is_err());
            let length = (header.len() as u64).to_le_bytes();
            let mut framed = [&start[..], &length, &header, &bytes].concat();
            framed.extend(crc32(&framed).to_le_bytes());
            let error = FaultRecord::from_bytes(&framed).unwrap_err().to_string();
            prop_assert!(error.contains("its header"), "{error}");
        }

        /// Any faults behind a check sum that fits are refused, or the only way to write them.
        #[test]
        fn any_entries_are_refused_or_meant(
            entries in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..3], 0..40),
            words in 0_u64..100,
        ) {
            if let Some(tensor) = TensorFaults::from_entries(BitWidth::INT4.into(), words, &entries) {
                let mut again = TensorFaults::new(BitWidth::INT4);
                let mut read = vec![0; words as usize];
                tensor.faults().for_each(|fault| read[fault.index as usize] = fault.mask);
                again.append(&vec![0; words as usize], &read).unwrap();
                prop_assert_eq!(again, tensor);
            }
        }
    }
}
