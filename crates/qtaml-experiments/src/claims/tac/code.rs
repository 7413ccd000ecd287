//! What lies in the memory for a weight.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Result;
use qtaml::compensation::blockcode::{BlockCodedStorage, BlockCodes};
use qtaml::compensation::codebook::{CodebookStorage, Codebooks};
use qtaml::compensation::{CompensationError, WeightStorage};
use qtaml::fault::{Ecc, FaultStream};
use qtaml::physics::FlipProbability;
use qtaml::quant::BitWidth;
use qtaml::train::{Classifier, StoredNetwork, UnitWeights};

use super::scheme::Scheme;

/// Bits of a word. To design wider ones takes 1 s (9 bits), 3 s (10) and 20 s (12) for each flip
/// probability, and they gain little: at p = 0.1 a word of 12 bits has five times the error of a
/// sequence of 8 bits a weight, and units too short for a sequence take numbers with copied bits.
const WIDTHS: RangeInclusive<u32> = 1..=8;
/// Bits of a weight in a sequence.
const RATES: RangeInclusive<u32> = 1..=8;
/// The width at which the response of a layer is measured: the budget that the claims are about.
const EXPOSED: u32 = 8;

/// What lies in the memory for a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A number, some of whose top bits are protected.
    Numbers,
    /// The same with 2 bits or more: short numbers leave room for check bits.
    ShortNumbers,
    /// A word of a channel-optimised codebook.
    Words,
    /// Whatever suits a unit: words, a sequence that is error corrected as a whole, or numbers.
    Any,
}

impl Code {
    /// Whether protection is of bits.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Numbers | Self::ShortNumbers)
    }

    /// What a choice of a unit is, in words.
    pub fn name(self, choice: u32) -> &'static str {
        let (words, sequences) = (WIDTHS.count() as u32, RATES.count() as u32);
        match self {
            Self::Words => "words",
            Self::Any if choice < words => "words",
            Self::Any if choice < words + sequences => "a sequence",
            Self::Numbers | Self::ShortNumbers | Self::Any => "numbers",
        }
    }
}

impl Scheme {
    /// The network with every way to store a unit that this knows.
    pub fn store<M: Classifier>(
        &self,
        model: &M,
        flips: FlipProbability,
    ) -> Result<StoredNetwork<M>> {
        let numbers = |bits| {
            let scheme = Self { bits, ..self.clone() };
            StoredNetwork::store(model, &scheme.memory(flips.into()))
        };
        let short_numbers = || {
            let mut shorter = BitWidth::all().filter(|bits| *bits < self.bits).rev();
            shorter.try_fold(numbers(self.bits)?, |all, bits| numbers(bits)?.or(all))
        };
        let codes = Codes::of(flips)?;
        let words = || StoredNetwork::store_with(model, self.granularity, |unit| codes.words(unit));
        Ok(match self.code {
            Code::Numbers => numbers(self.bits)?,
            Code::ShortNumbers => short_numbers()?,
            Code::Words => words()?,
            Code::Any => self.any_code(model, flips, words()?, short_numbers()?)?,
        })
    }

    /// The network as words, as every sequence that a unit may be stored as, or as numbers: in the
    /// order that [`Code::name`] counts them in.
    pub fn any_code<M: Classifier>(
        &self,
        model: &M,
        flips: FlipProbability,
        words: StoredNetwork<M>,
        numbers: StoredNetwork<M>,
    ) -> Result<StoredNetwork<M>> {
        let codes = Codes::of(flips)?;
        let sequences =
            StoredNetwork::store_with(model, self.granularity, |unit| codes.sequences(unit))?;
        Ok(words.or(sequences)?.or(numbers)?)
    }

    /// The scheme whose layers are exposed to see what each does: all that may take words share
    /// theirs.
    #[must_use]
    pub fn exposed(&self) -> Self {
        let code = if self.code == Code::Any { Code::Words } else { self.code };
        Self { code, ..self.clone() }
    }

    /// The network with two ways to store a unit, exposed as this would first, without faults last:
    /// to see what faults in one unit alone do.
    pub fn exposable<M: Classifier>(
        &self,
        model: &M,
        flips: FlipProbability,
    ) -> Result<StoredNetwork<M>> {
        let numbers = Self { code: Code::Numbers, eccs: vec![Ecc::Ideal], ..self.clone() };
        let kept = numbers.store(model, flips)?;
        if self.code.is_number() {
            return Ok(kept);
        }
        let codes = Codes::of(flips)?;
        let word = |unit: &UnitWeights<'_>| Ok(vec![codes.word(unit, EXPOSED)?]);
        Ok(StoredNetwork::store_with(model, self.granularity, word)?.or(kept)?)
    }
}

/// All codes of one memory.
#[derive(Clone)]
struct Codes {
    words: Arc<Codebooks>,
    sequences: Arc<BlockCodes>,
}

type Stored = Result<Arc<dyn WeightStorage>, CompensationError>;

