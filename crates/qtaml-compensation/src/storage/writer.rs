//! The writer of groups: a storage spec in one memory.

use std::sync::Arc;

use qtaml_fault::{BitMask, MemoryModel};
use rayon::prelude::*;

use super::ends::{self, ends_at, relative_distances, spread};
use super::{
    GroupWeights, QuantizedMemory, QuantizedSpec, QuantizedStorage, ScalePolicy, StorageSpec,
    WeightStorage, per_weight,
};
use crate::blockcode::{BatchedBlocks, BlockCodedStorage, BlockCodes};
use crate::codebook::{CodebookStorage, Codebooks};
use crate::memo::Memo;
use crate::outliers::Parted;
use crate::protection_sets::Reading;
use crate::{CodeHistogram, CodebookError, StorageError};

/// Codes that follow from a memory alone, designed once and shared by all who store in it.
///
/// A design takes seconds: keep one library for as long as models are stored.
#[derive(Debug, Clone, Default)]
pub struct CodeLibrary {
    codebooks: Arc<Memo<[u64; 2], Codebooks>>,
    block_codes: Arc<Memo<[u64; 2], BlockCodes>>,
}

impl CodeLibrary {
    /// The channel-optimised codebooks of a memory.
    ///
    /// # Errors
    /// [`StorageError::OneProbability`] unless all its bits flip alike.
    pub fn codebooks(&self, memory: &MemoryModel) -> Result<Arc<Codebooks>, StorageError> {
        let flips = memory.flips.uniform().ok_or(StorageError::OneProbability)?;
        let key = [flips.p01(), flips.p10()].map(f64::to_bits);
        Ok(self.codebooks.get_or_make(key, || Codebooks::new(flips)))
    }

    /// The block codes of a memory.
    ///
    /// # Errors
    /// [`StorageError::OneProbability`] unless all its bits flip alike.
    pub fn block_codes(&self, memory: &MemoryModel) -> Result<Arc<BlockCodes>, StorageError> {
        let flips = memory.flips.uniform().ok_or(StorageError::OneProbability)?;
        let key = [flips.p01(), flips.p10()].map(f64::to_bits);
        Ok(self.block_codes.get_or_try(key, || BlockCodes::new(flips))?)
    }
}

/// A [`StorageSpec`] in one memory: makes the candidates of each weight group.
///
/// ```
/// use qtaml_compensation::WeightStorage;
/// use qtaml_compensation::storage::{CodeLibrary, GroupWeights, QuantizedSpec, StorageWriter};
/// use qtaml_fault::MemoryModel;
/// use qtaml_physics::FlipProbability;
///
/// let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
/// let spec = QuantizedSpec::default().into();
/// let writer = StorageWriter::new(&memory, &spec, &CodeLibrary::default())?;
/// let weights: Vec<f32> = (0..100).map(|i| (i as f32).sin()).collect();
/// // Nothing protected, then one to eight top bits.
/// let candidates = writer.candidates(&[GroupWeights::whole(&weights)])?.remove(0);
/// assert_eq!(candidates.len(), 9);
/// assert!(candidates[2].mean_square_error() < candidates[0].mean_square_error());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StorageWriter {
    memory: MemoryModel,
    ways: Ways,
}

#[derive(Debug)]
enum Ways {
    Quantized { memory: Arc<QuantizedMemory>, spec: QuantizedSpec, masks: Option<Vec<BitMask>> },
    PerWeight { memory: Arc<QuantizedMemory>, spec: QuantizedSpec },
    Codebook { codes: Arc<Codebooks>, widths: Vec<u32> },
    BlockCoded { codes: Arc<BlockCodes>, rates: Vec<u32> },
}

/// The candidates of one group, by rising cost.
pub type Candidates = Vec<Arc<dyn WeightStorage>>;

impl StorageWriter {
    /// What the spec offers in this memory.
    ///
    /// # Errors
    /// [`StorageError::Fault`] for flip probabilities that do not fit the format,
    /// [`StorageError::NoBitSets`] or [`StorageError::NoCandidates`] for a spec that offers
    /// nothing, [`StorageError::PerWeight`] for what cannot be protected weight by weight, and as
    /// [`CodeLibrary::codebooks`].
    pub fn new(
        memory: &MemoryModel,
        spec: &StorageSpec,
        library: &CodeLibrary,
    ) -> Result<Self, StorageError> {
        let ways = match spec {
            StorageSpec::Quantized(spec) => Ways::Quantized {
                memory: Arc::new(QuantizedMemory::new(memory.clone(), spec.format)?),
                masks: spec.protection.masks(spec.format)?,
                spec: spec.clone(),
            },
            StorageSpec::PerWeight(spec) => {
                let memory = Arc::new(QuantizedMemory::new(memory.clone(), spec.format)?);
                per_weight::check(&memory, spec)?;
                Ways::PerWeight { memory, spec: spec.clone() }
            }
            StorageSpec::Codebook { widths } => {
                Ways::Codebook { codes: library.codebooks(memory)?, widths: some(widths)? }
            }
            StorageSpec::BlockCoded { rates } => {
                Ways::BlockCoded { codes: library.block_codes(memory)?, rates: some(rates)? }
            }
        };
        Ok(Self { memory: memory.clone(), ways })
    }

