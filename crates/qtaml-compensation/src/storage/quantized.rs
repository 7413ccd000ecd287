//! Quantized weights with protected bits.

use std::sync::{Arc, OnceLock};

use qtaml_fault::{
    BitFlips, BitMask, Ecc, EccError, FaultError, FaultModel, FaultStream, MemoryModel,
    QuantizedChannel,
};
use qtaml_physics::{FlipProbability, FlipProfile};
use qtaml_quant::{Code, CodeRange, Format, Grid, PackedWords, QuantizedTensor, Word};

use super::ends;
use super::{
    GroupWeights, QuantizedSpec, ScalePolicy, StoredAs, StoredBytes, WeightStorage, WordProtection,
    WordStorage, check_length, check_padding,
};
use crate::clipping::best_span;
use crate::memo::Memo;
use crate::{
    CodeHistogram, DecodeTable, Decoder, FittedPrior, PlanGroup, PlannedStorage, Prior,
    RestoreError, StorageError, weight_error,
};

/// A memory for words of one format: the fault model, and the channel of each set of protected bits,
/// made when it is first asked for and shared by all groups.
///
/// ```
/// use qtaml_compensation::storage::QuantizedMemory;
/// use qtaml_fault::{BitMask, MemoryModel};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::Format;
///
/// let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
/// let memory = QuantizedMemory::new(memory, Format::INT8)?;
/// let channel = memory.channel(BitMask::top(2, Format::INT8.bits())?)?;
/// assert_eq!(channel.flip(7, true)?, 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct QuantizedMemory {
    memory: MemoryModel,
    format: Format,
    faults: BitFlips,
    /// The decode table of all words that are read as they are.
    raw: DecodeTable,
    /// By the protected bits.
    channels: Memo<u8, QuantizedChannel>,
    /// What the code leaves, by the bits of the flip probabilities: the same for every set of bits.
    left: Memo<[u64; 2], Result<FlipProbability, EccError>>,
    /// The models that draw it, by the protected bits.
    left_faults: Memo<u8, BitFlips>,
}

impl QuantizedMemory {
    /// The memory for words of this format.
    ///
    /// # Errors
    /// [`FaultError::ProfileWidth`] for flip probabilities of another number of bits.
    pub fn new(memory: MemoryModel, format: impl Into<Format>) -> Result<Self, FaultError> {
        let format = format.into();
        let (faults, raw) = (memory.bit_flips(format.bits())?, DecodeTable::raw(format));
        let (channels, left, left_faults) = (Memo::default(), Memo::default(), Memo::default());
        Ok(Self { memory, format, faults, raw, channels, left, left_faults })
    }

    /// The memory alone.
    pub fn memory(&self) -> &MemoryModel {
        &self.memory
    }

    /// What the words mean.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The channel where these bits are protected.
    ///
    /// # Errors
    /// As [`MemoryModel::channel`].
    pub fn channel(&self, mask: BitMask) -> Result<Arc<QuantizedChannel>, FaultError> {
        let MemoryModel { flips, ecc } = &self.memory;
        self.channels.get_or_try(mask.mask(), || {
            let exposed = QuantizedChannel::new(flips.clone(), self.format, mask)?;
            exposed.with_ecc_leaving(*ecc, |flips| self.residual(flips))
        })
    }

    fn residual(&self, flips: FlipProbability) -> Result<FlipProbability, EccError> {
        let key = [flips.p01(), flips.p10()].map(f64::to_bits);
        (*self.left.get_or_make(key, || self.memory.ecc.residual(flips))).clone()
    }

    /// The model that draws what the code leaves in these bits.
    fn left_faults(&self, mask: BitMask) -> Result<Arc<BitFlips>, FaultError> {
        self.left_faults.get_or_try(mask.mask(), || {
            let width = self.format.bits();
            let of_bit = |bit: usize| match mask.mask() >> bit & 1 {
                0 => Ok(FlipProbability::NEVER),
                _ => self.residual(self.memory.flips.at(bit)),
            };
            let bits = (0..width.get() as usize).map(of_bit).collect::<Result<Vec<_>, _>>()?;
            let misfit = FaultError::ProfileWidth { bits: bits.len(), width };
            BitFlips::new(FlipProfile::per_bit(bits).map_err(|_| misfit)?, width)
        })
    }

