//! Convolutions of 3x3 taps by Winograd's minimal filtering, F(2x2, 3x3) in A. Lavin and S. Gray, "Fast Algorithms for
//! Convolutional Neural Networks" (2015): four outputs of a channel need 16 products instead of 36.
//!
//! Patches of 4x4 input pixels (the paper's input tiles), two apart, are transformed by additions; each of the 16 values of a
//! patch is then a pixel of a map of its own, over which a 1x1 convolution runs; and of the 16 results, additions make 2x2
//! output pixels. Rounding is of the size of the largest pixel of a patch. Of an infinite pixel, all outputs of its patches
//! become NaN, where tap by tap some would stay infinite.

use super::conv::{OPEN, ahead, channels_of_blocks, groups, in_blocks, parts};
use super::lines::{Epilogue, LINE, Line, Lines, Maps, Sink, Window, in_parts, share};
use super::simd::Simd;
use super::tiles::{MAX_BLOCKS, Tap, Tile};
use super::{Buffer, Kernels, Layout, MAX_LANES, Team, bytes};
use std::cell::RefCell;
use std::ops::Range;

/// Values of a transformed patch.
const PLACES: usize = 16;
/// The place whose result is added once to each of the four outputs: sums that begin with the bias there need no other.
const CENTRE: usize = 5;
/// What transformed patches, which are read once for each group of output channels, and the sums of a group may take of a
/// core's cache (bytes): the best of half, this and twice as much for YOLOv8n and NanoDet on a core with 2 MB.
const STRIP_BYTES: usize = 768 << 10;
/// The same where the weights take more than that themselves, all of which every strip reads.
const LARGE_STRIP_BYTES: usize = 2 * STRIP_BYTES;
/// Input and output channels from which on it pays, with 16 lanes: of 16, it took 0.93 times as long as tap by tap.
const LEAST_CHANNELS: usize = 16;
/// Output pixels from which on it pays: 7x7 of 256 channels took as long, 9x9 took 0.9 times.
const LEAST_PIXELS: usize = 64;
/// What the other sums begin with.
static ZEROS: [f32; MAX_BLOCKS * MAX_LANES] = [0.0; MAX_BLOCKS * MAX_LANES];
/// Floats between the places of patches beyond what they take: at a power of two they would fall into the same few lines of
/// the cache.
const PADDING: usize = 16;
// Patches end where lines do.
const _: () = assert!(LINE.is_multiple_of(2));

thread_local! {
    /// Transformed patches, and the sums of a group: of the largest strip that the thread has computed.
    static SCRATCH: RefCell<[Buffer; 2]> = RefCell::default();
}

/// A line of patches side by side in one block, and where their values go. Lengths are in floats.
pub(super) struct Patches {
    /// The upper left pixel of the first one.
    pub input: *const f32,
    /// From there to the first pixel of each row.
    pub rows: [usize; 4],
    /// The last column that may be read: the fourth of the last patch need not exist.
    pub last: usize,
    pub count: usize,
    pub output: *mut f32,
    /// From one place of a patch to the next.
    pub place: usize,
}

/// The sums for a line of patches in one block, and where one of the two rows of pixels goes that they make.
pub(super) struct Sums {
    pub sums: *const f32,
    /// From one place of a patch to the next.
    pub place: usize,
    pub output: *mut f32,
    pub pixels: usize,
    /// Results are cut to this range.
    pub low: f32,
    pub high: f32,
}

pub(super) type InputTransformFn = unsafe fn(&Patches);
pub(super) type OutputTransformFn = unsafe fn(&Sums);

/// One column of a patch by the transposed matrix B of the paper.
#[inline(always)]
unsafe fn by_b<S: Simd>([a, b, c, d]: [S::V; 4]) -> [S::V; 4] {
    unsafe { [S::sub(a, c), S::add(b, c), S::sub(c, b), S::sub(b, d)] }
}

