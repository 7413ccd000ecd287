//! `cargo xtask reproduce`: builds the experiment runner and hands over to it.

use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::args::ReproduceArgs;
use crate::content;
use crate::workspace::{build_runner, built_runner, commit, root};

/// What Rust programs return if they panic, and cargo if a build fails.
const PANICKED: i32 = 101;

/// Runs the experiments with `flags`, word for word; `args` are the same, parsed.
pub(crate) fn run(args: &ReproduceArgs, flags: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    eprintln!("Building the experiments first: 5 to 15 minutes the first time, then seconds.");
    let interrupted = outlive_ctrl_c()?;
    let ours = |child: ExitStatus| ExitCode::from(exit_code(child.code(), &interrupted));
    // A smoke run is over before an optimised build is: it takes that of the tests.
    let mut build = build_runner(args.device, !args.smoke && args.command.is_none());
    let build = build.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !build.status.success() {
        return Ok(ours(build.status));
    }
    let path = built_runner(&String::from_utf8_lossy(&build.stdout))?;
    let mut runner = Command::new(&path);
    runner.arg("reproduce").args(flags);
    // A merge looks for no result: it has no use for them.
    if args.command.is_none() {
        if args.commit.is_none() {
            runner.args(["--commit", &commit()]);
        }
        if args.build.is_none() {
            runner.args(["--build", &content::hash(root())?]);
        }
    }
    hand_over(runner, ours).with_context(|| format!("cannot start {}", path.display()))
}

/// We become the runner: signals to us are signals to it.
#[cfg(unix)]
fn hand_over(mut runner: Command, _: impl Fn(ExitStatus) -> ExitCode) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(runner.exec())
}

#[cfg(not(unix))]
fn hand_over(mut runner: Command, ours: impl Fn(ExitStatus) -> ExitCode) -> io::Result<ExitCode> {
    runner.status().map(ours)
}

/// Ctrl-C reaches the child as well, which saves its work: we wait for it and only take note.
fn outlive_ctrl_c() -> Result<Receiver<()>> {
    let (note, interrupted) = mpsc::channel();
    let handler = move || {
        // It fails only when nobody waits any more.
        let _ = note.send(());
    };
    ctrlc::set_handler(handler).context("cannot handle Ctrl-C")?;
    Ok(interrupted)
}

/// Our exit code for that of the child, which has none if a signal ended it.
fn exit_code(child: Option<i32>, interrupted: &Receiver<()>) -> u8 {
    // A child that Ctrl-C ends is often gone before our own handler has run.
    let was_interrupted = || interrupted.recv_timeout(Duration::from_millis(500)).is_ok();
    match child {
        None if was_interrupted() => 130,
        None | Some(PANICKED) => 1,
        Some(code) => u8::try_from(code).unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::exit_code;

    #[test]
    fn the_exit_code_is_the_runners_own() {
        let (_note, interrupted) = mpsc::channel();
        for code in [0, 1, 2, 130] {
            assert_eq!(i32::from(exit_code(Some(code), &interrupted)), code);
        }
    }

    #[test]
    fn a_failed_build_a_panic_and_a_killed_runner_are_failures() {
        let (_note, interrupted) = mpsc::channel();
        assert_eq!(exit_code(Some(101), &interrupted), 1);
        assert_eq!(exit_code(None, &interrupted), 1);
        let crash = exit_code(Some(-1_073_741_819), &interrupted);
        assert_eq!(crash, 1, "as Windows reports a crash");
    }

    #[test]
    fn a_child_ended_by_ctrl_c_is_an_interruption_even_if_we_hear_of_it_late() {
        let (note, interrupted) = mpsc::channel();
        let handler = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            note.send(())
        });
        assert_eq!(exit_code(None, &interrupted), 130);
        assert!(handler.join().is_ok());
    }
}
