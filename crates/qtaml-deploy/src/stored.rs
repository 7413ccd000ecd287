//! The stored model: all weight groups of a model with their candidate storages.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use qtaml_compensation::allocation::{AllocationProblem, Candidate, Selection};
use qtaml_compensation::storage::{
    Candidates, CodeLibrary, GroupWeights, StorageSpec, StorageWriter, StoredAs, WeightStorage,
    WordProtection, WordStorage,
};
use qtaml_compensation::{
    Accounting, GroupStatistics, Plan, PlanGroup, PlannedStorage, Score, StorageError,
    WeightsDigester,
};
use qtaml_fault::{
    BitFlips, BitMask, Ecc, FaultModel, FaultStream, MemoryModel, ProtectionMap, Seed, WordDigest,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::offer::Offer;
use crate::{
    ChannelMajor, DeployError, Granularity, GroupSensitivity, Runner, RunnerError,
    StoredModelError, Values, WeightGroup, WeightTensor, groups_of,
};

/// A memory, and one way to store weights in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storing {
    /// The memory.
    pub memory: MemoryModel,
    /// How weights are written and decoded.
    pub spec: StorageSpec,
}

impl Storing {
    /// One way to store weights in a memory.
    pub fn new(memory: MemoryModel, spec: impl Into<StorageSpec>) -> Self {
        Self { memory, spec: spec.into() }
    }
}

/// One group of a model's weights, with the candidates for storing it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredGroup {
    /// Which weights these are.
    pub group: WeightGroup,
    /// The name of their tensor.
    pub tensor: Arc<str>,
    /// The ways to store them.
    pub candidates: Vec<Arc<dyn WeightStorage>>,
    /// The largest magnitude of the weights, `||W||_inf`.
    pub largest: f64,
    /// The mean magnitude of the weights.
    pub mean_magnitude: f64,
}

impl StoredGroup {
    fn new(
        group: WeightGroup,
        tensor: &Arc<str>,
        weights: &[f32],
        candidates: Vec<Arc<dyn WeightStorage>>,
    ) -> Self {
        let tensor = tensor.clone();
        let magnitudes = weights.iter().map(|w| f64::from(w.abs()));
        let largest = magnitudes.clone().fold(0.0, f64::max);
        let mean_magnitude = magnitudes.sum::<f64>() / weights.len() as f64;
        Self { group, tensor, candidates, largest, mean_magnitude }
    }
}

/// One tensor, and where its groups lie.
#[derive(Debug, Clone)]
pub(crate) struct StoredTensor {
    pub(crate) tensor: WeightTensor,
    /// The order in which its groups are ranges.
    order: ChannelMajor,
    pub(crate) groups: Range<usize>,
}

/// A model with its weights stored, each group in one of several ways. It knows no framework: what is
/// read are [`Values`] for a [`Runner`].
///
/// A fault depends on the seed, the trial, the name of the tensor and the row-major position of the
/// weight in it. So the same seed and trial give the same faults under every selection, granularity,
/// scale and decoder; more protection only removes some.
///
/// ```
/// use qtaml_compensation::storage::QuantizedSpec;
/// use qtaml_compensation::{Accounting, Budget, Score, allocation::GreedyPath};
/// use qtaml_deploy::{Granularity, Role, StoredModel, Storing, WeightTensor};
/// use qtaml_fault::{MemoryModel, Seed};
/// use qtaml_physics::FlipProbability;
///
/// // Two layers of one model, and a memory in which one bit in ten flips.
/// let tensors = [
///     WeightTensor::new("first", [4, 8], Role::Linear).with_output_axis(0),
///     WeightTensor::new("second", [2, 4], Role::Linear).with_output_axis(0),
/// ];
/// let values = |tensor: usize| {
///     Ok((0..tensors[tensor].len()).map(|i| (i as f32 * 0.7).sin()).collect())
/// };
/// let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
/// let storing = Storing::new(memory, QuantizedSpec::default());
/// let model = StoredModel::store_tensors(&tensors, values, Granularity::Channel, &[storing])?;
/// assert_eq!((model.groups().len(), model.weights()), (6, 40));
///
/// // Nothing protected, then everything.
/// let read = model.read(Seed(42), 0, &model.uniform(0))?;
/// assert_ne!(read, model.golden());
/// assert_eq!(model.read(Seed(42), 0, &model.uniform(8))?, model.golden());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct StoredModel {
    tensors: Vec<StoredTensor>,
    groups: Vec<StoredGroup>,
    granularity: Granularity,
    storings: Vec<Storing>,
    /// Of the weights that were stored.
    digest: WordDigest,
}

impl StoredModel {
    /// Stores the weights of a runner's model: every tensor whose role
    /// [is a weight](crate::Role::is_weight). See [`store_tensors`](Self::store_tensors).
    ///
    /// # Errors
    /// As [`store_tensors`](Self::store_tensors).
    pub fn store(
        runner: &dyn Runner,
        granularity: Granularity,
        storings: &[Storing],
    ) -> Result<Self, DeployError> {
        Self::store_with(runner, granularity, storings, &CodeLibrary::default())
    }

    /// The same with codes that other models share.
    ///
    /// # Errors
    /// As [`store_tensors`](Self::store_tensors).
    pub fn store_with(
        runner: &dyn Runner,
        granularity: Granularity,
        storings: &[Storing],
        library: &CodeLibrary,
    ) -> Result<Self, DeployError> {
        Self::of_runner(runner, granularity, storings, (library, Offer::All))
    }

