//! Transposed convolutions whose windows do not overlap.

use super::compile::{Compiler, Plan, Value};
use super::form::Form;
use super::program::{MapId, Work};
use crate::kernels::nchwc::Window;

impl Compiler<'_> {
    /// A convolution of single pixels to all taps' channels, and those spread over the windows.
    #[expect(clippy::too_many_arguments)] // what it computes, of what, and where
    pub(super) fn spread(
        &mut self,
        from: MapId,
        form: &Form,
        taps: (usize, usize),
        weights: &[f32],
        bias: &[f32],
        sides: [usize; 3],
        lanes: usize,
    ) -> Value {
        let [inputs, rows, columns] = form.sides();
        let outputs = sides[0];
        let channels = outputs.div_ceil(lanes) * lanes;
        let all = taps.0 * taps.1;
        let mut spaced = vec![0f32; all * channels * inputs];
        for tap in 0..all {
            let from = &weights[tap * outputs * inputs..(tap + 1) * outputs * inputs];
            spaced[tap * channels * inputs..][..from.len()].copy_from_slice(from);
        }
        let biases = (0..all * channels).map(|i| bias.get(i % channels).copied().unwrap_or(0.0)).collect();
        let between = self.draft([all * channels, rows, columns], self.kernels.lanes());
        let range = (f32::NEG_INFINITY, f32::INFINITY);
        let plan = Plan::Conv { window: Window::POINT, weights: spaced.into(), bias: biases, codes: None, range };
        self.push(plan, Some(from), between);
        let map = self.draft(sides, lanes);
        let work = Work::Spread { rows: taps.0, columns: taps.1, channels };
        self.push(Plan::Ready(work), Some(between), map)
    }
}
