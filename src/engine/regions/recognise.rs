//! Which nodes of tract's typed graph a region can compute, in the terms of the kernels.

use super::form::Form;
use super::program::Mix;
use super::weights::Weights;
use crate::engine::fake_quantize::FakeQuantize;
use crate::kernels::nchwc::{Elementwise, Quantization, Window};
use std::collections::HashMap;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{DataFormat, LeakyRelu, NearestUpsample, Reduce, Reducer};

/// Taps on an axis, and pixels between them, that a window may have: far more than any network's, and no overflow.
const MOST_STEPS: usize = 1 << 12;

/// What a node computes.
#[derive(Debug)]
pub enum Kind {
    /// Weights are OIHW.
    Conv {
        window: Window,
        weights: Weights,
        bias: Vec<f32>,
        /// Whether what it reads has been rounded to 8 bits.
        rounded: bool,
    },
    Depthwise {
        window: Window,
        weights: Weights,
        bias: Vec<f32>,
    },
    /// A transposed convolution whose windows (rows, columns) do not overlap; weights are taps x output x input channels.
    Spread {
        taps: (usize, usize),
        weights: Vec<f32>,
        bias: Vec<f32>,
    },
    MaxPool(Window),
    Total,
    Resample {
        rows: Vec<Mix>,
        columns: Vec<Mix>,
    },
    /// Operations one after the other, with one stored value a channel where they are binary.
    Each(Vec<(Elementwise, Vec<f32>)>),
    /// To codes of one byte and back.
    FakeQuantize(Quantization),
    /// A binary operation of two maps.
    Both(Elementwise),
    /// The same; the second map has a single pixel, which goes with all of the first.
    Gate(Elementwise),
    Concat,
    /// From this channel on.
    Slice(usize),
    /// The same map with its axes named otherwise.
    View,
}

/// A node that a region can compute.
#[derive(Debug)]
pub struct Recognised {
    pub kind: Kind,
    /// The values that it reads, stored ones left out.
    pub inputs: Vec<(OutletId, Form)>,
    pub output: Form,
}

impl Recognised {
    /// Whether it is worth a region: the others only come along.
    pub fn is_anchor(&self) -> bool {
        match &self.kind {
            // A sum of weighted channels is over before they are in blocks.
            Kind::Conv { bias, .. } => bias.len() > 1,
            kind => matches!(kind, Kind::Depthwise { .. } | Kind::Spread { .. } | Kind::MaxPool(_)),
        }
    }
}

/// The forms of the values that nodes which were recognised so far compute or read.
pub type Forms = HashMap<OutletId, Form>;

/// What `node` computes, if a region can.
pub fn recognise(model: &TypedModel, node: &TypedNode, forms: &Forms) -> TractResult<Option<Recognised>> {
    if node.outputs.len() != 1 || node.outputs[0].fact.datum_type != f32::datum_type() {
        return Ok(None);
    }
    let Some(shape) = node.outputs[0].fact.shape.as_concrete() else { return Ok(None) };
    let look = Look { model, node, forms, shape };
    if let Some(op) = node.op_as::<Conv>() {
        look.conv(op)
    } else if let Some(op) = node.op_as::<EinSum>() {
        look.product(op)
    } else if let Some(op) = node.op_as::<Deconv>() {
        look.deconv(op)
    } else if let Some(op) = node.op_as::<MaxPool>() {
        look.max_pool(op)
    } else if let Some(op) = node.op_as::<SumPool>() {
        look.sum_pool(op)
    } else if let Some(op) = node.op_as::<Reduce>() {
        look.reduce(op)
    } else if let Some(op) = node.op_as::<ElementWiseOp>() {
        look.unary(op)
    } else if let Some(op) = node.op_as::<TypedBinOp>() {
        look.binary(op)
    } else if let Some(op) = node.op_as::<TypedConcat>() {
        look.concat(op)
    } else if let Some(op) = node.op_as::<Slice>() {
        look.slice(op)
    } else if let Some(op) = node.op_as::<AxisOp>() {
        look.axes(op)
    } else if node.op_is::<NearestUpsample>() || node.op().name() == "Resize" {
        look.resize()
    } else {
        Ok(None)
    }
}

