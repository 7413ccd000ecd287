//! What `qtaml evaluate` found: table, figure, page and files.

use std::path::Path;

use anyhow::Result;
use qtaml::deploy::budget::Target;
use qtaml::deploy::planner::Distribution;
use qtaml_chart::{Axis, Chart, Mark, Rule, Series};
use serde::Serialize;

use super::EvaluateArgs;
use crate::measure::{Measure, interval, share};
use crate::page::{Page, PageTable, command_line};
use crate::report_files;
use crate::table::table;
use crate::workload::{Set, Workload};

/// One way to store the model, in one memory.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// The flip probabilities, in words.
    pub(super) flips: String,
    /// The flip probability, where all bits flip alike and either way.
    pub(super) p: Option<f64>,
    pub(super) stored_as: String,
    /// All stored bits over the number of weights: check bits, scales and tables too.
    pub(super) bits_a_weight: f64,
    /// Ideally protected bits over the bits of all weights.
    pub(super) protected_share: f64,
    /// The metric as stored, without faults: what quantization alone leaves.
    pub(super) without_faults: f64,
    pub(super) metric: Distribution,
}

/// All rows, and what they were measured on.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u64,
    model: String,
    model_sha256: String,
    data: String,
    synthetic_data: bool,
    metric: Measure,
    /// The metric of the model as it came.
    clean: f64,
    keep: f64,
    /// The metric that has to be kept.
    level: f64,
    trials: u32,
    seed: u64,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(
        args: &EvaluateArgs,
        workload: &Workload,
        set: &Set,
        target: Target,
        rows: Vec<Row>,
    ) -> Self {
        Self {
            schema: 1,
            model: args.workload.model.display().to_string(),
            model_sha256: workload.digest.clone(),
            data: workload.described.clone(),
            synthetic_data: workload.is_synthetic,
            metric: Measure::of(workload, &set.evaluation),
            clean: set.evaluation.clean(),
            keep: args.keep,
            level: target.level,
            trials: args.trials,
            seed: args.seed,
            rows,
        }
    }

    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let header =
            ["p", "stored as", "bits", self.metric.name(), "95 % interval", "5th pct.", "kept by"];
        let rows = self.rows.iter().map(|row| self.cells(row, &row.flips));
        format!("{}\n\n{}\n\n{}\n", self.told(), table(header, 2, rows), self.answer())
    }

    fn told(&self) -> String {
        let random = if self.synthetic_data { " (random: no real data)" } else { "" };
        format!(
            "{}: {} {} without faults, on {}{random}; {} devices each",
            self.model,
            self.metric.name(),
            self.metric.value(self.clean),
            self.data,
            self.trials,
        )
    }

    fn cells(&self, row: &Row, p: &str) -> Vec<String> {
        let value = |value| self.metric.value(value);
        vec![
            p.to_owned(),
            row.stored_as.clone(),
            format!("{:.2}", row.bits_a_weight),
            value(row.metric.mean.value),
            interval(&self.metric, row.metric.mean.interval),
            value(row.metric.fifth_percentile),
            format!("{:.0} %", 100.0 * row.metric.kept.value),
        ]
    }

    /// The answer in a sentence: how bad the faults are, and what helps most.
    fn answer(&self) -> String {
        let Some(raw) = self.rows.iter().rfind(|row| row.stored_as == "raw") else {
            return self.best_of_last();
        };
        let name = self.metric.name();
        let mean = |row: &Row| self.metric.value(row.metric.mean.value);
        format!(
            "At p = {} the model as it is read keeps {name} {} of {} without faults. {}",
            raw.flips,
            mean(raw),
            self.metric.value(self.clean),
            self.best_of_last()
        )
    }

    /// The cheapest way that keeps enough in the worst memory, or the best one if none does.
    fn best_of_last(&self) -> String {
        let Some(last) = self.rows.last() else { return String::new() };
        let here = || self.rows.iter().filter(|row| row.flips == last.flips);
        let all = |row: &Row| row.bits_a_weight + 8.0 * row.protected_share;
        let enough = here().filter(|row| row.metric.is_reached);
        let kept = format!("{} of it", share(self.keep));
        if let Some(row) = enough.min_by(|a, b| all(a).total_cmp(&all(b))) {
            let protected = match row.protected_share {
                0.0 => String::new(),
                share => format!(", {:.1} % of the bits protected ideally", 100.0 * share),
            };
            let (way, bits) = (&row.stored_as, row.bits_a_weight);
            return format!(
                "Stored as {way} it keeps {kept}: {bits:.2} stored bits a weight{protected}."
            );
        }
        let better = self.metric.higher_is_better();
        let order = |a: &&Row, b: &&Row| {
            let order = a.metric.mean.value.total_cmp(&b.metric.mean.value);
            if better { order } else { order.reverse() }
        };
        here().max_by(order).map_or_else(String::new, |row| {
            let value = self.metric.value(row.metric.mean.value);
            format!(
                "None of these ways keeps {kept}; {} comes nearest with {value}.",
                row.stored_as
            )
        })
    }

    fn figure(&self) -> Result<Option<String>> {
        let mut ways: Vec<&str> = Vec::new();
        for row in self.rows.iter().filter(|row| row.p.is_some_and(|p| p > 0.0)) {
            if !ways.contains(&row.stored_as.as_str()) {
                ways.push(&row.stored_as);
            }
        }
        let scale = self.metric.scale();
        let point = |row: &Row| {
            let Distribution { mean, .. } = &row.metric;
            Some((row.p?, scale * mean.value, mean.interval.map(|end| scale * end)))
        };
        let of = |way: &str| {
            let rows = self.rows.iter().filter(|row| row.stored_as == way);
            let rows = rows.filter(|row| row.p.is_some_and(|p| p > 0.0));
            let points: Vec<_> = rows.filter_map(point).collect();
            let mark = if points.len() > 1 { Mark::Line } else { Mark::Points };
            Series::new(way, mark, points)
        };
        let chart = Chart {
            x: Axis::log10("flip probability of a bit", ""),
            y: self.metric.axis(),
            series: ways.iter().map(|way| of(way)).collect(),
            rules: vec![Rule::horizontal(scale * self.level, "to be kept")],
        };
        report_files::figure(&chart, &format!("{} under bit flips", self.metric.name()))
    }

    /// Writes the page, the figure and the tables, each whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<usize> {
        let figure = self.figure()?;
        let mut files = vec![
            ("report.html", self.page(figure.clone()).html().into_bytes()),
            ("results.json", serde_json::to_vec_pretty(self)?),
            ("evaluate.csv", self.csv()?),
        ];
        files.extend(figure.map(|svg| ("evaluate.svg", svg.into_bytes())));
        report_files::write(folder, &files)
    }

    fn page(&self, figure: Option<String>) -> Page<'_> {
        let header = ["p", "stored as", "bits a weight", self.metric.name(), "95 % interval"];
        let header = header.into_iter().chain(["5th percentile", "devices that keep enough"]);
        let table = PageTable {
            heading: "Every way, in every memory".into(),
            header: header.map(str::to_owned).collect(),
            rows: self.rows.iter().map(|row| self.cells(row, &row.flips)).collect(),
            numbers: 2,
        };
        let caution = "The inputs are random numbers: this shows that everything runs and how outputs \
                       move, and is no result on real data.";
        Page {
            title: "What bit flips make of this model",
            answer: self.answer(),
            caution: self.synthetic_data.then(|| caution.to_owned()),
            figure,
            caption: "The mean over devices and its 95 % interval; the rule is what has to be kept.",
            tables: vec![table],
            facts: vec![
                ("model", self.model.clone()),
                ("data", self.data.clone()),
                ("metric", self.metric.described()),
                ("without faults", self.metric.value(self.clean)),
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
            "flips",
            "stored_as",
            "bits_a_weight",
            "protected_share",
            "without_faults",
            "mean",
            "low",
            "high",
            "fifth_percentile",
            "kept",
            "devices",
        ])?;
        for row in &self.rows {
            let Distribution { mean, fifth_percentile, kept, devices, .. } = &row.metric;
            writer.serialize((
                &row.flips,
                &row.stored_as,
                row.bits_a_weight,
                row.protected_share,
                row.without_faults,
                mean.value,
                mean.interval,
                fifth_percentile,
                kept.value,
                devices,
            ))?;
        }
        Ok(writer.into_inner()?)
    }
}