    /// The model that draws the faults of words, nothing protected.
    pub(super) fn faults(&self) -> &BitFlips {
        &self.faults
    }

    /// Check bits for so many weights, with those of the last, partly filled code word of each
    /// protected bit.
    fn check_bits(&self, weights: usize, mask: BitMask) -> Result<u64, FaultError> {
        let each = self.memory.ecc.check_bits(weights as u64)?;
        Ok(each.saturating_mul(mask.count().into()))
    }
}

/// Quantized weights, some of whose bits are protected, read through a decoder.
///
/// Under ideal protection the faults of a group are those of its weights' positions in the tensor,
/// however the tensor is cut and whatever is protected. A real code works on whole code words of its
/// own: read in a row, a group must start at a multiple of [`Ecc::alignment`].
///
/// Codes and table are made when they are first needed: most candidates are only asked what they
/// cost. Codes are shared by all candidates of one format and scale.
///
/// ```
/// use std::sync::Arc;
///
/// use qtaml_compensation::storage::{GroupWeights, QuantizedMemory, QuantizedSpec};
/// use qtaml_compensation::{Decoder, QuantizedStorage, WeightStorage};
/// use qtaml_fault::{BitMask, FaultStream, MemoryModel, Seed};
/// use qtaml_physics::FlipProbability;
///
/// let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
/// let raw = QuantizedSpec::default();
/// let memory = Arc::new(QuantizedMemory::new(memory, raw.format)?);
/// // Weights in a bell: the quantiles of a logistic distribution.
/// let quantile = |u: f32| (u / (1.0 - u)).ln();
/// let weights: Vec<f32> = (0..1000).map(|i| quantile((i as f32 + 0.5) / 1000.0)).collect();
/// let group = GroupWeights::whole(&weights);
/// let bayes = QuantizedSpec { decoder: Decoder::Bayes, ..raw.clone() };
/// let store = |spec| QuantizedStorage::new(&group, &memory, spec, BitMask::NONE);
/// let (raw, bayes) = (store(&raw)?, store(&bayes)?);
///
/// // The same bits in the same memory, 64 more beside it, and a quarter of the error.
/// assert_eq!(raw.stored_bits(), bayes.stored_bits());
/// assert_eq!((raw.metadata_bits(), bayes.metadata_bits()), (32, 96));
/// assert!(bayes.mean_square_error() < raw.mean_square_error() / 4.0);
/// let read = bayes.read(&FaultStream::new(Seed(42), 0, "conv1.weight"), 0)?;
/// assert_eq!(read.len(), weights.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct QuantizedStorage {
    memory: Arc<QuantizedMemory>,
    source: Source,
    weights: usize,
    mask: BitMask,
    decoder: Decoder,
    prior: Prior,
    range: CodeRange,
    codes: OnceLock<Arc<QuantizedTensor>>,
    table: OnceLock<Arc<DecodeTable>>,
    check_bits: u64,
    mean_square_error: f64,
}

/// What codes, table and prior follow from.
#[derive(Debug, Clone)]
enum Source {
    /// The weights, and the ends of their range: all are made when they are first needed.
    Weights(GroupWeights, (f32, f32)),
    /// A memory and a plan: codes and table are there, and the prior is what the plan tells.
    Restored(Option<FittedPrior>),
}

