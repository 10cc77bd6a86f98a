//! The network of a recipe: feature maps and the pooled vector of a view.

use crate::engine::Session;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::models::Model;
use crate::models::manifest::InputSpec;
use crate::preprocess;
use crate::recipe::Method;
use crate::tensor::Tensor;

/// What the network makes of a view.
#[derive(Debug)]
pub(super) struct Features {
    /// Mid-level feature maps from fine to coarse, 1 x C x H x W; empty if no region asks for them.
    pub maps: Vec<Tensor>,
    /// The pooled vector; empty if no region asks for it.
    pub pooled: Vec<f32>,
}

/// A network loaded for what the regions of a recipe need and no more: without a `cosine` region its deep half never
/// runs.
#[derive(Debug)]
pub(super) struct FeatureNet {
    session: Session,
    input: InputSpec,
    maps: usize,
    pooled: bool,
    /// SHA-256 of the ONNX file: vectors are comparable only within one model.
    pub sha256: String,
}

impl FeatureNet {
    /// The network for `methods`, or none if none of them runs one.
    pub fn for_methods(model: Option<&Model>, methods: &[Method]) -> Result<Option<Self>> {
        if !methods.iter().any(|m| m.needs_model()) {
            return Ok(None);
        }
        let model = model.ok_or_else(|| Error::Internal("a method needs a model and none was loaded".into()))?;
        model.expect_task("features")?;
        let outputs = &model.info.outputs;
        let mut names: Vec<&str> = Vec::new();
        if methods.contains(&Method::Patch) {
            names.extend(outputs.maps.iter().map(String::as_str));
        }
        let maps = names.len();
        let pooled = methods.contains(&Method::Cosine);
        if pooled {
            names.push(&outputs.features);
        }
        let session = Session::load(model, &names)?;
        Ok(Some(FeatureNet {
            session,
            input: model.info.input.clone(),
            maps,
            pooled,
            sha256: model.info.sha256.clone(),
        }))
    }

    /// Compiles the plan for views of this size, seen as [`FeatureNet::run`] does.
    pub fn prepare(&self, width: u32, height: u32, side: u32) -> Result<()> {
        let (width, height) = self.fitted(width, height, side);
        self.session.prepare(&[1, 3, height as usize, width as usize])
    }

    /// Runs the network on `view`, brought to about `side` x `side` pixels in its own shape.
    pub fn run(&self, view: &Image, side: u32) -> Result<Features> {
        let (width, height) = self.fitted(view.width(), view.height(), side);
        let input = preprocess::normalise(&preprocess::resize(view, width, height)?, &self.input)?;
        let mut outputs = self.session.run(&input)?;
        let pooled = if self.pooled { outputs.split_off(self.maps).swap_remove(0).into_data() } else { Vec::new() };
        Ok(Features { maps: outputs, pooled })
    }

    /// Sides of the network's input for a view: about `side` x `side` pixels in all, the shape of the view, multiples of
    /// what the network asks for.
    fn fitted(&self, width: u32, height: u32, side: u32) -> (u32, u32) {
        let multiple = self.input.multiple;
        let aspect = (width as f32 / height as f32).sqrt();
        let fit = |length: f32| ((length / multiple as f32).round() as u32).max(2) * multiple;
        (fit(side as f32 * aspect), fit(side as f32 / aspect))
    }
}
