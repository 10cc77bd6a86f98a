//! Every instruction set that the machine has, against sums written down plainly.

use super::lines::LINE;
use super::*;
use fastrand::Rng;
use proptest::prelude::*;

fn numbers(random: &mut Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.f32() * 4.0 - 2.0).collect()
}

/// For sums of about one, whatever the number of terms: the bounds on rounding stand for that.
fn weights(random: &mut Rng, outputs: usize, terms: usize) -> Vec<f32> {
    numbers(random, outputs * terms).iter().map(|w| w / (terms as f32).sqrt()).collect()
}

/// A map of channels x rows x columns, plainly.
#[derive(Clone)]
struct Plain {
    sides: [usize; 3],
    data: Vec<f32>,
}

impl Plain {
    fn random(random: &mut Rng, sides: [usize; 3]) -> Self {
        Plain { sides, data: numbers(random, sides.iter().product()) }
    }

    /// `outside` where there is no pixel.
    fn at(&self, channel: usize, row: isize, column: isize, outside: f32) -> f32 {
        let [_, rows, columns] = self.sides;
        if row < 0 || column < 0 || row >= rows as isize || column >= columns as isize {
            return outside;
        }
        self.data[(channel * rows + row as usize) * columns + column as usize]
    }

    /// In blocks; what is between the channels and around the pixels is not a number unless it has to be `border`.
    fn blocks(&self, layout: &Layout, border: f32) -> Buffer {
        let mut map = Buffer::zeros(layout.len());
        map.fill(f32::NAN);
        layout.fill_border(&mut map, border);
        let [channels, rows, columns] = self.sides;
        for (i, value) in self.data.iter().enumerate() {
            let (channel, row, column) = (i / columns / rows, i / columns % rows, i % columns);
            debug_assert!(channel < channels);
            map[layout.at(channel / layout.lanes, row, column) + channel % layout.lanes] = *value;
        }
        map
    }

    fn from(map: &[f32], layout: &Layout) -> Self {
        let sides = [layout.channels, layout.height, layout.width];
        let place = |i: usize| (i / layout.width / layout.height, i / layout.width % layout.height, i % layout.width);
        let value = |(channel, row, column): (usize, usize, usize)| {
            map[layout.at(channel / layout.lanes, row, column) + channel % layout.lanes]
        };
        Plain { sides, data: (0..sides.iter().product()).map(|i| value(place(i))).collect() }
    }

    fn assert_near(&self, expected: &Plain, what: &str) {
        assert_eq!(self.sides, expected.sides, "{what}");
        for (i, (found, wanted)) in self.data.iter().zip(&expected.data).enumerate() {
            assert!((found - wanted).abs() <= 2e-5 * (1.0 + wanted.abs()), "{what}: {found} for {wanted} at {i}");
        }
    }
}

/// A convolution in f64; weights are OIHW with `inputs` of them for each output.
fn convolved(input: &Plain, window: &Window, weights: &[f32], bias: &[f32], depthwise: bool) -> Plain {
    let [channels, rows, columns] = input.sides;
    let inputs = if depthwise { 1 } else { channels };
    let sides = [bias.len(), window.outputs(0, rows), window.outputs(1, columns)];
    let mut data = Vec::new();
    for output in 0..sides[0] {
        for y in 0..sides[1] {
            for x in 0..sides[2] {
                let mut sum = bias[output] as f64;
                for channel in 0..inputs {
                    for ky in 0..window.kernel[0] {
                        for kx in 0..window.kernel[1] {
                            let row =
                                (y * window.stride[0] + ky * window.dilation[0]) as isize - window.before[0] as isize;
                            let column =
                                (x * window.stride[1] + kx * window.dilation[1]) as isize - window.before[1] as isize;
                            let weight =
                                weights[((output * inputs + channel) * window.kernel[0] + ky) * window.kernel[1] + kx];
                            let from = if depthwise { output } else { channel };
                            sum += weight as f64 * input.at(from, row, column, 0.0) as f64;
                        }
                    }
                }
                data.push(sum as f32);
            }
        }
    }
    Plain { sides, data }
}

fn kernels() -> impl Iterator<Item = &'static Kernels> {
    let found: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
    assert!(found.contains(&Isa::Scalar));
    found.into_iter().map(Kernels::of)
}

