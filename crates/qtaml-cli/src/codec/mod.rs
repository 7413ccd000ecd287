//! `qtaml codec`: a model stored by codebooks (COSQ), and back.

mod args;
mod choice;
mod design;
mod pass;
mod plan;
mod report;

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use qtaml::compensation::codebook::Codec;
use qtaml::files::{Checkpoint, WholeFile, open_regular, write_in_background};
use sha2::{Digest, Sha256};

pub(crate) use self::args::CodecArgs;
use self::args::{CodecCommand, CodingFiles, DecodeArgs, DesignArgs, EncodeArgs, InspectArgs};
use self::choice::Chosen;
use self::pass::{AT_ONCE, Pass};
use self::plan::{Plan, Work};
use self::report::{Report, Row};
use crate::flags::{no_stream, not_over};
use crate::progress::Progress;

pub(crate) fn run(args: &CodecArgs) -> Result<()> {
    match &args.command {
        CodecCommand::Design(args) => design(args),
        CodecCommand::Encode(args) => encode(args),
        CodecCommand::Decode(args) => decode(args),
        CodecCommand::Inspect(args) => inspect(args),
    }
}

fn design(args: &DesignArgs) -> Result<()> {
    let channel = args.channel()?;
    let model = open(&args.model)?;
    no_stream("--out", &args.out)?;
    not_over("--out", &args.out, &model.paths(), "the model")?;
    let weights = choice::weights(&model, &args.selection, args.layout)?;
    // Nobody waits for codes that cannot be written then.
    let mut out = WholeFile::create(&args.out)?;
    let codec = design::design(&model, &weights, &channel, args.scale.granularity())?;
    let bytes = codec.to_bytes();
    out.write_all(&bytes)?;
    out.finish()?;
    eprintln!("wrote {}", args.out.display());
    let is_guessed = |chosen: &&Chosen<'_>| {
        chosen.is_axis_guessed
            && codec.get(&chosen.tensor.name).is_some_and(|code| code.scales().is_some())
    };
    let report = Report {
        copied: Some(model.tensors().len() - weights.len()),
        axes_guessed: weights.iter().filter(is_guessed).count(),
        ..Report::new(&args.model, bytes.len(), Row::all_of_codec(&codec))
    };
    report.print(args.json)
}

fn encode(args: &EncodeArgs) -> Result<()> {
    let EncodeArgs { model, files } = args;
    transcode(model, files, "encoding", |model, codec, sum| Plan::encode(model, codec, sum))
}

fn decode(args: &DecodeArgs) -> Result<()> {
    let DecodeArgs { stored, files } = args;
    transcode(stored, files, "decoding", |model, codec, sum| Plan::decode(model, codec, sum))
}

/// Writes the new file that `plan` makes of a model and a codec, whose check sum it gets as well.
fn transcode(
    path: &Path,
    files: &CodingFiles,
    what: &str,
    plan: impl for<'a> Fn(&'a Checkpoint, &'a Codec, &str) -> Result<Plan<'a>>,
) -> Result<()> {
    let model = open(path)?;
    let (codec, bytes) = read_codec(&files.codec)?;
    no_stream("--out", &files.out)?;
    for out in model.paths_at(&files.out) {
        not_over("--out", &out, std::slice::from_ref(&files.codec), "the codec")?;
    }
    let sum = format!("sha256:{:x}", Sha256::digest(&bytes));
    let plan = plan(&model, &codec, &sum)
        .with_context(|| format!("{} and {} do not fit", path.display(), files.codec.display()))?;
    let progress = Progress::of_bytes(what, plan.work());
    let pass = Pass { model: &model, plan: &plan, at_once: AT_ONCE, progress: &progress };
    let mut out = model.create_with(&files.out, &plan.lengths()?, plan.tensor_bytes())?;
    let mut rows = write_in_background(&mut out, |out| pass.write(out))?;
    out.finish()?;
    drop(progress);
    eprintln!("wrote {}", files.out.display());
    rows.sort_by(|a, b| a.tensor.cmp(&b.tensor));
    let copied = plan.parts().filter(|part| matches!(part.work, Work::Copy)).count();
    Report { copied: Some(copied), ..Report::new(path, bytes.len(), rows) }.print(files.json)
}

fn inspect(args: &InspectArgs) -> Result<()> {
    let (codec, bytes) = read_codec(&args.codec)?;
    Report::new(&args.codec, bytes.len(), Row::all_of_codec(&codec)).print(args.json)
}

/// A codec and the bytes of its file.
fn read_codec(path: &Path) -> Result<(Codec, Vec<u8>)> {
    let read = || -> Result<_> {
        let (mut file, mut bytes) = (open_regular(path)?, Vec::new());
        // What is no codec may be a model of many gigabytes: its first bytes tell.
        (&file).take(8).read_to_end(&mut bytes)?;
        if Codec::is_file(&bytes) {
            file.read_to_end(&mut bytes)?;
        }
        Ok((Codec::from_bytes(&bytes)?, bytes))
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

fn open(path: &Path) -> Result<Checkpoint> {
    no_stream("MODEL", path)?;
    Ok(Checkpoint::open(path)?)
}
