//! Constant values of a graph: what they are made of, their shapes, and axes carried back to what is stored.

use std::collections::HashMap;

use rten_onnx::onnx::NodeProto;

use crate::OnnxError;
use crate::scope::{Definition, Place, Scopes, attribute, axis, int, node_name, op};
use crate::tensor::{integers, is_code, shape};

/// What is known of a value that follows from stored tensors alone.
#[derive(Debug, Clone, PartialEq)]
enum Constancy {
    /// It depends on more.
    Varies,
    /// It is constant, of this shape if that can be told.
    Constant(Option<Vec<usize>>),
}

/// A stored tensor that an operand is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The initializer or the Constant node.
    pub(crate) place: Place,
    /// The node that dequantizes it, if it holds codes.
    pub(crate) dequantize: Option<(usize, usize)>,
    /// Each axis that was asked for, in the stored shape, where it can be told.
    pub(crate) axes: [Option<usize>; 2],
}

/// The constant values of a model.
pub(crate) struct Constants<'s, 'a> {
    scopes: &'s Scopes<'a>,
    known: HashMap<Place, Constancy>,
    depth: usize,
}

/// Operators in a row that only move values: more of them are no weight.
const DEEPEST: usize = 1000;

impl<'s, 'a> Constants<'s, 'a> {
    pub(crate) fn new(scopes: &'s Scopes<'a>) -> Self {
        Self { scopes, known: HashMap::new(), depth: 0 }
    }

    /// The shape of a constant value, if it is one whose shape can be told.
    pub(crate) fn shape(&mut self, scope: usize, name: &str) -> Option<Vec<usize>> {
        let place = self.scopes.resolve(scope, name)?;
        match self.constancy(place) {
            Constancy::Constant(shape) => shape,
            Constancy::Varies => None,
        }
    }

    /// The stored tensors that an operand is made of, with two of its axes (counted from either end)
    /// carried back to each. None if the operand depends on inputs.
    ///
    /// # Errors
    /// [`OnnxError::Operator`] for codes that are moved before they are dequantized.
    pub(crate) fn origins(
        &mut self,
        scope: usize,
        name: &str,
        axes: [i64; 2],
    ) -> Result<Vec<Origin>, OnnxError> {
        let Some(start) = self.scopes.resolve(scope, name) else { return Ok(Vec::new()) };
        if self.constancy(start) == Constancy::Varies {
            return Ok(Vec::new());
        }
        let rank = self.shape(scope, name).map(|shape| shape.len());
        let axes = axes.map(|from_either_end| axis(from_either_end, rank?));
        let (mut open, mut seen, mut origins) = (vec![(start, axes)], vec![start], Vec::new());
        while let Some((place, axes)) = open.pop() {
            let (scope, Definition::Node(number)) = place else {
                origins.push(Origin { place, dequantize: None, axes });
                continue;
            };
            let node = self.scopes.node(scope, number);
            if self.scopes.stored(place).is_some() {
                origins.push(Origin { place, dequantize: None, axes });
            } else if op(node) == "DequantizeLinear" {
                origins.push(self.codes(scope, number, axes)?);
            } else {
                // The last in is the first out: operands come in their order.
                for input in moved(node).iter().rev() {
                    let Some(place) = self.scopes.resolve(scope, input) else { continue };
                    if !seen.contains(&place) {
                        seen.push(place);
                        let back = axes.map(|axis| self.back(scope, node, input, axis?));
                        open.push((place, back));
                    }
                }
            }
        }
        Ok(origins)
    }

    fn codes(
        &self,
        scope: usize,
        number: usize,
        axes: [Option<usize>; 2],
    ) -> Result<Origin, OnnxError> {
        let node = self.scopes.node(scope, number);
        let place = node.input.first().and_then(|name| self.scopes.resolve(scope, name));
        let place = place.filter(|&place| self.scopes.stored(place).is_some_and(is_code));
        let place = place.ok_or_else(|| OnnxError::Operator {
            operator: op(node).to_owned(),
            node: node_name(node).to_owned(),
            reason: "weights are dequantized that are not stored as 8 or 32-bit integers, or \
                     are moved before"
                .to_owned(),
        })?;
        Ok(Origin { place, dequantize: Some((scope, number)), axes })
    }

