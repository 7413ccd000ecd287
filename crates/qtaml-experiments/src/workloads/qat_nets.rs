//! Networks trained by several methods of QAT and read from a leaking memory, over several seeds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};
use qtaml::compensation::allocation::GreedyPath;
use qtaml::compensation::storage::{Candidates, GroupWeights, QuantizedMemory, QuantizedSpec};
use qtaml::compensation::{
    Accounting, Decoder, QuantizedStorage, Score, StorageError, WeightStorage,
};
use qtaml::deploy::sensitivity::gradient_norms;
use qtaml::deploy::{
    Evaluation, Granularity, GroupSensitivity, Metric, Runner, StoredModel, Values, WeightTensor,
};
use qtaml::fault::{BitMask, MemoryModel, QuantizedChannel, Seed};
use qtaml::physics::{FlipProbability, XI};
use qtaml::quant::{BitWidth, Format, Word};
use qtaml::train::qat::{QatMethod, QuantizedLayer, T0};
use qtaml::train::trainer::{Trainer, TrainerConfig};
use qtaml::train::{BurnRunner, Classifier, Dataset, Images};
use rand::RngExt as _;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::networks::{self, ImageSet, Net, WithModel};
use crate::context::Context;
use crate::results::{Table, Value};
use crate::stats::{LEVEL, Mean, Paired, mean};
use crate::stopwatch::Phase;

/// How often bits flip in training, where a method trains with faults, and in the faults that the
/// noise of [`matched_t0`] is as large as.
pub const TRAINING_FLIPS: f64 = 0.01;
/// The share of all bits that a memory with TAC protects.
pub const PROTECTED: f64 = 0.1;
/// The claim on noise as its source states it.
pub const AS_PUBLISHED: &str = "T0-QAT, s = 80000";
/// The same with a scaling for weights of a network.
pub const MATCHED: &str = "T0-QAT, matched";

/// Fault patterns that the network of each seed is read with.
const PATTERNS: usize = 3;
/// Random projections behind the norm of a Jacobian.
const PROJECTIONS: usize = 8;

/// Seeds that choose the strength of a noise and judge nothing: no claim has so many.
pub const HELD_OUT: usize = 1000;

/// How words are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// As they are.
    Raw,
    /// Through a Bayes table with its gain corrected.
    Bayes,
    /// The same, with the share [`PROTECTED`] of all bits protected where TAC puts it.
    Tac,
    /// With random bits in place of so many of the lowest ones.
    LowBits(u32),
}

/// A memory, and how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Bits per weight.
    pub bits: BitWidth,
    /// How often a bit flips; 0 for a perfect memory.
    pub p: f64,
    /// How words are read.
    pub reading: Reading,
}

impl Setting {
    /// A memory that is read as it is.
    pub const fn raw(bits: BitWidth, p: f64) -> Self {
        Self { bits, p, reading: Reading::Raw }
    }
}

/// A method, and the memories that its networks are tried in.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The name of the method, which several candidates may share if their settings differ.
    pub name: &'static str,
    /// How it trains.
    pub method: QatMethod,
    /// Where its networks go.
    pub settings: Vec<Setting>,
}

/// T0-QAT as in its source's listing.
pub const fn published_t0() -> QatMethod {
    QatMethod::T0(T0::SOURCE)
}

/// T0-QAT with noise as large as that of bit faults on an INT4 weight at [`TRAINING_FLIPS`], relative
/// to the largest weight of each tensor (ours): nothing is tuned.
///
/// # Errors
///
/// None for these constants.
pub fn matched_t0() -> Result<T0> {
    let (bits, flips) = (BitWidth::INT4, FlipProbability::symmetric(TRAINING_FLIPS)?);
    let channel = QuantizedChannel::new(flips, bits, BitMask::NONE)?;
    let sigma = channel.variance(Word(0)).sqrt() / f64::from(bits.max_code());
    Ok(T0 { scaling: sigma / XI, relative: true })
}

