//! `qtaml physics`: from a cell and a storage time to the flip probability, and back.

mod input;
mod key;
mod quantity;
mod solve;
mod steps;
mod sweep;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use self::input::Input;
pub(crate) use self::input::{OutOfRange, flips_of_cell};
use self::quantity::Quantity;
use self::solve::{Solution, Unknown};
use self::steps::Steps;
use self::sweep::Sweep;
use crate::flags::help;
use crate::probabilities::Probabilities;
use crate::stdout::{print, print_json, print_line};
use crate::usage::UsageError;

/// Heading of the flags that choose what is computed.
const TASK: &str = "What to compute";

const AFTER_HELP: &str = help!(
    "\
Examples:
  qtaml physics --oxide-nm 4.5 --retention-s 3.156e8
      ten years behind 4.5 nm of SiO2, step by step
  qtaml physics --preset dram --temperature-k 400
      a familiar memory, hotter than usual
  qtaml physics --oxide-nm 4 --material hfo2 --retention-s 1 --json
      another dielectric, for a program to read

  qtaml physics --retention-s 3.156e8 --sweep oxide-nm=3..6:61
      61 thicknesses from 3 to 6 nm: sweep-oxide-nm.csv and sweep-oxide-nm.svg in this folder
  qtaml physics --oxide-nm 4.5 --sweep retention-s=1e-3..1e9 --out figures
      times in equal factors; add :linear for equal steps, or :log to another quantity

  qtaml physics --oxide-nm 4.5 --solve retention-s --p 0.1
      when is one bit in ten lost?
  qtaml physics --retention-s 3.156e8 --field-v-per-nm 0.1 --solve oxide-nm --p 1e-9
      how thin may the oxide be?
  qtaml physics --preset dram --solve retention-s --p 1e-9..0.1%
      a row for each flip probability

  qtaml physics --cell cell.toml --oxide-nm 5
      a cell from a file, with one number changed; the keys are the names of the flags:
          oxide-nm = 4.5
          material = \"sio2\"
          retention-s = 3.156e8
          field-v-per-nm = 0.02
          temperature-k = 350
          leakage = \"one-way\""
);

/// Derive the flip probability of a memory cell from its oxide (WKB tunneling)
///
/// The transmission of the barrier times the attempt rate, and a factor for the warmth of the
/// electrons, is the rate at which charge leaks; a two-state process turns it and the retention
/// time into the flip probability. WKB is right in the exponent and off by a factor of order one.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct PhysicsArgs {
    #[command(flatten)]
    flags: Input,

    /// Read the cell from a TOML file, whose keys are the names of the flags; flags win over it
    #[arg(long, value_name = "FILE.toml", help_heading = "Cell and condition")]
    cell: Option<PathBuf>,

    /// Compute p along one quantity, and write it as CSV and SVG
    ///
    /// oxide-nm, field-v-per-nm, retention-s or temperature-k from LOW to HIGH in POINTS points
    /// (61 unless given), in equal steps or, for the time or after `:log`, in equal factors.
    #[arg(long, help_heading = TASK, value_name = "QUANTITY=LOW..HIGH[:POINTS][:log|:linear]")]
    sweep: Option<Sweep>,

    /// Folder for the files of a sweep [default: the current one; with --json no files]
    #[arg(long, help_heading = TASK, value_name = "DIR", requires = "sweep")]
    out: Option<PathBuf>,

    /// Find the value of one quantity that leads to the flip probability --p
    #[arg(long, help_heading = TASK, value_name = "QUANTITY")]
    #[arg(requires = "p", conflicts_with = "sweep")]
    solve: Option<Unknown>,

    /// The flip probability that --solve is to reach, for the stored value that flips more often
    ///
    /// A list (1e-4,1%) or a range (1e-4..0.1) gives a row for each.
    #[arg(long, help_heading = TASK, value_name = "P[..P][,...]", requires = "solve")]
    p: Option<Probabilities>,

    /// Print JSON instead of text
    #[arg(long, help_heading = TASK)]
    json: bool,
}

pub(crate) fn run(args: &PhysicsArgs) -> Result<()> {
    let file = args.cell.as_deref().map_or(Ok(Input::default()), Input::read)?;
    let input = Input::layered(args.flags.clone(), file);
    if let Some(sweep) = &args.sweep {
        refuse_flag(args, sweep.quantity, "swept")?;
        run_sweep(args, sweep, &input)?;
    } else if let (Some(unknown), Some(p)) = (args.solve, &args.p) {
        refuse_flag(args, unknown.quantity(), "solved for")?;
        solve(args, unknown, p, &input)?;
    } else {
        let steps = Steps::new(&input)?;
        show(args, &steps, &steps)?;
    }
    if let (Some(preset), false) = (input.preset(), args.json) {
        print_line(&format!("\nNot modelled in {preset}: {}.", preset.limits()))?;
    }
    Ok(())
}

fn solve(args: &PhysicsArgs, unknown: Unknown, p: &Probabilities, input: &Input) -> Result<()> {
    if let Some(p) = p.only() {
        let solution = Solution::find(unknown, p, input)?;
        return show(args, &solution, &solution);
    }
    let solution = |&p: &f64| {
        let found = Solution::find(unknown, p, input);
        Ok((p, found.with_context(|| format!("nothing leads to p = {p:?}"))?))
    };
    let solutions = p.values().iter().map(solution).collect::<Result<Vec<_>>>()?;
    if args.json {
        return print_json(&solutions.iter().map(|(_, solution)| solution).collect::<Vec<_>>());
    }
    print(&solve::table(unknown, &solutions))
}

/// A quantity in a file may be swept or solved for; on the command line it would say two things.
fn refuse_flag(args: &PhysicsArgs, quantity: Quantity, role: &'static str) -> Result<()> {
    if !args.flags.has(quantity) {
        return Ok(());
    }
    let name = quantity.name();
    Err(UsageError::Twice { name, role }.into())
}

fn run_sweep(args: &PhysicsArgs, sweep: &Sweep, input: &Input) -> Result<()> {
    let rows = sweep.rows(input)?;
    if args.json {
        print_json(&rows)?;
    } else {
        print_line(&sweep.summary(&rows))?;
    }
    let folder = match &args.out {
        None if args.json => return Ok(()),
        out => out.as_deref().unwrap_or(Path::new(".")),
    };
    let tell = |line: &str| {
        // Next to JSON, words go where no program reads them.
        if args.json {
            eprintln!("{line}");
            Ok(())
        } else {
            print_line(line)
        }
    };
    let table = sweep.write_table(&rows, folder)?;
    tell(&format!("wrote {}", table.display()))?;
    match sweep.write_chart(&rows, folder)? {
        Some(chart) => tell(&format!("wrote {}", chart.display())),
        None => tell("no chart: no bit flips in this range"),
    }
}

fn show(args: &PhysicsArgs, data: &impl Serialize, text: &impl std::fmt::Display) -> Result<()> {
    if args.json { print_json(data) } else { print(&text.to_string()) }
}
