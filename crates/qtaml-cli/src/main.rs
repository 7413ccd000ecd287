//! The `qtaml` command: from oxide to flip probability, from there to the law of the errors and to
//! models with faults and models that expect them, and what this build can run on.

mod codec;
mod devices;
mod flags;
mod inject;
mod laws;
mod model;
mod number;
mod physics;
mod stdout;
mod usage;
mod whole_file;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::usage::WrongUsage;

const WRONG_USAGE: u8 = 2;

/// Bit faults in stored neural networks: where they come from and what to do about them
#[derive(Debug, Parser)]
#[command(name = "qtaml", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Physics(Box<physics::PhysicsArgs>),
    Laws(Box<laws::LawsArgs>),
    Inject(Box<inject::InjectArgs>),
    Codec(codec::CodecArgs),
    Devices(devices::DevicesArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Physics(args) => physics::run(&args),
        Command::Laws(args) => laws::run(&args),
        Command::Inject(args) => inject::run(&args),
        Command::Codec(args) => codec::run(&args),
        Command::Devices(args) => devices::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprintln!("Error: {report:?}");
            if report.is::<WrongUsage>() { ExitCode::from(WRONG_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
