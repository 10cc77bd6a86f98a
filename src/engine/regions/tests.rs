//! Graphs made at random, with and without regions.

mod maker;

use super::*;
use crate::engine::{fake_quantize, graph, simplify, stored_weights};
use fastrand::Rng;
use maker::{Maker, float, int, ints};
use proptest::prelude::*;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::InferenceModelExt;

/// A graph of about `size` nodes and the shape of its input.
fn made(seed: u64, size: usize, rounds: bool) -> (ModelProto, Vec<usize>) {
    let mut random = Rng::with_seed(seed);
    let sides = [random.usize(1..20), random.usize(1..24), random.usize(1..24)];
    let mut maker = Maker::new(random, sides, rounds);
    (0..size).for_each(|_| maker.step());
    let outputs = [maker.tail(), maker.tail()];
    maker.finish(&outputs)
}

fn outputs(model: TypedModel, input: &Tensor) -> TractResult<Vec<Tensor>> {
    let plan = model.into_runnable()?;
    Ok(plan.run(tvec!(input.clone().into()))?.into_iter().map(|v| v.into_tensor()).collect())
}

/// What a graph became.
#[derive(Default)]
struct Found {
    regions: usize,
    /// Of all regions.
    steps: usize,
    /// Convolutions that read codes.
    of_codes: usize,
    /// Convolutions by Winograd's minimal filtering.
    winograd: usize,
    /// There would be regions if nothing were rounded.
    lost: bool,
}

/// What a graph became; nothing if tract alone cannot run it (it fails on a few, with an operator `Dummy` left in the
/// graph). Where values are rounded, a last bit in a sum may make a step of the codes behind it, and that others: then results
/// are near in the mean, and not far anywhere.
fn compare(seed: u64, size: usize, threads: usize, rounds: bool) -> TractResult<Found> {
    let (proto, shape) = made(seed, size, rounds);
    let mut found = compare_graph(proto.clone(), &shape, threads, rounds, &format!("seed {seed}, {size} nodes"))?;
    if rounds {
        // Rounding costs no graph its regions.
        let mut plain = proto;
        let graph = plain.graph.as_mut().context("no graph")?;
        stored_weights::fold_dequantize(graph).map_err(TractError::msg)?;
        let (stored, nodes): (Vec<_>, Vec<_>) = graph.node.drain(..).partition(|n| n.op_type == stored_weights::NAME);
        graph.node = nodes;
        for node in &stored {
            graph.initializer.push(stored_weights::expanded(node).map_err(TractError::msg)?);
        }
        let nodes = plain.graph.iter_mut().flat_map(|graph| &mut graph.node);
        for node in nodes.filter(|n| ["QuantizeLinear", "DequantizeLinear"].contains(&n.op_type.as_str())) {
            node.op_type = "Identity".into();
            node.input.truncate(1);
        }
        let without = compare_graph(plain, &shape, threads, false, &format!("seed {seed}, {size} nodes, not rounded"))?;
        found.lost = without.regions > 0 && found.regions == 0;
    }
    Ok(found)
}

/// What the graph became, once its results have been held against tract's own.
fn compare_graph(
    mut proto: ModelProto,
    shape: &[usize],
    threads: usize,
    rounds: bool,
    what: &str,
) -> TractResult<Found> {
    let mut onnx = tract_onnx::onnx();
    stored_weights::register(&mut onnx.op_register);
    fake_quantize::register(&mut onnx.op_register);
    let graph = proto.graph.as_mut().context("no graph")?;
    let names: Vec<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    graph::turn_around(graph);
    stored_weights::fold_dequantize(graph).map_err(TractError::msg)?;
    fake_quantize::pair(graph).map_err(TractError::msg)?;
    graph::select_outputs(graph, &names).map_err(TractError::msg)?;
    let graph = onnx.parse(&proto, None)?.model;
    let typed = graph.with_input_fact(0, f32::fact(shape).into())?.into_typed()?;
    let mut random = Rng::with_seed(shape.iter().sum::<usize>() as u64);
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| random.f32() * 4.0 - 2.0).collect();
    let input = Tensor::from_shape(shape, &data)?;
    // As the graph says it, without any optimisation.
    let Ok(expected) = outputs(typed.clone(), &input) else { return Ok(Found::default()) };
    let Ok(model) = simplify::simplified(typed) else { return Ok(Found::default()) };
    let replaced = replace(&model)?;
    let regions: Vec<&RegionOp> = replaced.nodes.iter().filter_map(|n| n.op_as::<RegionOp>()).collect();
    let of_codes = regions.iter().map(|region| region.convolutions().of_codes).sum();
    let winograd = regions.iter().map(|region| region.convolutions().winograd).sum();
    let steps = regions.iter().map(|region| region.program.steps.len()).sum();
    let result = Found { regions: regions.len(), steps, of_codes, winograd, lost: false };
    let found = with_threads(threads, || outputs(simplify::optimized(replaced)?, &input))?;
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.shape(), expected.shape(), "{what}");
        let (found, expected) = (found.to_plain_array_view::<f32>()?, expected.to_plain_array_view::<f32>()?);
        let scale = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        let (worst, mean) = if rounds { (0.1, 0.01) } else { (1e-4, 1e-4) };
        let off: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / scale).collect();
        for (off, (a, b)) in off.iter().zip(found.iter().zip(&expected)) {
            assert!(*off <= worst, "{a} for {b} of {scale}: {what}");
        }
        let found = off.iter().sum::<f32>() / off.len().max(1) as f32;
        assert!(found <= mean, "off by {found} of {scale} in the mean: {what}");
    }
    Ok(result)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn graphs_give_the_same_with_regions(seed in any::<u64>(), size in 1usize..25, threads in 1usize..4) {
        compare(seed, size, threads, false).unwrap();
    }

    #[test]
    fn graphs_with_rounded_values_do_too(seed in any::<u64>(), size in 1usize..16, threads in 1usize..4) {
        prop_assert!(!compare(seed, size, threads, true).unwrap().lost);
    }
}

