//! `qtaml codec`: a model as words that expect faults, and back.

mod args;
mod fit;
mod pass;
mod plan;
mod report;

use std::io::{Read, Write};
use std::path::Path;

use miette::{IntoDiagnostic, Result, WrapErr};
use qtaml::compensation::codebook::Codec;
use sha2::{Digest, Sha256};

pub(crate) use self::args::CodecArgs;
use self::args::{CodecCommand, CodingFiles, DecodeArgs, EncodeArgs, FitArgs, ShowArgs};
use self::pass::{AT_ONCE, Pass};
use self::plan::{Plan, Work};
use self::report::{Report, Row, Total};
use crate::model::Model;
use crate::model::behind::write_behind;
use crate::model::progress::Progress;
use crate::stdout;
use crate::usage::WrongUsage;
use crate::whole_file::{WholeFile, is_same, open_regular};

pub(crate) fn run(args: &CodecArgs) -> Result<()> {
    match &args.command {
        CodecCommand::Fit(args) => fit(args),
        CodecCommand::Encode(args) => encode(args),
        CodecCommand::Decode(args) => decode(args),
        CodecCommand::Show(args) => show(args),
    }
}

fn fit(args: &FitArgs) -> Result<()> {
    let channel = args.channel()?;
    let model = Model::open(&args.model)?;
    not_over(&args.out, &args.model, "the model")?;
    let weights = fit::weights(&model, &args.skip)?;
    // Nobody waits for codes that cannot be written then.
    let mut out = WholeFile::create(&args.out)?;
    let codec = fit::fit(&model, &weights, &channel)?;
    let bytes = codec.to_bytes();
    out.write_all(&bytes).into_diagnostic()?;
    out.finish()?;
    eprintln!("wrote {}", args.out.display());
    let copied = Some(model.tensors().len() - weights.len());
    print(&args.model, bytes.len(), Row::all_of_codec(&codec), copied, args.json)
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
    plan: impl for<'a> Fn(&'a Model, &'a Codec, &str) -> Result<Plan<'a>>,
) -> Result<()> {
    let model = Model::open(path)?;
    let (codec, bytes) = read_codec(&files.codec)?;
    not_over(&files.out, &files.codec, "the codec")?;
    let sum = format!("sha256:{:x}", Sha256::digest(&bytes));
    let plan = plan(&model, &codec, &sum)
        .wrap_err_with(|| format!("{} and {} do not fit", path.display(), files.codec.display()))?;
    let progress = Progress::new(what, plan.work());
    let pass = Pass { model: &model, plan: &plan, at_once: AT_ONCE, progress: &progress };
    let mut out = WholeFile::create(&files.out)?;
    let mut rows = write_behind(&mut out, |out| pass.write(out))?;
    out.finish()?;
    drop(progress);
    eprintln!("wrote {}", files.out.display());
    rows.sort_by(|a, b| a.tensor.cmp(&b.tensor));
    let copied = plan.parts.iter().filter(|part| matches!(part.work, Work::Copy)).count();
    print(path, bytes.len(), rows, Some(copied), files.json)
}

fn show(args: &ShowArgs) -> Result<()> {
    let (codec, bytes) = read_codec(&args.codec)?;
    print(&args.codec, bytes.len(), Row::all_of_codec(&codec), None, args.json)
}

/// A codec and the bytes of its file.
fn read_codec(path: &Path) -> Result<(Codec, Vec<u8>)> {
    let read = || -> Result<_> {
        let (mut file, mut bytes) = (open_regular(path).into_diagnostic()?, Vec::new());
        // What is no codec may be a model of many gigabytes: its first bytes tell.
        (&file).take(8).read_to_end(&mut bytes).into_diagnostic()?;
        if Codec::is_file(&bytes) {
            file.read_to_end(&mut bytes).into_diagnostic()?;
        }
        Ok((Codec::from_bytes(&bytes).into_diagnostic()?, bytes))
    };
    read().wrap_err_with(|| format!("cannot read {}", path.display()))
}

/// Refuses to write over a file that is still needed.
fn not_over(out: &Path, needed: &Path, name: &str) -> Result<()> {
    if is_same(out, needed)? {
        let message = format!("--out and {name} are the same file: {}", out.display());
        return Err(WrongUsage { message, help: None }.into());
    }
    Ok(())
}

fn print(
    file: &Path,
    codec_bytes: usize,
    tensors: Vec<Row>,
    copied: Option<usize>,
    json: bool,
) -> Result<()> {
    let total = Total::of(&tensors);
    let report = Report { file: file.display().to_string(), codec_bytes, tensors, total, copied };
    if json {
        stdout::print_line(&serde_json::to_string_pretty(&report).into_diagnostic()?)
    } else {
        stdout::print(&report.to_string())
    }
}
