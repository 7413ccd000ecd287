//! The reader of groups: storages restored from what lies in a memory, without the weights.

use std::sync::Arc;

use qtaml_fault::{Ecc, FaultError, MemoryModel};
use qtaml_physics::FlipProfile;
use qtaml_quant::{Format, Grid};

use super::{
    CodeLibrary, PerWeightStorage, QuantizedMemory, QuantizedStorage, StoredBytes, WeightStorage,
};
use crate::blockcode::{BatchedBlocks, BlockCodedStorage};
use crate::codebook::CodebookStorage;
use crate::memo::Memo;
use crate::outliers::{Outlier, Outliers};
use crate::{PlanGroup, PlannedStorage, RestoreError, StorageError};

/// A memory whose content is known: restores the storage of each planned group.
///
/// A restored storage reads the same weights under the same faults as the one that was written, for every
/// stream and start. Its mean square error is what the plan predicts.
///
/// ```
/// use qtaml_compensation::storage::{
///     CodeLibrary, GroupWeights, StorageReader, StorageSpec, StorageWriter,
/// };
/// use qtaml_compensation::PlanGroup;
/// use qtaml_fault::{FaultStream, MemoryModel, Seed};
/// use qtaml_physics::FlipProbability;
///
/// let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
/// let library = CodeLibrary::default();
/// let writer = StorageWriter::new(&memory, &StorageSpec::codebook([4]), &library)?;
/// let weights: Vec<f32> = (0..100).map(|i| (i as f32).sin()).collect();
/// let written = writer.candidates(&[GroupWeights::whole(&weights)])?.remove(0).remove(0);
///
/// let group = PlanGroup {
///     name: "fc".into(),
///     weights: weights.len(),
///     storage: written.planned(),
///     cost_bits: written.stored_bits(),
///     predicted_mse: written.mean_square_error(),
///     predicted_output_noise: 0.0,
/// };
/// let reader = StorageReader::new(memory.flips.clone(), &library);
/// let restored = reader.restore(&group, &written.stored()?)?;
/// let stream = FaultStream::new(Seed(42), 0, "fc");
/// assert_eq!(restored.read(&stream, 0)?, written.read(&stream, 0)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StorageReader {
    flips: FlipProfile,
    library: CodeLibrary,
    /// Shared by the groups of one code and format.
    memories: Memo<(Ecc, Format), QuantizedMemory>,
}

impl StorageReader {
    /// A memory whose unprotected bits flip as `flips` says.
    pub fn new(flips: impl Into<FlipProfile>, library: &CodeLibrary) -> Self {
        Self { flips: flips.into(), library: library.clone(), memories: Memo::default() }
    }

    /// The storage of a group, planned so and stored as these bytes.
    ///
    /// # Errors
    /// [`RestoreError::Plan`] for what is no plan of a group, [`RestoreError::Length`] or
    /// [`RestoreError::Quant`] for bytes of another length or with bits behind the last word,
    /// [`RestoreError::Word`], [`RestoreError::Block`] and [`RestoreError::CheckBits`] for what is stored for no
    /// weights, and [`RestoreError::Storage`] for a memory that has no such codes.
    pub fn restore(
        &self,
        group: &PlanGroup,
        stored: &StoredBytes,
    ) -> Result<Arc<dyn WeightStorage>, RestoreError> {
        group.check(&self.flips)?;
        let told = |outliers: &[Outlier]| Outliers::told(group.weights, outliers);
        Ok(match group.storage {
            PlannedStorage::Quantized {
                format, ecc, scale, origin, decoder, ref prior, ..
            } => {
                let memory = self.quantized(ecc, format).map_err(StorageError::from)?;
                let (grid, reader) = (Grid::new(format, scale, origin)?, (decoder, prior.as_ref()));
                Arc::new(QuantizedStorage::restored(group, &memory, grid, reader, stored)?)
            }
            PlannedStorage::PerWeight { format, .. } => {
                let memory = self.quantized(Ecc::Ideal, format).map_err(StorageError::from)?;
                Arc::new(PerWeightStorage::restored(group, &memory, stored)?)
            }
            PlannedStorage::Codebook { width, protected, shape, sigma, ref outliers } => {
                let codes = self.library.codebooks(&self.memory())?;
                let (key, outliers) = ((shape, width, protected), told(outliers));
                Arc::new(CodebookStorage::restored(group, &codes, key, sigma, outliers, stored)?)
            }
            PlannedStorage::BlockCoded { rate, shape, sigma, step, ref outliers } => {
                let codes = self.library.block_codes(&self.memory())?;
                let (format, outliers) = ((rate, shape, sigma, step), told(outliers));
                let storage = BlockCodedStorage::restored(group, &codes, format, outliers, stored)?;
                Arc::new(BatchedBlocks::new(storage))
            }
        })
    }

