//! Puts a network together: a trunk cut at some of its values, layers on top of them, and notes on what it is. The result is
//! one ONNX file that any runtime reads.

use super::{Session, graph};
use crate::error::{Error, Result};
use crate::models::Model;
use crate::models::manifest::{Colour, InputSpec};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType, type_proto,
};

/// The name of the one input of a network that was put together here: 1 x 3 x height x width, RGB, 0 to 1.
pub const INPUT: &str = "images";

/// An attribute of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// A word.
    Text(String),
}

/// An ONNX graph that is being put together. Weights that the trunk stores as int8 or f16 stay so.
#[derive(Debug)]
pub struct Network {
    name: String,
    trunk: Model,
    proto: ModelProto,
    graph: GraphProto,
    size: [u32; 2],
    names: usize,
}

impl Network {
    /// The part of `trunk` that computes the values `taps`, for an input of `size` (width, height). The new input, [`INPUT`],
    /// takes RGB of 0 to 1; how the trunk wants its pixels becomes part of the graph.
    ///
    /// # Errors
    /// A trunk that is no ONNX file, or that computes no value of such a name.
    pub fn on(trunk: &Model, taps: &[&str], size: [u32; 2]) -> Result<Self> {
        let name = trunk.info.id.clone();
        let (proto, mut graph) = graph::decode(&name, &trunk.bytes)?;
        graph::select_outputs(&mut graph, taps).map_err(|message| Error::model(&name, message))?;
        graph.input.retain(|i| !graph.initializer.iter().any(|t| t.name == i.name));
        let [input] = &graph.input[..] else {
            return Err(Error::model(&name, "the ONNX file contains no single input"));
        };
        let fed = input.name.clone();
        let [width, height] = size.map(|s| s as usize);
        graph.input = vec![float_value(INPUT, &[1, 3, height, width])];
        graph.output.clear();
        graph.doc_string.clear();
        let layers = std::mem::take(&mut graph.node);
        let mut network = Network { name, trunk: trunk.clone(), proto, graph, size, names: 0 };
        network.normalise(&fed);
        network.graph.node.extend(layers);
        Ok(network)
    }

    /// The nodes from [`INPUT`] to the trunk's own input `fed`: (255 * value - mean) / std in the trunk's order of colours.
    fn normalise(&mut self, fed: &str) {
        let InputSpec { mean, std, colour, .. } = self.trunk.info.input.clone();
        let mut pixels = INPUT.to_string();
        if colour == Colour::Bgr {
            let order = self.integers(&[2, 1, 0]);
            pixels = self.node("Gather", &[&pixels, &order], &[("axis", Attribute::Int(1))]);
        }
        let scale = self.floats(&[1, 3, 1, 1], &std.map(|s| 255.0 / s));
        let shift = self.floats(&[1, 3, 1, 1], &[0, 1, 2].map(|c| -mean[c] / std[c]));
        let scaled = self.node("Mul", &[&pixels, &scale], &[]);
        self.push("Add", &[&scaled, &shift], &[], fed.to_string());
    }

    /// Width and height of the input in pixels.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// Stores numbers, rows first, and returns their name.
    pub fn floats(&mut self, shape: &[usize], data: &[f32]) -> String {
        let bytes = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.store(shape, DataType::Float, bytes)
    }

    /// Stores a row of whole numbers and returns its name.
    pub fn integers(&mut self, data: &[i64]) -> String {
        let bytes = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.store(&[data.len()], DataType::Int64, bytes)
    }