#[inline(always)]
unsafe fn column<S: Simd>(line: &Patches, column: usize) -> [S::V; 4] {
    unsafe {
        let from = line.input.add(column.min(line.last) * S::LANES);
        let [a, b, c, d] = line.rows;
        by_b::<S>([S::load(from.add(a)), S::load(from.add(b)), S::load(from.add(c)), S::load(from.add(d))])
    }
}

/// The input transform of a line of patches.
///
/// # Safety
/// The instruction set; all that the line describes lies inside of its buffers.
#[inline(always)]
pub(super) unsafe fn input_transform<S: Simd>(line: &Patches) {
    unsafe {
        let (mut first, mut second) = (column::<S>(line, 0), column::<S>(line, 1));
        for patch in 0..line.count {
            let (third, fourth) = (column::<S>(line, 2 * patch + 2), column::<S>(line, 2 * patch + 3));
            let to = line.output.add(patch * S::LANES);
            for row in 0..4 {
                let values = by_b::<S>([first[row], second[row], third[row], fourth[row]]);
                for (column, value) in values.into_iter().enumerate() {
                    S::store(to.add((4 * row + column) * line.place), value);
                }
            }
            // Patches overlap by two columns.
            (first, second) = (third, fourth);
        }
    }
}

/// The output transform of a line of patches: the upper (`ROW` 0) or lower (1) pixels.
///
/// # Safety
/// As [`input_transform`].
#[inline(always)]
pub(super) unsafe fn output_transform<S: Simd, const ROW: usize>(line: &Sums) {
    unsafe {
        let (low, high) = (S::splat(line.low), S::splat(line.high));
        for left in (0..line.pixels).step_by(2) {
            let from = line.sums.add(left / 2 * S::LANES);
            let mut columns = [S::splat(0.0); 4];
            for (column, value) in columns.iter_mut().enumerate() {
                let [a, b, c] = [ROW, ROW + 1, ROW + 2].map(|row| (4 * row + column) * line.place);
                let [a, b, c] = [S::load(from.add(a)), S::load(from.add(b)), S::load(from.add(c))];
                // The transposed matrix A: (1 1 1 0) and (0 1 -1 -1).
                *value = if ROW == 0 { S::add(S::add(a, b), c) } else { S::sub(S::sub(a, b), c) };
            }
            let [a, b, c, d] = columns;
            let to = line.output.add(left * S::LANES);
            // This way around a NaN stays one, on x86 too.
            S::store(to, S::min(high, S::max(low, S::add(S::add(a, b), c))));
            if left + 1 < line.pixels {
                S::store(to.add(S::LANES), S::min(high, S::max(low, S::sub(S::sub(b, c), d))));
            }
        }
    }
}

/// A dense convolution of 3x3 taps side by side whose windows are one pixel apart.
#[derive(Debug)]
pub struct Winograd {
    window: Window,
    input: Layout,
    outputs: usize,
    /// Channels of each input block that count.
    channels: Vec<usize>,
    /// Input channels.
    inputs: usize,
    /// Output blocks that are computed together.
    groups: Vec<Range<usize>>,
    /// Per group, place, input channel and block: a weight for each of the block's channels.
    weights: Buffer,
    bias: Buffer,
    /// The range that results are cut to.
    range: (f32, f32),
}

/// Lines of patches, of no more pixels than a [`Line`].
struct PatchLines<'a> {
    lines: &'a Lines,
    pieces: usize,
    /// Patches from the left to the right.
    across: usize,
}

/// A line of patches, and the one or two rows of output pixels that they make.
struct PatchLine {
    row: usize,
    rows: usize,
    column: usize,
    /// Of each row.
    pixels: usize,
    patches: usize,
}

impl<'a> PatchLines<'a> {
    fn new(lines: &'a Lines) -> Self {
        let across = lines.output.width.div_ceil(2);
        PatchLines { lines, pieces: across.div_ceil(LINE / 2), across }
    }

    fn count(&self) -> usize {
        self.lines.output.height.div_ceil(2) * self.pieces
    }