pub(super) struct Look<'a> {
    pub model: &'a TypedModel,
    pub node: &'a TypedNode,
    pub forms: &'a Forms,
    pub shape: &'a [usize],
}

impl Look<'_> {
    pub(super) fn found(
        &self,
        kind: Kind,
        inputs: Vec<(OutletId, Form)>,
        output: Form,
    ) -> TractResult<Option<Recognised>> {
        // Every axis of more than one element has to mean something, and something has to be there.
        let empty = output.len() == 0 || inputs.iter().any(|(_, form)| form.len() == 0);
        if empty || output.shape != self.shape || output.sides().iter().product::<usize>() != output.len() {
            return Ok(None);
        }
        Ok(Some(Recognised { kind, inputs, output }))
    }

    pub(super) fn fact(&self, input: usize) -> TractResult<&TypedFact> {
        self.model.outlet_fact(self.node.inputs[input])
    }

    /// The stored weights that an input is.
    pub(super) fn weights(&self, input: usize) -> TractResult<Option<Weights>> {
        Weights::of(self.model, self.node.inputs[input])
    }

    /// Their values.
    fn stored(&self, input: usize) -> TractResult<Option<Vec<f32>>> {
        self.weights(input)?.map(|weights| Ok(weights.values()?.into_owned())).transpose()
    }

    /// The concrete shape of an input of f32.
    pub(super) fn shape_of(&self, input: usize) -> TractResult<Option<&[usize]>> {
        let fact = self.fact(input)?;
        Ok(if fact.datum_type == f32::datum_type() { fact.shape.as_concrete() } else { None })
    }

    /// The form of an input, if it has one so far.
    pub(super) fn form(&self, input: usize) -> Option<&Form> {
        self.forms.get(&self.node.inputs[input])
    }

    /// One value a channel, out of one or as many stored ones.
    fn per_channel(&self, input: usize, channels: usize) -> TractResult<Option<Vec<f32>>> {
        Ok(self.stored(input)?.and_then(|values| match values.len() {
            1 => Some(vec![values[0]; channels]),
            n => (n == channels).then_some(values),
        }))
    }

    /// The axes of a map of one picture. tract may have moved the channels behind the sides.
    fn axes_of(&self, format: DataFormat, shape: &[usize]) -> Option<Form> {
        let pictures = usize::from(matches!(format, DataFormat::NCHW | DataFormat::NHWC));
        let last = matches!(format, DataFormat::HWC | DataFormat::NHWC);
        if shape.get(..pictures)?.iter().any(|n| *n != 1) {
            return None;
        }
        let first = pictures + usize::from(!last);
        let (rows, columns) = match shape.len().checked_sub(pictures + 1)? {
            1 => (None, Some(first)),
            2 => (Some(first), Some(first + 1)),
            _ => return None,
        };
        let channels = if last { shape.len() - 1 } else { pictures };
        Some(Form { shape: shape.to_vec(), channels, rows, columns, merged: None })
    }

    /// The forms of the first input and of the output of a convolution or a pool.
    fn spatial(&self, spec: &PoolSpec) -> TractResult<Option<(Form, Form)>> {
        let Some(shape) = self.shape_of(0)? else { return Ok(None) };
        let (Some(input), Some(output)) =
            (self.axes_of(spec.data_format, shape), self.axes_of(spec.data_format, self.shape))
        else {
            return Ok(None);
        };
        Ok(match self.form(0) {
            Some(known) if !known.agrees(&input) => None,
            Some(known) => Some((known.clone(), output)),
            None => Some((input, output)),
        })
    }

    fn window(&self, spec: &PoolSpec, input: &Form, output: &Form) -> Option<Window> {
        let two = |v: &[usize], missing: usize| match *v {
            [columns] => Some([missing, columns]),
            [rows, columns] => Some([rows, columns]),
            _ => None,
        };
        let [_, rows, columns] = input.sides();
        let sides: &[usize] = if spec.rank() == 1 { &[columns] } else { &[rows, columns] };
        let padding = spec.computed_padding(sides);
        let before: Vec<usize> = padding.iter().map(|p| p.pad_before).collect();
        let mut window = Window {
            kernel: two(&spec.kernel_shape, 1)?,
            stride: two(&spec.strides(), 1)?,
            dilation: two(&spec.dilations(), 1)?,
            before: two(&before, 0)?,
            after: [0, 0],
        };
        if [window.kernel, window.stride, window.dilation].iter().flatten().any(|n| !(1..=MOST_STEPS).contains(n)) {
            return None;
        }
        let [_, out_rows, out_columns] = output.sides();
        // What the last window needs; some paddings name more than any window reaches.
        for (axis, (side, outputs)) in [(rows, out_rows), (columns, out_columns)].into_iter().enumerate() {
            let end =
                (outputs.max(1) - 1) * window.stride[axis] + (window.kernel[axis] - 1) * window.dilation[axis] + 1;
            window.after[axis] = end.saturating_sub(window.before[axis] + side);
        }
        Some(window)
    }

    fn conv(&self, op: &Conv) -> TractResult<Option<Recognised>> {
        let plain = op.q_params.is_none() && op.kernel_fmt == KernelFormat::OIHW && self.node.inputs.len() == 3;
        let Some((input, output)) = self.spatial(&op.pool_spec)?.filter(|_| plain) else { return Ok(None) };
        let Some(window) = self.window(&op.pool_spec, &input, &output) else { return Ok(None) };
        let [inputs, ..] = input.sides();
        let [outputs, ..] = output.sides();
        let (Some(weights), Some(bias)) = (self.weights(1)?, self.per_channel(2, outputs)?) else { return Ok(None) };
        let stored = self.shape_of(1)?.map_or(0, |sides| sides.iter().product());
        if stored * op.group != outputs * inputs * window.kernel[0] * window.kernel[1] {
            return Ok(None);
        }
        let kind = match op.group {
            1 => Kind::Conv { window, weights, bias, rounded: self.is_rounded(0) },
            n if n == inputs && n == outputs => Kind::Depthwise { window, weights, bias },
            _ => return Ok(None),
        };
        self.found(kind, vec![(self.node.inputs[0], input)], output)
    }

    /// Whether an input has been rounded to 8 bits, whatever its axes were called then.
    pub(super) fn is_rounded(&self, input: usize) -> bool {
        let mut node = self.model.node(self.node.inputs[input].node);
        while node.op_is::<AxisOp>() {
            node = self.model.node(node.inputs[0].node);
        }
        node.op_as::<ElementWiseOp>().is_some_and(|op| op.0.is::<FakeQuantize>())
    }

    fn deconv(&self, op: &Deconv) -> TractResult<Option<Recognised>> {
        let spec = &op.pool_spec;
        let apart = spec.strides() == spec.kernel_shape.as_slice()
            && spec.dilations().iter().all(|&d| d == 1)
            && op.adjustments.iter().all(|&a| a == 0)
            && (0..spec.rank()).all(|axis| spec.padding.valid_dim(axis, false));
        if !apart || op.group != 1 || op.kernel_format != KernelFormat::OIHW || spec.rank() != 2 {
            return Ok(None);
        }
        let Some((input, output)) = self.spatial(spec)? else { return Ok(None) };
        let ([inputs, rows, columns], [outputs, out_rows, out_columns]) = (input.sides(), output.sides());
        let taps = (spec.kernel_shape[0], spec.kernel_shape[1]);
        let (Some(stored), Some(bias)) = (self.stored(1)?, self.per_channel(2, outputs)?) else { return Ok(None) };
        let all = taps.0 * taps.1;
        if stored.len() != inputs * outputs * all || (out_rows, out_columns) != (rows * taps.0, columns * taps.1) {
            return Ok(None);
        }
        let order = (0..all).flat_map(|t| (0..outputs).flat_map(move |o| (0..inputs).map(move |i| (t, o, i))));
        let weights = order.map(|(t, o, i)| stored[(o * inputs + i) * all + t]).collect();
        self.found(Kind::Spread { taps, weights, bias }, vec![(self.node.inputs[0], input)], output)
    }

    fn max_pool(&self, op: &MaxPool) -> TractResult<Option<Recognised>> {
        if op.with_index_outputs.is_some() {
            return Ok(None);
        }
        let Some((input, output)) = self.spatial(&op.pool_spec)? else { return Ok(None) };
        let Some(window) = self.window(&op.pool_spec, &input, &output) else { return Ok(None) };
        self.found(Kind::MaxPool(window), vec![(self.node.inputs[0], input)], output)
    }

    /// A depthwise convolution with equal weights.
    fn sum_pool(&self, op: &SumPool) -> TractResult<Option<Recognised>> {
        let Some((input, output)) = self.spatial(&op.pool_spec)? else { return Ok(None) };
        let Some(window) = self.window(&op.pool_spec, &input, &output) else { return Ok(None) };
        if (window.before, window.after) != ([0, 0], [0, 0]) {
            return Ok(None); // how many pixels a window has would depend on where it is
        }
        let taps = window.kernel[0] * window.kernel[1];
        let weight = if op.normalize { 1.0 / taps as f32 } else { 1.0 };
        let [channels, ..] = input.sides();
        let weights = vec![weight; channels * taps].into();
        let kind = Kind::Depthwise { window, weights, bias: vec![0.0; channels] };
        self.found(kind, vec![(self.node.inputs[0], input)], output)
    }

    fn reduce(&self, op: &Reduce) -> TractResult<Option<Recognised>> {
        let Some(input) = self.form(0).filter(|f| op.reducer == Reducer::Sum && f.merged.is_none()) else {
            return Ok(None);
        };
        let pixels = |axis: usize| Some(axis) == input.rows || Some(axis) == input.columns;
        let gone = |axis: Option<usize>| axis.is_none_or(|a| op.axes.contains(&a) || input.shape[a] == 1);
        if !op.axes.iter().all(|&a| pixels(a) || input.shape[a] == 1 && a != input.channels)
            || !gone(input.rows)
            || !gone(input.columns)
        {
            return Ok(None);
        }
        let output = Form { shape: self.shape.to_vec(), ..input.clone() };
        self.found(Kind::Total, vec![(self.node.inputs[0], input.clone())], output)
    }

    fn unary(&self, op: &ElementWiseOp) -> TractResult<Option<Recognised>> {
        let Some(input) = self.form(0).filter(|_| op.1.is_none()) else { return Ok(None) };
        let inputs = vec![(self.node.inputs[0], input.clone())];
        if let Some(FakeQuantize { scale, zero_point }) = op.0.downcast_ref() {
            let quantization = Quantization { scale: *scale, zero_point: *zero_point };
            return self.found(Kind::FakeQuantize(quantization), inputs, input.clone());
        }
        let kind = match op.0.name().as_str() {
            "Sigmoid" => Elementwise::Sigmoid,
            "Silu" => Elementwise::Silu,
            "HardSwish" => Elementwise::HardSwish,
            "GeluExact" => Elementwise::Gelu,
            "Neg" => Elementwise::Affine { scale: -1.0, offset: 0.0 },
            "LeakyRelu" => match op.0.downcast_ref::<LeakyRelu>() {
                Some(leaky) => Elementwise::LeakyRelu { slope: leaky.alpha },
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.found(Kind::Each(vec![(kind, Vec::new())]), inputs, input.clone())
    }

    fn binary(&self, op: &TypedBinOp) -> TractResult<Option<Recognised>> {
        if op.1.is_some() || self.node.inputs.len() != 2 {
            return Ok(None);
        }
        let name = op.0.name();
        match (self.fact(0)?.konst.is_some(), self.fact(1)?.konst.is_some()) {
            (false, false) => self.binary_of_maps(name),
            (first, second) if first != second => self.binary_with_stored(name, usize::from(first)),
            _ => Ok(None),
        }
    }

    fn binary_of_maps(&self, name: &str) -> TractResult<Option<Recognised>> {
        let op = match name {
            "Add" => Elementwise::Add,
            "Sub" => Elementwise::Subtract,
            "Mul" => Elementwise::Multiply,
            _ => return Ok(None),
        };
        let (Some(a), Some(b)) = (self.shape_of(0)?, self.shape_of(1)?) else { return Ok(None) };
        let Some(known) = self.form(0).or(self.form(1)) else { return Ok(None) };
        let as_known = |input: usize, shape: &[usize]| match self.form(input) {
            Some(form) => Some(form.clone()),
            None => known.with_shape(shape),
        };
        if a.len() != b.len() {
            return Ok(None);
        }
        let (Some(a), Some(b)) = (as_known(0, a), as_known(1, b)) else { return Ok(None) };
        let forms = [a, b];
        if forms[0].channels != forms[1].channels {
            return Ok(None);
        }
        if forms.iter().all(|form| form.shape == self.shape) {
            if !forms[0].agrees(&forms[1]) {
                return Ok(None);
            }
            let inputs = self.node.inputs.iter().copied().zip(forms.iter().cloned()).collect();
            return self.found(Kind::Both(op), inputs, Form { shape: self.shape.to_vec(), ..forms[0].clone() });
        }
        let wide = usize::from(forms[0].sides()[1..] == [1, 1]);
        let [channels, ..] = forms[wide].sides();
        if forms[wide].shape != self.shape
            || forms[1 - wide].sides() != [channels, 1, 1]
            || (wide == 1 && op == Elementwise::Subtract)
        {
            return Ok(None);
        }
        let inputs = [wide, 1 - wide].map(|i| (self.node.inputs[i], forms[i].clone())).to_vec();
        self.found(Kind::Gate(op), inputs, Form { shape: self.shape.to_vec(), ..forms[wide].clone() })
    }

    fn binary_with_stored(&self, name: &str, data: usize) -> TractResult<Option<Recognised>> {
        let Some(input) = self.form(data) else { return Ok(None) };
        let (Some(stored), Some(shape)) = (self.stored(1 - data)?, self.shape_of(1 - data)?) else { return Ok(None) };
        if input.shape != self.shape {
            return Ok(None);
        }
        let affine = |scale, offset| (Elementwise::Affine { scale, offset }, Vec::new());
        let ops = match *stored.as_slice() {
            [value] => vec![match (name, data) {
                ("Add", _) => affine(1.0, value),
                ("Mul", _) => affine(value, 0.0),
                ("Sub", 0) => affine(1.0, -value),
                ("Sub", _) => affine(-1.0, value),
                ("Div", 0) if (1.0 / value).is_normal() => affine(1.0 / value, 0.0),
                ("Max", _) => (Elementwise::Clamp { low: value, high: f32::INFINITY }, Vec::new()),
                ("Min", _) => (Elementwise::Clamp { low: f32::NEG_INFINITY, high: value }, Vec::new()),
                _ => return Ok(None),
            }],
            _ => {
                let along = shape.len() == input.shape.len()
                    && (0..shape.len()).all(|a| shape[a] == if a == input.channels { input.shape[a] } else { 1 });
                if !along {
                    return Ok(None);
                }
                match (name, data) {
                    ("Add", _) => vec![(Elementwise::Add, stored)],
                    ("Mul", _) => vec![(Elementwise::Multiply, stored)],
                    ("Sub", 0) => vec![(Elementwise::Subtract, stored)],
                    ("Sub", _) => vec![affine(-1.0, 0.0), (Elementwise::Add, stored)],
                    ("Div", 0) if stored.iter().all(|v| (1.0 / v).is_normal()) => {
                        vec![(Elementwise::Multiply, stored.iter().map(|v| 1.0 / v).collect())]
                    }
                    _ => return Ok(None),
                }
            }
        };
        self.found(Kind::Each(ops), vec![(self.node.inputs[data], input.clone())], input.clone())
    }

    fn concat(&self, op: &TypedConcat) -> TractResult<Option<Recognised>> {
        let Some(known) = (0..self.node.inputs.len()).find_map(|i| self.form(i)) else { return Ok(None) };
        if op.axis != known.channels {
            return Ok(None);
        }
        let mut inputs = Vec::new();
        for i in 0..self.node.inputs.len() {
            let Some(shape) = self.shape_of(i)? else { return Ok(None) };
            let Some(form) = known.with_shape(shape) else { return Ok(None) };
            if self.fact(i)?.konst.is_some() || self.form(i).is_some_and(|f| *f != form) {
                return Ok(None);
            }
            inputs.push((self.node.inputs[i], form));
        }
        let Some(output) = known.with_shape(self.shape) else { return Ok(None) };
        let same = inputs.iter().all(|(_, form)| form.sides()[1..] == output.sides()[1..]);
        if same { self.found(Kind::Concat, inputs, output) } else { Ok(None) }
    }

    fn slice(&self, op: &Slice) -> TractResult<Option<Recognised>> {
        let Some(input) = self.form(0).filter(|f| f.channels == op.axis) else { return Ok(None) };
        let Ok(start) = op.start.to_usize() else { return Ok(None) };
        let output = Form { shape: self.shape.to_vec(), ..input.clone() };
        self.found(Kind::Slice(start), vec![(self.node.inputs[0], input.clone())], output)
    }

    fn axes(&self, op: &AxisOp) -> TractResult<Option<Recognised>> {
        let Some(input) = self.form(0) else { return Ok(None) };
        let shape = self.shape.to_vec();
        let inputs = vec![(self.node.inputs[0], input.clone())];
        let moved = |axis: usize| match *op {
            AxisOp::Add(at) => Some(axis + usize::from(axis >= at)),
            AxisOp::Rm(at) => (axis != at).then(|| axis - usize::from(axis > at)),
            AxisOp::Move(from, to) if axis == from => Some(to),
            AxisOp::Move(from, to) if from < axis && axis <= to => Some(axis - 1),
            AxisOp::Move(from, to) if to <= axis && axis < from => Some(axis + 1),
            AxisOp::Move(..) => Some(axis),
            AxisOp::Reshape(..) => None,
        };
        // Rows and columns as one axis of pixels.
        if let AxisOp::Reshape(at, from, to) = op {
            let merges = from.len() == 2 && to.len() == 1 && input.rows == Some(*at) && input.columns == Some(at + 1);
            if !merges || input.merged.is_some() {
                return Ok(None);
            }
            let [_, rows, _] = input.sides();
            let channels = input.channels - usize::from(input.channels > *at);
            let output = Form { shape, channels, rows: None, columns: Some(*at), merged: Some(rows) };
            return self.found(Kind::View, inputs, output);
        }
        let Some(channels) = moved(input.channels) else { return Ok(None) };
        let (rows, columns) = (input.rows.and_then(moved), input.columns.and_then(moved));
        if input.merged.is_some() && columns.is_none() {
            return Ok(None);
        }
        self.found(Kind::View, inputs, Form { shape, channels, rows, columns, merged: input.merged })
    }
}
