//! Fault models: the trait, and reading whole tensors through one.

mod bit_flips;
mod bursts;
mod dense;
mod flip_count;
mod float_bits;
mod hypergeometric;
mod logarithm;
mod probability;
mod sparse;
mod word_flips;

use std::ops::Range;

use qtaml_quant::{BitWidth, PackedWords, QuantizedTensor};
use rayon::prelude::*;

pub use self::bit_flips::BitFlips;
pub use self::bursts::Bursts;
pub use self::flip_count::FlipCount;
pub use self::float_bits::flip_floats;
pub use self::word_flips::WordFlips;
use crate::{FaultError, FaultStream, ProtectionMap};

/// Words that one thread reads at a time: enough to be worth a thread, few enough for its cache.
pub(crate) const CHUNK: usize = 1 << 18;

/// A way in which a memory reads back other bits than it stores.
///
/// A model is pure: which bits are read wrong follows from the stream, the position, the stored word
/// and the model. So a tensor may be cut into any slices, on any number of threads, and more
/// protection only takes faults away. Two models of one kind draw from the same random numbers at
/// the same stream: a second one wants a stream of its own.
///
/// ```
/// use qtaml_fault::{BitFlips, Bursts, FaultModel, FlipCount, BitMask, Seed, FaultStream};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::BitWidth;
///
/// let models: [&dyn FaultModel; 3] = [
///     &BitFlips::new(FlipProbability::symmetric(0.01)?, BitWidth::INT8)?,
///     &Bursts::new(1e-4, 3, BitWidth::INT8)?,
///     &FlipCount::new(50, 1000, BitWidth::INT8)?,
/// ];
/// let stream = FaultStream::new(Seed(42), 0, "conv1.weight");
/// for model in models {
///     let read = model.corrupted(&[0; 1000], &stream, BitMask::NONE.into())?;
///     assert!(read.iter().any(|&word| word != 0));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait FaultModel: Sync {
    /// The width of the words that it damages.
    fn bits(&self) -> BitWidth;

    /// How many words the tensor must have; `None` if any number will do.
    fn words(&self) -> Option<u64> {
        None
    }

    /// Replaces `words`, a slice of a tensor that starts at word `first`, by what is read.
    ///
    /// # Errors
    /// [`FaultError::ProtectedBits`] for protected bits that words of this width lack,
    /// [`FaultError::ProtectedWords`] for the protection of another number of words,
    /// [`FaultError::Uncountable`] if the bits of the tensor up to the end of the slice are 2^64 or
    /// more, as those of 2^61 INT8 words are. No word is changed then.
    fn inject_slice(
        &self,
        words: &mut [u8],
        first: u64,
        stream: &FaultStream,
        protected: ProtectionMap<'_>,
    ) -> Result<(), FaultError>;

    /// Words that one thread should be given at a time. It changes the time that it takes, and
    /// nothing else.
    fn grain(&self) -> usize {
        CHUNK
    }

    /// The same as [`inject_slice`](Self::inject_slice), on all threads.
    ///
    /// # Errors
    /// As [`inject_slice`](Self::inject_slice).
    fn par_inject_slice(
        &self,
        words: &mut [u8],
        first: u64,
        stream: &FaultStream,
        protected: ProtectionMap<'_>,
    ) -> Result<(), FaultError> {
        // Checked before any thread has changed a word.
        protected.check(words.len(), self.bits())?;
        places(first, words.len(), self.bits())?;
        let grain = self.grain().max(1);
        words.par_chunks_mut(grain).enumerate().try_for_each(|(chunk, words)| {
            let from = chunk * grain;
            let protected = protected.slice(from..from + words.len());
            self.inject_slice(words, first + from as u64, stream, protected)
        })
    }

    /// Replaces `check`, a slice that starts at number `first` of the check bits that a code stores
    /// for one bit of the words, by what is read. Each lies in the same bit of a word of its own;
    /// `stream` is that of the words. Unless a model says otherwise, they have a substream of their
    /// own, and all threads take part.
    ///
    /// # Errors
    /// [`FaultError::OneTensorOnly`] if the model is one of so many words and leaves these bits
    /// out, and as [`inject_slice`](Self::inject_slice).
    fn inject_check_bits(
        &self,
        check: &mut [u8],
        first: u64,
        bit: u8,
        stream: &FaultStream,
    ) -> Result<(), FaultError> {
        if let Some(words) = self.words() {
            return Err(FaultError::OneTensorOnly { words });
        }
        self.par_inject_slice(check, first, &stream.check_bits(bit), ProtectionMap::NOTHING)
    }

    /// Replaces `words`, a whole tensor, by what is read; on all threads.
    ///
    /// # Errors
    /// [`FaultError::Words`] if the model is made for another number of [`words`](Self::words), and as
    /// [`inject_slice`](Self::inject_slice).
    fn inject_tensor(
        &self,
        words: &mut [u8],
        stream: &FaultStream,
        protected: ProtectionMap<'_>,
    ) -> Result<(), FaultError> {
        check_size(self.words(), words.len())?;
        self.par_inject_slice(words, 0, stream, protected)
    }

    /// What is read where `words`, a whole tensor, are stored; on all threads.
    ///
    /// # Errors
    /// As [`inject_tensor`](Self::inject_tensor).
    fn corrupted(
        &self,
        words: &[u8],
        stream: &FaultStream,
        protected: ProtectionMap<'_>,
    ) -> Result<Vec<u8>, FaultError> {
        let mut read = words.to_vec();
        self.inject_tensor(&mut read, stream, protected)?;
        Ok(read)
    }
}

