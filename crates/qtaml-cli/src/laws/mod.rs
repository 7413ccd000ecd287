//! `qtaml laws`: the closed forms of the weight error, checked against sampled faults.

mod args;
mod files;
mod layers;
mod plot;
mod report;
mod table;

use indicatif::{ProgressBar, ProgressStyle};
use miette::{IntoDiagnostic, Result, bail};
use qtaml::fault::{ChannelSample, FaultError, QuantizedChannel, Seed, WordMoments};
use qtaml::quant::Word;
use rayon::prelude::*;

pub(crate) use self::args::LawsArgs;
use self::layers::Layer;
use self::report::{Outcome, Report, Verdict, bit_rows, code_rows, layer_rows};
use crate::flags::UsageError;
use crate::stdout;

/// Sums of squared errors stay far from the end of their integers.
const MOST_TRIALS: u64 = 1_000_000_000_000;

pub(crate) fn run(args: &LawsArgs) -> Result<()> {
    let channel = args.channel().unwrap_or_else(|error| wrong_usage(&error));
    let seed = Seed(args.seed);
    let layers = match &args.weights {
        Some(path) => layers::of_model(path, channel.format())?,
        None => layers::synthetic(seed, channel.format())?,
    };
    let report = measure(args, &channel, &layers).into_diagnostic()?;
    let text = if args.json {
        serde_json::to_string_pretty(&report).into_diagnostic()? + "\n"
    } else {
        table::text(&report, &channel, args.all_codes)
    };
    if let Some(folder) = &args.out {
        let count = files::write(folder, &report)?;
        eprintln!("wrote {count} files to {}", folder.display());
    }
    stdout::print(&text)?;
    match report.outcome.verdict {
        Verdict::Contradicted => bail!("the sampled faults contradict the law"),
        Verdict::Holds | Verdict::NotJudged => Ok(()),
    }
}

/// What the parser cannot see in a single argument ends as what it can.
fn wrong_usage(error: &UsageError) -> ! {
    let message = format!("{error}\n\nFor more information, try '--help'.\n");
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).exit()
}

/// Samples every code and every layer.
fn measure(
    args: &LawsArgs,
    channel: &QuantizedChannel,
    layers: &[Layer],
) -> Result<Report, FaultError> {
    let (seed, trials) = (Seed(args.seed), args.trials());
    let together = channel.ecc().alignment()?;
    let counted = |layer: &Layer| layer.stored.len().div_ceil(together) as u64;
    let plan: Vec<(&Layer, u32)> =
        layers.iter().map(|layer| (layer, passes(counted(layer), trials))).collect();
    let reads_of = |(layer, passes): &(&Layer, u32)| counted(layer) * u64::from(*passes);
    let of_codes = channel.bits().levels() as u64 * trials;
    let bar = progress(of_codes + plan.iter().map(reads_of).sum::<u64>());

    let words: Vec<Word> = channel.bits().words().collect();
    let read = |&word: &Word| {
        let moments =
            WordMoments::of_word(channel, seed, "qtaml laws/codes", word, trials as usize);
        bar.inc(trials);
        moments
    };
    let moments = words.par_iter().map(read).collect::<Result<_, _>>()?;
    let sample = ChannelSample::from_moments(channel, moments)?;
    let (codes, bits) = (code_rows(&sample), bit_rows(&sample));

    let mut layers = Vec::new();
    for planned @ (layer, passes) in &plan {
        let sample = ChannelSample::of_tensor(channel, seed, &layer.name, &layer.stored, *passes)?;
        layers.extend(layer_rows(layer, &sample, *passes));
        bar.inc(reads_of(planned));
    }
    bar.finish_and_clear();
    Ok(Report {
        format: channel.format(),
        flips: channel.flips().clone(),
        code: channel.ecc(),
        protected_bits: (0..8).filter(|i| channel.protection().mask() >> i & 1 == 1).collect(),
        seed,
        trials,
        weights: args.weights.as_ref().map(|path| path.display().to_string()),
        outcome: Outcome::new(channel, &codes, &bits, &layers, args.false_alarm),
        codes,
        bits,
        layers,
    })
}

/// Passes over a layer, each of which counts so many weights, that read it as often as one code.
fn passes(counted: u64, trials: u64) -> u32 {
    u32::try_from(trials.div_ceil(counted)).unwrap_or(u32::MAX)
}

/// A bar on standard error if that is a terminal, nothing elsewhere.
fn progress(reads: u64) -> ProgressBar {
    let style = "sampling {wide_bar:.cyan/dim} {percent:>3} %  {elapsed} eta {eta}";
    let style = ProgressStyle::with_template(style);
    ProgressBar::new(reads).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
