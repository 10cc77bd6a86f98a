//! The ONNX file: trunk and head in one graph, the scaling of the features folded into the layers behind it.

use super::head::{Head, NAMES, Scale, Sizes};
use super::look::{TAPS, Trunk};
use crate::cells::Cells;
use crate::engine::{Attribute, Network};
use crate::error::Result;
use crate::tasks::metadata::names_text;

/// Name of the one output: 1 x (N * (M + 1)) scores, 0 to 1, the cells one after the other, background last in each.
const OUTPUT: &str = "scores";

/// A layer `x W + b` on scaled values, as the same layer on the values themselves.
fn folded(scale: &Scale, weights: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let outputs = bias.len().max(1);
    let (mut out, mut shift) = (Vec::with_capacity(weights.len()), bias.to_vec());
    for ((row, mean), spread) in weights.chunks(outputs).zip(&scale.mean).zip(&scale.spread) {
        for (weight, shift) in row.iter().zip(&mut shift) {
            out.push(weight / spread);
            *shift -= weight * mean / spread;
        }
    }
    (out, shift)
}

/// The file of a trained head on its trunk.
pub(super) fn onnx(trunk: &Trunk, head: &Head, cells: &Cells) -> Result<Vec<u8>> {
    let Sizes { channels, cells: count, width, .. } = head.sizes;
    let values = head.weights.values()?;
    let [w_square, b_square, w_whole, b_whole, from_squares, from_deep, from_whole, b_cell, w_last, b_last] =
        NAMES.map(|name| Head::value(&values, name));
    let (w_square, b_square) = folded(&head.squares, &w_square, &b_square);
    let (w_whole, b_whole) = folded(&head.whole, &w_whole, &b_whole);
    let hidden = b_cell.len() / count.max(1);
    let (from_deep, deep_shift) = folded(&head.deep, &from_deep, &vec![0.0; hidden]);
    let b_cell: Vec<f32> =
        b_cell.chunks(hidden.max(1)).flat_map(|row| row.iter().zip(&deep_shift).map(|(b, s)| b + s)).collect();

    let mut net = Network::on(&trunk.model, &TAPS, trunk.size)?;
    let [eighth, sixteenth, last, features] = TAPS;
    let two = || Attribute::Ints(vec![2, 2]);
    let mean = net.node("AveragePool", &[eighth], &[("kernel_shape", two()), ("strides", two())]);
    let most = net.node("MaxPool", &[eighth], &[("kernel_shape", two()), ("strides", two())]);
    let maps = net.node("Concat", &[&mean, &most, sixteenth], &[("axis", Attribute::Int(1))]);

    let rows = rows(&mut net, &maps, channels.square, trunk.fine.squares);
    let squares = layer(&mut net, &rows, &w_square, &b_square);
    let squares = net.node("Relu", &[&squares], &[]);
    let pooling = net.floats(&[count, trunk.fine.squares], &trunk.fine.whole());
    let pooled = net.node("MatMul", &[&pooling, &squares], &[]);

    let rows = self::rows(&mut net, last, channels.deep, trunk.coarse.squares);
    let pooling = net.floats(&[count, trunk.coarse.squares], &trunk.coarse.whole());
    let deep = net.node("MatMul", &[&pooling, &rows], &[]);

    let whole = layer(&mut net, features, &w_whole, &b_whole);
    let whole = net.node("Relu", &[&whole], &[]);

    let mut parts = Vec::new();
    for (value, weights) in [(pooled, from_squares), (deep, from_deep), (whole, from_whole)] {
        let weights = net.floats(&[weights.len() / hidden.max(1), hidden], &weights);
        parts.push(net.node("MatMul", &[&value, &weights], &[]));
    }
    let mut sum = net.floats(&[count, hidden], &b_cell);
    for part in &parts {
        sum = net.node("Add", &[&sum, part], &[]);
    }
    let relu = net.node("Relu", &[&sum], &[]);
    let weights = net.floats(&[hidden, width], &w_last);
    let logits = net.node("MatMul", &[&relu, &weights], &[]);
    let bias = net.floats(&[count, width], &b_last);
    let logits = net.node("Add", &[&logits, &bias], &[]);
    let scores = net.node("Sigmoid", &[&logits], &[]);
    let shape = net.integers(&[1, (count * width) as i64]);
    let scores = net.node("Reshape", &[&scores, &shape], &[]);

    let [w, h] = trunk.size;
    let metadata = [
        ("task", "cells".to_string()),
        ("names", names_text(&cells.labels)),
        ("imgsz", format!("[{h}, {w}]")),
        ("stride", "32".into()),
        ("fit", "stretch".into()),
        ("author", format!("ocellus {}", env!("CARGO_PKG_VERSION"))),
        ("cells", cells.to_json()),
    ];
    net.finish(&[(&scores, OUTPUT)], &metadata)
}

/// A map 1 x channels x H x W as H * W rows of channels.
fn rows(net: &mut Network, map: &str, channels: usize, squares: usize) -> String {
    let shape = net.integers(&[channels as i64, squares as i64]);
    let flat = net.node("Reshape", &[map, &shape], &[]);
    net.node("Transpose", &[&flat], &[("perm", Attribute::Ints(vec![1, 0]))])
}

fn layer(net: &mut Network, value: &str, weights: &[f32], bias: &[f32]) -> String {
    let weights = net.floats(&[weights.len() / bias.len().max(1), bias.len()], weights);
    let bias = net.floats(&[1, bias.len()], bias);
    let product = net.node("MatMul", &[value, &weights], &[]);
    net.node("Add", &[&product, &bias], &[])
}
