//! The head of a detector: two levels of a trunk's maps, brought together from coarse to fine (FPN, Lin et al. 2017), then
//! classes and distances of the four sides for each cell, without anchors (FCOS, Tian et al. 2019).

use super::depthwise::{SIDE, depthwise_relu};
use crate::engine::{Attribute, Network};
use crate::error::{Error, Result};
use crate::tensor::Tensor as Values;
use crate::train::internal;
use crate::train::weights::Weights;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// Input pixels a cell of each level. A network that was trained on photographs tells little apart before its maps at /16: it
/// pays more to show it the picture larger than to look at finer maps.
pub const STRIDES: [usize; 2] = [16, 32];
/// Maps that the levels are made of, at /8, /16 and /32; the first two make the finer level.
pub const MAPS: usize = 3;
/// Depthwise-separable blocks of each level, from fine to coarse: most of what is small is told apart on the fine one.
const BLOCKS: [usize; 2] = [3, 1];
/// The score that an untrained head gives: so low that the many empty cells do not drown the first steps (Lin et al. 2017).
const PRIOR: f32 = 0.01;
/// Distances beyond exp(6) strides are no distances.
const FARTHEST: f32 = 6.0;

/// What is known of one channel of the trunk's maps: it is brought to mean 0 and deviation 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Mean by channel, for each of the maps.
    pub means: [Vec<f32>; MAPS],
    /// One over the deviation, likewise.
    pub gains: [Vec<f32>; MAPS],
}

/// The head, ready to compute.
pub struct Head {
    weights: BTreeMap<String, Tensor>,
    classes: usize,
}

/// What the head says of a picture, cells of all levels one after the other, row by row.
pub struct Maps {
    /// Scores before the sigmoid, classes x cells.
    pub classes: Tensor,
    /// Distances of the left, upper, right and lower side from the cell's middle in strides, 4 x cells.
    pub sides: Tensor,
}

/// A picture's maps as the head takes them: a tensor a level, C x H x W, scaled.
pub struct Levels([Tensor; STRIDES.len()]);

impl Levels {
    /// From the trunk's maps at /8, /16 and /32. The finest is laid out as four channels a cell of the next.
    pub fn new(maps: &[Values], scaling: &Scaling) -> Result<Self> {
        let [eighth, sixteenth, last] = maps else {
            return Err(Error::Internal(format!("{} maps, expected {MAPS}", maps.len())));
        };
        let scaled = |at: usize, map: &Values| -> Result<(usize, usize, usize, Vec<f32>)> {
            let (c, h, w) = map.chw()?;
            let mut data = map.data().to_vec();
            for (i, plane) in data.chunks_exact_mut(h * w).enumerate() {
                let (mean, gain) = (scaling.means[at][i], scaling.gains[at][i]);
                plane.iter_mut().for_each(|v| *v = (*v - mean) * gain);
            }
            Ok((c, h, w, data))
        };
        let (c, h, w, fine) = scaled(0, eighth)?;
        let (_, rows, columns, mut merged) = scaled(1, sixteenth)?;
        if (h, w) != (2 * rows, 2 * columns) {
            return Err(Error::Internal(format!("a map of {w}x{h} over one of {columns}x{rows}")));
        }
        for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for plane in fine.chunks_exact(h * w).take(c) {
                for row in plane.chunks_exact(w).skip(dy).step_by(2) {
                    merged.extend(row.iter().skip(dx).step_by(2));
                }
            }
        }
        let tensor = |(h, w), data: Vec<f32>| {
            let channels = data.len() / (h * w);
            Tensor::from_vec(data, (channels, h, w), &Device::Cpu).map_err(internal)
        };
        let (_, h, w, coarse) = scaled(2, last)?;
        Ok(Levels([tensor((rows, columns), merged)?, tensor((h, w), coarse)?]))
    }
}