impl QuantizedStorage {
    /// Stores a group with these bits protected. A [`ScalePolicy::MinMse`] finds the scale of the
    /// group alone.
    ///
    /// # Errors
    /// [`StorageError::Quant`] for no weights, NaN or infinite ones; as
    /// [`QuantizedMemory::channel`] and [`DecodeTable::new`].
    pub fn new(
        weights: &GroupWeights,
        memory: &Arc<QuantizedMemory>,
        spec: &QuantizedSpec,
        mask: BitMask,
    ) -> Result<Self, StorageError> {
        let ends = match spec.scale {
            ScalePolicy::MinMse => {
                let (channel, weights) = (memory.channel(mask)?, weights.weights());
                let best = best_span(weights, &channel, spec.decoder, spec.prior, spec.range)?;
                (best.low, best.high)
            }
            _ => ends::of_tensor(weights, spec)?.unwrap_or_else(|| weights.ends(spec.range)),
        };
        Self::between(weights, memory, spec, mask, ends)
    }

    /// The same where the largest code stands for `limit`, and in any range of the spec the smallest one
    /// for no less than its negative: weights beyond it are clipped.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`StorageError::Quant`] for a limit that is negative, NaN or
    /// infinite, or 0 where not every weight is.
    pub fn within(
        weights: &GroupWeights,
        memory: &Arc<QuantizedMemory>,
        spec: &QuantizedSpec,
        mask: BitMask,
        limit: f32,
    ) -> Result<Self, StorageError> {
        Self::between(weights, memory, spec, mask, (-limit, limit))
    }

    /// The same where the outermost codes stand for two ends; a symmetric range asks the upper one.
    ///
    /// # Errors
    /// As [`within`](Self::within).
    pub fn between(
        weights: &GroupWeights,
        memory: &Arc<QuantizedMemory>,
        spec: &QuantizedSpec,
        mask: BitMask,
        ends: (f32, f32),
    ) -> Result<Self, StorageError> {
        let (channel, format, range) = (memory.channel(mask)?, memory.format(), spec.range);
        // A scale of its own for each set of protected bits: codes that nobody may ever read.
        let codes = match spec.scale {
            ScalePolicy::MinMse => Arc::new(weights.quantize(format, range, ends)?),
            _ => weights.codes(format, range, ends)?,
        };
        let (decoder, prior) = (spec.decoder, spec.prior);
        let stored = CodeHistogram::of(&codes);
        let table = DecodeTable::of_group(decoder, &channel, prior, &stored, codes.grid())?;
        Ok(Self {
            memory: memory.clone(),
            source: Source::Weights(weights.clone(), ends),
            weights: codes.len(),
            mask,
            decoder,
            prior,
            range,
            codes: OnceLock::new(),
            table: OnceLock::new(),
            check_bits: memory.check_bits(codes.len(), mask)?,
            mean_square_error: weight_error(weights.weights(), &codes, &channel, &table)?,
        })
    }

    /// The storage of a group on this grid whose words lie in a memory, with the decoder and the prior of
    /// its plan. The error is what the plan predicts.
    pub(super) fn restored(
        group: &PlanGroup,
        memory: &Arc<QuantizedMemory>,
        grid: Grid,
        (decoder, prior): (Decoder, Option<&FittedPrior>),
        stored: &StoredBytes,
    ) -> Result<Self, RestoreError> {
        let mask = group.mask()?.unwrap_or_default();
        let channel = memory.channel(mask).map_err(StorageError::from)?;
        let table = group.table_in(&channel, decoder, prior)?;
        let codes = restored_codes(group.weights, grid, &stored.words)?;
        check_check_bits(codes.words(), memory.memory().ecc, mask, &stored.check)?;
        Ok(Self {
            memory: memory.clone(),
            source: Source::Restored(prior.cloned()),
            weights: codes.len(),
            mask,
            decoder,
            prior: prior.map(FittedPrior::kind).unwrap_or_default(),
            range: grid.origin().range(),
            codes: Arc::new(codes).into(),
            table: Arc::new(table).into(),
            check_bits: memory.check_bits(group.weights, mask).map_err(StorageError::from)?,
            mean_square_error: group.predicted_mse,
        })
    }