/// Where a slice of so many words from word `first` on lies among the bits of its tensor.
#[inline]
pub(crate) fn places(first: u64, words: usize, bits: BitWidth) -> Result<Range<u64>, FaultError> {
    let width = u64::from(bits.get());
    let end = first.checked_add(words as u64).and_then(|end| end.checked_mul(width));
    let end = end.ok_or(FaultError::Uncountable { words, first })?;
    Ok(first * width..end)
}

/// Refuses to read a whole tensor through a model that is made for another one.
pub(crate) fn check_size(made_for: Option<u64>, words: usize) -> Result<(), FaultError> {
    match (made_for, words as u64) {
        (Some(expected), given) if given != expected => Err(FaultError::Words { given, expected }),
        _ => Ok(()),
    }
}

fn check_width(given: BitWidth, model: &dyn FaultModel) -> Result<(), FaultError> {
    match model.bits() {
        expected if given == expected => Ok(()),
        expected => Err(FaultError::Width { given, expected }),
    }
}

/// What is read of words that are stored back to back.
///
/// The faults are those of the same words one by one: packing changes where bits lie, not which of
/// them flip.
///
/// ```
/// use qtaml_fault::{BitFlips, FaultModel, ProtectionMap, Seed, FaultStream, read_packed};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::{BitWidth, PackedWords};
///
/// let words = [1, 2, 3, 4, 5];
/// let stored = PackedWords::pack(&words, BitWidth::INT4)?;
/// let model = BitFlips::new(FlipProbability::symmetric(0.2)?, BitWidth::INT4)?;
/// let stream = FaultStream::new(Seed(42), 0, "fc.weight");
/// let read = read_packed(&stored, &model, &stream, ProtectionMap::NOTHING)?;
/// assert_eq!(read.unpack(), model.corrupted(&words, &stream, ProtectionMap::NOTHING)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`FaultError::Width`] if the model is for words of another width, [`FaultError::Words`] if it is
/// for another number of them; [`FaultError::ProtectedBits`] and [`FaultError::ProtectedWords`] for
/// protection that does not fit the words.
pub fn read_packed(
    stored: &PackedWords,
    model: &dyn FaultModel,
    stream: &FaultStream,
    protected: ProtectionMap<'_>,
) -> Result<PackedWords, FaultError> {
    let bits = stored.bits();
    check_width(bits, model)?;
    let mut words = stored.unpack();
    model.inject_tensor(&mut words, stream, protected)?;
    // No model sets bits above its width.
    PackedWords::pack(&words, bits)
        .map_err(|_| FaultError::Width { given: bits, expected: model.bits() })
}

/// A tensor as it is read, and how it differs from what is stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
/// use qtaml_fault::{BitFlips, Seed, FaultStream, inject};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::{BitWidth, PackedWords, QuantizedTensor};
///
/// let stored = QuantizedTensor::quantize(&[0.5; 10_000], &[10_000], BitWidth::INT8)?;
/// let model = BitFlips::new(FlipProbability::symmetric(0.01)?, BitWidth::INT8)?;
/// let faulty = inject(&stored, &model, &FaultStream::new(Seed(42), 0, "fc.weight"))?;
/// assert!((faulty.bit_error_rate() - 0.01).abs() < 0.002);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`FaultError::Width`] if the model is for words of another width, [`FaultError::Words`] if it is
/// for another number of them.
pub fn inject(
    stored: &QuantizedTensor,
    model: &dyn FaultModel,
    stream: &FaultStream,
) -> Result<Faulty, FaultError> {
    check_width(stored.bits(), model)?;
    let words = model.corrupted(stored.words(), stream, ProtectionMap::NOTHING)?;
    let flipped = stored.words().iter().zip(&words).map(|(a, b)| u64::from((a ^ b).count_ones()));
    let flips = flipped.sum();
    let stored_bits = stored.len() as u64 * u64::from(stored.bits().get());
    Ok(Faulty { words, flips, stored_bits })
}

#[cfg(test)]
mod tests {
    use qtaml_physics::FlipProbability;

    use super::*;
    use crate::{BitFlips, BitMask, Bursts, FlipCount, Seed};

    const INT4: BitWidth = BitWidth::INT4;

    fn stream() -> FaultStream {
        FaultStream::new(Seed(42), 0, "weight")
    }

