//! The weight tensors of any burn module: their layout, reading and replacing them.

use std::any::Any;
use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};
use glob::{Pattern, PatternError};
use qtaml_deploy::{FloatType, Role, RunnerError, Values, WeightTensor, check_values};

/// Why the tensors of a module cannot be listed, read or replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A tensor of a type that is no float, as burn's own quantized weights.
    #[error("tensor {name:?} is kept as {dtype}: f64, f32, f16 and bf16 are allowed")]
    Type {
        /// The tensor.
        name: String,
        /// Its type, as burn calls it.
        dtype: String,
    },
    /// A tensor that layers read through a function of it, as after [`prepare`](crate::qat::prepare)
    /// or with an adapter of low rank.
    #[error("layers read tensor {name:?} through {by:?}: convert or materialize the module first")]
    Reparameterized {
        /// The tensor.
        name: String,
        /// What burn calls the function.
        by: String,
    },
    /// Two tensors that have one parameter id, and so should be one tensor, but are not.
    #[error(
        "tensors {first:?} and {second:?} have one parameter id and other values: tied tensors are equal, others need ids of their own"
    )]
    Untied {
        /// The first of them.
        first: String,
        /// The second.
        second: String,
    },
    /// A rule whose pattern is none.
    #[error("{pattern:?} is no pattern of names")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: PatternError,
    },
    /// A rule that no tensor matches.
    #[error("the rule for {pattern:?} applies to no tensor of the module")]
    Unused {
        /// The pattern.
        pattern: String,
    },
    /// A rule that names an axis which a tensor does not have.
    #[error("output axis {axis} of tensor {name:?}: its shape is {shape:?}")]
    Axis {
        /// The tensor.
        name: String,
        /// The axis.
        axis: usize,
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// Values for tensors that the module does not have, or of another number.
    #[error(transparent)]
    Values(#[from] RunnerError),
}

/// What tensors of a user's own layers are. It wins over what is known of burn's layers.
///
/// ```
/// use qtaml_deploy::Role;
/// use qtaml_train::TensorRule;
///
/// // `projection` of every block is kept as `[outputs, inputs]`.
/// let rule = TensorRule::new("blocks.*.projection", Role::Linear).with_output_axis(0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorRule {
    pattern: String,
    role: Role,
    output_axis: Option<usize>,
}

impl TensorRule {
    /// For tensors whose name matches `pattern`, in which `*` stands for any text and `?` for any
    /// character. They have no output channels unless said otherwise.
    pub fn new(pattern: impl Into<String>, role: Role) -> Self {
        Self { pattern: pattern.into(), role, output_axis: None }
    }

    /// The same for tensors with output channels along an axis.
    #[must_use]
    pub fn with_output_axis(self, axis: usize) -> Self {
        Self { output_axis: Some(axis), ..self }
    }
}

/// The float tensors of a module, in the order of its fields.
///
/// What a tensor is, is told by the layer that owns it. Of burn's layers:
///
/// | layer | tensor | role | output axis |
/// | --- | --- | --- | --- |
/// | `Linear`, also within attention and recurrent layers | `weight`, `[in, out]` | linear | 1 |
/// | `Conv1d` to `Conv3d`, `DeformConv2d` | `weight`, `[out, in / groups, ..]` | convolution | 0 |
/// | `ConvTranspose1d` to `ConvTranspose3d` | `weight`, `[in, out / groups, ..]` | transposed convolution | 1 |
/// | `Embedding` | `weight`, `[tokens, width]` | embedding | 0: a row for each token |
/// | all of these | `bias` | bias | none |
/// | `BatchNorm`, `LayerNorm`, `GroupNorm`, `InstanceNorm`, `RmsNorm` | `gamma`, `beta` | norm | none |
/// | any | running state | statistics | none |
///
/// In any other layer a tensor of rank two or more is a weight without output channels, and all else is
/// [`Role::Other`]; a [`TensorRule`] says more. With groups, an output channel of a transposed
/// convolution is the same channel of every group.
///
/// Fields that hold one parameter, with the same [`ParamId`], are one tensor: it has the name of the
/// first and those of the others as aliases, and the role of the first whose layer is known. A tensor
/// without weights is listed like any other.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::Device;
/// use qtaml_deploy::Role;
/// use qtaml_train::ModuleWeights;
///
/// # #[cfg(feature = "flex")] {
/// let linear = LinearConfig::new(3, 2).init(&Device::flex());
/// let weights = ModuleWeights::of(&linear)?;
/// let weight = &weights.tensors()[0];
/// assert_eq!((weight.role, weight.output_axis), (Role::Linear, Some(1)));
/// let zeros = weights.replace(&linear, [("weight".to_owned(), vec![0.0; 6])].into())?;
/// assert_eq!(weights.values(&zeros, 0), [0.0; 6]);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ModuleWeights {
    tensors: Vec<WeightTensor>,
    ids: Vec<ParamId>,
    /// Numbers of tensors by their names and aliases.
    positions: HashMap<String, usize>,
}

