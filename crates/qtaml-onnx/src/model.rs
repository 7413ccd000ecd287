//! An ONNX model: its weights, and graphs that take them as inputs.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use qtaml_deploy::WeightTensor;
use qtaml_files::FileFormat;
use rten::{LoadError, LoadErrorKind, Model, ModelOptions, NodeId};
use rten_onnx::onnx::{GraphProto, ModelProto, TensorProto};

use crate::cells::{StoredTensor, cells};
use crate::fold::{Norm, norms};
use crate::hoist::{self, Hoisted};
use crate::lineage::Lineage;
use crate::runner::OnnxRunner;
use crate::scope::{Definition, Scopes, node_name, op};
use crate::thread::apart;
use crate::weights::{Tensors, Weight, find};
use crate::{InputSpec, Inputs, OnnxError, RunError, complete, external, wire};

/// The samples that are run at a time where the model takes any number.
const BATCH: usize = 16;

/// A model of an ONNX file: its weights by name, and what it takes and gives.
///
/// Weights are told by the operators that use them: the second operand of a convolution, the constant
/// one of a product, the table of a look-up. They are looked for behind nodes that only move values,
/// and in the branches of `If` and the bodies of `Loop`. Tensors of a subgraph have
/// `OUTPUT.ATTRIBUTE/` before their names, with the first output of the node around it.
///
/// Cloning is cheap.
#[derive(Clone)]
pub struct OnnxModel {
    pub(crate) shared: Arc<Shared>,
}

/// What all runners of a model share.
pub(crate) struct Shared {
    pub(crate) weights: Vec<Weight>,
    pub(crate) tensors: Vec<WeightTensor>,
    others: Vec<WeightTensor>,
    norms: Vec<Option<String>>,
    /// The stored tensors of each weight.
    cells: Vec<Vec<StoredTensor>>,
    pub(crate) specs: Vec<InputSpec>,
    pub(crate) outputs: Vec<String>,
    /// For each weight what its uses read in the outermost graph, and the ends of tables.
    pub(crate) activations: Vec<Vec<Option<String>>>,
    /// The model of the file.
    pub(crate) reference: Model,
    /// The same with weights as inputs, batch norms taken in where the runtime does so; then without.
    pub(crate) variants: Vec<Variant>,
}

/// A graph that takes weights as inputs.
pub(crate) struct Variant {
    pub(crate) model: Model,
    pub(crate) sites: Vec<SiteInput>,
    pub(crate) lineage: Option<Lineage>,
}

/// An input of a graph that a weight is passed to.
pub(crate) struct SiteInput {
    /// The number of the weight.
    pub(crate) weight: usize,
    pub(crate) id: NodeId,
    pub(crate) name: String,
    /// What the weights of each output channel, along the first axis, are multiplied with.
    pub(crate) factors: Option<Vec<f32>>,
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxModel")
            .field("tensors", &self.shared.tensors)
            .field("inputs", &self.shared.specs)
            .field("outputs", &self.shared.outputs)
            .finish_non_exhaustive()
    }
}

impl OnnxModel {
    /// Reads a file, and the files beside it that it names.
    ///
    /// # Errors
    /// [`OnnxError`]: what cannot be read, parsed or run faithfully is named.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OnnxError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|source| OnnxError::Read { path: path.to_owned(), source })?;
        let format = FileFormat::of(&bytes);
        if !matches!(format, FileFormat::Onnx | FileFormat::SavedModel | FileFormat::Unknown) {
            return Err(OnnxError::Foreign { path: path.to_owned(), format });
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::build(&bytes, Some(folder))
    }