    /// Whether a value is constant, and its shape.
    fn constancy(&mut self, place: Place) -> Constancy {
        if let Some(known) = self.known.get(&place) {
            return known.clone();
        }
        // A graph that bites its tail is none; until more is known, a value is not constant.
        self.known.insert(place, Constancy::Varies);
        let found = match self.scopes.stored(place) {
            Some(tensor) => Constancy::Constant(shape(tensor)),
            None => match place {
                (scope, Definition::Node(number)) if self.depth < DEEPEST => {
                    self.depth += 1;
                    let found = self.of_node(scope, number);
                    self.depth -= 1;
                    found
                }
                _ => Constancy::Varies,
            },
        };
        self.known.insert(place, found.clone());
        found
    }

    fn of_node(&mut self, scope: usize, number: usize) -> Constancy {
        let node = self.scopes.node(scope, number);
        let inputs = moved(node);
        if inputs.is_empty() {
            return Constancy::Varies;
        }
        let mut shapes = Vec::with_capacity(inputs.len());
        for input in inputs {
            let Some(place) = self.scopes.resolve(scope, input) else { return Constancy::Varies };
            match self.constancy(place) {
                Constancy::Constant(shape) => shapes.push(shape),
                Constancy::Varies => return Constancy::Varies,
            }
        }
        let shapes: Option<Vec<Vec<usize>>> = shapes.into_iter().collect();
        Constancy::Constant(shapes.and_then(|shapes| self.moved_shape(scope, node, &shapes)))
    }

    /// The shape that a node makes of those of its operands.
    fn moved_shape(
        &self,
        scope: usize,
        node: &NodeProto,
        shapes: &[Vec<usize>],
    ) -> Option<Vec<usize>> {
        let first = shapes.first()?;
        let moved = match op(node) {
            "Transpose" => {
                permutation(node, first.len())?.iter().map(|&from| first[from]).collect()
            }
            "Reshape" => {
                let target = self.ints(scope, node, 1, "shape")?;
                reshaped(first, &target, int(node, "allowzero", 0) != 0)?
            }
            "Flatten" => {
                let at = usize::try_from(wrapped(int(node, "axis", 1), first.len())).ok()?;
                let (rows, columns) = first.split_at_checked(at)?;
                vec![product(rows)?, product(columns)?]
            }
            "Unsqueeze" => {
                let axes = self.ints(scope, node, 1, "axes")?;
                let rank = first.len() + axes.len();
                let axes: Vec<usize> =
                    axes.iter().map(|&a| axis(a, rank)).collect::<Option<_>>()?;
                let mut kept = first.iter().copied();
                (0..rank)
                    .map(|at| if axes.contains(&at) { Some(1) } else { kept.next() })
                    .collect::<Option<_>>()?
            }
            "Squeeze" => {
                let axes = self.ints(scope, node, 1, "axes");
                let of_one = || (0..first.len()).filter(|&at| first[at] == 1).collect();
                let listed = |axes: Vec<i64>| axes.iter().map(|&a| axis(a, first.len())).collect();
                let axes: Vec<usize> = axes.map_or_else(|| Some(of_one()), listed)?;
                (0..first.len()).filter(|at| !axes.contains(at)).map(|at| first[at]).collect()
            }
            "Slice" => self.sliced(scope, node, first)?,
            "Concat" => {
                let along = axis(int(node, "axis", 0), first.len())?;
                let mut joined = first.clone();
                for other in &shapes[1..] {
                    joined[along] = joined[along].checked_add(*other.get(along)?)?;
                }
                joined
            }
            _ => first.clone(),
        };
        Some(moved)
    }

    fn sliced(&self, scope: usize, node: &NodeProto, first: &[usize]) -> Option<Vec<usize>> {
        let (starts, ends) =
            (self.ints(scope, node, 1, "starts")?, self.ints(scope, node, 2, "ends")?);
        let all = || (0..starts.len() as i64).collect();
        let axes = self.ints(scope, node, 3, "axes").unwrap_or_else(all);
        let steps = self.ints(scope, node, 4, "steps").unwrap_or_else(|| vec![1; starts.len()]);
        let mut sliced = first.to_vec();
        for (((start, end), along), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            let along = axis(*along, first.len())?;
            // What runs backwards is of no weight that was met.
            let step = usize::try_from(*step).ok().filter(|&step| step > 0)?;
            let size = first[along] as i64;
            let inside = |at: i64| wrapped(at, first[along]).clamp(0, size) as usize;
            let (start, end) = (inside(*start), inside(*end));
            sliced[along] = end.saturating_sub(start).div_ceil(step);
        }
        Some(sliced)
    }