    /// The same where the groups of a tensor are offered what a few of them would take for some budget that counts
    /// these bits, or nearly: of a hundred candidates some ten. The last one stays.
    ///
    /// # Errors
    /// As [`store_tensors`](Self::store_tensors).
    pub fn store_near(
        runner: &dyn Runner,
        granularity: Granularity,
        storings: &[Storing],
        library: &CodeLibrary,
        accounting: Accounting,
    ) -> Result<Self, DeployError> {
        Self::of_runner(runner, granularity, storings, (library, Offer::Near(accounting)))
    }

    fn of_runner(
        runner: &dyn Runner,
        granularity: Granularity,
        storings: &[Storing],
        offered: (&CodeLibrary, Offer<'_>),
    ) -> Result<Self, DeployError> {
        let values = |index| Ok(runner.values(index)?);
        let power = |index: usize| Ok(runner.input_power(index)?.map(InputPower::Values));
        let source = Source { tensors: runner.tensors(), values: &values, power: &power };
        Self::build(source, granularity, storings, offered)
    }

    /// The same with input powers as a plan knows them in place of those of the runner's inputs: what a
    /// plan is carried out on.
    pub(crate) fn store_planned(
        runner: &dyn Runner,
        granularity: Granularity,
        storings: &[Storing],
        library: &CodeLibrary,
        plan: &Plan,
    ) -> Result<Self, DeployError> {
        let groups: BTreeMap<&str, &PlanGroup> =
            plan.groups.iter().map(|group| (group.name.as_str(), group)).collect();
        let values = |index| Ok(runner.values(index)?);
        let power = |index: usize| {
            let group = groups.get(runner.tensors()[index].name.as_str());
            Ok(group.and_then(|group| match &group.storage {
                PlannedStorage::PerWeight { rows, columns, .. } => {
                    Some(InputPower::Exponents(rows.clone(), columns.clone()))
                }
                _ => None,
            }))
        };
        let source = Source { tensors: runner.tensors(), values: &values, power: &power };
        Self::build(source, granularity, storings, (library, Offer::Planned(&groups)))
    }

    /// Stores tensors with these values, tensor by tensor: each group in every way that `storings`
    /// offer, in their order. The first candidate is the cheapest; the last is that of the model
    /// without faults, [`golden`](Self::golden). Tensors without weights are skipped, and so are those
    /// whose role is not that of a weight: they stay as they are in the model.
    ///
    /// # Errors
    /// [`StoredModelError::NoWeights`] if nothing is left to store, [`StoredModelError::NoStoring`] without a
    /// way to store, [`StoredModelError::Stored`] naming the tensor whose weights are NaN or infinite, or
    /// cannot be stored so, [`DeployError::Storage`] for a storing that makes no sense, and what
    /// `values` fails with.
    pub fn store_tensors(
        tensors: &[WeightTensor],
        values: impl Fn(usize) -> Result<Vec<f32>, DeployError>,
        granularity: Granularity,
        storings: &[Storing],
    ) -> Result<Self, DeployError> {
        let source = Source { tensors, values: &values, power: &|_| Ok(None) };
        Self::build(source, granularity, storings, (&CodeLibrary::default(), Offer::All))
    }

    /// The same with candidates of one's own for each tensor: `store` is handed its groups, and gives the
    /// candidates of each, by rising cost. For scales that training learned, say.
    ///
    /// # Errors
    /// [`StoredModelError::NoWeights`] and [`StoredModelError::Stored`] as [`store_tensors`](Self::store_tensors),
    /// [`StoredModelError::NoStoring`] for a group without candidates.
    pub fn store_by(
        runner: &dyn Runner,
        granularity: Granularity,
        store: impl Fn(&WeightTensor, &[GroupWeights]) -> Result<Vec<Candidates>, StorageError>,
    ) -> Result<Self, DeployError> {
        let values = |index| Ok(runner.values(index)?);
        let source = Source { tensors: runner.tensors(), values: &values, power: &|_| Ok(None) };
        let store = |tensor: &WeightTensor, _: &[WeightGroup], parts: &[GroupWeights]| {
            let stored = |source| StoredModelError::Stored { name: tensor.name.clone(), source };
            Ok(store(tensor, parts).map_err(stored)?)
        };
        Self::collect(source, granularity, Vec::new(), store)
    }

    fn build(
        source: Source<'_>,
        granularity: Granularity,
        storings: &[Storing],
        (library, offer): (&CodeLibrary, Offer<'_>),
    ) -> Result<Self, DeployError> {
        if storings.is_empty() {
            return Err(StoredModelError::NoStoring.into());
        }
        let writer = |s: &Storing| StorageWriter::new(&s.memory, &s.spec, library);
        let writers = storings.iter().map(writer).collect::<Result<Vec<_>, _>>()?;
        let store = |tensor: &WeightTensor, groups: &[WeightGroup], parts: &[GroupWeights]| {
            offer.candidates(&tensor.name, &writers, (groups, parts))
        };
        // What nobody asks for would cost a forward pass.
        let asks = storings.iter().any(|s| matches!(s.spec, StorageSpec::PerWeight(_)));
        let source = Source { power: if asks { source.power } else { &|_| Ok(None) }, ..source };
        Self::collect(source, granularity, storings.to_vec(), store)
    }

    fn collect(
        source: Source<'_>,
        granularity: Granularity,
        storings: Vec<Storing>,
        store: impl Fn(
            &WeightTensor,
            &[WeightGroup],
            &[GroupWeights],
        ) -> Result<Vec<Candidates>, DeployError>,
    ) -> Result<Self, DeployError> {
        let digest = WeightsDigester::default().finish();
        let mut model =
            Self { tensors: Vec::new(), groups: Vec::new(), granularity, storings, digest };
        let mut digester = WeightsDigester::default();
        let by_weight =
            model.storings.iter().any(|storing| matches!(storing.spec, StorageSpec::PerWeight(_)));
        for (index, tensor) in source.tensors.iter().enumerate() {
            if !tensor.role.is_weight() || tensor.is_empty() {
                continue;
            }
            let order = order_of(tensor, granularity, by_weight);
            let groups = groups_of(index, tensor, granularity);
            let values = (source.values)(index)?;
            check_length(tensor, &values)?;
            digester.add(&tensor.name, &tensor.shape, &values);
            let weights: Arc<[f32]> = order.gather(&values).into();
            let ranges = groups.iter().map(|group| group.range.clone());
            let stored = |source| StoredModelError::Stored { name: tensor.name.clone(), source };
            let mut parts = GroupWeights::parts(&weights, ranges).map_err(stored)?;
            if let [whole] = &mut parts[..] {
                let power = (source.power)(index)?;
                *whole = with_power(whole.clone(), tensor, power)?;
            }
            let candidates = store(tensor, &groups, &parts)?;
            if candidates.len() != groups.len() || candidates.iter().any(Vec::is_empty) {
                return Err(StoredModelError::NoStoring.into());
            }
            model.add(tensor, order, groups, &parts, candidates);
        }
        model.digest = digester.finish();
        if model.groups.is_empty() { Err(StoredModelError::NoWeights.into()) } else { Ok(model) }
    }

    /// The model of tensors whose groups have one storage each, as they were restored from a memory.
    pub(crate) fn restored(
        tensors: &[(usize, WeightTensor)],
        granularity: Granularity,
        storages: Vec<Arc<dyn WeightStorage>>,
        digest: WordDigest,
    ) -> Self {
        let (groups, storings) = (Vec::new(), Vec::new());
        let mut model = Self { tensors: Vec::new(), groups, granularity, storings, digest };
        let mut storages = storages.into_iter();
        for (index, tensor) in tensors {
            let (start, name) = (model.groups.len(), Arc::from(tensor.name.as_str()));
            let mut by_weight = false;
            let groups = groups_of(*index, tensor, granularity).into_iter().zip(&mut storages);
            model.groups.extend(groups.map(|(group, storage)| {
                by_weight |= matches!(storage.stored_as(), StoredAs::PerWeight { .. });
                let golden = storage.golden();
                StoredGroup::new(group, &name, &golden, vec![storage])
            }));
            let order = order_of(tensor, granularity, by_weight);
            let groups = start..model.groups.len();
            model.tensors.push(StoredTensor { tensor: tensor.clone(), order, groups });
        }
        model
    }

    fn add(
        &mut self,
        tensor: &WeightTensor,
        order: ChannelMajor,
        groups: Vec<WeightGroup>,
        parts: &[GroupWeights],
        candidates: Vec<Candidates>,
    ) {
        let (start, name) = (self.groups.len(), Arc::from(tensor.name.as_str()));
        let stored =
            groups.into_iter().zip(parts).zip(candidates).map(|((group, part), candidates)| {
                StoredGroup::new(group, &name, part.weights(), candidates)
            });
        self.groups.extend(stored);
        let (tensor, groups) = (tensor.clone(), start..self.groups.len());
        self.tensors.push(StoredTensor { tensor, order, groups });
    }

    /// The same model with the candidates of `other` after its own, so that both compete for one budget.
    /// Without faults it is as `other`.
    ///
    /// # Errors
    /// [`StoredModelError::Groups`] or [`StoredModelError::OtherGroup`] if `other` has other groups.
    pub fn merge(mut self, other: Self) -> Result<Self, StoredModelError> {
        self.check_groups(other.groups.len())?;
        let mut pairs = self.tensors.iter().zip(&other.tensors);
        if let Some((ours, _)) = pairs.find(|(a, b)| a.order != b.order) {
            let expected = ours.tensor.name.clone();
            let found = format!("{expected}, in another order");
            return Err(StoredModelError::OtherGroup { expected, found });
        }
        for (stored, other) in self.groups.iter_mut().zip(other.groups) {
            if stored.group != other.group {
                return Err(StoredModelError::OtherGroup {
                    expected: stored.group.name.clone(),
                    found: other.group.name,
                });
            }
            stored.candidates.extend(other.candidates);
        }
        self.storings.extend(other.storings);
        Ok(self)
    }

    /// The groups, in the order of the tensors.
    pub fn groups(&self) -> &[StoredGroup] {
        &self.groups
    }

    /// The same without their candidates: what sensitivities are measured of.
    pub fn weight_groups(&self) -> Vec<WeightGroup> {
        self.groups.iter().map(|stored| stored.group.clone()).collect()
    }

    /// How finely the weights are told apart.
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The memories and the ways in which weights may be stored in them.
    pub fn storings(&self) -> &[Storing] {
        &self.storings
    }

    /// The tensors whose weights are stored, in the order of the groups.
    pub(crate) fn tensors(&self) -> &[StoredTensor] {
        &self.tensors
    }

    /// SHA-256 of the weights that were stored: see [`WeightsDigester`].
    pub fn weights_sha256(&self) -> WordDigest {
        self.digest
    }

    /// The number of stored weights.
    pub fn weights(&self) -> u64 {
        self.groups.iter().map(|stored| stored.group.len() as u64).sum()
    }

    /// The same candidate for every group; groups with fewer take their last.
    pub fn uniform(&self, candidate: u32) -> Selection {
        let last = |stored: &StoredGroup| stored.candidates.len().saturating_sub(1) as u32;
        self.groups.iter().map(|stored| candidate.min(last(stored))).collect()
    }

    /// The weights as the last candidate of each group stores them, without faults.
    pub fn golden(&self) -> Values {
        let last = self.groups.iter().filter_map(|stored| stored.candidates.last());
        self.golden_of(&last.map(AsRef::as_ref).collect::<Vec<_>>())
    }

    /// The weights as a selection stores them, without faults.
    ///
    /// # Errors
    /// [`StoredModelError::Groups`] and [`StoredModelError::Candidate`] as [`read`](Self::read).
    pub fn golden_as(&self, selection: &Selection) -> Result<Values, StoredModelError> {
        Ok(self.golden_of(&self.selected(selection)?))
    }

    /// The weights without faults, with one storage for each group.
    fn golden_of(&self, storages: &[&dyn WeightStorage]) -> Values {
        let values = |tensor: &StoredTensor| {
            let mut values = vec![0.0; tensor.order.len()];
            let groups = self.groups[tensor.groups.clone()].iter();
            for (stored, storage) in groups.zip(&storages[tensor.groups.clone()]) {
                tensor.order.scatter(stored.group.range.clone(), &storage.golden(), &mut values);
            }
            (tensor.tensor.name.clone(), values)
        };
        self.tensors.par_iter().map(values).collect()
    }

    /// What scores are made of, group by group, with these sensitivities where they are needed.
    ///
    /// # Errors
    /// [`StoredModelError::Sensitivities`] if they are not of these groups in this order.
    pub fn statistics(
        &self,
        sensitivities: &[GroupSensitivity],
    ) -> Result<Vec<GroupStatistics>, StoredModelError> {
        let names =
            |stored: &StoredGroup, found: &GroupSensitivity| stored.group.name == found.name;
        let differs = self.groups.iter().zip(sensitivities).position(|(s, f)| !names(s, f));
        let count = self.groups.len().min(sensitivities.len());
        if differs.is_some() || sensitivities.len() != self.groups.len() {
            let at = differs.unwrap_or(count);
            return Err(StoredModelError::Sensitivities {
                expected: self.groups.get(at).map(|stored| stored.group.name.clone()),
                found: sensitivities.get(at).map(|found| found.name.clone()),
            });
        }
        let of = |(stored, found): (&StoredGroup, &GroupSensitivity)| GroupStatistics {
            jacobian_squared: Some(found.squared),
            ..statistics_of(stored)
        };
        Ok(self.groups.iter().zip(sensitivities).map(of).collect())
    }

    /// What scores are made of that need no sensitivity.
    pub fn magnitudes(&self) -> Vec<GroupStatistics> {
        self.groups.iter().map(statistics_of).collect()
    }

    /// What an allocation decides about: what each candidate of each group costs, and what it does to
    /// the output, `S mse`, with the mean square error in squared units of the weights
    /// (docs/theory.md, section 4).
    ///
    /// # Errors
    /// [`DeployError::Score`] if `statistics` lack what the score is made of,
    /// [`StoredModelError::Groups`] if they are of another model.
    pub fn problem(
        &self,
        score: Score,
        statistics: &[GroupStatistics],
        accounting: Accounting,
    ) -> Result<AllocationProblem, DeployError> {
        self.check_groups(statistics.len())?;
        let mut problem = AllocationProblem::default();
        for (stored, statistics) in self.groups.iter().zip(statistics) {
            let score = score.of(statistics)?;
            let candidate = |storage: &Arc<dyn WeightStorage>| Candidate {
                cost: accounting.cost_of(storage.as_ref()),
                distortion: score * storage.mean_square_error(),
            };
            problem.push(stored.group.name.as_str(), stored.candidates.iter().map(candidate))?;
        }
        Ok(problem)
    }

    /// The weights as they are read in one trial of `seed`, group `g` being stored as its candidate
    /// `selection[g]`.
    ///
    /// # Errors
    /// [`StoredModelError::Groups`] if there is not one candidate for each group,
    /// [`StoredModelError::Candidate`] for one that a group does not have, [`StoredModelError::Stored`] for what
    /// cannot be read.
    pub fn read(
        &self,
        seed: Seed,
        trial: u32,
        selection: &Selection,
    ) -> Result<Values, DeployError> {
        self.read_by(seed, trial, selection, Reading::Decoded)
    }

    /// The weights as they may be read in one trial, where that is less work than to decode: what codes leave is drawn,
    /// see [`WeightStorage::drawn`] and [`WordStorage::left`]. Bits that no code keeps have the faults of
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn drawn(
        &self,
        seed: Seed,
        trial: u32,
        selection: &Selection,
    ) -> Result<Values, DeployError> {
        self.read_by(seed, trial, selection, Reading::Drawn)
    }

    fn read_by(
        &self,
        seed: Seed,
        trial: u32,
        selection: &Selection,
        reading: Reading,
    ) -> Result<Values, DeployError> {
        let storages = self.selected(selection)?;
        let read = |tensor: &StoredTensor| {
            let name = &tensor.tensor.name;
            let stream = FaultStream::new(seed, trial, name);
            let values =
                self.read_tensor(tensor, &storages[tensor.groups.clone()], &stream, reading);
            let values =
                values.map_err(|source| StoredModelError::Stored { name: name.clone(), source })?;
            Ok((name.clone(), values))
        };
        self.tensors.iter().map(read).collect()
    }

    /// How each group is stored under a selection.
    ///
    /// # Errors
    /// [`StoredModelError::Groups`] and [`StoredModelError::Candidate`] as [`read`](Self::read).
    pub fn stored_as(&self, selection: &Selection) -> Result<Vec<StoredAs>, StoredModelError> {
        Ok(self.selected(selection)?.into_iter().map(WeightStorage::stored_as).collect())
    }

    /// The storages that a selection takes.
    ///
    /// # Errors
    /// [`StoredModelError::Groups`] and [`StoredModelError::Candidate`] as [`read`](Self::read).
    pub fn selected(
        &self,
        selection: &Selection,
    ) -> Result<Vec<&dyn WeightStorage>, StoredModelError> {
        self.check_groups(selection.len())?;
        let take = |(stored, &candidate): (&'_ StoredGroup, &u32)| {
            let (index, candidates) = (candidate as usize, stored.candidates.len());
            if index < candidates {
                Ok(index)
            } else {
                let group = stored.group.name.clone();
                Err(StoredModelError::Candidate { group, candidate: index, candidates })
            }
        };
        let indices = self.groups.iter().zip(selection).map(take);
        let indices = indices.collect::<Result<Vec<_>, _>>()?;
        let storages = self.groups.iter().zip(indices);
        Ok(storages.map(|(stored, index)| stored.candidates[index].as_ref()).collect())
    }

    /// One tensor as it is read. Groups of words that meet the same faults are read together, so that
    /// it does not matter where their weights lie.
    fn read_tensor(
        &self,
        tensor: &StoredTensor,
        storages: &[&dyn WeightStorage],
        stream: &FaultStream,
        reading: Reading,
    ) -> Result<Vec<f32>, StorageError> {
        let order = tensor.order;
        let groups = &self.groups[tensor.groups.clone()];
        let mut values = vec![0.0; order.len()];
        let mut words: Vec<(usize, &dyn WordStorage)> = Vec::new();
        for (part, (stored, storage)) in groups.iter().zip(storages).enumerate() {
            let range = stored.group.range.clone();
            if let Some(storage) = storage.as_words() {
                words.push((part, storage));
            } else {
                let start = range.start as u64;
                let read = match reading {
                    Reading::Decoded => storage.read(stream, start)?,
                    Reading::Drawn => storage.drawn(stream, start)?,
                };
                order.scatter(range, &read, &mut values);
            }
        }
        // One pass over the tensor for each width and each memory: few, mostly one.
        while let Some(&(_, first)) = words.first() {
            let model = first.model();
            let (alike, others) = words.into_iter().partition(|(_, storage)| {
                // Groups of one memory share their model, and models are large.
                std::ptr::eq(storage.model(), model) || storage.model() == model
            });
            words = others;
            let pass = Pass { tensor, groups, model, stream, reading };
            pass.read(&alike, &mut values)?;
        }
        Ok(values)
    }

    fn check_groups(&self, given: usize) -> Result<(), StoredModelError> {
        let groups = self.groups.len();
        if groups == given { Ok(()) } else { Err(StoredModelError::Groups { groups, given }) }
    }
}

/// How weights are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reading {
    /// Codes are decoded.
    Decoded,
    /// What codes leave is drawn.
    Drawn,
}

/// Where the weights of a model come from.
#[derive(Clone, Copy)]
struct Source<'a> {
    tensors: &'a [WeightTensor],
    values: &'a dyn Fn(usize) -> Result<Vec<f32>, DeployError>,
    /// What is known of their inputs.
    power: &'a dyn Fn(usize) -> Result<Option<InputPower>, DeployError>,
}

