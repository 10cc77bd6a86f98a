//! Where in a region activations are codes of one byte: between a rounding to 8 bits and the dense convolutions that read it.

use super::compile::{Compiler, Draft, Plan, Planned, Region};
use super::program::{MapId, Work};
use super::recognise::{Kind, Recognised};
use crate::kernels::nchwc::{Codes, Quantization};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use tract_onnx::tract_core::internal::OutletId;

/// The weights of the convolutions in `region` whose weights and inputs have 8 bits.
pub(super) fn codes_of_weights(region: &Region) -> HashMap<OutletId, Arc<Codes>> {
    let codes = |(outlet, node): &(OutletId, Recognised)| match &node.kind {
        Kind::Conv { weights, bias, rounded: true, .. } => {
            weights.codes(bias.len()).map(|codes| (*outlet, Arc::new(codes)))
        }
        _ => None,
    };
    region.nodes.iter().filter_map(codes).collect()
}

impl Compiler<'_> {
    /// The map for the codes of `map`; `None` if convolutions cannot read it, as of blocks narrower than the kernels'.
    pub(super) fn codes_of(&mut self, map: MapId, quantization: Quantization) -> Option<MapId> {
        if self.drafts[map].lanes != self.kernels.lanes() || !self.kernels.reads_codes() {
            return None;
        }
        let known = |draft: &Draft| draft.codes == Some((map, quantization));
        if let Some(codes) = self.drafts.iter().position(known) {
            return Some(codes);
        }
        let codes = self.draft(self.sides(map), self.drafts[map].lanes);
        self.drafts[codes].filled = self.drafts[map].filled.clone();
        self.drafts[codes].codes = Some((map, quantization));
        Some(codes)
    }

    /// Whether only dense convolutions with weights of 8 bits read the value, whatever its axes are called then.
    pub(super) fn only_for_codes(&self, outlet: OutletId) -> bool {
        let mut readers = self.region.nodes.iter().filter(|(_, n)| n.inputs.iter().any(|(o, _)| *o == outlet));
        !self.region.outputs.contains(&outlet)
            && readers.all(|(made, n)| match n.kind {
                Kind::View => self.only_for_codes(*made),
                _ => self.codes.contains_key(made),
            })
    }

    /// Whether the value is rounded, and nothing but such convolutions reads it then.
    pub(super) fn only_for_convolutions_of_codes(&self, outlet: OutletId) -> bool {
        let mut readers = self.region.nodes.iter().filter(|(_, n)| n.inputs.iter().any(|(o, _)| *o == outlet));
        let rounds =
            |(made, n): &(OutletId, Recognised)| matches!(n.kind, Kind::FakeQuantize(_)) && self.only_for_codes(*made);
        self.kernels.reads_codes() && !self.region.outputs.contains(&outlet) && readers.all(rounds)
    }

    /// What a convolution of `outlet` reads: its codes, if it has been rounded to some.
    pub(super) fn codes_read(&mut self, outlet: OutletId, map: MapId) -> MapId {
        let rounded = self.rounded.get(&outlet).copied();
        rounded.and_then(|quantization| self.codes_of(map, quantization)).unwrap_or(map)
    }

    /// Has the steps write codes, each as soon as it has computed a line; where others than convolutions fill a map, or it is
    /// wanted in several kinds of codes, steps of their own do. Floats that nothing reads any more are not written.
    pub(super) fn encode(&mut self) -> Option<()> {
        let mut groups: Vec<(MapId, Quantization, Vec<MapId>)> = Vec::new();
        for codes in 0..self.drafts.len() {
            let Some((of, quantization)) = self.drafts[codes].codes else { continue };
            let root = self.root(of).0;
            match groups.iter_mut().find(|group| (group.0, group.1) == (root, quantization)) {
                Some(group) => group.2.push(codes),
                None => groups.push((root, quantization, vec![codes])),
            }
        }
        let mut own_steps = Vec::new();
        for (root, quantization, members) in groups {
            let (of, whole) = self.whole(root, quantization, &members)?;
            let writers: Vec<usize> = (0..self.steps.len()).filter(|step| self.writes(*step, of)).collect();
            let line_by_line = |step: &usize| {
                let Planned { plan, output, codes, .. } = &self.steps[*step];
                let inside = output.is_some_and(|map| self.blocks(map).start >= self.blocks(of).start)
                    && output.is_some_and(|map| self.blocks(map).end <= self.blocks(of).end);
                inside && codes.is_none() && matches!(plan, Plan::Conv { .. } | Plan::Depthwise { .. })
            };
            if !writers.iter().all(line_by_line) {
                for codes in members {
                    self.drafts[codes].part_of = None;
                    let of = self.drafts[codes].codes?.0;
                    // All of a map is there when it is read first, of one that it is a part of perhaps not.
                    let at = (0..self.steps.len()).find(|step| self.steps[*step].input == Some(codes))?;
                    let plan = Plan::Ready(Work::Encode);
                    let step =
                        Planned { plan, input: Some(of), output: None, codes: Some(codes), epilogue: Vec::new() };
                    own_steps.push((at, step));
                }
                continue;
            }
            for step in writers {
                let Some(output) = self.steps[step].output else { continue };
                self.steps[step].codes =
                    Some(if output == of { whole } else { self.part(output, of, whole, quantization) });
            }
        }
        own_steps.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, step) in own_steps {
            self.steps.insert(at, step);
        }
        for step in 0..self.steps.len() {
            let Planned { output: Some(output), codes: Some(_), .. } = self.steps[step] else { continue };
            if !(0..self.steps.len()).any(|step| self.reads(step, output)) {
                self.steps[step].output = None;
            }
        }
        Some(())
    }

    /// A map and the one for its codes, of which `members` hold those of some blocks each: the only map that they are of, or
    /// all of `root`.
    fn whole(&mut self, root: MapId, quantization: Quantization, members: &[MapId]) -> Option<(MapId, MapId)> {
        if let [only] = members {
            return Some((self.drafts[*only].codes?.0, *only));
        }
        let whole = self.codes_of(root, quantization)?;
        for member in members.iter().copied().filter(|member| *member != whole) {
            let of = self.drafts[member].codes?.0;
            self.drafts[member].part_of = Some((whole, self.root(of).1));
        }
        Some((root, whole))
    }

    /// The blocks of `whole`, the codes of `of`, that hold those of `map`.
    fn part(&mut self, map: MapId, of: MapId, whole: MapId, quantization: Quantization) -> MapId {
        let part = self.draft(self.sides(map), self.drafts[map].lanes);
        self.drafts[part].codes = Some((map, quantization));
        self.drafts[part].part_of = Some((whole, self.root(map).1 - self.root(of).1));
        part
    }

    /// Which blocks of its root a map has.
    fn blocks(&self, map: MapId) -> Range<usize> {
        let first = self.root(map).1;
        first..first + self.drafts[map].channels.div_ceil(self.drafts[map].lanes)
    }

    fn overlap(&self, one: MapId, other: MapId) -> bool {
        let (a, b) = (self.blocks(one), self.blocks(other));
        self.root(one).0 == self.root(other).0 && a.start < b.end && b.start < a.end
    }

    fn writes(&self, step: usize, map: MapId) -> bool {
        self.steps[step].output.is_some_and(|output| self.overlap(output, map))
    }

    fn reads(&self, step: usize, map: MapId) -> bool {
        self.steps[step].reads().any(|read| self.overlap(read, map))
    }
}