    /// The stored codes, of shape `[n]`.
    #[expect(clippy::missing_panics_doc, reason = "made once before, of the same weights")]
    pub fn tensor(&self) -> &QuantizedTensor {
        self.codes.get_or_init(|| match &self.source {
            // They were made once, when this was, and come out the same.
            Source::Weights(weights, ends) => {
                let codes = weights.codes(self.memory.format(), self.range, *ends);
                codes.expect("finite weights")
            }
            Source::Restored(_) => unreachable!("restored codes are there from the start"),
        })
    }

    /// The table that reads them.
    #[expect(clippy::missing_panics_doc, reason = "made once before, of the same codes")]
    pub fn table(&self) -> &DecodeTable {
        // One for all groups stays in the caches while they are read.
        if self.decoder == Decoder::Raw {
            return &self.memory.raw;
        }
        self.table.get_or_init(|| {
            let stored = CodeHistogram::of(self.tensor());
            let channel = self.memory.channel(self.mask).expect("a channel that was made before");
            let (decoder, prior, grid) = (self.decoder, self.prior, self.tensor().grid());
            let table = DecodeTable::of_group(decoder, &channel, prior, &stored, grid);
            Arc::new(table.expect("a table that was made before"))
        })
    }

    /// The memory that they lie in.
    pub fn memory(&self) -> &QuantizedMemory {
        &self.memory
    }

    /// The decoder that makes the table.
    pub fn decoder(&self) -> Decoder {
        self.decoder
    }

    /// What the decoder knows of the weights, if it asks.
    pub fn prior(&self) -> Option<FittedPrior> {
        if let Source::Restored(prior) = &self.source {
            return prior.clone();
        }
        let fitted = || self.prior.fitted_in(self.range, &CodeHistogram::of(self.tensor()));
        self.decoder.needs_prior().then(fitted)
    }
}

/// The codes on this grid whose words are packed.
pub(super) fn restored_codes(
    weights: usize,
    grid: Grid,
    packed: &[u8],
) -> Result<QuantizedTensor, RestoreError> {
    let format = grid.format();
    let words = PackedWords::from_bytes(packed.to_vec(), weights, format.bits())?.unpack();
    let never: Vec<Option<&str>> =
        format.bits().words().map(|word| never_stored(word, grid)).collect();
    if let Some(index) = words.iter().position(|&word| never[usize::from(word)].is_some()) {
        let word = words[index];
        let reason = never[usize::from(word)].unwrap_or_default();
        return Err(RestoreError::Word { index, word: word.into(), reason });
    }
    Ok(QuantizedTensor::from_words_on(words, &[weights], grid)?)
}

/// Why no weight is stored as a word, if none is.
fn never_stored(word: Word, grid: Grid) -> Option<&'static str> {
    let format = grid.format();
    let code = format.code_of(word);
    if format.word_of(code) != word {
        return Some("it is a second word of its code, which is stored as the other one");
    }
    let symmetric = grid.origin().range().is_symmetric();
    let outermost = Code(-format.bits().max_code());
    (symmetric && code < outermost).then_some("a symmetric range has no weight for the lowest code")
}

/// Refuses check bits that are not those of the words.
fn check_check_bits(
    words: &[u8],
    ecc: Ecc,
    mask: BitMask,
    check: &[u8],
) -> Result<(), RestoreError> {
    let fault = |error: EccError| StorageError::from(FaultError::from(error));
    let expected = ecc.encode(words, mask).map_err(fault)?;
    check_length("check bits", words.len(), expected.len() as u64, check)?;
    let bits = ecc.check_bits(words.len() as u64).map_err(fault)?;
    check_padding(check, bits.saturating_mul(mask.count().into()))?;
    let differs = expected.iter().zip(check).position(|(expected, given)| expected != given);
    match differs {
        Some(byte) => {
            let bit = (expected[byte] ^ check[byte]).trailing_zeros();
            Err(RestoreError::CheckBits { bit: 8 * byte as u64 + u64::from(bit), ecc })
        }
        None => Ok(()),
    }
}

