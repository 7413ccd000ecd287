//! `cargo xtask check`: all checks of a change, cheapest first.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::tidy;
use crate::workspace::cargo;

/// Runs all steps, up to the first that fails.
pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    step("fmt", || succeed(cargo("fmt").args(["--all", "--check"])))?;
    step("tidy", tidy::run)?;
    step("clippy", || {
        succeed(cargo("clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    step("test", || succeed(cargo("test").arg("--workspace")))?;
    step("doc", || {
        let mut doc = cargo("doc");
        succeed(doc.args(["--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    println!("check: all passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f64();
    outcome.with_context(|| format!("check: {name} failed after {seconds:.1} s"))?;
    println!("check: {name} passed in {seconds:.1} s");
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failed_step_is_named_and_keeps_its_cause() {
        assert!(step("good", || Ok(())).is_ok());
        let error = step("bad", || bail!("two warnings")).expect_err("the step fails");
        let message = format!("{error:#}");
        assert!(message.starts_with("check: bad failed after"), "{message}");
        assert!(message.ends_with("two warnings"), "{message}");
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        let silent = |subcommand: &str| {
            succeed(cargo(subcommand).stdout(Stdio::null()).stderr(Stdio::null()))
        };
        assert!(silent("locate-project").is_ok());
        let error = silent("no-such-subcommand").expect_err("cargo has no such thing");
        assert!(error.to_string().contains("exit"), "{error}");
    }
}
