//! The experiment runner: the claims as code, their runs and their reports.
//!
//! `cargo xtask reproduce` builds and starts it. A claim is one folder under [`claims`]; what
//! several of them measure is under [`workloads`], what they try protection on under [`bench`](mod@bench); around them lie the [`context`] that they share,
//! whose units of work are jobs on disk, and the presentation: [`results`], [`report`], [`artifacts`], [`terminal`], [`progress`].

mod args;
pub mod artifacts;
pub mod backend;
pub mod bench;
pub mod claims;
pub mod context;
pub mod findings;
mod merge;
mod numbers;
pub mod progress;
pub mod published;
pub mod report;
pub mod reproduce;
pub mod results;
pub mod stats;
pub mod stopwatch;
pub mod terminal;
pub mod workloads;

use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{ReproduceCommand, RunnerCli};
use crate::context::is_interruption;

const INTERRUPTED: u8 = 130;
/// What is logged unless `RUST_LOG` says otherwise: wgpu complains of every graphics API that a
/// machine lacks, even where it has found another.
const LOGGED: &str = "warn,wgpu_hal=off";

/// Trials free and take the same megabytes all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = RunnerCli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED)),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let work = || match &cli {
        RunnerCli::Reproduce(args) => match &args.command {
            None => reproduce::run(args),
            Some(ReproduceCommand::Merge(args)) => merge::run(args),
            Some(ReproduceCommand::Keep(args)) => published::keep(args),
        },
        RunnerCli::Backend(args) => backend::run(args),
    };
    // A panic has told its message, and is a failure like others: exit code 1.
    let Ok(outcome) = catch_unwind(AssertUnwindSafe(work)) else { return ExitCode::FAILURE };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_interruption(&error) => {
            eprintln!("interrupted: finished parts are kept; add --resume to go on from here");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
