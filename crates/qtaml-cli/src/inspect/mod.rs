//! `qtaml inspect`: what is in a model, and what rounding makes of it.

mod args;
#[cfg(feature = "onnx")]
mod graph;
mod measure;
mod model;
mod moments;
mod report;
mod rounding;

use std::collections::HashMap;

use anyhow::Result;
use qtaml::files::TensorDescription;

pub(crate) use self::args::InspectArgs;
use self::measure::{Storing, measure, passes};
use self::model::{Model, Tensor};
use self::report::{Report, Row};
use crate::progress::Progress;
use crate::stdout;

pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let model = Model::open(&args.model)?;
    let names = model.tensors().iter().map(|tensor| tensor.name.as_str());
    let is_chosen = args.selection.choose(names)?;
    let described = model.describe(args.layout.layout)?;
    let chosen: Vec<usize> = (0..described.len()).filter(|&i| is_chosen[i]).collect();
    let firsts = firsts(&model, &described, &chosen)?;
    let storing = Storing { format: args.words.format(), granularity: args.words.granularity() };
    let rows = rows(&model, &described, &chosen, &firsts, storing)?;
    let report = Report::new(&model, storing, rows);
    if args.json { stdout::print_json(&report) } else { stdout::print(&report.to_string()) }
}

/// The first name of each tensor that is the same as one before it.
fn firsts(
    model: &Model,
    described: &[TensorDescription],
    chosen: &[usize],
) -> Result<HashMap<usize, usize>> {
    let weights = chosen.iter().copied().filter(|&i| described[i].kind.is_weight());
    model.aliases(weights)
}

fn rows(
    model: &Model,
    described: &[TensorDescription],
    chosen: &[usize],
    firsts: &HashMap<usize, usize>,
    storing: Storing,
) -> Result<Vec<Row>> {
    let tensor = |i: usize| -> &Tensor { &model.tensors()[i] };
    let work = |&i: &usize| passes(&described[i].kind) * tensor(i).bytes;
    let progress = Progress::of_bytes("inspecting", chosen.iter().map(work).sum());
    let row = |&i: &usize| {
        if let Some(&first) = firsts.get(&i) {
            progress.inc(work(&i));
            return Ok(Row::of_alias(tensor(i), &described[i], tensor(first).name.as_str()));
        }
        let measured = measure(model, tensor(i), &described[i], storing, &progress)?;
        Ok(Row::new(tensor(i), &described[i], storing, measured))
    };
    chosen.iter().map(row).collect()
}