impl WeightStorage for QuantizedStorage {
    fn weights(&self) -> usize {
        self.weights
    }

    fn stored_bits(&self) -> u64 {
        let width = u64::from(self.memory.format().bits().get());
        (self.weights() as u64 * width).saturating_add(self.check_bits)
    }

    fn protected_bits(&self) -> u64 {
        match self.memory.memory().ecc {
            Ecc::Ideal => self.weights() as u64 * u64::from(self.mask.count()),
            _ => 0,
        }
    }

    fn check_bits(&self) -> u64 {
        self.check_bits
    }

    fn metadata_bits(&self) -> u64 {
        let (range, format) = (self.range, self.memory.format());
        range.metadata_bits(format) + self.decoder.metadata_bits_in(range, self.prior, format)
    }

    /// With a real code the error distribution of its bits is that of full code words:
    /// [`Ecc::residual`].
    fn mean_square_error(&self) -> f64 {
        self.mean_square_error
    }

    fn golden(&self) -> Vec<f32> {
        self.tensor().dequantize()
    }

    fn read(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, StorageError> {
        let (words, model) = (self.tensor().words(), self.model());
        // Handing a small group to other threads takes longer than its faults.
        if self.ecc() == Ecc::Ideal && words.len() <= model.grain() {
            let mut read = words.to_vec();
            model.inject_slice(&mut read, start, stream, self.mask.into())?;
            return self.decode(&read);
        }
        self.decode(&self.ecc().read_slice(words, start, model, stream, self.mask)?.words)
    }

    fn as_words(&self) -> Option<&dyn WordStorage> {
        Some(self)
    }

    fn as_quantized(&self) -> Option<&QuantizedStorage> {
        Some(self)
    }

    fn stored_as(&self) -> StoredAs {
        let (bits, ecc) = (self.memory.format().bits().get(), self.ecc());
        StoredAs::Quantized { bits, mask: self.mask, ecc }
    }

    fn planned(&self) -> PlannedStorage {
        PlannedStorage::Quantized {
            format: self.memory.format(),
            protected: PlanGroup::bits_of(self.mask),
            ecc: self.ecc(),
            scale: self.tensor().scale(),
            origin: self.tensor().grid().origin(),
            decoder: self.decoder,
            prior: self.prior(),
        }
    }

    fn stored(&self) -> Result<StoredBytes, StorageError> {
        let words = self.tensor().words();
        let check = self.ecc().encode(words, self.mask).map_err(FaultError::from)?;
        let packed = PackedWords::pack(words, self.memory.format().bits())?;
        Ok(StoredBytes::new(packed.bytes().to_vec(), check))
    }
}

impl WordStorage for QuantizedStorage {
    fn words(&self) -> &[u8] {
        self.tensor().words()
    }

    fn model(&self) -> &BitFlips {
        &self.memory.faults
    }

    fn protection(&self) -> WordProtection {
        WordProtection::Alike(self.mask)
    }

    fn ecc(&self) -> Ecc {
        self.memory.memory().ecc
    }

    fn left(&self) -> Result<Option<Arc<BitFlips>>, StorageError> {
        match self.memory.memory().ecc {
            Ecc::Ideal => Ok(None),
            _ => Ok(Some(self.memory.left_faults(self.mask)?)),
        }
    }

    fn decode(&self, read: &[u8]) -> Result<Vec<f32>, StorageError> {
        let expected = self.weights() as u64;
        if read.len() as u64 != expected {
            return Err(FaultError::Words { given: read.len() as u64, expected }.into());
        }
        Ok(self.table().weights_on(read, self.tensor().grid()))
    }
}

#[cfg(test)]
mod tests {
    use qtaml_fault::{EccError, Seed};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, Encoding, QuantError};

    use super::*;

    fn memory(p01: f64, p10: f64, format: impl Into<Format>, ecc: &str) -> Arc<QuantizedMemory> {
        let p = FlipProbability::asymmetric(p01, p10).unwrap();
        let memory = MemoryModel::new(p).with_ecc(ecc.parse().unwrap());
        Arc::new(QuantizedMemory::new(memory, format).unwrap())
    }

