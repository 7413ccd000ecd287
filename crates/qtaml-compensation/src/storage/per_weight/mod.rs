//! Weights that are protected one by one: as many top bits of each as its score asks for.
//!
//! An error of a weight does harm in proportion to the square of its scale, and to the power of the
//! input channel that it is multiplied with. In real networks few input channels carry most of the power,
//! so that most weights need no protection at all. A storage that protects groups cannot tell them
//! apart: input channels lie across the output channels that share scales.
//!
//! [`PerWeightStorage`] holds a whole tensor as one group. Its reader needs no list of protected bits:
//! they follow from the scales, which it needs anyway, from one small number for each row and each
//! column of the tensor, and from at most as many thresholds as a word has bits. All of them count as
//! [metadata](WeightStorage::metadata_bits).

mod candidates;
mod power;
mod scores;

use std::sync::Arc;

use qtaml_fault::{BitFlips, BitMask, Ecc, FaultError, FaultModel, FaultStream};
use qtaml_quant::{CodeRange, Grid, Origin, PackedWords, Word};

use super::quantized::restored_codes;
use super::{
    QuantizedMemory, StoredAs, StoredBytes, WeightStorage, WordProtection, WordStorage,
    check_length,
};
use crate::{
    DecodeTable, Decoder, FittedPrior, PlanFileError, PlanGroup, PlannedStorage, RestoreError,
    StorageError,
};

pub(super) use candidates::{candidates, check};

use scores::{Scores, top_masks};

/// A whole tensor of quantized weights, each of which has as many top bits protected as its score asks
/// for. Protection is ideal.
///
/// # Formula
/// The weight of output channel `o` whose number there is `i` has the score
/// `s = scale_o² 2^(row_o + column_i)`, where `row` and `column` are the base-2 logarithms of the mean power of
/// its inputs, rounded. Protected are as many top bits as there are thresholds `t_1 <= t_2 <= ...` with
/// `s >= t_k`. Those of one storage are `t_k = λ / g_k` with the price `λ` of a bit and the gain `g_k` of the
/// `k`-th bit: how much it takes from the mean square error of the tensor, in squared steps of the code.
/// Where a bit gains less than the next, both have their mean gain.
///
/// The mean square error is weighted: `1/n Σ_w (power_w / mean power) E[(read_w - w)²]`, with the powers as
/// they were given, none less than 1/256 of their mean. So the sensitivity of the tensor times this error is
/// the predicted output noise, as it is for storages whose errors know nothing of power.
///
/// ```
/// use qtaml_compensation::storage::{
///     CodeLibrary, GroupWeights, QuantizedSpec, StorageSpec, StorageWriter,
/// };
/// use qtaml_fault::MemoryModel;
/// use qtaml_physics::FlipProbability;
///
/// // Four output channels of eight inputs, the first of which has most of the power.
/// let weights: Vec<f32> = (0..32).map(|i| (i as f32).sin()).collect();
/// let power = (0..32).map(|i| if i % 8 == 0 { 100.0 } else { 1.0 }).collect();
/// let tensor = GroupWeights::whole(&weights).in_channels(4)?.with_input_power(power)?;
///
/// let memory = MemoryModel::new(FlipProbability::symmetric(0.01)?);
/// let writer = |spec| StorageWriter::new(&memory, &spec, &CodeLibrary::default());
/// let by_weight = writer(StorageSpec::PerWeight(QuantizedSpec::default()))?;
/// let by_weight = by_weight.candidates(&[tensor])?.remove(0);
/// let all = by_weight.last().expect("a candidate without faults");
/// assert_eq!((all.protected_bits(), by_weight[0].protected_bits()), (8 * 32, 0));
///
/// // Half a bit a weight takes most of the predicted noise.
/// let half = by_weight.iter().rfind(|storage| storage.protected_bits() <= 16);
/// let half = half.expect("nothing protected at least").mean_square_error();
/// assert!(half < 0.2 * by_weight[0].mean_square_error());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PerWeightStorage {
    shared: Arc<Shared>,
    thresholds: Vec<f64>,
    protected_bits: u64,
    mean_square_error: f64,
}

