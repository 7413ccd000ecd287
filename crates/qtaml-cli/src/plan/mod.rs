//! `qtaml plan`: what to store and protect so that a model keeps its quality.

mod args;
mod report;

use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qtaml::deploy::job::{Build, JobStore};
use qtaml::deploy::planner::{ModelPlan, Planned, Planner};
use qtaml::fault::Seed;
use sha2::{Digest, Sha256};

pub(crate) use self::args::PlanArgs;
use self::report::Report;
use crate::stdout;
use crate::usage::UsageError;
use crate::workload::{Set, Workload, hex};

/// Fewer samples are no two halves worth the name.
const LEAST: usize = 8;
/// Parts of the samples that choose, for a glance.
const PARTS: usize = 8;

pub(crate) fn run(args: &PlanArgs) -> Result<()> {
    let (goal, (schemes, baselines)) = (args.goal()?, args.schemes());
    let workload = args.workload.load(Seed(args.seed))?;
    let sets = Sets::of(&workload)?;
    let (store, fingerprint) = (args.store()?, workload.fingerprint());
    let planner =
        Planner::new(goal, &sets.calibration.runner, sets.selection.judging(), sets.test.judging());
    let steps = Steps::of(planner.steps(schemes.len(), baselines.len()));
    let tell = |what: &str| steps.tell(what);
    let parts = sets.parts.iter().map(Set::judging).collect();
    let planner = planner.with_patterns(args.trials, Seed(args.seed)).glancing_at(parts);
    let planner = planner.telling(&tell);
    let planner = match &store {
        Some(store) => planner.kept_in(store, &fingerprint),
        None => planner,
    };
    let planned = planner.plan(&schemes, &baselines)?;
    drop(steps);
    let plan = plan_of(&workload, &planned);
    let report = Report::new(args, &workload, &sets.test, planned);
    let written = args.write(&plan, &report)?;
    eprintln!("{written}");
    if args.json { stdout::print_json(&report) } else { stdout::print(&report.text()) }
}

/// The plan in a file.
pub(crate) fn read_plan(path: &Path) -> Result<ModelPlan> {
    let cannot = || format!("cannot use {}", path.display());
    let text = std::fs::read_to_string(path).with_context(cannot)?;
    ModelPlan::from_json(&text).with_context(cannot)
}

/// The plan in a file, which must be one of the model with this digest.
pub(crate) fn read_plan_for(path: &Path, digest: &str) -> Result<ModelPlan> {
    let plan = read_plan(path)?;
    plan.check_model(digest).with_context(|| format!("cannot use {}", path.display()))?;
    Ok(plan)
}

fn plan_of(workload: &Workload, planned: &Planned) -> ModelPlan {
    let scheme = planned.contenders[planned.best].scheme.clone();
    ModelPlan::new(workload.digest.clone(), scheme, planned.plan.clone())
}

/// The samples of a workload: half of them choose, every other one of which measures sensitivities as well,
/// and the other half judge.
struct Sets {
    calibration: Set,
    selection: Set,
    /// Those that choose once more, in parts.
    parts: Vec<Set>,
    test: Set,
}

impl Sets {
    fn of(workload: &Workload) -> Result<Self> {
        let samples = workload.samples();
        if samples < LEAST {
            return Err(UsageError::FewSamples { samples }.into());
        }
        // A part of one sample is no part worth the name, and one for each device that finds is enough.
        let parts = if workload.metric().is_mean() { PARTS.min(samples / 4) } else { 0 };
        let part =
            |number: usize| workload.part(|sample| sample % 2 == 0 && sample / 2 % parts == number);
        Ok(Self {
            calibration: workload.part(|sample| sample % 4 == 0)?,
            selection: workload.part(|sample| sample % 2 == 0)?,
            parts: (0..parts).map(part).collect::<Result<_>>()?,
            test: workload.part(|sample| sample % 2 == 1)?,
        })
    }
}

/// What the planner does, on standard error if that is a terminal.
struct Steps(ProgressBar);

impl Steps {
    fn of(steps: u64) -> Self {
        let style = ProgressStyle::with_template(
            "planning {bar:20.cyan/dim} {percent:>3} %  {elapsed}  eta {eta}  {wide_msg}",
        );
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self(bar)
    }

    fn tell(&self, what: &str) {
        self.0.set_message(what.to_owned());
        self.0.inc(1);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl PlanArgs {
    /// Where finished trials are kept, if there is a folder for them.
    fn store(&self) -> Result<Option<JobStore>> {
        let Some(folder) = &self.out else { return Ok(None) };
        // Another program may find other values: what it kept is not ours.
        let program = std::env::current_exe().and_then(std::fs::read);
        let content = program.map_or_else(|_| String::new(), |bytes| hex(&Sha256::digest(&bytes)));
        let build = Build::new(env!("CARGO_PKG_VERSION"), content);
        let store = JobStore::open(&folder.join("jobs"), build);
        Ok(Some(store.with_context(|| format!("cannot keep trials in {}", folder.display()))?))
    }
}
