//! What lies in the memory for a weight.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use qtaml::compensation::codebook::{CodebookStorage, Codebooks};
use qtaml::compensation::sequence::{SequenceCodes, SequenceStorage};
use qtaml::compensation::{CompensationError, Storage};
use qtaml::fault::{Keeper, Site};
use qtaml::physics::FlipProbability;
use qtaml::quant::BitWidth;
use qtaml::train::{Classifier, StoredNetwork, UnitWeights};

use super::scheme::Scheme;

/// Bits of a word. Wider ones gain little and take seconds to design for each flip probability.
const WIDTHS: RangeInclusive<u32> = 1..=8;
/// Bits of a weight in a sequence.
const RATES: RangeInclusive<u32> = 1..=8;
/// The width at which the response of a layer is measured: the budget that the claims are about.
const EXPOSED: u32 = 8;
/// Fault patterns for sequences: they take long to read, and nearly all patterns leave the same
/// network, that without faults.
const SEQUENCE_PATTERNS: u32 = 6;

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

    /// How many of so many fault patterns there is time for.
    pub fn patterns(self, most: u32) -> u32 {
        if self == Self::Any { most.min(SEQUENCE_PATTERNS) } else { most }
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
        let coded = |code: fn(&Codes, &UnitWeights<'_>) -> Result<_, _>| {
            StoredNetwork::store_with(model, self.granularity, |unit| code(&codes, unit))
        };
        Ok(match self.code {
            Code::Numbers => numbers(self.bits)?,
            Code::ShortNumbers => short_numbers()?,
            Code::Words => coded(Codes::words)?,
            Code::Any => coded(Codes::words)?.or(coded(Codes::sequences)?)?.or(short_numbers()?)?,
        })
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
        let numbers = Self { code: Code::Numbers, keepers: vec![Keeper::Ideal], ..self.clone() };
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
    sequences: Arc<SequenceCodes>,
}

type Stored = Result<Arc<dyn Storage>, CompensationError>;

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
        let (words, sequences) = (Codebooks::new(flips)?, SequenceCodes::new(flips)?);
        let codes = Self { words: Arc::new(words), sequences: Arc::new(sequences) };
        known.insert(key, codes.clone());
        Ok(codes)
    }

    fn word(&self, unit: &UnitWeights<'_>, width: u32) -> Stored {
        Ok(Arc::new(CodebookStorage::new(unit.weights, &self.words, width, 0)?))
    }

    fn words(&self, unit: &UnitWeights<'_>) -> Result<Vec<Arc<dyn Storage>>, CompensationError> {
        WIDTHS.map(|width| self.word(unit, width)).collect()
    }

    fn sequences(
        &self,
        unit: &UnitWeights<'_>,
    ) -> Result<Vec<Arc<dyn Storage>>, CompensationError> {
        let sequence = |bits| -> Stored {
            Ok(Arc::new(Whole(SequenceStorage::new(unit.weights, &self.sequences, bits)?)))
        };
        RATES.map(sequence).collect()
    }
}

/// A sequence whose forecast leaves out that blocks can be lost. To count how many are takes
/// seconds for each length; the trials, which read them, lose as many as there are.
#[derive(Debug)]
struct Whole(SequenceStorage);

impl Storage for Whole {
    fn weights(&self) -> usize {
        self.0.weights()
    }

    fn stored_bits(&self) -> u64 {
        self.0.stored_bits()
    }

    fn protected_bits(&self) -> u64 {
        self.0.protected_bits()
    }

    fn side_bits(&self) -> u64 {
        self.0.side_bits()
    }

    fn mean_square_error(&self) -> f64 {
        self.0.rounding_error()
    }

    fn golden(&self) -> Vec<f32> {
        self.0.golden()
    }

    fn read(&self, site: &Site, start: u64) -> Result<Vec<f32>, CompensationError> {
        self.0.read(site, start)
    }
}
