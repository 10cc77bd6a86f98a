//! Whole convolutions out of tiles: which part of the output is computed when.

use super::lines::{Epilogue, LINE, Line, Lines, Operand, Shared, Window, in_parts, share};
use super::tiles::{MAX_BLOCKS, MAX_PIXELS, Tap, Tile, TileFn};
use super::{Buffer, Kernels, Layout, Team};
use std::ops::Range;

/// Input that is looked at again for every group of output channels should stay in this part of a core's cache (bytes).
const INPUT_BYTES: usize = 192 << 10;
/// The same where the weights do not fit beside it and are the larger part of what is read.
const LARGE_INPUT_BYTES: usize = 1 << 20;
/// No bounds for results.
const OPEN: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

impl Kernels {
    /// Applies `epilogue` to a line of one block.
    ///
    /// # Safety
    /// `line` lies inside of `output`, and nothing else accesses it meanwhile.
    unsafe fn finish(&self, epilogue: &[Epilogue], lines: &Lines, block: usize, line: &Line, output: Shared) {
        let count = line.pixels * self.lanes;
        let values = output.at(lines.output.at(block, line.row, line.column));
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

    /// Runs tiles along a line: `tile` is what all of them share, `input` and `output` where the line begins.
    ///
    /// # Safety
    /// The line lies inside of both, windows included.
    unsafe fn along(
        &self,
        blocks: usize,
        of: &[TileFn],
        tile: &Tile,
        line: &Line,
        input: *const f32,
        output: *mut f32,
    ) {
        let tiles = line.pixels.div_ceil(self.pixels[blocks - 1].min(of.len()));
        for index in 0..tiles {
            let part = share(line.pixels, index, tiles);
            // SAFETY: the caller's; parts of a line are no longer than the longest tile.
            unsafe {
                let tile = Tile {
                    input: input.add(part.start * tile.step),
                    output: output.add(part.start * self.lanes),
                    ..*tile
                };
                of[part.len() - 1](&tile)
            }
        }
    }
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
    /// Per group, tap, input channel and block: a weight for each of the block's channels.
    weights: Buffer,
    bias: Buffer,
    /// The range that results are cut to.
    range: (f32, f32),
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
        let in_block = |block: usize| match filled {
            Some(filled) => filled[block].min(input.lanes),
            None => (input.channels - block * input.lanes).min(input.lanes),
        };
        let inputs = (0..input.blocks()).map(in_block).sum::<usize>();
        let (lanes, outputs) = (kernels.lanes, bias.len());
        assert!(outputs > 0 && inputs > 0, "{outputs} x {inputs} channels");
        let places = window.offsets(&input);
        assert_eq!(
            weights.len(),
            outputs * inputs * places.len(),
            "weights of {outputs} x {inputs} x {:?}",
            window.kernel
        );
        // What is read in turn: for each block of the input, the places of the window, each with all of the block's channels.
        let mut order = Vec::with_capacity(inputs * places.len());
        let mut taps: Vec<Tap> = Vec::with_capacity(input.blocks() * places.len());
        let mut first = 0;
        for block in 0..input.blocks() {
            let channels = in_block(block);
            for (place, offset) in places.iter().enumerate() {
                let offset = block * input.plane() + offset;
                order.extend((first..first + channels).map(|channel| channel * places.len() + place));
                match taps.last_mut() {
                    // Pixels side by side are read in one go.
                    Some(last) if last.offset + last.channels == offset => last.channels += channels,
                    _ => taps.push(Tap { offset, channels }),
                }
            }
            first += channels;
        }
        let blocks = outputs.div_ceil(lanes);
        let groups = groups(blocks);
        let mut packed = Buffer::zeros(blocks * lanes * order.len());
        let mut rest = &mut packed[..];
        for group in &groups {
            let side = group.len() * lanes;
            let (part, behind) = rest.split_at_mut(side * order.len());
            rest = behind;
            for (at, output) in (group.start * lanes..outputs.min(group.end * lanes)).enumerate() {
                let row = &weights[output * order.len()..(output + 1) * order.len()];
                part[at..].iter_mut().step_by(side).zip(&order).for_each(|(to, place)| *to = row[*place]);
            }
        }
        let mut padded = Buffer::zeros(blocks * lanes);
        padded[..outputs].copy_from_slice(bias);
        Conv { window, input, lanes, outputs, taps, groups, weights: packed, bias: padded, range: OPEN }
    }

    /// Cuts results to a range, before any epilogue.
    pub fn within(self, range: (f32, f32)) -> Self {
        Self { range, ..self }
    }

