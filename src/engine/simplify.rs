//! tract's simplification of a graph, without one of its passes.

use super::stored_weights;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::optim::Optimizer;

/// The pass that looks for an order of axes in which fewer of them are moved about, and tries each on the whole graph: half the
/// time of a simplification. Regions compute in blocks whatever the axes are called, and what they leave was no faster with it.
const AXES: &str = "ChangeAxes";

/// `model` as tract simplifies it, but for the order of its axes.
pub fn simplified(mut model: TypedModel) -> TractResult<TypedModel> {
    passes().optimize(&mut model)?;
    if stored_weights::expand_computed(&mut model)? {
        passes().optimize(&mut model)?;
    }
    Ok(model)
}

/// The same, in the operators that tract runs.
pub fn optimized(model: TypedModel) -> TractResult<TypedModel> {
    let mut model = simplified(model)?;
    model.optimize()?;
    Ok(model)
}

fn passes() -> Optimizer {
    let mut optimizer = Optimizer::declutter();
    optimizer.passes.retain(|pass| !format!("{pass:?}").starts_with(AXES));
    optimizer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tract gives its passes no other name than that of their type.
    #[test]
    fn one_pass_is_left_out() {
        assert_eq!(passes().passes.len() + 1, Optimizer::declutter().passes.len());
    }
}