    fn store(&mut self, shape: &[usize], kind: DataType, raw_data: Vec<u8>) -> String {
        let name = self.fresh("stored");
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            dims: shape.iter().map(|&d| d as i64).collect(),
            data_type: kind as i32,
            raw_data,
            ..Default::default()
        });
        name
    }

    /// Adds an operator of ONNX and returns the name of its one output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Attribute)]) -> String {
        let output = self.fresh(&op.to_lowercase());
        self.push(op, inputs, attributes, output.clone());
        output
    }

    fn push(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Attribute)], output: String) {
        self.graph.node.push(NodeProto {
            op_type: op.to_string(),
            name: output.clone(),
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![output],
            attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
            ..Default::default()
        });
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("head.{kind}_{}", self.names)
    }

    /// The ONNX file that computes `outputs`, each a value and the name it gets, with `metadata` beside it. The network is
    /// loaded once to see that it holds together and what shapes come out.
    pub fn finish(mut self, outputs: &[(&str, &str)], metadata: &[(&str, String)]) -> Result<Vec<u8>> {
        for (value, name) in outputs {
            self.push("Identity", &[value], &[], name.to_string());
        }
        let names: Vec<&str> = outputs.iter().map(|(_, name)| *name).collect();
        self.graph.output = names.iter().map(|name| float_value(name, &[])).collect();
        self.graph.name = "ocellus".into();
        self.proto.producer_name = "ocellus".into();
        self.proto.producer_version = env!("CARGO_PKG_VERSION").into();
        let entry =
            |(key, value): &(&str, String)| StringStringEntryProto { key: key.to_string(), value: value.clone() };
        self.proto.metadata_props = metadata.iter().map(entry).collect();

        let mut info = self.trunk.info.clone();
        info.id = format!("{} with a new head", self.name);
        let whole = Model { info, bytes: self.encoded().into() };
        let [width, height] = self.size.map(|s| s as usize);
        let shapes = Session::load(&whole, &names)?.output_shapes(&[1, 3, height, width])?;
        self.graph.output = names.iter().zip(&shapes).map(|(name, shape)| float_value(name, shape)).collect();
        Ok(self.encoded())
    }

    fn encoded(&self) -> Vec<u8> {
        let proto = ModelProto { graph: Some(self.graph.clone()), ..self.proto.clone() };
        prost::Message::encode_to_vec(&proto)
    }
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let mut attribute = AttributeProto { name: name.to_string(), ..Default::default() };
    let kind = match value {
        Attribute::Int(i) => {
            attribute.i = *i;
            AttributeType::Int
        }
        Attribute::Ints(list) => {
            attribute.ints = list.clone();
            AttributeType::Ints
        }
        Attribute::Text(text) => {
            attribute.s = text.as_bytes().to_vec();
            AttributeType::String
        }
    };
    attribute.r#type = kind as i32;
    attribute
}

/// The declaration of a value of floats; an empty shape is left open.
pub(super) fn float_value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let side = |&d: &usize| Dimension { value: Some(Dim::DimValue(d as i64)), ..Default::default() };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: (!shape.is_empty()).then(|| TensorShapeProto { dim: shape.iter().map(side).collect() }),
    };
    ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() }),
        ..Default::default()
    }
}

#[cfg(test)]
#[cfg(feature = "model-efficientnet-lite0")]
mod tests {
    use super::*;
    use crate::models;
    use crate::tensor::Tensor;

    /// A head that only adds one: the new file gives what the trunk gives for the same pixels, plus one.
    #[test]
    fn a_head_on_a_trunk() {
        let trunk = models::default_for("features").unwrap();
        let mut network = Network::on(trunk, &["features", "block4"], [64, 96]).unwrap();
        let one = network.floats(&[1], &[1.0]);
        let sum = network.node("Add", &["features", &one], &[]);
        let bytes = network.finish(&[(&sum, "sum"), ("block4", "map")], &[("task", "test".into())]).unwrap();
        let described = super::super::describe("made", &bytes).unwrap();
        assert_eq!(described.metadata["task"], "test");
        let shown: Vec<String> = described.inputs.iter().chain(&described.outputs).map(ToString::to_string).collect();
        assert_eq!(shown, ["images (float 1x3x96x64)", "sum (float 1x1280)", "map (float 1x40x12x8)"]);

        let mut random = fastrand::Rng::with_seed(1);
        let pixels: Vec<f32> = (0..3 * 96 * 64).map(|_| f32::from(random.u8(..))).collect();
        let shape = vec![1, 3, 96, 64];
        let plain = Tensor::new(shape.clone(), pixels.iter().map(|v| (v - 127.0) / 128.0).collect()).unwrap();
        let unit = Tensor::new(shape, pixels.iter().map(|v| v / 255.0).collect()).unwrap();
        let expected = Session::load(trunk, &["features"]).unwrap().run(&plain).unwrap();
        let made = Model { info: trunk.info.clone(), bytes: bytes.into() };
        let found = Session::load(&made, &["sum"]).unwrap().run(&unit).unwrap();
        for (e, f) in expected[0].data().iter().zip(found[0].data()) {
            assert!((e + 1.0 - f).abs() < 1e-4, "{e} {f}");
        }
    }

    #[test]
    fn unknown_values_are_named() {
        let trunk = models::default_for("features").unwrap();
        let error = Network::on(trunk, &["nothing"], [64, 64]).unwrap_err();
        assert!(error.one_line().contains("nothing"), "{}", error.one_line());
    }
}
