//! How finely the weights of a network are told apart.

use std::ops::Range;

use burn::module::Module;

use crate::{Parameter, TrainError, parameters};

/// What is treated as one: quantized with one scale, protected alike, scored as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Granularity {
    /// A whole weight tensor, usually a layer.
    #[default]
    Tensor,
    /// The weights of one output channel.
    Channel,
    /// So many weights in a row, in channel-major order; the last group of a tensor may be smaller.
    Group(usize),
}

impl std::fmt::Display for Granularity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tensor => f.write_str("tensor"),
            Self::Channel => f.write_str("channel"),
            Self::Group(weights) => write!(f, "group of {weights}"),
        }
    }
}

/// A part of one weight tensor.
///
/// Weights are counted in *channel-major* order: those of the first output channel, then those of
/// the second. A kernel `[out, in, ...]` is kept so; a matrix `[in, out]`, as burn keeps linear
/// layers, is transposed. So a unit is always a range, and a tensor meets the same faults whether
/// it is read whole or in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The tensor's name, and which part of it where there are several: `conv1.weight[3]`.
    pub name: String,
    /// The name of the tensor.
    pub tensor: String,
    /// Its weights, in channel-major order.
    pub range: Range<usize>,
}

/// The units of every weight of rank two or more, in the order of the network's fields.
///
/// # Errors
/// [`TrainError::Range`] for groups of no weights, [`TrainError::NoWeights`] if there are none.
pub fn units<M: Module>(model: &M, granularity: Granularity) -> Result<Vec<Unit>, TrainError> {
    if granularity == Granularity::Group(0) {
        let allowed = "it must be at least 1";
        return Err(TrainError::Range { what: "the size of a group", value: 0.0, allowed });
    }
    let weights = parameters(model).into_iter().filter(Parameter::is_weight);
    let units: Vec<Unit> = weights.flat_map(|p| units_of(&p, granularity)).collect();
    if units.is_empty() { Err(TrainError::NoWeights) } else { Ok(units) }
}

fn units_of(parameter: &Parameter, granularity: Granularity) -> Vec<Unit> {
    let (tensor, count) = (&parameter.name, parameter.values.len());
    let size = match granularity {
        Granularity::Tensor => count,
        Granularity::Channel => count / channels(&parameter.shape),
        Granularity::Group(size) => size,
    };
    let starts = (0..count).step_by(size.max(1));
    starts
        .enumerate()
        .map(|(part, start)| Unit {
            name: if size >= count { tensor.clone() } else { format!("{tensor}[{part}]") },
            tensor: tensor.clone(),
            range: start..(start + size).min(count),
        })
        .collect()
}

/// The number of output channels of a weight of this shape.
fn channels(shape: &[usize]) -> usize {
    match *shape {
        [_, out] | [out] | [out, _, _, ..] => out,
        [] => 1,
    }
}

/// Values of a tensor of `shape`, from row-major to channel-major order.
pub(crate) fn to_channel_major<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
    match *shape {
        [rows, columns] => transpose(values, rows, columns),
        _ => values.to_vec(),
    }
}

/// Values of a tensor of `shape`, from channel-major to row-major order.
pub(crate) fn to_row_major<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
    match *shape {
        [rows, columns] => transpose(values, columns, rows),
        _ => values.to_vec(),
    }
}

fn transpose<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::LeNetConfig;

    #[test]
    fn units_cover_every_weight_once() {
        let model = LeNetConfig::digits().init(&Device::flex());
        for granularity in [Granularity::Tensor, Granularity::Channel, Granularity::Group(7)] {
            let units = units(&model, granularity).unwrap();
            for p in parameters(&model).iter().filter(|p| p.is_weight()) {
                let mut next = 0;
                for unit in units.iter().filter(|unit| unit.tensor == p.name) {
                    assert_eq!(unit.range.start, next);
                    next = unit.range.end;
                }
                assert_eq!(next, p.values.len(), "{} by {granularity}", p.name);
            }
        }
        let count = |granularity| units(&model, granularity).unwrap().len();
        assert_eq!(count(Granularity::Tensor), 5);
        assert_eq!(count(Granularity::Channel), 6 + 16 + 120 + 84 + 10);
        assert_eq!(count(Granularity::Group(1 << 20)), 5);
    }

    #[test]
    fn a_linear_layer_is_cut_by_its_outputs() {
        let row_major = [1, 2, 3, 4, 5, 6];
        let channel_major = to_channel_major(&[2, 3], &row_major);
        assert_eq!(channel_major, [1, 4, 2, 5, 3, 6]);
        assert_eq!(to_row_major(&[2, 3], &channel_major), row_major);
        assert_eq!(to_channel_major(&[3, 1, 2], &row_major), row_major);
    }

    #[test]
    fn groups_of_nothing_are_refused() {
        let model = LeNetConfig::digits().init(&Device::flex());
        let error = units(&model, Granularity::Group(0)).unwrap_err().to_string();
        assert_eq!(error, "the size of a group is 0: it must be at least 1");
    }
}
