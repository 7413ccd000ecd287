//! Wrong usage that the parser of the command line cannot see: exit code 2.

use std::path::PathBuf;

use qtaml::compensation::{Decoder, DecoderError};
use qtaml::fault::{Ecc, FaultError};
use qtaml::physics::PhysicsError;

use crate::physics::OutOfRange;
use crate::probabilities::Probabilities;

/// Arguments that make no sense together, or a number that makes none in physics. Like
/// clap's own errors it ends the command with exit code 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error(transparent)]
    Physics(#[from] PhysicsError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    #[error("--ecc {0} has no bits to keep: --protect says which it should")]
    NothingToKeep(Ecc),
    #[error(
        "--decoder {0} needs flip probabilities: say them by --p, by --p01 and --p10, by --p-per-bit, or by --cell"
    )]
    DecoderNeedsFlips(Decoder),
    #[error("--p {0} are several flip probabilities, and one is needed here")]
    SeveralP(Probabilities),
    #[cfg(feature = "onnx")]
    #[error(
        "how often do bits flip? Say it by --p, by --p01 and --p10, by --p-per-bit, or by --cell"
    )]
    NoFlips,
    #[cfg(feature = "onnx")]
    #[error(
        "--layout is for safetensors files: the operators of an ONNX model say which axis is that of outputs"
    )]
    LayoutOfGraph,
    #[cfg(feature = "onnx")]
    #[error("--metric {0} needs --labels")]
    MetricNeedsLabels(qtaml::deploy::Metric),
    #[cfg(feature = "onnx")]
    #[error(
        "{given} labels for {samples} samples: {expected} are needed, one for each row that is judged"
    )]
    Labels { given: usize, expected: usize, samples: usize },
    #[cfg(feature = "onnx")]
    #[error(transparent)]
    Images(#[from] crate::workload::ImageUsage),
    #[cfg(feature = "onnx")]
    #[error(
        "there are {folders} folders of images, one for each class, and the output has {classes} classes: \
         --labels FILE says which class each image is, and --metric agreement needs none"
    )]
    Classes { folders: usize, classes: usize },
    #[cfg(feature = "onnx")]
    #[error(
        "a file of one array is for a model of one input, and this one has {}: an .npz file names them",
        .0.join(", ")
    )]
    Unnamed(Vec<String>),
    #[cfg(feature = "onnx")]
    #[error(
        "{samples} samples are too few for a plan: half of them choose and half judge, and 8 at least \
         are needed"
    )]
    FewSamples { samples: usize },
    #[error("{0} of all cells stuck at 0 and {1} at 1 are more than all cells")]
    Stuck(f64, f64),
    #[error("{a} and {b} are the same file: {}", path.display())]
    SameFile { a: &'static str, b: &'static str, path: PathBuf },
    #[error("{flag} - is a stream of this process, and a file is needed")]
    Stream { flag: &'static str },
    #[error(
        "missing {}: say it on the command line or in --cell FILE.toml, or start from a --preset",
        .0.join(" and ")
    )]
    Missing(Vec<String>),
    #[error(
        "{} says nothing of {}, which a cell needs: add the keys, or start from preset = \"dram\" or \
         another",
        path.display(), keys.join(" and ")
    )]
    CellMisses { path: PathBuf, keys: Vec<&'static str> },
    #[error(transparent)]
    Cell(#[from] anyhow::Error),
    #[error("{name} is {role}, and cannot be given as --{name} at the same time")]
    Twice { name: &'static str, role: &'static str },
}

impl UsageError {
    /// Whether the command line or what it names is wrong, and not a file that cannot be read.
    pub(crate) fn is_wrong_usage(&self) -> bool {
        match self {
            Self::Cell(error) => error.is::<Self>(),
            _ => true,
        }
    }
}