/// As [`kernels`], with each kind of products of bytes that the machine has.
fn quantizing() -> Vec<&'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    static WORDS: Kernels = Kernels { quantized: || Some(&avx2::WORDS), ..avx2::KERNELS_OF };
    #[cfg(target_arch = "aarch64")]
    static WORDS: Kernels = Kernels { quantized: || Some(&neon::WORDS), ..neon::KERNELS_OF };
    let mut all: Vec<&Kernels> = kernels().filter(|kernels| kernels.reads_codes()).collect();
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if Isa::Avx2.is_available() || Isa::Neon.is_available() {
        all.push(&WORDS);
    }
    all
}

fn windows() -> impl Strategy<Value = Window> {
    let sides = |s: std::ops::Range<usize>| [s.clone(), s];
    (sides(1..6), sides(1..4), sides(1..3), sides(0..3), sides(0..3))
        .prop_map(|(kernel, stride, dilation, before, after)| Window { kernel, stride, dilation, before, after })
}

/// Those that Winograd's convolutions have.
fn of_three() -> impl Strategy<Value = Window> {
    let sides = || [0usize..3, 0..3];
    (sides(), sides()).prop_map(|(before, after)| Window { kernel: [3; 2], before, after, ..Window::POINT })
}

/// What is done to the results in tests, and the same done plainly.
fn epilogue(expected: &mut Plain, other: &Plain, channels: &[f32]) {
    let pixels = expected.sides[1] * expected.sides[2];
    for (i, value) in expected.data.iter_mut().enumerate() {
        let leaky = if *value < 0.0 { *value * 0.1 } else { *value };
        *value += (leaky + other.data[i]) * channels[i / pixels];
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn dense_convolutions(
        inputs in 1usize..40, outputs in 1usize..70, rows in 1usize..20, columns in 1usize..30,
        window in prop_oneof![windows(), of_three()], narrow in any::<bool>(), wider in 0usize..3, threads in 1usize..4,
        seed in any::<u64>(),
    ) {
        prop_assume!(window.outputs(0, rows) > 0 && window.outputs(1, columns) > 0);
        let mut random = Rng::with_seed(seed);
        let inputs = if narrow { inputs.min(4) } else { inputs };
        let input = Plain::random(&mut random, [inputs, rows, columns]);
        let weights = weights(&mut random, outputs, inputs * window.kernel[0] * window.kernel[1]);
        let bias = numbers(&mut random, outputs);
        let mut expected = convolved(&input, &window, &weights, &bias, false);
        expected.data.iter_mut().for_each(|v| *v = v.clamp(-2.0, 1.5));
        let other = Plain::random(&mut random, expected.sides);
        let channels = numbers(&mut random, outputs);
        epilogue(&mut expected, &other, &channels);
        for kernels in kernels() {
            let lanes = kernels.lanes();
            let layout = window.border(Layout::new(inputs, rows, columns, if narrow { inputs } else { lanes }));
            let layout = Layout { top: layout.top + wider, right: layout.right + wider, ..layout };
            let conv = Conv::new(kernels, layout, None, window, &weights, &bias).within((-2.0, 1.5));
            let [c, h, w] = expected.sides;
            let to = Layout { left: wider, bottom: wider, ..Layout::new(c, h, w, lanes) };
            let mut output = Buffer::zeros(to.len());
            let beside = Layout { top: wider, ..Layout::new(c, h, w, lanes) };
            let map = other.blocks(&beside, 0.0);
            let mut values = Buffer::zeros(to.blocks() * lanes);
            values[..outputs].copy_from_slice(&channels);
            let epilogue = [
                Epilogue { op: Elementwise::LeakyRelu { slope: 0.1 }, operand: Operand::None },
                Epilogue { op: Elementwise::Add, operand: Operand::Map(&map, beside) },
                Epilogue { op: Elementwise::Multiply, operand: Operand::Channels(&values) },
 Epilogue { op: Elementwise::Add, operand: Operand::Before(0) },
            ];
            let (source, team) = (input.blocks(&layout, 0.0), Team::new(threads));
            conv.run(kernels, Source::Floats(&source), Maps::floats(&mut output, &to), &epilogue, &team);
            Plain::from(&output, &to).assert_near(&expected, &format!("{kernels:?}"));
            // The border is somebody else's.
            let untouched = |output: &Buffer| {
                let mut cleared = output.to_vec();
                to.fill_border(&mut cleared, 0.0);
                cleared.iter().zip(output.iter()).all(|(a, b)| a.to_bits() == b.to_bits())
            };
            prop_assert!(untouched(&output));
            if Winograd::computes(&window) && layout.lanes == lanes {
                let conv = Winograd::new(kernels, layout, None, window, &weights, &bias).within((-2.0, 1.5));
                let mut output = Buffer::zeros(to.len());
                conv.run(kernels, &source, Maps::floats(&mut output, &to), &epilogue, &team);
                Plain::from(&output, &to).assert_near(&expected, &format!("{kernels:?}, Winograd"));
                prop_assert!(untouched(&output));
            }
        }
    }

    #[test]
    fn dense_convolutions_of_codes(
        inputs in 1usize..40, outputs in 1usize..70, rows in 1usize..20, columns in 1usize..30, window in windows(),
        zero in any::<u8>(), wider in 0usize..3, threads in 1usize..4, seed in any::<u64>(),
    ) {
        prop_assume!(window.outputs(0, rows) > 0 && window.outputs(1, columns) > 0);
        let mut random = Rng::with_seed(seed);
        let quantization = Quantization { scale: 0.02, zero_point: zero };
        let places = inputs * window.kernel[0] * window.kernel[1];
        // Whole numbers times what each output channel has of its own, the largest of them not always 127.
        let steps: Vec<f32> = numbers(&mut random, outputs).iter().map(|s| s.abs() * 0.02 / (places as f32).sqrt()).collect();
        let weight = |i: usize, random: &mut Rng| steps[i / places] * random.i32(-127..=127) as f32;
        let weights: Vec<f32> = (0..outputs * places).map(|i| weight(i, &mut random)).collect();
        let bias = numbers(&mut random, outputs);
        let input = Plain::random(&mut random, [inputs, rows, columns]);
        let codes_of_weights = Codes::of(&weights, outputs).unwrap();
        let codes = |value: f32| ((value / 0.02).round() + f32::from(zero)).clamp(0.0, 255.0);
        let rounded = Plain { data: input.data.iter().map(|v| (codes(*v) - f32::from(zero)) * 0.02).collect(), ..input };
        let mut expected = convolved(&rounded, &window, &weights, &bias, false);
        expected.data.iter_mut().for_each(|v| *v = v.max(-1.0));
        let written = Quantization { scale: 0.01, zero_point: 100 };
        for kernels in quantizing() {
            let lanes = kernels.lanes();
            let layout = window.border(Layout::new(inputs, rows, columns, lanes));
            let layout = Layout { top: layout.top + wider, right: layout.right + wider, ..layout };
            let mut map = vec![kernels.stored_code(zero); layout.len()];
            let floats = rounded.blocks(&layout, 0.0);
            // What lies between the channels must not count.
            let of = |v: f32| if v.is_nan() { 77 } else { codes(v) as u8 };
            map.iter_mut().zip(floats.iter()).for_each(|(code, v)| *code = kernels.stored_code(of(*v)));
            let conv = Conv::of_codes(kernels, layout, None, window, &codes_of_weights, &bias, quantization).unwrap();
            let conv = conv.within((-1.0, f32::INFINITY));
            let [c, h, w] = expected.sides;
            let to = Layout { left: wider, bottom: wider, ..Layout::new(c, h, w, lanes) };
            let beside = Layout { top: wider, ..Layout::new(c, h, w, lanes) };
            let (mut output, mut both, mut alone) = (Buffer::zeros(to.len()), vec![1; beside.len()], vec![1; beside.len()]);
            let maps = Maps { floats: Some((&mut output, to)), codes: Some((&mut both, beside, written)) };
            conv.run(kernels, Source::Codes(&map), maps, &[], &Team::new(threads));
            let found = Plain::from(&output, &to);
            found.assert_near(&expected, &format!("{kernels:?}"));
            let maps = Maps { floats: None, codes: Some((&mut alone, beside, written)) };
            conv.run(kernels, Source::Codes(&map), maps, &[], &Team::new(threads));
            prop_assert!(both == alone, "{:?}: codes alone", kernels);
            let mut again = vec![1; beside.len()];
            encode(kernels, (&to, &output), (&beside, &mut again), written, &Team::new(threads));
            prop_assert!(both == again, "{:?}: codes of what is computed", kernels);
            let bytes: Vec<f32> = both.iter().map(|code| f32::from(kernels.stored_code(*code))).collect();
            for (value, code) in found.data.iter().zip(&Plain::from(&bytes, &beside).data) {
                let wanted = ((value * written.scale.recip()).round_ties_even() + 100.0).clamp(0.0, 255.0);
                prop_assert_eq!(wanted, *code, "{:?}: {}", kernels, value);
            }
        }
    }

    #[test]
    fn depthwise_convolutions_and_maxima(
        channels in 1usize..40, rows in 1usize..20, columns in 1usize..30, window in windows(),
        threads in 1usize..4, seed in any::<u64>(),
    ) {
        prop_assume!(window.outputs(0, rows) > 0 && window.outputs(1, columns) > 0);
        let mut random = Rng::with_seed(seed);
        let input = Plain::random(&mut random, [channels, rows, columns]);
        let weights = weights(&mut random, channels, window.kernel[0] * window.kernel[1]);
        let bias = numbers(&mut random, channels);
        let expected = convolved(&input, &window, &weights, &bias, true);
        let mut highest = expected.clone();
        let [_, height, width] = expected.sides;
        for (i, value) in highest.data.iter_mut().enumerate() {
            let (channel, y, x) = (i / width / height, i / width % height, i % width);
            let places = (0..window.kernel[0]).flat_map(|ky| (0..window.kernel[1]).map(move |kx| (ky, kx)));
            let taps = places.map(|(ky, kx)| {
                let row = (y * window.stride[0] + ky * window.dilation[0]) as isize - window.before[0] as isize;
                let column = (x * window.stride[1] + kx * window.dilation[1]) as isize - window.before[1] as isize;
                input.at(channel, row, column, f32::NEG_INFINITY)
            });
            *value = taps.fold(f32::NEG_INFINITY, f32::max);
        }
        for kernels in kernels() {
            let layout = window.border(Layout::new(channels, rows, columns, kernels.lanes()));
            let to = Layout { right: 1, ..Layout::new(channels, height, width, kernels.lanes()) };
            let mut output = Buffer::zeros(to.len());
            let conv = Depthwise::new(kernels, layout, window, &weights, &bias);
            let maps = Maps::floats(&mut output, &to);
            conv.run(kernels, &input.blocks(&layout, 0.0), maps, &[], &Team::new(threads));
            Plain::from(&output, &to).assert_near(&expected, &format!("{kernels:?}"));
            let pool = MaxPool::new(kernels, layout, window);
            pool.run(kernels, &input.blocks(&layout, f32::NEG_INFINITY), &mut output, &to, &Team::new(threads));
            let found = Plain::from(&output, &to);
            prop_assert!(found.data.iter().zip(&highest.data).all(|(a, b)| a == b), "{:?}", kernels);
        }
    }

    /// A window over blocks of which some channels do not count.
    #[test]
    fn gaps_between_channels(first in 1usize..20, second in 1usize..20, seed in any::<u64>()) {
        let mut random = Rng::with_seed(seed);
        let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], before: [1, 1], after: [1, 1] };
        let input = Plain::random(&mut random, [first + second, 5, 9]);
        let weights = weights(&mut random, 7, (first + second) * 9);
        let bias = numbers(&mut random, 7);
        let expected = convolved(&input, &window, &weights, &bias, false);
        for kernels in kernels() {
            let lanes = kernels.lanes();
            let part = |n: usize| (0..n.div_ceil(lanes)).map(move |b| (n - b * lanes).min(lanes));
            let filled: Vec<usize> = part(first).chain(part(second)).collect();
            let layout = window.border(Layout::new(filled.len() * lanes, 5, 9, lanes));
            let skip = first.next_multiple_of(lanes) - first;
            let mut spread = Plain { sides: [layout.channels, 5, 9], data: vec![f32::NAN; layout.channels * 45] };
            for channel in 0..first + second {
                let to = if channel < first { channel } else { channel + skip };
                spread.data[to * 45..(to + 1) * 45].copy_from_slice(&input.data[channel * 45..(channel + 1) * 45]);
            }
            let conv = Conv::new(kernels, layout, Some(&filled), window, &weights, &bias);
            let to = Layout::new(7, 5, 9, lanes);
            let mut output = Buffer::zeros(to.len());
            let source = spread.blocks(&layout, 0.0);
            conv.run(kernels, Source::Floats(&source), Maps::floats(&mut output, &to), &[], &Team::new(1));
            Plain::from(&output, &to).assert_near(&expected, &format!("{kernels:?}"));
            let conv = Winograd::new(kernels, layout, Some(&filled), window, &weights, &bias);
            let mut output = Buffer::zeros(to.len());
            conv.run(kernels, &source, Maps::floats(&mut output, &to), &[], &Team::new(1));
            Plain::from(&output, &to).assert_near(&expected, &format!("{kernels:?}, Winograd"));
        }
    }

    #[test]
    fn softmax(outer in 1usize..4, len in 1usize..70, inner in 1usize..40, seed in any::<u64>()) {
        let mut random = Rng::with_seed(seed);
        let values: Vec<f32> = numbers(&mut random, outer * len * inner).iter().map(|v| v * 20.0).collect();
        for kernels in kernels() {
            let mut found = values.clone();
            kernels.softmax(&mut found, len, inner);
            for o in 0..outer {
                for i in 0..inner {
                    let at = |l: usize| (o * len + l) * inner + i;
                    let top = (0..len).map(|l| values[at(l)]).fold(f32::NEG_INFINITY, f32::max);
                    let sum: f64 = (0..len).map(|l| f64::from(values[at(l)] - top).exp()).sum();
                    for l in 0..len {
                        let wanted = f64::from(values[at(l)] - top).exp() / sum;
                        prop_assert!((f64::from(found[at(l)]) - wanted).abs() < 1e-6, "{} for {}", found[at(l)], wanted);
                    }
                }
            }
        }
    }
}

