//! A user's model with data: what `evaluate` and `plan` measure on.

mod data;
mod images;
mod labels;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context, Result};
use clap::Args;
use qtaml::deploy::planner::Judging;
use qtaml::deploy::{Evaluation, Metric, Output, Runner, Values};
use qtaml::fault::Seed;
use qtaml::onnx::{Agreement, Inputs, OnnxModel, OnnxRunner};
use sha2::{Digest, Sha256};

use self::data::Data;
pub(crate) use self::images::ImageUsage;
use self::images::{ImageArgs, Images};
use crate::flags::no_stream;
use crate::usage::UsageError;

/// Heading of the flags that say what the model runs on.
const DATA: &str = "Data";

/// The model, its inputs, and what its outputs are judged by: the same in every command.
#[derive(Debug, Clone, Args)]
#[group(id = "workload", multiple = true)]
pub(crate) struct WorkloadArgs {
    /// The model: an ONNX file, its weights inside or beside it
    #[arg(value_name = "MODEL.onnx")]
    pub(crate) model: PathBuf,

    /// Inputs: FILE.npz with an array for each input by its name, FILE.npy, a folder of images, or synthetic:N
    ///
    /// The first axis counts samples. A file of one array is for a model of one input. A folder has PNG and
    /// JPEG files and nothing else, or a folder of them for each class; they are taken by name, grey for an
    /// input of one channel and in colour for one of three, as they are stored: no rotation, no colour profile.
    /// synthetic:N are N random inputs: they show that everything runs, and how outputs move; results on
    /// them are not those of real data, and everything that is written says so.
    #[arg(long, value_name = "DATA", help_heading = DATA)]
    data: Data,

    /// The right class of each sample, as FILE.npy or as a text with one number a line
    ///
    /// Without labels the faulty model is compared with the model itself. Of a folder with a folder of images
    /// for each class, the classes are the labels: 0 is the first by name.
    #[arg(long, value_name = "FILE", help_heading = DATA)]
    labels: Option<PathBuf>,

    #[command(flatten)]
    images: ImageArgs,

    /// agreement, accuracy, cosine, nearest-neighbour, relative-error, kl, perplexity or exact-sequence
    ///
    /// By default accuracy with labels, agreement without, and relative-error for outputs of one number.
    #[arg(long, value_name = "NAME", help_heading = DATA)]
    metric: Option<Metric>,

    /// The output that is judged [default: the first]
    #[arg(long, value_name = "NAME", help_heading = DATA)]
    output: Option<String>,

    /// The size of a dimension that the model leaves open, for synthetic inputs; may be repeated
    #[arg(long, value_name = "NAME=SIZE", value_parser = dimension, help_heading = DATA)]
    dim: Vec<(String, usize)>,

    /// Samples that are run at once, where the model takes any number
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = DATA)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
}

fn dimension(text: &str) -> Result<(String, usize), String> {
    let wrong = || format!("{text:?} is no NAME=SIZE with a size of 1 or more");
    let (name, size) = text.split_once('=').ok_or_else(wrong)?;
    let size = size.trim().parse().ok().filter(|&size| size > 0).ok_or_else(wrong)?;
    Ok((name.trim().to_owned(), size))
}

/// A model with data.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) model: OnnxModel,
    inputs: Inputs,
    labels: Option<Vec<usize>>,
    metric: Metric,
    output: Option<String>,
    batch: usize,
    samples: usize,
    /// The digest of the model file.
    pub(crate) digest: String,
    /// What the data is, in words.
    pub(crate) described: String,
    pub(crate) is_synthetic: bool,
    /// Whether it was said that the model differs from itself.
    noted: Once,
}

/// The model on some of the samples, and what judges it there.
pub(crate) struct Set {
    pub(crate) runner: OnnxRunner,
    pub(crate) evaluation: Evaluation,
}

impl Set {
    /// The same, for the planner.
    pub(crate) fn judging(&self) -> Judging<'_> {
        Judging { runner: &self.runner, evaluation: &self.evaluation }
    }
}

impl WorkloadArgs {
    /// Reads model and data, and runs the model on it once.
    pub(crate) fn load(&self, seed: Seed) -> Result<Workload> {
        no_stream("MODEL", &self.model)?;
        let model = OnnxModel::open(&self.model)?;
        let digest = digest_of(&self.model)?;
        let sizes: BTreeMap<String, usize> = self.dim.iter().cloned().collect();
        let Images { inputs, labels: classes } =
            self.data.read(&model, &self.images, seed, &sizes)?;
        let first = inputs.select(&[0])?;
        let outputs =
            model.runner_in_batches(&first, self.batch as usize)?.outputs(Values::new())?;
        let labels = self.labels(classes, &outputs)?;
        let samples = inputs.samples()?;
        let metric = self.metric(&outputs, labels.is_some())?;
        Ok(Workload {
            model,
            inputs,
            labels,
            metric,
            output: self.output.clone(),
            batch: self.batch as usize,
            samples,
            digest,
            described: format!("{samples} samples of {}", self.data),
            is_synthetic: self.data.is_synthetic(),
            noted: Once::new(),
        })
    }

