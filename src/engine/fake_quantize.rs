//! Activations rounded to 8 bits: what a file writes as a pair of `QuantizeLinear` and `DequantizeLinear` is one operator here,
//! so that tract leaves it where it stands, and dense convolutions behind it can read the codes themselves.

use super::graph::{bytes_of, floats_of};
use crate::kernels::isa::isa;
use crate::kernels::nchwc::{Elementwise, Kernels, Quantization};
use std::collections::HashMap;
use tract_onnx::model::OnnxOpRegister;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto, tensor_proto::DataType};
use tract_onnx::tract_hir::internal::*;

/// The name of the operator in a graph.
const NAME: &str = "FakeQuantize";

element_wise!(fake_quantize, FakeQuantize { scale: f32, zero_point: u8 },
    [f32] => |op, values| {
        let quantization = Quantization { scale: op.scale, zero_point: op.zero_point };
        Kernels::of(isa()).apply(Elementwise::FakeQuantize(quantization), values, &[]);
        Ok(())
    }
);

/// Teaches tract to read the operator.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert(NAME, |_, node: &NodeProto| {
        let (scale, zero_point) = (node.get_attr::<f32>("scale")?, node.get_attr::<i64>("zero_point")?);
        ensure!(is_scale(scale), "{NAME} with a scale of {scale}");
        Ok((fake_quantize(scale, u8::try_from(zero_point)?).into_hir(), Vec::new()))
    });
}

fn is_scale(scale: f32) -> bool {
    scale.is_normal() && scale > 0.0
}

/// How a node rounds, or undoes it; the codes are of eight bits, with a sign or without.
#[derive(Clone, Copy, PartialEq)]
struct How {
    scale: f32,
    /// As if they had none.
    zero_point: u8,
    signed: bool,
}

/// Replaces every `DequantizeLinear` of what a `QuantizeLinear` with the same scale, zero point and type of codes computes; both
/// per tensor.
pub fn pair(graph: &mut GraphProto) -> Result<(), String> {
    let stored: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    let parameters = |node: &NodeProto| -> Result<Option<How>, String> {
        let input = |at: usize| node.input.get(at).filter(|name| !name.is_empty());
        // Types and blocks that are named by an attribute are younger than what tract reads.
        let younger = |name: &str| node.attribute.iter().any(|a| a.name == name && a.i != 0);
        let (Some(scale), Some(zero)) = (input(1), input(2)) else { return Ok(None) };
        let (Some(scale), Some(zero)) = (stored.get(scale.as_str()), stored.get(zero.as_str())) else {
            return Ok(None);
        };
        let signed = match DataType::try_from(zero.data_type) {
            Ok(DataType::Uint8) => false,
            Ok(DataType::Int8) => true,
            _ => return Ok(None),
        };
        Ok(match (floats_of(scale).as_slice(), &*bytes_of(zero)?) {
            ([scale], [zero]) if is_scale(*scale) && !younger("output_dtype") && !younger("block_size") => {
                Some(How { scale: *scale, zero_point: if signed { zero ^ 0x80 } else { *zero }, signed })
            }
            _ => None,
        })
    };
    let mut codes: HashMap<String, (String, How)> = HashMap::new();
    for node in graph.node.iter().filter(|node| node.op_type == "QuantizeLinear") {
        if let (Some(input), Some(output), Some(how)) = (node.input.first(), node.output.first(), parameters(node)?) {
            codes.insert(output.clone(), (input.clone(), how));
        }
    }
    let mut pairs = Vec::new();
    for (at, node) in graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "DequantizeLinear") {
        let Some((from, how)) = node.input.first().and_then(|name| codes.get(name)) else { continue };
        if parameters(node)? == Some(*how) {
            pairs.push((at, from.clone(), *how));
        }
    }
    for (at, from, How { scale, zero_point, .. }) in pairs {
        let node = &mut graph.node[at];
        node.op_type = NAME.to_string();
        node.input = vec![from];
        node.attribute = vec![
            AttributeProto {
                name: "scale".to_string(),
                r#type: attribute_proto::AttributeType::Float as i32,
                f: scale,
                ..Default::default()
            },
            AttributeProto {
                name: "zero_point".to_string(),
                r#type: attribute_proto::AttributeType::Int as i32,
                i: i64::from(zero_point),
                ..Default::default()
            },
        ];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str, kind: DataType, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
        let dims = dims.to_vec();
        TensorProto { name: name.into(), dims, data_type: kind as i32, raw_data, ..Default::default() }
    }

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        let input = inputs.iter().map(|i| i.to_string()).collect();
        NodeProto { op_type: op.into(), input, output: vec![output.into()], ..Default::default() }
    }

    /// The operators of a graph in which `x` goes to codes with the first scale and zero point and back with the second.
    fn paired(there: [&str; 2], back: [&str; 2]) -> Vec<NodeProto> {
        let scale = |value: f32| value.to_le_bytes().to_vec();
        let mut graph = GraphProto {
            initializer: vec![
                stored("half", DataType::Float, &[], scale(0.5)),
                stored("one", DataType::Float, &[1], scale(1.0)),
                stored("two scales", DataType::Float, &[2], [scale(0.5), scale(1.0)].concat()),
                stored("nothing", DataType::Float, &[], scale(0.0)),
                stored("seven", DataType::Uint8, &[], vec![7]),
                stored("minus two", DataType::Int8, &[], vec![0xfe]),
                stored("none", DataType::Uint8, &[], vec![0]),
                stored("lowest", DataType::Int8, &[], vec![0x80]),
            ],
            node: vec![
                node("QuantizeLinear", &["x", there[0], there[1]], "codes"),
                node("DequantizeLinear", &["codes", back[0], back[1]], "y"),
            ],
            ..Default::default()
        };
        pair(&mut graph).unwrap();
        graph.node
    }

    #[test]
    fn pairs_become_one_operator() {
        for (zero, point) in [("seven", 7), ("minus two", 126)] {
            let nodes = paired(["half", zero], ["half", zero]);
            let (op, input) = (nodes[1].op_type.as_str(), &nodes[1].input);
            assert_eq!((op, input.as_slice()), (NAME, ["x".to_string()].as_slice()));
            assert_eq!((nodes[1].attribute[0].f, nodes[1].attribute[1].i), (0.5, point));
        }
    }

    #[test]
    fn others_stay_as_they_are() {
        for (there, back) in [
            (["half", "seven"], ["one", "seven"]),
            (["half", "seven"], ["half", "minus two"]),
            (["two scales", "seven"], ["two scales", "seven"]),
            (["nothing", "seven"], ["nothing", "seven"]),
            (["half", "seven"], ["half", "computed"]),
            (["half", "lowest"], ["half", ""]),
            (["half", "none"], ["half", "lowest"]),
            (["half", ""], ["half", ""]),
        ] {
            let nodes = paired(there, back);
            assert_eq!(nodes[1].op_type, "DequantizeLinear", "{there:?} {back:?}");
        }
    }
}
