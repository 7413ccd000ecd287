//! Plans of stored models, and stored models of plans.

use std::collections::BTreeMap;

use qtaml_compensation::allocation::{AllocationProblem, Budget, Selection, Solution};
use qtaml_compensation::storage::StoredAs;
use qtaml_compensation::{
    Accounting, GroupStatistics, Plan, PlanGroup, PlannedModel, PlannedStorage, Score,
};
use qtaml_fault::WordDigest;

use crate::{DeployError, StoredGroup, StoredModel};

/// Why a plan and a stored model do not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Memories that flip differently: a plan speaks of one.
    #[error("the model may be stored in memories of different flip probabilities: a plan has one")]
    SeveralMemories,
    /// Candidates that were made one by one: no memory is known.
    #[error("the model was stored group by group: no memory is known that a plan could name")]
    UnknownMemory,
    /// Other flip probabilities than those of the model's memory.
    #[error("the plan is for flip probabilities {planned}, the model is stored in {stored}")]
    OtherMemory {
        /// Those of the plan.
        planned: String,
        /// Those of the memory.
        stored: String,
    },
    /// A plan of other weights.
    #[error("the plan is made for {planned}, and these weights have SHA-256 {found}")]
    OtherModel {
        /// The model of the plan.
        planned: PlannedModel,
        /// SHA-256 of the weights that it was to be carried out on.
        found: WordDigest,
    },
    /// A group that the model does not have.
    #[error("the plan has group {0:?}, which the model does not store")]
    UnknownGroup(String),
    /// A group that the plan says nothing of.
    #[error("the plan lacks group {0:?}, which the model stores")]
    MissingGroup(String),
    /// A group of another size.
    #[error("group {group:?} has {planned} weights in the plan, {stored} in the model")]
    Weights {
        /// The group.
        group: String,
        /// As planned.
        planned: usize,
        /// As stored.
        stored: usize,
    },
    /// A storage that is none of the group's candidates.
    #[error("group {group:?} is planned as {planned}, which the model does not offer: {nearest}")]
    NotOffered {
        /// The group.
        group: String,
        /// How the plan stores it.
        planned: String,
        /// The candidate that is stored alike but for a number, or how many candidates there are.
        nearest: String,
    },
}

/// Refuses the weights of another model than the plan's, if it says which that is.
pub(crate) fn check_model(plan: &Plan, found: WordDigest) -> Result<(), PlanError> {
    match &plan.model {
        Some(planned) if planned.sha256 != found => {
            Err(PlanError::OtherModel { planned: planned.clone(), found })
        }
        _ => Ok(()),
    }
}

impl StoredModel {
    /// The bits of all weights without any protection: what shares of a budget are of. A group counts
    /// with the width of the first quantized words that it offers, with 8 bits if it offers none.
    pub fn weight_bits(&self) -> u64 {
        let width = |stored: &StoredGroup| {
            let mut widths = stored.candidates.iter().filter_map(|c| match c.stored_as() {
                StoredAs::Quantized { bits, .. } | StoredAs::PerWeight { bits, .. } => Some(bits),
                _ => None,
            });
            widths.next().unwrap_or(8)
        };
        let bits = |stored: &StoredGroup| stored.group.len() as u64 * u64::from(width(stored));
        self.groups().iter().map(bits).sum()
    }

    /// The best plan for a budget: the optimum among the candidates, and what a reader without the
    /// weights must know of it. A share is of [`weight_bits`](Self::weight_bits). The plan knows its model
    /// by its weights; a name for people may be added to [`Plan::model`].
    ///
    /// # Errors
    /// As [`problem`](Self::problem) and [`Budget::solve`]; [`PlanError::SeveralMemories`] for a model
    /// that may be stored in memories that flip differently, [`PlanError::UnknownMemory`] for one from
    /// [`store_by`](Self::store_by).
    pub fn plan(
        &self,
        score: Score,
        statistics: &[GroupStatistics],
        accounting: Accounting,
        budget: Budget,
    ) -> Result<Plan, DeployError> {
        let problem = self.problem(score, statistics, accounting)?;
        let solution = budget.solve(&problem, self.weight_bits())?;
        self.plan_of(&solution, accounting, &problem)
    }