/// The error function in f64 by its series.
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= -x * x / n as f64;
        sum += term / (2 * n + 1) as f64;
    }
    (2.0 / std::f64::consts::PI.sqrt() * sum).clamp(-1.0, 1.0)
}

#[test]
fn windows_that_see_a_pixel() {
    let window = |before: usize, after: usize, dilation: usize| Window {
        kernel: [3; 2],
        dilation: [dilation; 2],
        before: [0, before],
        after: [after, 0],
        ..Window::POINT
    };
    assert!(window(2, 2, 1).sees_a_pixel());
    assert!(!window(3, 2, 1).sees_a_pixel() && !window(2, 3, 1).sees_a_pixel() && !window(1, 1, 2).sees_a_pixel());
}

#[test]
fn operations_on_single_values() {
    // Up to where the exponential leaves f32, and what is around zero.
    let values: Vec<f32> =
        (-1000..=1000).map(|i| i as f32 * 0.1).chain((-100..=100).map(|i| i as f32 * 0.003)).collect();
    let others: Vec<f32> = values.iter().rev().copied().collect();
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    type Plainly = Box<dyn Fn(f64, f64) -> f64>;
    let operations: [(Elementwise, Plainly); 11] = [
        (Elementwise::Affine { scale: 1.5, offset: -0.25 }, Box::new(|x, _| 1.5 * x - 0.25)),
        (Elementwise::Clamp { low: -1.0, high: 6.0 }, Box::new(|x, _| x.clamp(-1.0, 6.0))),
        (Elementwise::LeakyRelu { slope: 0.2 }, Box::new(|x, _| if x < 0.0 { 0.2f32 as f64 * x } else { x })),
        (Elementwise::Sigmoid, Box::new(move |x, _| logistic(x))),
        (Elementwise::Silu, Box::new(move |x, _| x * logistic(x))),
        (Elementwise::HardSwish, Box::new(|x, _| x * (x / 6.0 + 0.5).clamp(0.0, 1.0))),
        (
            Elementwise::Gelu,
            Box::new(|x, _| if x.abs() > 5.5 { x.max(0.0) } else { x / 2.0 * (1.0 + erf(x / 2f64.sqrt())) }),
        ),
        (
            Elementwise::FakeQuantize(Quantization { scale: 0.5, zero_point: 3 }),
            Box::new(|x, _| ((x / 0.5).round_ties_even() + 3.0).clamp(0.0, 255.0) * 0.5 - 1.5),
        ),
        (Elementwise::Add, Box::new(|x, y| x + y)),
        (Elementwise::Subtract, Box::new(|x, y| x - y)),
        (Elementwise::Multiply, Box::new(|x, y| x * y)),
    ];
    for kernels in kernels() {
        for (op, plain) in &operations {
            let mut found = values.clone();
            kernels.apply(*op, &mut found, &others);
            for ((x, y), found) in values.iter().zip(&others).zip(&found) {
                let wanted = plain(f64::from(*x), f64::from(*y));
                let off = (f64::from(*found) - wanted).abs();
                assert!(off <= 1e-6 * (1.0 + wanted.abs()), "{kernels:?} {op:?} of {x}, {y}: {found} for {wanted}");
            }
            let mut repeated = values[..3 * kernels.lanes()].to_vec();
            kernels.apply_block(*op, &mut repeated, &others);
            for (i, found) in repeated.iter().enumerate() {
                let wanted = plain(f64::from(values[i]), f64::from(others[i % kernels.lanes()]));
                assert!((f64::from(*found) - wanted).abs() <= 1e-6 * (1.0 + wanted.abs()), "{kernels:?} {op:?}");
            }
        }
        let mut sums = vec![1f32; kernels.lanes()];
        kernels.total(&values[..7 * kernels.lanes()], &mut sums);
        for (lane, sum) in sums.iter().enumerate() {
            let wanted: f32 = 1.0 + (0..7).map(|p| values[p * kernels.lanes() + lane]).sum::<f32>();
            assert!((sum - wanted).abs() < 1e-3, "{kernels:?}: {sum} for {wanted}");
        }
    }
}

