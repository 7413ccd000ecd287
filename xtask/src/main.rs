//! Automation of this repository, as `cargo xtask <command>`.
//!
//! It never links burn, so that it builds in a minute and then answers at once.

use std::process::ExitCode;

use clap::Parser;

#[path = "../../crates/qtaml-experiments/src/args.rs"]
#[allow(dead_code, reason = "part of it is for the experiment runner alone")]
mod args;
mod backends;
mod bench;
mod check;
mod content;
mod map;
mod models;
#[path = "../../crates/qtaml-experiments/src/numbers.rs"]
mod numbers;
mod reproduce;
mod results;
mod tidy;
mod walk;
mod workspace;

/// Automation of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
enum Xtask {
    Reproduce(args::ReproduceArgs),
    Backends(backends::BackendsArgs),
    Bench(bench::BenchArgs),
    /// Run every check a change must pass: fmt, tidy, clippy, test, doc
    Check,
    /// Check the rules of the workspace that the compiler does not know
    Tidy,
    /// Write the code map of docs/architecture.md, from the first lines of the source files
    Map,
    Docs(results::DocsArgs),
    /// Do the walk of docs/your-model.md, and write what its commands print into it
    Walk,
    Models(models::ModelsArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    match Xtask::parse() {
        Xtask::Reproduce(args) => return reproduce::run(&args, std::env::args_os().skip(2)),
        Xtask::Backends(args) => backends::run(&args)?,
        Xtask::Bench(args) => bench::run(&args)?,
        Xtask::Check => check::run()?,
        Xtask::Tidy => tidy::run()?,
        Xtask::Map => map::run(&tidy::members()?)?,
        Xtask::Docs(args) => results::run(&args)?,
        Xtask::Walk => walk::run()?,
        Xtask::Models(args) => models::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Xtask::command().debug_assert();
    }
}
