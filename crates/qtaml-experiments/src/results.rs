//! The outcome of an experiment, and the schema of `results.json`.

use anyhow::{Context, Result, ensure};
use qtaml_chart::{Axis, Chart, Heatmap, Picture};
use serde::{Deserialize, Serialize};

use crate::stopwatch::Spent;

/// Version of the layout of `results.json`; it grows when a reader of the old layout would fail.
pub const SCHEMA: u32 = 2;

/// One run: its facts and all claims it measured. This is `results.json`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Results {
    /// Layout version, [`SCHEMA`].
    pub schema: u32,
    /// Name of the profile: `smoke`, `quick` or `full`.
    pub profile: String,
    /// Name of the device that computed.
    pub device: String,
    /// The seed every random stream of the run descends from.
    pub seed: u64,
    /// Version of the crate.
    pub version: String,
    /// Commit of the source tree.
    pub commit: String,
    /// The code that did the work: a hash of its sources, or of the program.
    #[serde(default)]
    pub build: String,
    /// Trainings that were not done, but taken from published runs of other code.
    #[serde(default)]
    pub taken: usize,
    /// Wall-clock time of the run in seconds.
    pub seconds: f64,
    /// The claims, in the order in which they were measured.
    pub claims: Vec<Claim>,
    /// The experiments, in the same order: their tables and times.
    #[serde(default)]
    pub experiments: Vec<Record>,
}

impl Results {
    /// The text of `results.json`.
    ///
    /// # Errors
    ///
    /// JSON knows no NaN and no infinity (they would silently become `null`), so a number that is
    /// not finite is refused with the names of its claim and field.
    pub fn to_json(&self) -> Result<String> {
        ensure!(self.seconds.is_finite(), "seconds is {}, must be finite", self.seconds);
        self.claims.iter().try_for_each(Claim::check)?;
        serde_json::to_string_pretty(self).context("results do not serialise")
    }
}

/// What `results.json` keeps of an experiment beside its claims.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Record {
    /// Stable name such as `qtaml.tac.lenet`.
    pub id: String,
    /// Heading.
    pub title: String,
    /// The time that it took; all that differs from one run to the next.
    pub seconds: Seconds,
    /// The tables of the report.
    pub tables: Vec<Table>,
}

/// The seconds of an experiment, to tenths.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Seconds {
    /// Making networks.
    pub training: f64,
    /// Finding out which weights matter.
    pub sensitivity: f64,
    /// Reading stored networks with faults, and asking them.
    pub trials: f64,
    /// Everything.
    pub all: f64,
}

impl From<&Section> for Record {
    fn from(Section { id, title, outcome, spent }: &Section) -> Self {
        let tenths = |seconds: f64| (10.0 * seconds).round() / 10.0;
        let [training, sensitivity, trials] = spent.phases.map(tenths);
        Self {
            id: id.clone(),
            title: title.clone(),
            seconds: Seconds { training, sensitivity, trials, all: tenths(spent.all) },
            tables: outcome.tables.iter().filter(|t| t.in_report).map(Table::for_json).collect(),
        }
    }
}

/// One statement, what its source says and what we measured.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Claim {
    /// Stable name such as `qtaml.tac.lenet`.
    pub id: String,
    /// Whether it counts among what was found.
    pub kind: Kind,
    /// Who states it.
    pub source: Source,
    /// The statement as one sentence.
    pub statement: String,
    /// The source's value in words or numbers.
    pub expected: String,
    /// Our value.
    pub measured: f64,
    /// Unit of `measured` and `interval`.
    pub unit: String,
    /// 95 % interval of `measured`; both ends equal `measured` where nothing is random, or where every
    /// resample gives the same.
    pub interval: [f64; 2],
    /// Number of independent trials behind `measured`.
    pub n: u64,
    /// How the two values compare.
    pub verdict: Verdict,
    /// Everything else worth keeping. A number that is not finite arrives here as `null`.
    pub details: serde_json::Value,
}

impl Claim {
    /// Refuses numbers that JSON cannot hold; worth calling as soon as a claim is measured.
    ///
    /// # Errors
    ///
    /// Names the claim, the field and its value.
    pub fn check(&self) -> Result<()> {
        let [low, high] = self.interval;
        for (field, value) in
            [("measured", self.measured), ("interval[0]", low), ("interval[1]", high)]
        {
            ensure!(value.is_finite(), "claim {}: {field} is {value}, must be finite", self.id);
        }
        Ok(())
    }
}

/// What a claim is about.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Networks, methods or memories: it may turn out otherwise.
    Claim,
    /// A law that follows from its premises, against what this project samples or computes: whether both are right.
    /// It is shown in an appendix and counted by itself.
    Consistency,
}

