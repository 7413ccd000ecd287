//! How weights are stored: as a plan says, or all alike.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use anyhow::Result;
use qtaml::compensation::storage::{BitChoice, CodeLibrary, StorageSpec};
use qtaml::compensation::{Accounting, Budget, Plan, PlanGroup, PlannedModel, Score};
use qtaml::deploy::planner::ModelPlan;
use qtaml::deploy::{Granularity, PlanError, StoredModel, Storing, WeightTensor, groups_of};
use qtaml::fault::{Ecc, WordDigest};
use qtaml::physics::FlipProfile;

use crate::format_flags::ScaleFlag;
use crate::weights_only::OneWeight;

/// What each tensor becomes.
pub(super) enum How {
    Planned(Planned),
    Alike { storing: Storing, granularity: Granularity },
}

/// A plan, and where its groups are by their names.
pub(super) struct Planned {
    pub(super) plan: Box<ModelPlan>,
    groups: HashMap<String, usize>,
}

impl How {
    pub(super) fn planned(plan: ModelPlan) -> Self {
        let groups = plan.plan.groups.iter().enumerate();
        let groups = groups.map(|(number, group)| (group.name.clone(), number)).collect();
        Self::Planned(Planned { plan: Box::new(plan), groups })
    }

    pub(super) fn granularity(&self) -> Granularity {
        match self {
            Self::Planned(Planned { plan, .. }) => plan.scheme.granularity,
            Self::Alike { granularity, .. } => *granularity,
        }
    }

    /// The flip probabilities that it is meant for.
    pub(super) fn flips(&self) -> &FlipProfile {
        match self {
            Self::Planned(Planned { plan, .. }) => &plan.plan.flips,
            Self::Alike { storing, .. } => &storing.memory.flips,
        }
    }

    /// Refuses a plan with groups that none of the tensors has.
    pub(super) fn check_groups<'a>(
        &self,
        tensors: impl Iterator<Item = &'a WeightTensor>,
    ) -> Result<(), PlanError> {
        let Self::Planned(Planned { plan, .. }) = self else { return Ok(()) };
        let mut planned: BTreeSet<&str> =
            plan.plan.groups.iter().map(|group| group.name.as_str()).collect();
        for tensor in tensors {
            for group in groups_of(0, tensor, self.granularity()) {
                planned.remove(group.name.as_str());
            }
        }
        match planned.pop_first() {
            Some(name) => Err(PlanError::UnknownGroup(name.to_owned())),
            None => Ok(()),
        }
    }

    /// One tensor with the ways to store it, and the plan that takes one of them.
    pub(super) fn store(
        &self,
        one: &OneWeight<'_>,
        library: &CodeLibrary,
    ) -> Result<(StoredModel, Plan)> {
        match self {
            Self::Planned(planned) => {
                let (plan, part) = (&planned.plan, planned.part(one.tensor()));
                Ok((plan.scheme.store_planned(one, &part, library)?, part))
            }
            Self::Alike { storing, granularity } => {
                let storings = std::slice::from_ref(storing);
                let stored = StoredModel::store_with(one, *granularity, storings, library)?;
                // There is no choice, so that any budget and any score give the same.
                let (statistics, budget) = (stored.magnitudes(), Budget::Noise(f64::INFINITY));
                let plan =
                    stored.plan(Score::MagnitudeMax, &statistics, Accounting::AllBits, budget)?;
                Ok((stored, plan))
            }
        }
    }

    /// The plan of all tensors, from those of each.
    pub(super) fn whole(
        &self,
        model: &PlannedModel,
        groups: Vec<PlanGroup>,
        weight_bits: u64,
    ) -> Plan {
        let model = Some(model.clone());
        if let Self::Planned(Planned { plan, .. }) = self {
            return Plan { model: plan.plan.model.as_ref().and(model), ..plan.plan.clone() };
        }
        let cost: u64 = groups.iter().map(|group| group.cost_bits).sum();
        let noise: f64 = groups.iter().map(|group| group.predicted_output_noise).sum();
        Plan {
            schema: Plan::SCHEMA,
            model,
            flips: self.flips().clone(),
            accounting: Accounting::AllBits,
            groups,
            overhead: cost as f64 / weight_bits as f64,
            predicted_output_noise: noise,
            lower_bound: noise,
            proven: true,
        }
    }

    /// The model with its name for people: that of the plan, or else that of its file.
    pub(super) fn model(&self, file: &str, sha256: WordDigest) -> PlannedModel {
        let planned = match self {
            Self::Planned(Planned { plan, .. }) => {
                plan.plan.model.as_ref().and_then(|model| model.name.clone())
            }
            Self::Alike { .. } => None,
        };
        PlannedModel { name: planned.or_else(|| Some(file.to_owned())), sha256 }
    }
}

impl Planned {
    /// The plan of one tensor: its groups alone. Whose weights they are is compared for all tensors together.
    fn part(&self, tensor: &WeightTensor) -> Plan {
        let plan = &self.plan.plan;
        let names = groups_of(0, tensor, self.plan.scheme.granularity).into_iter();
        let groups = names.filter_map(|group| self.groups.get(group.name.as_str()));
        Plan {
            schema: plan.schema,
            model: None,
            flips: plan.flips.clone(),
            accounting: plan.accounting,
            groups: groups.map(|&number| plan.groups[number].clone()).collect(),
            overhead: plan.overhead,
            predicted_output_noise: plan.predicted_output_noise,
            lower_bound: plan.lower_bound,
            proven: plan.proven,
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (storing, granularity) = match self {
            Self::Planned(Planned { plan, .. }) => return write!(f, "{}", plan.scheme),
            Self::Alike { storing, granularity } => (storing, ScaleFlag::from(*granularity)),
        };
        let StorageSpec::Quantized(spec) = &storing.spec else { return f.write_str("words") };
        write!(f, "{}, {granularity}, {}", spec.format, spec.decoder)?;
        let kept = match &spec.protection {
            BitChoice::Sets(sets) => sets.first().map_or(0, |set| set.count()),
            _ => 0,
        };
        match (kept, storing.memory.ecc) {
            (0, _) => Ok(()),
            (kept, Ecc::Ideal) => write!(f, ", top {kept} protected ideally"),
            (kept, ecc) => write!(f, ", top {kept} kept by {ecc}"),
        }
    }
}
