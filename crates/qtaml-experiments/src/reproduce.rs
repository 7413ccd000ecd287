//! One run: the chosen experiments in order, then everything that a run leaves behind.

use std::io::IsTerminal;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use qtaml::fault::Seed;
use qtaml::train::{device, fingerprint};

use crate::args::{Profile, ReproduceArgs};
use crate::claims::EXPERIMENTS;
use crate::context::Context;
use crate::journal::{Journal, Opening};
use crate::progress::{Kind, Progress};
use crate::results::{Results, SCHEMA, Section};
use crate::stopwatch::Stopwatch;
use crate::{artifacts, terminal};

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
    for experiment in EXPERIMENTS.iter().filter(|e| chosen(args, e.id)) {
        context.progress.say(&format!("{}: {}", experiment.id, experiment.title));
        let outcome = (experiment.run)(&context).with_context(|| experiment.id)?;
        for claim in &outcome.claims {
            claim.check()?;
        }
        sections.push(Section {
            id: experiment.id.into(),
            title: experiment.title.into(),
            outcome,
            spent: context.stopwatch.lap(),
        });
    }
    let results = Results {
        schema: SCHEMA,
        profile: profile(args).into(),
        device: context.device_name.clone(),
        seed: args.seed,
        version: env!("CARGO_PKG_VERSION").into(),
        commit: commit(args).into(),
        seconds: start.elapsed().as_secs_f64(),
        claims: sections.iter().flat_map(|s| s.outcome.claims.clone()).collect(),
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
    let journal = open_journal(args, &progress)?;
    watch_ctrl_c()?;
    Ok(Context {
        seed: Seed(args.seed),
        device,
        device_name,
        smoke: args.smoke,
        journal,
        progress,
        stopwatch: Stopwatch::default(),
        weights: args.out.join("weights"),
        build: build()?,
        fashion_mnist: (args.profile == Profile::Full).then(|| args.data_dir.clone()),
        interrupted: &CTRL_C,
    })
}

fn open_journal(args: &ReproduceArgs, progress: &Progress) -> Result<Journal> {
    let work = (profile(args), args.device.as_str(), args.seed, &args.data_dir, build()?);
    let path = args.out.join("journal.jsonl");
    let (journal, opening) = Journal::open(&path, &fingerprint(&work), args.resume)?;
    match opening {
        Opening::Fresh => {}
        Opening::Missing => progress.say("nothing to resume: starting afresh"),
        Opening::OtherFingerprint(_) => {
            progress.say("the interrupted run had other flags or another build: starting afresh");
        }
        Opening::Resumed { entries, .. } => {
            progress.say(&format!("resuming: {entries} finished parts are kept"));
        }
    }
    Ok(journal)
}

/// Version, size and time of this program. Finished parts and trained weights depend on the code
/// that made them, and a commit does not name the code of a tree with changes.
fn build() -> Result<String> {
    let path = std::env::current_exe().context("cannot find this program")?;
    let built = || -> std::io::Result<String> {
        let file = path.metadata()?;
        let modified = file.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(format!("{} {} {}", env!("CARGO_PKG_VERSION"), file.len(), modified.as_nanos()))
    };
    built().with_context(|| format!("cannot look at {}", path.display()))
}

/// The first Ctrl-C lets the part under way finish; the second does not wait.
fn watch_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| {
        if CTRL_C.swap(true, Ordering::Relaxed) {
            process::exit(i32::from(crate::INTERRUPTED));
        }
        eprintln!("stopping after the part under way; press Ctrl-C again to stop at once");
    })
    .context("cannot handle Ctrl-C")
}

fn chosen(args: &ReproduceArgs, id: &str) -> bool {
    args.only.is_empty() || args.only.iter().any(|only| only == id)
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
    let only = if args.only.is_empty() {
        String::new()
    } else {
        format!(" --only {}", args.only.join(","))
    };
    format!("cargo xtask reproduce{size}{only} --device {} --seed {}", args.device, args.seed)
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