    /// The plan that stores each group as a solution of this model's problem says.
    ///
    /// # Errors
    /// [`PlanError::SeveralMemories`] and [`PlanError::UnknownMemory`] as [`plan`](Self::plan), and as
    /// [`selected`](Self::selected).
    pub fn plan_of(
        &self,
        solution: &Solution,
        accounting: Accounting,
        problem: &AllocationProblem,
    ) -> Result<Plan, DeployError> {
        let first = self.storings().first().ok_or(PlanError::UnknownMemory)?;
        let flips = first.memory.flips.clone();
        if self.storings().iter().any(|storing| storing.memory.flips != flips) {
            return Err(PlanError::SeveralMemories.into());
        }
        let selection = solution.allocation.selection();
        let storages = self.selected(selection)?;
        let groups = self.groups().iter().zip(storages).zip(selection).enumerate();
        let groups = groups.map(|(g, ((stored, storage), &candidate))| {
            let candidate = problem.candidates(g)[candidate as usize];
            PlanGroup {
                name: stored.group.name.clone(),
                weights: stored.group.len(),
                storage: storage.planned(),
                cost_bits: candidate.cost,
                predicted_mse: storage.mean_square_error(),
                predicted_output_noise: candidate.distortion,
            }
        });
        let plan = Plan {
            schema: Plan::SCHEMA,
            model: Some(PlannedModel::of(self.weights_sha256())),
            flips,
            accounting,
            groups: groups.collect(),
            overhead: solution.allocation.overhead(self.weight_bits()),
            predicted_output_noise: solution.allocation.distortion(),
            lower_bound: solution.lower_bound,
            proven: solution.proven,
        };
        plan.check()?;
        Ok(plan)
    }

    /// The selection that a plan makes, for [`read`](Self::read).
    ///
    /// # Errors
    /// [`DeployError::Plan`] for a plan that says that it is of other weights, and unless it plans exactly
    /// the groups of this model, of as many weights, in the same memory, and as one of their candidates; [`DeployError::PlanFile`] as
    /// [`Plan::check`].
    pub fn selection_of(&self, plan: &Plan) -> Result<Selection, DeployError> {
        plan.check()?;
        check_model(plan, self.weights_sha256())?;
        for storing in self.storings() {
            if storing.memory.flips != plan.flips {
                let [planned, stored] =
                    [&plan.flips, &storing.memory.flips].map(ToString::to_string);
                return Err(PlanError::OtherMemory { planned, stored }.into());
            }
        }
        let mut groups: BTreeMap<&str, &PlanGroup> =
            plan.groups.iter().map(|group| (group.name.as_str(), group)).collect();
        let select = |stored: &StoredGroup| {
            let name = &stored.group.name;
            let group = groups.remove(name.as_str());
            candidate_of(stored, group.ok_or_else(|| PlanError::MissingGroup(name.clone()))?)
        };
        let selection = self.groups().iter().map(select).collect::<Result<_, PlanError>>()?;
        match groups.pop_first() {
            Some((name, _)) => Err(PlanError::UnknownGroup(name.to_owned()).into()),
            None => Ok(selection),
        }
    }
}

/// The candidate that the plan names.
fn candidate_of(stored: &StoredGroup, group: &PlanGroup) -> Result<u32, PlanError> {
    let (name, weights) = (group.name.clone(), stored.group.len());
    if group.weights != weights {
        return Err(PlanError::Weights { group: name, planned: group.weights, stored: weights });
    }
    let mut nearest = None;
    for (index, storage) in stored.candidates.iter().enumerate() {
        // Telling what a decoder must know takes longer than to see that it is another storage.
        if is_like(storage.stored_as(), &group.storage) {
            let offered = storage.planned();
            if is_same(&offered, &group.storage) {
                return Ok(index as u32);
            }
            nearest = Some(offered);
        }
    }
    let nearest = nearest.map_or_else(
        || format!("none of its {} candidates is like it", stored.candidates.len()),
        |offered| format!("{} is nearest", text(&offered)),
    );
    Err(PlanError::NotOffered { group: name, planned: text(&group.storage), nearest })
}

fn text(storage: &PlannedStorage) -> String {
    // Its scales and exponents would fill pages.
    if let PlannedStorage::PerWeight { format, channels, thresholds, decoder, .. } = storage {
        let least = thresholds.first().copied().unwrap_or(f64::INFINITY);
        return format!(
            "{format} in {channels} channels, protected by weight from a score of {least:e}, \
             read by {decoder}"
        );
    }
    serde_json::to_string(storage).unwrap_or_else(|_| format!("{storage:?}"))
}

