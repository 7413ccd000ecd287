//! The index of an ONNX file: every tensor in it, without its values.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Seek};
use std::ops::Range;

use super::tensor::Message;
use super::wire::{Bytes, Fields, Value, Wire};
use super::{Holder, OnnxError, OnnxTensor, Producer};

/// How deep graphs may be in graphs: readers of Google allow messages to be 100 deep, of which a graph
/// in a graph takes three.
const DEEPEST: usize = 32;

/// The longest name of a graph in a graph.
const LONGEST_SCOPE: usize = 1 << 14;

/// Bytes that the index of a file may take. That of a model with a hundred thousand tensors takes a
/// fifth of it; a file of nothing but nested nodes could ask for a thousand times its own length.
const MOST_MEMORY: usize = 1 << 28;

/// What a file says, but for values.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) producer: Producer,
    pub(super) tensors: Vec<OnnxTensor>,
    /// Files of other tensors than those, each with the name of one.
    pub(super) also: BTreeMap<String, String>,
}

/// The index of what is read.
pub(super) fn index<R: Read + Seek>(reader: R) -> Result<Index, OnnxError> {
    index_within(reader, MOST_MEMORY)
}

/// The same, if it takes no more than so many bytes.
pub(super) fn index_within<R: Read + Seek>(reader: R, most: usize) -> Result<Index, OnnxError> {
    let mut walk = Walk {
        wire: Wire::new(reader)?,
        index: Index::default(),
        names: HashSet::new(),
        enclosing: Vec::new(),
        depth: 0,
        most,
        left: most,
    };
    walk.model()?;
    Ok(walk.index)
}

struct Walk<R> {
    wire: Wire<R>,
    index: Index,
    names: HashSet<String>,
    /// The messages around this place.
    enclosing: Vec<Bytes>,
    /// How many of them are graphs.
    depth: usize,
    /// What the index may take, and may still take.
    most: usize,
    left: usize,
}

/// What a node says of itself; its attributes may come before its outputs.
#[derive(Default)]
struct Node {
    output: String,
    operator: String,
    domain: String,
    attributes: Vec<Bytes>,
}

impl Node {
    fn is_constant(&self) -> bool {
        self.operator == "Constant" && matches!(self.domain.as_str(), "" | "ai.onnx")
    }
}

impl<R: Read + Seek> Walk<R> {
    fn model(&mut self) -> Result<(), OnnxError> {
        let whole = self.wire.whole();
        let mut has_graph = false;
        let mut fields = Fields::of(&whole);
        while let Some(field) = fields.next(&mut self.wire)? {
            match (field.number, field.value) {
                (1, Value::Varint(version)) => self.index.producer.ir_version = version,
                (2, Value::Bytes(name)) => {
                    self.index.producer.name = self.wire.text(&name.content)?;
                }
                (3, Value::Bytes(name)) => {
                    self.index.producer.version = self.wire.text(&name.content)?;
                }
                (7, Value::Bytes(graph)) => {
                    has_graph = true;
                    self.within(graph, |walk, graph| walk.graph(graph, ""))?;
                }
                (8, Value::Bytes(opset)) => self.opset(&opset.content)?,
                (25, Value::Bytes(function)) => self.within(function, Self::function)?,
                _ => {}
            }
        }
        if has_graph { Ok(()) } else { Err(OnnxError::NoGraph) }
    }

    /// Does something within a message.
    fn within<T>(
        &mut self,
        message: Bytes,
        visit: impl FnOnce(&mut Self, &Range<u64>) -> Result<T, OnnxError>,
    ) -> Result<T, OnnxError> {
        let content = message.content.clone();
        self.enclosing.push(message);
        let result = visit(self, &content);
        self.enclosing.pop();
        result
    }

