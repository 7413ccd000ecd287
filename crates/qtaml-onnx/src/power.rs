//! The power of input channels: the mean square of what each weight is multiplied with.

use std::collections::HashSet;

use qtaml_deploy::Values;
use rten::{NodeId, Value};
use rten_tensor::prelude::*;

use crate::RunError;
use crate::model::Shared;
use crate::operands::{Input, InputKind};
use crate::run::{fused_away, run, runtime};
use crate::runner::OnnxRunner;
use crate::scope::axis;
use crate::weights::Use;

/// What was measured for each use of each weight: the mean square of each of its input channels.
pub(crate) struct Powers {
    uses: Vec<Vec<Option<Vec<f64>>>>,
}

/// The sum of squares of each channel, and how many values it has.
#[derive(Debug, Clone, PartialEq)]
struct Sums {
    squares: Vec<f64>,
    count: usize,
}

impl Powers {
    /// Runs the model once on all inputs, and looks at what its weights are multiplied with.
    pub(crate) fn measure(runner: &OnnxRunner) -> Result<Self, RunError> {
        let shared = &runner.shared;
        let base = Values::new();
        let buffers = runner.buffers(&base);
        let mut sums: Vec<Vec<Option<Sums>>> =
            shared.weights.iter().map(|weight| vec![None; weight.uses.len()]).collect();
        let mut gone: HashSet<String> = HashSet::new();
        runner.apart(|pool| {
            for batch in 0..runner.batches.len() {
                let arguments = runner.arguments(batch, &buffers);
                let values = loop {
                    let asked = asked(runner, &gone);
                    match run(&runner.variant().model, arguments.clone(), &ids(&asked), pool) {
                        Ok(values) => break asked.into_iter().zip(values).collect::<Vec<_>>(),
                        Err(error) => {
                            let name = fused_away(&error).filter(|name| gone.insert(name.clone()));
                            name.ok_or_else(|| runtime(error))?;
                        }
                    }
                };
                for (weight, sums) in sums.iter_mut().enumerate() {
                    for (number, sums) in sums.iter_mut().enumerate() {
                        let found = read(runner, (weight, number), &values, batch);
                        add(sums, found, batch);
                    }
                }
            }
            Ok(())
        })?;
        let mean = |sums: Sums| {
            let count = sums.count.max(1) as f64;
            sums.squares.iter().map(|square| square / count).collect()
        };
        let uses =
            sums.into_iter().map(|uses| uses.into_iter().map(|sums| sums.map(mean)).collect());
        Ok(Self { uses: uses.collect() })
    }

    /// The sum over all uses of a weight, for each of its values; none if it cannot be told for one.
    pub(crate) fn of(&self, shared: &Shared, index: usize) -> Option<Vec<f32>> {
        let (weight, powers) = (shared.weights.get(index)?, self.uses.get(index)?);
        let mut all = vec![0.0; weight.values.len()];
        for (used, power) in weight.uses.iter().zip(powers) {
            spread(used, power.as_ref()?, &weight.tensor.shape, &mut all)?;
        }
        Some(all)
    }
}

/// The activations that can be asked for, by name.
fn asked(runner: &OnnxRunner, gone: &HashSet<String>) -> Vec<(String, NodeId)> {
    let (model, mut asked) = (&runner.variant().model, Vec::<(String, NodeId)>::new());
    let names = runner.shared.activations.iter().flatten().flatten();
    for name in names.filter(|name| !gone.contains(*name)) {
        let Some(id) = model.find_node(name) else { continue };
        if asked.iter().all(|(_, other)| *other != id) {
            asked.push((name.clone(), id));
        }
    }
    asked
}

fn ids(asked: &[(String, NodeId)]) -> Vec<NodeId> {
    asked.iter().map(|(_, id)| *id).collect()
}

/// The sums of one use in one batch.
fn read(
    runner: &OnnxRunner,
    (weight, number): (usize, usize),
    values: &[((String, NodeId), Value)],
    batch: usize,
) -> Option<Sums> {
    let shared = &runner.shared;
    let used = &shared.weights[weight].uses[number];
    let name = shared.activations[weight][number].as_ref()?;
    let computed = values.iter().find(|((other, _), _)| other == name).map(|(_, value)| value);
    let given = || {
        let id = runner.variant().model.find_node(name)?;
        runner.batches[batch].iter().find(|(other, _)| *other == id).map(|(_, value)| value)
    };
    let value = computed.or_else(given)?;
    let input = used.input?;
    match (input.kind, value) {
        (InputKind::Rows, Value::Int32Tensor(rows)) => {
            let rows_of_table = *shared.tensors[weight].shape.get(used.axes[1]?)?;
            Some(counts(rows.iter().copied(), rows_of_table))
        }
        (InputKind::Channels(_) | InputKind::Groups(_), Value::FloatTensor(tensor)) => {
            let along = match input.kind {
                InputKind::Channels(along) => along,
                _ => 1,
            };
            Some(squares(&tensor.to_vec(), tensor.shape(), axis(along, tensor.ndim())?))
        }
        _ => None,
    }
}

