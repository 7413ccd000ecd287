//! Inputs of a model: named arrays, checked against what the graph takes.

use std::collections::BTreeMap;
use std::fmt;

use half::f16;
use rten::Value;
use rten_onnx::onnx::{DataType, GraphProto, ValueInfoProto};

use crate::InputError;

/// One input of a model, as its graph declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputSpec {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: InputKind,
    /// Its shape, if the graph says so much.
    pub shape: Option<Vec<Dim>>,
}

/// A type of inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputKind {
    /// Floats: of 32 bits, or of 16 or 64, which the runtime computes in 32.
    Float,
    /// Integers of 32 or 64 bits, which the runtime computes in 32.
    Integer,
    /// Truth values.
    Bool,
    /// Integers of 8 bits.
    Int8,
    /// Integers of 8 bits without a sign.
    UInt8,
    /// Another type, by its number in `onnx.proto`.
    Other(i32),
}

/// One dimension of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dim {
    /// Of this size.
    Fixed(usize),
    /// Of any size, the same wherever the name stands.
    Named(String),
    /// Of any size.
    Any,
}

impl fmt::Display for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float => f.write_str("floats"),
            Self::Integer => f.write_str("integers"),
            Self::Bool => f.write_str("truth values"),
            Self::Int8 => f.write_str("8-bit integers"),
            Self::UInt8 => f.write_str("unsigned 8-bit integers"),
            Self::Other(number) => write!(f, "{}", DataType(*number)),
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Named(name) => f.write_str(name),
            Self::Any => f.write_str("?"),
        }
    }
}

impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.name, self.kind)?;
        match &self.shape {
            Some(shape) => write!(f, " {}", shown(shape)),
            None => Ok(()),
        }
    }
}

fn shown(shape: &[Dim]) -> String {
    let sizes: Vec<String> = shape.iter().map(Dim::to_string).collect();
    format!("[{}]", sizes.join(", "))
}

impl InputSpec {
    /// The inputs of a graph: those that have no initializer.
    pub(crate) fn of_graph(graph: &GraphProto) -> Vec<Self> {
        let stored = |name: &str| graph.initializer.iter().any(|t| t.name.as_deref() == Some(name));
        let inputs = graph.input.iter().map(Self::of);
        inputs.filter(|input| !stored(&input.name)).collect()
    }

    fn of(value: &ValueInfoProto) -> Self {
        let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let kind = match tensor.and_then(|tensor| tensor.elem_type) {
            Some(DataType::FLOAT | DataType::FLOAT16 | DataType::DOUBLE) => InputKind::Float,
            Some(DataType::INT32 | DataType::INT64) => InputKind::Integer,
            Some(DataType::BOOL) => InputKind::Bool,
            Some(DataType::INT8) => InputKind::Int8,
            Some(DataType::UINT8) => InputKind::UInt8,
            other => InputKind::Other(other.map_or(0, |kind| kind.0)),
        };
        let dim = |dim: &rten_onnx::onnx::Dimension| match (dim.dim_value, &dim.dim_param) {
            (Some(size), _) if size > 0 => Dim::Fixed(size as usize),
            // Some exporters write "?" or "-1" for a size that they do not know: that is no name.
            (_, Some(name)) if name.contains(char::is_alphabetic) => Dim::Named(name.clone()),
            _ => Dim::Any,
        };
        let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
        let shape = shape.map(|shape| shape.dim.iter().map(dim).collect());
        Self { name: value.name.clone().unwrap_or_default(), kind, shape }
    }

    /// The first dimension, along which samples lie.
    pub(crate) fn first(&self) -> Option<&Dim> {
        self.shape.as_ref().and_then(|shape| shape.first())
    }

