//! `qtaml verify`: the closed forms of the weight error, checked against sampled faults.

mod args;
mod files;
mod layers;
mod plot;
mod report;
mod table;

use std::path::Path;

use anyhow::{Result, bail};
use qtaml::fault::{ChannelSample, FaultError, QuantizedChannel, Seed, WordMoments};
use qtaml::quant::Word;
use rayon::prelude::*;

pub(crate) use self::args::VerifyArgs;
use self::layers::Layer;
use self::report::{Outcome, Report, Verdict, bit_rows, code_rows, layer_rows};
use crate::progress::Progress;
use crate::stdout;

/// Sums of squared errors stay far from the end of their integers.
const MOST_TRIALS: u64 = 1_000_000_000_000;

pub(crate) fn run(args: &VerifyArgs) -> Result<()> {
    let channels = args.channels()?;
    let seed = Seed(args.seed);
    let layers = match &args.weights {
        Some(path) => layers::of_model(path, &args.selection, args.format())?,
        None => layers::synthetic(seed, args.format())?,
    };
    // All of them together raise no more false alarms than one would.
    let false_alarm = args.false_alarm / channels.len() as f64;
    let measured = channels.iter().map(|channel| measure(args, channel, &layers, false_alarm));
    let reports = measured.collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = &args.out {
        let count = write(folder, &reports)?;
        eprintln!("wrote {count} files to {}", folder.display());
    }
    show(args, &channels, &reports)?;
    let verdicts: Vec<Verdict> = reports.iter().map(|report| report.outcome.verdict).collect();
    if verdicts.contains(&Verdict::Contradicted) {
        bail!("the sampled faults contradict the closed forms");
    }
    Ok(())
}

/// Tables and figures: those of several flip probabilities in folders of their own.
fn write(folder: &Path, reports: &[Report]) -> Result<usize> {
    if let [report] = reports {
        return files::write(folder, report);
    }
    let own = |report: &Report| folder.join(report.flips.to_string().replace(' ', ""));
    reports.iter().map(|report| files::write(&own(report), report)).sum()
}

fn show(args: &VerifyArgs, channels: &[QuantizedChannel], reports: &[Report]) -> Result<()> {
    let text = |(report, channel)| table::text(report, channel, args.all_codes);
    match reports {
        [report] if args.json => stdout::print_json(report),
        _ if args.json => stdout::print_json(&reports),
        [_] => reports.iter().zip(channels).try_for_each(|pair| stdout::print(&text(pair))),
        _ => {
            if args.all_codes {
                let each = reports.iter().zip(channels);
                each.map(text).try_for_each(|text| stdout::print(&(text + "\n")))?;
            }
            stdout::print(&table::summary(reports))
        }
    }
}

/// Samples every code and every layer.
fn measure(
    args: &VerifyArgs,
    channel: &QuantizedChannel,
    layers: &[Layer],
    false_alarm: f64,
) -> Result<Report, FaultError> {
    let (seed, trials) = (Seed(args.seed), args.trials());
    let together = channel.ecc().alignment()?;
    let counted = |layer: &Layer| layer.stored.len().div_ceil(together) as u64;
    let plan: Vec<(&Layer, u32)> =
        layers.iter().map(|layer| (layer, passes(counted(layer), trials))).collect();
    let reads_of = |(layer, passes): &(&Layer, u32)| counted(layer) * u64::from(*passes);
    let of_codes = channel.bits().levels() as u64 * trials;
    let progress =
        Progress::of_steps("sampling", of_codes + plan.iter().map(reads_of).sum::<u64>());

    let words: Vec<Word> = channel.bits().words().collect();
    let read = |&word: &Word| {
        let moments =
            WordMoments::of_word(channel, seed, "qtaml verify/codes", word, trials as usize);
        progress.inc(trials);
        moments
    };
    let moments = words.par_iter().map(read).collect::<Result<_, _>>()?;
    let sample = ChannelSample::from_moments(channel, moments)?;
    let (codes, bits) = (code_rows(&sample), bit_rows(&sample));

    let mut layers = Vec::new();
    for planned @ (layer, passes) in &plan {
        let sample = ChannelSample::of_tensor(channel, seed, &layer.name, &layer.stored, *passes)?;
        layers.extend(layer_rows(layer, &sample, *passes));
        progress.inc(reads_of(planned));
    }
    drop(progress);
    Ok(Report {
        format: channel.format(),
        flips: channel.flips().clone(),
        ecc: channel.ecc(),
        protected_bits: (0..8).filter(|i| channel.protection().mask() >> i & 1 == 1).collect(),
        seed,
        trials,
        weights: args.weights.as_ref().map(|path| path.display().to_string()),
        outcome: Outcome::new(channel, &codes, &bits, &layers, false_alarm),
        codes,
        bits,
        layers,
    })
}

/// Passes over a layer, each of which counts so many weights, that read it as often as one code.
fn passes(counted: u64, trials: u64) -> u32 {
    u32::try_from(trials.div_ceil(counted)).unwrap_or(u32::MAX)
}
