//! Stored weights of 8 bits: what a file writes as a tensor and a `DequantizeLinear` is one operator here, which tract leaves as it
//! is. Four bytes a weight are needed nowhere but on the way into a kernel that computes in floats.
//!
//! tract would fold a `DequantizeLinear` by running it: 350 ms for EfficientNet-Lite0, and then each of its weights lies in
//! memory two or three times, with four bytes.

use super::graph::{attribute, bytes_of, floats_of};
use std::collections::{HashMap, HashSet};
use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType,
};
use tract_onnx::tract_core::ops::array::Slice;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::konst::Const;

/// The name of the operator in a graph.
pub const NAME: &str = "StoredWeights";
/// What the inputs of a `DequantizeLinear` are, and the attributes here.
const ROLES: [&str; 3] = ["weights", "scale", "zero_point"];
/// What stored matrices are for, which are the first or the second input of these.
const READERS: [&str; 4] = ["Conv", "ConvTranspose", "Gemm", "MatMul"];

/// An operator without inputs: `(code - zero point) * scale`, per channel of an axis or for the whole tensor.
#[derive(Clone, PartialEq)]
pub struct StoredWeights(Arc<Held>);

impl Eq for StoredWeights {}

#[derive(PartialEq)]
struct Held {
    shape: Vec<usize>,
    codes: Arc<Vec<i8>>,
    scales: Vec<f32>,
    zeros: Vec<i8>,
    /// Codes that have one scale and one zero point, side by side; those behind them have the next.
    inner: usize,
}

/// Replaces every `DequantizeLinear` of a stored int8 tensor: where only the [`READERS`] read it, by a node that holds all that it
/// reads; elsewhere, because tract wants to know parameters as it loads them, by the f32 tensor.
pub fn fold_dequantize(graph: &mut GraphProto) -> Result<(), String> {
    let mut stored: HashMap<String, TensorProto> = graph.initializer.drain(..).map(|t| (t.name.clone(), t)).collect();
    let mut reads: HashMap<String, usize> = HashMap::new();
    let mut computed_with: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    for node in &graph.node {
        let matrices = if READERS.contains(&node.op_type.as_str()) { 2 } else { 0 };
        for (at, name) in node.input.iter().enumerate() {
            *reads.entry(name.clone()).or_default() += 1;
            if at >= matrices {
                computed_with.insert(name.clone());
            }
        }
    }
    let mut floats = Vec::new();
    for node in &mut graph.node {
        if !is_of_stored(node, &stored) {
            continue;
        }
        let inputs = std::mem::take(&mut node.input);
        for (role, name) in ROLES.iter().zip(inputs).filter(|(_, name)| !name.is_empty()) {
            let left = reads.entry(name.clone()).or_default();
            *left = left.saturating_sub(1);
            // A scale may be shared, or read by a node that stays.
            let tensor = if *left == 0 { stored.remove(&name) } else { stored.get(&name).cloned() };
            node.attribute.push(AttributeProto {
                name: role.to_string(),
                r#type: AttributeType::Tensor as i32,
                t: tensor,
                ..Default::default()
            });
        }
        node.op_type = NAME.to_string();
        if node.output.iter().any(|name| computed_with.contains(name)) {
            floats.push(expanded(node)?);
        }
    }
    graph.node.retain(|node| node.op_type != NAME || !floats.iter().any(|t| node.output.contains(&t.name)));
    graph.initializer = stored.into_values().collect();
    graph.initializer.sort_by(|a, b| a.name.cmp(&b.name));
    graph.initializer.extend(floats);
    Ok(())
}