impl Kind {
    /// The heading of the appendix.
    pub const APPENDIX: &'static str = "Consistency: laws against sampled faults";

    /// Those claims that are of this kind.
    pub fn of(self, claims: &[Claim]) -> Vec<&Claim> {
        claims.iter().filter(|claim| claim.kind == self).collect()
    }
}

/// Who states a claim.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Quantum-tunneling-aware machine learning, arXiv 2606.00741.
    Qtaml,
    /// T0-QAT, J. Pascher 2025.
    T0,
    /// This project.
    Ours,
}

impl Source {
    /// The name a reader sees.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Qtaml => "QTAML",
            Self::T0 => "T0-QAT",
            Self::Ours => "ours",
        }
    }
}

/// How our value compares with the source's.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Our interval meets the source's value and excludes that there is no effect.
    Reproduced,
    /// It excludes that there is no effect, and the source's value too.
    NotReproduced,
    /// It excludes the source's value, and not that there is no effect.
    Contradicted,
    /// It excludes neither: it is too wide to tell.
    Undecided,
    /// There is no value to compare with.
    New,
}

impl Verdict {
    /// All verdicts in the order of a tally.
    pub const ALL: [Self; 5] =
        [Self::Reproduced, Self::NotReproduced, Self::Contradicted, Self::Undecided, Self::New];

    /// The words a reader sees.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::Contradicted => "contradicted",
            Self::Undecided => "undecided",
            Self::New => "new",
        }
    }

    /// A symbol that tells the verdicts apart without colour.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Reproduced => "✓",
            Self::NotReproduced => "✗",
            Self::Contradicted => "≠",
            Self::Undecided => "?",
            Self::New => "◆",
        }
    }
}

/// An experiment under its name, with what came out of it: one section of the report.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Section {
    /// Stable name such as `qtaml.tac`.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What came out.
    pub outcome: Outcome,
    /// The time that it took.
    pub spent: Spent,
}

/// Everything one experiment hands over. Serialisable, so that a finished one survives a restart.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The claims it measured.
    pub claims: Vec<Claim>,
    /// Short paragraphs: protocol, definitions that are ours, limits.
    pub method: Vec<String>,
    /// Figures in reading order.
    pub figures: Vec<Figure>,
    /// Tables in reading order.
    pub tables: Vec<Table>,
    /// Tables of times: numbers of the machine and not of the claim. They follow the others in the
    /// report, and `results.json` does not have them.
    #[serde(default)]
    pub timings: Vec<Table>,
}

impl Outcome {
    /// All tables in reading order.
    pub fn all_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().chain(&self.timings)
    }
}

/// A chart with its words.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Figure {
    /// Stem of the figure's files.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What to see and what the intervals mean.
    pub caption: String,
    /// The picture.
    pub picture: Picture,
}

impl Figure {
    /// The data behind the picture, for the CSV file.
    pub fn to_table(&self) -> Table {
        let (columns, rows) = match &self.picture {
            Picture::Chart(chart) => (chart_columns(chart), chart_rows(chart)),
            Picture::Heatmap(map) => (map_columns(map), map_rows(map)),
        };
        Table { id: self.id.clone(), title: self.title.clone(), columns, rows, in_report: false }
    }
}

fn chart_columns(chart: &Chart) -> Vec<String> {
    ["series", &chart.x.caption(), &chart.y.caption(), "low", "high"].map(String::from).to_vec()
}

fn chart_rows(chart: &Chart) -> Vec<Vec<Value>> {
    let cell = |end: Option<f64>| end.map_or(Value::Text(String::new()), Value::Number);
    let rows = chart.series.iter().flat_map(|series| {
        series.points.iter().map(move |point| {
            let [low, high] = point.interval.map_or([None; 2], |interval| interval.map(Some));
            vec![
                series.name.as_str().into(),
                place(&chart.x, point.x),
                place(&chart.y, point.y),
                cell(low),
                cell(high),
            ]
        })
    });
    rows.collect()
}

fn map_columns(map: &Heatmap) -> Vec<String> {
    vec![map.rows.caption(), map.columns.caption(), map.value.caption()]
}

fn map_rows(map: &Heatmap) -> Vec<Vec<Value>> {
    let cell = |row: usize, column: usize, value: Option<f64>| {
        let value = value.map_or(Value::Text(String::new()), Value::Number);
        vec![place(&map.rows, row as f64), place(&map.columns, column as f64), value]
    };
    let row = |(row, cells): (usize, &Vec<Option<f64>>)| -> Vec<Vec<Value>> {
        cells.iter().enumerate().map(|(column, value)| cell(row, column, *value)).collect()
    };
    map.cells.iter().enumerate().flat_map(row).collect()
}

