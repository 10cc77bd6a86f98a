//! What a region computes: steps over feature maps that lie in one piece of memory, planned once.

use super::form::Form;
use crate::kernels::isa::isa;
use crate::kernels::nchwc::{
    Buffer, Conv, Depthwise, Elementwise, Epilogue, Kernels, Layout, Maps, MaxPool, Operand, Quantization, Source,
    Team, Winograd, bytes, bytes_mut, encode,
};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Number of a map in a program.
pub type MapId = usize;

/// A map, or some blocks of another one.
#[derive(Debug, Clone)]
pub struct Map {
    /// Where its pixels lie, from `start` on.
    pub layout: Layout,
    /// First float in the memory of the program.
    pub start: usize,
    /// Whether its pixels are codes of one byte, and which.
    pub codes: Option<Quantization>,
}

impl Map {
    /// What it takes of the memory of the program.
    pub fn place(&self) -> Range<usize> {
        let len = if self.codes.is_some() { self.layout.len() / 4 } else { self.layout.len() };
        self.start..self.start + len
    }
}

/// What a step does before its epilogue.
#[derive(Debug)]
pub enum Work {
    /// Reads the input of this number.
    Import(usize, Form),
    /// Dense convolution.
    Conv(Box<Conv>),
    /// The same by fewer products.
    Winograd(Box<Winograd>),
    /// Depthwise convolution.
    Depthwise(Box<Depthwise>),
    /// Maxima of windows.
    MaxPool(Box<MaxPool>),
    /// Sums over all pixels.
    Total,
    /// Every output row and column is a weighted sum of some input rows and columns.
    Resample { rows: Vec<Mix>, columns: Vec<Mix> },
    /// Channels of single pixels spread over windows of so many rows and columns that do not overlap: the second half of a
    /// transposed convolution. `channels` are those between one tap and the next.
    Spread { rows: usize, columns: usize, channels: usize },
    /// Channels as they are, from this one on, to begin at that one.
    Copy { from: usize, to: usize },
    /// The codes of a map.
    Encode,
    /// Writes the output of this number.
    Export(usize, Form),
}

/// Places on an axis with their weights.
pub type Mix = Vec<(usize, f32)>;

/// One operation, and what is done to each of its results at once.
#[derive(Debug)]
pub struct Step {
    pub work: Work,
    /// The map that it reads; none for imports.
    pub input: Option<MapId>,
    /// The map that it writes; none for exports, and where only codes are wanted.
    pub output: Option<MapId>,
    /// The map for the codes of what it computes.
    pub codes: Option<MapId>,
    pub epilogue: Vec<(Elementwise, Other)>,
    /// Maps whose border gets this value first, because the memory held something else before.
    pub borders: Vec<(MapId, f32)>,
}

/// The second value of an operation in an epilogue.
#[derive(Debug, Clone)]
pub enum Other {
    None,
    Map(MapId),
    /// One value a channel.
    ChannelsOf(MapId),
    /// One stored value a channel, whole blocks of them.
    Stored(Buffer),
    /// The result as it was before the operation of this number.
    Before(usize),
}

/// A compiled region.
#[derive(Debug)]
pub struct Program {
    pub steps: Vec<Step>,
    pub maps: Vec<Map>,
    /// Floats of memory.
    pub memory: usize,
}

/// How many dense convolutions are computed in which way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Convolutions {
    /// Tap by tap, of floats.
    pub direct: usize,
    /// Tap by tap, of activations in one byte each.
    pub of_codes: usize,
    /// By Winograd's minimal filtering.
    pub winograd: usize,
}

/// Memory of runs that have ended, for whichever comes next: as many pieces as there were runs at the same time.
static IDLE: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());

impl Step {
    /// What it is called in a profile.
    pub fn name(&self) -> &'static str {
        match &self.work {
            Work::Import(..) => "to blocks",
            Work::Conv(_) => "convolution",
            Work::Winograd(_) => "convolution (Winograd)",
            Work::Depthwise(_) => "depthwise convolution",
            Work::MaxPool(_) => "max pool",
            Work::Total => "sum of pixels",
            Work::Resample { .. } => "resize",
            Work::Spread { .. } => "transposed convolution",
            Work::Copy { .. } => "elementwise",
            Work::Encode => "to codes",
            Work::Export(..) => "from blocks",
        }
    }
}

impl Program {
    /// Its dense convolutions.
    pub fn convolutions(&self) -> Convolutions {
        let mut found = Convolutions::default();
        for step in &self.steps {
            let reads_codes = step.input.is_some_and(|map| self.maps[map].codes.is_some());
            match step.work {
                Work::Conv(_) if reads_codes => found.of_codes += 1,
                Work::Conv(_) => found.direct += 1,
                Work::Winograd(_) => found.winograd += 1,
                _ => (),
            }
        }
        found
    }