    fn get(&self, index: usize) -> PatchLine {
        let part = share(self.across, index % self.pieces, self.pieces);
        let (row, column) = (index / self.pieces * 2, 2 * part.start);
        let rows = 2.min(self.lines.output.height - row);
        let pixels = (2 * part.end).min(self.lines.output.width) - column;
        PatchLine { row, rows, column, pixels, patches: part.len() }
    }
}

/// The filter transform of the 3x3 weights of an input channel for an output: G g G' with the rows (1 0 0), (1/2 1/2 1/2),
/// (1/2 -1/2 1/2) and (0 0 1) of G.
fn filter_transform(weights: &[f32]) -> [f32; PLACES] {
    let by_g = |[a, b, c]: [f64; 3]| [a, (a + b + c) * 0.5, (a - b + c) * 0.5, c];
    let mut rows = [[0.0; 3]; 4];
    for column in 0..3 {
        let values = by_g([weights[column], weights[3 + column], weights[6 + column]].map(f64::from));
        rows.iter_mut().zip(values).for_each(|(row, value)| row[column] = value);
    }
    let mut places = [0.0; PLACES];
    places.chunks_exact_mut(4).zip(rows).for_each(|(place, row)| place.copy_from_slice(&by_g(row).map(|v| v as f32)));
    places
}

impl Winograd {
    /// Whether the window is of 3x3 taps side by side and moves by one pixel.
    pub fn computes(window: &Window) -> bool {
        (window.kernel, window.stride, window.dilation) == ([3; 2], [1; 2], [1; 2])
    }

    /// Whether it is the faster way for so many outputs (channels, rows, columns): with few channels the transformations cost
    /// more than the products that they save, with few pixels the weights do, of which there are 16 for every 9.
    pub fn pays(
        kernels: &Kernels,
        input: &Layout,
        filled: Option<&[usize]>,
        window: &Window,
        [channels, rows, columns]: [usize; 3],
    ) -> bool {
        input.lanes == kernels.lanes
            && Self::computes(window)
            && channels_of_blocks(input, filled).iter().sum::<usize>() >= LEAST_CHANNELS
            && channels >= LEAST_CHANNELS
            && rows * columns >= LEAST_PIXELS
    }

    /// As [`super::Conv::new`], but for a window that [`Winograd::computes`] and an input in blocks of the kernels' width; panics
    /// if they are others.
    pub fn new(
        kernels: &Kernels,
        input: Layout,
        filled: Option<&[usize]>,
        window: Window,
        weights: &[f32],
        bias: &[f32],
    ) -> Self {
        let channels = channels_of_blocks(&input, filled);
        let (lanes, inputs, outputs) = (kernels.lanes, channels.iter().sum::<usize>(), bias.len());
        assert!(Self::computes(&window), "{window:?}");
        assert!(
            outputs > 0 && inputs > 0 && input.lanes == lanes && lanes <= MAX_LANES,
            "{outputs} x {inputs} channels, {input:?}"
        );
        assert_eq!(weights.len(), outputs * inputs * 9, "weights of {outputs} x {inputs}");
        let groups = groups(outputs.div_ceil(lanes));
        let mut packed = Buffer::zeros(outputs.next_multiple_of(lanes) * inputs * PLACES);
        let mut rest = &mut packed[..];
        for group in &groups {
            let side = group.len() * lanes;
            let (part, behind) = rest.split_at_mut(side * inputs * PLACES);
            rest = behind;
            for (at, output) in (group.start * lanes..outputs.min(group.end * lanes)).enumerate() {
                let rows = weights[output * inputs * 9..(output + 1) * inputs * 9].chunks_exact(9);
                for (input, row) in rows.enumerate() {
                    for (place, value) in filter_transform(row).into_iter().enumerate() {
                        part[(place * inputs + input) * side + at] = value;
                    }
                }
            }
        }
        let bias = in_blocks(bias, lanes);
        Winograd { window, input, outputs, channels, inputs, groups, weights: packed, bias, range: OPEN }
    }

