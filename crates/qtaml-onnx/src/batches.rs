//! Batches: the samples along the first axis, as many at a time as the model takes.

use crate::inputs::{Array, Dim, InputSpec, Inputs};
use crate::{InputError, RunError};
use rten::Value;

/// How the samples of inputs are cut into batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) samples: usize,
    /// The samples of each batch but the last.
    pub(crate) batch: usize,
    /// How many rows each input has in a batch. None for one that is the same in all batches.
    rows: Vec<Option<usize>>,
}

impl Cut {
    /// Samples lie along the first axis of the first input that has one. Where that axis is of any
    /// size, `wanted` samples are run at a time; where it is fixed, as many as it says. Another input
    /// is cut alike if its first axis has the same name, is of any size too and has as many samples,
    /// or is fixed and has as many batches.
    pub(crate) fn of(
        inputs: &Inputs,
        specs: &[InputSpec],
        wanted: usize,
    ) -> Result<Self, InputError> {
        let array = |spec: &InputSpec| inputs.arrays.get(&spec.name);
        let first = |spec: &InputSpec| array(spec).and_then(|array| array.shape.first().copied());
        let Some(leader) = specs.iter().find(|spec| first(spec).is_some()) else {
            return Ok(Self { samples: 1, batch: 1, rows: vec![None; specs.len()] });
        };
        let samples = first(leader).unwrap_or(0);
        if samples == 0 {
            return Err(InputError::Empty { name: leader.name.clone() });
        }
        let fixed = match leader.first() {
            Some(Dim::Fixed(size)) => Some(*size),
            _ => None,
        };
        let batch = fixed.unwrap_or(wanted.max(1)).min(samples);
        if fixed.is_some() && samples % batch != 0 {
            return Err(InputError::Samples { name: leader.name.clone(), samples, batch });
        }
        let batches = samples.div_ceil(batch);
        let mut rows = Vec::with_capacity(specs.len());
        for spec in specs {
            let size = first(spec);
            let of_batch = match (leader.first(), spec.first(), size) {
                (_, _, None) => None,
                (_, Some(Dim::Fixed(own)), Some(size)) if size == own * batches => {
                    (fixed.is_some() && batches > 1).then_some(*own)
                }
                (_, Some(Dim::Fixed(own)), Some(size)) if size == *own => None,
                (_, Some(Dim::Fixed(own)), Some(size)) => {
                    let name = spec.name.clone();
                    return Err(InputError::Samples { name, samples: size, batch: *own });
                }
                (Some(Dim::Named(a)), Some(Dim::Named(b)), _) if a != b => None,
                (_, _, Some(size)) => (size == samples && fixed.is_none()).then_some(batch),
            };
            rows.push(of_batch);
        }
        Ok(Self { samples, batch, rows })
    }

    /// The samples of each batch.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let batches = self.samples.div_ceil(self.batch);
        (0..batches).map(|i| self.batch.min(self.samples - i * self.batch)).collect()
    }

    /// The values of one input in batch number `batch`.
    pub(crate) fn value(
        &self,
        input: usize,
        spec: &InputSpec,
        array: &Array,
        batch: usize,
    ) -> Option<Value> {
        let all = array.shape.first().copied().unwrap_or(1);
        let of_batch = |rows: usize| batch * rows..((batch + 1) * rows).min(all);
        let range = self.rows[input].map_or(0..all, of_batch);
        array.value(spec.kind, range)
    }
}