    fn check(&self, array: &Array) -> Result<(), InputError> {
        let name = || self.name.clone();
        let fits = match self.kind {
            InputKind::Float => matches!(array.values, ArrayValues::Float(_)),
            InputKind::Integer => matches!(array.values, ArrayValues::Integer(_)),
            InputKind::Bool => matches!(array.values, ArrayValues::Bool(_)),
            InputKind::Int8 | InputKind::UInt8 => self.holds(array),
            InputKind::Other(_) => {
                return Err(InputError::Type { name: name(), kind: self.kind.to_string() });
            }
        };
        if !fits {
            let (found, expected) = (array.values.to_string(), self.kind.to_string());
            return Err(InputError::Kind { name: name(), found, expected });
        }
        let fits = |(dim, &size): (&Dim, &usize)| match dim {
            Dim::Fixed(fixed) => *fixed == size,
            Dim::Named(_) | Dim::Any => true,
        };
        // The first axis may have several batches of a fixed size.
        let batches = |(dim, &size): (&Dim, &usize)| match dim {
            Dim::Fixed(fixed) => size % (*fixed).max(1) == 0,
            Dim::Named(_) | Dim::Any => true,
        };
        let Some(shape) = &self.shape else { return Ok(()) };
        let mut pairs = shape.iter().zip(&array.shape);
        let is_whole =
            shape.len() == array.shape.len() && pairs.next().is_none_or(batches) && pairs.all(fits);
        if is_whole {
            return Ok(());
        }
        let (found, expected) = (array.shape.clone(), shown(shape));
        Err(InputError::Shape { name: name(), found, expected })
    }

    /// Whether integers are within the range of eight bits.
    fn holds(&self, array: &Array) -> bool {
        let range = if self.kind == InputKind::Int8 { -128..=127 } else { 0..=255 };
        matches!(&array.values, ArrayValues::Integer(values) if values.iter().all(|v| range.contains(v)))
    }
}

/// An array of values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: ArrayValues,
}

/// The values of an array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ArrayValues {
    Float(Vec<f32>),
    Integer(Vec<i32>),
    Bool(Vec<i32>),
    /// An integer that 32 bits do not hold, until it is refused by name.
    Beyond(i64),
}

impl fmt::Display for ArrayValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float(_) => "floats",
            Self::Integer(_) | Self::Beyond(_) => "integers",
            Self::Bool(_) => "truth values",
        })
    }
}

