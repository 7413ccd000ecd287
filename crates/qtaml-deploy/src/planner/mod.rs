//! The planner: which scheme keeps a model's target for the fewest bits, and the plan that does.
//!
//! Sensitivities are measured once, on calibration inputs. Then every scheme has a path of budgets with a
//! predicted output noise for each. The first is searched for the smallest budget that keeps the target,
//! which tells how much output noise the target bears; for all others that noise predicts a budget. Those
//! that look about as cheap as the cheapest so far are searched from there, among what is cheaper.
//! The cheapest is confirmed on inputs and under fault patterns that had no part in any choice.
//!
//! What chooses need not decode: what codes leave is drawn
//! ([`StoredModel::drawn`](crate::StoredModel::drawn)), and so it is along the frontier. What confirms decodes.
//!
//! Three sets of inputs, three runners of one model: calibration, selection and test.

mod distribution;
mod file;
mod others;
mod path;
mod race;
mod schemes;

use std::fmt;

use qtaml_compensation::storage::CodeLibrary;
use qtaml_compensation::{Accounting, Plan};
use qtaml_fault::Seed;
use qtaml_physics::FlipProfile;
use serde::{Deserialize, Serialize};

use crate::budget::{Choice, Criterion, Patterns, Target};
use crate::job::JobStore;
use crate::scheme::Scheme;
use crate::sensitivity::noise_norms;
use crate::stored::Reading;
use crate::{
    BudgetError, DeployError, Evaluation, Granularity, GroupSensitivity, Runner, WeightGroup,
    groups_of,
};

pub use distribution::Distribution;
pub use file::{ModelPlan, ModelPlanError};
pub use others::OtherTensors;
pub use schemes::contenders;

use path::Path;
use race::{Leader, Race};

/// Draws of noise behind the sensitivity of a tensor.
const DRAWS: u32 = 4;
/// Budgets that a search tries, about.
const BISECTIONS: usize = 6;
/// Schemes that are searched, about, beside the baselines; others are told by a step.
const SEARCHED: usize = 2;
/// Budgets of the frontier below that of the plan, by the output noise that they leave: as multiples of what
/// the target bears.
const BELOW: [f64; 4] = [64.0, 16.0, 4.0, 2.0];
/// And above it, as multiples of what the plan costs.
const ABOVE: [f64; 3] = [1.15, 1.5, 2.0];

/// What a plan is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Goal {
    /// The flip probabilities of the memory.
    pub flips: FlipProfile,
    /// The share of the model's own metric that has to be kept; where smaller values are better, the
    /// metric may grow to it over this share.
    pub keep: f64,
    /// In the mean over devices, or on so many of them.
    pub criterion: Criterion,
    /// What the budget counts.
    pub count: Accounting,
    /// By how many standard errors the inputs that choose must do better than the target: few inputs
    /// know little of others. See [`Evaluation::standard_error`].
    pub margin: f64,
}

impl Goal {
    /// To keep 95 % in the mean over devices, counting all bits that are stored.
    pub fn new(flips: impl Into<FlipProfile>) -> Self {
        let (criterion, count) = (Criterion::Mean, Accounting::AllBits);
        Self { flips: flips.into(), keep: 0.95, criterion, count, margin: 1.0 }
    }

    /// The same for another share of the metric.
    #[must_use]
    pub fn keeping(self, keep: f64) -> Self {
        Self { keep, ..self }
    }

    /// The same for another share of the devices.
    #[must_use]
    pub fn on(self, criterion: Criterion) -> Self {
        Self { criterion, ..self }
    }

    /// The same counting other bits.
    #[must_use]
    pub fn counting(self, count: Accounting) -> Self {
        Self { count, ..self }
    }

    /// The same with another margin.
    #[must_use]
    pub fn with_margin(self, margin: f64) -> Self {
        Self { margin, ..self }
    }

