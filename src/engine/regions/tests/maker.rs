//! ONNX graphs, made node by node.

use crate::engine::compose::float_value;
use fastrand::Rng;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_proto::DataType,
};

/// An ONNX graph in the making; values have a name and the shape that was meant.
pub(super) struct Maker {
    pub(super) random: Rng,
    graph: GraphProto,
    names: usize,
    values: Vec<(String, [usize; 3])>,
    /// The sides of the input.
    sides: [usize; 3],
    /// Whether some values are rounded to 8 bits.
    rounds: bool,
}

pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&v| v as i64).collect();
    AttributeProto { name: name.into(), ints, r#type: AttributeType::Ints as i32, ..Default::default() }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: value, r#type: AttributeType::Int as i32, ..Default::default() }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f: value, r#type: AttributeType::Float as i32, ..Default::default() }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    let s = value.as_bytes().to_vec();
    AttributeProto { name: name.into(), s, r#type: AttributeType::String as i32, ..Default::default() }
}

impl Maker {
    /// With nothing but a value `input` of such sides.
    pub(super) fn new(random: Rng, sides: [usize; 3], rounds: bool) -> Self {
        let values = vec![("input".to_string(), sides)];
        Maker { random, graph: GraphProto::default(), names: 0, values, sides, rounds }
    }

    /// The graph that computes these values, and the shape of its input.
    pub(super) fn finish(mut self, outputs: &[String]) -> (ModelProto, Vec<usize>) {
        for name in outputs {
            // An output of its own, whatever it is.
            let last = self.node("Identity", &[name], vec![]);
            self.graph.output.push(ValueInfoProto { name: last, ..Default::default() });
        }
        let shape: Vec<usize> = [1].into_iter().chain(self.sides).collect();
        self.graph.input.push(float_value("input", &shape));
        let opset_import = vec![OperatorSetIdProto { version: 13, ..Default::default() }];
        (ModelProto { ir_version: 8, opset_import, graph: Some(self.graph), ..Default::default() }, shape)
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    pub(super) fn stored(&mut self, shape: &[usize], data: Vec<f32>) -> String {
        let raw_data = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.store(shape, DataType::Float, raw_data)
    }

    fn whole(&mut self, data: &[usize]) -> String {
        self.store(&[data.len()], DataType::Int64, data.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect())
    }

    fn store(&mut self, shape: &[usize], kind: DataType, raw_data: Vec<u8>) -> String {
        let name = self.fresh();
        let dims = shape.iter().map(|&d| d as i64).collect();
        let tensor = TensorProto { name: name.clone(), dims, data_type: kind as i32, raw_data, ..Default::default() };
        self.graph.initializer.push(tensor);
        name
    }

    pub(super) fn weights(&mut self, shape: &[usize]) -> String {
        let count = shape.iter().product::<usize>();
        let scale = 1.0 / (count as f32 / shape[0] as f32).sqrt();
        let mut data: Vec<f32> = (0..count).map(|_| (self.random.f32() - 0.5) * 2.0 * scale).collect();
        if self.rounds && self.random.u8(..5) > 0 {
            // As of 8 bits, each output channel with a scale of its own; stored as such, or as the floats that they stand for.
            let (mut codes, mut steps) = (Vec::with_capacity(count), Vec::with_capacity(shape[0]));
            for row in data.chunks_mut((count / shape[0]).max(1)) {
                let step = scale / 127.0 * (0.5 + self.random.f32() / 2.0);
                codes.extend(row.iter().map(|w| (w / step).round().clamp(-127.0, 127.0) as i8 as u8));
                row.iter_mut().for_each(|w| *w = (*w / step).round().clamp(-127.0, 127.0) * step);
                steps.push(step);
            }
            if self.random.bool() {
                let (codes, steps) = (self.store(shape, DataType::Int8, codes), self.stored(&[shape[0]], steps));
                let axis = [0, -(shape.len() as i64)][self.random.usize(..2)];
                let zeros = (0..shape[0]).map(|_| self.random.i8(-9..9) as u8).collect();
                let zeros = self.store(&[shape[0]], DataType::Int8, zeros);
                let inputs = [codes.as_str(), &steps, &zeros];
                // One in four with codes of 0 that are not 0.
                let count = if self.random.u8(..4) == 0 { 3 } else { 2 };
                return self.node("DequantizeLinear", &inputs[..count], vec![int("axis", axis)]);
            }
        }
        self.stored(shape, data)
    }

    pub(super) fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.fresh();
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: output.clone(),
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![output.clone()],
            attribute: attributes,
            ..Default::default()
        });
        output
    }

    /// The value by way of codes, which more than one node may read.
    pub(super) fn rounded(&mut self, x: String, sides: [usize; 3]) -> String {
        let step = 0.01 + 0.02 * self.random.f32();
        let (scale, zero) = (self.stored(&[], vec![step]), self.random.u8(70..180));
        let kind = [DataType::Uint8, DataType::Int8][self.random.usize(..2)];
        let zero = self.store(&[], kind, vec![if kind == DataType::Int8 { zero ^ 0x80 } else { zero }]);
        let codes = self.node("QuantizeLinear", &[&x, &scale, &zero], vec![]);
        let value = self.node("DequantizeLinear", &[&codes, &scale, &zero], vec![]);
        if self.random.bool() {
            self.values.push((value.clone(), sides));
        }
        value
    }

    fn pick(&mut self) -> (String, [usize; 3]) {
        // Later ones rather: graphs become deep.
        let from = self.values.len().saturating_sub(4);
        let at = self.random.usize(from..self.values.len());
        self.values[at].clone()
    }

    fn conv(&mut self, (x, [channels, rows, columns]): (String, [usize; 3])) -> (String, [usize; 3]) {
        // Of three taps a side, one pixel apart and of many channels: what most networks have most of.
        let common = self.random.u8(..3) == 0;
        let kernel = if common { 3 } else { [1, 1, 3, 5][self.random.usize(..4)] };
        let stride = if common { 1 } else { self.random.usize(1..3) };
        let pad = self.random.usize(..5);
        let dilation = if kernel == 3 && !common { self.random.usize(1..3) } else { 1 };
        let reach = (kernel - 1) * dilation + 1;
        let (before, after) = (pad, pad + self.random.usize(..2));
        let side = |n: usize| (n + before + after).checked_sub(reach).map(|free| free / stride + 1);
        let (Some(out_rows), Some(out_columns)) = (side(rows), side(columns)) else {
            return (x, [channels, rows, columns]);
        };
        let (group, outputs) = match self.random.usize(..4) {
            0 => (channels, channels),
            _ if common => (1, self.random.usize(16..40)),
            1 if channels % 2 == 0 => (2, 2 * self.random.usize(1..12)),
            _ => (1, self.random.usize(1..40)),
        };
        let weights = self.weights(&[outputs, channels / group, kernel, kernel]);
        let x = if self.rounds && self.random.u8(..3) > 0 { self.rounded(x, [channels, rows, columns]) } else { x };
        let mut inputs = vec![x, weights];
        if self.random.bool() {
            inputs.push(self.weights(&[outputs]));
        }
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("dilations", &[dilation; 2]),
            ints("pads", &[before, before, after, after]),
            int("group", group as i64),
        ];
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        (self.node("Conv", &inputs, attributes), [outputs, out_rows, out_columns])
    }

    fn pool(&mut self, (x, [channels, rows, columns]): (String, [usize; 3])) -> (String, [usize; 3]) {
        let (kernel, stride) = (self.random.usize(2..4), self.random.usize(1..3));
        let average = self.random.bool();
        let pad = if average { 0 } else { self.random.usize(..2) };
        let side = |n: usize| (n + 2 * pad).checked_sub(kernel).map(|free| free / stride + 1);
        let (Some(out_rows), Some(out_columns)) = (side(rows), side(columns)) else {
            return (x, [channels, rows, columns]);
        };
        let attributes =
            vec![ints("kernel_shape", &[kernel; 2]), ints("strides", &[stride; 2]), ints("pads", &[pad; 4])];
        let op = if average { "AveragePool" } else { "MaxPool" };
        (self.node(op, &[&x], attributes), [channels, out_rows, out_columns])
    }

    fn activation(&mut self, x: &str) -> String {
        match self.random.usize(..9) {
            0 => self.node("Relu", &[x], vec![]),
            1 => self.node("LeakyRelu", &[x], vec![float("alpha", 0.1)]),
            2 => self.node("Sigmoid", &[x], vec![]),
            3 => {
                let (low, high) = (self.stored(&[], vec![-0.5]), self.stored(&[], vec![0.7]));
                self.node("Clip", &[x, &low, &high], vec![])
            }
            4 => {
                let gate = self.node("Sigmoid", &[x], vec![]);
                self.node("Mul", &[x, &gate], vec![])
            }
            5 => {
                let gate = self.node("HardSigmoid", &[x], vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)]);
                self.node("Mul", &[&gate, x], vec![])
            }
            6 => {
                let (root, one, half) =
                    (self.stored(&[], vec![2f32.sqrt()]), self.stored(&[], vec![1.0]), self.stored(&[], vec![0.5]));
                let scaled = self.node("Div", &[x, &root], vec![]);
                let erf = self.node("Erf", &[&scaled], vec![]);
                let sum = self.node("Add", &[&erf, &one], vec![]);
                let product = self.node("Mul", &[x, &sum], vec![]);
                self.node("Mul", &[&product, &half], vec![])
            }
            7 => self.node("Tanh", &[x], vec![]),
            _ => {
                let value = self.random.f32() + 0.5;
                let other = self.stored(&[], vec![value]);
                let op = ["Add", "Sub", "Mul", "Div", "Max", "Min"][self.random.usize(..6)];
                let turned = self.random.bool() && op != "Div";
                self.node(op, &if turned { [&other, x] } else { [x, other.as_str()] }, vec![])
            }
        }
    }

    /// One more value.
    pub(super) fn step(&mut self) {
        let (x, sides) = self.pick();
        let [channels, rows, columns] = sides;
        let kind = if self.rounds && self.random.bool() { 0 } else { self.random.usize(..16) };
        let made = match kind {
            0..4 => self.conv((x, sides)),
            4 | 5 => (self.activation(&x), sides),
            6 => self.pool((x, sides)),
            7 => {
                // Another of the same sides, or itself.
                let same: Vec<String> = self.values.iter().filter(|v| v.1 == sides).map(|v| v.0.clone()).collect();
                let other = same[self.random.usize(..same.len())].clone();
                let op = ["Add", "Sub", "Mul"][self.random.usize(..3)];
                (self.node(op, &[&x, &other], vec![]), sides)
            }
            8 => {
                let same: Vec<(String, [usize; 3])> =
                    self.values.iter().filter(|v| v.1[1..] == sides[1..]).cloned().collect();
                let (other, found) = same[self.random.usize(..same.len())].clone();
                (self.node("Concat", &[&x, &other], vec![int("axis", 1)]), [channels + found[0], rows, columns])
            }
            9 => {
                let start = if self.random.bool() { channels / 2 / 4 * 4 } else { self.random.usize(..channels) };
                let (from, to, axis) = (self.whole(&[start]), self.whole(&[channels]), self.whole(&[1]));
                (self.node("Slice", &[&x, &from, &to, &axis], vec![]), [channels - start, rows, columns])
            }
            10 => {
                // Squeeze and excite.
                let mean = self.node("GlobalAveragePool", &[&x], vec![]);
                let weights = self.weights(&[channels, channels, 1, 1]);
                let inner = self.node("Conv", &[&mean, &weights], vec![ints("kernel_shape", &[1, 1])]);
                let gate = self.activation(&inner);
                (self.node("Mul", &[&x, &gate], vec![]), sides)
            }
            11 => (self.node("Transpose", &[&x], vec![ints("perm", &[0, 1, 3, 2])]), [channels, columns, rows]),
            12 => {
                let op = ["Add", "Sub", "Mul", "Div"][self.random.usize(..4)];
                let data = (0..channels).map(|_| self.random.f32() + 0.5).collect();
                let other = self.stored(&[1, channels, 1, 1], data);
                let turned = self.random.bool() && op != "Div";
                (self.node(op, &if turned { [&other, x.as_str()] } else { [x.as_str(), &other] }, vec![]), sides)
            }
            13 if rows > 1 && columns > 1 => {
                let scales = self.stored(&[4], vec![1.0, 1.0, 0.5, 0.5]);
                let attributes = vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")];
                (self.node("Resize", &[&x, "", &scales], attributes), [channels, rows / 2, columns / 2])
            }
            14 => {
                // A value and what becomes of it.
                let mut y = self.activation(&x);
                for _ in 0..self.random.usize(..3) {
                    y = if self.rounds { self.rounded(y, sides) } else { self.activation(&y) };
                }
                let (op, turned) = (["Add", "Sub", "Mul", "Mul"][self.random.usize(..4)], self.random.bool());
                (self.node(op, &if turned { [&y, &x] } else { [&x, &y] }, vec![]), sides)
            }
            _ if rows * columns > 200 => self.pool((x, sides)),
            _ if self.random.bool() => {
                let scales = self.stored(&[4], vec![1.0, 1.0, 2.0, 2.0]);
                let attributes = match self.random.bool() {
                    true => vec![
                        text("mode", "nearest"),
                        text("coordinate_transformation_mode", "asymmetric"),
                        text("nearest_mode", "floor"),
                    ],
                    false => vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")],
                };
                (self.node("Resize", &[&x, "", &scales], attributes), [channels, 2 * rows, 2 * columns])
            }
            _ => {
                let outputs = [1, 3, 17][self.random.usize(..3)];
                let weights = self.weights(&[channels, outputs, 2, 2]);
                let bias = self.weights(&[outputs]);
                let attributes = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
                (self.node("ConvTranspose", &[&x, &weights, &bias], attributes), [outputs, 2 * rows, 2 * columns])
            }
        };
        if made.1[0] <= 80 {
            self.values.push(made);
        }
    }

    /// Ways out of a network.
    pub(super) fn tail(&mut self) -> String {
        let (x, [channels, rows, columns]) = self.pick();
        match self.random.usize(..4) {
            0 => {
                let shape = self.whole(&[1, channels, rows * columns]);
                let flat = self.node("Reshape", &[&x, &shape], vec![]);
                let turned = self.node("Transpose", &[&flat], vec![ints("perm", &[0, 2, 1])]);
                let axis = self.random.i64(1..3);
                self.node("Softmax", &[&turned], vec![int("axis", axis)])
            }
            1 => {
                let mean = self.node("GlobalAveragePool", &[&x], vec![]);
                let flat = self.node("Flatten", &[&mean], vec![int("axis", 1)]);
                let weights = self.weights(&[channels, 10]);
                self.node("MatMul", &[&flat, &weights], vec![])
            }
            2 => {
                let moved = self.node("Transpose", &[&x], vec![ints("perm", &[0, 2, 3, 1])]);
                let weights = self.weights(&[channels, 21]);
                let product = self.node("MatMul", &[&moved, &weights], vec![]);
                self.activation(&product)
            }
            _ => x,
        }
    }
}
