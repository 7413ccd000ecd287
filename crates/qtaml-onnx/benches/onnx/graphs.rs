//! Made-up ONNX models: a convolutional network, and transformers of three sizes.

use qtaml_fault::Seed;
use rand::RngExt as _;
use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

/// Tokens of a sample.
const TOKENS: i64 = 32;
/// Numbers of a head of attention.
const HEAD: i64 = 48;

/// A graph with the name that the table shows.
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// The shape of one sample of its input, which is called `x`.
    pub(super) sample: Vec<usize>,
}

/// All that are measured.
pub(super) fn all(seed: Seed) -> Vec<Graph> {
    let transformer = |width, layers| transformer(seed, width, layers);
    vec![convolutional(seed), transformer(192, 3), transformer(288, 5), transformer(432, 10)]
}

/// A residual network on images of 64 x 64, with depthwise convolutions in between.
fn convolutional(seed: Seed) -> Graph {
    let mut graph = Builder::new(seed);
    let mut x = graph.convolution("x", [3, 32], 3, 2, 1);
    let mut width = 32;
    for (stage, wider) in [64, 128, 256].into_iter().enumerate() {
        x = graph.convolution(&x, [width, wider], 3, 2, 1);
        width = wider;
        for _ in 0..=stage {
            let inner = graph.convolution(&x, [width, width], 3, 1, 1);
            let inner = graph.convolution(&inner, [width, width], 3, 1, width);
            let inner = graph.convolution(&inner, [width, width], 1, 1, 1);
            x = graph.node("Add", &[&x, &inner], vec![]);
        }
    }
    let x = graph.node("GlobalAveragePool", &[&x], vec![]);
    let x = graph.node("Flatten", &[&x], vec![]);
    let y = graph.linear(&x, width, 100);
    graph.finish("convolutional network".into(), &[3, 64, 64], (&y, &[100]))
}

/// Attention and two products, so many times, as sentence models are exported.
fn transformer(seed: Seed, width: i64, layers: usize) -> Graph {
    let mut graph = Builder::new(seed);
    let mut x = "x".to_owned();
    for _ in 0..layers {
        let inner = graph.normalized(&x, width);
        let inner = graph.attention(&inner, width);
        x = graph.node("Add", &[&x, &inner], vec![]);
        let inner = graph.normalized(&x, width);
        let inner = graph.linear(&inner, width, 4 * width);
        let inner = graph.gelu(&inner);
        let inner = graph.linear(&inner, 4 * width, width);
        x = graph.node("Add", &[&x, &inner], vec![]);
    }
    let y = graph.node("ReduceMean", &[&x], vec![ints("axes", &[1]), int("keepdims", 0)]);
    let name = format!("transformer, {layers} x {width}");
    graph.finish(name, &[TOKENS, width], (&y, &[width]))
}

