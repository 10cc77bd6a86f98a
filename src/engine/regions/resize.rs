//! Resizing, whatever the mode: its weights are asked of the operator itself.

use super::form::Form;
use super::program::Mix;
use super::recognise::{Kind, Look, Recognised};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::NearestUpsample;

/// The longest side whose resizing is found out with unit vectors; it takes the third power of it.
const MAX_PROBED: usize = 160;

impl Look<'_> {
    /// Resizing is linear and treats rows and columns one by one: unit vectors tell the weights of each.
    pub(super) fn resize(&self) -> TractResult<Option<Recognised>> {
        let Some(input) = self.form(0) else { return Ok(None) };
        let output = Form { shape: self.shape.to_vec(), ..input.clone() };
        let ([channels, rows, columns], [out_channels, out_rows, out_columns]) = (input.sides(), output.sides());
        if input.shape.len() != 4
            || input.channels != 1
            || channels != out_channels
            || (input.rows, input.columns) != (Some(2), Some(3))
        {
            return Ok(None);
        }
        let inputs = vec![(self.node.inputs[0], input.clone())];
        if let Some(op) = self.node.op_as::<NearestUpsample>() {
            let repeat = |axis: usize, outputs: usize| (0..outputs).map(|i| vec![(i / op.scales[axis], 1.0)]).collect();
            let kind = Kind::Resample { rows: repeat(2, out_rows), columns: repeat(3, out_columns) };
            return self.found(kind, inputs, output);
        }
        // The channel axis carries the unit vectors.
        if rows.max(columns) > MAX_PROBED {
            return Ok(None);
        }
        let mut others = TVec::new();
        for i in 1..self.node.inputs.len() {
            match &self.fact(i)?.konst {
                Some(tensor) => others.push(tensor.clone().into_tvalue()),
                None => return Ok(None),
            }
        }
        // Sizes instead of scales would need the probe's own.
        if others.len() > 1 || others.first().is_some_and(|t| t.datum_type() != f32::datum_type()) {
            return Ok(None);
        }
        let probe = |side: usize, axis: usize, outputs: usize| -> TractResult<Option<Vec<Mix>>> {
            let mut shape = [1, side, 1, 1];
            shape[axis] = side;
            let mut units = vec![0f32; side * side];
            (0..side).for_each(|i| units[i * side + i] = 1.0);
            let mut values: TVec<TValue> = tvec!(Tensor::from_shape(&shape, &units)?.into());
            values.extend(others.iter().cloned());
            let Some(found) = self.node.op().eval_out_of_plan(values)? else { return Ok(None) };
            let found = found[0].to_plain_array_view::<f32>()?;
            let (found_shape, repeats) = (found.shape().to_vec(), found.len() / side.max(1) / outputs.max(1));
            // A scale below one may leave nothing of an axis of one element.
            if repeats == 0
                || found_shape[1] != side
                || found_shape[axis] != outputs
                || repeats * side * outputs != found.len()
            {
                return Ok(None);
            }
            let at = |unit: usize, place: usize| {
                if axis == 2 { found[[0, unit, place, 0]] } else { found[[0, unit, 0, place]] }
            };
            let mix = |place: usize| (0..side).map(|unit| (unit, at(unit, place))).filter(|(_, w)| *w != 0.0).collect();
            Ok(Some((0..outputs).map(mix).collect()))
        };
        let (Some(rows), Some(columns)) = (probe(rows, 2, out_rows)?, probe(columns, 3, out_columns)?) else {
            return Ok(None);
        };
        self.found(Kind::Resample { rows, columns }, inputs, output)
    }
}
