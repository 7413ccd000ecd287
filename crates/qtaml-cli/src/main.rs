//! The `qtaml` command: from oxide to flip probability, and what this build can run on.

mod devices;
mod laws;
mod physics;

use clap::{Parser, Subcommand};

/// Bit faults in stored neural networks: where they come from and what to do about them
#[derive(Debug, Parser)]
#[command(name = "qtaml", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Physics(physics::PhysicsArgs),
    Laws(laws::LawsArgs),
    Devices(devices::DevicesArgs),
}

fn main() -> miette::Result<()> {
    match Cli::parse().command {
        Command::Physics(args) => physics::run(&args),
        Command::Laws(args) => laws::run(&args),
        Command::Devices(args) => devices::run(&args),
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
