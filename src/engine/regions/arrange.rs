//! One piece of memory for all maps of a region.

use super::compile::Compiler;
use super::program::MapId;
use crate::kernels::nchwc::Layout;
use std::cmp::Reverse;
use std::collections::HashMap;

impl Compiler<'_> {
    /// Where each map begins, so that maps that are needed at the same time do not overlap, and the floats in all: the
    /// largest first, each at the lowest place that is free while it is needed.
    pub(super) fn arrange(&self, layouts: &[Layout]) -> (Vec<usize>, usize) {
        let mut needed: HashMap<MapId, (usize, usize)> = HashMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            for map in step.reads().chain(step.output).chain(step.codes) {
                let entry = needed.entry(self.root(map).0).or_insert((index, index));
                entry.1 = index;
            }
        }
        // Whole cache lines.
        let len = |map: MapId| {
            let elements = layouts[map].len();
            if self.drafts[map].codes.is_some() { elements / 4 } else { elements }.next_multiple_of(16)
        };
        let mut order: Vec<MapId> = needed.keys().copied().collect();
        order.sort_by_key(|&map| (Reverse(len(map)), map));
        let mut starts = vec![0; layouts.len()];
        let mut placed: Vec<MapId> = Vec::new();
        let mut memory = 0;
        for map in order {
            let (from, to) = needed[&map];
            let mut taken: Vec<(usize, usize)> = placed
                .iter()
                .filter(|other| needed[other].0 <= to && from <= needed[other].1)
                .map(|other| (starts[*other], starts[*other] + len(*other)))
                .collect();
            taken.sort_unstable();
            let mut start = 0;
            for (begin, end) in taken {
                if start + len(map) <= begin {
                    break;
                }
                start = start.max(end);
            }
            starts[map] = start;
            memory = memory.max(start + len(map));
            placed.push(map);
        }
        (starts, memory)
    }
}
