//! What an ONNX file says of itself: inputs, outputs, metadata. Nothing is run.

use super::graph;
use crate::error::Result;
use std::collections::{BTreeMap, HashSet};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as Kind;
use tract_onnx::pb::{ValueInfoProto, tensor_proto::DataType};

/// An input or an output of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// The element type as ONNX names it, in lower case: `float`, `float16`, `int64`.
    pub kind: String,
    /// The sides; `None` where the graph leaves one open.
    pub shape: Vec<Option<usize>>,
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sides: Vec<String> = self.shape.iter().map(|s| s.map_or("?".into(), |n| n.to_string())).collect();
        write!(f, "{} ({} {})", self.name, self.kind, sides.join("x"))
    }
}

/// What a graph says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Inputs that are not stored in the file.
    pub inputs: Vec<Value>,
    /// Outputs in their order.
    pub outputs: Vec<Value>,
    /// Notes of the exporter by key, such as the names of the classes.
    pub metadata: BTreeMap<String, String>,
}

impl Description {
    /// Inputs and outputs with their types and shapes, in one line.
    pub fn values(&self) -> String {
        let list = |values: &[Value]| values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        format!("inputs {}; outputs {}", list(&self.inputs), list(&self.outputs))
    }
}

/// Reads the description of the ONNX file `bytes`; `name` is for errors.
pub fn describe(name: &str, bytes: &[u8]) -> Result<Description> {
    let (proto, graph) = graph::decode(name, bytes)?;
    let stored: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|i| !stored.contains(i.name.as_str())).map(value).collect();
    let metadata = proto.metadata_props.into_iter().map(|p| (p.key, p.value)).collect();
    Ok(Description { inputs, outputs: graph.output.iter().map(value).collect(), metadata })
}

fn value(info: &ValueInfoProto) -> Value {
    let tensor = info.r#type.as_ref().and_then(|t| t.value.as_ref()).map(|Kind::TensorType(tensor)| tensor);
    let side = |dim: &Option<Dim>| match dim {
        Some(Dim::DimValue(n)) => usize::try_from(*n).ok().filter(|n| *n > 0),
        _ => None,
    };
    let kind = tensor.and_then(|t| DataType::try_from(t.elem_type).ok());
    Value {
        name: info.name.clone(),
        kind: kind.map_or("unknown".into(), |k| format!("{k:?}").to_lowercase()),
        shape: tensor
            .and_then(|t| t.shape.as_ref())
            .map_or_else(Vec::new, |s| s.dim.iter().map(|d| side(&d.value)).collect()),
    }
}
