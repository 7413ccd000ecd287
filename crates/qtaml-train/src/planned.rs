//! A stored network as a plan, and a plan as what a network is read with.

use std::collections::BTreeMap;

use burn::module::Module;
use qtaml_compensation::{
    Accounting, Budget, LayerStatistics, Plan, PlanLayer, QuantizedStorage, Score,
};
use qtaml_fault::{BitMask, Ecc};

use crate::{Cost, StoredNetwork, StoredUnit, TrainError};

/// Why a plan and a stored network do not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A way to store a unit that plans do not speak of.
    #[error("unit {0:?} may be stored otherwise than as protected words: no plan says how")]
    NotWords(String),
    /// A layer that the network does not have.
    #[error("the plan has layer {0:?}, which the network does not store")]
    UnknownLayer(String),
    /// A unit that the plan says nothing of.
    #[error("the plan lacks layer {0:?}, which the network stores")]
    MissingLayer(String),
    /// Words, flips, decoders or layers that are not the same.
    #[error("the {what} of layer {layer:?}: {planned} in the plan, {stored} in the network")]
    Differs {
        /// What differs.
        what: &'static str,
        /// The layer, or unit.
        layer: String,
        /// As planned.
        planned: String,
        /// As stored.
        stored: String,
    },
    /// Protected bits that the network does not offer.
    #[error("layer {layer:?} protects bits {bits:?} ({code}), which the network does not offer")]
    NotOffered {
        /// The layer.
        layer: String,
        /// The bits.
        bits: Vec<u32>,
        /// What keeps them.
        code: Ecc,
    },
}

impl<M: Module> StoredNetwork<M> {
    /// The best plan for a budget: [`choices`](Self::choices), the optimum among them, and what a
    /// reader without the weights must know of it. A share is of the bits of all weights.
    ///
    /// # Errors
    /// As [`choices`](Self::choices) and [`Budget::solve`]; [`TrainError::Plan`] for a network
    /// whose units may be stored otherwise than as protected words, or in several formats, under
    /// several laws or with several decoders.
    pub fn plan(
        &self,
        score: Score,
        statistics: &[LayerStatistics],
        cost: Cost,
        budget: Budget,
    ) -> Result<Plan, TrainError> {
        let units = self.choices(score, statistics, cost)?;
        let draft = self.draft(cost)?;
        let weight_bits = self.weights() * u64::from(draft.format.bits().get());
        let solution = budget.solve(&units, weight_bits)?;
        let chosen = solution.allocation.chosen();
        let layers = self.units().iter().zip(chosen).enumerate().map(|(u, (unit, &choice))| {
            let words = words_of(unit)?[choice as usize];
            let choice = units.choices(u)[choice as usize];
            let scale = words.tensor().scale();
            let mean_square_error = qtaml_compensation::WeightStorage::mean_square_error(words);
            // What has no scale is stored as zeros, which have no steps to be wrong by.
            let per_square = if scale > 0.0 { f64::from(scale).powi(-2) } else { 0.0 };
            Ok(PlanLayer {
                name: unit.unit().name.clone(),
                weights: unit.unit().range.len(),
                protected: PlanLayer::bits_of(words.protection()),
                code: words.kit().ecc(),
                scale: Some(scale),
                prior: words.prior(),
                cost_bits: choice.cost,
                predicted_mse: mean_square_error * per_square,
                predicted_output_noise: choice.distortion,
            })
        });
        let plan = Plan {
            layers: layers.collect::<Result<_, PlanError>>()?,
            overhead: solution.allocation.overhead(weight_bits),
            predicted_output_noise: solution.allocation.distortion(),
            lower_bound: solution.lower_bound,
            proven: solution.proven,
            ..draft
        };
        plan.check()?;
        Ok(plan)
    }

    /// The choice of each unit that a plan makes, for [`read`](Self::read).
    ///
    /// # Errors
    /// [`TrainError::Plan`] unless it plans exactly the units of this network, of the same weights,
    /// words, flips and decoder, and protects what the network offers; [`TrainError::Compensation`]
    /// as [`Plan::check`].
    pub fn chosen(&self, plan: &Plan) -> Result<Vec<u32>, TrainError> {
        plan.check()?;
        let mut layers: BTreeMap<&str, &PlanLayer> =
            plan.layers.iter().map(|layer| (layer.name.as_str(), layer)).collect();
        let choose = |unit: &StoredUnit| {
            let name = &unit.unit().name;
            let layer = layers.remove(name.as_str());
            let layer = layer.ok_or_else(|| PlanError::MissingLayer(name.clone()))?;
            let protection = layer.protection(plan.format)?;
            Ok(choice_of(unit, plan, layer, protection)?)
        };
        let chosen = self.units().iter().map(choose).collect::<Result<_, TrainError>>()?;
        match layers.pop_first() {
            Some((name, _)) => Err(PlanError::UnknownLayer(name.to_owned()).into()),
            None => Ok(chosen),
        }
    }

