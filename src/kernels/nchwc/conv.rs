//! Whole convolutions out of tiles: which part of the output is computed when.

use super::int8::{Codes, QUAD, Quantization, QuantizedKernels, QuantizedTile};
use super::lines::{Epilogue, LINE, Line, Lines, Maps, Operand, Sink, Window, in_parts, share};
use super::tiles::{MAX_BLOCKS, MAX_PIXELS, Tap, Tile, TileFn};
use super::{Buffer, Kernels, Layout, Team, bytes, bytes_mut};
use std::ops::Range;

/// Input that is looked at again for every group of output channels should stay in this part of a core's cache (bytes).
const INPUT_BYTES: usize = 192 << 10;
/// The same where the weights do not fit beside it and are the larger part of what is read.
const LARGE_INPUT_BYTES: usize = 1 << 20;
/// No bounds for results.
const OPEN: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

impl Kernels {
    /// Applies `epilogue` to a line of one block, which has been computed at `values`.
    ///
    /// # Safety
    /// The line lies there, and nothing else accesses it meanwhile.
    unsafe fn finish(&self, epilogue: &[Epilogue], lines: &Lines, block: usize, line: &Line, values: *mut f32) {
        let count = line.pixels * self.lanes;
        for Epilogue { op, operand } in epilogue {
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
            }
        }
    }

    fn spacing(&self, window: &Window, input: &Layout) -> usize {
        match window.stride[1] {
            stride @ (1 | 2) if input.lanes == self.lanes => stride,
            _ => 0,
        }
    }
}

/// A line in parts of nearly the same length, of which none is longer than `widest`.
fn parts(pixels: usize, widest: usize) -> impl Iterator<Item = Range<usize>> {
    let count = pixels.div_ceil(widest.min(MAX_PIXELS));
    (0..count).map(move |index| share(pixels, index, count))
}