    fn top(k: u32, bits: BitWidth) -> BitMask {
        BitMask::top(k, bits).unwrap()
    }

    fn decoded_by(decoder: Decoder) -> QuantizedSpec {
        QuantizedSpec { decoder, ..QuantizedSpec::default() }
    }

    /// Read as it is, nothing protected, in a range of 2.
    fn within_two(weights: &[f32], memory: &Arc<QuantizedMemory>) -> QuantizedStorage {
        let (group, spec) = (GroupWeights::whole(weights), QuantizedSpec::default());
        QuantizedStorage::within(&group, memory, &spec, BitMask::NONE, 2.0).unwrap()
    }

    fn stream(trial: u32, tensor: &str) -> FaultStream {
        FaultStream::new(Seed(3), trial, tensor)
    }

    /// A bell whose weights do not lie on any grid.
    fn weights(n: u32) -> Vec<f32> {
        let uniform = |i: u32| f64::from(i) * 0.618_033_988_749_895 % 1.0;
        (0..n)
            .map(|i| ((0..4).map(|k| uniform(4 * i + k * k + 1)).sum::<f64>() - 2.0) as f32)
            .collect()
    }

    /// The exact error against that of sampled faults, for every decoder, encoding, memory and
    /// protection, clipped and not: each within six standard errors, in 240 comparisons. False
    /// alarm of all together: 5e-7.
    #[test]
    fn the_error_is_that_of_sampled_faults() {
        let weights = weights(1 << 14);
        let group = GroupWeights::whole(&weights);
        for format in Format::all().filter(|format| [4, 8].contains(&format.bits().get())) {
            for (p01, p10) in [(0.1, 0.1), (0.02, 0.3)] {
                let memory = memory(p01, p10, format, "ideal");
                for decoder in Decoder::ALL {
                    for (k, limit) in [(0, group.largest()), (0, 0.5), (2, group.largest())] {
                        let (spec, mask) = (decoded_by(decoder), top(k, format.bits()));
                        let unit =
                            QuantizedStorage::within(&group, &memory, &spec, mask, limit).unwrap();
                        sampled(&unit, &weights, &format!("{format} {decoder} {k} {limit}"));
                    }
                }
            }
        }
    }

    /// The same in ranges that are not symmetric, of weights on one side of zero: 48 comparisons.
    #[test]
    fn the_error_in_any_range_is_that_of_sampled_faults() {
        let weights: Vec<f32> = weights(1 << 13).into_iter().map(|w| w + 0.7).collect();
        let group = GroupWeights::whole(&weights);
        for range in CodeRange::ALL {
            for format in [Format::INT8, Format::new(BitWidth::INT4, Encoding::OffsetBinary)] {
                let memory = memory(0.02, 0.3, format, "ideal");
                for decoder in [Decoder::Raw, Decoder::Affine, Decoder::Bayes, Decoder::BayesGain] {
                    for scale in [ScalePolicy::PerGroup, ScalePolicy::MinMse] {
                        let spec = QuantizedSpec { scale, range, ..decoded_by(decoder) };
                        let unit = QuantizedStorage::new(&group, &memory, &spec, BitMask::NONE);
                        let unit = unit.unwrap();
                        sampled(&unit, &weights, &format!("{format} {range} {decoder} {scale}"));
                        let prior = if decoder.needs_prior() { 64 } else { 0 };
                        let location = if range.is_symmetric() || prior == 0 { 0 } else { 32 };
                        let bits = range.metadata_bits(format) + prior + location;
                        assert_eq!(unit.metadata_bits(), bits);
                    }
                }
            }
        }
        // All codes lie where the weights are: half the step, a quarter of the error.
        let error = |range| {
            let spec = QuantizedSpec { range, ..QuantizedSpec::default() };
            let memory = memory(0.0, 0.0, Format::INT8, "ideal");
            let positive: Vec<f32> = weights.iter().map(|w| w.abs() + 1.0).collect();
            let group = GroupWeights::whole(&positive);
            let unit = QuantizedStorage::new(&group, &memory, &spec, BitMask::NONE).unwrap();
            unit.mean_square_error()
        };
        assert!(error(CodeRange::MinMax) < 0.3 * error(CodeRange::Symmetric));
    }