    /// The memory that is written to.
    pub fn memory(&self) -> &MemoryModel {
        &self.memory
    }

    /// The candidates of every group of one tensor, in the order of the groups.
    ///
    /// # Errors
    /// [`StorageError::Quant`] or [`WeightsError::NotFinite`] for weights that are NaN or
    /// infinite, [`StorageError::NotWhole`] for a part of a tensor that is to be protected weight by
    /// weight, and as the storages themselves.
    ///
    /// [`WeightsError::NotFinite`]: crate::WeightsError::NotFinite
    pub fn candidates(&self, groups: &[GroupWeights]) -> Result<Vec<Candidates>, StorageError> {
        self.those(groups, |_| true)
    }

    /// Some of the candidates of every group, by their numbers in [`candidates`](Self::candidates). Others are not made.
    ///
    /// # Errors
    /// As [`candidates`](Self::candidates).
    pub fn some_candidates(
        &self,
        groups: &[GroupWeights],
        numbers: &[usize],
    ) -> Result<Vec<Candidates>, StorageError> {
        if numbers.is_empty() {
            // What is common to all of a tensor is not looked for.
            return Ok(vec![Vec::new(); groups.len()]);
        }
        self.those(groups, |number| numbers.contains(&number))
    }

    fn those(
        &self,
        groups: &[GroupWeights],
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Vec<Candidates>, StorageError> {
        let only = |all: &[u32]| -> Vec<u32> {
            let numbered = all.iter().enumerate().filter(|(number, _)| wanted(*number));
            numbered.map(|(_, &value)| value).collect()
        };
        match &self.ways {
            Ways::Quantized { memory, spec, masks } => {
                quantized(groups, memory, spec, masks.as_deref(), &wanted)
            }
            Ways::PerWeight { memory, spec } => {
                let all = |group| per_weight::candidates(group, memory, spec);
                let of = |group| {
                    let numbered = all(group)?.into_iter().enumerate();
                    Ok(numbered.filter(|(number, _)| wanted(*number)).map(|(_, c)| c).collect())
                };
                groups.iter().map(of).collect()
            }
            Ways::Codebook { codes, widths } => each(groups, &only(widths), |parted, width| {
                Ok(Arc::new(CodebookStorage::of_parted(parted, codes, width, 0)?))
            }),
            Ways::BlockCoded { codes, rates } => each(groups, &only(rates), |parted, rate| {
                let storage = BlockCodedStorage::of_parted(parted, codes, rate)?;
                Ok(Arc::new(BatchedBlocks::new(storage)))
            }),
        }
    }
}

fn some(values: &[u32]) -> Result<Vec<u32>, StorageError> {
    if values.is_empty() { Err(StorageError::NoCandidates) } else { Ok(values.to_vec()) }
}

/// Each group in a code for a standard shape at some widths or rates.
fn each(
    groups: &[GroupWeights],
    values: &[u32],
    store: impl Fn((&[f32], &Parted), u32) -> Result<Arc<dyn WeightStorage>, StorageError> + Sync,
) -> Result<Vec<Candidates>, StorageError> {
    let of = |group: &GroupWeights| {
        let weights = group.weights();
        let parted = Parted::of(weights).map_err(CodebookError::from)?;
        values.par_iter().map(|&value| store((weights, &parted), value)).collect()
    };
    groups.par_iter().map(of).collect()
}

fn quantized(
    groups: &[GroupWeights],
    memory: &Arc<QuantizedMemory>,
    spec: &QuantizedSpec,
    masks: Option<&[BitMask]>,
    wanted: impl Fn(usize) -> bool,
) -> Result<Vec<Candidates>, StorageError> {
    let Some(first) = groups.first() else { return Ok(Vec::new()) };
    let all = match masks {
        Some(masks) => masks.to_vec(),
        None => best_masks(first.tensor(), memory, spec)?,
    };
    let numbered = all.into_iter().enumerate().filter(|(number, _)| wanted(*number));
    let masks: Vec<BitMask> = numbered.map(|(_, mask)| mask).collect();
    // Found once for a tensor: the range of a few weights would be fitted to their noise.
    let relative = match spec.scale {
        ScalePolicy::MinMse => Some(relative_distances(first, memory, spec, &masks)?),
        _ => None,
    };
    let shared = ends::of_tensor(first, spec)?;
    let store = |group: &GroupWeights| {
        let spread = relative.as_ref().map_or(0.0, |_| spread(group.weights(), spec));
        let candidate = |(i, &mask): (usize, &BitMask)| {
            let ends = match (&relative, shared) {
                (Some(relative), _) => ends_at(relative[i] * spread, group, spec),
                (None, Some(shared)) => shared,
                (None, None) => group.ends(spec.range),
            };
            let storage = QuantizedStorage::between(group, memory, spec, mask, ends)?;
            Ok(Arc::new(storage) as Arc<dyn WeightStorage>)
        };
        masks.iter().enumerate().map(candidate).collect()
    };
    groups.par_iter().map(store).collect()
}

/// For each number of protected bits the best set for the codes of a tensor.
fn best_masks(
    tensor: &Arc<[f32]>,
    memory: &QuantizedMemory,
    spec: &QuantizedSpec,
) -> Result<Vec<BitMask>, StorageError> {
    let whole = GroupWeights::all_of(tensor);
    let (range, ends) = (spec.range, whole.ends(spec.range));
    let stored = CodeHistogram::of(&whole.quantize(spec.format, range, ends)?);
    let believed = if spec.decoder.needs_prior() {
        spec.prior.apply_in(range, &stored)
    } else {
        stored.clone()
    };
    let reading = Reading::new(memory.memory(), spec.format, spec.decoder)?;
    Ok(reading.best_sets(&stored, &believed)?.into_iter().map(|set| set.bits).collect())
}

#[cfg(test)]
mod tests {
    use qtaml_fault::{FaultStream, Seed};
    use qtaml_physics::{FlipProbability, FlipProfile};
    use qtaml_quant::Format;