    /// A plan of no layers, of what all ways to store all units share.
    fn draft(&self, cost: Cost) -> Result<Plan, PlanError> {
        let mut draft: Option<Plan> = None;
        for unit in self.units() {
            for words in words_of(unit)? {
                match &draft {
                    Some(draft) => check_same(draft, &unit.unit().name, words)?,
                    None => draft = Some(empty(words, cost)),
                }
            }
        }
        // There is no network without units; the first of them is without choices here.
        draft.ok_or_else(|| PlanError::NotWords(String::new()))
    }
}

fn empty(words: &QuantizedStorage, cost: Cost) -> Plan {
    Plan {
        schema: Plan::SCHEMA,
        flips: words.kit().flips().clone(),
        format: words.kit().format(),
        decoder: words.decoder(),
        accounting: match cost {
            Cost::Protected => Accounting::ProtectedBits,
            Cost::Everything => Accounting::AllBits,
        },
        layers: Vec::new(),
        overhead: 0.0,
        predicted_output_noise: 0.0,
        lower_bound: 0.0,
        proven: true,
    }
}

/// The ways to store a unit, all of which must be words.
fn words_of(unit: &StoredUnit) -> Result<Vec<&QuantizedStorage>, PlanError> {
    let words = unit.storages().iter().map(|storage| storage.as_protected());
    let words: Option<Vec<_>> = words.collect();
    words.ok_or_else(|| PlanError::NotWords(unit.unit().name.clone()))
}

fn check_same(plan: &Plan, layer: &str, words: &QuantizedStorage) -> Result<(), PlanError> {
    let (kit, decoder) = (words.kit(), words.decoder());
    same("format", layer, &plan.format, &kit.format())?;
    same("flip probability", layer, &plan.flips, kit.flips())?;
    same("decoder", layer, &plan.decoder, &decoder)
}

fn same<T: PartialEq + ToString>(
    what: &'static str,
    layer: &str,
    planned: &T,
    stored: &T,
) -> Result<(), PlanError> {
    if planned == stored {
        return Ok(());
    }
    let [planned, stored] = [planned, stored].map(ToString::to_string);
    Err(PlanError::Differs { what, layer: layer.to_owned(), planned, stored })
}