    /// Reads a model from memory, without files beside it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OnnxError> {
        Self::build(bytes, None)
    }

    fn build(bytes: &[u8], folder: Option<&Path>) -> Result<Self, OnnxError> {
        wire::check(bytes)?;
        let shared = apart(|| Shared::build(bytes, folder));
        let shared = shared.map_err(|error| OnnxError::Load(error.into()))??;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Its weights, tied ones once, in the order in which the graph uses them.
    pub fn tensors(&self) -> &[WeightTensor] {
        &self.shared.tensors
    }

    /// Float tensors that are no weights, in the order of the file: biases, norms and their statistics,
    /// and others. They stay as they are in the file.
    pub fn others(&self) -> &[WeightTensor] {
        &self.shared.others
    }

    /// The values of weight number `index`, row-major; codes are dequantized. None if there is no such.
    pub fn values(&self, index: usize) -> Option<&[f32]> {
        self.shared.weights.get(index).map(|weight| weight.values.as_slice())
    }

    /// The stored tensors of the file that weight number `index` is made of: several if it is tied, and
    /// none if there is no such weight.
    pub fn stored(&self, index: usize) -> &[StoredTensor] {
        self.shared.cells.get(index).map_or(&[], Vec::as_slice)
    }

    /// The batch norm that scales the output channels of weight number `index`, and of nothing else.
    pub fn batch_norm(&self, index: usize) -> Option<&str> {
        self.shared.norms.get(index)?.as_deref()
    }

    /// What it takes.
    pub fn inputs(&self) -> &[InputSpec] {
        &self.shared.specs
    }

    /// The names of what it gives.
    pub fn outputs(&self) -> &[String] {
        &self.shared.outputs
    }

    /// A runner on these inputs, 16 samples at a time where the model takes any number.
    ///
    /// # Errors
    /// As [`runner_in_batches`](Self::runner_in_batches).
    pub fn runner(&self, inputs: &Inputs) -> Result<OnnxRunner, RunError> {
        self.runner_in_batches(inputs, BATCH)
    }

    /// A runner on these inputs, so many samples at a time where the model takes any number. The
    /// unchanged model is run on all of them first, and must give the same outputs.
    ///
    /// # Errors
    /// [`RunError::Inputs`] for inputs that do not fit, [`RunError::Differs`] if the model computes
    /// something else once its weights are inputs, [`RunError::NotANumber`] if its outputs are none
    /// without any fault, and [`RunError`] otherwise if it cannot be run.
    pub fn runner_in_batches(&self, inputs: &Inputs, batch: usize) -> Result<OnnxRunner, RunError> {
        OnnxRunner::new(&self.shared, inputs, batch)
    }
}

impl Shared {
    fn build(bytes: &[u8], folder: Option<&Path>) -> Result<Self, OnnxError> {
        let mut proto =
            ModelProto::parse_buf(bytes).map_err(|error| OnnxError::Parse(error.into()))?;
        if proto.opset_import.is_empty() {
            return Err(OnnxError::NoOperatorSet);
        }
        let graph = proto.graph.as_mut().ok_or(OnnxError::NoGraph)?;
        external::read_into(graph, folder)?;
        let specs = InputSpec::of_graph(graph);
        let outputs = graph.output.iter().filter_map(|output| output.name.clone()).collect();
        let scopes = Scopes::of(graph);
        let Tensors { weights, others } = find(&scopes)?;
        let norms = norms(&scopes, &weights);
        let planned = hoist::plan(&scopes, &weights);
        let activations = weights.iter().map(|weight| activations(&scopes, weight)).collect();
        let cells =
            weights.iter().map(|weight| cells(&scopes, weight)).collect::<Result<_, _>>()?;
        let kernels = complete::missing_kernel_shapes(&scopes);
        drop(scopes);
        complete::add(graph, &kernels, &mut 0);
        let reference = load(&proto)?;
        let graph = proto.graph.as_mut().ok_or(OnnxError::NoGraph)?;
        strip(graph, &planned, &mut 0);
        let mut variants = Vec::new();
        let folds: Vec<Norm> = norms.iter().filter(|norm| norm.folded.is_some()).cloned().collect();
        if !folds.is_empty() {
            variants.push(Variant::new(&mut proto, &weights, &planned, &folds)?);
        }
        variants.push(Variant::new(&mut proto, &weights, &planned, &[])?);
        let norm_of = |weight: &Weight| {
            let at = |norm: &&Norm| weight.sites.iter().any(|site| site.place == norm.weight);
            norms.iter().find(at).map(|norm| norm.name.clone())
        };
        Ok(Self {
            tensors: weights.iter().map(|weight| weight.tensor.clone()).collect(),
            norms: weights.iter().map(norm_of).collect(),
            weights,
            cells,
            others,
            specs,
            outputs,
            activations,
            reference,
            variants,
        })
    }
}

