//! The results of a run, as far as pages show them.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// The layout of `results.json` that this reads.
const SCHEMA: u64 = 2;

/// One run.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) profile: String,
    pub(super) device: String,
    pub(super) seed: u64,
    pub(super) version: String,
    pub(super) commit: String,
    #[serde(default)]
    pub(super) build: String,
    /// Trainings of published runs that were not done again.
    #[serde(default)]
    pub(super) taken: u64,
    pub(super) seconds: f64,
    pub(super) claims: Vec<Claim>,
    #[serde(default)]
    pub(super) experiments: Vec<Experiment>,
    /// Which claims are of other runs.
    pub(super) other_runs: Option<String>,
    /// What was left out of the committed file, and why.
    pub(super) reduced: Option<String>,
}

/// One claim with its verdict.
#[derive(Debug, Deserialize)]
pub(super) struct Claim {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) statement: String,
    pub(super) expected: String,
    pub(super) measured: f64,
    pub(super) unit: String,
    pub(super) interval: [f64; 2],
    pub(super) n: u64,
    pub(super) verdict: String,
    #[serde(default)]
    pub(super) details: Value,
}

/// What a claim is about.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Networks, methods or memories.
    Claim,
    /// A law, against what was sampled.
    Consistency,
}

/// The heading of the appendix that has the laws.
pub(super) const APPENDIX: &str = "Consistency: laws against sampled faults";

/// One experiment with its tables and times.
#[derive(Debug, Deserialize)]
pub(super) struct Experiment {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) seconds: Seconds,
    pub(super) tables: Vec<Table>,
}

/// The seconds of an experiment.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Seconds {
    pub(super) training: f64,
    pub(super) sensitivity: f64,
    pub(super) trials: f64,
    pub(super) all: f64,
}

/// A table of numbers and words.
#[derive(Debug, Deserialize)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
}

impl Run {
    /// Reads the text of `results.json`.
    ///
    /// # Errors
    /// A text that is not JSON, of another layout, or with a row that does not fit its table.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text).context("not JSON")?;
        let schema = &json["schema"];
        ensure!(
            schema.as_u64() == Some(SCHEMA),
            "schema is {schema}: only results of schema {SCHEMA} can be read; the run has to be repeated"
        );
        let run: Self = serde_json::from_value(json).context("not the results of a run")?;
        for table in run.experiments.iter().flat_map(|experiment| &experiment.tables) {
            let width = table.columns.len();
            ensure!(
                table.rows.iter().all(|row| row.len() == width),
                "table {:?} has a row that is not {width} cells long",
                table.title
            );
        }
        Ok(run)
    }

    /// The claims that are counted, or the laws.
    pub(super) fn of_kind(&self, kind: Kind) -> Vec<&Claim> {
        self.claims.iter().filter(|claim| claim.kind == kind).collect()
    }

    /// How many laws hold, in a sentence, if any were compared.
    pub(super) fn laws(&self) -> Option<String> {
        let laws = self.of_kind(Kind::Consistency);
        let hold = laws.iter().filter(|claim| claim.verdict == "reproduced").count();
        let verb = if hold == 1 { "holds" } else { "hold" };
        (!laws.is_empty()).then(|| format!("Consistency: {hold} of {} laws {verb}.", laws.len()))
    }

    pub(super) fn claim(&self, id: &str) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FIXTURE, fixture};
    use super::*;

    #[test]
    fn a_run_is_read_with_its_tables_and_times() {
        let run = fixture();
        assert_eq!((run.seed, &*run.device, run.claims.len()), (42, "flex", 5));
        assert_eq!(run.experiments[0].tables[0].rows[0][0], "lenet");
        assert_eq!(run.claim("t0.table1").map(|claim| &*claim.verdict), Some("contradicted"));
        assert!(run.claim("t0.table2").is_none() && run.reduced.is_none());
    }

    #[test]
    fn a_run_before_tables_were_kept_can_be_read() {
        let mut json: Value = serde_json::from_str(FIXTURE).expect("it is JSON");
        let fields = json.as_object_mut().expect("it is an object");
        fields.remove("experiments");
        fields.remove("build");
        let run = Run::parse(&json.to_string()).expect("it is a run all the same");
        assert!(run.experiments.is_empty() && run.build.is_empty());
    }

    #[test]
    fn what_is_no_run_is_named() {
        let error = |text: &str| format!("{:#}", Run::parse(text).expect_err("no run"));
        assert!(error("{").starts_with("not JSON"), "{}", error("{"));
        assert!(
            error(r#"{"schema": 9}"#).starts_with("schema is 9"),
            "{}",
            error(r#"{"schema": 9}"#)
        );
        assert!(error(r#"{"schema": 1}"#).starts_with("schema is 1: only results of schema 2"));
        assert!(error(r#"{"schema": 2}"#).contains("profile"), "{}", error(r#"{"schema": 2}"#));
        let mut json: Value = serde_json::from_str(FIXTURE).expect("it is JSON");
        let row = json["experiments"][0]["tables"][0]["rows"][0].as_array_mut();
        row.expect("it has a row").pop();
        let short = json.to_string();
        assert!(error(&short).contains("Budgets that reach"), "{}", error(&short));
    }
}
