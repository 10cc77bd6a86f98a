//! How an output is cut into lines, what a line looks at and what is done to it, and which thread computes it.

use super::int8::{EncodeFn, Quantization};
use super::{Buffer, Elementwise, Kernels, Layout, Team};
use std::ops::Range;

/// Pixels of a line at most.
pub(super) const LINE: usize = 96;

/// Which input pixels an output pixel looks at: row and column each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Taps.
    pub kernel: [usize; 2],
    /// Input pixels from one output pixel to the next.
    pub stride: [usize; 2],
    /// Input pixels from one tap to the next.
    pub dilation: [usize; 2],
    /// Pixels by which the first window begins above and left of the input.
    pub before: [usize; 2],
    /// Pixels by which the last one may end below and right of it.
    pub after: [usize; 2],
}

impl Window {
    /// One pixel.
    pub const POINT: Window =
        Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], before: [0; 2], after: [0; 2] };

    /// The border that an input needs so that every window lies inside of it.
    pub fn border(&self, input: Layout) -> Layout {
        Layout { top: self.before[0], left: self.before[1], bottom: self.after[0], right: self.after[1], ..input }
    }

    /// Whether there is a pixel in each window, however far it reaches beyond the input.
    pub fn sees_a_pixel(&self) -> bool {
        let near =
            |axis: usize| self.before[axis].max(self.after[axis]) < self.kernel[axis] && self.dilation[axis] == 1;
        near(0) && near(1)
    }

    /// Output rows (axis 0) or columns (axis 1) for a side of `input` pixels; 0 if no window fits.
    pub fn outputs(&self, axis: usize, input: usize) -> usize {
        let window = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        (self.before[axis] + input + self.after[axis])
            .checked_sub(window)
            .map_or(0, |free| free / self.stride[axis] + 1)
    }

    /// Elements from the upper left corner of a window to each of its taps, row by row.
    pub(super) fn offsets(&self, input: &Layout) -> Vec<usize> {
        let [rows, columns] = self.kernel;
        (0..rows * columns)
            .map(|i| i / columns * self.dilation[0] * input.row() + i % columns * self.dilation[1] * input.lanes)
            .collect()
    }

    /// Panics unless every window of `output` lies inside of `input`, border included: what the kernels rely on.
    fn check(&self, input: &Layout, output: &Layout) {
        // In 128 bits: nothing that a file may say overflows them.
        let fits = |axis: usize, outputs: usize, before: usize, inside: usize| {
            let [kernel, stride, dilation] = [self.kernel, self.stride, self.dilation].map(|sides| sides[axis] as u128);
            let last = (outputs as u128).saturating_sub(1) * stride + kernel.saturating_sub(1) * dilation;
            kernel > 0 && self.before[axis] <= before && last < (inside - before + self.before[axis]) as u128
        };
        assert!(
            input.checked_len().is_some() && output.checked_len().is_some(),
            "{input:?} or {output:?} is too large"
        );
        assert!(
            fits(0, output.height, input.top, input.top + input.height + input.bottom)
                && fits(1, output.width, input.left, input.left + input.width + input.right),
            "{self:?} leaves {input:?} for {output:?}"
        );
    }
}

/// The second value of an operation.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// The operation has none.
    None,
    /// A map of the same sides.
    Map(&'a [f32], Layout),
    /// One value a channel: whole blocks.
    Channels(&'a [f32]),
    /// What the result was before the operation of this number, the first being 0, as in `x * sigmoid(x)`. Where there are
    /// several, each reaches back to behind the one before it.
    Before(usize),
}

impl Operand<'_> {
    /// Whether one of `epilogue` wants the result as it is before the operation of this number.
    pub fn keeps(epilogue: &[Epilogue], number: usize) -> bool {
        epilogue.iter().any(|e| matches!(e.operand, Operand::Before(first) if first == number))
    }
}

/// What is done to a line of output as soon as it is computed, while it is in the nearest cache.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// The operation.
    pub op: Elementwise,
    /// Its second value.
    pub operand: Operand<'a>,
}

/// A piece of an output row, and where its input begins.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub row: usize,
    pub column: usize,
    pub pixels: usize,
    /// Elements to the upper left tap of its first pixel, in block 0.
    pub input: usize,
}

/// How an output is cut into lines: by rows or, where neither map has a border and the window is a point, regardless of them.
pub(super) struct Lines {
    input: Layout,
    pub output: Layout,
    /// Where the codes of the output go, if it has any.
    codes: Option<Layout>,
    window: Window,
}

impl Lines {
    pub(super) fn new(input: &Layout, output: &Maps, window: &Window, epilogue: &[Epilogue]) -> Self {
        let codes = output.codes.as_ref().map(|(_, layout, _)| *layout);
        let output = output.layout();
        [Some(output), codes].iter().flatten().for_each(|output| window.check(input, output));
        let flat = |l: &Layout| Layout { height: 1, width: l.height * l.width, ..*l };
        let same = |l: &Layout| !l.has_border() && (l.height, l.width) == (input.height, input.width);
        let other = |e: &Epilogue| matches!(&e.operand, Operand::Map(_, l) if !same(l));
        let one_row = *window == Window::POINT
            && [input, &output].into_iter().chain(&codes).all(same)
            && !epilogue.iter().any(other);
        match one_row {
            true => {
                Lines { input: flat(input), output: flat(&output), codes: codes.as_ref().map(flat), window: *window }
            }
            false => Lines { input: *input, output, codes, window: *window },
        }
    }