    use super::*;
    use crate::storage::{BitChoice, WordProtection};

    fn memory(p: f64) -> MemoryModel {
        MemoryModel::new(FlipProbability::symmetric(p).unwrap())
    }

    /// Two channels of a tensor; the second has one large weight.
    fn groups() -> Vec<GroupWeights> {
        let mut weights: Vec<f32> = (0..200).map(|i| (i as f32 * 0.37).sin().powi(3)).collect();
        weights[150] = 20.0;
        GroupWeights::parts(&weights.into(), [0..100, 100..200]).unwrap()
    }

    fn limits(scale: ScalePolicy) -> Vec<Vec<f32>> {
        let spec = QuantizedSpec { scale, ..QuantizedSpec::default() };
        let writer =
            StorageWriter::new(&memory(0.05), &spec.into(), &CodeLibrary::default()).unwrap();
        let scale = |storage: &Arc<dyn WeightStorage>| {
            127.0 * storage.as_quantized().unwrap().tensor().scale()
        };
        let of = |group: &Candidates| group.iter().map(scale).collect();
        writer.candidates(&groups()).unwrap().iter().map(of).collect()
    }

    #[test]
    fn scales_come_from_where_the_policy_says() {
        let near = |a: f32, b: f32| (a - b).abs() < 1e-4 * b;
        let tensor = limits(ScalePolicy::PerTensor);
        assert!(tensor.iter().flatten().all(|&limit| near(limit, 20.0)));
        let group = limits(ScalePolicy::PerGroup);
        assert!(group[0].iter().all(|&limit| limit < 1.01) && near(group[1][0], 20.0));
        let best = limits(ScalePolicy::MinMse);
        // Without faults nothing is clipped far; exposed, the large weight is given up.
        assert!(best[1][0] < 0.5 * best[1][8], "{:?}", best[1]);
        let weights: Vec<f32> = groups().iter().flat_map(|g| g.weights().to_vec()).collect();
        let rms = (weights.iter().map(|w| w * w).sum::<f32>() / 200.0).sqrt();
        for (policy, sigmas) in [(ScalePolicy::ThreeSigma, 3.0), (ScalePolicy::FourSigma, 4.0)] {
            let limits = limits(policy);
            assert!(limits.iter().flatten().all(|&l| near(l, sigmas * rms)), "{policy}");
        }
        // Rounding alone would not give the large weight up: of 256 codes the clipped one costs more.
        let rounding = limits(ScalePolicy::MinRounding);
        let error = |limit: f32| -> f32 {
            let grid = |w: f32| (w / limit * 127.0).round().clamp(-128.0, 127.0) * limit / 127.0;
            weights.iter().map(|&w| (w - grid(w)).powi(2)).sum()
        };
        let scanned = (1..400).map(|i| i as f32 / 20.0).map(error).fold(f32::INFINITY, f32::min);
        assert!(rounding.iter().flatten().all(|&l| error(l) < 1.1 * scanned), "{rounding:?}");
    }

