//! Whole dense convolutions out of tiles: which part of the output is computed when.

use super::int8::{Codes, QUAD, Quantization, QuantizedKernels, QuantizedTile};
use super::lines::{Epilogue, LINE, Line, Lines, Maps, Operand, Sink, Window, in_parts, share};
use super::simd::{CACHE_LINE, prefetch};
use super::tiles::{AT_ONCE, MAX_BLOCKS, MAX_PIXELS, Tap, Tile, lines_at_once};
use super::{Buffer, Kernels, Layout, MAX_LANES, Team, bytes, bytes_mut};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Input that is looked at again for every group of output channels should stay in this part of a core's cache (bytes).
const INPUT_BYTES: usize = 192 << 10;
/// The same where the weights do not fit beside it and are the larger part of what is read.
const LARGE_INPUT_BYTES: usize = 1 << 20;
/// No bounds for results.
pub(super) const OPEN: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

impl Kernels {
    /// Applies `epilogue` to a line of one block, which has been computed at `values`.
    ///
    /// # Safety
    /// The line lies there, and nothing else accesses it meanwhile.
    pub(super) unsafe fn finish(
        &self,
        epilogue: &[Epilogue],
        lines: &Lines,
        block: usize,
        line: &Line,
        values: *mut f32,
    ) {
        let count = line.pixels * self.lanes;
        let mut kept = MaybeUninit::<[f32; LINE * MAX_LANES]>::uninit();
        let kept = kept.as_mut_ptr().cast::<f32>();
        for (number, Epilogue { op, operand }) in epilogue.iter().enumerate() {
            if Operand::keeps(epilogue, number) {
                assert!(count <= LINE * MAX_LANES, "a line of {count} floats");
                // SAFETY: as many floats as the line has, here and there.
                unsafe { std::ptr::copy_nonoverlapping(values, kept, count) };
            }
            match operand {
                // SAFETY: the caller's; unary operations read no second value.
                Operand::None => unsafe { (self.apply)(*op, values, count, values) },
                Operand::Map(map, layout) => {
                    // A map without borders may be read as one row.
                    let start = if layout.has_border() || lines.output.height == layout.height {
                        layout.at(block, line.row, line.column)
                    } else {
                        block * layout.plane() + line.column * self.lanes
                    };
                    let other = &map[start..start + count];
                    // SAFETY: the caller's; `other` has as many values.
                    unsafe { (self.apply)(*op, values, count, other.as_ptr()) }
                }
                Operand::Channels(channels) => {
                    let other = &channels[block * self.lanes..(block + 1) * self.lanes];
                    // SAFETY: the caller's; `other` is a block.
                    unsafe { (self.apply_block)(*op, values, count, other.as_ptr()) }
                }
                Operand::Before(first) => {
                    assert!(*first <= number, "an operation on what comes behind it");
                    // SAFETY: the caller's; `kept` has been written at `first`.
                    unsafe { (self.apply)(*op, values, count, kept) }
                }
            }
        }
    }

    pub(super) fn spacing(&self, window: &Window, input: &Layout) -> usize {
        match window.stride[1] {
            stride @ (1 | 2) if input.lanes == self.lanes => stride,
            _ => 0,
        }
    }
}

/// A line in parts of nearly the same length, of which none is longer than `widest`.
pub(super) fn parts(pixels: usize, widest: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let count = pixels.div_ceil(widest.min(MAX_PIXELS));
    (0..count).map(move |index| share(pixels, index, count))
}

/// Asks for the memory of a slice, which will be read soon.
fn fetch(bytes: &[u8]) {
    bytes.chunks(CACHE_LINE).for_each(|line| prefetch(line.as_ptr()));
}

/// Where a tile of `blocks` blocks begins to ask for `next`; what it does not get to over these taps is asked for at once.
/// `otherwise` if there is nothing to ask for.
pub(super) fn ahead(next: &[u8], taps: &[Tap], blocks: usize, lanes: usize, otherwise: *const f32) -> *const u8 {
    let times: usize = taps.iter().map(|tap| tap.channels / AT_ONCE).sum();
    fetch(next.get(times * lines_at_once(blocks, lanes) * CACHE_LINE..).unwrap_or_default());
    if next.is_empty() { otherwise.cast() } else { next.as_ptr() }
}

/// The channels of each block that count: `filled`, or all that the layout has.
pub(super) fn channels_of_blocks(input: &Layout, filled: Option<&[usize]>) -> Vec<usize> {
    let in_block = |block: usize| match filled {
        Some(filled) => filled[block].min(input.lanes),
        None => (input.channels - block * input.lanes).min(input.lanes),
    };
    (0..input.blocks()).map(in_block).collect()
}

