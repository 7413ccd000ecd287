//! The message and the exit code of a command that failed.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::usage::UsageError;

/// The command could not do its work.
const COULD_NOT: u8 = 1;
/// The command line makes no sense.
const WRONG_USAGE: u8 = 2;
/// Somebody has interrupted the command, by Ctrl-C or SIGTERM.
pub(crate) const INTERRUPTED: i32 = 130;

/// Prints an error with its causes, in the style of the parser of the command line.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let is_usage = error.downcast_ref().is_some_and(UsageError::is_wrong_usage);
    let hint = if is_usage { "\nFor more information, try '--help'.\n" } else { "" };
    let message = format!("{}{hint}", text(error));
    // There is nowhere to tell of a standard error that is closed.
    _ = clap::Error::raw(ErrorKind::ValueValidation, message).print();
    ExitCode::from(if is_usage { WRONG_USAGE } else { COULD_NOT })
}

/// The error and its causes, one a line; what an error has said in its own words is not repeated.
fn text(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let told_once = causes.windows(2).filter(|pair| !pair[0].ends_with(&pair[1]));
    let causes = told_once.map(|pair| pair[1].trim_end().replace('\n', "\n    "));
    causes.fold(format!("{error}\n"), |text, cause| text + "  caused by: " + &cause + "\n")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn every_cause_is_told_once() {
        let error = Err::<(), _>(anyhow!("entity not found"))
            .context("cannot read a.csv: entity not found")
            .context("no table")
            .unwrap_err();
        assert_eq!(text(&error), "no table\n  caused by: cannot read a.csv: entity not found\n");
        let lines = Err::<(), _>(anyhow!("two\nlines\n")).context("outer").unwrap_err();
        assert_eq!(text(&lines), "outer\n  caused by: two\n    lines\n");
    }
}
