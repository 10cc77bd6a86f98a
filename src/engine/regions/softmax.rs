//! Softmax with an exact exponential: tract's is coarse (a row over 18,710 classes summed to 0.995), and slow where the axis
//! is not the last.

use crate::kernels::isa::isa;
use crate::kernels::nchwc::Kernels;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

/// Softmax of f32 over one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExactSoftmax {
    axis: usize,
}

/// The operator to stand for `node`, if that is a softmax of f32 over one axis.
pub fn exact(model: &TypedModel, node: &TypedNode) -> Option<ExactSoftmax> {
    let op = node.op_as::<Softmax>()?;
    let is_f32 = model.outlet_fact(*node.inputs.first()?).is_ok_and(|f| f.datum_type == f32::datum_type());
    let plain = is_f32 && op.quant_output_dt.is_none() && matches!(op.kind, SoftmaxKind::Softmax);
    match op.axes.as_slice() {
        [axis] if plain => Some(ExactSoftmax { axis: *axis }),
        _ => None,
    }
}

impl Op for ExactSoftmax {
    fn name(&self) -> StaticName {
        "Softmax".into()
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for ExactSoftmax {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        // In place, where nobody else reads the input.
        let mut tensor = inputs.pop().context("softmax of nothing")?.into_tensor();
        let (len, inner) = (tensor.shape()[self.axis], tensor.shape()[self.axis + 1..].iter().product());
        Kernels::of(isa()).softmax(tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?, len, inner);
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for ExactSoftmax {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].datum_type.fact(inputs[0].shape.clone())))
    }

    as_op!();
}