/// Output blocks in twos, the last three together if there is an odd number: one alone makes less of each input value.
pub(super) fn groups(blocks: usize) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = (0..blocks).step_by(2).map(|first| first..(first + 2).min(blocks)).collect();
    if blocks % 2 == 1 && groups.len() > 1 {
        groups.pop();
        groups.last_mut().into_iter().for_each(|last| last.end = blocks);
    }
    debug_assert!(groups.iter().all(|g| g.len() <= MAX_BLOCKS));
    groups
}

/// What a convolution reads.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Numbers as they are.
    Floats(&'a [f32]),
    /// One byte each, as the convolution was told at [`Conv::of_codes`].
    Codes(&'a [u8]),
}

impl Source<'_> {
    fn len(&self) -> usize {
        match self {
            Source::Floats(map) => map.len(),
            Source::Codes(map) => map.len(),
        }
    }
}

/// Weights in the order of the kernels.
#[derive(Debug)]
enum Weights {
    /// Per group, tap, input channel and block: a weight for each of the block's channels.
    Floats(Buffer),
    /// For inputs in codes.
    Codes {
        kernels: &'static QuantizedKernels,
        /// Per group, tap, quad of input channels and block: four weights for each of the block's channels.
        weights: Buffer,
        /// For each output channel: what its sums begin with, because the code of 0 is not 0.
        start: Vec<i32>,
        /// What they are multiplied with.
        scale: Buffer,
    },
}

/// A dense convolution with its weights in the order of the kernels.
#[derive(Debug)]
pub struct Conv {
    window: Window,
    input: Layout,
    lanes: usize,
    outputs: usize,
    taps: Vec<Tap>,
    /// Weights of an output channel as they are stored.
    terms: usize,
    /// Output blocks that are computed together.
    groups: Vec<Range<usize>>,
    weights: Weights,
    bias: Buffer,
    /// The range that results are cut to.
    range: (f32, f32),
}

/// In which order a dense convolution reads its input: for each block, the places of the window, each with all of the block's
/// channels.
struct Order {
    /// Tap channels are in units of `unit`.
    taps: Vec<Tap>,
    /// For each value that is read, its place in a row of weights; none where there is no such channel.
    places: Vec<Option<usize>>,
}

impl Order {
    fn new(input: &Layout, filled: Option<&[usize]>, window: &Window, unit: usize) -> Self {
        let offsets = window.offsets(input);
        let (mut taps, mut places): (Vec<Tap>, _) = (Vec::new(), Vec::new());
        let mut first = 0;
        for (block, channels) in channels_of_blocks(input, filled).into_iter().enumerate() {
            let units = channels.div_ceil(unit);
            for (place, offset) in offsets.iter().enumerate() {
                let offset = block * input.plane() + offset;
                let exists = |at: usize| (at < channels).then(|| (first + at) * offsets.len() + place);
                places.extend((0..units * unit).map(exists));
                match taps.last_mut() {
                    // Pixels side by side are read in one go.
                    Some(last) if last.offset + last.channels * unit == offset => last.channels += units,
                    _ => taps.push(Tap { offset, channels: units }),
                }
            }
            first += channels;
        }
        Order { taps, places }
    }

    /// Values that an output has weights for.
    fn terms(&self) -> usize {
        self.places.iter().flatten().count()
    }
}

impl Conv {
    /// `weights` are output channels x input channels x rows x columns (OIHW), `bias` one value an output channel; `input`
    /// is the layout that [`Conv::run`] will be given, and may have narrower blocks than the kernels'. `filled` tells how many
    /// channels of each block count, where it is not all that the layout has: maps set side by side may leave gaps.
    pub fn new(
        kernels: &Kernels,
        input: Layout,
        filled: Option<&[usize]>,
        window: Window,
        weights: &[f32],
        bias: &[f32],
    ) -> Self {
        let order = Order::new(&input, filled, &window, 1);
        let (lanes, outputs, terms) = (kernels.lanes, bias.len(), order.terms());
        assert!(outputs > 0 && terms > 0, "{outputs} x {terms} weights");
        assert_eq!(weights.len(), outputs * terms, "weights of {outputs} x {terms}, {:?}", window.kernel);
        let groups = groups(outputs.div_ceil(lanes));
        let mut packed = Buffer::zeros(outputs.next_multiple_of(lanes) * terms);
        let mut rest = &mut packed[..];
        for group in &groups {
            let side = group.len() * lanes;
            let (part, behind) = rest.split_at_mut(side * terms);
            rest = behind;
            for (at, output) in (group.start * lanes..outputs.min(group.end * lanes)).enumerate() {
                let row = &weights[output * terms..(output + 1) * terms];
                let places = order.places.iter().flatten();
                part[at..].iter_mut().step_by(side).zip(places).for_each(|(to, place)| *to = row[*place]);
            }
        }
        let bias = in_blocks(bias, lanes);
        let weights = Weights::Floats(packed);
        Conv { window, input, lanes, outputs, taps: order.taps, terms, groups, weights, bias, range: OPEN }
    }