    /// The labels of a file, or those of the folders of a folder of images where something asks for them.
    fn labels(
        &self,
        folders: Option<(Vec<usize>, usize)>,
        outputs: &[Output],
    ) -> Result<Option<Vec<usize>>> {
        if let Some(file) = &self.labels {
            return labels::read(file).map(Some);
        }
        let asked = self.metric.is_none_or(Metric::needs_labels);
        let Some((labels, folders)) = folders.filter(|_| asked) else { return Ok(None) };
        let classes = self.classes(outputs);
        if folders == classes {
            return Ok(Some(labels));
        }
        Err(UsageError::Classes { folders, classes }.into())
    }

    /// How many classes the judged output tells apart.
    fn classes(&self, outputs: &[Output]) -> usize {
        let named = |output: &&Output| self.output.as_ref().is_none_or(|name| *name == output.name);
        outputs.iter().find(named).map_or(0, Output::classes)
    }

    fn metric(&self, outputs: &[Output], labelled: bool) -> Result<Metric, UsageError> {
        if let Some(metric) = self.metric {
            let ready = labelled || !metric.needs_labels();
            return ready.then_some(metric).ok_or(UsageError::MetricNeedsLabels(metric));
        }
        Ok(match (labelled, self.classes(outputs)) {
            (true, _) => Metric::Accuracy,
            (false, 2..) => Metric::Agreement,
            (false, _) => Metric::RelativeError,
        })
    }
}

impl Workload {
    /// The digest of model and data together.
    pub(crate) fn fingerprint(&self) -> String {
        let Self { digest, labels, metric, output, batch, .. } = self;
        let mut hash = Sha256::new();
        hash.update(format!("{digest} {labels:?} {metric} {output:?} {batch}"));
        self.inputs.for_each_bytes(|bytes| hash.update(bytes));
        hex(&hash.finalize())
    }

    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    /// The model on all samples.
    pub(crate) fn all(&self) -> Result<Set> {
        self.of(&(0..self.samples).collect::<Vec<_>>())
    }

    /// The model on the samples of which something holds, by their number.
    pub(crate) fn part(&self, holds: impl Fn(usize) -> bool) -> Result<Set> {
        self.of(&(0..self.samples).filter(|&sample| holds(sample)).collect::<Vec<_>>())
    }

    fn of(&self, samples: &[usize]) -> Result<Set> {
        let runner = self.model.runner_in_batches(&self.inputs.select(samples)?, self.batch)?;
        if let Agreement::Within(error) = runner.agreement() {
            self.noted.call_once(|| {
                eprintln!(
                    "note: rewritten for faults the model differs from itself by up to {error:.1e}"
                );
            });
        }
        let outputs = runner.outputs(Values::new())?;
        let labels = self.labels.as_ref().map(|labels| self.labels_of(labels, samples, &outputs));
        let labels = labels.transpose()?;
        let evaluation = match &self.output {
            Some(name) => Evaluation::of_output(outputs, name, self.metric, labels)?,
            None => match labels {
                Some(labels) => Evaluation::labelled(outputs, self.metric, labels)?,
                None => Evaluation::new(outputs, self.metric)?,
            },
        };
        Ok(Set { runner, evaluation })
    }

    /// Labels of some samples: one a sample, or one a row of the judged output.
    fn labels_of(
        &self,
        all: &[usize],
        samples: &[usize],
        outputs: &[Output],
    ) -> Result<Vec<usize>> {
        let named = |output: &&Output| self.output.as_ref().is_none_or(|name| *name == output.name);
        let rows = outputs.iter().find(named).map_or(0, |output| output.rows().len());
        let each = (rows / samples.len().max(1)).max(1);
        let (expected, given) = (each * self.samples, all.len());
        if given != expected {
            return Err(UsageError::Labels { given, expected, samples: self.samples }.into());
        }
        Ok(samples.iter().flat_map(|&at| &all[at * each..][..each]).copied().collect())
    }
}

/// The SHA-256 of a model file, by which a plan knows it.
pub(crate) fn digest_of(model: &Path) -> Result<String> {
    let file = std::fs::read(model).with_context(|| format!("cannot read {}", model.display()))?;
    Ok(hex(&Sha256::digest(&file)))
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dimension_is_a_name_and_a_size() {
        assert_eq!(dimension("length=128"), Ok(("length".into(), 128)));
        for text in ["length", "length=0", "length=-1", "=", "a=b"] {
            assert!(dimension(text).is_err(), "{text}");
        }
    }
}