impl ModuleWeights {
    /// The tensors of a module.
    ///
    /// # Errors
    /// [`WeightsError::Type`], [`WeightsError::Reparameterized`] and [`WeightsError::Untied`].
    pub fn of<M: Module>(module: &M) -> Result<Self, WeightsError> {
        Self::with_rules(module, &[])
    }

    /// The same where the first rule that matches a tensor says what it is.
    ///
    /// # Errors
    /// As [`of`](Self::of), and [`WeightsError::Pattern`], [`WeightsError::Unused`] and
    /// [`WeightsError::Axis`] for a rule that makes no sense.
    pub fn with_rules<M: Module>(module: &M, rules: &[TensorRule]) -> Result<Self, WeightsError> {
        let Listed { found, untied, reparameterized } = list(module, false);
        if let Some((name, by)) = reparameterized {
            return Err(WeightsError::Reparameterized { name, by });
        }
        if let Some((first, second)) = untied {
            return Err(WeightsError::Untied { first, second });
        }
        let mut weights = Self { tensors: Vec::new(), ids: Vec::new(), positions: HashMap::new() };
        for Found { tensor, id, dtype, .. } in found {
            if float_type(dtype).is_none() {
                let dtype = format!("{dtype:?}");
                return Err(WeightsError::Type { name: tensor.name, dtype });
            }
            let names = tensor.aliases.iter().chain([&tensor.name]).cloned();
            weights.positions.extend(names.map(|name| (name, weights.tensors.len())));
            weights.tensors.push(tensor);
            weights.ids.push(id);
        }
        apply_rules(&mut weights.tensors, rules)?;
        Ok(weights)
    }

    /// What the tensors are.
    pub fn tensors(&self) -> &[WeightTensor] {
        &self.tensors
    }

    /// Whether fields share a tensor.
    pub fn has_ties(&self) -> bool {
        self.tensors.iter().any(|tensor| !tensor.aliases.is_empty())
    }

    /// The number of the tensor of this name or alias.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    pub(crate) fn of_id(&self, id: ParamId) -> Option<&WeightTensor> {
        let index = self.ids.iter().position(|known| *known == id)?;
        self.tensors.get(index)
    }

    /// The values of tensor number `index` in a module with these tensors, row-major; none if there is
    /// no such tensor. Whatever type they are kept in, they are read as `f32`.
    pub fn values<M: Module>(&self, module: &M, index: usize) -> Vec<f32> {
        let Some(&id) = self.ids.get(index) else { return Vec::new() };
        let mut reader = Reader { id, values: None };
        module.visit(&mut reader);
        reader.values.unwrap_or_default()
    }

    /// The module with other values for the tensors that are named: by their names or aliases, wherever
    /// they are used. They are kept in the type that the tensor has; numbers beyond its range become its
    /// largest. The module that is handed in stays as it is.
    ///
    /// # Errors
    /// [`WeightsError::Values`] for values that fit no tensor.
    pub fn replace<M: Module>(&self, module: &M, values: Values) -> Result<M, WeightsError> {
        check_values(&self.tensors, &values)?;
        let mut new = HashMap::new();
        for (name, values) in values {
            if let Some(index) = self.position(&name) {
                let WeightTensor { shape, dtype, .. } = &self.tensors[index];
                new.insert(index, host_data(values, shape.clone(), burn_type(*dtype)));
            }
        }
        Ok(self.replace_data(module, new))
    }

    /// As [`replace`](Self::replace), by the numbers of tensors, with data of their shapes.
    pub(crate) fn replace_data<M: Module>(
        &self,
        module: &M,
        data: HashMap<usize, TensorData>,
    ) -> M {
        let measured = data.keys().any(|&index| self.tensors[index].role == Role::Statistics);
        let new = data.into_iter().map(|(index, data)| (self.ids[index], data)).collect();
        // Clones share their running statistics, and a mapper would change them for all; `valid`
        // makes a copy.
        let module = if measured { module.valid() } else { module.clone() };
        module.map(&mut Replacer { new, shared: HashMap::new() })
    }
}

