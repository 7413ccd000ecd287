//! The choice of the tensors that get a code.

use anyhow::{Result, anyhow, ensure};
use qtaml::files::{Checkpoint, Dtype, Float, Layout, TensorDescription, TensorInfo, TensorKind};

use crate::selection::Selection;

/// A tensor that gets a code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen<'a> {
    pub(super) tensor: &'a TensorInfo,
    pub(super) float: Float,
    /// The axis of its output channels.
    pub(super) axis: usize,
    /// Whether that axis is the first one because nobody says which it is.
    pub(super) is_axis_guessed: bool,
}

/// Why a tensor gets no code, though nobody said that it should be left out.
#[derive(Debug, thiserror::Error)]
enum NotCoded {
    #[error(
        "tensor {name:?} of {dtype} and shape {shape:?} is not understood: --skip '{name}' leaves it as it \
         is{or_named}"
    )]
    Unknown { name: String, dtype: Dtype, shape: Vec<usize>, or_named: String },
    #[error(
        "tensor {name:?} of {dtype} is stored in words already: codes are made for F16, BF16, F32 and F64, and \
         --skip '{name}' leaves it as it is"
    )]
    Words { name: String, dtype: Dtype },
    #[error(
        "tensor {name:?} of {dtype} and shape {shape:?} is no weight, but {kind}: codes are made for floats \
         of rank 2 and more"
    )]
    NoWeights { name: String, dtype: Dtype, shape: Vec<usize>, kind: &'static str },
}

/// The tensors that get a code: float weights that are chosen, and other floats of rank 2 and more whose
/// whole names are. What belongs to no layer's weights is copied; what is not understood is an error, as
/// are weights that are stored in words already.
pub(super) fn weights<'a>(
    model: &'a Checkpoint,
    selection: &Selection,
    layout: Option<Layout>,
) -> Result<Vec<Chosen<'a>>> {
    let tensors = model.tensors();
    let chosen = selection.choose(tensors.iter().map(|tensor| tensor.name.as_str()))?;
    let described = model.describe(layout)?;
    let (mut weights, mut refused) = (Vec::new(), Vec::new());
    for ((tensor, described), is_chosen) in tensors.iter().zip(&described).zip(chosen) {
        if is_chosen {
            match choice(tensor, described, selection.names(&tensor.name)) {
                Ok(found) => weights.extend(found),
                Err(why) => refused.push(why),
            }
        }
    }
    let count = refused.len();
    if let Some(why) = refused.into_iter().next() {
        return Err(match count {
            1 => why.into(),
            count => anyhow!(why).context(format!("{count} tensors cannot be coded")),
        });
    }
    ensure!(
        !weights.is_empty(),
        "there are no weights: none of the {} tensors is one of F16, BF16, F32 or F64, and chosen; \
         `qtaml inspect` says what they are",
        tensors.len()
    );
    Ok(weights)
}

/// A tensor by what it is; `None` for what is copied. `is_named` is whether somebody has asked for this
/// very tensor.
fn choice<'a>(
    tensor: &'a TensorInfo,
    described: &TensorDescription,
    is_named: bool,
) -> Result<Option<Chosen<'a>>, NotCoded> {
    let TensorInfo { ref name, dtype, ref shape, .. } = *tensor;
    let (name, shape, kind) = (|| name.clone(), || shape.clone(), described.kind.name());
    let matrix = Float::of(dtype).filter(|_| tensor.rank() >= 2 && tensor.bytes > 0);
    let coded = Float::of(dtype).map(|float| Chosen {
        tensor,
        float,
        axis: described.axis.or_first(),
        is_axis_guessed: described.axis.axis.is_none(),
    });
    match &described.kind {
        TensorKind::Weights(_) if coded.is_some() => Ok(coded),
        _ if is_named && matrix.is_some() => Ok(coded),
        TensorKind::Codes(_) | TensorKind::Float8(_) => {
            Err(NotCoded::Words { name: name(), dtype })
        }
        TensorKind::Weights(_) | TensorKind::Unknown => {
            let or_named =
                matrix.map(|_| format!(", and --only '{}' makes a code for it", tensor.name));
            let (name, shape, or_named) = (name(), shape(), or_named.unwrap_or_default());
            Err(NotCoded::Unknown { name, dtype, shape, or_named })
        }
        _ if is_named => Err(NotCoded::NoWeights { name: name(), dtype, shape: shape(), kind }),
        _ => Ok(None),
    }
}
