//! The engine: input shapes, threads, values inside the graph, files that are no networks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ocellus::engine::Session;
use ocellus::models::{self, Model};
use ocellus::{Error, Tensor};
use std::time::{Duration, Instant};

fn lite0() -> &'static Model {
    models::embedded().iter().find(|m| m.info.id == "efficientnet-lite0").unwrap()
}

/// A picture-like input: smooth, and different for every `seed`.
fn input(width: usize, height: usize, seed: usize) -> Tensor {
    let value = |i: usize| ((i % width + seed * 7) as f32 / 9.0).sin() * ((i / width) as f32 / 13.0).cos();
    Tensor::new(vec![1, 3, height, width], (0..3 * width * height).map(value).collect()).unwrap()
}

fn model_error(result: Result<impl std::fmt::Debug, Error>) -> String {
    match result {
        Err(error @ Error::Model { .. }) => error.one_line(),
        other => panic!("a model error expected, found {other:?}"),
    }
}

#[test]
fn several_shapes_on_one_session() {
    let session = Session::load(lite0(), &["block2", "features"]).unwrap();
    let mut first = Vec::new();
    for (width, height) in [(224, 224), (96, 64), (320, 160), (32, 32)] {
        let outputs = session.run(&input(width, height, 0)).unwrap();
        assert_eq!(outputs[0].shape(), [1, 24, height / 4, width / 4]);
        assert_eq!(outputs[1].shape(), [1, 1280]);
        assert!(outputs.iter().all(|t| t.data().iter().all(|v| v.is_finite())));
        first.push(outputs);
    }
    // A shape seen before gives what it gave before.
    assert_eq!(session.run(&input(224, 224, 0)).unwrap(), first[0]);
    // More shapes than plans are kept.
    for i in 1..=9 {
        assert_eq!(session.run(&input(32 * i, 32, 0)).unwrap()[0].shape(), [1, 24, 8, 8 * i]);
    }
    assert_eq!(session.run(&input(96, 64, 0)).unwrap(), first[1]);
}

#[test]
fn values_inside_the_graph_by_name() {
    let alone = Session::load(lite0(), &["block2"]).unwrap().run(&input(224, 224, 3)).unwrap();
    assert_eq!(alone.len(), 1);
    assert_eq!(alone[0].shape(), [1, 24, 56, 56]);
    let both = Session::load(lite0(), &["features", "block2"]).unwrap().run(&input(224, 224, 3)).unwrap();
    assert_eq!(both[0].shape(), [1, 1280], "outputs come in the order they were asked for");
    let difference = alone[0].data().iter().zip(both[1].data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn threads_share_a_session() {
    let session = Session::load(lite0(), &["features"]).unwrap();
    let inputs: Vec<Tensor> = (0..6).map(|seed| input(64 + 32 * (seed % 2), 64, seed)).collect();
    let alone: Vec<Vec<Tensor>> = inputs.iter().map(|i| session.run(i).unwrap()).collect();
    assert_ne!(alone[0], alone[2]);
    let shared = Session::load(lite0(), &["features"]).unwrap();
    std::thread::scope(|scope| {
        for offset in 0..4 {
            let (shared, inputs, alone) = (&shared, &inputs, &alone);
            scope.spawn(move || {
                for turn in 0..inputs.len() {
                    let at = (turn + offset) % inputs.len();
                    assert_eq!(shared.run(&inputs[at]).unwrap(), alone[at]);
                }
            });
        }
    });
}

#[test]
fn loads_quickly() {
    let start = Instant::now();
    let session = Session::load(lite0(), &["features"]).unwrap();
    let loaded = start.elapsed();
    session.prepare(&[1, 3, 224, 224]).unwrap();
    let ready = start.elapsed();
    println!("EfficientNet-Lite0: loaded in {loaded:?}, ready in {ready:?}");
    assert!(ready < Duration::from_secs(2), "{ready:?}");
}

#[test]
fn what_is_no_network_is_an_error() {
    let with = |bytes: Vec<u8>| Model { info: lite0().info.clone(), bytes: bytes.into() };
    let noise: Vec<u8> = (0..50_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for bytes in [noise, b"hello, world".to_vec(), vec![0; 100], Vec::new()] {
        let message = model_error(Session::load(&with(bytes), &["features"]));
        assert!(message.starts_with("model efficientnet-lite0: ") && message.contains("ONNX"), "{message}");
        assert!(!message.contains('\n'));
    }
    let whole = &lite0().bytes;
    for part in [1, 2, 10, 1000, whole.len() / 4, whole.len() / 2, whole.len() - 1000, whole.len() - 1] {
        model_error(Session::load(&with(whole[..part].to_vec()), &["features"]));
    }
}

#[test]
fn an_unknown_output_is_named() {
    let message = model_error(Session::load(lite0(), &["block99"]));
    assert!(message.contains("\"block99\"") && message.contains("\"features\""), "{message}");
}

#[test]
fn an_input_that_does_not_fit_is_an_error() {
    let session = Session::load(lite0(), &["features"]).unwrap();
    let gray = Tensor::new(vec![1, 1, 64, 64], vec![0.0; 64 * 64]).unwrap();
    let message = model_error(session.run(&gray));
    assert!(message.contains("[1, 1, 64, 64]"), "{message}");
    // The session still works.
    assert_eq!(session.run(&input(64, 64, 0)).unwrap()[0].shape(), [1, 1280]);
}
