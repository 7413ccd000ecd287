//! The weights of a model: the stored tensors that operators multiply with, tied ones once.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use qtaml_deploy::{FloatType, Role, WeightTensor};

use crate::OnnxError;
use crate::constants::{Constants, Origin};
use crate::dequantize::Dequantization;
use crate::operands::{Input, Operand, WITH_WEIGHTS, adds, check_supported, operands, other_role};
use crate::scope::{Definition, Place, Scopes, op};
use crate::tensor::{float_type, floats, integers, shape};

/// One stored tensor, in the place where the runtime is to read it from an input instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Site {
    /// The initializer or the Constant node.
    pub(crate) place: Place,
    /// The node that dequantizes it, if it holds codes: its output is what the input takes the place of.
    pub(crate) dequantize: Option<(usize, usize)>,
}

/// An operand that is made of a stored tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Use {
    /// The node.
    pub(crate) scope: usize,
    pub(crate) node: usize,
    pub(crate) input: Option<Input>,
    /// The axes of outputs and of inputs in the stored shape, where they can be told.
    pub(crate) axes: [Option<usize>; 2],
    /// Whether these axes are in the operand as they are in the stored tensor.
    pub(crate) whole: [bool; 2],
}

/// A weight tensor: what it is, its values, and where it is used.
#[derive(Debug, Clone)]
pub(crate) struct Weight {
    pub(crate) tensor: WeightTensor,
    pub(crate) values: Vec<f32>,
    pub(crate) sites: Vec<Site>,
    pub(crate) uses: Vec<Use>,
}

/// All float tensors of a model.
#[derive(Debug)]
pub(crate) struct Tensors {
    /// In the order in which the graph uses them.
    pub(crate) weights: Vec<Weight>,
    /// Biases, norms and what else is stored as floats.
    pub(crate) others: Vec<WeightTensor>,
}

/// Finds the weights of a model.
///
/// # Errors
/// [`OnnxError::Operator`] for what cannot be run faithfully, [`OnnxError::Tensor`] for stored values that
/// contradict themselves, [`OnnxError::NoWeights`] if nothing could be stored.
pub(crate) fn find(scopes: &Scopes<'_>) -> Result<Tensors, OnnxError> {
    let mut constants = Constants::new(scopes);
    let mut found: Vec<Found> = Vec::new();
    let mut numbers: HashMap<Site, usize> = HashMap::new();
    for scope in 0..scopes.len() {
        for (number, node) in scopes.scope(scope).graph.node.iter().enumerate() {
            check_supported(node)?;
            for operand in operands(node) {
                let Some(name) = node.input.get(operand.index) else { continue };
                let axes =
                    [operand.output_axis, operand.input.map_or(0, |input| input.weight_axis)];
                for origin in constants.origins(scope, name, axes)? {
                    let Some(shape) = weight_shape(scopes, &origin) else { continue };
                    let of_operand = constants.shape(scope, name);
                    let used =
                        used((scope, number), operand, &origin, of_operand.as_deref(), &shape);
                    let site = Site { place: origin.place, dequantize: origin.dequantize };
                    let at = *numbers.entry(site).or_insert_with(|| {
                        found.push(Found { site, role: operand.role, shape, uses: Vec::new() });
                        found.len() - 1
                    });
                    found[at].uses.push(used);
                }
            }
        }
    }
    if found.is_empty() {
        return Err(OnnxError::NoWeights { operators: WITH_WEIGHTS.to_owned() });
    }
    let weights: Vec<Weight> =
        found.into_iter().map(|found| weight(scopes, found)).collect::<Result<_, _>>()?;
    let mut weights = tied(weights);
    name_apart(scopes, &mut weights);
    add_second_names(scopes, &mut weights);
    let others = others(scopes, &weights);
    Ok(Tensors { weights, others })
}

struct Found {
    site: Site,
    role: Role,
    shape: Vec<usize>,
    uses: Vec<Use>,
}