/// The f32 tensor that stands for a node of ours.
pub fn expanded(node: &NodeProto) -> Result<TensorProto, String> {
    let tensor = StoredWeights::new(node).and_then(|weights| weights.floats()).map_err(|e| format!("{e:#}"))?;
    let values = tensor.to_plain_array_view::<f32>().map_err(|e| format!("{e:#}"))?;
    Ok(TensorProto {
        name: node.output.first().cloned().unwrap_or_default(),
        dims: tensor.shape().iter().map(|&side| side as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    })
}

/// Whether a node is a `DequantizeLinear` of a stored int8 tensor, and not by blocks.
fn is_of_stored(node: &NodeProto, stored: &HashMap<String, TensorProto>) -> bool {
    let of = |at: usize, kind: DataType| {
        node.input.get(at).and_then(|name| stored.get(name)).is_some_and(|t| t.data_type == kind as i32)
    };
    node.op_type == "DequantizeLinear"
        && of(0, DataType::Int8)
        && of(1, DataType::Float)
        && (node.input.get(2).is_none_or(String::is_empty) || of(2, DataType::Int8))
        && attribute(node, "block_size").unwrap_or(0) == 0
}

/// Makes constants of those that something else than the products of a network computes with, as where a convolution has been
/// scaled: tract can do it once and for all then. Whether there were any.
pub fn expand_computed(model: &mut TypedModel) -> TractResult<bool> {
    let takes = |op: &dyn TypedOp| op.is::<Conv>() || op.is::<Deconv>() || op.is::<EinSum>();
    let mut computed = HashSet::new();
    for node in &model.nodes {
        for input in node.inputs.iter().filter(|_| !takes(&*node.op) && !is_view(&*node.op)) {
            computed.extend(source(model, *input).map(|(id, _)| id));
        }
    }
    for id in &computed {
        expand(&mut model.nodes[*id])?;
    }
    Ok(!computed.is_empty())
}

/// Whether an operator gives the same numbers as it reads, or a part of them.
fn is_view(op: &dyn TypedOp) -> bool {
    op.is::<AxisOp>() || op.is::<Slice>()
}

/// The node of the stored weights that an outlet shows, and by way of which others, the last one first.
pub fn source(model: &TypedModel, outlet: OutletId) -> Option<(usize, Vec<&TypedNode>)> {
    let (mut node, mut views) = (model.node(outlet.node), Vec::new());
    while is_view(&*node.op) {
        views.push(node);
        node = model.node(node.inputs[0].node);
    }
    node.op_is::<StoredWeights>().then_some((node.id, views))
}

/// Teaches tract to read the operator.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert(NAME, |_, node: &NodeProto| Ok((Box::new(StoredWeights::new(node)?), Vec::new())));
}

/// The model with every such operator as a constant, which is what tract's own operators are fast with.
pub fn as_constants(mut model: TypedModel) -> TractResult<TypedModel> {
    model.nodes.iter_mut().try_for_each(expand)?;
    Ok(model)
}

fn expand(node: &mut TypedNode) -> TractResult<()> {
    if let Some(weights) = node.op_as::<StoredWeights>() {
        let tensor = weights.floats()?.into_arc_tensor();
        node.outputs[0].fact = TypedFact::try_from(&tensor)?;
        node.op = Box::new(Const::new(tensor)?);
    }
    Ok(())
}

impl StoredWeights {
    fn new(node: &NodeProto) -> TractResult<Self> {
        let held = |name: &str| node.attribute.iter().find(|a| a.name == name).and_then(|a| a.t.as_ref());
        let [weights, scale, zero] = ROLES.map(held);
        let (Some(weights), Some(scale)) = (weights, scale) else { bail!("{NAME} without weights") };
        let bytes = |tensor: &TensorProto| -> TractResult<Vec<i8>> {
            Ok(bytes_of(tensor).map_err(TractError::msg)?.iter().map(|&b| b as i8).collect())
        };
        let (codes, scales) = (bytes(weights)?, floats_of(scale));
        let zeros = zero.map_or_else(|| Ok(vec![0; scales.len()]), bytes)?;
        let shape: Vec<usize> = weights.dims.iter().map(|&d| d as usize).collect();
        let axis = attribute(node, "axis").unwrap_or(1);
        let axis = if axis < 0 { axis + shape.len() as i64 } else { axis } as usize;
        let per_tensor = scales.len() == 1;
        let channels = if per_tensor { 1 } else { shape.get(axis).copied().unwrap_or(0) };
        ensure!(
            scales.len() == channels && zeros.len() == channels && channels > 0,
            "{}: {} scales and {} zero points for the shape {shape:?} along axis {axis}",
            weights.name,
            scales.len(),
            zeros.len(),
        );
        let inner = if per_tensor { codes.len() } else { shape[axis + 1..].iter().product() };
        Ok(StoredWeights(Arc::new(Held { shape, codes: Arc::new(codes), scales, zeros, inner: inner.max(1) })))
    }

