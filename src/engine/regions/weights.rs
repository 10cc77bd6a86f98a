//! Stored weights on their way from the graph to the kernels.

use crate::engine::stored_weights::{StoredWeights, source};
use crate::kernels::nchwc::Codes;
use std::borrow::Cow;
use std::sync::Arc;
use tract_onnx::tract_core::internal::*;

/// Stored weights, not copied before they are needed.
#[derive(Debug, Clone)]
pub struct Weights {
    stored: Stored,
    /// Of a matrix whose rows are not those wanted: outputs and from one to the next, inputs and from one to the next.
    order: Option<[(usize, usize); 2]>,
}

#[derive(Debug, Clone)]
enum Stored {
    /// Of f32.
    Tensor(Arc<Tensor>),
    /// Of 8 bits, and what is done to them before they are used: axes named otherwise, a part taken.
    Codes(StoredWeights, Vec<Box<dyn TypedOp>>),
}

impl Weights {
    /// Those that an outlet gives, in the order in which they are stored; `None` if it is not known before a run what it gives.
    pub fn of(model: &TypedModel, outlet: OutletId) -> TractResult<Option<Self>> {
        if let Some(tensor) = &model.outlet_fact(outlet)?.konst {
            let plain = tensor.try_as_plain_ram().is_ok_and(|t| t.as_slice::<f32>().is_ok());
            return Ok(plain.then(|| Weights { stored: Stored::Tensor(tensor.clone()), order: None }));
        }
        let stored = source(model, outlet).and_then(|(id, views)| {
            let changes = views.into_iter().rev().map(|node| node.op.clone()).collect();
            model.node(id).op_as::<StoredWeights>().map(|op| Stored::Codes(op.clone(), changes))
        });
        Ok(stored.map(|stored| Weights { stored, order: None }))
    }

    /// A matrix of `outputs` rows of `inputs` values, each with the elements from one to the next as they are stored.
    pub fn matrix(self, outputs: (usize, usize), inputs: (usize, usize)) -> Self {
        let in_order = inputs.1 == 1 && outputs.1 == inputs.0;
        Weights { order: (!in_order).then_some([outputs, inputs]), ..self }
    }

    /// Those of `outputs` channels in 8 bits, if they have no more.
    pub fn codes(&self, outputs: usize) -> Option<Codes> {
        if let Stored::Codes(weights, changes) = &self.stored {
            let stays = |op: Option<&AxisOp>| matches!(op, Some(AxisOp::Add(_) | AxisOp::Rm(_) | AxisOp::Reshape(..)));
            let in_place = changes.iter().all(|change| stays(change.downcast_ref()));
            let step = self.order.map_or_else(|| weights.count() / outputs.max(1), |[(_, step), _]| step);
            if let Some((codes, scales)) = weights.by_channel(outputs, step).filter(|_| in_place) {
                let codes = match self.order {
                    Some(order) => Arc::new(ordered(&codes, order)),
                    None => codes,
                };
                return Codes::new(codes, scales);
            }
        }
        Codes::of(&self.values().ok()?, outputs)
    }

    /// Output channel after output channel.
    pub fn values(&self) -> TractResult<Cow<'_, [f32]>> {
        let stored = match &self.stored {
            Stored::Tensor(tensor) => Cow::Borrowed(tensor.try_as_plain_ram()?.as_slice::<f32>()?),
            Stored::Codes(codes, changes) => {
                let mut value = codes.floats()?.into_tvalue();
                for change in changes {
                    let changed = change.eval_out_of_plan(tvec!(value))?.and_then(|mut values| values.pop());
                    value = changed.with_context(|| format!("{} of stored weights", change.name()))?;
                }
                Cow::Owned(value.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
            }
        };
        Ok(match self.order {
            Some(order) => Cow::Owned(ordered(&stored, order)),
            None => stored,
        })
    }
}

/// A matrix by rows, one for each output; `order` as in [`Weights`].
fn ordered<T: Copy + Default>(stored: &[T], order: [(usize, usize); 2]) -> Vec<T> {
    let [(outputs, per_output), (inputs, per_input)] = order;
    let mut values = vec![T::default(); outputs * inputs];
    // Some rows at a time: of one alone, each value would lie in a cache line of its own.
    for (part, rows) in values.chunks_mut((16 * inputs).max(1)).enumerate() {
        for input in 0..inputs {
            let column = rows.iter_mut().skip(input).step_by(inputs).enumerate();
            let at = 16 * part * per_output + input * per_input;
            column.for_each(|(output, value)| *value = stored[at + output * per_output]);
        }
    }
    values
}

impl From<Vec<f32>> for Weights {
    fn from(values: Vec<f32>) -> Self {
        let tensor = Tensor::from(tract_ndarray::Array1::from_vec(values)).into_arc_tensor();
        Weights { stored: Stored::Tensor(tensor), order: None }
    }
}
