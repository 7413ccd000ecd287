//! The axis of output channels: from the file where it says, else from whom it belongs to.

use std::fmt;
use std::str::FromStr;

use super::{Model, TensorKind, Traits, WeightRole};
use crate::{TensorInfo, UnknownName};

/// How a framework lays out the matrix of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// `[outputs, inputs]`, as `PyTorch` has it; its files say `format: pt`.
    PyTorch,
    /// `[inputs, outputs]`, as burn has it; files of burn-store 0.22 say `producer: burn`.
    Burn,
}

/// The axis of output channels of a tensor, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OutputAxis {
    /// The axis, if the tensor has one that is known.
    pub axis: Option<usize>,
    /// Who says so.
    pub source: AxisSource,
}

/// Who says which axis is that of output channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AxisSource {
    /// The layout that was given.
    Given,
    /// What belongs to the same layer: a bias or scales that fit one axis alone.
    Companion,
    /// The metadata of the file.
    File,
    /// What the other layers of the file have in common.
    OtherLayers,
    /// The kind of layer: it is the same in every framework.
    Kind,
    /// The nodes of a graph that read it.
    Graph,
    /// Nobody.
    Unknown,
}

impl Layout {
    /// Every layout there is.
    pub const ALL: [Self; 2] = [Self::PyTorch, Self::Burn];

    /// Its name, as on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PyTorch => "pytorch",
            Self::Burn => "burn",
        }
    }

    /// The axis of outputs of a linear layer.
    const fn linear_axis(self) -> usize {
        match self {
            Self::PyTorch => 0,
            Self::Burn => 1,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.into_iter().find(|layout| layout.name() == name);
        known.ok_or_else(|| UnknownName::new("layout", name, Self::ALL.map(Self::name)))
    }
}

impl OutputAxis {
    pub(crate) const NONE: Self = Self { axis: None, source: AxisSource::Unknown };

    pub(crate) const fn new(axis: usize, source: AxisSource) -> Self {
        Self { axis: Some(axis), source }
    }

    /// The axis, or the first one where nobody knows.
    pub fn or_first(self) -> usize {
        self.axis.unwrap_or(0)
    }
}

impl AxisSource {
    /// Its name, as in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Companion => "companion",
            Self::File => "file",
            Self::OtherLayers => "other-layers",
            Self::Kind => "kind",
            Self::Graph => "graph",
            Self::Unknown => "unknown",
        }
    }
}

impl Model<'_> {
    /// The axis of each tensor.
    pub(super) fn axes(&self, kinds: &[TensorKind], layout: Option<Layout>) -> Vec<OutputAxis> {
        let tensors = || self.tensors.iter().zip(kinds);
        let by_companion: Vec<Option<usize>> =
            tensors().map(|(tensor, kind)| self.by_companion(tensor, kind)).collect();
        let by_all = agreed(tensors().zip(&by_companion).filter_map(|((_, kind), axis)| {
            axis.filter(|_| matches!(kind, TensorKind::Weights(WeightRole::Linear)))
        }));
        let by_file = self.by_file();
        let axis = |((tensor, kind), companion): ((&TensorInfo, &TensorKind), &Option<usize>)| {
            let linear = || match (layout, *companion, by_file, by_all) {
                (Some(layout), ..) => OutputAxis::new(layout.linear_axis(), AxisSource::Given),
                (_, Some(axis), ..) => OutputAxis::new(axis, AxisSource::Companion),
                (_, _, Some(layout), _) => OutputAxis::new(layout.linear_axis(), AxisSource::File),
                (.., Some(axis)) => OutputAxis::new(axis, AxisSource::OtherLayers),
                _ => OutputAxis::NONE,
            };
            match kind {
                TensorKind::Weights(role) | TensorKind::Float8(role) => match role {
                    WeightRole::Linear => linear(),
                    WeightRole::Convolution | WeightRole::Embedding => {
                        OutputAxis::new(0, AxisSource::Kind)
                    }
                    WeightRole::TransposedConvolution => OutputAxis::new(1, AxisSource::Kind),
                    WeightRole::Other => OutputAxis::NONE,
                },
                TensorKind::Codes(codes) => match codes.output_axis {
                    Some(axis) => OutputAxis::new(axis, AxisSource::Kind),
                    None if tensor.rank() == 2 && codes.bits == 8 => linear(),
                    None => OutputAxis::NONE,
                },
                _ => OutputAxis::NONE,
            }
        };
        tensors().zip(&by_companion).map(axis).collect()
    }

    /// What the file says of itself.
    fn by_file(&self) -> Option<Layout> {
        let says = |key: &str, value: &str| self.metadata.get(key).is_some_and(|v| v == value);
        // burn-store writes `format: safetensors` (`SafetensorsStore::default_metadata`).
        match () {
            () if says("producer", "burn") => Some(Layout::Burn),
            () if says("format", "pt") => Some(Layout::PyTorch),
            () => None,
        }
    }

    /// The axis that the bias of the same layer fits, if it is one alone. `Conv1D` of GPT-2 is
    /// `[inputs, outputs]` in files that say `pt`.
    fn by_companion(&self, tensor: &TensorInfo, kind: &TensorKind) -> Option<usize> {
        let is_matrix = tensor.rank() == 2 && kind.is_weight() && tensor.leaf() == "weight";
        let bias = self.get(tensor.layer(), "bias").filter(|_| is_matrix)?;
        match (bias.shape.as_slice(), tensor.shape.as_slice()) {
            ([n], [a, b]) if n == a && n != b => Some(0),
            ([n], [a, b]) if n == b && n != a => Some(1),
            _ => None,
        }
    }
}

