//! The dequantization of stored integers, as `DequantizeLinear` does it, and its inverse.

use std::ops::RangeInclusive;

use rten_onnx::onnx::{NodeProto, TensorProto};

use crate::OnnxError;
use crate::scope::{Scopes, axis, int, node_name};
use crate::tensor::{floats, integers, shape};

/// How a node `DequantizeLinear` reads stored codes.
///
/// # Formula
/// `y = (x - zero point) * scale`, with one scale for all, one for each index of an axis, or one for
/// each block along it.
#[derive(Debug, Clone)]
pub(crate) struct Dequantization {
    scales: Vec<f32>,
    zeros: Option<Vec<i64>>,
    layout: Layout,
}

/// How far a value may be off from its code, as a share of the value: a scale that was computed from
/// values of `f32` differs from that of the model by a few roundings.
const ROUNDINGS: f32 = 8.0 * f32::EPSILON;

impl Dequantization {
    /// That of a node, for these codes.
    ///
    /// # Errors
    /// [`OnnxError::Operator`] if scale or zero point are not stored, or do not fit the codes.
    pub(crate) fn of(
        scopes: &Scopes<'_>,
        scope: usize,
        node: &NodeProto,
        codes: &TensorProto,
    ) -> Result<Self, OnnxError> {
        let refuse = |reason: &str| OnnxError::Operator {
            operator: "DequantizeLinear".to_owned(),
            node: node_name(node).to_owned(),
            reason: reason.to_owned(),
        };
        let stored = |input: usize| {
            let name = node.input.get(input).filter(|name| !name.is_empty())?;
            scopes.resolve(scope, name).and_then(|place| scopes.stored(place))
        };
        let scale = stored(1).ok_or_else(|| refuse("its scale is not stored"))?;
        let scales = floats(scale)?;
        let zeros = match (node.input.get(2).filter(|name| !name.is_empty()), stored(2)) {
            (None, _) => None,
            (Some(_), Some(zero)) => Some(integers(zero)?),
            (Some(_), None) => return Err(refuse("its zero point is not stored")),
        };
        let shape = shape(codes).ok_or_else(|| refuse("its codes have no shape"))?;
        let layout = Layout::of(node, &shape, scale)
            .filter(|layout| layout.scales() == scales.len())
            .ok_or_else(|| refuse("its scales do not fit the shape of its codes"))?;
        if zeros.as_ref().is_some_and(|zeros| zeros.len() != scales.len()) {
            return Err(refuse("it has not as many zero points as scales"));
        }
        Ok(Self { scales, zeros, layout })
    }

    /// The floats that codes stand for.
    pub(crate) fn values(&self, codes: &[i64]) -> Vec<f32> {
        let float = |(position, code): (usize, &i64)| {
            let (scale, zero) = self.at(position);
            (code - zero) as f32 * scale
        };
        codes.iter().enumerate().map(float).collect()
    }

    /// The codes within a range that stand for these floats; the position of the first one that no code
    /// stands for, up to roundings of the scale.
    pub(crate) fn codes(
        &self,
        values: &[f32],
        range: &RangeInclusive<i64>,
    ) -> Result<Vec<i64>, usize> {
        let code = |(position, &value): (usize, &f32)| {
            let (scale, zero) = self.at(position);
            let code = (value / scale).round() as i64;
            let is_near = ((code as f32) * scale - value).abs() <= ROUNDINGS * value.abs();
            let code = code.saturating_add(zero);
            (is_near && range.contains(&code)).then_some(code).ok_or(position)
        };
        values.iter().enumerate().map(code).collect()
    }

    /// The scale and the zero point of a code.
    fn at(&self, position: usize) -> (f32, i64) {
        let at = self.layout.scale_of(position);
        (self.scales[at], self.zeros.as_ref().map_or(0, |zeros| zeros[at]))
    }
}

/// Which scale a code has: position `(o, a, i)` of `outer x along x inner` has scale
/// `(o or 0, a / block, i or 0)`.
#[derive(Debug, Clone, Copy)]
struct Layout {
    outer: usize,
    along: usize,
    inner: usize,
    block: usize,
    /// Whether scales have the shape of the codes but for the blocks along the axis.
    blocked: bool,
}

impl Layout {
    fn of(node: &NodeProto, shape: &[usize], scale: &TensorProto) -> Option<Self> {
        let all = shape.iter().product();
        if scale.dims.is_empty() || scale.dims == [1] {
            return Some(Self { outer: 1, along: 1, inner: all, block: 1, blocked: false });
        }
        let axis = axis(int(node, "axis", 1), shape.len())?;
        let block = usize::try_from(int(node, "block_size", 0)).ok()?;
        Some(Self {
            outer: shape[..axis].iter().product(),
            along: shape[axis],
            inner: shape[axis + 1..].iter().product(),
            block: block.max(1),
            blocked: block > 0,
        })
    }

