//! Plans: memory and storage of each group, all that a reader without the weights needs.

use std::collections::HashSet;

use qtaml_fault::{BitMask, Ecc, FaultError, MemoryModel, QuantizedChannel};
use qtaml_physics::FlipProfile;
use qtaml_quant::{Format, Grid, Origin};
use serde::{Deserialize, Deserializer, Serialize};

use crate::codebook::StandardShape;
use crate::{
    Accounting, BlockCodeError, CodeHistogram, CodebookError, DecodeTable, Decoder, FittedPrior,
    Outlier, PlanFileError, PlannedModel,
};

/// How each group of a model is stored and protected, and what that is predicted to leave.
///
/// It is made by a stored model (`StoredModel::plan` of `qtaml-deploy`), which also carries it out. It
/// is kept as JSON:
///
/// ```
/// use qtaml_compensation::Plan;
///
/// let text = r#"{
///   "schema": 3,
///   "flips": { "p01": 0.1, "p10": 0.1 },
///   "accounting": "protected-bits",
///   "groups": [
///     {
///       "name": "fc.weight",
///       "weights": 1000,
///       "storage": {
///         "quantized": {
///           "format": { "bits": 8, "encoding": "twos-complement" },
///           "protected": [7, 6],
///           "ecc": "ideal",
///           "scale": 0.0078125,
///           "decoder": "bayes",
///           "prior": { "generalised-normal": { "width": 30.0, "shape": 1.5 } }
///         }
///       },
///       "cost_bits": 2000,
///       "predicted_mse": 0.0081,
///       "predicted_output_noise": 0.25
///     }
///   ],
///   "overhead": 0.25,
///   "predicted_output_noise": 0.25,
///   "lower_bound": 0.24,
///   "proven": false
/// }"#;
/// let plan = Plan::from_json(text)?;
/// // What the code 100 is believed to be where bit 5 of it is lost.
/// use qtaml_quant::Word;
/// let table = plan.table(&plan.groups[0])?.expect("quantized words have a table");
/// let believed = table.value(Word(100).with_flipped(5));
/// assert!(believed > 68.0 && believed < 100.0);
/// assert_eq!(Plan::from_json(&plan.to_json())?, plan);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// | Field | Meaning |
/// | --- | --- |
/// | `schema` | version of this format, 3 |
/// | `model` | the model that it was made for: a [`PlannedModel`]; may be left out |
/// | `flips` | how often a stored 0 and a stored 1 flip, or a list of both per bit, bit 0 first |
/// | `accounting` | what costs count: an [`Accounting`] |
/// | `groups` | the weight groups, each with a name of its own |
/// | `name`, `weights` | name and number of weights of the group |
/// | `storage` | how it is stored: a [`PlannedStorage`] |
/// | `cost_bits` | what that costs |
/// | `predicted_mse` | mean square error per weight, in squared units of the weights, with rounding and clipping |
/// | `predicted_output_noise` | the squared change of the output that follows by the score; of the plan: the sum over groups |
/// | `overhead` | all costs over the bits of all weights |
/// | `lower_bound` | no plan of the same groups and candidates that costs as much has less output noise |
/// | `proven` | whether the plan has that little: it is an optimum |
///
/// All fields are required, and there are no others, with these exceptions. `origin` of quantized words,
/// `{"minimum": w}` or `{"zero-point": q}`, is there where the range is not symmetric, and then the
/// prior has a `location` as well. `rows` and `columns` of words that are protected one by one are there
/// where input channels differ in power. `model` is there where the model is known; a plan with it is carried out
/// on no other model. Readers that do not know one of these fields refuse plans with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Plan {
    /// The version of the format.
    pub schema: u64,
    /// The model that it was made for, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PlannedModel>,
    /// The flip probabilities of unprotected bits.
    pub flips: FlipProfile,
    /// What costs count.
    pub accounting: Accounting,
    /// What is done in each group.
    pub groups: Vec<PlanGroup>,
    /// All costs over the bits of all weights.
    pub overhead: f64,
    /// The predicted squared change of the output.
    pub predicted_output_noise: f64,
    /// No plan that costs as much has less output noise than this, up to rounding.
    pub lower_bound: f64,
    /// Whether this one has no more, and is an optimum.
    pub proven: bool,
}