    fn sampled(unit: &QuantizedStorage, weights: &[f32], case: &str) {
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for trial in 0..4 {
            let read = unit.read(&stream(trial, case), 0).unwrap();
            for (&w, &r) in weights.iter().zip(&read) {
                let error = (f64::from(w) - f64::from(r)).powi(2);
                n += 1.0;
                sum += error;
                squares += error * error;
            }
        }
        // Weights differ in their mean error: the variance around the common mean is an upper
        // bound.
        let mean: f64 = sum / n;
        let standard_error = ((squares / n - mean * mean) / n).sqrt();
        let score = (mean - unit.mean_square_error()) / standard_error;
        assert!(score.abs() < 6.0, "{case}: {mean} {} {score}", unit.mean_square_error());
    }

    /// Under ideal protection it is one tensor, however it is cut.
    #[test]
    fn units_meet_the_faults_of_their_slice() {
        let weights = weights(1000);
        for p in [0.1, 1e-3] {
            let memory = memory(p, p, Format::INT8, "ideal");
            let stored = |weights: &[f32]| within_two(weights, &memory);
            let whole = stored(&weights).read(&stream(0, "w"), 0).unwrap();
            let pieces = (0..)
                .zip(weights.chunks(54))
                .flat_map(|(i, channel)| stored(channel).read(&stream(0, "w"), 54 * i).unwrap());
            assert_eq!(pieces.collect::<Vec<f32>>(), whole);
            assert_ne!(whole, stored(&weights).golden());
        }
    }

    /// A large unit is read on all threads: the same faults.
    #[test]
    fn large_units_are_read_like_small_ones() {
        let weights = weights(300_000);
        let memory = memory(0.1, 0.1, Format::INT8, "ideal");
        let stored = |weights: &[f32]| within_two(weights, &memory);
        let whole = stored(&weights).read(&stream(0, "w"), 0).unwrap();
        assert!(weights.len() > memory.faults.grain());
        assert_eq!(
            stored(&weights[290_000..]).read(&stream(0, "w"), 290_000).unwrap(),
            whole[290_000..]
        );
    }

    #[test]
    fn a_code_costs_check_bits_and_starts_at_its_words() {
        let (group, mask) = (GroupWeights::whole(&weights(100)), top(2, BitWidth::INT8));
        let raw = QuantizedSpec::default();
        let ideal = memory(0.01, 0.01, Format::INT8, "ideal");
        let ideal = QuantizedStorage::new(&group, &ideal, &raw, mask).unwrap();
        assert_eq!(
            (ideal.stored_bits(), ideal.protected_bits(), ideal.metadata_bits()),
            (800, 200, 32)
        );

        let secded = memory(0.01, 0.01, Format::INT8, "secded:64");
        let coded = QuantizedStorage::new(&group, &secded, &raw, mask).unwrap();
        // Two code words for each of two bits, of eight check bits each.
        assert_eq!((coded.stored_bits(), coded.protected_bits()), (800 + 2 * 2 * 8, 0));
        assert!(coded.mean_square_error() > ideal.mean_square_error());
        assert_eq!(coded.read(&stream(0, "w"), 0).unwrap().len(), 100);
        assert_eq!((ideal.check_bits(), coded.check_bits()), (0, 32));
        let kept = coded.ecc().read(coded.words(), coded.model(), &stream(0, "w"), mask);
        assert_eq!(kept.unwrap().tally.check_bits + 800, coded.stored_bits());
        let error = coded.read(&stream(0, "w"), 54).unwrap_err();
        let expected = EccError::Misaligned { first: 54, alignment: 64 };
        assert_eq!(error, StorageError::Fault(expected.into()));
    }

