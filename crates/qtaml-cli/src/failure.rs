//! The message and the exit code of a command that failed.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::printable::printable_lines;
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

/// The error and its causes, one a line; what an error has said in its own words is not repeated. Any of
/// them may say a name from a file.
fn text(error: &anyhow::Error) -> String {
    let shown = error.chain().map(|error| printable_lines(&error.to_string()).into_owned());
    let causes: Vec<String> = shown.collect();
    let told_once = causes.windows(2).filter(|pair| !pair[0].ends_with(&pair[1]));
    let told = told_once.map(|pair| pair[1].trim_end().replace('\n', "\n    "));
    let first = causes.first().cloned().unwrap_or_default() + "\n";
    told.fold(first, |text, cause| text + "  caused by: " + &cause + "\n")
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
        let forged = anyhow!("no tensor a\u{1b}[2Jb").context("in \u{9b}1m");
        assert_eq!(text(&forged), "in \\u{9b}1m\n  caused by: no tensor a\\u{1b}[2Jb\n");
        let lines = Err::<(), _>(anyhow!("two\nlines\n")).context("outer").unwrap_err();
        assert_eq!(text(&lines), "outer\n  caused by: two\n    lines\n");
    }
}