impl Array {
    /// Floats.
    pub fn f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        Self { shape: shape.into(), values: ArrayValues::Float(values) }
    }

    /// Half-precision floats.
    pub fn f16(shape: impl Into<Vec<usize>>, values: &[f16]) -> Self {
        Self::f32(shape, values.iter().map(|value| value.to_f32()).collect())
    }

    /// Integers.
    pub fn i32(shape: impl Into<Vec<usize>>, values: Vec<i32>) -> Self {
        Self { shape: shape.into(), values: ArrayValues::Integer(values) }
    }

    /// Integers, which must be within those of 32 bits.
    pub fn i64(shape: impl Into<Vec<usize>>, values: &[i64]) -> Self {
        let small: Result<Vec<i32>, i64> =
            values.iter().map(|&value| i32::try_from(value).map_err(|_| value)).collect();
        let values = small.map_or_else(ArrayValues::Beyond, ArrayValues::Integer);
        Self { shape: shape.into(), values }
    }

    /// Truth values.
    pub fn bool(shape: impl Into<Vec<usize>>, values: &[bool]) -> Self {
        let values = values.iter().map(|&value| i32::from(value)).collect();
        Self { shape: shape.into(), values: ArrayValues::Bool(values) }
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values as floats.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            ArrayValues::Float(values) => values.clone(),
            ArrayValues::Integer(values) | ArrayValues::Bool(values) => {
                values.iter().map(|&value| value as f32).collect()
            }
            ArrayValues::Beyond(value) => vec![*value as f32; self.shape.iter().product()],
        }
    }

    /// Some of the rows along the first axis.
    fn select(&self, rows: &[usize]) -> Self {
        fn of<T: Copy>(values: &[T], rows: &[usize], row: usize) -> Vec<T> {
            rows.iter()
                .filter_map(|&at| values.get(at * row..(at + 1) * row))
                .flatten()
                .copied()
                .collect()
        }
        let row = self.shape.get(1..).unwrap_or_default().iter().product();
        let values = match &self.values {
            ArrayValues::Float(values) => ArrayValues::Float(of(values, rows, row)),
            ArrayValues::Integer(values) => ArrayValues::Integer(of(values, rows, row)),
            ArrayValues::Bool(values) => ArrayValues::Bool(of(values, rows, row)),
            ArrayValues::Beyond(value) => ArrayValues::Beyond(*value),
        };
        let mut shape = self.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = rows.len();
        }
        Self { shape, values }
    }

    fn len(&self) -> usize {
        match &self.values {
            ArrayValues::Float(values) => values.len(),
            ArrayValues::Integer(values) | ArrayValues::Bool(values) => values.len(),
            ArrayValues::Beyond(_) => self.shape.iter().product(),
        }
    }

    /// What the runtime takes, of some of the samples along the first axis. None for what does not fit.
    pub(crate) fn value(&self, kind: InputKind, samples: std::ops::Range<usize>) -> Option<Value> {
        let row: usize = self.shape.get(1..).unwrap_or_default().iter().product();
        let mut shape = self.shape.clone();
        let range = match shape.first_mut() {
            Some(first) => {
                *first = samples.len();
                samples.start * row..samples.end * row
            }
            None => 0..1,
        };
        match &self.values {
            ArrayValues::Float(values) => of(shape, values.get(range)?, |value| value),
            ArrayValues::Integer(values) | ArrayValues::Bool(values) => match kind {
                InputKind::Int8 => of(shape, values.get(range)?, |value| value as i8),
                InputKind::UInt8 => of(shape, values.get(range)?, |value| value as u8),
                _ => of(shape, values.get(range)?, |value| value),
            },
            ArrayValues::Beyond(_) => None,
        }
    }
}

fn of<T: Copy, U>(shape: Vec<usize>, values: &[T], convert: impl Fn(T) -> U) -> Option<Value>
where
    Value: From<rten_tensor::Tensor<U>>,
{
    Value::from_shape(shape, values.iter().map(|&value| convert(value)).collect()).ok()
}

/// Values for the inputs of a model, by name.
///
/// ```
/// use qtaml_onnx::{Array, Inputs};
///
/// let inputs = Inputs::new()
///     .with("tokens", Array::i64([2, 3], &[1, 5, 0, 7, 2, 2]))
///     .with("mask", Array::bool([2, 3], &[true; 6]));
/// assert_eq!(inputs.names().collect::<Vec<_>>(), ["mask", "tokens"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    pub(crate) arrays: BTreeMap<String, Array>,
}

