//! A network whose weights lie in a leaking memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use qtaml_compensation::allocation::{AllocationProblem, Candidate};
use qtaml_compensation::clipping::best_range;
use qtaml_compensation::{
    ChannelKit, Clip, CompensationError, Decoder, LayerStatistics, Prior, QuantizedStorage, Score,
    StorageConfig, WeightStorage,
};
use qtaml_fault::{BitMask, Ecc, FaultStream, Seed};
use qtaml_physics::FlipProfile;
use qtaml_quant::{BitWidth, Format};
use rayon::prelude::*;

use crate::sensitivity::JacobianNorm;
use crate::units::{to_channel_major, to_row_major};
use crate::{Granularity, Parameter, TrainError, Unit, parameters, replace_parameters, units};

/// What a quantized unit's largest code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Range {
    /// The largest weight of its tensor, so that all its units share one scale.
    Tensor,
    /// Its own largest weight.
    #[default]
    Unit,
    /// What makes mean square error least, rounding, clipping and faults together: as many times the
    /// root mean square of the unit as is best for its tensor.
    Best,
}

/// The memory that weights are stored in: how often its bits flip, how weights lie in it, and how
/// they are read.
///
/// ```
/// use qtaml_compensation::Decoder;
/// use qtaml_physics::FlipProbability;
/// use qtaml_train::{Granularity, Memory};
///
/// let p = FlipProbability::symmetric(0.1)?;
/// // INT8 in two's complement, one scale per tensor, read as it is; then something better.
/// let plain = Memory::new(p);
/// let better = Memory { decoder: Decoder::Bayes, granularity: Granularity::Channel, ..plain };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// The flip probabilities of unprotected bits.
    pub flips: FlipProfile,
    /// Width and encoding of a stored weight.
    pub format: Format,
    /// What is protected alike and read by one table.
    pub granularity: Granularity,
    /// What the largest code stands for.
    pub range: Range,
    /// What to believe of a word that is read.
    pub decoder: Decoder,
    /// What the decoder knows of the weights.
    pub prior: Prior,
    /// What may keep protected bits. With several, each is a choice of its own.
    pub eccs: Vec<Ecc>,
    /// The sets of bits that may be protected, by rising cost; `None` stands for the `k` top bits,
    /// from none to all.
    pub sets: Option<Vec<BitMask>>,
}

impl Memory {
    /// INT8 two's complement with one scale per tensor, read as it is, protected bits being kept
    /// ideally. One probability stands for that of every bit.
    pub fn new(flips: impl Into<FlipProfile>) -> Self {
        Self {
            flips: flips.into(),
            format: Format::INT8,
            granularity: Granularity::Tensor,
            range: Range::Unit,
            decoder: Decoder::Raw,
            prior: Prior::default(),
            eccs: vec![Ecc::Ideal],
            sets: None,
        }
    }

    /// Every set of protected bits by each ecc.
    fn choices(&self) -> Result<Vec<(Arc<ChannelKit>, BitMask)>, TrainError> {
        let width = self.format.bits();
        let top = || (0..=width.get()).map(|k| BitMask::top(k, width)).collect();
        let sets = self.sets.clone().map_or_else(top, Ok)?;
        let mut choices = Vec::new();
        for &ecc in &self.eccs {
            let kit = Arc::new(ChannelKit::new(self.format, self.flips.clone(), ecc)?);
            // Nothing protected is the same by any ecc.
            let first = choices.is_empty();
            let sets = sets.iter().filter(|set| first || **set != BitMask::NONE);
            choices.extend(sets.map(|set| (kit.clone(), *set)));
        }
        if choices.is_empty() { Err(TrainError::NoChoices) } else { Ok(choices) }
    }