/// Whether a candidate is what a plan says, but for its numbers.
pub(crate) fn is_like(stored: StoredAs, planned: &PlannedStorage) -> bool {
    match (stored, planned) {
        (
            StoredAs::Quantized { bits, mask, .. },
            PlannedStorage::Quantized { format, protected, .. },
        ) => bits == format.bits().get() && PlanGroup::bits_of(mask) == sorted(protected),
        (
            StoredAs::Codebook { width, protected },
            PlannedStorage::Codebook { width: planned, protected: kept, .. },
        ) => (width, protected) == (*planned, *kept),
        (StoredAs::PerWeight { bits, .. }, PlannedStorage::PerWeight { format, .. }) => {
            bits == format.bits().get()
        }
        (StoredAs::BlockCoded { rate }, PlannedStorage::BlockCoded { rate: planned, .. }) => {
            rate == *planned
        }
        _ => false,
    }
}

/// Whether two storages are the same. Nothing protected is the same by any code.
fn is_same(offered: &PlannedStorage, planned: &PlannedStorage) -> bool {
    let mut planned = planned.clone();
    if let (
        PlannedStorage::Quantized { ecc: offered, .. },
        PlannedStorage::Quantized { ecc, protected, .. },
    ) = (offered, &mut planned)
    {
        *protected = sorted(protected);
        if protected.is_empty() {
            *ecc = *offered;
        }
    }
    *offered == planned
}

/// Most significant bit first.
fn sorted(bits: &[u32]) -> Vec<u32> {
    let mut bits = bits.to_vec();
    bits.sort_unstable_by(|a, b| b.cmp(a));
    bits
}

