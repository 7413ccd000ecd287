//! `qtaml inject`: a copy of a model as it is read from a faulty memory.

mod args;
mod cells;
mod faults;
mod metadata;
mod plan;
mod report;
mod scales;
mod storage;
mod stored;
mod stream;

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use qtaml::fault::FaultRecord;
use qtaml::files::{self, Checkpoint, TensorInfo, WholeFile, write_in_background};
use qtaml::quant::{Grid, GroupLayout, Scales, Scaling};

pub(crate) use self::args::InjectArgs;
use self::faults::{Draw, Source, TensorMemory, WhenOther};
use self::metadata::Part;
use self::plan::Planned;
use self::report::{Metadata, Report, Row, Tally};
use self::storage::{Coded, Storage};
use self::stream::Pass;
use crate::flags::{no_stream, not_over, open_model};
use crate::progress::Progress;
use crate::stdout;

pub(crate) fn run(args: &InjectArgs) -> Result<()> {
    let model = open_model(&args.model)?;
    no_file_is_lost(args, &model)?;
    let (source, planned) = prepare(args, &model)?;
    let tensors = write(args, &model, &planned, &source)?;
    let report = Report {
        model: args.model.display().to_string(),
        out: args.out.display().to_string(),
        faults: source.model(),
        seed: source.seed(),
        trial: source.trial(),
        total: Tally::total(&tensors),
        metadata: Metadata::total(&tensors),
        copied: planned.plan.len() - tensors.len(),
        axes_guessed: planned.axes_guessed,
        warnings: report::warnings(&tensors),
        tensors,
    };
    eprintln!("wrote {}", args.out.display());
    if args.json { stdout::print_json(&report) } else { stdout::print(&report.to_string()) }
}

/// Refuses to write over the record, and over the model unless that is asked for with `--out`.
fn no_file_is_lost(args: &InjectArgs, model: &Checkpoint) -> Result<()> {
    no_stream("--out", &args.out)?;
    args.record.as_ref().map_or(Ok(()), |path| no_stream("--record", path))?;
    let (read, written) = (model.paths(), model.paths_at(&args.out));
    for (name, path, other, others) in [
        ("--record", &args.record, "the model", &read),
        ("--record", &args.record, "--out", &written),
        ("--replay", &args.replay, "--out", &written),
    ] {
        path.as_ref().map_or(Ok(()), |path| not_over(name, path, others, other))?;
    }
    Ok(())
}

/// Where the faults come from, and for which tensors they are.
fn prepare(args: &InjectArgs, model: &Checkpoint) -> Result<(Source, Planned)> {
    if let Some(path) = &args.replay {
        let record =
            read_record(path).with_context(|| format!("cannot replay {}", path.display()))?;
        let planned = plan::of_record(model, &record)
            .with_context(|| format!("cannot replay {}", path.display()))?;
        let when_other =
            if args.force_replay { WhenOther::ReplayAnyway } else { WhenOther::Refuse };
        return Ok((Source::Replayed(record, when_other), planned));
    }
    let (mut spec, draw) = args.draw()?;
    let planned = plan::of_weights(model, args.how_stored(), &args.selection)?;
    let mut seen = HashSet::new();
    let tensor = |i: usize| {
        let (tensor, storage) = (&model.tensors()[i], planned.plan[i].as_ref()?);
        let name = planned.cells.of(&tensor.name);
        seen.insert(name).then(|| stored(name, tensor, storage, draw))
    };
    let tensors = order(model).into_iter().filter_map(tensor).collect::<Result<Vec<_>>>()?;
    spec.share_out(draw, &tensors)?;
    let source = Source::Drawn(spec, draw);
    fits(&source, &tensors)?;
    Ok((source, planned))
}

/// What a tensor is to the memory, under the name of its cells.
fn stored<'a>(
    name: &'a str,
    tensor: &TensorInfo,
    storage: &'a Storage,
    draw: Draw,
) -> Result<TensorMemory<'a>> {
    let beside = match *storage {
        Storage::Codes(coded) if draw.scales => {
            let Scaling { axis, granularity, .. } = coded.scaling;
            let groups = GroupLayout::of(&tensor.shape, axis, granularity)?.groups();
            Part::of(coded).into_iter().map(|part| (part, part.words(groups))).collect()
        }
        _ => Vec::new(),
    };
    Ok(TensorMemory { name, storage, words: storage.faulty_words_of(tensor), beside })
}

/// The order in which a number of flips is shared out: that of the bytes in one file; in several that of
/// the names, so that it does not matter which tensor is in which file.
fn order(model: &Checkpoint) -> Vec<usize> {
    match model.shards() {
        [_] => (0..model.tensors().len()).collect(),
        _ => model.by_name().to_vec(),
    }
}

fn read_record(path: &Path) -> Result<FaultRecord> {
    Ok(FaultRecord::from_bytes(&files::read(path)?)?)
}

/// Whether the faults are possible in the words of every tensor, and in its scales if they are exposed:
/// those of integers and bytes have eight bits, whatever a weight has.
fn fits(source: &Source, tensors: &[TensorMemory<'_>]) -> Result<()> {
    for &TensorMemory { name, storage, .. } in tensors {
        let faults = source.of(name, storage);
        faults.with_context(|| format!("cannot inject into tensor {name:?}"))?;
        if let &Storage::Codes(coded) = storage {
            let scales = source.read_scales(name, coded, &one_scale(coded)?);
            scales.with_context(|| format!("cannot inject into the scale of tensor {name:?}"))?;
        }
    }
    Ok(())
}

/// The scale of a tensor of one weight.
fn one_scale(Coded { format, scaling, .. }: Coded) -> Result<Scales> {
    let layout = GroupLayout::of(&[], None, scaling.granularity)?;
    Ok(Scales::new(layout, &[Grid::spanning(format, scaling.range, 0.0, 1.0)?])?)
}

/// Writes the faulty model, and the record of its faults if one is asked for.
fn write(
    args: &InjectArgs,
    model: &Checkpoint,
    planned: &Planned,
    source: &Source,
) -> Result<Vec<Row>> {
    let progress = Progress::of_bytes("injecting", work(model, planned, source));
    let pass = Pass { model, planned, source, at_once: stream::AT_ONCE, progress: &progress };
    let mut out = model.create(&args.out)?;
    let Some(path) = &args.record else {
        let rows = write_in_background(&mut out, |out| pass.write(out, None))?;
        out.finish()?;
        return Ok(rows);
    };
    let mut file = WholeFile::create(path)?;
    let mut record = FaultRecord::new(source.seed(), source.trial(), &source.model());
    let rows = write_in_background(&mut out, |out| pass.write(out, Some(&mut record)))?;
    file.write_all(&record.to_bytes())?;
    out.finish_with(file)?;
    Ok(rows)
}

/// Bytes to be looked at: those of codes more than once, for their scales and for themselves.
fn work(model: &Checkpoint, planned: &Planned, source: &Source) -> u64 {
    let decoder = source.decoder();
    let tensors = model.tensors().iter().zip(&planned.plan);
    tensors.map(|(tensor, storage)| scales::passes(storage.as_ref(), decoder) * tensor.bytes).sum()
}
