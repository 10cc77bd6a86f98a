//! A value and what has been made of it, as in `x * sigmoid(x)` with something in between, as one step instead of two.

use super::compile::{Compiler, Plan, Planned, Value};
use super::program::{MapId, Other, Work};
use crate::kernels::nchwc::Elementwise;
use tract_onnx::tract_core::internal::OutletId;

impl Compiler<'_> {
    /// `op` of a value and a copy of it that had other things done to it, by the step that computes the value: it keeps a line
    /// of it meanwhile. `None` if the two are something else, or anybody else wants the value as it is.
    pub(super) fn with_itself(&mut self, op: Elementwise, outlets: [OutletId; 2], values: [Value; 2]) -> Option<Value> {
        if !matches!(op, Elementwise::Multiply | Elementwise::Add) {
            return None;
        }
        let (x, y) = [(0, 1), (1, 0)].into_iter().find(|(x, y)| self.is_copy_of(values[*x], values[*y]))?;
        let (step, copy) = (values[x].step?, values[y].step?);
        let alone = self.region.reads.get(&outlets[x]) == Some(&2)
            && !self.region.outputs.contains(&outlets[x])
            && self.is_read_once(outlets[y])
            && self.is_only_of(outlets[x], values[x].map, copy);
        // One line at a time is kept.
        let plain = |other: &Other| matches!(other, Other::None | Other::Stored(_));
        if !alone || !self.steps[copy].epilogue.iter().all(|(_, other)| plain(other)) {
            return None;
        }
        let nothing =
            Planned { plan: Plan::Ready(Work::Total), input: None, output: None, codes: None, epilogue: Vec::new() };
        let made = std::mem::replace(&mut self.steps[copy], nothing).epilogue;
        let epilogue = &mut self.steps[step].epilogue;
        let first = epilogue.len();
        epilogue.extend(made);
        epilogue.push((op, Other::Before(first)));
        // Both who read it have had it.
        self.values.remove(&outlets[x]);
        Some(Value { map: values[x].map, step: Some(step), ready: step })
    }

    /// Whether `y` is a copy of `x`.
    fn is_copy_of(&self, x: Value, y: Value) -> bool {
        let copies = |step: usize| {
            let Planned { plan, input, output, .. } = &self.steps[step];
            matches!(plan, Plan::Ready(Work::Copy { from: 0, to: 0 }))
                && (*input, *output) == (Some(x.map), Some(y.map))
                && self.drafts[x.map].channels == self.drafts[y.map].channels
        };
        x.step.is_some() && x.map != y.map && y.step.is_some_and(copies)
    }

    /// Whether nothing but the step `copy` and who reads `outlet` wants what is in a map: no other step, no other value that is
    /// still to be read, no map of which it is a part or that is a part of it.
    fn is_only_of(&self, outlet: OutletId, map: MapId, copy: usize) -> bool {
        let step = |(at, step): (usize, &Planned)| at == copy || step.reads().all(|read| read != map);
        let value =
            |(other, value): (&OutletId, &Value)| *other == outlet || value.map != map || self.is_read_once(*other);
        let draft = |draft: &super::compile::Draft| {
            draft.part_of.is_none_or(|(of, _)| of != map) && draft.codes.is_none_or(|(of, _)| of != map)
        };
        self.steps.iter().enumerate().all(step)
            && self.values.iter().all(value)
            && self.drafts.iter().all(draft)
            && self.drafts[map].part_of.is_none()
    }
}