fn counts(rows: impl Iterator<Item = i32>, of: usize) -> Sums {
    let mut sums = Sums { squares: vec![0.0; of], count: 0 };
    for row in rows {
        let at = if row < 0 { i64::from(row) + of as i64 } else { i64::from(row) };
        if let Some(square) = usize::try_from(at).ok().and_then(|at| sums.squares.get_mut(at)) {
            *square += 1.0;
        }
        sums.count += 1;
    }
    sums
}

fn squares(values: &[f32], shape: &[usize], along: usize) -> Sums {
    let channels = shape[along];
    let inner = shape[along + 1..].iter().product::<usize>().max(1);
    let mut squares = vec![0.0; channels];
    for (row, values) in values.chunks(inner).enumerate() {
        squares[row % channels] += values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    }
    Sums { squares, count: values.len() / channels.max(1) }
}

/// What cannot be told in one batch cannot be told at all.
fn add(sums: &mut Option<Sums>, found: Option<Sums>, batch: usize) {
    match (sums.as_mut(), found) {
        (None, Some(found)) if batch == 0 => *sums = Some(found),
        (Some(sums), Some(found)) if sums.squares.len() == found.squares.len() => {
            sums.count += found.count;
            sums.squares.iter_mut().zip(&found.squares).for_each(|(sum, square)| *sum += square);
        }
        _ => *sums = None,
    }
}

/// Adds the power of its input channel to each weight. None if the channels are not those of the tensor.
fn spread(used: &Use, power: &[f64], shape: &[usize], all: &mut [f32]) -> Option<()> {
    let Input { kind, .. } = used.input?;
    let inputs = Along::new(shape, used.axes[1]?);
    if !used.whole[1] {
        return None;
    }
    let InputKind::Groups(groups) = kind else {
        if power.len() != inputs.size {
            return None;
        }
        for (position, weight) in all.iter_mut().enumerate() {
            *weight += power[inputs.index(position)] as f32;
        }
        return Some(());
    };
    let outputs = Along::new(shape, used.axes[0]?);
    if !used.whole[0] || power.len() != groups * inputs.size || !outputs.size.is_multiple_of(groups)
    {
        return None;
    }
    let of_group = (outputs.size / groups).max(1);
    for (position, weight) in all.iter_mut().enumerate() {
        let group = outputs.index(position) / of_group;
        *weight += power[group * inputs.size + inputs.index(position)] as f32;
    }
    Some(())
}

/// An axis of a row-major shape.
struct Along {
    size: usize,
    inner: usize,
}

impl Along {
    fn new(shape: &[usize], axis: usize) -> Self {
        Self { size: shape[axis], inner: shape[axis + 1..].iter().product::<usize>().max(1) }
    }

    fn index(&self, position: usize) -> usize {
        position / self.inner % self.size.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_summed_for_each_channel() {
        // Two samples of three channels of two places.
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let sums = squares(&values, &[2, 3, 2], 1);
        assert_eq!(
            sums,
            Sums {
                squares: vec![86.0, 4.0 + 9.0 + 64.0 + 81.0, 16.0 + 25.0 + 100.0 + 121.0],
                count: 4
            }
        );
        assert_eq!(
            counts([1, -1, 1].into_iter(), 3),
            Sums { squares: vec![0.0, 2.0, 1.0], count: 3 }
        );
    }

    #[test]
    fn groups_of_a_convolution_see_their_own_channels() {
        let input = Input { index: 0, kind: InputKind::Groups(2), weight_axis: 1 };
        let used = Use {
            scope: 0,
            node: 0,
            input: Some(input),
            axes: [Some(0), Some(1)],
            whole: [true; 2],
        };
        let mut all = vec![0.0; 4];
        spread(&used, &[1.0, 2.0, 3.0, 4.0], &[2, 2], &mut all).unwrap();
        assert_eq!(all, [1.0, 2.0, 3.0, 4.0]);
        assert!(spread(&used, &[1.0; 3], &[2, 2], &mut all).is_none());
    }
}