/// What [`matched_t0`] is, in words.
pub fn matched_in_words(matched: T0) -> String {
    format!(
        "s = {:.0} relative to the largest weight of each tensor, noise of {:.1} % of it, which is the \
         standard deviation of an INT4 weight whose bits flip at p = {TRAINING_FLIPS}",
        matched.scaling,
        100.0 * XI * matched.scaling
    )
}

/// The accuracy of every candidate in its settings.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// By candidate and setting, for each training seed in the mean over fault patterns.
    cells: Vec<(&'static str, Setting, Vec<f64>)>,
    /// How all were trained.
    pub config: TrainerConfig,
    /// Training seeds.
    pub seeds: usize,
    /// Fault patterns of each seed.
    pub patterns: usize,
    /// What the images are, in words.
    pub images: &'static str,
}

impl Measured {
    /// Trains `net` with every candidate from these seeds, the same initial weights and order of
    /// images for all of them, and reads each network with the same faults.
    ///
    /// # Errors
    ///
    /// As [`Context::unit`], or a training that diverges.
    pub fn new(
        context: &Context,
        net: Net,
        candidates: &[Candidate],
        seeds: Range<usize>,
    ) -> Result<Self> {
        let (data, images) = networks::data(context)?;
        let config = config(context, net);
        let accuracies = net.with_model(
            context,
            Measure { context, net, data, config, candidates, seeds: seeds.clone() },
        )?;
        let cells = candidates.iter().zip(accuracies).flat_map(|(candidate, by_seed)| {
            candidate.settings.iter().enumerate().map(move |(i, setting)| {
                (candidate.name, *setting, by_seed.iter().map(|all| all[i]).collect())
            })
        });
        let (cells, patterns) = (cells.collect(), context.size(PATTERNS, 2));
        Ok(Self { cells, config, seeds: seeds.len(), patterns, images })
    }

    /// Whether a method was tried in a setting.
    pub fn was_tried(&self, name: &str, setting: Setting) -> bool {
        self.of(name, setting).is_ok()
    }

    /// The accuracy of each seed.
    ///
    /// # Errors
    ///
    /// A method that was not tried there.
    pub fn of(&self, name: &str, setting: Setting) -> Result<&[f64]> {
        let cell = self.cells.iter().find(|(n, s, _)| *n == name && *s == setting);
        let (.., seeds) = cell.with_context(|| format!("{name} was not tried in {setting:?}"))?;
        Ok(seeds)
    }

    /// Its mean over seeds, in percent.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn percent(&self, name: &str, setting: Setting) -> Result<Mean> {
        let percent: Vec<f64> = self.of(name, setting)?.iter().map(|a| 100.0 * a).collect();
        mean(&percent)
    }

    /// One method against another in percentage points, paired by seed.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn points(&self, name: &str, against: &str, setting: Setting) -> Result<Paired> {
        self.points_at(name, against, setting, LEVEL)
    }

    /// The same with an interval that misses as often as `level` says.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn points_at(
        &self,
        name: &str,
        against: &str,
        setting: Setting,
        level: f64,
    ) -> Result<Paired> {
        let [a, b] = [name, against].map(|name| -> Result<Vec<f64>> {
            Ok(self.of(name, setting)?.iter().map(|a| 100.0 * a).collect())
        });
        Paired::at(&a?, &b?, level)
    }

    /// Every number, for the CSV file.
    pub fn table(&self, claim: &str) -> Table {
        let columns = ["method", "bits", "p", "reading", "seed", "accuracy"];
        let rows = self.cells.iter().flat_map(|(name, setting, accuracies)| {
            accuracies.iter().enumerate().map(move |(seed, &accuracy)| -> Vec<Value> {
                let Setting { bits, p, reading } = setting;
                let reading = format!("{reading:?}").to_lowercase();
                let (name, bits) = ((*name).into(), bits.get().into());
                vec![name, bits, (*p).into(), reading.into(), seed.into(), accuracy.into()]
            })
        });
        Table {
            id: format!("{claim}.seeds"),
            title: "Accuracy of every seed, in the mean over fault patterns".into(),
            columns: columns.map(String::from).to_vec(),
            rows: rows.collect(),
            in_report: false,
        }
    }

    /// What all these claims have in common.
    pub fn protocol(&self, net: Net) -> String {
        let TrainerConfig { epochs, batch_size, learning_rate, .. } = self.config;
        format!(
            "{} on {}, trained from scratch with each method for {epochs} epochs (Adam at \
             {learning_rate}, batches of {batch_size}; one budget, chosen for plain training). \
             {} seeds: each draws initial weights, order of the images, noise and faults of training, \
             and {} fault patterns to read the network with; all methods get the same. The unit of \
             every interval and test is the seed. Weights are stored in two's complement with one \
             scale a tensor, biases and norm parameters are not stored as codes.",
            net.title(),
            self.images,
            self.seeds,
            self.patterns,
        )
    }
}