/// What is done in one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanGroup {
    /// The group's name.
    pub name: String,
    /// Its number of weights.
    pub weights: usize,
    /// How they are stored.
    pub storage: PlannedStorage,
    /// What that costs, in bits.
    pub cost_bits: u64,
    /// Mean square error per weight, in squared units of the weights.
    pub predicted_mse: f64,
    /// What the group adds to the squared change of the output.
    pub predicted_output_noise: f64,
}

/// How a group is stored, with all that its reader must be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum PlannedStorage {
    /// Quantized words.
    Quantized {
        /// What a word means.
        format: Format,
        /// The protected bits of each weight, most significant first.
        protected: Vec<u32>,
        /// What keeps them.
        ecc: Ecc,
        /// The weight that one step of the code is worth.
        scale: f32,
        /// A code and its weight, where code 0 does not stand for 0; left out where it does.
        #[serde(default, skip_serializing_if = "Origin::is_zero")]
        origin: Origin,
        /// How read words are decoded.
        decoder: Decoder,
        /// What the decoder must know of the weights, if it asks.
        prior: Option<FittedPrior>,
    },
    /// Quantized words of a whole tensor, in the order of its output channels. Of each as many top bits are
    /// protected ideally as there are thresholds that its score reaches: see
    /// [`PerWeightStorage`](crate::storage::PerWeightStorage).
    PerWeight {
        /// What a word means.
        format: Format,
        /// The number of output channels, which all have as many weights.
        channels: usize,
        /// The weight that one step of the code is worth, of each channel or of all of them.
        scales: Vec<f32>,
        /// The base-2 exponent of the power of the inputs of each channel; left out where all are 0.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rows: Vec<i8>,
        /// The same of each weight of a channel; left out where all are 0.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns: Vec<i8>,
        /// The scores from which the first top bit, the second and so on are protected.
        thresholds: Vec<f64>,
        /// How read words are decoded, by one table for each number of protected bits.
        decoder: Decoder,
        /// What the decoder must know of the weights of all channels, in steps of their codes, if it asks.
        prior: Option<FittedPrior>,
    },
    /// Words of a channel-optimised codebook for a standard shape.
    Codebook {
        /// Bits of a word.
        width: u32,
        /// The number of its highest bits that never flip.
        protected: u32,
        /// The shape that the codebook is designed for.
        shape: StandardShape,
        /// What its values are multiplied by.
        sigma: f32,
        /// The weights that are stored apart, by rising number; left out where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        outliers: Vec<Outlier>,
    },
    /// Blocks of weights that are error corrected as a whole.
    BlockCoded {
        /// Stored bits of a weight.
        rate: u32,
        /// The shape that the entropy code is made for.
        shape: StandardShape,
        /// The root mean square of the weights.
        sigma: f32,
        /// The step of the quantizer.
        step: f32,
        /// The weights that are stored apart, by rising number; left out where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        outliers: Vec<Outlier>,
    },
}

impl PlannedStorage {
    /// The weights that codes stand for; `None` where words are not quantized weights of one scale.
    pub fn grid(&self) -> Option<Grid> {
        match *self {
            Self::Quantized { format, scale, origin, .. } => {
                Some(Grid::as_read(format, scale, origin))
            }
            Self::PerWeight { .. } | Self::Codebook { .. } | Self::BlockCoded { .. } => None,
        }
    }
}

impl Plan {
    /// The version of the format that is written and read.
    pub const SCHEMA: u64 = 3;

