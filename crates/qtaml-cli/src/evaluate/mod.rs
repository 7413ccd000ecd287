//! `qtaml evaluate`: how a model fares in a memory that flips bits.

mod args;
mod report;
mod way;

use anyhow::{Context, Result};
use qtaml::compensation::Accounting;
use qtaml::compensation::allocation::Selection;
use qtaml::compensation::storage::CodeLibrary;
use qtaml::deploy::budget::{Criterion, Target};
use qtaml::deploy::planner::Distribution;
use qtaml::deploy::{Recalibration, Recalibrator, Runner, StoredModel, Trials};
use qtaml::fault::Seed;
use qtaml::physics::{FlipProbability, FlipProfile};

pub(crate) use self::args::EvaluateArgs;
use self::report::{Report, Row};
use self::way::Way;
use crate::measure;
use crate::progress::Progress;
use crate::stdout;
use crate::workload::Set;

/// Trials between two looks at the clock.
const AT_ONCE: u32 = 4;

pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    let profiles = args.flips.profiles()?;
    let workload = args.workload.load(Seed(args.seed))?;
    let plan = args.plan(&workload.digest)?;
    let set = workload.all()?;
    let target = Target::keeping(&set.evaluation, args.keep, Criterion::Mean)?;
    let rows = profiles.len() * args.ways().len() + usize::from(plan.is_some());
    let progress = Progress::of_steps("evaluating", rows as u64 * u64::from(args.trials));
    let evaluating = Evaluating { args, set: &set, target, progress: &progress };
    let mut rows = Vec::new();
    for flips in &profiles {
        let library = CodeLibrary::default();
        for way in args.ways() {
            let row = evaluating.way(*way, flips, &library);
            rows.push(row.with_context(|| format!("stored as {way}, at p = {flips}"))?);
        }
    }
    if let Some(plan) = &plan {
        let library = CodeLibrary::default();
        let (model, selection) =
            plan.store(&set.runner, &library).context("the plan does not fit this model")?;
        rows.push(evaluating.row(&plan.plan.flips, "plan".into(), &model, &selection)?);
    }
    drop(progress);
    let report = Report::new(args, &workload, &set, target, rows);
    if let Some(folder) = &args.out {
        let count = report.write(folder)?;
        eprintln!("wrote {count} files to {}", folder.display());
    }
    if args.json { stdout::print_json(&report) } else { stdout::print(&report.text()) }
}

/// What all rows have in common.
struct Evaluating<'a> {
    args: &'a EvaluateArgs,
    set: &'a Set,
    target: Target,
    progress: &'a Progress,
}

impl Evaluating<'_> {
    /// Every weight stored in one way.
    fn way(&self, way: Way, flips: &FlipProfile, library: &CodeLibrary) -> Result<Row> {
        let storing = way.storing(&self.args.words, flips);
        let granularity = self.args.words.tensor_scaling().granularity;
        let model = StoredModel::store_with(&self.set.runner, granularity, &[storing], library)?;
        self.row(flips, way.to_string(), &model, &model.uniform(0))
    }

    /// A stored model under fault patterns, and without any.
    fn row(
        &self,
        flips: &FlipProfile,
        way: String,
        model: &StoredModel,
        selection: &Selection,
    ) -> Result<Row> {
        let Set { runner, evaluation } = self.set;
        let golden = model.golden_as(selection)?;
        let stored = evaluation.score(&runner.outputs(golden.clone())?)?;
        let recalibrator = Recalibrator::new(Recalibration::None, runner, &golden)?;
        let trials = Trials::new(runner, &recalibrator, evaluation);
        let read = |trial| model.read(Seed(self.args.seed), trial, selection);
        let mut values = Vec::new();
        for first in (0..self.args.trials).step_by(AT_ONCE as usize) {
            let last = (first + AT_ONCE).min(self.args.trials);
            values.extend(trials.scores(first..last, read)?);
            self.progress.inc(u64::from(last - first));
        }
        let storages = model.selected(selection)?;
        let bits = |of: Accounting| storages.iter().map(|&s| of.cost_of(s)).sum::<u64>();
        Ok(Row {
            flips: measure::flips(flips),
            p: flips.uniform().filter(|p| p.p01() == p.p10()).map(FlipProbability::p01),
            stored_as: way,
            bits_a_weight: bits(Accounting::AllBits) as f64 / model.weights() as f64,
            protected_share: bits(Accounting::ProtectedBits) as f64 / model.weight_bits() as f64,
            without_faults: stored,
            metric: Distribution::new(values, &self.target)?,
        })
    }
}