/// Percent or points as a cell of a table: seeds tell no more digits than two.
pub fn two_digits(value: f64) -> Value {
    // Not -0.
    Value::Number((100.0 * value).round() / 100.0 + 0.0)
}

/// A few epochs at a rate that suits them; one at the usual rate where only to check that all runs.
fn config(context: &Context, net: Net) -> TrainerConfig {
    if context.smoke {
        let new = TrainerConfig::new();
        return TrainerConfig { epochs: 1, batch_size: 32, learning_rate: 5e-3, ..new };
    }
    net.retraining(ImageSet::of(context))
}

struct Measure<'a> {
    context: &'a Context,
    net: Net,
    data: Dataset,
    config: TrainerConfig,
    candidates: &'a [Candidate],
    seeds: Range<usize>,
}

impl WithModel for Measure<'_> {
    /// By candidate, seed and setting.
    type Out = Vec<Vec<Vec<f64>>>;

    fn run<M: Classifier>(mut self, model: M) -> Result<Self::Out> {
        let Self { context, net, candidates, .. } = self;
        let (first, seeds) = (self.seeds.start, self.seeds.len());
        let test = networks::judges(context, &self.data)?;
        if context.smoke {
            self.data.train = self.data.train.select(&(0..200).collect::<Vec<_>>())?;
        }
        let task = context.progress.task(
            &format!("{} by {} methods", net.id(), candidates.len()),
            (candidates.len() * seeds) as u64,
        );
        let lab = Lab { context, net, model, data: self.data, test, config: self.config };
        let one = |index: usize| {
            let accuracies = lab.accuracies(&candidates[index / seeds], first + index % seeds);
            task.tick(1);
            accuracies
        };
        let all = (0..candidates.len() * seeds).into_par_iter().map(one);
        // The few trials of each network are a small part of it.
        let all = context.stopwatch.time(Phase::Training, || all.collect::<Result<Vec<_>>>())?;
        Ok(all.chunks(seeds).map(<[_]>::to_vec).collect())
    }
}

/// All that a trial of one method with one seed needs.
struct Lab<'a, M> {
    context: &'a Context,
    net: Net,
    model: M,
    data: Dataset,
    test: Images,
    config: TrainerConfig,
}

impl<M: Classifier> Lab<'_, M> {
    /// The accuracy in every setting of the candidate.
    fn accuracies(&self, candidate: &Candidate, index: usize) -> Result<Vec<f64>> {
        let Candidate { method, settings, .. } = candidate;
        let key = ("qat", self.net.id(), method, &self.config, settings, index);
        self.context.unit(&key, || {
            let seed = Seed(self.context.seed.rng("qat.seed", index as u64).random());
            let fitted = Trainer::new(self.config, *method)
                .stopped_by(self.context.interrupted)
                .fit(self.model.clone(), &self.data.train, None, seed, &self.context.device, |_| ())
                .with_context(|| format!("training {} with {method}", self.net.id()))?;
            let device = &self.context.device;
            let on = |images| BurnRunner::classifier(&fitted.model, images, device);
            let (calibration, test) = (on(&self.data.calibration)?, on(&self.test)?);
            let outputs = test.outputs(Values::new())?;
            let labels = self.test.labels().to_vec();
            let accuracy = Evaluation::labelled(outputs, Metric::Accuracy, labels)?;
            let trial = Trial {
                context: self.context,
                layers: &fitted.layers,
                calibration: &calibration,
                test: &test,
                accuracy,
                seed,
                norms: OnceLock::new(),
            };
            settings.iter().map(|setting| trial.accuracy(*setting)).collect()
        })
    }
}