    /// The codes and a scale for each of `channels`, of which each begins `step` codes behind the one before; `None` if scales belong
    /// to something else, or a code other than 0 stands for 0.
    pub fn by_channel(&self, channels: usize, step: usize) -> Option<(Arc<Vec<i8>>, Vec<f32>)> {
        let Held { codes, scales, zeros, inner, .. } = &*self.0;
        let scales = match scales.as_slice() {
            [scale] => vec![*scale; channels],
            many if many.len() == channels && *inner == step => many.to_vec(),
            _ => return None,
        };
        zeros.iter().all(|zero| *zero == 0).then(|| (codes.clone(), scales))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.codes.len()
    }

    /// What the codes stand for.
    pub fn floats(&self) -> TractResult<Tensor> {
        let Held { shape, codes, scales, zeros, inner } = &*self.0;
        let mut values = Vec::with_capacity(codes.len());
        for (i, block) in codes.chunks(*inner).enumerate() {
            let (scale, zero) = (scales[i % scales.len()], f32::from(zeros[i % zeros.len()]));
            values.extend(block.iter().map(|&code| (f32::from(code) - zero) * scale));
        }
        Ok(tract_ndarray::ArrayD::from_shape_vec(shape.as_slice(), values)?.into())
    }
}

impl std::fmt::Debug for StoredWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{NAME} of {:?}", self.0.shape)
    }
}

impl Op for StoredWeights {
    fn name(&self) -> StaticName {
        NAME.into()
    }

    op_as_typed_op!();
}

impl EvalOp for StoredWeights {
    // tract would fold it otherwise.
    not_out_of_plan!();

    fn eval(&self, _context: &EvalContext, _inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(self.floats()?.into_tvalue()))
    }
}

impl TypedOp for StoredWeights {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&self.0.shape)))
    }

    as_op!();
}

