//! One run: the chosen experiments in order, then everything that a run leaves behind.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use qtaml::deploy::job::{Build, JobStore, Shard};
use qtaml::fault::Seed;
use qtaml::files::remove_temporaries;
use qtaml::train::device;
use sha2::{Digest, Sha256};

use crate::args::{Profile, ReproduceArgs};
use crate::claims::{Experiment, experiments};
use crate::context::{Context, Run};
use crate::progress::{Kind, Progress};
use crate::published::Published;
use crate::results::{Record, Results, SCHEMA, Section};
use crate::stopwatch::Stopwatch;
use crate::{artifacts, terminal};

/// The folder of finished units, in that of `--out`.
pub(crate) const JOBS: &str = "jobs";
/// The folder of trained networks.
pub(crate) const WEIGHTS: &str = "weights";

static CTRL_C: AtomicBool = AtomicBool::new(false);

/// Runs the experiments that `args` name and writes the report.
///
/// # Errors
///
/// An experiment that fails, a device that is not there, a folder that cannot be written, or
/// [`Interrupted`](crate::context::Interrupted).
pub(crate) fn run(args: &ReproduceArgs) -> Result<()> {
    let start = Instant::now();
    let context = prepare(args)?;
    let mut sections = Vec::new();
    for experiment in part(args, context.shard) {
        let Experiment { id, title, .. } = &experiment;
        context.progress.say(&format!("{id}: {title}"));
        let outcome = experiment.run(&context).with_context(|| id.clone())?;
        for claim in &outcome.claims {
            claim.check()?;
        }
        sections.push(Section {
            id: id.clone(),
            title: title.clone(),
            outcome,
            spent: context.stopwatch.lap(),
        });
    }
    if args.shard.is_some() {
        conclude_shard(args, &context, &sections, start);
        return Ok(());
    }
    let results = Results {
        schema: SCHEMA,
        profile: profile(args).into(),
        device: context.device_name.clone(),
        seed: args.seed,
        version: env!("CARGO_PKG_VERSION").into(),
        commit: commit(args).into(),
        build: context.jobs.build().content.clone(),
        taken: context.published.taken(),
        seconds: start.elapsed().as_secs_f64(),
        claims: sections.iter().flat_map(|s| s.outcome.claims.clone()).collect(),
        experiments: sections.iter().map(Record::from).collect(),
    };
    let files = artifacts::write(&args.out, &results, &sections, &command(args))?;
    conclude(args, &results, files.len());
    Ok(())
}

fn prepare(args: &ReproduceArgs) -> Result<Context> {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global()
            .context("cannot start that many threads")?;
    }
    let device_name = args.device.to_string();
    let device = device::open(&device_name)?;
    let progress = Progress::new(Kind::detect());
    let full = args.profile == Profile::Full;
    let run = Run {
        profile: profile(args),
        device: device_name.clone(),
        seed: Seed(args.seed),
        data: full.then(|| args.data_dir.clone()),
    };
    let shard = args.shard.map_or(Ok(Shard::ALL), |[index, count]| Shard::new(index, count))?;
    watch_signals()?;
    let context = Context {
        seed: Seed(args.seed),
        device,
        device_name,
        smoke: args.smoke,
        decides: full || args.decide,
        published: args
            .add_to
            .as_deref()
            .map_or_else(|| Ok(Published::default()), Published::open)?,
        run,
        jobs: JobStore::open(&args.out.join(JOBS), build(args)?)?,
        shard,
        progress,
        stopwatch: Stopwatch::default(),
        weights: args.out.join(WEIGHTS),
        fashion_mnist: full.then(|| args.data_dir.clone()),
        interrupted: &CTRL_C,
    };
    open_jobs(args, &context)?;
    Ok(context)
}