/// The power of what weights are multiplied with.
enum InputPower {
    /// Of each weight, row-major.
    Values(Vec<f32>),
    /// The exponents of output channels, and of the numbers in one.
    Exponents(Vec<i8>, Vec<i8>),
}

/// A whole tensor with what is known of its inputs.
fn with_power(
    whole: GroupWeights,
    tensor: &WeightTensor,
    power: Option<InputPower>,
) -> Result<GroupWeights, DeployError> {
    let stored = |source| StoredModelError::Stored { name: tensor.name.clone(), source };
    let whole = whole.in_channels(tensor.channels()).map_err(stored)?;
    let known = match power {
        None => Ok(whole),
        Some(InputPower::Values(power)) => {
            check_length(tensor, &power)?;
            whole.with_input_power(tensor.channel_major().gather(&power))
        }
        Some(InputPower::Exponents(rows, columns)) => whole.with_power_exponents(&rows, &columns),
    };
    Ok(known.map_err(stored)?)
}

/// Refuses another number of values than a tensor has.
fn check_length(tensor: &WeightTensor, values: &[f32]) -> Result<(), RunnerError> {
    if values.len() == tensor.len() {
        return Ok(());
    }
    let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
    Err(RunnerError::Length { name, shape, values: values.len() })
}

/// Words of some groups of a tensor that meet the faults of one model.
struct Pass<'a> {
    tensor: &'a StoredTensor,
    groups: &'a [StoredGroup],
    model: &'a BitFlips,
    stream: &'a FaultStream,
    reading: Reading,
}