/// What all candidates for a tensor have in common.
#[derive(Debug)]
struct Shared {
    memory: Arc<QuantizedMemory>,
    scores: Scores,
    words: Vec<u8>,
    decoder: Decoder,
    prior: Option<FittedPrior>,
    /// By the number of protected bits.
    tables: Vec<DecodeTable>,
    /// The same as sets of bits.
    masks: Vec<BitMask>,
}

impl PerWeightStorage {
    /// How many top bits of each weight are protected.
    pub fn protected(&self) -> Vec<u8> {
        self.shared.scores.protected(&self.thresholds)
    }

    /// The scores from which the first bit, the second and so on are protected, rising.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// The storage of a planned tensor whose words lie in a memory. The error is what the plan predicts.
    pub(super) fn restored(
        group: &PlanGroup,
        memory: &Arc<QuantizedMemory>,
        stored: &StoredBytes,
    ) -> Result<Self, RestoreError> {
        let PlannedStorage::PerWeight {
            channels,
            scales,
            rows,
            columns,
            thresholds,
            decoder,
            prior,
            ..
        } = &group.storage
        else {
            return Err(PlanFileError::EmptyGroup(group.name.clone()).into());
        };
        let masks = top_masks(memory.format().bits()).map_err(StorageError::from)?;
        let table = |mask: &BitMask| {
            let channel = memory.channel(*mask).map_err(StorageError::from)?;
            Ok(group.table_in(&channel, *decoder, prior.as_ref())?)
        };
        let tables = masks.iter().map(table).collect::<Result<_, RestoreError>>()?;
        // Of which scale a word is does not matter to what it may be.
        let any = Grid::as_read(memory.format(), 1.0, Origin::Zero);
        let words = restored_codes(group.weights, any, &stored.words)?.words().to_vec();
        check_length("check bits", group.weights, 0, &stored.check)?;
        let exponents = (rows.clone(), columns.clone());
        let scores = Scores::new(group.weights, *channels, scales.clone(), exponents);
        let (memory, decoder, prior) = (memory.clone(), *decoder, prior.clone());
        let shared = Shared { memory, scores, words, decoder, prior, tables, masks };
        let (thresholds, mean_square_error) = (thresholds.clone(), group.predicted_mse);
        let protected = shared.scores.protected(&thresholds);
        let protected_bits = protected.iter().map(|&bits| u64::from(bits)).sum();
        Ok(Self { shared: shared.into(), thresholds, protected_bits, mean_square_error })
    }

    /// The weights that words stand for, each read by the table of its protected bits.
    fn weights_of(&self, words: &[u8], protected: &[u8]) -> Vec<f32> {
        let Shared { memory, scores, tables, .. } = &*self.shared;
        let length = scores.channel_len().max(1);
        let mut weights = Vec::with_capacity(words.len());
        let channels = words.chunks(length).zip(protected.chunks(length)).enumerate();
        for (channel, (words, protected)) in channels {
            let grid = Grid::as_read(memory.format(), scores.scale(channel), Origin::Zero);
            let weight = |(&word, &bits): (&u8, &u8)| {
                grid.weight_of(tables[usize::from(bits)].value(Word(word))) as f32
            };
            weights.extend(words.iter().zip(protected).map(weight));
        }
        weights
    }

    fn masks(&self) -> Vec<BitMask> {
        let mask = |bits: u8| self.shared.masks[usize::from(bits)];
        self.protected().into_iter().map(mask).collect()
    }
}

impl WeightStorage for PerWeightStorage {
    fn weights(&self) -> usize {
        self.shared.words.len()
    }

    fn stored_bits(&self) -> u64 {
        self.weights() as u64 * u64::from(self.shared.memory.format().bits().get())
    }

    fn protected_bits(&self) -> u64 {
        self.protected_bits
    }

    /// Scales, 8 bits for each exponent, 64 for each threshold, and what the decoder must know.
    fn metadata_bits(&self) -> u64 {
        let Shared { memory, scores, decoder, prior, .. } = &*self.shared;
        let (range, format) = (CodeRange::Symmetric, memory.format());
        let scales = scores.scales.len() as u64 * range.metadata_bits(format);
        let exponents = 8 * (scores.rows.len() + scores.columns.len()) as u64;
        let thresholds = 64 * self.thresholds.len() as u64;
        let prior = prior.as_ref().map(FittedPrior::kind).unwrap_or_default();
        scales + exponents + thresholds + decoder.metadata_bits_in(range, prior, format)
    }

