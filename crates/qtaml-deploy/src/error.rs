//! Errors of deployment: one for each family of modules.

use qtaml_compensation::{AllocationError, PlanFileError, ScoreError, StorageError};

use crate::job::JobError;
use crate::{PlanError, RunnerError};

/// Why a model cannot be stored, judged, measured, repaired, planned or given a budget: what can go
/// wrong wherever a model is run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// The model could not be run.
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// Outputs that cannot be judged.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// Sensitivities that cannot be measured.
    #[error(transparent)]
    Sensitivity(#[from] SensitivityError),
    /// A model that cannot be recalibrated.
    #[error(transparent)]
    Recalibration(#[from] RecalibrationError),
    /// A budget that cannot be found.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// A model that cannot be stored or read.
    #[error(transparent)]
    Stored(#[from] StoredModelError),
    /// A storing that makes no sense.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A group without a score.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A budget that cannot be allocated.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// A result that cannot be kept.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A plan that cannot be true.
    #[error(transparent)]
    PlanFile(#[from] PlanFileError),
    /// A plan that does not fit the model.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Why outputs cannot be judged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// A model that has no outputs.
    #[error("the model has no outputs")]
    NoOutputs,
    /// An output that the model does not have.
    #[error("the model has no output {name:?}: its outputs are {}", known.join(", "))]
    UnknownOutput {
        /// The name that was given.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// Outputs of two shapes where one is needed.
    #[error("output {output:?} has shape {found:?}: {expected:?} is needed")]
    OutputShape {
        /// The output.
        output: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// An output without values, of which nothing can be said.
    #[error("output {output:?} of shape {shape:?} has no values that could be judged")]
    EmptyOutput {
        /// The output.
        output: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// An output whose last axis is not what is needed.
    #[error("output {output:?} has shape {shape:?}: {what} needs {needed}")]
    OutputAxes {
        /// The output.
        output: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What was to be done with it.
        what: String,
        /// What is needed.
        needed: &'static str,
    },
    /// Labels that are not one for each row.
    #[error(
        "{labels} labels for {rows} rows of output {output:?}: one label for each row is needed"
    )]
    LabelCount {
        /// The output.
        output: String,
        /// Its rows.
        rows: usize,
        /// The number of labels that were given.
        labels: usize,
    },
    /// A label that no class has.
    #[error("label {label} of row {row} is none of the {classes} classes of output {output:?}")]
    LabelRange {
        /// The output.
        output: String,
        /// The row.
        row: usize,
        /// Its label.
        label: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A metric that compares with labels, of which there are none.
    #[error("metric {metric} needs labels, and none were given")]
    NeedsLabels {
        /// The metric.
        metric: String,
    },
}

/// Why sensitivities cannot be measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SensitivityError {
    /// A runner that does not differentiate.
    #[error(
        "the runner does not differentiate: forward-only or measured sensitivities are possible"
    )]
    NoGradients,
    /// A method that reads faults, without any to read.
    #[error("measured sensitivities need a memory to read faults from, and none was given")]
    NeedsFaults,
    /// Faults that leave a group as it is.
    #[error("no fault pattern of {patterns} changes a weight of group {group:?}")]
    NoFaults {
        /// The group.
        group: String,
        /// The number of fault patterns.
        patterns: u32,
    },
    /// A tensor that a fault pattern was to be read from, without values.
    #[error("tensor {tensor:?} was not read")]
    NotRead {
        /// The tensor.
        tensor: String,
    },
    /// A group that is not of the model's tensors.
    #[error("group {name:?} is of tensor number {tensor}, weights {start} to {end}: {problem}")]
    ForeignGroup {
        /// The group.
        name: String,
        /// The number of its tensor.
        tensor: usize,
        /// Its first weight.
        start: usize,
        /// The weight after its last.
        end: usize,
        /// What does not fit.
        problem: String,
    },
}

/// Why a model cannot be recalibrated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecalibrationError {
    /// A runner that cannot measure normalization layers.
    #[error("the runner cannot measure the statistics of normalization layers")]
    NoStatistics,
    /// A model without normalization layers that could be measured.
    #[error(
        "the model has no normalization layer with statistics: batch-norm recalibration does nothing"
    )]
    NoNormalization,
}

/// Why no budget can be found, or two not be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// Too few draws.
    #[error("{what} is {given}: at least {least} are needed")]
    TooFew {
        /// What was counted.
        what: &'static str,
        /// The number that was given.
        given: u64,
        /// The least allowed.
        least: u64,
    },
    /// Too many fault patterns.
    #[error("{what} is {given}: at most {most} are allowed")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// The number that was given.
        given: u64,
        /// The most allowed.
        most: u64,
    },
    /// A number outside its range.
    #[error("{what} is {value}: {allowed} is allowed")]
    OutOfRange {
        /// What the number is.
        what: &'static str,
        /// The number.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A target that no scheme keeps.
    #[error("no scheme that was tried reaches {level} with its largest budget")]
    OutOfReach {
        /// The value of the metric that was to be reached.
        level: f64,
    },
    /// Budgets without a step.
    #[error("there is no budget to search: the path has no steps")]
    NoSteps,
    /// Steps that a path does not have.
    #[error("steps {first} to {last} are no part of a path of {steps} steps")]
    StepRange {
        /// The first step.
        first: usize,
        /// The last step.
        last: usize,
        /// The number of steps.
        steps: usize,
    },
    /// Another number of values than of fault patterns.
    #[error("step {step} has {given} values under {patterns} fault patterns")]
    ValueCount {
        /// The step.
        step: usize,
        /// The number of fault patterns.
        patterns: usize,
        /// The number of values.
        given: usize,
    },
    /// Searches that did not see the same fault patterns.
    #[error(
        "searches under {left} and {right} cannot be compared in pairs: the same fault patterns are needed"
    )]
    Unpaired {
        /// The patterns of the one.
        left: String,
        /// The patterns of the other.
        right: String,
    },
}

/// Why a model cannot be stored, or not be read as selected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredModelError {
    /// A model without weights to store.
    #[error(
        "the model has no weights to store: no tensor has the role of a weight and a number in it"
    )]
    NoWeights,
    /// No way to store anything.
    #[error("no way to store weights was given: one at least is needed")]
    NoStoring,
    /// Weights that cannot be stored or read.
    #[error("tensor {name:?} cannot be stored")]
    Stored {
        /// The tensor.
        name: String,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// A selection, scores or statistics for another model.
    #[error("{given} groups were given, the model stores {groups}")]
    Groups {
        /// Groups of the model.
        groups: usize,
        /// Groups that were given.
        given: usize,
    },
    /// Two models that are cut differently.
    #[error("group {expected:?} of the one model is {found:?} in the other")]
    OtherGroup {
        /// The group.
        expected: String,
        /// What the other model has in its place.
        found: String,
    },
    /// A selection of what is not there.
    #[error("candidate {candidate} of group {group:?} was selected, but it has {candidates}")]
    Candidate {
        /// The group.
        group: String,
        /// The candidate.
        candidate: usize,
        /// How many there are.
        candidates: usize,
    },
    /// Sensitivities of other groups than those that are stored.
    #[error(
        "the sensitivities do not fit the stored groups: {} is stored where they have {}",
        name_or_none(expected.as_deref()),
        name_or_none(found.as_deref())
    )]
    Sensitivities {
        /// The first group that differs, as it is stored.
        expected: Option<String>,
        /// What the sensitivities have there.
        found: Option<String>,
    },
}

fn name_or_none(name: Option<&str>) -> String {
    name.map_or_else(|| "nothing".to_owned(), |name| format!("group {name:?}"))
}