    /// The plan in a JSON text.
    ///
    /// # Errors
    /// [`PlanFileError::Schema`] for another version,
    /// [`PlanFileError::Text`] if the text is no JSON or fields are missing, unknown or of
    /// another kind, and as [`check`](Self::check).
    pub fn from_json(text: &str) -> Result<Self, PlanFileError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u64,
        }
        let wrong = |error: serde_json::Error| PlanFileError::Text(error.into());
        let Version { schema } = serde_json::from_str(text).map_err(wrong)?;
        if schema != Self::SCHEMA {
            return Err(PlanFileError::Schema(schema));
        }
        let mut source = serde_json::Deserializer::from_str(text);
        // The derived function, which checks nothing.
        let plan = Self::deserialize(&mut source).map_err(wrong)?;
        source.end().map_err(wrong)?;
        plan.check()?;
        Ok(plan)
    }

    /// The plan as JSON, for people to read as well.
    pub fn to_json(&self) -> String {
        // Maps with keys that are no strings are all that could fail here, and there are none.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Refuses what is no plan; whether its predictions are true it cannot know.
    ///
    /// # Errors
    /// [`PlanFileError::Schema`] for another version, [`PlanFileError::Fault`] for flip
    /// probabilities of another width, [`PlanFileError::EmptyGroup`],
    /// [`PlanFileError::DuplicateGroup`], [`PlanFileError::Bits`] for protected bits
    /// that a word lacks or that are listed twice, [`PlanFileError::Number`] for a number
    /// that is negative, NaN or infinite, [`PlanFileError::Prior`] for a prior that is
    /// missing or that nobody asks, [`PlanFileError::Bound`] for a bound above the noise or
    /// a false proof, [`FaultError::WordWidth`], [`CodebookError::ProtectedBits`] or
    /// [`BlockCodeError::StoredBits`] for codes that do not exist, and as
    /// [`FittedPrior::histogram`].
    pub fn check(&self) -> Result<(), PlanFileError> {
        if self.schema != Self::SCHEMA {
            return Err(PlanFileError::Schema(self.schema));
        }
        number("overhead", self.overhead)?;
        number("predicted output noise", self.predicted_output_noise)?;
        number("lower bound", self.lower_bound)?;
        let (noise, bound) = (self.predicted_output_noise, self.lower_bound);
        if bound > noise || self.proven != (bound == noise) {
            return Err(PlanFileError::Bound { noise, bound, proven: self.proven });
        }
        let mut names = HashSet::new();
        for group in &self.groups {
            if !names.insert(&group.name) {
                return Err(PlanFileError::DuplicateGroup(group.name.clone()));
            }
            group.check(&self.flips)?;
        }
        Ok(())
    }

    /// The share of the output noise that a better plan might save, 0 if there is none.
    pub fn gap(&self) -> f64 {
        let noise = self.predicted_output_noise;
        if self.proven { 0.0 } else { (noise - self.lower_bound) / noise }
    }

    /// The table that reads the words of a group, made without its weights; on the grid of the group its
    /// values are weights ([`PlannedStorage::grid`]). `None` where words are not quantized weights that are
    /// protected alike.
    ///
    /// # Errors
    /// [`PlanFileError::Fault`] for a code that cannot keep the protected bits under these flip
    /// probabilities, and as [`check`](Self::check) and [`DecodeTable::new`].
    pub fn table(&self, group: &PlanGroup) -> Result<Option<DecodeTable>, PlanFileError> {
        let PlannedStorage::Quantized { format, ecc, decoder, prior, .. } = &group.storage else {
            return Ok(None);
        };
        let memory = MemoryModel::new(self.flips.clone()).with_ecc(*ecc);
        let channel = memory.channel(*format, group.mask()?.unwrap_or_default())?;
        group.table_in(&channel, *decoder, prior.as_ref()).map(Some)
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let plan = Self::deserialize(source)?;
        plan.check().map_err(serde::de::Error::custom)?;
        Ok(plan)
    }
}

impl Serialize for Plan {
    fn serialize<S: serde::Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, target)
    }
}