impl Pass<'_> {
    /// Reads and decodes the words of these parts of the tensor.
    fn read(
        &self,
        parts: &[(usize, &dyn WordStorage)],
        values: &mut [f32],
    ) -> Result<(), StorageError> {
        let order = self.tensor.order;
        let range = |part: usize| self.groups[part].group.range.clone();
        let mut words = vec![0; order.len()];
        for &(part, storage) in parts {
            order.scatter(range(part), storage.words(), &mut words);
        }
        let protection = self.protection(parts);
        let protection = ProtectionMap::from(&protection);
        if words.len() <= self.model.grain() {
            self.model.inject_slice(&mut words, 0, self.stream, protection)?;
        } else {
            self.model.par_inject_slice(&mut words, 0, self.stream, protection)?;
        }
        for &(part, storage) in parts {
            let mut read = order.gather_range(range(part), &words);
            self.keep(part, storage, &mut read)?;
            order.scatter(range(part), &storage.decode(&read)?, values);
        }
        Ok(())
    }

    /// What the code of a group makes of its protected bits, if it has one.
    fn keep(
        &self,
        part: usize,
        storage: &dyn WordStorage,
        read: &mut [u8],
    ) -> Result<(), StorageError> {
        let ecc = storage.ecc();
        if ecc == Ecc::Ideal {
            return Ok(());
        }
        // No code keeps other bits of one word than of the next.
        let WordProtection::Alike(mask) = storage.protection() else { return Ok(()) };
        let checks = self.check_bits_of(part);
        if self.reading == Reading::Drawn
            && let Some(left) = storage.left()?
        {
            Ecc::Ideal.correct(storage.words(), read, 0, self.model, self.stream, mask)?;
            let chances = checks.substream("what the code leaves");
            left.inject_slice(read, 0, &chances, ProtectionMap::NOTHING)?;
        } else {
            ecc.correct(storage.words(), read, 0, self.model, &checks, mask)?;
        }
        Ok(())
    }

    /// The bits that never flip.
    fn protection(&self, parts: &[(usize, &dyn WordStorage)]) -> WordProtection {
        // A code corrects afterwards what an ideal memory keeps.
        let kept = |(part, storage): &(usize, &dyn WordStorage)| {
            let protection = match storage.ecc() {
                Ecc::Ideal => storage.protection(),
                _ => WordProtection::Alike(BitMask::NONE),
            };
            (self.groups[*part].group.range.clone(), protection)
        };
        let kept: Vec<_> = parts.iter().map(kept).collect();
        let first = kept.first().map(|(_, protection)| protection);
        if let Some(alike @ WordProtection::Alike(_)) = first
            && kept.iter().all(|(_, protection)| protection == alike)
        {
            return alike.clone();
        }
        let mut masks = vec![BitMask::NONE; self.tensor.order.len()];
        for (range, protection) in kept {
            match protection {
                WordProtection::Alike(mask) => self.tensor.order.fill(range, mask, &mut masks),
                WordProtection::Each(each) => self.tensor.order.scatter(range, &each, &mut masks),
            }
        }
        WordProtection::Each(masks)
    }

    /// The stream of a group's check bits: that of the tensor if the group is all of it.
    fn check_bits_of(&self, part: usize) -> FaultStream {
        match self.groups.len() {
            1 => self.stream.clone(),
            _ => self.stream.substream(&format!("group {part}")),
        }
    }
}