/// Output blocks in twos, the last three together if there is an odd number: one alone makes less of each input value.
fn groups(blocks: usize) -> Vec<Range<usize>> {
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
        let in_block = |block: usize| match filled {
            Some(filled) => filled[block].min(input.lanes),
            None => (input.channels - block * input.lanes).min(input.lanes),
        };
        let offsets = window.offsets(input);
        let (mut taps, mut places): (Vec<Tap>, _) = (Vec::new(), Vec::new());
        let mut first = 0;
        for block in 0..input.blocks() {
            let channels = in_block(block);
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
        Conv { window, input, lanes, outputs, taps: order.taps, groups, weights, bias, range: OPEN }
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
        let shift = quantized.shift - i32::from(quantization.zero_point);
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
        Some(Conv { window, input, lanes, outputs, taps: order.taps, groups, weights, bias, range: OPEN })
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
            for group in &self.groups[groups.clone()] {
                for index in first..(first + chunk).min(mine.end) {
                    let line = lines.get(index);
                    let (to, plane) = sink.line(lines, group.start, &line, &mut beside);
                    // SAFETY: `Lines::new` has checked that windows stay inside of the input, `run` that the slices are as
                    // long as their layouts and that no two threads get the same lines of the same blocks.
                    unsafe {
                        self.line(kernels, input, group, &line, to, plane);
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

    /// Computes a line of a group of blocks.
    ///
    /// # Safety
    /// Its windows lie inside of the input, it and those of the group's other blocks, `plane` floats on, inside of `output`.
    unsafe fn line(
        &self,
        kernels: &Kernels,
        input: Source,
        group: &Range<usize>,
        line: &Line,
        output: *mut f32,
        plane: usize,
    ) {
        let (lanes, blocks) = (self.lanes, group.len());
        let spacing = kernels.spacing(&self.window, &self.input);
        let step = self.window.stride[1] * self.input.lanes;
        let (low, high) = self.range;
        let (first, taps) = (group.start * lanes, &self.taps);
        let bias = self.bias[first..].as_ptr();
        match (&self.weights, input) {
            (Weights::Floats(weights), Source::Floats(input)) => {
                let weights = weights[first * (weights.len() / self.bias.len())..].as_ptr();
                let input = input[line.input..].as_ptr();
                let tile = Tile { input, step, taps, weights, bias, output, plane, low, high };
                for part in parts(line.pixels, kernels.pixels[blocks - 1]) {
                    // SAFETY: the caller's; there is a tile for as many pixels.
                    unsafe {
                        let (input, output) = (input.add(part.start * step), output.add(part.start * lanes));
                        kernels.dense[blocks - 1][spacing][part.len() - 1](&Tile { input, output, ..tile })
                    }
                }
            }
            (Weights::Codes { kernels: quantized, weights, start, scale }, Source::Codes(input)) => {
                let weights = bytes(weights);
                let weights = weights[first * (weights.len() / self.bias.len())..].as_ptr().cast();
                let input = input[line.input..].as_ptr();
                let (start, scale) = (start[first..].as_ptr(), scale[first..].as_ptr());
                let tile = QuantizedTile { input, step, taps, weights, start, scale, bias, output, plane, low, high };
                for part in parts(line.pixels, quantized.pixels[blocks - 1]) {
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
fn in_blocks(values: &[f32], lanes: usize) -> Buffer {
    let mut whole = Buffer::zeros(values.len().next_multiple_of(lanes));
    whole[..values.len()].copy_from_slice(values);
    whole
}

/// A depthwise convolution: every channel has a window of its own.
#[derive(Debug)]
pub struct Depthwise {
    window: Window,
    input: Layout,
    taps: Vec<Tap>,
    /// Per block and tap: a weight for each of the block's channels.
    weights: Buffer,
    bias: Buffer,
    /// The range that results are cut to.
    range: (f32, f32),
}

impl Depthwise {
    /// `weights` are channels x rows x columns, `bias` one value a channel.
    pub fn new(kernels: &Kernels, input: Layout, window: Window, weights: &[f32], bias: &[f32]) -> Self {
        let (lanes, places) = (kernels.lanes, window.offsets(&input));
        assert!(input.lanes == lanes && bias.len() == input.channels, "{} channels in {input:?}", bias.len());
        assert_eq!(weights.len(), input.channels * places.len(), "weights of {} x {:?}", input.channels, window.kernel);
        let mut packed = Buffer::zeros(input.blocks() * lanes * places.len());
        for (channel, row) in weights.chunks_exact(places.len()).enumerate() {
            for (place, weight) in row.iter().enumerate() {
                packed[(channel / lanes * places.len() + place) * lanes + channel % lanes] = *weight;
            }
        }
        let taps = places.into_iter().map(|offset| Tap { offset, channels: lanes }).collect();
        Depthwise { window, input, taps, weights: packed, bias: in_blocks(bias, lanes), range: OPEN }
    }

    /// Cuts results to a range, before any epilogue.
    pub fn within(self, range: (f32, f32)) -> Self {
        Self { range, ..self }
    }

    /// Computes `output` from `input`, by the threads of `team`.
    pub fn run(&self, kernels: &Kernels, input: &[f32], output: Maps, epilogue: &[Epilogue], team: &Team) {
        let stored = |block: usize| {
            let weights = self.weights[block * self.taps.len() * kernels.lanes..].as_ptr();
            (weights, self.bias[block * kernels.lanes..].as_ptr())
        };
        // SAFETY: a block has as many weights as taps times lanes.
        unsafe {
            by_block(
                kernels,
                &kernels.depthwise,
                &self.window,
                (&self.input, input),
                output,
                &self.taps,
                self.range,
                epilogue,
                team,
                stored,
            )
        }
    }
}

/// Maxima of windows.
#[derive(Debug)]
pub struct MaxPool {
    window: Window,
    input: Layout,
    taps: Vec<Tap>,
}

impl MaxPool {
    /// The border of `input` should hold minus infinity.
    pub fn new(kernels: &Kernels, input: Layout, window: Window) -> Self {
        assert_eq!(input.lanes, kernels.lanes, "{input:?}");
        let taps = window.offsets(&input).into_iter().map(|offset| Tap { offset, channels: input.lanes }).collect();
        MaxPool { window, input, taps }
    }

    /// Computes `output`, of `layout`, from `input`, by the threads of `team`.
    pub fn run(&self, kernels: &Kernels, input: &[f32], output: &mut [f32], layout: &Layout, team: &Team) {
        // SAFETY: maxima have no weights.
        unsafe {
            by_block(
                kernels,
                &kernels.maximum,
                &self.window,
                (&self.input, input),
                Maps::floats(output, layout),
                &self.taps,
                OPEN,
                &[],
                team,
                |_| (std::ptr::null(), std::ptr::null()),
            )
        }
    }
}

/// Runs tiles whose output block depends on one input block only.
///
/// # Safety
/// `stored` points to the weights and the bias that the kernels read for a block.
#[expect(clippy::too_many_arguments)] // what it computes, of what, and where
unsafe fn by_block(
    kernels: &Kernels,
    tiles: &[[TileFn; MAX_PIXELS]; 3],
    window: &Window,
    (input_layout, input): (&Layout, &[f32]),
    output: Maps,
    taps: &[Tap],
    (low, high): (f32, f32),
    epilogue: &[Epilogue],
    team: &Team,
    stored: impl Fn(usize) -> (*const f32, *const f32) + Sync,
) {
    assert!(input.len() >= input_layout.len(), "a map shorter than its layout");
    assert_eq!(input_layout.lanes, kernels.lanes, "blocks of other kernels");
    output.check(input_layout.channels, kernels.lanes);
    let lines = Lines::new(input_layout, &output, window, epilogue);
    let sink = Sink::new(kernels, output);
    let of = &tiles[kernels.spacing(window, input_layout)];
    let (step, lanes) = (window.stride[1] * kernels.lanes, kernels.lanes);
    in_parts(input_layout.blocks() * lines.count(), team, |part| {
        let mut beside = sink.beside(1, lanes);
        for index in part {
            let (block, line) = (index / lines.count(), lines.get(index % lines.count()));
            let (weights, bias) = stored(block);
            let from = input[block * input_layout.plane() + line.input..].as_ptr();
            let (to, plane) = sink.line(&lines, block, &line, &mut beside);
            // SAFETY: `Lines::new` has checked that windows stay inside of the input, the assertions above that the slices
            // are as long as their layouts; no two threads get the same line of the same block.
            unsafe {
                for part in parts(line.pixels, kernels.pixels[0]) {
                    let (input, output) = (from.add(part.start * step), to.add(part.start * lanes));
                    of[part.len() - 1](&Tile { input, step, taps, weights, bias, output, plane, low, high });
                }
                kernels.finish(epilogue, &lines, block, &line, to);
                sink.encode(&lines, block, &line, to);
            }
        }
    })
}

/// Writes the codes of a map, by the threads of `team`; panics if the kernels have none.
pub fn encode(
    kernels: &Kernels,
    (layout, map): (&Layout, &[f32]),
    (codes_layout, codes): (&Layout, &mut [u8]),
    quantization: Quantization,
    team: &Team,
) {
    assert!(map.len() >= layout.len(), "a map shorter than its layout");
    assert_eq!(
        (layout.channels, layout.height, layout.width),
        (codes_layout.channels, codes_layout.height, codes_layout.width)
    );
    let output = Maps { floats: None, codes: Some((codes, *codes_layout, quantization)) };
    output.check(layout.channels, kernels.lanes);
    assert_eq!(layout.lanes, kernels.lanes, "blocks of other kernels");
    let lines = Lines::new(layout, &output, &Window::POINT, &[]);
    let sink = Sink::new(kernels, output);
    in_parts(layout.blocks() * lines.count(), team, |part| {
        for index in part {
            let (block, line) = (index / lines.count(), lines.get(index % lines.count()));
            let from = &map[block * layout.plane() + line.input..][..line.pixels * layout.lanes];
            // SAFETY: as above.
            unsafe { sink.encode(&lines, block, &line, from.as_ptr()) }
        }
    })
}