/// A network that was trained, and is read in any setting.
struct Trial<'a> {
    context: &'a Context,
    layers: &'a [QuantizedLayer],
    calibration: &'a dyn Runner,
    test: &'a dyn Runner,
    accuracy: Evaluation,
    seed: Seed,
    /// Those of the network, whatever it is stored in.
    norms: OnceLock<Vec<GroupSensitivity>>,
}

impl Trial<'_> {
    /// What TAC goes by.
    fn norms(&self, model: &StoredModel) -> Result<&[GroupSensitivity]> {
        if let Some(norms) = self.norms.get() {
            return Ok(norms);
        }
        let projections = self.context.size(PROJECTIONS, 2) as u32;
        let groups = model.weight_groups();
        let norms = gradient_norms(self.calibration, &groups, projections, self.context.seed)?;
        Ok(self.norms.get_or_init(|| norms))
    }

    /// Mean accuracy over fault patterns.
    fn accuracy(&self, setting: Setting) -> Result<f64> {
        let model = store(self.test, self.layers, setting)?;
        let score = |read| Ok(self.accuracy.score(&self.test.outputs(read)?)?);
        let patterns = self.context.size(PATTERNS, 2) as u32;
        let mean = |score: &dyn Fn(u32) -> Result<f64>| {
            let accuracies = (0..patterns).map(score).collect::<Result<Vec<f64>>>()?;
            Ok(accuracies.iter().sum::<f64>() / accuracies.len() as f64)
        };
        if let Reading::LowBits(count) = setting.reading {
            let golden = model.golden();
            return mean(&|pattern| {
                score(with_random_bits(&golden, setting.bits, count, self.seed, pattern))
            });
        }
        if setting.p == 0.0 {
            return score(model.golden());
        }
        let mut selection = model.uniform(0);
        if setting.reading == Reading::Tac {
            let statistics = model.statistics(self.norms(&model)?)?;
            let problem = model.problem(Score::Wkb, &statistics, Accounting::ProtectedBits)?;
            let bits = (model.weights() * u64::from(setting.bits.get())) as f64;
            let within = GreedyPath::optimal(&problem).within((PROTECTED * bits) as u64)?;
            selection = within.selection().clone();
        }
        mean(&|pattern| score(model.read(self.seed, pattern, &selection)?))
    }
}

/// Weights whose two's-complement codes have random bits in place of their lowest ones. The largest weight of a
/// tensor has the largest code.
fn with_random_bits(
    golden: &Values,
    bits: BitWidth,
    count: u32,
    seed: Seed,
    pattern: u32,
) -> Values {
    let low = (1 << count) - 1;
    let read = golden.iter().map(|(name, values)| {
        let mut rng = seed.rng(&format!("low bits/{name}"), pattern.into());
        let largest = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let step = largest / bits.max_code() as f32;
        let read = values.iter().map(|&value| {
            let code = if step > 0.0 { (value / step).round() as i32 } else { 0 };
            ((code & !low) | (rng.random::<i32>() & low)) as f32 * step
        });
        (name.clone(), read.collect())
    });
    read.collect()
}