    fn memory(&self) -> MemoryModel {
        MemoryModel::new(self.flips.clone())
    }

    fn quantized(&self, ecc: Ecc, format: Format) -> Result<Arc<QuantizedMemory>, FaultError> {
        self.memories
            .get_or_try((ecc, format), || QuantizedMemory::new(self.memory().with_ecc(ecc), format))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_fault::{BitMask, FaultStream, Seed};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, CodeRange, Encoding, QuantError};

    use super::*;
    use crate::storage::{
        BitChoice, Candidates, GroupWeights, QuantizedSpec, ScalePolicy, StorageSpec,
        StorageWriter, StoredLayout,
    };
    use crate::{Decoder, PlanFileError, Prior};

    fn memory(p: f64, ecc: &str) -> MemoryModel {
        let flips = FlipProbability::symmetric(p).unwrap();
        MemoryModel::new(flips).with_ecc(ecc.parse().unwrap())
    }

    /// Weights in a bell; some are far outside it.
    fn weights(count: usize, far: usize) -> Vec<f32> {
        let uniform = |i: usize| ((i * 7919 + 13) % 10_007) as f32 / 5003.5 - 1.0;
        let mut weights: Vec<f32> = (0..count).map(|i| uniform(i).powi(3)).collect();
        (0..far).for_each(|i| weights[i * count / far.max(1)] = 300.0);
        weights
    }

    fn candidates(memory: &MemoryModel, spec: &StorageSpec, weights: &[f32]) -> Candidates {
        let library = CodeLibrary::default();
        let writer = StorageWriter::new(memory, spec, &library).unwrap();
        writer.candidates(&[GroupWeights::whole(weights)]).unwrap().remove(0)
    }

    fn group(storage: &dyn WeightStorage) -> PlanGroup {
        PlanGroup {
            name: "w".into(),
            weights: storage.weights(),
            storage: storage.planned(),
            cost_bits: storage.stored_bits(),
            predicted_mse: storage.mean_square_error(),
            predicted_output_noise: 0.0,
        }
    }

    /// Through the text of a plan, as one that is read from a file.
    fn told(group: &PlanGroup) -> PlanGroup {
        serde_json::from_str(&serde_json::to_string(group).unwrap()).unwrap()
    }

    /// Everything that can be asked of a storage, of both.
    fn assert_same(
        written: &dyn WeightStorage,
        restored: &dyn WeightStorage,
        (seed, trial, start): (u64, u32, u64),
    ) {
        let stream = FaultStream::new(Seed(seed), trial, "w");
        let label = written.stored_as();
        let read = |storage: &dyn WeightStorage| storage.read(&stream, start);
        assert_eq!(read(restored), read(written), "{label}");
        assert_eq!(restored.golden(), written.golden(), "{label}");
        assert_eq!(restored.stored_as(), label);
        assert_eq!(restored.planned(), written.planned());
        assert_eq!(restored.stored(), written.stored());
        let numbers = |storage: &dyn WeightStorage| {
            (
                storage.weights(),
                [storage.stored_bits(), storage.protected_bits(), storage.check_bits()],
                storage.metadata_bits(),
                storage.mean_square_error(),
            )
        };
        assert_eq!(numbers(restored), numbers(written), "{label}");
        let words = |storage: &dyn WeightStorage| {
            storage.as_words().map(|words| {
                let decoded = words.decode(words.words()).unwrap();
                (words.words().to_vec(), words.protection(), words.ecc(), decoded)
            })
        };
        assert_eq!(words(restored), words(written), "{label}");
        // As texts: a model that never flips holds NaN, and so does not equal itself.
        let model = |storage: &dyn WeightStorage| {
            storage.as_words().map(|words| format!("{:?}", words.model()))
        };
        assert_eq!(model(restored), model(written), "{label}");
    }