    /// The target on inputs that choose: with the margin, but no nearer than a third of the way to `best`, the metric there
    /// of the model as it is stored without any fault. Few inputs have few levels, and the next one may be out of
    /// reach.
    ///
    /// # Errors
    /// As [`target`](Self::target).
    pub fn selecting(&self, evaluation: &Evaluation, best: f64) -> Result<Target, DeployError> {
        let target = self.target(evaluation)?;
        let sign = if target.higher_is_better { 1.0 } else { -1.0 };
        let margin = self.margin * evaluation.standard_error(target.level);
        let most = (sign * (best - target.level)).max(0.0) / 3.0;
        Ok(Target { level: target.level + sign * margin.min(most), ..target })
    }

    /// The target that this is for a model of this quality without faults.
    ///
    /// # Errors
    /// As [`Target::keeping`].
    pub fn target(&self, evaluation: &Evaluation) -> Result<Target, DeployError> {
        Ok(Target::keeping(evaluation, self.keep, self.criterion)?)
    }
}

/// Inputs that trials are judged on: the model on them, and what judges its outputs.
#[derive(Clone, Copy)]
pub struct Judging<'a> {
    /// The model on these inputs.
    pub runner: &'a dyn Runner,
    /// What judges its outputs.
    pub evaluation: &'a Evaluation,
}

impl fmt::Debug for Judging<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judging").field("evaluation", self.evaluation).finish_non_exhaustive()
    }
}

/// Finds the scheme and the budget that keep a goal, and makes the plan.
pub struct Planner<'a> {
    goal: Goal,
    calibration: &'a dyn Runner,
    selection: Judging<'a>,
    test: Judging<'a>,
    parts: Vec<Judging<'a>>,
    patterns: u32,
    seed: Seed,
    library: CodeLibrary,
    kept: Option<Kept<'a>>,
    tell: Option<&'a (dyn Fn(&str) + Sync)>,
}

/// Where finished trials are kept, and what they are trials of.
#[derive(Debug, Clone, Copy)]
struct Kept<'a> {
    store: &'a JobStore,
    of: &'a str,
}

impl fmt::Debug for Planner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planner").field("goal", &self.goal).finish_non_exhaustive()
    }
}

/// What one scheme needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Contender {
    /// The scheme.
    pub scheme: Scheme,
    /// Its name for people.
    pub name: String,
    /// The budget that was predicted for it, in bits; none if no budget leaves so little noise.
    pub predicted: Option<u64>,
    /// What a search found; none if another scheme is cheaper, or looks so.
    pub found: Option<Choice>,
    /// It was tried with the last budget below this one, in bits, and does not keep the target with that:
    /// another scheme keeps it for so many. Nothing dearer was tried.
    pub not_below: Option<u64>,
}

impl Contender {
    /// The budget that keeps the target, in bits; none if it was not searched for, or not found.
    pub fn cost(&self) -> Option<u64> {
        self.found.as_ref().filter(|found| !found.missed).map(|found| found.cost)
    }
}

/// The metric with one budget.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FrontierPoint {
    /// The budget, in bits.
    pub cost: u64,
    /// The predicted output noise.
    pub noise: f64,
    /// The metric over devices, on test inputs.
    pub metric: Distribution,
}

/// A plan, and how it was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Planned {
    /// What was wanted.
    pub goal: Goal,
    /// The plan.
    pub plan: Plan,
    /// The metric of the model without faults, on test inputs.
    pub clean: f64,
    /// The value of the metric that has to be reached there.
    pub level: f64,
    /// The number of weights that are stored.
    pub weights: u64,
    /// Bits of all weights of the baseline without any protection: what shares are of.
    pub weight_bits: u64,
    /// Float tensors that are no weights.
    pub others: OtherTensors,
    /// The output noise that the target bears.
    pub noise: f64,
    /// All schemes, the first one searched first.
    pub contenders: Vec<Contender>,
    /// The number of the scheme that the plan takes.
    pub best: usize,
    /// The numbers of the baselines, which store all weights alike. One of them is the plan if nothing is cheaper.
    pub baselines: Vec<usize>,
    /// The plan under fresh fault patterns on test inputs.
    pub confirmed: Distribution,
    /// Bits against metric, along the path of the scheme that the plan takes: each point on half as many devices
    /// as the plan.
    pub frontier: Vec<FrontierPoint>,
}