    fn pieces(&self) -> usize {
        self.output.width.div_ceil(LINE)
    }

    pub(super) fn count(&self) -> usize {
        self.output.height * self.pieces()
    }

    pub(super) fn get(&self, index: usize) -> Line {
        let pieces = self.pieces();
        let row = index / pieces;
        let Range { start: column, end } = share(self.output.width, index % pieces, pieces);
        let y = row * self.window.stride[0] + self.input.top - self.window.before[0];
        let x = column * self.window.stride[1] + self.input.left - self.window.before[1];
        Line { row, column, pixels: end - column, input: y * self.input.row() + x * self.input.lanes }
    }
}

/// Part `index` of `0..count` cut into `parts` as equal as can be.
pub(super) fn share(count: usize, index: usize, parts: usize) -> Range<usize> {
    count * index / parts..count * (index + 1) / parts
}

/// An output that several threads write to, each its own lines or blocks.
pub(super) struct Shared<T>(pub(super) *mut T);
// SAFETY: threads get parts that do not overlap; see the callers of `in_parts`.
unsafe impl<T: Send> Send for Shared<T> {}
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    // A method, so that closures capture the whole (which is `Sync`) and not the pointer in it.
    pub(super) fn at(&self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

/// Where results go: into a map of floats, one of codes, or both; they have the same sides.
#[derive(Debug, Default)]
pub struct Maps<'a> {
    /// As they are.
    pub floats: Option<(&'a mut [f32], Layout)>,
    /// One byte each.
    pub codes: Option<(&'a mut [u8], Layout, Quantization)>,
}

impl<'a> Maps<'a> {
    /// Floats only.
    pub fn floats(map: &'a mut [f32], layout: &Layout) -> Self {
        Maps { floats: Some((map, *layout)), codes: None }
    }

    /// Of the floats or else of the codes.
    pub(super) fn layout(&self) -> Layout {
        let codes = || self.codes.as_ref().map(|(_, layout, _)| *layout);
        self.floats.as_ref().map(|(_, layout)| *layout).or_else(codes).unwrap_or(Layout::new(0, 0, 0, 1))
    }

    /// Panics unless the maps have room for their layouts, and `channels` in blocks of `lanes`: what the kernels rely on.
    pub(super) fn check(&self, channels: usize, lanes: usize) {
        let room = self.floats.iter().all(|(map, layout)| map.len() >= layout.len())
            && self.codes.iter().all(|(map, layout, _)| map.len() >= layout.len());
        assert!(room, "maps shorter than their layouts");
        let layout = self.layout();
        let sides = |l: &Layout| (l.channels, l.height, l.width, l.lanes);
        let codes = self.codes.as_ref().map_or(layout, |(_, codes, _)| *codes);
        assert!(
            sides(&layout) == sides(&codes) && (layout.channels, layout.lanes) == (channels, lanes),
            "{layout:?} and {codes:?} for {channels} channels in blocks of {lanes}"
        );
    }
}

/// [`Maps`] that several threads write to.
pub(super) struct Sink {
    floats: Option<Shared<f32>>,
    codes: Option<(Shared<u8>, f32, f32, EncodeFn)>,
}

impl Sink {
    /// Panics if there are to be codes and the kernels have none.
    pub(super) fn new(kernels: &Kernels, maps: Maps) -> Self {
        let floats = maps.floats.map(|(map, _)| Shared(map.as_mut_ptr()));
        let encode = kernels.quantized().map(|kernels| kernels.encode);
        assert!(encode.is_some() || maps.codes.is_none(), "no kernels for codes");
        let codes = maps.codes.zip(encode).map(|((map, _, quantization), encode)| {
            (Shared(map.as_mut_ptr()), 1.0 / quantization.scale, f32::from(quantization.zero_point), encode)
        });
        Sink { floats, codes }
    }

    /// Memory for one line of so many blocks, if it is not written to a map at once.
    pub(super) fn beside(&self, blocks: usize, lanes: usize) -> Buffer {
        Buffer::zeros(if self.floats.is_some() { 0 } else { blocks * LINE * lanes })
    }

    /// Where `line` of `block` and those of the blocks behind it are computed, and the floats from one to the next.
    pub(super) fn line(&self, lines: &Lines, block: usize, line: &Line, beside: &mut Buffer) -> (*mut f32, usize) {
        match &self.floats {
            Some(map) => (map.at(lines.output.at(block, line.row, line.column)), lines.output.plane()),
            None => (beside.as_mut_ptr(), LINE * lines.output.lanes),
        }
    }

    /// Writes the codes of a line of a block.
    ///
    /// # Safety
    /// Its floats are at `values`; the line lies inside of the output, and no other thread writes it.
    pub(super) unsafe fn encode(&self, lines: &Lines, block: usize, line: &Line, values: *const f32) {
        if let (Some((map, inverse, zero, encode)), Some(layout)) = (&self.codes, &lines.codes) {
            let to = map.at(layout.at(block, line.row, line.column));
            // SAFETY: the caller's.
            unsafe { encode(values, line.pixels * layout.lanes, *inverse, *zero, to) }
        }
    }
}

/// Tasks for each thread, so that one that comes late leaves more of them to the others.
const TASKS: usize = 4;

/// Runs `work` for parts that together are `0..count`.
pub(super) fn in_parts(count: usize, team: &Team, work: impl Fn(Range<usize>) + Sync) {
    if team.threads() == 1 {
        return work(0..count);
    }
    let tasks = (team.threads() * TASKS).min(count);
    team.each(tasks, |task| work(share(count, task, tasks)));
}
