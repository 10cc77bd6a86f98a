//! How an output is cut into lines, what a line looks at and what is done to it, and which thread computes it.

use super::{Elementwise, Layout, Team};
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

    /// Output rows (axis 0) or columns (axis 1) for a side of `input` pixels; 0 if no window fits.
    pub fn outputs(&self, axis: usize, input: usize) -> usize {
        let window = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        (self.before[axis] + input + self.after[axis])
            .checked_sub(window)
            .map_or(0, |free| free / self.stride[axis] + 1)
    }

    /// Floats from the upper left corner of a window to each of its taps, row by row.
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
    /// Floats to the upper left tap of its first pixel, in block 0.
    pub input: usize,
}

/// How an output is cut into lines: by rows or, where neither map has a border and the window is a point, regardless of them.
pub(super) struct Lines {
    input: Layout,
    pub output: Layout,
    window: Window,
}

impl Lines {
    pub(super) fn new(input: &Layout, output: &Layout, window: &Window, epilogue: &[Epilogue]) -> Self {
        window.check(input, output);
        let flat = |l: &Layout| Layout { height: 1, width: l.height * l.width, ..*l };
        let same = |l: &Layout| !l.has_border() && (l.height, l.width) == (input.height, input.width);
        let other = |e: &Epilogue| matches!(&e.operand, Operand::Map(_, l) if !same(l));
        let one_row = *window == Window::POINT && same(input) && same(output) && !epilogue.iter().any(other);
        match one_row {
            true => Lines { input: flat(input), output: flat(output), window: *window },
            false => Lines { input: *input, output: *output, window: *window },
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
#[derive(Clone, Copy)]
pub(super) struct Shared(pub(super) *mut f32);
// SAFETY: threads get parts that do not overlap; see the callers of `in_parts`.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    // A method, so that closures capture the whole (which is `Sync`) and not the pointer in it.
    pub(super) fn at(&self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
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