#[cfg(test)]
mod tests {
    use qtaml_compensation::Decoder;
    use qtaml_compensation::storage::{BitChoice, QuantizedSpec, ScalePolicy, StorageSpec};
    use qtaml_fault::{BitMask, MemoryModel, Seed};
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, CodeRange};

    use super::*;
    use crate::{Granularity, Role, Storing, WeightTensor};

    fn memory(p: f64) -> MemoryModel {
        MemoryModel::new(FlipProbability::symmetric(p).unwrap())
    }

    fn stored(storings: &[Storing]) -> StoredModel {
        let tensors = [
            WeightTensor::new("a", [8, 16], Role::Linear).with_output_axis(1),
            WeightTensor::new("b", [30, 4], Role::Embedding).with_output_axis(0),
        ];
        let values = |tensor: usize| {
            let weight = |i: usize| (i as f32 * 0.37 + tensor as f32).sin().powi(3);
            Ok((0..tensors[tensor].len()).map(weight).collect())
        };
        StoredModel::store_tensors(&tensors, values, Granularity::Tensor, storings).unwrap()
    }

    fn planned(model: &StoredModel, accounting: Accounting, budget: Budget) -> Plan {
        let statistics = model.magnitudes();
        model.plan(Score::MagnitudeMax, &statistics, accounting, budget).unwrap()
    }

    /// From the model to a text and back, for every decoder and storage: the same weights are read.
    #[test]
    fn a_plan_is_carried_out_as_it_was_made() {
        let sets = [0, 0b1000_0000, 0b1010_0000, 0b1111_1111];
        let sets = sets.map(|mask| BitMask::of_bits(mask, BitWidth::INT8).unwrap());
        let scales = [ScalePolicy::MinMse, ScalePolicy::PerGroup];
        let quantized = Decoder::ALL.into_iter().zip(scales.into_iter().cycle());
        let quantized = quantized.map(|(decoder, scale)| {
            let protection = BitChoice::Sets(sets.to_vec());
            let range = CodeRange::ALL[decoder as usize % 3];
            QuantizedSpec { decoder, scale, range, protection, ..QuantizedSpec::default() }.into()
        });
        let others = [StorageSpec::codebook([3, 5, 7]), StorageSpec::block_coded([3, 6])];
        for spec in quantized.chain(others) {
            let model = stored(&[Storing::new(memory(0.1), spec.clone())]);
            for (accounting, share) in
                [(Accounting::ProtectedBits, 0.2), (Accounting::AllBits, 1.4)]
            {
                let plan = planned(&model, accounting, Budget::Share(share));
                let read = Plan::from_json(&plan.to_json()).unwrap();
                assert_eq!(read, plan, "{spec:?}");
                let selection = model.selection_of(&read).unwrap();
                let weights = model.read(Seed(3), 0, &selection).unwrap();
                assert_eq!(weights.len(), 2);
                for (group, storage) in plan.groups.iter().zip(model.selected(&selection).unwrap())
                {
                    assert_eq!(group.storage, storage.planned());
                    // The plan alone makes the table that reads it.
                    let table = storage.as_quantized().map(|storage| storage.table().clone());
                    assert_eq!(plan.table(group).unwrap(), table, "{spec:?}");
                    assert_eq!(group.cost_bits, accounting.cost_of(storage));
                }
            }
        }
    }

    #[test]
    fn shares_are_of_the_bits_of_all_weights() {
        let model = stored(&[Storing::new(memory(0.1), QuantizedSpec::default())]);
        assert_eq!(model.weight_bits(), 8 * (128 + 120));
        let plan = planned(&model, Accounting::ProtectedBits, Budget::Share(0.25));
        let cost: u64 = plan.groups.iter().map(|group| group.cost_bits).sum();
        assert!(cost <= 2 * 248 && plan.overhead == cost as f64 / (8.0 * 248.0));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let model = stored(&[Storing::new(memory(0.1), QuantizedSpec::default())]);
        let plan = planned(&model, Accounting::ProtectedBits, Budget::Share(0.25));
        let error = |change: &dyn Fn(&mut Plan)| {
            let mut plan = plan.clone();
            change(&mut plan);
            model.selection_of(&plan).unwrap_err().to_string()
        };
        let missing = error(&|plan| plan.groups[0].name = "head".into());
        assert_eq!(missing, "the plan lacks group \"a\", which the model stores");
        let unknown = error(&|plan| {
            plan.groups.push(PlanGroup { name: "head".into(), ..plan.groups[0].clone() });
        });
        assert_eq!(unknown, "the plan has group \"head\", which the model does not store");
        let weights = error(&|plan| plan.groups[0].weights = 3);
        assert_eq!(weights, "group \"a\" has 3 weights in the plan, 128 in the model");
        let other = error(&|plan| {
            let sha256 = WordDigest::of(b"other weights");
            plan.model = Some(PlannedModel { name: Some("lenet".into()), sha256 });
        });
        assert!(other.starts_with("the plan is made for \"lenet\" with weights of SHA"), "{other}");
        let mut unknown_model = plan.clone();
        unknown_model.model = None;
        assert!(model.selection_of(&unknown_model).is_ok());
        let flips = error(&|plan| plan.flips = FlipProbability::NEVER.into());
        assert!(flips.starts_with("the plan is for flip probabilities"), "{flips}");
        let storage = |change: &dyn Fn(&mut PlannedStorage)| {
            error(&|plan: &mut Plan| change(&mut plan.groups[0].storage))
        };
        let scale = storage(&|storage| {
            if let PlannedStorage::Quantized { scale, .. } = storage {
                *scale = 3.5;
            }
        });
        assert!(scale.contains("\"scale\":3.5") && scale.ends_with("is nearest"), "{scale}");
        let bits = storage(&|storage| {
            if let PlannedStorage::Quantized { protected, .. } = storage {
                *protected = vec![5, 1];
            }
        });
        assert!(bits.ends_with("none of its 9 candidates is like it"), "{bits}");

        let two = [0.1, 0.2].map(|p| Storing::new(memory(p), QuantizedSpec::default()));
        let model = stored(&two);
        let statistics = model.magnitudes();
        let several = model
            .plan(Score::MagnitudeMax, &statistics, Accounting::AllBits, Budget::Share(2.0))
            .unwrap_err();
        assert!(matches!(several, DeployError::Plan(PlanError::SeveralMemories)), "{several}");
    }

    /// The order of bits in a text is free, and nothing protected is the same by any code.
    #[test]
    fn plans_are_read_as_they_are_meant() {
        let model = stored(&[Storing::new(memory(0.1), QuantizedSpec::default())]);
        let plan = planned(&model, Accounting::ProtectedBits, Budget::Share(0.25));
        let mut written = plan.clone();
        for group in &mut written.groups {
            if let PlannedStorage::Quantized { protected, ecc, .. } = &mut group.storage {
                protected.reverse();
                if protected.is_empty() {
                    *ecc = "secded:64".parse().unwrap();
                }
            }
        }
        assert_eq!(model.selection_of(&written).unwrap(), model.selection_of(&plan).unwrap());
    }
}
