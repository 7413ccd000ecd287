//! `qtaml devices`: the backends of this build and whether they find hardware.

use clap::Args;
use miette::{IntoDiagnostic, Result};
use qtaml::train::device;
use serde::Serialize;

use crate::stdout;

/// List the devices that this build knows and whether they are there
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    device: &'static str,
    found: bool,
    description: String,
}

pub(crate) fn run(args: &DevicesArgs) -> Result<()> {
    let rows: Vec<Row> = device::BUILT_IN.iter().map(|&name| probe(name)).collect();
    if args.json {
        return stdout::print_line(&serde_json::to_string_pretty(&rows).into_diagnostic()?);
    }
    rows.iter()
        .try_for_each(|row| stdout::print_line(&format!("{:8} {}", row.device, row.description)))
}

fn probe(name: &'static str) -> Row {
    match device::open(name) {
        Ok(opened) => Row { device: name, found: true, description: device::describe(&opened) },
        Err(error) => Row { device: name, found: false, description: error.to_string() },
    }
}