/// The order in which the groups of a tensor are ranges: row-major if it is one group, unless its weights are
/// told apart by their channels.
fn order_of(tensor: &WeightTensor, granularity: Granularity, by_weight: bool) -> ChannelMajor {
    match granularity {
        Granularity::Tensor if !by_weight => ChannelMajor::new(&tensor.shape, None),
        _ => tensor.channel_major(),
    }
}

fn statistics_of(stored: &StoredGroup) -> GroupStatistics {
    GroupStatistics {
        name: stored.group.name.clone(),
        weights: stored.group.len(),
        largest: stored.largest,
        mean_magnitude: stored.mean_magnitude,
        jacobian_squared: None,
        response: None,
    }
}

#[cfg(test)]
mod tests {
    use qtaml_compensation::storage::{BitChoice, QuantizedSpec, ScalePolicy};
    use qtaml_compensation::{Decoder, allocation::GreedyPath};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, Encoding, Format, Word};

    use super::*;
    use crate::Role;

    /// A linear layer as burn keeps it, a convolution, an embedding, and what is not stored.
    fn tensors() -> Vec<WeightTensor> {
        vec![
            WeightTensor::new("fc", [12, 5], Role::Linear).with_output_axis(1),
            WeightTensor::new("bias", [5], Role::Bias),
            WeightTensor::new("conv", [4, 3, 3, 3], Role::Convolution).with_output_axis(0),
            WeightTensor::new("empty", [4, 0], Role::Linear).with_output_axis(1),
            WeightTensor::new("embed", [20, 6], Role::Embedding).with_output_axis(0),
        ]
    }

    fn values(index: usize) -> Vec<f32> {
        let uniform = |i: usize| ((i * 7919 + index * 104_729) % 1009) as f32 / 504.5 - 1.0;
        (0..tensors()[index].len()).map(|i| uniform(i).powi(3)).collect()
    }

    fn memory(p: f64) -> MemoryModel {
        MemoryModel::new(FlipProbability::symmetric(p).unwrap())
    }

    fn stored(granularity: Granularity, storings: &[Storing]) -> StoredModel {
        StoredModel::store_tensors(&tensors(), |i| Ok(values(i)), granularity, storings).unwrap()
    }

    fn quantized(p: f64, spec: QuantizedSpec) -> [Storing; 1] {
        [Storing::new(memory(p), spec)]
    }

    fn per_tensor() -> QuantizedSpec {
        QuantizedSpec { scale: ScalePolicy::PerTensor, ..QuantizedSpec::default() }
    }

    fn all() -> [Granularity; 3] {
        [Granularity::Tensor, Granularity::Channel, Granularity::Group(4)]
    }

    #[test]
    fn full_protection_reads_the_golden_model() {
        for granularity in all() {
            for decoder in [Decoder::Raw, Decoder::Bayes] {
                let spec = QuantizedSpec { decoder, ..QuantizedSpec::default() };
                let model = stored(granularity, &quantized(0.1, spec));
                let read = model.read(Seed(42), 0, &model.uniform(8)).unwrap();
                let golden = model.golden();
                assert_eq!(golden.keys().collect::<Vec<_>>(), ["conv", "embed", "fc"]);
                for (name, golden) in golden {
                    // The Bayes table is a quotient, right to rounding.
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs();
                    assert!(read[&name].iter().zip(&golden).all(near), "{name} {granularity}");
                }
            }
        }
    }

    /// What is drawn loses as much as is predicted, and as what is decoded: in 600 trials to 10 %, some five standard
    /// errors. Without a code both are the same.
    #[test]
    fn what_codes_leave_may_be_drawn() {
        let error = |model: &StoredModel, read: &Values| -> f64 {
            let golden = model.golden();
            let squares = read.iter().flat_map(|(name, read)| read.iter().zip(&golden[name]));
            squares.map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        for granularity in [Granularity::Tensor, Granularity::Channel] {
            let code = "repetition:3".parse().unwrap();
            let storing = Storing::new(memory(0.08).with_ecc(code), per_tensor());
            let model = stored(granularity, &[storing]);
            let selection = model.uniform(3);
            let sum = |read: &dyn Fn(u32) -> Values| -> f64 {
                (0..600).map(|trial| error(&model, &read(trial))).sum()
            };
            let decoded = sum(&|trial| model.read(Seed(3), trial, &selection).unwrap());
            let drawn = sum(&|trial| model.drawn(Seed(3), trial, &selection).unwrap());
            assert!((drawn / decoded - 1.0).abs() < 0.1, "{granularity}: {drawn} {decoded}");
            let ideal = stored(granularity, &quantized(0.08, per_tensor()));
            let read = ideal.read(Seed(3), 1, &selection).unwrap();
            assert_eq!(ideal.drawn(Seed(3), 1, &selection).unwrap(), read);
        }
    }

    /// However the weights are cut, and along whichever axis, a weight meets the same faults: those
    /// of its row-major position.
    #[test]
    fn faults_are_those_of_row_major_positions() {
        for p in [0.1, 1e-3] {
            let storing = quantized(p, per_tensor());
            let read = |granularity| {
                let model = stored(granularity, &storing);
                model.read(Seed(42), 3, &model.uniform(2)).unwrap()
            };
            let tensors = read(Granularity::Tensor);
            assert_eq!(tensors, read(Granularity::Channel));
            assert_eq!(tensors, read(Granularity::Group(5)));

            // The fault engine alone, on the words in the order of the file.
            let fc =
                qtaml_quant::QuantizedTensor::quantize(&values(0), &[60], Format::INT8).unwrap();
            let flips = memory(p).bit_flips(BitWidth::INT8).unwrap();
            let top = BitMask::top(2, BitWidth::INT8).unwrap();
            let words = flips
                .corrupted(fc.words(), &FaultStream::new(Seed(42), 3, "fc"), top.into())
                .unwrap();
            let expected: Vec<f32> = words
                .iter()
                .map(|&word| fc.scale() * Format::INT8.code_of(Word(word)).0 as f32)
                .collect();
            assert_eq!(tensors["fc"], expected);
        }
    }

    /// Groups with different protection and of different widths, in one tensor.
    #[test]
    fn mixed_selections_read_each_group_as_it_is_alone() {
        let narrow = Format::new(BitWidth::INT4, Encoding::Gray);
        let narrow = QuantizedSpec { format: narrow, ..QuantizedSpec::default() };
        let storings = [
            Storing::new(memory(0.1), narrow),
            Storing::new(memory(0.1), StorageSpec::codebook([3, 5])),
            Storing::new(memory(0.1), StorageSpec::block_coded([4])),
            Storing::new(memory(0.1), QuantizedSpec::default()),
        ];
        let model = stored(Granularity::Channel, &storings);
        let candidates = model.groups()[0].candidates.len() as u32;
        assert_eq!(candidates, 5 + 2 + 1 + 9);
        let mixed: Selection = (0..model.groups().len() as u32).map(|g| g % candidates).collect();
        let read = model.read(Seed(7), 1, &mixed).unwrap();
        for (g, &candidate) in mixed.iter().enumerate() {
            let alone = model.read(Seed(7), 1, &model.uniform(candidate)).unwrap();
            let (name, group) = (&*model.groups()[g].tensor, &model.groups()[g].group);
            let order = order_of(&tensors()[group.tensor], Granularity::Channel, false);
            let of = |values: &Values| order.gather_range(group.range.clone(), &values[name]);
            assert_eq!(of(&read), of(&alone), "{} as {candidate}", group.name);
        }
        let stored_as = model.stored_as(&mixed).unwrap();
        assert_eq!(stored_as[5], StoredAs::Codebook { width: 3, protected: 0 });
        assert_eq!(stored_as[7], StoredAs::BlockCoded { rate: 4 });
    }

    /// Short words and long ones in one model: each group has the candidates of both.
    #[test]
    fn merged_models_compete() {
        let of = |bits: u32, granularity| {
            let format = Format::new(BitWidth::new(bits).unwrap(), Encoding::TwosComplement);
            stored(granularity, &quantized(0.1, QuantizedSpec { format, ..per_tensor() }))
        };
        let tensors = |bits| of(bits, Granularity::Tensor);
        let both = tensors(3).merge(tensors(8)).unwrap();
        let read = |model: &StoredModel, candidate| {
            model.read(Seed(5), 0, &model.uniform(candidate)).unwrap()
        };
        assert_eq!(read(&both, 1), read(&tensors(3), 1));
        assert_eq!(read(&both, 4), read(&tensors(8), 0));
        assert_eq!(both.golden(), tensors(8).golden());
        let error = both.merge(of(8, Granularity::Channel)).unwrap_err().to_string();
        assert!(error.ends_with("the model stores 3"), "{error}");
    }

    /// Three copies of the top bits: some flips come through, fewer than without, and a group of its
    /// own reads other check bits than its neighbour.
    #[test]
    fn a_real_code_keeps_less_than_an_ideal_one_and_costs_bits() {
        let repeated = memory(0.1).with_ecc("repetition:3".parse().unwrap());
        for granularity in [Granularity::Tensor, Granularity::Channel] {
            let storings = [
                Storing::new(memory(0.1), per_tensor()),
                Storing::new(repeated.clone(), per_tensor()),
            ];
            let model = stored(granularity, &storings);
            let statistics = model.magnitudes();
            let problem =
                |accounting| model.problem(Score::MagnitudeMax, &statistics, accounting).unwrap();
            let (protected, all) =
                (problem(Accounting::ProtectedBits), problem(Accounting::AllBits));
            let weights = model.groups()[0].group.len() as u64;
            // None, one to eight ideally; none, one to eight repeated.
            assert_eq!(
                (protected.candidates(0)[2].cost, protected.candidates(0)[11].cost),
                (2 * weights, 0)
            );
            assert_eq!(all.candidates(0)[11].cost, weights * (8 + 2 * 2) + 32);
            let changed = |candidate: u32| -> usize {
                let mut changed = 0;
                for trial in 0..20 {
                    let read = model.read(Seed(1), trial, &model.uniform(candidate)).unwrap();
                    for (name, golden) in model.golden() {
                        let half = golden.iter().fold(0.0_f32, |m, w| m.max(w.abs())) / 2.0;
                        let far = |(a, b): (&f32, &f32)| (a - b).abs() > half;
                        changed +=
                            read[&name].iter().zip(&golden).filter(|&pair| far(pair)).count();
                    }
                }
                changed
            };
            assert_eq!(changed(2), 0);
            let (coded, exposed) = (changed(11), changed(0));
            assert!(coded > 0 && coded < exposed / 3, "{coded} of {exposed}, {granularity}");
        }
    }

    /// The error of two's complement in closed form: variance and squared drift.
    #[test]
    fn the_problem_predicts_the_error_in_weight_units() {
        let p = 0.01;
        let model = stored(Granularity::Tensor, &quantized(p, QuantizedSpec::default()));
        let sensitivities: Vec<GroupSensitivity> =
            model.groups().iter().map(|g| GroupSensitivity::known(&g.group.name, 2.0)).collect();
        let statistics = model.statistics(&sensitivities).unwrap();
        let problem = model.problem(Score::Wkb, &statistics, Accounting::ProtectedBits).unwrap();
        for (g, stored) in model.groups().iter().enumerate() {
            let step = stored.largest / 127.0;
            let variance = 2.0 * step * step * p * (1.0 - p) * f64::from((1 << 16) - 1) / 3.0;
            let found = problem.candidates(g)[0].distortion;
            // The drift 2p adds 4p² E[q²], a few percent of the variance; rounding less.
            assert!(found > variance && found < 1.2 * variance, "{found} {variance}");
        }
        let path = GreedyPath::optimal(&problem);
        let last = path.at(path.len() - 1);
        assert!(model.read(Seed(1), 0, last.selection()).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let storing = quantized(0.1, QuantizedSpec::default());
        let model = stored(Granularity::Tensor, &storing);
        let error = model.read(Seed(1), 0, &vec![0].into()).unwrap_err().to_string();
        assert_eq!(error, "1 groups were given, the model stores 3");
        let error = model.read(Seed(1), 0, &vec![9, 0, 0].into()).unwrap_err().to_string();
        assert_eq!(error, "candidate 9 of group \"fc\" was selected, but it has 9");
        let found =
            [GroupSensitivity::known("fc", 1.0), GroupSensitivity::known("convolution", 1.0)];
        let error = model.statistics(&found).unwrap_err().to_string();
        assert!(
            error.ends_with("group \"conv\" is stored where they have group \"convolution\""),
            "{error}"
        );
        let error = model.statistics(&found[..1]).unwrap_err().to_string();
        assert!(error.ends_with("group \"conv\" is stored where they have nothing"), "{error}");

        let store = |values: Vec<f32>, storings: &[Storing]| {
            let tensor = [WeightTensor::new("w", [2], Role::OtherWeight)];
            StoredModel::store_tensors(
                &tensor,
                |_| Ok(values.clone()),
                Granularity::Tensor,
                storings,
            )
        };
        assert!(matches!(
            store(vec![1.0, 2.0], &[]),
            Err(DeployError::Stored(StoredModelError::NoStoring))
        ));
        let infinite = store(vec![1.0, f32::INFINITY], &storing).unwrap_err();
        assert_eq!(infinite.to_string(), "tensor \"w\" cannot be stored");
        let source = std::error::Error::source(&infinite).unwrap().to_string();
        assert_eq!(source, "weight 1 is inf: weights must be finite");
        let none =
            QuantizedSpec { protection: BitChoice::Sets(vec![]), ..QuantizedSpec::default() };
        assert!(matches!(
            store(vec![1.0, 2.0], &quantized(0.1, none)),
            Err(DeployError::Storage(StorageError::NoBitSets))
        ));
        let biases = [WeightTensor::new("b", [3], Role::Bias)];
        let nothing =
            StoredModel::store_tensors(&biases, |_| Ok(vec![]), Granularity::Tensor, &storing);
        assert!(matches!(nothing, Err(DeployError::Stored(StoredModelError::NoWeights))));
    }
}