    fn scales(&self) -> usize {
        let along = self.along.div_ceil(self.block);
        if self.blocked { self.outer * along * self.inner } else { along }
    }

    fn scale_of(&self, position: usize) -> usize {
        let inner = self.inner.max(1);
        let at = position / inner % self.along.max(1) / self.block;
        if self.blocked {
            let outer = position / (inner * self.along);
            (outer * self.along.div_ceil(self.block) + at) * inner + position % inner
        } else {
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use rten_onnx::onnx::{AttributeProto, DataType, GraphProto};

    use super::*;

    fn tensor(name: &str, kind: DataType, dims: &[i64], raw: Vec<u8>) -> TensorProto {
        TensorProto {
            name: Some(name.to_owned()),
            dims: dims.to_vec(),
            data_type: Some(kind),
            raw_data: Some(RefCell::new(raw)),
            ..TensorProto::default()
        }
    }

    /// Codes 0 to 5 of shape `[2, 3]` minus one, times the scales.
    fn values(scales: &[f32], dims: &[i64], ints: &[(&str, i64)]) -> Result<Vec<f32>, OnnxError> {
        let attribute = |&(name, i): &(&str, i64)| AttributeProto {
            name: Some(name.to_owned()),
            i: Some(i),
            ..AttributeProto::default()
        };
        let node = NodeProto {
            op_type: Some("DequantizeLinear".to_owned()),
            input: ["x", "scale", "zero"].map(str::to_owned).to_vec(),
            attribute: ints.iter().map(attribute).collect(),
            ..NodeProto::default()
        };
        let raw = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        let scale = tensor("scale", DataType::FLOAT, dims, raw);
        let zero = tensor("zero", DataType::UINT8, dims, vec![1; scales.len()]);
        let codes = tensor("x", DataType::UINT8, &[2, 3], (0..6).collect());
        let graph = GraphProto { initializer: vec![scale, zero], ..GraphProto::default() };
        let found = Dequantization::of(&Scopes::of(&graph), 0, &node, &codes)?;
        let values = found.values(&integers(&codes)?);
        assert_eq!(found.codes(&values, &(0..=255)), Ok((0..6).collect()), "and back");
        Ok(values)
    }

    #[test]
    fn scales_are_for_all_for_an_axis_or_for_blocks() {
        assert_eq!(values(&[2.0], &[], &[]).unwrap(), [-2.0, 0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(
            values(&[1.0, 10.0], &[2], &[("axis", 0)]).unwrap(),
            [-1.0, 0.0, 1.0, 20.0, 30.0, 40.0]
        );
        assert_eq!(
            values(&[1.0, 10.0, 100.0], &[3], &[]).unwrap(),
            [-1.0, 0.0, 100.0, 2.0, 30.0, 400.0]
        );
        // Blocks of two along the columns: two scales a row.
        let blocks = [("axis", 1), ("block_size", 2)];
        assert_eq!(
            values(&[1.0, 10.0, 100.0, 1000.0], &[2, 2], &blocks).unwrap(),
            [-1.0, 0.0, 10.0, 200.0, 300.0, 4000.0]
        );
    }

    #[test]
    fn scales_that_do_not_fit_are_refused() {
        let error = values(&[1.0, 2.0], &[2], &[]).unwrap_err().to_string();
        assert!(error.ends_with("its scales do not fit the shape of its codes"), "{error}");
        assert!(values(&[1.0, 2.0], &[2], &[("axis", 5)]).is_err());
    }

    #[test]
    fn floats_that_no_code_stands_for_are_found() {
        let layout = Layout { outer: 1, along: 1, inner: 4, block: 1, blocked: false };
        let of = Dequantization { scales: vec![0.1], zeros: Some(vec![3]), layout };
        let codes = |values: &[f32]| of.codes(values, &(0..=255));
        // A scale that is off by a rounding is the same one.
        let rounded = [0.2, -0.3_f32.next_up(), 25.2, -0.0];
        assert_eq!(codes(&rounded), Ok(vec![5, 0, 255, 3]));
        for (wrong, at) in [
            ([0.2, 0.25, 0.0, 0.0], 1),
            ([0.2, 0.2, 25.3, 0.0], 2),
            ([-0.4, 0.0, 0.0, 0.0], 0),
            ([0.0, 0.0, 0.0, f32::NAN], 3),
            ([0.0, 0.0, 0.0, f32::INFINITY], 3),
            ([0.2001, 0.0, 0.0, 0.0], 0),
        ] {
            assert_eq!(codes(&wrong), Err(at), "{wrong:?}");
        }
    }
}