impl Variant {
    /// The graph of `proto` is left as it was.
    fn new(
        proto: &mut ModelProto,
        weights: &[Weight],
        planned: &[Hoisted],
        norms: &[Norm],
    ) -> Result<Self, OnnxError> {
        let whole = proto.graph.clone().ok_or(OnnxError::NoGraph)?;
        let graph = proto.graph.as_mut().ok_or(OnnxError::NoGraph)?;
        hoist::apply(graph, planned, norms);
        let lineage = Lineage::of(graph);
        let model = load(proto);
        proto.graph = Some(whole);
        let model = model?;
        let owners = weights
            .iter()
            .enumerate()
            .flat_map(|(number, weight)| std::iter::repeat_n(number, weight.sites.len()));
        let site = |(weight, hoisted): (usize, &Hoisted)| {
            let norm = norms.iter().find(|norm| norm.weight == hoisted.site.place);
            let id = model.find_node(&hoisted.input).ok_or_else(|| OnnxError::Tensor {
                name: weights[weight].tensor.name.clone(),
                problem: "the runtime has no place for it".to_owned(),
            })?;
            let factors = norm.and_then(|norm| norm.folded.as_ref());
            let factors = factors.map(|folded| folded.factors.clone());
            Ok(SiteInput { weight, id, name: hoisted.input.clone(), factors })
        };
        let sites = owners.zip(planned).map(site).collect::<Result<_, OnnxError>>()?;
        Ok(Self { model, sites, lineage })
    }
}

/// The names of what the uses of a weight read, for those in the outermost graph.
fn activations(scopes: &Scopes<'_>, weight: &Weight) -> Vec<Option<String>> {
    let name = |used: &crate::weights::Use| {
        let input = used.input.filter(|_| used.scope == 0)?;
        scopes.node(0, used.node).input.get(input.index).cloned()
    };
    weight.uses.iter().map(name).collect()
}

fn load(proto: &ModelProto) -> Result<Model, OnnxError> {
    let bytes = proto.write_buf().map_err(|error| OnnxError::Load(error.into()))?;
    ModelOptions::with_all_ops().load(bytes).map_err(|error| named(proto, error))
}

/// The error of an operator that the runtime does not know, with operator and node.
fn named(proto: &ModelProto, error: LoadError) -> OnnxError {
    let reason =
        std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    let graph = proto.graph.as_ref().filter(|_| error.kind() == LoadErrorKind::OperatorInvalid);
    let Some(graph) = graph else { return OnnxError::Load(error.into()) };
    let scopes = Scopes::of(graph);
    let nodes = (0..scopes.len()).flat_map(|scope| &scopes.scope(scope).graph.node);
    let first_word = reason.split(' ').next().unwrap_or_default();
    let is_it = |node: &&rten_onnx::onnx::NodeProto| match error.node() {
        Some(name) => node.name.as_deref() == Some(name),
        None => op(node) == first_word,
    };
    match nodes.into_iter().find(is_it) {
        Some(node) => {
            let (operator, node) = (op(node).to_owned(), node_name(node).to_owned());
            OnnxError::Operator { operator, node, reason }
        }
        None => OnnxError::Load(error.into()),
    }
}

/// Drops the values of what becomes an input, so that copies of the graph are small.
fn strip(graph: &mut GraphProto, planned: &[Hoisted], next: &mut usize) {
    let scope = *next;
    *next += 1;
    let drop_values = |tensor: &mut TensorProto| {
        let name = tensor.name.take();
        *tensor = TensorProto { name, ..TensorProto::default() };
    };
    // Codes stay: other nodes may read them.
    let floats = planned.iter().filter(|hoisted| hoisted.site.dequantize.is_none());
    let places = floats.map(|hoisted| hoisted.site.place).filter(|place| place.0 == scope);
    let places: HashSet<Definition> = places.map(|place| place.1).collect();
    for (number, tensor) in graph.initializer.iter_mut().enumerate() {
        if places.contains(&Definition::Initializer(number)) {
            drop_values(tensor);
        }
    }
    for (number, node) in graph.node.iter_mut().enumerate() {
        let is_weight = places.contains(&Definition::Node(number));
        for attribute in &mut node.attribute {
            if let Some(tensor) = attribute.t.as_mut().filter(|_| is_weight) {
                drop_values(tensor);
            }
            if let Some(inner) = &mut attribute.g {
                strip(inner, planned, next);
            }
        }
    }
}
