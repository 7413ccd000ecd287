//! The scopes of a model: its graph, the graphs within, and what names mean in each.

use std::collections::HashMap;

use rten_onnx::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto};

use crate::tensor::of_constant;

/// All graphs of a model, the outermost first, each before those within it.
pub(crate) struct Scopes<'a> {
    scopes: Vec<Scope<'a>>,
}

/// One graph, and what defines its values.
pub(crate) struct Scope<'a> {
    pub(crate) graph: &'a GraphProto,
    /// What its tensors have before their names: `OUTPUT.ATTRIBUTE/` for each graph around, empty for
    /// the outermost.
    pub(crate) prefix: String,
    parent: Option<usize>,
    definitions: HashMap<&'a str, Definition>,
}

/// What defines a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Definition {
    /// Initializer number so and so.
    Initializer(usize),
    /// A node: its number.
    Node(usize),
    /// An input of the graph.
    Input,
}

/// A value: the scope that defines it, and by what.
pub(crate) type Place = (usize, Definition);

impl<'a> Scopes<'a> {
    pub(crate) fn of(graph: &'a GraphProto) -> Self {
        let mut scopes = Self { scopes: Vec::new() };
        scopes.add(graph, "", None);
        scopes
    }

    fn add(&mut self, graph: &'a GraphProto, prefix: &str, parent: Option<usize>) {
        let own = self.scopes.len();
        let definitions = definitions(graph);
        self.scopes.push(Scope { graph, prefix: prefix.to_owned(), parent, definitions });
        for (node, attribute, inner) in inner_graphs(graph) {
            let name = attribute.name.as_deref().unwrap_or_default();
            let prefix = format!("{prefix}{}.{name}/", first_output(node));
            self.add(inner, &prefix, Some(own));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.scopes.len()
    }

    pub(crate) fn scope(&self, scope: usize) -> &Scope<'a> {
        &self.scopes[scope]
    }

    /// What a name means in a scope: looked up there, then in those around it.
    pub(crate) fn resolve(&self, scope: usize, name: &str) -> Option<Place> {
        let mut scope = Some(scope);
        while let Some(number) = scope {
            let here = &self.scopes[number];
            if let Some(definition) = here.definitions.get(name) {
                return Some((number, *definition));
            }
            scope = here.parent;
        }
        None
    }

    pub(crate) fn node(&self, scope: usize, node: usize) -> &'a NodeProto {
        &self.scopes[scope].graph.node[node]
    }

    /// The tensor that an initializer or a Constant node holds.
    pub(crate) fn stored(&self, (scope, definition): Place) -> Option<&'a TensorProto> {
        let graph = self.scopes[scope].graph;
        match definition {
            Definition::Initializer(number) => graph.initializer.get(number),
            Definition::Node(number) => graph.node.get(number).and_then(of_constant),
            Definition::Input => None,
        }
    }

    /// The name of a stored tensor as users meet it.
    pub(crate) fn name(&self, (scope, definition): Place) -> String {
        let Scope { graph, prefix, .. } = &self.scopes[scope];
        let name = match definition {
            Definition::Initializer(number) => graph.initializer[number].name.as_deref(),
            Definition::Node(number) => Some(first_output(&graph.node[number])),
            Definition::Input => None,
        };
        format!("{prefix}{}", name.unwrap_or_default())
    }
}

/// An initializer comes before an input of its name: old files list all initializers as inputs.
fn definitions(graph: &GraphProto) -> HashMap<&str, Definition> {
    let mut definitions = HashMap::new();
    for (number, tensor) in graph.initializer.iter().enumerate() {
        let name = tensor.name.as_deref().unwrap_or_default();
        definitions.entry(name).or_insert(Definition::Initializer(number));
    }
    for input in &graph.input {
        let name = input.name.as_deref().unwrap_or_default();
        definitions.entry(name).or_insert(Definition::Input);
    }
    for (number, node) in graph.node.iter().enumerate() {
        for output in &node.output {
            definitions.entry(output).or_insert(Definition::Node(number));
        }
    }
    definitions.remove("");
    definitions
}

/// The graphs in a graph, with node and attribute.
pub(crate) fn inner_graphs(
    graph: &GraphProto,
) -> impl Iterator<Item = (&NodeProto, &AttributeProto, &GraphProto)> {
    let of_node =
        |node| inner_graphs_of(node).map(move |(attribute, graph)| (node, attribute, graph));
    graph.node.iter().flat_map(of_node)
}