/// The shape of a stored tensor that can be a weight: of floats or codes of them, of rank two or more.
fn weight_shape(scopes: &Scopes<'_>, origin: &Origin) -> Option<Vec<usize>> {
    let tensor = scopes.stored(origin.place)?;
    let is_float = origin.dequantize.is_some() || float_type(tensor).is_some();
    shape(tensor).filter(|shape| is_float && shape.len() >= 2)
}

fn used(
    (scope, node): (usize, usize),
    operand: Operand,
    origin: &Origin,
    of_operand: Option<&[usize]>,
    stored: &[usize],
) -> Use {
    let asked = [operand.output_axis, operand.input.map_or(0, |input| input.weight_axis)];
    let whole = [0, 1].map(|which| {
        let axis = crate::scope::axis(asked[which], of_operand?.len())?;
        Some(of_operand?[axis] == stored[origin.axes[which]?])
    });
    let whole = whole.map(|whole| whole == Some(true));
    Use { scope, node, input: operand.input, axes: origin.axes, whole }
}

fn weight(scopes: &Scopes<'_>, found: Found) -> Result<Weight, OnnxError> {
    let Found { site, role, shape, uses } = found;
    let name = scopes.name(site.place);
    let named = |error| match error {
        OnnxError::Tensor { problem, .. } => OnnxError::Tensor { name: name.clone(), problem },
        other => other,
    };
    let stored = scopes.stored(site.place).ok_or(OnnxError::NoGraph)?;
    let values = match site.dequantize {
        Some((scope, node)) => Dequantization::of(scopes, scope, scopes.node(scope, node), stored)
            .and_then(|dequantization| Ok(dequantization.values(&integers(stored)?))),
        None => floats(stored),
    };
    let values = values.map_err(named)?;
    let axis = uses.first().and_then(|used| used.axes[0]);
    let tensor = WeightTensor::new(name.clone(), shape, role)
        .with_dtype(float_type(stored).unwrap_or(FloatType::F32));
    let tensor = axis.into_iter().fold(tensor, WeightTensor::with_output_axis);
    Ok(Weight { tensor, values, sites: vec![site], uses })
}

/// Weights of one type, shape and content are the same cells, as in all model files: the first in the
/// order of the names lends its name to all. One whose values are all the same is tied to none.
fn tied(weights: Vec<Weight>) -> Vec<Weight> {
    let mut groups: HashMap<(Vec<usize>, FloatType, u64), Vec<usize>> = HashMap::new();
    let mut tied: Vec<Weight> = Vec::with_capacity(weights.len());
    for weight in weights {
        let WeightTensor { shape, dtype, .. } = &weight.tensor;
        let group = groups.entry((shape.clone(), *dtype, digest(&weight.values))).or_default();
        let first =
            group.iter().copied().find(|&first| is_same(&tied[first].values, &weight.values));
        if let Some(first) = first {
            join(&mut tied[first], weight);
        } else {
            group.push(tied.len());
            tied.push(weight);
        }
    }
    tied
}

/// Codes that two nodes dequantize in two ways are two weights: the later ones are named after the output.
fn name_apart(scopes: &Scopes<'_>, weights: &mut [Weight]) {
    let mut seen = HashSet::new();
    for weight in weights {
        if !seen.insert(weight.tensor.name.clone())
            && let Some((scope, node)) = weight.sites[0].dequantize
        {
            weight.tensor.name = scopes.name((scope, Definition::Node(node)));
        }
    }
}