    /// The top bit lies in a cell that never fails: the second one is the first to protect.
    #[test]
    fn the_best_sets_follow_from_the_memory() {
        let mut bits = vec![FlipProbability::symmetric(0.1).unwrap(); 8];
        bits[7] = FlipProbability::NEVER;
        let memory = MemoryModel::new(FlipProfile::per_bit(bits).unwrap());
        let spec = QuantizedSpec { protection: BitChoice::Best, ..QuantizedSpec::default() };
        let writer = StorageWriter::new(&memory, &spec.into(), &CodeLibrary::default()).unwrap();
        let candidates = writer.candidates(&groups()).unwrap();
        let masks = |group: &Candidates| -> Vec<WordProtection> {
            group.iter().map(|c| c.as_words().unwrap().protection()).collect()
        };
        let expected = [0, 0b0100_0000, 0b0110_0000].map(|bits| {
            WordProtection::Alike(BitMask::of_bits(bits, Format::INT8.bits()).unwrap())
        });
        assert_eq!(masks(&candidates[0])[..3], expected);
        assert_eq!(masks(&candidates[0]), masks(&candidates[1]));
        assert!(writer.candidates(&[]).unwrap().is_empty());
    }

    #[test]
    fn every_spec_gives_its_candidates() {
        let library = CodeLibrary::default();
        let specs = [
            (QuantizedSpec::default().into(), 9),
            (StorageSpec::codebook([2, 4]), 2),
            (StorageSpec::block_coded([3]), 1),
        ];
        let stream = FaultStream::new(Seed(1), 0, "w");
        for (spec, count) in specs {
            let writer = StorageWriter::new(&memory(0.05), &spec, &library).unwrap();
            for candidates in writer.candidates(&groups()).unwrap() {
                assert_eq!(candidates.len(), count, "{spec:?}");
                let costs: Vec<u64> =
                    candidates.iter().map(|c| c.stored_bits() + c.protected_bits()).collect();
                assert!(costs.is_sorted(), "{costs:?}");
                assert_eq!(candidates[0].read(&stream, 0).unwrap().len(), 100);
            }
        }
        for (spec, numbers) in [
            (QuantizedSpec::default().into(), vec![1, 7]),
            (StorageSpec::codebook([2, 4]), vec![1]),
            (StorageSpec::block_coded([3]), vec![]),
        ] {
            let writer = StorageWriter::new(&memory(0.05), &spec, &library).unwrap();
            let all = writer.candidates(&groups()).unwrap();
            let some = writer.some_candidates(&groups(), &numbers).unwrap();
            for (all, some) in all.iter().zip(some) {
                let planned = |c: &Arc<dyn WeightStorage>| c.planned();
                let expected: Vec<_> = numbers.iter().map(|&n| planned(&all[n])).collect();
                assert_eq!(some.iter().map(planned).collect::<Vec<_>>(), expected);
            }
        }
        let first = library.codebooks(&memory(0.05)).unwrap();
        assert!(Arc::ptr_eq(&first, &library.codebooks(&memory(0.05)).unwrap()));
        assert!(!Arc::ptr_eq(&first, &library.codebooks(&memory(0.06)).unwrap()));
    }

    #[test]
    fn specs_that_offer_nothing_are_refused() {
        let library = CodeLibrary::default();
        let error =
            |spec: StorageSpec| StorageWriter::new(&memory(0.1), &spec, &library).unwrap_err();
        assert_eq!(error(StorageSpec::codebook([])), StorageError::NoCandidates);
        let none =
            QuantizedSpec { protection: BitChoice::Sets(vec![]), ..QuantizedSpec::default() };
        assert_eq!(error(none.into()), StorageError::NoBitSets);
        let mut bits = vec![FlipProbability::NEVER; 8];
        bits[3] = FlipProbability::symmetric(0.1).unwrap();
        let profile = MemoryModel::new(FlipProfile::per_bit(bits).unwrap());
        assert!(StorageWriter::new(&profile, &QuantizedSpec::default().into(), &library).is_ok());
        let refused = StorageWriter::new(&profile, &StorageSpec::codebook([4]), &library);
        assert_eq!(refused.unwrap_err(), StorageError::OneProbability);
        let nan = [GroupWeights::whole(&[1.0, f32::NAN])];
        for spec in [
            StorageSpec::codebook([4]),
            QuantizedSpec { format: Format::INT8, ..QuantizedSpec::default() }.into(),
        ] {
            let writer = StorageWriter::new(&memory(0.1), &spec, &library).unwrap();
            assert!(writer.candidates(&nan).is_err(), "{spec:?}");
        }
    }
}