impl PlanGroup {
    /// What `protected` lists for a set of bits.
    pub fn bits_of(mask: BitMask) -> Vec<u32> {
        (0..u8::BITS).rev().filter(|bit| mask.mask() >> bit & 1 == 1).collect()
    }

    /// The protected bits of quantized words as a set; `None` for other storages.
    ///
    /// # Errors
    /// [`PlanFileError::Bits`] for bits that the words of this format lack, or that are
    /// listed twice.
    pub fn mask(&self) -> Result<Option<BitMask>, PlanFileError> {
        let PlannedStorage::Quantized { format, protected, .. } = &self.storage else {
            return Ok(None);
        };
        let width = format.bits();
        let mask = protected.iter().try_fold(0_u8, |mask, &bit| {
            let bit = 1_u8.checked_shl(bit).filter(|bit| width.mask() & bit != 0)?;
            (mask & bit == 0).then_some(mask | bit)
        });
        match mask {
            Some(mask) => Ok(Some(BitMask::of_bits(mask, width)?)),
            None => Err(PlanFileError::Bits {
                group: self.name.clone(),
                bits: protected.clone(),
                width: width.get(),
            }),
        }
    }

    /// The table that reads the words of the group through a channel.
    pub(crate) fn table_in(
        &self,
        channel: &QuantizedChannel,
        decoder: Decoder,
        prior: Option<&FittedPrior>,
    ) -> Result<DecodeTable, PlanFileError> {
        let believed = self.believed(channel.format(), decoder, prior)?;
        let zero = self.storage.grid().map_or(0.0, Grid::zero);
        Ok(DecodeTable::around(decoder, channel, &believed, zero)?)
    }

    /// What the decoder believes of the group; all words alike where it does not ask.
    fn believed(
        &self,
        format: Format,
        decoder: Decoder,
        prior: Option<&FittedPrior>,
    ) -> Result<CodeHistogram, PlanFileError> {
        match prior {
            Some(prior) if decoder.needs_prior() => Ok(prior.histogram(format, self.weights)?),
            None if !decoder.needs_prior() => {
                Ok(CodeHistogram::from_counts(format, &vec![1; format.bits().levels()])?)
            }
            _ => Err(PlanFileError::Prior { group: self.name.clone(), decoder }),
        }
    }

    /// Refuses outliers that are not finite, that lie outside the group, or that are not in order.
    fn check_outliers(&self, outliers: &[Outlier]) -> Result<(), PlanFileError> {
        let mut next = 0;
        for (at, &Outlier { index, weight }) in outliers.iter().enumerate() {
            let what = |what: &str| format!("{what} of outlier {at} of group {:?}", self.name);
            number(&what("magnitude"), weight.abs().into())?;
            if index < next || index >= self.weights {
                let (what, value) = (what("number"), index as f64);
                return Err(PlanFileError::Number { what, value });
            }
            next = index + 1;
        }
        Ok(())
    }

    /// Refuses scales, exponents and thresholds that are not those of a tensor.
    fn check_scores(&self) -> Result<(), PlanFileError> {
        let PlannedStorage::PerWeight {
            format, channels, scales, rows, columns, thresholds, ..
        } = &self.storage
        else {
            return Ok(());
        };
        let (weights, channels) = (self.weights, *channels);
        let count = |what, given: usize, is_allowed: bool, allowed: String| {
            let group = self.name.clone();
            let error = PlanFileError::Count { group, weights, what, given, allowed };
            if is_allowed { Ok(()) } else { Err(error) }
        };
        let divides = channels > 0 && weights.is_multiple_of(channels);
        count("channels", channels, divides, "each has as many weights as the others".into())?;
        let length = weights / channels;
        let one_or_each = [1, channels].contains(&scales.len());
        count("scales", scales.len(), one_or_each, format!("1 or {channels} are allowed"))?;
        let none_or = |given: usize, of: usize| given == 0 || given == of;
        let (of_rows, of_columns) = (rows.len(), columns.len());
        count(
            "rows",
            of_rows,
            none_or(of_rows, channels),
            format!("none or {channels} are allowed"),
        )?;
        count(
            "columns",
            of_columns,
            none_or(of_columns, length),
            format!("none or {length} are allowed"),
        )?;
        let bits = format.bits().get() as usize;
        let fits = thresholds.len() <= bits && thresholds.is_sorted();
        count(
            "thresholds",
            thresholds.len(),
            fits,
            format!("at most {bits} are allowed, in rising order"),
        )?;
        let what = |what: &str| format!("{what} of group {:?}", self.name);
        for &scale in scales {
            number(&what("scale"), scale.into())?;
            Grid::new(*format, scale, Origin::Zero)?;
        }
        thresholds.iter().try_for_each(|&threshold| number(&what("threshold"), threshold))
    }