    /// Cuts results to a range, before any epilogue.
    pub fn within(self, range: (f32, f32)) -> Self {
        Self { range, ..self }
    }

    /// Computes `output` from `input`, by the threads of `team`.
    pub fn run(&self, kernels: &Kernels, input: &[f32], output: Maps, epilogue: &[Epilogue], team: &Team) {
        assert!(input.len() >= self.input.len(), "a map shorter than its layout");
        assert_eq!(self.input.lanes, kernels.lanes, "blocks of other kernels");
        output.check(self.outputs, kernels.lanes);
        let lines = Lines::new(&self.input, &output, &self.window, epilogue);
        let lines = PatchLines::new(&lines);
        let sink = Sink::new(kernels, output);
        if lines.count() == 0 {
            return;
        }
        // As many lines at a time as the cache takes, and a share for each thread; of few lines, some of the groups.
        let blocks = self.channels.len() + self.groups.iter().map(Range::len).max().unwrap_or(0);
        let line = size_of::<f32>() * PLACES * blocks * kernels.lanes * lines.across.div_ceil(lines.pieces);
        let budget = if size_of_val(&self.weights[..]) > STRIP_BYTES { LARGE_STRIP_BYTES } else { STRIP_BYTES };
        let strips = lines.count().div_ceil((budget / line).max(1)).next_multiple_of(team.threads()).min(lines.count());
        let shares = team.threads().div_ceil(strips).min(self.groups.len());
        in_parts(strips * shares, team, |mine| {
            SCRATCH.with_borrow_mut(|[patches, sums]| {
                let mut beside = sink.beside(1, kernels.lanes);
                for task in mine {
                    let strip = share(lines.count(), task / shares, strips);
                    let strip: Vec<PatchLine> = strip.map(|line| lines.get(line)).collect();
                    let count = strip.iter().map(|line| line.patches).sum();
                    let place = self.transform_input(kernels, input, &strip, count, patches);
                    let groups = &self.groups[share(self.groups.len(), task % shares, shares)];
                    for (at, group) in groups.iter().enumerate() {
                        let next = groups.get(at + 1).map_or(&[][..], |next| bytes(self.weights_of(next)));
                        self.multiply(kernels, group, count, (patches, place), sums, next);
                        self.transform_output(
                            kernels,
                            group,
                            &strip,
                            sums,
                            count,
                            lines.lines,
                            epilogue,
                            &sink,
                            &mut beside,
                        );
                    }
                }
            })
        })
    }

    /// The weights of a group.
    fn weights_of(&self, group: &Range<usize>) -> &[f32] {
        let block = self.input.lanes * self.inputs * PLACES;
        &self.weights[group.start * block..group.end * block]
    }

    /// Transforms the patches of some lines, `count` in all: per place and block one behind the other. Gives the floats from
    /// place to place.
    fn transform_input(
        &self,
        kernels: &Kernels,
        input: &[f32],
        strip: &[PatchLine],
        count: usize,
        to: &mut Buffer,
    ) -> usize {
        let Layout { lanes, top, left, .. } = self.input;
        let place = self.channels.len() * count * lanes + PADDING;
        room(to, PLACES * place);
        for block in 0..self.channels.len() {
            let mut output = &mut to[block * count * lanes..];
            for line in strip {
                let row = self.input.row();
                let first = (line.row + top - self.window.before[0]) * row
                    + (line.column + left - self.window.before[1]) * lanes;
                // The fourth row of the last patches need not exist; what it would change does not either.
                let fourth = if line.rows == 2 { 3 * row } else { 2 * row };
                let patches = Patches {
                    input: input[block * self.input.plane() + first..].as_ptr(),
                    rows: [0, row, 2 * row, fourth],
                    last: line.pixels + 1,
                    count: line.patches,
                    output: output.as_mut_ptr(),
                    place,
                };
                // SAFETY: `Lines::new` has checked that the windows of all pixels lie inside of the input, `run` that it is as
                // long as its layout; `to` has room for all places.
                unsafe { (kernels.input_transform)(&patches) }
                output = &mut output[line.patches * lanes..];
            }
        }
        place
    }