impl Planned {
    /// Whether the plan reaches the target on test inputs, under fault patterns that chose nothing.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.is_reached
    }
}

impl<'a> Planner<'a> {
    /// A planner for a model on three sets of inputs. The golden outputs of the evaluations are those of the
    /// model as it came, so that what quantization loses counts as well.
    pub fn new(
        goal: Goal,
        calibration: &'a dyn Runner,
        selection: Judging<'a>,
        test: Judging<'a>,
    ) -> Self {
        Self {
            goal,
            calibration,
            selection,
            test,
            parts: Vec::new(),
            patterns: 20,
            seed: Seed(0),
            library: CodeLibrary::default(),
            kept: None,
            tell: None,
        }
    }

    /// The same with so many fault patterns for each purpose, and those of another seed.
    #[must_use]
    pub fn with_patterns(self, patterns: u32, seed: Seed) -> Self {
        Self { patterns, seed, ..self }
    }

    /// The same with the inputs that choose in parts as well, for metrics that are means over inputs: budgets that
    /// are far from enough, or far more, are told from one device on each part. Some eight parts of eight
    /// inputs or more tell most of them.
    #[must_use]
    pub fn glancing_at(self, parts: Vec<Judging<'a>>) -> Self {
        Self { parts, ..self }
    }

    /// The same with codes that are shared.
    #[must_use]
    pub fn with_library(self, library: CodeLibrary) -> Self {
        Self { library, ..self }
    }

    /// The same where finished trials are kept, and found by a later run: `of` names the model and the
    /// inputs, as a digest of both.
    #[must_use]
    pub fn kept_in(self, store: &'a JobStore, of: &'a str) -> Self {
        Self { kept: Some(Kept { store, of }), ..self }
    }

    /// The same which tells what it does, step by step.
    #[must_use]
    pub fn telling(self, tell: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self { tell: Some(tell), ..self }
    }

    /// About how often [`telling`](Self::telling) is told something, for progress.
    pub fn steps(&self, schemes: usize, baselines: usize) -> u64 {
        let searches = SEARCHED.min(schemes) + baselines;
        (schemes + baselines + BISECTIONS * searches + 1 + BELOW.len() + 1 + ABOVE.len()) as u64
    }

    /// How much each weight tensor matters, on calibration inputs.
    ///
    /// # Errors
    /// As [`noise_norms`].
    pub fn sensitivities(&self) -> Result<Vec<GroupSensitivity>, DeployError> {
        let tensors = self.calibration.tensors().iter().enumerate();
        let weights = tensors.filter(|(_, tensor)| tensor.role.is_weight());
        let groups: Vec<WeightGroup> =
            weights.flat_map(|(index, t)| groups_of(index, t, Granularity::Tensor)).collect();
        self.unit(&("sensitivities", DRAWS), || {
            noise_norms(self.calibration, &groups, DRAWS, self.seed)
        })
    }

    /// The cheapest of these schemes and its plan. The first is searched along its whole path, and so are
    /// all baselines; the plan is never one of them.
    ///
    /// # Errors
    /// [`BudgetError::OutOfReach`] if no scheme that was searched keeps the
    /// target, and as storing, measuring, searching and planning.
    pub fn plan(&self, schemes: &[Scheme], baselines: &[Scheme]) -> Result<Planned, DeployError> {
        let sensitivities = self.sensitivities()?;
        let mut race = Race::new(self, &sensitivities);
        let later = |number: usize| schemes.iter().chain(baselines).skip(number + 1);
        for (number, scheme) in schemes.iter().enumerate() {
            race.enter(scheme, later(number))?;
        }
        for (number, scheme) in baselines.iter().enumerate() {
            race.compare(scheme, later(schemes.len() + number))?;
        }
        self.planned(race, (schemes.len()..schemes.len() + baselines.len()).collect())
    }