/// The values of all tensors of a module in their types, in the order of its list.
pub(crate) fn data_of<M: Module>(module: &M) -> Vec<TensorData> {
    let mut collector = DataCollector { seen: HashSet::new(), found: Vec::new() };
    module.visit(&mut collector);
    collector.found
}

fn apply_rules(tensors: &mut [WeightTensor], rules: &[TensorRule]) -> Result<(), WeightsError> {
    let patterns = rules.iter().map(|TensorRule { pattern, .. }| {
        let parsed = Pattern::new(pattern);
        parsed.map_err(|source| WeightsError::Pattern { pattern: pattern.clone(), source })
    });
    let patterns: Vec<Pattern> = patterns.collect::<Result<_, _>>()?;
    let mut used = vec![false; rules.len()];
    for tensor in tensors {
        let matches = |pattern: &Pattern| {
            pattern.matches(&tensor.name) || tensor.aliases.iter().any(|a| pattern.matches(a))
        };
        // A rule behind another one that matches the same tensors has a use as well: to be general.
        let mut matching = (0..rules.len()).filter(|&rule| matches(&patterns[rule]));
        let Some(first) = matching.next() else { continue };
        matching.for_each(|rule| used[rule] = true);
        used[first] = true;
        let TensorRule { role, output_axis, .. } = rules[first];
        if let Some(axis) = output_axis.filter(|&axis| axis >= tensor.shape.len()) {
            let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
            return Err(WeightsError::Axis { name, axis, shape });
        }
        (tensor.role, tensor.output_axis) = (role, output_axis);
    }
    match used.iter().position(|used| !used) {
        Some(rule) => Err(WeightsError::Unused { pattern: rules[rule].pattern.clone() }),
        None => Ok(()),
    }
}

/// What the field of a layer is, and its output axis.
fn role_of(layer: &str, field: &str, rank: usize) -> (Role, Option<usize>) {
    let layer = layer.strip_prefix("Struct:").unwrap_or_default();
    let kernel = |dimensions: usize| field == "weight" && rank == dimensions + 2;
    match layer {
        "Linear" if kernel(0) => (Role::Linear, Some(1)),
        "Embedding" if kernel(0) => (Role::Embedding, Some(0)),
        "Conv1d" if kernel(1) => (Role::Convolution, Some(0)),
        "Conv2d" | "DeformConv2d" if kernel(2) => (Role::Convolution, Some(0)),
        "Conv3d" if kernel(3) => (Role::Convolution, Some(0)),
        "ConvTranspose1d" if kernel(1) => (Role::TransposedConvolution, Some(1)),
        "ConvTranspose2d" if kernel(2) => (Role::TransposedConvolution, Some(1)),
        "ConvTranspose3d" if kernel(3) => (Role::TransposedConvolution, Some(1)),
        "BatchNorm" | "LayerNorm" | "GroupNorm" | "InstanceNorm" | "RmsNorm"
            if rank == 1 && matches!(field, "gamma" | "beta") =>
        {
            (Role::Norm, None)
        }
        "Linear" | "Conv1d" | "Conv2d" | "Conv3d" | "DeformConv2d" | "ConvTranspose1d"
        | "ConvTranspose2d" | "ConvTranspose3d"
            if rank == 1 && field == "bias" =>
        {
            (Role::Bias, None)
        }
        _ if rank >= 2 => (Role::OtherWeight, None),
        _ => (Role::Other, None),
    }
}

const fn float_type(dtype: DType) -> Option<FloatType> {
    match dtype {
        DType::F64 => Some(FloatType::F64),
        DType::F32 => Some(FloatType::F32),
        DType::F16 => Some(FloatType::F16),
        DType::BF16 => Some(FloatType::Bf16),
        _ => None,
    }
}

/// What burn calls a float type.
const fn burn_type(dtype: FloatType) -> DType {
    match dtype {
        FloatType::F64 => DType::F64,
        FloatType::F16 => DType::F16,
        FloatType::Bf16 => DType::BF16,
        _ => DType::F32,
    }
}

/// A tensor as it was met.
pub(crate) struct Found {
    pub(crate) tensor: WeightTensor,
    pub(crate) id: ParamId,
    /// The type that burn knows; that of the tensor, if it is a float.
    dtype: DType,
    /// None unless they were asked for.
    pub(crate) values: Vec<f32>,
}

pub(crate) struct Listed {
    pub(crate) found: Vec<Found>,
    /// The first two tensors with one id and other values.
    untied: Option<(String, String)>,
    /// The first tensor that is read through something else, and what that is.
    reparameterized: Option<(String, String)>,
}