/// A place on an axis: its name where places have names.
fn place(axis: &Axis, value: f64) -> Value {
    axis.name(value).map_or(Value::Number(value), Value::from)
}

/// A table of numbers and words.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Table {
    /// Stem of the table's file.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Column headings, with units.
    pub columns: Vec<String>,
    /// Rows as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// Whether the report shows it; raw trials go to the CSV file alone.
    pub in_report: bool,
}

impl Table {
    /// The same with words for numbers that JSON lacks: they are cells of a table, and no reason to
    /// lose a run.
    fn for_json(&self) -> Self {
        let cell = |value: &Value| match value {
            Value::Number(number) if !number.is_finite() => Value::Text(number.to_string()),
            value => value.clone(),
        };
        let rows = self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        Self { rows, ..self.clone() }
    }
}

/// One cell of a [`Table`].
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
// Untagged keeps raw trials small. Integers come first: read as a number they would lose digits.
#[serde(untagged)]
pub enum Value {
    /// A count.
    Integer(i64),
    /// A measured number.
    Number(f64),
    /// Words; empty where there is no value.
    Text(String),
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        // Counts of things in memory stay far below 2^63.
        Self::Integer(value as i64)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! A small run with everything in it, for the tests of the presentation layer.

    use qtaml_chart::{Axis, Chart, Mark, Rule, Series};
    use serde_json::json;

    use super::{
        Claim, Figure, Kind, Outcome, Record, Results, SCHEMA, Section, Source, Spent, Table,
        Verdict,
    };

    pub(crate) fn claim(id: &str, verdict: Verdict) -> Claim {
        Claim {
            id: id.into(),
            kind: Kind::Claim,
            source: Source::Qtaml,
            statement: "TAC reaches 95 % of clean accuracy with less overhead than <uniform> \
                        protection & without labels."
                .into(),
            expected: "3.4 to 33.6".into(),
            measured: 4.182,
            unit: "ratio".into(),
            interval: [3.871, 4.512],
            n: 50,
            verdict,
            details: json!({"net": "lenet", "p": 0.1, "budgets": {"uniform": 0.375, "tac": 0.09}}),
        }
    }

    /// Two schemes, intervals, and the line they have to reach.
    fn accuracy_against_budget() -> Chart {
        let curve = |name: &str, half: f64| {
            let points = (0..12).map(|i| {
                let budget = f64::from(i) * 50.0 / 11.0;
                let mean = 88.0 - 67.0 * (-budget / half).exp();
                (budget, mean, [mean - 1.0, mean + 1.0])
            });
            Series::new(name, Mark::LinePoints, points)
        };
        Chart {
            x: Axis::linear("protected share of all bits", "%"),
            y: Axis::linear("accuracy", "%"),
            series: vec![curve("TAC", 6.0), curve("Uniform-MSP", 19.0)],
            rules: vec![Rule::horizontal(84.3, "95 % of clean")],
        }
    }

    pub(crate) fn section() -> Section {
        Section {
            id: "qtaml.tac".into(),
            title: "Protection where it counts".into(),
            spent: Spent::default(),
            outcome: Outcome {
                claims: vec![
                    claim("qtaml.tac.lenet", Verdict::Reproduced),
                    claim("qtaml.tac.vgg", Verdict::NotReproduced),
                ],
                method: vec!["50 fault patterns, the same ones for every scheme.".into()],
                figures: vec![Figure {
                    id: "qtaml.tac.lenet-budget".into(),
                    title: "Accuracy against protected bits, LeNet".into(),
                    caption: "Mean over 50 patterns with 95 % intervals.".into(),
                    picture: accuracy_against_budget().into(),
                }],
                tables: vec![
                    Table {
                        id: "qtaml.tac.budgets".into(),
                        title: "Budgets that reach 95 % of clean".into(),
                        columns: vec!["net".into(), "budget [%]".into(), "patterns".into()],
                        rows: vec![vec!["lenet".into(), 9.04_f64.into(), 50_usize.into()]],
                        in_report: true,
                    },
                    Table {
                        id: "qtaml.tac.trials".into(),
                        title: "Raw trials".into(),
                        columns: vec!["pattern".into(), "accuracy".into()],
                        rows: vec![vec![0_usize.into(), 0.953_f64.into()]],
                        in_report: false,
                    },
                ],
                timings: vec![],
            },
        }
    }

