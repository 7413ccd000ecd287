//! Random inputs, for models without data at hand.

use std::collections::BTreeMap;

use qtaml_fault::Seed;
use rand::RngExt as _;
use rand_distr::StandardNormal;

use crate::inputs::{Array, Dim, InputKind, InputSpec, Inputs};
use crate::operands::InputKind as Reads;
use crate::{InputError, OnnxModel};

impl Inputs {
    /// Random inputs of `samples` samples, where the graph says all other sizes.
    ///
    /// Floats are normal with mean 0 and variance 1. Integers that look up rows of a table are uniform
    /// over its rows; others are 0 or 1. Truth values are a fair coin. The numbers of an input are those
    /// of `seed.rng("synthetic.NAME", 0)`.
    ///
    /// # Errors
    /// As [`synthetic_with`](Self::synthetic_with).
    pub fn synthetic(model: &OnnxModel, samples: usize, seed: Seed) -> Result<Self, InputError> {
        Self::synthetic_with(model, samples, seed, &BTreeMap::new())
    }

    /// The same with sizes of dimensions that the graph leaves open, by name. The first dimension of an
    /// input is the number of samples unless it is fixed.
    ///
    /// # Errors
    /// [`InputError::Open`] naming the dimensions whose size is not known, [`InputError::Type`] for an
    /// input of another type.
    pub fn synthetic_with(
        model: &OnnxModel,
        samples: usize,
        seed: Seed,
        sizes: &BTreeMap<String, usize>,
    ) -> Result<Self, InputError> {
        let specs = model.inputs();
        let leader = specs.iter().find_map(InputSpec::first);
        let mut unknown = Vec::new();
        let mut size = |spec: &InputSpec, axis: usize, dim: &Dim| {
            let given = |name: &str| sizes.get(name).copied();
            match dim {
                // A model of one sample takes several one by one.
                Dim::Fixed(size) if axis == 0 && leader == Some(dim) => {
                    size * samples.div_ceil(*size)
                }
                Dim::Fixed(size) => *size,
                Dim::Named(name) if given(name).is_some() => given(name).unwrap_or(1),
                Dim::Named(_) | Dim::Any if axis == 0 => samples,
                Dim::Named(name) => {
                    unknown.push(format!("dimension {name:?} of input {:?}", spec.name));
                    1
                }
                Dim::Any => {
                    unknown.push(format!("dimension number {axis} of input {:?}", spec.name));
                    1
                }
            }
        };
        let mut shapes = Vec::with_capacity(specs.len());
        for spec in specs {
            let dims = spec.shape.as_deref().unwrap_or_default();
            let shape: Vec<usize> =
                dims.iter().enumerate().map(|(axis, dim)| size(spec, axis, dim)).collect();
            shapes.push(shape);
        }
        unknown.extend(
            specs
                .iter()
                .filter(|spec| spec.shape.is_none())
                .map(|spec| format!("input {:?}", spec.name)),
        );
        if !unknown.is_empty() {
            return Err(InputError::Open { unknown });
        }
        let drawn = specs
            .iter()
            .zip(shapes)
            .map(|(spec, shape)| Ok((spec.name.clone(), drawn(model, spec, shape, seed)?)));
        Ok(Self { arrays: drawn.collect::<Result<_, InputError>>()? })
    }
}

fn drawn(
    model: &OnnxModel,
    spec: &InputSpec,
    shape: Vec<usize>,
    seed: Seed,
) -> Result<Array, InputError> {
    let mut rng = seed.rng(&format!("synthetic.{}", spec.name), 0);
    let count = 0..shape.iter().product::<usize>();
    match spec.kind {
        InputKind::Float => {
            Ok(Array::f32(shape, count.map(|_| rng.sample(StandardNormal)).collect()))
        }
        InputKind::Integer | InputKind::Int8 | InputKind::UInt8 => {
            let end = rows(model, &spec.name).unwrap_or(2).clamp(1, i32::MAX as usize) as i32;
            Ok(Array::i32(shape, count.map(|_| rng.random_range(0..end)).collect()))
        }
        InputKind::Bool => {
            let coins: Vec<bool> = count.map(|_| rng.random()).collect();
            Ok(Array::bool(shape, &coins))
        }
        InputKind::Other(_) => {
            Err(InputError::Type { name: spec.name.clone(), kind: spec.kind.to_string() })
        }
    }
}

/// The rows of the smallest table that an input looks up.
fn rows(model: &OnnxModel, input: &str) -> Option<usize> {
    let shared = &model.shared;
    let weights = shared.weights.iter().zip(&shared.activations);
    let uses = weights.flat_map(|(weight, names)| {
        weight.uses.iter().zip(names).map(move |(used, name)| (weight, used, name))
    });
    let tables = uses.filter(|(_, used, name)| {
        name.as_deref() == Some(input) && used.input.is_some_and(|input| input.kind == Reads::Rows)
    });
    tables.filter_map(|(weight, used, _)| weight.tensor.shape.get(used.axes[1]?).copied()).min()
}