/// Maps without borders run as one row; lines are longer than a tile, and than a line's memory beside them.
#[test]
fn codes_of_long_lines_with_an_epilogue() {
    let mut random = Rng::with_seed(9);
    let (rows, columns, inputs, outputs) = (7, 30, 19, 50);
    let quantization = Quantization { scale: 0.02, zero_point: 100 };
    let weights: Vec<f32> = (0..outputs * inputs).map(|_| random.i32(-127..=127) as f32 * 0.002).collect();
    let codes_of_weights = Codes::of(&weights, outputs).unwrap();
    let bias = numbers(&mut random, outputs);
    let codes: Vec<u8> = (0..inputs * rows * columns).map(|_| random.u8(..)).collect();
    let data = codes.iter().map(|code| (f32::from(*code) - 100.0) * 0.02).collect();
    let input = Plain { sides: [inputs, rows, columns], data };
    let mut expected = convolved(&input, &Window::POINT, &weights, &bias, false);
    let other = Plain::random(&mut random, expected.sides);
    let channels = numbers(&mut random, outputs);
    epilogue(&mut expected, &other, &channels);
    for kernels in quantizing() {
        let lanes = kernels.lanes();
        let layout = Layout::new(inputs, rows, columns, lanes);
        let map: Vec<u8> = input
            .blocks(&layout, 0.0)
            .iter()
            .map(|v| if v.is_nan() { 9 } else { (v / 0.02).round() as i32 as u8 })
            .collect();
        let map: Vec<u8> = map.iter().map(|code| kernels.stored_code(code.wrapping_add(100))).collect();
        let conv =
            Conv::of_codes(kernels, layout, None, Window::POINT, &codes_of_weights, &bias, quantization).unwrap();
        let to = Layout::new(outputs, rows, columns, lanes);
        let beside = other.blocks(&to, 0.0);
        let values = conv_values(&channels, to.blocks() * lanes);
        let steps = [
            Epilogue { op: Elementwise::LeakyRelu { slope: 0.1 }, operand: Operand::None },
            Epilogue { op: Elementwise::Add, operand: Operand::Map(&beside, to) },
            Epilogue { op: Elementwise::Multiply, operand: Operand::Channels(&values) },
            Epilogue { op: Elementwise::Add, operand: Operand::Before(0) },
        ];
        let written = Quantization { scale: 0.05, zero_point: 128 };
        let (mut output, mut both, mut alone) = (Buffer::zeros(to.len()), vec![1; to.len()], vec![2; to.len()]);
        let maps = Maps { floats: Some((&mut output, to)), codes: Some((&mut both, to, written)) };
        conv.run(kernels, Source::Codes(&map), maps, &steps, &Team::new(2));
        Plain::from(&output, &to).assert_near(&expected, &format!("{kernels:?}"));
        let maps = Maps { floats: None, codes: Some((&mut alone, to, written)) };
        conv.run(kernels, Source::Codes(&map), maps, &steps, &Team::new(2));
        assert_eq!(real(&both, &to), real(&alone, &to), "{kernels:?}");

        let layout = Layout::new(outputs, rows, columns, lanes);
        let depthwise = Depthwise::new(kernels, layout, Window::POINT, &channels, &bias);
        let maps = Maps { floats: None, codes: Some((&mut alone, to, written)) };
        depthwise.run(kernels, &other.blocks(&layout, 0.0), maps, &steps[..1], &Team::new(2));
        let mut floats = Buffer::zeros(to.len());
        depthwise.run(kernels, &other.blocks(&layout, 0.0), Maps::floats(&mut floats, &to), &steps[..1], &Team::new(2));
        encode(kernels, (&to, &floats), (&to, &mut both), written, &Team::new(1));
        assert_eq!(real(&both, &to), real(&alone, &to), "{kernels:?}");
    }
}

