//! Typed pipelines: what ocellus does with a picture. None of them opens a file.

pub mod bench;
pub mod classify;
pub mod dedup;
pub mod detect;
pub mod embed;
pub mod evaluate;
pub mod hazard;
pub mod inspect;
pub mod label;
pub mod mask;
pub mod metadata;
mod normal_equations;
pub mod ocr;

/// Runs one stage and logs how long it took (`OCELLUS_LOG=ocellus=debug`).
pub fn timed<T>(stage: &str, work: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let result = work();
    log::debug!("{stage} {:.2} ms", start.elapsed().as_secs_f64() * 1000.0);
    result
}