    /// One model of each sampler, for 16 words.
    fn models() -> [Box<dyn FaultModel>; 4] {
        let flips = |p| BitFlips::new(FlipProbability::symmetric(p).unwrap(), INT4).unwrap();
        [
            Box::new(flips(0.1)),
            Box::new(flips(1e-3)),
            Box::new(Bursts::new(0.01, 3, INT4).unwrap()),
            Box::new(FlipCount::new(5, 16, INT4).unwrap()),
        ]
    }

    /// Bits of wider words, even of the last word alone, and words without protection or too many.
    #[test]
    fn protection_that_does_not_fit_is_refused() {
        let wide = BitMask::top(2, BitWidth::INT8).unwrap();
        let mut last = vec![BitMask::NONE; 16];
        last[15] = wide;
        let short = vec![BitMask::NONE; 15];
        let bits = FaultError::ProtectedBits { mask: wide.mask(), width: INT4 };
        let words = FaultError::ProtectedWords { given: 15, expected: 16 };
        let stored = PackedWords::pack(&[0; 16], INT4).unwrap();
        for model in models() {
            for (protected, error) in
                [(wide.into(), &bits), ((&last).into(), &bits), ((&short).into(), &words)]
            {
                let found = read_packed(&stored, &*model, &stream(), protected);
                assert_eq!(found.as_ref(), Err(error));
                let found = model.inject_slice(&mut [0; 16], 0, &stream(), protected);
                assert_eq!(found.as_ref(), Err(error));
                let found = model.inject_tensor(&mut [0; 16], &stream(), protected);
                assert_eq!(found.as_ref(), Err(error));
                let found = model.par_inject_slice(&mut [0; 16], 0, &stream(), protected);
                assert_eq!(found.as_ref(), Err(error));
            }
            let all = BitMask::top(4, INT4).unwrap();
            assert_eq!(model.corrupted(&[0; 16], &stream(), all.into()).unwrap(), [0; 16]);
            model.corrupted(&[0; 16], &stream(), ProtectionMap::NOTHING).unwrap();
        }
    }

    #[test]
    fn a_model_of_so_many_words_reads_no_other_tensor() {
        let [.., model] = models();
        let error = FaultError::Words { given: 8, expected: 16 };
        assert_eq!(
            error.to_string(),
            "a tensor of 8 words cannot be damaged by a model of 16 words"
        );
        let stored = QuantizedTensor::quantize(&[0.5; 8], &[8], INT4).unwrap();
        assert_eq!(inject(&stored, &*model, &stream()), Err(error.clone()));
        let packed = PackedWords::pack(&[0; 8], INT4).unwrap();
        let found = read_packed(&packed, &*model, &stream(), ProtectionMap::NOTHING);
        assert_eq!(found, Err(error.clone()));
        let found = model.corrupted(&[0; 8], &stream(), ProtectionMap::NOTHING);
        assert_eq!(found, Err(error));

        // A slice of it is something else.
        let whole = model.corrupted(&[0; 16], &stream(), ProtectionMap::NOTHING).unwrap();
        let mut slice = [0; 8];
        model.inject_slice(&mut slice, 8, &stream(), ProtectionMap::NOTHING).unwrap();
        assert_eq!(slice, whole[8..]);
    }

    /// In programs without overflow checks as well.
    #[test]
    fn slices_that_cannot_be_counted_are_refused() {
        for model in models() {
            let inject =
                |first| model.inject_slice(&mut [0; 16], first, &stream(), ProtectionMap::NOTHING);
            inject((1 << 62) - 17).unwrap();
            for first in [(1 << 62) - 16, 1 << 63, u64::MAX] {
                assert_eq!(inject(first), Err(FaultError::Uncountable { words: 16, first }));
                let error =
                    model.par_inject_slice(&mut [0; 16], first, &stream(), ProtectionMap::NOTHING);
                assert_eq!(error, Err(FaultError::Uncountable { words: 16, first }));
            }
        }
    }

    /// A count that says nothing of check bits would spare them.
    #[test]
    fn check_bits_are_not_left_out_without_a_word() {
        struct Counted;
        impl FaultModel for Counted {
            fn bits(&self) -> BitWidth {
                INT4
            }
            fn words(&self) -> Option<u64> {
                Some(16)
            }
            fn inject_slice(
                &self,
                _: &mut [u8],
                _: u64,
                _: &FaultStream,
                _: ProtectionMap<'_>,
            ) -> Result<(), FaultError> {
                Ok(())
            }
        }
        let found = Counted.inject_check_bits(&mut [0], 0, 0, &stream());
        assert_eq!(found, Err(FaultError::OneTensorOnly { words: 16 }));
    }

    #[test]
    fn words_of_another_width_are_refused() {
        let stored = QuantizedTensor::quantize(&[0.5; 16], &[16], BitWidth::INT8).unwrap();
        let packed = PackedWords::pack(&[0; 16], BitWidth::INT8).unwrap();
        let error = FaultError::Width { given: BitWidth::INT8, expected: INT4 };
        for model in models() {
            assert_eq!(inject(&stored, &*model, &stream()), Err(error.clone()));
            let found = read_packed(&packed, &*model, &stream(), ProtectionMap::NOTHING);
            assert_eq!(found, Err(error.clone()));
        }
    }
}
