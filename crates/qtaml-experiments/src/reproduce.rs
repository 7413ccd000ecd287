//! One run: the chosen experiments in order, then everything that a run leaves behind.

use std::io::IsTerminal;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use qtaml::fault::Seed;
use qtaml::train::{device, fingerprint};

use crate::args::{Profile, ReproduceArgs};
use crate::claims::EXPERIMENTS;
use crate::context::Context;
use crate::journal::{Journal, Opening};
use crate::progress::{Kind, Progress};
use crate::results::{Results, SCHEMA, Section};
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
        weights: args.out.join("weights"),
        trained_by: trained_by(args),
        interrupted: &CTRL_C,
    })
}

fn open_journal(args: &ReproduceArgs, progress: &Progress) -> Result<Journal> {
    let device = args.device.as_str();
    let work = (profile(args), device, args.seed, env!("CARGO_PKG_VERSION"), commit(args));
    let path = args.out.join("journal.jsonl");
    let (journal, opening) = Journal::open(&path, &fingerprint(&work), args.resume)?;
    match opening {
        Opening::Fresh => {}
        Opening::Missing => progress.say("nothing to resume: starting afresh"),
        Opening::OtherFingerprint(_) => {
            progress.say("the interrupted run had other flags or another commit: starting afresh");
        }
        Opening::Resumed { entries, .. } => {
            progress.say(&format!("resuming: {entries} finished parts are kept"));
        }
    }
    Ok(journal)
}

/// Trained weights may be reused if the code that trained them is known: a clean commit. A resumed
/// run continues its own.
fn trained_by(args: &ReproduceArgs) -> Option<String> {
    let commit = commit(args);
    let known = commit != "unknown" && !commit.ends_with("-dirty");
    (known || args.resume).then(|| format!("{} {commit}", env!("CARGO_PKG_VERSION")))
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
    }
}

fn commit(args: &ReproduceArgs) -> &str {
    args.commit.as_deref().unwrap_or("unknown")
}

/// The line that repeats this run.
fn command(args: &ReproduceArgs) -> String {
    let smoke = if args.smoke { " --smoke" } else { "" };
    let only = if args.only.is_empty() {
        String::new()
    } else {
        format!(" --only {}", args.only.join(","))
    };
    format!("cargo xtask reproduce{smoke}{only} --device {} --seed {}", args.device, args.seed)
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