    /// Computes `outputs` from `inputs`; `time` is told what each step took.
    pub fn run(
        &self,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
        team: &Team,
        mut time: impl FnMut(&'static str, Duration),
    ) {
        let kernels = Kernels::of(isa());
        let taken = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = taken.filter(|m| m.len() >= self.memory).unwrap_or_else(|| Buffer::zeros(self.memory));
        for step in &self.steps {
            let start = Instant::now();
            for (map, value) in &step.borders {
                let map = &self.maps[*map];
                let pixels = &mut memory[map.place()];
                match map.codes {
                    Some(codes) => map.layout.fill_border(bytes_mut(pixels), kernels.stored_code(codes.zero_point)),
                    None => map.layout.fill_border(pixels, *value),
                }
            }
            match (&step.work, step.input, step.output) {
                (Work::Import(number, form), _, Some(to)) => {
                    let map = &self.maps[to];
                    form.import(inputs[*number], &mut memory[map.place()], &map.layout, team);
                }
                (Work::Export(number, form), Some(from), _) => {
                    let map = &self.maps[from];
                    form.export(&memory[map.place()], &map.layout, outputs[*number], team);
                }
                (_, Some(from), _) => self.step(kernels, step, &mut memory, from, team),
                _ => (),
            }
            time(step.name(), start.elapsed());
        }
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }

    fn step(&self, kernels: &Kernels, step: &Step, memory: &mut [f32], from: MapId, team: &Team) {
        // The memory in pieces: what the step writes, one or two of them, and what is between, which it may read.
        let mut written: Vec<(usize, &mut [f32])> = Vec::with_capacity(2);
        let mut between: Vec<(usize, &[f32])> = Vec::with_capacity(3);
        let mut targets: Vec<MapId> = step.output.into_iter().chain(step.codes).collect();
        targets.sort_by_key(|map| self.maps[*map].start);
        let (mut rest, mut begin) = (memory, 0);
        for target in targets {
            let place = self.maps[target].place();
            let (before, behind) = std::mem::take(&mut rest).split_at_mut(place.start - begin);
            let (map, after) = behind.split_at_mut(place.len());
            between.push((begin, before));
            written.push((target, map));
            (rest, begin) = (after, place.end);
        }
        between.push((begin, rest));
        // The plan keeps what a step reads clear of what it writes.
        let read = |map: MapId| -> (&[f32], &Layout) {
            let Range { start, end } = self.maps[map].place();
            let (begin, piece) = between.iter().rev().find(|(begin, _)| *begin <= start).unwrap_or(&between[0]);
            (&piece[start - begin..end - begin], &self.maps[map].layout)
        };
        let mut output = Maps::default();
        for (map, pixels) in written {
            let Map { layout, codes, .. } = &self.maps[map];
            match codes {
                Some(codes) => output.codes = Some((bytes_mut(pixels), *layout, *codes)),
                None => output.floats = Some((pixels, *layout)),
            }
        }
        let epilogue: Vec<Epilogue> = step
            .epilogue
            .iter()
            .map(|(op, other)| Epilogue {
                op: *op,
                operand: match other {
                    Other::None => Operand::None,
                    Other::Map(map) => {
                        let (values, layout) = read(*map);
                        Operand::Map(values, *layout)
                    }
                    Other::ChannelsOf(map) => Operand::Channels(read(*map).0),
                    Other::Stored(values) => Operand::Channels(values),
                    Other::Before(first) => Operand::Before(*first),
                },
            })
            .collect();
        let (input, source) = read(from);
        let input_codes = self.maps[from].codes.map(|_| Source::Codes(bytes(input)));
        match (&step.work, output.codes.take()) {
            (Work::Conv(conv), codes) => {
                let input = input_codes.unwrap_or(Source::Floats(input));
                return conv.run(kernels, input, Maps { codes, ..output }, &epilogue, team);
            }
            (Work::Winograd(conv), codes) => {
                return conv.run(kernels, input, Maps { codes, ..output }, &epilogue, team);
            }
            (Work::Depthwise(conv), codes) => {
                return conv.run(kernels, input, Maps { codes, ..output }, &epilogue, team);
            }
            (Work::Encode, Some((codes, layout, quantization))) => {
                return encode(kernels, (source, input), (&layout, codes), quantization, team);
            }
            _ => (),
        }
        let Some((output, layout)) = output.floats else { return };
        let layout = &layout;
        match &step.work {
            Work::MaxPool(pool) => pool.run(kernels, input, output, layout, team),
            Work::Total => {
                for block in 0..source.blocks() {
                    let sums = &mut output[layout.pixels(block, 0)];
                    sums.fill(0.0);
                    (0..source.height).for_each(|row| kernels.total(&input[source.pixels(block, row)], sums));
                }
            }
            Work::Resample { rows, columns } => resample(input, source, output, layout, rows, columns, team),
            Work::Spread { rows, columns, channels } => {
                spread(input, source, output, layout, (*rows, *columns), *channels, team)
            }
            Work::Copy { from: 0, to: 0 } if source.lanes == layout.lanes && source.channels == layout.channels => {
                return team.each_part(output, layout.plane(), |block, plane| {
                    for row in 0..source.height {
                        let to = &mut plane[layout.pixels(0, row)];
                        to.copy_from_slice(&input[source.pixels(block, row)]);
                        apply(kernels, &epilogue, to, layout, block, row);
                    }
                });
            }
            Work::Copy { from, to } => copy_lanes(input, source, output, layout, (*from, *to)),
            _ => (),
        }
        apply_all(kernels, &epilogue, output, layout);
    }
}

fn apply_all(kernels: &Kernels, epilogue: &[Epilogue], map: &mut [f32], layout: &Layout) {
    if epilogue.is_empty() {
        return;
    }
    for block in 0..layout.blocks() {
        for row in 0..layout.height {
            apply(kernels, epilogue, &mut map[layout.pixels(block, row)], layout, block, row);
        }
    }
}

fn apply(kernels: &Kernels, epilogue: &[Epilogue], values: &mut [f32], layout: &Layout, block: usize, row: usize) {
    let mut kept = Vec::new();
    for (number, Epilogue { op, operand }) in epilogue.iter().enumerate() {
        if Operand::keeps(epilogue, number) {
            kept = values.to_vec();
        }
        match operand {
            Operand::None => kernels.apply(*op, values, &[]),
            Operand::Before(_) => kernels.apply(*op, values, &kept),
            Operand::Map(map, other) => kernels.apply(*op, values, &map[other.pixels(block, row)]),
            Operand::Channels(channels) => kernels.apply_block(*op, values, &channels[block * layout.lanes..]),
        }
    }
}

fn resample(input: &[f32], from: &Layout, output: &mut [f32], to: &Layout, rows: &[Mix], columns: &[Mix], team: &Team) {
    let lanes = from.lanes;
    team.each_part(output, to.plane(), |block, plane| {
        // One input row for each tap, mixed; then its columns.
        let mut line = vec![0f32; from.width * lanes];
        let mut last: Option<usize> = None;
        for (row, mix) in rows.iter().enumerate() {
            if let Some(last) = last.filter(|&last| rows[last] == *mix) {
                // As above: whole numbers of copies are the common case.
                plane.copy_within(to.pixels(0, last), to.at(0, row, 0));
                continue;
            }
            last = Some(row);
            line.fill(0.0);
            for (place, weight) in mix {
                let source = &input[from.pixels(block, *place)];
                line.iter_mut().zip(source).for_each(|(v, s)| *v += weight * s);
            }
            for (pixel, mix) in plane[to.pixels(0, row)].chunks_exact_mut(lanes).zip(columns) {
                match mix.as_slice() {
                    [(place, 1.0)] => pixel.copy_from_slice(&line[place * lanes..(place + 1) * lanes]),
                    _ => {
                        pixel.fill(0.0);
                        for (place, weight) in mix {
                            let source = &line[place * lanes..(place + 1) * lanes];
                            pixel.iter_mut().zip(source).for_each(|(v, s)| *v += weight * s);
                        }
                    }
                }
            }
        }
    });
}

fn spread(
    input: &[f32],
    from: &Layout,
    output: &mut [f32],
    to: &Layout,
    (rows, columns): (usize, usize),
    channels: usize,
    team: &Team,
) {
    let height = to.top + to.height + to.bottom;
    team.each_part(output, to.row(), |part, line| {
        let (block, row) = (part / height, part % height);
        let Some(row) = row.checked_sub(to.top).filter(|row| *row < to.height) else { return };
        let pixels = &mut line[to.left * to.lanes..][..to.width * to.lanes];
        for x in 0..columns {
            // Taps begin at a block, or all outputs lie side by side in single lanes.
            let source = (row % rows * columns + x) * channels + block * to.lanes;
            let lane = source % from.lanes;
            let line = input[from.pixels(source / from.lanes, row / rows)].chunks_exact(from.lanes);
            for (target, pixel) in pixels.chunks_exact_mut(to.lanes).skip(x).step_by(columns).zip(line) {
                target.copy_from_slice(&pixel[lane..lane + to.lanes]);
            }
        }
    });
}

fn copy_lanes(input: &[f32], from: &Layout, output: &mut [f32], to: &Layout, firsts: (usize, usize)) {
    for (channel, target) in (firsts.0..from.channels).zip(firsts.1..to.channels) {
        for row in 0..from.height {
            let source = &input[from.pixels(channel / from.lanes, row)];
            let line = &mut output[to.pixels(target / to.lanes, row)];
            let pixels = line.chunks_exact_mut(to.lanes).zip(source.chunks_exact(from.lanes));
            pixels.for_each(|(t, s)| t[target % to.lanes] = s[channel % from.lanes]);
        }
    }
}