    /// As [`Conv::new`], of an input in codes; `None` if the kernels have no such convolutions.
    pub fn of_codes(
        kernels: &Kernels,
        input: Layout,
        filled: Option<&[usize]>,
        window: Window,
        codes: &Codes,
        bias: &[f32],
        quantization: Quantization,
    ) -> Option<Self> {
        let quantized = kernels.quantized()?;
        let order = Order::new(&input, filled, &window, QUAD);
        let (lanes, outputs, terms) = (kernels.lanes, bias.len(), order.terms());
        assert!(outputs > 0 && terms > 0 && input.lanes == lanes, "{outputs} x {terms} weights, {input:?}");
        assert_eq!(codes.weights.len(), outputs * terms, "weights of {outputs} x {terms}, {:?}", window.kernel);
        let groups = groups(outputs.div_ceil(lanes));
        let mut scale = Buffer::zeros(outputs.next_multiple_of(lanes));
        let mut start = vec![0i32; scale.len()];
        let mut packed = Buffer::zeros((scale.len() * order.places.len()).div_ceil(4));
        let mut rest = bytes_mut(&mut packed);
        let shift = if quantized.signed { 128 } else { 0 } - i32::from(quantization.zero_point);
        for group in &groups {
            let side = group.len() * lanes * QUAD;
            let (part, behind) = rest.split_at_mut(group.len() * lanes * order.places.len());
            rest = behind;
            for (at, output) in (group.start * lanes..outputs.min(group.end * lanes)).enumerate() {
                let row = &codes.weights[output * terms..(output + 1) * terms];
                for (quad, to) in order.places.chunks_exact(QUAD).zip(part.chunks_exact_mut(side)) {
                    let four = quad.iter().map(|place| place.map_or(0, |place| row[place]));
                    to[at * QUAD..].iter_mut().zip(four).for_each(|(to, weight)| *to = weight as u8);
                }
                scale[output] = codes.scales[output] * quantization.scale;
                start[output] = shift * row.iter().map(|w| i32::from(*w)).sum::<i32>();
            }
        }
        let bias = in_blocks(bias, lanes);
        let weights = Weights::Codes { kernels: quantized, weights: packed, start, scale };
        let terms = order.places.len();
        Some(Conv { window, input, lanes, outputs, taps: order.taps, terms, groups, weights, bias, range: OPEN })
    }

    /// Cuts results to a range, before any epilogue.
    pub fn within(self, range: (f32, f32)) -> Self {
        Self { range, ..self }
    }

    /// Computes `output` from `input`, by the threads of `team`.
    pub fn run(&self, kernels: &Kernels, input: Source, output: Maps, epilogue: &[Epilogue], team: &Team) {
        assert!(input.len() >= self.input.len(), "a map shorter than its layout");
        assert_eq!(self.lanes, kernels.lanes, "blocks of other kernels");
        let of_codes = matches!(self.weights, Weights::Codes { .. });
        assert_eq!(of_codes, matches!(input, Source::Codes(_)), "floats for codes, or codes for floats");
        output.check(self.outputs, self.lanes);
        let lines = Lines::new(&self.input, &output, &self.window, epilogue);
        let sink = Sink::new(kernels, output);
        let groups = self.groups.len();
        // Each task by lines reads all weights, each by groups all of the input: the smaller one is read again, unless the
        // threads would get unequal shares that way, as of the few lines in the last stages of a network.
        let fair = |count: usize| count as f32 / count.next_multiple_of(team.threads()) as f32;
        let by_lines = match fair(lines.count()) - fair(groups) {
            gain if gain.abs() > 0.1 => gain > 0.0,
            _ => self.weights_len() <= self.input.len(),
        };
        let count = if by_lines { lines.count() } else { groups };
        in_parts(count, team, |part| {
            let (mine, channels) = if by_lines { (part, 0..groups) } else { (0..lines.count(), part) };
            self.part(kernels, input, &lines, mine, channels, epilogue, &sink)
        })
    }

    /// The weights of a group, as bytes.
    fn weights_of(&self, group: &Range<usize>) -> &[u8] {
        let (weights, element) = match &self.weights {
            Weights::Floats(weights) => (bytes(weights), 4),
            Weights::Codes { weights, .. } => (bytes(weights), 1),
        };
        let block = self.lanes * self.terms * element;
        &weights[group.start * block..group.end * block]
    }

    /// Weights in all, in elements of the input.
    fn weights_len(&self) -> usize {
        match &self.weights {
            Weights::Floats(weights) => weights.len(),
            Weights::Codes { weights, .. } => 4 * weights.len(),
        }
    }

