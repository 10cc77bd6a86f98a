//! What computes a block of channels from that block alone: depthwise convolutions, maxima, codes.

use super::conv::{OPEN, in_blocks, parts};
use super::int8::Quantization;
use super::lines::{Epilogue, Lines, Maps, Sink, Window, in_parts};
use super::tiles::{MAX_PIXELS, Tap, Tile, TileFn};
use super::{Buffer, Kernels, Layout, Team};

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
    /// The border of `input` should hold nothing that wins against a pixel: minus infinity, or zeros where nothing is negative.
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
                    of[part.len() - 1](&Tile {
                        input,
                        step,
                        taps,
                        weights,
                        bias,
                        output,
                        plane,
                        low,
                        high,
                        next: std::ptr::null(),
                    });
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
