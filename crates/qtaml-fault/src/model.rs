//! What a fault model is.

use qtaml_quant::{BitWidth, PackedWords, QuantizedTensor};
use rayon::prelude::*;

use crate::{FaultError, Protected, Site};

/// Words that one thread reads at a time: enough to be worth a thread, few enough for its cache.
pub(crate) const CHUNK: usize = 1 << 18;

/// A way in which a memory reads back other bits than it stores.
///
/// A model is pure: which bits are read wrong follows from the site, the position, the stored word
/// and the model. So a tensor may be cut into any slices, on any number of threads, and more
/// protection only takes faults away. Two models of one kind draw from the same random numbers at
/// the same site: a second one wants a site of its own.
///
/// ```
/// use qtaml_fault::{BitFlips, Bursts, FaultModel, FlipCount, Protection, Seed, Site};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::BitWidth;
///
/// let models: [&dyn FaultModel; 3] = [
///     &BitFlips::new(FlipProbability::symmetric(0.01)?, BitWidth::INT8)?,
///     &Bursts::new(1e-4, 3, BitWidth::INT8)?,
///     &FlipCount::new(50, 1000, BitWidth::INT8)?,
/// ];
/// let site = Site::new(Seed(42), 0, "conv1.weight");
/// for model in models {
///     let read = model.read(&[0; 1000], &site, Protection::NONE.into());
///     assert!(read.iter().any(|&word| word != 0));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait FaultModel: Sync {
    /// The width of the words that it damages.
    fn bits(&self) -> BitWidth;

    /// Replaces `words`, a slice of a tensor that starts at word `first`, by what is read.
    ///
    /// # Panics
    /// If `protected` says something of every word, but not of as many words as there are; if the
    /// slice lies beyond 2^61 words.
    fn inject(&self, words: &mut [u8], first: u64, site: &Site, protected: Protected<'_>);

    /// The words of the only tensor that it is for, where its faults are counted and not drawn for
    /// each bit: others are never hit.
    fn only_words(&self) -> Option<u64> {
        None
    }

    /// Words that one thread should be given at a time. It changes the time that it takes, and
    /// nothing else.
    fn grain(&self) -> usize {
        CHUNK
    }

    /// The same as [`inject`](Self::inject), on all threads.
    ///
    /// # Panics
    /// As [`inject`](Self::inject).
    fn inject_from(&self, words: &mut [u8], first: u64, site: &Site, protected: Protected<'_>) {
        protected.check_len(words.len());
        let grain = self.grain();
        words.par_chunks_mut(grain).enumerate().for_each(|(chunk, words)| {
            let from = chunk * grain;
            let protected = protected.slice(from..from + words.len());
            self.inject(words, first + from as u64, site, protected);
        });
    }

    /// Replaces `words`, a whole tensor, by what is read; on all threads.
    ///
    /// # Panics
    /// As [`inject`](Self::inject).
    fn inject_all(&self, words: &mut [u8], site: &Site, protected: Protected<'_>) {
        self.inject_from(words, 0, site, protected);
    }

    /// What is read where `words`, a whole tensor, are stored; on all threads.
    ///
    /// # Panics
    /// As [`inject`](Self::inject).
    fn read(&self, words: &[u8], site: &Site, protected: Protected<'_>) -> Vec<u8> {
        let mut read = words.to_vec();
        self.inject_all(&mut read, site, protected);
        read
    }
}

/// What is read of words that are stored back to back.
///
/// The faults are those of the same words one by one: packing changes where bits lie, not which of
/// them flip.
///
/// ```
/// use qtaml_fault::{BitFlips, FaultModel, Protected, Seed, Site, read_packed};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::{BitWidth, PackedWords};
///
/// let words = [1, 2, 3, 4, 5];
/// let stored = PackedWords::pack(&words, BitWidth::INT4)?;
/// let model = BitFlips::new(FlipProbability::symmetric(0.2)?, BitWidth::INT4)?;
/// let site = Site::new(Seed(42), 0, "fc.weight");
/// let read = read_packed(&stored, &model, &site, Protected::NOTHING)?;
/// assert_eq!(read.unpack(), model.read(&words, &site, Protected::NOTHING));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`FaultError::Width`] if the model is for words of another width.
///
/// # Panics
/// As [`FaultModel::inject`].
pub fn read_packed(
    stored: &PackedWords,
    model: &dyn FaultModel,
    site: &Site,
    protected: Protected<'_>,
) -> Result<PackedWords, FaultError> {
    let (given, expected) = (stored.bits(), model.bits());
    let mut words = stored.unpack();
    model.inject_all(&mut words, site, protected);
    match PackedWords::pack(&words, given) {
        Ok(read) if given == expected => Ok(read),
        _ => Err(FaultError::Width { given, expected }),
    }
}

/// A tensor as it is read, and how it differs from what is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Faulty {
    /// What is read, row-major.
    pub words: Vec<u8>,
    /// Bits that are read wrong.
    pub flips: u64,
    /// Bits that are stored, protected ones included.
    pub stored_bits: u64,
}

impl Faulty {
    /// The share of *stored* bits that are read wrong.
    pub fn bit_error_rate(&self) -> f64 {
        self.flips as f64 / self.stored_bits as f64
    }
}

/// Reads `stored` through `model`, with nothing protected.
///
/// ```
/// use qtaml_fault::{BitFlips, Seed, Site, inject};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::{BitWidth, PackedWords, QuantizedTensor};
///
/// let stored = QuantizedTensor::quantize(&[0.5; 10_000], &[10_000], BitWidth::INT8)?;
/// let model = BitFlips::new(FlipProbability::symmetric(0.01)?, BitWidth::INT8)?;
/// let faulty = inject(&stored, &model, &Site::new(Seed(42), 0, "fc.weight"))?;
/// assert!((faulty.bit_error_rate() - 0.01).abs() < 0.002);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`FaultError::Width`] if the model is for words of another width.
pub fn inject(
    stored: &QuantizedTensor,
    model: &dyn FaultModel,
    site: &Site,
) -> Result<Faulty, FaultError> {
    let (given, expected) = (stored.bits(), model.bits());
    if given != expected {
        return Err(FaultError::Width { given, expected });
    }
    let words = model.read(stored.words(), site, Protected::NOTHING);
    let flipped = stored.words().iter().zip(&words).map(|(a, b)| u64::from((a ^ b).count_ones()));
    let flips = flipped.sum();
    let stored_bits = stored.len() as u64 * u64::from(stored.bits().get());
    Ok(Faulty { words, flips, stored_bits })
}