/// The graphs in the attributes of a node.
pub(crate) fn inner_graphs_of(
    node: &NodeProto,
) -> impl Iterator<Item = (&AttributeProto, &GraphProto)> {
    node.attribute.iter().filter_map(|attribute| Some((attribute, attribute.g.as_ref()?)))
}

/// The names that a node reads, those that graphs within it take from outside among them.
pub(crate) fn read_by(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).collect();
    for (_, graph) in inner_graphs_of(node) {
        let own = definitions(graph);
        let outputs = graph.output.iter().filter_map(|output| output.name.as_deref());
        let inside = graph.node.iter().flat_map(read_by).chain(outputs);
        names.extend(inside.filter(|name| !own.contains_key(name)));
    }
    names.retain(|name| !name.is_empty());
    names
}

pub(crate) fn op(node: &NodeProto) -> &str {
    node.op_type.as_deref().unwrap_or_default()
}

pub(crate) fn first_output(node: &NodeProto) -> &str {
    node.output.iter().map(String::as_str).find(|name| !name.is_empty()).unwrap_or_default()
}

/// The name of a node, or else that of its first output.
pub(crate) fn node_name(node: &NodeProto) -> &str {
    node.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(first_output(node))
}

pub(crate) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
}

/// An integer attribute, or its default.
pub(crate) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).and_then(|attribute| attribute.i).unwrap_or(default)
}

/// A float attribute, or its default.
pub(crate) fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).and_then(|attribute| attribute.f).unwrap_or(default)
}

/// An axis counted from either end, in a shape of this rank.
pub(crate) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let from_end = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_end).ok().filter(|&axis| axis < rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        NodeProto {
            op_type: Some(op.to_owned()),
            input: names(inputs),
            output: names(outputs),
            ..NodeProto::default()
        }
    }

    fn initializer(name: &str) -> TensorProto {
        TensorProto { name: Some(name.to_owned()), ..TensorProto::default() }
    }

    /// `y = if c { own x } else { outer x }`, with a tensor `own` inside and another outside.
    fn branches() -> GraphProto {
        let graph =
            |nodes, initializer| GraphProto { node: nodes, initializer, ..GraphProto::default() };
        let own = graph(vec![node("MatMul", &["x", "own"], &["a"])], vec![initializer("own")]);
        let outer = graph(vec![node("MatMul", &["x", "outer"], &["b"])], vec![]);
        let branch = |name: &str, graph| AttributeProto {
            name: Some(name.to_owned()),
            g: Some(graph),
            ..AttributeProto::default()
        };
        let mut choice = node("If", &["c"], &["y"]);
        choice.attribute = vec![branch("then_branch", own), branch("else_branch", outer)];
        let mut graph = graph(vec![choice], vec![initializer("own"), initializer("outer")]);
        graph.input = vec![rten_onnx::onnx::ValueInfoProto {
            name: Some("x".to_owned()),
            ..Default::default()
        }];
        graph
    }

    #[test]
    fn names_mean_the_innermost_value() {
        let graph = branches();
        let scopes = Scopes::of(&graph);
        assert_eq!(scopes.len(), 3);
        assert_eq!(scopes.resolve(0, "own"), Some((0, Definition::Initializer(0))));
        assert_eq!(scopes.resolve(1, "own"), Some((1, Definition::Initializer(0))));
        assert_eq!(scopes.resolve(2, "outer"), Some((0, Definition::Initializer(1))));
        assert_eq!(scopes.resolve(2, "x"), Some((0, Definition::Input)));
        assert_eq!(scopes.resolve(2, "a"), None);
        assert_eq!(scopes.name((1, Definition::Initializer(0))), "y.then_branch/own");
    }

    #[test]
    fn a_node_reads_what_graphs_within_it_take_from_outside() {
        assert_eq!(read_by(&branches().node[0]), ["c", "x", "x", "outer"]);
    }

    #[test]
    fn axes_count_from_either_end() {
        assert_eq!(
            [axis(-1, 3), axis(0, 3), axis(3, 3), axis(-4, 3)],
            [Some(2), Some(0), None, None]
        );
    }
}
