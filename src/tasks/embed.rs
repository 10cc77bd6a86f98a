//! One feature vector a picture, for search and comparison.

use crate::engine::Session;
use crate::error::Result;
use crate::image::Image;
use crate::models::Model;
use crate::models::manifest::InputSpec;
use crate::preprocess;

/// Computes feature vectors with one network.
#[derive(Debug)]
pub struct Embedder {
    session: Session,
    input: InputSpec,
}

impl Embedder {
    /// Loads `model` and compiles it for its own input size.
    pub fn new(model: &Model) -> Result<Self> {
        model.expect_task("features")?;
        let session = Session::load(model, &[&model.info.outputs.features])?;
        let [width, height] = model.info.input.size;
        session.prepare(&[1, 3, height as usize, width as usize])?;
        Ok(Embedder { session, input: model.info.input.clone() })
    }

    /// The feature vector of `image` (1280 values for the embedded models), not normalised.
    pub fn embed(&self, image: &Image) -> Result<Vec<f32>> {
        let (tensor, _) = preprocess::prepare(image, &self.input)?;
        let mut outputs = self.session.run(&tensor)?;
        Ok(outputs.swap_remove(0).into_data())
    }
}

/// Cosine of the angle between two vectors of the same length, -1 to 1; 0 if one of them is zero.
pub fn cosine_similarity(a: &[f32], b: &[f32]) -> f32 {
    let (mut dot, mut aa, mut bb) = (0f64, 0f64, 0f64);
    for (&x, &y) in a.iter().zip(b) {
        dot += x as f64 * y as f64;
        aa += x as f64 * x as f64;
        bb += y as f64 * y as f64;
    }
    let norm = (aa * bb).sqrt();
    if norm > 0.0 { (dot / norm) as f32 } else { 0.0 }
}