    /// Weighted by the power of the inputs: see [`PerWeightStorage`].
    fn mean_square_error(&self) -> f64 {
        self.mean_square_error
    }

    fn golden(&self) -> Vec<f32> {
        let Shared { memory, scores, words, .. } = &*self.shared;
        let channels = words.chunks(scores.channel_len().max(1)).enumerate();
        let weights = channels.flat_map(|(channel, words)| {
            let grid = Grid::as_read(memory.format(), scores.scale(channel), Origin::Zero);
            words.iter().map(move |&word| grid.weight(memory.format().code_of(Word(word))))
        });
        weights.collect()
    }

    fn read(&self, stream: &FaultStream, start: u64) -> Result<Vec<f32>, StorageError> {
        let (mut read, model, masks) = (self.words().to_vec(), self.model(), self.masks());
        if read.len() <= model.grain() {
            model.inject_slice(&mut read, start, stream, (&masks).into())?;
        } else {
            model.par_inject_slice(&mut read, start, stream, (&masks).into())?;
        }
        self.decode(&read)
    }

    fn as_words(&self) -> Option<&dyn WordStorage> {
        Some(self)
    }

    fn stored_as(&self) -> StoredAs {
        let bits = self.shared.memory.format().bits().get();
        StoredAs::PerWeight { bits, protected: self.protected_bits }
    }

    fn planned(&self) -> PlannedStorage {
        let Shared { memory, scores, decoder, prior, .. } = &*self.shared;
        let Scores { channels, scales, rows, columns, .. } = scores.clone();
        let (thresholds, decoder, prior) = (self.thresholds.clone(), *decoder, prior.clone());
        let format = memory.format();
        PlannedStorage::PerWeight {
            format,
            channels,
            scales,
            rows,
            columns,
            thresholds,
            decoder,
            prior,
        }
    }

    fn stored(&self) -> Result<StoredBytes, StorageError> {
        let packed = PackedWords::pack(self.words(), self.shared.memory.format().bits())?;
        Ok(StoredBytes::new(packed.bytes().to_vec(), Vec::new()))
    }
}

impl WordStorage for PerWeightStorage {
    fn words(&self) -> &[u8] {
        &self.shared.words
    }

    fn model(&self) -> &BitFlips {
        self.shared.memory.faults()
    }

    fn protection(&self) -> WordProtection {
        WordProtection::Each(self.masks())
    }

    fn ecc(&self) -> Ecc {
        Ecc::Ideal
    }

