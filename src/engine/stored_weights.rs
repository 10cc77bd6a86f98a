//! Stored weights of 8 bits: what a file writes as a tensor and a `DequantizeLinear` is one operator here, which tract leaves as it
//! is. Four bytes a weight are needed nowhere but on the way into a kernel that computes in floats.
//!
//! tract would fold a `DequantizeLinear` by running it: 350 ms for EfficientNet-Lite0, and then each of its weights lies in
//! memory two or three times, with four bytes.

use super::graph::{attribute, bytes_of, floats_of};
use std::collections::HashMap;
use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType,
};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::konst::Const;

/// The name of the operator in a graph.
const NAME: &str = "StoredWeights";
/// What the inputs of a `DequantizeLinear` are, and the attributes here.
const ROLES: [&str; 3] = ["weights", "scale", "zero_point"];

/// An operator without inputs: `(code - zero point) * scale`, per channel of an axis or for the whole tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWeights(Arc<Held>);

impl Eq for StoredWeights {}

#[derive(Debug, PartialEq)]
struct Held {
    shape: Vec<usize>,
    codes: Arc<Vec<i8>>,
    scales: Vec<f32>,
    zeros: Vec<i8>,
    /// Codes that have one scale and one zero point, side by side; those behind them have the next.
    inner: usize,
}

/// Replaces every `DequantizeLinear` of a stored tensor by a node that holds what it reads.
pub fn gather(graph: &mut GraphProto) {
    let mut stored: HashMap<String, TensorProto> = graph.initializer.drain(..).map(|t| (t.name.clone(), t)).collect();
    let mut reads: HashMap<String, usize> = HashMap::new();
    graph.node.iter().flat_map(|node| &node.input).for_each(|name| *reads.entry(name.clone()).or_default() += 1);
    for node in &mut graph.node {
        let is_stored = |name: &String| name.is_empty() || stored.contains_key(name);
        let weights = node.input.first().and_then(|name| stored.get(name));
        if node.op_type != "DequantizeLinear"
            || node.input.len() < 2
            || !node.input.iter().all(is_stored)
            || weights.is_none_or(|t| t.data_type != DataType::Int8 as i32)
        {
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
    }
    graph.initializer = stored.into_values().collect();
    graph.initializer.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Teaches tract to read the operator.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert(NAME, |_, node: &NodeProto| Ok((Box::new(StoredWeights::new(node)?), Vec::new())));
}

/// The model with every such operator as a constant, which is what tract's own operators are fast with.
pub fn as_constants(mut model: TypedModel) -> TractResult<TypedModel> {
    for node in &mut model.nodes {
        if let Some(weights) = node.op_as::<StoredWeights>() {
            let tensor = weights.floats()?.into_arc_tensor();
            node.outputs[0].fact = TypedFact::try_from(&tensor)?;
            node.op = Box::new(Const::new(tensor)?);
        }
    }
    Ok(model)
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
        gather(&mut graph);
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
