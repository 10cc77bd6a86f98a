//! Graphs made at random, with and without regions.

use super::*;
use crate::engine::compose::float_value;
use crate::engine::{fake_quantize, graph, simplify, stored_weights};
use fastrand::Rng;
use proptest::prelude::*;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_proto::DataType,
};
use tract_onnx::prelude::InferenceModelExt;

/// An ONNX graph in the making; values have a name and the shape that was meant.
struct Maker {
    random: Rng,
    graph: GraphProto,
    names: usize,
    values: Vec<(String, [usize; 3])>,
    /// Whether some values are rounded to 8 bits.
    rounds: bool,
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&v| v as i64).collect();
    AttributeProto { name: name.into(), ints, r#type: AttributeType::Ints as i32, ..Default::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: value, r#type: AttributeType::Int as i32, ..Default::default() }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f: value, r#type: AttributeType::Float as i32, ..Default::default() }
}

fn text(name: &str, value: &str) -> AttributeProto {
    let s = value.as_bytes().to_vec();
    AttributeProto { name: name.into(), s, r#type: AttributeType::String as i32, ..Default::default() }
}

impl Maker {
    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    fn stored(&mut self, shape: &[usize], data: Vec<f32>) -> String {
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

    fn weights(&mut self, shape: &[usize]) -> String {
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

    fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
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
    fn rounded(&mut self, x: String, sides: [usize; 3]) -> String {
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
        // The commonest kind, often.
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
    fn step(&mut self) {
        let (x, sides) = self.pick();
        let [channels, rows, columns] = sides;
        let kind = if self.rounds && self.random.bool() { 0 } else { self.random.usize(..15) };
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
    fn tail(&mut self) -> String {
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

/// A graph of about `size` nodes and the shape of its input.
fn made(seed: u64, size: usize, rounds: bool) -> (ModelProto, Vec<usize>) {
    let mut random = Rng::with_seed(seed);
    let sides = [random.usize(1..20), random.usize(1..24), random.usize(1..24)];
    let values = vec![("input".to_string(), sides)];
    let mut maker = Maker { random, graph: GraphProto::default(), names: 0, values, rounds };
    (0..size).for_each(|_| maker.step());
    let outputs: Vec<String> = (0..2).map(|_| maker.tail()).collect();
    for name in outputs {
        // An output of its own, whatever it is.
        let last = maker.node("Identity", &[&name], vec![]);
        maker.graph.output.push(ValueInfoProto { name: last, ..Default::default() });
    }
    maker.graph.input.push(float_value("input", &[1, sides[0], sides[1], sides[2]]));
    let opset = OperatorSetIdProto { version: 13, ..Default::default() };
    let model = ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(maker.graph), ..Default::default() };
    (model, [1].into_iter().chain(sides).collect())
}

fn outputs(model: TypedModel, input: &Tensor) -> TractResult<Vec<Tensor>> {
    let plan = model.into_runnable()?;
    Ok(plan.run(tvec!(input.clone().into()))?.into_iter().map(|v| v.into_tensor()).collect())
}

/// What a graph became.
#[derive(Default)]
struct Found {
    regions: usize,
    /// Convolutions that read codes.
    of_codes: usize,
    /// Those by Winograd.
    winograd: usize,
    /// There would be regions if nothing were rounded.
    lost: bool,
}

/// What a graph became; nothing if tract alone cannot run it (it fails on a few, with an operator `Dummy` left in the
/// graph). Where values are rounded, a last bit in a sum may make a step of the codes behind it, and that others: then results
/// are near in the mean, and not far anywhere.
fn compare(seed: u64, size: usize, threads: usize, rounds: bool) -> TractResult<Found> {
    let (proto, shape) = made(seed, size, rounds);
    let mut found = compare_graph(proto.clone(), &shape, threads, rounds, &format!("seed {seed}, {size} nodes"))?;
    if rounds {
        // Rounding costs no graph its regions.
        let mut plain = proto;
        let graph = plain.graph.as_mut().context("no graph")?;
        stored_weights::fold_dequantize(graph).map_err(TractError::msg)?;
        let (stored, nodes): (Vec<_>, Vec<_>) = graph.node.drain(..).partition(|n| n.op_type == stored_weights::NAME);
        graph.node = nodes;
        for node in &stored {
            graph.initializer.push(stored_weights::expanded(node).map_err(TractError::msg)?);
        }
        let nodes = plain.graph.iter_mut().flat_map(|graph| &mut graph.node);
        for node in nodes.filter(|n| ["QuantizeLinear", "DequantizeLinear"].contains(&n.op_type.as_str())) {
            node.op_type = "Identity".into();
            node.input.truncate(1);
        }
        let without = compare_graph(plain, &shape, threads, false, &format!("seed {seed}, {size} nodes, not rounded"))?;
        found.lost = without.regions > 0 && found.regions == 0;
    }
    Ok(found)
}

/// What the graph became, once its results have been held against tract's own.
fn compare_graph(
    mut proto: ModelProto,
    shape: &[usize],
    threads: usize,
    rounds: bool,
    what: &str,
) -> TractResult<Found> {
    let mut onnx = tract_onnx::onnx();
    stored_weights::register(&mut onnx.op_register);
    fake_quantize::register(&mut onnx.op_register);
    let graph = proto.graph.as_mut().context("no graph")?;
    let names: Vec<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    graph::turn_around(graph);
    stored_weights::fold_dequantize(graph).map_err(TractError::msg)?;
    fake_quantize::pair(graph).map_err(TractError::msg)?;
    graph::select_outputs(graph, &names).map_err(TractError::msg)?;
    let graph = onnx.parse(&proto, None)?.model;
    let typed = graph.with_input_fact(0, f32::fact(shape).into())?.into_typed()?;
    let mut random = Rng::with_seed(shape.iter().sum::<usize>() as u64);
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| random.f32() * 4.0 - 2.0).collect();
    let input = Tensor::from_shape(shape, &data)?;
    // As the graph says it, without any optimisation.
    let Ok(expected) = outputs(typed.clone(), &input) else { return Ok(Found::default()) };
    let Ok(model) = simplify::simplified(typed) else { return Ok(Found::default()) };
    let replaced = replace(&model)?;
    let regions: Vec<&RegionOp> = replaced.nodes.iter().filter_map(|n| n.op_as::<RegionOp>()).collect();
    let of_codes = regions.iter().map(|region| region.convolutions().of_codes).sum();
    let winograd = regions.iter().map(|region| region.convolutions().winograd).sum();
    let result = Found { regions: regions.len(), of_codes, winograd, lost: false };
    let found = with_threads(threads, || outputs(simplify::optimized(replaced)?, &input))?;
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.shape(), expected.shape(), "{what}");
        let (found, expected) = (found.to_plain_array_view::<f32>()?, expected.to_plain_array_view::<f32>()?);
        let scale = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        let (worst, mean) = if rounds { (0.1, 0.01) } else { (1e-4, 1e-4) };
        let off: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / scale).collect();
        for (off, (a, b)) in off.iter().zip(found.iter().zip(&expected)) {
            assert!(*off <= worst, "{a} for {b} of {scale}: {what}");
        }
        let found = off.iter().sum::<f32>() / off.len().max(1) as f32;
        assert!(found <= mean, "off by {found} of {scale} in the mean: {what}");
    }
    Ok(result)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn graphs_give_the_same_with_regions(seed in any::<u64>(), size in 1usize..25, threads in 1usize..4) {
        compare(seed, size, threads, false).unwrap();
    }

    #[test]
    fn graphs_with_rounded_values_do_too(seed in any::<u64>(), size in 1usize..16, threads in 1usize..4) {
        prop_assert!(!compare(seed, size, threads, true).unwrap().lost);
    }
}

/// The graphs of the tests above are what they are about.
#[test]
fn most_graphs_get_regions() {
    let found: Vec<Found> = (0..40).map(|seed| compare(seed, 12, 1, false).unwrap()).collect();
    let with = |what: fn(&Found) -> usize| found.iter().filter(|found| what(found) > 0).count();
    assert!(with(|found| found.regions) > 30, "{} of 40", with(|found| found.regions));
    assert!(with(|found| found.winograd) > 3, "{} of 40", with(|found| found.winograd));
    let with = (0..40).filter(|&seed| compare(seed, 12, 1, true).unwrap().of_codes > 0).count();
    assert!(with > 15, "{with} of 40");
}

/// Who reads a rounded value decides what becomes of it; none of them costs the region.
#[test]
fn rounded_values_and_who_reads_them() {
    let made = |build: &dyn Fn(&mut Maker, String) -> String| {
        let values = vec![("input".to_string(), [16, 12, 20])];
        let random = Rng::with_seed(3);
        let mut maker = Maker { random, graph: GraphProto::default(), names: 0, values, rounds: true };
        let pooled = maker.node("MaxPool", &["input"], vec![ints("kernel_shape", &[2; 2])]);
        let last = build(&mut maker, pooled);
        let last = maker.node("Identity", &[&last], vec![]);
        maker.graph.output.push(ValueInfoProto { name: last, ..Default::default() });
        maker.graph.input.push(float_value("input", &[1, 16, 12, 20]));
        let opset = vec![OperatorSetIdProto { version: 13, ..Default::default() }];
        let proto = ModelProto { ir_version: 8, opset_import: opset, graph: Some(maker.graph), ..Default::default() };
        compare_graph(proto, &[1, 16, 12, 20], 1, true, "as made").unwrap()
    };
    let sides = [16, 11, 19];
    // Weights of 8 bits, the lowest code among them.
    let dense = |maker: &mut Maker, x: &str| {
        let codes: Vec<f32> =
            (0..24 * 16).map(|i| if i == 5 { -128.0 } else { (i * 37 % 255) as f32 - 127.0 }).collect();
        let weights = maker.stored(&[24, 16, 1, 1], codes.iter().map(|c| c / 600.0).collect());
        maker.node("Conv", &[x, &weights], vec![ints("kernel_shape", &[1; 2])])
    };
    let depthwise = |maker: &mut Maker, x: &str| {
        let weights = maker.weights(&[16, 1, 3, 3]);
        maker.node("Conv", &[x, &weights], vec![ints("kernel_shape", &[3; 2]), ints("pads", &[1; 4]), int("group", 16)])
    };
    for (of_codes, build) in [
        (
            1,
            &(|m: &mut Maker, x| {
                let x = m.rounded(x, sides);
                dense(m, &x)
            }) as &dyn Fn(&mut Maker, String) -> String,
        ),
        (0, &|m, x| {
            let x = m.rounded(x, sides);
            depthwise(m, &x)
        }),
        (1, &|m, x| {
            let x = m.rounded(x, sides);
            let (one, other) = (depthwise(m, &x), dense(m, &x));
            m.node("Concat", &[&one, &other], vec![int("axis", 1)])
        }),
        (1, &|m, x| {
            let x = m.rounded(x, sides);
            let x = m.rounded(x, sides);
            dense(m, &x)
        }),
        // Two kinds of codes of one map.
        (2, &|m, x| {
            let (one, other) = (m.rounded(x.clone(), sides), m.rounded(x, sides));
            let (one, other) = (dense(m, &one), dense(m, &other));
            m.node("Add", &[&one, &other], vec![])
        }),
        // Parts that do not fill their blocks, rounded as one.
        (1, &|m, x| {
            let weights = m.weights(&[5, 16, 1, 1]);
            let few = m.node("Conv", &[&x, &weights], vec![ints("kernel_shape", &[1; 2])]);
            let all = m.node("Concat", &[&few, &few], vec![int("axis", 1)]);
            let all = m.rounded(all, [10, 11, 19]);
            let codes = (0..240).map(|i| ((i * 91 % 255) as f32 - 127.0) / 500.0).collect();
            let weights = m.stored(&[24, 10, 1, 1], codes);
            m.node("Conv", &[&all, &weights], vec![ints("kernel_shape", &[1; 2])])
        }),
    ] {
        let found = made(build);
        assert!(found.regions > 0);
        assert_eq!(found.of_codes, of_codes);
    }
}