/// Puts the outputs of batches together along their first axis.
pub(crate) fn joined(
    name: &str,
    parts: Vec<(Vec<usize>, Vec<f32>)>,
    cut: &Cut,
) -> Result<(Vec<usize>, Vec<f32>), RunError> {
    let sizes = cut.sizes();
    let mut parts = parts.into_iter();
    if sizes.len() == 1 {
        let (mut shape, values) = parts.next().unwrap_or_default();
        if shape.is_empty() {
            shape = vec![1];
        }
        return Ok((shape, values));
    }
    let mut joined: Option<(Vec<usize>, Vec<f32>)> = None;
    for ((shape, values), &samples) in parts.zip(&sizes) {
        let tail = joined.as_ref().map(|(shape, _)| &shape[1..]);
        let fits = shape.first() == Some(&samples) && tail.is_none_or(|tail| *tail == shape[1..]);
        if !fits {
            let (output, of) = (name.to_owned(), cut.samples);
            return Err(RunError::Batch { output, found: shape, samples, of });
        }
        match &mut joined {
            None => joined = Some((shape, values)),
            Some((all, rows)) => {
                all[0] += samples;
                rows.extend(values);
            }
        }
    }
    Ok(joined.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::InputKind;

    fn spec(name: &str, first: Dim) -> InputSpec {
        InputSpec {
            name: name.to_owned(),
            kind: InputKind::Float,
            shape: Some(vec![first, Dim::Fixed(1)]),
        }
    }

    fn array(rows: usize) -> Array {
        Array::f32([rows, 1], (0..rows).map(|i| i as f32).collect())
    }

    fn floats(cut: &Cut, input: usize, spec: &InputSpec, array: &Array, batch: usize) -> Vec<f32> {
        let value = cut.value(input, spec, array, batch).unwrap();
        value.into_shape_vec::<f32, 2>().unwrap().1
    }

    #[test]
    fn samples_of_any_number_are_cut_as_wanted() {
        let named = Dim::Named("batch".to_owned());
        let specs = [spec("x", named.clone()), spec("y", named), spec("state", Dim::Fixed(2))];
        let inputs = Inputs::new().with("x", array(5)).with("y", array(5)).with("state", array(2));
        let cut = Cut::of(&inputs, &specs, 2).unwrap();
        assert_eq!(cut.sizes(), [2, 2, 1]);
        assert_eq!(floats(&cut, 1, &specs[1], &array(5), 2), [4.0]);
        assert_eq!(floats(&cut, 2, &specs[2], &array(2), 2), [0.0, 1.0]);
    }

    #[test]
    fn a_fixed_batch_is_kept() {
        let specs = [spec("x", Dim::Fixed(1)), spec("state", Dim::Fixed(2))];
        let inputs = |x, state| Inputs::new().with("x", array(x)).with("state", array(state));
        let cut = Cut::of(&inputs(3, 6), &specs, 16).unwrap();
        assert_eq!(cut.sizes(), [1, 1, 1]);
        assert_eq!(floats(&cut, 1, &specs[1], &array(6), 1), [2.0, 3.0]);
        let cut = Cut::of(&inputs(3, 2), &specs, 16).unwrap();
        assert_eq!(floats(&cut, 1, &specs[1], &array(2), 1), [0.0, 1.0]);
        let error = Cut::of(&inputs(3, 4), &specs, 16).unwrap_err().to_string();
        assert!(error.starts_with("input \"state\" has 4 samples: the model takes 2"), "{error}");
        let two = [spec("x", Dim::Fixed(2))];
        assert!(Cut::of(&Inputs::new().with("x", array(3)), &two, 16).is_err());
        assert!(Cut::of(&Inputs::new().with("x", array(0)), &two, 16).is_err());
    }

    #[test]
    fn outputs_are_joined_along_the_samples() {
        let cut = Cut { samples: 3, batch: 2, rows: vec![Some(2)] };
        let parts = vec![(vec![2, 1], vec![1.0, 2.0]), (vec![1, 1], vec![3.0])];
        assert_eq!(joined("y", parts, &cut).unwrap(), (vec![3, 1], vec![1.0, 2.0, 3.0]));
        let parts = vec![(vec![1, 2], vec![1.0, 2.0]), (vec![1, 1], vec![3.0])];
        assert!(matches!(joined("y", parts, &cut), Err(RunError::Batch { .. })));
    }
}