    /// Refuses what no group is planned as in a memory that flips so.
    pub(crate) fn check(&self, flips: &FlipProfile) -> Result<(), PlanFileError> {
        if self.weights == 0 {
            return Err(PlanFileError::EmptyGroup(self.name.clone()));
        }
        let what = |what: &str| format!("{what} of group {:?}", self.name);
        match &self.storage {
            PlannedStorage::Quantized { format, scale, origin, decoder, prior, .. } => {
                MemoryModel::new(flips.clone()).bit_flips(format.bits())?;
                self.mask()?;
                self.believed(*format, *decoder, prior.as_ref())?;
                number(&what("scale"), (*scale).into())?;
                if !origin.is_zero() {
                    Grid::new(*format, *scale, *origin)?;
                }
            }
            PlannedStorage::PerWeight { format, decoder, prior, .. } => {
                MemoryModel::new(flips.clone()).bit_flips(format.bits())?;
                self.believed(*format, *decoder, prior.as_ref())?;
                self.check_scores()?;
            }
            &PlannedStorage::Codebook { width, protected, sigma, ref outliers, .. } => {
                if !(1..=12).contains(&width) {
                    return Err(FaultError::WordWidth(width).into());
                }
                if protected > width {
                    return Err(CodebookError::ProtectedBits { protected, width }.into());
                }
                number(&what("sigma"), sigma.into())?;
                self.check_outliers(outliers)?;
            }
            &PlannedStorage::BlockCoded { rate, sigma, step, ref outliers, .. } => {
                if !(1..=8).contains(&rate) {
                    return Err(BlockCodeError::StoredBits(rate).into());
                }
                number(&what("sigma"), sigma.into())?;
                number(&what("step"), step.into())?;
                self.check_outliers(outliers)?;
            }
        }
        number(&what("predicted mean square error"), self.predicted_mse)?;
        number(&what("predicted output noise"), self.predicted_output_noise)
    }
}