impl Inputs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with values for one more input.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, array: Array) -> Self {
        self.arrays.insert(name.into(), array);
        self
    }

    /// The names of the inputs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// The number of samples: the length of the first axis, the same for all inputs that have more than
    /// one along it.
    ///
    /// # Errors
    /// [`InputError::Uneven`] if inputs disagree.
    pub fn samples(&self) -> Result<usize, InputError> {
        let mut first: Option<(&str, usize)> = None;
        for (name, array) in &self.arrays {
            let count = array.shape.first().copied().unwrap_or(1);
            match first {
                _ if count == 1 => {}
                None => first = Some((name, count)),
                Some((_, expected)) if expected == count => {}
                Some((other, expected)) => {
                    let (name, other) = (name.clone(), other.to_owned());
                    return Err(InputError::Uneven { name, count, other, expected });
                }
            }
        }
        Ok(first.map_or(1, |(_, count)| count))
    }

    /// Some of the samples, in the order of these numbers. Inputs that have one along their first axis are
    /// for all samples.
    ///
    /// # Errors
    /// As [`samples`](Self::samples), and [`InputError::Sample`] for a number that there is not.
    pub fn select(&self, samples: &[usize]) -> Result<Self, InputError> {
        let count = self.samples()?;
        if let Some(&sample) = samples.iter().find(|&&sample| sample >= count) {
            return Err(InputError::Sample { sample, count });
        }
        let cut = |array: &Array| match array.shape.first() {
            Some(&first) if first == count => array.select(samples),
            _ => array.clone(),
        };
        let arrays = self.arrays.iter().map(|(name, array)| (name.clone(), cut(array)));
        Ok(Self { arrays: arrays.collect() })
    }

    /// Hands over all that tells these inputs from others, piece by piece: to be hashed.
    pub fn for_each_bytes(&self, mut visit: impl FnMut(&[u8])) {
        for (name, Array { shape, values }) in &self.arrays {
            visit(format!("{name:?} {shape:?} {values}").as_bytes());
            match values {
                ArrayValues::Float(values) => {
                    for value in values {
                        visit(&value.to_le_bytes());
                    }
                }
                ArrayValues::Integer(values) | ArrayValues::Bool(values) => {
                    for value in values {
                        visit(&value.to_le_bytes());
                    }
                }
                ArrayValues::Beyond(value) => visit(&value.to_le_bytes()),
            }
        }
    }

    /// Refuses what a model does not take.
    ///
    /// # Errors
    /// [`InputError`] for the first input that does not fit.
    pub(crate) fn check(&self, specs: &[InputSpec]) -> Result<(), InputError> {
        let spec = |name: &str| specs.iter().find(|spec| spec.name == name);
        for (name, array) in &self.arrays {
            let known = || specs.iter().map(InputSpec::to_string).collect();
            let spec = spec(name)
                .ok_or_else(|| InputError::Unknown { name: name.clone(), known: known() })?;
            if let ArrayValues::Beyond(value) = array.values {
                return Err(InputError::Integer { name: name.clone(), value });
            }
            let size = array.shape.iter().try_fold(1_usize, |size, &dim| size.checked_mul(dim));
            if size != Some(array.len()) {
                let (name, shape) = (name.clone(), array.shape.clone());
                return Err(InputError::Length { name, shape, values: array.len() });
            }
            spec.check(array)?;
        }
        let missing = specs.iter().find(|spec| !self.arrays.contains_key(&spec.name));
        if let Some(spec) = missing {
            let (name, expected) = (spec.name.clone(), spec.to_string());
            return Err(InputError::Missing { name, expected });
        }
        self.check_named(specs)
    }

    /// A name of a dimension means one size.
    fn check_named(&self, specs: &[InputSpec]) -> Result<(), InputError> {
        let mut sizes: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for spec in specs {
            let (Some(array), Some(shape)) = (self.arrays.get(&spec.name), &spec.shape) else {
                continue;
            };
            for (dim, &size) in shape.iter().zip(&array.shape) {
                let Dim::Named(dimension) = dim else { continue };
                let (first, first_input) = *sizes.entry(dimension).or_insert((size, &spec.name));
                if first != size {
                    return Err(InputError::Disagree {
                        dimension: dimension.clone(),
                        first,
                        first_input: first_input.to_owned(),
                        second: size,
                        second_input: spec.name.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, kind: InputKind, shape: &[Dim]) -> InputSpec {
        InputSpec { name: name.to_owned(), kind, shape: Some(shape.to_vec()) }
    }

    fn specs() -> [InputSpec; 2] {
        let named = |name: &str| Dim::Named(name.to_owned());
        [
            spec("tokens", InputKind::Integer, &[named("batch"), named("length")]),
            spec("mask", InputKind::Bool, &[named("batch"), named("length")]),
        ]
    }

    fn error(inputs: &Inputs) -> String {
        inputs.check(&specs()).unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_does() {
        let tokens = || Array::i32([2, 3], vec![0; 6]);
        let mask = |shape: [usize; 2]| Array::bool(shape, &vec![true; shape[0] * shape[1]]);
        let both = Inputs::new().with("tokens", tokens()).with("mask", mask([2, 3]));
        assert_eq!(both.check(&specs()), Ok(()));
        assert_eq!(
            error(&Inputs::new().with("token", tokens())),
            "the model has no input \"token\": its inputs are \"tokens\" of integers [batch, \
             length], \"mask\" of truth values [batch, length]"
        );
        assert_eq!(
            error(&Inputs::new().with("tokens", tokens())),
            "input \"mask\" is missing: \"mask\" of truth values [batch, length] is needed"
        );
        assert_eq!(
            error(&Inputs::new().with("tokens", Array::f32([1, 1], vec![0.0]))),
            "input \"tokens\" is of floats: the model takes integers"
        );
        assert_eq!(
            error(&Inputs::new().with("tokens", Array::i32([2], vec![0; 2]))),
            "input \"tokens\" has shape [2]: the model takes [batch, length]"
        );
        assert_eq!(
            error(&Inputs::new().with("tokens", Array::i32([2, 2], vec![0; 3]))),
            "input \"tokens\" has 3 values, its shape is [2, 2]"
        );
        assert_eq!(
            error(&both.clone().with("mask", mask([2, 4]))),
            "dimension \"length\" is 3 in input \"tokens\" and 4 in \"mask\": it is one and the same"
        );
        assert!(error(&both.with("tokens", Array::i64([1], &[1 << 40]))).contains("1099511627776"));
    }

    #[test]
    fn small_integers_must_be_in_their_range() {
        let bytes = spec("x", InputKind::UInt8, &[Dim::Any]);
        assert!(bytes.check(&Array::i32([2], vec![0, 255])).is_ok());
        assert!(bytes.check(&Array::i32([1], vec![-1])).is_err());
        let other = spec("x", InputKind::Other(8), &[]);
        let error = other.check(&Array::i32([1], vec![0])).unwrap_err().to_string();
        assert_eq!(error, "input \"x\" is of type STRING, which is not supported");
    }

    #[test]
    fn samples_are_chosen_from_all_inputs_alike() {
        let inputs = Inputs::new()
            .with("x", Array::f32([3, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
            .with("n", Array::i32([3], vec![7, 8, 9]))
            .with("once", Array::i32([1, 2], vec![5, 6]));
        assert_eq!(inputs.samples(), Ok(3));
        let chosen = inputs.select(&[2, 0]).unwrap();
        assert_eq!(chosen.arrays["x"], Array::f32([2, 2], vec![4.0, 5.0, 0.0, 1.0]));
        assert_eq!(chosen.arrays["n"], Array::i32([2], vec![9, 7]));
        assert_eq!(chosen.arrays["once"], inputs.arrays["once"]);
        assert_eq!(
            inputs.select(&[3]).unwrap_err().to_string(),
            "sample 3 is none of the 3 samples, which begin at 0"
        );
        let torn = inputs.with("y", Array::i32([2], vec![0, 0]));
        assert_eq!(
            torn.samples().unwrap_err().to_string(),
            "input \"y\" has 2 samples, and input \"n\" has 3"
        );
    }

    #[test]
    fn values_are_cut_by_samples() {
        let array = Array::f32([3, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let value = array.value(InputKind::Float, 1..3).unwrap();
        let (shape, values) = value.into_shape_vec::<f32, 2>().unwrap();
        assert_eq!((shape, values), ([2, 2], vec![2.0, 3.0, 4.0, 5.0]));
        let scalar = Array::i32([], vec![7]).value(InputKind::Integer, 0..1).unwrap();
        assert_eq!(scalar.into_shape_vec::<i32, 0>().unwrap().1, [7]);
    }
}