    /// For each choice, the best range of a tensor in units of its root mean square.
    ///
    /// Found once for all its units: that of a few weights would be fitted to their noise.
    fn ranges(
        &self,
        choices: &[(Arc<ChannelKit>, BitMask)],
        tensor: &[f32],
    ) -> Result<Vec<f64>, CompensationError> {
        let rms = root_mean_square(tensor);
        let range = |(kit, protection): &(Arc<ChannelKit>, BitMask)| {
            let channel = kit.channel(*protection)?;
            let best = best_range(tensor, &channel, self.decoder, self.prior)?;
            Ok(if rms > 0.0 { f64::from(best.limit) / rms } else { 0.0 })
        };
        choices.par_iter().map(range).collect()
    }

    /// A unit in every way there is. `ranges` are those of its tensor, if they matter.
    fn store(
        &self,
        choices: &[(Arc<ChannelKit>, BitMask)],
        ranges: &[f64],
        unit: &UnitWeights<'_>,
    ) -> Result<Vec<Arc<dyn WeightStorage>>, CompensationError> {
        let Self { decoder, prior, .. } = *self;
        let largest = unit.weights.iter().fold(0.0_f32, |max, w| max.max(w.abs()));
        let store = |(index, (kit, protection)): (usize, &(Arc<ChannelKit>, BitMask))| {
            let clip = match self.range {
                Range::Tensor => Clip::At(unit.largest_of_tensor),
                Range::Unit => Clip::None,
                Range::Best => {
                    let limit = ranges[index] * root_mean_square(unit.weights);
                    // Never so small that f32 has no such range.
                    Clip::At((limit as f32).clamp(largest / 64.0, largest))
                }
            };
            let config = StorageConfig { protection: *protection, decoder, prior, clip };
            let storage = QuantizedStorage::new(unit.weights, kit, config)?;
            Ok(Arc::new(storage) as Arc<dyn WeightStorage>)
        };
        choices.iter().enumerate().map(store).collect()
    }
}

fn root_mean_square(weights: &[f32]) -> f64 {
    (weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / weights.len() as f64).sqrt()
}

/// A unit's weights, on their way into a memory.
#[derive(Debug, Clone, Copy)]
pub struct UnitWeights<'a> {
    /// Which unit.
    pub unit: &'a Unit,
    /// Its weights, in channel-major order.
    pub weights: &'a [f32],
    /// All weights of its tensor, in that order.
    pub tensor: &'a [f32],
    /// The largest magnitude in its tensor.
    pub largest_of_tensor: f32,
}

/// One unit of a network's weights, with the ways in which it may be stored.
#[derive(Debug, Clone)]
pub struct StoredUnit {
    unit: Unit,
    storages: Vec<Arc<dyn WeightStorage>>,
    largest: f64,
    mean_magnitude: f64,
}

impl StoredUnit {
    fn new(weights: &UnitWeights<'_>, storages: Vec<Arc<dyn WeightStorage>>) -> Self {
        let magnitudes = weights.weights.iter().map(|w| f64::from(w.abs()));
        Self {
            unit: weights.unit.clone(),
            storages,
            largest: magnitudes.clone().fold(0.0, f64::max),
            mean_magnitude: magnitudes.sum::<f64>() / weights.weights.len() as f64,
        }
    }

    /// Which weights these are.
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// The ways to store them.
    pub fn storages(&self) -> &[Arc<dyn WeightStorage>] {
        &self.storages
    }

    /// The largest magnitude of its weights, `||W||_inf`.
    pub fn largest(&self) -> f64 {
        self.largest
    }

    /// Steps from zero to the largest code of the first words that it offers; of INT8 without words.
    fn steps(&self) -> f64 {
        let mut words = self.storages.iter().filter_map(|storage| storage.as_protected());
        let bits = words.next().map_or(BitWidth::INT8, |words| words.tensor().format().bits());
        bits.max_code().into()
    }
}

/// What a stored network costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Protected bits, as if they kept themselves: the source's *ideal* overhead.
    Protected,
    /// All bits: those in the memory with the check bits of codes, scales, and what decoders know.
    Everything,
}

impl Cost {
    fn of(self, storage: &dyn WeightStorage) -> u64 {
        match self {
            Self::Protected => storage.protected_bits(),
            Self::Everything => storage.stored_bits() + storage.side_bits(),
        }
    }
}

