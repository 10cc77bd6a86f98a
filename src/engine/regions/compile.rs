//! From recognised nodes to a program: what is fused, which maps share memory, how wide their borders are.

use super::codes::codes_of_weights;
use super::form::Form;
use super::program::{Map, MapId, Other, Program, Step, Work};
use super::recognise::{Kind, Recognised};
use super::weights::Weights;
use crate::kernels::nchwc::{Buffer, Codes, Elementwise, Kernels, Layout, Quantization, Window};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tract_onnx::tract_core::internal::OutletId;

/// Maps of no more channels that only dense convolutions read get one block of just these, whatever the kernels' are:
/// pictures.
const FEW_CHANNELS: usize = 4;

/// The largest map, in floats: 4 GiB.
const MOST_FLOATS: usize = 1 << 30;
/// How many times as large as a map it may be with its border, if it is larger than [`SMALL`].
const MOST_BORDER: usize = 16;
/// A map, in floats, that is small whatever its border: 4 MiB.
const SMALL: usize = 1 << 20;

/// The nodes of a region in the order of the graph, and what the rest of the graph wants of it.
pub struct Region {
    pub nodes: Vec<(OutletId, Recognised)>,
    /// Values that others read.
    pub outputs: Vec<OutletId>,
    /// How often each value is read, by whomever.
    pub reads: HashMap<OutletId, usize>,
}

/// A map whose place in memory is still open.
pub(super) struct Draft {
    pub(super) channels: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) lanes: usize,
    /// Only the border of maps that are not part of another counts.
    pub(super) border: Layout,
    pub(super) border_value: f32,
    /// How many channels of each block count, where concatenation has left gaps between its parts.
    pub(super) filled: Option<Vec<usize>>,
    /// The map that it is a part of, and the block at which it begins there.
    pub(super) part_of: Option<(MapId, usize)>,
    /// The map whose codes it holds, and which codes.
    pub(super) codes: Option<(MapId, Quantization)>,
}

/// Work whose weights are not in the order of the kernels yet.
pub(super) enum Plan {
    Ready(Work),
    Conv { window: Window, weights: Weights, bias: Vec<f32>, codes: Option<Arc<Codes>>, range: (f32, f32) },
    Depthwise { window: Window, weights: Weights, bias: Vec<f32>, range: (f32, f32) },
    MaxPool(Window),
}

pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) input: Option<MapId>,
    pub(super) output: Option<MapId>,
    pub(super) codes: Option<MapId>,
    pub(super) epilogue: Vec<(Elementwise, Other)>,
}

impl Planned {
    /// Whether another step does what it did.
    fn is_empty(&self) -> bool {
        self.input.is_none() && self.output.is_none()
    }

    /// The maps that it reads.
    pub(super) fn reads(&self) -> impl Iterator<Item = MapId> {
        let others = self.epilogue.iter().filter_map(|(_, other)| match other {
            Other::Map(map) | Other::ChannelsOf(map) => Some(*map),
            _ => None,
        });
        self.input.into_iter().chain(others)
    }
}

/// A value of the graph.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub(super) map: MapId,
    /// The step that wrote all of it last and may be given more to do.
    pub(super) step: Option<usize>,
    /// The last step that wrote any of it.
    pub(super) ready: usize,
}

pub(super) struct Compiler<'a> {
    pub(super) kernels: &'static Kernels,
    pub(super) region: &'a Region,
    pub(super) drafts: Vec<Draft>,
    pub(super) steps: Vec<Planned>,
    pub(super) values: HashMap<OutletId, Value>,
    imports: Vec<OutletId>,
    /// The weights of convolutions whose weights and inputs have 8 bits.
    pub(super) codes: HashMap<OutletId, Arc<Codes>>,
    /// Values that are codes times a scale already.
    pub(super) rounded: HashMap<OutletId, Quantization>,
}

/// The program for a region, and the values that it reads. `None` if its maps cannot be laid out.
pub fn compile(region: &Region, kernels: &'static Kernels) -> Option<(Program, Vec<OutletId>)> {
    let mut compiler = Compiler {
        kernels,
        region,
        drafts: Vec::new(),
        steps: Vec::new(),
        values: HashMap::new(),
        imports: Vec::new(),
        codes: codes_of_weights(region),
        rounded: HashMap::new(),
    };
    for (outlet, node) in &region.nodes {
        let value = compiler.node(*outlet, node)?;
        compiler.values.insert(*outlet, value);
    }
    for (number, outlet) in region.outputs.iter().enumerate() {
        let form = region.nodes.iter().find(|(o, _)| o == outlet).map(|(_, n)| n.output.clone())?;
        let map = compiler.values.get(outlet)?.map;
        let plan = Plan::Ready(Work::Export(number, form));
        compiler.steps.push(Planned { plan, input: Some(map), output: None, codes: None, epilogue: Vec::new() });
    }
    let imports = std::mem::take(&mut compiler.imports);
    Some((compiler.finish()?, imports))
}

