//! What `qtaml plan` found: tables, figure, page and files.

use std::path::Path;

use anyhow::Result;
use qtaml::compensation::Accounting;
use qtaml::deploy::budget::Criterion;
use qtaml::deploy::planner::{Contender, OtherTensors, Planned};
use qtaml_chart::{Axis, Chart, Mark, Rule, Series};
use serde::Serialize;

use super::PlanArgs;
use crate::measure::{Measure, flips, interval};
use crate::number::grouped;
use crate::page::{Page, PageTable, command_line};
use crate::report_files;
use crate::table::table;
use crate::workload::{Set, Workload};

/// A plan, how it was found, and what it was measured on.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u64,
    model: String,
    model_sha256: String,
    data: String,
    synthetic_data: bool,
    metric: Measure,
    trials: u32,
    seed: u64,
    #[serde(flatten)]
    planned: Planned,
}

impl Report {
    pub(super) fn new(args: &PlanArgs, workload: &Workload, test: &Set, planned: Planned) -> Self {
        Self {
            schema: 1,
            model: args.workload.model.display().to_string(),
            model_sha256: workload.digest.clone(),
            data: workload.described.clone(),
            synthetic_data: workload.is_synthetic,
            metric: Measure::of(workload, &test.evaluation),
            trials: args.trials,
            seed: args.seed,
            planned,
        }
    }

    fn counts_protected(&self) -> bool {
        self.planned.goal.count == Accounting::ProtectedBits
    }

    /// A budget for people: protected bits in percent of all, stored bits a weight.
    fn budget(&self, bits: u64) -> f64 {
        let Planned { weights, weight_bits, others, .. } = &self.planned;
        if self.counts_protected() {
            100.0 * bits as f64 / *weight_bits as f64
        } else {
            (bits + others.stored_bits) as f64 / *weights as f64
        }
    }

    fn budget_text(&self, bits: u64) -> String {
        let budget = self.budget(bits);
        if self.counts_protected() { format!("{budget:.2} %") } else { format!("{budget:.2}") }
    }

