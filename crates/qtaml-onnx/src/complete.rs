//! Attributes that a file may leave out and the runtime needs: the size of kernels.

use rten_onnx::onnx::{AttributeProto, AttributeType, GraphProto};

use crate::constants::Constants;
use crate::scope::{Scopes, attribute, op};

/// An attribute `kernel_shape` that a node lacks.
pub(crate) struct KernelShape {
    scope: usize,
    node: usize,
    sizes: Vec<i64>,
}

/// The kernels whose size is told by the shape of their weights alone.
pub(crate) fn missing_kernel_shapes(scopes: &Scopes<'_>) -> Vec<KernelShape> {
    let mut constants = Constants::new(scopes);
    let mut missing = Vec::new();
    for scope in 0..scopes.len() {
        for (number, node) in scopes.scope(scope).graph.node.iter().enumerate() {
            let is_kernel = matches!(op(node), "Conv" | "ConvTranspose");
            if !is_kernel || attribute(node, "kernel_shape").is_some() {
                continue;
            }
            let shape = node.input.get(1).and_then(|weight| constants.shape(scope, weight));
            if let Some(sizes) = shape.as_deref().and_then(|shape| shape.get(2..)) {
                let sizes = sizes.iter().map(|&size| size as i64).collect();
                missing.push(KernelShape { scope, node: number, sizes });
            }
        }
    }
    missing
}

/// Adds the attributes. Graphs are counted as [`Scopes`] counts them.
pub(crate) fn add(graph: &mut GraphProto, missing: &[KernelShape], next: &mut usize) {
    let scope = *next;
    *next += 1;
    for (number, node) in graph.node.iter_mut().enumerate() {
        for inner in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
            add(inner, missing, next);
        }
        let of_node =
            missing.iter().filter(|kernel| (kernel.scope, kernel.node) == (scope, number));
        node.attribute.extend(of_node.map(|kernel| AttributeProto {
            name: Some("kernel_shape".to_owned()),
            ints: kernel.sizes.clone(),
            r#type: Some(AttributeType::INTS),
            ..AttributeProto::default()
        }));
    }
}