    /// What is left by the code predicts the error that is read: five standard errors of code
    /// words, since the bits of one are wrong together.
    #[test]
    fn the_error_behind_a_code_is_that_of_sampled_faults() {
        let weights = weights(1 << 16);
        let memory = memory(0.05, 0.05, Format::INT8, "secded:16");
        let (group, spec) = (GroupWeights::whole(&weights), decoded_by(Decoder::Bayes));
        let unit = QuantizedStorage::new(&group, &memory, &spec, top(2, BitWidth::INT8)).unwrap();
        let read = unit.read(&stream(0, "w"), 0).unwrap();
        let errors: Vec<f64> = weights
            .iter()
            .zip(&read)
            .map(|(&w, &r)| (f64::from(w) - f64::from(r)).powi(2))
            .collect();
        let words: Vec<f64> = errors.chunks(16).map(|e| e.iter().sum::<f64>() / 16.0).collect();
        let n = words.len() as f64;
        let mean = words.iter().sum::<f64>() / n;
        let variance = words.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / n;
        let score = (mean - unit.mean_square_error()) / (variance / n).sqrt();
        assert!(score.abs() < 5.0, "{mean} {} {score}", unit.mean_square_error());
    }

    #[test]
    fn odd_weights_are_stored_or_refused() {
        let memory = memory(0.1, 0.1, Format::INT8, "ideal");
        for decoder in Decoder::ALL {
            for prior in Prior::ALL {
                let ways = CodeRange::ALL.map(|range| ScalePolicy::ALL.map(|scale| (range, scale)));
                for (range, scale) in ways.concat() {
                    let plain = QuantizedSpec::default();
                    let spec = QuantizedSpec { scale, range, decoder, prior, ..plain };
                    let store = |weights: &[f32]| {
                        let group = GroupWeights::whole(weights);
                        QuantizedStorage::new(&group, &memory, &spec, BitMask::NONE)
                    };
                    let zeros = store(&[0.0; 9]).unwrap();
                    assert_eq!(zeros.mean_square_error(), 0.0);
                    assert_eq!(zeros.read(&stream(0, "w"), 0).unwrap(), [0.0; 9]);
                    for weights in [&[0.7][..], &[-0.7; 54], &[0.7, -0.7]] {
                        let unit = store(weights).unwrap();
                        assert_eq!(unit.weights(), weights.len());
                        assert!(unit.mean_square_error().is_finite());
                        let read = unit.read(&stream(0, "w"), 0).unwrap();
                        assert!(read.iter().all(|w| w.is_finite()));
                        for (golden, weight) in unit.golden().iter().zip(weights) {
                            assert_eq!(golden.signum(), weight.signum());
                        }
                    }
                    let none = QuantError::Empty { shape: vec![0] };
                    assert_eq!(store(&[]).unwrap_err().to_string(), none.to_string());
                    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                        let error = store(&[1.0, value]).unwrap_err().to_string();
                        assert!(error.starts_with(&format!("weight 1 is {value}")), "{error}");
                    }
                }
            }
        }
        let (one, raw) = (GroupWeights::whole(&[1.0]), QuantizedSpec::default());
        let error = QuantizedStorage::within(&one, &memory, &raw, BitMask::NONE, -1.0).unwrap_err();
        assert_eq!(error, QuantError::Limit(-1.0).into());
        let narrow = self::memory(0.1, 0.1, BitWidth::INT4, "ideal");
        assert!(QuantizedStorage::new(&one, &narrow, &raw, top(6, BitWidth::INT8)).is_err());
    }

    #[test]
    fn a_channel_is_made_once() {
        let memory = memory(0.05, 0.05, Format::INT8, "bch:5:2");
        let top = BitMask::top(2, BitWidth::INT8).unwrap();
        assert!(Arc::ptr_eq(&memory.channel(top).unwrap(), &memory.channel(top).unwrap()));
    }
}
