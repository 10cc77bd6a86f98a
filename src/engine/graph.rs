//! Changes to the ONNX graph before tract sees it: stored int8 and f16 weights become f32, wanted values become outputs,
//! and what no output needs is dropped.
//!
//! tract folds a `DequantizeLinear` by running it, which took 350 ms instead of 75 for EfficientNet-Lite0.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType};

/// Turns every f16 into f32: stored tensors, constants, casts. Few CPUs compute in f16; tract took a hundred times as long.
pub fn widen_halves(graph: &mut GraphProto) -> Result<(), String> {
    let attributes = graph.node.iter_mut().flat_map(|n| &mut n.attribute);
    for tensor in graph.initializer.iter_mut().chain(attributes.filter_map(|a| a.t.as_mut())) {
        if tensor.data_type == DataType::Float16 as i32 {
            let halves = bytes_of(tensor)?;
            let widened: Vec<f32> =
                halves.chunks_exact(2).map(|b| f16_to_f32(u16::from_le_bytes([b[0], b[1]]))).collect();
            tensor.raw_data = bytes(&widened);
            tensor.int32_data.clear();
            tensor.data_type = DataType::Float as i32;
        }
    }
    for node in graph.node.iter_mut().filter(|n| n.op_type == "Cast") {
        for to in node.attribute.iter_mut().filter(|a| a.name == "to" && a.i == DataType::Float16 as i64) {
            to.i = DataType::Float as i64;
        }
    }
    Ok(())
}

/// Replaces every `DequantizeLinear` of a stored tensor by a stored f32 tensor.
pub fn dequantize_weights(graph: &mut GraphProto) -> Result<(), String> {
    let stored: HashMap<String, TensorProto> = graph.initializer.drain(..).map(|t| (t.name.clone(), t)).collect();
    let mut floats = Vec::new();
    let mut replaced = HashSet::new();
    let mut kept = Vec::with_capacity(graph.node.len());
    for node in graph.node.drain(..) {
        match expand(&node, &stored)? {
            Some(tensor) => {
                replaced.extend(node.input.iter().cloned());
                floats.push(tensor);
            }
            None => kept.push(node),
        }
    }
    // A scale may be shared, or used by a node that stays: only what nothing reads any more is dropped.
    let read: HashSet<&String> = kept.iter().flat_map(|n| &n.input).collect();
    let mut rest: Vec<TensorProto> =
        stored.into_values().filter(|t| !replaced.contains(&t.name) || read.contains(&t.name)).collect();
    rest.sort_by(|a, b| a.name.cmp(&b.name));
    rest.extend(floats);
    graph.initializer = rest;
    graph.node = kept;
    Ok(())
}

/// The f32 tensor that `node` computes if it is a `DequantizeLinear` of stored tensors.
fn expand(node: &NodeProto, stored: &HashMap<String, TensorProto>) -> Result<Option<TensorProto>, String> {
    let Some(input) = node.input.first().and_then(|name| stored.get(name)) else { return Ok(None) };
    let Some(output) = node.output.first() else { return Ok(None) };
    if node.op_type != "DequantizeLinear" || input.data_type != DataType::Int8 as i32 {
        return Ok(None);
    }
    let Some(scale) = node.input.get(1).and_then(|n| stored.get(n)) else { return Ok(None) };
    let zero = node.input.get(2).filter(|n| !n.is_empty());
    let zero = match zero.map(|n| stored.get(n)) {
        None => None,
        Some(Some(tensor)) => Some(tensor),
        Some(None) => return Ok(None),
    };
    let values = dequantize(node, input, scale, zero)?;
    Ok(Some(TensorProto {
        name: output.clone(),
        dims: input.dims.clone(),
        data_type: DataType::Float as i32,
        raw_data: bytes(&values),
        ..Default::default()
    }))
}

/// As they stand in a file.
fn bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * values.len());
    values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
    bytes
}

/// `(value - zero point) * scale` per channel of the node's axis, or per tensor.
fn dequantize(
    node: &NodeProto,
    input: &TensorProto,
    scale: &TensorProto,
    zero: Option<&TensorProto>,
) -> Result<Vec<f32>, String> {
    let bytes = bytes_of(input)?;
    let scales = floats_of(scale);
    let zeros: Vec<i8> = match zero {
        Some(tensor) => bytes_of(tensor)?.iter().map(|&b| b as i8).collect(),
        None => vec![0; scales.len()],
    };
    let rank = input.dims.len() as i64;
    let axis = attribute(node, "axis").unwrap_or(1);
    let axis = if axis < 0 { axis + rank } else { axis } as usize;
    let per_tensor = scales.len() == 1;
    let channels = if per_tensor { 1 } else { input.dims.get(axis).copied().unwrap_or(0) as usize };
    if scales.len() != channels || zeros.len() != channels || channels == 0 {
        return Err(format!(
            "{}: {} scales and {} zero points for the shape {:?} along axis {axis}",
            input.name,
            scales.len(),
            zeros.len(),
            input.dims
        ));
    }
    let inner: usize = if per_tensor { bytes.len() } else { input.dims[axis + 1..].iter().product::<i64>() as usize };
    let mut values = Vec::with_capacity(bytes.len());
    for (i, block) in bytes.chunks(inner.max(1)).enumerate() {
        let (scale, zero) = (scales[i % channels], zeros[i % channels] as f32);
        values.extend(block.iter().map(|&b| (b as i8 as f32 - zero) * scale));
    }
    Ok(values)
}