    /// The plan of the cheapest that was found.
    fn planned(&self, race: Race<'_, '_>, baselines: Vec<usize>) -> Result<Planned, DeployError> {
        let target = self.goal.target(self.test.evaluation)?;
        let missed = BudgetError::OutOfReach { level: target.level };
        let Race { contenders, noise, leader, .. } = race;
        let Leader { number: best, stored, found } = leader.ok_or(missed)?;
        let (path, step, noise) = (stored.path(), found.step, noise.unwrap_or(0.0));
        let judged = Patterns::to_judge(self.patterns);
        let metric = |step, patterns, reading| {
            let values = path.trials(step, patterns, (self.test, "test"), reading)?;
            Ok::<_, DeployError>(Distribution::new(values, &target)?)
        };
        self.say("confirming on test inputs");
        let confirmed = metric(step, judged.find(), Reading::Decoded)?;
        let on_frontier = Patterns::to_judge(self.patterns.div_ceil(2).max(2)).confirm();
        let mut frontier = Vec::new();
        for step in frontier_of(&path, step) {
            self.say(&format!("frontier: {} bits", path.cost(step)));
            let metric = metric(step, on_frontier.clone(), Reading::Drawn)?;
            frontier.push(FrontierPoint { cost: path.cost(step), noise: path.noise(step), metric });
        }
        let others = self.test.runner.tensors().iter().filter(|t| !t.role.is_weight());
        let other_bits = others.map(|t| t.len() as u64 * u64::from(t.dtype.bits())).sum();
        let others = OtherTensors::new(other_bits, &self.goal.flips, self.goal.count);
        let plan = stored.model.plan_of(&path.solution(step), self.goal.count, &stored.problem)?;
        let (weights, weight_bits) = (stored.model.weights(), stored.model.weight_bits());
        Ok(Planned {
            goal: self.goal.clone(),
            plan,
            clean: self.test.evaluation.clean(),
            level: target.level,
            weights,
            weight_bits,
            others,
            noise,
            contenders,
            best,
            baselines,
            confirmed,
            frontier,
        })
    }

    fn say(&self, what: &str) {
        if let Some(tell) = self.tell {
            tell(what);
        }
    }
}