    fn decode(&self, read: &[u8]) -> Result<Vec<f32>, StorageError> {
        let expected = self.weights() as u64;
        if read.len() as u64 != expected {
            return Err(FaultError::Words { given: read.len() as u64, expected }.into());
        }
        Ok(self.weights_of(read, &self.protected()))
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::{ChannelMatrix, MemoryModel, Seed};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::Format;

    use super::*;
    use crate::storage::{
        Candidates, CodeLibrary, GroupWeights, QuantizedSpec, QuantizedStorage, ScalePolicy,
        StorageSpec, StorageWriter,
    };

    const CHANNELS: usize = 6;
    const COLUMNS: usize = 20;

    fn memory(p01: f64, p10: f64) -> MemoryModel {
        MemoryModel::new(FlipProbability::asymmetric(p01, p10).unwrap())
    }

    /// Channels of unlike sizes.
    fn weights() -> Vec<f32> {
        let of = |i: usize| (i as f32 * 0.7).sin().powi(3) * (1.0 + (i / COLUMNS) as f32);
        (0..CHANNELS * COLUMNS).map(of).collect()
    }

    /// Columns of unlike power, and one channel that is used more than the others.
    fn power() -> Vec<f32> {
        let of = |i: usize| {
            let column = [0.01, 1.0, 30.0][i % COLUMNS % 3];
            if i / COLUMNS == 2 { 8.0 * column } else { column }
        };
        (0..CHANNELS * COLUMNS).map(of).collect()
    }

    fn tensor() -> GroupWeights {
        let tensor = GroupWeights::whole(&weights()).in_channels(CHANNELS).unwrap();
        tensor.with_input_power(power()).unwrap()
    }

    fn candidates(memory: &MemoryModel, spec: QuantizedSpec) -> Candidates {
        let spec = StorageSpec::PerWeight(spec);
        let writer = StorageWriter::new(memory, &spec, &CodeLibrary::default()).unwrap();
        writer.candidates(&[tensor()]).unwrap().remove(0)
    }

    fn specs() -> impl Iterator<Item = QuantizedSpec> {
        Decoder::ALL
            .into_iter()
            .zip(ScalePolicy::ALL.into_iter().cycle())
            .map(|(decoder, scale)| QuantizedSpec { scale, decoder, ..QuantizedSpec::default() })
    }

    fn thresholds(storage: &dyn WeightStorage) -> (PlannedStorage, Vec<f64>) {
        let planned = storage.planned();
        let PlannedStorage::PerWeight { thresholds, .. } = &planned else { panic!("{planned:?}") };
        let thresholds = thresholds.clone();
        (planned, thresholds)
    }

    /// What each weight's score says by the text, from the plan alone.
    fn bits_by_the_plan(planned: &PlannedStorage) -> Vec<u32> {
        let PlannedStorage::PerWeight { scales, rows, columns, thresholds, .. } = planned else {
            panic!("{planned:?}")
        };
        let of = |i: usize| {
            let (o, i) = (i / COLUMNS, i % COLUMNS);
            let scale = f64::from(if scales.len() == 1 { scales[0] } else { scales[o] });
            let row = rows.get(o).copied().unwrap_or(0);
            let column = columns.get(i).copied().unwrap_or(0);
            let score = scale * scale * f64::from(i32::from(row) + i32::from(column)).exp2();
            thresholds.iter().filter(|&&threshold| score >= threshold).count() as u32
        };
        (0..CHANNELS * COLUMNS).map(of).collect()
    }

    /// Against the sum over all words that may be read, weight by weight, for every decoder.
    #[test]
    fn the_predicted_error_is_the_weighted_sum_over_the_matrix() {
        let memory = memory(0.02, 0.1);
        let (weights, power) = (weights(), power());
        let mean = power.iter().map(|p| f64::from(*p)).sum::<f64>() / power.len() as f64;
        let floored = power.iter().map(|p| f64::from(*p).max(mean / 256.0));
        let floored: Vec<f64> = floored.collect();
        let of_all = floored.iter().sum::<f64>();
        for spec in specs() {
            let format = spec.format;
            for storage in candidates(&memory, spec.clone()) {
                let (planned, _) = thresholds(&*storage);
                let words = storage.as_words().unwrap().words().to_vec();
                let PlannedStorage::PerWeight { scales, prior, .. } = &planned else { panic!() };
                let bits = bits_by_the_plan(&planned);
                let mut sum = 0.0;
                for k in 0..=8 {
                    let mask = BitMask::top(k, format.bits()).unwrap();
                    let channel = memory.channel(format, mask).unwrap();
                    let believed = match prior {
                        Some(prior) => prior.histogram(format, weights.len()).unwrap(),
                        None => crate::CodeHistogram::from_counts(format, &[1; 256]).unwrap(),
                    };
                    let table = DecodeTable::new(spec.decoder, &channel, &believed).unwrap();
                    let matrix = ChannelMatrix::new(&channel);
                    for at in (0..weights.len()).filter(|&at| bits[at] == k) {
                        let scale = scales.get(at / COLUMNS).unwrap_or(&scales[0]);
                        let error = |read: Word| {
                            let read = f64::from(*scale) * table.value(read);
                            (read - f64::from(weights[at])).powi(2)
                        };
                        sum += floored[at] / of_all * matrix.expect(Word(words[at]), error);
                    }
                }
                let label = storage.stored_as();
                assert_relative_eq!(storage.mean_square_error(), sum, max_relative = 1e-8);
                let total: u32 = bits.iter().sum();
                assert_eq!(storage.protected_bits(), u64::from(total), "{label}");
            }
        }
    }

    /// Every threshold of every candidate: a reader that knows the plan alone, with faults of the whole
    /// memory of which the protected ones are taken back.
    #[test]
    fn words_are_read_as_a_naive_reader_reads_them() {
        let memory = memory(0.1, 0.1);
        let format = Format::INT8;
        for storage in candidates(&memory, QuantizedSpec::default()) {
            let (planned, _) = thresholds(&*storage);
            let PlannedStorage::PerWeight { scales, .. } = &planned else { panic!() };
            let words = storage.as_words().unwrap().words().to_vec();
            let stream = FaultStream::new(Seed(5), 3, "w");
            let mut read = words.clone();
            let faults = memory.bit_flips(format.bits()).unwrap();
            faults.inject_slice(&mut read, 7, &stream, BitMask::NONE.into()).unwrap();
            let naive = (0..words.len()).map(|at| {
                let kept = !(0xff_u32 >> bits_by_the_plan(&planned)[at]) as u8;
                let word = words[at] & kept | read[at] & !kept;
                f32::from(word as i8) * scales[at / COLUMNS]
            });
            assert_eq!(storage.read(&stream, 7).unwrap(), naive.collect::<Vec<_>>());
        }
    }

    /// The words, golden weights and faults of unprotected bits are those of channels stored one by one.
    #[test]
    fn words_and_faults_are_those_of_the_channels() {
        let memory = memory(0.1, 0.1);
        let spec = QuantizedSpec::default();
        let by_weight = candidates(&memory, spec.clone()).remove(0);
        let memory = Arc::new(QuantizedMemory::new(memory, spec.format).unwrap());
        let stream = FaultStream::new(Seed(9), 1, "w");
        let tensor: Arc<[f32]> = weights().into();
        let (mut golden, mut read) = (Vec::new(), Vec::new());
        for channel in 0..CHANNELS {
            let range = channel * COLUMNS..(channel + 1) * COLUMNS;
            let start = range.start as u64;
            let part = GroupWeights::part(&tensor, range).unwrap();
            let part = QuantizedStorage::new(&part, &memory, &spec, BitMask::NONE).unwrap();
            golden.extend(part.golden());
            read.extend(part.read(&stream, start).unwrap());
        }
        assert_eq!(by_weight.golden(), golden);
        assert_eq!(by_weight.read(&stream, 0).unwrap(), read);
        assert_ne!(golden, read);
    }

    #[test]
    fn candidates_rise_in_cost_and_fall_in_error() {
        for spec in specs() {
            let all = candidates(&memory(0.02, 0.02), spec.clone());
            assert!(all.len() > 20, "{}", all.len());
            let costs: Vec<u64> = all.iter().map(|storage| storage.protected_bits()).collect();
            assert!(costs.is_sorted_by(|a, b| a < b), "{costs:?}");
            assert_eq!((costs[0], *costs.last().unwrap()), (0, 8 * 120));
            let errors: Vec<f64> = all.iter().map(|s| s.mean_square_error()).collect();
            // With a prior of the whole tensor a channel may lose by a bit what the tensor gains.
            let slack = if spec.decoder == Decoder::Raw { 1.0 } else { 1.1 };
            assert!(errors.is_sorted_by(|a, b| *b <= a * slack), "{errors:?}");
            assert!(errors[errors.len() - 1] < 0.05 * errors[0]);
            for pair in all.windows(2) {
                let [words, next] = [&pair[0], &pair[1]].map(|s| s.as_words().unwrap().words());
                assert!(std::ptr::eq(words, next), "words exist once");
            }
        }
    }

    /// Of two channels and three columns: 2 scales, 2 exponents of rows, 3 of columns, thresholds.
    #[test]
    fn all_that_a_reader_must_know_is_counted() {
        let power = vec![1.0, 8.0, 1.0, 4.0, 32.0, 4.0];
        let tensor = GroupWeights::whole(&[1.0, -0.5, 0.25, 0.5, 1.0, 0.75]);
        let tensor = tensor.in_channels(2).unwrap().with_input_power(power).unwrap();
        let bits = |spec: QuantizedSpec, tensor: &GroupWeights| {
            let spec = StorageSpec::PerWeight(spec);
            let writer = StorageWriter::new(&memory(0.1, 0.1), &spec, &CodeLibrary::default());
            let candidates =
                writer.unwrap().candidates(std::slice::from_ref(tensor)).unwrap().remove(0);
            [&candidates[0], &candidates[1]].map(|s| (s.stored_bits(), s.metadata_bits()))
        };
        let raw = QuantizedSpec::default();
        assert_eq!(bits(raw.clone(), &tensor), [(48, 64 + 5 * 8), (48, 64 + 5 * 8 + 8 * 64)]);
        let bayes = QuantizedSpec { decoder: Decoder::BayesGain, ..raw.clone() };
        assert_eq!(bits(bayes, &tensor)[0], (48, 64 + 5 * 8 + 64));
        let plain = GroupWeights::whole(&[1.0, -0.5]);
        assert_eq!(bits(raw, &plain)[0], (16, 32));
    }

    #[test]
    fn what_cannot_be_stored_so_is_named() {
        let error = |memory: &MemoryModel, spec: QuantizedSpec| {
            let spec = StorageSpec::PerWeight(spec);
            let error = StorageWriter::new(memory, &spec, &CodeLibrary::default()).unwrap_err();
            error.to_string()
        };
        let plain = QuantizedSpec::default();
        let coded = memory(0.1, 0.1).with_ecc("secded:64".parse().unwrap());
        let text = "weights that are protected one by one need ideal protection, and the code secded:64 is \
                    asked for";
        assert_eq!(error(&coded, plain.clone()), text);
        let ideal = memory(0.1, 0.1);
        let range = QuantizedSpec { range: CodeRange::MinMax, ..plain.clone() };
        assert!(error(&ideal, range).contains("a symmetric range, and the range min-max"));
        let protection = crate::storage::BitChoice::Best;
        let best = QuantizedSpec { protection, ..plain.clone() };
        assert!(error(&ideal, best).contains("need top bits"));

        let writer =
            StorageWriter::new(&ideal, &StorageSpec::PerWeight(plain), &CodeLibrary::default());
        let writer = writer.unwrap();
        let parts = GroupWeights::parts(&weights().into(), [0..20, 20..120]).unwrap();
        let error = writer.candidates(&parts).unwrap_err();
        assert_eq!(error, StorageError::NotWhole { weights: 20, tensor: 120 });
        let whole = || GroupWeights::whole(&weights());
        assert!(matches!(whole().in_channels(7), Err(StorageError::Channels { .. })));
        assert!(matches!(whole().in_channels(0), Err(StorageError::Channels { .. })));
        assert!(matches!(whole().with_input_power(vec![1.0]), Err(StorageError::Powers { .. })));
        let exponents = whole().in_channels(CHANNELS).unwrap();
        assert!(exponents.clone().with_power_exponents(&[1; CHANNELS], &[]).is_ok());
        assert!(exponents.with_power_exponents(&[], &[1; CHANNELS]).is_err());
        let nan = whole().with_input_power(vec![f32::NAN; 120]).unwrap();
        assert!(matches!(writer.candidates(&[nan]), Err(StorageError::InputPower { .. })));
        assert!(writer.candidates(&[GroupWeights::whole(&[])]).is_err());
        assert!(writer.candidates(&[GroupWeights::whole(&[1.0, f32::NAN])]).is_err());
        // Zeros need nothing, and are read as zeros.
        let zeros = writer.candidates(&[GroupWeights::whole(&[0.0; 9])]).unwrap().remove(0);
        let stream = FaultStream::new(Seed(1), 0, "w");
        assert!(zeros.iter().all(|storage| storage.read(&stream, 0).unwrap() == [0.0; 9]));
    }

    /// The same storage from the exponents of a plan, without the powers that they came from.
    #[test]
    fn a_plan_is_made_again_from_its_exponents() {
        let memory = memory(0.05, 0.05);
        for spec in specs() {
            let written = candidates(&memory, spec.clone());
            let PlannedStorage::PerWeight { rows, columns, .. } = written[0].planned() else {
                panic!()
            };
            let tensor = GroupWeights::whole(&weights()).in_channels(CHANNELS).unwrap();
            let tensor = tensor.with_power_exponents(&rows, &columns).unwrap();
            let spec = StorageSpec::PerWeight(spec);
            let writer = StorageWriter::new(&memory, &spec, &CodeLibrary::default()).unwrap();
            let again = writer.candidates(&[tensor]).unwrap().remove(0);
            let planned =
                |all: &Candidates| -> Vec<_> { all.iter().map(|s| s.planned()).collect() };
            assert_eq!(planned(&again), planned(&written));
            // Predictions know the exponents alone.
            for (again, written) in again.iter().zip(&written) {
                let ratio = again.mean_square_error() / written.mean_square_error();
                assert!((0.5..2.0).contains(&ratio), "{ratio}");
            }
        }
    }
}