    /// Takes account of memory before it is taken.
    fn charge(&mut self, bytes: usize) -> Result<(), OnnxError> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or(OnnxError::TooMany { most: self.most })?;
        Ok(())
    }

    fn opset(&mut self, message: &Range<u64>) -> Result<(), OnnxError> {
        let (mut domain, mut version) = (String::new(), 0);
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next(&mut self.wire)? {
            match (field.number, field.value) {
                (1, Value::Bytes(name)) => domain = self.wire.text(&name.content)?,
                (2, Value::Varint(number)) => version = number,
                _ => {}
            }
        }
        self.index.producer.opsets.insert(domain, version);
        Ok(())
    }

    /// A function is named by domain, name and overload, which may come behind its nodes.
    fn function(&mut self, message: &Range<u64>) -> Result<(), OnnxError> {
        let mut names = [(10, String::new()), (1, String::new()), (13, String::new())];
        let mut nodes = Vec::new();
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next(&mut self.wire)? {
            let Value::Bytes(content) = field.value else { continue };
            if field.number == 7 {
                self.charge(size_of::<Bytes>())?;
                nodes.push(content);
            } else if let Some((_, name)) = names.iter_mut().find(|(n, _)| *n == field.number) {
                *name = self.wire.text(&content.content)?;
            }
        }
        let [(_, domain), (_, name), (_, overload)] = names;
        let scope = format!("{domain}.{name}({overload})/");
        let mut nodes = nodes.into_iter().enumerate();
        nodes.try_for_each(|(i, node)| self.within(node, |walk, node| walk.node(node, &scope, i)))
    }

    fn graph(&mut self, message: &Range<u64>, scope: &str) -> Result<(), OnnxError> {
        if self.depth == DEEPEST {
            return Err(OnnxError::Depth { at: message.start, most: DEEPEST });
        }
        if scope.len() > LONGEST_SCOPE {
            let (at, length, most) = (message.start, scope.len() as u64, LONGEST_SCOPE as u64);
            return Err(OnnxError::LongText { at, length, most });
        }
        self.depth += 1;
        let mut nodes = 0;
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next(&mut self.wire)? {
            match (field.number, field.value) {
                (1, Value::Bytes(node)) => {
                    self.within(node, |walk, node| walk.node(node, scope, nodes))?;
                    nodes += 1;
                }
                (5, Value::Bytes(tensor)) => self.within(tensor, |walk, tensor| {
                    let found = Message::read(&mut walk.wire, tensor)?;
                    let name = format!("{scope}{}", found.name);
                    walk.add(found, name, Holder::Initializer)
                })?,
                _ => {}
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn node(&mut self, message: &Range<u64>, scope: &str, number: usize) -> Result<(), OnnxError> {
        let mut node = Node::default();
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next(&mut self.wire)? {
            match (field.number, field.value) {
                (2, Value::Bytes(name)) if node.output.is_empty() => {
                    node.output = self.wire.text(&name.content)?;
                }
                (4, Value::Bytes(name)) => node.operator = self.wire.text(&name.content)?,
                (5, Value::Bytes(attribute)) => {
                    self.charge(size_of::<Bytes>())?;
                    node.attributes.push(attribute);
                }
                (7, Value::Bytes(name)) => node.domain = self.wire.text(&name.content)?,
                _ => {}
            }
        }
        if node.output.is_empty() {
            node.output = format!("#{number}");
        }
        for attribute in std::mem::take(&mut node.attributes) {
            self.within(attribute, |walk, attribute| walk.attribute(attribute, scope, &node))?;
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        message: &Range<u64>,
        scope: &str,
        node: &Node,
    ) -> Result<(), OnnxError> {
        let mut name = String::new();
        let (mut tensors, mut graphs) = (Vec::new(), Vec::new());
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next(&mut self.wire)? {
            let Value::Bytes(content) = field.value else { continue };
            if field.number != 1 {
                self.charge(size_of::<Bytes>())?;
            }
            match field.number {
                1 => name = self.wire.text(&content.content)?,
                5 | 10 => tensors.push((field.number == 5, content)),
                6 => graphs.push((None, content)),
                11 => graphs.push((Some(graphs.len()), content)),
                _ => {}
            }
        }
        for (is_single, tensor) in tensors {
            let is_value = is_single && node.is_constant() && name == "value";
            self.within(tensor, |walk, tensor| {
                let found = Message::read(&mut walk.wire, tensor)?;
                if is_value {
                    walk.add(found, format!("{scope}{}", node.output), Holder::Constant)
                } else {
                    walk.add_file(&found, &node.output)
                }
            })?;
        }
        for (number, graph) in graphs {
            let number = number.map_or_else(String::new, |number| format!(".{number}"));
            let scope = format!("{scope}{}.{name}{number}/", node.output);
            self.within(graph, |walk, graph| walk.graph(graph, &scope))?;
        }
        Ok(())
    }

    fn add(&mut self, found: Message, name: String, holder: Holder) -> Result<(), OnnxError> {
        let around = self.enclosing.len() * size_of::<Bytes>();
        self.charge(2 * name.len() + size_of::<OnnxTensor>() + around + found.shape_size())?;
        if !self.names.insert(name.clone()) {
            return Err(OnnxError::Duplicate { tensor: name });
        }
        let tensor = found.into_tensor(name, holder, &self.enclosing)?;
        self.index.tensors.push(tensor);
        Ok(())
    }

    /// The tensor of an attribute is no weight, but a copy of the model needs its file.
    fn add_file(&mut self, found: &Message, output: &str) -> Result<(), OnnxError> {
        if found.is_elsewhere() {
            self.index.also.insert(found.location(output)?, output.to_owned());
        }
        Ok(())
    }
}