    fn budget_name(&self) -> &'static str {
        if self.counts_protected() { "protected bits" } else { "stored bits a weight" }
    }

    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let schemes = table(self.scheme_header(), 1, self.scheme_rows());
        let frontier = table(self.frontier_header(), 0, self.frontier_rows());
        let synthetic = if self.synthetic_data {
            "\nThe inputs are random: this is no result on real data.\n"
        } else {
            ""
        };
        format!("{schemes}\n\n{frontier}\n\n{}\n{synthetic}", self.answer())
    }

    fn scheme_header(&self) -> [&'static str; 3] {
        ["scheme", "predicted", self.budget_name()]
    }

    fn scheme_rows(&self) -> Vec<Vec<String>> {
        let Planned { contenders, best, baselines, .. } = &self.planned;
        let row = |(number, contender): (usize, &Contender)| {
            let mark = match number {
                _ if number == *best => " (the plan)",
                _ if baselines.contains(&number) => " (the same everywhere)",
                _ => "",
            };
            let predicted =
                contender.predicted.map_or_else(|| "none".into(), |b| self.budget_text(b));
            let found = match (&contender.found, contender.not_below) {
                (None, None) => "not tried".into(),
                (None, Some(bits)) => format!("{} or more", self.budget_text(bits)),
                (Some(found), _) if found.missed => "not reached".into(),
                (Some(found), _) => self.budget_text(found.cost),
            };
            vec![format!("{}{mark}", contender.name), predicted, found]
        };
        contenders.iter().enumerate().map(row).collect()
    }

    fn frontier_header(&self) -> [&'static str; 5] {
        [self.budget_name(), self.metric.name(), "95 % interval", "5th percentile", "kept by"]
    }

    fn frontier_rows(&self) -> Vec<Vec<String>> {
        let point = |point: &qtaml::deploy::planner::FrontierPoint| {
            let metric = &point.metric;
            vec![
                self.budget_text(point.cost),
                self.metric.value(metric.mean.value),
                interval(&self.metric, metric.mean.interval),
                self.metric.value(metric.fifth_percentile),
                format!("{:.0} %", 100.0 * metric.kept.value),
            ]
        };
        self.planned.frontier.iter().map(point).collect()
    }

    /// The answer in a sentence or two.
    fn answer(&self) -> String {
        let Planned { goal, confirmed, contenders, best, .. } = &self.planned;
        let cost = contenders[*best].cost().unwrap_or_default();
        let kept = self.metric.value(confirmed.mean.value);
        let name = self.metric.name();
        let unit =
            if self.counts_protected() { "of all bits protected" } else { "stored bits a weight" };
        let plan = format!(
            "At p = {} the plan needs {} {unit} and keeps {name} {kept} {} of {} without faults, {} of \
             the devices at least {}.",
            flips(&goal.flips),
            self.budget_text(cost),
            interval(&self.metric, confirmed.mean.interval),
            self.metric.value(self.planned.clean),
            format_args!("{:.0} %", 100.0 * confirmed.kept.value),
            self.metric.value(self.planned.level),
        );
        let short = if self.planned.is_confirmed() {
            String::new()
        } else {
            let what = match goal.criterion {
                Criterion::Yield(share) => format!("a yield of {:.0} %", 100.0 * share),
                _ => self.metric.value(self.planned.level),
            };
            format!(" On the inputs that judge this is short of {what}: more inputs choose better.")
        };
        format!("{plan}{short}{}{}", self.against_alike(cost), self.others())
    }

    /// What it needs beside storing all weights alike.
    fn against_alike(&self, cost: u64) -> String {
        let Some(uniform) = self.uniform() else {
            return " Storing all weights alike never reaches it.".to_owned();
        };
        if self.planned.baselines.contains(&self.planned.best) {
            return " It stores all weights alike: nothing that tells them apart is cheaper."
                .to_owned();
        }
        let times = self.budget(uniform) / self.budget(cost);
        format!(
            " Storing all weights alike needs {}, {times:.1} times as many.",
            self.budget_text(uniform)
        )
    }

    /// What becomes of tensors that are no weights.
    fn others(&self) -> String {
        let OtherTensors { bits, kept_by, stored_bits, wrong_bits, .. } = self.planned.others;
        if bits == 0 || self.counts_protected() {
            return String::new();
        }
        let a_weight = stored_bits as f64 / self.planned.weights as f64;
        let wrong = if wrong_bits > 0.01 {
            format!(
                " and leaves {wrong_bits:.1} of their bits wrong on a device, which no trial shows"
            )
        } else {
            String::new()
        };
        format!(
            " Biases and norm parameters are counted with {a_weight:.2} bits a weight: {kept_by} keeps them as \
             they are{wrong}."
        )
    }

    /// What the cheapest baseline needs, if one reaches the target.
    fn uniform(&self) -> Option<u64> {
        let Planned { contenders, baselines, .. } = &self.planned;
        baselines.iter().filter_map(|&number| contenders[number].cost()).min()
    }

    fn figure(&self) -> Result<Option<String>> {
        let scale = self.metric.scale();
        let points: Vec<_> = self
            .planned
            .frontier
            .iter()
            .filter(|point| point.metric.mean.value.is_finite())
            .map(|point| {
                let mean = &point.metric.mean;
                (self.budget(point.cost), scale * mean.value, mean.interval.map(|end| scale * end))
            })
            .collect();
        let fifth: Vec<_> = self
            .planned
            .frontier
            .iter()
            .filter(|point| point.metric.fifth_percentile.is_finite())
            .map(|point| (self.budget(point.cost), scale * point.metric.fifth_percentile))
            .collect();
        let unit = if self.counts_protected() { "%" } else { "" };
        let uniform = self.uniform();
        let mut rules = vec![Rule::horizontal(scale * self.planned.level, "to be kept")];
        rules.extend(uniform.map(|bits| Rule::vertical(self.budget(bits), "the same everywhere")));
        let chart = Chart {
            x: Axis::linear(self.budget_name(), unit),
            y: self.metric.axis(),
            series: vec![
                Series::new("mean over devices", Mark::Line, points),
                Series::new("reached by 95 % of the devices", Mark::Line, fifth),
            ],
            rules,
        };
        report_files::figure(
            &chart,
            &format!("What a budget keeps at p = {}", flips(&self.planned.goal.flips)),
        )
    }

    /// Writes the page, the figure and the tables, each whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<usize> {
        let figure = self.figure()?;
        let mut files = vec![
            ("report.html", self.page(figure.clone()).html().into_bytes()),
            ("results.json", serde_json::to_vec_pretty(self)?),
            ("frontier.csv", self.csv()?),
        ];
        files.extend(figure.map(|svg| ("frontier.svg", svg.into_bytes())));
        report_files::write(folder, &files)
    }

    fn page(&self, figure: Option<String>) -> Page<'_> {
        let owned = |header: &[&str]| header.iter().map(|&name| name.to_owned()).collect();
        let caution = "The inputs are random numbers: this is no result on real data.";
        let schemes = PageTable {
            heading: "Schemes that competed".into(),
            header: owned(&self.scheme_header()),
            rows: self.scheme_rows(),
            numbers: 1,
        };
        let frontier = PageTable {
            heading: "Budget against what is kept".into(),
            header: owned(&self.frontier_header()),
            rows: self.frontier_rows(),
            numbers: 0,
        };
        Page {
            title: "How to store this model in a memory that flips bits",
            answer: self.answer(),
            caution: self.synthetic_data.then(|| caution.to_owned()),
            figure,
            caption: "Budgets along the path of the plan's scheme, on inputs and under fault patterns that \
                      chose nothing. The horizontal rule is what has to be kept.",
            tables: vec![schemes, frontier],
            facts: vec![
                ("model", self.model.clone()),
                ("weights", grouped(self.planned.weights)),
                ("data", self.data.clone()),
                ("metric", self.metric.described()),
                ("without faults", self.metric.value(self.planned.clean)),
                ("devices", self.trials.to_string()),
                ("seed", self.seed.to_string()),
                ("SHA-256 of the model", self.model_sha256.clone()),
            ],
            command: command_line(),
        }
    }

    fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record([
            "bits",
            "budget",
            "predicted_noise",
            "mean",
            "low",
            "high",
            "fifth_percentile",
            "kept",
            "devices",
        ])?;
        for point in &self.planned.frontier {
            let metric = &point.metric;
            writer.serialize((
                point.cost,
                self.budget(point.cost),
                point.noise,
                metric.mean.value,
                metric.mean.interval,
                metric.fifth_percentile,
                metric.kept.value,
                metric.devices,
            ))?;
        }
        Ok(writer.into_inner()?)
    }
}
