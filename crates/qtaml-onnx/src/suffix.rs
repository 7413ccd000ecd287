//! Runs around a base: only what lies behind the changed weight is run, from values that the base left.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use qtaml_deploy::{BaseRun, Output, RunnerError, Values, check_values};
use rten::{NodeId, ThreadPool, Value, ValueOrView};

use crate::RunError;
use crate::lineage::{Lineage, Suffix};
use crate::run::{bytes, fused_away, run, runtime};
use crate::runner::{OnnxRunner, together};

/// Bytes of values that are kept at most. Batches beyond them are run as a whole.
const KEPT: usize = 2 << 30;

/// Runs of a model around a base.
pub(crate) struct Around<'a> {
    runner: &'a OnnxRunner,
    base: Values,
    suffixes: Vec<Suffix>,
    /// Nodes of a whole pass over one batch.
    nodes: usize,
    /// For each batch what the base left, if it is kept.
    kept: Vec<Kept>,
    /// Nodes that were run, in all batches.
    evaluated: AtomicU64,
}

/// What a run of the base over one batch left.
struct Kept {
    outputs: Vec<Value>,
    /// The values that suffixes read, by their number. None if there was no room.
    values: Option<Vec<(usize, NodeId, Value)>>,
}

impl<'a> Around<'a> {
    pub(crate) fn new(runner: &'a OnnxRunner, base: &Values) -> Result<Self, RunError> {
        let base = base.clone();
        let mut around = Self {
            runner,
            base: Values::new(),
            suffixes: Vec::new(),
            nodes: 1,
            kept: Vec::new(),
            evaluated: AtomicU64::new(0),
        };
        if let Some(lineage) = &runner.variant().lineage {
            let buffers = runner.buffers(&base);
            (around.suffixes, around.kept) =
                runner.apart(|pool| keep(runner, lineage, &buffers, pool))?;
            around.nodes = lineage.nodes();
            around.count(around.nodes * around.kept.len());
        }
        around.base = base;
        Ok(around)
    }

    fn count(&self, nodes: usize) {
        self.evaluated.fetch_add(nodes as u64, Ordering::Relaxed);
    }

    fn run(&self, index: usize, replaced: &Values) -> Result<Vec<Output>, RunError> {
        // What is not replaced is as in the base.
        let buffers = self.runner.buffers(&self.base);
        let changed = self.runner.buffers(replaced);
        let sites = &self.runner.variant().sites;
        let buffers: Vec<Cow<'_, [f32]>> = sites
            .iter()
            .zip(buffers.into_iter().zip(changed))
            .map(|(site, (base, changed))| if site.weight == index { changed } else { base })
            .collect();
        let all: Vec<Vec<Value>> = self.runner.apart(|pool| {
            let batches = 0..self.runner.batches.len();
            batches.map(|batch| self.run_batch(index, batch, &buffers, pool)).collect()
        })?;
        together(&self.runner.shared, &all, &self.runner.cut)
    }

    fn run_batch(
        &self,
        index: usize,
        batch: usize,
        buffers: &[Cow<'_, [f32]>],
        pool: &Arc<ThreadPool>,
    ) -> Result<Vec<Value>, RunError> {
        let kept = self.kept.get(batch).and_then(|kept| Some((kept, kept.values.as_ref()?)));
        let (Some((kept, values)), Some(suffix)) = (kept, self.suffixes.get(index)) else {
            self.count(self.nodes);
            return self.runner.run_batch(batch, buffers, pool);
        };
        let model = &self.runner.variant().model;
        let mut arguments = self.runner.arguments(batch, buffers);
        for (number, id, value) in values {
            if suffix.passed.binary_search(number).is_ok() {
                arguments.push((*id, ValueOrView::from(value)));
            }
        }
        let outputs: Vec<NodeId> =
            suffix.outputs.iter().map(|&output| model.output_ids()[output]).collect();
        let mut all = kept.outputs.clone();
        if !outputs.is_empty() {
            let new = run(model, arguments, &outputs, pool).map_err(runtime)?;
            for (&output, value) in suffix.outputs.iter().zip(new) {
                all[output] = value;
            }
        }
        self.count(suffix.nodes);
        Ok(all)
    }
}

impl BaseRun for Around<'_> {
    fn outputs(&self, index: usize, replaced: Values) -> Result<Vec<Output>, RunnerError> {
        check_values(&self.runner.shared.tensors, &replaced)?;
        self.run(index, &replaced).map_err(RunnerError::failed)
    }