    /// The 1x1 convolutions of a group, which meanwhile ask for the memory of `next`: per place and block one patch behind the
    /// other.
    fn multiply(
        &self,
        kernels: &Kernels,
        group: &Range<usize>,
        count: usize,
        (patches, place): (&Buffer, usize),
        sums: &mut Buffer,
        next: &[u8],
    ) {
        let (lanes, blocks) = (kernels.lanes, group.len());
        let plane = count * lanes;
        room(sums, PLACES * (blocks * plane + PADDING));
        let taps: Vec<Tap> = self
            .channels
            .iter()
            .enumerate()
            .map(|(block, channels)| Tap { offset: block * plane, channels: *channels })
            .collect();
        let weights = self.weights_of(group);
        for at in 0..PLACES {
            let tile = Tile {
                input: patches[at * place..].as_ptr(),
                step: lanes,
                taps: &taps,
                weights: weights[at * self.inputs * blocks * lanes..].as_ptr(),
                bias: if at == CENTRE { self.bias[group.start * lanes..].as_ptr() } else { ZEROS.as_ptr() },
                output: sums[at * (blocks * plane + PADDING)..].as_mut_ptr(),
                plane,
                low: OPEN.0,
                high: OPEN.1,
                next: std::ptr::null(),
            };
            let parts = parts(count, kernels.pixels[blocks - 1]);
            let tiles = parts.len();
            for (part, pixels) in parts.enumerate() {
                let next = &next[share(next.len(), at * tiles + part, PLACES * tiles)];
                let next = ahead(next, &taps, blocks, lanes, tile.weights);
                // SAFETY: `patches` and `sums` have room for all patches, the weights are those of the group, and there are as
                // many zeros as a group may have channels; there is a tile for as many pixels.
                unsafe {
                    let (input, output) = (tile.input.add(pixels.start * lanes), tile.output.add(pixels.start * lanes));
                    kernels.dense[blocks - 1][1][pixels.len() - 1](&Tile { input, output, next, ..tile })
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments)] // what it computes, of what, and where
    fn transform_output(
        &self,
        kernels: &Kernels,
        group: &Range<usize>,
        strip: &[PatchLine],
        sums: &Buffer,
        count: usize,
        lines: &Lines,
        epilogue: &[Epilogue],
        sink: &Sink,
        beside: &mut Buffer,
    ) {
        let lanes = kernels.lanes;
        let plane = count * lanes;
        let (low, high) = self.range;
        let mut first = 0;
        for patches in strip {
            for row in 0..patches.rows {
                let line = Line { row: patches.row + row, column: patches.column, pixels: patches.pixels, input: 0 };
                for block in group.clone() {
                    let (output, _) = sink.line(lines, block, &line, beside);
                    let sums = sums[(block - group.start) * plane + first * lanes..].as_ptr();
                    let place = group.len() * plane + PADDING;
                    // SAFETY: `sums` has the sums of all patches; the line lies inside of the output, whose maps `run` has
                    // found as long as their layouts, and no two strips have the same lines.
                    unsafe {
                        (kernels.output_transform[row])(&Sums { sums, place, output, pixels: line.pixels, low, high });
                        kernels.finish(epilogue, lines, block, &line, output);
                        sink.encode(lines, block, &line, output);
                    }
                }
            }
            first += patches.patches;
        }
    }
}

/// Makes a buffer at least so long; what it holds is of no interest.
fn room(buffer: &mut Buffer, len: usize) {
    if buffer.len() < len {
        // What it was goes before the new one comes.
        *buffer = Buffer::default();
        *buffer = Buffer::zeros(len);
    }
}
