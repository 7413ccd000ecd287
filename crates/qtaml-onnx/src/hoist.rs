//! Hoisting: weights become inputs of the graph, so that a runtime reads them from outside.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use rten_onnx::onnx::{
    DataType, Dimension, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto,
    TypeProtoTensor, ValueInfoProto,
};

use crate::fold::Norm;
use crate::scope::{Definition, Scopes, first_output};
use crate::weights::{Site, Weight};

/// What becomes an input: its name in the graph, the value that it takes the place of, and its shape.
#[derive(Debug, Clone)]
pub(crate) struct Hoisted {
    pub(crate) site: Site,
    pub(crate) input: String,
    local: String,
    shape: Vec<usize>,
}

/// The inputs that take the place of the weights, in the order of the weights and their sites.
pub(crate) fn plan(scopes: &Scopes<'_>, weights: &[Weight]) -> Vec<Hoisted> {
    let mut taken: HashSet<String> = HashSet::new();
    for scope in 0..scopes.len() {
        taken.extend(names(scopes.scope(scope).graph).map(str::to_owned));
    }
    let mut planned = Vec::new();
    for weight in weights {
        for &site in &weight.sites {
            let (scope, definition) =
                site.dequantize.map_or(site.place, |(scope, node)| (scope, Definition::Node(node)));
            let graph = scopes.scope(scope).graph;
            let local = match definition {
                Definition::Initializer(number) => graph.initializer[number].name.as_deref(),
                Definition::Node(number) => Some(first_output(&graph.node[number])),
                Definition::Input => None,
            };
            let local = local.unwrap_or_default().to_owned();
            let mut input = local.clone();
            if scope != 0 {
                input = scopes.name((scope, definition));
                while taken.contains(&input) {
                    input.push('\'');
                }
            }
            taken.insert(input.clone());
            planned.push(Hoisted { site, input, local, shape: weight.tensor.shape.clone() });
        }
    }
    planned
}

/// All names in a graph, without those of graphs within.
fn names(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    let values = values.filter_map(|value| value.name.as_deref());
    let tensors = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref());
    let nodes = graph.node.iter().flat_map(|node| node.input.iter().chain(&node.output));
    values.chain(tensors).chain(nodes.map(String::as_str))
}

/// Makes inputs of the weights, and takes batch norms into the layers before them.
pub(crate) fn apply(graph: &mut GraphProto, planned: &[Hoisted], norms: &[Norm]) {
    let mut scope = 0;
    apply_in(graph, planned, norms, &mut scope);
    graph.input.extend(planned.iter().map(|hoisted| input(&hoisted.input, &hoisted.shape)));
}

/// Graphs are counted as [`Scopes`] counts them.
fn apply_in(graph: &mut GraphProto, planned: &[Hoisted], norms: &[Norm], next: &mut usize) {
    let scope = *next;
    *next += 1;
    for node in &mut graph.node {
        for inner in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
            apply_in(inner, planned, norms, next);
        }
    }
    fold(graph, norms.iter().filter(|norm| norm.scope == scope));
    let here = |definition: Definition| {
        let site = planned.iter().find(|hoisted| {
            let of_codes =
                hoisted.site.dequantize.map(|(scope, node)| (scope, Definition::Node(node)));
            of_codes.unwrap_or(hoisted.site.place) == (scope, definition)
        });
        site.is_some()
    };
    let initializers: Vec<bool> =
        (0..graph.initializer.len()).map(|number| here(Definition::Initializer(number))).collect();
    let nodes: Vec<bool> = (0..graph.node.len())
        .map(|number| {
            let is_norm = |norm: &Norm| (norm.scope, norm.node) == (scope, number);
            here(Definition::Node(number))
                || norms.iter().any(|norm| is_norm(norm) && norm.folded.is_some())
        })
        .collect();
    let gone: HashSet<String> = (graph.initializer.iter().zip(&initializers))
        .filter(|(_, gone)| **gone)
        .filter_map(|(tensor, _)| tensor.name.clone())
        .collect();
    // Old files list initializers among the inputs.
    graph.input.retain(|value| !value.name.as_ref().is_some_and(|name| gone.contains(name)));
    retain(&mut graph.initializer, &initializers);
    retain(&mut graph.node, &nodes);
    let renamed: HashMap<&str, &str> = planned
        .iter()
        .filter(|hoisted| {
            hoisted.site.dequantize.map_or(hoisted.site.place.0, |(scope, _)| scope) == scope
        })
        .filter(|hoisted| hoisted.local != hoisted.input)
        .map(|hoisted| (hoisted.local.as_str(), hoisted.input.as_str()))
        .collect();
    if !renamed.is_empty() {
        rename(graph, &renamed);
    }
}

fn retain<T>(items: &mut Vec<T>, gone: &[bool]) {
    let mut gone = gone.iter();
    items.retain(|_| !gone.next().copied().unwrap_or(false));
}

/// The layer has the output of its norm, whose node stays in its place until all are counted.
fn fold<'n>(graph: &mut GraphProto, norms: impl Iterator<Item = &'n Norm>) {
    for norm in norms {
        let Some(folded) = &norm.folded else { continue };
        let output = first_output(&graph.node[norm.node]).to_owned();
        let bias = format!("{output}'bias");
        graph.initializer.push(vector(&bias, &folded.bias));
        let layer: &mut NodeProto = &mut graph.node[norm.layer];
        layer.input.truncate(2);
        layer.input.push(bias);
        if let Some(first) = layer.output.first_mut() {
            *first = output;
        }
    }
}

/// Renames what nodes read, in graphs within as well unless they define the name anew.
fn rename(graph: &mut GraphProto, renamed: &HashMap<&str, &str>) {
    for node in &mut graph.node {
        for name in &mut node.input {
            if let Some(new) = renamed.get(name.as_str()) {
                (*new).clone_into(name);
            }
        }
        for inner in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
            let defined: HashSet<String> = defined(inner).map(str::to_owned).collect();
            let mut visible = renamed.clone();
            visible.retain(|name, _| !defined.contains(*name));
            rename(inner, &visible);
        }
    }
}

fn defined(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let tensors = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref());
    let inputs = graph.input.iter().filter_map(|value| value.name.as_deref());
    let outputs = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    tensors.chain(inputs).chain(outputs)
}

/// A typed and shaped input of floats.
fn input(name: &str, shape: &[usize]) -> ValueInfoProto {
    let size = |&size: &usize| Dimension { dim_value: Some(size as i64), dim_param: None };
    let shape = TensorShapeProto { dim: shape.iter().map(size).collect() };
    let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(shape) };
    let r#type = TypeProto { tensor_type: Some(tensor), sequence: None };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(r#type) }
}

fn vector(name: &str, values: &[f32]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: Some(DataType::FLOAT),
        name: Some(name.to_owned()),
        raw_data: Some(RefCell::new(bytes)),
        ..TensorProto::default()
    }
}