/// A graph under way.
struct Builder {
    seed: Seed,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Builder {
    fn new(seed: Seed) -> Self {
        Self { seed, nodes: Vec::new(), constants: Vec::new() }
    }

    /// A node with one output, whose name it gives.
    fn node(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let output = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.nodes.push(NodeProto {
            name: Some(output.clone()),
            op_type: Some(op.into()),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.clone()],
            attribute,
            domain: None,
        });
        output
    }

    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = format!("constant_{}", self.constants.len());
        self.constants.push(TensorProto { name: Some(name.clone()), ..tensor });
        name
    }

    fn floats(&mut self, dims: &[i64], values: Vec<f32>) -> String {
        let (dims, data_type) = (dims.to_vec(), Some(DataType::FLOAT));
        self.constant(TensorProto { dims, data_type, float_data: values, ..Default::default() })
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let (dims, data_type) = (vec![values.len() as i64], Some(DataType::INT64));
        let int64_data = values.to_vec();
        self.constant(TensorProto { dims, data_type, int64_data, ..Default::default() })
    }

    /// Weights that keep the power of what they are multiplied with.
    fn weights(&mut self, dims: &[i64], inputs: i64) -> String {
        let mut rng = self.seed.rng("weights", self.constants.len() as u64);
        let limit = (3.0 / inputs as f32).sqrt();
        let values = (0..dims.iter().product()).map(|_| rng.random_range(-limit..limit)).collect();
        self.floats(dims, values)
    }

    fn linear(&mut self, x: &str, inputs: i64, outputs: i64) -> String {
        let (weights, bias) =
            (self.weights(&[inputs, outputs], inputs), self.floats(&[outputs], zeros(outputs)));
        let product = self.node("MatMul", &[x, &weights], vec![]);
        self.node("Add", &[&product, &bias], vec![])
    }

    /// A convolution with a rectifier behind it.
    fn convolution(
        &mut self,
        x: &str,
        [inputs, outputs]: [i64; 2],
        kernel: i64,
        stride: i64,
        groups: i64,
    ) -> String {
        let inputs = inputs / groups;
        let weights =
            self.weights(&[outputs, inputs, kernel, kernel], inputs * kernel * kernel / 2 + 1);
        let bias = self.floats(&[outputs], zeros(outputs));
        let pad = kernel / 2;
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[pad; 4]),
            int("group", groups),
        ];
        let y = self.node("Conv", &[x, &weights, &bias], attributes);
        self.node("Relu", &[&y], vec![])
    }

    fn normalized(&mut self, x: &str, width: i64) -> String {
        let factors = self.floats(&[width], vec![1.0; width as usize]);
        let offsets = self.floats(&[width], zeros(width));
        self.node("LayerNormalization", &[x, &factors, &offsets], vec![int("axis", -1)])
    }

    fn attention(&mut self, x: &str, width: i64) -> String {
        let heads = width / HEAD;
        let split = self.integers(&[0, TOKENS, heads, HEAD]);
        let part = |graph: &mut Self, order: &[i64]| {
            let y = graph.linear(x, width, width);
            let y = graph.node("Reshape", &[&y, &split], vec![]);
            graph.node("Transpose", &[&y], vec![ints("perm", order)])
        };
        let queries = part(self, &[0, 2, 1, 3]);
        let keys = part(self, &[0, 2, 3, 1]);
        let values = part(self, &[0, 2, 1, 3]);
        let scale = self.floats(&[], vec![(HEAD as f32).sqrt().recip()]);
        let scores = self.node("MatMul", &[&queries, &keys], vec![]);
        let scores = self.node("Mul", &[&scores, &scale], vec![]);
        let shares = self.node("Softmax", &[&scores], vec![int("axis", -1)]);
        let y = self.node("MatMul", &[&shares, &values], vec![]);
        let y = self.node("Transpose", &[&y], vec![ints("perm", &[0, 2, 1, 3])]);
        let joined = self.integers(&[0, TOKENS, width]);
        let y = self.node("Reshape", &[&y, &joined], vec![]);
        self.linear(&y, width, width)
    }

    /// As exporters write it before the operator came: with the error function.
    fn gelu(&mut self, x: &str) -> String {
        let root = self.floats(&[], vec![std::f32::consts::SQRT_2]);
        let (one, half) = (self.floats(&[], vec![1.0]), self.floats(&[], vec![0.5]));
        let y = self.node("Div", &[x, &root], vec![]);
        let y = self.node("Erf", &[&y], vec![]);
        let y = self.node("Add", &[&y, &one], vec![]);
        let y = self.node("Mul", &[x, &y], vec![]);
        self.node("Mul", &[&y, &half], vec![])
    }

    /// The graph with its one input and its one output, each behind an axis of samples.
    fn finish(self, name: String, input: &[i64], (output, shape): (&str, &[i64])) -> Graph {
        let graph = GraphProto {
            node: self.nodes,
            initializer: self.constants,
            input: vec![value("x", input)],
            output: vec![value(output, shape)],
            value_info: vec![],
        };
        let opset = OperatorSetIdProto { domain: None, version: Some(17) };
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(graph),
            opset_import: vec![opset],
            ..Default::default()
        };
        let sample = input.iter().map(|&size| size as usize).collect();
        Graph { name, bytes: model.write_buf().expect("a graph without cycles"), sample }
    }
}

fn zeros(count: i64) -> Vec<f32> {
    vec![0.0; count as usize]
}

fn int(name: &str, i: i64) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::INT));
    AttributeProto { name, i: Some(i), r#type, ..Default::default() }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let (name, r#type) = (Some(name.into()), Some(AttributeType::INTS));
    AttributeProto { name, ints: ints.to_vec(), r#type, ..Default::default() }
}

fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let samples = Dimension { dim_value: None, dim_param: Some("samples".into()) };
    let fixed = |&size: &i64| Dimension { dim_value: Some(size), dim_param: None };
    let dim = [samples].into_iter().chain(shape.iter().map(fixed)).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape });
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { tensor_type, sequence: None }),
    }
}