fn number(what: &str, value: f64) -> Result<(), PlanFileError> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(PlanFileError::Number { what: what.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qtaml_physics::FlipProbability;

    use super::*;

    fn quantized(
        protected: &[u32],
        decoder: Decoder,
        prior: Option<FittedPrior>,
    ) -> PlannedStorage {
        PlannedStorage::Quantized {
            format: Format::INT8,
            protected: protected.to_vec(),
            ecc: "secded:64".parse().unwrap(),
            scale: 0.1,
            origin: Origin::Zero,
            decoder,
            prior,
        }
    }

    fn group(name: &str, storage: PlannedStorage) -> PlanGroup {
        PlanGroup {
            name: name.into(),
            weights: 10,
            storage,
            cost_bits: 16,
            predicted_mse: 0.1,
            predicted_output_noise: 1e-300,
        }
    }

    fn layer(name: &str, protected: &[u32]) -> PlanGroup {
        group(name, quantized(protected, Decoder::Affine, None))
    }

    fn plan(groups: Vec<PlanGroup>) -> Plan {
        Plan {
            schema: 3,
            model: None,
            flips: FlipProbability::asymmetric(1e-18, 0.1).unwrap().into(),
            accounting: Accounting::CheckBits,
            groups,
            overhead: 0.2,
            predicted_output_noise: 0.3,
            lower_bound: 0.25,
            proven: false,
        }
    }

    #[test]
    fn what_no_planner_writes_is_refused() {
        let read = |plan: &Plan| Plan::from_json(&plan.to_json());
        let one = plan(vec![layer("a", &[7])]);
        assert_eq!(read(&one).unwrap(), one);

        let twice = plan(vec![layer("a", &[]), layer("a", &[])]);
        assert_eq!(read(&twice), Err(PlanFileError::DuplicateGroup("a".into())));
        for bits in [vec![8], vec![3, 3], vec![u32::MAX]] {
            let error = read(&plan(vec![layer("a", &bits)])).unwrap_err();
            assert!(matches!(error, PlanFileError::Bits { .. }), "{bits:?}");
        }
        let empty = plan(vec![PlanGroup { weights: 0, ..layer("a", &[]) }]);
        assert_eq!(read(&empty), Err(PlanFileError::EmptyGroup("a".into())));
        assert_eq!(read(&Plan { schema: 2, ..one.clone() }), Err(PlanFileError::Schema(2)));
        let negative = read(&Plan { overhead: -0.5, ..one.clone() }).unwrap_err().to_string();
        assert_eq!(negative, "the plan's overhead is -0.5: it must be finite and not negative");
        for (lower_bound, proven) in [(0.4, false), (0.2, true), (0.3, false)] {
            let error = read(&Plan { lower_bound, proven, ..one.clone() }).unwrap_err();
            assert_eq!(error, PlanFileError::Bound { noise: 0.3, bound: lower_bound, proven });
        }
        let narrow = FlipProfile::per_bit(vec![FlipProbability::NEVER; 4]).unwrap();
        let narrow = read(&Plan { flips: narrow, ..one.clone() });
        assert!(matches!(narrow, Err(PlanFileError::Fault(_))));

        // JSON has no NaN; what has been built by hand may.
        let nan = Plan { overhead: f64::NAN, ..one };
        assert!(nan.check().is_err() && Plan::from_json(&nan.to_json()).is_err());
    }

    /// A plan of a model says so, and plans that know of none read as before.
    #[test]
    fn the_model_is_optional() {
        let without = plan(vec![layer("a", &[7])]);
        assert!(!without.to_json().contains("model"));
        let mut digest = crate::WeightsDigester::default();
        digest.add("a", &[10], &[0.5; 10]);
        for name in [None, Some("lenet.safetensors".to_owned())] {
            let model = Some(PlannedModel { name, sha256: digest.clone().finish() });
            let with = Plan { model, ..without.clone() };
            assert_eq!(Plan::from_json(&with.to_json()), Ok(with));
        }
        let text = without.to_json().replacen('{', r#"{"model": {"sha256": "e3b0"},"#, 1);
        assert!(matches!(Plan::from_json(&text), Err(PlanFileError::Text(_))));
    }

    /// Each decoder is told what it asks, and no more.
    #[test]
    fn priors_are_there_where_they_are_asked() {
        let flip =
            |width, shape| Some(FittedPrior::GeneralisedNormal { width, shape, location: None });
        let with = |decoder, prior| {
            let plan = plan(vec![group("a", quantized(&[7], decoder, prior))]);
            plan.check().map_err(|error| error.to_string())
        };
        assert_eq!(with(Decoder::Bayes, flip(3.0, 1.0)), Ok(()));
        let missing = "group \"a\" lacks a prior, and the decoder bayes needs one";
        assert_eq!(with(Decoder::Bayes, None), Err(missing.into()));
        let idle = "group \"a\" has a prior, and the decoder raw asks none";
        assert_eq!(with(Decoder::Raw, flip(3.0, 1.0)), Err(idle.into()));
        for bad in [flip(-1.0, 1.0), flip(f64::NAN, 1.0), flip(1.0, 17.0), flip(1.0, f64::NAN)] {
            assert!(with(Decoder::Bayes, bad).unwrap_err().contains("is not allowed"));
        }
        let counts = Some(FittedPrior::Histogram(vec![1; 4]));
        assert!(with(Decoder::Bayes, counts).unwrap_err().contains("takes 256"));
    }

    /// Codes that do not exist are refused, and others lead back.
    #[test]
    fn plans_speak_of_all_storages() {
        let shape = StandardShape::Laplacian;
        let apart = |outliers: &[(usize, f32)]| -> Vec<Outlier> {
            outliers.iter().map(|&(index, weight)| Outlier { index, weight }).collect()
        };
        let codebook = |width, protected, sigma| {
            let outliers = apart(&[]);
            PlannedStorage::Codebook { width, protected, shape, sigma, outliers }
        };
        let blocks = |rate, step| {
            let outliers = apart(&[(0, -5.0), (9, 7.0)]);
            PlannedStorage::BlockCoded { rate, shape, sigma: 0.5, step, outliers }
        };
        let of = |storage| plan(vec![group("a", storage)]);
        for good in [codebook(5, 1, 0.25), codebook(12, 0, 0.0), blocks(3, 0.125)] {
            let good = of(good);
            assert_eq!(Plan::from_json(&good.to_json()), Ok(good.clone()));
            assert_eq!(good.table(&good.groups[0]), Ok(None));
        }
        let error = |storage| of(storage).check().unwrap_err();
        assert_eq!(error(codebook(13, 0, 1.0)), FaultError::WordWidth(13).into());
        assert_eq!(
            error(codebook(2, 3, 1.0)),
            CodebookError::ProtectedBits { protected: 3, width: 2 }.into()
        );
        assert_eq!(error(blocks(9, 1.0)), BlockCodeError::StoredBits(9).into());
        let outliers = |outliers: &[(usize, f32)]| {
            let outliers = apart(outliers);
            PlannedStorage::Codebook { width: 4, protected: 0, shape, sigma: 1.0, outliers }
        };
        for bad in [
            codebook(4, 0, -1.0),
            blocks(4, f32::INFINITY),
            outliers(&[(10, 1.0)]),
            outliers(&[(3, 1.0), (3, 1.0)]),
            outliers(&[(3, f32::INFINITY)]),
        ] {
            assert!(matches!(error(bad), PlanFileError::Number { .. }));
        }
    }

    /// Two channels of five weights.
    #[test]
    fn scores_that_are_of_no_tensor_are_refused() {
        type Change<'a> = &'a dyn Fn(&mut [usize; 4], &mut Vec<f64>, &mut Vec<f32>);
        let of = |change: Change<'_>| {
            let mut counts = [2, 2, 2, 5];
            let (mut thresholds, mut values) = (vec![0.5, 2.0], vec![0.1, 0.2]);
            change(&mut counts, &mut thresholds, &mut values);
            let [channels, scales, rows, columns] = counts;
            values.resize(scales, 0.3);
            let (rows, columns) = (vec![-3; rows], vec![127; columns]);
            let (format, scales, decoder, prior) = (Format::INT8, values, Decoder::Raw, None);
            let storage = PlannedStorage::PerWeight {
                format,
                channels,
                scales,
                rows,
                columns,
                thresholds,
                decoder,
                prior,
            };
            plan(vec![group("a", storage)])
        };
        for good in [[2, 2, 2, 5], [2, 1, 0, 0], [1, 1, 1, 10], [10, 10, 10, 1], [5, 1, 5, 0]] {
            let good = of(&|counts, _, _| *counts = good);
            assert_eq!(Plan::from_json(&good.to_json()), Ok(good.clone()));
            assert_eq!(good.table(&good.groups[0]), Ok(None));
        }
        for bad in
            [[3, 1, 0, 0], [0, 1, 0, 0], [2, 3, 2, 5], [2, 0, 0, 0], [2, 2, 1, 5], [2, 2, 2, 2]]
        {
            let error = of(&|counts, _, _| *counts = bad).check().unwrap_err();
            assert!(matches!(error, PlanFileError::Count { .. }), "{bad:?} {error}");
        }
        for thresholds in [vec![1.0, 0.5], vec![0.0; 9], vec![f64::NAN]] {
            assert!(of(&|_, all, _| all.clone_from(&thresholds)).check().is_err());
        }
        let text = of(&|_, all, _| all.swap(0, 1)).check().unwrap_err().to_string();
        let expected =
            "group \"a\" of 10 weights has 2 thresholds: at most 8 are allowed, in rising order";
        assert_eq!(text, expected);
        for scale in [-1.0, f32::NAN, f32::MAX] {
            assert!(of(&|_, _, scales| scales[0] = scale).check().is_err());
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let text = plan(vec![layer("a", &[7])]).to_json();
        let changed = |from, to| {
            assert!(text.contains(from), "{from}");
            let error = Plan::from_json(&text.replace(from, to)).unwrap_err();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        };
        assert!(changed("\"overhead\"", "\"overheads\"").contains("unknown field `overheads`"));
        assert!(changed("\"secded:64\"", "\"magic:64\"").starts_with("not a plan"));
        assert!(changed("\"overhead\": 0.2", "\"overhead\": 1e999").starts_with("not a plan"));
        assert!(changed("\"overhead\": 0.2", "\"overhead\": null").starts_with("not a plan"));
        assert!(changed("\"schema\": 3", "\"schema\": -1").starts_with("not a plan"));
        assert!(changed("\"schema\": 3", "\"schema\": 7, \"new\": 0").contains("schema 7, and 3"));
        assert!(Plan::from_json(&format!("{text} x")).is_err(), "more after the end");
        let deep = "[".repeat(100_000);
        assert!(Plan::from_json(&deep).is_err());
        assert!(serde_json::from_str::<Plan>(&text.replace("10", "0")).is_err(), "checked as well");
    }

    proptest! {
        #[test]
        fn plans_lead_back(
            masks in prop::collection::vec(any::<u8>(), 0..5), noise in 0.0_f64..1e300,
        ) {
            let bits = |mask: &u8| -> Vec<u32> {
                (0..8).rev().filter(|i| mask >> i & 1 == 1).collect()
            };
            let layers = masks.iter().enumerate();
            let layers = layers.map(|(i, mask)| PlanGroup {
                predicted_output_noise: noise / 3.0, ..layer(&format!("\"{i}\"\n"), &bits(mask))
            });
            let plan = Plan {
                predicted_output_noise: noise, lower_bound: noise, proven: true, ..plan(layers.collect()) };
            prop_assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan.clone());
            for (layer, mask) in plan.groups.iter().zip(masks) {
                prop_assert_eq!(layer.mask().unwrap().unwrap().mask(), mask);
            }
        }

        /// Truncated or with a byte replaced, a text is refused or is a valid plan, never a crash.
        #[test]
        fn damaged_texts_are_read_or_refused(
            at in any::<prop::sample::Index>(), byte in 0_u8..128,
        ) {
            let text = plan(vec![layer("a", &[7, 6]), layer("b", &[0])]).to_json();
            let at = at.index(text.len());
            prop_assert!(Plan::from_json(&text[..at]).is_err());
            let mut damaged = text.into_bytes();
            damaged[at] = byte;
            let damaged = String::from_utf8(damaged).unwrap();
            if let Ok(plan) = Plan::from_json(&damaged) {
                prop_assert_eq!(plan.check(), Ok(()));
            }
        }

        #[test]
        fn any_text_is_refused(text in ".*") {
            prop_assert!(Plan::from_json(&text).is_err());
        }
    }
}
