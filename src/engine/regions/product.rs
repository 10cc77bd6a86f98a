//! Matrix products as convolutions.

use super::form::Form;
use super::recognise::{Kind, Look, Recognised};
use crate::kernels::nchwc::Window;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

impl Look<'_> {
    /// A matrix product with a stored matrix, which is a convolution with a window of one pixel.
    pub(super) fn product(&self, op: &EinSum) -> TractResult<Option<Recognised>> {
        if op.q_params.is_some() || self.node.inputs.len() != 2 {
            return Ok(None);
        }
        let (first, second) = (self.weights(0)?, self.weights(1)?);
        let (weight_slot, Some(stored)) = (usize::from(first.is_none()), first.or(second)) else { return Ok(None) };
        let data_slot = 1 - weight_slot;
        let Some(data) = self.shape_of(data_slot)?.map(<[usize]>::to_vec) else { return Ok(None) };
        let Some(weight_shape) = self.shape_of(weight_slot)?.map(<[usize]>::to_vec) else { return Ok(None) };
        let (mut inner, mut outer) = (None, None);
        // Where each axis of the data stands in the output.
        let mut goes = vec![None; data.len()];
        for axis in op.axes.iter_all_axes() {
            let (d, w, o) = (&axis.inputs[data_slot], &axis.inputs[weight_slot], &axis.outputs[0]);
            match (d.as_slice(), w.as_slice(), o.as_slice()) {
                ([d], [w], []) if inner.is_none() => inner = Some((*d, *w)),
                ([], [w], [o]) if outer.is_none() => outer = Some((*w, *o)),
                ([d], [], [o]) => goes[*d] = Some(*o),
                ([d], [], []) if data[*d] == 1 => (),
                ([], [w], []) if weight_shape[*w] == 1 => (),
                ([], [], [_]) => (),
                _ => return Ok(None),
            }
        }
        let (Some((channels, inner)), Some((outer, out_channels))) = (inner, outer) else { return Ok(None) };
        let input = match self.form(data_slot) {
            Some(known) if known.channels != channels => return Ok(None),
            Some(known) => known.clone(),
            None => match Form::around(&data, channels) {
                Some(form) => form,
                None => return Ok(None),
            },
        };
        let mut output = Form {
            shape: self.shape.to_vec(),
            channels: out_channels,
            rows: None,
            columns: None,
            merged: input.merged,
        };
        for (to, from) in [(&mut output.rows, input.rows), (&mut output.columns, input.columns)] {
            let Some(axis) = from else { continue };
            match goes[axis] {
                Some(place) => *to = Some(place),
                None if data[axis] == 1 => (),
                None => return Ok(None),
            }
        }
        if output.sides()[1..] != input.sides()[1..] || output.len() != output.sides().iter().product::<usize>() {
            return Ok(None);
        }
        let stride = |axis: usize| weight_shape[axis + 1..].iter().product::<usize>();
        let (inputs, outputs) = (weight_shape[inner], weight_shape[outer]);
        if inputs != input.sides()[0] || outputs != output.sides()[0] {
            return Ok(None);
        }
        let weights = stored.matrix((outputs, stride(outer)), (inputs, stride(inner)));
        let rounded = self.is_rounded(data_slot);
        let kind = Kind::Conv { window: Window::POINT, weights, bias: vec![0.0; outputs], rounded };
        self.found(kind, vec![(self.node.inputs[data_slot], input)], output)
    }
}