/// The way to store a unit that the plan names. The last error is told of those that fit nearly.
fn choice_of(
    unit: &StoredUnit,
    plan: &Plan,
    layer: &PlanLayer,
    protection: BitMask,
) -> Result<u32, PlanError> {
    let name = &layer.name;
    same("number of weights", name, &layer.weights, &unit.unit().range.len())?;
    let all = words_of(unit)?;
    for words in &all {
        check_same(plan, name, words)?;
    }
    let planned = |words: &&QuantizedStorage| {
        words.protection() == protection
            && (words.kit().ecc() == layer.code || protection == BitMask::NONE)
    };
    let choice = all.iter().position(planned).ok_or_else(|| PlanError::NotOffered {
        layer: name.clone(),
        bits: layer.protected.clone(),
        code: layer.code,
    })?;
    let words = all[choice];
    if let Some(scale) = layer.scale {
        same("scale", name, &scale, &words.tensor().scale())?;
    }
    if layer.prior != words.prior() {
        let [planned, stored] = [&layer.prior, &words.prior()].map(|prior| format!("{prior:?}"));
        return Err(PlanError::Differs { what: "prior", layer: name.clone(), planned, stored });
    }
    Ok(choice as u32)
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Device;
    use qtaml_compensation::{CompensationError, Decoder, WeightStorage};
    use qtaml_fault::Seed;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, Encoding, Format};

    use super::*;
    use crate::parameters::replace_parameters;
    use crate::{Granularity, LeNet, LeNetConfig, Memory, Range, initialise, parameters};

    fn stored(memory: &Memory) -> StoredNetwork<LeNet> {
        let model = initialise(LeNetConfig::digits().init(&Device::flex()), Seed(2)).unwrap();
        StoredNetwork::store(&model, memory).unwrap()
    }

    fn memory() -> Memory {
        Memory::new(FlipProbability::symmetric(0.1).unwrap())
    }

    /// Layers are scored by their largest weight: no Jacobian is needed to try plans.
    fn planned(network: &StoredNetwork<LeNet>, cost: Cost, budget: Budget) -> Plan {
        let norms = network.units().iter().map(|unit| crate::sensitivity::JacobianNorm {
            name: unit.unit().name.clone(),
            squared: 1.0,
            standard_error: 0.0,
        });
        let statistics = network.statistics(&norms.collect::<Vec<_>>()).unwrap();
        network.plan(Score::MagnitudeMax, &statistics, cost, budget).unwrap()
    }

    /// From the network to a text and back, for every decoder: the same network is read, and the
    /// plan alone makes the tables that read it.
    #[test]
    fn a_plan_is_carried_out_as_it_was_made() {
        for (decoder, range) in
            Decoder::ALL.into_iter().zip([Range::Best, Range::Unit].into_iter().cycle())
        {
            let sets = [0, 0b1000_0000, 0b1010_0000, 0b1110_0000, 0b1111_1111];
            let sets = sets.map(|mask| BitMask::of_bits(mask, BitWidth::INT8).unwrap());
            let memory = Memory { decoder, range, sets: Some(sets.into()), ..memory() };
            let network = stored(&memory);
            let plan = planned(&network, Cost::Protected, Budget::Share(0.3));
            assert!(plan.overhead <= 0.3 && plan.overhead > 0.2);
            assert!(plan.proven && plan.lower_bound == plan.predicted_output_noise);
            let again = Plan::from_json(&plan.to_json()).unwrap();
            assert_eq!(again, plan);
            let chosen = network.chosen(&again).unwrap();
            for ((unit, layer), &choice) in network.units().iter().zip(&again.layers).zip(&chosen) {
                let words = unit.storages()[choice as usize].as_protected().unwrap();
                assert_eq!(words.protection(), layer.protection(plan.format).unwrap());
                assert_eq!(words.protected_bits(), layer.cost_bits);
                let (table, exact) = (again.table(layer).unwrap(), words.table());
                assert_eq!(&table, exact, "{decoder}");
            }
            let read = network.read(Seed(42), 0, &chosen).unwrap();
            assert_ne!(parameters(&read), parameters(network.golden()));
        }
    }

    #[test]
    fn a_dead_channel_has_a_plan() {
        let model = initialise(LeNetConfig::digits().init(&Device::flex()), Seed(2)).unwrap();
        let name = "conv1.weight";
        let mut values = parameters(&model).into_iter().find(|p| p.name == name).unwrap().values;
        values[..9].fill(0.0);
        let dead = replace_parameters(model, [(name.to_owned(), values)].into()).unwrap();
        let memory = Memory { granularity: Granularity::Channel, ..memory() };
        let network = StoredNetwork::store(&dead, &memory).unwrap();
        let plan = planned(&network, Cost::Protected, Budget::Share(0.2));
        assert_eq!((plan.layers[0].scale, plan.layers[0].predicted_mse), (Some(0.0), 0.0));
        assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan);
    }

    #[test]
    fn every_bit_can_be_counted() {
        let network = stored(&memory());
        let plan = planned(&network, Cost::Everything, Budget::Share(1.01));
        assert_eq!(plan.accounting, Accounting::AllBits);
        let cost: u64 = plan.layers.iter().map(|layer| layer.cost_bits).sum();
        assert_eq!(cost, 8 * network.weights() + 5 * 32);
        assert_eq!(network.chosen(&plan).unwrap(), network.alike(8), "ideal protection is free");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let network = stored(&memory());
        let plan = planned(&network, Cost::Protected, Budget::Share(0.25));
        let error = |change: &dyn Fn(&mut Plan)| {
            let mut plan = plan.clone();
            change(&mut plan);
            network.chosen(&plan).unwrap_err().to_string()
        };
        let unknown = error(&|plan| plan.layers[0].name = "head".into());
        assert_eq!(unknown, "the plan lacks layer \"conv1.weight\", which the network stores");
        let missing = error(&|plan| {
            plan.layers.push(PlanLayer { name: "head".into(), ..plan.layers[0].clone() });
        });
        assert_eq!(missing, "the plan has layer \"head\", which the network does not store");
        let bits = error(&|plan| plan.layers[0].protected = vec![7, 5]);
        assert!(
            bits.ends_with("protects bits [7, 5] (ideal), which the network does not offer"),
            "{bits}"
        );
        let weights = error(&|plan| plan.layers[0].weights = 3);
        assert!(
            weights.starts_with("the number of weights of layer \"conv1.weight\": 3"),
            "{weights}"
        );
        let scale = error(&|plan| plan.layers[0].scale = Some(3.5));
        assert!(scale.starts_with("the scale of layer \"conv1.weight\": 3.5 in"), "{scale}");
        let decoder = error(&|plan| plan.decoder = Decoder::Affine);
        let expected =
            "the decoder of layer \"conv1.weight\": affine in the plan, raw in the network";
        assert_eq!(decoder, expected);
        let flips = error(&|plan| plan.flips = FlipProbability::NEVER.into());
        assert!(flips.starts_with("the flip probability of layer"), "{flips}");
        let gray = Format::new(BitWidth::INT8, Encoding::Gray);
        assert!(error(&|plan| plan.format = gray).starts_with("the format of layer"));
        let narrow = Format::new(BitWidth::INT4, Encoding::TwosComplement);
        assert!(matches!(
            network.chosen(&Plan { format: narrow, ..plan.clone() }),
            Err(TrainError::Compensation(CompensationError::PlanBits { .. }) | TrainError::Plan(_))
        ));
        let both = stored(&Memory { format: narrow, ..memory() }).or(network).unwrap();
        let norms: Vec<_> = Vec::new();
        assert!(both.statistics(&norms).is_err());
        assert!(both.chosen(&plan).unwrap_err().to_string().starts_with("the format of layer"));
    }
}