    /// Computes `output`, of `layout`, from `input`, by the threads of `team`.
    pub fn run(
        &self,
        kernels: &Kernels,
        input: &[f32],
        output: &mut [f32],
        layout: &Layout,
        epilogue: &[Epilogue],
        team: &Team,
    ) {
        let lanes = kernels.lanes;
        assert!(input.len() >= self.input.len() && output.len() >= layout.len(), "maps shorter than their layouts");
        assert!(
            layout.lanes == lanes && self.lanes == lanes && layout.channels == self.outputs,
            "{layout:?} for {} channels",
            self.outputs
        );
        let lines = Lines::new(&self.input, layout, &self.window, epilogue);
        let groups = self.groups.len();
        let shared = Shared(output.as_mut_ptr());
        // Each task by lines reads all weights, each by groups all of the input: the smaller one is read again, unless the
        // threads would get unequal shares that way, as of the few lines in the last stages of a network.
        let fair = |count: usize| count as f32 / count.next_multiple_of(team.threads()) as f32;
        let by_lines = match fair(lines.count()) - fair(groups) {
            gain if gain.abs() > 0.1 => gain > 0.0,
            _ => self.weights.len() <= self.input.len(),
        };
        let count = if by_lines { lines.count() } else { groups };
        in_parts(count, team, |part| {
            let (mine, channels) = if by_lines { (part, 0..groups) } else { (0..lines.count(), part) };
            self.part(kernels, input, &lines, mine, channels, epilogue, shared)
        })
    }

    #[expect(clippy::too_many_arguments)] // what it computes, of what, and where
    fn part(
        &self,
        kernels: &Kernels,
        input: &[f32],
        lines: &Lines,
        mine: Range<usize>,
        groups: Range<usize>,
        epilogue: &[Epilogue],
        output: Shared,
    ) {
        let (lanes, blocks, plane) = (kernels.lanes, lines.output.blocks(), lines.output.plane());
        let block_weights = self.weights.len() / blocks;
        let spacing = kernels.spacing(&self.window, &self.input);
        let line_bytes =
            4 * self.input.channels * lines.output.width.min(LINE) * self.window.stride[0] * self.window.stride[1];
        let budget = if 4 * self.weights.len() > INPUT_BYTES { LARGE_INPUT_BYTES } else { INPUT_BYTES };
        let chunk = (budget / line_bytes.max(1)).max(1);
        for first in mine.clone().step_by(chunk) {
            for group in &self.groups[groups.clone()] {
                let tile = Tile {
                    input: input.as_ptr(),
                    step: self.window.stride[1] * self.input.lanes,
                    taps: &self.taps,
                    weights: self.weights[group.start * block_weights..].as_ptr(),
                    bias: self.bias[group.start * lanes..].as_ptr(),
                    output: output.at(0),
                    plane,
                    low: self.range.0,
                    high: self.range.1,
                };
                for index in first..(first + chunk).min(mine.end) {
                    let line = lines.get(index);
                    // SAFETY: `Lines::new` has checked that windows stay inside of the input, `run` that the slices are as
                    // long as their layouts and that no two threads get the same lines of the same blocks.
                    unsafe {
                        let to = output.at(lines.output.at(group.start, line.row, line.column));
                        let tiles = &kernels.dense[group.len() - 1][spacing];
                        kernels.along(group.len(), tiles, &tile, &line, input.as_ptr().add(line.input), to);
                        for block in group.clone() {
                            kernels.finish(epilogue, lines, block, &line, output);
                        }
                    }
                }
            }
        }
    }
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
        let mut padded = Buffer::zeros(input.blocks() * lanes);
        padded[..bias.len()].copy_from_slice(bias);
        let taps = places.into_iter().map(|offset| Tap { offset, channels: lanes }).collect();
        Depthwise { window, input, taps, weights: packed, bias: padded, range: OPEN }
    }

    /// Cuts results to a range, before any epilogue.
    pub fn within(self, range: (f32, f32)) -> Self {
        Self { range, ..self }
    }

    /// Computes `output`, of `layout`, from `input`, by the threads of `team`.
    pub fn run(
        &self,
        kernels: &Kernels,
        input: &[f32],
        output: &mut [f32],
        layout: &Layout,
        epilogue: &[Epilogue],
        team: &Team,
    ) {
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
                (layout, output),
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
                (layout, output),
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
    (layout, output): (&Layout, &mut [f32]),
    taps: &[Tap],
    (low, high): (f32, f32),
    epilogue: &[Epilogue],
    team: &Team,
    stored: impl Fn(usize) -> (*const f32, *const f32) + Sync,
) {
    assert!(input.len() >= input_layout.len() && output.len() >= layout.len(), "maps shorter than their layouts");
    assert!(
        [layout.lanes, input_layout.lanes] == [kernels.lanes; 2] && layout.channels == input_layout.channels,
        "{layout:?} of {input_layout:?}"
    );
    let lines = Lines::new(input_layout, layout, window, epilogue);
    let of = &tiles[kernels.spacing(window, input_layout)];
    let shared = Shared(output.as_mut_ptr());
    let all = layout.blocks() * lines.count();
    in_parts(all, team, |part| {
        for index in part {
            let (block, line) = (index / lines.count(), lines.get(index % lines.count()));
            let (weights, bias) = stored(block);
            let (from, to) = (input.as_ptr(), shared.at(0));
            let step = window.stride[1] * kernels.lanes;
            let tile = Tile { input: from, step, taps, weights, bias, output: to, plane: 0, low, high };
            // SAFETY: `Lines::new` has checked that windows stay inside of the input, the assertions above that the slices
            // are as long as their layouts; no two threads get the same line of the same block.
            unsafe {
                let from = from.add(block * input_layout.plane() + line.input);
                let to = shared.at(lines.output.at(block, line.row, line.column));
                kernels.along(1, of, &tile, &line, from, to);
                kernels.finish(epilogue, &lines, block, &line, shared);
            }
        }
    })
}