/// The axis that all have, if any has one.
fn agreed(mut axes: impl Iterator<Item = usize>) -> Option<usize> {
    let first = axes.next()?;
    axes.all(|axis| axis == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use super::*;
    use crate::kind::tests::{Sample, describe_with};

    fn f32(name: &'static str, shape: &[usize]) -> Sample {
        (name, Dtype::F32, shape.to_vec(), Vec::new())
    }

    fn axes(
        samples: &[Sample],
        metadata: &[(&str, &str)],
        layout: Option<Layout>,
    ) -> Vec<(Option<usize>, AxisSource)> {
        let all = describe_with(samples, metadata, layout);
        all.into_iter().map(|tensor| (tensor.axis.axis, tensor.axis.source)).collect()
    }

    const PT: &[(&str, &str)] = &[("format", "pt")];
    const BURN: &[(&str, &str)] = &[("format", "safetensors"), ("producer", "burn")];

    #[test]
    fn the_axis_is_that_of_the_framework_the_layer_or_the_flag() {
        use AxisSource as S;
        let square = [f32("a.weight", &[8, 8]), f32("a.bias", &[8])];
        assert_eq!(axes(&square, PT, None)[0], (Some(0), S::File));
        assert_eq!(axes(&square, BURN, None)[0], (Some(1), S::File));
        assert_eq!(axes(&square, &[], None)[0], (None, S::Unknown));
        assert_eq!(axes(&square, PT, Some(Layout::Burn))[0], (Some(1), S::Given));

        // GPT-2: [inputs, outputs] in a file of PyTorch.
        let conv1d = [f32("h.c_attn.weight", &[768, 2304]), f32("h.c_attn.bias", &[2304])];
        assert_eq!(axes(&conv1d, PT, None)[0], (Some(1), S::Companion));

        // A file that says nothing, and layers that do.
        let head = f32("head.weight", &[8, 8]);
        let outputs_last = [f32("a.weight", &[4, 9]), f32("a.bias", &[9]), head.clone()];
        assert_eq!(axes(&outputs_last, &[], None)[2], (Some(1), S::OtherLayers));
        let outputs_first = [f32("a.weight", &[9, 4]), f32("a.bias", &[9]), head.clone()];
        assert_eq!(axes(&outputs_first, &[], None)[2], (Some(0), S::OtherLayers));
        let both = [
            f32("a.weight", &[4, 9]),
            f32("a.bias", &[9]),
            f32("b.weight", &[9, 4]),
            f32("b.bias", &[9]),
            head,
        ];
        assert_eq!(axes(&both, &[], None)[4], (None, S::Unknown));
    }

    #[test]
    fn layers_that_are_the_same_everywhere_have_their_axis() {
        use AxisSource as S;
        for metadata in [PT, BURN, &[]] {
            let found = axes(
                &[
                    f32("conv.weight", &[16, 8, 3, 3]),
                    f32("deconv.weight", &[16, 8, 2, 2]),
                    f32("embed.weight", &[100, 8]),
                    f32("experts.gate_up_proj", &[8, 64, 128]),
                    f32("a.bias", &[8]),
                ],
                metadata,
                None,
            );
            let kind = |axis| (Some(axis), S::Kind);
            let none = (None, S::Unknown);
            assert_eq!(found, [kind(0), kind(1), kind(0), none, none]);
        }
        assert_eq!(OutputAxis::NONE.or_first(), 0);
    }

    #[test]
    fn names_lead_back() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse(), Ok(layout));
        }
        let error = "torch".parse::<Layout>().unwrap_err().to_string();
        assert!(error.starts_with("there is no layout \"torch\": there are"), "{error}");
    }
}