/// A network with its weights stored, each unit in one of several ways.
///
/// Every parameter of rank two or more is stored; biases and norm parameters, about a percent of a
/// network, stay as they are (ours).
#[derive(Debug, Clone)]
pub struct StoredNetwork<M> {
    golden: M,
    units: Vec<StoredUnit>,
    shapes: BTreeMap<String, Vec<usize>>,
    /// A real code works on whole code words of its own, so each unit has a stream of its own.
    own_streams: bool,
}

impl<M: Module> StoredNetwork<M> {
    /// Stores the weights of `model` in `memory`: each unit with every set of protected bits that it
    /// offers, by default the `k` top bits, none first.
    ///
    /// # Errors
    /// [`TrainError::Stored`] naming the unit whose weights are NaN or infinite, or that cannot be
    /// stored with a set of bits, [`TrainError::NoWeights`] if there are none,
    /// [`TrainError::NoChoices`] for a memory without eccs or without sets,
    /// [`TrainError::Compensation`] or [`TrainError::Fault`] for one that makes no sense.
    pub fn store(model: &M, memory: &Memory) -> Result<Self, TrainError> {
        let choices = memory.choices()?;
        let ranges: Mutex<BTreeMap<String, Arc<Vec<f64>>>> = Mutex::default();
        let store = |unit: &UnitWeights<'_>| {
            if memory.range != Range::Best {
                return memory.store(&choices, &[], unit);
            }
            // Nothing panics while it is held.
            let mut known = ranges.lock().unwrap_or_else(PoisonError::into_inner);
            let name = &unit.unit.tensor;
            if !known.contains_key(name) {
                let found = memory.ranges(&choices, unit.tensor)?;
                known.insert(name.clone(), Arc::new(found));
            }
            let ranges = known[name].clone();
            drop(known);
            memory.store(&choices, &ranges, unit)
        };
        let own_streams = memory.eccs.iter().any(|ecc| *ecc != Ecc::Ideal);
        Ok(Self { own_streams, ..Self::store_with(model, memory.granularity, store)? })
    }

    /// Stores the weights of `model` unit by unit in the ways that `store` gives. The first is the
    /// cheapest; the last is that of the network without faults, [`golden`](Self::golden).
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn store_with(
        model: &M,
        granularity: Granularity,
        store: impl Fn(&UnitWeights<'_>) -> Result<Vec<Arc<dyn WeightStorage>>, CompensationError>,
    ) -> Result<Self, TrainError> {
        let tensors: BTreeMap<String, Parameter> =
            parameters(model).into_iter().map(|p| (p.name.clone(), p)).collect();
        let mut stored = Vec::new();
        let mut tensor: (&str, Vec<f32>) = ("", Vec::new());
        let units = units(model, granularity)?;
        for unit in &units {
            if tensor.0 != unit.tensor {
                let Parameter { shape, values, .. } = &tensors[&unit.tensor];
                tensor = (&unit.tensor, to_channel_major(shape, values));
            }
            let weights = UnitWeights {
                unit,
                weights: &tensor.1[unit.range.clone()],
                tensor: &tensor.1,
                largest_of_tensor: tensor.1.iter().fold(0.0, |max, w| max.max(w.abs())),
            };
            let storages = store(&weights)
                .map_err(|source| TrainError::Stored { name: unit.name.clone(), source })?;
            stored.push(StoredUnit::new(&weights, storages));
        }
        let shape = |unit: &Unit| (unit.tensor.clone(), tensors[&unit.tensor].shape.clone());
        let shapes = units.iter().map(shape).collect();
        let network = Self { golden: model.clone(), units: stored, shapes, own_streams: false };
        let golden = network.assemble(|_, unit| {
            Ok(unit.storages.last().map(|storage| storage.golden()).unwrap_or_default())
        })?;
        Ok(Self { golden, ..network })
    }

    /// The same network with the ways of `other` to store each unit after its own, so that both
    /// compete for one budget. Without faults it is as `other`.
    ///
    /// # Errors
    /// [`TrainError::Allocation`] if `other` is cut into another number of units.
    pub fn or(mut self, other: Self) -> Result<Self, TrainError> {
        self.check_units(other.units.len())?;
        for (unit, other) in self.units.iter_mut().zip(other.units) {
            unit.storages.extend(other.storages);
        }
        Ok(Self {
            golden: other.golden,
            own_streams: self.own_streams || other.own_streams,
            ..self
        })
    }

    /// The stored network as it is without faults.
    pub fn golden(&self) -> &M {
        &self.golden
    }

    /// The units, in the order of the network's fields.
    pub fn units(&self) -> &[StoredUnit] {
        &self.units
    }

    /// The number of stored weights.
    pub fn weights(&self) -> u64 {
        self.units.iter().map(|unit| unit.unit.range.len() as u64).sum()
    }

    /// The same choice for every unit; units with fewer take their last.
    pub fn alike(&self, choice: u32) -> Vec<u32> {
        let capped = |unit: &StoredUnit| choice.min(unit.storages.len().saturating_sub(1) as u32);
        self.units.iter().map(capped).collect()
    }

    /// What scores are made of, unit by unit. The scale is that of the unit's largest weight, whatever
    /// range it is stored in.
    ///
    /// # Errors
    /// [`TrainError::UnknownParameter`] if `norms` lacks a unit.
    pub fn statistics(&self, norms: &[JacobianNorm]) -> Result<Vec<LayerStatistics>, TrainError> {
        let norms: BTreeMap<&str, f64> =
            norms.iter().map(|norm| (norm.name.as_str(), norm.squared)).collect();
        let of = |unit: &StoredUnit| {
            let name = &unit.unit.name;
            let squared = norms.get(name.as_str()).ok_or_else(|| {
                let known = norms.keys().map(|&name| name.to_owned()).collect();
                TrainError::UnknownParameter { name: name.clone(), known }
            })?;
            Ok(LayerStatistics {
                name: name.clone(),
                weights: unit.unit.range.len(),
                scale: unit.largest / unit.steps(),
                largest: unit.largest,
                mean_magnitude: unit.mean_magnitude,
                jacobian_squared: Some(*squared),
                response: None,
            })
        };
        self.units.iter().map(of).collect()
    }

    /// What an allocation decides about: what each way to store each unit costs, and what it does to
    /// the output, `S mse`, with the mean square error in steps of a code over the largest weight of
    /// the unit (docs/theory.md, section 4).
    ///
    /// # Errors
    /// [`TrainError::Compensation`] if `statistics` lack what the score is made of,
    /// [`TrainError::Allocation`] if they are of another network.
    pub fn choices(
        &self,
        score: Score,
        statistics: &[LayerStatistics],
        cost: Cost,
    ) -> Result<AllocationProblem, TrainError> {
        self.check_units(statistics.len())?;
        let mut units = AllocationProblem::default();
        for (unit, statistics) in self.units.iter().zip(statistics) {
            let score = score.of(statistics)?;
            // A unit of zeros is stored without error.
            let per_square = if statistics.scale > 0.0 { statistics.scale.powi(-2) } else { 0.0 };
            let choice = |storage: &Arc<dyn WeightStorage>| Candidate {
                cost: cost.of(storage.as_ref()),
                distortion: score * per_square * storage.mean_square_error(),
            };
            units.push(unit.unit.name.as_str(), unit.storages.iter().map(choice))?;
        }
        Ok(units)
    }

    /// The network as it is read in one trial of `seed`, unit `u` being stored in the way
    /// `chosen[u]`: that of an [`Allocation`](qtaml_compensation::Allocation), or [`alike`](Self::alike).
    ///
    /// The same seed and trial give the same faults under every allocation, granularity, range and
    /// decoder; more protection only removes some. Only with real codes each unit has faults of its
    /// own.
    ///
    /// # Errors
    /// [`TrainError::Allocation`] if there is not one choice for each unit, [`TrainError::Candidate`] for
    /// one that a unit does not have, [`TrainError::Stored`] for what cannot be read.
    pub fn read(&self, seed: Seed, trial: u32, chosen: &[u32]) -> Result<M, TrainError> {
        self.check_units(chosen.len())?;
        self.assemble(|index, stored| {
            let (unit, choice) = (&stored.unit, chosen[index] as usize);
            let storage = stored.storages.get(choice).ok_or_else(|| TrainError::Candidate {
                unit: unit.name.clone(),
                choice,
                choices: stored.storages.len(),
            })?;
            let stream = FaultStream::new(seed, trial, &unit.tensor);
            let read = match unit.name.strip_prefix(&unit.tensor) {
                // A part of a tensor: no name of another tensor leads to its faults.
                Some(part) if self.own_streams && !part.is_empty() => {
                    storage.read(&stream.substream(part), 0)
                }
                _ => storage.read(&stream, unit.range.start as u64),
            };
            read.map_err(|source| TrainError::Stored { name: unit.name.clone(), source })
        })
    }

    /// The network with the weights that `of` gives for each unit.
    fn assemble(
        &self,
        of: impl Fn(usize, &StoredUnit) -> Result<Vec<f32>, TrainError>,
    ) -> Result<M, TrainError> {
        let mut tensors: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (index, unit) in self.units.iter().enumerate() {
            tensors.entry(unit.unit.tensor.clone()).or_default().extend(of(index, unit)?);
        }
        for (name, values) in &mut tensors {
            *values = to_row_major(&self.shapes[name], values);
        }
        replace_parameters(self.golden.clone(), tensors)
    }

    fn check_units(&self, given: usize) -> Result<(), TrainError> {
        let units = self.units.len();
        if units == given { Ok(()) } else { Err(TrainError::Allocation { units, given }) }
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Device;
    use qtaml_compensation::allocation::GreedyPath;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, Encoding};

    use super::*;
    use crate::{Dataset, LeNet, LeNetConfig, initialise, sensitivity};

    fn model() -> LeNet {
        initialise(LeNetConfig::digits().init(&Device::flex()), Seed(2)).unwrap()
    }

    fn memory(p: f64) -> Memory {
        Memory::new(FlipProbability::symmetric(p).unwrap())
    }

    fn norms(model: &LeNet, granularity: Granularity) -> Vec<JacobianNorm> {
        let device = Device::flex();
        let images = Dataset::digits().unwrap().calibration.select(&[0, 1]);
        sensitivity::jacobian_norms(model, granularity, &images, 4, Seed(0), &device).unwrap()
    }

    fn choices(
        network: &StoredNetwork<LeNet>,
        norms: &[JacobianNorm],
        cost: Cost,
    ) -> AllocationProblem {
        network.choices(Score::Wkb, &network.statistics(norms).unwrap(), cost).unwrap()
    }

    #[test]
    fn full_protection_reads_the_golden_network() {
        let model = model();
        for memory in [
            memory(0.1),
            Memory { granularity: Granularity::Channel, range: Range::Tensor, ..memory(0.1) },
            Memory { decoder: Decoder::Bayes, ..memory(0.1) },
        ] {
            let network = StoredNetwork::store(&model, &memory).unwrap();
            let read = network.read(Seed(42), 0, &network.alike(8)).unwrap();
            for (read, golden) in parameters(&read).iter().zip(parameters(network.golden())) {
                // The Bayes table is a quotient, right to rounding.
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs();
                assert!(read.values.iter().zip(&golden.values).all(near), "{}", golden.name);
            }
        }
    }

    /// Whatever the units, a weight meets the same faults.
    #[test]
    fn granularity_does_not_change_the_faults() {
        let model = model();
        let read = |granularity| {
            let memory = Memory { granularity, range: Range::Tensor, ..memory(0.1) };
            let network = StoredNetwork::store(&model, &memory).unwrap();
            parameters(&network.read(Seed(42), 3, &network.alike(2)).unwrap())
        };
        let tensors = read(Granularity::Tensor);
        assert!(tensors == read(Granularity::Channel));
        assert!(tensors == read(Granularity::Group(50)));
    }

    #[test]
    fn faults_change_weights_and_nothing_else() {
        let model = model();
        let network = StoredNetwork::store(&model, &memory(0.1)).unwrap();
        let read = network.read(Seed(42), 0, &network.alike(0)).unwrap();
        for (clean, faulty) in parameters(network.golden()).iter().zip(parameters(&read)) {
            assert_eq!(clean.values == faulty.values, !clean.is_weight(), "{}", clean.name);
        }
    }

    /// The law of two's complement: variance and squared drift, in closed form.
    #[test]
    fn the_output_varies_with_range_and_jacobian() {
        let (model, p) = (model(), 0.01);
        let network = StoredNetwork::store(&model, &memory(p)).unwrap();
        let norms = norms(&model, Granularity::Tensor);
        let units = choices(&network, &norms, Cost::Protected);
        for (u, (unit, norm)) in network.units().iter().zip(&norms).enumerate() {
            let step = unit.largest() / 127.0;
            let hierarchy = p * (1.0 - p) * f64::from((1 << 16) - 1) / 3.0;
            let variance = norm.squared * step * step * hierarchy;
            let found = units.choices(u)[0].distortion;
            // The drift 2p adds 4p² E[q²], a few percent of the variance; rounding less.
            assert!(found > variance && found < 1.2 * variance, "{found} {variance}");
        }
    }

    /// Bits 7 and 5 alone: in what is read the others flip, and the error is the one that was
    /// predicted, within six standard errors of its sample for every unit.
    #[test]
    fn any_set_of_bits_is_protected() {
        let odd = BitMask::of_bits(0b1010_0000, BitWidth::INT8).unwrap();
        let memory = Memory { sets: Some(vec![BitMask::NONE, odd]), ..memory(0.1) };
        let network = StoredNetwork::store(&model(), &memory).unwrap();
        for unit in network.units() {
            let words = unit.storages()[1].as_protected().unwrap();
            assert_eq!(
                (unit.storages().len(), words.protected_bits()),
                (2, 2 * words.weights() as u64)
            );
            let (mut flipped, mut errors) = (0, Vec::new());
            for trial in 0..16 {
                let read =
                    words.read(&FaultStream::new(Seed(42), trial, &unit.unit().name), 0).unwrap();
                let codes = read.iter().map(|w| (w / words.tensor().scale()).round() as i32);
                for (read, stored) in codes.zip(words.tensor().codes()) {
                    flipped |= read as u8 ^ stored as u8;
                    errors.push(f64::from(read - stored).powi(2));
                }
            }
            assert_eq!(flipped, 0b0101_1111, "{}", unit.unit().name);
            let n = errors.len() as f64;
            let mean = errors.iter().sum::<f64>() / n;
            let variance = errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / n;
            let step = f64::from(words.tensor().scale());
            // What rounding adds on its own, a twelfth of a squared step, is no more than this.
            let slack = 6.0 * (variance / n).sqrt() + 0.25;
            let exact = words.mean_square_error() / (step * step);
            assert!((mean - exact).abs() < slack, "{}: {mean} {exact}", unit.unit().name);
        }
        for sets in [vec![], vec![BitMask::of_bits(0b1_0000, BitWidth::INT8).unwrap()]] {
            let format = Format::new(BitWidth::INT4, Encoding::TwosComplement);
            let memory = Memory { format, sets: Some(sets), ..memory.clone() };
            assert!(StoredNetwork::store(&model(), &memory).is_err());
        }
    }

    /// Three copies of the top bits: some flips come through, fewer than without.
    #[test]
    fn a_real_code_keeps_less_than_an_ideal_one_and_costs_bits() {
        let model = model();
        let norms = norms(&model, Granularity::Tensor);
        let repeated: Ecc = "repetition:3".parse().unwrap();
        let both = Memory { eccs: vec![Ecc::Ideal, repeated], ..memory(0.1) };
        let network = StoredNetwork::store(&model, &both).unwrap();
        let units = choices(&network, &norms, Cost::Protected);
        // None, one to eight ideally, one to eight repeated.
        let of = |choice: usize| units.choices(0)[choice];
        assert_eq!(units.choices(0).len(), 17);
        assert!(of(2).distortion < of(10).distortion && of(10).distortion < of(0).distortion);
        let everything = choices(&network, &norms, Cost::Everything);
        let weights = network.units()[0].unit().range.len() as u64;
        assert_eq!(everything.choices(0)[10].cost, weights * (8 + 2 * 2) + 32);
        assert_eq!(everything.choices(0)[2].cost, weights * 8 + 32);
        assert_eq!((of(2).cost, of(10).cost), (2 * weights, 0));
        let flips = |choice: u32| {
            let read = network.read(Seed(1), 0, &network.alike(choice)).unwrap();
            let pairs = parameters(&read).into_iter().zip(parameters(network.golden()));
            let large = |(a, b): (Parameter, Parameter)| {
                let quarter = b.values.iter().fold(0.0_f32, |m, w| m.max(w.abs())) / 2.0;
                a.values.iter().zip(&b.values).filter(|(a, b)| (*a - *b).abs() > quarter).count()
            };
            pairs.map(large).sum::<usize>()
        };
        assert_eq!(flips(2), 0);
        assert!(flips(10) > 0 && flips(10) < flips(0) / 3, "{} of {}", flips(10), flips(0));
    }

    /// Short numbers and long ones in one network: each unit has the choices of both.
    #[test]
    fn networks_of_two_formats_compete() {
        let model = model();
        let of = |bits: u32| {
            let format = Format::new(BitWidth::new(bits).unwrap(), Encoding::TwosComplement);
            StoredNetwork::store(&model, &Memory { format, ..memory(0.1) }).unwrap()
        };
        let both = of(3).or(of(8)).unwrap();
        let read = |network: &StoredNetwork<LeNet>, choice| {
            parameters(&network.read(Seed(5), 0, &network.alike(choice)).unwrap())
        };
        assert!(read(&both, 1) == read(&of(3), 1));
        assert!(read(&both, 4) == read(&of(8), 0));
        assert!(parameters(both.golden()) == parameters(of(8).golden()));
        let memory = Memory { granularity: Granularity::Channel, ..memory(0.1) };
        let channels = StoredNetwork::store(&model, &memory).unwrap();
        let error = both.or(channels).unwrap_err().to_string();
        assert!(error.ends_with("the network stores 5"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let model = model();
        let network = StoredNetwork::store(&model, &memory(0.1)).unwrap();
        let norms = norms(&model, Granularity::Tensor);
        let error = network.statistics(&norms[1..]).unwrap_err().to_string();
        assert!(error.starts_with("unknown parameter \"conv1.weight\""), "{error}");
        let error = network.read(Seed(1), 0, &[0]).unwrap_err().to_string();
        assert_eq!(error, "1 units were given, the network stores 5");
        let error = network.read(Seed(1), 0, &[9, 0, 0, 0, 0]).unwrap_err().to_string();
        assert_eq!(error, "choice 9 of unit \"conv1.weight\" was taken, but it has 9");
        let units = choices(&network, &norms, Cost::Protected);
        let path = GreedyPath::optimal(&units);
        let last = path.at(path.len() - 1);
        assert!(network.read(Seed(1), 0, last.chosen()).is_ok());
    }

    #[test]
    fn infinite_weights_are_named() {
        let values = BTreeMap::from([("fc3.weight".to_owned(), vec![f32::INFINITY; 840])]);
        let model = replace_parameters(model(), values).unwrap();
        let error = StoredNetwork::store(&model, &memory(0.1)).unwrap_err().to_string();
        assert_eq!(error, "fc3.weight: weight 0 is inf: weights must be finite");
    }
}
