//! The stages of an inspection, measured on the example product: `cargo bench`.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench that meets an error has nothing better to do than stop")]

use criterion::{Criterion, criterion_group, criterion_main};
use ocellus::engine::Session;
use ocellus::input::{Limits, Source};
use ocellus::models::{
    self,
    manifest::{Fit, InputSpec},
};
use ocellus::tasks::embed::Embedder;
use ocellus::tasks::inspect::{AlignChoice, Aligner, Learner, RegionSpec};
use ocellus::{Image, Tensor, preprocess};
use std::hint::black_box;
use std::path::Path;

fn photo(name: &str) -> Image {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/connector").join(name);
    Source::File(path).load(&Limits::default()).unwrap()
}

fn pixels(c: &mut Criterion) {
    let image = photo("good/01.jpg");
    let spec = &models::default_for("features").unwrap().info.input;
    let letterbox = InputSpec { fit: Fit::Letterbox, pad: 114, ..spec.clone() };
    c.bench_function("fit 640x480 to 320x320, letterbox", |b| {
        b.iter(|| preprocess::fit(black_box(&image), 320, 320, &letterbox).unwrap());
    });
    let small = preprocess::resize(&image, 320, 320).unwrap();
    c.bench_function("normalise 320x320", |b| b.iter(|| preprocess::normalise(black_box(&small), spec).unwrap()));
}

fn network(c: &mut Criterion) {
    for model in models::embedded() {
        let id = &model.info.id;
        let name = model.info.outputs.features.as_str();
        let input = Tensor::new(vec![1, 3, 224, 224], vec![0.5; 3 * 224 * 224]).unwrap();
        c.bench_function(&format!("{id}: load and prepare for 224x224"), |b| {
            b.iter(|| Session::load(model, &[name]).unwrap().prepare(input.shape()).unwrap());
        });
        let session = Session::load(model, &[name]).unwrap();
        c.bench_function(&format!("{id}: run at 224x224"), |b| b.iter(|| session.run(black_box(&input)).unwrap()));
        let embedder = Embedder::new(model).unwrap();
        let image = photo("good/01.jpg");
        c.bench_function(&format!("{id}: embed 640x480"), |b| b.iter(|| embedder.embed(black_box(&image)).unwrap()));
    }
}

fn inspection(c: &mut Criterion) {
    let golden = photo("good/01.jpg");
    let turned = photo("good/07.jpg");
    let aligner = Aligner::new(&golden).unwrap();
    c.bench_function("align 640x480", |b| b.iter(|| aligner.find(black_box(&turned)).unwrap()));
    let lost = photo("test/misplaced_01.jpg");
    c.bench_function("align 640x480, wide search", |b| b.iter(|| aligner.find(black_box(&lost)).unwrap()));
    let region =
        RegionSpec { name: "part".into(), rect: [150, 120, 256, 256], method: ocellus::recipe::Method::Classical };
    let learner = Learner::new(&golden, vec![region], None, AlignChoice::Pose, 0).unwrap();
    let goods: Vec<_> = (1..=5).map(|i| learner.look(&photo(&format!("good/{i:02}.jpg"))).unwrap()).collect();
    c.bench_function("learn a classical 256x256 region from 5 parts", |b| {
        b.iter(|| learner.finish(black_box(&goods), &|_, _| ()).unwrap());
    });
}

criterion_group! {
    name = stages;
    config = Criterion::default().sample_size(20);
    targets = pixels, network, inspection
}
criterion_main!(stages);
