//! Work whose weights are in the order of the kernels.

use super::compile::{Compiler, Plan};
use super::program::{MapId, Work};
use crate::kernels::nchwc::{Conv, Depthwise, Layout, MaxPool, Winograd};

impl Compiler<'_> {
    /// What a step does that reads the map `input` and writes `output`. `None` if it reads nothing though it should, or its
    /// weights cannot be had.
    pub(super) fn packed(&self, plan: Plan, input: Option<(MapId, Layout)>, output: Option<MapId>) -> Option<Work> {
        let kernels = self.kernels;
        Some(match (plan, input) {
            (Plan::Ready(work), _) => work,
            (Plan::Conv { window, weights, bias, codes, range }, Some((map, input))) => {
                let from = &self.drafts[map];
                let filled = from.filled.as_deref();
                if let Some((_, quantization)) = from.codes {
                    let codes = codes.as_deref()?;
                    let conv = Conv::of_codes(kernels, input, filled, window, codes, &bias, quantization)?;
                    return Some(Work::Conv(Box::new(conv.within(range))));
                }
                let weights = weights.values().ok()?;
                if Winograd::pays(kernels, &input, filled, &window, self.sides(output?)) {
                    let conv = Winograd::new(kernels, input, filled, window, &weights, &bias);
                    return Some(Work::Winograd(Box::new(conv.within(range))));
                }
                Work::Conv(Box::new(Conv::new(kernels, input, filled, window, &weights, &bias).within(range)))
            }
            (Plan::Depthwise { window, weights, bias, range }, Some((_, input))) => {
                let conv = Depthwise::new(kernels, input, window, &weights.values().ok()?, &bias);
                Work::Depthwise(Box::new(conv.within(range)))
            }
            (Plan::MaxPool(window), Some((_, input))) => Work::MaxPool(Box::new(MaxPool::new(kernels, input, window))),
            (_, None) => return None,
        })
    }
}