impl Head {
    /// A head for `classes` on maps of `channels` (at /8, /16, /32), `width` channels wide inside. Its weights join `weights`.
    pub fn new(
        weights: &mut Weights,
        classes: usize,
        channels: [usize; MAPS],
        width: usize,
        random: &mut fastrand::Rng,
    ) -> Result<Self> {
        let mut all = BTreeMap::new();
        let mut add = |weights: &mut Weights, name: &str, shape: &[usize], fan_in: usize, gain: f64| -> Result<()> {
            let deviation = (gain / fan_in as f64).sqrt();
            all.insert(name.to_string(), weights.random(name, shape, deviation, random)?);
            Ok(())
        };
        for (level, inputs) in [channels[1] + 4 * channels[0], channels[2]].into_iter().enumerate() {
            // Deviations by He et al. 2015.
            add(weights, &format!("{level}.lateral.weight"), &[width, inputs], inputs, 1.0)?;
            for block in 0..BLOCKS[level] {
                let name = format!("{level}.{block}");
                add(weights, &format!("{name}.depthwise.weight"), &[width, SIDE * SIDE], SIDE * SIDE, 2.0)?;
                add(weights, &format!("{name}.pointwise.weight"), &[width, width], width, 2.0)?;
            }
        }
        add(weights, "classes.weight", &[classes, width], width, 0.01)?;
        add(weights, "sides.weight", &[4, width], width, 0.01)?;
        let mut bias = |weights: &mut Weights, name: String, count: usize, value: f32| -> Result<()> {
            all.insert(name.clone(), weights.add(&name, &[count], vec![value; count])?);
            Ok(())
        };
        for (level, blocks) in BLOCKS.into_iter().enumerate() {
            bias(weights, format!("{level}.lateral.bias"), width, 0.0)?;
            for block in 0..blocks {
                bias(weights, format!("{level}.{block}.depthwise.bias"), width, 0.0)?;
                bias(weights, format!("{level}.{block}.pointwise.bias"), width, 0.0)?;
            }
        }
        bias(weights, "classes.bias".into(), classes, (PRIOR / (1.0 - PRIOR)).ln())?;
        // Two strides to each side: an object of four cells.
        bias(weights, "sides.bias".into(), 4, 2f32.ln())?;
        Ok(Head { weights: all, classes })
    }

    fn weight(&self, name: &str) -> candle_core::Result<&Tensor> {
        self.weights.get(name).ok_or_else(|| candle_core::Error::Msg(format!("no weight {name}")))
    }

    /// A 1x1 convolution of C x H x W.
    fn pointwise(&self, name: &str, maps: &Tensor) -> candle_core::Result<Tensor> {
        let (c, h, w) = maps.dims3()?;
        let (weight, bias) = (self.weight(&format!("{name}.weight"))?, self.weight(&format!("{name}.bias"))?);
        let out = weight.matmul(&maps.reshape((c, h * w))?)?.broadcast_add(&bias.unsqueeze(1)?)?;
        out.reshape((weight.dim(0)?, h, w))
    }

    /// What the head says of a picture.
    pub fn forward(&self, levels: &Levels) -> Result<Maps> {
        self.compute(levels).map_err(internal)
    }

    fn compute(&self, levels: &Levels) -> candle_core::Result<Maps> {
        let mut above: Option<Tensor> = None;
        let (mut classes, mut sides) = (Vec::new(), Vec::new());
        for level in (0..STRIDES.len()).rev() {
            let mut maps = self.pointwise(&format!("{level}.lateral"), &levels.0[level])?.relu()?;
            if let Some(above) = &above {
                maps = (maps + doubled(above)?)?;
            }
            for block in 0..BLOCKS[level] {
                let name = format!("{level}.{block}");
                let kernels = self.weight(&format!("{name}.depthwise.weight"))?;
                let filtered = depthwise_relu(&maps, kernels, self.weight(&format!("{name}.depthwise.bias"))?)?;
                maps = (maps + self.pointwise(&format!("{name}.pointwise"), &filtered)?.relu()?)?;
            }
            let flat = |t: Tensor| t.flatten_from(1);
            classes.insert(0, flat(self.pointwise("classes", &maps)?)?);
            sides.insert(0, flat(self.pointwise("sides", &maps)?)?);
            above = Some(maps);
        }
        let sides = Tensor::cat(&sides, 1)?.clamp(-FARTHEST, FARTHEST)?.exp()?;
        Ok(Maps { classes: Tensor::cat(&classes, 1)?, sides })
    }