    /// Integers of a node: a constant input, or an attribute as in older versions.
    fn ints(&self, scope: usize, node: &NodeProto, input: usize, name: &str) -> Option<Vec<i64>> {
        if let Some(input) = node.input.get(input).filter(|input| !input.is_empty()) {
            let place = self.scopes.resolve(scope, input)?;
            if let Some(tensor) = self.scopes.stored(place) {
                return integers(tensor).ok();
            }
            let (scope, Definition::Node(number)) = place else { return None };
            let constant = self.scopes.node(scope, number);
            let ints = attribute(constant, "value_ints").map(|listed| listed.ints.clone());
            return ints.or_else(|| Some(vec![attribute(constant, "value_int")?.i?]));
        }
        attribute(node, name).map(|listed| listed.ints.clone())
    }

    /// The axis of an operand of `node` that an axis of its output comes from.
    fn back(&mut self, scope: usize, node: &NodeProto, input: &str, axis: usize) -> Option<usize> {
        match op(node) {
            "Transpose" => {
                let rank = self.shape(scope, input)?.len();
                permutation(node, rank)?.get(axis).copied()
            }
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
                let from = self.shape(scope, input)?;
                let to = self.shape(scope, node.output.first()?)?;
                same_axis(&from, &to, axis)
            }
            _ => Some(axis),
        }
    }
}

/// The operands that a node hands on, if it does no more than to move values or to change their type.
fn moved(node: &NodeProto) -> &[String] {
    match op(node) {
        "Identity" | "Transpose" | "Cast" | "Reshape" | "Squeeze" | "Unsqueeze" | "Slice"
        | "Flatten" | "DequantizeLinear" => node.input.get(..1).unwrap_or_default(),
        "Concat" => &node.input,
        _ => &[],
    }
}

fn permutation(node: &NodeProto, rank: usize) -> Option<Vec<usize>> {
    let Some(listed) = attribute(node, "perm") else { return Some((0..rank).rev().collect()) };
    let listed: Vec<usize> = listed.ints.iter().map(|&at| axis(at, rank)).collect::<Option<_>>()?;
    (listed.len() == rank).then_some(listed)
}

/// The place in an axis of this size, counted from either end.
fn wrapped(at: i64, size: usize) -> i64 {
    if at < 0 { at.saturating_add(size as i64) } else { at }
}

fn product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))
}

/// A shape with a zero for a size that stays and -1 for the one that follows.
fn reshaped(from: &[usize], target: &[i64], zero_is_zero: bool) -> Option<Vec<usize>> {
    let size = |(at, &size): (usize, &i64)| match size {
        -1 => Some(None),
        0 if !zero_is_zero => from.get(at).map(|&size| Some(size)),
        _ => usize::try_from(size).ok().map(Some),
    };
    let sizes: Vec<Option<usize>> = target.iter().enumerate().map(size).collect::<Option<_>>()?;
    let told: Vec<usize> = sizes.iter().copied().flatten().collect();
    let (told, all) = (product(&told)?, product(from)?);
    let open = all.checked_div(told).unwrap_or(0);
    let shape: Vec<usize> = sizes.iter().map(|size| size.unwrap_or(open)).collect();
    (product(&shape)? == all).then_some(shape)
}

/// The axis of `from` that is axis number `axis` of `to`: of the same size, with as many elements before it.
fn same_axis(from: &[usize], to: &[usize], axis: usize) -> Option<usize> {
    let size = *to.get(axis)?;
    let before = product(&to[..axis])?;
    (0..from.len()).find(|&at| from[at] == size && product(&from[..at]) == Some(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_keep_an_axis_or_hide_it() {
        assert_eq!(same_axis(&[2, 4, 8], &[8, 8], 1), Some(2));
        assert_eq!(same_axis(&[2, 4, 8], &[8, 8], 0), None);
        assert_eq!(same_axis(&[4, 16], &[8, 8], 1), None);
        assert_eq!(same_axis(&[4, 6], &[4, 6, 1], 0), Some(0));
        assert_eq!(same_axis(&[1, 6, 4], &[6, 4], 0), Some(1));
    }

    #[test]
    fn shapes_are_those_of_the_standard() {
        assert_eq!(reshaped(&[2, 3, 4], &[0, -1], false), Some(vec![2, 12]));
        assert_eq!(reshaped(&[2, 3, 4], &[4, 6], false), Some(vec![4, 6]));
        assert_eq!(reshaped(&[2, 3, 4], &[5, -1], false), None);
        assert_eq!(reshaped(&[2, 3], &[0, 0], true), None);
        assert_eq!(reshaped(&[2, 0], &[0, 0], true), Some(vec![0, 0]));
        assert_eq!(wrapped(-1, 4), 3);
        assert_eq!(wrapped(i64::MIN, 4), i64::MIN + 4);
    }
}