/// Lines are in pieces, strips of several lines, and their number is odd; every thread count gives the same bits, also where
/// threads share the output channels of a strip.
#[test]
fn winograd_on_large_maps() {
    let window = Window { kernel: [3; 2], before: [1; 2], after: [1; 2], ..Window::POINT };
    let written = Quantization { scale: 0.05, zero_point: 128 };
    for (rows, columns, inputs, outputs) in [(41, 2 * LINE + 13, 33, 50), (7, 6, 160, 130)] {
        let mut random = Rng::with_seed(4);
        let input = Plain::random(&mut random, [inputs, rows, columns]);
        let weights = weights(&mut random, outputs, inputs * 9);
        let bias = numbers(&mut random, outputs);
        let mut expected = convolved(&input, &window, &weights, &bias, false);
        let other = Plain::random(&mut random, expected.sides);
        let channels = numbers(&mut random, outputs);
        epilogue(&mut expected, &other, &channels);
        for kernels in kernels() {
            let layout = window.border(Layout::new(inputs, rows, columns, kernels.lanes()));
            let to = Layout::new(outputs, rows, columns, kernels.lanes());
            let (beside, values) = (other.blocks(&to, 0.0), conv_values(&channels, to.blocks() * to.lanes));
            let steps = [
                Epilogue { op: Elementwise::LeakyRelu { slope: 0.1 }, operand: Operand::None },
                Epilogue { op: Elementwise::Add, operand: Operand::Map(&beside, to) },
                Epilogue { op: Elementwise::Multiply, operand: Operand::Channels(&values) },
                Epilogue { op: Elementwise::Add, operand: Operand::Before(0) },
            ];
            let conv = Winograd::new(kernels, layout, None, window, &weights, &bias);
            let source = input.blocks(&layout, 0.0);
            let mut first = Buffer::zeros(to.len());
            conv.run(kernels, &source, Maps::floats(&mut first, &to), &steps, &Team::new(1));
            Plain::from(&first, &to).assert_near(&expected, &format!("{kernels:?}"));
            for threads in 2..6 {
                let (mut again, mut both, mut alone) = (Buffer::zeros(to.len()), vec![1; to.len()], vec![2; to.len()]);
                let team = Team::new(threads);
                let maps = Maps { floats: Some((&mut again, to)), codes: Some((&mut both, to, written)) };
                conv.run(kernels, &source, maps, &steps, &team);
                assert!(first.iter().zip(again.iter()).all(|(a, b)| a.to_bits() == b.to_bits()), "{kernels:?}");
                let maps = Maps { floats: None, codes: Some((&mut alone, to, written)) };
                conv.run(kernels, &source, maps, &steps, &team);
                assert_eq!(real(&both, &to), real(&alone, &to), "{kernels:?}");
            }
        }
    }
}

fn conv_values(channels: &[f32], len: usize) -> Buffer {
    let mut values = Buffer::zeros(len);
    values[..channels.len()].copy_from_slice(channels);
    values
}

/// The codes of channels that exist.
fn real(codes: &[u8], layout: &Layout) -> Vec<f32> {
    let floats: Vec<f32> = codes.iter().map(|code| f32::from(*code)).collect();
    Plain::from(&floats, layout).data
}

#[test]
#[should_panic(expected = "leaves")]
fn a_window_outside_of_its_input_is_refused() {
    let kernels = Kernels::of(Isa::Scalar);
    let window = Window { kernel: [3, 3], before: [1, 1], after: [1, 1], ..Window::POINT };
    let layout = Layout::new(4, 5, 5, 4);
    let pool = MaxPool::new(kernels, layout, window);
    pool.run(kernels, &vec![0.0; layout.len()], &mut vec![0.0; layout.len()], &layout, &Team::new(1));
}
