//! `cosine`: one pooled feature vector for the whole region against those of the good parts.

use super::features::FeatureNet;
use super::frame::{Frame, View};
use super::light::{LightField, even, relight};
use super::memory::{Scored, Store};
use crate::error::Result;
use crate::image::Image;
use crate::tasks::embed::cosine_similarity;
use rayon::prelude::*;

/// The network sees about this many pixels a side: near to the size that it was trained at.
const SIDE: u32 = 224;
/// Relit copies of each good part that are scored to find the threshold.
const COPIES: usize = 3;

/// The vectors of the good parts.
#[derive(Debug)]
pub(super) struct Cosine {
    /// The light of the good parts, if they have a pose: light moves a pooled vector more than a missing screw does.
    light: Option<LightField>,
    vectors: Vec<Vec<f32>>,
}

impl Cosine {
    /// Compiles the plan for views of `frame`.
    pub fn prepare(frame: &Frame, net: &FeatureNet) -> Result<()> {
        net.prepare(frame.width, frame.height, SIDE)
    }

    /// Learns from views of good parts, and scores relit copies of each against the others.
    pub fn learn(views: &[&View], posed: bool, net: &FeatureNet, seed: u64) -> Result<(Self, Vec<f32>)> {
        let light = LightField::common(views.iter().map(|v| &v.image), posed);
        let embed = |image: &Image| pooled(&even(&light, image)?, net);
        let vectors = views.par_iter().map(|v| embed(&v.image)).collect::<Result<Vec<_>>>()?;
        let held_out = (0..views.len() * COPIES)
            .into_par_iter()
            .map(|i| {
                let own = i / COPIES;
                let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(i as u64));
                let vector = embed(&relight(&views[own].image, views[own].shrunk(), &mut rng)?)?;
                let others = vectors.iter().enumerate().filter(|(k, _)| *k != own).map(|(_, v)| v);
                Ok(distance(others, &vector))
            })
            .collect::<Result<_>>()?;
        Ok((Cosine { light, vectors }, held_out))
    }

    /// The [`distance`] of a view.
    pub fn score(&self, view: &Image, net: &FeatureNet) -> Result<Scored> {
        let vector = pooled(&even(&self.light, view)?, net)?;
        Ok(Scored { score: distance(self.vectors.iter(), &vector), map: None })
    }

    pub fn write(&self, store: &mut Store) {
        store.put_light(&self.light);
        let dim = self.vectors.first().map_or(0, Vec::len);
        store.put("vectors", &[self.vectors.len(), dim], &self.vectors.concat());
    }

    pub fn read(store: &Store) -> Result<Self, String> {
        let ([count, dim], values) = store.array("vectors")?;
        if count == 0 || dim == 0 {
            return Err("it holds no vectors".into());
        }
        Ok(Cosine { light: store.light()?, vectors: values.chunks_exact(dim).map(<[f32]>::to_vec).collect() })
    }
}

/// 1 - the cosine to the nearest of `vectors`, in hundredths: 0 is the same, 200 the opposite.
fn distance<'a>(vectors: impl Iterator<Item = &'a Vec<f32>>, vector: &[f32]) -> f32 {
    100.0 * (1.0 - vectors.map(|v| cosine_similarity(v, vector)).fold(-1.0, f32::max))
}

fn pooled(view: &Image, net: &FeatureNet) -> Result<Vec<f32>> {
    Ok(net.run(view, SIDE)?.pooled)
}
