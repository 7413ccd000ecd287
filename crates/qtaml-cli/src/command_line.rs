//! The parser of the command line, with what holds for the flags of every command.

use std::any::TypeId;
use std::ffi::OsString;
use std::num::ParseIntError;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, CommandFactory, Error, FromArgMatches};
use qtaml::files::NamePattern;

/// Reads the command line; what is wrong with it ends the process.
pub(crate) fn parse<C: CommandFactory + FromArgMatches>() -> C {
    let read = of::<C>().try_get_matches().and_then(|mut all| C::from_arg_matches_mut(&mut all));
    read.unwrap_or_else(|error| explained(error).exit())
}

/// The commands, whose flags take `-1e-3` as the number that it is, to refuse it by its range.
///
/// By itself the parser looks for a flag `-1` and names none of what is allowed.
pub(crate) fn of<C: CommandFactory>() -> Command {
    numbers_may_be_negative(C::command())
}

fn numbers_may_be_negative(command: Command) -> Command {
    let flags = command.mut_args(|arg| {
        let takes_value = !arg.is_positional() && arg.get_action().takes_values();
        if takes_value && !is_text(&arg) { arg.allow_hyphen_values(true) } else { arg }
    });
    flags.mut_subcommands(numbers_may_be_negative)
}

/// Whether any text is a value of it, so that a flag behind it would be one too.
fn is_text(arg: &Arg) -> bool {
    let parsed = arg.get_value_parser().type_id();
    let texts = [TypeId::of::<String>(), TypeId::of::<OsString>(), TypeId::of::<PathBuf>()];
    parsed == TypeId::of::<NamePattern>() || texts.into_iter().any(|text| parsed == text)
}

/// Says what the parser of whole numbers leaves unsaid.
fn explained(mut error: Error) -> Error {
    let is_of_integer =
        std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<ParseIntError>);
    if is_of_integer {
        let tip = vec!["a whole number is needed, 0 or more".into()];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tip));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;
    use crate::Cli;

    /// All flags that take a value, with the words that lead to their command.
    fn flags() -> Vec<(Vec<String>, Arg)> {
        let mut open = vec![(vec![], of::<Cli>())];
        let mut flags = Vec::new();
        while let Some((path, mut command)) = open.pop() {
            command.build();
            for arg in command.get_arguments() {
                if arg.get_action().takes_values() && !arg.is_positional() {
                    flags.push((path.clone(), arg.clone()));
                }
            }
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                let name = below.get_name().to_owned();
                open.push(([path.clone(), vec![name]].concat(), below.clone()));
            }
        }
        flags
    }

    /// What the parser says of a value.
    fn refusal(path: &[String], flag: &str, value: &str) -> Option<Error> {
        let words = ["qtaml"].into_iter().chain(path.iter().map(String::as_str));
        of::<Cli>().try_get_matches_from(words.chain([flag, value])).err()
    }

    #[test]
    fn a_negative_number_is_no_unknown_flag() {
        let is_wrong_value = |error: &Error| {
            matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue)
        };
        let mut numeric = 0;
        for (path, arg) in flags() {
            let Some(name) = arg.get_long().filter(|_| !is_text(&arg)) else { continue };
            let flag = format!("--{name}");
            let numbers = ["1", "4", "0.1", "0.1:4"];
            let takes = |value: &&str| {
                refusal(&path, &flag, value).is_none_or(|error| !is_wrong_value(&error))
            };
            numeric += usize::from(numbers.iter().any(takes));
            for value in ["-1e-3", "-1", "-0.5", "-1E+3", "-inf", "-1:4"] {
                let Some(error) = refusal(&path, &flag, value) else { continue };
                let text = explained(error).to_string();
                assert!(!text.contains("unexpected argument"), "{path:?} {flag} {value}: {text}");
                let bare = text.contains("invalid digit") && !text.contains("whole number");
                assert!(!bare, "{path:?} {flag} {value}: {text}");
            }
        }
        assert!(numeric >= 30, "only {numeric} flags take numbers");
    }

    #[test]
    fn a_path_does_not_swallow_the_flag_behind_it() {
        let path = ["verify".to_owned()];
        for flag in ["--out", "--weights", "--cell"] {
            assert!(refusal(&path, flag, "--json").is_some(), "{flag}");
        }
    }
}