    fn passes(&self) -> f64 {
        let pass = self.nodes.max(1) * self.runner.batches.len();
        self.evaluated.load(Ordering::Relaxed) as f64 / pass as f64
    }
}

/// The suffix of each weight, and what runs of the base leave of each batch.
fn keep(
    runner: &OnnxRunner,
    lineage: &Lineage,
    buffers: &[Cow<'_, [f32]>],
    pool: &Arc<ThreadPool>,
) -> Result<(Vec<Suffix>, Vec<Kept>), RunError> {
    let variant = runner.variant();
    let changed = |weight: usize| {
        let sites = variant.sites.iter().filter(move |site| site.weight == weight);
        sites.filter_map(|site| lineage.value(&site.name)).collect::<Vec<_>>()
    };
    let weights: Vec<Vec<usize>> = (0..runner.shared.weights.len()).map(changed).collect();
    let mut gone = HashSet::new();
    let (mut kept, mut total): (Vec<Kept>, usize) = (Vec::new(), 0);
    loop {
        let suffixes: Vec<Suffix> =
            weights.iter().map(|changed| lineage.suffix(changed, &gone)).collect();
        let passed: Vec<usize> = union(&suffixes);
        // A value without a node was taken away when the graph was loaded.
        let unknown =
            passed.iter().filter(|&&value| variant.model.find_node(lineage.name(value)).is_none());
        let before = gone.len();
        gone.extend(unknown.copied().collect::<Vec<_>>());
        if gone.len() > before {
            continue;
        }
        match keep_batch(runner, lineage, &passed, buffers, pool, kept.len()) {
            Ok(mut batch) => {
                total +=
                    batch.values.iter().flatten().map(|(.., value)| bytes(value)).sum::<usize>();
                if total > KEPT {
                    batch.values = None;
                }
                kept.push(batch);
                if kept.len() == runner.batches.len() {
                    return Ok((suffixes, kept));
                }
            }
            Err(error) => {
                let name = fused_away(&error).and_then(|name| lineage.value(&name));
                // Each turn takes a value away, or ends.
                let Some(value) = name.filter(|&value| gone.insert(value)) else {
                    return Err(runtime(error));
                };
                debug_assert!(passed.contains(&value) && kept.is_empty());
            }
        }
    }
}

fn union(suffixes: &[Suffix]) -> Vec<usize> {
    let mut all: Vec<usize> =
        suffixes.iter().flat_map(|suffix| suffix.passed.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Runs the base over one batch, and keeps these values beside the outputs.
fn keep_batch(
    runner: &OnnxRunner,
    lineage: &Lineage,
    passed: &[usize],
    buffers: &[Cow<'_, [f32]>],
    pool: &Arc<ThreadPool>,
    batch: usize,
) -> Result<Kept, rten::RunError> {
    let model = &runner.variant().model;
    let mut asked = model.output_ids().to_vec();
    let find = |&value: &usize| Some((value, model.find_node(lineage.name(value))?));
    let places: Vec<(usize, NodeId)> = passed.iter().filter_map(find).collect();
    for &(_, id) in &places {
        if !asked.contains(&id) {
            asked.push(id);
        }
    }
    let values = run(model, runner.arguments(batch, buffers), &asked, pool)?;
    let value_of =
        |id: NodeId| asked.iter().position(|&asked| asked == id).map(|at| values[at].clone());
    let kept = places.iter().filter_map(|&(value, id)| Some((value, id, value_of(id)?))).collect();
    let outputs = values[..model.output_ids().len()].to_vec();
    Ok(Kept { outputs, values: Some(kept) })
}
