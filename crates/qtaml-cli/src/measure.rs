//! A metric for people: its name, its unit, and how its values are written.

use qtaml::deploy::{Evaluation, Metric};
use qtaml::physics::FlipProfile;
use qtaml_chart::Axis;
use serde::Serialize;

use crate::number::{readable, rounded};
use crate::workload::Workload;

/// What outputs were judged by.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measure {
    name: Metric,
    /// The output that was judged.
    output: String,
    higher_is_better: bool,
}

impl Measure {
    pub(crate) fn of(workload: &Workload, evaluation: &Evaluation) -> Self {
        let (name, output) = (workload.metric(), evaluation.output().to_owned());
        Self { name, output, higher_is_better: evaluation.higher_is_better() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name.name()
    }

    pub(crate) const fn higher_is_better(&self) -> bool {
        self.higher_is_better
    }

    /// Whether values are shares, told in percent.
    const fn is_share(&self) -> bool {
        self.name.is_share()
    }

    /// What values are multiplied by to be told.
    pub(crate) const fn scale(&self) -> f64 {
        if self.is_share() { 100.0 } else { 1.0 }
    }

    pub(crate) fn value(&self, value: f64) -> String {
        if !value.is_finite() {
            return "none".into();
        }
        if self.is_share() {
            format!("{:.1} %", 100.0 * value)
        } else {
            readable(rounded(value, 4))
        }
    }

    pub(crate) fn axis(&self) -> Axis {
        Axis::linear(self.name(), if self.is_share() { "%" } else { "" })
    }

    pub(crate) fn described(&self) -> String {
        format!("{} of output {}", self.name(), self.output)
    }
}

/// A share of a metric, in words.
pub(crate) fn share(keep: f64) -> String {
    format!("{} %", readable(rounded(100.0 * keep, 4)))
}

/// Flip probabilities as a value: without the name of the only one.
pub(crate) fn flips(profile: &FlipProfile) -> String {
    profile.to_string().trim_start_matches("p = ").to_owned()
}

/// Both ends.
pub(crate) fn interval(measure: &Measure, [low, high]: [f64; 2]) -> String {
    let end = |end: f64| measure.value(end).trim_end_matches(" %").to_owned();
    format!("[{}, {}]", end(low), end(high))
}