/// All float tensors of a module, tied ones once; with their values if these are wanted.
pub(crate) fn list<M: Module>(module: &M, values: bool) -> Listed {
    let mut lister = Lister {
        path: Vec::new(),
        layers: Vec::new(),
        buffers: buffers(module),
        values,
        seen: HashMap::new(),
        listed: Listed { found: Vec::new(), untied: None, reparameterized: None },
    };
    module.visit(&mut lister);
    lister.listed
}

/// The ids of what a module measures: running statistics.
pub(crate) fn buffers<M: Module>(module: &M) -> HashSet<ParamId> {
    let mut buffers = Buffers(HashSet::new());
    // burn lets no one make them require gradients; whatever else is a float can be made to learn.
    module.valid().train().unfreeze().visit(&mut buffers);
    buffers.0
}

struct Buffers(HashSet<ParamId>);

impl ModuleVisitor for Buffers {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() && float_type(param.dtype()).is_some() {
            self.0.insert(param.id);
        }
    }
}

struct Lister {
    path: Vec<String>,
    layers: Vec<String>,
    buffers: HashSet<ParamId>,
    values: bool,
    /// The first parameter of each id, with its number in the list.
    seen: HashMap<ParamId, (usize, Box<dyn Any>)>,
    listed: Listed,
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, container: &str) {
        if container == "Reparameterization" && self.listed.reparameterized.is_none() {
            self.listed.reparameterized = Some((self.path.join("."), name.into()));
        }
        self.path.push(name.into());
        self.layers.push(container.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
        self.layers.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        let layer = self.layers.last().map_or("", String::as_str);
        let field = self.path.last().map_or("", String::as_str);
        let (role, output_axis) = if self.buffers.contains(&param.id) {
            (Role::Statistics, None)
        } else {
            role_of(layer, field, D)
        };
        if let Some((index, first)) = self.seen.get(&param.id) {
            let tensor = &mut self.listed.found[*index].tensor;
            let unknown = |role| matches!(role, Role::Other | Role::OtherWeight);
            if unknown(tensor.role) && !unknown(role) {
                (tensor.role, tensor.output_axis) = (role, output_axis);
            }
            let first = first.downcast_ref::<Param<Tensor<D>>>();
            let equal = |first: &Param<Tensor<D>>| {
                first.dims() == param.dims() && to_host(first.val()) == to_host(param.val())
            };
            if self.listed.untied.is_none() && !first.is_some_and(equal) {
                self.listed.untied = Some((tensor.name.clone(), name.clone()));
            }
            tensor.aliases.push(name);
            return;
        }
        let dtype = param.dtype();
        let mut tensor = WeightTensor::new(name, param.dims(), role);
        tensor.output_axis = output_axis;
        tensor.dtype = float_type(dtype).unwrap_or_default();
        let values = if self.values { to_host(param.val()) } else { Vec::new() };
        self.seen.insert(param.id, (self.listed.found.len(), Box::new(param.clone())));
        self.listed.found.push(Found { tensor, id: param.id, dtype, values });
    }
}

struct Reader {
    id: ParamId,
    values: Option<Vec<f32>>,
}

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.values.is_none() && param.id == self.id {
            self.values = Some(to_host(param.val()));
        }
    }
}

struct DataCollector {
    seen: HashSet<ParamId>,
    found: Vec<TensorData>,
}

impl ModuleVisitor for DataCollector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.seen.insert(param.id) {
            self.found.push(param.val().into_data());
        }
    }
}

struct Replacer {
    new: HashMap<ParamId, TensorData>,
    /// Parameters that were replaced: tied fields get the same.
    shared: HashMap<ParamId, Box<dyn Any>>,
}

impl ModuleMapper for Replacer {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        if let Some(shared) = self.shared.get(&id).and_then(|shared| shared.downcast_ref()) {
            return Param::clone(shared);
        }
        let Some(data) = self.new.remove(&id) else { return param };
        let param = param.map(|old| {
            let new = Tensor::from_data(data, (&old.device(), old.dtype()));
            if old.is_require_grad() { new.require_grad() } else { new }
        });
        self.shared.insert(id, Box::new(param.clone()));
        param
    }
}

/// The module in which fields of one parameter hold the same tensor again, so that gradients by all of
/// them add up: burn's transition to training gives each its own, and its optimizers move the first
/// alone.
pub(crate) fn tied<M: Module>(module: M) -> M {
    module.map(&mut Tie(HashMap::new()))
}

struct Tie(HashMap<ParamId, Box<dyn Any>>);

impl ModuleMapper for Tie {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        if let Some(first) = self.0.get(&param.id).and_then(|first| first.downcast_ref()) {
            return Param::clone(first);
        }
        self.0.insert(param.id, Box::new(param.clone()));
        param
    }
}