    /// What a decoder of YOLO heads reads, 1 x (4 + classes) x cells: centre x, centre y, width, height in pixels of an input of
    /// `size` (width, height), scores of 0 to 1.
    pub fn output(&self, maps: &Maps, size: [u32; 2]) -> Result<Values> {
        let flat = |t: &Tensor| t.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(internal);
        let (sides, scores) = (flat(&maps.sides)?, flat(&maps.classes)?);
        let cells = cells(size);
        let count = cells.len();
        let mut data = vec![0f32; 4 * count];
        for (i, cell) in cells.iter().enumerate() {
            let [left, upper, right, lower] = [0, 1, 2, 3].map(|side| sides[side * count + i] * cell.stride);
            let row = [cell.x + (right - left) / 2.0, cell.y + (lower - upper) / 2.0, left + right, upper + lower];
            row.into_iter().enumerate().for_each(|(r, v)| data[r * count + i] = v);
        }
        data.extend(scores.iter().map(|x| 1.0 / (1.0 + (-x).exp())));
        Values::new(vec![1, 4 + self.classes, count], data)
    }

    /// Adds the head with the weights `values` to `network`, whose trunk gives the maps `taps` (/8, /16, /32), and returns
    /// the name of its output: 1 x (4 + classes) x cells, centre x, centre y, width, height in input pixels, scores of 0 to 1.
    pub fn export(
        &self,
        network: &mut Network,
        taps: &[&str],
        values: &BTreeMap<String, Values>,
        scaling: &Scaling,
    ) -> Result<String> {
        let mut writer = Writer { network, values };
        let [width, height] = writer.network.size().map(|s| s as usize);
        let mut above: Option<String> = None;
        let (mut classes, mut sides) = (Vec::new(), Vec::new());
        for level in (0..STRIDES.len()).rev() {
            let mut maps = match level {
                0 => writer.fine_lateral(taps, scaling)?,
                _ => writer.lateral(&format!("{level}.lateral"), taps[level + 1], (scaling, level + 1))?,
            };
            maps = writer.network.node("Relu", &[&maps], &[]);
            if let Some(above) = &above {
                let larger = writer.doubled(above);
                maps = writer.network.node("Add", &[&maps, &larger], &[]);
            }
            for block in 0..BLOCKS[level] {
                let name = format!("{level}.{block}");
                let filtered = writer.depthwise(&format!("{name}.depthwise"), &maps)?;
                let filtered = writer.network.node("Relu", &[&filtered], &[]);
                let mixed = writer.pointwise(&format!("{name}.pointwise"), &filtered)?;
                let mixed = writer.network.node("Relu", &[&mixed], &[]);
                maps = writer.network.node("Add", &[&maps, &mixed], &[]);
            }
            let cells = (width / STRIDES[level]) * (height / STRIDES[level]);
            let scores = writer.pointwise("classes", &maps)?;
            classes.insert(0, writer.flat(&scores, self.classes, cells));
            let distances = writer.pointwise("sides", &maps)?;
            sides.insert(0, writer.flat(&distances, 4, cells));
            above = Some(maps);
        }
        let scores = writer.joined(&classes, 2);
        let scores = writer.network.node("Sigmoid", &[&scores], &[]);
        let sides = writer.joined(&sides, 2);
        let boxes = writer.boxes(&sides, writer.network.size());
        Ok(writer.joined(&[boxes, scores], 1))
    }
}

/// A cell of a level: its middle and its stride in input pixels.
pub struct Cell {
    /// Of the middle.
    pub x: f32,
    /// Of the middle.
    pub y: f32,
    /// Side of the cell.
    pub stride: f32,
}