    pub(crate) fn results() -> Results {
        let mut claims = section().outcome.claims;
        claims.push(claim("t0.table1", Verdict::Contradicted));
        claims.push(claim("ours.bayes.lenet", Verdict::New));
        claims.push(Claim { kind: Kind::Consistency, ..claim("qtaml.drift", Verdict::Reproduced) });
        Results {
            schema: SCHEMA,
            profile: "quick".into(),
            device: "flex".into(),
            seed: 42,
            version: "0.1.0".into(),
            commit: "0123abc".into(),
            build: "sources 4567def".into(),
            taken: 0,
            seconds: 412.5,
            claims,
            experiments: vec![Record::from(&section())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_two_has_exactly_the_published_fields_and_words() -> Result<()> {
        let json: serde_json::Value = serde_json::from_str(&sample::results().to_json()?)?;
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
        };
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names.join(" ")
        };
        assert_eq!(
            sorted(keys(&json)),
            "build claims commit device experiments profile schema seconds seed taken version"
        );
        assert_eq!(sorted(keys(&json["experiments"][0])), "id seconds tables title");
        assert_eq!(
            sorted(keys(&json["claims"][0])),
            "details expected id interval kind measured n source statement unit verdict"
        );
        assert_eq!(json["schema"], 2);
        let words = |field: &str| -> Vec<_> {
            json["claims"].as_array().into_iter().flatten().map(|c| c[field].clone()).collect()
        };
        assert_eq!(
            words("verdict"),
            ["reproduced", "not_reproduced", "contradicted", "new", "reproduced"]
        );
        assert_eq!(words("kind"), ["claim", "claim", "claim", "claim", "consistency"]);
        let sources = serde_json::to_string(&[Source::Qtaml, Source::T0, Source::Ours])?;
        assert_eq!(sources, r#"["qtaml","t0","ours"]"#);
        Ok(())
    }

    #[test]
    fn results_survive_a_round_trip() -> Result<()> {
        let results = sample::results();
        assert_eq!(serde_json::from_str::<Results>(&results.to_json()?)?, results);
        let section = sample::section();
        let text = serde_json::to_string(&section)?;
        assert_eq!(serde_json::from_str::<Section>(&text)?, section);
        Ok(())
    }

    /// `xtask` reads what is written here, and may not depend on this crate.
    #[test]
    fn the_fixture_of_xtask_is_what_a_run_writes() -> Result<()> {
        let fixture = include_str!("../../../xtask/src/results/fixture.json");
        let fixture: serde_json::Value = serde_json::from_str(fixture)?;
        let written: serde_json::Value = serde_json::from_str(&sample::results().to_json()?)?;
        assert_eq!(fixture, written);
        Ok(())
    }

    #[test]
    fn the_record_of_an_experiment_has_the_tables_of_the_report_without_times() {
        let mut section = sample::section();
        section.outcome.timings = section.outcome.tables.clone();
        section.outcome.tables[0].rows[0][1] = f64::INFINITY.into();
        section.spent = Spent { phases: [1.04, 0.0, 2.0], all: 3.06 };
        let Record { tables, seconds, .. } = Record::from(&section);
        let seconds = [seconds.training, seconds.sensitivity, seconds.trials, seconds.all];
        assert_eq!(seconds, [1.0, 0.0, 2.0, 3.1]);
        assert_eq!(tables.len(), 1, "no raw trials, and no times");
        assert_eq!(tables[0].rows[0][1], Value::from("inf"));
    }

    #[test]
    fn numbers_that_json_lacks_are_refused_by_name() {
        let error = |edit: fn(&mut Results)| {
            let mut results = sample::results();
            edit(&mut results);
            results.to_json().err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(
            error(|r| r.claims[0].measured = f64::NAN),
            "claim qtaml.tac.lenet: measured is NaN, must be finite"
        );
        assert_eq!(
            error(|r| r.claims[1].interval[1] = f64::INFINITY),
            "claim qtaml.tac.vgg: interval[1] is inf, must be finite"
        );
        assert_eq!(error(|r| r.seconds = f64::NAN), "seconds is NaN, must be finite");
    }

    #[test]
    fn a_cell_keeps_its_kind_through_json() -> Result<()> {
        let cells: Vec<Value> =
            vec![i64::MAX.into(), 1.0_f64.into(), (-0.0_f64).into(), 1e-18_f64.into(), "1".into()];
        let text = serde_json::to_string(&cells)?;
        assert_eq!(text, r#"[9223372036854775807,1.0,-0.0,1e-18,"1"]"#);
        assert_eq!(serde_json::from_str::<Vec<Value>>(&text)?, cells);
        Ok(())
    }

    #[test]
    fn every_point_of_a_figure_reaches_its_table() {
        let table = sample::section().outcome.figures[0].to_table();
        assert_eq!(
            table.columns,
            ["series", "protected share of all bits [%]", "accuracy [%]", "low", "high"]
        );
        assert_eq!(table.rows.len(), 24);
        assert_eq!(table.rows[12][0], Value::from("Uniform-MSP"));
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
    }
}
