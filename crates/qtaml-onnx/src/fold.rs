//! Batch norms behind layers: factors of output channels that can be folded into the weights.

use std::collections::HashMap;

use crate::scope::{Definition, Place, Scopes, float, node_name, op, read_by};
use crate::tensor::floats;
use crate::weights::Weight;

/// A batch norm that scales the output channels of one layer alone.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    /// Its name.
    pub(crate) name: String,
    /// Its graph.
    pub(crate) scope: usize,
    /// Its node.
    pub(crate) node: usize,
    /// The node of the layer.
    pub(crate) layer: usize,
    /// The stored weight of the layer.
    pub(crate) weight: Place,
    /// What the weights of each output channel are multiplied with, and the bias that is left, where
    /// the layer takes them in: the runtime does so for convolutions alone, and with the same numbers.
    pub(crate) folded: Option<Folded>,
}

/// A layer that has taken in its batch norm.
///
/// # Formula
/// `W' = W s / sqrt(var + eps)` and `b' = (b - mean) s / sqrt(var + eps) + shift`, channel by channel, in
/// the order in which the runtime computes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Folded {
    pub(crate) factors: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// The batch norms that scale output channels of weights that are used once.
pub(crate) fn norms(scopes: &Scopes<'_>, weights: &[Weight]) -> Vec<Norm> {
    let mut norms = Vec::new();
    for scope in 0..scopes.len() {
        let reads = reads(scopes, scope);
        let nodes = &scopes.scope(scope).graph.node;
        norms
            .extend((0..nodes.len()).filter_map(|node| norm(scopes, weights, scope, node, &reads)));
    }
    norms
}

/// How often each value of a graph is read, outputs of the graph included.
fn reads<'a>(scopes: &Scopes<'a>, scope: usize) -> HashMap<&'a str, usize> {
    let graph = scopes.scope(scope).graph;
    let outputs = graph.output.iter().filter_map(|output| output.name.as_deref());
    let mut reads = HashMap::new();
    for name in graph.node.iter().flat_map(read_by).chain(outputs) {
        *reads.entry(name).or_default() += 1;
    }
    reads
}

fn norm(
    scopes: &Scopes<'_>,
    weights: &[Weight],
    scope: usize,
    number: usize,
    reads: &HashMap<&str, usize>,
) -> Option<Norm> {
    let node = scopes.node(scope, number);
    let [normalized, statistics @ ..] = node.input.as_slice() else { return None };
    let is_norm = op(node) == "BatchNormalization" && statistics.len() == 4;
    let one_output = node.output.iter().filter(|name| !name.is_empty()).count() == 1;
    if !is_norm || !one_output || reads.get(normalized.as_str()) != Some(&1) {
        return None;
    }
    let (of, Definition::Node(layer)) = scopes.resolve(scope, normalized)? else { return None };
    if of != scope || !matches!(op(scopes.node(scope, layer)), "Conv" | "ConvTranspose" | "Gemm") {
        return None;
    }
    let place = scopes.resolve(scope, scopes.node(scope, layer).input.get(1)?)?;
    let weight =
        weights.iter().find(|weight| weight.sites.iter().any(|site| site.place == place))?;
    // What one layer alone reads, as far as its own site goes: a tie has a site of its own.
    let at = |used: &&crate::weights::Use| (used.scope, used.node) == (scope, layer);
    let others = weight.uses.iter().filter(|used| !at(used)).count();
    if others + 1 > weight.sites.len() {
        return None;
    }
    let name = node_name(node).to_owned();
    let folded = folded(scopes, scope, number, layer);
    Some(Norm { name, scope, node: number, layer, weight: place, folded })
}

fn folded(scopes: &Scopes<'_>, scope: usize, number: usize, layer: usize) -> Option<Folded> {
    let (node, layer) = (scopes.node(scope, number), scopes.node(scope, layer));
    let vector = |name: &str| floats(scopes.stored(scopes.resolve(scope, name)?)?).ok();
    let parts = node.input[1..].iter().map(|name| vector(name));
    let parts: Vec<Vec<f32>> = parts.collect::<Option<_>>()?;
    let [scale, shift, mean, variance] = parts.as_slice() else { return None };
    let channels = scale.len();
    let bias = match layer.input.get(2).filter(|name| !name.is_empty()) {
        Some(name) => vector(name)?,
        None => vec![0.0; channels],
    };
    let fits = [shift, mean, variance, &bias].iter().all(|part| part.len() == channels);
    if op(layer) != "Conv" || !fits {
        return None;
    }
    let epsilon = float(node, "epsilon", 1e-5);
    let factors: Vec<f32> =
        scale.iter().zip(variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let bias = (0..channels).map(|c| (bias[c] - mean[c]) * factors[c] + shift[c]).collect();
    Some(Folded { factors, bias })
}