/// The cells of all levels for an input of `size` (width, height), in the order of [`Maps`].
pub fn cells(size: [u32; 2]) -> Vec<Cell> {
    let [width, height] = size.map(|s| s as usize);
    let level = |stride: usize| {
        let places = (0..height / stride).flat_map(move |y| (0..width / stride).map(move |x| (x, y)));
        let middle = move |at: usize| (at as f32 + 0.5) * stride as f32;
        places.map(move |(x, y)| Cell { x: middle(x), y: middle(y), stride: stride as f32 })
    };
    STRIDES.into_iter().flat_map(level).collect()
}

/// Each value four times, as squares of two by two.
fn doubled(maps: &Tensor) -> candle_core::Result<Tensor> {
    let (c, h, w) = maps.dims3()?;
    maps.reshape((c, h, 1, w, 1))?.broadcast_as((c, h, 2, w, 2))?.reshape((c, 2 * h, 2 * w))
}

/// Writes the head's layers as ONNX.
struct Writer<'a> {
    network: &'a mut Network,
    values: &'a BTreeMap<String, Values>,
}

impl Writer<'_> {
    fn value(&self, name: &str) -> Result<&Values> {
        self.values.get(name).ok_or_else(|| Error::Internal(format!("no weight {name}")))
    }

    fn conv(
        &mut self,
        input: &str,
        shape: [usize; 4],
        weight: &[f32],
        bias: &[f32],
        more: &[(&str, Attribute)],
    ) -> String {
        let kernel = Attribute::Ints(vec![shape[2] as i64, shape[3] as i64]);
        let weight = self.network.floats(&shape, weight);
        let bias = self.network.floats(&[bias.len()], bias);
        let mut attributes = vec![("kernel_shape", kernel)];
        attributes.extend(more.iter().cloned());
        self.network.node("Conv", &[input, &weight, &bias], &attributes)
    }

    fn pointwise(&mut self, name: &str, input: &str) -> Result<String> {
        let weight = self.value(&format!("{name}.weight"))?.clone();
        let bias = self.value(&format!("{name}.bias"))?.data().to_vec();
        let shape = [weight.shape()[0], weight.shape()[1], 1, 1];
        Ok(self.conv(input, shape, weight.data(), &bias, &[]))
    }

    fn depthwise(&mut self, name: &str, input: &str) -> Result<String> {
        let weight = self.value(&format!("{name}.weight"))?.clone();
        let bias = self.value(&format!("{name}.bias"))?.data().to_vec();
        let channels = weight.shape()[0];
        let half = (SIDE / 2) as i64;
        let more = [("group", Attribute::Int(channels as i64)), ("pads", Attribute::Ints(vec![half; 4]))];
        Ok(self.conv(input, [channels, 1, SIDE, SIDE], weight.data(), &bias, &more))
    }

    /// The 1x1 convolution `name` with the scaling of its input in its weights.
    fn lateral(&mut self, name: &str, input: &str, (scaling, map): (&Scaling, usize)) -> Result<String> {
        let weight = self.value(&format!("{name}.weight"))?.clone();
        let mut bias = self.value(&format!("{name}.bias"))?.data().to_vec();
        let folded = fold(&weight, 0..weight.shape()[1], (scaling, map), &mut bias);
        Ok(self.conv(input, [bias.len(), weight.shape()[1], 1, 1], &folded, &bias, &[]))
    }

    /// The lateral of the finest level: of the map at /16, and of the one at /8 by its squares of two by two.
    fn fine_lateral(&mut self, taps: &[&str], scaling: &Scaling) -> Result<String> {
        let weight = self.value("0.lateral.weight")?.clone();
        let mut bias = self.value("0.lateral.bias")?.data().to_vec();
        let (width, eighth, fine) = (bias.len(), scaling.means[1].len(), scaling.means[0].len());
        let direct = fold(&weight, 0..eighth, (scaling, 1), &mut bias);
        // Out, square (row, column), channel, as [`Levels`] lays them out: to out, channel, row, column.
        let mut kernel = vec![0f32; width * fine * 4];
        for square in 0..4 {
            let start = eighth + square * fine;
            let part = fold(&weight, start..start + fine, (scaling, 0), &mut bias);
            for (i, value) in part.into_iter().enumerate() {
                kernel[i * 4 + square] = value;
            }
        }
        let direct = self.conv(taps[1], [width, eighth, 1, 1], &direct, &bias, &[]);
        let strides = [("strides", Attribute::Ints(vec![2, 2]))];
        let squares = self.conv(taps[0], [width, fine, 2, 2], &kernel, &vec![0.0; width], &strides);
        Ok(self.network.node("Add", &[&direct, &squares], &[]))
    }

    fn doubled(&mut self, input: &str) -> String {
        let none = self.network.floats(&[0], &[]);
        let scales = self.network.floats(&[4], &[1.0, 1.0, 2.0, 2.0]);
        let attributes = [
            ("mode", Attribute::Text("nearest".into())),
            ("nearest_mode", Attribute::Text("floor".into())),
            ("coordinate_transformation_mode", Attribute::Text("asymmetric".into())),
        ];
        self.network.node("Resize", &[input, &none, &scales], &attributes)
    }

    fn flat(&mut self, input: &str, rows: usize, cells: usize) -> String {
        let shape = self.network.integers(&[1, rows as i64, cells as i64]);
        self.network.node("Reshape", &[input, &shape], &[])
    }

    fn joined(&mut self, parts: &[String], axis: i64) -> String {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.network.node("Concat", &parts, &[("axis", Attribute::Int(axis))])
    }

    /// From distances before the exponential, 1 x 4 x cells, to centres and sides in pixels.
    fn boxes(&mut self, sides: &str, size: [u32; 2]) -> String {
        let cells = cells(size);
        let strides: Vec<f32> = cells.iter().map(|c| c.stride).collect();
        let count = cells.len();
        let [low, high] = [-FARTHEST, FARTHEST].map(|v| self.network.floats(&[], &[v]));
        let clipped = self.network.node("Clip", &[sides, &low, &high], &[]);
        let grown = self.network.node("Exp", &[&clipped], &[]);
        let strides = self.network.floats(&[1, 1, count], &strides);
        let pixels = self.network.node("Mul", &[&grown, &strides], &[]);
        #[rustfmt::skip]
        let corners_to_centre = self.network.floats(&[1, 4, 4], &[
            -0.5, 0.0, 0.5, 0.0,
            0.0, -0.5, 0.0, 0.5,
            1.0, 0.0, 1.0, 0.0,
            0.0, 1.0, 0.0, 1.0,
        ]);
        let moved = self.network.node("MatMul", &[&corners_to_centre, &pixels], &[]);
        let xs = cells.iter().map(|c| c.x);
        let ys = cells.iter().map(|c| c.y);
        let offsets: Vec<f32> = xs.chain(ys).chain(std::iter::repeat_n(0.0, 2 * count)).collect();
        let offsets = self.network.floats(&[1, 4, count], &offsets);
        self.network.node("Add", &[&moved, &offsets], &[])
    }
}

/// The columns `inputs` of `weight` (out x in) for values that are not scaled yet; what the means add goes to `bias`.
fn fold(
    weight: &Values,
    inputs: std::ops::Range<usize>,
    (scaling, map): (&Scaling, usize),
    bias: &mut [f32],
) -> Vec<f32> {
    let columns = weight.shape()[1];
    let (means, gains) = (&scaling.means[map], &scaling.gains[map]);
    let mut folded = Vec::with_capacity(bias.len() * inputs.len());
    for (row, bias) in weight.data().chunks_exact(columns).zip(bias) {
        for ((value, mean), gain) in row[inputs.clone()].iter().zip(means).zip(gains) {
            folded.push(value * gain);
            *bias -= value * gain * mean;
        }
    }
    folded
}