/// Says what is there already, or removes it. A part of several never removes anything: the others
/// may be at work in the same folder.
fn open_jobs(args: &ReproduceArgs, context: &Context) -> Result<()> {
    if !args.resume && args.shard.is_none() {
        return Ok(context.jobs.clear()?);
    }
    let say = |line: &str| context.progress.say(line);
    match context.finished()? {
        [0, 0] => say("nothing to resume: starting afresh"),
        [0, _] => say("what is finished there has other flags or another build: starting afresh"),
        [ours, _] => say(&format!("resuming: {ours} finished parts are kept")),
    }
    Ok(())
}

/// The code that does the work: what `cargo xtask reproduce` found out, or this program itself.
fn build(args: &ReproduceArgs) -> Result<Build> {
    let content = if let Some(hash) = &args.build {
        format!("sources {hash}")
    } else {
        let program = std::env::current_exe().context("cannot find this program")?;
        format!("program {}", sha256_of(&program)?)
    };
    Ok(Build::new(env!("CARGO_PKG_VERSION"), content).with_commit(commit(args)))
}

fn sha256_of(path: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    let mut file =
        fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    io::copy(&mut file, &mut digest).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(format!("{:x}", digest.finalize()))
}

/// The first Ctrl-C, or signal to end, lets the part under way finish, or a training write its
/// checkpoint; the second does not wait, and leaves nothing temporary behind.
fn watch_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        if CTRL_C.swap(true, Ordering::Relaxed) {
            // Held until the process has ended: no file is begun in between.
            let _blocked = remove_temporaries();
            process::exit(i32::from(crate::INTERRUPTED));
        }
        eprintln!("stopping after the part under way; press Ctrl-C again to stop at once");
    })
    .context("cannot handle Ctrl-C")
}

/// The experiments that this process does: every so many-th of those that were asked for, so that
/// parts are alike and each network falls to few of them.
fn part(args: &ReproduceArgs, shard: Shard) -> Vec<Experiment> {
    let is_chosen = |id: &String| args.only.is_empty() || args.only.contains(id);
    let chosen = experiments().into_iter().filter(|experiment| is_chosen(&experiment.id));
    let part = chosen.enumerate().filter(|(position, _)| shard.has_position(*position));
    part.map(|(_, experiment)| experiment).collect()
}

fn profile(args: &ReproduceArgs) -> &'static str {
    match (args.profile, args.smoke) {
        (Profile::Quick, false) => "quick",
        (Profile::Quick, true) => "smoke",
        (Profile::Full, _) => "full",
    }
}

fn commit(args: &ReproduceArgs) -> &str {
    args.commit.as_deref().unwrap_or("unknown")
}

/// The line that repeats this run.
fn command(args: &ReproduceArgs) -> String {
    let size = match profile(args) {
        "quick" => String::new(),
        "smoke" => " --smoke".into(),
        name => format!(" --profile {name}"),
    };
    let decide = if args.decide { " --decide" } else { "" };
    let only = if args.only.is_empty() {
        String::new()
    } else {
        format!(" --only {}", args.only.join(","))
    };
    format!(
        "cargo xtask reproduce{size}{decide}{only} --device {} --seed {}",
        args.device, args.seed
    )
}

fn conclude_shard(args: &ReproduceArgs, context: &Context, sections: &[Section], start: Instant) {
    let (shard, count) = (context.shard, sections.len());
    let (out, seconds) = (args.out.display(), start.elapsed().as_secs_f64());
    println!("part {shard}: {count} experiments in {seconds:.0} s, finished work in {out}");
    println!("when all parts are done, and merged if they are in several folders, --resume");
    println!("without --shard writes the report");
}

fn conclude(args: &ReproduceArgs, results: &Results, files: usize) {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    println!("\n{}\n", terminal::closing_table(results, None, colour));
    if args.smoke {
        println!("smoke run: everything runs, but the numbers are too few to be results");
    }
    let report = args.out.join("report.html");
    let report = std::path::absolute(&report).unwrap_or(report);
    println!("{files} files in {}, {:.0} s", args.out.display(), results.seconds);
    println!("report: {}", report.display());
}