impl InferenceRulesOp for StoredWeights {
    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 0)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, f32::datum_type())?;
        solver.equals(&outputs[0].shape, ShapeFactoid::from(self.0.shape.as_slice()))?;
        Ok(())
    }

    as_op!();
    to_typed!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dequantize(inputs: &[&str], output: &str, axis: Option<i64>) -> NodeProto {
        let axis = axis.map(|i| AttributeProto { name: "axis".into(), i, ..Default::default() });
        NodeProto {
            op_type: "DequantizeLinear".into(),
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![output.into()],
            attribute: axis.into_iter().collect(),
            ..Default::default()
        }
    }

    fn reader(op: &str, inputs: &[&str]) -> NodeProto {
        let input = inputs.iter().map(|i| i.to_string()).collect();
        NodeProto { op_type: op.into(), input, output: vec![format!("{op}.out")], ..Default::default() }
    }

    /// Of a scale for all and for each channel of an axis, which is the second one if nothing is said; with zero points and
    /// without; a scale that is read twice; and a bias, which becomes a tensor.
    #[test]
    fn every_form_of_scales_and_zero_points() {
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let mut graph = GraphProto {
            initializer: vec![
                tensor("q", DataType::Int8, &[2, 3], vec![1, 2, 3, 0xff, 0xfe, 0xfd]),
                tensor("three", DataType::Float, &[3], bytes(&[1.0, 10.0, 100.0])),
                tensor("one", DataType::Float, &[], bytes(&[0.5])),
                tensor("zeros", DataType::Int8, &[3], vec![1, 0, 0xff]),
                tensor("bytes", DataType::Uint8, &[1], vec![7]),
            ],
            node: vec![
                dequantize(&["q", "three"], "a", None),
                dequantize(&["q", "three", "zeros"], "b", Some(-1)),
                dequantize(&["q", "one"], "c", Some(0)),
                dequantize(&["q", "one", ""], "d", None),
                dequantize(&["bytes", "one"], "e", None),
                reader("MatMul", &["x", "a"]),
                reader("MatMul", &["x", "b"]),
                reader("Conv", &["x", "c", "d"]),
                reader("Add", &["x", "e"]),
            ],
            ..Default::default()
        };
        fold_dequantize(&mut graph).unwrap();
        let found: Vec<Tensor> =
            graph.node[..3].iter().map(|n| StoredWeights::new(n).unwrap().floats().unwrap()).collect();
        assert_eq!(found[0], tensor2(&[[1f32, 20.0, 300.0], [-1.0, -20.0, -300.0]]));
        assert_eq!(found[1], tensor2(&[[0f32, 20.0, 400.0], [-2.0, -20.0, -200.0]]));
        assert_eq!(found[2], tensor2(&[[0.5f32, 1.0, 1.5], [-0.5, -1.0, -1.5]]));
        assert_eq!(graph.node[3].op_type, "DequantizeLinear", "of uint8: left to tract");
        let left: Vec<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(left, ["bytes", "one", "d"]);
        assert_eq!(graph.initializer[2].raw_data, bytes(&[0.5, 1.0, 1.5, -0.5, -1.0, -1.5]));

        let by_channel = |node: usize, channels, step| {
            let found = StoredWeights::new(&graph.node[node]).unwrap().by_channel(channels, step);
            found.map(|(codes, scales)| (codes.len(), scales))
        };
        assert_eq!(by_channel(0, 3, 1), Some((6, vec![1.0, 10.0, 100.0])));
        assert_eq!(by_channel(0, 2, 3), None, "a scale for each column, not for each row");
        assert_eq!(by_channel(0, 3, 2), None);
        assert_eq!(by_channel(1, 3, 1), None, "0 does not stand for 0");
        assert_eq!(by_channel(2, 2, 3), Some((6, vec![0.5; 2])));
    }

    #[test]
    fn weights_become_floats_along_their_axis() {
        let scales: Vec<u8> = [0.5f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut graph = GraphProto {
            initializer: vec![
                tensor("q", DataType::Int8, &[2, 2], vec![1, 0xff, 3, 0x80]),
                tensor("s", DataType::Float, &[2], scales),
            ],
            node: vec![
                NodeProto {
                    op_type: "DequantizeLinear".into(),
                    input: vec!["q".into(), "s".into()],
                    output: vec!["w".into()],
                    attribute: vec![AttributeProto { name: "axis".into(), i: 0, ..Default::default() }],
                    ..Default::default()
                },
                NodeProto { op_type: "MatMul".into(), input: vec!["x".into(), "w".into()], ..Default::default() },
            ],
            ..Default::default()
        };
        fold_dequantize(&mut graph).unwrap();
        assert!(graph.initializer.is_empty() && graph.node[0].input.is_empty(), "{graph:?}");
        assert_eq!((&graph.node[0].output, graph.node[1].op_type.as_str()), (&vec!["w".to_string()], "MatMul"));
        let found = StoredWeights::new(&graph.node[0]).unwrap().floats().unwrap();
        assert_eq!(found, tensor2(&[[0.5f32, -0.5], [6.0, -256.0]]));
        // A scale too few.
        let scale = graph.node[0].attribute.iter_mut().find(|a| a.name == "scale").unwrap();
        scale.t = Some(tensor("s", DataType::Float, &[3], vec![0; 12]));
        let error = StoredWeights::new(&graph.node[0]).unwrap_err().to_string();
        assert!(error.contains("q: 3 scales and 3 zero points for the shape [2, 2] along axis 0"), "{error}");
    }

    fn tensor(name: &str, kind: DataType, dims: &[i64], raw: Vec<u8>) -> TensorProto {
        let dims = dims.to_vec();
        TensorProto { name: name.into(), dims, data_type: kind as i32, raw_data: raw, ..Default::default() }
    }
}