/// A network as it lies in a memory: with the scales that it was trained with, if it was trained for
/// words of this width, else with those of its largest weights.
fn store(runner: &dyn Runner, layers: &[QuantizedLayer], setting: Setting) -> Result<StoredModel> {
    let Setting { bits, p, reading } = setting;
    let own = layers.iter().filter(|layer| layer.tensor.bits() == bits);
    let limits: BTreeMap<&str, f32> = own
        .map(|layer| (layer.name.as_str(), layer.tensor.scale() * bits.max_code() as f32))
        .collect();
    let memory = MemoryModel::new(FlipProbability::symmetric(p)?);
    let memory = Arc::new(QuantizedMemory::new(memory, bits)?);
    let (decoder, most) = match reading {
        Reading::Raw | Reading::LowBits(_) => (Decoder::Raw, 0),
        Reading::Bayes => (Decoder::BayesGain, 0),
        Reading::Tac => (Decoder::BayesGain, bits.get()),
    };
    let spec = QuantizedSpec { format: Format::from(bits), decoder, ..QuantizedSpec::default() };
    let store = |tensor: &WeightTensor, groups: &[GroupWeights]| {
        let limit = limits.get(tensor.name.as_str());
        let candidate = |group: &GroupWeights, kept| -> Result<Arc<dyn WeightStorage>, _> {
            let mask = BitMask::top(kept, bits)?;
            let limit = limit.copied().unwrap_or_else(|| group.largest());
            Ok(Arc::new(QuantizedStorage::within(group, &memory, &spec, mask, limit)?))
        };
        let of = |group| (0..=most).map(|kept| candidate(group, kept)).collect();
        groups.iter().map(of).collect::<Result<Vec<Candidates>, StorageError>>()
    };
    Ok(StoredModel::store_by(runner, Granularity::Tensor, store)?)
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use qtaml::train::qat::Lsq;
    use qtaml::train::{LeNetConfig, device, parameters};

    use super::*;

    /// Learned scales are not those of the largest weights: storing by the latter would round again.
    #[test]
    fn a_network_is_stored_with_the_codes_it_was_trained_for() -> Result<()> {
        let (bits, device) = (BitWidth::INT8, device::open("flex")?);
        let images = Dataset::digits()?.train.select(&(0..64).collect::<Vec<_>>())?;
        let config = TrainerConfig { epochs: 1, ..TrainerConfig::new() };
        let fitted = Trainer::new(config, QatMethod::Lsq(Lsq::new(bits))).fit(
            LeNetConfig::digits().init(&device),
            &images,
            None,
            Seed(1),
            &device,
            |_| (),
        )?;
        let runner = BurnRunner::classifier(&fitted.model, &images, &device)?;
        let golden = |layers| Ok(store(&runner, layers, Setting::raw(bits, 0.0))?.golden());
        let stored: Values = golden(&fitted.layers)?;
        assert_eq!(fitted.layers.len(), stored.len());
        let trained = parameters(&fitted.model);
        for parameter in trained.iter().filter(|parameter| parameter.is_weight()) {
            for (a, b) in parameter.values.iter().zip(&stored[&parameter.name]) {
                assert!((a - b).abs() <= 1e-6 * a.abs(), "{}: {a} became {b}", parameter.name);
            }
        }
        let rounded_again: Result<Values> = golden(&[]);
        assert_ne!(rounded_again?[&trained[0].name], trained[0].values);
        Ok(())
    }

    #[test]
    fn random_bits_move_a_weight_within_them_alone() {
        let values: Vec<f32> = (-127..=127).map(|code| code as f32 / 127.0).collect();
        let golden = Values::from([("w".to_owned(), values.clone())]);
        let read = with_random_bits(&golden, BitWidth::INT8, 3, Seed(1), 0);
        let step = 1.0 / 127.0;
        let codes = |values: &[f32]| -> Vec<i32> {
            values.iter().map(|value| (value / step).round() as i32).collect()
        };
        let (stored, read) = (codes(&values), codes(&read["w"]));
        assert!(stored.iter().zip(&read).all(|(a, b)| a & !7 == b & !7), "{read:?}");
        assert!(stored != read);
        let unchanged = with_random_bits(&golden, BitWidth::INT8, 0, Seed(1), 0);
        assert_eq!(codes(&unchanged["w"]), stored);
    }

    #[test]
    fn matched_noise_is_that_of_the_faults() -> Result<()> {
        // p (1 - p) (1 + 4 + 16 + 64) squared steps, of which the largest weight has seven.
        let sigma = (0.01_f64 * 0.99 * 85.0).sqrt() / 7.0;
        assert!((matched_t0()?.scaling * XI - sigma).abs() < 1e-12);
        Ok(())
    }
}