/// The values of a stored tensor of f32.
pub(super) fn floats_of(tensor: &TensorProto) -> Vec<f32> {
    match tensor.raw_data.is_empty() {
        true => tensor.float_data.clone(),
        false => tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    }
}

/// The bytes of a stored tensor of int8 or f16, which small ones hold as numbers instead.
pub(super) fn bytes_of(tensor: &TensorProto) -> Result<Cow<'_, [u8]>, String> {
    let width = if tensor.data_type == DataType::Float16 as i32 { 2 } else { 1 };
    let values = tensor.dims.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?));
    let want =
        values.and_then(|n| n.checked_mul(width)).ok_or_else(|| format!("{}: shape {:?}", tensor.name, tensor.dims))?;
    let bytes: Cow<[u8]> = match tensor.raw_data.is_empty() {
        false => Cow::Borrowed(&tensor.raw_data),
        true => tensor.int32_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(width)).collect(),
    };
    if bytes.len() != want {
        return Err(format!("{}: {} bytes of data, expected {want}", tensor.name, bytes.len()));
    }
    Ok(bytes)
}

fn attribute(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name == name).map(|a| a.i)
}

/// IEEE 754 half to single precision, subnormals included.
fn f16_to_f32(half: u16) -> f32 {
    let sign = if half & 0x8000 != 0 { -1.0 } else { 1.0 };
    let (exponent, fraction) = ((half >> 10) & 0x1f, (half & 0x3ff) as f32);
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        e => (1.0 + fraction / 1024.0) * 2f32.powi(e as i32 - 15),
    }
}

/// Makes `names` the outputs of the graph, in that order, and drops the nodes and stored tensors none of them needs.
pub fn select_outputs(graph: &mut GraphProto, names: &[&str]) -> Result<(), String> {
    let producer: HashMap<&str, usize> =
        graph.node.iter().enumerate().flat_map(|(i, n)| n.output.iter().map(move |o| (o.as_str(), i))).collect();
    let mut needed = vec![false; graph.node.len()];
    let mut open = Vec::new();
    for name in names {
        let Some(&node) = producer.get(name) else {
            let outputs: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
            return Err(format!("it computes no value named {name:?}; its outputs are {outputs:?}"));
        };
        open.push(node);
    }
    while let Some(i) = open.pop() {
        if !std::mem::replace(&mut needed[i], true) {
            open.extend(graph.node[i].input.iter().filter_map(|name| producer.get(name.as_str())));
        }
    }
    let mut keep = needed.iter();
    graph.node.retain(|_| *keep.next().unwrap_or(&true));
    let read: HashSet<&String> = graph.node.iter().flat_map(|n| &n.input).collect();
    graph.initializer.retain(|t| read.contains(&t.name));
    graph.output = names.iter().map(|n| ValueInfoProto { name: n.to_string(), ..Default::default() }).collect();
    // Shapes noted by an exporter may be stale, and tract believes them ("Impossible to unify Sym").
    graph.value_info.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::AttributeProto;

    #[test]
    fn halves() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8)] {
            assert_eq!(f16_to_f32(bits), value);
        }
        assert_eq!(f16_to_f32(0x7c00), f32::INFINITY);
        assert!(f16_to_f32(0x7e00).is_nan());
    }

    fn tensor(name: &str, kind: DataType, dims: &[i64], raw: Vec<u8>) -> TensorProto {
        TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: kind as i32,
            raw_data: raw,
            ..Default::default()
        }
    }

    #[test]
    fn halves_are_gone() {
        let mut graph = GraphProto {
            initializer: vec![tensor("h", DataType::Float16, &[2], vec![0x00, 0x3c, 0x00, 0xc0])],
            node: vec![NodeProto {
                op_type: "Cast".into(),
                attribute: vec![AttributeProto { name: "to".into(), i: 10, ..Default::default() }],
                ..Default::default()
            }],
            ..Default::default()
        };
        widen_halves(&mut graph).unwrap();
        let raw: Vec<u8> = [1f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!((graph.initializer[0].data_type, &graph.initializer[0].raw_data), (1, &raw));
        assert_eq!(attribute(&graph.node[0], "to"), Some(1));
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
        dequantize_weights(&mut graph).unwrap();
        assert_eq!(graph.node.len(), 1);
        assert_eq!(graph.initializer.len(), 1);
        let w = &graph.initializer[0];
        let values: Vec<f32> = w.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!((w.name.as_str(), values), ("w", vec![0.5, -0.5, 6.0, -256.0]));
    }
}
