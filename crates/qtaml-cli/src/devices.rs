//! `qtaml devices`: the backends of this build and whether they find hardware.

use anyhow::Result;
use clap::Args;

use crate::flags::help;

const AFTER_HELP: &str = help!(
    "\
Examples:
  qtaml devices
      one line for each backend
  qtaml devices --json
      the same for a program

Backends are compiled in: none by default, and flex and ndarray (CPU), wgpu, vulkan or cuda with
  cargo install qtaml-cli --features flex,cuda"
);

/// List the devices that this build knows and whether they are there
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct DevicesArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[cfg(feature = "train")]
pub(crate) fn run(args: &DevicesArgs) -> Result<()> {
    use crate::stdout;

    let rows: Vec<Row> = qtaml::train::device::BUILT_IN.iter().map(|&name| probe(name)).collect();
    if args.json {
        return stdout::print_json(&rows);
    }
    rows.iter()
        .try_for_each(|row| stdout::print_line(&format!("{:8} {}", row.device, row.description)))
}

#[cfg(feature = "train")]
#[derive(serde::Serialize)]
struct Row {
    device: &'static str,
    found: bool,
    description: String,
}

#[cfg(feature = "train")]
fn probe(name: &'static str) -> Row {
    use qtaml::train::device;

    match device::open(name) {
        Ok(opened) => Row { device: name, found: true, description: device::describe(&opened) },
        Err(error) => Row { device: name, found: false, description: error.to_string() },
    }
}

#[cfg(not(feature = "train"))]
pub(crate) fn run(_: &DevicesArgs) -> Result<()> {
    anyhow::bail!(
        "this build of qtaml trains no networks and knows no devices; install one that does: \
         cargo install qtaml-cli --features flex (or ndarray, wgpu, vulkan, cuda)"
    )
}