impl Compiler<'_> {
    pub(super) fn draft(&mut self, [channels, rows, columns]: [usize; 3], lanes: usize) -> MapId {
        let border = Layout::new(channels, rows, columns, lanes);
        self.drafts.push(Draft {
            channels,
            rows,
            columns,
            lanes,
            border,
            border_value: 0.0,
            filled: None,
            part_of: None,
            codes: None,
        });
        self.drafts.len() - 1
    }

    pub(super) fn sides(&self, map: MapId) -> [usize; 3] {
        let Draft { channels, rows, columns, .. } = self.drafts[map];
        [channels, rows, columns]
    }

    pub(super) fn push(&mut self, plan: Plan, input: Option<MapId>, output: MapId) -> Value {
        self.steps.push(Planned { plan, input, output: Some(output), codes: None, epilogue: Vec::new() });
        let step = self.steps.len() - 1;
        Value { map: output, step: Some(step), ready: step }
    }

    /// Nobody but one node of this region reads the value.
    pub(super) fn is_read_once(&self, outlet: OutletId) -> bool {
        self.region.reads.get(&outlet) == Some(&1) && !self.region.outputs.contains(&outlet)
    }

    /// Whether only dense convolutions read the value, which know which of its channels count.
    fn only_for_convolutions(&self, outlet: OutletId) -> bool {
        let mut readers = self.region.nodes.iter().filter(|(_, n)| n.inputs.iter().any(|(o, _)| *o == outlet));
        !self.region.outputs.contains(&outlet) && readers.all(|(_, n)| matches!(n.kind, Kind::Conv { .. }))
    }

    /// Whether all that becomes of the value in this region is done value by value.
    fn only_one_by_one(&self, outlet: OutletId) -> bool {
        let mut readers = self.region.nodes.iter().filter(|(_, n)| n.inputs.iter().any(|(o, _)| *o == outlet));
        readers.all(|(made, n)| matches!(n.kind, Kind::Each(_) | Kind::View) && self.only_one_by_one(*made))
    }

    /// The map of a value, brought in if it comes from outside.
    fn value(&mut self, outlet: OutletId, form: &Form) -> Value {
        if let Some(value) = self.values.get(&outlet) {
            return *value;
        }
        let few = form.sides()[0] <= FEW_CHANNELS && self.kernels.lanes() > FEW_CHANNELS;
        let narrow = few && self.only_for_convolutions(outlet);
        let map = self.draft(form.sides(), if narrow { form.sides()[0] } else { self.kernels.lanes() });
        let number = self.imports.len();
        self.imports.push(outlet);
        let value = self.push(Plan::Ready(Work::Import(number, form.clone())), None, map);
        let value = Value { step: None, ..value };
        self.values.insert(outlet, value);
        value
    }

    /// Whether the step that has computed a value ends with an operation that gives nothing below zero.
    fn is_never_negative(&self, value: Value) -> bool {
        let Some(Planned { plan, epilogue, .. }) = value.step.map(|step| &self.steps[step]) else { return false };
        match (epilogue.last(), plan) {
            (Some((op, _)), _) => matches!(op, Elementwise::Sigmoid | Elementwise::Clamp { low: 0.0.., .. }),
            (None, Plan::Conv { range, .. } | Plan::Depthwise { range, .. }) => range.0 >= 0.0,
            _ => false,
        }
    }

    fn copy(&mut self, from: MapId) -> Value {
        let map = self.draft(self.sides(from), self.drafts[from].lanes);
        self.push(Plan::Ready(Work::Copy { from: 0, to: 0 }), Some(from), map)
    }

    /// A value whose step may be given more to do: itself if nobody else reads it, a copy otherwise.
    fn own(&mut self, outlet: OutletId, value: Value) -> Value {
        match value.step {
            Some(_) if self.is_read_once(outlet) => value,
            _ => self.copy(value.map),
        }
    }

    fn node(&mut self, made: OutletId, node: &Recognised) -> Option<Value> {
        let inputs: Vec<Value> = node.inputs.iter().map(|(outlet, form)| self.value(*outlet, form)).collect();
        let first = *inputs.first()?;
        let (outlet, form) = node.inputs.first()?;
        let lanes = self.kernels.lanes();
        let open = (f32::NEG_INFINITY, f32::INFINITY);
        let sides = node.output.sides();
        Some(match &node.kind {
            Kind::Conv { window, weights, bias, .. } => {
                let codes = self.codes.get(&made).cloned();
                let from = match codes {
                    Some(_) => self.codes_read(*outlet, first.map),
                    None => first.map,
                };
                self.demand(from, window);
                let map = self.draft(sides, lanes);
                let (window, weights, bias) = (*window, weights.clone(), bias.clone());
                self.push(Plan::Conv { window, weights, bias, codes, range: open }, Some(from), map)
            }
            Kind::Depthwise { window, weights, bias } => {
                self.demand(first.map, window);
                let map = self.draft(sides, lanes);
                let (weights, bias) = (weights.clone(), bias.clone());
                self.push(Plan::Depthwise { window: *window, weights, bias, range: open }, Some(first.map), map)
            }
            Kind::Spread { taps, weights, bias } => {
                // A single channel is not worth a block, if nobody needs one: one value a pixel.
                let lanes = if sides[0] == 1 && self.only_one_by_one(made) { 1 } else { lanes };
                self.spread(first.map, form, *taps, weights, bias, sides, lanes)
            }
            Kind::MaxPool(window) => {
                let mut from = first.map;
                if (window.before, window.after) != ([0, 0], [0, 0]) {
                    // Zeros would win against what is negative.
                    if !self.is_never_negative(first) || !window.sees_a_pixel() {
                        from = self.copy(from).map;
                        self.drafts[from].border_value = f32::NEG_INFINITY;
                    }
                    self.demand(from, window);
                }
                let map = self.draft(sides, lanes);
                self.push(Plan::MaxPool(*window), Some(from), map)
            }
            Kind::Total => {
                let map = self.draft(sides, lanes);
                self.push(Plan::Ready(Work::Total), Some(first.map), map)
            }
            Kind::Resample { rows, columns } => {
                let map = self.draft(sides, self.drafts[first.map].lanes);
                let work = Work::Resample { rows: rows.clone(), columns: columns.clone() };
                self.push(Plan::Ready(work), Some(first.map), map)
            }
            Kind::Each(ops) => {
                let value = self.own(*outlet, first);
                for (op, stored) in ops {
                    self.also(value.step?, *op, stored)?;
                }
                value
            }
            Kind::FakeQuantize(quantization) => {
                // A map for codes only if somebody reads it.
                let codes = if self.only_for_codes(made) { self.codes_of(first.map, *quantization) } else { None };
                match codes {
                    Some(map) => Value { map, step: None, ready: first.ready },
                    None => {
                        let value = self.own(*outlet, first);
                        self.also(value.step?, Elementwise::FakeQuantize(*quantization), &[])?;
                        self.rounded.insert(made, *quantization);
                        value
                    }
                }
            }
            Kind::Both(op) => self.both(*op, [node.inputs[0].0, node.inputs[1].0], [first, inputs[1]])?,
            Kind::Gate(op) => {
                let gate = inputs[1];
                let value = match first.step {
                    Some(step) if gate.ready < step && self.is_read_once(*outlet) => first,
                    _ => self.copy(first.map),
                };
                self.steps[value.step?].epilogue.push((*op, Other::ChannelsOf(gate.map)));
                value
            }
            Kind::Concat => self.concat(made, &inputs, sides),
            Kind::Slice(start) => {
                let map = self.draft(sides, lanes);
                if start % lanes != 0 || self.drafts[first.map].lanes != lanes {
                    let copy = Plan::Ready(Work::Copy { from: *start, to: 0 });
                    return Some(self.push(copy, Some(first.map), map));
                }
                self.drafts[map].part_of = Some((first.map, start / lanes));
                Value { map, step: None, ready: first.ready }
            }
            Kind::View => {
                if let Some(quantization) = self.rounded.get(outlet).copied() {
                    self.rounded.insert(made, quantization);
                }
                match self.is_read_once(*outlet) {
                    true => first,
                    false => Value { step: None, ..first },
                }
            }
        })
    }

    /// Adds an operation to the end of a step.
    fn also(&mut self, step: usize, op: Elementwise, stored: &[f32]) -> Option<()> {
        let Planned { plan, epilogue, output, .. } = &mut self.steps[step];
        let (channels, lanes) = match output {
            Some(map) => (self.drafts[*map].channels, self.drafts[*map].lanes),
            None => return None,
        };
        if let (Plan::Conv { range, bias, .. } | Plan::Depthwise { range, bias, .. }, true) =
            (&mut *plan, epilogue.is_empty())
        {
            let open = *range == (f32::NEG_INFINITY, f32::INFINITY);
            match op {
                Elementwise::Add if open => {
                    bias.iter_mut().zip(stored).for_each(|(b, s)| *b += s);
                    return Some(());
                }
                Elementwise::Clamp { low, high } => {
                    *range = (range.0.max(low).min(high), range.1.max(low).min(high));
                    return Some(());
                }
                _ => (),
            }
        }
        let merged = match (epilogue.last().map(|(op, _)| *op), op) {
            (Some(Elementwise::Clamp { low: l, high: h }), Elementwise::Clamp { low, high }) => {
                Some(Elementwise::Clamp { low: l.max(low).min(high), high: h.max(low).min(high) })
            }
            (Some(Elementwise::Affine { scale: s, offset: o }), Elementwise::Affine { scale, offset })
                if (s * scale).is_normal() && (o * scale + offset).is_finite() =>
            {
                Some(Elementwise::Affine { scale: s * scale, offset: o * scale + offset })
            }
            _ => None,
        };
        if let Some(merged) = merged {
            epilogue.pop();
            epilogue.push((merged, Other::None));
        } else if !op.is_binary() {
            epilogue.push((op, Other::None));
        } else if channels == 1 && lanes == 1 {
            // Single values have no lanes to repeat a block in.
            let value = *stored.first()?;
            epilogue.push(match op {
                Elementwise::Multiply => (Elementwise::Affine { scale: value, offset: 0.0 }, Other::None),
                Elementwise::Subtract => (Elementwise::Affine { scale: 1.0, offset: -value }, Other::None),
                _ => (Elementwise::Affine { scale: 1.0, offset: value }, Other::None),
            });
        } else {
            let mut whole = Buffer::zeros(channels.div_ceil(lanes) * lanes);
            whole[..stored.len()].copy_from_slice(stored);
            epilogue.push((op, Other::Stored(whole)));
        }
        Some(())
    }

    /// Two maps: a map and what has become of it are one step; of others, the one that is computed later takes the other as it
    /// is computed, if nobody else wants it as it was.
    fn both(&mut self, op: Elementwise, outlets: [OutletId; 2], values: [Value; 2]) -> Option<Value> {
        if self.drafts[values[0].map].lanes != self.drafts[values[1].map].lanes {
            return None;
        }
        if let Some(value) = self.with_itself(op, outlets, values) {
            return Some(value);
        }
        for (host, other) in [(0, 1), (1, 0)] {
            let (Some(step), other_value) = (values[host].step, values[other]) else { continue };
            if other_value.ready >= step || !self.is_read_once(outlets[host]) || outlets[0] == outlets[1] {
                continue;
            }
            let mut op = op;
            if op == Elementwise::Subtract && host == 1 {
                self.also(step, Elementwise::Affine { scale: -1.0, offset: 0.0 }, &[])?;
                op = Elementwise::Add;
            }
            self.steps[step].epilogue.push((op, Other::Map(other_value.map)));
            return Some(values[host]);
        }
        let value = self.copy(values[0].map);
        self.steps[value.step?].epilogue.push((op, Other::Map(values[1].map)));
        Some(value)
    }

    /// Maps side by side: where blocks allow it, each is computed in its place.
    fn concat(&mut self, made: OutletId, inputs: &[Value], [channels, rows, columns]: [usize; 3]) -> Value {
        let lanes = self.kernels.lanes();
        let parts: Vec<usize> = inputs.iter().map(|input| self.drafts[input.map].channels).collect();
        let mut begins = parts.iter().scan(0, |sum, part| Some(std::mem::replace(sum, *sum + part)));
        let convolutions = self.only_for_convolutions(made) || self.only_for_convolutions_of_codes(made);
        let gaps = !begins.all(|first| first % lanes == 0) && convolutions;
        let root = match gaps {
            // Every part begins with a block of its own.
            true => {
                let in_blocks =
                    |part: &usize| (0..part.div_ceil(lanes)).map(|b| (part - b * lanes).min(lanes)).collect();
                let filled: Vec<usize> = parts.iter().flat_map(|part| -> Vec<usize> { in_blocks(part) }).collect();
                let root = self.draft([filled.len() * lanes, rows, columns], lanes);
                self.drafts[root].filled = Some(filled);
                root
            }
            false => self.draft([channels, rows, columns], lanes),
        };
        let mut ready = 0;
        let mut channel = 0;
        for input in inputs {
            let Draft { channels, lanes: found, part_of, .. } = self.drafts[input.map];
            let aligned = channel % lanes == 0 && found == lanes;
            let stays =
                part_of.is_some() || self.drafts.iter().any(|d| d.part_of.is_some_and(|(of, _)| of == input.map));
            let special = self.drafts[input.map].border_value != 0.0;
            let written = if aligned && !stays && !special {
                self.drafts[input.map].part_of = Some((root, channel / lanes));
                input.ready
            } else if aligned {
                let copy = self.copy(input.map);
                self.drafts[copy.map].part_of = Some((root, channel / lanes));
                copy.ready
            } else {
                // The same map may stand there already: no step reads what it writes.
                let from = if self.root(input.map).0 == root { self.copy(input.map).map } else { input.map };
                self.push(Plan::Ready(Work::Copy { from: 0, to: channel }), Some(from), root).ready
            };
            ready = ready.max(written);
            channel += if gaps { channels.next_multiple_of(lanes) } else { channels };
        }
        Value { map: root, step: None, ready }
    }

    /// The map that this one is a part of in the end, and the block there.
    pub(super) fn root(&self, map: MapId) -> (MapId, usize) {
        match self.drafts[map].part_of {
            Some((of, block)) => {
                let (root, first) = self.root(of);
                (root, first + block)
            }
            None => (map, 0),
        }
    }

    /// Widens the border of a map to what a window needs.
    fn demand(&mut self, map: MapId, window: &Window) {
        // Who is part of whom is known at the end only.
        self.drafts[map].border = self.drafts[map].border.widened(&window.border(self.drafts[map].border));
    }

    fn finish(mut self) -> Option<Program> {
        self.encode()?;
        for map in 0..self.drafts.len() {
            let (root, _) = self.root(map);
            let widened = self.drafts[root].border.widened(&self.drafts[map].border);
            self.drafts[root].border = widened;
        }
        let layouts: Vec<Layout> = (0..self.drafts.len())
            .map(|map| {
                let Draft { channels, rows, columns, lanes, .. } = self.drafts[map];
                Layout::new(channels, rows, columns, lanes).widened(&self.drafts[self.root(map).0].border)
            })
            .collect();
        // More than that is left to whoever asked for it: tract may find that it is not needed at once.
        for layout in &layouts {
            let without = Layout::new(layout.channels, layout.height, layout.width, layout.lanes).checked_len()?;
            if layout.checked_len()? > MOST_FLOATS.min(MOST_BORDER * without + SMALL) {
                return None;
            }
        }
        let (starts, memory) = self.arrange(&layouts);
        // Each lives on in its step until it is packed.
        self.codes.clear();
        let mut seen = HashSet::new();
        let mut steps = Vec::with_capacity(self.steps.len());
        for planned in std::mem::take(&mut self.steps).into_iter().filter(|step| !step.is_empty()) {
            let mut borders = Vec::new();
            for map in planned.output.into_iter().chain(planned.codes) {
                let root = self.root(map).0;
                if layouts[root].has_border() && seen.insert(root) {
                    borders.push((root, self.drafts[root].border_value));
                }
            }
            // One value a channel is read as one row of blocks.
            let bordered = |other: &Other| matches!(other, Other::ChannelsOf(map) if layouts[*map].has_border());
            if planned.epilogue.iter().any(|(_, other)| bordered(other)) {
                return None;
            }
            let (output, input) = (planned.output.or(planned.codes), planned.input.map(|map| (map, layouts[map])));
            let work = self.packed(planned.plan, input, output)?;
            steps.push(Step {
                work,
                input: planned.input,
                output: planned.output,
                codes: planned.codes,
                epilogue: planned.epilogue,
                borders,
            });
        }
        let maps = layouts
            .iter()
            .enumerate()
            .map(|(map, layout)| {
                let (root, block) = self.root(map);
                let codes = self.drafts[map].codes.map(|(_, codes)| codes);
                let skipped = block * layout.plane() / if codes.is_some() { 4 } else { 1 };
                Map { layout: *layout, start: starts[root] + skipped, codes }
            })
            .collect();
        Some(Program { steps, maps, memory })
    }
}
