//! `qtaml physics`: a cell and how long it is left alone, step by step to the flip probability.

use clap::Args;
use miette::{IntoDiagnostic, Result};
use qtaml::physics::{Barrier, Cell, Chain, Condition};

const AFTER_HELP: &str = "\
Examples:
  qtaml physics --oxide-nm 4.5 --retention-s 3.156e8
      ten years behind 4.5 nm of SiO2
  qtaml physics --oxide-nm 8 --field-v-per-nm 0.9 --retention-s 1e-3 --json
      one millisecond in a strong field, for a program to read
  qtaml physics --oxide-nm 2 --barrier-ev 1.5 --mass 0.2 --retention-s 1
      another dielectric";

/// Derive the flip probability of a memory cell from its oxide (WKB tunneling)
///
/// The transmission of the barrier times the attempt rate is the rate at which bits flip; a
/// two-state process with equal rates both ways turns it and the retention time into the flip
/// probability. WKB is right in the exponent and off by a factor of order one.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct PhysicsArgs {
    /// Oxide thickness in nanometres
    #[arg(long, value_name = "NM")]
    oxide_nm: f64,

    /// How long the cell is left alone, in seconds
    #[arg(long, value_name = "S")]
    retention_s: f64,

    /// Field in the oxide, in volts per nanometre
    #[arg(long, value_name = "V/NM", default_value_t = 0.0, allow_negative_numbers = true)]
    field_v_per_nm: f64,

    /// Barrier height in electronvolts; the default is that of SiO2 on silicon
    #[arg(long, value_name = "EV", default_value_t = 3.1)]
    barrier_ev: f64,

    /// Tunneling mass in electron masses; the default is that of SiO2
    #[arg(long, value_name = "RATIO", default_value_t = 0.42)]
    mass: f64,

    /// How often an electron tries, in hertz
    #[arg(long, value_name = "HZ", default_value_t = 1e13)]
    attempt_rate_hz: f64,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &PhysicsArgs) -> Result<()> {
    let barrier = Barrier::new(args.barrier_ev, args.oxide_nm, args.mass).into_diagnostic()?;
    let cell = Cell { barrier, attempt_rate_hz: args.attempt_rate_hz };
    let condition =
        Condition { field_v_per_nm: args.field_v_per_nm, retention_s: args.retention_s };
    let chain = cell.tunneling(&condition).into_diagnostic()?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&chain).into_diagnostic()?);
    } else {
        print_table(&chain);
    }
    Ok(())
}

fn print_table(chain: &Chain) {
    let p = chain.probability;
    println!("barrier shape      {:?}", chain.shape);
    println!("decay constant     {:.5} /nm (without field)", chain.kappa_per_nm);
    println!("WKB exponent       {:.5}", chain.wkb_exponent);
    println!("transmission       {:.5e}", chain.transmission);
    println!("flip rate          {:.5e} /s", chain.rate_per_s);
    println!("retention time     {:.5e} s", chain.retention_s);
    println!("flip probability   {:.5e}", p.p10());
}
