//! The experiment runner: our claims as code, and what it takes to run and report them.
//!
//! `cargo xtask reproduce` builds and starts it. A claim is one file under [`claims`]; around them
//! lie the [`context`] that they share, the [`journal`] that makes runs resumable, and the
//! presentation: [`results`], [`report`], [`artifacts`], [`terminal`], [`progress`].

mod args;
pub mod artifacts;
pub mod backend;
pub mod claims;
pub mod context;
pub mod journal;
pub mod progress;
pub mod report;
pub mod reproduce;
pub mod results;
pub mod stats;
pub mod stopwatch;
pub mod terminal;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::RunnerCli;
use crate::context::Interrupted;

const INTERRUPTED: u8 = 130;
/// What is logged unless `RUST_LOG` says otherwise: wgpu complains of every graphics API that a
/// machine lacks, even where it has found another.
const LOGGED: &str = "warn,wgpu_hal=off";

fn main() -> ExitCode {
    let cli = RunnerCli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED)),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let outcome = match &cli {
        RunnerCli::Reproduce(args) => reproduce::run(args),
        RunnerCli::Backend(args) => backend::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("interrupted: finished parts are kept; add --resume to go on from here");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