/// Steps around one, which is among them.
fn frontier_of(path: &Path<'_>, step: usize) -> Vec<usize> {
    let (bears, cost) = (path.noise(step), path.cost(step) as f64);
    let below = BELOW.iter().filter_map(|times| path.step_at(times * bears));
    let above = ABOVE.iter().filter_map(|times| path.step_costing((times * cost) as u64));
    let mut steps: Vec<usize> = below.chain([step]).chain(above).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use qtaml_physics::FlipProbability;

    use super::*;
    use crate::job::Build;
    use crate::testing::Perceptron;
    use crate::{Metric, Values};

    fn sets() -> [Perceptron; 3] {
        [1, 2, 3].map(|inputs| Perceptron::new(5, 60, 3).on_inputs(inputs, 200))
    }

    fn evaluation(runner: &Perceptron) -> Evaluation {
        Evaluation::new(runner.outputs(Values::new()).unwrap(), Metric::Agreement).unwrap()
    }

    fn goal(count: Accounting) -> Goal {
        Goal::new(FlipProbability::symmetric(0.05).unwrap()).counting(count).keeping(0.9)
    }

    fn plan(sets: &[Perceptron; 3], count: Accounting, store: Option<&JobStore>) -> Planned {
        let [calibration, selection, test] = sets;
        let evaluations = [selection, test].map(evaluation);
        let judging = |runner, evaluation| Judging { runner, evaluation };
        let planner = Planner::new(
            goal(count),
            calibration,
            judging(selection, &evaluations[0]),
            judging(test, &evaluations[1]),
        );
        let planner = planner.with_patterns(8, Seed(7));
        let planner = match store {
            Some(store) => planner.kept_in(store, "perceptron"),
            None => planner,
        };
        let (schemes, baselines) = contenders(count);
        planner.plan(&schemes, &baselines).unwrap()
    }

    #[test]
    fn the_plan_is_carried_out_by_the_scheme_that_made_it() {
        let sets = sets();
        let planned = plan(&sets, Accounting::ProtectedBits, None);
        let Contender { scheme, found, .. } = &planned.contenders[planned.best];
        let found = found.as_ref().unwrap();
        assert!(!found.missed && planned.level == 0.9 && planned.clean == 1.0);
        for &baseline in &planned.baselines {
            let baseline = &planned.contenders[baseline];
            assert_eq!(baseline.scheme.allocator, crate::scheme::Allocator::Uniform);
            assert!(found.cost <= baseline.cost().unwrap());
        }
        // What was tried in vain was tried with less than a leader needs, and the last leader is the plan.
        let vain: Vec<_> = planned.contenders.iter().filter(|c| c.not_below.is_some()).collect();
        assert!(vain.iter().all(|contender| contender.found.is_none()));
        assert!(vain.iter().all(|contender| contender.not_below >= Some(found.cost)));
        let searched = planned.contenders.iter().filter_map(Contender::cost);
        assert!(searched.min() == Some(found.cost) && !vain.is_empty(), "{vain:?}");
        let flips = &planned.goal.flips;
        let model = scheme.store(&sets[0], flips, &CodeLibrary::default()).unwrap();
        let file = ModelPlan::new("ab", scheme.clone(), planned.plan.clone());
        let file = ModelPlan::from_json(&file.to_json()).unwrap();
        let (_, selection) = file.store(&sets[0], &CodeLibrary::default()).unwrap();
        assert!(file.check_model("ab").is_ok() && file.check_model("cd").is_err());
        let spent: u64 =
            model.selected(&selection).unwrap().iter().map(|s| s.protected_bits()).sum();
        assert_eq!(spent, found.cost);
        // What the plan costs is on the frontier, and the metric rises with the budget.
        let costs: Vec<u64> = planned.frontier.iter().map(|point| point.cost).collect();
        assert!(costs.contains(&spent) && costs.is_sorted());
        let metric = |i: usize| planned.frontier[i].metric.mean.value;
        assert!(metric(0) < metric(costs.len() - 1));
    }

    #[test]
    fn where_all_bits_count_nothing_is_ideal() {
        let planned = plan(&sets(), Accounting::AllBits, None);
        let groups = &planned.plan.groups;
        assert!(groups.iter().all(|group| group.cost_bits > 0));
        let total: u64 = groups.iter().map(|group| group.cost_bits).sum();
        assert_eq!(Some(total), planned.contenders[planned.best].cost());
        assert_eq!(planned.others.bits, 32 * (4 + 4 + 4 + 3));
    }

    /// A second run with the same store asks the model for its clean outputs alone.
    #[test]
    fn a_run_that_was_kept_needs_no_trial() {
        let folder = tempfile::tempdir().unwrap();
        let store = JobStore::open(folder.path(), Build::new("test", "none")).unwrap();
        let sets = sets();
        let first = plan(&sets, Accounting::ProtectedBits, Some(&store));
        let passes = || sets.each_ref().map(|runner| runner.passes.load(Ordering::Relaxed));
        let before = passes();
        let again = plan(&sets, Accounting::ProtectedBits, Some(&store));
        assert_eq!(again.plan, first.plan);
        let after = passes();
        assert!((0..3).all(|i| after[i] - before[i] <= 1), "{before:?} {after:?}");
    }
}