/// The values of a tensor as `f32`, whatever float type it is kept in.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let tensor =
        if matches!(tensor.dtype(), DType::QFloat(_)) { tensor.dequantize() } else { tensor };
    let data = tensor.into_data();
    data.as_slice::<f32>().map_or_else(|_| data.iter::<f32>().collect(), <[f32]>::to_vec)
}

/// Values as a tensor of this type, which may differ from what its device prefers. Finite numbers
/// beyond the range of the type become its largest.
pub(crate) fn from_host<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    Tensor::from_data(host_data(values, shape.to_vec(), dtype), (device, dtype))
}

/// Values within the range of a type.
fn host_data(mut values: Vec<f32>, shape: Vec<usize>, dtype: DType) -> TensorData {
    let largest = match dtype {
        DType::F16 => Some(65504.0),
        DType::BF16 => Some(f32::from_bits(0x7f7f_0000)),
        _ => None,
    };
    if let Some(largest) = largest {
        for value in values.iter_mut().filter(|value| value.is_finite()) {
            *value = value.clamp(-largest, largest);
        }
    }
    TensorData::new(values, shape)
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::module::RunningState;
    use burn::nn::conv::{
        Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, Conv3d, Conv3dConfig, ConvTranspose1d,
        ConvTranspose1dConfig, ConvTranspose2d, ConvTranspose2dConfig,
    };
    use burn::nn::{
        BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, GroupNorm, GroupNormConfig, Gru,
        GruConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, LinearLayout, Lstm,
        LstmConfig, RmsNorm, RmsNormConfig,
    };
    use burn::tensor::Int;
    use qtaml_deploy::{Granularity, groups_of};

    use super::*;

    fn device() -> Device {
        Device::flex()
    }

    /// Name, shape, role and axis of every tensor.
    fn table<M: Module>(module: &M) -> Vec<(String, Vec<usize>, Role, Option<usize>)> {
        let weights = ModuleWeights::of(module).unwrap();
        let row = |t: &WeightTensor| (t.name.clone(), t.shape.clone(), t.role, t.output_axis);
        weights.tensors().iter().map(row).collect()
    }

    fn weight_of<M: Module>(module: &M) -> (Vec<usize>, Role, Option<usize>) {
        let (name, shape, role, axis) = table(module).remove(0);
        assert_eq!(name, "weight");
        (shape, role, axis)
    }

    /// Where output channels lie is what the layer computes with them: zeros in one slice along the
    /// axis silence exactly one channel of the output.
    fn silences_one_channel<M: Module>(module: &M, outputs: impl Fn(&M) -> Tensor<3>) {
        let weights = ModuleWeights::of(module).unwrap();
        let tensor = &weights.tensors()[0];
        let before = outputs(module);
        let channels = before.dims()[1];
        assert_eq!(tensor.channels(), channels);
        for (channel, group) in groups_of(0, tensor, Granularity::Channel).iter().enumerate() {
            let mut values = weights.values(module, 0);
            let zeros = vec![0.0; group.len()];
            tensor.channel_major().scatter(group.range.clone(), &zeros, &mut values);
            let silent = weights.replace(module, [("weight".into(), values)].into()).unwrap();
            let after = outputs(&silent);
            for other in 0..channels {
                let of = |t: &Tensor<3>| to_host(t.clone().slice([0..1, other..other + 1]));
                if other == channel {
                    assert!(of(&after).iter().all(|y| *y == 0.0) && of(&before) != of(&after));
                } else {
                    // Another layout in memory is summed in another order.
                    let pairs = of(&after).into_iter().zip(of(&before));
                    pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
                }
            }
        }
    }

    #[test]
    fn axes_are_those_of_the_computation() {
        let device = device();
        for layout in [LinearLayout::Row, LinearLayout::Col] {
            let config = LinearConfig::new(4, 3).with_bias(false).with_layout(layout);
            let linear: Linear = config.init(&device);
            assert_eq!(weight_of(&linear), (vec![4, 3], Role::Linear, Some(1)));
            let input = Tensor::<2>::ones([1, 4], &device);
            silences_one_channel(&linear, |m| m.forward(input.clone()).unsqueeze_dim(2));
        }
        let conv: Conv1d = Conv1dConfig::new(2, 3, 2).with_bias(false).init(&device);
        assert_eq!(weight_of(&conv), (vec![3, 2, 2], Role::Convolution, Some(0)));
        let input = Tensor::<3>::ones([1, 2, 4], &device);
        silences_one_channel(&conv, |m| m.forward(input.clone()));
        let conv: Conv2d = Conv2dConfig::new([2, 4], [2, 2]).with_groups(2).init(&device);
        assert_eq!(weight_of(&conv), (vec![4, 1, 2, 2], Role::Convolution, Some(0)));
        let conv: Conv3d = Conv3dConfig::new([2, 4], [2, 2, 2]).init(&device);
        assert_eq!(weight_of(&conv), (vec![4, 2, 2, 2, 2], Role::Convolution, Some(0)));
        let conv: ConvTranspose1d =
            ConvTranspose1dConfig::new([2, 3], 2).with_bias(false).init(&device);
        assert_eq!(weight_of(&conv), (vec![2, 3, 2], Role::TransposedConvolution, Some(1)));
        silences_one_channel(&conv, |m| m.forward(input.clone()));
        let conv: ConvTranspose2d =
            ConvTranspose2dConfig::new([2, 3], [2, 2]).with_bias(false).init(&device);
        assert_eq!(weight_of(&conv), (vec![2, 3, 2, 2], Role::TransposedConvolution, Some(1)));
        let image = Tensor::<4>::ones([1, 2, 3, 3], &device);
        silences_one_channel(&conv, |m| m.forward(image.clone()).flatten(2, 3));
        let grouped: ConvTranspose2d =
            ConvTranspose2dConfig::new([4, 6], [2, 2]).with_groups(2).init(&device);
        assert_eq!(weight_of(&grouped), (vec![4, 3, 2, 2], Role::TransposedConvolution, Some(1)));
        let table: Embedding = EmbeddingConfig::new(5, 3).init(&device);
        assert_eq!(weight_of(&table), (vec![5, 3], Role::Embedding, Some(0)));
        let tokens = Tensor::<2, Int>::from_ints([[0, 1, 2, 3, 4]], &device);
        silences_one_channel(&table, |m| m.forward(tokens.clone()));
    }

    #[test]
    fn recurrent_layers_consist_of_linear_gates() {
        let lstm: Lstm = LstmConfig::new(3, 5, true).init(&device());
        let rows = table(&lstm);
        let roles = |role| rows.iter().filter(|row| row.2 == role).count();
        // Four gates, each with a matrix for the input and one for the state.
        assert_eq!((roles(Role::Linear), roles(Role::Bias), rows.len()), (8, 8, 16));
        let gru: Gru = GruConfig::new(3, 5, false).init(&device());
        let rows = table(&gru);
        assert_eq!(rows.len(), 6);
        for (name, shape, role, axis) in rows {
            let inputs = if name.contains("input_transform") { 3 } else { 5 };
            assert_eq!((shape, role, axis), (vec![inputs, 5], Role::Linear, Some(1)), "{name}");
        }
    }

    #[derive(Module, Debug)]
    struct Norms {
        batch: BatchNorm,
        layer: LayerNorm,
        group: GroupNorm,
        rms: RmsNorm,
        conv: Conv2d,
    }

    #[test]
    fn norms_biases_and_statistics_are_told_apart() {
        let norms = Norms {
            batch: BatchNormConfig::new(2).init(&device()),
            layer: LayerNormConfig::new(2).init(&device()),
            group: GroupNormConfig::new(1, 2).init(&device()),
            rms: RmsNormConfig::new(2).init(&device()),
            conv: Conv2dConfig::new([1, 2], [1, 1]).init(&device()),
        };
        for norms in [norms.clone(), norms.clone().train(), norms.freeze()] {
            let roles: Vec<_> = table(&norms).into_iter().map(|row| (row.0, row.2)).collect();
            let expected = [
                ("batch.gamma", Role::Norm),
                ("batch.beta", Role::Norm),
                ("batch.running_mean", Role::Statistics),
                ("batch.running_var", Role::Statistics),
                ("layer.gamma", Role::Norm),
                ("layer.beta", Role::Norm),
                ("group.gamma", Role::Norm),
                ("group.beta", Role::Norm),
                ("rms.gamma", Role::Norm),
                ("conv.weight", Role::Convolution),
                ("conv.bias", Role::Bias),
            ];
            assert_eq!(roles, expected.map(|(name, role)| (name.to_owned(), role)));
        }
    }

    /// A layer of a user's own: `[out, in]`, with a state that is measured.
    #[derive(Module, Debug)]
    struct Own {
        matrix: Param<Tensor<2>>,
        gain: Param<Tensor<1>>,
        seen: RunningState<Tensor<1>>,
    }

    fn own() -> Own {
        Own {
            matrix: Param::from_tensor(Tensor::ones([3, 2], &device())),
            gain: Param::from_tensor(Tensor::ones([3], &device())),
            seen: RunningState::new(Tensor::zeros([3], &device())),
        }
    }

    #[test]
    fn of_own_layers_nothing_is_guessed_and_rules_say_what_they_are() {
        let own = own();
        let found: Vec<_> = table(&own).into_iter().map(|row| (row.2, row.3)).collect();
        let unknown = [(Role::OtherWeight, None), (Role::Other, None), (Role::Statistics, None)];
        assert_eq!(found, unknown);
        let rules = [
            TensorRule::new("mat*", Role::Linear).with_output_axis(0),
            TensorRule::new("gain", Role::Norm),
        ];
        let weights = ModuleWeights::with_rules(&own, &rules).unwrap();
        let found: Vec<_> = weights.tensors().iter().map(|t| (t.role, t.output_axis)).collect();
        assert_eq!(found[..2], [(Role::Linear, Some(0)), (Role::Norm, None)]);

        let message = |rule| ModuleWeights::with_rules(&own, &[rule]).unwrap_err().to_string();
        assert_eq!(
            message(TensorRule::new("matrx", Role::Linear)),
            "the rule for \"matrx\" applies to no tensor of the module"
        );
        assert_eq!(
            message(TensorRule::new("matrix", Role::Linear).with_output_axis(2)),
            "output axis 2 of tensor \"matrix\": its shape is [3, 2]"
        );
        assert!(message(TensorRule::new("***", Role::Linear)).contains("no pattern"));
    }

    /// A token model whose head reads the table of its embedding.
    #[derive(Module, Debug)]
    struct Tied {
        head: Param<Tensor<2>>,
        embedding: Embedding,
    }

    fn tied_model() -> Tied {
        let embedding: Embedding = EmbeddingConfig::new(5, 3).init(&device());
        Tied { head: embedding.weight.clone(), embedding }
    }

    #[test]
    fn tied_parameters_are_one_tensor() {
        let model = tied_model();
        let weights = ModuleWeights::of(&model).unwrap();
        let expected = WeightTensor::new("head", [5, 3], Role::Embedding)
            .with_output_axis(0)
            .with_alias("embedding.weight");
        assert_eq!(weights.tensors(), [expected]);
        assert!(weights.has_ties());

        let values: Vec<f32> = (0..15).map(|i| i as f32).collect();
        for name in ["head", "embedding.weight"] {
            let new = weights.replace(&model, [(name.into(), values.clone())].into()).unwrap();
            assert_eq!(to_host(new.head.val()), values);
            assert_eq!(to_host(new.embedding.weight.val()), values);
            assert_eq!([new.head.id, new.embedding.weight.id], [model.head.id; 2]);
            assert_eq!(weights.values(&new, 0), values);
        }
        let twice = ["head", "embedding.weight"].map(|name| (name.to_owned(), values.clone()));
        assert_eq!(
            weights.replace(&model, twice.into()).unwrap_err().to_string(),
            "tensor \"head\" is replaced twice, as \"embedding.weight\" and as \"head\""
        );
    }

    #[test]
    fn one_id_with_two_values_is_refused() {
        let mut model = tied_model();
        model.head = model.head.map(|table| table + 1.0);
        let error = ModuleWeights::of(&model).unwrap_err();
        assert!(matches!(error, WeightsError::Untied { .. }), "{error}");
    }

    /// In training, the gradient of a tied tensor is the sum of those of its uses.
    #[test]
    fn gradients_of_tied_fields_add_up() {
        let model = tied(tied_model().train());
        let loss = model.head.val().sum() * 2.0 + model.embedding.weight.val().sum() * 5.0;
        let gradients = loss.backward();
        for field in [&model.head, &model.embedding.weight] {
            assert_eq!(to_host(field.val().grad(&gradients).unwrap()), [7.0; 15]);
        }
    }

    fn in_type(linear: Linear, dtype: DType) -> Linear {
        struct Cast(DType);
        impl ModuleMapper for Cast {
            fn map_float<const D: usize>(&mut self, p: Param<Tensor<D>>) -> Param<Tensor<D>> {
                p.map(|tensor| tensor.cast(self.0))
            }
        }
        linear.map(&mut Cast(dtype))
    }

    #[test]
    fn tensors_stay_in_their_type() {
        let linear: Linear = LinearConfig::new(3, 2).init(&device());
        for (dtype, float) in [
            (DType::F64, FloatType::F64),
            (DType::F32, FloatType::F32),
            (DType::F16, FloatType::F16),
            (DType::BF16, FloatType::Bf16),
        ] {
            let linear = in_type(linear.clone(), dtype);
            let weights = ModuleWeights::of(&linear).unwrap();
            assert_eq!(weights.tensors()[0].dtype, float);
            // What every type holds exactly comes back, and what was read is written back unchanged.
            let exact = vec![0.0, -1.5, 2.0, 96.0, 0.125, -0.25];
            let new =
                weights.replace(&linear, [("weight".to_owned(), exact.clone())].into()).unwrap();
            assert_eq!((new.weight.dtype(), weights.values(&new, 0)), (dtype, exact));
            let read = weights.values(&linear, 0);
            let again = weights.replace(&linear, [("weight".to_owned(), read.clone())].into());
            assert_eq!(weights.values(&again.unwrap(), 0), read);
            // The layer still runs.
            let input = Tensor::<2>::ones([1, 3], (&device(), dtype));
            assert!(to_host(new.forward(input)).iter().all(|y| y.is_finite()));
        }
        // Rounding is that of the type: 1 + 2^-11 lies between two halves, and the even one wins.
        let half = in_type(linear.clone(), DType::F16);
        let weights = ModuleWeights::of(&half).unwrap();
        let values = vec![1.0 + f32::powi(2.0, -11), 1.0 + 1.5 * f32::powi(2.0, -10), 1e6, -1e6];
        let values = [values, vec![f32::INFINITY, 6e-8]].concat();
        let new = weights.replace(&half, [("weight".to_owned(), values)].into()).unwrap();
        let step = f32::powi(2.0, -10);
        let expected =
            [1.0, 1.0 + 2.0 * step, 65504.0, -65504.0, f32::INFINITY, f32::powi(2.0, -24)];
        assert_eq!(weights.values(&new, 0), expected);
    }

    #[test]
    fn a_layer_without_inputs_has_a_tensor_without_weights() {
        let linear: Linear = LinearConfig::new(4, 2).with_bias(false).init(&device());
        let none = Param::from_tensor(Tensor::zeros([4, 0], &device()));
        let empty = Linear { weight: none, ..linear };
        let weights = ModuleWeights::of(&empty).unwrap();
        assert!(weights.tensors()[0].is_empty());
        assert_eq!(weights.values(&empty, 0), [0.0; 0]);
        weights.replace(&empty, [("weight".to_owned(), Vec::new())].into()).unwrap();
    }

    #[test]
    fn names_and_sizes_must_fit() {
        let linear: Linear = LinearConfig::new(3, 2).init(&device());
        let weights = ModuleWeights::of(&linear).unwrap();
        let message = |name: &str, values: usize| {
            let values = [(name.to_owned(), vec![0.0; values])].into();
            weights.replace(&linear, values).unwrap_err().to_string()
        };
        assert_eq!(message("weight", 5), "5 values for tensor \"weight\" of shape [3, 2]");
        assert!(message("wieght", 6).starts_with("the model has no tensor \"wieght\": nearest"));
    }

    #[test]
    fn adapters_and_quantized_weights_are_refused_by_name() {
        use burn::module::{Lora, Quantizer};
        use burn::tensor::quantization::{Calibration, QuantValue};

        let linear: Linear = LinearConfig::new(4, 4).init(&device());
        let adapted = linear.clone().apply_lora(Lora::new(2, 4.0));
        let error = ModuleWeights::of(&adapted).unwrap_err();
        let expected = WeightsError::Reparameterized { name: "weight".into(), by: "lora".into() };
        assert_eq!(error.to_string(), expected.to_string());
        assert!(ModuleWeights::of(&adapted.valid().materialize()).is_ok());

        let scheme = device().settings().quantization.scheme.with_value(QuantValue::Q8S);
        let quantized = linear.quantize_weights(&mut Quantizer::new(Calibration::MinMax, scheme));
        let error = ModuleWeights::of(&quantized).unwrap_err();
        assert!(matches!(error, WeightsError::Type { .. }), "{error}");
        assert_eq!(crate::parameters(&quantized)[0].values.len(), 16);
    }

    #[test]
    fn what_is_replaced_leaves_running_statistics_of_the_original_alone() {
        let norm: BatchNorm = BatchNormConfig::new(2).init(&device());
        let weights = ModuleWeights::of(&norm).unwrap();
        let new = [("running_mean".to_owned(), vec![3.0, 4.0])].into();
        let new = weights.replace(&norm, new).unwrap();
        let at = weights.position("running_mean").unwrap();
        assert_eq!(weights.values(&new, at), [3.0, 4.0]);
        assert_eq!(weights.values(&norm, at), [0.0, 0.0]);
    }
}