fn is_same(a: &[f32], b: &[f32]) -> bool {
    let bits = |values: &[f32]| values.first().map(|value| value.to_bits());
    let is_constant = a.iter().all(|value| Some(value.to_bits()) == bits(a));
    !is_constant && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn digest(values: &[f32]) -> u64 {
    let mix = |digest: u64, value: &f32| {
        (digest ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5)
    };
    values.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Makes one weight of two that are the same.
fn join(first: &mut Weight, other: Weight) {
    let tensor = &mut first.tensor;
    match other.tensor.name.cmp(&tensor.name) {
        // Role and axis go with the name.
        Ordering::Less => {
            let aliases = std::mem::take(&mut tensor.aliases);
            let old = std::mem::replace(tensor, other.tensor);
            tensor.aliases.push(old.name);
            tensor.aliases.extend(aliases);
        }
        // One tensor in several places, as codes that several nodes dequantize.
        Ordering::Equal => {}
        Ordering::Greater => tensor.aliases.push(other.tensor.name),
    }
    tensor.aliases.sort();
    first.sites.extend(other.sites);
    first.uses.extend(other.uses);
}

/// Nodes `Identity` give a weight further names.
fn add_second_names(scopes: &Scopes<'_>, weights: &mut [Weight]) {
    let mut by_place: HashMap<Place, usize> = HashMap::new();
    for (number, weight) in weights.iter().enumerate() {
        by_place.extend(weight.sites.iter().map(|site| (site.place, number)));
    }
    for scope in 0..scopes.len() {
        for (number, node) in scopes.scope(scope).graph.node.iter().enumerate() {
            let source = node.input.first().and_then(|name| scopes.resolve(scope, name));
            let weight = source.filter(|_| op(node) == "Identity").and_then(|of| by_place.get(&of));
            if let Some(&weight) = weight {
                weights[weight].tensor.aliases.push(scopes.name((scope, Definition::Node(number))));
                by_place.insert((scope, Definition::Node(number)), weight);
            }
        }
    }
}

/// Float tensors that are no weights, in the order of the file.
fn others(scopes: &Scopes<'_>, weights: &[Weight]) -> Vec<WeightTensor> {
    let weights: HashSet<Place> =
        weights.iter().flat_map(|weight| &weight.sites).map(|site| site.place).collect();
    let roles = other_roles(scopes);
    let mut others = Vec::new();
    for scope in 0..scopes.len() {
        let graph = scopes.scope(scope).graph;
        let initializers = (0..graph.initializer.len()).map(Definition::Initializer);
        let places = initializers.chain((0..graph.node.len()).map(Definition::Node));
        for place in places.map(|definition| (scope, definition)) {
            let Some(tensor) = scopes.stored(place) else { continue };
            let (Some(dtype), Some(shape)) = (float_type(tensor), shape(tensor)) else { continue };
            if !weights.contains(&place) {
                let role = roles.get(&place).copied().unwrap_or(Role::Other);
                others.push(WeightTensor::new(scopes.name(place), shape, role).with_dtype(dtype));
            }
        }
    }
    others
}

/// The roles of stored tensors that are no weights, by their first use.
fn other_roles(scopes: &Scopes<'_>) -> BTreeMap<Place, Role> {
    let mut roles = BTreeMap::new();
    for scope in 0..scopes.len() {
        for node in &scopes.scope(scope).graph.node {
            for (index, name) in node.input.iter().enumerate() {
                let Some(place) = scopes.resolve(scope, name) else { continue };
                let role = if adds(node)
                    && follows_layer(scopes, scope, &node.input[1 - index.min(1)..])
                {
                    Role::Bias
                } else {
                    other_role(node, index)
                };
                if role != Role::Other {
                    roles.entry(place).or_insert(role);
                }
            }
        }
    }
    roles
}

/// Whether the first of these values comes out of a layer with weights.
fn follows_layer(scopes: &Scopes<'_>, scope: usize, names: &[String]) -> bool {
    let place = names.first().and_then(|name| scopes.resolve(scope, name));
    let Some((scope, Definition::Node(number))) = place else { return false };
    let node = scopes.node(scope, number);
    matches!(op(node), "MatMul" | "Gemm" | "Conv" | "ConvTranspose")
}
