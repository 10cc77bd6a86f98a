//! Changes to the ONNX graph before tract sees it: stored f16 becomes f32, wanted values become outputs, and what no output
//! needs is dropped.

use crate::error::{Cause, Error, Result};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType};

/// The ONNX file `bytes`, and its graph beside it; `name` is for errors.
pub fn decode(name: &str, bytes: &[u8]) -> Result<(ModelProto, GraphProto)> {
    let mut proto: ModelProto = prost::Message::decode(bytes).map_err(|e: prost::DecodeError| Error::Model {
        model: name.to_string(),
        message: "this is not an ONNX file, or it is damaged".into(),
        source: Some(Cause::from(e)),
    })?;
    let graph = proto.graph.take().ok_or_else(|| Error::model(name, "the ONNX file contains no graph"))?;
    Ok((proto, graph))
}

/// Turns every f16 into f32: stored tensors, constants, casts. Few CPUs compute in f16; tract took a hundred times as long.
pub fn widen_halves(graph: &mut GraphProto) -> Result<(), String> {
    let attributes = graph.node.iter_mut().flat_map(|n| &mut n.attribute);
    for tensor in graph.initializer.iter_mut().chain(attributes.filter_map(|a| a.t.as_mut())) {
        if tensor.data_type == DataType::Float16 as i32 {
            let halves = bytes_of(tensor)?;
            let widened: Vec<f32> =
                halves.chunks_exact(2).map(|b| f16_to_f32(u16::from_le_bytes([b[0], b[1]]))).collect();
            tensor.raw_data = widened.iter().flat_map(|v| v.to_le_bytes()).collect();
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

pub(super) fn attribute(node: &NodeProto, name: &str) -> Option<i64> {
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

/// Writes something less the result of a convolution as that plus the negative result, and something divided by it as that times
/// the reciprocal: tract 0.23 fuses what has a value for each channel into the convolution before it, and takes these two the
/// wrong way around (`Conv::declutter_channel_arithmetic_succ`).
pub fn turn_around(graph: &mut GraphProto) {
    let behind = behind_convolutions(graph);
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in graph.node.drain(..) {
        let turned = match node.op_type.as_str() {
            "Sub" => Some(("Neg", "Add")),
            "Div" => Some(("Reciprocal", "Mul")),
            _ => None,
        };
        if let (Some((first, then)), [_, from], [output]) = (turned, node.input.as_mut_slice(), node.output.as_slice())
            && behind.contains(from)
        {
            let between = format!("{output}.{first}");
            let op_type = first.to_string();
            let input = vec![std::mem::replace(from, between.clone())];
            nodes.push(NodeProto {
                op_type,
                name: between.clone(),
                input,
                output: vec![between],
                ..Default::default()
            });
            node.op_type = then.to_string();
        }
        nodes.push(node);
    }
    graph.node = nodes;
}

/// The values that convolutions compute, also where something follows that simplification may make a part of them.
fn behind_convolutions(graph: &GraphProto) -> HashSet<String> {
    const FUSED: [&str; 11] = [
        "Add",
        "BatchNormalization",
        "Cast",
        "Div",
        "Identity",
        "Mul",
        "Reshape",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
    ];
    let mut behind = HashSet::new();
    // Nodes stand behind those that they read.
    for node in &graph.node {
        let fused = FUSED.contains(&node.op_type.as_str()) && node.input.iter().any(|input| behind.contains(input));
        if fused || node.op_type == "Conv" {
            behind.extend(node.output.iter().cloned());
        }
    }
    behind
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
    fn something_less_a_convolution() {
        let node = |op: &str, input: [&str; 2], output: &str| NodeProto {
            op_type: op.into(),
            input: input.map(String::from).to_vec(),
            output: vec![output.into()],
            ..Default::default()
        };
        let mut graph = GraphProto {
            node: vec![
                node("Conv", ["x", "w"], "y"),
                node("Sub", ["c", "y"], "a"),
                node("Div", ["pooled", "a"], "b"),
                node("Sub", ["b", "c"], "d"),
                node("Div", ["n", "size"], "half"),
                node("Sub", ["c", "x"], "e"),
            ],
            ..Default::default()
        };
        turn_around(&mut graph);
        let found: Vec<String> =
            graph.node.iter().map(|n| format!("{} = {}({})", n.output[0], n.op_type, n.input.join(", "))).collect();
        let expected = [
            "y = Conv(x, w)",
            "a.Neg = Neg(y)",
            "a = Add(c, a.Neg)",
            "b.Reciprocal = Reciprocal(a)",
            "b = Mul(pooled, b.Reciprocal)",
            "d = Sub(b, c)",
            "half = Div(n, size)",
            "e = Sub(c, x)",
        ];
        assert_eq!(found, expected);
    }
}