    #[expect(clippy::too_many_arguments)] // what it computes, of what, and where
    fn part(
        &self,
        kernels: &Kernels,
        input: Source,
        lines: &Lines,
        mine: Range<usize>,
        groups: Range<usize>,
        epilogue: &[Epilogue],
        sink: &Sink,
    ) {
        let element = if matches!(input, Source::Codes(_)) { 1 } else { 4 };
        let line_bytes = element
            * self.input.channels
            * lines.output.width.min(LINE)
            * self.window.stride[0]
            * self.window.stride[1];
        let budget = if element * self.weights_len() > INPUT_BYTES { LARGE_INPUT_BYTES } else { INPUT_BYTES };
        let chunk = (budget / line_bytes.max(1)).max(1);
        let mut beside = sink.beside(MAX_BLOCKS, self.lanes);
        for first in mine.clone().step_by(chunk) {
            let indices = first..(first + chunk).min(mine.end);
            for (at, group) in self.groups[groups.clone()].iter().enumerate() {
                // Weights are read once a run, and there are more of them in a network than the caches hold.
                let next = self.groups[groups.clone()].get(at + 1).map_or(&[][..], |next| self.weights_of(next));
                for index in indices.clone() {
                    let line = lines.get(index);
                    let next = &next[share(next.len(), index - first, indices.len())];
                    let (to, plane) = sink.line(lines, group.start, &line, &mut beside);
                    // SAFETY: `Lines::new` has checked that windows stay inside of the input, `run` that the slices are as
                    // long as their layouts and that no two threads get the same lines of the same blocks.
                    unsafe {
                        self.line(kernels, input, group, &line, (to, plane), next);
                        for block in group.clone() {
                            let values = to.add((block - group.start) * plane);
                            kernels.finish(epilogue, lines, block, &line, values);
                            sink.encode(lines, block, &line, values);
                        }
                    }
                }
            }
        }
    }

    /// Computes a line of a group of blocks, and meanwhile asks for the memory of `next`.
    ///
    /// # Safety
    /// Its windows lie inside of the input, it and those of the group's other blocks, `plane` floats on, inside of `output`.
    unsafe fn line(
        &self,
        kernels: &Kernels,
        input: Source,
        group: &Range<usize>,
        line: &Line,
        (output, plane): (*mut f32, usize),
        next: &[u8],
    ) {
        let (lanes, blocks) = (self.lanes, group.len());
        let spacing = kernels.spacing(&self.window, &self.input);
        let step = self.window.stride[1] * self.input.lanes;
        let (low, high) = self.range;
        let (first, taps) = (group.start * lanes, &self.taps);
        let bias = self.bias[first..].as_ptr();
        match (&self.weights, input) {
            (Weights::Floats(weights), Source::Floats(input)) => {
                let weights = weights[first * self.terms..].as_ptr();
                let input = input[line.input..].as_ptr();
                let tile = Tile { input, step, taps, weights, bias, output, plane, low, high, next: std::ptr::null() };
                let parts = parts(line.pixels, kernels.pixels[blocks - 1]);
                let count = parts.len();
                for (at, part) in parts.enumerate() {
                    let next = &next[share(next.len(), at, count)];
                    let next = ahead(next, taps, blocks, lanes, weights);
                    // SAFETY: the caller's; there is a tile for as many pixels.
                    unsafe {
                        let (input, output) = (input.add(part.start * step), output.add(part.start * lanes));
                        kernels.dense[blocks - 1][spacing][part.len() - 1](&Tile { input, output, next, ..tile })
                    }
                }
            }
            (Weights::Codes { kernels: quantized, weights, start, scale }, Source::Codes(input)) => {
                let weights = bytes(weights);
                let weights = weights[first * self.terms..].as_ptr().cast();
                let input = input[line.input..].as_ptr();
                let (start, scale) = (start[first..].as_ptr(), scale[first..].as_ptr());
                let tile = QuantizedTile { input, step, taps, weights, start, scale, bias, output, plane, low, high };
                let parts = parts(line.pixels, quantized.pixels[blocks - 1]);
                let count = parts.len();
                for (at, part) in parts.enumerate() {
                    fetch(&next[share(next.len(), at, count)]);
                    // SAFETY: as above.
                    unsafe {
                        let (input, output) = (input.add(part.start * step), output.add(part.start * lanes));
                        quantized.dense[blocks - 1][spacing][part.len() - 1](&QuantizedTile { input, output, ..tile })
                    }
                }
            }
            // `run` has refused them.
            _ => (),
        }
    }
}

/// One value a channel, as whole blocks.
pub(super) fn in_blocks(values: &[f32], lanes: usize) -> Buffer {
    let mut whole = Buffer::zeros(values.len().next_multiple_of(lanes));
    whole[..values.len()].copy_from_slice(values);
    whole
}