/// The graphs of the tests above are what they are about.
#[test]
fn most_graphs_get_regions() {
    let found: Vec<Found> = (0..40).map(|seed| compare(seed, 12, 1, false).unwrap()).collect();
    let with = |what: fn(&Found) -> usize| found.iter().filter(|found| what(found) > 0).count();
    assert!(with(|found| found.regions) > 30, "{} of 40", with(|found| found.regions));
    assert!(with(|found| found.winograd) > 2, "{} of 40", with(|found| found.winograd));
    let with = (0..40).filter(|&seed| compare(seed, 12, 1, true).unwrap().of_codes > 0).count();
    assert!(with > 15, "{with} of 40");
}

/// What a graph became that reads a value `input` of 16 x 12 x 20.
fn small(rounds: bool, build: &dyn Fn(&mut Maker) -> String) -> Found {
    let mut maker = Maker::new(Rng::with_seed(3), [16, 12, 20], rounds);
    let last = build(&mut maker);
    let (proto, shape) = maker.finish(&[last]);
    compare_graph(proto, &shape, 1, rounds, "as made").unwrap()
}

/// `x * f(x)` is done by the step that computes `x`, unless somebody else wants that.
#[test]
fn a_value_and_what_becomes_of_it() {
    let made = |kernel: usize, third: bool| {
        small(false, &|m| {
            let weights = m.weights(&[24, 16, kernel, kernel]);
            let x = m.node("Conv", &["input", &weights], vec![ints("kernel_shape", &[kernel; 2])]);
            let y = m.node("LeakyRelu", &[&x], vec![float("alpha", 0.1)]);
            let y = m.node("Mul", &[&y, &x], vec![]);
            let z = m.node("Sigmoid", &[&y], vec![]);
            let y = m.node("Add", &[&y, &z], vec![]);
            if third { m.node("Sub", &[&y, &x], vec![]) } else { y }
        })
    };
    // To blocks, the convolution, and from blocks; direct and by Winograd.
    assert_eq!((made(1, false).steps, made(3, false).steps), (3, 3));
    assert!(made(1, true).steps > 3 && made(3, true).winograd == 1);
}

/// Who reads a rounded value decides what becomes of it; none of them costs the region.
#[test]
fn rounded_values_and_who_reads_them() {
    let made = |build: &dyn Fn(&mut Maker, String) -> String| {
        small(true, &|maker| {
            let pooled = maker.node("MaxPool", &["input"], vec![ints("kernel_shape", &[2; 2])]);
            build(maker, pooled)
        })
    };
    let sides = [16, 11, 19];
    // Weights of 8 bits, the lowest code among them.
    let dense = |maker: &mut Maker, x: &str| {
        let codes: Vec<f32> =
            (0..24 * 16).map(|i| if i == 5 { -128.0 } else { (i * 37 % 255) as f32 - 127.0 }).collect();
        let weights = maker.stored(&[24, 16, 1, 1], codes.iter().map(|c| c / 600.0).collect());
        maker.node("Conv", &[x, &weights], vec![ints("kernel_shape", &[1; 2])])
    };
    let depthwise = |maker: &mut Maker, x: &str| {
        let weights = maker.weights(&[16, 1, 3, 3]);
        maker.node("Conv", &[x, &weights], vec![ints("kernel_shape", &[3; 2]), ints("pads", &[1; 4]), int("group", 16)])
    };
    for (of_codes, build) in [
        (
            1,
            &(|m: &mut Maker, x| {
                let x = m.rounded(x, sides);
                dense(m, &x)
            }) as &dyn Fn(&mut Maker, String) -> String,
        ),
        (0, &|m, x| {
            let x = m.rounded(x, sides);
            depthwise(m, &x)
        }),
        (1, &|m, x| {
            let x = m.rounded(x, sides);
            let (one, other) = (depthwise(m, &x), dense(m, &x));
            m.node("Concat", &[&one, &other], vec![int("axis", 1)])
        }),
        (1, &|m, x| {
            let x = m.rounded(x, sides);
            let x = m.rounded(x, sides);
            dense(m, &x)
        }),
        // Two kinds of codes of one map.
        (2, &|m, x| {
            let (one, other) = (m.rounded(x.clone(), sides), m.rounded(x, sides));
            let (one, other) = (dense(m, &one), dense(m, &other));
            m.node("Add", &[&one, &other], vec![])
        }),
        // Parts that do not fill their blocks, rounded as one.
        (1, &|m, x| {
            let weights = m.weights(&[5, 16, 1, 1]);
            let few = m.node("Conv", &[&x, &weights], vec![ints("kernel_shape", &[1; 2])]);
            let all = m.node("Concat", &[&few, &few], vec![int("axis", 1)]);
            let all = m.rounded(all, [10, 11, 19]);
            let codes = (0..240).map(|i| ((i * 91 % 255) as f32 - 127.0) / 500.0).collect();
            let weights = m.stored(&[24, 10, 1, 1], codes);
            m.node("Conv", &[&all, &weights], vec![ints("kernel_shape", &[1; 2])])
        }),
    ] {
        let found = made(build);
        assert!(found.regions > 0);
        assert_eq!(found.of_codes, of_codes);
    }
}
