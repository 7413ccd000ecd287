//! The `qtaml` command.

mod codec;
mod command_line;
mod devices;
#[cfg(feature = "onnx")]
mod evaluate;
mod failure;
mod flags;
mod format_flags;
mod inject;
mod inspect;
#[cfg(feature = "onnx")]
mod measure;
#[cfg(test)]
#[path = "../../../tests/mutation.rs"]
mod mutation;
mod number;
#[cfg(feature = "onnx")]
mod page;
mod physics;
#[cfg(feature = "onnx")]
mod plan;
mod printable;
mod probabilities;
mod progress;
#[cfg(feature = "onnx")]
mod protect;
#[cfg(feature = "onnx")]
mod recover;
mod report_files;
mod selection;
mod stdout;
mod table;
mod usage;
mod verify;
#[cfg(feature = "onnx")]
mod weights_only;
#[cfg(feature = "onnx")]
mod workload;

use std::process::{self, ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

const AFTER_HELP: &str = flags::help!(
    "\
Examples, in the order of work:
  1. How often does a bit flip? From a memory cell, or leave this out and say --p:
       qtaml physics --oxide-nm 4.5 --retention-s 3.156e8
  2. What is in the model, and does it survive rounding to the words of a memory?
       qtaml inspect model.onnx
  3. What do the faults make of it, on your own inputs?
       qtaml evaluate model.onnx --data inputs.npz --p 1e-4..10%
  4. How to store it so that it keeps its quality, what is burned, and what is read:
       qtaml plan model.onnx --data inputs.npz --p 0.01 -o plan
       qtaml protect model.onnx --plan plan/plan.json -o stored
       qtaml recover stored --model model.onnx --out read.onnx
  For safetensors, a faulty copy; protect, recover and codec take them as well:
       qtaml inject model.safetensors --p 0.01 --out faulty.safetensors
  At any time: are the closed forms behind all this those of the sampled faults?
       qtaml verify --p 0.05

Every command has examples of its own: qtaml COMMAND --help"
);

/// Bit faults in stored neural networks: where they come from and what to do about them
#[derive(Debug, Parser)]
#[command(name = "qtaml", version, arg_required_else_help = true, after_long_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Physics(Box<physics::PhysicsArgs>),
    Inspect(Box<inspect::InspectArgs>),
    #[cfg(feature = "onnx")]
    Evaluate(Box<evaluate::EvaluateArgs>),
    #[cfg(feature = "onnx")]
    Plan(Box<plan::PlanArgs>),
    #[cfg(feature = "onnx")]
    Protect(protect::ProtectArgs),
    #[cfg(feature = "onnx")]
    Recover(recover::RecoverArgs),
    Inject(Box<inject::InjectArgs>),
    Codec(codec::CodecArgs),
    Verify(Box<verify::VerifyArgs>),
    Devices(devices::DevicesArgs),
}

fn main() -> ExitCode {
    let command = command_line::parse::<Cli>().command;
    match clean_up_on_interruption().and_then(|()| run(&command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Physics(args) => physics::run(args),
        Command::Inspect(args) => inspect::run(args),
        #[cfg(feature = "onnx")]
        Command::Evaluate(args) => evaluate::run(args),
        #[cfg(feature = "onnx")]
        Command::Plan(args) => plan::run(args),
        #[cfg(feature = "onnx")]
        Command::Protect(args) => protect::run(args),
        #[cfg(feature = "onnx")]
        Command::Recover(args) => recover::run(args),
        Command::Inject(args) => inject::run(args),
        Command::Codec(args) => codec::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Devices(args) => devices::run(args),
    }
}

/// Ctrl-C and SIGTERM leave no temporary file behind.
fn clean_up_on_interruption() -> Result<()> {
    let clean_up = || {
        // Held until the end, so that no file comes to be meanwhile.
        let _blocked = qtaml::files::remove_temporaries();
        process::exit(failure::INTERRUPTED)
    };
    ctrlc::set_handler(clean_up).context("cannot handle Ctrl-C")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command_line::of::<Cli>().debug_assert();
    }

    #[test]
    fn every_help_ends_with_examples_and_exit_codes() {
        let mut open = vec![Cli::command()];
        while let Some(mut command) = open.pop() {
            let help = command.render_long_help().to_string();
            let end = "0 done, 1 it could not be done, 2 wrong usage, 130 interrupted";
            assert!(help.contains("Example") && help.trim_end().ends_with(end), "{help}");
            let described =
                command.get_subcommands().filter(|command| command.get_name() != "help");
            open.extend(described.cloned());
        }
    }
}