    fn restore(
        memory: &MemoryModel,
        group: &PlanGroup,
        stored: &StoredBytes,
    ) -> Result<Arc<dyn WeightStorage>, RestoreError> {
        StorageReader::new(memory.flips.clone(), &CodeLibrary::default()).restore(group, stored)
    }

    fn assert_restored(memory: &MemoryModel, candidates: &Candidates, place: (u64, u32, u64)) {
        for written in candidates {
            let (group, stored) = (told(&group(&**written)), written.stored().unwrap());
            let layout = StoredLayout::of(&group).unwrap();
            assert_eq!(layout.bytes(), stored.words.len() as u64);
            assert_eq!(layout.check_bytes(), stored.check.len() as u64);
            let restored = restore(memory, &group, &stored).unwrap();
            assert_same(&**written, &*restored, place);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Every format, range, decoder, prior, scale and code.
        #[test]
        fn quantized_words_read_the_same_without_the_weights(
            (bits, encoding) in (2_u32..=8, prop::sample::select(Encoding::ALL.to_vec())),
            range in prop::sample::select(CodeRange::ALL.to_vec()),
            decoder in prop::sample::select(Decoder::ALL.to_vec()),
            prior in prop::sample::select(Prior::ALL.to_vec()),
            scale in prop::sample::select(ScalePolicy::ALL.to_vec()),
            ecc in prop::sample::select(
                vec!["ideal", "secded:8", "repetition:3", "parity:5", "interleaved:2:secded:4"]),
            masks in prop::collection::vec(any::<u8>(), 1..4),
            (p, count) in (prop::sample::select(vec![0.0, 1e-3, 0.1]), 1_usize..120),
            place in (any::<u64>(), any::<u32>(), 0_u64..9),
        ) {
            let width = BitWidth::new(bits).unwrap();
            let masks = masks.iter().map(|mask| BitMask::of_bits(mask & width.mask(), width).unwrap());
            let spec = QuantizedSpec {
                format: Format::new(width, encoding), range, decoder, prior, scale,
                protection: BitChoice::Sets(masks.collect()),
            };
            let (memory, weights) = (memory(p, ecc), weights(count, 0));
            let (seed, trial, start) = place;
            let start = start * memory.ecc.alignment().unwrap() as u64;
            let candidates = candidates(&memory, &spec.into(), &weights);
            assert_restored(&memory, &candidates, (seed, trial, start));
        }
    }

    /// Every decoder and scale of words that are protected one by one, with input powers and without.
    #[test]
    fn weights_protected_one_by_one_read_the_same_without_the_weights() {
        let memory = memory(0.02, "ideal");
        let power = |i: usize| [1.0, 0.001, 40.0, 7.0][i % 4] * [1.0, 9.0][i / 60];
        let whole = GroupWeights::whole(&weights(120, 0)).in_channels(2).unwrap();
        let known = whole.clone().with_input_power((0..120).map(power).collect()).unwrap();
        for (decoder, scale) in Decoder::ALL.into_iter().zip(ScalePolicy::ALL.into_iter().cycle()) {
            let spec = QuantizedSpec { scale, decoder, ..QuantizedSpec::default() };
            let spec = StorageSpec::PerWeight(spec);
            let writer = StorageWriter::new(&memory, &spec, &CodeLibrary::default()).unwrap();
            for tensor in [whole.clone(), known.clone()] {
                let candidates = writer.candidates(&[tensor]).unwrap().remove(0);
                assert_restored(&memory, &candidates, (3, 1, 4));
            }
        }
    }

    /// Narrow and wide words and whole blocks, with outliers and without, where blocks get lost as well.
    #[test]
    fn codebooks_and_blocks_read_the_same_without_the_weights() {
        for (p, widths) in [(0.0, vec![1, 3, 8]), (0.05, vec![2, 5, 9]), (0.2, vec![4])] {
            let memory = memory(p, "ideal");
            for (count, far) in [(1, 0), (40, 0), (500, 0), (500, 3)] {
                let weights = weights(count, far);
                for spec in
                    [StorageSpec::codebook(widths.clone()), StorageSpec::block_coded([1, 4, 8])]
                {
                    let candidates = candidates(&memory, &spec, &weights);
                    for place in [(1, 0, 0), (7, 3, 5), (u64::MAX, u32::MAX, 1 << 40)] {
                        assert_restored(&memory, &candidates, place);
                    }
                }
            }
        }
    }

    /// More blocks than one, of unequal lengths, and zeros alone.
    #[test]
    fn several_blocks_and_zeros_are_restored() {
        let memory = memory(0.02, "ideal");
        for weights in [weights(33_001, 5), vec![0.0; 300]] {
            let candidates = candidates(&memory, &StorageSpec::block_coded([4]), &weights);
            assert_restored(&memory, &candidates, (1, 2, 3));
        }
    }

    fn error(memory: &MemoryModel, group: &PlanGroup, stored: &StoredBytes) -> RestoreError {
        restore(memory, group, stored).unwrap_err()
    }

    #[test]
    fn words_that_nothing_is_stored_as_are_named() {
        let memory = memory(0.1, "ideal");
        let of = |bits: u32, encoding, range| {
            let format = Format::new(BitWidth::new(bits).unwrap(), encoding);
            let spec = QuantizedSpec { format, range, ..QuantizedSpec::default() };
            let written = candidates(&memory, &spec.into(), &weights(3, 0)).remove(0);
            (group(&*written), written.stored().unwrap())
        };
        let (group, stored) = of(5, Encoding::TwosComplement, CodeRange::Symmetric);
        assert_eq!(stored.words.len(), 2);
        for bytes in [vec![], vec![0], vec![0; 3]] {
            let given = bytes.len();
            let stored = StoredBytes::new(bytes, vec![]);
            let expected =
                QuantError::PackedLength { words: 3, bits: 5, expected: 2, bytes: given };
            assert_eq!(error(&memory, &group, &stored), expected.into());
        }
        let padded = StoredBytes::new(vec![0, 0x80], vec![]);
        let expected = QuantError::Padding { last: 0x80, used: 7 };
        assert_eq!(error(&memory, &group, &padded), expected.into());
        let check = error(&memory, &group, &StoredBytes::new(vec![0, 0], vec![0]));
        assert_eq!(check.to_string(), "3 weights take 0 bytes of check bits, and 1 were given");

        // Word 1 is the lowest code.
        let lowest = StoredBytes::new(vec![0b0000_0000, 0b0000_0010], vec![]);
        let text = error(&memory, &group, &lowest).to_string();
        assert!(
            text.starts_with("word 1 is 0x10, which is stored for no weight: a symm"),
            "{text}"
        );
        let (group, _) = of(5, Encoding::TwosComplement, CodeRange::MinMax);
        assert!(restore(&memory, &group, &lowest).is_ok());
        for range in CodeRange::ALL {
            let (group, _) = of(5, Encoding::SignMagnitude, range);
            let text = error(&memory, &group, &lowest).to_string();
            assert!(text.contains("a second word of its code"), "{text}");
        }
    }

    #[test]
    fn words_blocks_and_check_bits_that_do_not_belong_are_named() {
        let memory = memory(0.2, "ideal");
        let written = candidates(&memory, &StorageSpec::codebook([6]), &weights(100, 0)).remove(0);
        let codes = Arc::new(crate::codebook::Codebooks::new(memory.flips.uniform().unwrap()));
        let storage = CodebookStorage::new(&weights(100, 0), &codes, 6, 0).unwrap();
        let left_out = (0..64).find(|word| !storage.code().words().contains(word)).unwrap();
        let mut words = qtaml_quant::unpack_words(&written.stored().unwrap().words, 6, 100);
        words[9] = left_out;
        let stored = StoredBytes::new(qtaml_quant::pack_words(&words, 6), vec![]);
        let found = error(&memory, &group(&*written), &stored);
        assert!(matches!(found, RestoreError::Word { index: 9, word, .. } if word == left_out));

        let written =
            candidates(&memory, &StorageSpec::block_coded([6]), &weights(300, 0)).remove(0);
        let (blocks, good) = (group(&*written), written.stored().unwrap());
        for at in 0..good.words.len() {
            let mut stored = good.clone();
            stored.words[at] ^= 1 << (at % 8);
            let found = error(&memory, &blocks, &stored);
            assert!(matches!(found, RestoreError::Block { block: 0, .. }), "{found}");
        }
        let short = StoredBytes::new(good.words[1..].to_vec(), vec![]);
        assert!(matches!(error(&memory, &blocks, &short), RestoreError::Length { .. }));

        let coded = self::memory(0.1, "secded:8");
        let spec = QuantizedSpec { protection: BitChoice::Top, ..QuantizedSpec::default() };
        let written = candidates(&coded, &spec.into(), &weights(20, 0)).remove(3);
        let (group, good) = (group(&*written), written.stored().unwrap());
        // Three code words of five check bits for each of three bits.
        assert_eq!(good.check.len(), 45_usize.div_ceil(8));
        for bit in 0..48 {
            let mut stored = good.clone();
            stored.check[bit / 8] ^= 1 << (bit % 8);
            let found = error(&coded, &group, &stored);
            if bit < 45 {
                let ecc = coded.ecc;
                assert_eq!(found, RestoreError::CheckBits { bit: bit as u64, ecc });
            } else {
                assert!(matches!(found, RestoreError::Quant(QuantError::Padding { .. })));
            }
        }
        let long = StoredBytes::new(good.words.clone(), [good.check, vec![0]].concat());
        assert!(matches!(error(&coded, &group, &long), RestoreError::Length { given: 7, .. }));
    }

    #[test]
    fn plans_that_do_not_fit_the_memory_are_refused() {
        let memory = memory(0.1, "ideal");
        let written =
            candidates(&memory, &QuantizedSpec::default().into(), &weights(8, 0)).remove(2);
        let (good, stored) = (group(&*written), written.stored().unwrap());
        let changed = |change: &dyn Fn(&mut PlannedStorage)| {
            let mut group = good.clone();
            change(&mut group.storage);
            error(&memory, &group, &stored)
        };
        let scale = changed(&|storage| {
            if let PlannedStorage::Quantized { scale, .. } = storage {
                *scale = f32::MAX;
            }
        });
        assert_eq!(scale, QuantError::Scale(f32::MAX).into());
        let bits = changed(&|storage| {
            if let PlannedStorage::Quantized { protected, .. } = storage {
                *protected = vec![8];
            }
        });
        assert!(matches!(bits, RestoreError::Plan(PlanFileError::Bits { .. })), "{bits}");
        // Numbers that no memory holds are refused before anything is made of them.
        for storage in [
            good.storage.clone(),
            PlannedStorage::BlockCoded {
                rate: 8,
                shape: crate::codebook::StandardShape::Gaussian,
                sigma: 1.0,
                step: 0.1,
                outliers: vec![],
            },
            PlannedStorage::Codebook {
                width: 3,
                protected: 0,
                shape: crate::codebook::StandardShape::Gaussian,
                sigma: 1.0,
                outliers: vec![],
            },
        ] {
            let endless = PlanGroup { weights: usize::MAX, storage, ..good.clone() };
            assert!(restore(&memory, &endless, &stored).is_err());
        }
    }

    /// Block by block, as the layout says.
    #[test]
    fn the_bytes_of_blocks_are_those_of_their_sum() {
        for (weights, rate) in [(1, 1), (7, 1), (65_536, 1), (65_537, 1), (100_001, 5), (40_000, 8)]
        {
            let layout = StoredLayout::Blocks { rate, weights, blocks: 0 };
            let count = (weights * u64::from(rate)).div_ceil(65_536);
            let edge = |i: u64| i * weights / count;
            let sum: u64 = (0..count).map(|i| (edge(i + 1) - edge(i)) * u64::from(rate) / 8).sum();
            assert_eq!(layout.bytes(), sum, "{weights} {rate}");
        }
        let endless = StoredLayout::Blocks { rate: 8, weights: u64::MAX, blocks: 0 };
        assert_eq!(endless.bytes(), u64::MAX);
        assert_eq!(StoredLayout::Blocks { rate: 8, weights: 0, blocks: 0 }.bytes(), 0);
    }
}