impl Codes {
    /// They follow from the memory alone and take seconds to design, so all networks share them.
    fn of(flips: FlipProbability) -> Result<Self> {
        static KNOWN: Mutex<BTreeMap<[u64; 2], Codes>> = Mutex::new(BTreeMap::new());
        // Nothing panics while it is held, and what is in it is whole at any time.
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let key = [flips.p01(), flips.p10()].map(f64::to_bits);
        if let Some(codes) = known.get(&key) {
            return Ok(codes.clone());
        }
        let (words, sequences) = (Codebooks::new(flips)?, BlockCodes::new(flips)?);
        let codes = Self { words: Arc::new(words), sequences: Arc::new(sequences) };
        known.insert(key, codes.clone());
        Ok(codes)
    }

    fn word(&self, unit: &UnitWeights<'_>, width: u32) -> Stored {
        Ok(Arc::new(CodebookStorage::new(unit.weights, &self.words, width, 0)?))
    }

    fn words(
        &self,
        unit: &UnitWeights<'_>,
    ) -> Result<Vec<Arc<dyn WeightStorage>>, CompensationError> {
        WIDTHS.map(|width| self.word(unit, width)).collect()
    }

    fn sequences(
        &self,
        unit: &UnitWeights<'_>,
    ) -> Result<Vec<Arc<dyn WeightStorage>>, CompensationError> {
        let sequence = |bits| -> Stored {
            let storage = BlockCodedStorage::new(unit.weights, &self.sequences, bits)?;
            Ok(Arc::new(Sequence { storage, known: Mutex::default() }))
        };
        RATES.map(sequence).collect()
    }
}

/// A sequence that is decoded once for each fault pattern, however many budgets share it. Trials are
/// decoded as many at a time as the decoder takes.
#[derive(Debug)]
struct Sequence {
    storage: BlockCodedStorage,
    /// By the first trial of a batch and the position of the unit.
    known: Mutex<HashMap<(FaultStream, u64), Slot>>,
}

/// What is read in each trial of a batch, unless it is what was stored.
type Batch = Vec<Option<Vec<f32>>>;
/// Filled without holding up those who want another batch.
type Slot = Arc<OnceLock<Result<Batch, CompensationError>>>;

impl Sequence {
    /// On this thread alone: another one may wait for it.
    fn decode(&self, first: &FaultStream, start: u64) -> Result<Batch, CompensationError> {
        let trials = (0..BlockCodedStorage::TRIALS as u32).map(|i| first.trial() + i);
        let streams: Vec<FaultStream> = trials.map(|trial| first.in_trial(trial)).collect();
        let stored = self.golden();
        let read = self.storage.read_each(&streams, start)?.into_iter();
        Ok(read.map(|read| (read != stored).then_some(read)).collect())
    }
}

impl WeightStorage for Sequence {
    fn weights(&self) -> usize {
        self.storage.weights()
    }

    fn stored_bits(&self) -> u64 {
        self.storage.stored_bits()
    }

    fn protected_bits(&self) -> u64 {
        self.storage.protected_bits()
    }

    fn side_bits(&self) -> u64 {
        self.storage.side_bits()
    }

    /// To count lost blocks takes a tenth of a second for each length, and trials, which read them,
    /// lose as many as there are.
    fn mean_square_error(&self) -> f64 {
        self.storage.forecast()
    }

    fn golden(&self) -> Vec<f32> {
        self.storage.golden()
    }

    fn read(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, CompensationError> {
        let place = stream.trial() % BlockCodedStorage::TRIALS as u32;
        let first = stream.in_trial(stream.trial() - place);
        let slot = {
            // Nothing panics while it is held, and what is in it is whole at any time.
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry((first.clone(), start)).or_default().clone()
        };
        let batch = slot.get_or_init(|| self.decode(&first, start));
        let batch = batch.as_ref().map_err(Clone::clone)?;
        Ok(batch[place as usize].clone().unwrap_or_else(|| self.golden()))
    }
}

#[cfg(test)]
mod tests {
    use qtaml::fault::Seed;

    use super::*;

    /// Patterns of which some lose the block, asked for in any order, as the storage itself reads
    /// them.
    #[test]
    fn what_is_remembered_is_what_is_read() -> Result<()> {
        let made_for = BlockCodes::new(FlipProbability::symmetric(0.05)?)?;
        let codes = Arc::new(made_for.in_memory(FlipProbability::symmetric(0.11)?)?);
        let weights: Vec<f32> = (0..48).map(|i| ((i * 37 % 48) as f32 - 23.5) / 9.0).collect();
        let storage = BlockCodedStorage::new(&weights, &codes, 8)?;
        let sequence = Sequence { storage: storage.clone(), known: Mutex::default() };
        let mut lost = 0;
        for trial in [1, 0, 17, 1, u32::MAX, 20, 21, 22, 23, 24, 25] {
            for (tensor, start) in [("a", 0), ("b", 0), ("a", 5)] {
                let stream = FaultStream::new(Seed(1), trial, tensor);
                let read = sequence.read(&stream, start)?;
                assert_eq!(read, storage.read(&stream, start)?, "{tensor} {trial} {start}");
                lost += usize::from(read != storage.golden());
            }
        }
        assert!((1..33).contains(&lost), "{lost}");
        Ok(())
    }
}
